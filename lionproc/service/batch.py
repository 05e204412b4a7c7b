"""`BatchProcessor`: processes many items with one service, some of them at the same time."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, Unpack, cast

from lionproc.engine import loop as engine_loop
from lionproc.engine.streams import Stream
from lionproc.errors import ConfigurationError, Kind, LionprocError
from lionproc.face import faced
from lionproc.model.answer import Answer
from lionproc.service.concurrency import for_each
from lionproc.service.health import Health
from lionproc.service.job_store import JobStore, items_of
from lionproc.service.kept_answers import telling_of_kept
from lionproc.service.processing import ProcessingService, ServiceOptions
from lionproc.service.record_types import (
    BatchRecord,
    BatchResult,
    JobStatus,
    PendingResult,
    RequestRecord,
    RequestResult,
)
from lionproc.service.recorded_type import recorded
from lionproc.service.records import now
from lionproc.service.request_record import is_about, request_id_of, result_of, schema_finder
from lionproc.service.request_runner import RequestRunner

log = logging.getLogger("lionproc.service")
PER_PLACE = 4  # items under way, for each that is asked at the same time
OnResult: TypeAlias = Callable[[int, RequestResult], None]


@faced
class BatchProcessor:
    """Processes lists of items; one that fails harms no other.

    The next item starts as soon as one is finished; there are no chunks that wait for their
    slowest item. A batch is on disk from its start, and `resume` finishes it after a crash.

    Args:
        name: Its name in logs and in `health()`.
        save_dir: The folder of its batches and their requests.
        batch_size: How many items are asked at the same time.
        requests_per_minute: As for `ProcessingService`.
        **service: All other arguments of `ProcessingService`.

    Raises:
        ConfigurationError: An argument is invalid.

    Example:
        ```python
        processor = BatchProcessor(batch_size=20, requests_per_minute=600)
        batch = await processor.process_batch([{"text": "A joy."}, {"text": "Broke."}], schema=bool)
        [item["status"] for item in batch["results"]]
        ```
    """

    def __init__(
        self,
        name: str = "BatchProcessor",
        save_dir: str | os.PathLike[str] = "batches",
        batch_size: int = 10,
        requests_per_minute: float | None = 60,
        **service: Unpack[ServiceOptions],
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigurationError(f"batch_size counts items, from 1 up; not {batch_size!r}.")
        self.name = name
        self.batch_size = batch_size
        self.service = ProcessingService(name, save_dir, requests_per_minute, **service)
        self._store: JobStore[BatchRecord, BatchRecord] = JobStore(
            self.service.save_dir, "batch", "items", self.service._store.lease
        )

    async def process_batch(
        self,
        items: Iterable[object],
        schema: object = None,
        *,
        progress: bool = False,
        on_result: OnResult | None = None,
    ) -> BatchResult:
        """Process every item.

        Args:
            items: The items, each anything that JSON can hold; a dict or a text is one item.
            schema: The type of each result, as for `ProcessingService.process_data`.
            progress: Whether to show a progress bar.
            on_result: Called with the position and the result of each item as soon as it is
                finished, on the engine's thread.

        Returns:
            `{"status": "success", "batch_id", "results", "failed"}`, the results in the order
            of the items and each as `process_data` returns it. Where an error stopped the batch
            (a refused key, a server that is down), `{"status": "error", "error", "batch_id",
            "results"}` with the results so far; `resume` continues it. Nothing is raised.
        """
        listener = _Listener(on_result, progress=progress)
        try:
            listed = items_of(items)
        except ConfigurationError as error:
            return self._not_taken(error)
        return await engine_loop.bridge(self._process(listed, schema, listener))

    async def _process(
        self, items: Sequence[object], schema: object, listener: _Listener
    ) -> BatchResult:
        try:
            if schema is not None:
                Answer.of(schema)
            record = await self._store.create(items, **recorded(schema))
        except LionprocError as error:
            return self._not_taken(error)
        return await self._run(record, schema, listener, is_new=True)

    def _not_taken(self, error: LionprocError) -> BatchResult:
        log.warning("a batch of %r was not taken: %s", self.name, str(error))
        return {"status": "error", "error": str(error)}

    async def _run(
        self,
        record: BatchRecord,
        schema: object,
        listener: _Listener | None = None,
        *,
        retry_failed: bool = False,
        is_new: bool = False,
    ) -> BatchResult:
        batch_id, items, service = record["id"], record["items"], self.service
        results: list[RequestResult | None] = [None] * len(items)
        listener = listener or _Listener()
        listener.start(len(items))
        places = asyncio.Semaphore(self.batch_size)

        async def process(position: int) -> None:
            result, _ = await service._runner.process_once(
                items[position],
                schema,
                request_id_of(batch_id, position),
                retry_failed=retry_failed,
                is_new=is_new,
                places=places,
                asked=_asked(record),
                batch=batch_id,
            )
            results[position] = result
            listener.add(position, result)

        with self._store.at_work(batch_id, record):
            try:
                await service.session.revive()
                service._begin_list(batch_id)
                positions = range(len(items))
                # Those that are asked, and others whose records wait or are written: a group of them
                # costs the disk, and the interpreter, hardly more than one.
                most = PER_PLACE * self.batch_size
                await for_each(positions, most, process, lambda: not service.stopped)
                return await self._finish(record, self._complete(batch_id, results))
            except LionprocError as error:
                log.warning("%s stopped: %s", batch_id, type(error).__name__)
                return {
                    "status": "error",
                    "error": str(error),
                    "batch_id": batch_id,
                    "results": self._complete(batch_id, results),
                }

    def _complete(
        self, batch_id: str, results: Sequence[RequestResult | None]
    ) -> list[RequestResult]:
        """One result for each item; those that were not sent yet say so."""
        return [
            result
            or {
                "status": "error",
                "error": "It was not sent yet; resume() goes on.",
                "kind": str(Kind.NOT_SENT),
                "request_id": request_id_of(batch_id, position),
            }
            for position, result in enumerate(results)
        ]

    async def _finish(self, record: BatchRecord, results: list[RequestResult]) -> BatchResult:
        stopped = self.service._why_stopped(record["id"])
        failed = sum(result["status"] != "success" for result in results)
        outcome: BatchResult = {"status": "success", "batch_id": record["id"], "results": results}
        if stopped:
            outcome["status"] = "error"
            outcome["error"] = record["error"] = stopped
            record["status"] = "stopped"
        else:
            await self.service._store.write_rest(record["id"])
            record["status"] = "completed"
            record.pop("error", None)
            record["completed"] = now()
        outcome["failed"] = record["failed"] = failed
        extra = {"batch_id": record["id"], "failed": failed}
        log.info("%s %s, %d failed", record["id"], record["status"], failed, extra=extra)
        await self._store.write(record)
        return outcome

    @telling_of_kept
    async def resume(self, *schemas: Any) -> list[BatchResult]:
        """Finish the batches that a crash or a stop left unfinished.

        Where items were edited on disk, those are asked that the records do not answer.

        Args:
            *schemas: As for `ProcessingService.resume`.

        Returns:
            What `process_batch` would have returned for each, oldest first.

        Warns:
            LionprocWarning: Answers were kept that another model, scope or prompt would be asked for
                now; it counts them.
        """
        schema_for = schema_finder(schemas)
        return await self._store.resume(lambda record: self._run(record, schema_for(record)))

    @telling_of_kept
    async def retry_failed(self, batch_id: str, *schemas: object) -> BatchResult:
        """Send the items of a batch again that failed.

        Args:
            batch_id: Its id.
            *schemas: As for `ProcessingService.resume`.

        Returns:
            What `process_batch` returns, for all items.

        Warns:
            LionprocWarning: As for `resume`.
        """
        schema_for = schema_finder(schemas)
        async with self._store.taken(batch_id, again=True) as record:
            if record is None:
                return {"status": "error", "error": f"Unknown or running batch: {batch_id}"}
            return await self._run(record, schema_for(record), retry_failed=True)

    def get_batch(self, batch_id: str) -> BatchRecord:
        """A batch as it is now, also one of an earlier run.

        Args:
            batch_id: Its id.

        Returns:
            Its `id`, `status`, `items`, `schema`, `timestamp`, `completed`, and the `results`
            so far in the order of the items; an unfinished one has its `status` and `request_id`.
            An item of a completed one whose record asks something else has an error.
            For an unknown id a dict with `error` alone.
        """
        record = self._store.running.get(batch_id) or self._store.read(batch_id)
        if not isinstance(record.get("items"), list):
            return record
        batch = record.copy()
        batch["results"] = [
            self._result(record, position, item) for position, item in enumerate(record["items"])
        ]
        return batch

    def _result(
        self, record: BatchRecord, position: int, item: object
    ) -> RequestResult | PendingResult:
        request_id = request_id_of(record["id"], position)
        request = self.service.get_request(request_id)
        status = request.get("status", "waiting")
        if status in {"completed", "failed"}:
            if is_about(request, {**_asked(record), "data": item}):
                return result_of(request)
            status = "waiting"
            if record.get("status") == "completed":
                error = self.service._store.other_item(request_id)
                return {"status": "error", "error": str(error), "request_id": request_id}
        return cast("PendingResult", {"status": status, "request_id": request_id})

    def _runners(self) -> list[RequestRunner]:
        return [self.service._runner]

    def list_batches(self, status: JobStatus | None = None) -> list[str]:
        """The ids of the batches in the folder, oldest first.

        Args:
            status: "processing", "stopped" or "completed"; None for all.
        """
        return self._store.ids(status)

    def health(self) -> Health:
        """Its state at this moment; see `ProcessingService.health`. Damaged batches count too."""
        health = self.service.health()
        return replace(health, damaged=health.damaged + self._store.damaged)

    @engine_loop.on_engine
    async def close(self) -> None:
        """Stop sending and close the connection. Unfinished batches can be resumed.

        What is in flight is waited for, each request for as long as its `timeout` says, and kept:
        it is paid for. Who gives up the wait leaves that to go on by itself.
        """
        await self.service.stop()
        await self._store.all_end()
        await self.service.close()

    def __repr__(self) -> str:
        if not {"batch_size", "service"} <= vars(self).keys():
            return "<BatchProcessor, half made>"
        return f"<BatchProcessor {self.name!r}, {self.batch_size} at once, {self.service!r}>"


def _asked(record: BatchRecord) -> RequestRecord:
    """What the record of a batch says of how its items are asked."""
    return {"schema": record["schema"]} if "schema" in record else {}


class _Listener:
    """Shows a progress bar and calls `on_result`.

    Args:
        on_result: Called with the position and the result of each item.
        progress: Whether to show a bar.
    """

    def __init__(self, on_result: OnResult | None = None, *, progress: bool = False) -> None:
        self._on_result = on_result
        self._bar: Any = None
        if progress and sys.stderr is not None:
            from tqdm.auto import tqdm

            self._bar = tqdm(unit="item", dynamic_ncols=True, file=Stream(sys.stderr))

    def start(self, items: int) -> None:
        """So many items are coming."""
        if self._bar is not None:
            self._bar.reset(total=items)

    def add(self, position: int, result: RequestResult) -> None:
        """An item is finished."""
        if self._bar is not None:
            self._bar.update(1)
            if self._bar.n >= self._bar.total:
                self._bar.close()
        if self._on_result is not None:
            try:
                self._on_result(position, result)
            except BaseException:  # whatever the caller's function raises, the batch goes on
                log.exception("on_result failed for item %d; the batch goes on", position)
