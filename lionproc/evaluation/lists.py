"""Lists against gold: which items were found, and which are made up. Their order is no matter."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
import pandas as pd

from lionproc.errors import ColumnError
from lionproc.evaluation.columns import Column
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.list_items import kind_of_items
from lionproc.evaluation.part import Mask, Part, Places, of_right
from lionproc.model.one_hash import has_one_hash

__all__ = ["Lists"]


class Lists:
    """Answers and gold that are lists. An item that stands twice has to be found twice.

    Args:
        answers: The answers.
        gold: The gold. An empty list is gold that says that there is nothing.
        weights: How many rows each stands for, where those with gold were not drawn alike.

    Raises:
        ColumnError: The items of a column cannot be told apart in a moment.
    """

    def __init__(self, answers: Column, gold: Column, weights: Numbers | None = None) -> None:
        self.scored: Mask = answers.is_there & gold.is_there
        self._name = str(gold.name)
        self._weights = weights
        rows = np.flatnonzero(self.scored).tolist()
        for column in (answers, gold):
            if has_one_hash(
                item for row in rows for item in cast("list[object]", column.cells[row])
            ):
                raise ColumnError(
                    f"Very many numbers in the lists of {column.name!r} have one hash, so that to "
                    "tell them apart takes hours. Make texts of them."
                )
        _must_be_alike(answers, gold, rows)
        self._answers = {row: _items(answers.cells[row]) for row in rows}
        self._gold = {row: _items(gold.cells[row]) for row in rows}

    def part(self, rows: Places) -> Part:
        """Rows with exactly the items of the gold; precision, recall and F1 over all items."""
        weights = None if self._weights is None else self._weights[rows]
        both = [(self._answers[row], self._gold[row]) for row in rows]

        def total(counts: Iterable[int]) -> float:
            made = np.fromiter(counts, np.float64, len(both))
            return float((made if weights is None else made * weights).sum())

        said = total(answer.total() for answer, _ in both)
        there = total(gold.total() for _, gold in both)
        found = total((answer & gold).total() for answer, gold in both)
        right = np.fromiter((answer == gold for answer, gold in both), np.bool_, len(both))
        return {
            "precision": found / said if said else None,
            "recall": found / there if there else None,
            "f1": 2 * found / (said + there) if said + there else None,
            **of_right(right, weights),
        }

    def wrong(self) -> Places:
        """The rows with other items than the gold, those with most wrong items first."""
        off = {
            row: ((answer - self._gold[row]) + (self._gold[row] - answer)).total()
            for row, answer in self._answers.items()
        }
        rows = [row for row, number in off.items() if number]
        return np.array(sorted(rows, key=lambda row: -off[row]), dtype=np.intp)

    def table(self) -> pd.DataFrame:
        """Precision, recall, F1 and number in the gold of each item, the most frequent first."""
        said = _together(self._answers.values())
        there = _together(self._gold.values())
        found = _together(answer & self._gold[row] for row, answer in self._answers.items())
        items = sorted({*said, *there}, key=lambda item: (-there[item], -said[item], str(item)))

        def column(values: Iterable[float | None]) -> object:
            return pd.array(list(values), dtype="Float64")

        made = {
            "precision": column(found[i] / said[i] if said[i] else None for i in items),
            "recall": column(found[i] / there[i] if there[i] else None for i in items),
            "f1": column(2 * found[i] / (said[i] + there[i]) for i in items),
            "support": pd.array([there[i] for i in items], dtype="Int64"),
        }
        return pd.DataFrame(made, index=pd.Index(items, name=self._name, tupleize_cols=False))


def _must_be_alike(answers: Column, gold: Column, rows: Sequence[int]) -> None:
    """Refuse lists of texts beside lists of numbers or times: none of them could be right.

    Raises:
        ColumnError: They are.
    """
    kind = kind_of_items(answers.cells[row] for row in rows)
    items = [item for row in rows for item in cast("list[object]", gold.cells[row])]
    if kind is not None and items and all(isinstance(item, str) for item in items):
        raise ColumnError(
            f"The lists of {answers.name!r} have items of the type {kind.__name__}, and those of "
            f"{gold.name!r} texts: none could be right. Make the items of the gold {kind.__name__}."
        )


def _items(cell: object) -> Counter[object]:
    return Counter(_item(each) for each in cast("list[object]", cell))


def _together(counts: Iterable[Counter[object]]) -> Counter[object]:
    made = Counter[object]()
    for each in counts:
        made.update(each)
    return made


def _item(value: object) -> object:
    """An item that can be counted: records and lists as their JSON."""
    if isinstance(value, (dict, list)):
        return json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return value
