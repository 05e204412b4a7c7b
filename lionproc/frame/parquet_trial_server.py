"""What is done in the process of `parquet_trial`: it reads parquet files, and says what that took."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, Final, Self

import pandas as pd  # noqa: F401  (before anything that registers itself with it)
import pyarrow as pa
import pyarrow.parquet as pq

from lionproc.engine.kept_server import TOO_MUCH, bound_memory
from lionproc.errors import LionprocError
from lionproc.frame.named_types import note_types, unknown_types
from lionproc.frame.parquet_reader import read_files, read_footer, readable
from lionproc.frame.parquet_trial import set_options

__all__ = ["serve"]

TICK_S: Final = 0.02
_LONGEST: Final = 1000  # characters of what a library says
_STACK: Final = 2**23  # bytes of a thread's stack, where nobody has said another number
_STATM: Final = Path("/proc/self/statm")  # of Linux; proc(5) has its fields
_STATUS: Final = Path("/proc/self/status")
_CLEAR: Final = Path("/proc/self/clear_refs")
_RESIDENT, _DATA = 1, 5


class _Watch:
    """Looks how long everything is held up, and how much memory there is.

    Args:
        memory: Bytes beyond which this process ends itself: for the system has no such limit, or a
            coarse one.

    Attributes:
        held_s: The most seconds in which no other thread of Python had its turn.
        has_passed: Whether there was more memory at any time, when it is over.
    """

    def __init__(self, memory: int) -> None:
        self.held_s = 0.0
        self.has_passed = False
        self._most = _forget_peak() + memory
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()
        self.has_passed = _peak() > self._most

    def _look(self) -> None:
        """Whichever thread has the lock of Python meanwhile, Arrow's own too, takes both kinds of time.

        The processor's alone is more where several threads are at work without it, and that of the
        clock where other programs are.
        """
        worked, was = time.process_time(), time.monotonic()
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(TICK_S)
            held = min(time.process_time() - worked, time.monotonic() - was)
            self.held_s = max(self.held_s, held)
            worked, was = time.process_time(), time.monotonic()
            if _resident() > self._most:
                os._exit(TOO_MUCH)


def serve(
    message: Mapping[str, Any], within: Callable[[float], AbstractContextManager[None]]
) -> dict[str, Any]:
    """Read files, whatever comes of it.

    Args:
        message: The paths of the `files`, their `names`, and that of the `whole`; `what` is read of
            them, a "table" or the "footer"; the bytes of `memory` and the `seconds` of the processor
            that it may take; and the `settings` of the process that is to read them.
        within: Ends this process after so many seconds of the processor.

    Returns:
        What is `wrong` with them, if they cannot be read, `why`, and of what `kind` that is;
        `has_no_memory`, if there was too little of it; the seconds `held_s` in which no other thread
        of Python had its turn; the bytes of memory that this process has `kept`; and the types that
        are `unknown` to it.
    """
    files, settings = [Path(name) for name in message["files"]], message["settings"]
    set_options(settings["options"])
    pa.set_cpu_count(settings["threads"])
    if _STATM.exists():
        threads = pa.cpu_count() + pa.io_thread_count()
        bound_memory(_statm(_DATA) + message["memory"] + _stack() * threads)
    sys.setrecursionlimit(settings["recursion"])
    threading.stack_size(settings["stack"])
    has_no_memory, wrong, why, kind = False, "", "", ""
    unknown: list[tuple[str, str]] = []

    def read() -> None:
        nonlocal has_no_memory, wrong, why, kind
        try:
            with readable(message["whole"]), unknown_types() as names:
                _read(files, message["names"], message["what"])
            unknown.extend(names)
        except MemoryError:
            has_no_memory = True
        except LionprocError as error:
            wrong, why = str(error), str(error.__cause__ or "")[:_LONGEST]
            kind = type(error.__cause__).__name__

    reader = threading.Thread(target=read)  # as there, where Ctrl-C is heard meanwhile
    with within(message["seconds"]), _Watch(message["memory"]) as watch:
        reader.start()
        reader.join()
    return {
        "wrong": wrong,
        "why": why,
        "kind": kind,
        "has_no_memory": has_no_memory or watch.has_passed,
        "held_s": watch.held_s,
        "kept": _resident(),
        "unknown": unknown,
    }


def _read(files: Sequence[Path], names: Sequence[str], what: str) -> None:
    for file in files:
        with pq.ParquetFile(file) as opened:
            note_types(opened.metadata.metadata)
    if what == "table":
        read_files(files, names)
        return
    for file in files:
        read_footer(file)


def _resident() -> int:
    """The bytes of memory that this process has now; where nobody knows, the most that it had."""
    return _statm(_RESIDENT) if _STATM.exists() else _peak()


def _forget_peak() -> int:
    """Have `_peak` be of what comes from now on, where the system can. Returns what there is now."""
    with suppress(OSError):  # 5 in this file of Linux does it, see proc(5)
        _CLEAR.write_text("5")
    return _resident()


def _peak() -> int:
    """The most bytes of memory that this process had."""
    with suppress(OSError):
        lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _stack() -> int:
    """The bytes of memory that the system counts for a thread."""
    import resource

    most = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return _STACK if most == resource.RLIM_INFINITY else max(_STACK, most)


def _statm(field: int) -> int:
    return int(_STATM.read_text().split()[field]) * os.sysconf("SC_PAGE_SIZE")
