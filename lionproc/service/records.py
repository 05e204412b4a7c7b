"""The records of requests, batches and jobs: one JSON file each, written whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Generic, cast

import orjson

from lionproc.engine.git_index import doubt_of
from lionproc.engine.home import make_private
from lionproc.engine.paths import local_path
from lionproc.engine.regular_file import read_regular
from lionproc.engine.trust import check_found, check_link, others_of, repository_of_records
from lionproc.engine.trusted import trusting
from lionproc.engine.unfolding import unfolds
from lionproc.engine.whole_file import replace_whole
from lionproc.engine.whole_files import replace_all
from lionproc.errors import ConfigurationError, RecordError, did_you_mean
from lionproc.model.as_json import to_json
from lionproc.service.record_types import R

__all__ = [
    "UNFINISHED",
    "Records",
    "checked_name",
    "checked_status",
    "journal_in",
    "new_id",
    "now",
    "private_folder",
    "write_whole",
    "written",
]

log = logging.getLogger("lionproc.service")

_LONGEST_STATUS = 100  # characters; more are nobody's of ours
LARGEST = 256 * 2**20  # bytes that one record may have
FREE = 8  # the part of these that one has free before its end, when it grows
SPARE = 2**26  # bytes of memory for one, beyond those in proportion to its length
SHALLOW = 200  # levels, one in the other, that can be written in any case
_FIELDS: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "error": (str,),
    "owner": (str,),
    "question": (str,),
    "others": (str,),
    "batch": (str,),
    "job": (str,),
    "context": (str,),
    "key": (str,),
    "attempts": (int,),
    "usage": (dict,),
    "type": (dict,),
    "seconds": (int, float),
    "cached": (bool,),
    "failed": (int,),
    "stages": (list,),
    "results": (list,),
    "failures": (list,),
}
UNFINISHED = frozenset({"received", "processing"})
_KEY = re.compile(r"(?:[0-9a-f]{32})?")
_ID = re.compile(r"[a-z]{1,12}_[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_NAME = re.compile(r"[\w][\w .-]{0,99}")
# Names that are devices on Windows, with any ending, and names of this package's files.
_TAKEN = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])"
    r"(?:[. ].*)?|journal\.sqlite.*|(?:req|batch|job)_.*\.json",
    re.IGNORECASE,
)
_clock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """A new id, unlike that of any other process or any other run.

    Milliseconds since 1970 and 80 random bits, as in a version 7 UUID (RFC 9562), so that ids
    sort by age.

    Args:
        prefix: "req", "batch" or "job".
    """
    global _last  # noqa: PLW0603  (the ids of one process are in order)
    with _clock:
        _last = max(time.time_ns() // 1_000_000, _last + 1)
        return f"{prefix}_{_last:012x}{secrets.token_hex(10)}"


def now() -> str:
    """The current time as a record has it: ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def checked_name(name: str) -> str:
    """The name itself, if it may be the name of a folder.

    Raises:
        RecordError: It has a separator, or could mean another folder or a device.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise RecordError(
            f"A name becomes a folder, so it is made of letters, digits, spaces and '._-', and "
            f"starts with a letter or digit; {name!r} is invalid."
        )
    if _TAKEN.fullmatch(name):
        raise RecordError(
            f"A name becomes a folder, and {name!r} is taken: by Windows for a device, or here "
            "for a file. Choose another."
        )
    return name


def checked_status(status: str | None, known: Sequence[str]) -> None:
    """Refuse an unknown status, which would otherwise give an empty list.

    Raises:
        ConfigurationError: There is no such status.
    """
    if status is not None and status not in known:
        raise ConfigurationError(
            f"There is no status {status!r}.{did_you_mean(status, known)} "
            f"There are {', '.join(known)}."
        )


def private_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder that only its owner can read, unless it is there already.

    Raises:
        RecordError: It cannot be created, or records in it came with a repository.
        JournalError: It is behind a link that came with one.
        ConfigurationError: It is not a local path.
    """
    folder = local_path(path).absolute()  # the process may change its folder later
    for place in (folder, *folder.parents):
        check_link(place)
    repository = repository_of_records(folder)
    if repository is not None:
        raise RecordError(
            f"The records in {str(folder)!r} are part of the git repository {str(repository)!r}"
            f"{doubt_of(repository)}: whoever can write there has them asked at your cost, and "
            "believed. Give save_dir= another folder. If you trust all who can write there: "
            f"{trusting(folder)}"
        )
    try:
        if not folder.is_dir():
            make_private(folder)
    except OSError as error:
        raise RecordError(
            f"The folder {str(folder)!r} cannot be created: {error.strerror}. "
            "Give save_dir= a folder that can be written."
        ) from error
    return folder


