"""The process that a `kept_process.KeptProcess` starts: does what it is told, one thing after the other.

It is run by its path and imports nothing of lionproc by itself, so that it is ready soon. Each message
on stdin is JSON behind its length, and so is each answer on stdout. Where the work takes more of the
processor's time than was given, the system ends this process, whatever code it is in the middle of; so
it does where the memory or the stack is full. The end of stdin is the end of the process.
"""

from __future__ import annotations

import json
import runpy
import select
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, Final, TypeAlias

__all__ = ["LENGTH_BYTES", "TOO_MUCH", "Message", "bound_memory"]

Message: TypeAlias = "Mapping[str, Any]"

LENGTH_BYTES: Final = 8
TOO_MUCH: Final = 3  # how it ends itself where the work is too much for it


def main() -> None:
    """Begin as the first message says, and answer all others, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the parent
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # there is an end by the clock
    asked, said = sys.stdin.buffer, sys.stdout.buffer
    serve: Callable[..., Any] | None = None
    idle_s: float | None = None
    while (message := _next(asked, idle_s)) is not None:
        if serve is None:
            idle_s = message["idle_s"]
            bound_memory(message["memory"])
            sys.path.extend(message["folders"])
            serve = runpy.run_path(message["serves"])["serve"]
            answer: Any = True
        else:
            answer = serve(message, _within)
        text = json.dumps([message["number"], answer]).encode()
        said.write(len(text).to_bytes(LENGTH_BYTES, "big") + text)
        said.flush()


def bound_memory(most: int | None) -> None:
    """Have the system refuse this process more memory than is reasonable, and keep no image of it.

    Args:
        most: Bytes, in all; None leaves that as it is.
    """
    try:
        import resource
    except ImportError:  # a system without
        return
    for kind, wanted in ((resource.RLIMIT_DATA, most), (resource.RLIMIT_CORE, 0)):
        if wanted is None:
            continue
        hard = resource.getrlimit(kind)[1]
        least = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        try:
            resource.setrlimit(kind, (least, hard))
        except (OSError, ValueError):  # one that has no such limit
            continue


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Have the system end this process if the block takes more of the processor's time."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _next(asked: BinaryIO, idle_s: float | None) -> Message | None:
    """The next message; None where there is none any more, or none comes for so long."""
    if idle_s is not None and hasattr(select, "poll"):
        comes = select.poll()
        comes.register(asked, select.POLLIN)
        if not comes.poll(1000 * idle_s):
            return None
    length = asked.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    text = asked.read(int.from_bytes(length, "big"))
    made: Message = json.loads(text)
    return made


if __name__ == "__main__":
    main()
