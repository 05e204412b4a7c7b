"""Batches and jobs on disk: lists of items, from the start to the end and after a crash."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

from lionproc.engine.forked import leave_behind, renew_in_child
from lionproc.engine.lease import Lease
from lionproc.errors import ConfigurationError, RecordError
from lionproc.model.as_json import WRITABLE, plain
from lionproc.service.record_types import BatchRecord, BatchResult, JobRecord, JobResult
from lionproc.service.records import Records, checked_status, new_id, now

J = TypeVar("J", BatchRecord, JobRecord)  # the record
S = TypeVar("S", BatchResult, JobResult)
T = TypeVar("T")  # what is known of one that runs here
STATUSES = ("processing", "stopped", "completed")


def items_of(given: Any) -> list[Any]:
    """The items of an argument: a dict or a text is one item, anything else is iterated over.

    For the thread of the caller: a generator may take its time, and ask a model itself.

    Raises:
        ConfigurationError: It is a frame, whose items would be the names of its columns, or
            it cannot be iterated over.
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
            f"The items are a list, and a {type(given).__name__} is none. Put it into one: [item]."
        ) from None


class JobStore(Generic[J, T]):
    """The records of batches, or of the jobs of a pipeline, in one folder.

    Args:
        folder: The folder of their files.
        prefix: What their ids start with: "batch" or "job".
        items: The key of the list of items in a record.
        lease: Shows other processes which of them this one is working on.

    Attributes:
        running: What runs in this process, by id.
    """

    def __init__(
        self, folder: Path, prefix: str, items: Literal["items", "data"], lease: Lease
    ) -> None:
        self._begin()
        renew_in_child(self)
        self._records: Records[J] = Records(folder, prefix, items)
        self._prefix = prefix
        self._items = items
        self._lease = lease

    def renew(self) -> None:
        """In a forked child: what runs is the parent's."""
        leave_behind(self._tasks)
        self._begin()

    def _begin(self) -> None:
        self.running: dict[str, T] = {}
        self._tasks: dict[str, asyncio.Task[Any] | None] = {}
        self._taken: set[str] = set()  # by a task of this process, to be run

    async def create(self, items: Sequence[object], **fields: object) -> J:
        """Write the record of a new batch or job.

        Args:
            items: Its items, as `items_of` gives them.
            **fields: Further fields of the record.

        Raises:
            ConfigurationError: They cannot be written as JSON.
            RecordError: The record cannot be written.
        """
        try:
            listed = plain(items, given=True)
        except TypeError as error:
            raise ConfigurationError(
                f"The items cannot be written as JSON, so they cannot be kept: {error}. {WRITABLE}"
            ) from None
        fields = {
            "id": new_id(self._prefix),
            "status": "processing",
            "timestamp": now(),
            **fields,
            self._items: listed,
            "owner": self._lease.claim(),
        }
        record = cast("J", fields)
        await self.write(record)
        return record

    async def write(self, record: J) -> None:
        """Write a record.

        Raises:
            RecordError: It cannot be written.
        """
        await asyncio.to_thread(self._records.write, record)

    @property
    def damaged(self) -> int:
        """How many files in the folder were found to be no valid records."""
        return len(self._records.damaged)

    def read(self, job_id: str) -> J:
        """A record from the disk; a dict with `error` alone where there is none or a damaged one."""
        try:
            record = self._records.read(job_id)
        except RecordError as error:
            return cast("J", {"error": str(error)})
        return (
            cast("J", {"error": f"Unknown {self._prefix}: {job_id}"}) if record is None else record
        )

    def ids(self, status: str | None = None) -> list[str]:
        """The ids of the records in the folder, oldest first, all or those with a status.

        Raises:
            ConfigurationError: There is no such status.
        """
        checked_status(status, STATUSES)
        known = self._records.statuses().items()
        return [job_id for job_id, found in known if status is None or found == status]

    @contextlib.contextmanager
    def at_work(self, job_id: str, known: T) -> Iterator[None]:
        """Note that this task runs one, for as long as it does.

        Args:
            job_id: Its id.
            known: What is known of it meanwhile.
        """
        self.running[job_id], self._tasks[job_id] = known, asyncio.current_task()
        try:
            yield
        finally:
            self.running.pop(job_id, None)
            self._tasks.pop(job_id, None)

    async def _cancelled_ones_end(self) -> None:
        """Those that were cancelled a moment ago still put away what they have in hand."""
        tasks = {task for task in self._tasks.values() if task is not None and task.cancelling()}
        tasks.discard(asyncio.current_task())
        if tasks:
            await asyncio.wait(tasks)

    async def all_end(self) -> None:
        """Wait for those that run here, on the engine's loop: nothing more is sent for them."""
        tasks = {task for task in self._tasks.values() if task is not None}
        tasks.discard(asyncio.current_task())
        if tasks:
            await asyncio.wait(tasks)

    def read_idle(self, job_id: str) -> J | None:
        """A record from the disk; None where it runs in this process or cannot be used."""
        if job_id in self.running or job_id in self._taken:
            return None
        record = self.read(job_id)
        return record if isinstance(record.get(self._items), list) else None

    @contextlib.asynccontextmanager
    async def taken(self, job_id: str, *, again: bool = False) -> AsyncIterator[J | None]:
        """Take one, so that no other process does while this one runs it.

        Args:
            job_id: Its id.
            again: Whether one that is completed is run again.

        Yields:
            Its record; None where it is run already, here or by a living process, or cannot be used.
        """
        taking = asyncio.ensure_future(asyncio.to_thread(self._take, job_id, again=again))
        try:
            record = await asyncio.shield(taking)
        except asyncio.CancelledError:  # its thread goes on, and nobody would give it back
            taking.add_done_callback(partial(self._give_back, job_id))
            raise
        try:
            yield record
        finally:
            if record is not None:
                self._taken.discard(job_id)

    def _give_back(self, job_id: str, taking: asyncio.Future[J | None]) -> None:
        if not (taking.cancelled() or taking.exception()) and taking.result() is not None:
            self._taken.discard(job_id)

    def _take(self, job_id: str, *, again: bool) -> J | None:
        with self._lease.alone():
            record = self.read_idle(job_id)
            if record is None:
                return None
            if record.get("status") == "completed":
                if not again:
                    return None
            elif self._lease.is_held_by_another(record.get("owner")):
                return None
            record["status"], record["owner"] = "processing", self._lease.claim()
            with contextlib.suppress(RecordError):  # a full disk: what comes of it shows that
                self._records.write(record)
            self._taken.add(job_id)
            return record

    async def resume(
        self, run: Callable[[J], Awaitable[S]], refusal: Callable[[J], S | None] = lambda _: None
    ) -> list[S]:
        """Run every unfinished batch or job; an error in one does not keep the others from running.

        Args:
            run: Runs one from its record.
            refusal: What is told of one that is left as it is; None for one to run.

        Returns:
            What `run` returned for each, oldest first; for one that raised, `status` and `error`.
        """
        await self._cancelled_ones_end()
        results: list[S] = []
        known = await asyncio.to_thread(self._records.statuses)
        for job_id in [job_id for job_id, status in known.items() if status != "completed"]:
            idle = await asyncio.to_thread(self.read_idle, job_id)
            told = None if idle is None else refusal(idle)
            if told is not None:
                results.append(told)
                continue
            async with self.taken(job_id) as record:
                if record is None:
                    continue
                try:
                    results.append(await run(record))
                except Exception as fault:  # noqa: BLE001  (its text may hold what is in the record)
                    error = self._records.damage(job_id, f"a {type(fault).__name__} came of it")
                    results.append(cast("S", {"status": "error", "error": str(error)}))
        return results
