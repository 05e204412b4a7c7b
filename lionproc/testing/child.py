"""The test server in a child process: the parent's side, and the child's."""

from __future__ import annotations

import asyncio
import http.client
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import orjson

from lionproc.child_environment import environment
from lionproc.errors import ConfigurationError, LionprocError
from lionproc.testing.backends import serve
from lionproc.testing.billing import Bill
from lionproc.testing.control import TOKEN_HEADER, Control, recorded_from_json
from lionproc.testing.recorder import Counters, Recorded
from lionproc.testing.responder import Responder
from lionproc.testing.settings import Settings, changes_from_json, changes_to_json

__all__ = ["ChildBackend", "run_until_closed"]

PARENT_CHECK_S = 0.5
ANSWER_S = 60.0  # of the child to a control request; counting windows over 1e6 arrivals takes 1 s


class ChildBackend:
    """A server in a child process, steered over its own port. It ends with its parent.

    Args:
        changes: The settings given, by name.
        key: The key that is demanded.
        port: Port, 0 for a free one.
        record: How many of the last requests are kept.

    Raises:
        ConfigurationError: A function among the settings.
        LionprocError: The child did not start.
    """

    def __init__(self, changes: Mapping[str, Any], key: str | None, port: int, record: int) -> None:
        self._token = secrets.token_urlsafe(24)
        self._last: tuple[int, Counters] | None = None
        start = {
            "settings": changes_to_json(changes),
            "key": key,
            "port": port,
            "record": record,
            "control": self._token,
            "parent": os.getpid(),
        }
        above = str(Path(__file__).parents[2])  # this very package, installed or not
        path = os.pathsep.join(filter(None, [above, os.environ.get("PYTHONPATH")]))
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "lionproc.testing", "--stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment() | {"PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C is for the parent, which then closes this pipe
        )
        assert self._child.stdin is not None  # noqa: S101 - for the type checker
        assert self._child.stdout is not None  # noqa: S101 - for the type checker
        self._child.stdin.write(orjson.dumps(start) + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            self._end()
            raise LionprocError("The test server's process did not start; its error is on stderr.")
        self.port = int(orjson.loads(line)["port"])

    def _ask(self, operation: str, asked: Mapping[str, object], timeout_s: float = ANSWER_S) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            body = orjson.dumps(asked)
            headers = {TOKEN_HEADER: self._token}
            connection.request("POST", f"/_control/{operation}", body, headers)
            reply = connection.getresponse()
            result = orjson.loads(reply.read())
        finally:
            connection.close()
        if reply.status != 200:
            raise ConfigurationError(result["error"]["message"])
        return result

    def configure(self, changes: Mapping[str, object]) -> None:
        """See `Backend`."""
        self._ask("configure", changes_to_json(changes))

    def snapshot(self) -> tuple[int, Counters]:
        """See `Backend`."""
        if self._last is not None:
            return self._last
        version, data = self._ask("snapshot", {})
        return version, Counters.from_json(data)

    def wait_change(self, version: int, timeout_s: float) -> None:
        """See `Backend`."""
        with suppress(TimeoutError):
            self._ask("changed", {"version": version}, max(timeout_s, 0.001))

    def bill(self) -> Bill:
        """See `Backend`."""
        return Bill.from_json(self._ask("bill", {}))

    def requests(self) -> list[Recorded]:
        """See `Backend`."""
        return [recorded_from_json(data) for data in self._ask("requests", {})]

    def worst_window(self, window_s: float, what: str, which: str) -> int:
        """See `Backend`."""
        asked = {"window_s": window_s, "what": what, "which": which}
        return int(self._ask("worst_window", asked))

    def hold(self) -> None:
        """See `Backend`."""
        self._ask("hold", {})

    def release(self) -> None:
        """See `Backend`."""
        self._ask("release", {})

    def close(self) -> None:
        """See `Backend`; of what was seen, only the counters can be read afterwards."""
        if self._child.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                self._last = self.snapshot()
        self._end()

    def _end(self) -> None:
        """Close the pipe, which ends the child; one that does not heed it is killed."""
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


def run_until_closed(start: Mapping[str, Any], stdin: BinaryIO, stdout: TextIO) -> None:
    """The child's side: serve until stdin closes.

    Args:
        start: "settings" as JSON, "key", "port", "record", "control", a token or None, and
            "parent", the process whose end is this one's too, where there is such a process.
        stdin: Ends the server when it closes.
        stdout: Gets one JSON line with `base_url`, `key` and `port` once connections are accepted.
    """

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stop = loop.create_future()
        settings = Settings(**changes_from_json(start["settings"]))
        responder = Responder(settings, start["key"], start["record"], loop)
        if start["control"] is not None:
            responder.control = Control(responder, start["control"])

        def ready(port: int) -> None:
            base_url = f"http://127.0.0.1:{port}/v1"
            line = orjson.dumps({"base_url": base_url, "key": start["key"], "port": port})
            stdout.write(line.decode() + "\n")
            stdout.flush()

        def end() -> None:
            if not stop.done():
                stop.set_result(None)

        def told_to_end() -> None:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(end)

        for wait in (partial(_read_out, stdin), partial(_wait_for_end_of, start.get("parent"))):
            threading.Thread(target=_and_then, args=(wait, told_to_end), daemon=True).start()
        await serve(responder, start["port"], stop, ready)

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())


def _and_then(wait: Callable[[], None], act: Callable[[], None]) -> None:
    wait()
    act()


def _read_out(stdin: BinaryIO) -> None:
    while stdin.read(4096):
        pass


def _wait_for_end_of(parent: int | None) -> None:
    """Return when this process has another parent than the one that is named."""
    if parent is None or os.name != "posix":
        threading.Event().wait()  # there is nobody to wait for
    # A process that the parent forked may hold our stdin open after the parent's death.
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
