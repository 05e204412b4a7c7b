"""What the test server charges: cached tokens, tiers, usage as providers spell it, and a bill."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, get_args

__all__ = ["SPELLINGS", "Bill", "Cashier", "Spelling", "Used"]

Spelling = Literal["openai", "openrouter", "anthropic", "deepseek", "moonshot"]
SPELLINGS: tuple[str, ...] = get_args(Spelling)
LEAST_CACHED, STEP = 1024, 128  # tokens, as OpenAI documents its prompt cache
_PREFIXES_KEPT = 100_000
_TIERS = frozenset({"flex", "priority"})


@dataclass(frozen=True, slots=True)
class Used:
    """What one reply used, as the bill has it."""

    input: int
    cached: int
    output: int
    tier: str

    def told(self, spelling: str) -> dict[str, object]:
        """The `usage` of the reply, as a provider spells it."""
        total = {"total_tokens": self.input + self.output}
        read = {"prompt_tokens": self.input, "completion_tokens": self.output}
        if spelling == "anthropic":  # the cache is beside what was read
            return {
                "input_tokens": self.input - self.cached,
                "output_tokens": self.output,
                "cache_read_input_tokens": self.cached,
                "cache_creation_input_tokens": 0,
            }
        if spelling == "deepseek":
            miss = self.input - self.cached
            told = {"prompt_cache_hit_tokens": self.cached, "prompt_cache_miss_tokens": miss}
            return {**read, **total, **told}
        if spelling == "moonshot":
            return {**read, **total, "cached_tokens": self.cached}
        details: dict[str, Any] = {"cached_tokens": self.cached, "audio_tokens": 0}
        if spelling == "openrouter":
            details["cache_write_tokens"] = 0
        return {
            **read,
            **total,
            "prompt_tokens_details": details,
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        }


@dataclass(kw_only=True)
class Bill:
    """What a server has charged so far.

    Attributes:
        usd: Dollars, exactly.
        requests: Replies that were charged.
        unpriced: Replies of models, or by tiers, that the table of prices does not know.
        input_tokens: Tokens read, cached ones included.
        cached_tokens: Of those, the ones from the cache.
        output_tokens: Tokens written.
        by_tier: Replies by the tier that served them.
    """

    usd: Decimal = Decimal(0)
    requests: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    by_tier: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """As plain JSON."""
        return {**vars(self), "usd": str(self.usd), "by_tier": dict(self.by_tier)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Bill:
        """A bill that travelled as JSON."""
        return cls(**{**data, "usd": Decimal(data["usd"])})


class Cashier:
    """Knows which prefixes were seen, and adds up. Lives on the server's loop."""

    def __init__(self) -> None:
        self.bill = Bill()
        self._tiers: Counter[str] = Counter()
        self._seen: dict[bytes, None] = {}

    def used(self, body: Mapping[str, Any], text: str, read: int, written: int) -> Used:
        """What a reply uses; its prompt is in the cache from now on.

        Args:
            body: The request, parsed.
            text: All text of the prompt.
            read: Tokens of it.
            written: Tokens of the answer.
        """
        asked = body.get("service_tier")
        tier = asked if asked in _TIERS else "default"
        cached = self._cached(str(body["model"]), text, read)
        return Used(read, cached, written, tier)

    def _cached(self, model: str, text: str, read: int) -> int:
        """Tokens at the start of a prompt that an earlier one of this model began with."""
        cached = 0
        digest = hashlib.blake2b(model.encode(), digest_size=16)
        place, size = 0, len(text) / max(read, 1)  # characters of a token
        for tokens in range(STEP, read + 1, STEP):
            end = int(tokens * size)
            digest.update(text[place:end].encode(errors="replace"))
            place = end
            if tokens >= LEAST_CACHED:
                key = digest.digest()
                if key in self._seen:
                    cached = tokens
                else:
                    self._seen[key] = None
        while len(self._seen) > _PREFIXES_KEPT:
            del self._seen[next(iter(self._seen))]
        return cached

    def charge(self, provider: str, model: str, used: Used) -> None:
        """Put a reply on the bill.

        Args:
            provider: Whose prices, by the name in genai-prices.
            model: The model.
            used: What the reply used.
        """
        from genai_prices import Usage, calc_price

        bill = self.bill
        bill.requests += 1
        bill.input_tokens += used.input
        bill.cached_tokens += used.cached
        bill.output_tokens += used.output
        self._tiers[used.tier] += 1
        bill.by_tier = dict(self._tiers)
        usage = Usage(
            input_tokens=used.input, cache_read_tokens=used.cached, output_tokens=used.output
        )
        try:
            bill.usd += calc_price(
                usage,
                model,
                provider_id=provider,
                price_context={"service_tier": used.tier},
            ).total_price
        except LookupError:
            bill.unpriced += 1
