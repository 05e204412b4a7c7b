"""Sets as JSON, in an order that is the same in every process.

A process has a set of texts in an order of its own. Where one stands in a model, a tuple or a union,
what pydantic writes of it has that order, too: an answer would be another text after each restart, and
a question that shows it would be bought again.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple

from pydantic import RootModel, TypeAdapter

from lionproc.model.core_parts import Part, parts_within

__all__ = ["in_order", "place_of"]

_FIELDS: Final = frozenset(("model-fields", "dataclass-args"))
_ALL: Final = "*"
_PLAIN: Final = (dict, list)
_MANY: Final = (list, tuple, set, frozenset, deque)
_NONE: Final[frozenset[str]] = frozenset()


class _Coded(NamedTuple):
    """What code of a type's own makes.

    Attributes:
        fields: The fields, or `_ALL`.
        json_only: Those of them that it makes for JSON alone.
    """

    fields: frozenset[str]
    json_only: frozenset[str]


def in_order(value: object, written: Any) -> Any:
    """What is written of a value, with its sets sorted.

    Args:
        value: A model, or anything that may hold sets.
        written: What pydantic made of it for JSON. Where it looks otherwise than the value, for a
            type writes itself in its own way, it stays.

    Returns:
        The same, with each list that was a set sorted by how its members look; those of numbers as
        Python has them.

    Example:
        >>> in_order(({"b", "a"},), [["b", "a"]])
        [['a', 'b']]
    """
    if isinstance(value, RootModel):
        coded = _coded(_kind(value))
        if _ALL in coded.fields:
            return written if coded.json_only else in_order(_made(value, None), written)
        return in_order(value.root, written)
    if type(value) in _PLAIN and value == written:  # with no set in it
        return written
    if isinstance(written, dict):
        parts = _parts(value, written)
        return {
            key: in_order(parts[key], each) if key in parts else each
            for key, each in written.items()
        }
    if not isinstance(written, list) or not isinstance(value, _MANY):
        return written
    members = list(value)
    if len(members) != len(written):
        return written
    made = [in_order(*pair) for pair in zip(members, written, strict=True)]
    return _sorted(members, made) if isinstance(value, set | frozenset) else made


def _sorted(members: list[Any], made: list[Any]) -> list[Any]:
    """What was made of the members of a set, in an order that is always the same."""
    if not _are_numbers(members):
        return sorted(made, key=repr)
    # Numbers have the order that Python gives them in every process, however they were put in.
    written = dict(zip(members, made, strict=True))
    return [written[member] for member in set(sorted(members))]  # noqa: C414  (that order counts)


def _are_numbers(members: Collection[object]) -> bool:
    return all(type(each) in {int, float} and each == each for each in members)  # noqa: PLR0124


def place_of(member: object) -> str:
    """By what members of a set are sorted, which is the same in every process.

    Args:
        member: Anything that may be in one.
    """
    with suppress(Exception):  # of code of a type's own, or what leads back to itself
        if _holds_sets(member):  # which Python prints in the order of the process
            written = _adapter(_kind(member)).dump_python(member, mode="json", warnings="none")
            return repr(in_order(member, written))
    return repr(member)


def _holds_sets(member: object) -> bool:
    if isinstance(member, set | frozenset):
        return not _are_numbers(member)
    if isinstance(member, tuple | list):
        return any(map(_holds_sets, member))
    if isinstance(member, Mapping):
        return any(map(_holds_sets, member.values()))
    return any(_holds_sets(getattr(member, name, None)) for name in _names(member))


def _names(value: object) -> list[str]:
    """The fields of a model or a dataclass."""
    if isinstance(value, type):
        return []
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value)]
    fields = getattr(type(value), "__pydantic_fields__", ())
    return [*fields, *(getattr(value, "__pydantic_extra__", None) or ())]


def _parts(value: object, written: Mapping[str, object]) -> Mapping[str, object]:
    """What is in a value, by the names under which it is written."""
    if isinstance(value, Mapping):
        return dict(zip(written, value.values(), strict=True)) if len(value) == len(written) else {}
    fields = getattr(type(value), "__pydantic_fields__", {})
    coded = _coded(_kind(value)) if fields else _Coded(_NONE, _NONE)
    parts = {}
    for name in _names(value):
        if name not in coded.fields:
            alias = getattr(fields.get(name), "serialization_alias", None)
            parts[alias or name] = getattr(value, name, None)
    known = coded.fields - coded.json_only
    if known:
        made = _made(value, None if _ALL in known else set(known))
        parts |= made if isinstance(made, dict) else {}
    return parts


def _made(value: object, fields: set[str] | None) -> object:
    """What code of a type's own makes of its fields, where its sets are still sets."""
    with suppress(Exception):  # it is anybody's, and sets of what has no hash are none
        return _adapter(_kind(value)).dump_python(
            value, include=fields, by_alias=True, warnings="none"
        )
    return None


def _kind(value: Any) -> Any:
    return type(value)  # mypy takes no type for hashable


@lru_cache(256)
def _adapter(kind: Any) -> TypeAdapter[object]:
    return TypeAdapter(kind)


@lru_cache(256)
def _coded(kind: Any) -> _Coded:
    """The fields that code of a type's own makes or writes, which may sort them, or make something else."""
    parts = parts_within(_adapter(kind).core_schema)
    own = [part for part in parts if part.get("cls") is kind]
    whole = [part for part in own if "serialization" in part]
    if whole:
        return _Coded(
            frozenset((_ALL,)), frozenset((_ALL,)) if any(map(_is_json_only, whole)) else _NONE
        )
    within = [part for each in own for part in parts_within(each)]
    fields: Any = next((part["fields"] for part in within if part.get("type") in _FIELDS), {})
    named = fields.items() if isinstance(fields, dict) else ((f["name"], f) for f in fields)
    written = {
        name: [part for part in parts_within(field) if "serialization" in part]
        for name, field in named
    }
    made = getattr(getattr(kind, "__pydantic_decorators__", None), "computed_fields", {})
    return _Coded(
        frozenset((*(name for name, parts in written.items() if parts), *made)),
        frozenset(name for name, parts in written.items() if any(map(_is_json_only, parts))),
    )


def _is_json_only(part: Part) -> bool:
    """Whether what somebody's code makes of a field for JSON is known from JSON alone."""
    how = part["serialization"]
    code = str(getattr(how.get("function"), "__module__", "pydantic"))
    is_somebodys = code.partition(".")[0] not in {"pydantic", "pydantic_core"}
    return is_somebodys and ("json" in how.get("when_used", "") or bool(how.get("info_arg")))
