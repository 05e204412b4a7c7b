"""The tokens of a reply with their log-probabilities, as servers send them.

They differ: some leave out `bytes`, some list a token twice, some write -9999 for "hardly ever",
some list the thoughts or a code fence that the message no longer has. What fits nothing is None.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NotToldError", "SeenLogprobs", "Token", "has_logprobs", "tokens_of", "tokens_under"]

_SPACES = str.maketrans({"Ġ": " ", "Ċ": "\n", "▁": " "})  # how vocabularies write them


MOST_TOKENS = 250_000  # of a reply; no model writes as many
ROUNDED = 1e-3  # how far above 0 rounding brings a log-probability; a probability of 1 is at 0
MOST_LISTED = 100  # alternatives of a token that are read; servers list 20
LONGEST_TOKEN = 4096  # bytes, or characters; the longest of any vocabulary are some hundred spaces
_NOT_TOLD = ((b"", math.nan),)


class NotToldError(ValueError):
    """What stands in the place of a log-probability is none."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a reply.

    Attributes:
        text: Its bytes: a token may be half a character.
        start: How many bytes of the text stand before it.
        entry: What the server says of it; nearly all tokens are looked at no closer.
        spaced: Whether it is spelt as in its vocabulary.
    """

    text: bytes
    start: int
    entry: dict[str, Any]
    spaced: bool = False
    _known: tuple[tuple[bytes, float], ...] | None = field(default=None, init=False, compare=False)

    @property
    def likeliest(self) -> tuple[tuple[bytes, float], ...]:
        """The likeliest tokens at its place with their probabilities, as the server lists them.

        Each once: two tokens may read the same, but not with the same probability. They are read
        once, however many fields of an answer are in the token.

        Raises:
            NotToldError: One of them has what cannot be. Of a server that lists something else (logits,
                shares), those that could be log-probabilities say nothing either.
        """
        if self._known is None:
            try:
                known = self._listed()
            except NotToldError:
                known = _NOT_TOLD
            object.__setattr__(self, "_known", known)
        if self._known is None or self._known is _NOT_TOLD:
            raise NotToldError
        return self._known

    def _listed(self) -> tuple[tuple[bytes, float], ...]:
        listed = self.entry.get("top_logprobs")
        found: dict[tuple[bytes, float], None] = {}
        for other in listed[:MOST_LISTED] if isinstance(listed, list) else ():
            read = self._read(other)
            likely = None if read is None else _probability(other)
            if read is not None and likely is not None:
                found[read, likely] = None
        return tuple(found)

    @property
    def probability(self) -> float | None:
        """Its own, None where it is not told.

        Raises:
            NotToldError: It cannot be.
        """
        return _probability(self.entry)

    def _read(self, entry: object) -> bytes | None:
        text = _text(entry)
        return _spaced(text) if self.spaced and text is not None else text


def has_logprobs(data: Any) -> bool:
    """Whether a reply has log-probabilities at all."""
    return bool(_content(data))


def tokens_of(data: Any) -> tuple[Token, ...]:
    """The tokens of a parsed reply; none where it does not have them in a form that is known."""
    made: list[Token] = []
    start = 0
    entries = _content(data)
    for entry in entries if len(entries) <= MOST_TOKENS else ():
        text = _text(entry)
        if text is None:
            return ()
        made.append(Token(text, start, entry))
        start += len(text)
    return tuple(made)


def tokens_under(tokens: tuple[Token, ...], said: str) -> tuple[Token, ...]:
    """The tokens that make a text, placed from its first byte on; none where they do not make it.

    Args:
        tokens: Those of the whole reply, with whatever came before the text and behind it.
        said: The text.
    """
    wanted = said.encode("utf-8", "surrogatepass")
    for spell in (tuple, _with_spaces):
        known: tuple[Token, ...] = tuple(spell(tokens))
        whole = b"".join(token.text for token in known)
        first = _last_place(whole, wanted)
        if first >= 0:
            return tuple(
                Token(token.text, token.start - first, token.entry, token.spaced)
                for token in known
                if token.start + len(token.text) > first
            )
    return ()


def _last_place(whole: bytes, wanted: bytes) -> int:
    """As `whole.rfind(wanted)`, whose time may grow with the product of both lengths."""
    behind = whole[::-1].find(wanted[::-1])
    return behind if behind < 0 else len(whole) - behind - len(wanted)


def _content(data: Any) -> list[Any]:
    try:
        found = data["choices"][0]["logprobs"]["content"]
    except (LookupError, TypeError):
        return []
    return found if isinstance(found, list) else []


def _text(entry: object) -> bytes | None:
    if not isinstance(entry, dict):
        return None
    given, token = entry.get("bytes"), entry.get("token")
    if isinstance(given, list) and len(given) <= LONGEST_TOKEN:
        try:
            return bytes(given)
        except (TypeError, ValueError):
            pass
    elif isinstance(given, list):
        return None
    if not isinstance(token, str) or len(token) > LONGEST_TOKEN:
        return None
    return token.encode("utf-8", "surrogatepass")


def _probability(entry: dict[str, Any]) -> float | None:
    """That of a token; None where it is not told.

    Raises:
        NotToldError: What is told cannot be a log-probability, as a probability in its place.
    """
    value = entry.get("logprob")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= ROUNDED:
        raise NotToldError
    try:
        return math.exp(min(value, 0.0))
    except OverflowError:  # an integer that no float holds
        raise NotToldError from None


def _with_spaces(tokens: tuple[Token, ...]) -> Iterator[Token]:
    """Tokens in the spelling of their vocabulary, read as the text that they are."""
    start = 0
    for token in tokens:
        text = _spaced(token.text)
        yield Token(text, start, token.entry, spaced=True)
        start += len(text)


def _spaced(text: bytes) -> bytes:
    return (
        text.decode("utf-8", "surrogateescape")
        .translate(_SPACES)
        .encode("utf-8", "surrogateescape")
    )


class SeenLogprobs:
    """Whether the replies of an endpoint have log-probabilities.

    One reply without any may be the word of a proxy, or a server's way with one row. Two rows
    without, and no other that has them, are a model that does not tell.

    Attributes:
        told: Whether a reply had them.
    """

    def __init__(self) -> None:
        self.told = False
        self._without: set[bytes | None] = set()

    def are_there(self, data: Any) -> bool:
        """Look at a good reply: whether it has them, or another one had."""
        self.told = self.told or has_logprobs(data)
        return self.told

    def are_missed(self, key: bytes | None) -> bool:
        """A good reply has none, and no other one had. True if it is not the first row's.

        Args:
            key: Of what was asked.
        """
        self._without.add(key)
        return len(self._without) > 1
