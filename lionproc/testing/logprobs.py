"""The log-probabilities that the test server tells of its answers, where it is asked for them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

__all__ = ["MOST", "Sure", "logprobs_of"]

Sure: TypeAlias = "float | Callable[[dict[str, Any]], float] | None"
MOST = 20  # alternatives that may be asked for, as at OpenAI
PIECE = 4  # characters of a token
NOISE = ("~", 0.05)  # what no answer begins with, and how likely that is


def logprobs_of(body: Mapping[str, Any], text: str, sure: float) -> list[dict[str, object]]:
    """The tokens of a text, and what else might have stood there.

    The text is cut into pieces without regard to what they mean, as tokenizers do. Where a property
    of the schema allows a few values only, the one that stands there has the probability `sure`
    among them, and the others share the rest: so whoever walks the tokens finds `sure` again.

    Args:
        body: The request.
        text: The answer.
        sure: The probability of each choice in it.

    Returns:
        `logprobs.content` of a reply.
    """
    ways = [_ways(text, start, end, choices, sure) for start, end, choices in _choices(body, text)]
    most = body.get("top_logprobs") or 0
    made: list[dict[str, object]] = []
    for place in range(0, len(text), PIECE):
        likely = _likely(text, place, ways)
        listed = sorted(likely, key=lambda pair: -pair[1])[:most]
        said = text[place : place + PIECE]
        made.append(
            {**_entry(said, dict(likely)[said]), "top_logprobs": [_entry(*pair) for pair in listed]}
        )
    return made


def _entry(text: str, probability: float) -> dict[str, object]:
    logprob = max(math.log(probability), -9999.0) if probability > 0 else -9999.0
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def _likely(text: str, place: int, ways: list[dict[str, float]]) -> list[tuple[str, float]]:
    """The pieces that may stand at a place, with their probabilities."""
    for way in ways:
        alive = {other: share for other, share in way.items() if other[:place] == text[:place]}
        pieces: dict[str, float] = {}
        for other, share in alive.items():
            piece = other[place : place + PIECE]
            pieces[piece] = pieces.get(piece, 0.0) + share
        if len(pieces) > 1:
            whole = sum(pieces.values()) or 1.0
            rest = 1 - NOISE[1]
            return [*((piece, rest * share / whole) for piece, share in pieces.items()), NOISE]
    return [(text[place : place + PIECE], 1 - NOISE[1]), NOISE]


def _ways(text: str, start: int, end: int, choices: list[str], sure: float) -> dict[str, float]:
    """The texts that differ in one choice, with the probability of each."""
    said = text[start:end]
    others = [choice for choice in choices if choice != said]
    made = {text: sure if others else 1.0}
    made |= {text[:start] + other + text[end:]: (1 - sure) / len(others) for other in others}
    return made


def _choices(body: Mapping[str, Any], text: str) -> Iterator[tuple[int, int, list[str]]]:
    """Where in an answer a value stands that is one of a few, and what else it might have been."""
    asked = body.get("response_format") or {}
    schema = asked.get("json_schema", {}).get("schema", {}) if isinstance(asked, dict) else {}
    decoder = json.JSONDecoder()
    for name, part in schema.get("properties", {}).items():
        if "$ref" in part:
            part = schema.get("$defs", {}).get(str(part["$ref"]).rpartition("/")[2], {})  # noqa: PLW2901
        values = [True, False] if part.get("type") == "boolean" else part.get("enum")
        key = json.dumps(name, ensure_ascii=False)
        found = text.find(key)
        if not values or found < 0:
            continue
        start = found + len(key)
        while text[start : start + 1] in {":", " ", "\n"}:
            start += 1
        try:
            _, end = decoder.raw_decode(text, start)
        except ValueError:
            continue
        yield start, end, [json.dumps(value, ensure_ascii=False) for value in values]
