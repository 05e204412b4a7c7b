"""`BatchProcessor`: many items through one service, a window of them at a time."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Iterable
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.errors import ConfigurationError, Kind, LionprocError
from lionproc.face import faced
from lionproc.model.answer import Answer
from lionproc.service.health import Health
from lionproc.service.job_store import JobStore
from lionproc.service.processing import ProcessingService
from lionproc.service.records import Record, now
from lionproc.service.request_record import as_json, meant, told_of
from lionproc.service.window import windowed

log = logging.getLogger("lionproc.service")
OnResult = Callable[[int, dict[str, Any]], None]


@faced
class BatchProcessor:
    """Processes lists of items; one that fails harms no other.

    Items stream: as soon as one is finished the next begins, so nobody waits for the slowest of
    a chunk. A batch is on disk from its start, and `resume` finishes what a crash left.

    Args:
        name: What it is called.
        save_dir: The folder of its batches and their requests.
        batch_size: How many items are under way at once.
        requests_per_minute: As for `ProcessingService`.
        **service: All other arguments of `ProcessingService`.

    Raises:
        ConfigurationError: An argument cannot work.

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
        **service: Any,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigurationError(f"batch_size counts items, from 1 up; not {batch_size!r}.")
        self.name = name
        self.batch_size = batch_size
        self.service = ProcessingService(name, save_dir, requests_per_minute, **service)
        self._works: JobStore[Record] = JobStore(
            self.service.save_dir, "batch", "items", self.service._owner
        )

    async def process_batch(
        self,
        items: Iterable[Any],
        schema: Any = None,
        *,
        progress: bool = False,
        on_result: OnResult | None = None,
    ) -> dict[str, Any]:
        """Process every item.

        Args:
            items: Anything that JSON can hold, each; a dict or a text is one item.
            schema: What each result looks like, as for `ProcessingService.process_data`.
            progress: Show a bar.
            on_result: Told the position and the result of each item as soon as it is there,
                on the engine's thread.

        Returns:
            `{"status": "success", "batch_id", "results", "failed"}`, the results in the order
            of the items and each as `process_data` returns it. Where everything had to stop (a
            refused key, a server that is down), `{"status": "error", "error", "batch_id",
            "results"}` with what there is; `resume` goes on. Nothing is raised.
        """
        bar = _bar(progress)
        return await engine_loop.bridge(self._process(items, schema, _both(bar, on_result)))

    async def _process(
        self, items: Iterable[Any], schema: Any, on_result: OnResult
    ) -> dict[str, Any]:
        try:
            if schema is not None:
                Answer.of(schema)
            record = await self._works.begin(items, schema=as_json(schema))
        except LionprocError as error:
            log.warning("a batch was not taken: %s", type(error).__name__)
            return {"status": "error", "error": str(error)}
        return await self._run(record, schema, on_result)

    async def _run(
        self, record: Record, schema: Any, on_result: OnResult, *, again: bool = False
    ) -> dict[str, Any]:
        batch_id, items, service = record["id"], record["items"], self.service
        results: list[dict[str, Any] | None] = [None] * len(items)
        self._works.running[batch_id] = record
        on_result(-1, {"items": len(items)})

        async def one(position: int) -> None:
            request_id = _request_id(batch_id, position)
            item = items[position]
            result = await service._process(item, schema, request_id, again=again, batch=batch_id)
            results[position] = result
            on_result(position, result)

        try:
            await service.session.revive()
            await windowed(range(len(items)), self.batch_size, one, lambda: not service.stopped)
            return await self._finish(record, self._whole(batch_id, results))
        except LionprocError as error:
            log.warning("%s stopped: %s", batch_id, type(error).__name__)
            return {
                "status": "error",
                "error": str(error),
                "batch_id": batch_id,
                "results": self._whole(batch_id, results),
            }
        finally:
            self._works.running.pop(batch_id, None)

    def _whole(self, batch_id: str, results: list[dict[str, Any] | None]) -> list[dict[str, Any]]:
        """One result for each item; those that were not reached say so."""
        return [
            result
            or {
                "status": "error",
                "error": "It was not sent yet; resume() goes on.",
                "kind": str(Kind.NOT_SENT),
                "request_id": _request_id(batch_id, position),
            }
            for position, result in enumerate(results)
        ]

    async def _finish(self, record: Record, results: list[dict[str, Any]]) -> dict[str, Any]:
        stopped = self.service.stopped
        failed = sum(result["status"] != "success" for result in results)
        answer: dict[str, Any] = {"status": "success", "batch_id": record["id"]}
        answer["results"] = results
        if stopped:
            answer.update(status="error", error=stopped)
            record.update(status="stopped", error=stopped)
        else:
            record.update(status="completed", completed=now())
        answer["failed"] = record["failed"] = failed
        extra = {"batch_id": record["id"], "failed": failed}
        log.info("%s %s, %d failed", record["id"], record["status"], failed, extra=extra)
        await self._works.keep(record)
        return answer

    @engine_loop.on_engine
    async def resume(self, *schemas: Any) -> list[dict[str, Any]]:
        """Finish the batches that a crash or a stop left half done.

        Args:
            *schemas: As for `ProcessingService.resume`.

        Returns:
            What `process_batch` would have returned for each, oldest first.
        """
        type_of = meant(schemas)
        return await self._works.finish(
            lambda record: self._run(record, type_of(record.get("schema")), _nothing)
        )

    @engine_loop.on_engine
    async def retry_failed(self, batch_id: str, *schemas: Any) -> dict[str, Any]:
        """Ask again about the items of a batch that failed.

        Args:
            batch_id: Its id.
            *schemas: As for `ProcessingService.resume`.

        Returns:
            What `process_batch` returns, with all items.
        """
        record = await asyncio.to_thread(self._works.idle, batch_id)
        if record is None:
            return {"status": "error", "error": f"Unknown or running batch: {batch_id}"}
        return await self._run(record, meant(schemas)(record.get("schema")), _nothing, again=True)

    def get_batch(self, batch_id: str) -> dict[str, Any]:
        """A batch as it is now, also one of an earlier run.

        Args:
            batch_id: Its id.

        Returns:
            Its `id`, `status`, `items`, `schema`, `timestamp`, `completed`, and the `results`
            so far in the order of the items; one that is not finished says what it is doing.
            For an unknown id a dict with `error` alone.
        """
        record = self._works.running.get(batch_id) or self._works.look(batch_id)
        if not isinstance(record.get("items"), list):
            return record
        batch = dict(record)
        batch["results"] = [
            self._result(_request_id(batch_id, position))
            for position in range(len(record["items"]))
        ]
        return batch

    def _result(self, request_id: str) -> dict[str, Any]:
        request = self.service.get_request(request_id)
        if request.get("status") in {"completed", "failed"}:
            return told_of(request)
        return {"status": request.get("status", "waiting"), "request_id": request_id}

    def list_batches(self, status: str | None = None) -> list[str]:
        """The ids of the batches in the folder, oldest first.

        Args:
            status: "processing", "stopped" or "completed"; None for all.
        """
        return self._works.ids(status)

    def health(self) -> Health:
        """How it does; see `ProcessingService.health`."""
        return self.service.health()

    async def close(self) -> None:
        """Stop sending and close what is open. What is unfinished can be resumed."""
        await self.service.close()

    def __repr__(self) -> str:
        return f"<BatchProcessor {self.name!r}, {self.batch_size} at once, {self.service!r}>"


def _request_id(batch_id: str, position: int) -> str:
    """The id of an item's request: known before it exists, so that nothing is asked twice."""
    return f"req_{batch_id.partition('_')[2]}_{position:06d}"


def _nothing(position: int, result: dict[str, Any]) -> None:
    pass


def _both(bar: OnResult, other: OnResult | None) -> OnResult:
    def tell(position: int, result: dict[str, Any]) -> None:
        bar(position, result)
        if other is not None and position >= 0:
            try:
                other(position, result)
            except Exception:  # a listener that breaks must not break the batch
                log.exception("on_result failed")

    return tell


def _bar(progress: bool) -> OnResult:
    if not progress:
        return _nothing
    from tqdm.auto import tqdm

    shown: Any = tqdm(unit="item", dynamic_ncols=True)

    def tell(position: int, result: dict[str, Any]) -> None:
        if position < 0:
            shown.reset(total=result["items"])
            return
        shown.update(1)
        if shown.n >= shown.total:
            shown.close()

    return tell
