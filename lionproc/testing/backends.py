"""Where the test server runs: on a thread of this process, or in a child process."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from lionproc.testing.billing import Bill
from lionproc.testing.connection import Connection
from lionproc.testing.recorder import Counters, Recorded, Which
from lionproc.testing.responder import Responder
from lionproc.testing.settings import Settings

__all__ = ["Backend", "ThreadBackend", "serve"]

T = TypeVar("T")
MOST_PASSED = 16  # ports; with thousands of servers in one process a new one may not be found
_GIVEN: set[int] = set()
CLOSING_TURNS = 4  # one just taken in is a connection two turns later, and is closed two later
START_S = 60.0  # importing the package on a busy machine


class Backend(Protocol):
    """What `Server` needs of the place where it runs."""

    port: int

    def configure(self, changes: Mapping[str, object]) -> None:
        """Change settings."""

    def snapshot(self) -> tuple[int, Counters]:
        """The counters, and a version that `wait_change` understands."""

    def wait_change(self, version: int, timeout_s: float) -> None:
        """Return when anything is newer than `version`, or after the timeout."""

    def bill(self) -> Bill:
        """What was charged."""

    def requests(self) -> list[Recorded]:
        """The recorded requests."""

    def worst_window(self, window_s: float, what: str, which: Which) -> int:
        """See `Server.worst_window`."""

    def hold(self) -> None:
        """Keep replies back."""

    def release(self) -> None:
        """Let them go."""

    def close(self) -> None:
        """End the server."""


def _bound(port: int) -> socket.socket:
    """A socket that is bound to loopback.

    A free port that an earlier server of this process had is passed over: what lionproc learned of
    a server (its pace, what its model does not take) is remembered by its address, and a new
    server is another one.
    """
    passed: list[socket.socket] = []
    try:
        while True:
            bound = socket.create_server(("127.0.0.1", port))
            given = bound.getsockname()[1]
            if port or given not in _GIVEN or len(passed) == MOST_PASSED:
                _GIVEN.add(given)
                return bound
            passed.append(bound)  # open until another is found, or the same one comes again
    finally:
        for other in passed:
            other.close()


async def serve(
    responder: Responder, port: int, stop: asyncio.Future[None], ready: Callable[[int], None]
) -> None:
    """Listen on loopback until `stop` is set.

    Args:
        responder: Who answers.
        port: Port, 0 for a free one.
        stop: Ends the server.
        ready: Told the port once connections are accepted.
    """
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(
        partial(Connection, responder, loop), sock=_bound(port), backlog=2048
    )
    responder.port = listening.sockets[0].getsockname()[1]
    ready(responder.port)
    try:
        await stop
    finally:
        # Nobody more is taken in. `close` comes last: asyncio forgets who was just taken in by then.
        loop.remove_reader(listening.sockets[0])
        for _ in range(CLOSING_TURNS):
            for connection in list(responder.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        listening.close()


class ThreadBackend:
    """A server on a background thread with a loop of its own.

    Args:
        settings: The knobs at the start.
        key: The key that is demanded.
        port: Port, 0 for a free one.
        record: How many of the last requests are kept.
    """

    def __init__(self, settings: Settings, key: str | None, port: int, record: int) -> None:
        started: Future[int] = Future()
        self._loop: asyncio.AbstractEventLoop
        self._responder: Responder
        self._stop: asyncio.Future[None]
        self._thread = threading.Thread(
            target=self._run,
            args=(settings, key, port, record, started),
            name="lionproc-testing-server",
            daemon=True,
        )
        self._thread.start()
        self.port = started.result()

    def _run(
        self,
        settings: Settings,
        key: str | None,
        port: int,
        record: int,
        started: Future[int],
    ) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            self._responder = Responder(settings, key, record, self._loop)
            self._stop = self._loop.create_future()
            await serve(self._responder, port, self._stop, started.set_result)

        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(main())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # the port is taken: who asked for it is told

    def _on_loop(self, function: Callable[[], T]) -> T:
        """Run a function between two events of the server, from any thread."""
        if threading.current_thread() is self._thread or not self._thread.is_alive():
            return function()
        outcome: Future[T] = Future()

        def run() -> None:
            try:
                outcome.set_result(function())
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread
                outcome.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return outcome.result(timeout=START_S)

    def configure(self, changes: Mapping[str, object]) -> None:
        """See `Backend`."""
        self._on_loop(lambda: self._responder.configure(changes))

    def snapshot(self) -> tuple[int, Counters]:
        """See `Backend`."""
        responder = self._responder
        return self._on_loop(lambda: (responder.version, Counters(**responder.recorder.snapshot())))

    def wait_change(self, version: int, timeout_s: float) -> None:
        """See `Backend`."""
        changed = threading.Event()
        self._on_loop(lambda: self._responder.watch(version, changed.set))
        changed.wait(timeout_s)

    def bill(self) -> Bill:
        """See `Backend`."""
        return self._on_loop(lambda: replace(self._responder.cashier.bill))

    def requests(self) -> list[Recorded]:
        """See `Backend`."""
        return self._on_loop(lambda: [e.recorded() for e in self._responder.recorder.exchanges])

    def worst_window(self, window_s: float, what: str, which: Which) -> int:
        """See `Backend`."""
        return self._on_loop(lambda: self._responder.recorder.worst_window(window_s, what, which))

    def hold(self) -> None:
        """See `Backend`."""
        self._on_loop(self._responder.hold)

    def release(self) -> None:
        """See `Backend`."""
        self._on_loop(self._responder.release)

    def close(self) -> None:
        """See `Backend`."""
        if self._thread.is_alive():
            self._on_loop(self._end)
            self._thread.join()

    def _end(self) -> None:
        if not self._stop.done():
            self._stop.set_result(None)

    @property
    def callable_error(self) -> Exception | None:
        """What a function of the user raised first."""
        return self._responder.callable_error
