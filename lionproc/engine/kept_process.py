"""Processes of their own in which is tried what may take long, or end the process that it is done in.

What an engine in the middle of a text does cannot be stopped from outside, and no other thread runs
meanwhile; one whose stack is full takes all with it. A process can be stopped: each of these gets some
time of the processor for a message, after which the system ends it. It is kept for later messages, and
another is started where it has ended.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import math
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

from lionproc.child_environment import environment
from lionproc.engine.forked import in_forked_child
from lionproc.engine.kept_server import LENGTH_BYTES, TOO_MUCH, Message

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

__all__ = ["KeptProcess", "NotStartedError", "Soon", "stop_all"]

SERVER: Final = Path(__file__).with_name("kept_server.py")
START_S: Final = 30.0  # a machine that is busy
QUIET_S: Final = 60.0  # in which no other is waited for where one did not begin
WAIT_S: Final = 30.0  # by the clock
_BY_THE_CLOCK: Final = 3  # seconds for one, where the system counts no time of the processor
_AT_ONCE: Final = 4096  # bytes that any pipe takes although nobody reads
_TRIES: Final = 2  # of a process that somebody else ended

Soon: TypeAlias = "tuple[Any] | Callable[[], Any] | None"
"""What was said; or what waits for it; or nothing, as nothing was asked."""

_all: weakref.WeakSet[KeptProcess] = weakref.WeakSet()


class NotStartedError(Exception):
    """There is no process in which anything could be tried."""


class _Child:
    """A process that tries what it is told, once it has begun."""

    def __init__(self) -> None:
        interpreter = _interpreter()
        if interpreter is None:
            raise NotStartedError("this program has no interpreter of its own")
        try:
            self.process = subprocess.Popen(  # noqa: S603 - our own file, by its path
                [interpreter, "-I", "-S", str(SERVER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,  # so that nothing is written by whoever has a copy of it
                env=environment(),
                start_new_session=True,  # Ctrl-C is for this process
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise NotStartedError(str(error)) from None
        assert self.process.stdin is not None  # noqa: S101 - both were asked for as pipes
        assert self.process.stdout is not None  # noqa: S101
        self._room = _room_of(self.process.stdin)
        self._stdout = self.process.stdout.fileno()
        self.is_over = False
        self._number = 0  # of the last message

    def begin(self, message: Message) -> None:
        """Wait until it is ready."""
        if self.answer(message, START_S) is None:
            raise NotStartedError("it ended at once")

    def answer(self, message: Message, wait_s: float) -> Any:
        """What it says to a message; None where it has ended."""
        data = self._numbered(message)
        return self._heard(lambda: self._exchange(data, wait_s))

    def begins(self, message: Message, soon_s: float) -> bool | None:
        """Tell it a message. `rest` is to follow, with what it says.

        Args:
            message: As for `answer`.
            soon_s: Seconds to wait for that.

        Returns:
            Whether it came; None where the message may not go into the pipe at once, and did not.
        """
        assert self.process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        data = self._numbered(message)
        if not self._takes(data):
            return None
        with suppress(OSError):  # it has ended, and `rest` will see
            self.process.stdin.write(data)
        return self._says(soon_s)

    def rest(self, wait_s: float) -> Any:
        """What it says to the message that it was told; None where it has ended."""
        return self._heard(lambda: self._waited(wait_s))

    def _numbered(self, message: Message) -> bytes:
        self._number += 1
        text = json.dumps({**message, "number": self._number}).encode()
        return len(text).to_bytes(LENGTH_BYTES, "big") + text

    def _heard(self, exchange: Callable[[], bytes]) -> Any:
        said = None
        try:
            number, said = json.loads(exchange() or "[0, null]")
            if number != self._number:  # of a message before, at which somebody interrupted twice
                said = None
        except (OSError, ValueError):  # its pipes are closed, on that side or on this
            pass
        except RuntimeError as error:  # no thread is started any more
            raise NotStartedError(str(error)) from None
        finally:
            if said is None:  # or somebody interrupts: it would answer the next message with this
                self.end()
        return said

    def _takes(self, data: bytes) -> bool:
        """Whether the pipe takes it although nobody reads, and it can be waited for without a thread."""
        return len(data) <= self._room and hasattr(select, "poll")

    def _exchange(self, data: bytes, wait_s: float) -> bytes:
        """What it says to a message; nothing once it was ended because that took too long."""
        assert self.process.stdin is not None  # noqa: S101 - it was asked for as a pipe
        if self._takes(data):
            self.process.stdin.write(data)
            return self._waited(wait_s)
        clock = threading.Timer(wait_s, self._end_it)
        clock.daemon = True
        clock.start()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.process.stdin.write(rest) :]
            return self._said()
        finally:
            clock.cancel()

    def _waited(self, wait_s: float) -> bytes:
        if not self._says(wait_s):
            self._end_it()
        return self._said()

    def _says(self, wait_s: float) -> bool:
        """Whether it says something within this time, or has ended."""
        said = select.poll()
        said.register(self._stdout, select.POLLIN)
        return bool(said.poll(1000 * wait_s))

    def _said(self) -> bytes:
        length = self._read(LENGTH_BYTES)
        return self._read(int.from_bytes(length, "big")) if length else b""

    def _read(self, size: int) -> bytes:
        """So many bytes of what it says; nothing where it ended before."""
        assert self.process.stdout is not None  # noqa: S101
        made = bytearray()
        while len(made) < size:
            more = self.process.stdout.read(size - len(made))
            if not more:
                return b""
            made += more
        return bytes(made)

    def _end_it(self) -> None:
        self.is_over = True
        self.process.kill()

    def end(self) -> None:
        """End the process, if it has not ended by itself."""
        self.let_go()
        # What the system ends has its pipes closed a little before anybody can know why.
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.returncode in {TOO_MUCH, -getattr(signal, "SIGPROF", -TOO_MUCH)}:
            self.is_over = True

    def let_go(self) -> None:
        """Close this side of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def _room_of(pipe: IO[bytes]) -> int:
    """The bytes that an empty pipe takes although nobody reads."""
    told = getattr(fcntl, "F_GETPIPE_SZ", None)
    return _AT_ONCE if told is None else fcntl.fcntl(pipe, told)


