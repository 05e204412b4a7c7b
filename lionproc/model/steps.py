"""Who is asked first, and who next: the steps that a row takes through models composed of models.

Pure: a composition is a tree, its leaves are numbered from 0 in the order they were given, and all
that is decided here is which of them a row goes to, by what became of it at the one before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lionproc.errors import Kind

__all__ = ["CANNOT", "ONE", "Cascaded", "InTurn", "Outcome", "Steps", "own_keys", "steps_noted"]

# What a model cannot answer: it is down, has no room, refuses the key or the row, or reads less.
# What it answers badly (a wrong shape, an empty or a cut reply) is not among them, and neither is
# a request that is wrong by itself (400): another one would get the same.
CANNOT = frozenset(
    {
        *(Kind.CONNECTION, Kind.TIMEOUT, Kind.SERVER_ERROR, Kind.OVERLOADED, Kind.BAD_REPLY),
        *(Kind.RATE_LIMITED, Kind.NO_CAPACITY, Kind.ACCESS, Kind.QUOTA, Kind.NOT_FOUND),
        *(Kind.FORBIDDEN, Kind.CONTEXT_LENGTH, Kind.TOO_LARGE, Kind.FILTERED, Kind.REFUSED),
        Kind.REDIRECT,
    }
)
# Of one row, and not of the server: no answer, which is as unsure as one can be.
NO_ANSWER = frozenset(
    {
        *(Kind.WRONG_SHAPE, Kind.EMPTY, Kind.TRUNCATED, Kind.TOOL_CALL, Kind.UNKNOWN_ENDING),
        *(Kind.UNREADABLE, Kind.CONTEXT_LENGTH, Kind.TOO_LARGE, Kind.FILTERED, Kind.REFUSED),
    }
)

DEEPEST = 50  # models of models of models


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a row at one leaf.

    Attributes:
        error: How it failed; None for an answer.
        confidence: How sure the answer is, from 0 to 1; None where that is not known.
        of_vote: Whether it is one of several votes on a row, which say together how sure they are.
    """

    error: Kind | None = None
    confidence: float | None = None
    of_vote: bool = False


Found: TypeAlias = Callable[[int], "Outcome | None"]
"""The answer of a leaf that the journal has, None where it has none."""


class Steps(ABC):
    """The steps through one model, or through several.

    Attributes:
        count: How many leaves there are.
    """

    count: int

    @abstractmethod
    def after(self, leaf: int, outcome: Outcome) -> int | None:
        """The leaf that is asked next.

        Args:
            leaf: Who was asked.
            outcome: What became of it.

        Returns:
            Its number; None where the outcome stands.
        """

    @abstractmethod
    def kept(self, found: Found) -> tuple[int, bool]:
        """Where a row begins, by what the journal has: an answer goes before a request.

        Args:
            found: Looks a leaf up.

        Returns:
            A leaf, and whether its answer is there and stands; else it is to be asked.
        """

    @abstractmethod
    def starts_of_votes(self) -> Sequence[int]:
        """The leaves at which all votes on a row may begin, those first whose answers go first."""

    @abstractmethod
    def elsewhere(self, leaf: int) -> frozenset[Kind]:
        """The failures of a leaf that somebody else makes up for, whoever's fault they are.

        Of kind `no_logprobs` where nobody need do so, as only few of the rows come so far.
        """

    @abstractmethod
    def before(self, leaf: int) -> Sequence[int]:
        """The leaves that are asked first, so that a leaf has only what they could not answer."""

    @abstractmethod
    def unsure(self, leaf: int) -> bool:
        """Whether it matters how sure the answers of a leaf are."""

    @abstractmethod
    def noted(self) -> object:
        """The same in JSON's types; see `steps_noted`."""