def journal_in(folder: Path) -> Path:
    """The journal that belongs to a folder of records, where none was named.

    Raises:
        JournalError: There is one that came with a repository or an archive.
    """
    journal = folder / "journal.sqlite"
    check_link(journal)
    check_found(str(journal))
    return journal


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Write or replace a file in one step; only its owner can read a new one.

    Raises:
        RecordError: The disk is full or the folder cannot be written.
        ConfigurationError: It is not a local path.
    """
    try:
        with replace_whole(path, private=True) as file:
            file.write(content)
    except OSError as error:
        raise _unwritten(path, error) from error


def _unwritten(path: str | os.PathLike[str], error: OSError) -> RecordError:
    return RecordError(f"{Path(path).name} cannot be written: {error.strerror}.")


class Records(Generic[R]):
    """The records of one kind in one folder. May be used from any thread.

    Nothing is read before it is needed, so a folder of 100,000 requests opens at once.

    Args:
        folder: Where their files are.
        prefix: What their ids start with.
        items: A field that is a list in each of them; None for no such field.

    Attributes:
        damaged: The names of files that are not valid records, and what is wrong with each.
    """

    def __init__(self, folder: Path, prefix: str, items: str | None = None) -> None:
        self.folder = folder
        self._items = items
        self.prefix = prefix
        self.damaged: dict[str, str] = {}
        self._has_told = False
        self._seen: dict[str, tuple[int, int, str]] = {}  # by id: mtime, size, status

    def write(self, record: R) -> None:
        """Put a record on disk, in place of the one with the same id.

        Raises:
            RecordError: It cannot be written, or is larger than what `read` accepts.
        """
        (error,) = self.write_all([record])
        if error is not None:
            raise error

    def write_all(self, records: Sequence[R]) -> list[Exception | None]:
        """Put records on disk together, which is faster than one after the other.

        Returns:
            For each why it was not written, None where it is on the disk.
        """
        contents: dict[str, bytes] = {}
        errors: dict[str, Exception] = {}
        names = [self._path(record["id"]).name for record in records]
        for name, record in zip(names, records, strict=True):
            try:
                contents[name] = written(record)
            except RecordError as error:
                errors[name] = error
            except Exception as error:  # noqa: BLE001  (of this one alone)
                errors[name] = RecordError(f"{name} cannot be written: {error}.")
                errors[name].__cause__ = error
        for name, why in replace_all(self.folder, contents).items():
            errors[name] = _unwritten(name, why)
        return [errors.get(name) for name in names]

    def read(self, record_id: str) -> R | None:
        """The record with this id, None if there is none.

        Fields of a wrong type are left out: somebody may have edited the file.

        Raises:
            RecordError: There is a file, and it is damaged, or somebody else can write it.
        """
        if not isinstance(record_id, str) or not _ID.fullmatch(record_id):
            return None
        path = self._path(record_id)
        try:
            content = read_regular(path, LARGEST, flaw=self._not_ours)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.damage(record_id, str(error.strerror)) from error
        if unfolds(content, SPARE):
            raise self.damage(record_id, "it unfolds to far more than it is")
        try:
            record = orjson.loads(content)
            if content.count(b"[") + content.count(b"{") > SHALLOW:
                to_json(record)  # who cannot write it could note no end of it
        except ValueError:
            raise self.damage(record_id, "it is not JSON") from None
        except TypeError as error:
            raise self.damage(record_id, str(error)) from None
        if what := self._flaw(record, record_id):
            raise self.damage(record_id, what)
        self.damaged.pop(path.name, None)
        sound = {name: value for name, value in record.items() if _is_sound(name, value)}
        return cast("R", sound)

    def sizes(self, record_ids: Sequence[str]) -> list[int]:
        """The bytes that the files of records have; 0 where there is none."""
        found = []
        for record_id in record_ids:
            found.append(0)
            with contextlib.suppress(OSError):
                found[-1] = self._path(record_id).lstat().st_size
        return found

    def statuses(self) -> dict[str, str]:
        """The status of every readable record by id, oldest first; damaged ones are skipped.

        Only files that changed since the last look are read.
        """
        found: dict[str, tuple[int, int, str]] = {}
        for name, mtime, size in sorted(self._files()):
            record_id = name.removesuffix(".json")
            seen = self._seen.get(record_id)
            if seen is None or seen[:2] != (mtime, size):
                try:
                    record = self.read(record_id)
                except RecordError:
                    continue
                if record is None:
                    continue
                seen = (mtime, size, str(record.get("status", "unknown"))[:_LONGEST_STATUS])
            found[record_id] = seen
        self._seen = found
        return {record_id: seen[2] for record_id, seen in found.items()}

    def damage(self, record_id: str, reason: str) -> RecordError:
        """Note and log that a record cannot be used. Returns the error to raise."""
        name = self._path(record_id).name
        if name not in self.damaged:
            log.warning("%s cannot be used: %s", name, reason)
        self.damaged[name] = reason
        return RecordError(f"{name} cannot be used: {reason}. Mend or remove the file.")

    def _flaw(self, record: object, record_id: str) -> str:
        if not isinstance(record, dict) or record.get("id") != record_id:
            return "it holds no record with this id"
        if not isinstance(record.get("status", ""), str):
            return "its status is no text"
        if self._items is not None and not isinstance(record.get(self._items), list):
            return f"its {self._items!r} is no list"
        return ""

    def _not_ours(self, found: os.stat_result) -> str:
        who = others_of(found, self.folder)
        if not who and os.name == "posix" and found.st_mode & 0o077:
            self._tell_of_strangers()
        return who and f"it {who}, who would have it asked and believed"

    def _tell_of_strangers(self) -> None:
        """Say once that there are records which this package has not written as they are."""
        if not self._has_told:
            log.warning(
                "Records in %r can be read by others: they were copied, unpacked or edited. What they "
                "ask is sent at your cost, and what they answer is believed. Remove what you did not "
                "put there; chmod go= says that all of them are yours.",
                str(self.folder),
            )
        self._has_told = True

    def _files(self) -> Iterator[tuple[str, int, int]]:
        start = f"{self.prefix}_"
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(start) and entry.name.endswith(".json"):
                    with contextlib.suppress(OSError):
                        stat = entry.stat(follow_symlinks=False)
                        yield entry.name, stat.st_mtime_ns, stat.st_size

    def _path(self, record_id: str) -> Path:
        return self.folder / f"{record_id}.json"


def written(
    record: Mapping[str, object], hint: str = "Give the items in several batches."
) -> bytes:
    """A record as its file has it.

    Args:
        record: What is in it, in JSON's types.
        hint: What to do where it is too large.

    Raises:
        RecordError: It is larger than what is read again.
    """
    # A field a line, which people can read; each level of its own is a hundred times as long.
    fields = (to_json({name: value})[1:-1] for name, value in record.items())
    content = b"{\n  %b\n}\n" % b",\n  ".join(fields)
    most = LARGEST - (LARGEST // FREE if record.get("status") in UNFINISHED else 0)
    if len(content) > most:
        raise RecordError(
            f"A record may have {most // 2**20} MiB, and this one would have "
            f"{len(content) // 2**20:,}. {hint}"
        )
    if unfolds(content, SPARE):
        raise RecordError(
            "This record has so many empty lists and objects that it takes far more memory than it "
            f"has bytes, and would not be read again. {hint}"
        )
    return content


def _is_sound(name: str, value: object) -> bool:
    """Whether the value of a field has the type that this package writes there."""
    types = _FIELDS.get(name)
    if types is None or value is None:
        return True
    if name == "key":
        return isinstance(value, str) and bool(_KEY.fullmatch(value))
    return isinstance(value, types) and not (isinstance(value, bool) and bool not in types)
