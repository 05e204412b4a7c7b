"""What a run asked of every row, without the rows: what a frame remembers of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from lionproc.frame.prompt import Prompt
from lionproc.frame.stage import Output
from lionproc.model.answer import Answer

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


def asked_of(
    outputs: Sequence[Output], answer: Answer, labels: Sequence[Hashable]
) -> tuple[Asked, ...]:
    """The questions of a run.

    Args:
        outputs: What is asked of each row.
        answer: The shape of the answers.
        labels: What the columns of the frame are called.
    """
    return tuple(
        Asked(each.prompt, answer, each.into, None if each.place is None else labels[each.place])
        for each in outputs
    )
