"""The requests of one service: on disk from their start, in memory while they are in progress."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

from lionproc.engine.lease import Lease
from lionproc.engine.together import Together
from lionproc.errors import ConfigurationError, RecordError
from lionproc.model.answer import Answer
from lionproc.model.as_json import WRITABLE, plain
from lionproc.service.record_types import RequestRecord
from lionproc.service.recorded_type import RecordedType, recorded
from lionproc.service.records import UNFINISHED, Records, checked_status, new_id, now
from lionproc.service.typed_result import typed_result

log = logging.getLogger("lionproc.service")
STATUSES = ("received", "processing", "completed", "failed")


class RequestStore:
    """Writes and reads the records of requests. Reading works from any thread.

    Args:
        folder: The folder of the records.

    Attributes:
        records: The JSON files.
        lease: Shows other processes which requests this one is working on.
        active: The records of the requests in progress, by id.
        unwritten: Records whose end the disk did not take, by the id of their batch or job.
    """

    def __init__(self, folder: Path) -> None:
        self.records: Records[RequestRecord] = Records(folder, "req")
        self._write: Together[RequestRecord, None] = Together(self.records.write_all)
        self._sizes: Together[str, int] = Together(self.records.sizes)
        self._read: Together[str, RequestRecord | None] = Together(self._read_all)
        self._take: Together[tuple[str, frozenset[str]], RequestRecord | None] = Together(
            self._take_all
        )
        self.lease = Lease(folder)
        self.active: dict[str, RequestRecord] = {}
        self.unwritten: dict[str, list[RequestRecord]] = {}
        self._checked_schema: Any = None

    async def create(self, data: object, schema: object) -> RequestRecord:
        """Write the record of a new request; the arguments are those of `make`.

        Raises:
            LionprocError: The data or the schema is invalid, or the record cannot be written.
        """
        record = self.make(data, schema)
        await self.write(record)
        self.active[record["id"]] = record
        return record

    def make(self, data: Any, schema: Any, request_id: str | None = None) -> RequestRecord:
        """The record of a new request. Nothing is written.

        Args:
            data: What to process.
            schema: The type of its result, None for text.
            request_id: Its id, None for a new one.

        Raises:
            LionprocError: The data or the schema is invalid.
        """
        self._check(schema)
        try:
            made: dict[str, Any] = {
                "id": request_id or new_id("req"),
                "status": "received",
                "timestamp": now(),
                "data": plain(data, given=True),
                **recorded(schema),
                "owner": self.lease.claim(),
                "attempts": 0,
            }
            return cast("RequestRecord", made)
        except TypeError as error:
            raise ConfigurationError(
                f"The data cannot be written as JSON, so it cannot be kept: {error}. {WRITABLE}"
            ) from None

    def _check(self, schema: Any) -> None:
        """Refuse an invalid schema. The last valid one is not checked again."""
        if schema is None or schema is self._checked_schema or isinstance(schema, RecordedType):
            return
        Answer.of(schema)
        self._checked_schema = schema

    async def size(self, request_id: str) -> int:
        """The bytes of a record on the disk, 0 if there is none with this id."""
        return await self._sizes(request_id)

    async def read(self, request_id: str) -> RequestRecord | None:
        """A record from the disk, None if there is none with this id.

        Raises:
            RecordError: The file is damaged.
        """
        return await self._read(request_id)

    def _read_all(self, ids: list[str]) -> list[RequestRecord | Exception | None]:
        found: list[RequestRecord | Exception | None] = []
        for request_id in ids:
            try:
                found.append(self.records.read(request_id))
            except Exception as error:  # noqa: BLE001  (of this one alone)
                found.append(error)
        return found

    def no_data(self, request_id: str) -> RecordError:
        """Note and log that a record has nothing to be asked about. Returns the error to raise."""
        return self.records.damage(request_id, "it has no data")

    def other_item(self, request_id: str) -> RecordError:
        """Note and log that a record is not about its item. Returns the error to raise."""
        why = "it asks something else than its item says; retry_failed() asks that"
        return self.records.damage(request_id, why)

    async def write(self, record: RequestRecord) -> None:
        """Write a record.

        Raises:
            RecordError: It cannot be written.
        """
        await self._write(record)

    async def write_end(self, record: RequestRecord) -> None:
        """Write how a request ended. May fail (it is logged): the journal has the answer."""
        try:
            await self.write(record)
        except RecordError:
            request_id, list_id = record["id"], record.get("batch") or record.get("job")
            log.exception("%s was not written", request_id, extra={"request_id": request_id})
            if list_id is not None:
                self.unwritten.setdefault(list_id, []).append(record)

    async def write_rest(self, list_id: str) -> None:
        """Write what the disk did not take of a batch or job, which is complete with it.

        Raises:
            RecordError: Some of it still cannot be written, the first of which this is about; all
                the others are. The journal has the answers.
        """
        left = self.unwritten.pop(list_id, [])
        writing = [self.write(record) for record in left]
        for error in await asyncio.gather(*writing, return_exceptions=True):
            if error is not None:
                raise error

    def get(self, request_id: str, schema: Any = None) -> RequestRecord:
        """A request as it is now; a dict with `error` alone where there is no such record.

        Args:
            request_id: Its id.
            schema: The type it was made with, None to leave the result as JSON.
        """
        try:
            active = self.active.get(request_id)
            record = self.records.read(request_id) if active is None else active.copy()
        except RecordError as error:
            return {"error": str(error)}
        if record is None:
            return {"error": f"Unknown request: {request_id}"}
        if record.get("status") == "completed" and "result" in record:
            record["result"] = typed_result(record, schema)
        return record

    def find(self, status: str | None = None) -> list[RequestRecord]:
        """The requests in the folder, oldest first, all or those with a status.

        Raises:
            ConfigurationError: There is no such status.
        """
        checked_status(status, STATUSES)
        found = []
        for request_id, known in self.records.statuses().items():
            if status is None or known == status:
                record = self.get(request_id)
                if "id" in record:
                    found.append(record)
        return found

    async def ids(self, statuses: frozenset[str]) -> list[str]:
        """The ids of the requests with one of these statuses, oldest first."""
        known = await asyncio.to_thread(self.records.statuses)
        return [request_id for request_id, status in known.items() if status in statuses]

    async def take_over(self, request_id: str, statuses: frozenset[str]) -> RequestRecord | None:
        """Take a request that can be worked on now, so that no other process does.

        Args:
            request_id: Its id.
            statuses: The statuses it may have.

        Returns:
            The record; None where it is damaged, has another status by now, or is in progress
            in a living process.
        """
        return await self._take((request_id, statuses))

    def _take_all(self, asked: list[tuple[str, frozenset[str]]]) -> list[RequestRecord | None]:
        with self.lease.alone():
            found = [self._idle(*each) for each in asked]
            taken = [record for record in found if record is not None]
            for record in taken:
                record["status"], record["owner"] = "received", self.lease.claim()
            self.records.write_all(taken)  # a full disk shows when they are asked
        return found

    def _idle(self, request_id: str, statuses: frozenset[str]) -> RequestRecord | None:
        try:
            record = self.records.read(request_id)
        except RecordError:
            return None
        if record is None or record.get("status") not in statuses:
            return None
        if "data" not in record:
            self.no_data(request_id)
            return None
        unfinished = record["status"] in UNFINISHED
        if unfinished and self.lease.is_held_by_another(record.get("owner")):
            return None
        return record
