"""`Score`: how good answers are, as data, as text, as a card and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lionproc.errors import ColumnError, ConfigurationError
from lionproc.evaluation.columns import Column, Measure, column, measure_of, one_column
from lionproc.evaluation.intervals import Numbers as Floats
from lionproc.evaluation.labels import Labels
from lionproc.evaluation.lists import Lists
from lionproc.evaluation.numbers import Numbers
from lionproc.evaluation.part import Comparison, Part, Places
from lionproc.evaluation.review_match import matched
from lionproc.evaluation.scored import Scored

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Score", "score"]


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
        not_found: Rows of a review that are not in this frame.
        weighted: True where the rows with gold were not drawn alike (`to_review` takes unsure ones
            more often) and each counts for as many as it stands for. Of the numbers only the counts
            (n, missing, right, support, confusion) are plain then.
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
            if not isinstance(value, (pd.DataFrame, np.ndarray))
        }
        made |= {"into": str(self.into), "gold": str(self.gold), "wrong": len(self.wrong)}
        made["interval"] = None if self.interval is None else list(self.interval)
        for name in ("table", "confusion", "shares", "slices"):
            made[name] = _records(getattr(self, name))
        return made

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
) -> Score:
    """Compare a column of answers with a column of gold.

    Args:
        frame: Any frame with both; no run is needed.
        into: The column of the answers.
        gold: The column of what is right, missing where nobody has said it; or what
            `lp.read_review` read.
        by: A column whose values are slices.

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
    measure = measure_of(answers, right)
    compared = _COMPARED[measure](answers, right, weights)
    has_gold = right.is_there
    scored = np.flatnonzero(compared.scored)
    n, missing = len(scored), int(has_gold.sum()) - len(scored)
    more: dict[str, Any] = _told(compared.part(scored))
    if isinstance(compared, Labels):
        more["table"] = table = compared.table()
        more["f1"] = float(table["f1"].mean()) if n else None
        more |= {"kappa": compared.kappa() if n else None, "confusion": compared.confusion()}
        more["shares"] = compared.shares() if bool(answers.is_there.any()) else None
    elif isinstance(compared, Lists):
        more["table"] = compared.table()
    elif isinstance(compared, Numbers):
        more["points"] = np.column_stack([compared.gold[scored], compared.answers[scored]])
    if more.get("right") is not None:
        more["accuracy_with_missing"] = more["right"] / (n + missing)
        if weights is not None:
            part = weights[scored].sum() / weights[has_gold].sum()
            more["accuracy_with_missing"] = (more["accuracy"] or 0.0) * float(part)
    more |= {"not_found": not_found, "weighted": weights is not None}
    if by is not None:
        more["slices"] = _slices(one_column(frame, by, "by"), compared, has_gold)
    wrong = _wrong(frame, compared.wrong(), gold=gold, into=into)
    return Score(into, gold, measure, len(frame), n, missing, wrong=wrong, **more)


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
    ends = np.cumsum(np.bincount(codes, minlength=len(values)))[:-1]
    scored = compared.scored
    made: list[Part] = []
    for rows in np.split(order, ends):
        n = rows[scored[rows]]
        missing = int(has_gold[rows].sum()) - len(n)
        made.append({"rows": len(rows), "n": len(n), "missing": missing, **compared.part(n)})
    index = pd.Index(values, name=by.name, tupleize_cols=False)
    table = pd.DataFrame(made, index=index)
    whole = {"rows", "n", "missing", "right"}
    return table.astype({name: "Int64" if name in whole else "Float64" for name in table})


def _codes(by: pd.Series[Any]) -> tuple[Places, pd.Index[Any]]:
    """Which slice each row is in, missing values being one; in order where they have one."""
    for sort in (True, False):
        try:
            codes, values = pd.factorize(by, sort=sort, use_na_sentinel=False)
        except TypeError:
            continue
        return codes, pd.Index(values, tupleize_cols=False)
    raise ConfigurationError(
        f"by: {by.name!r} has lists or other values that no slice can be named by."
    )


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
