"""Runs the items of a pipeline's job through the stages, each item at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

from lionproc.engine.apart import Reading, step
from lionproc.engine.readings import Readings
from lionproc.errors import CallError, Kind, LionprocError
from lionproc.model.annotation import without_none
from lionproc.model.answer import Answer
from lionproc.model.as_json import plain, written_name
from lionproc.service.concurrency import for_each
from lionproc.service.processing import ProcessingService
from lionproc.service.record_types import RequestRecord, RequestResult, StageError
from lionproc.service.recorded_type import recorded
from lionproc.service.request_record import request_id_of
from lionproc.service.stage import ProcessingStage

RESERVED = frozenset(("data", "options"))  # what a template shows under them is no answer's field
WINDOW = 128  # items in progress between the first stage and the last


@dataclass(slots=True)
class ItemInProgress:
    """An item in the pipeline, or one that has come out of it.

    Attributes:
        position: Its place among the items, from 0.
        item: The item as it was given.
        answers: The answers of the stages that it has passed.
        error: Why a stage stopped it, None if none did.
    """

    position: int
    item: Any
    answers: list[Any] = field(default_factory=list)
    error: StageError | None = None


@dataclass(slots=True)
class Counts:
    """How many items a stage has.

    Attributes:
        here: Items that wait or are being processed there.
        done: Items that passed the stage.
        failed: Items that the stage stopped.
    """

    here: int = 0
    done: int = 0
    failed: int = 0


class Stage:
    """A stage of a pipeline that can process items.

    Args:
        settings: What it does.
        service: Processes the items.

    Attributes:
        name: Its name.
        counts: How many items it has, in all jobs so far.
    """

    def __init__(self, settings: ProcessingStage, service: ProcessingService) -> None:
        self.settings = settings
        self.service = service
        self.name = settings.name
        self.counts = Counts()
        schema = settings.input_schema
        self._input = None if schema is None else Answer.of(schema)
        self._asked = cast("RequestRecord", {"schema": recorded(settings.schema)["schema"]})
        asked = () if settings.schema is None else Answer.of(settings.schema).fields or ()
        kind = without_none(settings.schema)
        self._declared = frozenset(
            name
            for field in asked
            for name in (field.name, field.key, written_name(kind, field.name))
        )

    def with_answer(self, context: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        """What a later stage can show by name, once this one has answered.

        A field that the stage's schema declares takes the place of one of the same name, also
        where the answer leaves it out: then nothing is called so. Any other is whatever the model
        has made of a text that may be a stranger's: it is shown where nothing else has its name,
        and takes nobody's place.

        Args:
            context: The fields of the item and of the answers so far.
            answer: What this stage answered.
        """
        fields = answer if isinstance(answer, Mapping) else {}
        known = {name: value for name, value in context.items() if name not in self._declared}
        known[self.name] = answer
        taken = RESERVED.union(known) - self._declared
        return known | {name: value for name, value in fields.items() if name not in taken}

    async def process(
        self, item: ItemInProgress, data: Any, context: Mapping[str, Any], job: RunningJob
    ) -> tuple[RequestResult, object]:
        """Process an item under an id that a later run of the job finds again.

        Args:
            item: The item.
            data: What this stage is to process of it.
            context: The fields of the item and of the answers so far, for a template.
            job: The job that the item is part of.

        Returns:
            What came of it, and the answer as JSON.
        """
        try:
            if self._input is not None:
                await job.readings.read(Reading(step(partial(_take, data, self._input))))
        except LionprocError as error:
            kind = error.kind if isinstance(error, CallError) else Kind.NOT_SENT
            return {"status": "error", "error": str(error), "kind": str(kind)}, None
        except TypeError as error:
            why = f"The data cannot be written as JSON: {error}."
            return {"status": "error", "error": why, "kind": str(Kind.UNREADABLE)}, None
        return await self.service._runner.process_once(
            data,
            self.settings.schema,
            request_id_of(job.id, item.position),
            context,
            retry_failed=job.retry_failed,
            asked=self._asked,
            job=job.id,
        )


def _take(data: object, wanted: Answer) -> None:
    """Read data as what it is to be."""
    if isinstance(data, str):
        wanted.read(data)
    else:
        wanted.read_json(data)


@dataclass(frozen=True, slots=True)
class RunningJob:
    """A job that runs.

    Attributes:
        id: Its id.
        retry_failed: Whether requests that failed in an earlier run are sent again.
        readings: Reads its data, where a process of its own has to be asked.
    """

    id: str
    retry_failed: bool = False
    readings: Readings = field(default_factory=Readings, compare=False, repr=False)


async def run_stages(
    job: RunningJob,
    items: Iterable[object],
    stages: Sequence[Stage],
    finished: Callable[[ItemInProgress], None],
    window: int = WINDOW,
) -> None:
    """Run items through the stages; each goes on to the next stage as soon as it has an answer.

    An item that fails goes no further; the others are not affected.

    Args:
        job: The job that the items are part of.
        items: The items.
        stages: The stages in order.
        finished: Called with each item that has passed all stages or was stopped by one.
        window: How many items are in progress at the same time.
    """

    async def run(item: ItemInProgress) -> None:
        await _run_item(item, stages, job)
        finished(item)

    numbered = (ItemInProgress(position, item) for position, item in enumerate(items))
    await for_each(numbered, window, run, lambda: not any(s.service.stopped for s in stages))


async def _run_item(item: ItemInProgress, stages: Sequence[Stage], job: RunningJob) -> None:
    data = item.item
    context: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
    for stage in stages:
        counts = stage.counts
        counts.here += 1
        shown = context if stage.settings.input == "all" and context else data
        try:
            result, kept = await stage.process(item, shown, context, job)
        finally:
            counts.here -= 1
        if result["status"] != "success":
            counts.failed += 1
            error, kind = result.get("error", ""), result.get("kind", "")
            item.error = {"stage": stage.name, "error": error, "kind": kind}
            return
        counts.done += 1
        item.answers.append(result["result"])
        data = plain(kept)  # a set, say, is in another order in each process
        context = stage.with_answer(context, data)
