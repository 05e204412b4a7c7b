"""The numbers of some rows: of all of them, or of a slice."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from lionproc.evaluation.intervals import Numbers, weighted, wilson

__all__ = ["Comparison", "Mask", "Part", "Places", "of_right"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Places: TypeAlias = npt.NDArray[np.intp]
Part: TypeAlias = dict[str, float | int | None]


class Comparison(Protocol):
    """Answers beside gold, of one kind."""

    @property
    def scored(self) -> Mask:
        """Where there are both gold and an answer."""

    def part(self, rows: Places) -> Part:
        """The numbers of these rows, all with gold and an answer; None where there are none."""

    def wrong(self) -> Places:
        """The rows with a wrong answer, the worst first, in order where none is worse."""


def of_right(right: Mask, weights: Numbers | None = None) -> Part:
    """Accuracy and its interval.

    Args:
        right: Which of the rows are right.
        weights: How many rows each stands for, where they were not drawn alike.
    """
    n, hits = len(right), int(right.sum())
    if not n:
        return {"right": 0, "accuracy": None, "low": None, "high": None}
    share, low, high = (hits / n, *wilson(hits, n)) if weights is None else weighted(right, weights)
    return {"right": hits, "accuracy": share, "low": low, "high": high}
