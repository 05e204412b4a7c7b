"""Checks JSON text against a type or a schema: a value, or where it is wrong and why.

Reasons name what was expected. They never quote the reply, because they appear in reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import Any, Final, Literal, Protocol, TypeAlias

import jiter
import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from lionproc.engine.json_bounds import read_json
from lionproc.errors import CallError, Kind, RunError, pass_on_interrupt
from lionproc.model.brief import brief
from lionproc.model.hashes import readers_of
from lionproc.model.keys import Keys
from lionproc.model.nothing_said import (
    NothingSaid,
    count_of_empty,
    names_left_out,
    optional_names,
)
from lionproc.model.one_reading import OneReading, has_dataclasses, makes_values
from lionproc.model.python_patterns import runs_of, safe_schema, validator_from, validator_of

__all__ = [
    "HALF",
    "NOT_PARSED",
    "Check",
    "NotParsed",
    "Path",
    "TypeCheck",
    "WrongError",
    "has_each_key_once",
    "is_deeper",
    "is_whole",
    "parse",
    "says_nothing",
    "wanted_in",
    "whole_characters",
    "wrong_shape",
]

Path: TypeAlias = tuple[str | int, ...]

DEEPEST = 128  # lists and objects, one in the other; the checks behind end at 255
TOO_DEEP = f"the JSON is nested deeper than {DEEPEST} levels"
HALF = "the text holds half a character (a lone surrogate)"


class NotParsed(Enum):
    """The type of `NOT_PARSED`."""

    NOT_PARSED = "not parsed"


NOT_PARSED: Final[Literal[NotParsed.NOT_PARSED]] = NotParsed.NOT_PARSED
"""Stands for what a text holds where nobody has parsed it, or where it is no JSON."""


class Check(Protocol):
    """Validates JSON text and says where it is wrong.

    One that checks the text alone, whatever it is given besides, has `looks_at_raw = False`.
    """

    def __call__(self, text: str, raw: Any = NOT_PARSED) -> Any:
        """The value, or `WrongError`.

        Args:
            text: The text.
            raw: What `parse` made of it, so that it is not parsed again.
        """


class WrongError(Exception):
    """The text is not what was asked for.

    Args:
        faults: Where, from the outside in, and what was expected there.
        words: What sort of faults they are, in the words of the library that found them.
    """

    def __init__(self, faults: Sequence[tuple[Path, str]], words: Iterable[str] = ()) -> None:
        super().__init__()
        self.faults = faults
        self.words = frozenset(words)


def wrong_shape(reason: str) -> CallError:
    """The error for a reply that is not what was asked for."""
    return CallError(Kind.WRONG_SHAPE, reason)


def is_whole(text: str) -> bool:
    """Whether the text is valid Unicode, which columns, files and other libraries insist on."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_characters(text: str) -> str:
    """The text with a replacement character for each half of one."""
    if is_whole(text):
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parse(text: str) -> Any:
    """JSON without two readings: no key twice, no NaN. ValueError if it is no JSON at all."""
    try:
        value = jiter.from_json(
            text.encode(), allow_inf_nan=False, catch_duplicate_keys=True, cache_mode="keys"
        )
    except ValueError:
        value = _parse_slowly(text)
    if text.count("[") + text.count("{") > DEEPEST and is_deeper(value, DEEPEST):
        raise wrong_shape(TOO_DEEP)
    return value


def has_each_key_once(text: str) -> bool:
    """Whether this is surely what `parse` takes: JSON without two readings, and not deep.

    It takes a third of the time of `parse`, for there is nothing to look up: an object has a colon
    for each key, those in its texts aside. A key that occurs twice is one that the object lost, and
    its colon is one too many.

    Returns:
        False where that is not so, and where it is not known.
    """
    try:
        held = orjson.loads(text)
    except ValueError:
        return False
    if type(held) is not dict or "\\u" in text:  # a colon may be spelt with an escape
        return False
    more = text.count(":") - len(held)
    if more:  # what is inside a list or an object is counted here alone
        texts = [value for value in held.values() if type(value) is str]
        if more != "".join(texts).count(":") + "".join(held).count(":"):
            return False
    return "[" not in text or text.count("[") + text.count("{") <= DEEPEST


