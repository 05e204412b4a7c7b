"""The arguments of a run, understood and checked: what `plan` makes of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import pandas as pd

from lionproc.errors import ColumnError, did_you_mean
from lionproc.frame.examples import check_length, examples_kept, examples_of
from lionproc.frame.options import options_of
from lionproc.frame.plan import Plan
from lionproc.frame.prompt import Prompt
from lionproc.frame.run_note import arguments_of
from lionproc.frame.stage import Output, Stage
from lionproc.frame.stage_check import check_stage
from lionproc.model.answer import Answer
from lionproc.model.defaults import default_model
from lionproc.model.model import Model

__all__ = ["FROM_SCHEMA", "PromptLike", "outputs_of", "plan"]

PromptLike: TypeAlias = "str | Callable[[Any], Any]"


class _FromSchema:
    """Where no name was given: "answer", or the field names of a model. There is one."""

    def __reduce__(self) -> str:
        """On its way to another process: there it is the one of that process."""
        return "FROM_SCHEMA"

    def __repr__(self) -> str:
        return "<the fields of a model, else 'answer'>"


FROM_SCHEMA = _FromSchema()
VALUE = "value"  # what the cells of a series are called


def plan(
    frame: pd.DataFrame,
    prompt: PromptLike,
    *,
    into: object,
    schema: object,
    system: Any,
    model: Model | str | None,
    columns: Sequence[Hashable] | None,
    on_missing: Literal["skip", "send"],
    confidence: bool,
    votes: int,
    tie: Literal["na", "first"],
    examples: object,
    each: bool = False,
    value_names: Sequence[Hashable] = (),
    **options: Any,
) -> Plan:
    """Understand and check the arguments of a run.

    Raises:
        ConfigurationError: One of them cannot work; nothing was sent.
    """
    # A bare value has the same name on the wire whatever its column is called, so that the same
    # question into another column is not bought again.
    answer = Answer.of(schema)
    if isinstance(into, _FromSchema):
        usual = "answer" if answer.fields is None else None
        into = usual if columns is None else "{column}_answer"
    outputs = outputs_of(
        frame,
        prompt,
        into=into,
        system=system,
        columns=columns,
        on_missing=on_missing,
        each=each,
    )
    chosen = default_model(model)
    if examples is not None:
        outputs = [
            _shown(o, prompt, answer, examples, names=_value_names(o, frame, value_names))
            for o in outputs
        ]
        check_length(outputs[0].prompt.turns, chosen)
    own_limits = chosen.executor is not None
    stage = Stage(tuple(outputs), answer, chosen, confidence=confidence, votes=votes, tie=tie)
    check_stage(stage)
    made_plan = Plan(frame, [stage], options_of(own_limits=own_limits, **options))
    made_plan.asked = arguments_of(
        prompt=prompt,
        system=system,
        into=into,
        columns=columns,
        on_missing=on_missing,
        each=each,
        confidence=confidence,
        votes=votes,
        tie=tie,
        examples=[list(output.prompt.turns) for output in outputs],
    )
    if examples is not None:
        made_plan.about["examples"] = examples_kept(outputs[0].prompt.turns)
    if votes > 1:
        made_plan.about["votes"] = str(votes)
    for key, text in (("prompt", prompt), ("system", system)):
        if text is not None:
            made_plan.about[key] = (
                text if isinstance(text, str) else getattr(text, "__qualname__", "a function")
            )
    return made_plan


def _value_names(
    output: Output, frame: pd.DataFrame, given: Sequence[Hashable]
) -> tuple[Hashable, ...]:
    """What the column of the cells may be called in a frame of examples."""
    if not output.prompt.each or output.place is None:
        return ()
    return tuple(given) or (frame.columns[output.place],)  # of several columns each has its own


def _shown(
    output: Output,
    prompt: PromptLike,
    answer: Answer,
    examples: object,
    *,
    names: Sequence[Hashable],
) -> Output:
    """What is asked of each row, with examples before it."""
    own = output.prompt
    shown = examples_of(
        examples,
        answer=answer,
        into=output.into,
        read=own.columns,
        values=names,
        on_missing=own.on_missing,
    )
    return replace(output, prompt=own.with_examples(shown, prompt))


def outputs_of(
    frame: pd.DataFrame,
    prompt: PromptLike,
    *,
    into: Any,
    system: Any,
    columns: Sequence[Hashable] | None,
    on_missing: Literal["skip", "send"],
    each: bool,
) -> list[Output]:
    """What is asked of each row.

    Raises:
        ConfigurationError: It cannot work; nothing was sent.
    """
    if columns is not None:
        return _outputs_by_column(frame, prompt, into, system, columns, on_missing=on_missing)
    made = Prompt.of(prompt, list(frame.columns), system=system, each=each, on_missing=on_missing)
    return [Output(made, into, 0 if each else None)]


def _outputs_by_column(
    frame: pd.DataFrame,
    prompt: PromptLike,
    into: object,
    system: Any,
    columns: Sequence[Hashable],
    *,
    on_missing: Literal["skip", "send"],
) -> list[Output]:
    if not pd.api.types.is_list_like(columns, allow_sets=False) or not len(columns):
        raise ColumnError(f'columns= is a list of column names, like ["title"], not {columns!r}.')
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
        outputs.append(Output(made, into.replace("{column}", str(column)), place))
    return outputs
