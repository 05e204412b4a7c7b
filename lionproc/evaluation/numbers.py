"""Numbers against gold: how far off they are."""

from __future__ import annotations

import numpy as np

from lionproc.evaluation.columns import Column
from lionproc.evaluation.intervals import Numbers as Floats
from lionproc.evaluation.part import Mask, Part, Places

__all__ = ["Numbers"]


class Numbers:
    """Answers and gold that are numbers.

    Args:
        answers: The answers.
        gold: The gold.
    """

    def __init__(self, answers: Column, gold: Column) -> None:
        self.answers, self.gold = _floats(answers), _floats(gold)

    @property
    def scored(self) -> Mask:
        """Where there are both."""
        return ~(np.isnan(self.answers) | np.isnan(self.gold))

    def part(self, rows: Places) -> Part:
        """Mean absolute error, root of the mean squared error, bias and Pearson's r."""
        if not len(rows):
            return dict.fromkeys(("mae", "rmse", "bias", "r"))
        answers, gold = self.answers[rows], self.gold[rows]
        errors = answers - gold
        spread = len(rows) > 1 and np.ptp(answers) > 0 and np.ptp(gold) > 0
        return {
            "mae": float(np.abs(errors).mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "bias": float(errors.mean()),
            "r": float(np.corrcoef(answers, gold)[0, 1]) if spread else None,
        }

    def wrong(self) -> Places:
        """The rows with another number than the gold, the largest error first."""
        errors = np.where(self.scored, np.abs(self.answers - self.gold), 0.0)
        order = np.argsort(-errors, kind="stable")
        return order[errors[order] > 0]


def _floats(column: Column) -> Floats:
    cells = (np.nan if cell is None else float(cell) for cell in column.cells)  # type: ignore[arg-type]  # numbers, as was checked
    return np.fromiter(cells, np.float64, len(column.cells))
