"""Who is asked before a server and who after it, where several answer in turn.

A server that has only what others could not answer says nothing of the run: it may refuse every row
that it gets while the others answer a million. So it ends no run as long as one of those may answer.
What would end the run leaves it alone instead, and the rows that need it fail with its reason. Then
those before it have nobody who makes up for them: their failures count as if they were alone, and it
is they who end the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from lionproc.errors import RunError

__all__ = ["Neighbour", "Neighbours", "introduce"]


class Neighbour(Protocol):
    """What a server says of itself to those before and after it."""

    has_answered: bool
    held: RunError | None
    others: Neighbours

    @property
    def may_answer(self) -> bool:
        """Whether it is able, as far as anybody knows."""

    @property
    def is_proven(self) -> bool:
        """Whether there are answers of it."""

    @property
    def is_left_alone(self) -> bool:
        """Whether it is asked only now and then."""

    def hear(self) -> None:
        """Somebody after it has answered for the first time."""


class Neighbours:
    """What those before and after a server have come to.

    Attributes:
        before: Those that are asked first.
        after: Those that are asked what it cannot answer.
    """

    def __init__(self) -> None:
        self.before: Sequence[Neighbour] = ()
        self.after: Sequence[Neighbour] = ()

    @property
    def may_answer(self) -> bool:
        """Whether it is only for single rows that a server is asked: somebody before it is able."""
        return any(each.may_answer for each in self.before)

    @property
    def have_answered(self) -> bool:
        """Whether that is more than a hope."""
        return any(each.is_proven for each in self.before)

    @property
    def cannot(self) -> bool:
        """Whether nobody after a server makes up for it, as all of them are left alone."""
        return bool(self.after) and all(each.is_left_alone for each in self.after)

    @property
    def stand_in(self) -> bool:
        """Whether somebody after it is known to answer."""
        return any(each.has_answered and not each.is_left_alone for each in self.after)

    @property
    def held_back(self) -> RunError | None:
        """What would have ended the run, if nobody before had been able."""
        return next((each.held for each in self.after if each.held is not None), None)


def introduce(policies: Sequence[Neighbour], before: Callable[[int], Sequence[int]]) -> None:
    """Tell servers of each other.

    Args:
        policies: What each of them has to say of its failures.
        before: The numbers of those that are asked before one.
    """
    for number, policy in enumerate(policies):
        policy.others.before = [policies[each] for each in before(number)]
        policy.others.after = [
            other for place, other in enumerate(policies) if number in before(place)
        ]
