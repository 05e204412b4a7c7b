"""What a comparison found, as data: what the card and the picture are made of."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.evaluation.mcnemar import Pair
from lionproc.evaluation.sheet import Sheet
from lionproc.evaluation.tallies import Tally
from lionproc.evaluation.variants import Variant

if TYPE_CHECKING:
    from lionproc.frame.plan import Plan

__all__ = ["Compared"]

_WHOLE = ("n", "answered", "errors", "input_tokens", "output_tokens")
_TEXTS = ("prompt", "model", "error")


class Compared:
    """What was found; `Comparison` says what each is.

    Args:
        variants: What was compared.
        sheet: Their answers to the sample.
        tallies: What each of them took.
        rows_of: How many rows the whole frame has.
        drawn: How the sample was drawn, in words.
        stats: What all of it took.
        whole: Plans a run of one of them over the whole frame.
        read: The columns that a prompt shows.
        called: What the answers are called.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        sheet: Sheet,
        tallies: Sequence[Tally],
        *,
        rows_of: int,
        drawn: str,
        stats: RunStats,
        whole: Callable[[Variant, dict[str, Any]], Plan],
        read: Sequence[Hashable],
        called: str,
    ) -> None:
        self.asked = {variant.name: variant for variant in variants}
        self.sheet = sheet
        self._tallies = dict(zip(self.asked, tallies, strict=True))
        self._whole = whole
        self.frame = sheet.frame
        self.gold = sheet.gold
        self.stats = stats
        self.drawn, self.rows_of = drawn, rows_of
        self.read, self.called = read, called

    @property
    def variants(self) -> list[str]:
        """The names of the variants."""
        return list(self.asked)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each variant, in the order in which they are numbered; see `.ranked`.

        Columns: prompt, model, n (rows), answered; with gold the numbers of `score`: accuracy of
        the answers with the ends of its 95 % interval (low, high; Wilson), or of numbers mae, rmse,
        bias and r, of lists precision and recall too; without gold agreement, the mean share of
        rows that the others answer alike; usd_per_1000 rows (what the answers cost when they
        were bought), seconds (the median of a row), errors (rows without an answer, that was asked
        for), input_tokens, output_tokens, and error, what went wrong most.
        """
        rows = [self._row(name) for name in self.asked]
        made = pd.DataFrame(rows, index=pd.Index(self.variants, name="variant"))
        for name in made:
            kind = "Int64" if name in _WHOLE else "string" if name in _TEXTS else "Float64"
            made[name] = made[name].astype(kind)  # type: ignore[call-overload]  # three literals
        return made

    def _row(self, name: str) -> dict[str, Any]:
        variant, tally = self.asked[name], self._tallies[name]
        made: dict[str, Any] = {
            "prompt": variant.prompt_name,
            "model": variant.model_name,
            "n": tally.rows,
            "answered": tally.answered,
        }
        if self.gold is not None:
            made |= {key: value for key, value in self.sheet.part(name).items() if key != "right"}
        elif len(self.asked) > 1:
            others: Any = self.agreement.loc[name].drop(name).dropna()
            made["agreement"] = float(others.mean()) if len(others) else None
        return made | {
            "usd_per_1000": tally.usd_per_1000,
            "seconds": tally.seconds,
            "errors": tally.errors,
            "input_tokens": tally.input_tokens,
            "output_tokens": tally.output_tokens,
            "error": tally.error or None,
        }

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """The share of rows that two variants answer alike, of those that both answer: a matrix."""
        return self.sheet.agreement()

    @cached_property
    def disagreements(self) -> pd.DataFrame:
        """The rows that are not answered alike, the most split first; gold and answers in front.

        Of numbers those come first whose answers lie farthest apart.
        """
        rows = self.sheet.disagreements()
        first: list[Hashable] = [] if self.gold is None else [self.gold]
        first += [column for each in self.sheet.answers for column in each.columns]
        names: list[Hashable] = list(self.frame.columns)
        places = [names.index(name) for name in first]
        rest = [place for place in range(len(names)) if place not in places]
        return self.frame.iloc[rows, places + rest]

    @cached_property
    def pairs(self) -> list[Pair]:
        """McNemar's test for each pair of variants, the surest first; none without gold."""
        return self.sheet.pairs()

    @cached_property
    def tests(self) -> pd.DataFrame:
        """The same as a frame: a row for each pair.

        Columns: a, b, rows (both have answered), only_a and only_b (where only the one is right; of
        numbers, where it is nearer), difference (of b from a) with its 95 % interval (low, high), p
        (exact), p_holm (corrected for all pairs), and words.
        """
        rows = [
            {
                "a": pair.a,
                "b": pair.b,
                "rows": pair.rows,
                "only_a": pair.only_a,
                "only_b": pair.only_b,
                "difference": pair.difference,
                "low": pair.interval[0],
                "high": pair.interval[1],
                "p": pair.p,
                "p_holm": pair.p_all,
                "words": pair.words,
            }
            for pair in self.pairs
        ]
        names = (
            "a", "b", "rows", "only_a", "only_b", "difference", "low", "high", "p", "p_holm", "words"
        )  # fmt: skip
        return pd.DataFrame(rows, columns=list(names))

    @cached_property
    def ranked(self) -> list[str]:
        """The variants, the best first; in their order without gold.

        A row without an answer counts as wrong; of numbers it counts as far off as the median of
        the gold is, and no less than the other rows. Of equal ones the cheapest comes first, and
        those without any answer last. `c.table.loc[c.ranked]` is the table in this order.
        """
        if self.gold is None:
            return list(self.asked)

        def order(name: str) -> tuple[bool, float, float]:
            off, tally = self.sheet.off_by(name), self._tallies[name]
            cost = float("inf") if tally.usd_per_1000 is None else tally.usd_per_1000
            if off is None:
                off = -(self.sheet.part(name)["right"] or 0)
            return not tally.answered, off, cost

        return sorted(self.asked, key=order)

    @property
    def best(self) -> str | None:
        """The variant that is right most often (of numbers: off by least); None without gold.

        A row without an answer counts as in `.ranked`. Of equal ones the cheapest. `.test` says
        whether it is better than another, or lucky.
        """
        first = self.ranked[0]
        return None if self.gold is None or not self._tallies[first].answered else first