class _One(Steps):
    count = 1

    def after(self, leaf: int, outcome: Outcome) -> int | None:
        del leaf, outcome
        return None

    def kept(self, found: Found) -> tuple[int, bool]:
        return 0, found(0) is not None

    def starts_of_votes(self) -> Sequence[int]:
        return (0,)

    def elsewhere(self, leaf: int) -> frozenset[Kind]:
        del leaf
        return frozenset()

    def before(self, leaf: int) -> Sequence[int]:
        del leaf
        return ()

    def unsure(self, leaf: int) -> bool:
        del leaf
        return False

    def noted(self) -> object:
        return None


ONE: Steps = _One()


class _Several(Steps):
    """What all compositions have in common.

    Args:
        children: The steps through each member.
    """

    def __init__(self, children: Sequence[Steps]) -> None:
        self.children = tuple(children)
        self.starts = [0]
        for child in self.children:
            self.starts.append(self.starts[-1] + child.count)
        self.count = self.starts.pop()

    def _child(self, leaf: int) -> int:
        """The number of the member that a leaf belongs to."""
        return max(n for n, start in enumerate(self.starts) if start <= leaf)

    def after(self, leaf: int, outcome: Outcome) -> int | None:
        """See `Steps.after`; what the member itself has an answer to stays within it."""
        number = self._child(leaf)
        start = self.starts[number]
        within = self.children[number].after(leaf - start, outcome)
        if within is not None:
            return start + within
        if number + 1 < len(self.children) and self._goes_on(outcome):
            return self.starts[number + 1]
        return None

    @abstractmethod
    def _goes_on(self, outcome: Outcome) -> bool:
        """Whether the next member is asked after this."""

    def _kept(self, number: int, found: Found) -> tuple[int, Outcome | None]:
        """Where a row would begin at a member, and the answer that is there."""
        start = self.starts[number]
        leaf, answered = self.children[number].kept(_from(start, found))
        return start + leaf, found(start + leaf) if answered else None

    def starts_of_votes(self) -> Sequence[int]:
        """See `Steps.starts_of_votes`; those of the first member go first."""
        members = zip(self.starts, self.children, strict=True)
        return [start + leaf for start, child in members for leaf in child.starts_of_votes()]

    def elsewhere(self, leaf: int) -> frozenset[Kind]:
        """See `Steps.elsewhere`."""
        number = self._child(leaf)
        within = self.children[number].elsewhere(leaf - self.starts[number])
        if number + 1 < len(self.children):
            within |= self._made_up_for
        return within | {Kind.NO_LOGPROBS} if self._need_not_tell(number) else within

    _made_up_for: frozenset[Kind] = frozenset()

    def before(self, leaf: int) -> Sequence[int]:
        """See `Steps.before`."""
        start = self.starts[self._child(leaf)]
        within = self.children[self._child(leaf)].before(leaf - start)
        first = range(start) if self._has_the_rest else ()
        return [*first, *(start + each for each in within)]

    # Whether a member that is not the first has only what those before it could not answer.
    _has_the_rest = False

    @abstractmethod
    def _need_not_tell(self, number: int) -> bool:
        """Whether the rows of a member have answers also where it does not say how sure it is."""

    def unsure(self, leaf: int) -> bool:
        """See `Steps.unsure`."""
        number = self._child(leaf)
        return self.children[number].unsure(leaf - self.starts[number])


def _from(start: int, found: Found) -> Found:
    """Looks the leaves of a member up, whose numbers begin anew in it."""
    return lambda leaf: found(start + leaf)


class InTurn(_Several):
    """The next one answers what the one before cannot."""

    _made_up_for = CANNOT
    _has_the_rest = True

    def _goes_on(self, outcome: Outcome) -> bool:
        return outcome.error in CANNOT or outcome.error is Kind.NO_LOGPROBS

    def _need_not_tell(self, number: int) -> bool:
        return number > 0  # it has only what those before it cannot answer

    def kept(self, found: Found) -> tuple[int, bool]:
        """See `Steps.kept`; of several answers the first one's is taken."""
        for number in range(len(self.children)):
            leaf, outcome = self._kept(number, found)
            if outcome is not None:
                return leaf, True
        return self._kept(0, found)[0], False

    def noted(self) -> object:
        """See `Steps.noted`."""
        return {"in_turn": [child.noted() for child in self.children]}


