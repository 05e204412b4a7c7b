"""How the votes on a row stood when they gave it its answer, as the journal keeps it.

What they were answered and how they failed does not always tell. A model that was down is left out
and has no record; of one that is asked twice on a row's way the later reply hides the earlier
failure; and a vote that failed may be answered in another run. What it says holds for as long as the
replies are kept that it speaks of; others that came since are the answer of another run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from lionproc.errors import Kind
from lionproc.frame.stage import Stage
from lionproc.model.call import KEY_BYTES, ModelCall, RequestBuilder
from lionproc.model.steps import Steps

__all__ = ["Stood", "StoodKeys", "read", "written"]

_KINDS: Final = frozenset(Kind)


class Stood(NamedTuple):
    """How a vote stood.

    Attributes:
        leaf: At which model.
        came: When its answer came, in Unix seconds; or how it failed there.
    """

    leaf: int
    came: float | Kind

    @property
    def answered(self) -> bool:
        """Whether it was."""
        return not isinstance(self.came, Kind)


class StoodKeys:
    """Under which keys it is kept how the votes on the rows of a stage stood.

    Args:
        stage: What they are votes on.
        steps: The way through its models.
        builders: What makes the questions of each model.
    """

    def __init__(self, stage: Stage, steps: Steps, builders: Sequence[RequestBuilder]) -> None:
        told = json.dumps([steps.noted(), stage.votes, stage.tie])
        self._hash = blake2b(told.encode(), digest_size=KEY_BYTES, person=b"votes stood")
        for builder in builders:
            self._hash.update(builder.digest)

    def of(self, call: ModelCall) -> bytes:
        """That of a row.

        Args:
            call: What the first vote on it asks the first model.
        """
        made = self._hash.copy()
        made.update(call.key or b"")
        return made.digest()


def written(votes: Sequence[Stood]) -> str:
    """The words in which it is kept.

    Example:
        >>> written([Stood(0, 1764453600.25), Stood(2, Kind.REFUSED)])
        '0:1764453600.25 2:refused'
    """
    return " ".join(
        f"{leaf}:{came.value if isinstance(came, Kind) else repr(came)}" for leaf, came in votes
    )


def read(words: str, *, votes: int, leaves: int) -> list[Stood]:
    """How votes stood, by those words; nothing where they are not words of ours.

    Args:
        words: As `written` wrote them.
        votes: How many votes there are.
        leaves: How many models.

    Example:
        >>> read("0:1764453600.25 2:refused", votes=2, leaves=3)
        [Stood(leaf=0, came=1764453600.25), Stood(leaf=2, came=<Kind.REFUSED: 'refused'>)]
    """
    parts = [word.partition(":") for word in words.split(" ", votes)]
    try:
        made = [
            Stood(int(leaf), Kind(came) if came in _KINDS else float(came))
            for leaf, _, came in parts
        ]
    except ValueError:
        return []
    fits = len(made) == votes and all(0 <= each.leaf < leaves for each in made)
    return made if fits else []
