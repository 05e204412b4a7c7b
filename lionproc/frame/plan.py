"""What a run will do, worked out and checked before anything is sent."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import pandas as pd
import pyarrow as pa

from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.engine.paths import absolute
from lionproc.engine.retry import Retry
from lionproc.errors import CallError, ColumnError, ConfigurationError, did_you_mean
from lionproc.frame.assemble import Missing, assemble, check_names, column_names, names_of
from lionproc.frame.cell import cell_text, is_missing
from lionproc.frame.export import check_frame_can_be_saved, check_target
from lionproc.frame.prompt import Prompt
from lionproc.frame.row_store import detail_names
from lionproc.model.answer import Answer
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.defaults import checked, default, default_model
from lionproc.model.model import Model

PromptLike: TypeAlias = "str | Callable[[Any], Any]"
BATCH_ROWS = 256  # rows that are rendered and looked up at once


class _FromSchema:
    """Where no name was given: "answer", or the field names of a model."""

    def __repr__(self) -> str:
        return "<the fields of a model, else 'answer'>"


FROM_SCHEMA = _FromSchema()


@dataclass(frozen=True, slots=True)
class Output:
    """One answer per row.

    Attributes:
        prompt: Makes the messages.
        into: The column, or prefix of columns; None for bare field names.
        source: The column whose cell is `{value}`, if there is one.
        place: Its position among the frame's columns.
    """

    prompt: Prompt
    into: Hashable | None
    source: Hashable | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a run that do not shape its answers, checked."""

    limits: Limits | None
    budget: Budget | None
    retry: Retry
    journal: Any
    chunk_size: int
    save: str | None
    resume: bool
    deduplicate: bool
    errors: Literal["coerce", "raise"]
    overwrite: bool
    details: bool
    progress: bool
    panel: bool | None


Rendered: TypeAlias = "ModelCall | Missing | CallError"


