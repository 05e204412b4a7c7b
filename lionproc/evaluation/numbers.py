"""Numbers against gold: how far off they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lionproc.errors import ConfigurationError
from lionproc.evaluation.columns import Column
from lionproc.evaluation.intervals import Numbers as Floats
from lionproc.evaluation.part import Mask, Part, Places

__all__ = ["Numbers"]

_LARGE = 1e150  # the square of a larger number is infinite, so they are measured in units of it


class Numbers:
    """Answers and gold that are numbers.

    Args:
        answers: The answers.
        gold: The gold.
        weights: How many rows each stands for, where those with gold were not drawn alike.

    Raises:
        ConfigurationError: One of them is infinite.
    """

    def __init__(self, answers: Column, gold: Column, weights: Floats | None = None) -> None:
        self.answers, self.gold = _floats(answers), _floats(gold)
        self._weights = weights

    @property
    def scored(self) -> Mask:
        """Where there are both."""
        return ~(np.isnan(self.answers) | np.isnan(self.gold))

    def part(self, rows: Places) -> Part:
        """Mean absolute error, root of the mean squared error, bias and Pearson's r."""
        if not len(rows):
            return dict.fromkeys(("mae", "rmse", "bias", "r"))
        answers, gold = self.answers[rows], self.gold[rows]
        largest = float(max(np.abs(answers).max(), np.abs(gold).max()))
        unit = largest if largest > _LARGE else 1.0
        answers, gold = answers / unit, gold / unit
        weights = None if self._weights is None else self._weights[rows]
        errors = answers - gold
        spread = len(rows) > 1 and np.ptp(answers) > 0 and np.ptp(gold) > 0
        return {
            "mae": unit * float(np.average(np.abs(errors), weights=weights)),
            "rmse": unit * float(np.sqrt(np.average(errors**2, weights=weights))),
            "bias": unit * float(np.average(errors, weights=weights)),
            "r": _correlation(answers, gold, weights) if spread else None,
        }

    def off_by(self) -> float:
        """The mean error, with rows without an answer, so that none wins by answering few.

        Such a row is off as far as the median of the gold, and no less than the answers are.
        """
        off = self.part(np.flatnonzero(self.scored))["mae"]
        if off is None:
            return np.inf
        missing = np.isnan(self.answers) & ~np.isnan(self.gold)
        with np.errstate(over="ignore"):
            wide = np.abs(self.gold - np.nanmedian(self.gold))[missing]
            errors = np.append(np.full(int(self.scored.sum()), off), np.maximum(wide, off))
            return float(errors.mean())

    def wrong(self) -> Places:
        """The rows with another number than the gold, the largest error first."""
        errors = np.where(self.scored, np.abs(self.answers - self.gold), 0.0)
        order = np.argsort(-errors, kind="stable")
        return order[errors[order] > 0]


def _correlation(answers: Floats, gold: Floats, weights: Floats | None) -> float:
    if weights is None:
        return float(np.corrcoef(answers, gold)[0, 1])
    (first, both), (_, second) = np.cov(answers, gold, aweights=weights)
    return float(both / np.sqrt(first * second))


def _floats(column: Column) -> Floats:
    cells: Iterable[Any] = (np.nan if cell is None else cell for cell in column.cells)
    try:
        made = np.fromiter(cells, np.float64, len(column.cells))
    except OverflowError:  # a whole number of more than 308 digits
        made = np.array([np.inf])
    if np.isinf(made).any():
        raise ConfigurationError(
            f"{column.name!r} has an infinite number, or one too large to compute with, and one "
            "would make every mean infinite. Leave those rows empty."
        )
    return made
