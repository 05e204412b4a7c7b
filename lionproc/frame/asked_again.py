"""A run again, for the rows that it has not answered, with another prompt, model or limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lionproc.engine.limits import Limits
from lionproc.errors import ConfigurationError
from lionproc.frame.plan import Plan
from lionproc.frame.run_note import with_prompt
from lionproc.frame.stage import Output
from lionproc.model.defaults import checked, default_model
from lionproc.model.model import Model

if TYPE_CHECKING:
    from lionproc.frame.plan_arguments import PromptLike

__all__ = ["asked_again"]


def asked_again(
    plan: Plan,
    *,
    prompt: PromptLike | None,
    model: Model | str | None,
    limits: Limits | Mapping[str, Any] | None,
) -> Plan:
    """The plan of another run over the same rows into the same columns.

    Args:
        plan: The first run.
        prompt: In place of its prompt; None for the same.
        model: In place of its model; None for the same.
        limits: In place of its limits; None for the same.

    Raises:
        ConfigurationError: It cannot work; nothing was sent.
    """
    options = plan.options
    if options.name is not None:  # lp.run() finds both by name
        options = replace(options, name=f"{options.name}, again")
    if limits is not None:
        options = replace(options, limits=checked("limits", limits))
    if prompt is None and model is None:
        return plan.again(options)
    if plan.staged:
        raise ConfigurationError(
            "Stages have a prompt and a model each, so retry_failed() takes limits= alone here. "
            "Call df.llm.pipeline with the other stages: what is asked as before is in the journal."
        )
    (stage,) = plan.stages
    if prompt is not None:
        outputs = tuple(_asks(each, prompt, plan) for each in stage.outputs)
        stage = replace(stage, outputs=outputs)
    if model is not None:
        stage = replace(stage, model=default_model(model))
    other = Plan(plan.frame, [stage], options)
    other.attrs = plan.attrs
    other.about.update(plan.about)
    other.asked = plan.asked
    if prompt is not None:
        named = getattr(prompt, "__qualname__", "a function")
        other.about["prompt"] = prompt if isinstance(prompt, str) else named
        if plan.asked is not None:
            other.asked = with_prompt(plan.asked, prompt)
    return other


def _asks(output: Output, prompt: PromptLike, plan: Plan) -> Output:
    return replace(output, prompt=output.prompt.replaced(prompt, list(plan.frame.columns)))