class KeptProcess:
    """A process that is started when it is needed first, and again where it has ended.

    Args:
        serves: The file with its work: a function `serve` of a message and of `within`, a context
            manager that gives a block so many seconds of the processor. What it returns is JSON.
        packages: Names of what that imports; only they are found there.
        memory: The bytes of memory that the system allows it, where it can; None for all there is.
        idle_s: Seconds without a message after which it ends; None for never.
    """

    def __init__(
        self,
        serves: Path,
        packages: Sequence[str],
        *,
        memory: int | None = None,
        idle_s: float | None = None,
    ) -> None:
        self._serves = serves
        self._packages = packages
        self._memory = memory
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._in_vain = -math.inf  # when one was waited for that did not begin
        _all.add(self)

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """The one that there is."""
        return None if self._child is None else self._child.process

    def ask(self, message: Message, seconds: float, wait_s: float | None = None) -> Any:
        """What the process says to a message.

        Args:
            message: As its work wants it.
            seconds: Of the processor, that it may take.
            wait_s: Seconds by the clock, if it may be more than `WAIT_S`.

        Returns:
            What it says; None where that took longer, or ended each process that it was asked of.

        Raises:
            NotStartedError: There is no process that could be asked.
        """
        with self._lock:
            return self._said(message, _by_the_clock(seconds, wait_s))

    def ask_soon(self, message: Message, seconds: float, soon_s: float) -> Soon:
        """Ask, and wait no longer than for a moment; see `ask`.

        Args:
            message: As for `ask`.
            seconds: As for `ask`.
            soon_s: How long a moment is, by the clock.

        Returns:
            What it says, as the one item of a tuple; or what has to be called, in whatever thread, and
            waits for that; None where nothing was asked, as others wait for it or it has not begun.
        """
        if not self._lock.acquire(blocking=False):
            return None
        child, wait_s = self._child, _by_the_clock(seconds, None)
        soon: Soon = None
        try:
            if child is not None and child.process.poll() is None:
                has_come = child.begins(message, soon_s)
                if has_come:
                    said = child.rest(wait_s)
                    soon = None if said is None and not child.is_over else (said,)
                elif has_come is False:
                    soon = partial(self._rest, child, message, wait_s)
        except BaseException:
            if child is not None:  # it would answer the next message with this
                child.end()
            raise
        finally:
            if not callable(soon):
                self._lock.release()
        return soon

    def _rest(self, child: _Child, message: Message, wait_s: float) -> Any:
        try:
            said = child.rest(wait_s)
            if said is not None or child.is_over:
                return said
            return self._said(message, wait_s, tries=_TRIES - 1)
        finally:
            self._lock.release()

    def _said(self, message: Message, wait_s: float, tries: int = _TRIES) -> Any:
        for _ in range(tries):
            if self._child is not None and self._child.process.poll() is not None:
                self._child.end()
                self._child = None
            if self._child is None:
                self._child = self._begun()
            child = self._child  # which `stop` may take away meanwhile
            said = child.answer(message, wait_s)
            if said is not None or child.is_over:
                return said
        return None

    def _begun(self) -> _Child:
        if time.monotonic() < self._in_vain + QUIET_S:
            raise NotStartedError("the last one did not begin, a moment ago")
        made = _Child()  # which takes no time where it fails, and may not the next time
        first = {
            "folders": _folders(self._packages),
            "serves": str(self._serves),
            "memory": self._memory,
            "idle_s": self._idle_s,
        }
        try:
            made.begin(first)
        except NotStartedError:
            self._in_vain = time.monotonic()
            raise
        return made

    def stop(self) -> None:
        """End the process, if there is one. Happens by itself when this one ends."""
        self._in_vain = -math.inf
        if self._child is not None:
            self._child.process.kill()
            self._child.end()
        self._child = None

    def forget(self) -> None:
        """In a forked process: that one is the parent's, and another thread of it may wait for it."""
        self._lock = threading.Lock()
        if self._child is not None:
            self._child.let_go()  # open, our copies would hide the parent's death
            self._child.process.returncode = 0  # not ours to wait for
        self._child = None


