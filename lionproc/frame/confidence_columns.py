"""The columns that say how sure answers are: which there are, and what is in them."""

from __future__ import annotations

import math
from array import array
from collections.abc import Hashable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lionproc.frame.assemble import column_names
from lionproc.model.confidence import Confidences

if TYPE_CHECKING:
    from lionproc.frame.stage import Stage

__all__ = ["ConfidenceColumns", "confidence_names"]

_UNKNOWN = float("nan")


def confidence_names(stage: Stage, into: Hashable | None) -> list[str]:
    """What the columns are called, beside those of the answers to one question.

    Args:
        stage: What is asked. With votes there is one column, for the answer as a whole; with
            log-probabilities one for each of its choices.
        into: As for `column_names`.
    """
    if stage.votes > 1:
        return ["confidence" if into is None else f"{into}_confidence"]
    if not stage.confidence:
        return []
    chosen = set(Confidences.of(stage.answer).names)
    fields = [None] if stage.answer.fields is None else [f.name for f in stage.answer.fields]
    columns = zip(fields, column_names(stage.answer, into), strict=True)
    return [f"{column}_confidence" for field, column in columns if field in chosen]


class ConfidenceColumns:
    """How sure the answers to one question are, by row. Written on the engine's loop, read from any.

    Args:
        names: The columns, none where nobody asked.
        rows: How many rows there are.
    """

    def __init__(self, names: Sequence[str], rows: int) -> None:
        self._columns = {name: array("d", [_UNKNOWN]) * rows for name in names}

    def put(self, row: int, known: Sequence[float | None]) -> None:
        """A row has its answer.

        Args:
            row: Which.
            known: The confidence for each column, None where it is not known.
        """
        for column, value in zip(self._columns.values(), known, strict=False):
            column[row] = _UNKNOWN if value is None else value

    def take_over(self, before: ConfidenceColumns) -> None:
        """Begin with what an earlier run of the same rows has."""
        self._columns = {name: copy(column) for name, column in before._columns.items()}

    def unknown(self, row: int) -> bool:
        """Whether a row that should have a confidence has none."""
        columns = self._columns.values()
        return bool(columns) and all(math.isnan(column[row]) for column in columns)

    def between(self, start: int, stop: int) -> dict[Hashable, Any]:
        """The arrays by column name for the rows from `start` to `stop`; NA where it is not known."""
        made: dict[Hashable, Any] = {}
        for name, column in self._columns.items():
            values = np.array(column[start:stop], dtype="float64")
            made[name] = pd.arrays.FloatingArray(np.nan_to_num(values), np.isnan(values))
        return made
