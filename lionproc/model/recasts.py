"""Containers of Python, where a validator of the user's stands in front of what is JSON.

To a strict reading of Python no list is a set or a tuple then, nor a generator a list.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, cast

from pydantic_core import SchemaValidator, core_schema

from lionproc.model.core_parts import Part
from lionproc.model.guarded import Recast

__all__ = ["recast"]

# What pydantic takes for a list by itself, besides a list.
_LISTS: Final = (tuple, set, frozenset, deque, KeysView, ValuesView, ItemsView, Iterator)


def recast(part: Part, *, alone: bool) -> Recast | None:
    """What makes what stands in the place of a part; None where that is the part itself.

    Args:
        part: Of a core schema.
        alone: Whether it is no kind of a union, which other containers may be meant for.
    """
    kind = part.get("type", "")
    return _listed if kind == "list" and alone else _RECASTS.get(kind)


def _listed(part: Part) -> Part:
    """Reads what goes over its items as a list."""

    def read(value: object, handler: Callable[[object], object]) -> object:
        return handler(list(cast("Any", value)) if isinstance(value, _LISTS) else value)

    return dict(core_schema.no_info_wrap_validator_function(read, _any(part)))


def _from(kind: type, made_of: Callable[[Any], object]) -> Recast:
    """Reads a list or a dict as another container, whatever is in it."""

    def recast(part: Part) -> Part:
        def read(value: object, handler: Callable[[object], object]) -> object:
            return handler(made_of(value) if type(value) is kind else value)

        return _some(core_schema.no_info_wrap_validator_function(read, _any(part)))

    return recast


def _from_list(kind: type) -> Recast:
    """Reads a list as a set: item by item, for 1 is true once it is in one."""

    def recast(part: Part) -> Part:
        bounds = {name: part[name] for name in ("min_length", "max_length") if name in part}
        whole = SchemaValidator(_any({"type": part["type"], **bounds}))
        items: Any = part.get("items_schema", core_schema.any_schema())

        def read(value: object, handler: Callable[[object], Any]) -> object:
            if isinstance(value, (list, *_LISTS)):
                value = kind(handler(list(cast("Any", value))))
            return whole.validate_python(value, strict=True)

        return _some(
            core_schema.no_info_wrap_validator_function(read, core_schema.list_schema(items))
        )

    return recast


def _some(part: Any) -> Part:
    """In a union a text counts as much as what is read of one, as it does in JSON, and a list more."""
    return dict(core_schema.chain_schema([part, core_schema.any_schema()]))


def _any(part: Any) -> Any:
    return part


_RECASTS: Final[Mapping[str, Recast]] = {
    **dict.fromkeys(("tuple", "named-tuple"), _from(list, tuple)),
    "deque": _from(list, deque),
    "ordered-dict": _from(dict, OrderedDict),
    "counter": _from(dict, Counter),
    "set": _from_list(set),
    "frozenset": _from_list(frozenset),
    "str": _some,
}