class Plan:
    """Rows and outputs, and the calls that they become.

    Positions number the answers: `output * rows + row`.

    Args:
        frame: The input, never changed.
        outputs: What is asked of each row.
        answer: The shape of the answers.
        model: Who answers.
        options: Everything else.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        outputs: Sequence[Output],
        answer: Answer,
        model: Model,
        options: Options,
    ) -> None:
        # What is done to the frame in place while its rows are asked (sorted, cut, relabelled)
        # must not move answers to other rows: so this is the frame as it is now.
        self.frame = frame = frame.copy(deep=False)
        self.outputs = tuple(outputs)
        self.answer = answer
        self.model = model
        self.options = options
        self.rows = len(frame)
        self.total = self.rows * len(self.outputs)
        self.about: dict[str, str] = {}  # what the files say of the prompt
        self._occurrences: dict[bytes, int] = {}
        names = [n for output in self.outputs for n in column_names(answer, output.into)]
        if options.details:
            names += [n for output in self.outputs for n in detail_names(output.into)]
        check_names(frame, names, overwrite=options.overwrite)
        self.names = names
        self.saved_as: pa.Schema | None = None
        if options.save is not None:
            blank = pd.array([None] * self.rows, dtype="string")
            whole = assemble(frame, dict.fromkeys(names, blank), overwrite=True)
            self.saved_as = check_frame_can_be_saved(whole, names)
        self._series = {
            label: frame[label] for output in self.outputs for label in output.prompt.columns
        }
        self._try_first_row()

    def _try_first_row(self) -> None:
        """A function that cannot work is found out before the run, not at its end."""
        for output in self.outputs:
            if self.rows:
                cells, value = self._cells(output, 0, 1)
                output.prompt.check(cells, value=value)

    def batches(self) -> Iterator[tuple[int, int]]:
        """Row ranges, small enough to be made at once, none across the end of a chunk."""
        for chunk in range(0, self.rows, self.options.chunk_size):
            end = min(chunk + self.options.chunk_size, self.rows)
            for start in range(chunk, end, BATCH_ROWS):
                yield start, min(start + BATCH_ROWS, end)

    def calls(self, recipe: RequestBuilder, start: int, stop: int) -> list[tuple[int, Rendered]]:
        """What rows `start` to `stop` become: (position, call or why there is none)."""
        made: list[tuple[int, Rendered]] = []
        for number, output in enumerate(self.outputs):
            cells, value = self._cells(output, start, stop)
            base = number * self.rows + start
            rendered = output.prompt.render_slice(cells, 0, stop - start, value=value)
            for offset, messages in enumerate(rendered):
                if isinstance(messages, list):
                    made.append((base + offset, self._call(recipe, messages)))
                else:
                    made.append((base + offset, messages))
        return made

    def forget_occurrences(self) -> None:
        """Count equal rows from the start again, for the next pass over them."""
        self._occurrences.clear()

    def _call(self, recipe: RequestBuilder, messages: list[dict[str, Any]]) -> Rendered:
        try:
            call = recipe.ask(messages)
        except (TypeError, ValueError) as error:
            from lionproc.errors import Kind

            return CallError(
                Kind.PROMPT, f"The messages cannot be written as JSON ({type(error).__name__})."
            )
        if self.options.deduplicate or call.key is None:
            return call
        seen = self._occurrences.get(call.key, 0)
        self._occurrences[call.key] = seen + 1
        return recipe.ask(messages, occurrence=seen) if seen else call

    def _cells(
        self, output: Output, start: int, stop: int
    ) -> tuple[dict[Hashable, list[Any]], list[Any] | None]:
        cells = {
            label: self._series[label].iloc[start:stop].tolist() for label in output.prompt.columns
        }
        if output.place is None:
            return cells, None
        return cells, self.frame.iloc[start:stop, output.place].tolist()

    def cells_shown(self, place: int, most: int = 300) -> str:
        """The cells that the prompt shows for one answer, as text for a person, cut."""
        output, row = self.outputs[place // self.rows], place % self.rows
        cells, value = self._cells(output, row, row + 1)
        if value is not None and not cells:
            return cell_text(value[0])[:most] if not is_missing(value[0]) else ""
        shown = []
        for label, (cell,) in cells.items():
            text = "" if is_missing(cell) else cell_text(cell)[:most]
            shown.append(f"{label}: {text}" if len(cells) > 1 else text)
        return ", ".join(shown)[:most]

    def fingerprint(self, recipe: RequestBuilder) -> str:
        """Equal for the same run started again, different for any other."""
        digest = blake2b(recipe.digest, digest_size=16)
        digest.update(f"{self.rows} {self.options.chunk_size} {self.names}".encode())
        self._occurrences.clear()
        for start in sorted({0, self.rows // 2, self.rows - 1}):
            if 0 <= start < self.rows:
                for _, call in self.calls(recipe, start, start + 1):
                    digest.update(getattr(call, "key", None) or b"-")
        self.forget_occurrences()
        return digest.hexdigest()


def plan(
    frame: pd.DataFrame,
    prompt: PromptLike,
    *,
    into: Any,
    schema: Any,
    system: Any,
    model: Model | str | None,
    columns: Sequence[Hashable] | None,
    on_missing: Literal["skip", "send"],
    each: bool = False,
    **options: Any,
) -> Plan:
    """Understand and check the arguments of a run.

    Raises:
        ConfigurationError: One of them cannot work; nothing was sent.
    """
    # A bare value has the same name on the wire whatever its column is called, so that the same
    # question into another column is not bought again.
    answer = Answer.of(schema)
    if columns is not None:
        outputs = _outputs_by_column(frame, prompt, into, system, columns, on_missing=on_missing)
    else:
        if isinstance(into, _FromSchema):
            into = "answer" if answer.fields is None else None
        made = Prompt.of(
            prompt, list(frame.columns), system=system, each=each, on_missing=on_missing
        )
        outputs = [Output(made, into, place=0 if each else None)]
    chosen = default_model(model)
    own_gate = chosen.executor is not None
    made_plan = Plan(frame, outputs, answer, chosen, _options(own_gate=own_gate, **options))
    for key, text in (("prompt", prompt), ("system", system)):
        if text is not None:
            made_plan.about[key] = (
                text if isinstance(text, str) else getattr(text, "__qualname__", "a function")
            )
    return made_plan


def _outputs_by_column(
    frame: pd.DataFrame,
    prompt: PromptLike,
    into: Any,
    system: Any,
    columns: Sequence[Hashable],
    *,
    on_missing: Literal["skip", "send"],
) -> list[Output]:
    if not pd.api.types.is_list_like(columns, allow_sets=False) or not len(columns):
        raise ColumnError(f'columns= is a list of column names, like ["title"], not {columns!r}.')
    if isinstance(into, _FromSchema):
        into = "{column}_answer"
    if not isinstance(into, str) or "{column}" not in into:
        raise ColumnError(
            f'With columns=, into= names one column for each: into="{{column}}_fr", not {into!r}.'
        )
    if isinstance(prompt, str) and "{value}" not in prompt.replace(" ", ""):
        raise ColumnError("With columns=, the prompt shows the cell as {value}; it has none.")
    outputs = []
    for column in columns:
        if column not in frame.columns:
            raise ColumnError(
                f"There is no column {column!r}.{did_you_mean(column, frame.columns)}"
            )
        place = frame.columns.get_loc(column)
        if not isinstance(place, int):
            raise ColumnError(f"There is more than one column {column!r}; rename them first.")
        made = Prompt.of(
            prompt, list(frame.columns), system=system, each=True, on_missing=on_missing
        )
        outputs.append(Output(made, into.replace("{column}", str(column)), column, place))
    return outputs


def _options(*, own_gate: bool, **given: Any) -> Options:
    if given["errors"] not in {"coerce", "raise"}:
        raise ConfigurationError(f"errors is 'coerce' or 'raise', not {given['errors']!r}.")
    for name in ("resume", "deduplicate", "overwrite", "details"):
        if not isinstance(given[name], bool):
            raise ConfigurationError(f"{name} is True or False, not {given[name]!r}.")

    def usual(name: str, otherwise: Any = None) -> Any:
        return checked(name, default(name, given[name], otherwise))

    # An executor that was given has limits of its own; the session's are for those without.
    limits = given["limits"] if own_gate else default("limits", given["limits"])
    return Options(
        limits=checked("limits", limits),
        budget=usual("budget"),
        retry=usual("retry", Retry()),
        journal=usual("journal"),
        chunk_size=usual("chunk_size", 1000),
        save=_save(given["save"]),
        resume=given["resume"],
        deduplicate=given["deduplicate"],
        errors=given["errors"],
        overwrite=given["overwrite"],
        details=given["details"],
        progress=usual("progress", True),
        panel=usual("panel"),
    )


def _save(given: Any) -> str | None:
    if given is None:
        return None
    try:
        path = os.fspath(given)
    except TypeError:
        raise ConfigurationError(f"save= is a path, not {type(given).__name__}.") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"save= is a path such as 'out.parquet', not {path!r}.")
    return absolute(path)


def check_save(plan: Plan, fingerprint: str) -> None:
    """Refuse a target of `save=` that cannot be written.

    Raises:
        ConfigurationError: It cannot; nothing was sent.
    """
    if plan.options.save is not None:
        check_target(
            plan.options.save,
            run=fingerprint,
            rows=plan.rows,
            columns=[*names_of(plan.frame, plan.names), *plan.frame.index.names],
            overwrite=plan.options.overwrite,
        )


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the user's own code."""
    import sys

    frame, depth = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").startswith("lionproc"):
        frame, depth = frame.f_back, depth + 1  # type: ignore[assignment]
    warnings.warn(message, category, stacklevel=depth)


__all__ = ["Options", "Output", "Plan", "check_save", "plan"]
