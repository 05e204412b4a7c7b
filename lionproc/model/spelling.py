"""The answers that are allowed, and which of them what was said so far may still become.

A reply may have as many tokens and alternatives as its server likes, and each is looked up here: so
it is a search among sorted texts, and no comparison with one answer after the other. Texts that
begin alike stand together there, so what is still possible is a range, however much it holds.
"""

from __future__ import annotations

import json
import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

__all__ = ["SPACE", "Choices", "Possible", "Spelling"]

SPACE = b" \t\r\n"
_ENDS = b",}] \t\r\n"  # what may stand behind a number or a word of JSON
_MOST_KEPT = 10_000  # beginnings
_MOST_BYTES = 2**20  # of them


@dataclass(slots=True, eq=False)
class Possible:
    """Answers that are still possible, by their places in the order of their texts.

    A spelling makes one for the same answers, so that two of them are told apart at no cost.

    Attributes:
        shorter: Places before the range: answers that are there as a whole, though others begin
            with them.
        first: Where the range begins.
        behind: Where it ends; this place is no longer in it.
        size: How many they are.
    """

    shorter: tuple[int, ...] = ()
    first: int = 0
    behind: int = 0
    size: int = 0

    def places(self) -> Iterable[int]:
        """Each of them once."""
        there = range(self.first, self.behind)
        return (*self.shorter, *there) if self.shorter else there


