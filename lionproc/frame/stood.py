"""How the votes on a row stood when they gave it its answer, as the journal keeps it.

What they were answered and how they failed does not always tell. A model that was down is left out
and has no record; of one that is asked twice on a row's way the later reply hides the earlier
failure; and a vote that failed may be answered in another run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

from lionproc.errors import Kind
from lionproc.frame.stage import Stage
from lionproc.model.call import KEY_BYTES, ModelCall, RequestBuilder
from lionproc.model.steps import Steps

__all__ = ["Stood", "StoodKeys", "read", "written"]


class Stood(NamedTuple):
    """How a vote stood.

    Attributes:
        leaf: At which model.
        error: How it failed there; None where it was answered.
    """

    leaf: int
    error: Kind | None = None


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
        >>> written([Stood(0), Stood(2, Kind.REFUSED)])
        '0 2:refused'
    """
    return " ".join(
        f"{leaf}" if error is None else f"{leaf}:{error.value}" for leaf, error in votes
    )


def read(words: str, *, votes: int, leaves: int) -> list[Stood]:
    """How votes stood, by those words; nothing where they are not words of ours.

    Args:
        words: As `written` wrote them.
        votes: How many votes there are.
        leaves: How many models.

    Example:
        >>> read("0 2:refused", votes=2, leaves=3)
        [Stood(leaf=0, error=None), Stood(leaf=2, error=<Kind.REFUSED: 'refused'>)]
    """
    parts = [word.partition(":") for word in words.split(" ", votes)]
    try:
        made = [Stood(int(leaf), Kind(kind) if failed else None) for leaf, failed, kind in parts]
    except ValueError:
        return []
    fits = len(made) == votes and all(0 <= each.leaf < leaves for each in made)
    return made if fits else []
