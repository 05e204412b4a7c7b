"""From which confidence on a small model's answers may stand: found from a sample, with a bound.

The sample has rows that a larger model (or a person) answers too. For a threshold t the error is the
share of all rows whose small answer stands (confidence of t or more) and differs. What has to be
shown is that it is at most 1 - target.

Candidates are fixed beforehand, and are tested from the strictest on, each by the exact binomial test
(whose interval is that of Clopper and Pearson, 1934) at the same level, until the first one fails.
The error can only grow as the threshold sinks, so the first candidate that is not good enough is the
only one at which one can be misled, and no level is lost to the number of candidates. The idea of a
threshold that is tested in this order is that of BARGAIN (Zeighami, Shankar and Parameswaran, 2025),
which has a sharper bound for rare errors and chooses its sample as it goes; here the sample is drawn
beforehand, so that a rerun draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["CANDIDATES", "Threshold", "fewest_rows", "found_threshold"]

# Close to 1 they are dense, for models are rarely unsure: 0.99999, ..., 0.9, 0.89, ..., 0.01, 0.
CANDIDATES: tuple[float, ...] = (
    *(1 - 10 ** (-place / 12) for place in range(60, 12, -1)),
    *(hundredth / 100 for hundredth in range(90, -1, -1)),
)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, and what shows that it will do.

    Attributes:
        below: Answers of less confidence than this go to the larger model.
        rows: Rows of the sample.
        stand: Of these, the ones whose small answer would stand.
        wrong: Of those, the ones that differ.
        at_most: The upper end of the interval for the error, among all rows.
    """

    below: float
    rows: int
    stand: int
    wrong: int
    at_most: float


def fewest_rows(target: float, certainty: float) -> int:
    """How many rows a sample needs at least, if none of them differs.

    Args:
        target: The share of answers that are to be the same.
        certainty: The probability with which that has to hold.
    """
    return math.ceil(math.log(1 - certainty) / math.log(target))


def found_threshold(
    sample: Sequence[tuple[float | None, bool]], *, target: float, certainty: float
) -> Threshold | None:
    """The lowest threshold that the sample shows to be good enough.

    Args:
        sample: For each row how sure the small model was (None where it did not say), and whether
            its answer was that of the larger one.
        target: The share of answers that are to be the same.
        certainty: The probability with which that has to hold.

    Returns:
        The threshold; None where the sample shows it of none at which any answer would stand.
    """
    found = None
    for below in CANDIDATES:
        stands = [same for sure, same in sample if sure is not None and sure >= below]
        wrong = stands.count(False)
        if _at_most(wrong, len(sample), 1 - target) > 1 - certainty:
            break
        if stands:
            found = below, len(stands), wrong
    if found is None:
        return None
    below, stand, wrong = found
    return Threshold(below, len(sample), stand, wrong, upper(wrong, len(sample), certainty))


def _at_most(count: int, rows: int, share: float) -> float:
    """The probability of at most so many of so many rows, where each has this share."""
    logs = (
        math.lgamma(rows + 1)
        - math.lgamma(k + 1)
        - math.lgamma(rows - k + 1)
        + k * math.log(share)
        + (rows - k) * math.log1p(-share)
        for k in range(count + 1)
    )
    return _sum_of(math.exp(each) for each in logs)


def _sum_of(parts: Iterable[float]) -> float:
    return min(math.fsum(parts), 1.0)


def upper(count: int, rows: int, certainty: float) -> float:
    """The upper end of the one-sided interval of Clopper and Pearson.

    Args:
        count: How many of the rows.
        rows: How many there are.
        certainty: The probability with which the share is at most this.
    """
    if count >= rows:
        return 1.0
    low, high = count / rows, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(count, rows, middle) > 1 - certainty:
            low = middle
        else:
            high = middle
    return high
