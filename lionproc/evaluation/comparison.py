"""`Comparison`: prompts and models on the same rows, as data, as a card and as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.evaluation.compared import Compared
from lionproc.evaluation.mcnemar import Pair
from lionproc.evaluation.variants import Diff, Variant, difference
from lionproc.face import face

if TYPE_CHECKING:
    from matplotlib.figure import Figure


__all__ = ["Comparison"]


class Comparison(Compared):
    """Prompts and models on the same rows. The last line of a cell shows it as a card.

    Made by `df.llm.compare(...)`. What is not known is NA.

    Attributes:
        frame: The rows of the sample with a column for each variant, called like it.
        gold: The column of what is right; None where there is none.
        variants: The names of the variants: of the prompt, of the model, or of both.
        stats: What all of it took.

    Example:
        ```python
        c = df.assign(label=["good", "bad"]).llm.compare(
            {"short": "Mood? {review}", "strict": "Good or bad, nothing else: {review}"},
            into="mood", schema=Literal["good", "bad"], gold="label",
        )
        c.table["accuracy"], c.best
        c.test("short", "strict").words  # is it better, or luck?
        c.disagreements.head(10)
        out = c.use("strict", save="moods.parquet")  # all rows; the sample is not paid again
        ```
    """

    @face
    def test(self, a: str | int, b: str | int) -> Pair:
        """Whether one variant is better than another, or luck: McNemar's test.

        Args:
            a: The name of a variant, or its number from 1 on. The name of a prompt alone is the
                variant with the first model.
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
        if first == second:
            raise ConfigurationError(f"{first!r} cannot be compared with itself.")
        return Pair(first, second, 0, 0, 0, 1.0, 1.0)

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

        found = self._find(variant)
        alike = [e.name for e in self.asked.values() if variant in {e.prompt_name, e.model_name}]
        if found.name != variant and len(alike) > 1:
            raise ConfigurationError(
                f"{variant!r} is in {len(alike)} variants, and all rows are paid for: name one of "
                f"{', '.join(map(repr, alike[:8]))}."
            )
        return wait_for(prepare(self._whole(found, options)))

    def _find(self, name: str | int) -> Variant:
        known = list(self.asked.values())
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
            "sample": self.drawn,
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
