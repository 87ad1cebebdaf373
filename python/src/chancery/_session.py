"""A client's life: its handle, the threads in which it waits, and its events."""

import asyncio
import os
import threading
from collections import deque
from ctypes import byref, c_int32, c_uint64
from typing import Any, AsyncIterator, Callable, Deque, Optional, TypeVar

from . import _read
from ._model import Event
from ._native import (
    HANDLE_CLOSED,
    NO_EVENT,
    USAGE,
    Error,
    Handle,
    call,
    call_for_handle,
    call_for_json,
    call_for_text,
    end_client,
)

T = TypeVar("T")

#: As many calls of a client as may connect to the relay at once; others wait for those, in their order. The relay
#: lets a device have 16 connections, of all its processes, and each such call may need one.
CONNECTIONS = 8


def begin(function: Callable[..., T], *arguments: Any) -> "asyncio.Future[T]":
    """Has a function called in a thread of its own. Whoever gives up waiting for it does not end the function.

    The thread keeps no program from ending, as those of `asyncio.to_thread` would for as long as a relay does not
    answer.
    """
    loop = asyncio.get_running_loop()
    done: "asyncio.Future[T]" = loop.create_future()

    def settle(result: Any, error: Optional[BaseException]) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def work() -> None:
        result, failed = None, None
        try:
            result = function(*arguments)
        except BaseException as error:  # for whoever waits
            failed = error
        try:
            loop.call_soon_threadsafe(settle, result, failed)
        except RuntimeError:
            pass  # The loop has ended, and nobody waits.

    threading.Thread(target=work, name="chancery", daemon=True).start()
    return done


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Waits for what `begin` begins."""
    return await begin(function, *arguments)


class Session:
    """What `Client` and `Events` share. Used from one event loop."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._loop = asyncio.get_running_loop()
        self._process = os.getpid()
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._ending: "Optional[asyncio.Future[None]]" = None
        self._callback: Any = None
        self._fd: Optional[int] = None
        self._waiter: "Optional[asyncio.Future[None]]" = None
        # Events that were fetched and not acknowledged, oldest first; changed in threads, under the lock.
        self._kept: Deque[Event] = deque()
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        self.reader: Optional["Events"] = None
        self.is_read = False

    @property
    def is_closed(self) -> bool:
        """Whether it was closed here."""
        return self._ending is not None

    def check(self) -> None:
        """Raises unless calls may be made here and now."""
        if self.is_closed:
            raise Error(HANDLE_CLOSED)
        if os.getpid() != self._process:
            raise Error(USAGE, "this client was opened before fork, by another process")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError("this client was opened in another event loop")

    async def run(self, function: Callable[..., T], name: str, *arguments: Any, connects: bool = False) -> T:
        """Calls a function of the library that takes the client first, in a thread.

        `connects` says that it may ask the relay.
        """
        self.check()
        if not connects:
            return await in_thread(function, name, self._handle, *arguments)
        await self._connections.acquire()
        try:
            self.check()
            done: "asyncio.Future[T]" = begin(self._connected, function, name, *arguments)
        except BaseException:
            self._connections.release()
            raise
        return await done

    def _connected(self, function: Callable[..., T], name: str, *arguments: Any) -> T:
        try:
            return function(name, self._handle, *arguments)
        finally:
            # Here and not where it is waited for: a call that was cancelled keeps its connection until it ends.
            self.post(self._connections.release)

    async def call(self, name: str, *arguments: Any, connects: bool = False) -> None:
        """As `run`, of one that hands out nothing."""
        await self.run(call, name, *arguments, connects=connects)

    async def text(self, name: str, *arguments: Any, connects: bool = False) -> str:
        """As `run`, of one that hands out text."""
        return await self.run(call_for_text, name, *arguments, connects=connects)

    async def json(self, name: str, *arguments: Any, connects: bool = False) -> Any:
        """As `run`, of one that hands out JSON."""
        return await self.run(call_for_json, name, *arguments, connects=connects)

    def call_now(self, name: str, *arguments: Any) -> None:
        """Calls a function that does not wait."""
        self.check()
        call(name, self._handle, *arguments)

    def listen(self, callback: Any) -> None:
        """Names who is told of progress, and keeps the last one alive until it is not called any more."""
        self.call_now("chancery_client_on_progress", None, callback)
        self._callback = callback

    def post(self, function: Callable[..., object], *arguments: Any) -> None:
        """Has a function called in the event loop, from any thread."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            pass  # The loop has ended.

    async def close(self) -> None:
        """Ends everything and frees the client; whoever waits is woken.

        In a forked process it does nothing: the client and the descriptors that it shares are the parent's.
        """
        if os.getpid() != self._process:
            return
        if self._ending is None:
            self._unwatch()
            end_client(self._handle)
            # A task of its own: it goes on if whoever closes is cancelled.
            self._ending = asyncio.ensure_future(in_thread(self._handle.free))  # type: ignore[arg-type]
        await asyncio.shield(self._ending)

    async def acknowledge(self, number: int) -> None:
        """Says that all events up to this number were acted upon."""
        await self.run(self._take, "chancery_client_take_events", number)

    def _take(self, name: str, handle: Handle, number: int) -> None:
        call(name, handle, number)
        with self._lock:
            while self._kept and self._kept[0].number <= number:
                self._kept.popleft()

    async def next_event(self, after: int, timeout: Optional[float]) -> Optional[Event]:
        """Waits for the first event behind this number; None if none comes in time."""
        deadline = None if timeout is None else self._loop.time() + timeout
        while True:
            kept = self._kept_behind(after)
            if kept is not None:
                return kept
            self.check()
            fetched = await in_thread(self._fetch)
            if fetched is not None:
                if not fetched.number:
                    return fetched
                continue
            left = None if deadline is None else deadline - self._loop.time()
            if left is not None and left <= 0:
                return None
            await self._readable(left)

    def _kept_behind(self, after: int) -> Optional[Event]:
        with self._lock:
            return next((event for event in self._kept if event.number > after), None)

    def _fetch(self) -> Optional[Event]:
        # One at a time, as a fetch goes on whose task was cancelled: events are kept in their order.
        with self._fetching:
            try:
                handle = call_for_handle("event", "chancery_client_next_event", self._handle, 0)
            except Error as error:
                if error.number == NO_EVENT:
                    return None
                raise
            try:
                number = c_uint64()
                call("chancery_event_number", handle, byref(number))
                event = _read.event(call_for_json("chancery_event_json", handle), number.value)
            finally:
                handle.free()
            if event.number:
                with self._lock:
                    self._kept.append(event)
            return event

    async def _readable(self, timeout: Optional[float]) -> None:
        """Waits until there may be an event, or the client is closed."""
        self.check()
        if self._fd is None:
            fd = c_int32()
            call("chancery_client_fd", self._handle, byref(fd))
            self._fd = fd.value
        waiter = self._waiter = self._loop.create_future()
        self._loop.add_reader(self._fd, self._unwatch)
        # Not `asyncio.wait_for`: before Python 3.12, it loses a cancellation that comes together with an event.
        timer = None if timeout is None else self._loop.call_later(timeout, self._unwatch)
        try:
            await waiter
        finally:
            if timer is not None:
                timer.cancel()
            self._unwatch()

    def _unwatch(self) -> None:
        # Once for each time: when the client is freed, the descriptor's number may be another's.
        waiter, self._waiter = self._waiter, None
        if waiter is not None and self._fd is not None:
            self._loop.remove_reader(self._fd)
            if not waiter.done():
                waiter.set_result(None)


class Events(AsyncIterator[Event]):
    """The events of a client, from the oldest that was not acknowledged on: what `Client.events` returns."""

    def __init__(self, session: Session, timeout: Optional[float]) -> None:
        self._session = session
        self._timeout = timeout
        self._begun = False
        # The number of the last event that was handed out, and of the last one that is to be acknowledged.
        self._after = 0
        self._due = 0

    def __aiter__(self) -> "Events":
        return self

    async def __anext__(self) -> Event:
        session = self._session
        if session.is_read or (self._begun and session.reader is not self):
            raise RuntimeError("another loop reads the events of this client")
        session.reader, session.is_read, self._begun = self, True, True
        try:
            if self._due:
                await session.acknowledge(self._due)
                self._due = 0
            event = await session.next_event(self._after, self._timeout)
        except Error as error:
            if error.number == HANDLE_CLOSED and session.is_closed:
                raise StopAsyncIteration from None
            raise
        finally:
            session.is_read = False
        if event is None:
            raise StopAsyncIteration
        if event.number:
            self._after = self._due = event.number
        return event