def _by_the_clock(seconds: float, wait_s: float | None) -> float:
    """How long to wait for what may take so many seconds of the processor."""
    wait_s = wait_s or WAIT_S
    return wait_s if hasattr(signal, "setitimer") else min(wait_s, _BY_THE_CLOCK * seconds)


def _interpreter() -> str | None:
    """A Python of this version; a program that has one within it (uWSGI, QGIS) is none itself."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    given = (sys.executable, getattr(sys, "_base_executable", None))
    folders = dict.fromkeys((sys.exec_prefix, sys.base_exec_prefix))
    names = (f"bin/python{version}", "bin/python3", "python.exe", "Scripts/python.exe")
    beside = (Path(folder, name) for folder in folders for name in names)
    for each in (*map(Path, filter(None, given)), *beside):
        if each.name.lower().startswith("python") and each.is_file():
            return str(each)
    return None


def _folders(packages: Sequence[str]) -> list[str]:
    """Where the packages lie that it imports: it may not have our `sys.path`."""
    found = map(importlib.util.find_spec, packages)
    places = [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]
    folders = [each.parents[1] if each.stem == "__init__" else each.parent for each in places]
    found_first = {name: place for place, name in reversed([*enumerate(sys.path)])}
    # One of them may have another version of what is found in one before it.
    return sorted(
        dict.fromkeys(map(str, folders)), key=lambda name: found_first.get(name, len(sys.path))
    )


@in_forked_child
def _forget_all() -> None:
    for each in list(_all):
        each.forget()


@atexit.register
def stop_all() -> None:
    """End all such processes."""
    for each in list(_all):
        each.stop()
