"""Items stream through stages: the core of pipelines, over lists and over frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lionproc.errors import CallError, Kind, LionprocError
from lionproc.model.answer import Answer
from lionproc.service.records import plain, to_json
from lionproc.service.session import Session
from lionproc.service.stage import ProcessingStage
from lionproc.service.window import windowed

_TOLD_OF_ERRORS = {"error", "kind", "attempts", "hint", "reply"}
WINDOW = 128  # items that are between the first stage and the last


@dataclass(slots=True)
class Passage:
    """An item on its way.

    Attributes:
        position: Which item it is.
        item: What came in.
        answers: The answers of the stages it has passed.
        error: What stopped it: `stage`, `error` and `kind`, and `attempts` where they are
            known; None while nothing did.
    """

    position: int
    item: Any
    answers: list[Any] = field(default_factory=list)
    error: dict[str, Any] | None = None


@dataclass(slots=True)
class Counts:
    """What has happened at a stage.

    Attributes:
        here: Items that wait there or are being processed.
        done: Items that passed it.
        failed: Items that it stopped.
    """

    here: int = 0
    done: int = 0
    failed: int = 0


class Step(ABC):
    """A stage at work.

    Args:
        stage: What it does.
        counts: Where it is counted.
    """

    def __init__(self, stage: ProcessingStage, counts: Counts | None = None) -> None:
        self.stage = stage
        self.counts = counts or Counts()
        wanted = stage.input_schema
        self._wants = None if wanted is None else Answer.of(wanted)

    @abstractmethod
    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """Process the data of one item. Returns what `process_data` returns."""

    @property
    @abstractmethod
    def stopped(self) -> str:
        """Why nothing can be sent any more, or ""."""

    def carry(self, context: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        """What the stages after this one see: what it saw, its answer, and the answer's fields."""
        fields = answer if isinstance(answer, Mapping) else {}
        return {**context, self.stage.name: answer, **fields}

    def check(self, data: Any) -> None:
        """Refuse data that this stage does not take.

        Raises:
            CallError: Of kind `wrong_shape`; nothing was sent.
        """
        if self._wants is not None:
            self._wants.read(data if isinstance(data, str) else to_json(data).decode())


class SessionStep(Step):
    """A stage that asks its model and keeps nothing but the journal."""

    def __init__(self, stage: ProcessingStage, session: Session) -> None:
        super().__init__(stage)
        self.session = session
        self.prompt = stage.prompt_maker()
        self._schema = str if stage.schema is None else stage.schema

    @property
    def stopped(self) -> str:
        """See `Step.stopped`."""
        return "" if self.session.executor.fatal is None else str(self.session.executor.fatal)

    def messages(self, data: Any, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The messages for some data.

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


async def flow(
    items: Iterable[tuple[int, Any]],
    steps: Sequence[Step],
    finished: Callable[[Passage], None],
    window: int = WINDOW,
) -> None:
    """Send items through the stages, each as soon as the one before has its answer.

    An item that fails goes no further; the others do not notice.

    Args:
        items: Positions and items.
        steps: The stages in order.
        finished: Told every item that has come out or was stopped.
        window: How many items are under way at once.
    """

    async def one(numbered: tuple[int, Any]) -> None:
        passage = Passage(*numbered)
        await _pass(passage, steps)
        finished(passage)

    await windowed(items, window, one, lambda: not any(step.stopped for step in steps))


async def _pass(passage: Passage, steps: Sequence[Step]) -> None:
    data = passage.item
    context: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {}
    for step in steps:
        counts, name = step.counts, step.stage.name
        counts.here += 1
        shown = context if step.stage.input == "all" and context else data
        try:
            step.check(shown)
            told = await step.ask(passage.position, shown, context)
        except LionprocError as error:
            kind = error.kind if isinstance(error, CallError) else Kind.NOT_SENT
            told = {"status": "error", "error": str(error), "kind": str(kind)}
        finally:
            counts.here -= 1
        if told["status"] != "success":
            counts.failed += 1
            passage.error = {"stage": name, "error": "", "kind": ""}
            passage.error |= {key: told[key] for key in _TOLD_OF_ERRORS & told.keys()}
            return
        counts.done += 1
        passage.answers.append(told["result"])
        data = plain(told["result"])
        context = step.carry(context, data)
