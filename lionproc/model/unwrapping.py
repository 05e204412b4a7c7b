"""What is within the proxies that tools put around a client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["is_made_by_openai", "layers", "unwrapped"]

_WITHIN = ("__wrapped__", "_wrapped")  # of wrapt and others, of Django


def is_made_by_openai(http: object) -> bool:
    """Whether an openai client made its HTTP client itself, as where its user gave none.

    Args:
        http: What is within the openai client.
    """
    return type(http).__name__ in {"AsyncHttpxClientWrapper", "SyncHttpxClientWrapper"}


def unwrapped(thing: Any) -> Any:
    """What proxies, such as those of wrapt, stand for; anything else is given back as it is.

    Args:
        thing: An openai client, or one of httpx.
    """
    *_, inner = layers(thing)
    return inner


def layers(thing: Any) -> Iterator[Any]:
    """The proxies from the outermost on, and at last what they stand for.

    Args:
        thing: As for `unwrapped`.
    """
    yield thing
    while type(thing) is not thing.__class__:
        found = (getattr(thing, name, None) for name in _WITHIN)
        thing = next((inner for inner in found if inner is not None), None)
        if thing is None:
            return
        yield thing
