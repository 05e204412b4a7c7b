"""Texts of an answer that a type reads as things of one hash, which go into a set or are keys.

The hash of a text is another one in each process, and nobody outside knows it. That of a UUID, an
IPv6 address, a fraction or a complex number is a sum over its digits: a stranger can write 100,000
that have the same one, and a set of these compares each with each, which takes minutes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic_core import SchemaError as CoreSchemaError
from pydantic_core import SchemaValidator, core_schema

from lionproc.errors import pass_on_interrupt
from lionproc.model.core_parts import Part, parts_within
from lionproc.model.long_numbers import MOST_COMPARED, texts_in
from lionproc.model.python_patterns import validator_of

__all__ = ["are_of_few_hashes", "has_much_to_hash", "readers_of"]

MOST_HASHED: Final = 60_000  # texts: each is read three times, in some 30 us
# What is hashed with a secret of the process, or is looked at as a number, a list or an object.
_KNOWN: Final = frozenset(
    (
        *("str", "bytes", "url", "multi-host-url", "enum", "literal", "none", "any"),
        *("int", "float", "bool", "date", "time", "datetime", "timedelta"),
        *("list", "tuple", "set", "frozenset", "dict", "typed-dict", "model", "dataclass"),
    )
)
_AROUND: Final = {"nullable": "schema", "default": "schema", "json-or-python": "json_schema"}


def readers_of(schema: Any) -> tuple[SchemaValidator, ...]:
    """What reads the texts that a type puts into sets or takes as keys, where it makes more of them.

    Args:
        schema: The type's core schema.

    Returns:
        None for nearly all types.
    """
    shared = schema.get("definitions", ()) if isinstance(schema, dict) else ()
    named = {part["ref"]: part for part in shared if "ref" in part}
    made = []
    for part in _hashed(schema):
        if not _is_known(part, named, ()):
            whole: Any = core_schema.definitions_schema(part, list(shared)) if shared else part
            try:
                made.append(validator_of(whole, SchemaValidator(whole)))
            except CoreSchemaError:  # of a type that is read in its place alone
                continue
    return tuple(made)


def _hashed(schema: object) -> Iterator[Part]:
    """The parts of a type that go into a set or are keys."""
    place = {"set": "items_schema", "frozenset": "items_schema", "dict": "keys_schema"}
    for node in parts_within(schema):
        found = node.get(place.get(str(node.get("type")), ""))
        if found is not None:
            yield found


def _is_known(part: Part, named: Mapping[str, Part], inside: tuple[str, ...]) -> bool:
    kind = part["type"]
    if kind == "definition-ref":
        name = part["schema_ref"]
        return name in inside or (name in named and _is_known(named[name], named, (*inside, name)))
    if kind == "union":
        choices = (each[0] if isinstance(each, tuple) else each for each in part["choices"])
        return all(_is_known(each, named, inside) for each in choices)
    if kind in _AROUND or part.get("root_model"):  # which is written as what is in it
        return _is_known(part[_AROUND.get(kind, "schema")], named, inside)
    return kind in _KNOWN


def has_much_to_hash(value: object) -> bool:
    """Whether an answer has so many texts that to read and compare them takes more than a moment.

    Args:
        value: What the text of an answer holds, parsed.
    """
    return len(set(texts_in(value))) > MOST_HASHED


def are_of_few_hashes(value: object, readers: Iterable[SchemaValidator]) -> bool:
    """Whether so many texts have one hash, once they are read, that comparing them takes long.

    Args:
        value: What the text of an answer holds, parsed.
        readers: From `readers_of`.
    """
    written = [json.dumps(text) for text in dict.fromkeys(texts_in(value))]
    return any(
        sum(count**2 for count in Counter(_hashes(reader, written)).values()) > MOST_COMPARED
        for reader in readers
    )


def _hashes(reader: SchemaValidator, written: Iterable[str]) -> Iterator[int]:
    for text in written:
        try:
            yield hash(reader.validate_json(text, strict=True))
        except BaseException as error:  # noqa: BLE001  (no such thing, or the user's own code)
            pass_on_interrupt(error)
