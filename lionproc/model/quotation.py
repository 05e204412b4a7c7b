"""What a server quotes of a question: the words of a stranger, which are no words of its own. Pure.

Whoever refuses a row may quote it: in other letters, with escapes, cut at both ends, or the whole
question. What such a quotation says steers nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import orjson

from lionproc.model.told import plainly

__all__ = ["Asked", "texts_of"]

_BESIDE = 10  # characters beside a word by which a quotation is known
_AROUND = 8 * _BESIDE  # and as many of them may be written as escapes
_MOST_FOUND = 20
_BEGUN, _REST = re.compile(r"[^\W_]{1,40}\Z"), re.compile(r"[^\W_]{1,40}")


class Asked:
    """A question that was refused.

    Args:
        fields: Of its body.
    """

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    @cached_property
    def _texts(self) -> list[str]:
        return [plainly(text) for text in texts_of(self.fields.get("messages", ()))]

    @cached_property
    def _row(self) -> str:
        return "\n".join(self._texts)

    @cached_property
    def _whole(self) -> str:
        return plainly(orjson.dumps(self.fields).decode())

    def place(self, word: re.Pattern[str], text: str) -> int | None:
        """Where a refusal itself says a word; None where it only quotes it, or has it not."""
        for found in islice(word.finditer(text), _MOST_FOUND):
            before = text[max(found.start() - _AROUND, 0) : found.start()]
            after = text[found.end() : found.end() + _AROUND]
            begun, rest = _BEGUN.search(before), _REST.match(after)  # of words that it cuts
            said = f"{begun[0] if begun else ''}{found[0]}{rest[0] if rest else ''}"
            before = before[: begun.start()] if begun else before
            after = after[rest.end() :] if rest else after
            if not self._has(plainly(before), plainly(said), plainly(after)):
                return found.start()
        return None

    def _has(self, before: str, word: str, after: str) -> bool:
        """Whether a word between others is a part of what was sent, as far as can be told.

        Of a message it is known by the letters on one side or on both; one that has hardly more
        in it is known as a whole. The rest is known by the words on both sides, or by
        three before it.
        """
        if word not in self._row and word not in self._whole:
            return False
        if before and after:
            between = f"{before.rpartition(' ')[2]} {word} {after.partition(' ')[0]}"
            if between in self._row or between in self._whole:
                return True
        if before.count(" ") > 1 and " ".join([*before.split()[-3:], word]) in self._whole:
            return True
        ahead, behind = f" {before} ", f" {after} "
        before, after = f"{before} "[-_BESIDE:], f" {after}"[:_BESIDE]
        for size in range(_BESIDE + 1):
            part = f"{before[-size:] if size else ''}{word}{after[: _BESIDE - size]}".strip()
            if len(part) > len(word) and part in self._row:
                return True
        for own in self._texts:
            left, found, right = own.partition(word)
            if not found or len(left) + len(right) > 2 * _BESIDE:
                continue
            if ahead.endswith(left) and behind.startswith(right):
                return True
        return False


def texts_of(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The texts of messages, and of their parts."""
    for message in messages:
        content = message.get("content")
        for part in content if isinstance(content, list) else [{"text": content}]:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield part["text"]
