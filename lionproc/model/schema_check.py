"""Checks JSON text against a user's JSON Schema: in this process where that is surely a moment's work.

That is so of a plain schema and an answer of usual size. Everything else is checked in a process of its
own, which costs a fifth of a millisecond.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from math import isinf
from typing import Any, Final

from lionproc.engine.kept_process import NotStartedError
from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.checked_apart import CheckedApart, refuse_again
from lionproc.model.choice_levels import levels_of_choices
from lionproc.model.exact_numbers import LONGEST_FLOAT, most_long_numbers
from lionproc.model.nothing_said import NothingSaid, optional_names
from lionproc.model.pattern_work import MOST_BACKTRACKS, room_of
from lionproc.model.plain_schema import is_plain
from lionproc.model.references import References, parts_of, patterns_in
from lionproc.model.schema_ways import levels_for_one_value, levels_of
from lionproc.model.trial_server import Fault, compiled, faults_in
from lionproc.model.trials import Trials
from lionproc.model.validate import (
    DEEPEST,
    HALF,
    NOT_PARSED,
    WrongError,
    is_deeper,
    is_whole,
    parse,
    says_nothing,
    wanted_in,
)

__all__ = ["SchemaCheck"]

# To compile a level of plain parts takes 4.3 KB of the stack at the most, of others 8, as measured;
# threads have 512 KB and more. Providers take schemas of ten levels, which are some forty parts.
MOST_LEVELS: Final = 80
# A part for the same value takes 0.7 KB, when what is wrong is told, for each level of the value.
MOST_LEVELS_IN_ALL: Final = 400
# Each of the parts for one value may go over all of a text, once more for each level of choices when
# what is wrong is told; of what is plain none takes more than 0.3 us for a character. So that is a second
# and a half.
MOST_GONE_OVER: Final = 5_000_000
MOST_COMPARED: Final = 10_000  # numbers of many digits, with something: 20 to 70 us each
MOST_PAIRS: Final = 100_000  # of any number with another: 2 to 4 us each, if one has a point
AS_LONG: Final = 20  # pairs that one of numbers of many digits counts for
LONG: Final = 100_000  # characters
MOST_TOLD: Final = 10_000_000  # characters of the objects that faults are told with
TOO_MANY: Final = "what is wrong cannot be told, for it may be too much; give less"
VAST: Final = "a number is larger than any float; give a finite number or null"
_CLOSED: Final = (["additionalProperties"], ["unevaluatedProperties"])


class SchemaCheck:
    """Validation against a user's JSON Schema, compiled once. Nothing is fetched for it.

    Args:
        schema: A valid JSON Schema, vetted.
        can_be_told: Whether all that may be wrong with a value can be told in memory; as its trials
            say, if not given.

    Attributes:
        trials: How often its parts are tried.

    Raises:
        SchemaError: It takes too long to be compiled, or is too deep for it.
        ValueError: Its patterns are too large, or wrong.
    """

    looks_at_raw = True

    def __init__(
        self, schema: dict[str, Any], can_be_told: Callable[[object], bool] | None = None
    ) -> None:
        self._schema = schema
        self.trials = Trials(schema, tagged=False)
        self._can_be_told = can_be_told or self.trials.can_be_told
        # An object may have a fault for each part, for each name that it wants, and for each it has.
        parts = list(parts_of(schema, with_shared=True))
        lists = [names for part in parts for names in wanted_in(part)]
        self._wants = len(parts) + sum(len(names) for names in lists if isinstance(names, list))
        self._names = any("propertyNames" in part for part in parts)
        # The first fault of a choice has those of all its branches in it.
        self._choices = any("anyOf" in part or "oneOf" in part for part in parts)
        self._optional = optional_names(schema)
        self._nothing_said = NothingSaid(schema)
        # A number that is answered may be compared with each of these.
        self._numbers = sum(_numbers_in([part.get("enum"), part.get("const")]) for part in parts)
        patterns = sum(1 for part in parts for _ in patterns_in(part))
        self._options = room_of(patterns), MOST_BACKTRACKS
        self._is_shallow = levels_of(schema) <= MOST_LEVELS
        self._deepest = MOST_LEVELS_IN_ALL // levels_for_one_value(schema)
        self._is_plain = self._is_shallow and is_plain(schema)
        if self._is_plain:
            _ = self._here
            return
        try:
            _ = self._apart
        except NotStartedError as error:
            if not self._is_shallow:
                raise SchemaError(
                    f"The JSON Schema may be nested deeper than {MOST_LEVELS} levels with its "
                    "references followed. Such schemas are compiled in a process of their own, and "
                    f"none could be started: {error}."
                ) from None
            _ = self._here

    @cached_property
    def _here(self) -> Any:
        return compiled(self._schema, *self._options)

    @cached_property
    def _apart(self) -> CheckedApart:
        return CheckedApart(self._schema, self._options)

    @cached_property
    def _rounds(self) -> int:
        """How often an answer is gone over until it is known what is wrong."""
        return 1 + levels_of_choices(self._schema, References(self._schema))

    def __call__(self, text: str, raw: Any = NOT_PARSED) -> Any:
        """The value, or where it breaks the schema."""
        try:
            value = parse(text) if raw is NOT_PARSED else raw
        except ValueError as error:
            where = f" ({error.msg})" if isinstance(error, json.JSONDecodeError) else ""
            raise WrongError([((), f"not valid JSON{where}")]) from None
        if "\\u" in text and not is_whole(json.dumps(value, ensure_ascii=False)):
            raise WrongError([((), HALF)])
        long_numbers = most_long_numbers(text)
        if long_numbers and _has_infinity(value):  # which are compared with each other, one by one
            raise WrongError([((), VAST)])
        faults = self._faults(text, value, long_numbers)
        if faults is None:
            if self._optional and isinstance(value, dict) and value:
                self._look_for_names(value)
            if self._nothing_said.is_possible and (found := self._nothing_said.first(value)):
                path, names = found
                raise says_nothing(names, path)
            return value
        if not faults:
            raise WrongError([((), TOO_MANY)], ["too many"])
        raise WrongError(
            [(tuple(path), _sentence(way, kind, said)) for path, way, kind, said in faults],
            (str(way[-1]) for _, way, _, _ in faults if way),
        )

    def _look_for_names(self, value: Mapping[str, object]) -> None:
        if self._optional.isdisjoint(value):
            raise says_nothing(self._optional)

    def _faults(self, text: str, value: object, long_numbers: int) -> list[Fault] | None:
        """What is wrong, if anything is; see `trial_server.faults_in`."""
        is_shallow = self._is_shallow and not self._is_deep(text, value)
        size = len(text) + LONGEST_FLOAT * long_numbers  # as it is held there
        if not (self._is_plain and is_shallow and self._is_short(text, long_numbers)):
            try:
                if self._apart.is_valid(text):
                    return None
                how = self._how_to_tell(text, value, size)
                return [] if how is None else self._apart.faults(text, of_all=how)
            except NotStartedError as error:
                if not is_shallow:
                    raise CallError(  # not the model's fault: to ask it again would not help
                        Kind.UNREADABLE,
                        "the answer, with its schema, is nested too deeply to be checked here",
                        hint="Such answers are checked in a process of their own, and none could be "
                        f"started: {error}.",
                    ) from None
                refuse_again()
        if self._here.is_valid(value):
            return None
        how = self._how_to_tell(text, value, size)
        return [] if how is None else faults_in(self._here, value, of_all=how)

    def _is_deep(self, text: str, value: object) -> bool:
        """Whether the levels of the value, times those of the schema for each, are too many."""
        if self._deepest >= DEEPEST or text.count("[") + text.count("{") <= self._deepest:
            return False
        return is_deeper(value, self._deepest)

    def _is_short(self, text: str, long_numbers: int) -> bool:
        parts = self._rounds * self.trials.of_one_value
        compared = long_numbers * (parts + self.trials.choices) if long_numbers else 0
        if self._numbers or self.trials.has_sets:
            values = 1 + text.count(",") + text.count("[") + text.count("{")  # or fewer
            pairs = parts * values * self._numbers
            pairs += values**2 if self.trials.has_sets else 0  # their hashes can be made equal
            if pairs * (AS_LONG if long_numbers else 1) > MOST_PAIRS:
                return False
        return parts * len(text) <= MOST_GONE_OVER and compared <= MOST_COMPARED

    def _how_to_tell(self, text: str, value: object, size: int) -> bool | None:
        """Whether all faults are told; of a long answer the first alone, for all are found at once.

        Each is told with the whole object that it is in. None where that would fill the memory.
        """
        faults = self._wants + (text.count(":") if self._names else 0)
        all_of_them = self._can_be_told(value)
        if all_of_them and size <= LONG and size * faults <= MOST_TOLD:
            return True
        return None if self._choices and not all_of_them else False


def _sentence(way: list[str | int], kind: str, said: str) -> str:
    if way[-1:] in _CLOSED or "propertyNames" in way:  # these sentences quote the reply's keys
        return "has a key that the schema does not allow"
    if "acktrack" in kind:
        return "is too much work for its pattern, which looks around"
    return said


def _numbers_in(value: object) -> int:
    if isinstance(value, list | dict):
        return sum(map(_numbers_in, value.values() if isinstance(value, dict) else value))
    return type(value) in {int, float}


def _has_infinity(value: object) -> bool:
    layer = [value]
    while layer:
        if any(isinstance(each, float) and isinf(each) for each in layer):
            return True
        layer = [
            inner
            for outer in layer
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return False
