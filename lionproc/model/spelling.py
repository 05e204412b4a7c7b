"""The answers that are allowed, and which of them what was said so far may still become.

A reply may have as many tokens and alternatives as its server likes, and each is looked up here: so
it is a search among sorted texts, and no comparison with one answer after the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import TypeAlias

__all__ = ["Possible", "Spelling"]

_MOST_KEPT = 10_000
Possible: TypeAlias = frozenset[int]
"""Places of answers that are still possible."""


class Spelling:
    """The allowed answers as they may be written in a reply.

    Args:
        texts: Each answer's spellings.
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
        self._places: dict[bytes, set[int]] = defaultdict(set)
        for place, spellings in enumerate(texts):
            for text in spellings:
                self._places[change(text)].add(place)
        self._sorted = sorted(self._places)
        self._sizes = sorted(set(map(len, self._sorted)))
        self._most = self._sizes[-1] + 1  # bytes that say which it is
        self._found: dict[tuple[bytes, bool], Possible] = {}

    def possible(self, said: bytes, *, ended: bool = False) -> Possible:
        """The answers that may still become of a beginning, or that a whole value is.

        Replies to one question have the same few tokens again and again, so it is kept.
        """
        key = said[: self._most], ended
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            found = self._found[key] = self._looked_up(self._change(key[0]), ended=ended)
        return found

    def _looked_up(self, said: bytes, *, ended: bool) -> Possible:
        found: set[int] = set()
        for size in self._sizes:  # what it begins with
            if size > len(said):
                break
            text = said[:size]
            if text in self._places and self._is_end(text, said):
                found |= self._places[text]
        if not ended:  # what begins with it; no text has the byte 255
            first, behind = (bisect_left(self._sorted, each) for each in (said, said + b"\xff"))
            found.update(*(self._places[text] for text in self._sorted[first:behind]))
        return frozenset(found)

    def _is_end(self, text: bytes, said: bytes) -> bool:
        if _ends_itself(text) or self._ends is None or len(said) == len(text):
            return True
        return said[len(text)] in self._ends


def _ends_itself(text: bytes) -> bool:
    return len(text) > 1 and text.endswith(b'"')