class Cascaded(_Several):
    """The next one answers what the one before is not sure of.

    Args:
        children: The steps through each member, from the smallest model on.
        below: An answer of less confidence than this goes on, and one whose confidence is not
            known; see `Outcome`. None while that is still to be found out: then answers stand.
    """

    # Many rows that the small model may not or cannot answer say nothing against going on; many
    # answers of a wrong shape do, or a mistake would be paid for at the large model's price.
    _made_up_for = CANNOT & NO_ANSWER

    def __init__(self, children: Sequence[Steps], below: float | None) -> None:
        super().__init__(children)
        self.below = below

    def _goes_on(self, outcome: Outcome) -> bool:
        if outcome.of_vote:
            return False
        if outcome.error is not None:
            return outcome.error in NO_ANSWER or outcome.error is Kind.NO_LOGPROBS
        if self.below is None:
            return False
        return outcome.confidence is None or not outcome.confidence >= self.below

    def _need_not_tell(self, number: int) -> bool:
        return number == len(self.children) - 1  # its answers stand

    def is_last(self, leaf: int) -> bool:
        """Whether a leaf belongs to the largest model."""
        return self._child(leaf) == len(self.children) - 1

    def unsure(self, leaf: int) -> bool:
        """See `Steps.unsure`."""
        return not self.is_last(leaf) or super().unsure(leaf)

    def kept(self, found: Found) -> tuple[int, bool]:
        """See `Steps.kept`; of several answers the largest one's is taken."""
        last = len(self.children) - 1
        for number in range(last, -1, -1):
            leaf, outcome = self._kept(number, found)
            if outcome is None:
                continue
            if number == last or not self._goes_on(outcome):
                return leaf, True
            return self._kept(number + 1, found)[0], False
        return self._kept(0, found)[0], False

    def starts_of_votes(self) -> Sequence[int]:
        """See `Steps.starts_of_votes`; those of the largest model go first."""
        within = [child.starts_of_votes() for child in self.children]
        members = zip(reversed(self.starts), reversed(within), strict=True)
        return [start + leaf for start, leaves in members for leaf in leaves]

    def noted(self) -> object:
        """See `Steps.noted`."""
        return {"cascade": [child.noted() for child in self.children], "below": self.below}


def own_keys(keys: Sequence[Sequence[bytes]]) -> list[Sequence[bytes]]:
    """The keys under which each leaf may have an answer of its own.

    Where a leaf asks what one before it asks, the answer is that one's, and does not tell that a
    row came so far: in `Cascade(["small", Fallback(["big", "small"])])` it would let every answer of
    the small one stand, however unsure. It is found when a row does come there.

    Args:
        keys: Of each leaf all keys of its question.
    """
    asked: set[bytes] = set()
    made: list[Sequence[bytes]] = []
    for each in keys:
        made.append(each if asked.isdisjoint(each) else ())
        asked.update(each)
    return made


def steps_noted(noted: Any, depth: int = 0) -> Steps:
    """The steps that `Steps.noted` noted.

    Args:
        noted: What was noted.
        depth: How deep in it this stands.

    Raises:
        ValueError: Somebody noted what we do not.
    """
    if noted is None:
        return ONE
    if isinstance(noted, Mapping) and depth < DEEPEST:
        for name in ("in_turn", "cascade"):
            members = noted.get(name)
            if isinstance(members, list) and len(members) > 1:
                children = [steps_noted(each, depth + 1) for each in members]
                if name == "in_turn":
                    return InTurn(children)
                return Cascaded(children, _number(noted["below"]))
    raise ValueError("These are no steps.")


def _number(noted: Any) -> float:
    """A threshold; that of a run which had not found one lets nothing stand."""
    return 2.0 if noted is None else float(noted)
