"""What the journal keeps, and how it becomes a row of numbers, text and a checksum.

A row is believed only when its checksum is right, so a damaged file yields fewer answers and
never a wrong one.
"""

from __future__ import annotations

import struct
from typing import Any, Final, NamedTuple, TypeAlias
from zlib import crc32

from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Usage, from_bytes, to_bytes
from lionproc.errors import CallError, Kind

__all__ = [
    "LARGEST",
    "LARGEST_REPLY",
    "Entry",
    "Failure",
    "Record",
    "Row",
    "Voted",
    "from_row",
    "prefix",
    "to_row",
]

Row = tuple[Any, ...]
"""(prefix, key, kind, reply, model, prompt_tokens, completion_tokens, attempts, seconds, at,
checksum, usage). `kind` is empty for a reply; what is none has its words in place of the reply."""

LARGEST_REPLY: Final = 64 * 2**20  # bytes; those that are kept have 16 MiB at most
LARGEST: Final = {"key": 16, "kind": 100, "reply": LARGEST_REPLY, "model": 4096, "usage": 4096}
"""Bytes of what a record has. What is larger is not written, and where it stands all the same somebody
else has put it there."""
_PARTS: Final = ("kind", "reply", "model", "usage")
_NUMBERS: Final = struct.Struct(">qqqddII")
_PREFIX: Final = struct.Struct(">q8x")
_VOTED: Final = "voted"  # the kind of a record that tells of no request
_MOST: Final = 1e11
"""No count or time of a record is larger; a date of more seconds is in the year 5138."""


class Entry(NamedTuple):
    """One reply that was paid for.

    Attributes:
        key: 16 bytes, a hash of everything that shapes the answer.
        reply: The raw body as it was received, without secrets.
        model: The model that answered.
        prompt_tokens: Tokens read, as the server counted them.
        completion_tokens: Tokens written, as the server counted them.
        attempts: Requests that were sent for it, at least 1.
        seconds: Seconds from sending the last of them to its whole reply.
        at: When it arrived, in Unix seconds.
        usage: All that is known of what it used; None where nothing but the tokens is.
        usd: What it cost when it was bought, in dollars, with those attempts before it that were
            billed and are not kept; None where that is not known.
    """

    key: bytes
    reply: bytes
    model: str
    prompt_tokens: int
    completion_tokens: int
    attempts: int
    seconds: float
    at: float
    usage: Usage | None = None
    usd: float | None = None


class Failure(NamedTuple):
    """One request that was given up.

    Attributes:
        key: 16 bytes, as in `Entry`.
        kind: How it failed, a word of `lionproc.errors.Kind`.
        message: What happened, without secrets.
        attempts: Requests that were sent for it.
        at: When it was given up, in Unix seconds.
        seconds: For how long before that nobody has looked whether there is a reply: one that came
            meanwhile is another process's, and an answer.
    """

    key: bytes
    kind: str
    message: str
    attempts: int
    at: float
    seconds: float = 0.0

    @property
    def error(self) -> CallError:
        """What failed then."""
        return CallError(next((k for k in Kind if k == self.kind), Kind.UNEXPECTED), self.message)


class Voted(NamedTuple):
    """How the votes on a row stood when they gave it its answer.

    Attributes:
        key: 16 bytes, a hash of what was asked of whom.
        stood: Where each of them did, in words of whoever counts them.
        at: When they were counted, in Unix seconds.
    """

    key: bytes
    stood: str
    at: float


Record: TypeAlias = Entry | Failure | Voted


def prefix(key: bytes) -> int:
    """The first half of a key as a signed integer, which makes the smallest and fastest index.

    Args:
        key: 16 bytes.

    Raises:
        ValueError: It has another length.
    """
    try:
        return int(_PREFIX.unpack(key)[0])
    except struct.error:
        raise ValueError(f"a key has 16 bytes, this one {len(key)}") from None


def to_row(record: Record) -> Row:
    """The row that keeps a record.

    Raises:
        ValueError: It would not be read again: the key is not 16 bytes, a number or a text is
            beyond what a record has, or a failure has no kind.
    """
    if isinstance(record, Voted):
        record = Failure(record.key, _VOTED, record.stood, 0, record.at)
    start = prefix(record.key)
    # SQLite knows no -0.0: adding 0.0 keeps the checksum true to what will be read.
    at, seconds = record.at + 0.0, record.seconds + 0.0
    if isinstance(record, Entry):
        reply, kind, model = record.reply, "", record.model
        model = model if model.isascii() else _sound(model)
        prompt, completion = record.prompt_tokens, record.completion_tokens
        used = to_bytes(record.usage, record.usd)
    else:
        reply, kind, model = record.message.encode("utf-8", "replace"), _sound(record.kind), ""
        prompt = completion = 0
        used = b""
        if not kind:
            raise ValueError("a failure needs a kind")
    numbers = (prompt, completion, record.attempts, seconds, at)
    if not _may_be(*numbers):
        raise ValueError(
            "a number of this record cannot be kept: it is below zero, or far too large"
        )
    kind_bytes, model_bytes = kind.encode(), model.encode()
    for name, value in zip(_PARTS, (kind_bytes, reply, model_bytes, used), strict=True):
        if len(value) > LARGEST[name]:
            raise ValueError(f"a {name} of {len(value):,} bytes cannot be kept")
    total = _checksum(record.key, kind_bytes, reply, model_bytes, numbers, used)
    return (start, record.key, kind, reply, model, *numbers, total, used)


def from_row(row: Row) -> Record | None:
    """The record that a row keeps, or None if anything about the row is wrong.

    Args:
        row: As `to_row` made it, with its text as bytes.
    """
    start, key, kind, reply, model, *numbers, total, kept = row
    try:
        if prefix(key) != start or total != _checksum(key, kind, reply, model, numbers, kept):
            return None
        prompt, completion, attempts, seconds, at = numbers
        if not _may_be(*numbers):
            return None  # not one of ours
        if kind == _VOTED.encode():
            return Voted(key, reply.decode(), at)
        if kind:
            return Failure(key, kind.decode(), reply.decode(), attempts, at, seconds)
        usage, usd = from_bytes(kept, Tokens(prompt, completion))
        return Entry(
            key, reply, model.decode(), prompt, completion, attempts, seconds, at, usage, usd
        )
    except (TypeError, ValueError, struct.error):
        return None  # not even of the right types


def _may_be(prompt: float, completion: float, attempts: float, seconds: float, at: float) -> bool:
    return (  # a NaN is not
        0 <= prompt <= _MOST
        and 0 <= completion <= _MOST
        and 0 <= attempts <= _MOST
        and 0 <= seconds <= _MOST
        and 0 <= at <= _MOST
    )


def _sound(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # a lone surrogate cannot be stored


def _checksum(  # noqa: PLR0917  (the parts of one record)
    key: bytes, kind: bytes, reply: bytes, model: bytes, numbers: Any, used: bytes
) -> int:
    head = _NUMBERS.pack(*numbers, len(kind), len(model))
    total = crc32(reply, crc32(b"".join((head, key, kind, model))))
    # Records of versions that kept no usage have none, and the checksum that they were given.
    return crc32(used, total) if used else total
