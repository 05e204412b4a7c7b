"""Numbers against gold: how far off they are."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any, TypeAlias

import numpy as np

from lionproc.errors import ConfigurationError
from lionproc.evaluation.columns import Column
from lionproc.evaluation.intervals import Numbers as Floats
from lionproc.evaluation.part import Mask, Part, Places

__all__ = ["Numbers", "apart"]

Number: TypeAlias = int | float | Decimal

_LARGE = 1e150  # the square of a larger number is infinite, so they are measured in units of it
_LEAST = math.ulp(0.0)
_EXACT = 2**53  # from there on a float stands for several whole numbers
_MANY_DIGITS = Context(prec=800, Emax=MAX_EMAX, Emin=MIN_EMIN)  # what differs is off by something


def apart(one: Number, other: Number) -> Number:
    """The one minus the other, of whole numbers and decimals with all of their digits.

    Example:
        >>> apart(2**53 + 1, 2**53), apart(Decimal("0.1"), 0.1)
        (1, 0.0)
    """
    if isinstance(one, int) and isinstance(other, int):
        return one - other
    if isinstance(one, float) or isinstance(other, float):  # which has no more digits than it has
        return float(one) - float(other)
    return _MANY_DIGITS.subtract(Decimal(one), Decimal(other))


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
        with np.errstate(over="ignore"):
            self._off = self.answers - self.gold
        self._exactly: dict[int, Number] = {}
        cells: tuple[Any, Any] = (answers.cells, gold.cells)
        for row in np.flatnonzero(self._is_rounded(answers, gold)).tolist():
            self._exactly[row] = off = apart(cells[0][row], cells[1][row])
            self._off[row] = float(off) or (math.copysign(_LEAST, off) if off else 0.0)

    def _is_rounded(self, answers: Column, gold: Column) -> Mask:
        """Where floats may have less digits than the answer, the gold or their difference."""
        sizes = (np.abs(self.answers), np.abs(self.gold), np.abs(self._off))
        large: Mask = np.logical_or.reduce([size >= _EXACT for size in sizes])
        large |= _decimals(answers) | _decimals(gold)
        return large & (np.abs(self._off) < _LARGE)

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
        off = self._off[rows]
        errors = np.where(np.isfinite(off), off / unit, answers - gold)
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
        errors = np.where(self.scored, np.abs(self._off), 0.0)
        order = np.argsort(-errors, kind="stable")
        return order[errors[order] > 0]

    def nearer(self, others: Numbers, rows: Mask) -> int:
        """In how many of these rows the answers are nearer to the gold than others to it."""
        ours, theirs = np.abs(self._off), np.abs(others._off)
        one, other = self._exactly, others._exactly
        alike = np.flatnonzero(rows & (ours == theirs)).tolist()
        both: list[tuple[Any, Any]] = [(one[r], other[r]) for r in alike if r in one and r in other]
        # The one is nearer by less than a float shows.
        closer = sum(1 for off, their in both if abs(off) < abs(their))
        return int((ours < theirs)[rows].sum()) + closer


def _correlation(answers: Floats, gold: Floats, weights: Floats | None) -> float:
    if weights is None:
        return float(np.corrcoef(answers, gold)[0, 1])
    (first, both), (_, second) = np.cov(answers, gold, aweights=weights)
    return float(both / np.sqrt(first * second))


def _decimals(column: Column) -> Mask:
    decimals = (isinstance(cell, Decimal) for cell in column.cells)
    return np.fromiter(decimals, np.bool_, len(column.cells))


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
