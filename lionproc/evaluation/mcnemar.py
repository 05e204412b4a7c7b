"""Is one better than the other, or is it luck: McNemar's test, in words a person understands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from lionproc.notebook.formatting import plain

__all__ = ["Pair", "holm", "p_value", "rows_needed"]

LEVEL = 0.05  # what is less probable by luck alone is taken for no luck
POWER = 0.8  # how surely so many rows show what is there
MOST_ROWS = 100_000
WORTH_IT = 10_000  # rows that somebody would label
NO_SIGN = 0.5  # above it there is no sign of a difference


def p_value(only_a: int, only_b: int) -> float:
    """How probable luck alone is to make two as unequal as this, or more.

    Rows where both are right or both wrong say nothing of which is better. Where they differ, each
    would be the right one as often as a coin shows heads: so it is twice the tail of a binomial
    distribution, at most 1. It is exact for any number of rows.

    Source: Q. McNemar, Note on the sampling error of the difference between correlated proportions
    or percentages, Psychometrika 12 (1947), 153-157; exact as in F. Mosteller, Biometrics 8
    (1952), 220-226.

    Args:
        only_a: Rows where only the one is right.
        only_b: Rows where only the other is.

    Example:
        >>> p_value(1, 9), p_value(0, 5), p_value(0, 0)
        (0.021484375, 0.0625, 1.0)
    """
    n, least = only_a + only_b, min(only_a, only_b)
    if 2 * least == n:
        return 1.0
    if n < 1000:
        tail: int = 2 * sum(math.comb(n, k) for k in range(least + 1))
        return min(1.0, float(tail / 2**n))
    whole = math.lgamma(n + 1) - n * math.log(2)
    terms = (
        math.exp(whole - math.lgamma(k + 1) - math.lgamma(n - k + 1)) for k in range(least + 1)
    )
    return min(1.0, 2 * math.fsum(terms))


def holm(values: Sequence[float]) -> list[float]:
    """What several such tests leave of their p-values: who looks often finds something by luck.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6
    (1979), 65-70.

    Args:
        values: The p-values.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    made, most = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=lambda each: values[each])):
        most = max(most, min(1.0, (len(values) - rank) * values[place]))
        made[place] = most
    return made


def rows_needed(only_a: int, only_b: int, rows: int, tests: int = 1) -> int | None:
    """Rows in all that would show a difference like this one in four of five samples.

    Source: R. J. Connor, Sample size for testing differences in proportions for the paired-sample
    design, Biometrics 43 (1987), 207-211.

    Args:
        only_a: Rows where only the one is right.
        only_b: Rows where only the other is.
        rows: Rows in which both answered.
        tests: How many pairs are looked at, which asks for more.

    Returns:
        How many; None where no difference was seen, or a hundred thousand would not do.
    """
    if only_a == only_b:
        return None
    differ, by = (only_a + only_b) / rows, abs(only_a - only_b) / rows
    normal = NormalDist()
    sure, power = normal.inv_cdf(1 - LEVEL / tests / 2), normal.inv_cdf(POWER)
    needed = (sure * math.sqrt(differ) + power * math.sqrt(differ - by**2)) ** 2 / by**2
    return math.ceil(needed) if needed <= MOST_ROWS else None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two variants on the same rows.

    Attributes:
        a: The one.
        b: The other.
        rows: Rows with gold that both have answered.
        only_a: Of these, where only the one is right (of numbers: nearer).
        only_b: And where only the other is.
        p: The p-value of the two alone.
        p_all: What Holm's method makes of it, for all the pairs that are looked at.
        tests: How many pairs those are.
        word: What is counted: "right" or "nearer".
    """

    a: str
    b: str
    rows: int
    only_a: int
    only_b: int
    p: float
    p_all: float
    tests: int = 1
    word: str = "right"

    @property
    def is_sure(self) -> bool:
        """Whether luck alone would hardly do this."""
        return self.p_all < LEVEL

    @property
    def difference(self) -> float:
        """By how much more often the other one is right."""
        return (self.only_b - self.only_a) / self.rows if self.rows else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Where that lies with 95 % confidence.

        Source: D. G. Bonett and R. M. Price, J. Educ. Behav. Statist. 37 (2012), 479-488.
        """
        if not self.rows:
            return (math.nan, math.nan)
        first, second = ((each + 1) / (self.rows + 2) for each in (self.only_a, self.only_b))
        by = second - first
        half = NormalDist().inv_cdf(0.975) * math.sqrt((first + second - by**2) / (self.rows + 2))
        return max(-1.0, by - half), min(1.0, by + half)

    @property
    def words(self) -> str:
        """What there is to say of the two, in a sentence or two."""
        best, other = plain(self.a, 60), plain(self.b, 60)
        most, least = self.only_a, self.only_b
        if least > most:
            best, other, most, least = other, best, least, most
        if not self.rows:
            return f"{best} and {other} have answered no row with gold both."
        if not most:
            same = "right and wrong" if self.word == "right" else "as near"
            return (
                f"{best} and {other} are {same} in the same rows: {self.rows:,} show no difference."
            )
        if most == least:
            times = f"alone {self.word} in {_rows(most)} each"
            return f"{best} and {other} are equally good here: {times}."
        counts = (
            f"in {_rows(most + least)} only one of them is right, {_times(most)} the former and "
            f"{_times(least)} the latter"
            if self.word == "right"
            else f"the former is nearer in {_rows(most)}, the latter in {least:,}"
        )
        chance = f"Luck alone does that in {_often(self.p_all)} samples (p = {_p(self.p_all)}"
        chance += f", for {self.tests} pairs)" if self.tests > 1 else ")"
        if self.is_sure:
            return f"{best} is better than {other}: {counts}. {chance}."
        if self.p_all >= NO_SIGN:
            return f"{best} and {other} show no difference: {counts}. {chance}. {self._needed()}"
        return f"{best} may be better than {other}, or lucky: {counts}. {chance}. {self._needed()}"

    def _needed(self) -> str:
        """What would show it."""
        few = ""
        least = next(n for n in range(1, 100) if p_value(0, n) * self.tests < LEVEL)
        if self.only_a + self.only_b < least:
            few = (
                f"The sample is too small: fewer than {least} rows that differ show nothing, "
                "whichever way they fall. "
            )
        needed = rows_needed(self.only_a, self.only_b, self.rows, self.tests)
        if needed is None or needed > WORTH_IT:
            return f"{few}If there is a difference, it takes more than {WORTH_IT:,} rows to show."
        size = 10 ** max(0, len(str(needed)) - 2)  # two digits that matter
        return f"{few}If it is real, about {-(-needed // size) * size:,} rows would show it."


def _rows(number: int) -> str:
    return f"{number:,} {'row' if number == 1 else 'rows'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number:,} times" if number else "never"


def _often(p: float) -> str:
    """A probability as people say it: 14 of 100, 1 of 470.

    Example:
        >>> _often(0.144), _often(0.031), _often(0.0021), _often(0.0000001), _often(1.0)
        ('14 of 100', '3 of 100', '1 of 470', 'fewer than 1 of 1,000,000', '100 of 100')
    """
    if p >= 0.0095:
        return f"{round(100 * p)} of 100"
    if p < 1e-6:
        return "fewer than 1 of 1,000,000"
    size = round(1 / p)
    digits = 10 ** (len(str(size)) - 2)  # two that matter
    return f"1 of {size // digits * digits:,}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 1e-6 else "under 0.000001"
