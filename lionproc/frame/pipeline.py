"""The stages of `df.llm.pipeline`, and of every verb that is given stages, as a plan.

This is the one place where a frame uses the service layer, for what a stage is; the service layer
knows no frames.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import pandas as pd

from lionproc.engine.limits import Limits
from lionproc.errors import ConfigurationError, PromptError
from lionproc.frame.examples import check_length, examples_kept, examples_of
from lionproc.frame.options import options_of
from lionproc.frame.pipeline_names import Known, OfPrompt, StageNames
from lionproc.frame.plan import Plan
from lionproc.frame.prompt import Prompt
from lionproc.frame.stage import Stage
from lionproc.frame.stage_check import check_stage
from lionproc.frame.stage_output import StageOutput
from lionproc.frame.stopped_at import PIPELINE_ERROR
from lionproc.model.answer import Answer
from lionproc.model.defaults import default_model
from lionproc.model.model import Model
from lionproc.model.schema_type import shape_kept
from lionproc.service.stage import ProcessingStage

__all__ = ["are_stages", "pipeline_plan", "stages_again", "stages_of"]

_ADDRESS = re.compile(r" at 0x[0-9A-Fa-f]+")
_HOW = ("confidence", "votes", "tie")
_ASKED = frozenset(("name", "type", "options", "prompt", "system", "input", *_HOW))


def are_stages(given: object) -> bool:
    """Whether an argument is a list of stages, and not a prompt."""
    return (
        isinstance(given, Sequence)
        and not isinstance(given, str)
        and bool(given)
        and all(isinstance(each, (Mapping, ProcessingStage)) for each in given)
    )


def pipeline_plan(
    frame: pd.DataFrame,
    stages: Sequence[object],
    *,
    model: Model | str | None,
    on_missing: Literal["skip", "send"],
    **options: object,
) -> Plan:
    """Understand and check the arguments of a run through stages.

    Args:
        frame: The input.
        stages: What the stages do: `ProcessingStage`s, or dicts of their fields.
        model: Who answers where a stage names no model.
        on_missing: What becomes of a row that lacks a cell that a template shows.
        **options: The fields of `Options`.

    Raises:
        ConfigurationError: One of them cannot work; nothing was sent.
    """
    made = _stages(stages)
    usual: list[Model] = []  # asked for only where a stage needs it

    def who(stage: ProcessingStage) -> Model:
        if stage.model is None and not usual:
            usual.append(default_model(model))
        chosen: Model = stage.model or usual[0]
        return chosen

    asked = stages_of(frame, made, list(map(who, made)), on_missing)
    for stage in asked:
        check_stage(stage)
        check_length(stage.outputs[0].prompt.turns, stage.model)
    own_limits = any(stage.model.executor is not None for stage in asked)
    more = [PIPELINE_ERROR] if options["details"] else []
    plan = Plan(frame, asked, options_of(own_limits=own_limits, **options), more)
    turns = [list(stage.outputs[0].prompt.turns) for stage in asked]
    plan.asked = {**_arguments(made, on_missing), "examples": turns}
    shown = [f"{s.name}: {examples_kept(t)}" for s, t in zip(asked, turns, strict=True) if t]
    if shown:
        plan.about["examples"] = ", ".join(shown)
    return plan


def _arguments(stages: Sequence[ProcessingStage], on_missing: str) -> dict[str, object]:
    """The arguments that shape the questions, in JSON's types; see `run_note`."""
    return {
        "stages": [_fields(stage) for stage in stages],
        "functions": [f"prompt of stage {each.name!r}" for each in stages if callable(each.prompt)],
        "on_missing": on_missing,
    }


def _fields(stage: ProcessingStage) -> dict[str, object]:
    given = {name: getattr(stage, name) for name in stage.model_fields_set & _ASKED}
    if callable(stage.prompt):
        given["prompt"] = None
    if stage.input_schema is not None:
        given["input_schema"] = shape_kept(Answer.of(stage.input_schema))
    return given


def stages_again(
    frame: pd.DataFrame,
    fields: Sequence[Mapping[str, Any]],
    models: Sequence[Model],
    on_missing: Literal["skip", "send"],
    examples: Sequence[Sequence[dict[str, Any]]] = (),
) -> list[Stage]:
    """`stages_of`, for stages that are remembered by their fields, and by their examples as turns."""
    stages = [ProcessingStage(**each) for each in fields]
    made = stages_of(frame, stages, models, on_missing)
    for number, turns in enumerate(examples):
        if turns:
            made[number] = made[number].with_turns([turns])
    return made


