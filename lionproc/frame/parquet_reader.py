"""Parquet files and folders of parts are read back as frames, as they were saved."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lionproc.engine.blocking_work import heard_meanwhile
from lionproc.engine.json_bounds import read_json
from lionproc.engine.paths import missing_file
from lionproc.engine.unfolding import unfolds
from lionproc.errors import ConfigurationError, LionprocError, LionprocWarning
from lionproc.face import face
from lionproc.frame.arrow_extension import to_frame
from lionproc.frame.column_labels import check_labels, check_names
from lionproc.frame.index_levels import concatenated
from lionproc.frame.kept_labels import KEPT_LABELS, labels_of
from lionproc.frame.local_copy import COPIED, local_copy
from lionproc.frame.notes import FACTS, SPARE, check_schema
from lionproc.frame.parquet_trial import try_files
from lionproc.frame.place import AnyPath, Remote, place_of
from lionproc.frame.results import KEY, SavedRun, remember

LABELS = b"lionproc.columns"
LEVELS = b"lionproc.index"
PARTS = "parts"  # in the facts of a part: how many the run has
PART = re.compile(r"part-(\d{5,})-([0-9a-f]{8})(?:-([0-9a-f]{8}))?\.parquet")


@face
def read_parquet(path: AnyPath) -> pd.DataFrame:
    """Read back what `save=` wrote: the same columns, index, dtypes and values.

    Plain `pd.read_parquet` gives the same values, and the dtypes that it knows how to make again:
    lists come as arrays, structs as dicts, decimals as objects, and categories that are no text as
    what they are made of.

    Args:
        path: A parquet file (of anybody's, also one of `out.to_parquet(...)` that pandas wrote
            and cannot read itself because of lists in it), or a folder of parts. `~` is the home
            folder, and addresses are opened as `save=` does.

    Returns:
        The frame; the parts of a folder one after the other.

    Warns:
        LionprocWarning: Parts of the run are not in the folder, so the frame has not all its rows.

    Raises:
        ConfigurationError: There is nothing, it cannot be read, or the folder holds parts of
            several runs, or more than its run has; or it was not saved here, and reading it, which
            is tried in another process, takes more than a hundred times its bytes and a quarter of
            the memory, or very long, and `LIONPROC_TRUST` does not name its folder.

    Example:
        >>> df.llm.process("Sum up {text}", into="sum", save="sums/")  # doctest: +SKIP
        >>> lp.read_parquet("sums/")  # doctest: +SKIP
    """
    return read_saved(path)


def read_saved(path: AnyPath, *, beside_others: bool = False) -> pd.DataFrame:
    """`read_parquet`, also of one of several files that are put together elsewhere; see `are_lost`."""
    files = files_of(path)
    with readable(place_of(path)), contextlib.ExitStack() as copies:
        most = COPIED // len(files)
        here = [copies.enter_context(local_copy(file, most=most)) for file in files]
        wrong = try_files(here, files)
        if wrong is not None:  # it may have failed for the bounds of that process: here it has none
            raise wrong
        frame, facts = heard_meanwhile(
            partial(read_files, here, files, beside_others=beside_others)
        )
    if files != [place_of(path)]:  # the parts of a folder
        for each in facts:
            refuse_surplus(path, files, each, rows=len(frame))
        lacks = _lacks(files, len(frame), facts)
        if lacks:
            warnings.warn(f"{str(path)!r} {lacks}", LionprocWarning, stacklevel=4)
    return frame


def refuse_surplus(
    folder: AnyPath,
    parts: Sequence[Path | Remote],
    facts: Mapping[str, object],
    *,
    rows: int = 0,
) -> None:
    """Refuse a folder with more than its run has, which somebody else has put there.

    Args:
        folder: As it was given.
        parts: Its files, in their order.
        facts: Those of one of them: each says it of the whole run.
        rows: How many there are in all of them, as far as that is known.

    Raises:
        ConfigurationError: It has more parts, or more rows.
    """
    last = PART.fullmatch(parts[-1].name)
    most, whole = facts.get(PARTS), facts.get("rows")
    if last is None:  # a file that was named, or files of others
        return
    if type(most) is int and int(last[1]) >= most:
        what = f"{last[0]!r}, and its run has {most:,} parts"
    elif last[3] is None and type(whole) is int and rows > whole:  # those of Dask have their own
        what = f"{rows:,} rows, and its run has {whole:,}"
    else:
        return
    raise ConfigurationError(
        f"The folder {str(place_of(folder))!r} has {what}: somebody else has put some there. "
        "Remove what is not yours, or name the files that are."
    )


def _lacks(
    parts: Sequence[Path | Remote], rows: int, facts: Sequence[Mapping[str, object]]
) -> str | None:
    """What a folder lacks of its run, as the names of the parts and the facts of the newest say."""
    newest = max(facts, key=lambda of: str(of.get("when", "")))
    whole = newest.get("rows")
    there = {int(match[1]) for part in parts if (match := PART.fullmatch(part.name))}
    gap = next((number for number in range(len(there)) if number not in there), None)
    if gap is not None:
        what = f"lacks rows of its run: part {gap} is the first that is not there."
    elif type(whole) is int and rows < whole:
        what = f"has {rows:,} of the {whole:,} rows of its run."
    else:
        return None
    return (
        f"{what} So it is while a run goes on, and where one was stopped: the same call writes the "
        "rest, and asks only for what has no answer."
    )


def read_files(
    files: Sequence[Path],
    names: Sequence[Path | Remote | str] | None = None,
    *,
    beside_others: bool = False,
) -> tuple[pd.DataFrame, list[dict[str, object]]]:
    """The rows of all files one after the other, and the facts of each.

    Args:
        files: On this machine.
        names: What they are called, if it is something else.
        beside_others: See `are_lost`.

    Raises:
        ConfigurationError: One cannot be read; or not together with the others.
    """
    read = []
    for file, name in zip(files, names or files, strict=True):
        with readable(name):
            read.append(read_source(file, beside_others=beside_others))
    frames = [frame for frame, _ in read]
    frame = frames[0] if len(frames) == 1 else concatenated(frames)
    return frame, [facts for _, facts in read]


def read_source(
    source: Any, *, beside_others: bool = False
) -> tuple[pd.DataFrame, dict[str, object]]:
    """The frame and the facts of a file that is open.

    Args:
        source: What `pyarrow.parquet.read_table` reads.
        beside_others: See `are_lost`.

    Raises:
        ConfigurationError: Columns are called alike, of which pyarrow would write down all for each.
        Exception: Whatever is wrong with it, of many classes; `readable` makes one of them.
    """
    _must_differ(pq.read_schema(source).names)
    # partitioning=None: a folder called "a=1" in the path must not become a column
    table = pq.read_table(source, partitioning=None, page_checksum_verification=True)
    schema = table.schema
    check_schema(schema)
    check_names(schema)
    frame = to_frame(table, beside_others=beside_others)
    labels = (schema.metadata or {}).get(LABELS)
    if labels is not None:
        frame.columns = pd.Index(_names(labels), dtype=object, name=frame.columns.name)
    kept = (schema.metadata or {}).get(KEPT_LABELS)
    if kept is not None:
        frame.columns = labels_of(kept)
    check_labels(frame.columns)
    levels = (schema.metadata or {}).get(LEVELS)
    if levels is not None:
        frame.index = frame.index.set_names(_names(levels))
    facts = facts_of(schema)
    if facts is not None and isinstance(facts.get("run"), str):
        remember(frame, SavedRun(facts), str(facts["run"]))
    return frame, facts or {}


def _must_differ(names: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    name, count = Counter(names).most_common(1)[0]
    raise ConfigurationError(
        f"The file has {count:,} columns called {name[:60]!r}, and neither pandas nor pyarrow reads such "
        "a table. Give them names of their own where the file is made."
    )


def _names(kept: bytes) -> list[Hashable]:
    names: list[Any] = read_json(kept)
    for name in names:
        hash(name)  # pandas takes lists for names, and fails at the first look at them
    return names


@contextlib.contextmanager
def readable(file: Path | Remote | str) -> Iterator[None]:
    """Anything in a file may be a stranger's, so whatever is wrong with it is told as that.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        yield
    except LionprocError:
        raise
    except MemoryError:
        raise
    except Exception as error:
        why = getattr(error, "strerror", None) or f"it is damaged ({type(error).__name__})"
        raise ConfigurationError(f"{str(file)!r} cannot be read: {why}.") from error


