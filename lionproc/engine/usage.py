"""All that is counted of a reply for its price, and how the journal keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol

import orjson

from lionproc.engine.tokens import Tokens

__all__ = ["Price", "Saved", "Usage", "from_bytes", "plus", "to_bytes"]

_COUNTS: Final = ("cached", "cache_write", "reasoning", "audio_input", "audio_output")
_OF_OUTPUT: Final = frozenset(("reasoning", "audio_output"))  # the others are of what was read
_NOTHING_MORE: Final = (*(None,) * len(_COUNTS), "")  # what most servers tell besides the tokens
_MOST_USD: Final = 1e9  # no reply costs more


class Usage(NamedTuple):
    """What one reply used. What the server did not tell is None, which is not zero.

    Attributes:
        input: Tokens read, cached ones included.
        output: Tokens written, thoughts included.
        cached: Of those read, the ones that came from the provider's prompt cache.
        cache_write: Of those read, the ones that were put into it.
        reasoning: Of those written, the ones that were thoughts.
        audio_input: Of those read, the ones that were sound.
        audio_output: Of those written, the ones that were sound.
        tier: The tier that served it, in the server's word; empty where it does not say.
        billed: Dollars that the server says it costs.
    """

    input: int = 0
    output: int = 0
    cached: int | None = None
    cache_write: int | None = None
    reasoning: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None
    tier: str = ""
    billed: float | None = None

    @property
    def tokens(self) -> Tokens:
        """Tokens read and written."""
        return Tokens(self.input, self.output)


class Saved(NamedTuple):
    """Dollars that replies would have cost more; below zero where it was dearer.

    Attributes:
        prompt_cache: Without the provider's prompt cache.
        tier: At the standard tier.
        batch: The same, of what the Batch API answered.
    """

    prompt_cache: float = 0.0
    tier: float = 0.0
    batch: float = 0.0

    def plus(self, other: Saved) -> Saved:
        """Both together."""
        return Saved(
            self.prompt_cache + other.prompt_cache, self.tier + other.tier, self.batch + other.batch
        )


class Price(Protocol):
    """What replies of a model cost."""

    def usd(self, usage: Usage, model: str = "") -> float | None:
        """Dollars for a reply, None where that is not known.

        Args:
            usage: What it used.
            model: The model that answered, in the server's words; empty if it does not say.
        """

    def saved(self, usage: Usage, model: str = "") -> Saved | None:
        """What it would have cost more, None where that is nothing or not known."""


def plus(one: float | None, other: float | None) -> float | None:
    """A sum, not known where a part of it is not."""
    return None if one is None or other is None else one + other


def to_bytes(usage: Usage | None, usd: float | None) -> bytes:
    """What the journal keeps of a reply besides the tokens: only what is known.

    Args:
        usage: What it used, None where nothing was told.
        usd: What it cost when it was bought, None where that is not known.

    Raises:
        ValueError: A count has more than 64 bits.
    """
    kept: dict[str, Any] = {}
    if usage is not None and usage[2:8] != _NOTHING_MORE:
        counts = zip(_COUNTS, usage[2:7], strict=True)
        kept = {name: count for name, count in counts if count is not None}
        if usage.tier:
            kept["tier"] = usage.tier
    if usd is not None:
        kept["usd"] = usd
    try:
        return orjson.dumps(kept) if kept else b""
    except TypeError:
        raise ValueError("a count of tokens that is far too large cannot be kept") from None


def from_bytes(kept: bytes, tokens: Tokens) -> tuple[Usage | None, float | None]:
    """What `to_bytes` wrote, and more than that where a later version wrote it.

    A number that cannot be is not known: another process, or a stranger, may have put it there.

    Args:
        kept: What it wrote; empty in records of versions before it.
        tokens: The tokens of the reply.

    Raises:
        ValueError: It is something else.
    """
    if not kept:
        return None, None
    data = orjson.loads(kept)
    if not isinstance(data, Mapping):
        raise ValueError("what is kept of a reply's usage is an object")  # noqa: TRY004
    counts = {
        name: count
        for name in _COUNTS
        if type(count := data.get(name)) is int
        and 0 <= count <= (tokens.output if name in _OF_OUTPUT else tokens.input)
    }
    tier = data.get("tier")
    usd: Any = data.get("usd")
    used = Usage(*tokens, **counts, tier=tier if isinstance(tier, str) else "")
    is_cost = type(usd) in {int, float} and 0 <= usd <= _MOST_USD
    return used if used != Usage(*tokens) else None, float(usd) if is_cost else None
