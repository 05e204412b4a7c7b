"""What a user may hand us as an answer type, and what pydantic makes of it."""

from __future__ import annotations

import dataclasses
import types
import typing
from enum import Enum
from typing import Any, Literal, TypeVar

import pydantic_core
from pydantic import BaseModel, RootModel, TypeAdapter
from pydantic.errors import PydanticUserError

from lionproc.errors import SchemaError
from lionproc.model.shape import Shape, ShapeSchema, shape_of
from lionproc.model.vetting import vet

__all__ = [
    "ASK_FOR",
    "field_types",
    "label_of",
    "refuse",
    "shapes_of_type",
    "type_adapter",
    "without_none",
]

ASK_FOR = (
    "Ask for str, int, float, bool, Literal['a', 'b'], an Enum, list[...], "
    "a pydantic model, or a JSON Schema as a dict."
)


def refuse(schema: object) -> None:
    """Say at once what is no answer type, and what was probably meant.

    Args:
        schema: Anything but a dict.

    Raises:
        SchemaError: It cannot be asked for.
    """
    if schema is None or schema is type(None):
        raise SchemaError(f"None is no answer: there would be nothing to read. {ASK_FOR}")
    if schema in (Any, object):
        named = "Any" if schema is Any else "object"
        raise SchemaError(f"{named!r} says nothing about the answer. {ASK_FOR}")
    if isinstance(schema, str):
        raise SchemaError(f"The schema is a text, {schema[:60]!r}; give the type itself. {ASK_FOR}")
    if isinstance(schema, list | tuple | set | frozenset):
        members = ", ".join(map(repr, schema))[:100]
        raise SchemaError(
            f"The schema is a {type(schema).__name__} of values. For one of them as the answer, "
            f"ask for Literal[{members}]."
        )
    if schema in (list, tuple, set, frozenset, dict):
        word = f"{schema.__name__}[{'str, int' if schema is dict else 'str'}]"
        raise SchemaError(f"{schema.__name__!r} does not say what is in it: write {word}.")
    if isinstance(schema, Enum | BaseModel) or (
        dataclasses.is_dataclass(schema) and not isinstance(schema, type)
    ):
        raise SchemaError(
            f"The schema is one {type(schema).__name__}; give the class itself, "
            f"{type(schema).__name__}."
        )
    if isinstance(schema, type) and issubclass(schema, Enum) and not len(schema):
        raise SchemaError(f"The enum {schema.__name__} has no members to choose from.")
    if typing.get_origin(schema) is Literal and all(m is None for m in typing.get_args(schema)):
        raise SchemaError("This Literal has no members to choose from.")
    if isinstance(schema, TypeVar) or (callable(schema) and isinstance(schema, types.FunctionType)):
        raise SchemaError(f"{label_of(schema)} is no type. {ASK_FOR}")


def type_adapter(schema: Any, label: str) -> TypeAdapter[Any]:
    """Pydantic's adapter, for types that it reads from JSON.

    Args:
        schema: The type.
        label: What to call it in a message.

    Returns:
        The adapter.

    Raises:
        SchemaError: pydantic cannot make one, or no JSON Schema for it.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(schema)
        adapter.json_schema()
    except pydantic_core.SchemaError as error:  # says where, and in its last line why
        raise SchemaError(
            f"{label} cannot be asked for: {str(error).splitlines()[-1].strip()}. {ASK_FOR}"
        ) from error
    except ImportError as error:  # as of EmailStr: pydantic does without it as long as it can
        raise SchemaError(
            f"{label} cannot be asked for: a package that it needs is missing ({error}). Install it, "
            "or ask for str instead."
        ) from error
    except (PydanticUserError, TypeError, ValueError, NameError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SchemaError(f"{label} cannot be asked for: {reason} {ASK_FOR}") from error
    return adapter


def shapes_of_type(adapter: TypeAdapter[Any], label: str) -> tuple[Shape, Shape]:
    """The shape with the names used in Python, and the one with the names used in the JSON.

    Args:
        adapter: Of the type.
        label: What to call the type in a message.

    Returns:
        Two shapes that differ where fields have an alias.

    Raises:
        SchemaError: The type says nothing, or has no fields.
    """
    generated = adapter.json_schema(by_alias=False, schema_generator=ShapeSchema)
    vet(generated)
    if not {k for k in generated if k not in ("title", "description", "$defs")}:
        raise SchemaError(f"{label} says nothing about the answer. {ASK_FOR}")
    if (
        generated.get("type") == "object"
        and "properties" in generated
        and not generated["properties"]
    ):
        raise SchemaError(f"{label} has no fields, so there is nothing to ask for.")
    on_wire = adapter.json_schema(schema_generator=ShapeSchema)  # by the names that are read
    return shape_of(generated, formats=True), shape_of(on_wire, formats=True)


def field_types(schema: object) -> dict[str, Any]:
    """The types of a model's, dataclass's or TypedDict's fields by name, as far as known."""
    model = without_none(schema)
    is_model = isinstance(model, type) and issubclass(model, BaseModel)
    if is_model and not issubclass(model, RootModel):
        return {name: field.annotation for name, field in model.model_fields.items()}
    try:
        return typing.get_type_hints(model)
    except (TypeError, NameError):
        return {}


def without_none(schema: object) -> Any:
    """What a type is besides None, where that is one type; else the type itself."""
    if typing.get_origin(schema) in (typing.Union, types.UnionType):
        rest = [a for a in typing.get_args(schema) if a is not type(None)]
        return rest[0] if len(rest) == 1 else schema
    return schema


def label_of(schema: object) -> str:
    """A short name for people: "'positive' | 'negative'", "Review", "list[str]"."""
    origin, args = typing.get_origin(schema), typing.get_args(schema)
    if origin is Literal:
        return " | ".join(map(repr, args))
    if origin in (typing.Union, types.UnionType):
        return " | ".join("None" if a is type(None) else label_of(a) for a in args)
    if origin is typing.Annotated:
        return label_of(args[0])
    if origin is not None and args:
        inner = ", ".join("..." if a is ... else label_of(a) for a in args)
        return f"{getattr(origin, '__name__', origin)}[{inner}]"
    return getattr(schema, "__name__", None) or str(schema)[:60]