@face
def read_facts(path: AnyPath) -> dict[str, Any]:
    """What was kept about the run that made a file.

    Args:
        path: A file or a folder of parts; of those the first one's facts.

    Returns:
        The facts, as they were given to `write_parquet`, in JSON's types.

    Raises:
        ConfigurationError: There is no such file, or it was not saved by lionproc.
    """
    file = files_of(path)[0]
    schema = _schema_of(file)
    facts: dict[str, Any] | None = facts_of(schema)
    if facts is None:
        raise ConfigurationError(_no_facts(file.name, schema))
    return facts


def facts_in(file: Path | Remote) -> dict[str, object] | None:
    """The facts in a file; None where there are none.

    Raises:
        ConfigurationError: It cannot be read.
    """
    return facts_of(_schema_of(file))


def _schema_of(file: Path | Remote) -> pa.Schema:
    with readable(file), contextlib.suppress(pa.ArrowInvalid):
        return footer_of(file)[1]
    return pa.schema(())


def footer_of(file: Path | Remote) -> tuple[int, pa.Schema]:
    """How many rows a file has, and its schema.

    Raises:
        ConfigurationError: It cannot be read, or not without harm.
        pyarrow.ArrowInvalid: It is no parquet file.
        Exception: Whatever is wrong with it, of many classes.
    """
    with local_copy(file, of_end=True) as here:
        wrong = try_files([here], [file], "footer")
        if wrong is not None:
            cause = wrong.__cause__
            raise cause if isinstance(cause, pa.ArrowInvalid) else wrong
        return heard_meanwhile(partial(read_footer, here))


