"""What a value that was read holds, whatever objects it is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum

__all__ = ["all_in"]


def all_in(value: object) -> Iterator[object]:
    """All values in one, wherever in its models, dataclasses and lists they are.

    Args:
        value: It; it may hold itself.

    Example:
        >>> [*all_in([1, {"a": 2}])]
        [[1, {'a': 2}], {'a': 2}, 2, 1]
    """
    waiting, seen = [value], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple, set, frozenset, deque)):
            waiting += each
        elif is_dataclass(each) and not isinstance(each, type):  # which may have slots
            waiting += [getattr(each, field.name, None) for field in fields(each)]
        elif hasattr(each, "__dict__") and not isinstance(each, (type, Enum)):
            waiting += vars(each).values()
