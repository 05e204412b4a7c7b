"""What a reply used: as the server counted it, or estimated where it did not. Pure.

Servers leave usage out, send null, an empty object, floats, a total alone, or zeros; and some count
what the model thought, or what came from a cache, only in the total. What is not known is
estimated or left unknown and never taken for zero, for a budget is kept by it, and a total is
believed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson

from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Usage
from lionproc.model.validate import whole_characters

__all__ = ["BYTES_PER_TOKEN", "counted", "guess", "tier_of", "usage_of"]

# English takes about four bytes a token, most other text fewer: three errs on the safe side.
BYTES_PER_TOKEN = 3.0
_MOST = 20_000_000  # the longest context is half of that: who counts more in one reply, miscounts
_MOST_USD = 10_000.0
_LONGEST_TIER = 40
_BARE = {"prompt_tokens", "completion_tokens", "total_tokens"}  # all that most servers tell
_IN, _OUT = "prompt_tokens_details", "completion_tokens_details"
# Where the parts of the two counts are told. Sources: the API references of OpenAI, Azure,
# OpenRouter, Groq, Gemini and Anthropic, and of DeepSeek, Moonshot, DashScope and LiteLLM's proxy.
# What is told nowhere here is not known: a name that merely looks right may mean something else.
_PARTS: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "cached": (
        (_IN, "cached_tokens"),
        ("input_tokens_details", "cached_tokens"),
        ("cache_read_input_tokens",),
        ("prompt_cache_hit_tokens",),
        ("cached_tokens",),
    ),
    "cache_write": (
        (_IN, "cache_write_tokens"),
        (_IN, "cache_creation_tokens"),
        (_IN, "cache_creation_input_tokens"),
        ("input_tokens_details", "cache_write_tokens"),
        ("cache_creation_input_tokens",),
    ),
    "reasoning": (
        (_OUT, "reasoning_tokens"),
        ("output_tokens_details", "reasoning_tokens"),
        ("output_tokens_details", "thinking_tokens"),
        ("reasoning_tokens",),
    ),
    "audio_input": ((_IN, "audio_tokens"), ("input_tokens_details", "audio_tokens")),
    "audio_output": ((_OUT, "audio_tokens"), ("output_tokens_details", "audio_tokens")),
}
_NAMES = frozenset(at[0] for places in _PARTS.values() for at in places)


def usage_of(data: Mapping[str, object]) -> Usage | None:
    """What a server says that a reply used.

    Args:
        data: The parsed reply.

    Returns:
        The usage, or None where not even the tokens are all told.

    Example:
        >>> usage_of({"usage": {"prompt_tokens": 9, "completion_tokens": 2,
        ...     "prompt_tokens_details": {"cached_tokens": 4}}, "service_tier": "flex"})[:3]
        (9, 2, 4)
    """
    usage = data.get("usage")
    if not isinstance(usage, dict):
        return None
    if usage.keys() == _BARE:
        read, written, total = (
            usage["prompt_tokens"],
            usage["completion_tokens"],
            usage["total_tokens"],
        )
        if (
            type(read) is int
            and type(written) is int
            and type(total) is int
            and read > 0
            and written > 0
            and read + written == total <= _MOST
        ):
            return Usage(read, written, tier=tier_of(data))
    told = {part: _told_at(usage, places) for part, places in _told_by(_NAMES.intersection(usage))}
    cached, cache_write = told.get("cached"), told.get("cache_write")
    in_cache = (cached or 0) + (cache_write or 0)
    reasoning = told.get("reasoning")
    tokens = _tokens(usage, in_cache, reasoning)
    if tokens is None:
        return None
    read, written = tokens
    if in_cache > read:
        cached = cache_write = None  # cannot be, so nothing is known
    return Usage(
        read,
        written,
        cached,
        cache_write,
        _within(reasoning, written),
        _within(told.get("audio_input"), read),
        _within(told.get("audio_output"), written),
        tier_of(data),
        _billed(usage),
    )


@lru_cache(maxsize=64)
def _told_by(names: frozenset[str]) -> tuple[tuple[str, tuple[tuple[str, ...], ...]], ...]:
    """The parts that may be told among these names, and where. A server uses the same ones.

    The names are ours: those of a reply are kept for nobody, as there may be a million.
    """
    known = [
        (part, tuple(at for at in places if at[0] in names)) for part, places in _PARTS.items()
    ]
    return tuple((part, places) for part, places in known if places)


def counted(usage: object) -> Tokens | None:
    """What a server says that it read and wrote.

    Args:
        usage: The `usage` of a reply, whatever it is.

    Returns:
        The tokens, or None where they are not all told.

    Example:
        >>> counted({"prompt_tokens": 5, "completion_tokens": 2.0, "total_tokens": 40})
        Tokens(input=5, output=35)
    """
    told = usage_of({"usage": usage})
    return None if told is None else told.tokens


def _tokens(usage: Mapping[str, object], in_cache: int, reasoning: int | None) -> Tokens | None:
    """Read and written as a whole, whatever of it a server counts beside the two.

    Args:
        usage: The usage.
        in_cache: Tokens that were read from a cache or written to it.
        reasoning: Tokens that the model thought, None where it is not told.
    """
    read, written, total = _told(usage)
    if read is not None and in_cache and _counts_beside(usage, read, written, total, in_cache):
        read += in_cache
    if total is not None and read is not None:
        written = max(written or 0, total - read)
    if total is not None and read is None and written is not None and total > written:
        read = total - written
    if written is not None and reasoning is not None and reasoning > written:
        written += reasoning  # more than there is of it, so it is counted beside
    return Tokens(read, written) if read and written else None


def _counts_beside(
    usage: Mapping[str, object], read: int, written: int | None, total: int | None, in_cache: int
) -> bool:
    """Whether the tokens of the cache are beside those that were read, not among them."""
    if usage.get("prompt_tokens") is None:  # Anthropic's own way
        return "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage
    if in_cache > read:
        return True
    return total is not None and total == read + (written or 0) + in_cache


def guess(data: object, read: int) -> Tokens:
    """What a reply probably took, by what is known of it.

    Args:
        data: The parsed reply.
        read: Tokens that its prompt probably has.
    """
    usage = data.get("usage") if isinstance(data, Mapping) else None
    told_read, told_written, total = _told(usage)
    said = math.ceil(_size(data) / BYTES_PER_TOKEN)
    if total:
        read = told_read or min(read, total)
        return Tokens(read, max(told_written or 0, total - read))
    return Tokens(told_read or read, told_written or said)


def _told(usage: object) -> tuple[int | None, int | None, int | None]:
    """Read, written and total, each None where it is not told or cannot be."""
    if not isinstance(usage, dict):
        return None, None, None
    read, written = (
        _number(usage[name] if usage.get(name) is not None else usage.get(other))
        for name, other in (
            ("prompt_tokens", "input_tokens"),
            ("completion_tokens", "output_tokens"),
        )
    )
    return read, written, _number(usage.get("total_tokens"))


def _told_at(usage: Mapping[str, object], places: Sequence[tuple[str, ...]]) -> int | None:
    """A count that is told at one place or at several, None where it is told nowhere.

    Proxies tell it where their provider did and where OpenAI does, and one of the two may be a
    zero that means nothing.
    """
    most = None
    for place in places:
        inside: Any = usage.get(place[0])
        if inside is None:
            continue
        if len(place) > 1:
            inside = inside.get(place[1]) if isinstance(inside, dict) else None
        count = None if inside is None else _number(inside)
        if count is not None and (most is None or count > most):
            most = count
    return most


def _within(count: int | None, whole: int) -> int | None:
    return count if count is not None and count <= whole else None


def tier_of(data: Mapping[str, object]) -> str:
    """The tier that served a reply; empty where it does not say."""
    usage = data.get("usage")
    within = usage.get("service_tier") if isinstance(usage, dict) else None  # Anthropic's way
    first = data.get("service_tier")
    if first is None and within is None:
        return ""
    for word in (first, within):
        if isinstance(word, str) and word:
            return whole_characters(word[:_LONGEST_TIER]).lower()
    return ""


def _billed(usage: Mapping[str, object]) -> float | None:
    """Dollars as OpenRouter tells them; with a key of one's own, the provider's bill is beside."""
    cost = _dollars(usage.get("cost"))
    if cost is None or not usage.get("is_byok"):
        return cost
    details = usage.get("cost_details")
    upstream = details.get("upstream_inference_cost") if isinstance(details, dict) else None
    more = _dollars(upstream)
    return None if more is None else cost + more


def _dollars(cost: object) -> float | None:
    if isinstance(cost, bool) or not isinstance(cost, (int, float)) or not 0 <= cost <= _MOST_USD:
        return None
    return float(cost)


def _number(count: Any) -> int | None:
    if type(count) is int and 0 <= count <= _MOST:
        return count
    if isinstance(count, bool) or not isinstance(count, (int, float)) or not 0 <= count <= _MOST:
        return None
    return math.ceil(count)


def _size(data: object) -> int:
    """Bytes of what the model wrote, answer and thoughts."""
    choices = data.get("choices") if isinstance(data, Mapping) else None
    choices = choices if isinstance(choices, list) else []
    messages = [choice.get("message") for choice in choices if isinstance(choice, Mapping)]
    return sum(
        len(value.encode(errors="replace")) if isinstance(value, str) else _size_of(value)
        for message in messages
        if isinstance(message, Mapping)
        for name, value in message.items()
        if name != "role" and value
    )


def _size_of(value: object) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError:  # half characters, large numbers
        return len(json.dumps(value, default=str))
