"""That the package calls the library as its header says, and reads what later versions will say."""

import ctypes
import pickle
import re
import subprocess
import sys
import unittest
from datetime import datetime, timezone
from typing import Any, Dict, List

import chancery
from chancery import _native, _read
from support import ROOT

JSON = ROOT / "crates" / "client" / "src"
HEADER = ROOT / "crates" / "ffi" / "include" / "chancery.h"
#: What a client in Python has no use for, and why.
UNUSED = {
    "chancery_string_copy": "ctypes copies",
    "chancery_key_new_bytes": "secrets do not pass through Python",
    "chancery_client_send": "chancery_client_send_message says more",
    "chancery_group_send": "chancery_group_send_message says more",
    "chancery_client_save_file": "chancery_client_save_file_of_message needs no event",
    "chancery_client_save_file_of_page": "chancery_client_save_file_of_message needs no page",
    "chancery_client_history": "chancery_client_history_before reads from the end",
    "chancery_group_history": "chancery_client_history_before reads from the end",
    "chancery_page_json": "no pages",
    "chancery_page_next": "no pages",
    "chancery_page_free": "no pages",
}
#: What is written as an event and is none of a client's, and what it is.
NO_EVENTS = {
    "confirm": "what a device shows while it enrols",
    "connection": "a line of the command",
    "file": "a line of the command",
    "unknown": "an entry of a history that a later version wrote",
}
#: How the header's types are said to ctypes.
TYPES: Dict[str, Any] = {
    "chancery_str": _native.Text,
    "bool": ctypes.c_bool,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "int32_t*": ctypes.POINTER(ctypes.c_int32),
    "uint64_t*": ctypes.POINTER(ctypes.c_uint64),
    "size_t*": ctypes.POINTER(ctypes.c_size_t),
    "chancery_str*": ctypes.POINTER(_native.Text),
    "void*": ctypes.c_void_p,
    "chancery_code": ctypes.c_uint32,
    "chancery_code_callback": _native.CODE_CALLBACK,
    "chancery_progress_callback": _native.PROGRESS_CALLBACK,
}


