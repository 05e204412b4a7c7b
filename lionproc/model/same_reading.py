"""Whether two types read every reply alike, by what pydantic makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, Flag
from typing import Any, Final, TypeAlias

from pydantic import BaseModel

from lionproc.model.core_parts import Part, takes_more

__all__ = ["read_alike"]

_BESIDE: Final = frozenset(("ref", "metadata", "cls", "cls_name", "generic_origin"))
# What a class has beside its fields and changes no reading of a reply.
_NAMES: Final = frozenset(("title", "description", "frozen", "from_attributes", "slots", "total"))
_NOTHING: Final[tuple[object, ...]] = (False, None, {}, [])
# Where code of a class says what a value has, how it is written, or which are equal.
_OWN: Final = ("model_dump", "__getattribute__", "__getattr__", "__iter__", "__eq__")
_PLAIN: Final = (list, dict, set)  # what makes an empty default
_FIELD_WORDS: Final = frozenset(("type", "name", "required", "kw_only"))
_Inner: TypeAlias = "Callable[[Any], object]"


def read_alike(one: Part, other: Part) -> bool:
    """Whether they take the same replies and make the same values of them.

    Models with the same fields are alike, and so are dataclasses and typed dicts; an enum of texts
    or whole numbers is like the choice of its values. Code is like nothing else: what validates, and
    what writes a value.

    Args:
        one: The core schema of a type.
        other: That of another one.
    """
    return bool(_essence(one, {}, ()) == _essence(other, {}, ()))


def _essence(part: Any, shared: Mapping[str, Part], within: tuple[str, ...]) -> object:
    """A part of a core schema without what changes no reading."""
    if isinstance(part, (list, tuple)):
        return [_essence(each, shared, within) for each in part]
    if not isinstance(part, dict):
        return object() if callable(part) and part not in _PLAIN else part  # like nothing else

    def inner(held: Any) -> object:
        return _essence(held, shared, within)

    kind = part.get("type")
    if kind == "definitions":
        more = {each["ref"]: each for each in part["definitions"]}
        return _essence(part["schema"], {**shared, **more}, within)
    if kind == "definition-ref":
        name = part["schema_ref"]
        if name in within:
            return ("one around it", len(within) - within.index(name))
        return _essence(shared[name], shared, (*within, name))
    return _OF_KIND.get(str(kind), _other)(part, inner)


def _class(part: Part, inner: _Inner) -> object:
    plain = BaseModel if part["type"] == "model" else object
    kind = part.get("cls", plain)
    # A dataclass is given its `__eq__`.
    own = _OWN if plain is BaseModel else _OWN[:-1]
    if any(getattr(kind, name, None) is not getattr(plain, name, None) for name in own):
        return object()
    # The names of a dataclass's fields, which its schema has too, are no part.
    rest = _without(part, _BESIDE | _NAMES | {"type", "fields"})
    rest["is_model"] = part["type"] == "model"
    rest["config"] = _config(part)
    made = {name: inner(held) for name, held in rest.items()}
    return {name: held for name, held in made.items() if held not in _NOTHING}


def _typed_dict(part: Part, inner: _Inner) -> object:
    fields = {"type": "dataclass-args", "fields": part["fields"]}
    return _class({"type": "dataclass", "config": part.get("config"), "schema": fields}, inner)


def _choice(part: Part, inner: _Inner) -> object:
    values = [each.value if isinstance(each, Enum) else each for each in part["members"]]
    is_plain = {type(value) for value in values} in ({str}, {int})
    if is_plain and not takes_more(part["cls"]) and not issubclass(part["cls"], Flag):
        return {"type": "literal", "expected": values}
    return _other(part, inner)


def _of_several(part: Part, inner: _Inner) -> object:
    """A union decides by what its kinds are, and a set is written in an order of its own."""
    kinds = [each[0] if isinstance(each, tuple) else each for each in part.get("choices", ())]
    if any(each.get("type") == "enum" for each in (*kinds, part.get("items_schema", {}))):
        return object()
    return _other(part, inner)


def _other(part: Part, inner: _Inner) -> object:
    return {name: inner(held) for name, held in part.items() if name not in _BESIDE}


def _fields(part: Part, inner: _Inner) -> object:
    rest = _without(part, _BESIDE | _NAMES | {"type", "fields", "model_name", "dataclass_name"})
    rest["config"] = _config(part)
    fields = part["fields"]
    named = fields.items() if isinstance(fields, dict) else ((f["name"], f) for f in fields)
    made = []
    for name, field in named:
        of_it = _without(field, _BESIDE | _NAMES | _FIELD_WORDS)
        if of_it.get("init") is True:
            del of_it["init"]
        optional = field.get("required") is False and field["type"] == "typed-dict-field"
        made.append((name, optional, {key: inner(held) for key, held in of_it.items()}))
    return made, {key: inner(held) for key, held in rest.items() if held not in _NOTHING}


def _config(part: Part) -> Part:
    config = _without(part.get("config") or {}, _NAMES)
    if config.get("extra_fields_behavior") == "ignore":  # as where nothing is said
        del config["extra_fields_behavior"]
    return config


_OF_KIND: Final[Mapping[str, Callable[[Part, _Inner], object]]] = {
    **dict.fromkeys(("model", "dataclass"), _class),
    **dict.fromkeys(("model-fields", "dataclass-args"), _fields),
    "typed-dict": _typed_dict,
    **dict.fromkeys(("union", "set", "frozenset"), _of_several),
    "enum": _choice,
}


def _without(part: Part, names: frozenset[str]) -> Part:
    return {name: held for name, held in part.items() if name not in names}
