"""`df.llm.pipeline`: the rows of a frame stream through the stages of a pipeline.

This is the one place where a frame uses the service layer; the service layer knows no frames.
"""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from lionproc.engine import loop as engine_loop
from lionproc.engine.home import home
from lionproc.engine.limiter import Tokens
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.errors import (
    CallError,
    ConfigurationError,
    Kind,
    PromptError,
    RowsFailedError,
    RowsFailedWarning,
    RunError,
)
from lionproc.frame import results
from lionproc.frame.assemble import MISSING, assemble, check_names, column_names, columns
from lionproc.frame.cell import cell_text, is_missing
from lionproc.frame.pipeline_names import Seen, labels_of, seen_by
from lionproc.frame.pipeline_run import MISSING_CELL, PipelineRun
from lionproc.frame.plan import warn
from lionproc.model.answer import Answer
from lionproc.model.connection import Connection
from lionproc.model.defaults import default
from lionproc.model.model import Model
from lionproc.service.session import Session, session_model
from lionproc.service.stage import ProcessingStage
from lionproc.service.stage_runner import Passage, SessionStep, flow

SLICE = 256  # rows that are turned into items at once
ERROR = "pipeline_error"
_PLAIN = (str, bool, int, float)


class RowStep(SessionStep):
    """A stage that skips rows whose cell, shown in the prompt, is missing, and counts.

    Args:
        stage: What it does.
        session: The way to its model.
        seen: What it sees of a row.

    Attributes:
        cached: Rows that were answered from the journal.
        skipped: Rows that were skipped.
        connection: The way to its model, once it is open.
        seen: What it sees of a row.
    """

    cached = skipped = 0
    connection: Connection | None = None

    def __init__(self, stage: ProcessingStage, session: Session, seen: Seen) -> None:
        super().__init__(stage, session)
        self.seen = seen

    def carry(self, context: Mapping[str, Any], answer: Any) -> dict[str, Any]:
        """See `Step.carry`. Fields are found in the answer, so none hides a column."""
        kept = {name: value for name, value in context.items() if name not in self.seen.replaced}
        return {**kept, self.stage.name: answer}

    def messages(self, data: Any, context: Mapping[str, Any]) -> list[dict[str, Any]]:
        """See `SessionStep.messages`."""
        return self.prompt.messages(data, names=self.seen.values(context, self.prompt.fields))

    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """See `Step.ask`."""
        names = self.seen.values(context, self.prompt.fields)
        for value in (context if self.seen.whole else names).values():
            if isinstance(value, CallError):  # a cell that has no text
                raise value
        empty = [name for name in self.prompt.fields if names.get(name, data) is None]
        if empty:
            self.skipped += 1
            return {"status": "skipped", "kind": MISSING_CELL, "error": f"{empty[0]!r} is missing"}
        self.connection = await self.session.open()
        told = await super().ask(position, data, context)
        self.cached += told.get("cached", False)
        return told

    @property
    def model(self) -> str:
        """Who answered, or was to."""
        if self.connection is None:
            return f"{self.session.model.provider}/{self.session.model.model or ''}".rstrip("/")
        return f"{self.connection.provider.name}/{self.connection.model}"

    @property
    def used(self) -> Tokens:
        """The tokens it took in this run."""
        counters = self.session.executor.counters
        return Tokens(counters.prompt_tokens, counters.completion_tokens)

    @property
    def usd(self) -> float | None:
        """What it cost, None where the price is not known."""
        if self.connection is None:
            return 0.0  # nothing was sent
        price = self.connection.price
        return None if price is None else price.usd(self.used)

    def facts(self) -> dict[str, Any]:
        """What it did, by name."""
        counters = self.session.executor.counters
        return {
            "stage": self.stage.name,
            "model": self.model,
            "answered": self.counts.done,
            "cached": self.cached,
            "skipped": self.skipped,
            "failed": self.counts.failed - self.skipped,
            "requests": counters.sent,
            "prompt_tokens": counters.prompt_tokens,
            "completion_tokens": counters.completion_tokens,
            "usd": self.usd,
        }


def run(
    frame: pd.DataFrame,
    stages: Sequence[Any],
    *,
    model: Model | str | None,
    limits: Limits | Mapping[str, Any] | None,
    journal: Any,
    errors: Literal["coerce", "raise"],
    overwrite: bool,
    details: bool,
    progress: bool | None,
) -> pd.DataFrame:
    """See `df.llm.pipeline`."""
    if errors not in {"coerce", "raise"}:
        raise ConfigurationError(f"errors is 'coerce' or 'raise', not {errors!r}.")
    made = _stages(stages)
    answers = [Answer.of(str if stage.schema is None else stage.schema) for stage in made]
    names: list[Hashable] = [
        name
        for stage, answer in zip(made, answers, strict=True)
        for name in column_names(answer, stage.name)
    ]
    seen = seen_by(list(frame.columns), made, answers)
    check_names(frame, [*names, *([ERROR] if details else [])], overwrite=overwrite)
    chosen = session_model(model) if any(stage.model is None for stage in made) else None
    shared = None if limits is None else Limits.of(limits)
    kept = default("journal", journal)
    kept = ":memory:" if kept is False else (kept or home() / "journal.sqlite")
    steps = [
        RowStep(stage, _session(stage, stage.model or chosen, shared, kept), each)
        for stage, each in zip(made, seen, strict=True)
    ]
    passages: dict[int, Passage] = {}
    known = PipelineRun(frame.index, names, steps, kept)
    bar = _bar(len(frame), shown=bool(default("progress", progress, True)))

    def finished(passage: Passage) -> None:
        passage.item = None  # the frame has it
        passages[passage.position] = passage
        bar.update(1)

    try:
        _wait(frame, steps, finished)
    finally:
        bar.close()
    out = _assembled(frame, made, answers, passages, overwrite=overwrite, details=details)
    known.end(passages)
    results.remember(out, known, known.run_id)
    _tell(passages, steps, len(frame), errors)
    return out


