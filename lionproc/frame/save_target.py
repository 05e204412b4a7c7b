"""Where results are saved: a file or a folder of parts, and whether that can be written.

All of it is asked before anything is sent, so that no night run ends without its file.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa

from lionproc.engine.git_index import doubt_of, is_gone
from lionproc.engine.journal_path import real_path
from lionproc.engine.new_file import NewFile, OpenFolder, temporary_name
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.trust import repository_of_parts
from lionproc.engine.trusted import trusting
from lionproc.engine.whole_file import PRIVATE_FILE, make_folders, refuse_odd_file
from lionproc.errors import ConfigurationError, LionprocError
from lionproc.frame.own_file import is_own
from lionproc.frame.parquet_reader import PART, facts_of, footer_of
from lionproc.frame.place import AnyPath, Remote, place_of

__all__ = [
    "check_file",
    "check_folder",
    "check_target",
    "check_writable",
    "is_folder_target",
    "mixed_with",
    "not_of",
    "part_of",
    "refuse_journal",
    "refuse_link",
    "refuse_other_parts",
    "refuse_parts_of_git",
    "refused_place",
]

_SUFFIXES = (".parquet", ".pq")
_INDEX = re.compile(r"__index_level_\d+__")  # what pandas calls a level without a name


def is_folder_target(path: AnyPath) -> bool:
    """Whether results go into a folder of parts: "results/", an existing folder, or no suffix.

    Raises:
        ConfigurationError: It can be no path.
    """
    text = os.fspath(path)
    if text.endswith(("/", os.sep)):
        return True
    if is_url(text):  # asking the store would take a request
        return not Path(text.rpartition("/")[2]).suffix
    return local_path(text).is_dir() or not Path(text).suffix


def check_target(
    path: AnyPath,
    *,
    run: str | None = None,
    parts: int | None = None,
    rows: int | None = None,
    columns: Iterable[object] = (),
    overwrite: bool = False,
) -> None:
    """Refuse a path that cannot be written, before anything is sent.

    Folders that are missing are made, the parents of a file too: a night run must not fail for
    a folder in the morning. Of an address only what can be seen by reading is known.

    Args:
        path: "results.parquet" for one file, "results/" for a folder of parts.
        run: The run's fingerprint, for a folder: parts of this run may be there already.
        parts: How many it has, None where that is not known.
        rows: How many rows will be written, None where that is not known: then no file that is
            there is looked into.
        columns: The columns and index levels that will be written, with `rows`.
        overwrite: Whether a file may be replaced that holds what the new one will not.

    Raises:
        ConfigurationError: The suffix is not parquet's, the path is in the way of itself, the
            folder holds parts of another run, of a git repository or other parquet files, the
            file holds rows or columns that would be lost, or it cannot be written.
    """
    target = place_of(path)
    with refused_place(path, target, "save="):
        if is_folder_target(path):
            check_folder(target)
            refuse_other_parts(target, run, parts)
            refuse_parts_of_git(target)
        else:
            _check_file(target)
            if rows is not None and not overwrite and target.exists():
                _refuse_loss(target, rows, {str(name) for name in columns})


@contextlib.contextmanager
def refused_place(path: AnyPath, place: Path | Remote, option: str) -> Iterator[None]:
    """Say what a place refuses as an error of ours, with the way on.

    Args:
        path: As it was given.
        place: The place that is meant.
        option: What said so: "save=" or "--errors".

    Raises:
        ConfigurationError: It refused something. A fault of our own is raised as it is.
    """
    try:
        yield
    except LionprocError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not isinstance(place, Remote):
            raise
        raise ConfigurationError(
            f"Nothing can be saved at {shown(path)!r}: "
            f"{getattr(error, 'strerror', None) or type(error).__name__}. "
            f"Choose another path with {option}."
        ) from None


def check_folder(target: Path | Remote) -> None:
    """Refuse a folder that cannot be written. Missing ones of this machine are made.

    Raises:
        OSError: It cannot.
    """
    if isinstance(target, Remote):
        _refuse_web(target)
        return
    real = refuse_planted_link(target)
    make_folders(real)
    _probe(real)


def _check_file(target: Path | Remote) -> None:
    if isinstance(target, Remote) and not {"?", "#"}.isdisjoint(target.name):
        raise ConfigurationError(
            f"{str(target)!r} has parameters behind it, and nothing is saved to such an address. "
            "Save to a path of this machine, and send the file from there."
        )
    if target.suffix.lower() not in _SUFFIXES:
        stem = Path(target.name).stem
        raise ConfigurationError(
            f"{target.name!r} would be saved as parquet, and ends in {target.suffix!r}. Use "
            f"{stem + '.parquet'!r}, or a folder ({stem + '/'!r}). "
            "For other formats, use the frame that comes back: out.llm.to_csv(...)."
        )
    check_writable(target)


def check_writable(target: Path | Remote) -> None:
    """Refuse a file that cannot be written. Missing folders of this machine are made.

    Raises:
        OSError: It cannot.
    """
    if isinstance(target, Remote):
        _refuse_web(target)
        target.exists()  # an address that cannot be read raises what its store says
        return
    real = refuse_planted_link(target)
    check_folder(real.parent)
    refuse_odd_file(real)
    if real.exists() and not os.access(real, os.W_OK):
        raise PermissionError(errno.EACCES, "the file is write-protected")


def _refuse_web(target: Remote) -> None:
    scheme = target.url.partition("://")[0].rpartition(":")[2].lower()
    if scheme in {"http", "https"}:
        raise OSError(errno.EROFS, "it is an address of the web, and these are only read")


def refuse_journal(path: AnyPath, journal: AnyPath | None, option: str) -> None:
    """Refuse to write where a run keeps its replies, though that file may not be there yet.

    Args:
        path: What is written.
        journal: The path of the journal, None for the usual one.
        option: What said so: "save=" or "--errors".

    Raises:
        ConfigurationError: It is the same file.
    """
    if not is_url(path) and os.path.realpath(local_path(path)) == real_path(journal, make=False):
        raise ConfigurationError(
            f"{shown(path)!r} is where this run keeps its replies. Choose another path with "
            f"{option}."
        )


def _probe(folder: Path) -> None:
    """Write a file as all are written, and remove it: rights, read-only disks and full ones show here."""
    name = temporary_name("probe")
    with OpenFolder(folder) as opened:
        try:
            with NewFile(opened, name, None, PRIVATE_FILE) as file:
                file.file.write(b"\0")
                file.flush()
                file.take_its_place()
        finally:
            opened.remove(name)


def _refuse_loss(target: Path | Remote, rows: int, columns: set[str]) -> None:
    """Refuse to replace a file that holds what would not be in the new one.

    Running a cell again, with more rows or for other answers, replaces its file: the answers that
    were in it are in the journal. Rows and columns of the input are nowhere else.
    """
    try:
        there, schema = footer_of(target)
    except pa.ArrowInvalid:
        if _is_empty(target):  # made to have the name, as by `tempfile`
            return
        raise ConfigurationError(
            f"The file {target.name!r} is there and is no parquet file, so it is none of a run. "
            "Save to another path with save=, or say overwrite=True to replace the file."
        ) from None
    except (OSError, ConfigurationError):
        raise
    except Exception as error:  # noqa: BLE001  (a stranger may have written it)
        raise ConfigurationError(
            f"The file {target.name!r} is there and cannot be read ({type(error).__name__}). Save "
            "to another path with save=, or say overwrite=True to replace the file."
        ) from None
    answers = (facts_of(schema) or {}).get("columns")
    kept = columns | set(map(str, answers if isinstance(answers, list) else ()))
    gone = [name for name in schema.names if name not in kept and not _INDEX.fullmatch(name)]
    if there > rows:
        loses = f"has {there:,} rows, and this run has {rows:,}"
    elif gone:
        loses = f"has a column {gone[0]!r}, which the result of this run does not have"
    else:
        return
    raise ConfigurationError(
        f"The file {target.name!r} {loses}. Save to another path with save=, or say "
        "overwrite=True to replace the file."
    )


def _is_empty(target: Path | Remote) -> bool:
    with target.open("rb") as source:
        return not source.read(1)


def refuse_other_parts(folder: Path | Remote, run: str | None, parts: int | None = None) -> None:
    """Refuse a folder with parquet files that this run does not write.

    The names of its parts are known to whoever asks the same, so a folder that came from somewhere
    may hold one more than the run has, or a second one for the same rows.

    Args:
        folder: Where its parts are.
        run: Its fingerprint.
        parts: How many it has, None where that is not known.

    Raises:
        ConfigurationError: It has some.
    """
    entries: list[Path | Remote] = [*folder.iterdir()]
    for entry in sorted(entries, key=lambda entry: entry.name):
        if entry.suffix.lower() not in _SUFFIXES:
            continue  # readers of the folder look at parquet files only
        if whose := not_of(entry.name, run, parts):
            raise mixed_with(folder, whose, entry.name)
        refuse_link(entry)


def not_of(name: str, run: str | None, parts: int | None, *, by_rows: bool = False) -> str:
    """What a parquet file is that a run does not write.

    Args:
        name: Of the file.
        run: The run's fingerprint.
        parts: How many it has, None where that is not known.
        by_rows: Whether the names of its parts say what is in them, too.

    Returns:
        In the words of an error; "" for a part of the run.
    """
    found = PART.fullmatch(name)
    if found is None:
        return "other parquet files"
    if run is None or found[2] != _digest(run):
        return "parts of another run"
    number, mine = int(found[1]), part_of(int(found[1]), run)
    is_mine = name.startswith(mine.replace(".parquet", "-")) if by_rows else name == mine
    return "" if is_mine and number < (parts or math.inf) else "parts that this run does not have"


def mixed_with(folder: Path | Remote, whose: str, name: str) -> ConfigurationError:
    """What to say of a folder in which a run finds what is not its own.

    Args:
        folder: Where it would save.
        whose: What is there.
        name: Of the first such file.
    """
    return ConfigurationError(
        f"The folder {str(folder)!r} holds {whose} ({name}), and reading it would mix them with "
        "this run's. Choose an empty folder, or move them away."
    )


def refuse_parts_of_git(folder: Path | Remote) -> None:
    """Refuse parts that came with a repository.

    Until a run has written all of its own, and for good where it is stopped before, they would be
    read as its answers.

    Args:
        folder: Where parts are.

    Raises:
        ConfigurationError: There are some.
    """
    if not isinstance(folder, Path):
        return
    there = sorted(entry.name for entry in folder.iterdir() if PART.fullmatch(entry.name))
    repository = repository_of_parts(folder) if there else None
    if repository is not None and is_gone(repository) and all(is_own(folder / n) for n in there):
        repository = None
    if repository is not None:
        raise ConfigurationError(
            f"The folder {str(folder)!r} holds parts ({there[0]}) that are tracked by the git "
            f"repository {str(repository)!r}{doubt_of(repository)}. What is in them would be taken for "
            "answers of this run, so nothing was sent. Choose another folder with save=; or, if they "
            f"are yours: git rm --cached, or {trusting(folder)}"
        )


def refuse_link(part: Path | Remote) -> None:
    """Refuse a link in the place of a part: only the folder was named, and not where it leads.

    A folder that came with a repository or an archive may hold one, and the name of a part is known
    to whoever asks the same.

    Raises:
        ConfigurationError: It is one.
    """
    if isinstance(part, Path) and part.is_symlink():
        raise ConfigurationError(
            f"{str(part)!r} is a link, and what it leads to would be replaced by a part. Remove "
            "it, or choose another folder with save=."
        )


def part_of(number: int, run: str, rows: str | None = None) -> str:
    """The name of a part: `part-00007-1a2b3c4d.parquet`, the chunk and a digest of the run.

    Args:
        number: Of the chunk, from 0.
        run: The run's fingerprint.
        rows: What is in the part, where the run alone does not say that.
    """
    known = "" if rows is None else f"-{_digest(rows)}"
    return f"part-{number:05d}-{_digest(run)}{known}.parquet"


def _digest(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:8]


def check_file(path: AnyPath) -> None:
    """As `check_target`, where one file is written and no folder of parts.

    Raises:
        ConfigurationError: It is a folder, or `check_target` refuses it.
    """
    if is_folder_target(path):
        raise ConfigurationError(
            f"{shown(path)!r} is a folder, and this writes one file: name it, such as "
            "'out.parquet'. save= of the run writes a folder of parts."
        )
    check_target(path)
