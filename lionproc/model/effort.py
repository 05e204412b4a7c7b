"""Bounds the work of checking an answer, before it is checked.

Five answers of a few kilobytes or megabytes would keep the process busy for hours, with the
interpreter's lock held, or fill its memory. One has millions of values, each of which is a fault.
One has thousands of faults where hundreds of choices are possible, all named in each. One is nested
where a type is a choice that leads back to itself (`Add | Multiply | int`, each with operands of
the same choice): every kind is tried for every operand, so each level doubles the work. One has
long texts, or many, where a pattern is much work for each character. One has a long
name for thousands of values, each of which is a fault that is told with its way. None is an
answer that somebody waits for, and all are a wrong shape that the model is told about.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from lionproc.errors import CallError, Kind
from lionproc.model.addressed import MOST_ADDRESSED
from lionproc.model.exact_numbers import written_in
from lionproc.model.hashes import are_of_few_hashes, has_much_to_hash
from lionproc.model.long_numbers import (
    are_long_fractions,
    has_too_many_long_numbers,
    may_have_long_numbers,
)
from lionproc.model.matching import refuse_long_matching
from lionproc.model.particular import LONG
from lionproc.model.pattern_work import MOST_STEPS, size_of
from lionproc.model.references import circular
from lionproc.model.schema_check import SchemaCheck
from lionproc.model.trials import (
    FEW_FIELDS,
    MOST_NAMED,
    MOST_PAIRS,
    MOST_TRIALS,
    SOME_TO_DIFFER,
    STEP,
    Trials,
)
from lionproc.model.validate import DEEPEST, NOT_PARSED, Check, parse, wrong_shape
from lionproc.model.vetting import MOST_PARTS

__all__ = ["MOST_IN_A_CIRCLE", "MOST_VALUES", "Weighed", "refuse_very_many", "schema_check"]

MOST_VALUES = 100_000  # texts, numbers, lists and objects; no model writes as many in one answer
VERY_MANY = f"the answer has more than {MOST_VALUES:,} values; give fewer"
MOST_IN_A_CIRCLE = (
    50_000  # where the schema contains itself: each that fails there is told at length
)
MOST_TOLD = 100_000_000  # characters that all faults of an answer may be told with
LONG_NUMBERS = "the answer has very many numbers of very many digits; give fewer"
_FEW_LETTERS = 1000  # of an answer, in which no pattern is work
_FEW = 2000  # values that are surely no work
_SHALLOW = 8  # lists and objects that are none where the schema contains itself


class Weighed:
    """A check that is made only of answers that can be checked in a moment.

    Args:
        check: Validates JSON text.
        schema: The JSON Schema of what it validates.
        tagged: Whether `discriminator` decides in it, as with pydantic; then one kind is tried.
    """

    def __init__(self, check: Check, schema: Mapping[str, Any], *, tagged: bool) -> None:
        self._check = check
        self.looks_at_raw = getattr(check, "looks_at_raw", True)
        self.makes_python = getattr(check, "makes_python", False)
        self._hashed = getattr(check, "hashed", ())
        self._reads_digits = getattr(check, "reads_digits", False)
        self._refuse_briefly = getattr(check, "refuse_briefly", lambda _text: None)
        self._schema = schema
        runs = getattr(check, "runs", None) if tagged else None
        self._trials = getattr(check, "trials", None) or Trials(schema, tagged=tagged, runs=runs)
        self._circle = bool(circular(schema))
        # pydantic tells a fault with all choices by name, and each of them apart. JSON Schema's
        # checker names a few.
        written = json.dumps(schema, default=str)
        self._told = len(written) if tagged else 0
        self._has_fractions = tagged and '"format": "fraction"' in written

    @cached_property
    def _few(self) -> int:
        """Characters that surely hold too few values to be any work."""
        trials = self._trials
        bounds = MOST_TOLD // (self._told or 1), MOST_PAIRS // (trials.choices or 1)
        return min(_FEW, *bounds, FEW_FIELDS // (trials.fields or 1))

    def __call__(self, text: str, raw: Any = NOT_PARSED) -> Any:
        """As `Check`."""
        if self._has_fractions and len(text) > _FEW_LETTERS:
            raw = _few_values(text, raw)
            if are_long_fractions(raw):
                raise wrong_shape(LONG_NUMBERS)
        if may_have_long_numbers(text):
            raw = self._without_long_numbers(text, raw)
        if self._may_be_work(text):
            raw = self._weigh(text, raw)
        if self._hashed and len(text) > _FEW_LETTERS:
            raw = self._without_one_hash(text, raw)
        return self._check(text, raw)

    def _without_long_numbers(self, text: str, raw: Any) -> Any:
        """What the text holds, if it does not hold very many long numbers."""
        value = _few_values(text, raw)
        written = written_in(text).values() if self._reads_digits else ()
        if has_too_many_long_numbers(value, filter(None, written)):
            raise wrong_shape(LONG_NUMBERS)
        return value

    def _without_one_hash(self, text: str, raw: Any) -> Any:
        """What the text holds, if a set of it is filled in a moment."""
        value = _held(text, raw)
        if has_much_to_hash(value):
            raise wrong_shape("the answer has very many values for a set or a map; give fewer")
        if are_of_few_hashes(value, self._hashed):
            raise wrong_shape("the answer has very many values of one hash; give fewer")
        return value

    def _may_be_work(self, text: str) -> bool:
        """Whether this might be too much to check, told from its length and its signs alone."""
        if self._may_be_matched_for_long(text):
            return True
        if self._trials.most_addressed(len(text)) > MOST_ADDRESSED:
            return True
        if len(text) <= self._few and not self._circle:  # a value has a sign or two
            return False
        if len(text) > LONG and self._trials.has_particular_places:
            return True
        if len(text) > SOME_TO_DIFFER and self._trials.has_sets:
            return True
        opened = text.count("[") + text.count("{")
        # Each but one is the first in a list or an object, or stands behind a comma.
        values = 1 + opened + text.count(",")
        trials = self._trials
        made = opened * trials.fields
        if values * trials.choices > MOST_PAIRS or made > FEW_FIELDS + len(text):
            return True
        if values * self._told > MOST_TOLD or self._may_have_long_ways(text, values):
            return True
        if values <= _FEW and not (self._circle and opened > _SHALLOW):
            return False
        return values > MOST_VALUES or values * self._trials.of_one_value > MOST_TRIALS

    def _may_be_matched_for_long(self, text: str) -> bool:
        trials = self._trials
        return trials.patterns.are_any and trials.most_steps(size_of(text)) > MOST_STEPS

    def _may_have_long_ways(self, text: str, values: int) -> bool:
        """Whether the names that lead to the values may be long, as often as each is tried."""
        most = MOST_NAMED / (values * min(self._trials.of_one_value, MOST_PARTS))
        if len(text) <= most:
            return False
        longest = max(map(len, text.split('"'))) + STEP
        return longest * min(self._trials.levels, DEEPEST) > most

    @cached_property
    def _first_faults(self) -> Check:
        """Finds faults without telling all of them: gigabytes, where many have many choices."""
        try:
            check = SchemaCheck(dict(self._schema), self._trials.can_be_told)
        except ValueError:  # its patterns are for pydantic alone
            return self._check

        def first(text: str, raw: Any = NOT_PARSED) -> Any:
            refuse_long_matching(check.trials, raw)
            return check(text, raw)

        return first

    def _weigh(self, text: str, raw: object) -> object:
        """What the text holds, if it is not too much."""
        value = _few_values(text, raw)
        if self._trials.are_more(
            value, MOST_IN_A_CIRCLE if self._circle else MOST_TRIALS, len(text)
        ):
            how, less = (
                ("nested too deeply", "nest it less") if self._circle else ("too long", "give less")
            )
            raise CallError(
                Kind.WRONG_SHAPE,
                f"the answer is {how} for a type whose kinds have to be tried one by one; {less}",
                hint="Give each kind a tag, pydantic.Field(discriminator=...): then one is tried.",
            )
        if self._may_be_matched_for_long(text):
            refuse_long_matching(self._trials, value)
        if self._told and _is_more(value, MOST_TOLD // self._told):
            self._first_faults(text, value)
            self._refuse_briefly(text)  # what fits the schema, and the type's own code refuses
        return value


def _held(text: str, raw: Any) -> Any:
    """What the text holds; of what is no JSON the check will say so."""
    try:
        return parse(text) if raw is NOT_PARSED else raw
    except ValueError:
        return NOT_PARSED


def _few_values(text: str, raw: Any) -> Any:
    """What the text holds, if it is not very many values: whatever looks at each would take long."""
    value = _held(text, raw)
    if len(text) > MOST_VALUES and _is_more(value, MOST_VALUES):
        raise wrong_shape(VERY_MANY)
    return value


def refuse_very_many(text: str) -> None:
    """Refuse the JSON of an answer that surely has too many values, before anything reads it.

    To make millions of values takes seconds, and so does all that looks at each. A comma that is
    in no text stands between two of them; in prose, which is no JSON from its start, it says nothing.

    Raises:
        CallError: Of kind `wrong_shape`.
    """
    if text.count(",") > MOST_VALUES and text.lstrip()[:1] in ("[", "{"):
        without_escapes = text.replace("\\\\", "").replace('\\"', "")
        if "".join(without_escapes.split('"')[::2]).count(",") > MOST_VALUES:
            raise wrong_shape(VERY_MANY)


def _is_more(value: object, most: int) -> bool:
    """Whether it has more values in it than this."""
    layer, seen = [value], 1
    while layer and seen <= most:
        layer = [inner for outer in layer for inner in _inner(outer)]
        seen += len(layer)
    return seen > most


def _inner(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def schema_check(schema: dict[str, Any]) -> Weighed:
    """The check of a user's JSON Schema.

    Args:
        schema: A valid one, vetted.
    """
    made = Weighed(SchemaCheck(schema), schema, tagged=False)
    _ = made._few  # here a schema may be refused as too deep to be weighed, and not with an answer
    return made