def _stages(stages: Sequence[Any]) -> list[ProcessingStage]:
    if isinstance(stages, (str, Mapping)) or not isinstance(stages, Sequence) or not stages:
        raise ConfigurationError("stages= is a list of stages: dicts or lp.ProcessingStage.")
    made = [ProcessingStage.of(stage) for stage in stages]
    for stage, count in Counter(stage.name for stage in made).items():
        if count > 1:
            raise ConfigurationError(f"{count} stages are called {stage!r}; their columns clash.")
    # Without a template a stage sees the row and the answers so far, unless it says otherwise.
    return [
        stage if "input" in stage.model_fields_set else stage.model_copy(update={"input": "all"})
        for stage in made
    ]


def _session(
    stage: ProcessingStage, model: Model | None, shared: Limits | None, kept: Any
) -> Session:
    own = Limits(requests_per_minute=stage.rate_limit, concurrency=stage.concurrency, adapt=False)
    assert model is not None  # noqa: S101  (a stage without one took the session's)
    retry = default("retry", None) or Retry()
    first = retry.first_failures
    return Session(
        model, limits=own, shared=shared, journal=kept, retry=retry, first_failures=first
    )


def _items(frame: pd.DataFrame, seen: Sequence[Seen]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows, with the columns that some stage sees."""
    whole = any(each.whole for each in seen)
    shown = {source[0] for each in seen for source in each.sources.values()}
    labels = labels_of(list(frame.columns))
    places = [place for place, label in enumerate(labels) if whole or label in shown]
    for start in range(0, len(frame), SLICE):
        part = frame.iloc[start : start + SLICE]
        cells = [part.iloc[:, place].tolist() for place in places]
        for offset in range(len(part)):
            row = {
                labels[place]: _cell(column[offset], labels[place])
                for place, column in zip(places, cells, strict=True)
            }
            yield start + offset, row


def _cell(value: Any, label: str) -> Any:
    """What a stage sees of a cell; where it has no text, the error of whoever shows it."""
    if is_missing(value):
        return None
    if type(value) in _PLAIN:
        return value
    try:
        return cell_text(value)
    except PromptError as error:
        return CallError(Kind.PROMPT, f"Column {label!r}: {error}.")


def _wait(frame: pd.DataFrame, steps: list[RowStep], finished: Any) -> None:
    """Run on the engine's loop until it is done; Ctrl-C gives up what was not sent yet."""

    async def work() -> None:
        try:
            for step in steps:
                await step.session.revive()
            await flow(_items(frame, [step.seen for step in steps]), steps, finished)
        finally:
            for step in steps:
                await step.session.close()

    future = engine_loop.submit(work())
    try:
        while not future.done():
            concurrent.futures.wait((future,), timeout=0.25)  # in slices, for Ctrl-C
    except KeyboardInterrupt:
        future.cancel()
        raise KeyboardInterrupt(
            "Stopped. What was answered is in the journal: running the cell again goes on there."
        ) from None
    future.result()


def _assembled(
    frame: pd.DataFrame,
    stages: list[ProcessingStage],
    answers: list[Answer],
    passages: Mapping[int, Passage],
    *,
    overwrite: bool,
    details: bool,
) -> pd.DataFrame:
    new: dict[Hashable, Any] = {}
    places = range(len(frame))
    for number, (stage, answer) in enumerate(zip(stages, answers, strict=True)):
        values = [
            passages[place].answers[number]
            if place in passages and number < len(passages[place].answers)
            else MISSING
            for place in places
        ]
        new.update(columns(answer, values, stage.name))
    if details:
        texts = [_why(passages.get(place)) for place in places]
        new[ERROR] = pd.array(texts, dtype="string")
    return assemble(frame, new, overwrite=overwrite)


def _why(passage: Passage | None) -> str | None:
    if passage is None:
        return "not sent"
    error = passage.error
    return None if error is None else f"{error['stage']}: {error['kind']}: {error['error']}"


def _tell(
    passages: Mapping[int, Passage], steps: Sequence[SessionStep], rows: int, errors: str
) -> None:
    stopped = next((step.stopped for step in steps if step.stopped), "")
    if stopped:
        raise RunError(stopped)
    failed = Counter(
        (passage.error["stage"], passage.error["kind"])
        for passage in passages.values()
        if passage.error is not None and passage.error["kind"] != MISSING_CELL
    )
    if not failed:
        return
    words = ", ".join(f"{n:,} {kind} at {stage!r}" for (stage, kind), n in failed.most_common())
    message = f"{failed.total():,} of {rows:,} rows did not come through ({words})."
    if errors == "raise":
        raise RowsFailedError(
            f"{message} The answers are journaled; running again asks the rest, and with "
            "errors='coerce' the frame's .llm.errors() lists them."
        )
    warn(f"{message} out.llm.errors() lists them.", RowsFailedWarning)


def _bar(rows: int, *, shown: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=rows, unit="row", dynamic_ncols=True, disable=not shown)
