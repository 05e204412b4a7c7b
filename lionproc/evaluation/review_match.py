"""The rows of a review found again in a frame, by id or by what they say."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from contextlib import suppress
from decimal import Context, Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.by_hand import LIST, allowed_in, check_weight, day_of, digits_of
from lionproc.evaluation.columns import one_column
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.list_items import kind_of_items, read_items
from lionproc.evaluation.row_ids import cell_words, ids_of
from lionproc.frame import results
from lionproc.frame.cell import is_missing
from lionproc.frame.dtypes import cells_of
from lionproc.frame.spreadsheet import csv_cleaner

__all__ = ["matched"]

_OWN = {"id", "gold", "weight", "allowed"}
_CLEAN = csv_cleaner()
_Key = tuple[str, ...]
_Reading = Callable[[object], str]


def matched(
    frame: pd.DataFrame, into: Hashable, review: pd.DataFrame
) -> tuple[pd.DataFrame, str, Numbers | None, int]:
    """Put the gold of a review beside the answers of a frame.

    Args:
        frame: The frame, in any order, with other answers than then if you like.
        into: The column of the answers.
        review: What `read_review` gave, or any frame with a column `gold` and either `id` or the
            columns that a person saw. Rows are then found word for word; what a spreadsheet program
            has rewritten (7 for 007, another form of a day) is found where it can be one row alone.

    Returns:
        The frame with a column of gold; its name; how many rows each stands for, None where all
        count alike; and how many rows of the review are not in the frame, or may be any of several.

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
    given = _weights(review)
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


def _weights(review: pd.DataFrame) -> Numbers | None:
    if "weight" not in review.columns:
        return None
    given = pd.to_numeric(review["weight"], errors="coerce").to_numpy("float64", na_value=np.nan)
    for number, weight in enumerate(given.tolist()):
        written = review["weight"].iloc[number]
        check_weight(weight, written, f"Row {review.index[number]!r} of the review")
    return given


def _typed(answers: pd.Series[Any], gold: list[Any]) -> list[Any]:
    """Gold as the answers are: a file has texts where they have numbers."""
    allowed = allowed_in(answers)
    kind = kind_of_items(cells_of(answers)) if allowed.words == LIST else None

    def read(value: Any) -> Any:
        if isinstance(value, str):
            with suppress(ValueError, AttributeError):  # what compares it says what is wrong
                value = allowed.read(value, comma=False, month_first=False)
        return read_items(value, kind) if kind is not None and isinstance(value, list) else value

    return [read(each) for each in gold]


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
    _find_by_words(best, frame, review, common)
    return best


def _find_by_words(
    best: np.ndarray[Any, Any],
    frame: pd.DataFrame,
    review: pd.DataFrame,
    common: Sequence[tuple[Hashable, Hashable]],
) -> None:
    """Fill in where the rows of the review are that have no place yet.

    What says the same word for word comes first, then what our files make of it, and of what is left
    what a spreadsheet program may have made of it. Equal rows are found one after the other; what
    may be one of several that differ is none of them.
    """
    headers, names = [header for header, _ in common], [name for _, name in common]
    said, seen = _keys(frame, names, cell_words), _keys(review, headers, cell_words)

    @cache  # where all rows are found word for word nothing else is read
    def ours(read: _Reading) -> list[_Key]:
        return _keys(frame, names, read)

    @cache
    def resembling() -> dict[_Key, set[_Key]]:
        made: dict[_Key, set[_Key]] = defaultdict(set)
        for key, words in zip(ours(_plain), said, strict=True):
            made[key].add(words)
        return made

    for read in (cell_words, _written, _plain):
        left = np.flatnonzero(best < 0).tolist()
        if not left:
            return
        rows, lines = said if read is cell_words else ours(read), seen
        if read is _plain:  # nothing has rewritten what stands there word for word
            as_it_is = {*said, *ours(_written)}
            left = [number for number in left if seen[number] not in as_it_is]
            lines = _keys(review, headers, read)
        taken = set(best.tolist())
        free = _grouped(rows, [place for place in range(len(frame)) if place not in taken])
        for key, numbers in _grouped(lines, left).items():
            places = free.get(key, [])
            differ = {said[place] for place in places}, {seen[number] for number in numbers}
            # Of two "7" where a "7" and a "007" are, either may have been the "007".
            unsure = len(numbers) > len(places) > 0 and (
                len(resembling()[ours(_plain)[places[0]]]) > 1
            )
            if max(map(len, differ)) == 1 and not unsure:
                best[numbers[: len(places)]] = places[: len(numbers)]


def _common(
    frame: pd.DataFrame, into: Hashable, review: pd.DataFrame
) -> list[tuple[Hashable, Hashable]]:
    """The columns that both have: as the review calls them, and as the frame does."""
    names = {str(name).strip(): name for name in frame.columns}  # as a sheet is read
    names |= {str(name): name for name in frame.columns}
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


def _keys(frame: pd.DataFrame, names: Sequence[Hashable], read: _Reading) -> list[_Key]:
    columns = [
        [read(cell) for cell in cells_of(one_column(frame, name, "columns"))] for name in names
    ]
    return list(zip(*columns, strict=True))


def _grouped(keys: Sequence[_Key], places: Iterable[int]) -> dict[_Key, list[int]]:
    made: dict[_Key, list[int]] = defaultdict(list)
    for place in places:
        made[keys[place]].append(place)
    return made


def _written(cell: object) -> str:
    """A cell as text, as our files have it."""
    if isinstance(cell, dt.datetime) and not is_missing(cell):
        return str(cell)
    return str(_CLEAN(cell_words(cell), None))


_NUMBER = re.compile(r"[+-]?[\d.,]*\d")
_EXACT = Context(prec=10**6)  # digits; by itself Decimal keeps 28


def _plain(cell: object) -> str:
    """A cell as text, whatever a spreadsheet program has made of it.

    Apostrophes do not count: `to_csv` puts them before what could be a formula.
    """
    made = " ".join(cell_words(cell).replace("'", "").split())
    if _NUMBER.fullmatch(made):
        try:
            return str(Decimal(digits_of(made, comma=False)).normalize(_EXACT))
        except ArithmeticError:
            return made
    try:
        return day_of(made).isoformat()
    except ValueError:
        return made
