"""A stranger's parquet file is read in a process of its own first, and here only if that went well.

A few hundred bytes may be gigabytes once they are read, hours of telling values apart, or the end of
the process: pyarrow and pandas believe what a file says in hundreds of places. So the whole work is
tried where it does no harm. The system gives that process so much memory and time, and says what it took.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

import pandas as pd
import pyarrow as pa

from lionproc.engine.kept_process import KeptProcess, NotStartedError
from lionproc.engine.regular_file import bytes_of
from lionproc.engine.spare_memory import spare_memory
from lionproc.engine.trusted import is_trusted, trusting
from lionproc.errors import ConfigurationError
from lionproc.frame.named_types import known_here
from lionproc.frame.own_file import is_own
from lionproc.frame.place import Remote

__all__ = ["PROCESS", "set_options", "try_files"]

TIMES: Final = 100  # the bytes of a file that it may take in any case
CPU_S: Final = 20.0  # of the processor, and more for more bytes
HELD_S: Final = 5.0  # in which nothing else is done, Ctrl-C neither
BYTES_A_SECOND: Final = 2**20  # for a second more of the one
BYTES_A_SECOND_HELD: Final = 2**22  # and of the other
WAIT: Final = 5  # times as long by the clock: disks and other programs take their time
KEPT: Final = 2**29  # bytes of memory that it may have for later
_PACKAGES: Final = (  # what it imports
    *("lionproc", "pandas", "numpy", "pyarrow", "dateutil", "six", "pytz", "tzdata"),
    *("pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"),
)
IDLE_S: Final = 60.0  # after which it ends; its packages alone are a hundred megabytes
PROCESS: Final = KeptProcess(
    Path(__file__).with_name("parquet_trial_server.py"), _PACKAGES, idle_s=IDLE_S
)


def try_files(
    files: Sequence[Path],
    names: Sequence[Path | Remote] | None = None,
    what: Literal["table", "footer"] = "table",
) -> ConfigurationError | None:
    """Refuse files that cannot be read without harm. Those that were saved here are not tried.

    Args:
        files: All that make one table.
        names: What they are called, where these are copies.
        what: What is read of them.

    Returns:
        What is wrong with them, if they do no harm and cannot be read.

    Raises:
        ConfigurationError: Reading them takes far more memory than they have bytes, and than there
            is; or very long; or ends the process that does it. Or there is none to try it in.
    """
    names = names or files
    named = zip(files, names, strict=True)
    foreign = next((name for file, name in named if not _is_known(file)), None)
    if foreign is None:
        return None
    size = sum(bytes_of(file.stat()) for file in files)
    spare = spare_memory()
    seconds = CPU_S + size / BYTES_A_SECOND
    message = {
        "files": [str(file.resolve()) for file in files],
        "names": list(map(str, names)),
        "whole": str(names[0]) if len(names) == 1 else str(names[0]).removesuffix(names[0].name),
        "what": what,
        "memory": max(TIMES * size, spare),
        "seconds": seconds,
        "settings": _settings(),
    }
    folder = foreign.parent if isinstance(foreign, Path) else "the folder of a copy on this machine"
    trust = trusting(folder)
    try:
        said = PROCESS.ask(message, seconds, WAIT * seconds)
    except NotStartedError as error:
        raise ConfigurationError(
            f"{foreign.name!r} is not read: a file that was not saved here is tried in a process of "
            f"its own first, and none could be started ({error}). If you trust whoever made it: {trust}"
        ) from None
    if said is not None and said["kept"] > KEPT:
        PROCESS.stop()  # which gives them back
    if said is None:
        what_happened = (
            f"would take more than {seconds:,.0f} s, or more than the {spare / 1e9:,.1f} GB that this "
            "machine can spare for a table, or end the process that reads it"
        )
    elif said["has_no_memory"]:
        what_happened = (
            f"would take more memory than this machine can spare for a table, {spare / 1e9:,.1f} GB"
        )
    elif said["held_s"] > HELD_S + size / BYTES_A_SECOND_HELD:
        what_happened = f"would take {said['held_s']:,.0f} s in which nothing else is done"
    elif said["wrong"]:
        wrong = ConfigurationError(said["wrong"])
        made = pa.ArrowInvalid if said["kind"] == "ArrowInvalid" else ValueError
        wrong.__cause__ = made(said["why"])
        return wrong
    else:
        known = known_here(said["unknown"])
        if known is None:
            return None
        raise ConfigurationError(
            f"{foreign.name!r} is not read: it has columns of the type {known!r}, of which a package that "
            "is loaded here makes something by code of its own, and what that takes cannot be tried in "
            f"another process. Read it with that package; or, if you trust whoever made it: {trust}"
        )
    raise ConfigurationError(
        f"{foreign.name!r} is not read: it has {size:,} bytes, and {what_happened}. It was tried in "
        'another process. Read only the columns that you need, with pd.read_parquet(..., columns=["..."])'
        f"; or, if you trust whoever made it and have the memory and the time: {trust}"
    )


def _options() -> dict[str, object]:
    """The options of pandas that say what a column is made of, as texts of Python or of Arrow."""
    found: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of those that will be gone
        for group in ("mode", "future"):
            for name in dir(getattr(pd.options, group, None)):
                with suppress(KeyError, AttributeError):
                    value = pd.get_option(f"{group}.{name}")
                    if isinstance(value, str | int | None):
                        found[f"{group}.{name}"] = value
    return found


def set_options(options: Mapping[str, object]) -> None:
    """Have the options of pandas that `_settings` had.

    Args:
        options: By their names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, value in options.items():
            with suppress(KeyError, ValueError):
                if pd.get_option(name) != value:
                    pd.set_option(name, value)


def _settings() -> dict[str, object]:
    """What it depends on in this process how much a file takes here."""
    return {
        "options": _options(),
        "threads": pa.cpu_count(),
        "recursion": sys.getrecursionlimit(),
        "stack": threading.stack_size(),
    }


def _is_known(file: Path) -> bool:
    if file.is_file() and not file.stat().st_size:
        return True  # nothing is in it
    return is_trusted(Path(os.path.realpath(file.parent))) or is_own(file)
