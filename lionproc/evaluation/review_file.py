"""A sample for a person to label, as a file for a spreadsheet program, and back."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from lionproc.engine.paths import shown
from lionproc.errors import ColumnError, ConfigurationError, SaveError, did_you_mean
from lionproc.evaluation.by_hand import (
    LIST,
    TEXT,
    Allowed,
    allowed_in,
    check_weight,
    number_of,
    room_of_list,
)
from lionproc.evaluation.columns import one_column
from lionproc.evaluation.draw import checked_number, drawn, strata_of
from lionproc.evaluation.intervals import Numbers
from lionproc.evaluation.review_sheet import check_workbook, read_sheet
from lionproc.evaluation.row_ids import ids_of
from lionproc.face import face
from lionproc.frame import results
from lionproc.frame.asked import Asked
from lionproc.frame.assemble import column_names
from lionproc.frame.cell import is_missing
from lionproc.frame.place import Remote, place_of
from lionproc.frame.spreadsheet import to_csv, to_excel
from lionproc.model.as_json import to_json

__all__ = ["ALLOWED", "GOLD", "ID", "OWN", "WEIGHT", "Review", "read_review", "to_review"]

MOST_OF_LISTS = 2**29  # bytes of memory of those in the cells of a file

ID, GOLD, ALLOWED, WEIGHT = "id", "gold", "allowed", "weight"
OWN = frozenset((ID, GOLD, ALLOWED, WEIGHT))
SURE = 0.1  # how often the surest row comes in, where one that is not sure at all is 1


# -- out --------------------------------------------------------------------------------------


def to_review(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    n: int,
    by: Hashable | None,
    into: Hashable | None,
    columns: Sequence[Hashable] | None,
    seed: int,
    overwrite: bool,
) -> Path | str:
    """Write a sample to label; see `df.llm.to_review`."""
    n, seed = checked_number("n", n, 1), checked_number("seed", seed, 0)
    asked = _asked(frame)
    into = _answers(frame, asked, into, by)
    answers = one_column(frame, into, "into")
    shown_columns = _shown(frame, asked, into, columns)
    headers = _headers(frame, [*shown_columns, into])
    there = np.flatnonzero(~answers.map(is_missing).to_numpy(dtype=bool))
    if not len(there):
        raise ConfigurationError(f"{into!r} has no answer in any row, so there is none to review.")
    if not overwrite:
        _must_lose_nothing(path)
    part = frame.iloc[there]
    stratum = None if by is None else strata_of(one_column(part, by, "by"))
    sizes = _unsure(part, into)
    if stratum is not None:  # rare ones more often than they are, frequent ones not as often
        sizes = sizes / np.sqrt(np.bincount(stratum))[stratum]
    found, chance = drawn(
        np.zeros(len(part), np.intp) if stratum is None else stratum, n, seed, sizes
    )
    rows = there[found]
    ids = ids_of(frame, shown_columns)
    made: dict[str, Any] = {ID: [ids[row] for row in rows]}
    for name in shown_columns:
        cells = one_column(frame, name, "columns").iloc[rows]
        made[headers[name]] = cells.reset_index(drop=True)  # objects stay what they are
    flat = [_flat(cell) for cell in answers.iloc[rows]]
    made[headers[into]] = pd.Series(flat, dtype=object)
    made[GOLD] = pd.array([None] * len(rows), dtype="string")
    made[ALLOWED] = allowed_in(answers).words
    made[WEIGHT] = np.round(1 / chance, 4)
    sheet = pd.DataFrame(made)
    if str(path).lower().endswith(".xlsx"):
        check_workbook(sheet)
        return to_excel(sheet, path, index=False)
    return to_csv(sheet, path, index=False, encoding="utf-8-sig")  # else Excel takes it for cp1252


def _asked(frame: pd.DataFrame) -> Sequence[Asked]:
    try:
        return results.run_of(frame).asked
    except ConfigurationError:
        return ()  # of another session, or nobody's


def _answers(
    frame: pd.DataFrame, asked: Sequence[Asked], into: Hashable | None, by: Hashable | None
) -> Hashable:
    if into is not None:
        return into
    made = [name for each in asked for name in column_names(each.answer, each.into)]
    made = [name for name in made if name in frame.columns]
    if len(made) == 1:
        return made[0]
    if by is not None and (by in made or not made):
        return by
    which = f"one of {', '.join(map(repr, made))}" if made else "the column of the answers"
    raise ConfigurationError(f"into= says what is to be reviewed: {which}.")


def _shown(
    frame: pd.DataFrame,
    asked: Sequence[Asked],
    into: Hashable,
    columns: Sequence[Hashable] | None,
) -> list[Hashable]:
    """The columns that a person sees: those of the prompt, where it is known."""
    if columns is not None:
        if isinstance(columns, str) or not columns:
            raise ColumnError(
                f'columns= is a list of column names, like ["title"], not {columns!r}.'
            )
        return list(columns)
    for each in asked:
        if into in column_names(each.answer, each.into):
            read = [*each.prompt.columns, *([] if each.value is None else [each.value])]
            read = [name for name in dict.fromkeys(read) if name in frame.columns]
            if read:
                return read
    rest: list[Hashable] = [name for name in frame.columns if not str(name).startswith(str(into))]
    if not rest:
        raise ConfigurationError("There is no column besides the answers that a person could read.")
    return rest


def _headers(frame: pd.DataFrame, names: Sequence[Hashable]) -> dict[Hashable, str]:
    """What columns are called in the sheet, which has columns of its own; the frame is found by it."""
    made = {name: f"row_{name}" if _own_name(name) in OWN else str(name) for name in names}
    called: dict[str, list[Hashable]] = {}
    for label in frame.columns:
        called.setdefault(str(label), []).append(label)
    for name, header in made.items():
        for other in called.get(header, ()):
            if name is not other and name != other:
                raise ColumnError(
                    f"The column {name!r} would be called {header!r} in the sheet, and {other!r} is "
                    "another column. Rename one of them."
                )
    return made


def _own_name(name: Hashable) -> str:
    """A header as it is looked for: whatever its case, and the spaces around it."""
    return str(name).lstrip("\ufeff").strip().casefold()


def _flat(cell: Any) -> Any:
    if isinstance(cell, (list, tuple, dict, np.ndarray)):
        return to_json(cell.tolist() if isinstance(cell, np.ndarray) else cell).decode()
    return cell


def _unsure(part: pd.DataFrame, into: Hashable) -> Numbers:
    name = f"{into}_confidence"
    if list(part.columns).count(name) != 1:
        return np.ones(len(part))
    sure = pd.to_numeric(part[name], errors="coerce").to_numpy("float64", na_value=0.0)
    unsure: Numbers = np.clip(1 - np.nan_to_num(sure), SURE, 1.0)
    return unsure


def _must_lose_nothing(path: str | os.PathLike[str]) -> None:
    """Refuse to put a new sheet in the place of anything but one that nobody has filled in."""
    place = place_of(path)
    try:
        if not place.exists() or (isinstance(place, Path) and not place.stat().st_size):
            return
    except Exception as error:  # noqa: BLE001  (every store has errors of its own)
        name = type(error).__name__
        raise SaveError(f"{shown(path)} cannot be looked at ({name}).") from None
    why = _kept(place)
    if why:
        raise SaveError(f"{shown(path)} {why}. Write another file, or say overwrite=True.")


def _kept(place: Path | Remote) -> str:
    """Why a file is not replaced; empty for a sheet without labels."""
    if isinstance(place, Remote):
        return "is there already, and may have labels, which would be lost"
    try:
        sheet, _ = read_sheet(place)
    except (ConfigurationError, OSError):
        return "is there already, and is no sheet to label, so what is in it would be lost"
    # A label that is not allowed is one, too.
    gold = [n for n, name in enumerate(sheet.columns) if _own_name(name) == GOLD]
    if not gold:
        return "is there already, and has no column 'gold', so what is in it would be lost"
    labelled = int((sheet.iloc[:, gold].map(str.strip) != "").any(axis=1).sum())
    return f"has labels in {labelled:,} rows, which would be lost" if labelled else ""


# -- in ---------------------------------------------------------------------------------------


class Review(pd.DataFrame):
    """What a person labelled: a frame with the columns `id`, `gold` and `weight`, and the rest.

    Attributes:
        unlabelled: How many rows were left empty; they are not in it.
    """

    _metadata = ["unlabelled"]  # noqa: RUF012  (as pandas wants it)
    unlabelled: int

    @property
    def _constructor(self) -> object:
        return pd.DataFrame  # what is made of it is a frame like any other

    @property
    def _counts(self) -> str:
        return f"{len(self):,} rows labelled, {self.unlabelled:,} left empty"

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n\n{self._counts}"

    def _repr_html_(self) -> str | None:
        table = cast("str | None", super()._repr_html_())  # type: ignore[misc]  # missing in the stubs
        return None if table is None else f"{table}<p>{self._counts}</p>"


@face
def read_review(path: str | os.PathLike[str]) -> Review:
    """Read the labels that a person wrote into a file of `out.llm.to_review`.

    Reads what spreadsheet programs make of it: semicolons or tabs, a byte order mark, other
    encodings, decimal commas, days as 31/12/2026, rows in another order, more columns, .xlsx.
    Labels may differ from the allowed ones by case and spaces.

    Args:
        path: The file.

    Returns:
        A frame of the rows with gold, for `out.llm.score(into, gold=...)`. `.unlabelled` says
        how many were left empty.

    Raises:
        ConfigurationError: It is no such file, or gold is none of what is allowed: the message names
            the row as the spreadsheet counts it.

    Example:
        ```python
        gold = lp.read_review(out.llm.to_review("review.csv", into="sentiment"))
        gold.unlabelled  # all of them, until somebody has filled in the column gold
        ```
    """
    sheet, comma = read_sheet(path)
    found = [_own_name(name) for name in sheet.columns]
    names = dict(zip(found, sheet.columns, strict=True))
    twice = [own for own in (ID, GOLD, ALLOWED, WEIGHT) if found.count(own) > 1]
    if twice:
        raise ConfigurationError(
            f"{shown(path)} has {found.count(twice[0])} columns {twice[0]!r}, so it is not known "
            "which is meant. Rename or delete the other ones."
        )
    if GOLD not in names:
        raise ConfigurationError(
            f"{shown(path)} has no column 'gold', where the labels would be."
            f"{did_you_mean(GOLD, list(sheet.columns))} It has "
            f"{', '.join(map(repr, sheet.columns))[:1000]}."
        )
    sheet = sheet.rename(columns={names[own]: own for own in OWN if own in names})
    filled = np.array([bool(text) and not text.isspace() for text in sheet[GOLD]], dtype=bool)
    made = Review(sheet[filled])
    made[GOLD] = _gold(made, comma=comma, path=path)
    if WEIGHT in made:
        made[WEIGHT] = _weights(made, comma=comma)
    made.index = pd.RangeIndex(len(made))
    made.unlabelled = int((~filled).sum())
    return made


def _gold(sheet: pd.DataFrame, *, comma: bool, path: object) -> pd.Series[Any]:
    """The gold as what is allowed says, by rows as a spreadsheet counts them."""
    said = sheet[ALLOWED] if ALLOWED in sheet else pd.Series(TEXT, index=sheet.index)
    lists = (text for text, words in zip(sheet[GOLD], said, strict=True) if words == LIST)
    if sum(map(room_of_list, lists)) > MOST_OF_LISTS:
        raise ConfigurationError(
            f"{shown(str(path))} has so many lists in its cells that they take far more memory than "
            "the file. Leave those cells empty, or write lists as a, b."
        )
    rows_of: dict[str, list[int]] = {}
    for row, words in enumerate(said):
        rows_of.setdefault(words, []).append(row)
    american = _month_first(sheet[GOLD])
    stripped = {text: text.strip() for text in sheet[GOLD]}  # of a text of many cells one copy
    texts = sheet[GOLD].tolist()
    values: list[object] = [None] * len(sheet)
    wrong: list[int] = []
    for words, rows in rows_of.items():  # what is allowed takes up to 30 times what says so
        allowed = _allowed(words or TEXT)
        for row in rows:
            text = stripped[texts[row]]
            try:
                values[row] = allowed.read(text, comma=comma, month_first=american)
            except (ValueError, OverflowError):
                wrong.append(row)
    if wrong:
        told = "; ".join(
            f"row {int(sheet.index[row]) + 2}: {texts[row][:60]!r}, allowed: {said.iloc[row][:300]}"
            for row in sorted(wrong)[:5]
        )
        more = f"; and {len(wrong) - 5:,} more" if len(wrong) > 5 else ""
        raise ConfigurationError(
            f"{shown(str(path))} has gold that is not allowed. {told}{more}. "
            "Correct it there, or leave it empty."
        )
    gold = pd.Series(values, index=sheet.index, dtype=object)
    kind = set(map(type, values))
    dtype = _DTYPES.get(kind.pop()) if len(kind) == 1 else None
    return gold if dtype is None else pd.Series(pd.array(gold, dtype=dtype), index=gold.index)


def _allowed(words: str) -> Allowed:
    try:
        return Allowed.of_words(words)
    except ValueError:  # nothing is allowed there, which each of its rows says
        return Allowed(words, {})


_DTYPES: Mapping[type, Any] = {str: "string", int: "Int64", float: "Float64", bool: "boolean"}


def _month_first(texts: pd.Series[Any]) -> bool:
    """Whether days are written as 12/31/2026: one of them says so."""
    parts = texts.str.extract(r"^\s*(\d{1,2})/(\d{1,2})/\d{2,4}")
    return bool((pd.to_numeric(parts[1], errors="coerce") > 12).any())


def _weights(sheet: pd.DataFrame, *, comma: bool) -> Numbers:
    made = []
    for row, text in zip(sheet.index, sheet[WEIGHT], strict=True):
        try:
            weight = number_of(text, comma=comma)
        except ValueError:
            weight = np.nan
        check_weight(weight, text, f"Row {int(row) + 2}")
        made.append(weight)
    return np.array(made, dtype=np.float64)
