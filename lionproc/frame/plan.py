"""What a run will do, worked out and checked before anything is sent."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from hashlib import blake2b
from typing import Any, TypeAlias

import pandas as pd
import pyarrow as pa

from lionproc.engine.journal import Entry
from lionproc.errors import CallError, Kind, PromptError
from lionproc.frame.assemble import Missing, assemble, check_names, column_names, names_of
from lionproc.frame.cell import cell_text, is_missing
from lionproc.frame.confidence_columns import confidence_names
from lionproc.frame.export import check_frame_can_be_saved
from lionproc.frame.options import Options
from lionproc.frame.portions import Portions
from lionproc.frame.prompt import Rendered as Messages
from lionproc.frame.prompt_function import is_of_the_row, must_be_made
from lionproc.frame.row_store import detail_names
from lionproc.frame.save_target import check_target, refuse_journal
from lionproc.frame.snapshot import snapshot
from lionproc.frame.stage import Answers, Output, Rows, Stage
from lionproc.model.answer import Answer
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.model import Model

Rendered: TypeAlias = "ModelCall | Missing | CallError"
"""What a row becomes: a call, or why there is none."""

_TRIED_ROWS = 5  # before the run, where the first of them fail
_STANDS_ALONE: ContextVar[bool] = ContextVar("_STANDS_ALONE", default=True)


@contextmanager
def some_of_the_rows() -> Iterator[None]:
    """What is planned in it are some rows of more: of a prompt that fails for the first is noted why."""
    token = _STANDS_ALONE.set(False)
    try:
        yield
    finally:
        _STANDS_ALONE.reset(token)


class Plan:
    """Rows and stages, and the calls that they become.

    Places number the answers: `output * rows + row`, with the outputs of all stages in order.
    Where there are several stages, each but the last asks once of a row, and what it answers lets
    the next one ask: the place after it is `rows` further.

    Args:
        frame: The input, never changed.
        stages: What is asked of each row, stage after stage.
        options: Everything else.
        more_names: Columns that are made besides those of the answers.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        stages: Sequence[Stage],
        options: Options,
        more_names: Sequence[Hashable] = (),
    ) -> None:
        # What is done to the frame in place while its rows are asked (sorted, cut, relabelled,
        # corrected) must not put answers beside other rows: so this is the frame as it is now.
        self.frame = frame = snapshot(frame)
        self.attrs, frame.attrs = frame.attrs, {}  # pandas copies them with each column it is asked
        self.stages = tuple(stages)
        self.outputs = tuple(output for stage in stages for output in stage.outputs)
        self._stage_of = [n for n, stage in enumerate(stages) for _ in stage.outputs]
        self.options = options
        self.rows = len(frame)
        self.ends = len(stages[-1].outputs)  # how often a row comes to its end
        self.total = self.rows * self.ends
        self.about: dict[str, str] = {}  # what the files say of the prompt
        self.asked: dict[str, object] | None = None  # what the journal remembers of the questions
        self.shapes: list[dict[str, object]] = []  # and of the answers, made with its first note
        self._occurrences: list[dict[bytes, int]] = [{} for _ in stages]
        self._portions = [Portions(stage.columns_of(frame)) for stage in self.stages]
        self._tried: dict[tuple[int, int], Messages] = {}  # rendered before the run, used up in it
        names = [
            name
            for stage in stages
            for output in stage.outputs
            for name in column_names(stage.answer, output.into)
        ]
        self.answer_names = list(names)
        names += [
            name
            for stage in stages
            for output in stage.outputs
            for name in confidence_names(stage, output.into)
        ]
        if options.details:
            names += [n for output in self.outputs for n in detail_names(output.into)]
        names += more_names
        check_names(frame, names, overwrite=options.overwrite)
        self.names = names
        self.saved_as: pa.Schema | None = None
        if options.save is not None:
            blank = pd.array([None] * self.rows, dtype="string")
            whole = assemble(frame, dict.fromkeys(names, blank), overwrite=True)
            self.saved_as = check_frame_can_be_saved(whole, names)
        self.fault: PromptError | None = None  # of the prompt, as it seems
        try:
            self._try_first_rows()
        except PromptError as error:
            if _STANDS_ALONE.get():
                raise
            self.fault = error

    def again(self, options: Options) -> Plan:
        """The same for another run, which may be under way at the same time as this one.

        Args:
            options: Everything else.
        """
        made = copy(self)
        made.options = options
        made._occurrences = [{} for _ in self.stages]
        made._portions = [Portions(stage.columns_of(self.frame)) for stage in self.stages]
        made._tried = {}
        return made

    @property
    def staged(self) -> bool:
        """Whether it is a pipeline: its stages have names."""
        return bool(self.stages[0].name)

    @property
    def answer(self) -> Answer:
        """The shape of the answers, where there is one stage."""
        return self.stages[0].answer

    @property
    def model(self) -> Model:
        """Who answers, where there is one stage."""
        return self.stages[0].model

    def places_of(self, stage: int) -> range:
        """The places of all answers of a stage."""
        outputs = [number for number, its in enumerate(self._stage_of) if its == stage]
        return range(outputs[0] * self.rows, (outputs[-1] + 1) * self.rows)

    def stage_at(self, place: int) -> int:
        """The number of the stage that a place belongs to, or that of a vote on it."""
        return self._stage_of[place // self.rows % len(self._stage_of)]

    @property
    def stages_of_outputs(self) -> list[int]:
        """The number of the stage of each output."""
        return list(self._stage_of)

    def stage_of(self, output: int) -> int:
        """The number of the stage that an output belongs to."""
        return self._stage_of[output]

    def first_place(self, stage: int) -> int:
        """The place of the first row at a stage."""
        return self._stage_of.index(stage) * self.rows

    def next_place(self, place: int) -> int | None:
        """Where a row goes on when it has its answer; None where that was its last one."""
        following = place + self.rows
        last = len(self.stages) - 1
        return None if self._stage_of[place // self.rows] == last else following

    def _try_first_rows(self) -> None:
        """A function that cannot work is found out before the run, not at its end.

        Where the first row fails, the next ones are tried: a picture that is missing is the fault
        of one row, and a mistake in the function is that of all.
        """
        for number, output in enumerate(self.stages[0].outputs):
            tried: list[Any] = []
            for row in range(min(self.rows, _TRIED_ROWS)):
                rows = range(row, row + 1)
                tried += self._rendered(number, output, rows, _none_yet, keep=True)
                if not isinstance(tried[-1], CallError):
                    break
            else:
                for row, made in enumerate(tried):
                    if not is_of_the_row(made):
                        must_be_made(made, row)

    def chunks(self) -> Iterator[range]:
        """The rows, chunk by chunk."""
        size = self.options.chunk_size
        for start in range(0, self.rows, size):
            yield range(start, min(start + size, self.rows))

    def reads(self) -> list[int]:
        """The places of the columns that are asked about."""
        return sorted(set[int]().union(*(output.reads(self.frame) for output in self.outputs)))

    @property
    def parts(self) -> int:
        """How many parts a folder of the results has. Without rows it has one."""
        return max(1, -(-self.rows // self.options.chunk_size))

    def first_calls(self, builder: RequestBuilder) -> Iterator[list[tuple[int, Rendered]]]:
        """What all rows become at the first stage, as `calls`, some of them at a time."""
        for rows in self.chunks():
            yield from self.in_portions(0, builder, rows, _none_yet)

    def in_portions(
        self, stage: int, builder: RequestBuilder, rows: Rows, answers: Answers
    ) -> Iterator[list[tuple[int, Rendered]]]:
        """What rows become at a stage, as `calls`, some of them at a time.

        Args:
            stage: The number of the stage.
            builder: Makes calls of messages.
            rows: Which rows; at the first stage they follow each other.
            answers: What earlier stages answered.
        """
        portions = self._portions[stage]
        while rows:
            part = portions.first(rows)
            rows = rows[len(part) :]
            if isinstance(part, range) and stage == 0:
                made = self.calls(builder, part.start, part.stop)
            else:
                made = self.further_calls(stage, builder, part, answers)
            sizes = [call.size for _, call in made if isinstance(call, ModelCall)]
            portions.made(len(part), sum(sizes))
            yield made

    def found(self, stage: int, rows: int, kept: Mapping[bytes, Entry]) -> None:
        """The journal had these replies to so many rows of a stage: long ones make portions short."""
        self._portions[stage].found(rows, kept.values())

    def calls(
        self, builder: RequestBuilder, start: int, stop: int, *, keep: bool = False
    ) -> list[tuple[int, Rendered]]:
        """What rows become at the first stage: places, and calls or why there is none.

        Args:
            builder: Makes calls of messages.
            start: The first row.
            stop: The row after the last.
            keep: Whether the messages are kept for the next time.
        """
        made: list[tuple[int, Rendered]] = []
        for number, output in enumerate(self.stages[0].outputs):
            rendered = self._rendered(number, output, range(start, stop), _none_yet, keep=keep)
            made += self._called(0, builder, number, range(start, stop), rendered)
        return made

    def further_calls(
        self, stage: int, builder: RequestBuilder, rows: Sequence[int], answers: Answers
    ) -> list[tuple[int, Rendered]]:
        """What rows become at a later stage, as `calls`.

        Args:
            stage: The number of the stage.
            builder: Makes calls of messages.
            rows: Which rows.
            answers: What earlier stages answered.
        """
        (output,) = self.stages[stage].outputs
        rendered = output.render(self.frame, rows, answers)
        return self._called(stage, builder, self._stage_of.index(stage), rows, rendered)

    def _rendered(
        self, number: int, output: Output, rows: range, answers: Answers, *, keep: bool
    ) -> list[Messages]:
        """The messages of rows that follow each other; none is made twice that was kept."""
        made: list[Messages] = []
        start = rows.start
        known = [row for n, row in self._tried if n == number and row in rows]
        for row in sorted(known):
            made += output.render(self.frame, range(start, row), answers) if row > start else []
            made.append(self._tried[number, row] if keep else self._tried.pop((number, row)))
            start = row + 1
        if start < rows.stop:
            made += output.render(self.frame, range(start, rows.stop), answers)
        if keep:
            self._tried.update({(number, row): m for row, m in zip(rows, made, strict=True)})
        return made

    def _called(
        self,
        stage: int,
        builder: RequestBuilder,
        number: int,
        rows: Rows,
        rendered: Sequence[Messages],
    ) -> list[tuple[int, Rendered]]:
        base = number * self.rows
        return [
            (base + row, self._call(stage, builder, told) if isinstance(told, list) else told)
            for row, told in zip(rows, rendered, strict=True)
        ]

    def forget_occurrences(self) -> None:
        """Count equal rows from the start again, for the next pass over them."""
        for occurrences in self._occurrences:
            occurrences.clear()

    def _call(
        self, stage: int, builder: RequestBuilder, messages: Sequence[Mapping[str, object]]
    ) -> Rendered:
        try:
            call = builder.ask(messages)
        except (TypeError, ValueError, RecursionError) as error:
            return CallError(
                Kind.PROMPT, f"The messages cannot be written as JSON ({type(error).__name__})."
            )
        if self.options.deduplicate or call.key is None:
            return call
        occurrences = self._occurrences[stage]
        seen = occurrences.get(call.key, 0)
        occurrences[call.key] = seen + 1
        return builder.ask(messages, occurrence=seen) if seen else call

    def cells_shown(self, place: int, answers: Answers, most: int = 300) -> str:
        """The cells that the prompt shows for one answer, as text for a person, cut."""
        output, row = self.outputs[place // self.rows], place % self.rows
        cells, value = output.cells(self.frame, range(row, row + 1), answers)
        if value is not None and not cells:
            return _shown(value[0], most)
        shown = []
        for label, (cell,) in cells.items():
            text = _shown(cell, most)
            shown.append(f"{label}: {text}" if len(cells) > 1 else text)
        return ", ".join(shown)[:most]

    def fingerprint(self, builders: Sequence[RequestBuilder]) -> str:
        """Equal for the same run started again, different for any other."""
        digest = blake2b(digest_size=16)
        for builder in builders:
            digest.update(builder.digest)
        digest.update(f"{self.rows} {self.options.chunk_size} {self.names}".encode())
        for stage in self.stages[1:]:
            digest.update(stage.told.encode())
        for _, call in sampled(self, builders[0]):
            digest.update(getattr(call, "key", None) or b"-")
        return digest.hexdigest()


def sampled(plan: Plan, builder: RequestBuilder) -> list[tuple[int, Rendered]]:
    """What the first row, one in the middle and the last one become, as `Plan.calls`."""
    made: list[tuple[int, Rendered]] = []
    plan.forget_occurrences()
    for start in sorted({0, plan.rows // 2, plan.rows - 1}):
        if 0 <= start < plan.rows:
            made += plan.calls(builder, start, start + 1, keep=True)
    plan.forget_occurrences()
    return made


def _none_yet(stage: int, row: int, _field: str | None = None) -> object:
    """Answers of earlier stages, for the first one."""
    raise LookupError(f"stage {stage} has not answered row {row}")


def _shown(cell: Any, most: int) -> str:
    try:
        return "" if is_missing(cell) else cell_text(cell)[:most]
    except PromptError:
        return ""  # it has no text, which is what went wrong


def check_save(plan: Plan, fingerprint: str) -> None:
    """Refuse a target of `save=` that cannot be written.

    Raises:
        ConfigurationError: It cannot; nothing was sent.
    """
    if plan.options.save is not None:
        if plan.options.journal is not False:
            refuse_journal(plan.options.save, plan.options.journal, "save=")
        check_target(
            plan.options.save,
            run=fingerprint,
            parts=plan.parts,
            rows=plan.rows,
            columns=[*names_of(plan.frame, plan.names), *plan.frame.index.names],
            overwrite=plan.options.overwrite,
        )


__all__ = ["Options", "Output", "Plan", "check_save", "sampled"]
