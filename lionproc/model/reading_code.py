"""What makes an answer of a reply besides what the JSON Schema of its type tells."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter

__all__ = ["reading_code", "written_by_hand"]

# What changes a text as it is read, of a type or in the settings of a model; no JSON Schema has it.
_CHANGES = (
    *("to_upper", "to_lower", "strip_whitespace", "coerce_numbers_to_str"),
    *("str_to_upper", "str_to_lower", "str_strip_whitespace", "use_enum_values"),
)
_SETS = frozenset(("set", "frozenset"))  # which a model is asked for as for lists


def reading_code(source: Any) -> list[object]:
    """The code that reads answers of a type or makes their columns, and the sets in it.

    Two types that are asked for in the same words, and of which a validator differs, read the same
    reply as different answers.

    Args:
        source: The type; None where answers are of a JSON Schema.

    Returns:
        Them in the order in which pydantic comes to them; nothing where the schema tells all. What a
        function has from elsewhere is not looked at: a memory, say, is another one after each answer.

    Example:
        >>> reading_code(list[str]), reading_code(set[str])
        ([], ['set'])
    """
    if source is None:
        return []
    try:
        return list(_parts(TypeAdapter(source).core_schema))
    except Exception:  # noqa: BLE001  (one that only stands within another, say)
        return []


def _parts(node: Any) -> Iterator[object]:
    if isinstance(node, (list, tuple)):
        for part in node:
            yield from _parts(part)
    elif isinstance(node, Mapping):  # one that is built when it is first used is no dict
        kind = node.get("type")
        if kind in _SETS:
            yield kind
        elif kind == "enum" and "_missing_" in written_by_hand(node["cls"]):
            yield _code_of(node["cls"]._missing_.__func__)
        yield from ((name, node[name]) for name in _CHANGES if node.get(name))
        if isinstance(node.get("cls"), type):
            yield from _of_class(node)
        for name, part in node.items():
            if name == "function" and callable(part):
                yield from _unless_pydantics(part)
            elif name not in {"metadata", "cls"}:
                yield from _parts(part)


def _of_class(node: Mapping[str, Any]) -> Iterator[object]:
    """What a class does with what was read: how it begins, and what it works out of that."""
    cls, named = node["cls"], node.get("post_init")
    begins = [named if isinstance(named, str) else "__post_init__"] if named else []
    begins += ["__init__"] if node.get("custom_init") else []
    worked_out = getattr(cls, "__pydantic_decorators__", None)
    if worked_out is not None:
        begins += worked_out.computed_fields
    for name in begins:
        made = getattr(cls, name, None)
        yield from _unless_pydantics(getattr(made, "fget", getattr(made, "func", made)))


def _unless_pydantics(part: Any) -> Iterator[object]:
    function = getattr(part, "__func__", part)  # not the class that it is bound to
    if callable(function):
        function = inspect.unwrap(function)  # pydantic puts what it does besides around it
    if not str(getattr(function, "__module__", "")).startswith("pydantic"):
        yield _code_of(function)


def _code_of(function: Any) -> object:
    """Its code, and not what it remembers: one that counts what it has read is the same one."""
    return getattr(function, "__code__", getattr(function, "__qualname__", type(function).__name__))


def written_by_hand(choices: type) -> set[str]:
    """The names that a person has written into an Enum, and not the module of that.

    Args:
        choices: An Enum.
    """
    return {name for base in choices.__mro__ if base.__module__ != "enum" for name in vars(base)}
