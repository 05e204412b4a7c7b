"""Batches and jobs: lists of items that are worked on for a while, and outlive a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from lionproc.errors import ConfigurationError, RecordError
from lionproc.service.lease import Lease
from lionproc.service.records import (
    Record,
    Records,
    checked_status,
    new_id,
    now,
    plain,
)

T = TypeVar("T")
STATUSES = ("processing", "stopped", "completed")


def items_of(given: Any) -> list[Any]:
    """The items that are meant: a dict or a text is one, anything else is gone through.

    Raises:
        ConfigurationError: It is a frame, whose items would be the names of its columns, or
            nothing that can be gone through.
    """
    if isinstance(given, (Mapping, str, bytes)):
        return [given]
    if hasattr(given, "npartitions"):
        raise ConfigurationError(
            "The items are a list, and this is a collection of Dask. Bring it here first: "
            'frame.compute().to_dict("records"), or list(bag.compute()).'
        )
    if hasattr(given, "columns"):
        if hasattr(given, "iloc"):
            way_on = (
                'Use df.llm.process(...) or df.llm.pipeline([...]), or give df.to_dict("records").'
            )
        else:
            way_on = "Give its rows: polars has frame.to_dicts(), Arrow has table.to_pylist()."
        raise ConfigurationError(
            f"The items are a list of dicts, and this is a {type(given).__name__}. {way_on}"
        )
    try:
        return list(given)
    except TypeError:
        raise ConfigurationError(
            f"The items are a list, and a {type(given).__name__} is none."
        ) from None


class JobStore(Generic[T]):
    """The works of one kind in a folder, on disk from their start to their end.

    Args:
        folder: Where their records are.
        prefix: What their ids start with.
        items: What the list of items is called in a record.
        owner: Who works here.

    Attributes:
        running: What is worked on here, by id.
    """

    def __init__(self, folder: Path, prefix: str, items: str, owner: Lease) -> None:
        self.running: dict[str, T] = {}
        self._records = Records(folder, prefix)
        self._prefix = prefix
        self._items = items
        self._owner = owner

    async def begin(self, items: Any, **fields: Any) -> Record:
        """Put a new work on disk.

        Raises:
            ConfigurationError: These are no items, or they cannot be written as JSON.
            RecordError: The disk does not take it.
        """
        listed = items_of(items)
        try:
            listed = plain(listed, given=True)
        except TypeError as error:
            raise ConfigurationError(f"The items cannot be written as JSON: {error}.") from None
        record: Record = {
            "id": new_id(self._prefix),
            "status": "processing",
            "timestamp": now(),
            **fields,
            self._items: listed,
            "owner": self._owner.claim(),
        }
        await self.keep(record)
        return record

    async def keep(self, record: Record) -> None:
        """Write a record.

        Raises:
            RecordError: The disk does not take it.
        """
        await asyncio.to_thread(self._records.write, record)

    def look(self, work_id: str) -> Record:
        """A record from the disk; where there is none, or a damaged one, a dict with `error`."""
        try:
            record = self._records.read(work_id)
        except RecordError as error:
            return {"error": str(error)}
        return {"error": f"Unknown {self._prefix}: {work_id}"} if record is None else record

    def ids(self, status: str | None = None) -> list[str]:
        """The ids of the works in the folder, oldest first, all or those with a status.

        Raises:
            ConfigurationError: There is no such status.
        """
        checked_status(status, STATUSES)
        known = self._records.statuses().items()
        return [work_id for work_id, is_ in known if status is None or is_ == status]

    def unfinished(self) -> list[Record]:
        """JobStore that nobody who lives is at, oldest first; they are this owner's now."""
        found = []
        for work_id, status in self._records.statuses().items():
            record = None if status == "completed" else self.idle(work_id)
            if record is not None and not self._owner.is_another(record.get("owner")):
                record["owner"] = self._owner.claim()
                found.append(record)
        return found

    async def finish(
        self, run: Callable[[Record], Awaitable[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Run every unfinished work; whatever is wrong with one, the others are run.

        Args:
            run: JobStore on a record.

        Returns:
            What `run` returned for each, oldest first; for one that broke, `status` and `error`.
        """
        told = []
        for record in await asyncio.to_thread(self.unfinished):
            try:
                told.append(await run(record))
            except Exception as fault:  # noqa: BLE001  (its text may hold what is in the record)
                error = self._records.damage(record["id"], f"a {type(fault).__name__} came of it")
                told.append({"status": "error", "error": str(error)})
        return told

    def idle(self, work_id: str) -> Record | None:
        """A record from the disk, None where it is worked on here or cannot be used."""
        if work_id in self.running:
            return None
        record = self.look(work_id)
        return record if isinstance(record.get(self._items), list) else None
