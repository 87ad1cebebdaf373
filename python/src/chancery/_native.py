"""The C library: what its header says, as ctypes has it. Nothing in here is part of the package's interface."""

import ctypes
import json
import os
import weakref
from ctypes import POINTER, byref, c_bool, c_char_p, c_int32, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

#: The interface that this package was written for.
ABI_VERSION = 1
#: No time limit.
FOREVER = 0xFFFFFFFF

# Those of the codes that are told apart here.
USAGE = 3
NOT_UTF_8 = 904
HANDLE_CLOSED = 902
NO_EVENT = 905


class Text(ctypes.Structure):
    """A `chancery_str`: bytes with their length."""

    _fields_ = [("data", c_char_p), ("len", c_size_t)]


class _CallbackText(ctypes.Structure):
    """A `chancery_str` that is handed to a callback: not ended by a NUL."""

    _fields_ = [("data", c_void_p), ("len", c_size_t)]


CODE_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, _CallbackText)
PROGRESS_CALLBACK = ctypes.CFUNCTYPE(None, c_void_p, _CallbackText, c_uint64, c_uint64)

_OUT = POINTER(c_void_p)
_TEXTS = POINTER(Text)
_HANDLE = c_void_p

# The parameters of every function that returns a code.
_CALLS: Dict[str, Tuple[Any, ...]] = {
    "chancery_key_new_file": (Text, c_bool, _OUT),
    "chancery_key_new_passphrase": (Text, _OUT),
    "chancery_client_new": (Text, _HANDLE, _OUT),
    "chancery_client_new_enrolled": (Text, _HANDLE, Text, c_uint32, c_void_p, CODE_CALLBACK, _OUT),
    "chancery_client_close": (_HANDLE,),
    "chancery_client_me": (_HANDLE, _OUT),
    "chancery_client_sync": (_HANDLE, c_uint32, POINTER(c_size_t)),
    "chancery_client_follow": (_HANDLE,),
    "chancery_client_on_progress": (_HANDLE, c_void_p, PROGRESS_CALLBACK),
    "chancery_client_policy": (_HANDLE, _OUT),
    "chancery_client_log_status": (_HANDLE, _OUT),
    "chancery_client_devices": (_HANDLE, _OUT),
    "chancery_client_device_link": (_HANDLE, _OUT),
    "chancery_client_approve_device": (_HANDLE, Text, c_uint32, _OUT),
    "chancery_client_remove_device": (_HANDLE, Text, c_uint32, _OUT),
    "chancery_client_next_event": (_HANDLE, c_uint32, _OUT),
    "chancery_client_take_events": (_HANDLE, c_uint64),
    "chancery_client_fd": (_HANDLE, POINTER(c_int32)),
    "chancery_event_number": (_HANDLE, POINTER(c_uint64)),
    "chancery_event_json": (_HANDLE, _OUT),
    "chancery_client_save_file_of_message": (_HANDLE, Text, Text, c_size_t, Text, _OUT),
    "chancery_client_send_message": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_group_send_message": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_client_edit": (_HANDLE, Text, Text, Text, c_uint32, _OUT),
    "chancery_client_delete": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_client_react": (_HANDLE, Text, Text, Text, c_bool, c_uint32, _OUT),
    "chancery_client_answer": (_HANDLE, Text, Text, Text, c_uint32, _OUT),
    "chancery_client_conversations": (_HANDLE, _OUT),
    "chancery_client_conversation": (_HANDLE, Text, _OUT),
    "chancery_client_readers": (_HANDLE, Text, _OUT),
    "chancery_client_history_before": (_HANDLE, Text, c_uint64, c_uint32, _OUT),
    "chancery_client_mark_read": (_HANDLE, Text, c_uint64, POINTER(c_uint64)),
    "chancery_client_set_draft": (_HANDLE, Text, Text),
    "chancery_client_members": (_HANDLE, Text, Text, _OUT),
    "chancery_client_resolve": (_HANDLE, Text, _OUT),
    "chancery_client_receipt_settings": (_HANDLE, _OUT),
    "chancery_client_set_receipt_settings": (_HANDLE, c_bool, c_bool, c_bool),
    "chancery_client_disappearing": (_HANDLE, Text, _OUT),
    "chancery_client_set_disappearing": (_HANDLE, Text, c_uint64),
    "chancery_client_typing": (_HANDLE, Text, c_bool),
    "chancery_group_hand_over": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_group_set_policy": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_group_heal": (_HANDLE, Text, c_uint32, _OUT),
    "chancery_group_execute": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_group_create": (_HANDLE, Text, _TEXTS, c_size_t, c_uint32, _OUT),
    "chancery_group_list": (_HANDLE, _OUT),
    "chancery_group_show": (_HANDLE, Text, _OUT),
    "chancery_group_add": (_HANDLE, Text, _TEXTS, c_size_t, Text, c_uint32, _OUT),
    "chancery_group_remove": (_HANDLE, Text, _TEXTS, c_size_t, c_uint32, _OUT),
    "chancery_group_set_role": (_HANDLE, Text, Text, Text, c_uint32, _OUT),
    "chancery_group_leave": (_HANDLE, Text, c_uint32, _OUT),
    "chancery_group_rename": (_HANDLE, Text, Text, c_uint32, _OUT),
    "chancery_group_dissolve": (_HANDLE, Text, c_uint32, _OUT),
}

