"""`Comparison`: prompts and models on the same rows, as data, as a card and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.evaluation.mcnemar import Pair
from lionproc.evaluation.sheet import Sheet
from lionproc.evaluation.tallies import Tally
from lionproc.evaluation.variants import Diff, Variant, difference
from lionproc.face import face

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lionproc.frame.plan import Plan

__all__ = ["Comparison"]

_WHOLE = ("n", "answered", "errors", "input_tokens", "output_tokens")
_TEXTS = ("prompt", "model", "error")


class Comparison:
    """Prompts and models on the same rows. The last line of a cell shows it as a card.

    Made by `df.llm.compare(...)`. What is not known is NA.

    Attributes:
        frame: The rows of the sample with a column for each variant, called like it.
        gold: The column of what is right; None where there is none.
        variants: The names of the variants: of the prompt, of the model, or of both.
        stats: What all of it took.

    Example:
        ```python
        c = df.llm.compare({"short": p1, "strict": p2}, into="mood", schema=Mood, gold="label")
        c.table["accuracy"], c.best
        c.test("short", "strict").words  # is it better, or luck?
        c.disagreements.head(10)
        out = c.use("strict", save="moods.parquet")  # all rows; the sample is not paid again
        ```
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
        self._variants = {variant.name: variant for variant in variants}
        self._sheet = sheet
        self._tallies = dict(zip(self._variants, tallies, strict=True))
        self._whole = whole
        self.frame = sheet.frame
        self.gold = sheet.gold
        self.stats = stats
        self._drawn, self._rows_of = drawn, rows_of
        self._read, self._called = read, called

    @property
    def variants(self) -> list[str]:
        """The names of the variants."""
        return list(self._variants)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each variant.

        Columns: prompt, model, n (rows), answered; with gold the numbers of `score`: accuracy of
        the answers with the ends of its 95 % interval (low, high; Wilson), or of numbers mae, rmse,
        bias and r, of lists precision and recall too; without gold agreement, the mean share of
        rows that the others answer alike; usd_per_1000 rows (what the answers cost when they
        were bought), seconds (the median of a row), errors (rows without an answer, that was asked
        for), input_tokens, output_tokens, and error, what went wrong most.
        """
        rows = [self._row(name) for name in self._variants]
        made = pd.DataFrame(rows, index=pd.Index(self.variants, name="variant"))
        for name in made:
            kind = "Int64" if name in _WHOLE else "string" if name in _TEXTS else "Float64"
            made[name] = made[name].astype(kind)  # type: ignore[call-overload]  # three literals
        return made

    def _row(self, name: str) -> dict[str, Any]:
        variant, tally = self._variants[name], self._tallies[name]
        made: dict[str, Any] = {
            "prompt": variant.prompt_name,
            "model": variant.model_name,
            "n": tally.rows,
            "answered": tally.answered,
        }
        if self.gold is not None:
            made |= {key: value for key, value in self._sheet.part(name).items() if key != "right"}
        elif len(self._variants) > 1:
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
        return self._sheet.agreement()

    @cached_property
    def disagreements(self) -> pd.DataFrame:
        """The rows that are not answered alike, the most split first; gold and answers in front.

        Of numbers those come first whose answers lie farthest apart.
        """
        rows = self._sheet.disagreements()
        first: list[Hashable] = [] if self.gold is None else [self.gold]
        first += [column for each in self._sheet.answers for column in each.columns]
        names: list[Hashable] = list(self.frame.columns)
        places = [names.index(name) for name in first]
        rest = [place for place in range(len(names)) if place not in places]
        return self.frame.iloc[rows, places + rest]

    @cached_property
    def pairs(self) -> list[Pair]:
        """McNemar's test for each pair of variants, the surest first; none without gold."""
        return self._sheet.pairs()

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

    @face
    def test(self, a: str | int, b: str | int) -> Pair:
        """Whether one variant is better than another, or luck: McNemar's test.

        Args:
            a: The name of a variant, or its number from 1 on.
            b: Another one.

        Returns:
            An object with `.words` (a sentence), `.p`, `.p_all` (corrected for the number of pairs),
            `.rows`, `.only_a`, `.only_b`, `.difference` and its `.interval`.

        Raises:
            ConfigurationError: There is no such variant, or no gold.
        """
        first, second = self._find(a).name, self._find(b).name
        if self.gold is None:
            raise ConfigurationError(
                "Without gold= nobody knows which answers are right. Label some rows of "
                ".disagreements, or see .agreement."
            )
        for pair in self.pairs:
            if {pair.a, pair.b} == {first, second}:
                return pair
        raise ConfigurationError(f"{first!r} cannot be compared with itself.")

    @property
    def best(self) -> str | None:
        """The variant that is right most often (of numbers: off by least); None without gold.

        A row without an answer counts as wrong. Of equal ones the cheapest. `.test` says
        whether it is better than another, or lucky.
        """
        if self.gold is None:
            return None
        found = [name for name in self._variants if self._tallies[name].answered]

        def order(name: str) -> tuple[float, float]:
            part, tally = self._sheet.part(name), self._tallies[name]
            cost = float("inf") if tally.usd_per_1000 is None else tally.usd_per_1000
            if "mae" in part:
                return float("inf") if part["mae"] is None else part["mae"], cost
            return -(part["right"] or 0), cost

        return min(found, key=order, default=None)

    @face
    def diff(self, a: str | int, b: str | int) -> Diff:
        """What differs between the prompts of two variants, line by line.

        Args:
            a: The name of a variant or of a prompt, or its number from 1 on.
            b: Another one.

        Returns:
            A text; the last line of a cell shows it in colors.

        Raises:
            ConfigurationError: There is no such variant.
        """
        return difference(self._find(a), self._find(b))

    @face
    def use(self, variant: str | int, **options: Any) -> pd.DataFrame:
        """Ask about all rows, as one of the variants does. What the sample has is not paid again.

        Args:
            variant: Its name, or its number from 1 on.
            **options: Arguments of `process` besides those of the comparison, or in their place:
                `save=`, `into=`, `budget=`.

        Returns:
            The frame, as `process` does.

        Raises:
            LionprocError: As `process`.
        """
        from lionproc.frame.job import prepare, wait_for

        return wait_for(prepare(self._whole(self._find(variant), options)))

    def _find(self, name: str | int) -> Variant:
        known = list(self._variants.values())
        if isinstance(name, int) and not isinstance(name, bool) and 1 <= name <= len(known):
            return known[name - 1]
        for variant in known:
            if variant.name == name:
                return variant
        for variant in known:
            if name in {variant.prompt_name, variant.model_name}:
                return variant
        raise ConfigurationError(
            f"There is no variant {name!r}.{did_you_mean(name, self.variants)} There are "
            f"{', '.join(map(repr, self.variants[:8]))}."
        )

    def as_dict(self) -> dict[str, Any]:
        """The table and the tests, for a log or a file: plain JSON."""
        return {
            "gold": None if self.gold is None else str(self.gold),
            "sample": self._drawn,
            "best": self.best,
            "variants": [
                {"variant": name, **_plain(row)}
                for name, row in zip(self.variants, self.table.to_dict("records"), strict=True)
            ],
            "tests": [_plain(row) for row in self.tests.to_dict("records")],
        }

    def plot(self) -> Figure:
        """Draw accuracy (or agreement) against dollars, with intervals.

        Returns:
            A matplotlib figure; a notebook shows it as the last line of a cell, and
            `.savefig(path)` writes it.

        Raises:
            ConfigurationError: There is nothing to draw: no variant has an answer.
            MissingDependencyError: matplotlib is not installed (`pip install 'lionproc[plot]'`).
        """
        from lionproc.evaluation.comparison_plot import figure

        return figure(self)

    def __repr__(self) -> str:
        from lionproc.evaluation.comparison_card import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from lionproc.evaluation.comparison_card import as_html

        return as_html(self)


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}
