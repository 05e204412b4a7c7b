"""How long an answer will probably be, judged by its type, before any has been seen. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from lionproc.model.answer import Answer
from lionproc.model.shape import (
    Boolean,
    Choice,
    Date,
    DecimalNumber,
    Duration,
    Instant,
    Integer,
    List,
    Map,
    Real,
    Record,
    Shape,
    Text,
    Time,
)

__all__ = ["Span", "answer_tokens", "thinks"]


# Models that are known to think before they answer, unless they are told not to.
_THINKS = re.compile(
    r"(?:^|[/:])(?:gpt-(?:5(?!.*chat)|oss)|o[134](?:-|$)|gemini-(?:2\.5|[3-9])|deepseek-r|magistral"
    r"|qwq|grok-[4-9])|reason|think",
    re.IGNORECASE,
)
MOST_THOUGHTS = 2000  # tokens before a short answer; few tasks take more


class Span(NamedTuple):
    """Tokens, or characters: the fewest, the usual number and the most."""

    low: float
    usual: float
    high: float


_Size: TypeAlias = Span
TEXT = Span(8, 120, 400)  # tokens of a text that is the whole answer: a word, some lines, a page
# JSON has many short tokens, words few: so many characters make one.
_SPARSE, _USUAL, _DENSE = 4.5, 3.5, 2.5
_DEEPEST = 8
_SCALARS: dict[type, Span] = {
    Text: Span(6, 80, 400),
    Integer: Span(1, 3, 12),
    Real: Span(3, 6, 18),
    Boolean: Span(4, 5, 5),
    Date: Span(12, 12, 12),
    Instant: Span(21, 24, 34),
    Time: Span(10, 10, 17),
    Duration: Span(5, 8, 16),
    DecimalNumber: Span(3, 8, 20),
}
_UNKNOWN = Span(4, 120, 600)
_ITEMS = Span(1, 3, 10)  # how many a list has


def answer_tokens(answer: Answer) -> Span:
    """Tokens of an answer, thoughts not counted.

    Args:
        answer: What is asked for.

    Example:
        >>> from typing import Literal
        >>> answer_tokens(Answer.of(Literal["positive", "negative"])).usual
        7.0
    """
    if answer.plain:
        return TEXT
    shape = answer.shape
    if answer.is_wrapped:
        shape = Record(((answer.name, shape),))
    low, usual, high = _characters(shape, 0)
    return Span(-(-low // _SPARSE), -(-usual // _USUAL), -(-high // _DENSE))


def thinks(model: str, params: Mapping[str, object]) -> bool:
    """Whether a model is known to think before it answers, and is not told to leave that.

    Args:
        model: Its name.
        params: Fields of the requests.
    """
    if params.get("reasoning_effort") in {"none", "minimal"}:
        return False
    return bool(_THINKS.search(model)) or "reasoning_effort" in params


def _characters(shape: Shape, depth: int) -> _Size:
    if depth > _DEEPEST:
        return _UNKNOWN
    if isinstance(shape, Choice):
        # The longest label is taken for the usual one: a guess at money errs on the safe side.
        sizes = [len(str(member)) + 2 for member in shape.members] or [4]
        return Span(min(sizes), max(sizes), max(sizes))
    if isinstance(shape, List):
        item = _characters(shape.item, depth + 1)
        return Span(*(2 + n * (size + 1) for n, size in zip(_ITEMS, item, strict=True)))
    if isinstance(shape, Map):
        item = _characters(shape.value, depth + 1)
        return Span(*(2 + n * (size + 12) for n, size in zip(_ITEMS, item, strict=True)))
    if isinstance(shape, Record):
        parts = [(len(name) + 4, _characters(inner, depth + 1)) for name, inner in shape.fields]
        return Span(*(2 + sum(name + size[n] for name, size in parts) for n in range(3)))
    return _SCALARS.get(type(shape), _UNKNOWN)
