"""What a run asked of every row, without the rows: what a frame remembers of it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lionproc.frame.prompt import Prompt
from lionproc.model.answer import Answer

if TYPE_CHECKING:
    from lionproc.frame.plan import Plan

__all__ = ["Asked", "asked_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that a run asks of every row.

    Attributes:
        prompt: Makes the messages.
        answer: The shape of the answers.
        into: The column, or prefix of columns; None for bare field names.
        value: The column whose cell is `{value}`, where the prompt has one.
    """

    prompt: Prompt
    answer: Answer
    into: Hashable | None
    value: Hashable | None = None


def asked_of(plan: Plan) -> tuple[Asked, ...]:
    """The questions of a run; none of one through stages, where a row is asked what others said."""
    if plan.staged:
        return ()
    labels = plan.frame.columns
    return tuple(
        Asked(
            each.prompt, plan.answer, each.into, None if each.place is None else labels[each.place]
        )
        for each in plan.outputs
    )
