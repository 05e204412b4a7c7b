"""One way to write each question, so that the same one is never bought twice.

`temperature=0` and `0.0`, parameters in another order, a message with its content before its
role: the server reads the same. So they are written the same, and what is written is what is
sent and what an answer is kept under. One order is left as it is: models write the properties of
a schema in the order of the schema, and an explanation before a verdict is another question than
one after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

__all__ = ["SHAPE_NOTHING", "canonical", "canonical_messages", "tail_of"]

# Fields that decide when and for how much a request is answered, and not what the answer is. They
# are sent and are no part of the key, so that what is answered is not asked again for them. Requests
# with one `prompt_cache_key` go where the start of their prompt is cached already.
SHAPE_NOTHING = frozenset({"prompt_cache_key", "service_tier"})
_IN_THEIR_ORDER = frozenset(("properties", "$defs", "definitions", "patternProperties"))
_EXACT = 2**53  # beyond it a float is no longer a certain whole number
_FIRST = ("role", "content")


def canonical(value: object, *, ordered: bool = False) -> Any:
    """The same JSON, written in one way.

    Args:
        value: What `json` can write.
        ordered: Keep the order of its names.

    Returns:
        Names sorted, whole numbers without a point. What is no JSON stays as it is.

    Example:
        >>> canonical({"top_p": 1.0, "seed": 1, "on": True})
        {'on': True, 'seed': 1, 'top_p': 1}
    """
    if isinstance(value, Mapping):
        names = list(value) if ordered else _sorted(value)
        return {
            name: canonical(value[name], ordered=not ordered and name in _IN_THEIR_ORDER)
            for name in names
        }
    if isinstance(value, (list, tuple)):
        return [canonical(item) for item in value]
    if type(value) is float and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value


def canonical_messages(messages: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, Any]]:
    """Messages written in one way, role and content first as everybody has them."""
    for message in messages:
        if not _is_usual(message):
            return [each if _is_usual(each) else _role_first(each) for each in messages]
    return messages


def tail_of(fields: Mapping[str, object]) -> bytes:
    """The end of a body, behind the messages, with these fields."""
    made = canonical(fields)
    return b"," + orjson.dumps(made)[1:] if made else b"}"


def _is_usual(message: object) -> bool:
    return not isinstance(message, dict) or (
        tuple(message) == _FIRST and type(message["content"]) is str
    )


def _role_first(message: Mapping[str, object]) -> dict[str, Any]:
    written: dict[str, Any] = canonical(message)
    return {name: written.pop(name) for name in _FIRST if name in written} | written


def _sorted(value: Mapping[object, object]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:  # names that are no texts: whoever writes the JSON says so
        return list(value)
