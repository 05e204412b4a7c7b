"""Bounds the work of checking an answer, before it is checked.

Four answers of a few kilobytes or megabytes would keep the process busy for hours, with the
interpreter's lock held, or fill its memory. One has millions of values, each of which is a fault.
One has thousands of faults where hundreds of choices are possible, all named in each. One is nested
where a type is a choice that leads back to itself (`Add | Multiply | int`, each with operands of
the same choice): every kind is tried for every operand, so each level doubles the work. One has a
long text where a pattern looks ahead, which from each character on goes to the end. None is an
answer that somebody waits for, and all are a wrong shape that the model is told about.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from math import inf
from typing import Any

from lionproc.errors import CallError, Kind
from lionproc.model.hashes import are_of_few_hashes
from lionproc.model.long_numbers import has_too_many_long_numbers, may_have_long_numbers
from lionproc.model.references import (
    FOLLOWED,
    References,
    circular,
    for_the_same,
    parts_of,
    patterns_in,
)
from lionproc.model.validate import NOT_PARSED, Check, SchemaCheck, parse, wrong_shape

__all__ = ["MOST_IN_A_CIRCLE", "MOST_TRIALS", "MOST_VALUES", "Weighed"]

MOST_VALUES = 100_000  # texts, numbers, lists and objects; no model writes as many in one answer
MOST_TRIALS = 300_000  # of a part of a schema with a value
MOST_IN_A_CIRCLE = (
    50_000  # where the schema contains itself: each that fails there is told at length
)
MOST_TOLD = 100_000_000  # characters that all faults of an answer may be told with
MOST_UNIQUE = 1000  # lists or objects in a set: their hashes can be made equal
LONG = 100_000  # characters of one text
MOST_LOOKED_AROUND = 100_000_000  # squares of the characters of texts, where patterns look around
_FEW_LETTERS = 1000  # of an answer, in which no pattern is work
_FORMS = ("format", "contentMediaType")
_FEW = 2000  # values that are surely no work
_MOST_LOOKED_AT = 100_000  # parts and names that are gone through to say what any value may take
_SHALLOW = 8  # lists and objects that are none where the schema contains itself
_ITEMS = ("items", "additionalItems", "unevaluatedItems", "contains")
_OTHERS = ("additionalProperties", "unevaluatedProperties")


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
        self._hashed = getattr(check, "hashed", ())
        self._schema = schema
        once = tagged and not getattr(check, "may_look_around", False)
        self._trials = _Trials(schema, tagged=tagged, once=once)
        self._circle = bool(circular(schema))
        # pydantic tells a fault with all choices by name, and each of them apart. JSON Schema's
        # checker names a few.
        self._told = len(json.dumps(schema, default=str)) if tagged else 0
        self._few = min(_FEW, MOST_TOLD // (self._told or 1))

    def __call__(self, text: str, raw: Any = NOT_PARSED) -> Any:
        """As `Check`."""
        if may_have_long_numbers(text):
            raw = _without_long_numbers(text, raw)
        if self._may_be_work(text):
            raw = self._weigh(text, raw)
        if self._hashed and len(text) > _FEW_LETTERS:
            raw = self._without_one_hash(text, raw)
        return self._check(text, raw)

    def _without_one_hash(self, text: str, raw: Any) -> Any:
        """What the text holds, if a set of it is filled in a moment."""
        value = _held(text, raw)
        if are_of_few_hashes(value, self._hashed):
            raise wrong_shape("the answer has very many values of one hash; give fewer")
        return value

    def _may_be_work(self, text: str) -> bool:
        """Whether this might be too much to check, told from its length and its signs alone."""
        if len(text) > _FEW_LETTERS and self._trials.look_around:
            return True
        if len(text) <= self._few and not self._circle:  # a value has a sign or two
            return False
        if len(text) > LONG and self._trials.has_particular_places:
            return True
        opened = text.count("[") + text.count("{")
        # Each but one is the first in a list or an object, or stands behind a comma.
        values = 1 + opened + text.count(",")
        if values * self._told > MOST_TOLD:
            return True
        if values <= _FEW and not (self._circle and opened > _SHALLOW):
            return False
        return values > MOST_VALUES or values * self._trials.of_one_value > MOST_TRIALS

    @cached_property
    def _first_faults(self) -> Check:
        """Finds faults without telling all of them: gigabytes, where many have many choices."""
        try:
            return SchemaCheck(dict(self._schema))
        except ValueError:  # its patterns are for pydantic alone
            return self._check

    def _weigh(self, text: str, raw: object) -> object:
        """What the text holds, if it is not too much."""
        value = _held(text, raw)
        if _is_more(value, MOST_VALUES):
            raise wrong_shape(f"the answer has more than {MOST_VALUES:,} values; give fewer")
        if self._told and _is_more(value, MOST_TOLD // self._told):
            self._first_faults(text, value)
        if self._trials.are_more(value, MOST_IN_A_CIRCLE if self._circle else MOST_TRIALS):
            how, less = (
                ("nested too deeply", "nest it less") if self._circle else ("too long", "give less")
            )
            raise CallError(
                Kind.WRONG_SHAPE,
                f"the answer is {how} for a type whose kinds have to be tried one by one; {less}",
                hint="Give each kind a tag, pydantic.Field(discriminator=...): then one is tried.",
            )
        return value


def _held(text: str, raw: Any) -> Any:
    """What the text holds; of what is no JSON the check will say so."""
    try:
        return parse(text) if raw is NOT_PARSED else raw
    except ValueError:
        return NOT_PARSED


def _without_long_numbers(text: str, raw: Any) -> Any:
    """What the text holds, if it does not hold very many long numbers."""
    value = _held(text, raw)
    if has_too_many_long_numbers(value):
        raise wrong_shape("the answer has very many numbers of very many digits; give fewer")
    return value


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


@dataclass(slots=True)
class _Applied:
    """What a part of a schema leads to: for the value itself, and for what is in it.

    Attributes:
        trials: Parts that are tried with the value.
        named: Parts that are tried with each property, by its name.
        others: Those that are tried with every property.
        items: Those that are tried with every item.
        unique: Whether items have to differ, so that each may be compared with each.
        form: Whether a text has to be in a form that takes long to check: an address, a pattern.
        patterns: How many patterns that look around a text is held against.
        names: How many of those each name of a property is held against.
    """

    trials: int = 1
    unique: bool = False
    form: bool = False
    patterns: int = 0
    names: int = 0
    named: dict[str, Counter[int]] = field(default_factory=dict)
    others: Counter[int] = field(default_factory=Counter)
    items: Counter[int] = field(default_factory=Counter)

    def join(self, more: _Applied, *, either: bool) -> None:
        """Add another part for the same value; `either` if only one of the two is tried."""
        self.trials += more.trials
        self.unique = self.unique or more.unique
        self.form = self.form or more.form
        self.patterns += more.patterns
        self.names += more.names
        for name, parts in more.named.items():
            known = self.named.get(name)
            self.named[name] = parts if known is None else _joined(known, parts, either=either)
        self.others = _joined(self.others, more.others, either=either)
        self.items = _joined(self.items, more.items, either=either)


def _joined(one: Counter[int], other: Counter[int], *, either: bool) -> Counter[int]:
    return one | other if either else one + other


class _Trials:
    """Counts how often parts of a schema are tried with values.

    Args:
        schema: The schema, vetted.
        tagged: As for `Weighed`.
        once: Whether patterns are run by pydantic's own engine, which goes over each text once.
    """

    def __init__(self, schema: Mapping[str, Any], *, tagged: bool, once: bool) -> None:
        self._root = schema
        self._references = References(schema)
        self._tagged = tagged
        self._once = once
        self._parts: dict[int, Any] = {}
        self._known: dict[int, _Applied] = {}

    def are_more(self, value: object, most: int) -> bool:
        """Whether a value is more work than this."""
        layer = [(value, Counter([self._number(self._root)]))]
        seen = squares = 0
        while layer:
            below = []
            for outer, parts in layer:
                applied = [(self._applied(part), times) for part, times in parts.items()]
                seen += sum(each.trials * times for each, times in applied)
                if seen > most:
                    return True
                _check_particular(outer, [each for each, _ in applied])
                if self.look_around:
                    squares += _looked_around(outer, applied)
                    _check_squares(squares)
                if isinstance(outer, dict):
                    for name, inner in outer.items():
                        below.append((inner, _sum(applied, name)))
                elif isinstance(outer, list):
                    items = _sum(applied, None)
                    below.extend((inner, items) for inner in outer)
            layer = [(inner, parts) for inner, parts in below if parts]
        return False

    @cached_property
    def has_particular_places(self) -> bool:
        """Whether some text has to be in a form, or some items have to differ."""
        parts = parts_of(self._root, with_shared=True)
        return any(not part.keys().isdisjoint((*_FORMS, "uniqueItems")) for part in parts)

    @cached_property
    def look_around(self) -> bool:
        """Whether there are patterns for which a text is gone over again and again."""
        if self._once:
            return False
        parts = parts_of(self._root, with_shared=True)
        return any(map(_looks_around, (name for part in parts for name in patterns_in(part))))

    @cached_property
    def of_one_value(self) -> float:
        """The most parts that can be tried with any one value; no bound is known of a circle."""
        layer = {frozenset({self._number(self._root): 1}.items())}
        known = set(layer)
        most = looked_at = 0
        while layer:
            below = set()
            for parts in layer:
                applied = [(self._applied(part), times) for part, times in parts]
                most = max(most, sum(each.trials * times for each, times in applied))
                names = {name for each, _ in applied for name in each.named}
                looked_at += 1 + len(names) * len(applied)
                if most > MOST_TRIALS or looked_at > _MOST_LOOKED_AT:
                    return inf
                inner = [_sum(applied, name) for name in names]
                inner += [_sum(applied, ""), _sum(applied, None)]
                below |= {frozenset(each.items()) for each in inner if each}
            layer = below - known
            known |= layer
        return most

    def _number(self, part: Any) -> int:
        """A number for a part; one that only refers to another has the other's."""
        for _ in range(100):
            if not isinstance(part, Mapping) or part.keys() != {"$ref"}:
                break
            part = self._references.target(part["$ref"])
        self._parts[id(part)] = part
        return id(part)

    def _applied(self, number: int) -> _Applied:
        known = self._known.get(number)
        if known is None:
            self._known[number] = _Applied()  # for names of properties that are held against it
            known = self._known[number] = self._look(self._parts[number])
        return known

    def _look(self, part: object) -> _Applied:
        """What is tried; for the same value no part leads back to itself (see `vetting`)."""
        made = _Applied()
        if not isinstance(part, Mapping):
            return made
        made.unique = part.get("uniqueItems") is True
        made.form = not part.keys().isdisjoint(_FORMS)
        if self.look_around:
            made.patterns = _looks_around(part.get("pattern"))
            made.names = sum(
                _looks_around(name) for name, _ in _mapping(part.get("patternProperties"))
            )
            if isinstance(part.get("propertyNames"), Mapping):
                made.names += self._applied(self._number(part["propertyNames"])).patterns
        either = self._tagged and "discriminator" in part
        choice = _Applied(trials=0)
        for branch in for_the_same(part):
            choice.join(self._applied(self._number(branch)), either=either)
        for keyword in FOLLOWED:
            if isinstance(part.get(keyword), str):
                target = self._references.target(part[keyword])
                choice.join(self._applied(self._number(target)), either=False)
        made.join(choice, either=False)
        for name, inner in _mapping(part.get("properties")):
            made.named[name] = made.named.get(name, Counter()) + Counter([self._number(inner)])
        others = [inner for _, inner in _mapping(part.get("patternProperties"))]
        others += [part[keyword] for keyword in _OTHERS if isinstance(part.get(keyword), Mapping)]
        made.others.update(map(self._number, others))
        items = [part.get(keyword) for keyword in _ITEMS] + _list(part.get("prefixItems"))
        items += _list(part.get("items"))
        made.items.update(self._number(inner) for inner in items if isinstance(inner, Mapping))
        return made


