"""What is within the proxies that tools put around a client."""

from __future__ import annotations

from typing import Any

__all__ = ["unwrapped"]


def unwrapped(thing: Any) -> Any:
    """What proxies, such as those of wrapt, stand for; anything else is given back as it is.

    Args:
        thing: An openai client, or one of httpx.
    """
    while type(thing) is not thing.__class__:
        inner = getattr(thing, "__wrapped__", None)
        if inner is None:
            break
        thing = inner
    return thing