class Spelling:
    """The allowed answers as they may be written in a reply.

    Args:
        texts: Each answer's spellings; in the order of texts they stand together.
        ends: What may follow one; None where it says itself that it is at its end (a quote).
        change: What a reply goes through before it is compared.
    """

    def __init__(
        self,
        texts: Iterable[Iterable[bytes]],
        ends: bytes | None,
        change: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self._ends, self._change = ends, change
        answers: dict[bytes, set[int]] = defaultdict(set)
        for answer, spellings in enumerate(texts):
            for text in spellings:
                answers[change(text)].add(answer)
        self._sorted = sorted(answers)
        self._most = max(map(len, self._sorted)) + 1  # bytes that say which it is
        self._found: dict[tuple[bytes, bool], Possible] = {}
        self._kept = 0  # bytes of beginnings in it
        self._nothing = Possible()
        self._made: dict[tuple[tuple[int, ...], int, int], Possible] = {}
        self._ranges: list[tuple[int, int]] = []  # each text's own places
        # Texts that each begins with, itself the last: no more of them than the text has bytes.
        self._beginnings: list[tuple[int, ...]] = []
        self._within: list[Possible] = []  # answers that are whole before a text's end
        self._whole: list[Possible] = []  # and at its end
        self._arrange(answers)

    def _arrange(self, answers: Mapping[bytes, set[int]]) -> None:
        beginnings: list[int] = []
        seen: set[int] = set()
        for place, text in enumerate(self._sorted):
            if seen.isdisjoint(answers[text]):
                self._ranges.append((len(seen), len(seen) + len(answers[text])))
                seen.update(answers[text])
            else:  # another spelling of the one before
                self._ranges.append(self._ranges[-1])
            while beginnings and not text.startswith(self._sorted[beginnings[-1]]):
                beginnings.pop()
            self._within.append(self._in(beginnings[-1], text) if beginnings else self._nothing)
            self._whole.append(self._and_range(self._within[-1], *self._ranges[-1]))
            beginnings.append(place)
            self._beginnings.append(tuple(beginnings))

    def possible(self, said: bytes, *, ended: bool = False) -> Possible:
        """The answers that may still become of a beginning, or that a whole value is.

        Replies to one question have the same few tokens again and again, so it is kept.
        """
        key = said[: self._most], ended
        found = self._found.get(key)
        if found is None:
            self._kept += len(key[0])
            if len(self._found) >= _MOST_KEPT or self._kept > _MOST_BYTES:
                self._found.clear()
                self._kept = len(key[0])
            found = self._found[key] = self._looked_up(self._change(key[0]), ended=ended)
        return found

    def _looked_up(self, said: bytes, *, ended: bool) -> Possible:
        found = self._nothing
        before = bisect_right(self._sorted, said)
        if before:  # what it begins with, the last text before it begins with too
            beginnings = self._beginnings[before - 1]
            last = bisect_left(
                beginnings, True, key=lambda place: not said.startswith(self._sorted[place])
            )
            if last:
                found = self._in(beginnings[last - 1], said)
        if not ended:  # what begins with it; no text has the byte 255
            first, behind = (bisect_left(self._sorted, each) for each in (said, said + b"\xff"))
            if first < behind:
                return self._and_range(found, self._ranges[first][0], self._ranges[behind - 1][1])
        return found

    def _in(self, place: int, said: bytes) -> Possible:
        """The answers that are whole in what begins with a text."""
        ended = self._is_end(self._sorted[place], said)
        return self._whole[place] if ended else self._within[place]

    def _and_range(self, found: Possible, first: int, behind: int) -> Possible:
        """Them and a range that stands behind them, or takes in their last ones."""
        shorter = found.shorter
        if found.size and first <= found.behind:
            first = min(found.first, first)
        elif found.size:
            shorter = tuple(found.places())
        key = shorter, first, behind
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = Possible(*key, len(shorter) + behind - first)
        return made

    def _is_end(self, text: bytes, said: bytes) -> bool:
        if _ends_itself(text) or self._ends is None or len(said) == len(text):
            return True
        return said[len(text)] in self._ends


def _ends_itself(text: bytes) -> bool:
    return len(text) > 1 and text.endswith(b'"')


class Choices:
    """How the answers of a place may be written, the likeliest way first.

    Args:
        members: The answers: texts, numbers, true and false, None.

    Attributes:
        size: How many there are.
        longest: Characters of the longest text.
        key: Equal for equal ones.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        self.size = len(members)
        self.longest = max((len(each) for each in members if isinstance(each, str)), default=0)
        self.key = json.dumps(members)  # tells true from 1, and 1 from 1.0
        self._rest = _spellings_of(members)
        self._made: list[Spelling] = []
        self._lock = threading.Lock()  # replies are read in several threads

    def __iter__(self) -> Iterator[Spelling]:
        """Each way, made when it is needed first: of very many answers that takes some time."""
        for number in count():
            with self._lock:
                self._made += islice(self._rest, max(0, number + 1 - len(self._made)))
            if len(self._made) <= number:
                return
            yield self._made[number]


def _spellings_of(members: Sequence[Any]) -> Iterator[Spelling]:
    """The ways to write answers in a reply, the likeliest first, each made when it is asked for."""
    plain = [_written(member, ascii=False) for member in members]
    escaped = [_written(member, ascii=True) for member in members]
    words = [member if isinstance(member, str) else json.dumps(member) for member in members]
    found: list[tuple[Sequence[Iterable[bytes]], bytes]] = [(plain, _ENDS)]
    if escaped != plain:
        found.append((escaped, _ENDS))
    found.append(([(word.encode("utf-8", "replace"),) for word in words], SPACE))
    for change in (bytes, bytes.lower):
        for texts, ends in found:
            yield Spelling(texts, ends, change)


def _written(member: Any, *, ascii: bool) -> tuple[bytes, ...]:  # noqa: A002  (of JSON)
    """An answer in JSON; a whole number may be written with a point or without."""
    text = json.dumps(member, ensure_ascii=ascii)
    whole = text.removesuffix(".0")
    if isinstance(member, float) and member.is_integer():
        whole = str(int(member))  # also of 1e+16
    is_number = whole.lstrip("-").isdecimal()
    texts = dict.fromkeys((text, whole, f"{whole}.0")) if is_number else (text,)
    return tuple(each.encode("utf-8", "surrogatepass") for each in texts)
