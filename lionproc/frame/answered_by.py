"""Which model answered each row, as the replies say it.

The name that was asked for says little: an alias moves on to the next version, a router chooses,
and a local server may have other weights under the same name tomorrow. Old and new answers then
stand in one column, and nobody can tell.
"""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np
import pandas as pd
from pandas.api.extensions import ExtensionArray

__all__ = ["AnsweredBy"]

MOST_NAMES = 1000  # a server that gives every reply another name says nothing
OTHERS = "(another)"


class AnsweredBy:
    """The model of each answer.

    Args:
        size: How many answers there can be.
    """

    def __init__(self, size: int) -> None:
        self._names = [""]
        self._known = {"": 0}
        self._of = array("H", bytes(2 * size))

    def note(self, position: int, model: str) -> None:
        """An answer has come from a model; empty if the reply does not say which."""
        number = self._known.get(model)
        if number is None:
            model = model if len(self._names) < MOST_NAMES else OTHERS
            number = self._known.setdefault(model, len(self._names))
            if number == len(self._names):
                self._names.append(model)
        self._of[position] = number

    def column(self, first: int, count: int) -> ExtensionArray:
        """The names for some answers in their order, NA where none is known."""
        names = np.array([None, *self._names[1:]], dtype=object)
        places = np.array(self._of[first : first + count], dtype="intp")
        made: ExtensionArray = pd.array(names[places], dtype="string")
        return made

    def take_over(self, before: AnsweredBy) -> None:
        """Begin with what an earlier run of the same rows knows."""
        self._names, self._known = list(before._names), dict(before._known)
        self._of = array("H", before._of)

    def mixture(self) -> str:
        """The models and their rows in words, where there are two or more; else empty."""
        counts = Counter(self._of)
        del counts[0]
        if len(counts) < 2:
            return ""
        shown = [f"{self._names[n][:60]!r} ({rows:,})" for n, rows in counts.most_common(3)]
        more = f" and {len(counts) - 3:,} more" if len(counts) > 3 else ""
        return ", ".join(shown) + more
