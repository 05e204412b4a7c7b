"""`Score`: how good answers are, as data, as text, as a card and as a picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lionproc.errors import ColumnError, ConfigurationError
from lionproc.evaluation.calibration import Calibration, calibration_of
from lionproc.evaluation.columns import Column, Measure, column, measure_of, one_column
from lionproc.evaluation.intervals import Numbers as Floats
from lionproc.evaluation.labels import Labels
from lionproc.evaluation.lists import Lists
from lionproc.evaluation.numbers import Numbers
from lionproc.evaluation.part import Comparison, Mask, Part, Places
from lionproc.evaluation.review_match import matched
from lionproc.evaluation.scored import Scored
from lionproc.frame.distinct import distinct

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Score", "score"]

SHARE = 0.95  # of the rows that nobody looks at is to be right, unless somebody says otherwise


class Score(Scored):
    """How good the answers in a column are. The last line of a cell shows it as a card.

    What does not exist for a kind of answer, or cannot be known, is None: labels (a choice, text,
    true and false) have accuracy, kappa, F1, a confusion and shares; numbers have errors and a
    correlation; lists have precision and recall.

    Attributes:
        into: The column of the answers.
        gold: The column of the gold.
        measure: "labels", "numbers" or "lists".
        rows: Rows of the frame.
        n: Rows with gold and an answer: what is scored.
        missing: Rows with gold that have no answer. They are not in `n`.
        right: Rows whose answer is the gold; of lists, those with exactly its items.
        accuracy: `right / n`.
        accuracy_with_missing: `right / (n + missing)`: a missing answer counts as wrong.
        interval: Where the accuracy lies with 95 % confidence (Wilson's score interval).
        kappa: Cohen's kappa: agreement beyond what chance gives; 1 is all, 0 is chance.
        f1: The mean of the labels' F1 (macro); of lists over all their items (micro).
        precision: Of lists: the share of the answered items that are in the gold (micro).
        recall: Of lists: the share of the gold's items that were answered (micro).
        mae: Of numbers: the mean absolute error.
        rmse: Of numbers: the root of the mean squared error.
        bias: Of numbers: the mean of answer minus gold.
        r: Of numbers: Pearson's correlation.
        table: A row per label or item: precision, recall, f1, support (how often in the gold).
        confusion: Rows are gold, columns answers; None with more than 500 labels.
        shares: A row per label: its share among the `answers`, and its `share` in the whole frame,
            corrected for the model's errors by the rows with gold, which have to be drawn at
            random, with a 95 % interval (`low`, `high`). Prediction-powered inference; the formula
            and its sources: `lionproc.evaluation.intervals.corrected`.
        slices: With `by=`: a row per value of that column, with its own n, missing and numbers.
        not_found: Rows of a review that are not in this frame, or that may be any of several rows
            that differ.
        weighted: True where the rows with gold were not drawn alike (`to_review` takes unsure ones
            more often) and each counts for as many as it stands for. Of the numbers only the counts
            (n, missing, right, support, confusion) are plain then.
        examples: Rows with gold that the model was shown with their answers (`examples=`). They are
            left out, wherever they stand in the frame; None where there were some and it is not
            known which, as in a frame that was read from a file.
        reliability: Where there is `{into}_confidence`: a row for each tenth of the scored rows, by
            confidence: `from`, `to`, n, the mean `confidence` and the `accuracy` with its 95 %
            interval. Equal confidences stay together. A model that knows itself is as often
            right as it is sure.
        coverage: How many rows can go without a look if 95 % of them are to be right: `.share` of
            all rows, those from `.threshold` on. It is found on the rows with gold, of which `.seen`
            are right, with an `.interval`.
        wrong: The rows with a wrong answer; gold, answer and confidence come first. The most
            confident are on top where there is `{into}_confidence`, else the farthest off.

    Example:
        ```python
        score = out.llm.score("sentiment", gold="label")
        score.accuracy, score.interval, score.missing
        score.wrong.head(10)
        score.shares.loc["negative"]
        ```
    """

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, for a log or a file: plain JSON. Of the wrong rows, how many."""
        made: dict[str, Any] = {
            name: value
            for name, value in vars(self).items()
            if not name.startswith("_") and not isinstance(value, (pd.DataFrame, np.ndarray))
        }
        made |= {"into": str(self.into), "gold": str(self.gold), "wrong": len(self.wrong)}
        made["interval"] = None if self.interval is None else list(self.interval)
        made["coverage"] = None if self.coverage is None else asdict(self.coverage)
        for name in ("table", "confusion", "shares", "slices", "reliability"):
            made[name] = _records(getattr(self, name))
        return made

    def review(self, accuracy: float = 0.95) -> pd.DataFrame:
        """The rows to look at, so that of the others this share is right.

        The threshold is the lowest confidence from which on the rows with gold are right so often.

        Args:
            accuracy: The share of the others that is to be right, such as 0.95.

        Returns:
            Rows of the frame: those without an answer, those without a confidence, and those less
            sure than the threshold, in this order. All of them, where no confidence is enough.

        Raises:
            ConfigurationError: There are no confidences to go by, or it is no share.

        Example:
            ```python
            score = out.llm.score("sentiment", gold="label")
            score.review(accuracy=0.95).to_csv("look.csv")
            ```
        """
        if self._calibration is None or self._frame is None:
            raise ConfigurationError(
                f"Which rows to look at is told by their confidences, and no row with gold has one: "
                f"ask with confidence=True, or votes=5, for the column {f'{self.into}_confidence'!r}."
            )
        return self._frame.iloc[self._calibration.to_look_at(accuracy)]

    def plot(self) -> Figure:
        """Draw it: what was taken for what and the shares; numbers against gold; items of lists.

        Returns:
            A matplotlib figure; a notebook shows it as the last line of a cell, and
            `.savefig(path)` writes it.

        Raises:
            ConfigurationError: There is nothing to draw: no row has both gold and an answer.
            MissingDependencyError: matplotlib is not installed (`pip install 'lionproc[plot]'`).
        """
        from lionproc.evaluation.plot import figure

        return figure(self)

    def __repr__(self) -> str:
        from lionproc.evaluation.card import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from lionproc.evaluation.card import as_html

        return as_html(self)


def score(
    frame: pd.DataFrame,
    into: Hashable,
    gold: Hashable | pd.DataFrame,
    by: Hashable | None = None,
    shown: Mask | None = None,
    *,
    examples_known: bool = True,
) -> Score:
    """Compare a column of answers with a column of gold.

    Args:
        frame: Any frame with both; no run is needed.
        into: The column of the answers.
        gold: The column of what is right, missing where nobody has said it; or what
            `lp.read_review` read.
        by: A column whose values are slices.
        shown: Which rows the model was shown with their answers, None for none.
        examples_known: False where there were such rows, and nobody knows which.

    Raises:
        ColumnError: A column is not there, or there are several of its name.
        ConfigurationError: There is no gold, it is of another kind than the answers, or it has
            labels that could not have been answered.
        MissingDependencyError: scikit-learn is not installed, for labels.
    """
    weights, not_found = None, 0
    if isinstance(gold, pd.DataFrame):
        frame, gold, weights, not_found = matched(frame, into, gold)
    answers, right = column(frame, into, "into"), column(frame, gold, "gold")
    if into == gold:
        raise ColumnError(f"gold: {gold!r} is the column of the answers, which are all like it.")
    right, examples = _without(right, shown)
    measure = measure_of(answers, right)
    compared = _COMPARED[measure](answers, right, weights)
    has_gold = right.is_there
    scored = np.flatnonzero(compared.scored)
    n, missing = len(scored), int(has_gold.sum()) - len(scored)
    more: dict[str, Any] = _told(compared.part(scored))
    more |= _numbers_of(compared, scored, answered=bool(answers.is_there.any()))
    if more.get("right") is not None:
        more["accuracy_with_missing"] = more["right"] / (n + missing)
        if weights is not None:
            part = weights[scored].sum() / weights[has_gold].sum()
            more["accuracy_with_missing"] = (more["accuracy"] or 0.0) * float(part)
    more |= {"not_found": not_found, "weighted": weights is not None}
    if more.get("right") is not None:
        sure = calibration_of(
            frame,
            into,
            scored=scored,
            wrong=compared.wrong(),
            answered=answers.is_there,
            weights=weights,
        )
        more |= _of_confidences(frame, sure)
    more["examples"] = examples if examples_known else None
    if by is not None:
        more["slices"] = _slices(one_column(frame, by, "by"), compared, has_gold)
    wrong = _wrong(frame, compared.wrong(), gold=gold, into=into)
    return Score(into, gold, measure, len(frame), n, missing, wrong=wrong, **more)


def _of_confidences(frame: pd.DataFrame, sure: Calibration | None) -> dict[str, Any]:
    if sure is None:
        return {}
    found = {"reliability": sure.table(), "coverage": sure.coverage(SHARE)}
    return {**found, "_calibration": sure, "_frame": frame}


def _numbers_of(compared: Comparison, scored: Places, *, answered: bool) -> dict[str, Any]:
    """The numbers that belong to one kind of answers."""
    made: dict[str, Any] = {}
    n = len(scored)
    if isinstance(compared, Labels):
        made["table"] = table = compared.table()
        made["f1"] = float(table["f1"].mean()) if n else None
        made |= {"kappa": compared.kappa() if n else None, "confusion": compared.confusion()}
        made["shares"] = compared.shares() if answered else None
    elif isinstance(compared, Lists):
        made["table"] = compared.table()
    elif isinstance(compared, Numbers):
        made["points"] = np.column_stack([compared.gold[scored], compared.answers[scored]])
    return made


def _without(gold: Column, shown: Mask | None) -> tuple[Column, int]:
    """The gold of rows that are no examples, and how many were."""
    if shown is None:
        return gold, 0
    given = shown & gold.is_there
    if not given.any():
        return gold, 0
    if given.sum() == gold.is_there.sum():
        raise ConfigurationError(
            f"Every row with gold in {gold.name!r} is one of examples=, which the model was shown with "
            "the answer. Score it on other rows."
        )
    cells = [None if out else cell for cell, out in zip(gold.cells, given, strict=True)]
    return replace(gold, cells=cells), int(given.sum())


_COMPARED: Mapping[Measure, Callable[[Column, Column, Floats | None], Comparison]] = {
    "labels": Labels,
    "numbers": Numbers,
    "lists": Lists,
}


def _told(part: Part) -> dict[str, Any]:
    made: dict[str, Any] = dict(part)
    if "low" in made:
        low, high = made.pop("low"), made.pop("high")
        made["interval"] = None if low is None else (low, high)
    return made


def _wrong(frame: pd.DataFrame, rows: Places, *, gold: Hashable, into: Hashable) -> pd.DataFrame:
    first = [gold, into]
    confidence = f"{into}_confidence"
    if list(frame.columns).count(confidence) == 1:
        first.append(confidence)
        sure = pd.to_numeric(frame[confidence].iloc[rows], errors="coerce").to_numpy("float64")
        rows = rows[np.argsort(-sure, kind="stable")]  # unknown ones are last
    names: list[Hashable] = list(frame.columns)
    places = [names.index(name) for name in first]
    rest = [place for place in range(len(names)) if place not in places]
    return frame.iloc[rows, places + rest]


def _slices(
    by: pd.Series[Any], compared: Comparison, has_gold: np.ndarray[Any, Any]
) -> pd.DataFrame:
    codes, values = _codes(by)
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(values))).tolist()
    scored = compared.scored
    made: dict[str, list[Any]] = defaultdict(list)  # by columns: there may be as many as rows
    for start, end in pairwise([0, *ends]):
        rows = order[start:end]
        n = rows[scored[rows]]
        missing = int(has_gold[rows].sum()) - len(n)
        part: Part = {"rows": len(rows), "n": len(n), "missing": missing, **compared.part(n)}
        for name, cell in part.items():
            made[name].append(cell)
    index = pd.Index(values, name=by.name, tupleize_cols=False)
    table = pd.DataFrame(made, index=index)
    whole = {"rows", "n", "missing", "right"}
    return table.astype({name: "Int64" if name in whole else "Float64" for name in table})


def _codes(by: pd.Series[Any]) -> tuple[Places, pd.Index[Any]]:
    """Which slice each row is in, missing values being one; in order where they have one."""
    try:
        return distinct(by)
    except (TypeError, NotImplementedError):  # the latter is Arrow's, of lists and records
        raise ConfigurationError(
            f"by: {by.name!r} has lists or other values that no slice can be named by. Give the "
            f"name of a column of labels or numbers; as texts: df[{by.name!r}].map(str)."
        ) from None


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]] | None:
    if table is None:
        return None
    names: list[str] = [str(table.index.name or "label"), *(str(name) for name in table.columns)]
    return [
        dict(zip(names, map(_json, (label, *cells)), strict=True))
        for label, cells in zip(table.index, table.to_numpy(dtype=object), strict=True)
    ]


def _json(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, bool, int)):
        return value
    if pd.api.types.is_scalar(value) and bool(pd.isna(value)):
        return None
    return value if isinstance(value, float) else str(value)
