"""The numbers of some rows: of all of them, or of a slice."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from lionproc.evaluation.intervals import wilson

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


def of_right(right: int, n: int) -> Part:
    """Accuracy and its interval."""
    low, high = wilson(right, n) if n else (None, None)
    return {"right": right, "accuracy": right / n if n else None, "low": low, "high": high}