def declared() -> Dict[str, List[str]]:
    """The functions of the header, and the types of their parameters."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.S)
    found = {}
    for name, parameters in re.findall(r"\b(chancery_[a-z_0-9]+)\(([^()]*)\);", text):
        parts = [re.sub(r"\bconst\b", "", part).strip() for part in parameters.split(",")]
        found[name] = ["".join(re.findall(r"^\w+|\*", part)) for part in parts if part != "void"]
    return found


class Declarations(unittest.TestCase):
    def test_every_function_of_the_header_is_declared_or_known_to_be_unused(self) -> None:
        ours = {**_native._CALLS, **{name: given for name, (_, given) in _native._OTHERS.items()}}
        header = declared()
        self.assertGreater(len(header), 60)
        self.assertEqual(set(ours) | set(UNUSED), set(header))
        self.assertEqual(set(ours) & set(UNUSED), set())
        for name, given in ours.items():
            wanted = [
                TYPES[kind] if kind in TYPES else _native._OUT if kind.endswith("**") else ctypes.c_void_p
                for kind in header[name]
            ]
            self.assertEqual(list(given), wanted, name)

    def test_the_codes_that_are_told_apart_are_those_of_the_header(self) -> None:
        numbers = dict(re.findall(r"CHANCERY_([A-Z_0-9]+) = (\d+)", HEADER.read_text()))
        for name in ("USAGE", "NOT_UTF_8", "HANDLE_CLOSED", "NO_EVENT"):
            self.assertEqual(getattr(_native, name), int(numbers[name]))

    def test_the_version_is_that_of_the_library(self) -> None:
        self.assertIn(f'version = "{chancery.__version__}"', (ROOT / "Cargo.toml").read_text())

    def test_times_become_milliseconds_without_running_over(self) -> None:
        self.assertEqual(_native.milliseconds(None), 0xFFFFFFFF)
        self.assertEqual(
            [_native.milliseconds(it) for it in (0, 0.25, 1e9, float("inf"))], [0, 250, 0xFFFFFFFE, 0xFFFFFFFE]
        )

    def test_an_error_can_be_pickled(self) -> None:
        error = pickle.loads(pickle.dumps(chancery.Error(400, "bob")))
        self.assertEqual((error.code, error.detail, error.retry), ("unknown-recipient", "bob", False))


class Reading(unittest.TestCase):
    def test_what_later_versions_say_is_unknown_and_kept(self) -> None:
        for data in (
            {"event": "poll-closed", "id": "7"},
            {"event": None},
            {"event": "lost", "member": "7"},
            {"event": "message", "id": 5},
            {"event": "group-act", "targets": None},
        ):
            event = _read.event(data, 3)
            assert isinstance(event, chancery.Unknown)
            self.assertEqual((event.number, event.kind, dict(event.data)), (3, data["event"], data))

    def test_every_event_that_the_library_writes_is_known(self) -> None:
        written = set()
        for path in [JSON / "json.rs", *sorted((JSON / "json").glob("*.rs"))]:
            source = path.read_text().split("#[cfg(test)]")[0]
            written |= set(re.findall(r'"event"(?::|,) "([a-z-]+)"', source))
            for words in re.findall(r"let event = if .*", source):
                written |= set(re.findall(r'"([a-z-]+)"', words))
        known = {"message", "message-changed", *_read._EVENTS}
        self.assertEqual(written, known | set(NO_EVENTS))
        self.assertEqual(known & set(NO_EVENTS), set())

    def test_what_other_devices_of_the_member_do_is_read(self) -> None:
        for data, event in (
            ({"event": "read", "conversation": "7", "unread": 2}, chancery.ConversationRead(3, "7", 2)),
            ({"event": "gone", "conversation": "7"}, chancery.MessagesGone(3, "7")),
            ({"event": "device-request", "code": "12"}, chancery.DeviceRequest(3, "12")),
        ):
            self.assertEqual(_read.event(data, 3), event)

    def test_why_something_waits_is_read(self) -> None:
        waiting = {"code": "queued", "message": "", "retry": False, "cause": "relay-full"}
        self.assertEqual(_read.sent({"id": "7", "state": "queued", "waiting": waiting}, "8").waiting, "relay-full")
        self.assertIsNone(_read.sent({"id": "7", "state": "sent"}, "8").waiting)
        change = _read.group_change({"group": "7", "state": "queued", "waiting": waiting})
        self.assertEqual(change.waiting, "relay-full")

    def test_with_whom_a_bot_exchanges_messages_is_read(self) -> None:
        bot = {"member": "7", "handle": "bot", "name": "Bot", "unit": None, "kind": "bot", "devices": ["8"]}
        self.assertEqual(_read.member(bot).reach, ())
        self.assertEqual(_read.member({**bot, "reach": ["9"]}).reach, ("9",))

    def test_a_time_of_a_wrong_clock_does_no_harm(self) -> None:
        self.assertEqual(_read.time("2026-11-22T08:30:00.125Z"), datetime(2026, 11, 22, 8, 30, 0, 125000, timezone.utc))
        self.assertEqual(_read.time("584556019-04-03T14:25:51.615Z").year, 9999)

    def test_what_is_known_cannot_be_changed(self) -> None:
        event = _read.event({"event": "lost", "member": "7", "handle": "bob", "count": 2}, 3)
        self.assertEqual(event, chancery.Lost(3, "7", "bob", 2))
        with self.assertRaises(AttributeError):
            event.number = 4  # type: ignore[misc]


class Interface(unittest.TestCase):
    def test_everything_public_is_documented(self) -> None:
        bare = [
            name
            for name in chancery.__all__
            if isinstance(getattr(chancery, name), type) and not getattr(chancery, name).__doc__
        ]
        public = [name for name in vars(chancery.Client) if not name.startswith("_")]
        bare += [
            name
            for name in public
            if not getattr(chancery.Client, name).__doc__ and callable(getattr(chancery.Client, name))
        ]
        self.assertEqual(bare, [])

    def test_help_says_how_to_begin(self) -> None:
        shown = subprocess.run(
            [sys.executable, "-m", "pydoc", "chancery"], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        self.assertIn("async for event in client.events():", shown)


if __name__ == "__main__":
    unittest.main()
