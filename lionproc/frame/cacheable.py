"""The part of a prompt that is the same in every row: does it come first, so that it is cached?

Providers keep the start of a prompt, as far as it is equal, and sell it again at a fraction of the
price. Text that stands behind the first thing that changes is paid in full in every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lionproc.model.call import ModelCall

__all__ = ["MOST_SAMPLES", "FixedPart", "cached_tokens", "fixed_part"]

MOST_SAMPLES = 24  # rows that are compared
STEP = 128  # tokens; a start is kept in steps of so many
WORTH_SAYING = 256  # tokens in each row
_MEDIA = "\0"  # stands for what is no text


@dataclass(frozen=True, slots=True)
class FixedPart:
    """What is the same in the prompts of all rows, as shares of their text.

    Attributes:
        first: The part before anything changes, which a provider can cache.
        later: The part behind that, which it cannot.
        system_changes: Whether it is the system prompt that changes first.
    """

    first: float
    later: float
    system_changes: bool


def fixed_part(calls: Sequence[ModelCall], literals: Sequence[str] | None) -> FixedPart | None:
    """Compare the questions of some rows.

    Args:
        calls: The questions, at least two that differ.
        literals: The parts of the template between its placeholders, None for a function.

    Returns:
        The fixed part, None where nothing can be said.
    """
    asked = [_texts(call) for call in calls[:MOST_SAMPLES]]
    if len({tuple(texts) for texts in asked}) < 2 or len({len(texts) for texts in asked}) > 1:
        return None
    first = later = 0
    changed: str | None = None
    for column in zip(*asked, strict=True):
        role, texts = column[0][0], [text for _, text in column]
        start = _alike(texts)
        whole = min(map(len, texts))
        if len(set(texts)) == 1:
            fixed = start
        else:
            end = _alike([text[::-1] for text in texts])
            fixed = min(start + end, whole)
            if literals is not None and role == "user":
                fixed = min(max(fixed, sum(map(len, literals))), whole)
        if changed is None:
            first += start
            later += fixed - start
            changed = role if len(set(texts)) > 1 else None
        else:
            later += fixed
    length = sum(len(text) for texts in asked for _, text in texts) / len(asked)
    if not length:
        return None
    return FixedPart(first / length, later / length, changed in {"system", "developer"})


def cached_tokens(tokens: float, least: int) -> int:
    """Of a start of so many tokens, those that a provider keeps, with `least` the fewest it keeps."""
    return int(tokens) // STEP * STEP if least and tokens >= least else 0


def _alike(texts: Sequence[str]) -> int:
    """How many characters all texts have in common at their start."""
    one, other = min(texts), max(texts)  # the two that differ first
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def _texts(call: ModelCall) -> list[tuple[str, str]]:
    messages: list[dict[str, Any]] = orjson.loads(call.body)["messages"]
    return [(str(message.get("role")), _text(message.get("content"))) for message in messages]


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return _MEDIA
    parts = [part.get("text") if isinstance(part, dict) else None for part in content]
    return "".join(part if isinstance(part, str) else _MEDIA for part in parts)
