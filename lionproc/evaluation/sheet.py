"""Answers of several variants to the same rows: who is right, who agrees, where they differ."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from lionproc.evaluation.columns import Column, Measure, column
from lionproc.evaluation.labels import Labels
from lionproc.evaluation.lists import Lists
from lionproc.evaluation.mcnemar import Pair, holm, p_value
from lionproc.evaluation.numbers import Numbers, apart
from lionproc.evaluation.part import Comparison, Mask, Part, Places

__all__ = ["Answers", "Sheet"]


@dataclass(frozen=True, slots=True)
class Answers:
    """What one variant answered.

    Attributes:
        name: The variant.
        columns: Its columns: one, or one for each field.
        took: What each row took: status, seconds, usd and tokens.
    """

    name: str
    columns: Sequence[Hashable]
    took: pd.DataFrame


class Sheet:
    """The answers of all variants, compared with gold and with each other.

    Args:
        frame: The sample, with the columns of all variants.
        answers: What each variant answered.
        gold: The column of gold; None where there is none.
        measure: How answers are compared with it.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        answers: Sequence[Answers],
        gold: Hashable | None,
        measure: Measure | None,
    ) -> None:
        self.frame, self.answers, self.gold, self.measure = frame, answers, gold, measure
        self.names = [each.name for each in answers]
        self._columns = {each.name: self._read(each) for each in answers}
        self._codes = self._coded()

    def _read(self, answers: Answers) -> list[Column]:
        return [column(self.frame, name, "into") for name in answers.columns]

    def _coded(self) -> npt.NDArray[np.int64]:
        """A number for each answer, the same for equal ones, -1 for none: variants times rows."""
        # First each field by itself: values of several can be chosen so that all have one hash together.
        of_field: defaultdict[int, dict[object, int]] = defaultdict(dict)
        known: dict[tuple[int, ...], int] = {}
        rows = []
        for columns in self._columns.values():
            fields = [_numbered(each.cells, of_field[place]) for place, each in enumerate(columns)]
            codes = zip(*fields, strict=True)
            rows.append(
                [-1 if max(key) < 0 else known.setdefault(key, len(known)) for key in codes]
            )
        return np.array(rows, dtype=np.int64).reshape(len(self.names), len(self.frame))

    @property
    def is_number(self) -> bool:
        """Whether the answers are numbers."""
        kinds = {kind for (first, *_) in self._columns.values() for kind in first.kinds}
        return kinds == {"numbers"} and all(len(each) == 1 for each in self._columns.values())

    def answered(self, name: str) -> Mask:
        """Where a variant has an answer."""
        there: Mask = self._codes[self.names.index(name)] >= 0
        return there

    # -- with gold --------------------------------------------------------------------------

    @cached_property
    def _with_gold(self) -> dict[str, Comparison]:
        """Each variant beside the gold."""
        if self.measure is None or self.gold is None:
            return {}
        gold = column(self.frame, self.gold, "gold")
        made: dict[str, Comparison] = {}
        for name, (answers, *_) in self._columns.items():
            if self.measure == "labels":
                made[name] = Labels(answers, gold)
            else:
                made[name] = (Lists if self.measure == "lists" else Numbers)(answers, gold)
        return made

    def part(self, name: str) -> Part:
        """The numbers of a variant, as `score` has them."""
        compared = self._with_gold[name]
        return compared.part(np.flatnonzero(compared.scored))

    def off_by(self, name: str) -> float | None:
        """How far off the numbers of a variant are, with its gaps; None of anything else."""
        compared = self._with_gold[name]
        return compared.off_by() if isinstance(compared, Numbers) else None

    def right(self, name: str) -> Mask:
        """Where a variant is right; of lists, where it has exactly the items."""
        compared = self._with_gold[name]
        right = compared.scored.copy()
        right[compared.wrong()] = False
        return right

    def pairs(self) -> list[Pair]:
        """McNemar's test for all pairs that share a row, with Holm's correction; the surest first."""
        if not self._with_gold:
            return []
        made = []
        for place, a in enumerate(self.names):
            for b in self.names[place + 1 :]:
                both = self._with_gold[a].scored & self._with_gold[b].scored
                if not both.any():
                    continue  # one of them has not answered: there is nothing to be lucky with
                first, second = self._better(a, b, both)
                made.append((a, b, int(both.sum()), first, second, p_value(first, second)))
        corrected = holm([each[-1] for each in made])
        word = "nearer" if self.measure == "numbers" else "right"
        pairs = [
            Pair(*each, after, len(made), word) for each, after in zip(made, corrected, strict=True)
        ]
        return sorted(pairs, key=lambda pair: pair.p)

    def _better(self, a: str, b: str, both: Mask) -> tuple[int, int]:
        """Rows where only the one is right, or nearer, and where only the other is."""
        first, second = self._with_gold[a], self._with_gold[b]
        if isinstance(first, Numbers) and isinstance(second, Numbers):
            return first.nearer(second, both), second.nearer(first, both)
        one, other = self.right(a)[both], self.right(b)[both]
        return int((one & ~other).sum()), int((other & ~one).sum())

    # -- with each other --------------------------------------------------------------------

    def agreement(self) -> pd.DataFrame:
        """The share of rows that two answer alike, of those that both answer."""
        made = pd.DataFrame(index=self.names, columns=self.names, dtype="Float64")
        for place, name in enumerate(self.names):
            for other in range(place, len(self.names)):
                a, b = self._codes[place], self._codes[other]
                both = (a >= 0) & (b >= 0)
                share: Any = float((a == b)[both].mean()) if both.any() else pd.NA
                made.loc[name, self.names[other]] = made.loc[self.names[other], name] = share
        return made.rename_axis(index="variant")

    def disagreements(self) -> Places:
        """The rows that are not answered alike, the most split first."""
        there = self._codes >= 0
        answers = there.sum(axis=0)
        largest = np.zeros(len(self.frame), dtype=np.int64)
        for codes in self._codes:
            same = ((self._codes == codes) & (codes >= 0)).sum(axis=0)
            largest = np.maximum(largest, same)
        split = np.where(answers > 0, 1 - largest / np.maximum(answers, 1), 0.0)
        rows = np.flatnonzero(largest < answers)
        order = self._spread(rows) if self.is_number else split[rows]
        return rows[np.argsort(-order, kind="stable")]

    def _spread(self, rows: Places) -> npt.NDArray[np.float64]:
        """How far the numbers of some rows lie apart."""
        numbers: list[Any] = [[*cells[0].cells] for cells in self._columns.values()]
        there = ([cells[row] for cells in numbers if cells[row] is not None] for row in rows)
        return np.array([float(apart(max(each), min(each))) for each in there], dtype=np.float64)


def _numbered(cells: Iterable[object], known: dict[object, int]) -> list[int]:
    """A number for each cell, the same for equal ones, -1 for none."""
    return [-1 if cell is None else known.setdefault(_key(cell), len(known)) for cell in cells]


def _key(cell: object) -> object:
    """An answer as what it is compared by: of lists the order of the items is no matter."""
    if isinstance(cell, list):
        return tuple(sorted(json.dumps(each, sort_keys=True, default=str) for each in cell))
    if isinstance(cell, Mapping):
        return json.dumps(cell, sort_keys=True, default=str)
    return cell if isinstance(cell, Hashable) else repr(cell)
