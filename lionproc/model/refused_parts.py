"""Parts of a type that must not be made of what a model answers, or cannot.

They are looked for in pydantic's core schema, which has all that a type is made of: of a field with
`Annotated`, an alias or a `NewType` the annotations do not tell it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import ImportString, Secret, SecretBytes, SecretStr, TypeAdapter
from pydantic.types import PathType

from lionproc.errors import SchemaError
from lionproc.model.core_parts import Part, parts_within
from lionproc.model.names import is_read_by_name, is_read_by_path

__all__ = ["refuse_parts"]

_HIDDEN = (
    "{label} has a {name}, which does not show its value, so the column would hold '**********'. "
    "Ask for str, and keep the column where others do not see it."
)
_IMPORTED = (
    "{label} has an {name}: what the model answers would be imported, and so run. Ask for str, or "
    "for Literal[...] of the names that are allowed."
)
_COMPILED = (
    "{label} has a {name}: to compile what the model answers may take minutes, and so may a search "
    "for it. Ask for str."
)
_LOOKED_FOR = (
    "{label} has a FilePath, a DirectoryPath or the like: what the model answers would be looked for "
    "among your files. Ask for str, or for pathlib.Path."
)
_ZONE = (
    "{label} has a ZoneInfo, which no column holds: what the model answers would be looked for among "
    "the time zones of this machine. Ask for str, or for Literal[...] of the zones that there are."
)
_JSON = (
    "{label} has a pydantic.Json, which is JSON within a text of JSON: its parts cannot be asked for "
    "one by one, and to check them may take hours. Ask for what is in it: list[int] instead of "
    "Json[list[int]]."
)
_LAZY = (
    "{label} has an Iterable or a Generator, whose items pydantic checks when somebody goes through "
    "them, and that once: an answer with wrong ones would be taken, and be empty. Ask for list[...]."
)
_BY_PATH = (
    "{label} has a field that is read out of another one (AliasPath) and asked for by its own name, so "
    "what is answered under it would be lost. Ask for a model that has the other field, or let the "
    "name do as well: AliasChoices('name', AliasPath(...))."
)
_TYPES = (("json", _JSON), ("generator", _LAZY))
_KINDS: tuple[tuple[Any, str, str], ...] = (
    (ImportString, "ImportString", _IMPORTED),
    (re.Pattern, "re.Pattern", _COMPILED),
    (re.Pattern[str], "re.Pattern", _COMPILED),
    (re.Pattern[bytes], "re.Pattern", _COMPILED),
    (SecretStr, "SecretStr", _HIDDEN),
    (SecretBytes, "SecretBytes", _HIDDEN),
    (Secret[int], "Secret", _HIDDEN),
)


def refuse_parts(schema: object, label: str) -> None:
    """Refuse a type that has one of them, at any depth.

    Args:
        schema: The type's core schema.
        label: What to call the type in a message.

    Raises:
        SchemaError: It holds what is not shown (a `SecretStr`), would run or compile what is
            answered, looks for a file of that name or for a time zone, checks JSON within a text,
            whose parts nobody sees, or items when somebody goes through them, or is read where it is not asked for.
    """
    nodes = list(parts_within(schema))
    for kind, words in _TYPES:
        if any(node.get("type") == kind for node in nodes):
            raise SchemaError(words.format(label=label))
    if any(map(is_read_by_path, nodes)) and not any(map(is_read_by_name, nodes)):
        raise SchemaError(_BY_PATH.format(label=label))
    if any(_looks_for_files(function) for function in _makers(nodes)):
        raise SchemaError(_LOOKED_FOR.format(label=label))
    if not _of_zones().isdisjoint(map(_code_of, _makers(nodes))):
        raise SchemaError(_ZONE.format(label=label))
    # What writes a SecretBytes writes a SecretStr, too; what makes it does not.
    for functions in (_makers(nodes), _writers(nodes)):
        for function in map(_code_of, functions):
            for known, name, words in _refused():
                if function is known:
                    raise SchemaError(words.format(label=label, name=name))


@cache
def _refused() -> Sequence[tuple[object, str, str]]:
    """The functions by which pydantic makes such parts or writes them, and what is told of each."""
    return [
        (_code_of(function), name, words)
        for kind, name, words in _KINDS
        for nodes in [list(parts_within(TypeAdapter(kind).core_schema))]
        for function in (*_makers(nodes), *_writers(nodes))
    ]


@cache
def _of_zones() -> frozenset[object]:
    """What makes a time zone; what writes one writes much else."""
    nodes = list(parts_within(TypeAdapter(ZoneInfo).core_schema))
    return frozenset(map(_code_of, _makers(nodes)))


def _looks_for_files(function: object) -> bool:
    known = [getattr(PathType, name) for name in vars(PathType) if name.startswith("validate_")]
    return function in known


def _makers(nodes: Iterable[Part]) -> Iterator[object]:
    for node in nodes:
        function = node.get("function")
        if isinstance(function, dict):
            yield function.get("function")


def _writers(nodes: Iterable[Part]) -> Iterator[object]:
    for node in nodes:
        written = node.get("serialization")
        if isinstance(written, dict):
            yield written.get("function")


def _code_of(function: object) -> object:
    """What is the same for functions that are made anew for each type."""
    return getattr(function, "__code__", function)
