"""`Pipeline`: items stream through stages, and every stage of every item can be resumed."""

from __future__ import annotations

import asyncio
import logging
import os
import unicodedata
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.errors import LionprocError, RecordError
from lionproc.face import faced
from lionproc.model.model import Model
from lionproc.service.health import Health
from lionproc.service.job_store import JobStore
from lionproc.service.lease import Lease
from lionproc.service.pipeline_html import Box, as_html, as_text
from lionproc.service.processing import ProcessingService
from lionproc.service.records import Record, now, private_folder
from lionproc.service.stage import ProcessingStage
from lionproc.service.stage_runner import WINDOW, Counts, Passage, Step, flow

log = logging.getLogger("lionproc.service")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage, the service that does its work, and what has happened there."""

    stage: ProcessingStage
    service: ProcessingService
    counts: Counts = field(default_factory=Counts)


class _JobStep(Step):
    """A stage at work on one job: an item's request has an id that a later run finds again."""

    def __init__(self, of: _Stage, job_id: str, *, again: bool) -> None:
        super().__init__(of.stage, of.counts)
        self.service = of.service
        self._job = job_id
        self._again = again

    @property
    def stopped(self) -> str:
        return self.service.stopped

    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        request_id = f"req_{self._job.partition('_')[2]}_{position:06d}"
        return await self.service._process(
            data, self.stage.schema, request_id, context, again=self._again, job=self._job
        )


