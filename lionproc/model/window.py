"""How many tokens a model reads at the most, as far as that is known before it is asked."""

from __future__ import annotations

from functools import lru_cache

from lionproc.model.model import Model

__all__ = ["window_of"]


def window_of(model: Model) -> int | None:
    """The tokens that a model reads and writes together; None where nobody knows.

    Args:
        model: The model; of one at an address of somebody's own nothing is known.
    """
    if model.provider == "local":
        from lionproc.model.local import CONTEXT

        return CONTEXT
    if model.base_url is not None or model.client is not None or not model.settings.prices:
        return None
    return _listed(str(model.model), model.settings.prices)


@lru_cache(maxsize=64)
def _listed(model: str, provider: str) -> int | None:
    from genai_prices import Usage, calc_price

    try:
        return calc_price(Usage(), model_ref=model, provider_id=provider).model.context_window
    except (LookupError, ValueError):
        return None
