"""The rows of a review found again in a frame, by id or by what they say."""

from __future__ import annotations

import re
from collections import defaultdict, deque
from collections.abc import Hashable, Sequence
from decimal import Context, Decimal
from typing import Any

import numpy as np
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.by_hand import allowed_in, day_of, digits_of
from lionproc.evaluation.columns import one_column
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.row_ids import cell_words, ids_of
from lionproc.frame import results
from lionproc.frame.cell import is_missing
from lionproc.frame.dtypes import cells_of

__all__ = ["matched"]

_OWN = {"id", "gold", "weight", "allowed"}


def matched(
    frame: pd.DataFrame, into: Hashable, review: pd.DataFrame
) -> tuple[pd.DataFrame, str, Numbers | None, int]:
    """Put the gold of a review beside the answers of a frame.

    Args:
        frame: The frame, in any order, with other answers than then if you like.
        into: The column of the answers.
        review: What `read_review` gave, or any frame with a column `gold` and either `id` or the
            columns that a person saw.

    Returns:
        The frame with a column of gold; its name; how many rows each stands for, None where all
        count alike; and how many rows of the review are not in the frame.

    Raises:
        ConfigurationError: There is no gold in it, none of its rows is in the frame, or it says two
            things of one row.
    """
    if "gold" not in review.columns:
        raise ConfigurationError(
            "gold takes the name of a column, or what lp.read_review gave: a frame with a column "
            f"'gold'. This one has {', '.join(map(repr, list(review.columns)[:8]))}."
        )
    answers = one_column(frame, into, "into")
    review = review[~review["gold"].map(is_missing)]
    if not len(review):
        raise ConfigurationError(
            "No row of the review is labelled yet: its column 'gold' is empty. Fill it in, save the "
            "file and read it again with lp.read_review."
        )
    places = _places(frame, into, review)
    if (places < 0).all():
        raise ConfigurationError(
            f"None of the {len(review):,} labelled rows is in this frame. They are found by the "
            "column 'id', or else by the cells that a person saw: are those as they were?"
        )
    gold: list[Any] = [None] * len(frame)
    weights = np.ones(len(frame))
    given = review["weight"].to_numpy("float64") if "weight" in review.columns else None
    values = _typed(answers, list(review["gold"]))
    for number, (place, value) in enumerate(zip(places.tolist(), values, strict=True)):
        if place < 0:
            continue
        if gold[place] is not None and gold[place] != value:
            raise ConfigurationError(
                f"The review says {gold[place]!r} and {value!r} of one row (index "
                f"{frame.index[place]!r}). Keep one of them."
            )
        gold[place] = value
        weights[place] = 1.0 if given is None else given[number]
    name = "gold"
    while name in frame.columns:
        name = f"{name} (review)"
    made = frame.copy(deep=False)
    column: Any = pd.Series(gold, index=frame.index, dtype=object)
    made.insert(len(made.columns), name, column)
    found = np.array([each is not None for each in gold])
    alike = np.ptp(weights[found]) <= 1e-9 * weights[found].max()
    return made, name, None if alike else weights, int((places < 0).sum())


def _typed(answers: pd.Series[Any], gold: list[Any]) -> list[Any]:
    """Gold as the answers are: a file has texts where they have numbers."""
    allowed = allowed_in(answers)
    if not any(isinstance(each, str) for each in gold):
        return gold

    def read(value: Any) -> Any:
        try:
            return allowed.read(value, comma=False, month_first=False)
        except (ValueError, AttributeError):
            return value  # what it is compared with says what is wrong

    return [read(each) if isinstance(each, str) else each for each in gold]


def _places(frame: pd.DataFrame, into: Hashable, review: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Where each row of the review is in the frame, -1 where it is not."""
    best = np.full(len(review), -1)
    common = _common(frame, into, review)
    if "id" in review.columns:
        wanted = [str(each).strip() for each in review["id"]]
        for columns in _candidates(frame, common):
            at = {each: place for place, each in enumerate(ids_of(frame, columns))}
            found = np.array([at.get(each, -1) for each in wanted], dtype=np.intp)
            if (found >= 0).sum() > (best >= 0).sum():
                best = found
            if (best >= 0).all():
                return best
    if not common:
        return best
    headers, names = [header for header, _ in common], [name for _, name in common]
    free: dict[tuple[str, ...], deque[int]] = defaultdict(deque)  # a million rows may be equal
    taken = set(best.tolist())
    for place, key in enumerate(_keys(frame, names)):
        if place not in taken:
            free[key].append(place)
    keys = _keys(review, headers)
    for number in np.flatnonzero(best < 0).tolist():
        there = free.get(keys[number])
        if there:
            best[number] = there.popleft()
    return best


def _common(
    frame: pd.DataFrame, into: Hashable, review: pd.DataFrame
) -> list[tuple[Hashable, Hashable]]:
    """The columns that both have: as the review calls them, and as the frame does."""
    names = {str(name): name for name in frame.columns}
    made: list[tuple[Hashable, Hashable]] = []
    for header in review.columns:
        known = names.get(str(header)) if str(header) not in _OWN else None
        if known is None and str(header).startswith("row_"):
            known = names.get(str(header).removeprefix("row_"))
        if known is not None and known != into:
            made.append((header, known))
    order: dict[Hashable, int] = {name: place for place, name in enumerate(frame.columns)}
    return sorted(made, key=lambda each: order[each[1]])


def _candidates(
    frame: pd.DataFrame, common: Sequence[tuple[Hashable, Hashable]]
) -> list[list[Hashable]]:
    """The columns that the ids may have been made of."""
    made: list[list[Hashable]] = []
    try:
        for each in results.run_of(frame).asked:
            read = [*each.prompt.columns, *([] if each.value is None else [each.value])]
            made.append([name for name in dict.fromkeys(read) if name in frame.columns])
    except ConfigurationError:
        pass  # of another session, or nobody's
    made.append([name for _, name in common])
    return [each for number, each in enumerate(made) if each and each not in made[:number]]


def _keys(frame: pd.DataFrame, names: Sequence[Hashable]) -> list[tuple[str, ...]]:
    columns = [
        [_plain(cell_words(cell)) for cell in cells_of(one_column(frame, name, "columns"))]
        for name in names
    ]
    return list(zip(*columns, strict=True))


_NUMBER = re.compile(r"[+-]?[\d.,]*\d")
_EXACT = Context(prec=10**6)  # digits; by itself Decimal keeps 28


def _plain(text: str) -> str:
    """A cell as text, whatever a spreadsheet program has made of it.

    Apostrophes do not count: `to_csv` puts them before what could be a formula.
    """
    made = " ".join(text.replace("'", "").split())
    if _NUMBER.fullmatch(made):
        try:
            return str(Decimal(digits_of(made, comma=False)).normalize(_EXACT))
        except ArithmeticError:
            return made
    try:
        return day_of(made).isoformat()
    except ValueError:
        return made
