r"""How much work patterns are for each character of a text that is held against them.

An engine that goes over a text once may be at every place of a pattern at once: for `(\w+ ){5,100}`
at hundreds, with each character. What looks around (`(?=...)`) or back (`\1`) is tried way by way,
and the ways are without number where a repetition is repeated: `^([a-z]+-?)+(?<!-)$`. So their
engine gives up after some, and what it gave up does not match.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from jsonschema_rs import FancyRegexOptions

__all__ = [
    "AROUND",
    "LONGEST_ADDRESS",
    "MOST_STEPS",
    "engine_of",
    "looks_around",
    "places_in",
    "steps_with",
]

MOST_COMPILED: Final = 256 * 2**20  # bytes of all patterns of a schema, once they are compiled
LARGEST_PATTERN: Final = 10 * 2**20  # bytes of one of them, as its engine has it
MOST_BACKTRACKS: Final = 10_000  # of a pattern that looks around, with one text
MOST_STEPS: Final = 100_000_000  # some two seconds at the worst
AROUND: Final = 2500  # steps for each character, where a pattern looks around
LONGEST_ADDRESS: Final = (
    2048  # an e-mail address; pydantic holds no longer text against its pattern
)
# Each goes on to the end of the pattern where it is not closed, so that none is gone over again.
_ATOM: Final = r"\\[pPxu]\{[^}]*\}?|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?"  # an escape, a class
_TIMES: Final = (
    r"\s{0,9}\{\s{0,9}(?P<least>\d{1,9})?\s{0,9}(?:,\s{0,9}(?P<most>\d{1,9})?\s{0,9})?\}"
)
# From the start of a text on there is one way to be at one place of `.{1,500}`.
_AT_START: Final = re.compile(rf"\A\^(?:{_ATOM}|[^\\\[(]){_TIMES}", re.DOTALL)
_ALL_LETTERS: Final = re.compile(r"\\[pPwWdD]")
_TOKEN: Final = re.compile(
    rf"{_ATOM}|(?P<beside>[*+?^$|]|\(\?[a-zA-Z-]{{1,9}}\))"
    rf"|(?P<opened>\((?:\?(?:[a-zA-Z-]{{0,9}}:|<?[=!]|P?<\w{{1,99}}>|>))?)|(?P<closed>\))|{_TIMES}|.",
    re.DOTALL,
)


def engine_of(patterns: int) -> FancyRegexOptions:
    """The engine of a schema that has so many patterns: it has an end with each text."""
    import jsonschema_rs

    return jsonschema_rs.FancyRegexOptions(
        size_limit=min(LARGEST_PATTERN, MOST_COMPILED // (patterns or 1)),
        backtrack_limit=MOST_BACKTRACKS,
    )


@lru_cache(maxsize=1024)
def places_in(pattern: str) -> int:
    """At how many places of a pattern an engine may be at once: repetitions are written out."""
    return _written_out(pattern if "|" in pattern else _AT_START.sub("^.", pattern, count=1))


def cost_of(pattern: str) -> int:
    """What it costs to compile a pattern: letters of all languages at a place cost as twenty."""
    return _written_out(pattern) * (20 if _ALL_LETTERS.search(pattern) else 1)


def _written_out(pattern: str) -> int:
    sizes, last = [0], 0
    for token in _TOKEN.finditer(pattern):
        if token["beside"]:
            continue
        if token["opened"]:
            sizes.append(0)
            continue
        most = token["most"] or token["least"]
        if token["closed"] and len(sizes) > 1:
            added = last = sizes.pop()
        elif most:
            added = last * (int(most) - 1)
            last += added
        else:
            added = last = 1
        sizes[-1] += added
    return max(sum(sizes), 1)


def steps_with(texts: Iterable[str], each_character: int, addresses: int) -> int:
    """The steps that patterns may take with texts.

    Args:
        texts: Held against the patterns.
        each_character: Steps with each of their characters.
        addresses: How often each is held against pydantic's pattern of an e-mail address, which goes
            from each space to the end.
    """
    if not each_character and not addresses:
        return 0
    lengths = [len(text) for text in texts]
    squares = sum(min(length, LONGEST_ADDRESS) ** 2 for length in lengths) if addresses else 0
    return each_character * sum(lengths) + addresses * squares // 2


@lru_cache(maxsize=1024)
def looks_around(pattern: str) -> bool:
    """Whether a pattern of a JSON Schema wants more than the engine that goes over a text once."""
    import jsonschema_rs

    once = jsonschema_rs.RegexOptions()
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=once)
    except ValueError:
        return True
    return False
