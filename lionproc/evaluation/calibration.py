"""Do confidences keep their word: how often answers are right, by how sure they were.

And what that is good for: how many rows can be answered without looking, if a stated share of them
is to be right.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.columns import one_column
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.part import Part, of_right

__all__ = ["Calibration", "Coverage", "calibration_of"]

TENTHS = 10


@dataclass(frozen=True, slots=True)
class Coverage:
    """How many rows need nobody to look at them.

    Attributes:
        accuracy: The share of them that is to be right.
        threshold: The confidence from which on they are; None where no confidence is high enough.
        share: Their share of all rows of the frame.
        rows: How many they are.
        n: How many of them have gold: what is known of them.
        right: How many of those are right.
        seen: The share of those that is right.
        interval: Where the share that is right lies, with 95 % confidence.
    """

    accuracy: float
    threshold: float | None
    share: float
    rows: int
    n: int
    right: int
    seen: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """Confidences beside gold.

    Attributes:
        name: The column of the confidences.
        sure: The confidence of each row of the frame, NaN where there is none.
        scored: The places of the rows with gold, an answer and a confidence.
        right: Which of them are right.
        weights: How many rows each of them stands for, None where they were drawn alike.
        answered: Which rows of the frame have an answer.
    """

    name: str
    sure: Numbers
    scored: npt.NDArray[np.intp]
    right: npt.NDArray[np.bool_]
    weights: Numbers | None
    answered: npt.NDArray[np.bool_]

    def table(self) -> pd.DataFrame:
        """A row for each tenth of the scored rows, the least sure first.

        Rows with one confidence stay together, so that there may be fewer than ten.

        Returns:
            The lowest (`from`) and highest (`to`) confidence in it, `n`, the mean `confidence`, the
            `accuracy` and its 95 % interval (`low`, `high`).
        """
        order = np.argsort(self.sure[self.scored], kind="stable")
        sure = self.sure[self.scored][order]
        made: list[dict[str, Any]] = []
        for start, stop in _tenths(sure):
            ends = {"from": float(sure[start]), "to": float(sure[stop - 1]), "n": stop - start}
            mean = float(sure[start:stop].mean())
            made.append({**ends, "confidence": mean, **self._right(order[start:stop])})
        names = ["from", "to", "n", "confidence", "accuracy", "low", "high"]
        table = pd.DataFrame(made, columns=names)
        return table.astype({name: "Int64" if name == "n" else "Float64" for name in names})

    def _right(self, rows: npt.NDArray[np.intp]) -> Part:
        weights = None if self.weights is None else self.weights[rows]
        part = of_right(self.right[rows], weights)
        return {name: value for name, value in part.items() if name != "right"}

    def coverage(self, accuracy: float) -> Coverage:
        """The most rows that can go without a look, where so many of those with gold are right.

        Args:
            accuracy: The share of them that is to be right, above 0 and at most 1.

        Raises:
            ConfigurationError: It is no such share.
        """
        if isinstance(accuracy, bool) or not isinstance(accuracy, int | float):
            raise ConfigurationError(f"accuracy is a share such as 0.95, not {accuracy!r}.")
        if not 0 < accuracy <= 1:
            raise ConfigurationError(
                f"accuracy is a share above 0 and at most 1, such as 0.95, not {accuracy!r}."
            )
        sure = self.sure[self.scored]
        order = np.argsort(-sure, kind="stable")
        sure, right = sure[order], self.right[order]
        weights = np.ones(len(sure)) if self.weights is None else self.weights[order]
        whole = np.append(sure[1:] != sure[:-1], [True])  # equal ones go together
        so_far = np.cumsum(right * weights) / np.cumsum(weights)
        good = np.flatnonzero(whole & (so_far >= accuracy - 1e-12))
        if not len(good):
            return Coverage(accuracy, None, 0.0, 0, 0, 0, None, None)
        n = int(good[-1]) + 1
        threshold = float(sure[n - 1])
        rows = int(self.above(threshold).sum())
        part: Any = self._right(order[:n])
        hits = int(right[:n].sum())
        interval = (part["low"], part["high"])
        share = rows / len(self.sure)
        return Coverage(accuracy, threshold, share, rows, n, hits, part["accuracy"], interval)

    def above(self, threshold: float | None) -> npt.NDArray[np.bool_]:
        """The rows of the frame that have an answer and are at least so sure."""
        if threshold is None:
            return np.zeros(len(self.sure), dtype=np.bool_)
        return self.answered & (np.nan_to_num(self.sure, nan=-1.0) >= threshold)

    def to_look_at(self, accuracy: float) -> npt.NDArray[np.intp]:
        """The rows that somebody should look at, the least sure first, those without an answer before.

        Args:
            accuracy: As for `coverage`.
        """
        below = np.flatnonzero(~self.above(self.coverage(accuracy).threshold))
        sure = np.where(self.answered, np.nan_to_num(self.sure, nan=-1.0), -2.0)
        return below[np.argsort(sure[below], kind="stable")]


def _tenths(sure: Numbers) -> list[tuple[int, int]]:
    """Where each tenth of sorted confidences starts and stops; equal ones are never parted."""
    ends = np.searchsorted(sure, sure, side="right")  # of each, the place behind the last like it
    made: list[tuple[int, int]] = []
    start = 0
    for tenth in range(1, TENTHS + 1):
        place = round(tenth * len(sure) / TENTHS)
        if place <= start:
            continue
        stop = int(ends[place - 1])
        made.append((start, stop))
        start = stop
    return made


def calibration_of(
    frame: pd.DataFrame,
    into: Hashable,
    *,
    scored: npt.NDArray[np.intp],
    wrong: npt.NDArray[np.intp],
    answered: npt.NDArray[np.bool_],
    weights: Numbers | None = None,
) -> Calibration | None:
    """The confidences of a column of answers, where the frame has them.

    Args:
        frame: The frame.
        into: The column of the answers.
        scored: Places of the rows with gold and an answer.
        wrong: Those of them that are wrong.
        answered: Which rows have an answer.
        weights: How many rows each row stands for, None where those with gold were drawn alike.

    Raises:
        ConfigurationError: The confidences are no numbers from 0 to 1.
    """
    name = f"{into}_confidence"
    if list(frame.columns).count(name) != 1:
        return None
    column = one_column(frame, name, "confidence")
    sure = np.asarray(pd.to_numeric(column, errors="coerce").to_numpy("float64", na_value=np.nan))
    known = sure[~np.isnan(sure)]
    if len(known) and not (known.min() >= 0 and known.max() <= 1):
        raise ConfigurationError(
            f"{name!r} has {known.min():g} to {known.max():g}; confidences are from 0 to 1. "
            "Rename the column if it says something else."
        )
    places = scored[~np.isnan(sure[scored])]
    if not len(places):
        return None
    weighed = None if weights is None else weights[places]
    return Calibration(name, sure, places, ~np.isin(places, wrong), weighed, answered)