def _check_particular(value: Any, applied: list[_Applied]) -> None:
    """Refuse a long text in a form of its own, and very many lists or objects that have to differ."""
    if isinstance(value, str):
        if len(value) > LONG and any(each.form for each in applied):
            raise wrong_shape(
                f"a text is longer than {LONG:,} characters where a certain form is asked for"
            )
    elif (
        isinstance(value, list)
        and len(value) > MOST_UNIQUE
        and any(each.unique for each in applied)
        and any(map(_inner, value))
    ):
        raise wrong_shape(
            f"more than {MOST_UNIQUE:,} lists or objects that have to differ; give fewer"
        )


def _looked_around(value: Any, applied: list[tuple[_Applied, int]]) -> int:
    """The squares of the characters that patterns which look around go over in a value itself."""
    if isinstance(value, str):
        return len(value) ** 2 * sum(each.patterns * times for each, times in applied)
    if isinstance(value, dict):
        times = sum(each.names * times for each, times in applied)
        return times and times * sum(len(name) ** 2 for name in value)
    return 0


def _check_squares(squares: int) -> None:
    if squares > MOST_LOOKED_AROUND:
        raise wrong_shape("a text is too long for a pattern that looks around, as in (?=...)")


@lru_cache(maxsize=1024)
def _looks_around(pattern: object) -> bool:
    """Whether a pattern wants more than the engine that goes over each text once."""
    import jsonschema_rs

    if not isinstance(pattern, str):
        return False
    once = jsonschema_rs.RegexOptions()
    try:
        jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=once)
    except ValueError:
        return True
    return False


def _sum(applied: list[tuple[_Applied, int]], name: str | None) -> Counter[int]:
    """What is tried with a property, or with an item."""
    made: Counter[int] = Counter()
    none: Counter[int] = Counter()
    for each, times in applied:
        for found in (each.items,) if name is None else (each.others, each.named.get(name, none)):
            for part, count in found.items():
                made[part] += count * times
    return made


def _mapping(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
