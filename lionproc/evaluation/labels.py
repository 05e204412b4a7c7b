"""Labels against gold: how many are right, and which is taken for which.

scikit-learn does the arithmetic of kappa, F1 and the confusion matrix, on numbers for labels.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from lionproc.errors import MissingDependencyError
from lionproc.evaluation.columns import Column, check_labels, ordered
from lionproc.evaluation.intervals import Numbers, corrected, effective
from lionproc.evaluation.part import Mask, Part, Places, of_right
from lionproc.model.validate import whole_characters

__all__ = ["Labels"]

MOST = 500  # labels of a matrix; of free text there may be one a row


def _metrics() -> ModuleType:
    try:
        from sklearn import metrics
    except ImportError:
        raise MissingDependencyError(
            "Labels are scored with scikit-learn, which is not installed: "
            "pip install 'lionproc[evaluate]'."
        ) from None
    found: ModuleType = metrics
    return found


class Labels:
    """Answers and gold that are labels.

    Args:
        answers: The answers.
        gold: The gold.
        weights: How many rows each stands for, where those with gold were not drawn alike.

    Raises:
        ConfigurationError: The gold has a label that could not have been answered.
        MissingDependencyError: scikit-learn is not installed.
    """

    def __init__(self, answers: Column, gold: Column, weights: Numbers | None = None) -> None:
        check_labels(answers, gold)
        found = set(answers.cells).union(gold.cells) - {None}
        self.labels = list(answers.categories or ordered(found))
        code = {label: place for place, label in enumerate(self.labels)}
        code[None] = -1
        rows = len(gold.cells)
        self._answers = np.fromiter((code[cell] for cell in answers.cells), np.int64, rows)
        self._gold = np.fromiter((code[cell] for cell in gold.cells), np.int64, rows)
        self._names = (str(gold.name), str(answers.name))
        self._weights = weights

    @property
    def scored(self) -> Mask:
        """Where there are both."""
        return (self._answers >= 0) & (self._gold >= 0)

    def part(self, rows: Places) -> Part:
        """Right answers of these rows."""
        return of_right(self._answers[rows] == self._gold[rows], self._of(rows))

    def wrong(self) -> Places:
        """The rows with a wrong answer."""
        return np.flatnonzero(self.scored & (self._answers != self._gold))

    def _of(self, rows: Places | Mask) -> Numbers | None:
        return None if self._weights is None else self._weights[rows]

    def _both(self) -> tuple[Places, Places]:
        return self._gold[self.scored], self._answers[self.scored]

    def kappa(self) -> float | None:
        """Cohen's kappa; None where it is not defined, as both have one and the same label only."""
        gold, answers = self._both()
        if len(self.labels) > MOST or len(np.union1d(gold, answers)) < 2:
            return None
        weights = self._of(self.scored)
        return float(_metrics().cohen_kappa_score(gold, answers, sample_weight=weights))

    def table(self) -> pd.DataFrame:
        """Precision, recall, F1 and gold rows of each label; NA where there is nothing to count."""
        gold, answers = self._both()
        all_labels = range(len(self.labels))
        if len(gold):
            values = _metrics().precision_recall_fscore_support(
                gold,
                answers,
                labels=list(all_labels),
                zero_division=np.nan,
                sample_weight=self._of(self.scored),
            )
        else:
            values = [[np.nan for _ in all_labels]] * 3 + [[0 for _ in all_labels]]
        made: dict[str, Any] = {
            name: pd.array([None if np.isnan(each) else each for each in column], dtype="Float64")
            for name, column in zip(("precision", "recall", "f1"), values, strict=False)
        }
        support = np.bincount(gold, minlength=len(self.labels))  # of rows, whatever they weigh
        made["support"] = pd.array(support, dtype="Int64")
        return pd.DataFrame(made, index=self._index(0))

    def confusion(self) -> pd.DataFrame | None:
        """How often which is taken for which; None where there are too many labels for that."""
        size = len(self.labels)
        if size > MOST:
            return None
        gold, answers = self._both()
        counts = np.full((size, size), len(gold), np.int64)  # right, where there is one label
        if size > 1 and len(gold):
            counts = _metrics().confusion_matrix(gold, answers, labels=list(range(size)))
        return pd.DataFrame(counts, index=self._index(0), columns=self._index(1))

    def shares(self) -> pd.DataFrame:
        """The share of each label in all rows, corrected by the gold. See `corrected`.

        A row without an answer counts as the mix of all answers, with gold and without, so that
        nothing is left out and the shares add up.
        """
        size, rows = len(self.labels), len(self._gold)
        answered, has_gold = self._answers >= 0, self._gold >= 0
        weights = np.ones(rows) if self._weights is None else self._weights.copy()
        n = effective(weights[has_gold])
        weights *= n / weights[has_gold].sum()
        mix = _counted(self._answers[answered], size) / max(1, int(answered.sum()))
        wrong = self.wrong()
        wanting = self._wanting()
        missed = _counted(self._gold[wanting], size, weights[wanting])  # wrong for another each
        taken = _counted(self._answers[wrong], size, weights[wrong])
        lost = _counted(self._gold[wrong], size, weights[wrong])
        unanswered = missed.sum()
        errors = lost - taken + missed - unanswered * mix
        squares = lost + taken + missed * (1 - mix) ** 2 + (unanswered - missed) * mix**2
        share, low, high = corrected(mix, errors, squares, n, rows)
        made = {"answers": mix, "share": share, "low": low, "high": high}
        return pd.DataFrame(made, index=self._index(0))

    def _wanting(self) -> Mask:
        return (self._gold >= 0) & (self._answers < 0)

    def _index(self, which: int) -> pd.Index[Any]:
        labels = [whole_characters(each) if isinstance(each, str) else each for each in self.labels]
        return pd.Index(labels, name=self._names[which], tupleize_cols=False)


def _counted(codes: Places, size: int, weights: Numbers | None = None) -> Numbers:
    return np.bincount(codes, weights, minlength=size).astype(np.float64)