def stages_of(
    frame: pd.DataFrame,
    stages: Sequence[ProcessingStage],
    models: Sequence[Model],
    on_missing: Literal["skip", "send"],
) -> list[Stage]:
    """What the stages ask of the rows of a frame.

    Args:
        frame: The input.
        stages: What they do.
        models: Who answers at each.
        on_missing: As for `pipeline_plan`.

    Raises:
        ConfigurationError: One of them cannot work.
    """
    known = Known(list(frame.columns))
    asked = []
    for number, (stage, who) in enumerate(zip(stages, models, strict=True)):
        answer = Answer.of(str if stage.schema is None else stage.schema)
        try:
            output = _output(stage, known, on_missing)
        except PromptError as error:
            raise PromptError(f"Stage {stage.name!r}: {error}") from error.__cause__
        if stage.examples is not None:
            output = _with_examples(output, stage, answer, on_missing)
        how: dict[str, Any] = {name: getattr(stage, name) for name in _HOW}
        limits, told = _own_limits(stage), _told(stage)
        asked.append(Stage((output,), answer, who, stage.name, limits, told, **how))
        known.add(stage.name, answer, last=number + 1 == len(stages))
    return asked


def _stages(stages: Sequence[Any]) -> list[ProcessingStage]:
    if isinstance(stages, (str, Mapping)) or not isinstance(stages, Sequence) or not stages:
        raise ConfigurationError("stages= is a list of stages: dicts or lp.ProcessingStage.")
    made = [ProcessingStage.of(stage) for stage in stages]
    for stage, count in Counter(stage.name for stage in made).items():
        if count > 1:
            raise ConfigurationError(f"{count} stages are called {stage!r}; their columns clash.")
    return made


def _output(
    stage: ProcessingStage, known: Known, on_missing: Literal["skip", "send"]
) -> StageOutput:
    # Equal questions share one answer whoever asks: a prompt goes out as df.llm.process sends it,
    # without a system prompt that nobody asked for.
    system = stage.system if "system" in stage.model_fields_set else None
    is_function = callable(stage.prompt)
    if isinstance(stage.prompt, str):
        names = StageNames(known)
        prompt = Prompt.of(
            stage.prompt, known.columns, system=system, on_missing=on_missing, names=names
        )
    elif stage.prompt is not None:
        prompt = Prompt.of(stage.prompt, (), system=system, each=True)
    else:
        prompt = Prompt.of(stage.prompt_maker().messages, (), each=True)
    # Without a template a stage sees the row and the answers so far, unless it says otherwise.
    last_answer = "input" in stage.model_fields_set and stage.input == "result"
    sees_data = prompt.each or OfPrompt.DATA in prompt.columns or stage.input_schema is not None
    if sees_data and not (last_answer and known.stages):
        known.all_differ()
    return StageOutput(
        prompt=prompt,
        into=stage.name,
        stages=known.stages,
        hidden=known.replaced,
        options=stage.options,
        wants=None if stage.input_schema is None else Answer.of(stage.input_schema),
        last_answer=last_answer,
        as_it_is=is_function,
    )


def _with_examples(
    output: StageOutput,
    stage: ProcessingStage,
    answer: Answer,
    on_missing: Literal["skip", "send"],
) -> StageOutput:
    try:
        examples = examples_of(
            stage.examples,
            answer=answer,
            into=stage.name,
            read=(),
            values=(),
            on_missing=on_missing,
        )
        template: Any = stage.prompt or stage.prompt_maker().messages
        if output.prompt.each:  # it is shown the whole row
            examples = examples.as_rows()
        return replace(output, prompt=output.prompt.with_examples(examples, template))
    except ConfigurationError as error:
        raise type(error)(f"Stage {stage.name!r}: {error}") from error.__cause__


def _own_limits(stage: ProcessingStage) -> Limits | None:
    """The limits that a stage was given; one without any has those of its endpoint alone."""
    if not stage.model_fields_set & {"rate_limit", "concurrency"}:
        return None
    concurrency = stage.concurrency if "concurrency" in stage.model_fields_set else 1_000_000
    return Limits(requests_per_minute=stage.rate_limit, concurrency=concurrency, adapt=False)


def _told(stage: ProcessingStage) -> str:
    prompt = stage.prompt
    shown = prompt if isinstance(prompt, str) else getattr(prompt, "__qualname__", None)
    if shown is None:  # an object of a class; each process has it elsewhere
        shown = _ADDRESS.sub("", repr(prompt))
    shaping = (stage.name, stage.type, shown, stage.system, stage.options, stage.input)
    return repr((*shaping, stage.votes, stage.tie) if stage.votes > 1 else shaping)
