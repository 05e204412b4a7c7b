"""What tokens cost, from the table that genai-prices ships in its package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lionproc.engine.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per token read and per token written."""

    input_usd: float
    output_usd: float

    def usd(self, tokens: Tokens) -> float:
        """What these tokens cost, in dollars."""
        return tokens.input * self.input_usd + tokens.output * self.output_usd


@lru_cache(maxsize=64)
def price_of(model: str, prices: str) -> Price | None:
    """The price of a model.

    Args:
        model: The model's name at its provider.
        prices: The provider's name in genai-prices; empty where nothing is charged.

    Returns:
        The price, free of charge for an empty provider, None where it is not known.
    """
    if not prices:
        return Price(0.0, 0.0)
    from genai_prices import Usage, calc_price

    try:
        # Small amounts, so that tiers for very long prompts do not come in.
        read = calc_price(Usage(input_tokens=1000), model_ref=model, provider_id=prices)
        written = calc_price(Usage(output_tokens=1000), model_ref=model, provider_id=prices)
    except (LookupError, ValueError):
        return None
    return Price(float(read.total_price) / 1000, float(written.total_price) / 1000)
