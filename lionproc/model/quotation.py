"""What a server quotes of a question: the words of a stranger, which are no words of its own. Pure.

Whoever refuses a row may quote it: in other letters, with escapes, cut at both ends, or the whole
question. What such a quotation says steers nothing.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any
from urllib.parse import unquote

import orjson

__all__ = ["Asked", "all_of", "plainly", "texts_of", "unquoted"]

_QUOTED = 16  # characters that are in a row too, and so no words of the server
_MOST_OF_A_ROW = 100_000  # characters at each of its ends in which they are looked for

_BESIDE = 10  # characters beside a word by which a quotation is known
_AROUND = 8 * _BESIDE  # and as many of them may be written as escapes
_MOST_FOUND = 20
_ESCAPE = re.compile(r"\\{1,8}(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|[nrtbfv])")
_NO_LETTER = re.compile(r"&#[xX]?[0-9a-fA-F]{8,}")  # of thousands of digits Python reads no number
_RUN = re.compile(r"[^\W_]+")
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


def all_of(messages: bytes) -> str:
    """What the messages of a request say, as it reads and as JSON has it."""
    return "\n".join([*texts_of(orjson.loads(messages)), messages.decode()])


def unquoted(said: str, row: str) -> str:
    """The words of a server without what they quote of a row, whose words are a stranger's.

    Args:
        said: The words.
        row: What was asked.
    """
    row, size = _ends_of(row), _QUOTED
    parts = [said[place : place + size] for place in range(len(said) - size + 1)]
    sought = set(parts)
    # One pass over the row, whatever stands in it: each of these would be looked for in all of it.
    places = range(len(row) - size + 1) if sought else ()
    quoted = {part for at in places if (part := row[at : at + size]) in sought}
    kept: list[str] = []
    until = 0
    for place, part in enumerate(parts):
        if part in quoted:
            if place >= until:
                kept += said[until:place], "..."
            until = place + size
    return "".join([*kept, said[until:]])


def plainly(text: str) -> str:
    r"""The letters and digits of a text, the same in whatever way somebody quotes it.

    Case, spaces and marks are nothing, and escapes of JSON, Python, HTML and addresses are read.

    Args:
        text: As it is written. Of a very long one both ends are taken.

    Example:
        >>> plainly('No\tCREDIT &quot;left&quot;'), plainly('"no%20credit", left')
        ('no credit left', 'no credit left')
    """
    read = _NO_LETTER.sub(" ", _ESCAPE.sub(_letter, _ends_of(text)))
    read = unquote(html.unescape(read))
    return " ".join(_RUN.findall(read.casefold()))


def _letter(escape: re.Match[str]) -> str:
    digits = escape[1] or escape[2]
    return chr(int(digits, 16)) if digits else " "


def _ends_of(row: str) -> str:
    if len(row) <= 2 * _MOST_OF_A_ROW:
        return row
    return row[:_MOST_OF_A_ROW] + "\0" + row[-_MOST_OF_A_ROW:]
