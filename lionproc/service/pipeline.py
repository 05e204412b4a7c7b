"""`Pipeline`: items pass through stages, and a job is resumed at the item and the stage."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import unicodedata
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.engine.lease import Lease
from lionproc.errors import ConfigurationError, LionprocError, RecordError
from lionproc.face import faced
from lionproc.model.model import Model
from lionproc.service.health import Health
from lionproc.service.job_record import with_answers, without_answers
from lionproc.service.job_store import JobStore, items_of
from lionproc.service.kept_answers import telling_of_kept
from lionproc.service.pipeline_html import Box, as_html, as_text
from lionproc.service.pipeline_results import outcome_of, with_results
from lionproc.service.processing import ProcessingService
from lionproc.service.record_types import (
    AddedStage,
    JobRecord,
    JobResult,
    JobStatus,
    StageRecord,
)
from lionproc.service.records import journal_in, now, private_folder
from lionproc.service.request_runner import RequestRunner
from lionproc.service.stage import ProcessingStage
from lionproc.service.stage_runner import WINDOW, ItemInProgress, RunningJob, Stage, run_stages

log = logging.getLogger("lionproc.service")
T = TypeVar("T")


@faced
class Pipeline:
    """Stages that each item passes one after the other; all stages run at the same time.

    A stage may have its own model, prompt, answer type and rate limit. Stages that use the same
    endpoint and key keep its limit together, whatever their own limits are.

    Args:
        name: Its name in the diagram.
        save_dir: The folder of its jobs, with a folder for the requests of each stage.
        model: The model of the stages that name none; None for the session's.
        window: Items in progress at the same time, between the first stage and the last.

    Raises:
        RecordError: `save_dir` cannot be created.
        JournalError: The journal there came with a repository or an archive.

    Example:
        ```python
        pipeline = Pipeline(name="Reviews", save_dir="reviews")
        await pipeline.add_stage({"name": "Mood", "type": "text", "options": {},
                                  "schema": bool, "rate_limit": 600})
        job = await pipeline.process_data([{"text": "A joy."}, {"text": "Broke."}])
        job["results"]["results"]
        ```
    """

    def __init__(
        self,
        name: str = "Pipeline",
        save_dir: str | os.PathLike[str] = "pipeline",
        *,
        model: Model | str | None = None,
        window: int = WINDOW,
    ) -> None:
        self.name = name
        self.window = window
        self.save_dir = private_folder(save_dir)
        self._journal = journal_in(self.save_dir)
        self.stages: dict[str, dict[str, Any]] = {}
        self.processors: dict[str, ProcessingService] = {}
        self._stages: list[Stage] = []
        self._model = None if model is None else Model.of(model)
        self._taken = 0  # items so far, for the diagram
        self._lease = Lease(self.save_dir)
        self._store: JobStore[JobRecord, tuple[JobRecord, dict[int, ItemInProgress]]] = JobStore(
            self.save_dir, "job", "data", self._lease
        )

    async def add_stage(self, config: ProcessingStage | Mapping[str, object]) -> AddedStage:
        """Add a stage at the end.

        Args:
            config: A `ProcessingStage` or a dict of its fields: `name`, `type` ("text",
                "numeric" or "mixed"), `options`, `schema`, `rate_limit`, and optionally
                `model`, `prompt`, `system`, `input_schema`, `input`, `concurrency`.

        Returns:
            `{"status": "success", "stage_id"}`, or `{"status": "error", "error"}`.
        """
        try:
            stage = ProcessingStage.of(config)
            if stage.of_frames:
                raise ConfigurationError(
                    f"{stage.of_frames[0]}= of a stage works in df.llm.pipeline, whose frames have "
                    "columns for it; the records of this pipeline have none."
                )
            if _folded(stage.name) in {_folded(name) for name in self._stage_names()}:
                raise RecordError(
                    f"There is a stage called {stage.name!r} already; give this one another name."
                )
            service = ProcessingService(
                stage.name,
                self.save_dir / stage.name,
                stage.rate_limit,
                None,
                model=stage.model or self._model,
                system=stage.system,
                prompt=stage.prompt,
                kind=stage.type,
                options=stage.options,
                concurrency=stage.concurrency,
                journal=self._journal,
            )
        except LionprocError as error:
            log.warning("a stage of %r was not added: %s", self.name, str(error))
            return {"status": "error", "error": str(error)}
        stage_id = f"stage_{len(self.stages)}"
        self.stages[stage_id] = stage.model_dump()
        self.processors[stage_id] = service
        self._stages.append(Stage(stage, service))
        return {"status": "success", "stage_id": stage_id}

    async def process_data(self, data: Iterable[object], *, progress: bool = False) -> JobResult:
        """Send items through all stages.

        Args:
            data: The items, each anything that JSON can hold; a dict or a text is one item.
            progress: Whether to show the diagram in a notebook and keep it up to date.

        Returns:
            `{"status": "success", "job_id", "results"}`, with the job as `get_results` gives
            it; some of its items may have failed. Where all of them failed, or an error stopped
            the job, `{"status": "error", "stage", "error", "job_id", "results"}`.
        """
        try:
            items = items_of(data)
        except ConfigurationError as error:
            return self._not_taken(error)
        return await self._watched(engine_loop.bridge(self._process(items)), show=progress)

    async def _process(self, items: Sequence[object]) -> JobResult:
        try:
            if not self._stages:
                raise RecordError("The pipeline has no stages yet: await pipeline.add_stage(...).")
            record = await self._store.create(items, stages=self._outline())
        except LionprocError as error:
            return self._not_taken(error)
        return await self._run(record)

    def _not_taken(self, error: LionprocError) -> JobResult:
        log.warning("a job of %r was not taken: %s", self.name, str(error))
        return {"status": "error", "error": str(error)}

    def _runners(self) -> list[RequestRunner]:
        return [stage.service._runner for stage in self._stages]

    def _stage_names(self) -> list[str]:
        return [stage.name for stage in self._stages]

    def _outline(self) -> list[StageRecord]:
        return [
            {"stage_id": stage_id, "stage": name}
            for stage_id, name in zip(self.stages, self._stage_names(), strict=True)
        ]

    async def _run(self, record: JobRecord, *, retry_failed: bool = False) -> JobResult:
        job_id = record["id"]
        items: dict[int, ItemInProgress] = {}
        self._taken += len(record["data"])

        def finished(item: ItemInProgress) -> None:
            items[item.position] = item

        with self._store.at_work(job_id, (record, items)):
            try:
                for stage in self._stages:
                    await stage.service.session.revive()
                    stage.service._begin_list(job_id)
                job = RunningJob(job_id, retry_failed)
                await run_stages(job, record["data"], self._stages, finished, self.window)
                return await self._finish(record, items)
            except LionprocError as error:
                log.warning("%s stopped: %s", job_id, type(error).__name__)
                return {
                    "status": "error",
                    "error": str(error),
                    "job_id": job_id,
                    "results": with_results(record, self._outline(), items),
                }

    async def _finish(self, record: JobRecord, items: Mapping[int, ItemInProgress]) -> JobResult:
        job = with_results(record, self._outline(), items)
        reasons = {stage.name: stage.service._why_stopped(job["id"]) for stage in self._stages}
        stopped = next((name for name, reason in reasons.items() if reason), None)
        if stopped is None:
            for stage in self._stages:
                await stage.service._store.write_rest(job["id"])
            job["status"] = "completed"
            job.pop("error", None)
            job["completed"] = now()
            outcome = outcome_of(job)
        else:
            reason = reasons[stopped]
            job["status"] = "stopped"
            job["error"] = reason
            outcome = {
                "status": "error",
                "job_id": job["id"],
                "results": job,
                "stage": stopped,
                "error": reason,
            }
        extra = {"job_id": job["id"], "failed": job["failed"]}
        log.info("%s %s, %d failed", job["id"], job["status"], job["failed"], extra=extra)
        await self._store.write(without_answers(job))
        return outcome

    def get_results(self, job_id: str) -> JobRecord:
        """A job as it is now, also one of an earlier run.

        Args:
            job_id: Its id.

        Returns:
            Its `id`, `status`, `data`, `timestamp`, `completed`; `stages`, each with the
            answers of all items, None where there is none; `results`, for each item its last
            answer, or the stage that stopped it, the error and its kind; and how many `failed`.
            An item whose request was removed, or asks something else, has an error.
            For an unknown id a dict with `error` alone.
        """
        running = self._store.running.get(job_id)
        if running is not None:
            record, items = running
            return with_results(record, self._outline(), items.copy())
        try:
            return with_answers(self._store.read(job_id), self.save_dir)
        except RecordError as error:
            return {"error": str(error)}

    def list_jobs(self, status: JobStatus | None = None) -> list[str]:
        """The ids of the jobs in the folder, oldest first.

        Args:
            status: "processing", "stopped" or "completed"; None for all.
        """
        return self._store.ids(status)

    @telling_of_kept
    async def resume(self) -> list[JobResult]:
        """Finish the jobs that a crash or a stop left unfinished; add the stages first.

        Each item continues at the stage that it had reached; answers of another schema than the
        stage has are asked for anew.

        Returns:
            What `process_data` would have returned for each, oldest first.

        Warns:
            LionprocWarning: Answers were kept that another model, scope or prompt would be asked for
                now; it counts them.
        """
        return await self._store.resume(self._run, self._refusal)

    @telling_of_kept
    async def retry_failed(self, job_id: str) -> JobResult:
        """Send the items of a job again that failed, from the stage that stopped them.

        Args:
            job_id: Its id.

        Returns:
            What `process_data` returns, for all items.

        Warns:
            LionprocWarning: As for `resume`.
        """
        idle = await asyncio.to_thread(self._store.read_idle, job_id)
        refusal = None if idle is None else self._refusal(idle)
        if refusal is not None:
            return refusal
        async with self._store.taken(job_id, again=True) as record:
            if record is None:
                return {"status": "error", "error": f"Unknown or running job: {job_id}"}
            return await self._run(record, retry_failed=True)

    def _refusal(self, record: JobRecord) -> JobResult | None:
        stages = record.get("stages") or []
        names = [stage.get("stage") for stage in stages if isinstance(stage, Mapping)]
        mine = self._stage_names()
        if names == mine:
            return None
        return {
            "status": "error",
            "job_id": record["id"],
            "error": f"This job has the stages {names}, the pipeline has {mine}; "
            "add the same ones first.",
        }

    # -- display ----------------------------------------------------------------------------

    def health(self) -> dict[str, Health]:
        """The state of each stage by its id; see `ProcessingService.health`."""
        return {stage_id: service.health() for stage_id, service in self.processors.items()}

    def boxes(self) -> list[Box]:
        """The boxes of the diagram, as the stages are at this moment."""
        boxes, coming = [], self._taken
        for stage in self._stages:
            boxes.append(_box(stage, coming))
            coming -= stage.counts.failed
        return boxes

    def _repr_html_(self) -> str:
        return as_html(self.name, self.boxes())

    def __repr__(self) -> str:
        if "_store" not in vars(self):
            return "<Pipeline, half made>"  # a traceback shows it while __init__ fails
        return f"<Pipeline {as_text(self.name, self.boxes())}>"

    async def _watched(self, work: Awaitable[T], *, show: bool) -> T:
        display = _display() if show else None
        if display is None:
            return await work
        task = asyncio.ensure_future(work)
        try:
            with contextlib.suppress(Exception):  # a display that breaks breaks no job
                handle = display(self, display_id=True)
                while not task.done():
                    await asyncio.wait((task,), timeout=0.5)
                    handle.update(self)
            return await task
        finally:
            task.cancel()

    @engine_loop.on_engine
    async def close(self) -> None:
        """Stop sending and close the connections. Unfinished jobs can be resumed.

        What is in flight is waited for, each request for as long as its `timeout` says, and kept:
        it is paid for. Who gives up the wait leaves that to go on by itself.
        """
        # All at once: what one stage answers meanwhile is not asked at the next one.
        await asyncio.gather(*(service.stop() for service in self.processors.values()))
        await self._store.all_end()
        for service in self.processors.values():
            await service.close()
        self._lease.close()


def _folded(name: str) -> str:
    """A name as a disk may compare it: without regard to case and to how letters are composed."""
    return unicodedata.normalize("NFKC", name).casefold()


def _box(stage: Stage, coming: int) -> Box:
    settings, counts = stage.settings, stage.counts
    try:
        in_flight = stage.service.session.sender.in_flight
    except LionprocError:  # there is no model yet
        in_flight = 0
    limit = (
        "no limit of its own"
        if settings.rate_limit is None
        else f"{settings.rate_limit:,g} a minute"
    )
    return Box(
        name=stage.name,
        about=f"{settings.type}, {limit}",
        waiting=max(counts.here - in_flight, 0),
        in_flight=in_flight,
        done=counts.done,
        failed=counts.failed,
        left=max(coming - counts.here - counts.done - counts.failed, 0),
    )


def _display() -> Any:
    """IPython's `display`, None outside of a notebook."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return display if get_ipython() is not None else None
