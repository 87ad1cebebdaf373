"""An organisation on this machine, with a real relay and desk, which the `chancery` command runs; and tests that leave nothing behind."""

import asyncio
import atexit
import gc
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Awaitable, Callable, List, Optional, Type, TypeVar

import chancery

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "python"
#: The longest that anything may take, in seconds.
PATIENCE = 60.0

E = TypeVar("E", bound=chancery.Event)


class Company:
    """One for all tests of a process. Handles are given out once."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chancery-python-"))
        self._handles = 0
        self.command("org", "init", "--name", "Acme", "--dir", "acme")
        self._up: "Optional[subprocess.Popen[bytes]]" = None
        self.start_relay()
        atexit.register(self._end)

    def command(self, *words: str) -> str:
        """Runs a command of the organisation, and returns what it printed."""
        place = ["--key-file", "acme.key"]
        if words[0] == "org" and "--dir" not in words:
            place += ["--dir", "acme"]
        line = ["chancery", *words, *place]
        done = subprocess.run(line, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_relay(self) -> None:
        """Starts relay and desk, and waits for them."""
        line = ["chancery", "up", "--dir", "acme", "--key-file", "acme.key", "--data", "data", "--listen", "127.0.0.1:0"]
        self._up = subprocess.Popen(line, cwd=self.folder, stdout=subprocess.PIPE)
        assert self._up.stdout is not None
        for said in self._up.stdout:
            if b"desk ready" in said:
                return
        raise AssertionError("relay and desk did not start")

    def stop_relay(self) -> None:
        """Ends both."""
        if self._up is not None:
            self._up.terminate()
            self._up.communicate()
            self._up = None

    def _end(self) -> None:
        self.stop_relay()
        shutil.rmtree(self.folder)

    def handle(self, name: str) -> str:
        """A handle that nobody has."""
        self._handles += 1
        return f"{name}{self._handles}"

    def home(self, handle: str) -> Path:
        """Where a member's device is."""
        return self.folder / handle

    def key(self, handle: str) -> Path:
        """What it is opened with."""
        return self.folder / f"{handle}.key"

    def open(self, handle: str) -> "Awaitable[chancery.Client]":
        """Opens the device of a member that was enrolled."""
        return chancery.Client.open(self.home(handle), key_file=self.key(handle))


_company: List[Company] = []


def company() -> Company:
    """The organisation of all tests."""
    if not _company:
        _company.append(Company())
    return _company[0]


class Case(unittest.IsolatedAsyncioTestCase):
    """A test that closes what it has opened, and looks whether anything of the library is left."""

    def setUp(self) -> None:
        self.company = company()
        self.folder = Path(tempfile.mkdtemp(dir=self.company.folder))

        # The first is called last, when the clients are closed.
        self.addCleanup(self._nothing_is_left)

    async def asyncSetUp(self) -> None:
        # Commands are run where they are called, which the loop would complain of.
        asyncio.get_running_loop().slow_callback_duration = PATIENCE

    def _nothing_is_left(self) -> None:
        gc.collect()
        self.assertEqual(chancery.live_handles(), 0, "handles that nobody has freed")

    async def member(self, name: str, *options: str) -> chancery.Client:
        """A new member, whose handle begins so."""
        handle = self.company.handle(name)
        link = self.company.command("org", "invite", handle, *options)
        client = await chancery.Client.enroll(link, self.company.home(handle), key_file=self.company.key(handle))
        self.addAsyncCleanup(client.close)
        return client

    async def again(self, client: chancery.Client) -> chancery.Client:
        """Closes a client and opens the same device."""
        await client.close()
        opened = await self.company.open(client.me.handle)
        self.addAsyncCleanup(opened.close)
        return opened

    async def first(
        self,
        client: chancery.Client,
        kind: Type[E],
        like: Callable[[E], bool] = lambda _: True,
        timeout: float = PATIENCE,
    ) -> E:
        """The next event of a kind, acknowledged with all before it."""
        async for event in client.events(timeout=timeout):
            if isinstance(event, kind) and like(event):
                await client.acknowledge(event)
                return event
        raise AssertionError(f"no {kind.__name__} has come")


class Program:
    """A Python program in a process of its own."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)

    def line(self) -> str:
        """The next line that it prints; "" at its end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().decode().strip()

    def kill(self) -> None:
        """`kill -9`, unless it has ended."""
        self.process.kill()
        self.process.communicate()
