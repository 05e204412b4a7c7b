"""What a part notes of its run, where the fingerprint of the run does not tell it.

The name of a part is made of the fingerprint, which knows the words and models of a run, and what
three of its rows ask. Not in it is how a cascade chooses who answers, what functions do with other
rows, how code of the user's reads replies, and what later stages are shown besides their own words. A run that differs in these alone
finds parts of its own name in its folder, which are not its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from lionproc.frame.function_digest import digest_of
from lionproc.frame.plan import Plan, sampled
from lionproc.frame.stage import Stage
from lionproc.frame.stage_output import StageOutput
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.reading_code import reading_code
from lionproc.model.schema_type import shape_kept
from lionproc.model.thresholds import thresholds_of

__all__ = ["NOTE", "note_of"]

NOTE = "asked"  # in the facts of a part


def note_of(plan: Plan, builders: Sequence[RequestBuilder]) -> str:
    """A digest of what the fingerprint of a run does not tell, the same in any process.

    Args:
        plan: The run.
        builders: As for `Plan.fingerprint`.

    Returns:
        The digest; "" where it tells all.
    """
    noted: list[object] = [] if plan.options.deduplicate else ["equal rows are asked one by one"]
    noted += _of_first(plan, builders[0])
    for number, stage in enumerate(plan.stages):
        noted += [(number, what, value) for what, value in _of_stage(stage).items() if value]
        turns = [output.prompt.turns for output in stage.outputs]
        if number and any(turns):
            noted.append((number, "examples", turns))
    return digest_of(noted) if noted else ""


def _of_first(plan: Plan, builder: RequestBuilder) -> list[object]:
    """What is told of later stages: votes; and words, where none of the three rows is asked."""
    stage = plan.stages[0]
    noted: list[object] = [("votes", stage.votes, stage.tie)] if stage.votes > 1 else []
    asked = {
        place // plan.rows for place, call in sampled(plan, builder) if isinstance(call, ModelCall)
    }
    for number, output in enumerate(stage.outputs):
        if plan.rows and number not in asked:
            noted.append((number, "words", stage.told, output.prompt.words))
    return noted


def _of_stage(stage: Stage) -> dict[str, object]:
    """What of a stage no fingerprint tells; nothing where it is as usual."""
    prompts = [output.prompt for output in stage.outputs]
    wanted = [o.wants for o in stage.outputs if isinstance(o, StageOutput) and o.wants is not None]
    return {
        "thresholds": thresholds_of(stage.model),
        "functions": [prompt.functions for prompt in prompts if prompt.calls_functions],
        "on_missing": [p.on_missing for p in prompts if p.on_missing != "skip"],
        "reading": reading_code(stage.answer.source),
        "input": [(shape_kept(answer), answer.source) for answer in wanted],
    }