def read_footer(file: Path) -> tuple[int, pa.Schema]:
    """As `footer_of`, of a file that was tried."""
    with pq.ParquetFile(file) as opened:
        return opened.metadata.num_rows, opened.schema_arrow


def _no_facts(name: str, schema: pa.Schema) -> str:
    """What to say of a file without facts; pandas keeps the id of the run, which leads to them."""
    try:
        run = read_json((schema.metadata or {})[b"PANDAS_ATTRS"])[KEY]
    except (KeyError, TypeError, ValueError, RecursionError):
        run = None
    if not isinstance(run, str):
        return (
            f"{name!r} was not saved by lionproc, so it has no facts. lp.runs() lists what was run."
        )
    return (
        f"{name!r} was written by pandas, and so without facts. lp.run({run[:64]!r}) has the report "
        "of its run. save= and job.save(...) write the facts into the file."
    )


def facts_of(schema: pa.Schema) -> dict[str, object] | None:
    """The facts in a file's metadata; None where there are none, or they are no facts."""
    try:
        kept = (schema.metadata or {})[FACTS]
        facts = None if unfolds(kept, SPARE) else read_json(kept)
    except (KeyError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def files_of(path: AnyPath) -> list[Path | Remote]:
    """The file, or the parts of a folder in their order.

    Raises:
        ConfigurationError: There is none, there are parts of several runs, or two of the same rows.
    """
    place = place_of(path)
    with readable(place):
        if not place.is_dir():
            if not place.exists():
                if isinstance(place, Path):
                    raise missing_file(place, (".parquet",))
                raise ConfigurationError(f"There is no file {str(place)!r}.")
            return [place]
        parts = [(match, f) for f in place.iterdir() if (match := PART.fullmatch(f.name))]
    runs = {match[2] for match, _ in parts}
    if len(runs) != 1:
        raise ConfigurationError(
            f"The folder {str(place)!r} holds parts of {len(runs)} runs. "
            "Name the files of one run instead."
            if runs
            else f"The folder {str(place)!r} holds no parts of a run. One that a Dask frame's "
            "to_parquet wrote is read by lionproc.dask.read_parquet."
        )
    parts.sort(key=lambda part: int(part[0][1]))
    for (one, first), (other, second) in pairwise(parts):
        if int(one[1]) == int(other[1]):
            raise ConfigurationError(
                f"The folder {str(place)!r} has two parts for the same rows, {first.name} and "
                f"{second.name}: one is of rows that were changed later, and is left of a process "
                "that was killed. Compute the Dask frame again, which asks for nothing that is "
                "there and removes the older one; or remove it yourself."
            )
    return [file for _, file in parts]
