"""What replies cost: from the table that genai-prices ships in its package, or one's own prices."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lionproc.engine.usage import Usage
from lionproc.errors import ConfigurationError
from lionproc.face import faced

if TYPE_CHECKING:
    from lionproc.model.providers import Provider

__all__ = ["Price", "TablePrice"]

_MILLION = 1e6
_TABLE_S = 3600  # how long a price that was looked up counts: some begin on a day
# Words for what everybody gets. Any other tier has a price in the table, or none that is known.
_USUAL_TIERS = frozenset({"", "default", "standard", "auto", "on_demand"})
_CHEAPER = frozenset({"flex", "batch"})  # never dearer than the usual one


@faced
@dataclass(frozen=True, slots=True)
class Price:
    """Your own prices of a model, as price lists print them. They go before the table's.

    They hold for every reply, whatever tier served it and however long its prompt was.

    Args:
        input: Dollars per million tokens read.
        output: Dollars per million tokens written, thoughts included.
        cached_input: Dollars per million tokens read from the provider's prompt cache; None
            for no discount.
        cache_write: Dollars per million tokens put into that cache; None for no surcharge.

    Raises:
        ConfigurationError: A price is negative or not a number.

    Example:
        >>> price = Price(input=0.15, cached_input=0.075, output=0.60)
        >>> round(price.usd(Usage(input=2000, cached=1024, output=100)), 7)
        0.0002832
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is None and name not in {"input", "output"}:
                continue
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not (number and math.isfinite(value) and value >= 0):
                raise ConfigurationError(
                    f"Price({name}=...) is dollars per million tokens, 0 or more, not {value!r}."
                )

    def usd(self, usage: Usage, model: str = "") -> float:
        """What a reply costs, in dollars.

        Args:
            usage: What it used.
            model: Which model answered; the price is the same for all.
        """
        del model
        cached, written = usage.cached or 0, usage.cache_write or 0
        of_cached = self.input if self.cached_input is None else self.cached_input
        of_written = self.input if self.cache_write is None else self.cache_write
        return (
            (usage.input - cached - written) * self.input
            + cached * of_cached
            + written * of_written
            + usage.output * self.output
        ) / _MILLION


@dataclass(frozen=True, slots=True)
class TablePrice:
    """The prices of a model in the table, by tier and length of the prompt.

    Attributes:
        model: The name that is asked for. A reply that names another one the table knows is
            priced as that: a deployment has a name of its own, and a router chooses.
        provider: The provider's name in genai-prices.
        asked_tier: The `service_tier` that is asked for. The one that the reply names counts;
            where it names none, the dearer of this one and the usual one does.
        tells_cost: Whether the server's own word on the cost is its bill.
    """

    model: str
    provider: str
    asked_tier: str = ""
    tells_cost: bool = False

    def usd(self, usage: Usage, model: str = "") -> float | None:
        """What a reply costs, in dollars; None where that is not known."""
        if self.tells_cost and usage.billed is not None:
            return usage.billed
        tier = usage.tier or ("" if self.asked_tier in _CHEAPER else self.asked_tier)
        hour = int(time.time() // _TABLE_S)
        steps = None
        if model and model != self.model:
            steps = _steps(model, self.provider, tier, hour)
        if steps is None:
            steps = _steps(self.model, self.provider, tier, hour)
        return None if steps is None else _cost(usage, steps)


def price_of(
    model: str, provider: Provider, own: Price | None, tier: str, *, official: bool
) -> Price | TablePrice:
    """The prices of a model.

    Args:
        model: Its name at its provider.
        provider: The provider.
        own: What its user says that it costs, which goes before everything else.
        tier: The `service_tier` that is asked for; empty for none.
        official: Whether the provider's own address is asked, which may be believed on its cost.
    """
    if own is not None:
        return own
    if not provider.prices:
        return Price(input=0.0, output=0.0)
    return TablePrice(model, provider.prices, tier, provider.tells_cost and official)


class _Rates(NamedTuple):
    """Dollars per token. An embedding model has no price for output."""

    input: float
    cached: float
    cache_write: float
    audio_input: float
    output: float | None
    reasoning: float | None
    audio_output: float | None


def _cost(usage: Usage, steps: tuple[tuple[int, _Rates], ...]) -> float | None:
    read, wrote, cached, stored, thought, heard, spoken, _, _ = usage
    rates = steps[0][1]
    for above, dearer in steps[1:]:
        if read > above:
            rates = dearer
    cached, stored = cached or 0, stored or 0
    heard, spoken = min(heard or 0, read - cached - stored), spoken or 0
    thought = min(thought or 0, wrote - spoken)
    cost = (
        (read - cached - stored - heard) * rates.input
        + cached * rates.cached
        + stored * rates.cache_write
        + heard * rates.audio_input
    )
    if not wrote:
        return cost
    if rates.output is None:
        return None
    return (
        cost
        + (wrote - thought - spoken) * rates.output
        + thought * (rates.output if rates.reasoning is None else rates.reasoning)
        + spoken * (rates.output if rates.audio_output is None else rates.audio_output)
    )


@lru_cache(maxsize=512)
def _steps(
    model: str, provider: str, tier: str, hour: int
) -> tuple[tuple[int, _Rates], ...] | None:
    """The rates from each length of the prompt on; None where they are not known.

    The table's own arithmetic takes half a millisecond a reply, so its numbers are taken once.

    Args:
        model: The model's name.
        provider: The provider's name in the table.
        tier: The tier's word.
        hour: Of the clock, for prices that begin or end.
    """
    del hour
    from genai_prices import Usage as Asked
    from genai_prices import calc_price

    context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
    try:
        found = calc_price(
            Asked(), model_ref=model, provider_id=provider, price_context=context if tier else None
        )
    except (LookupError, ValueError):
        return None
    if tier not in _USUAL_TIERS and not _has_variant(found.model, context):
        return None
    return _of_table(found.model_price)


def _has_variant(model: Any, context: dict[str, str]) -> bool:
    return any(variant.when == context for variant in model.price_variants or ())


def _of_table(prices: Any) -> tuple[tuple[int, _Rates], ...] | None:
    """The rates of each step in the length of the prompt."""
    if prices.input_mtok is None:
        return None
    starts = {0}
    for price in vars(prices).values():
        starts |= {step.start for step in getattr(price, "tiers", ())}
    return tuple((start, _rates(prices, start)) for start in sorted(starts))


def _rates(prices: object, start: int) -> _Rates:
    def rate(name: str) -> float | None:
        price = getattr(prices, name)
        if price is None:
            return None
        if hasattr(price, "base"):
            steps = [step.price for step in price.tiers if step.start <= start and start]
            price = steps[-1] if steps else price.base
        return float(price) / _MILLION

    def rate_of_input(name: str) -> float:
        price = rate(name)
        return read if price is None else price

    read = rate("input_mtok") or 0.0
    return _Rates(
        read,
        rate_of_input("cache_read_mtok"),
        rate_of_input("cache_write_mtok"),
        rate_of_input("input_audio_mtok"),
        rate("output_mtok"),
        rate("output_reasoning_mtok"),
        rate("output_audio_mtok"),
    )
