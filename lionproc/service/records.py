"""Requests, batches and jobs on disk: one JSON file each, whole or not at all."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from lionproc.engine.home import make_private
from lionproc.engine.paths import local_path
from lionproc.engine.whole_file import replace_whole
from lionproc.errors import ConfigurationError, LionprocError, did_you_mean

log = logging.getLogger("lionproc.service")
Record: TypeAlias = dict[str, Any]

_ID = re.compile(r"[a-z]{1,12}_[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
_NAME = re.compile(r"[\w][\w .-]{0,99}")
_clock = threading.Lock()
_last = 0


class RecordError(LionprocError):
    """A record cannot be written or read; the message names the file and the reason."""


def new_id(prefix: str) -> str:
    """An id that no other process and no later run will make again.

    Milliseconds since 1970 and 80 random bits, as in a version 7 UUID (RFC 9562), so that ids
    sort by age.

    Args:
        prefix: "req", "batch" or "job".
    """
    global _last  # noqa: PLW0603  (ids of one process grow strictly)
    with _clock:
        _last = max(time.time_ns() // 1_000_000, _last + 1)
        return f"{prefix}_{_last:012x}{secrets.token_hex(10)}"


def now() -> str:
    """The time for a record, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def plain(value: Any) -> Any:
    """A value as JSON would give it back: models become dicts, enums their values.

    Raises:
        TypeError: It cannot be JSON.
    """
    return orjson.loads(to_json(value))


def to_json(value: Any, *, indent: bool = False) -> bytes:
    """JSON for a value, pydantic models, enums, times and numpy numbers included.

    Raises:
        TypeError: It cannot be JSON.
    """
    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
    if indent:
        options |= orjson.OPT_INDENT_2
    return orjson.dumps(value, default=_plainer, option=options)


def _plainer(value: Any) -> Any:
    from decimal import Decimal

    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if isinstance(value, (Decimal, os.PathLike)):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()  # a numpy scalar that orjson does not know
    raise TypeError(f"{type(value).__name__} is not JSON")


def checked_name(name: str) -> str:
    """A name that may become a folder.

    Raises:
        RecordError: It holds a separator or could mean another folder.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith((".", " ")):
        raise RecordError(
            f"A name becomes a folder, so it is made of letters, digits, spaces and '._-', and "
            f"starts with a letter or digit; {name!r} does not."
        )
    return name


def checked_status(status: str | None, known: Sequence[str]) -> None:
    """Refuse a status that nothing can have, which would look like an empty list.

    Raises:
        ConfigurationError: It is none of those that are known.
    """
    if status is not None and status not in known:
        raise ConfigurationError(
            f"There is no status {status!r}.{did_you_mean(status, known)} "
            f"There are {', '.join(known)}."
        )


def private_folder(path: str | os.PathLike[str]) -> Path:
    """A folder for its owner alone, made if it is not there.

    Raises:
        RecordError: It cannot be made.
        ConfigurationError: It is no path of this machine.
    """
    folder = local_path(path)
    try:
        if not folder.is_dir():
            make_private(folder)
    except OSError as error:
        raise RecordError(
            f"The folder {str(folder)!r} cannot be made: {error.strerror}. "
            "Give save_dir= a folder that can be written."
        ) from error
    return folder


def write_whole(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace a file at once; a new one is for its owner alone.

    Raises:
        RecordError: The disk is full or the folder cannot be written.
        ConfigurationError: It is no path of this machine.
    """
    try:
        with replace_whole(path, private=True) as file:
            file.write_bytes(content)
    except OSError as error:
        raise RecordError(f"{Path(path).name} cannot be written: {error.strerror}.") from error


class Records:
    """The records of one kind in one folder. May be used from any thread.

    Nothing is read before it is asked for, so a folder of 100,000 requests opens at once.

    Args:
        folder: Where they are.
        prefix: What their ids start with.

    Attributes:
        damaged: Files that are no records, by name, and why.
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self.folder = folder
        self.prefix = prefix
        self.damaged: dict[str, str] = {}
        self._seen: dict[str, tuple[int, int, str]] = {}  # by id: mtime, size, status

    def write(self, record: Record) -> None:
        """Put a record on disk, in place of the one with the same id.

        Raises:
            RecordError: It cannot be written.
        """
        write_whole(self._path(record["id"]), to_json(record, indent=True) + b"\n")

    def read(self, record_id: str) -> Record | None:
        """A record, None if there is none with this id.

        Raises:
            RecordError: There is a file, and it is damaged.
        """
        if not isinstance(record_id, str) or not _ID.fullmatch(record_id):
            return None
        path = self._path(record_id)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._damage(path, str(error.strerror)) from error
        try:
            record = orjson.loads(content)
        except ValueError:
            raise self._damage(path, "it is not JSON") from None
        if not isinstance(record, dict) or record.get("id") != record_id:
            raise self._damage(path, "it holds no record with this id")
        self.damaged.pop(path.name, None)
        return record

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
                seen = (mtime, size, str(record.get("status", "unknown")))
            found[record_id] = seen
        self._seen = found
        return {record_id: seen[2] for record_id, seen in found.items()}

    def _files(self) -> Iterator[tuple[str, int, int]]:
        start = f"{self.prefix}_"
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.startswith(start) and entry.name.endswith(".json"):
                    with contextlib.suppress(OSError):
                        stat = entry.stat()
                        yield entry.name, stat.st_mtime_ns, stat.st_size

    def _path(self, record_id: str) -> Path:
        return self.folder / f"{record_id}.json"

    def _damage(self, path: Path, reason: str) -> RecordError:
        if path.name not in self.damaged:
            log.warning("%s cannot be used: %s", path.name, reason)
        self.damaged[path.name] = reason
        return RecordError(f"{path.name} cannot be used: {reason}. Mend or remove the file.")
