"""What replies cost: from the table that genai-prices ships in its package, or one's own prices."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from lionproc.engine.usage import Saved, Usage
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

    They are those of the standard tier, and hold however long a prompt is. What a reply costs
    that another tier served is said by `tiers`. Without it, a reply of a tier that is never
    dearer ("flex", "batch") is priced as the standard one, and what a reply of any other tier
    costs is not known.

    Args:
        input: Dollars per million tokens read.
        output: Dollars per million tokens written, thoughts included.
        cached_input: Dollars per million tokens read from the provider's prompt cache; None
            for no discount.
        cache_write: Dollars per million tokens put into that cache; None for no surcharge.
        tiers: By how much all of this is multiplied for a reply of a tier, by the word that the
            reply has for it: `{"flex": 0.5, "priority": 2}`.

    Raises:
        ConfigurationError: A price or a factor is negative or not a number.

    Example:
        >>> price = Price(input=0.15, cached_input=0.075, output=0.60)
        >>> round(price.usd(Usage(input=2000, cached=1024, output=100)), 7)
        0.0002832
    """

    input: float
    output: float
    cached_input: float | None = None
    cache_write: float | None = None
    tiers: Mapping[str, float] | None = field(default=None, hash=False)

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached_input", "cache_write"):
            value = getattr(self, name)
            if value is None and name not in {"input", "output"}:
                continue
            if not _is_amount(value):
                raise ConfigurationError(
                    f"Price({name}=...) is dollars per million tokens, 0 or more, not {value!r}."
                )
        if self.tiers is not None:
            object.__setattr__(self, "tiers", _factors(self.tiers))

    def factor(self, tier: str) -> float | None:
        """By how much the prices of a tier differ from these, None where that is not known."""
        given = None if self.tiers is None else self.tiers.get(tier)
        if given is None and (tier in _USUAL_TIERS or tier in _CHEAPER):
            return 1.0
        return given

    def usd(self, usage: Usage, model: str = "") -> float | None:
        """What a reply costs, in dollars; None where its tier has no price.

        Args:
            usage: What it used.
            model: Which model answered; the price is the same for all.
        """
        rates = self._rates(usage.tier, usage.input, model)
        return None if rates is None else _cost(usage, rates)

    def _rates(self, tier: str, read: int, model: str) -> _Rates | None:
        del read, model
        return _own_rates(self, tier)

    def saved(self, usage: Usage, model: str = "") -> Saved | None:
        """What it would have cost more; see `_saved`."""
        return _saved(self, usage, model)


def _is_amount(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value) and value >= 0


def _factors(given: object) -> dict[str, float]:
    if isinstance(given, Mapping) and all(
        isinstance(tier, str) and _is_amount(factor) for tier, factor in given.items()
    ):
        return {tier.lower(): factor for tier, factor in given.items()}
    raise ConfigurationError(
        "Price(tiers=...) says by how much the price of a tier differs, as in "
        f'{{"flex": 0.5}}, not {given!r}.'
    )


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
        rates = self._rates(usage.tier, usage.input, model)
        return None if rates is None else _cost(usage, rates)

    def _rates(self, tier: str, read: int, model: str) -> _Rates | None:
        tier = tier or ("" if self.asked_tier in _CHEAPER else self.asked_tier)
        hour = int(time.time() // _TABLE_S)
        steps = _steps_of_either(model, self.model, self.provider, tier, hour)
        if steps is None or len(steps) == 1:
            return steps and steps[0][1]
        return [rates for start, rates in steps if read > start or not start][-1]

    def saved(self, usage: Usage, model: str = "") -> Saved | None:
        """What it would have cost more; see `_saved`."""
        return _saved(self, usage, model)


def _saved(price: Price | TablePrice, usage: Usage, model: str) -> Saved | None:
    """What a reply would have cost more without a cache, and at the standard tier.

    Returns:
        None where that is nothing or not known.
    """
    cached, stored, usual = usage.cached or 0, usage.cache_write or 0, usage.tier in _USUAL_TIERS
    if usual and not cached and not stored:
        return None
    rates = price._rates(usage.tier, usage.input, model)
    if rates is None:
        return None
    of_cache = cached * (rates.input - rates.cached) + stored * (rates.input - rates.cache_write)
    if usual:
        return Saved(of_cache)
    uncached = Usage(usage.input, usage.output, None, None, *usage[4:7])
    standard = price._rates("default", usage.input, model)
    paid, otherwise = _cost(uncached, rates), standard and _cost(uncached, standard)
    if paid is None or otherwise is None:
        return None
    of_tier = otherwise - paid
    batch = usage.tier == "batch"
    return Saved(of_cache, 0.0 if batch else of_tier, of_tier if batch else 0.0)


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

    Raises:
        ConfigurationError: Its user's prices do not say what the tier costs, and it may be more.
    """
    if own is not None:
        return _asked(own, tier)
    if not provider.prices:
        return Price(input=0.0, output=0.0)
    return TablePrice(model, provider.prices, tier, provider.tells_cost and official)


def _asked(own: Price, tier: str) -> Price:
    """Prices where a tier is asked for: the dearer ones for a reply that names none."""
    factor = own.factor(tier)
    if factor is None:
        raise ConfigurationError(
            f"lp.Price(...) has the prices of the standard tier, and service_tier={tier!r} may cost "
            f"more. Say by how much: lp.Price(..., tiers={{{tier!r}: 2.0}})."
        )
    return own if factor <= 1 else replace(own, tiers={**(own.tiers or {}), "": factor})


class _Rates(NamedTuple):
    """Dollars per token. An embedding model has no price for output."""

    input: float
    cached: float
    cache_write: float
    audio_input: float
    output: float | None
    reasoning: float | None
    audio_output: float | None


@lru_cache(maxsize=512)
def _own_rates(price: Price, tier: str) -> _Rates | None:
    """The rates of one's own prices for a reply of a tier."""
    factor = price.factor(tier)
    if factor is None:
        return None
    read, wrote = factor * price.input / _MILLION, factor * price.output / _MILLION
    cached, stored = (
        read if own is None else factor * own / _MILLION
        for own in (price.cached_input, price.cache_write)
    )
    return _Rates(read, cached, stored, read, wrote, None, None)


def _cost(usage: Usage, rates: _Rates) -> float | None:
    read, wrote, cached, stored, thought, heard, spoken, _, _ = usage
    cached, stored = cached or 0, stored or 0
    if not (thought or heard or spoken) and rates.output is not None:
        anew = (read - cached - stored) * rates.input
        return anew + cached * rates.cached + stored * rates.cache_write + wrote * rates.output
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
def _steps_of_either(
    named: str, asked: str, provider: str, tier: str, hour: int
) -> tuple[tuple[int, _Rates], ...] | None:
    """The rates of the model that a reply names, else of the one that was asked."""
    steps = _steps(named, provider, tier, hour) if named and named != asked else None
    return _steps(asked, provider, tier, hour) if steps is None else steps


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
