"""Tries in a process of its own how long texts take to be held against patterns.

What an engine in the middle of a text does cannot be stopped from outside, and no other thread runs
meanwhile. A process can be stopped: this one gets some time of the processor for each answer, after
which the system ends it. It is kept for later answers, and another is started where it has ended.
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
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from lionproc.child_environment import environment
from lionproc.engine.forked import in_forked_child
from lionproc.model.pattern_work import MOST_BACKTRACKS, MOST_SECONDS, RunPattern

__all__ = ["Held", "NotStartedError", "stop", "takes_a_moment"]

Held = Mapping[tuple[tuple[RunPattern, int], ...], Collection[str]]
"""Texts by the patterns that they are held against, and how often they are."""

SERVER: Final = Path(__file__).with_name("match_server.py")
START_S: Final = 30.0  # a machine that is busy
QUIET_S: Final = 60.0  # in which no other is waited for where one did not begin
# By the clock; where the system counts no time of the processor, that is all there is.
WAIT_S: Final = 30.0 if hasattr(signal, "setitimer") else 3 * MOST_SECONDS
_PACKAGES: Final = ("jsonschema_rs", "pydantic_core", "typing_extensions")  # what it imports
_LENGTH_BYTES: Final = 8
_AT_ONCE: Final = 4096  # bytes that a pipe takes although nobody reads
_DONE: Final = b"done\n"
_TRIES: Final = 2  # of a process that somebody else ended

_lock = threading.Lock()
_child: _Child | None = None
_in_vain = -math.inf  # when one was waited for that did not begin


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
        self.is_over = False

    def begin(self) -> None:
        """Wait until it is ready."""
        if not self.tells({"folders": _folders(), "runs": [], "seconds": 0, "held": []}, START_S):
            raise NotStartedError("it ended at once")

    def tells(self, message: Mapping[str, Any], wait_s: float) -> bool:
        """Whether it does what a message says; where it does not, it has ended."""
        text = json.dumps(message).encode()
        data = len(text).to_bytes(_LENGTH_BYTES, "big") + text
        done = False
        try:
            done = self._exchange(data, wait_s) == _DONE
        except OSError:
            pass
        except RuntimeError as error:  # no thread is started any more
            raise NotStartedError(str(error)) from None
        finally:
            if not done:  # or somebody interrupts: it would answer the next message with this
                self.end()
        return done

    def _exchange(self, data: bytes, wait_s: float) -> bytes:
        """What it says to a message; nothing once it was ended because that took too long."""
        assert self.process.stdin is not None  # noqa: S101 - both were asked for as pipes
        assert self.process.stdout is not None  # noqa: S101
        if len(data) <= _AT_ONCE and hasattr(select, "poll"):  # a thread takes longer to start
            self.process.stdin.write(data)
            said = select.poll()
            said.register(self.process.stdout, select.POLLIN)
            if not said.poll(1000 * wait_s):
                self._end_it()
            return self.process.stdout.readline()
        clock = threading.Timer(wait_s, self._end_it)
        clock.daemon = True
        clock.start()
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self.process.stdin.write(rest) :]
            return self.process.stdout.readline()
        finally:
            clock.cancel()

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
        if hasattr(signal, "SIGPROF") and self.process.returncode == -signal.SIGPROF:
            self.is_over = True

    def let_go(self) -> None:
        """Close this side of its pipes."""
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def takes_a_moment(held: Held, seconds: float) -> bool:
    """Whether texts are held against patterns within the time that there is for it.

    Args:
        held: What is held against what.
        seconds: Of the processor, that there are.

    Raises:
        NotStartedError: That cannot be tried.
    """
    global _child, _in_vain  # noqa: PLW0603
    numbers: dict[RunPattern, int] = {}
    groups = [
        ([(numbers.setdefault(run, len(numbers)), times) for run, times in runs], list(texts))
        for runs, texts in held.items()
    ]
    runs = [(*run, MOST_BACKTRACKS) for run in numbers]
    message = {"runs": runs, "seconds": seconds, "held": groups}
    with _lock:
        for _ in range(_TRIES):
            if _child is not None and _child.process.poll() is not None:
                _child.end()
                _child = None
            if _child is None:
                if time.monotonic() < _in_vain + QUIET_S:
                    raise NotStartedError("the last one did not begin, a moment ago")
                made = _Child()  # which takes no time where it fails, and may not the next time
                _in_vain = time.monotonic()
                made.begin()
                _child, _in_vain = made, -math.inf
            child = _child  # which `stop` may take away meanwhile
            if child.tells(message, WAIT_S):
                return True
            if child.is_over:
                return False
    return False


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


def _folders() -> Iterable[str]:
    """Where the packages lie that it imports: it may not have our `sys.path`."""
    found = map(importlib.util.find_spec, _PACKAGES)
    places = [Path(spec.origin) for spec in found if spec is not None and spec.origin is not None]
    folders = [each.parents[1] if each.stem == "__init__" else each.parent for each in places]
    return list(dict.fromkeys(map(str, folders)))


@in_forked_child
def _forget() -> None:
    """In a forked process: that one is the parent's, and another thread of it may wait for it."""
    global _lock, _child  # noqa: PLW0603
    _lock = threading.Lock()
    if _child is not None:
        _child.let_go()  # open, our copies would hide the parent's death
        _child.process.returncode = 0  # not ours to wait for
    _child = None


@atexit.register
def stop() -> None:
    """End the process, if there is one. Happens by itself when this one ends."""
    global _child, _in_vain  # noqa: PLW0603
    _in_vain = -math.inf
    if _child is not None:
        _child.process.kill()
        _child.end()
    _child = None