@faced
class Pipeline:
    """Stages that items pass one after the other, all stages at work at the same time.

    Stages may have models, prompts, answer types and rate limits of their own. Those on one
    endpoint and key keep its limit together, whatever their own are.

    Args:
        name: What it is called.
        save_dir: The folder of its jobs, and of a folder for each stage's requests.
        model: Who answers where a stage names no model; None for the session's.
        window: Items under way at once, between the first stage and the last.

    Raises:
        RecordError: `save_dir` cannot be made.

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
        self.stages: dict[str, dict[str, Any]] = {}
        self.processors: dict[str, ProcessingService] = {}
        self._steps: list[_Stage] = []
        self._model = None if model is None else Model.of(model)
        self._taken = 0  # items so far, for the drawing
        self._owner = Lease(self.save_dir)
        self._works: JobStore[tuple[Record, dict[int, Passage]]] = JobStore(
            self.save_dir, "job", "data", self._owner
        )

    async def add_stage(self, config: ProcessingStage | Mapping[str, Any]) -> dict[str, Any]:
        """Add a stage after those there are.

        Args:
            config: A `ProcessingStage` or a dict of its fields: `name`, `type` ("text",
                "numeric" or "mixed"), `options`, `schema`, `rate_limit`, and where wanted
                `model`, `prompt`, `system`, `input_schema`, `input`, `concurrency`.

        Returns:
            `{"status": "success", "stage_id"}`, or `{"status": "error", "error"}`.
        """
        try:
            stage = ProcessingStage.of(config)
            if _folded(stage.name) in {_folded(step.stage.name) for step in self._steps}:
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
                journal=self.save_dir / "journal.sqlite",
            )
        except LionprocError as error:
            log.warning("a stage was not added: %s", type(error).__name__)
            return {"status": "error", "error": str(error)}
        stage_id = f"stage_{len(self.stages)}"
        self.stages[stage_id] = stage.model_dump()
        self.processors[stage_id] = service
        self._steps.append(_Stage(stage, service))
        return {"status": "success", "stage_id": stage_id}

    async def process_data(self, data: Iterable[Any], *, progress: bool = False) -> dict[str, Any]:
        """Send items through all stages.

        Args:
            data: The items, each anything that JSON can hold; a dict or a text is one item.
            progress: In a notebook, show the drawing and keep it up to date.

        Returns:
            `{"status": "success", "job_id", "results"}`, with the job as `get_results` gives
            it; some of its items may have failed. Where none came through, or everything had
            to stop, `{"status": "error", "stage", "error", "job_id", "results"}`.
        """
        return await self._watched(engine_loop.bridge(self._process(data)), show=progress)

    async def _process(self, items: Any) -> dict[str, Any]:
        try:
            if not self._steps:
                raise RecordError("The pipeline has no stages yet: await pipeline.add_stage(...).")
            record = await self._works.begin(items, stages=self._outline())
        except LionprocError as error:
            log.warning("a job was not taken: %s", type(error).__name__)
            return {"status": "error", "error": str(error)}
        return await self._run(record)

    def _outline(self) -> list[dict[str, Any]]:
        return [
            {"stage_id": stage_id, "stage": step.stage.name}
            for stage_id, step in zip(self.stages, self._steps, strict=True)
        ]

    async def _run(self, record: Record, *, again: bool = False) -> dict[str, Any]:
        job_id = record["id"]
        passages: dict[int, Passage] = {}
        self._works.running[job_id] = (record, passages)
        self._taken += len(record["data"])
        steps = [_JobStep(stage, job_id, again=again) for stage in self._steps]

        def finished(passage: Passage) -> None:
            passages[passage.position] = passage

        try:
            for step in steps:
                await step.service.session.revive()
            await flow(enumerate(record["data"]), steps, finished, self.window)
            return await self._finish(record, passages)
        except LionprocError as error:
            log.warning("%s stopped: %s", job_id, type(error).__name__)
            return {"status": "error", "error": str(error), "job_id": job_id}
        finally:
            self._works.running.pop(job_id, None)

    async def _finish(self, record: Record, passages: dict[int, Passage]) -> dict[str, Any]:
        stopped = next((stage for stage in self._steps if stage.service.stopped), None)
        job = self._job(record, passages)
        failed = job["failed"]
        told = {"status": "success", "job_id": job["id"], "results": job}
        if stopped is not None:
            reason = stopped.service.stopped
            job.update(status="stopped", error=reason)
            told.update(status="error", stage=stopped.stage.name, error=reason)
        else:
            job.update(status="completed", completed=now())
            if failed and failed == len(job["data"]):
                first = job["results"][0]
                told.update(status="error", stage=first["stage"], error=first["error"])
        extra = {"job_id": job["id"], "failed": failed}
        log.info("%s %s, %d failed", job["id"], job["status"], failed, extra=extra)
        await self._works.keep(job)
        return told

    def _job(self, record: Record, passages: Mapping[int, Passage]) -> Record:
        """A job with the results so far."""
        places = range(len(record["data"]))
        results = [_told(passages.get(place), len(self._steps)) for place in places]
        stages = []
        for number, known in enumerate(self._outline()):
            values = [_value(passages.get(place), number) for place in places]
            missing = sum(value is None for value in values)
            status = "success" if missing < len(values) or not values else "error"
            stages.append(
                {**known, "result": {"status": status, "result": values, "failed": missing}}
            )
        failed = sum(result["status"] == "error" for result in results)
        return {**record, "stages": stages, "results": results, "failed": failed}

    def get_results(self, job_id: str) -> dict[str, Any]:
        """A job as it is now, also one of an earlier run.

        Args:
            job_id: Its id.

        Returns:
            Its `id`, `status`, `data`, `timestamp`, `completed`; `stages`, each with the
            answers of all items, None where there is none; `results`, for each item its last
            answer, or the stage that stopped it, the error and its kind; and how many `failed`.
            For an unknown id a dict with `error` alone.
        """
        running = self._works.running.get(job_id)
        if running is not None:
            record, passages = running
            return self._job(record, dict(passages))
        return self._works.look(job_id)

    def list_jobs(self, status: str | None = None) -> list[str]:
        """The ids of the jobs in the folder, oldest first, all or those with a status."""
        return self._works.ids(status)

    @engine_loop.on_engine
    async def resume(self) -> list[dict[str, Any]]:
        """Finish the jobs that a crash or a stop left half done; add the stages first.

        Items go on at the stage they had reached.

        Returns:
            What `process_data` would have returned for each, oldest first.
        """
        return await self._works.finish(lambda record: self._take_up(record, again=False))

    @engine_loop.on_engine
    async def retry_failed(self, job_id: str) -> dict[str, Any]:
        """Send the items of a job that failed again, from the stage that stopped them.

        Args:
            job_id: Its id.

        Returns:
            What `process_data` returns, with all items.
        """
        record = await asyncio.to_thread(self._works.idle, job_id)
        if record is None:
            return {"status": "error", "error": f"Unknown or running job: {job_id}"}
        return await self._take_up(record, again=True)

    async def _take_up(self, record: Record, *, again: bool) -> dict[str, Any]:
        stages = record.get("stages") or []
        names = [stage.get("stage") for stage in stages if isinstance(stage, Mapping)]
        mine = [step.stage.name for step in self._steps]
        if names != mine:
            return {
                "status": "error",
                "job_id": record["id"],
                "error": f"This job has the stages {names}, the pipeline has {mine}; "
                "add the same ones first.",
            }
        record["owner"] = self._owner.claim()
        return await self._run(record, again=again)

    # -- what a person sees -----------------------------------------------------------------

    def health(self) -> dict[str, Health]:
        """How each stage does, by its id; see `ProcessingService.health`."""
        return {stage_id: service.health() for stage_id, service in self.processors.items()}

    def boxes(self) -> list[Box]:
        """The stages as they are at this moment."""
        made, coming = [], self._taken
        for step in self._steps:
            made.append(_box(step, coming))
            coming -= step.counts.failed
        return made

    def _repr_html_(self) -> str:
        return as_html(self.name, self.boxes())

    def __repr__(self) -> str:
        return f"<Pipeline {as_text(self.name, self.boxes())}>"

    async def _watched(self, work: Awaitable[T], *, show: bool) -> T:
        display = _display() if show else None
        if display is None:
            return await work
        task = asyncio.ensure_future(work)
        handle = display(self, display_id=True)
        try:
            while not task.done():
                await asyncio.wait((task,), timeout=0.5)
                handle.update(self)
            return task.result()
        finally:
            task.cancel()

    async def close(self) -> None:
        """Stop sending and close what is open. What is unfinished can be resumed."""
        for service in self.processors.values():
            await service.close()
        self._owner.close()


def _folded(name: str) -> str:
    """What a disk may take two names for: the same letters, large or small, composed or not."""
    return unicodedata.normalize("NFKC", name).casefold()


def _told(passage: Passage | None, stages: int) -> dict[str, Any]:
    if passage is None:
        return {"status": "waiting"}
    if passage.error is not None:
        return {"status": "error", **passage.error}
    return {"status": "success", "result": passage.answers[stages - 1]}


def _value(passage: Passage | None, stage: int) -> Any:
    if passage is None or stage >= len(passage.answers):
        return None
    return passage.answers[stage]


def _box(step: _Stage, coming: int) -> Box:
    stage, counts = step.stage, step.counts
    try:
        in_flight = step.service.executor.in_flight
    except LionprocError:  # there is no model yet
        in_flight = 0
    limit = "no limit of its own" if stage.rate_limit is None else f"{stage.rate_limit:,g} a minute"
    return Box(
        name=stage.name,
        about=f"{stage.type}, {limit}",
        waiting=max(counts.here - in_flight, 0),
        in_flight=in_flight,
        done=counts.done,
        failed=counts.failed,
        left=max(coming - counts.here - counts.done - counts.failed, 0),
    )


def _display() -> Any:
    """What shows things in a notebook, None outside of one."""
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import display
    except ImportError:
        return None
    return display if get_ipython() is not None else None
