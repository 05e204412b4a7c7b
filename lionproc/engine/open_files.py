"""How many connections this process can open, so that none is asked for in vain."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lionproc.engine.told import warn
from lionproc.errors import LionprocWarning

SPARE = 16  # files that others in the process may open meanwhile: parts, databases, pipes


def most_connections() -> int | None:
    """Connections that can be opened now, None where nothing says.

    A connection is an open file to the operating system; `ulimit -n` bounds these.
    """
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return None
    used = 64  # where the system does not tell
    with contextlib.suppress(OSError):
        used = len(list(Path("/dev/fd").iterdir()))
    return max(soft - used - SPARE, 1)


def warn_of_few(concurrency: int, most: int | None) -> None:
    """Say once, at the line of the user's code, that fewer requests are sent at once.

    Args:
        concurrency: What is asked for.
        most: What can be had; see `most_connections`.
    """
    if most is None or concurrency <= most:
        return
    warn(
        f"concurrency={concurrency} needs as many connections, and this process can open only "
        f"{most} more files: {most} requests are sent at once. Allow it more "
        f"(`ulimit -n {max(4096, 2 * concurrency)}` in the shell before Python starts), or set "
        f"concurrency={most}.",
        LionprocWarning,
    )
