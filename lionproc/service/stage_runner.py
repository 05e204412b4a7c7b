"""Runs items through stages: the core of pipelines, over lists and over frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from lionproc.errors import CallError, Kind, LionprocError
from lionproc.model.answer import Answer
from lionproc.service.concurrency import for_each
from lionproc.service.records import plain, to_json
from lionproc.service.session import Session
from lionproc.service.stage import ProcessingStage

_ERROR_KEYS = frozenset({"error", "kind", "attempts", "hint", "reply"})
WINDOW = 128  # items in progress between the first stage and the last


@dataclass(slots=True)
class ItemInProgress:
    """An item in the pipeline, or one that has come out of it.

    Attributes:
        position: Its place among the items, from 0.
        item: The item as it was given.
        answers: The answers of the stages that it has passed.
        error: Why a stage stopped it, None if none did: `stage`, `error` and `kind`, and
            `attempts`, `hint` and `reply` where they are known.
    """

    position: int
    item: Any
    answers: list[Any] = field(default_factory=list)
    error: dict[str, Any] | None = None


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


class Step(ABC):
    """A stage that processes items.

    Args:
        stage: Its settings.
        counts: Where its items are counted, None for new counts.
    """

    def __init__(self, stage: ProcessingStage, counts: Counts | None = None) -> None:
        self.stage = stage
        self.counts = counts or Counts()
        schema = stage.input_schema
        self._input = None if schema is None else Answer.of(schema)

    @abstractmethod
    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> Mapping[str, Any]:
        """Process the data of one item.

        Args:
            position: The item's position.
            data: What to process.
            context: The fields of the item and of the answers so far, for a template.

        Returns:
            What `ProcessingService.process_data` returns.
        """

    @property
    @abstractmethod
    def stopped(self) -> str:
        """Why nothing can be sent any more, or ""."""

    def carry(self, context: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        """The context of the next stage: that of this one, its answer, and the answer's fields."""
        fields = answer if isinstance(answer, Mapping) else {}
        return {**context, self.stage.name: answer, **fields}

    def check(self, data: Any) -> None:
        """Refuse data that does not fit the `input_schema` of the stage.

        Raises:
            CallError: Of kind `wrong_shape`; nothing was sent.
        """
        if self._input is not None:
            self._input.read(data if isinstance(data, str) else to_json(data).decode())


class SessionStep(Step):
    """A stage that writes no records: only the journal keeps its replies."""

    def __init__(self, stage: ProcessingStage, session: Session) -> None:
        super().__init__(stage)
        self.session = session
        self.prompt = stage.prompt_maker()
        self._schema = str if stage.schema is None else stage.schema

    @property
    def stopped(self) -> str:
        """See `Step.stopped`."""
        return self.session.stopped

    def messages(self, data: Any, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages that are sent for some data.

        Raises:
            CallError: Of kind `prompt`: they cannot be made for this data.
        """
        return self.prompt.messages(data, context)

    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """See `Step.ask`."""
        del position
        messages = self.messages(data, context)
        event = await self.session.ask(await self.session.call(messages, self._schema))
        if event.error is not None:
            error = event.error
            return {
                "status": "error",
                "error": error.message,
                "kind": str(error.kind),
                "hint": error.hint,
                "reply": error.reply,
                "attempts": event.attempts,
            }
        return {"status": "success", "result": event.value, "cached": event.cached}


async def run_stages(
    items: Iterable[tuple[int, Any]],
    steps: Sequence[Step],
    finished: Callable[[ItemInProgress], None],
    window: int = WINDOW,
) -> None:
    """Run items through the stages, each item at its own pace.

    An item that fails goes no further; the others are not affected.

    Args:
        items: Positions and items.
        steps: The stages in order.
        finished: Called with each item that has passed all stages or was stopped by one.
        window: How many items are in progress at the same time.
    """

    async def run(numbered: tuple[int, Any]) -> None:
        item = ItemInProgress(*numbered)
        await _run_item(item, steps)
        finished(item)

    await for_each(items, window, run, lambda: not any(step.stopped for step in steps))


async def _run_item(item: ItemInProgress, steps: Sequence[Step]) -> None:
    data = item.item
    context: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
    for step in steps:
        counts = step.counts
        counts.here += 1
        shown = context if step.stage.input == "all" and context else data
        result: Mapping[str, Any]
        try:
            step.check(shown)
            result = await step.ask(item.position, shown, context)
        except LionprocError as error:
            kind = error.kind if isinstance(error, CallError) else Kind.NOT_SENT
            result = {"status": "error", "error": str(error), "kind": str(kind)}
        finally:
            counts.here -= 1
        if result["status"] != "success":
            counts.failed += 1
            known = {key: result[key] for key in _ERROR_KEYS & result.keys()}
            item.error = {"stage": step.stage.name, "error": "", "kind": "", **known}
            return
        counts.done += 1
        item.answers.append(result["result"])
        data = plain(result["result"])
        context = step.carry(context, data)


Passage: TypeAlias = ItemInProgress  # the name that `frame` uses
flow = run_stages  # likewise