def _parse_slowly(text: str) -> Any:
    """What the fast parser does not take: JSON that it knows no limit for, or why it is none."""
    try:
        return read_json(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise wrong_shape(TOO_DEEP) from None


def is_deeper(value: object, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this. A loop, for it may be very deep."""
    layer = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not layer:
            return False
    return True


def _once(pairs: Sequence[tuple[str, object]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise wrong_shape("a key occurs twice in the same object; give each key once")
    return made


def _no_constant(name: str) -> Any:
    raise wrong_shape(f"{name} is not JSON; give a finite number or null")


def says_nothing(names: Iterable[str], path: Path = (), what: str = "") -> WrongError:
    """The error for an object that says nothing of what was asked for.

    Args:
        names: Of what was asked for.
        path: Where the object is.
        what: What it is, in front of the sentence.
    """
    shown = ", ".join(sorted(names))
    said = f"{what}has none of the fields that were asked for ({shown})"
    return WrongError([(path, said)], ["nothing"])


class TypeCheck:
    """Validation by pydantic, user's validators included.

    Args:
        adapter: For the type that is read.
        schema: That type; what is made of a pydantic model has to have its fields.
        asked: Its JSON Schema.
        is_open: Whether there are parts in it of which pydantic alone knows what is read there.
    """

    looks_at_raw = False

    def __init__(
        self,
        adapter: TypeAdapter[Any],
        schema: object = None,
        asked: Mapping[str, Any] | None = None,
        *,
        is_open: bool = False,
    ) -> None:
        self._optional = optional_names(asked or {})
        made_up = makes_values(adapter.core_schema)
        self._optional_within = frozenset() if made_up else names_left_out(asked or {})
        by_names = bool(self._optional_within) and has_dataclasses(adapter.core_schema)
        self._nothing_said = NothingSaid(asked or {}) if by_names else None
        self._is_open = is_open
        is_model = isinstance(schema, type) and issubclass(schema, BaseModel)
        self._fields = tuple(getattr(schema, "model_fields", ())) if is_model else ()
        validator = validator_of(adapter.core_schema, adapter.validator)
        changed = validator is not adapter.validator
        self.runs = runs_of(adapter.core_schema, are_own=not changed)
        self._schema = adapter.core_schema
        self._reading = _Reading(self._schema, validator, is_open=is_open)
        self.reads_digits = is_open and self._reading.has_decimals
        self.makes_python = self._reading.makes_python
        self.hashed = readers_of(adapter.core_schema)
        self._keys = Keys(adapter.core_schema)

    def __call__(self, text: str, raw: Any = NOT_PARSED) -> Any:
        """The value, or what pydantic says."""
        del raw  # in its strict mode a text that holds a date is one in JSON only
        value = self._reading.read(text)
        if self._fields and not isinstance(value, BaseModel) and not self._has_all(value):
            raise WrongError(
                [((), f"a validator of the type returned {type(value).__name__} and not self")],
                ["not_self"],
            )
        if self._keys.may_meet and self._keys.lose(parse(text), text):
            raise WrongError([((), "two keys in an object mean the same; give each key once")])
        if self._optional and self._has_nothing(value, text):
            raise says_nothing(self._optional)
        if self._optional_within:
            empty = count_of_empty(value)
            if empty and empty > count_of_empty(parse(text)):
                raise says_nothing(self._optional_within, what="an object in it ")
        if self._nothing_said is not None and (lost := self._nothing_said.first(parse(text))):
            path, names = lost
            raise says_nothing(names, path)
        return value

    @cached_property
    def _brief_reading(self) -> _Reading:
        schema = safe_schema(brief(self._schema))
        return _Reading(schema, validator_from(schema), is_open=self._is_open)

    def refuse_briefly(self, text: str) -> None:
        """Find the faults that pydantic finds, each told in a few words, however many there are.

        Raises:
            WrongError: There is one.
        """
        self._brief_reading.read(text)

    def _has_nothing(self, value: object, text: str) -> bool:
        """Whether none of its fields was said, but something else was."""
        if isinstance(value, BaseModel):  # which knows them by all of their aliases
            return not value.model_fields_set and text.strip("{} \t\r\n") != ""
        held = parse(text)
        return isinstance(held, dict) and held != {} and held.keys().isdisjoint(self._optional)

    def _has_all(self, value: object) -> bool:
        if isinstance(value, Mapping):
            return all(name in value for name in self._fields)
        return all(hasattr(value, name) for name in self._fields)


class _Reading:
    """What pydantic makes of a text, and its faults as ours.

    Args:
        schema: A core schema.
        validator: Of that schema.
        is_open: As for `TypeCheck`.
    """

    def __init__(self, schema: object, validator: Any, *, is_open: bool) -> None:
        self._one = OneReading(schema)
        self.has_decimals = self._one.has_decimals
        self.makes_python = self._one.makes_python
        self._validate = validator.validate_json
        self._is_open = is_open

    def read(self, text: str) -> Any:
        """The value, or `WrongError`."""
        try:
            return self._read(text)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise WrongError(
                [(fault["loc"], _message(fault)) for fault in found],
                (fault["type"] for fault in found),
            ) from None
        except BaseException as error:  # noqa: BLE001 - a user's validator may raise anything
            pass_on_interrupt(error)
            why = f": {error}" if type(error) is RunError else ""  # which quotes no reply
            raise WrongError(
                [((), f"the answer type's own check failed with {type(error).__name__}{why}")]
            ) from None

    def _read(self, text: str) -> Any:
        if self._one.makes_python:
            return self._one.validate_python(text)
        if self._is_open and self._one.is_wanted(text):
            return self._one.validate_json(text)
        return self._validate(text, strict=True)


def _message(fault: Any) -> str:
    if fault["type"] == "union_tag_invalid":  # pydantic's sentence quotes the reply
        return f"the tag should be one of {fault['ctx']['expected_tags']}"
    if fault["type"] == "json_invalid":
        return f"not valid JSON ({fault['ctx']['error']})"
    return str(fault["msg"])


def wanted_in(part: Mapping[str, Any]) -> Iterator[object]:
    """The lists of names that a part of a schema wants an object to have."""
    yield part.get("required")
    for keyword in ("dependentRequired", "dependencies"):
        named = part.get(keyword)
        yield from named.values() if isinstance(named, Mapping) else ()
