r"""How much work patterns are at the most with a text, told from what they look like.

An engine that goes over a text once may be at every place of a pattern at once: for `(\w+ ){5,100}`
at hundreds, with each byte; but of a repetition it is in no more copies than the text has
characters. What looks around (`(?=...)`) or back (`\1`) is tried way by way, and the ways are without
number where a repetition is repeated: `^([a-z]+-?)+(?<!-)$`. So their engine gives up after some,
and what it gave up does not match. But each way may lead to the end of the text at every level of
repetition, and look from each of its characters to the end again.

What is told here is never too little, and may be far too much: see `matching`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = [
    "LARGEST_PATTERN",
    "MOST_BACKTRACKS",
    "MOST_SECONDS",
    "MOST_STEPS",
    "USUAL_ROUNDS",
    "RunPattern",
    "cost_of",
    "is_possessive",
    "looks_around",
    "may_be_verbose",
    "room_of",
    "size_of",
    "steps_of",
    "steps_with",
]

MOST_COMPILED: Final = 256 * 2**20  # bytes of all patterns of a schema, once they are compiled
LARGEST_PATTERN: Final = 10 * 2**20  # bytes of one of them, as its engine has it
MOST_BACKTRACKS: Final = 10_000  # of a pattern that looks around, with one text
# A check goes over a text up to six times: whether it is right, why not, and once more when it was
# mended; and once more for each choice that it stands in, see `choice_levels`. So that this is two
# seconds at the worst, one time takes a third of a second.
USUAL_ROUNDS: Final = 6
MOST_SECONDS: Final = 0.35
MOST_STEPS: Final = 35_000_000  # of ten nanoseconds, which is the most that was measured
_OF_A_BYTE: Final = 3  # steps, at each place
_OF_ALL_WAYS: Final = MOST_BACKTRACKS // 20  # likewise, where a pattern looks around
_TO_LOOK: Final = 30  # bytes that it takes as long to go over as to begin to look around
_BEYOND_ASCII: Final = 3  # what each byte counts for where the fastest engines give up
_MOST_LEVELS: Final = 9
# Each goes on to the end of the pattern where it is not closed, so that none is gone over again.
_ATOM: Final = r"\\[pPxu]\{[^}]*\}?|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]?"  # an escape, a class
_TOKEN: Final = re.compile(
    rf"{_ATOM}|(?P<flags>\(\?[a-zA-Z-]{{1,9}}\))|(?P<some>[*+?])"
    r"|(?P<opened>\((?:\?(?:[a-zA-Z-]{0,9}:|<?[=!]|P?<\w{1,99}>|>))?)|(?P<closed>\))"
    r"|\{\s{0,9}(?P<least>\d{1,9})?\s{0,9}(?:,\s{0,9}(?P<most>\d{1,9})?\s{0,9})?\}|.",
    re.DOTALL,
)
_LOOKING: Final = ("=", "!", "?>")  # the ends of what opens a group that is left by one way alone
_TAKES: Final = re.compile(r"\\(?:[dDwWsSpPxunrtfv]|[^\w<>])|[^\\^$]", re.DOTALL)  # a character
_VERBOSE: Final = re.compile(r"\(\?[a-zA-Z]{0,20}x")
_ALL_LETTERS: Final = re.compile(r"\\[pPwWdD]")
# What looks like a character and may be none: in `(?x)` a space, a comment, `\b{start}`.
_TAKES_NOTHING: Final = re.compile(r"\(\?(?:[a-zA-Z-]{0,20}x|#|P?<\w{99})|\\[bB]\{")


class RunPattern(NamedTuple):
    """A pattern as it is run for a type.

    Attributes:
        pattern: As its engine has it.
        by_pydantic: Whether that is pydantic's own, which goes over a text once; else that of
            JSON Schema's checker.
        room: Bytes that it may take there once it is compiled.
    """

    pattern: str
    by_pydantic: bool = False
    room: int = LARGEST_PATTERN


def room_of(patterns: int) -> int:
    """The bytes that each of so many patterns of a schema may take."""
    return min(LARGEST_PATTERN, MOST_COMPILED // (patterns or 1))


@dataclass(slots=True)
class _Part:
    """What is known of a part of a pattern.

    Attributes:
        places: At how many of its places an engine may be at once.
        takes: Whether it takes a character at least.
        choice: Whether there are several ways through it, or one that is long.
        levels: Repetitions of what has a choice, one in the other.
    """

    places: int = 0
    takes: bool = False
    choice: bool = False
    levels: int = 0

    def join(self, more: _Part) -> None:
        """Have another part follow."""
        self.places += more.places
        self.takes = self.takes or more.takes
        self.choice = self.choice or more.choice
        self.levels = max(self.levels, more.levels)


def _either(branches: list[_Part], *, looks: bool) -> _Part:
    return _Part(
        sum(part.places for part in branches),
        takes=not looks and all(part.takes for part in branches),
        choice=looks or len(branches) > 1 or any(part.choice for part in branches),
        levels=max(part.levels for part in branches),
    )


def _repeated(part: _Part, least: int, copies: int, *, again: bool) -> _Part:
    levels = part.levels + (again and part.choice)
    return _Part(part.places * copies, part.takes and least > 0, choice=True, levels=levels)


@lru_cache(maxsize=4096)
def _read(pattern: str, longest: int | None) -> _Part:
    """What is known of a pattern.

    Args:
        pattern: As its engine has it.
        longest: Characters of the texts that are held against it; None for any number.
    """
    known = not _TAKES_NOTHING.search(pattern)
    groups = [(False, [_Part()])]
    last = _Part()
    for token in _TOKEN.finditer(pattern):
        if token["flags"]:
            continue
        if token["some"]:
            least = 1 if token["some"] == "+" else 0
            last = _repeated(last, least, 1, again=token["some"] != "?")
            continue
        if most := token["most"] or token["least"]:
            copies = int(most)
            if longest is not None and last.takes and known:
                copies = min(copies, longest + 1)
            last = _repeated(last, int(token["least"] or 0), copies, again=True)
            continue
        groups[-1][1][-1].join(last)
        if token["closed"] and len(groups) > 1:
            looks, branches = groups.pop()
            last = _either(branches, looks=looks)
            continue
        last = _Part()
        if token["opened"]:
            groups.append((token[0].endswith(_LOOKING), [_Part(places=1)]))
        elif token[0] == "|":
            groups[-1][1].append(_Part(places=1))
        else:
            takes = _TAKES.match(token[0]) is not None
            last = _Part(1, takes, choice=token[0].startswith("\\") and not takes)
    for looks, branches in reversed(groups):
        branches[-1].join(last)
        last = _either(branches, looks=looks)
    return last


def cost_of(pattern: str) -> int:
    """What it costs to compile a pattern: letters of all languages at a place cost as twenty."""
    return max(_read(pattern, None).places, 1) * (20 if _ALL_LETTERS.search(pattern) else 1)


@lru_cache(maxsize=4096)
def steps_of(run: RunPattern, bits: int) -> int:
    """The most steps that a pattern takes with a text of fewer than 2 ** bits bytes."""
    size = 1 << bits
    part = _read(run.pattern, size)
    places = max(part.places, 1)
    if run.by_pydantic or not looks_around(run.pattern):
        return _OF_A_BYTE * places * size
    begun: int = size ** min(part.levels, _MOST_LEVELS)
    return _OF_ALL_WAYS * places * begun * (size + _TO_LOOK)


def steps_with(texts: Iterable[str], runs: Mapping[RunPattern, int]) -> int:
    """The most steps that patterns take with texts.

    Args:
        texts: Each is held against each of the patterns.
        runs: How often against which.
    """
    lengths = Counter(size_of(text).bit_length() for text in texts)
    return sum(
        count * times * steps_of(run, bits)
        for bits, count in lengths.items()
        for run, times in runs.items()
    )


def size_of(text: str) -> int:
    """The bytes of a text, which engines go over one by one; in JSON an escape may be a letter."""
    if text.isascii() and "\\u" not in text:
        return len(text)
    return _BEYOND_ASCII * len(text.encode(errors="surrogatepass"))


def may_be_verbose(pattern: str) -> bool:
    """Whether spaces and comments say nothing in a pattern, or in parts of it: `(?x)`."""
    return _VERBOSE.search(pattern) is not None


def is_possessive(pattern: str, *, verbose: bool) -> bool:
    """Whether a repetition keeps all that it took (`a*+`), which the other engine reads as two.

    Args:
        pattern: As its engine has it.
        verbose: Whether spaces and comments in it say nothing.
    """
    repeated, place = False, 0
    while token := _TOKEN.match(pattern, place):
        place = token.end()
        if verbose and token[0] == "#":
            place = pattern.find("\n", place) + 1 or len(pattern)
        elif repeated and token["some"] == "+":
            return True
        elif not (verbose and token[0].isspace()):
            repeated = bool(token["some"]) or (token[0][0] == "{" and len(token[0]) > 1)
    return False


@lru_cache(maxsize=1024)
def looks_around(pattern: str) -> bool:
    """Whether a pattern of a JSON Schema wants more than the engine that goes over a text once."""
    import jsonschema_rs

    if any(is_possessive(pattern, verbose=way) for way in {False, may_be_verbose(pattern)}):
        return True
    once = jsonschema_rs.RegexOptions()
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=once)
    except ValueError:
        return True
    return False