# What every other function returns, and its parameters.
_OTHERS: Dict[str, Tuple[Any, Tuple[Any, ...]]] = {
    "chancery_string_data": (c_void_p, (_HANDLE,)),
    "chancery_string_len": (c_size_t, (_HANDLE,)),
    "chancery_string_free": (None, (_HANDLE,)),
    "chancery_version": (c_char_p, ()),
    "chancery_abi_version": (c_uint32, ()),
    "chancery_strerror": (c_char_p, (c_uint32,)),
    "chancery_code_name": (c_char_p, (c_uint32,)),
    "chancery_is_retryable": (c_bool, (c_uint32,)),
    "chancery_last_detail": (c_char_p, ()),
    "chancery_live_handles": (c_size_t, ()),
    "chancery_key_free": (None, (_HANDLE,)),
    "chancery_client_free": (None, (_HANDLE,)),
    "chancery_event_free": (None, (_HANDLE,)),
}


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(Path(__file__).with_name("libchancery.so")))
    library.chancery_abi_version.restype = c_uint32
    found = library.chancery_abi_version()
    if found != ABI_VERSION:
        raise ImportError(f"libchancery has the binary interface {found}, not {ABI_VERSION}")
    for name, parameters in _CALLS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = c_uint32, parameters
    for name, (result, parameters) in _OTHERS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, parameters
    return library


library = _load()


class Error(Exception):
    """What went wrong. The codes are those of every language, and never change.

    `code` is the code's name, such as ``"relay-unreachable"``, and `number` its number. `retry` says whether the same
    call may succeed later without anybody changing anything. `detail` says what it lay in: a path, a name, a limit;
    never a secret.
    """

    code: str
    number: int
    retry: bool
    detail: str

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(number, detail)
        self.number = number
        self.detail = detail
        self.code = library.chancery_code_name(number).decode()
        self.retry = library.chancery_is_retryable(number)
        self._message: str = library.chancery_strerror(number).decode()

    def __str__(self) -> str:
        return f"{self._message} ({self.detail})" if self.detail else self._message

    def __repr__(self) -> str:
        return f"chancery.Error({self.code!r}, {self.detail!r})"


def call(name: str, *arguments: Any) -> None:
    """Calls a function that returns a code, and raises what it says."""
    number = getattr(library, name)(*arguments)
    if number:
        # First: the text holds until this thread calls anything else.
        detail = library.chancery_last_detail().decode()
        raise Error(number, detail)


def call_for_text(name: str, *arguments: Any) -> str:
    """Calls a function whose last parameter is where it hands out a text."""
    out = c_void_p()
    call(name, *arguments, byref(out))
    try:
        length = library.chancery_string_len(out)
        return ctypes.string_at(library.chancery_string_data(out), length).decode()
    finally:
        library.chancery_string_free(out)


def call_for_json(name: str, *arguments: Any) -> Any:
    """Calls a function whose last parameter is where it hands out JSON."""
    return json.loads(call_for_text(name, *arguments))


def text(value: str) -> Text:
    """Makes a parameter of text."""
    if not isinstance(value, str):
        raise TypeError(f"text must be str, not {type(value).__name__}")
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise Error(NOT_UTF_8, f"a lone surrogate at {error.start}") from None
    return Text(encoded, len(encoded))


def texts(values: Sequence[str]) -> "ctypes.Array[Text]":
    """Makes a parameter of several texts."""
    if isinstance(values, str):
        raise TypeError("a list of str is wanted, not one str")
    made: List[Text] = [text(value) for value in values]
    return (Text * len(made))(*made)


def path(value: "Union[str, os.PathLike[str]]") -> Text:
    """Makes a parameter of a path."""
    encoded = os.fsencode(value)
    return Text(encoded, len(encoded))


def utf8(value: _CallbackText) -> str:
    """Reads what a callback is told."""
    return ctypes.string_at(value.data, value.len).decode() if value.len else ""


def milliseconds(seconds: Optional[float]) -> int:
    """Makes a parameter of a time; None is for ever."""
    if seconds is None:
        return FOREVER
    if not seconds >= 0:
        raise ValueError("a time must be 0 or more, or None for ever")
    return min(round(seconds * 1000), FOREVER - 1) if seconds < FOREVER else FOREVER - 1


def position(value: int) -> int:
    """Makes a parameter of a position, which ctypes would wrap around."""
    if not 0 <= value < 1 << 64:
        raise ValueError("a position must be 0 or more, and below 2**64")
    return value


class Handle:
    """Something of the library that is freed when nothing refers to it any more, or by `free`."""

    def __init__(self, kind: str, value: c_void_p) -> None:
        self._as_parameter_ = value
        self.free: Callable[[], object] = weakref.finalize(self, _free, kind, value, os.getpid())


def _free(kind: str, value: c_void_p, owner: int) -> None:
    # The threads of a client do not exist in a forked process, which must not wait for them.
    if os.getpid() != owner:
        return
    if kind == "client":
        end_client(value)
    getattr(library, f"chancery_{kind}_free")(value)


def end_client(client: Any) -> None:
    """Ends what a client does and wakes whoever waits in it.

    From then on it calls nobody: at its end, Python cannot be called any more.
    """
    library.chancery_client_on_progress(client, None, PROGRESS_CALLBACK())
    library.chancery_client_close(client)


def call_for_handle(kind: str, name: str, *arguments: Any) -> Handle:
    """Calls a function whose last parameter is where it hands out a handle."""
    out = c_void_p()
    call(name, *arguments, byref(out))
    return Handle(kind, out)
