"""What smells in a column of answers, by the column alone: quick, and in time with its length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.frame.distinct import distinct
from lionproc.frame.phrases import PHRASES
from lionproc.model.answer import Answer
from lionproc.model.validate import whole_characters

__all__ = ["FEWEST", "Bounds", "Finding", "bounds_of", "in_one_line", "looked_at"]

FEWEST = 30  # answers of which a share says something
NEARLY_ALL = 0.97
AT_BOUNDS = 0.8
MANY = 0.01  # of all, of what one answer alone says little about
LONG, TIMES_LONGER = 200, 10  # characters, and how often the median
FEW = 101  # texts that tell which one nearly all may be
BEGINNING = 400  # characters that are looked at for phrases

Places = npt.NDArray[np.intp]
Bounds = tuple[float | None, float | None]
"""The least and the most that a number may be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should be looked at.

    Attributes:
        says: What it is, in a sentence that names no cell.
        rows: How many rows it is about.
        place: The first of them, by position among the rows; None for none.
        advice: What to do about it.
        column: The column; empty for all.
    """

    says: str
    rows: int
    place: int | None
    advice: str
    column: Hashable = ""


_SAYS: Mapping[str, tuple[str, str, str]] = {
    "refusal": (
        "reads like a refusal",
        "read like refusals",
        "Say in system= what the data is and what it is for, or ask another model for these rows.",
    ),
    "asks back": (
        "asks for a text instead of answering",
        "ask for a text instead of answering",
        "Is the cell that the prompt shows empty there? preview() shows what is sent.",
    ),
    "chat": (
        "begins as chat (such as Sure, or Here is)",
        "begin as chat (such as Sure, or Here is)",
        "Say in the prompt: answer with the text alone. Or give schema= a model with one field.",
    ),
    "nothing": (
        "says nothing (N/A, none, unknown)",
        "say nothing (N/A, none, unknown)",
        "schema=str | None lets the model say that there is nothing; such cells are NA then.",
    ),
}


def looked_at(answers: pd.Series[Any], bounds: Bounds = (None, None)) -> Iterator[Finding]:
    """What smells in a column.

    Args:
        answers: The column.
        bounds: The least and the most that a number may be, where the schema says so.
    """
    missing = answers.isna().to_numpy(dtype=bool)
    there = np.flatnonzero(~missing)
    if not len(there):
        return
    dtype, kinds = answers.dtype, pd.api.types
    is_text = isinstance(dtype, pd.StringDtype)
    part = answers.iloc[there] if missing.any() and not is_text else answers
    found: Iterator[Finding] = iter(())
    if is_text:
        found = _of_texts(answers)
    elif isinstance(dtype, pd.CategoricalDtype):
        found = _of_labels(part.cat.codes.to_numpy(), len(dtype.categories))
    elif kinds.is_bool_dtype(dtype):
        found = _of_labels(part.to_numpy(dtype="int8"), 2, known=False)
    elif kinds.is_numeric_dtype(dtype):
        found = _of_numbers(part, bounds)
    elif isinstance(dtype, pd.ArrowDtype):
        found = _of_lists(part) if pa.types.is_list(dtype.pyarrow_dtype) else found
    elif kinds.infer_dtype(part.head(1000)) == "string":
        found = _of_texts(part)
    for each in found:
        place = None if each.place is None else int(there[each.place])
        yield Finding(each.says, each.rows, place, each.advice, answers.name or "")


def _share(rows: int, of: int) -> str:
    from lionproc.notebook.formatting import share

    return share(rows / of)


def _most(same: npt.NDArray[np.bool_], what: str, advice: str) -> Iterator[Finding]:
    """One answer for nearly all rows.

    Args:
        same: Where the answer is that most rows have.
        what: What such answers are called.
        advice: What to do about it.
    """
    rows = int(same.sum())
    if len(same) >= FEWEST and rows >= NEARLY_ALL * len(same):
        says = f"{_share(rows, len(same))} of the answers are the same {what}"
        yield Finding(says, rows, _first(same), advice)


def _first(mask: Any) -> int | None:
    found = np.flatnonzero(np.asarray(mask, dtype=bool))
    return int(found[0]) if len(found) else None


def _of_labels(codes: npt.NDArray[Any], able: int, *, known: bool = True) -> Iterator[Finding]:
    """Labels, by their places; `known` if it is known which there are."""
    used = np.bincount(codes, minlength=able)
    yield from _most(
        codes == used.argmax(),
        "label",
        "Is that so in the data? Compare with some rows by hand (to_review), or say in the prompt "
        "when each of the others is right.",
    )
    if known and len(codes) >= max(FEWEST, 10 * able):
        never = int((used == 0).sum())
        if never:
            says = f"{never:,} of {able:,} labels {'is' if never == 1 else 'are'} never used"
            yield Finding(
                says, 0, None, "Say in the prompt what they mean, or leave them out of schema=."
            )


def _of_numbers(part: pd.Series[Any], bounds: Bounds) -> Iterator[Finding]:
    exact: npt.NDArray[Any]
    if pd.api.types.is_integer_dtype(part.dtype):
        exact = part.to_numpy(dtype="int64" if part.dtype.kind == "i" else "uint64")
    elif isinstance(part.dtype, pd.ArrowDtype):  # decimals, of which a float has not all digits
        exact = distinct(part)[0]
    else:
        exact = part.to_numpy(dtype="float64")
    # Whatever more than half of them are is in the middle of them.
    middle = np.partition(exact, len(exact) // 2)[len(exact) // 2]
    same = list(
        _most(exact == middle, "number", "Does the prompt say what the ends of the scale mean?")
    )
    yield from same
    low, high = bounds
    values = part.to_numpy(dtype="float64")
    at = np.zeros(len(values), dtype=bool)
    for bound in (low, high):
        at |= values == bound if bound is not None else False
    narrow = low is not None and high is not None and high - low <= 1
    rows = int(at.sum())
    if not same and not narrow and len(part) >= FEWEST and rows >= AT_BOUNDS * len(part):
        yield Finding(
            f"{_share(rows, len(part))} of the numbers are at the bounds of the schema",
            rows,
            _first(at),
            "The scale may be too short, or not explained: say what its steps mean.",
        )


def _of_lists(part: pd.Series[Any]) -> Iterator[Finding]:
    lengths = pc.list_value_length(pa.array(part)).to_numpy(zero_copy_only=False)
    rows = int((lengths == 0).sum())
    if len(part) >= FEWEST and rows >= NEARLY_ALL * len(part):
        yield Finding(
            f"{_share(rows, len(part))} of the lists are empty",
            rows,
            _first(lengths == 0),
            "Say in the prompt what belongs into the list, with an example.",
        )
    yield from _long(lengths, 20, "list", "lists")


def _of_texts(answers: pd.Series[Any]) -> Iterator[Finding]:
    # Of a column of texts its own chunks, in which rows may share a text: nothing is copied.
    cells = answers.array if isinstance(answers.dtype, pd.StringDtype) else answers
    try:
        texts = pa.array(cells, type=pa.large_string(), from_pandas=True).drop_null()
    except UnicodeEncodeError:  # of half a character, which only Python's own texts have
        whole = [whole_characters(each) for each in answers.dropna()]
        texts = pa.array(whole, type=pa.large_string())
    beginning = pc.utf8_slice_codeunits(texts, 0, BEGINNING)
    beginning = pc.replace_substring(beginning, "\u2019", "'")
    for kind, pattern in PHRASES.items():
        mask = pc.match_substring_regex(beginning, pattern).to_numpy(zero_copy_only=False)
        rows = int(mask.sum())
        least = 1 if kind in {"refusal", "asks back"} else max(2, MANY * len(texts))
        if rows >= least:
            one, several, advice = _SAYS[kind]
            says = f"1 answer {one}" if rows == 1 else f"{rows:,} answers {several}"
            yield Finding(says, rows, _first(mask), advice)
    # Whatever nearly all of them are is what most of a few are that stand far from each other.
    # Each is taken once and compared by its hash: one answer may be megabytes long.
    places = np.unique(np.linspace(0, len(texts) - 1, FEW).astype(int))
    few = Counter(texts[place].as_py() for place in places.tolist())
    yield from _most(
        pc.equal(texts, max(few, key=few.__getitem__)).to_numpy(zero_copy_only=False),
        "text",
        "schema=Literal[...] keeps to the labels you name, and counts the others.",
    )
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
    yield from _long(lengths, LONG, "answer", "answers")


def _long(lengths: Any, least: int, one: str, several: str) -> Iterator[Finding]:
    """Answers that are far longer than the rest."""
    if len(lengths) < FEWEST:
        return
    median = float(np.median(lengths))
    mask = lengths > max(least, TIMES_LONGER * median)
    rows = int(mask.sum())
    if rows:
        says = f"1 {one} is" if rows == 1 else f"{rows:,} {several} are"
        yield Finding(
            f"{says} more than {TIMES_LONGER} times as long as is usual",
            rows,
            int(np.argmax(lengths)),
            "Has it copied its input, or run on? lp.Model(..., max_tokens=) bounds what is paid.",
        )


def in_one_line(findings: Sequence[Finding]) -> str:
    """What was found, for the card of a run; no cell is in it."""
    said = list(dict.fromkeys(each.says for each in findings))
    more = f"; {len(said) - 2} more" if len(said) > 2 else ""
    return "; ".join(said[:2]) + more


def bounds_of(answer: Answer) -> Mapping[str, Bounds]:
    """The least and the most that the numbers of an answer may be, by field."""
    schema = answer.json_schema or {}
    made: dict[str, Bounds] = {}
    for name, node in cast("Mapping[str, Any]", schema.get("properties", {})).items():
        ways = [node, *node.get("anyOf", ())] if isinstance(node, Mapping) else []
        ways = [each for each in ways if isinstance(each, Mapping)]  # true is a schema, too
        low = next((each["minimum"] for each in ways if "minimum" in each), None)
        high = next((each["maximum"] for each in ways if "maximum" in each), None)
        made[name] = (low, high)
    return made
