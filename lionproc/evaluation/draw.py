"""Rows drawn from a frame, each with a known probability."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.part import Places
from lionproc.frame.cell import is_missing
from lionproc.frame.distinct import distinct

__all__ = ["checked_number", "drawn", "strata_of"]


def drawn(
    strata: Places, n: int, seed: int, sizes: Numbers | None = None
) -> tuple[Places, Numbers]:
    """Draw rows so that every stratum has its share of them.

    Systematic sampling: the rows lie one behind the other, stratum by stratum and mixed within,
    each as long as it is probable, and every n-th part of the whole, from a random start on, takes
    the row that lies there. So each row comes in with just its probability, and a stratum with
    its share to within one row; numbers as strata spread the sample over all of them.

    Source: W. G. Madow, On the theory of systematic sampling II, Ann. Math. Statist. 20 (1949),
    333-354.

    Args:
        strata: The stratum of each row.
        n: How many rows; all of them where there are no more.
        seed: The same one draws the same rows.
        sizes: How much more probable a row is than one of size 1, above 0; None for all alike.

    Returns:
        The places of the rows in their order, and the probability with which each came in.
    """
    rows = len(strata)
    if n >= rows:
        return np.arange(rows), np.ones(rows)
    chance = _probabilities(np.ones(rows) if sizes is None else sizes, n)
    random = np.random.default_rng(seed)
    mixed = random.permutation(rows)
    order = mixed[np.argsort(strata[mixed], kind="stable")]
    ends = np.cumsum(chance[order])
    ends *= n / ends[-1]  # to the last digit
    points = random.random() + np.arange(n)
    found = np.sort(order[np.searchsorted(ends, points, side="right").clip(max=rows - 1)])
    return found, chance[found]


def _probabilities(sizes: Numbers, n: int) -> Numbers:
    """In proportion to the sizes, at most 1, and n in all."""
    sure = np.zeros(len(sizes), dtype=bool)
    while True:
        left = n - int(sure.sum())
        chance = np.where(sure, 1.0, left * sizes / sizes[~sure].sum())
        above = (chance >= 1) & ~sure
        if not above.any() or (sure | above).all():
            return chance.clip(max=1.0)
        sure |= above


def strata_of(values: pd.Series[Any]) -> Places:
    """The stratum of each row: equal values have one, in their order where they have one."""
    kinds = set(map(type, values)) if _may_hold_lists(values.dtype) else ()
    if any(issubclass(kind, (list, dict, set, np.ndarray)) for kind in kinds):
        return np.array([0 if is_missing(v) else len(v) for v in values], dtype=np.intp)
    try:
        codes, _ = distinct(values)
    except (TypeError, NotImplementedError):  # the latter is Arrow's
        return np.zeros(len(values), dtype=np.intp)
    return codes


def _may_hold_lists(dtype: Any) -> bool:
    return isinstance(dtype, pd.ArrowDtype) or pd.api.types.is_object_dtype(dtype)


def checked_number(name: str, given: object, least: int) -> int:
    """A whole number that was given as an argument.

    Raises:
        ConfigurationError: It is none, or less than the least.
    """
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or given < least:
        raise ConfigurationError(f"{name} is a whole number from {least} on, not {given!r}.")
    return int(given)
