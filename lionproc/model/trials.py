"""Counts how often parts of a JSON Schema are tried with the values of an answer, before they are.

Each trial is work, and may become a fault, which is told with the way to the value, the value
itself, and the choices that there were: a few kilobytes of an answer can be told with gigabytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property
from math import inf
from typing import Any

from lionproc.model.addressed import LONGEST_ADDRESS, MOST_ADDRESSED, addressed, is_email, is_url
from lionproc.model.applied import Applied, Tried
from lionproc.model.choice_levels import levels_of_choices, levels_of_unevaluated
from lionproc.model.exact_numbers import LONGEST_FLOAT, most_long_numbers
from lionproc.model.particular import check_differing, check_particular, differing_in
from lionproc.model.pattern_work import USUAL_ROUNDS, RunPattern, steps_of
from lionproc.model.references import FOLLOWED, References, for_the_same, parts_of
from lionproc.model.schema_patterns import SchemaPatterns
from lionproc.model.validate import wanted_in, wrong_shape

__all__ = [
    "FEW_FIELDS",
    "MOST_NAMED",
    "MOST_PAIRS",
    "MOST_TRIALS",
    "SOME_TO_DIFFER",
    "STEP",
    "TOO_LONG",
    "Trials",
]

MOST_TRIALS = 300_000  # of a part of a schema with a value
# What the checker takes for it with the largest and smallest numbers was measured: 20 us, where each
# other part takes 2 at the most.
OF_A_MULTIPLE = 12  # trials
# Likewise what Python reads for pydantic: 30 us for each line, however often it is read.
OF_A_LINE = 5
LINE = 40  # characters
_READ_BY_PYTHON = frozenset(
    (
        *("ipv4", "ipv4network", "ipv4interface", "ipv6", "ipv6network", "ipv6interface"),
        *("ipvanyaddress", "ipvanynetwork", "ipvanyinterface", "fraction", "path"),
    )
)
FEW_FIELDS = 30_000  # of all objects in an answer, beyond one for each of its characters
FAULT = 6  # fields that one counts as that is wanted and not there: it takes more to be told
CELL = 100  # characters of a default that count as another field
MOST_FIELDS = 1_000_000  # of one of them, with those of the objects in it
MOST_PAIRS = 2_000_000  # of a value with a choice, where they are compared one by one
MOST_NAMED = 50_000_000  # characters of the ways to all values, as often as each is tried
STEP = 10  # characters that a step of such a way counts for besides its name
MOST_BYTES = (
    200_000_000  # that the faults of an answer may take to be told by JSON Schema's checker
)
# What a fault takes there was measured: itself, and by the characters of what is told with it.
_FAULT_BYTES, _WAY_BYTES, _HELD_BYTES = 2000, 3, 16
SOME_TO_DIFFER = 20_000  # characters that hold too few of them to be any work
TOO_LONG = "its texts are too long, or too many, for the patterns that they have to match"
_MANY_LEVELS = 100  # after which nothing that is doubled at each can be done in a moment
_FORMS = ("format", "contentMediaType")
_MOST_LOOKED_AT = 100_000  # parts and names that are gone through to say what any value may take
_ITEMS = ("items", "additionalItems", "unevaluatedItems", "contains")
_OTHERS = ("additionalProperties", "unevaluatedProperties")
_TOLD = ("enum", "const", "pattern", "not")  # whole, with each fault


class Trials:
    """Counts how often parts of a schema are tried with values.

    Args:
        schema: The schema, vetted.
        tagged: As for `Weighed`.
        runs: How its patterns are run for a type; as those of a JSON Schema where nothing is given.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        tagged: bool,
        runs: Mapping[str, Collection[RunPattern]] | None = None,
    ) -> None:
        self._root = schema
        self._references = References(schema)
        self._tagged = tagged
        self._runs = runs
        self._steps: dict[int, float] = {}
        self._parts: dict[int, Any] = {}
        self._known: dict[int, Applied] = {}
        self._sizes: dict[int, int] = {}
        self._defaults: dict[int, int] = {}  # what they count for, by the part that has one

    def are_more(self, value: object, most: int, size: int) -> bool:
        """Whether a value is more work than this.

        Args:
            value: What the answer holds.
            most: Trials.
            size: Characters that it is written with.

        Raises:
            CallError: Of kind `wrong_shape`: for another reason it cannot be checked in a moment.
        """
        seen = slow = gone_over = named = pairs = differing = 0
        spare = FEW_FIELDS + size
        for outer, tried, way in self._walk(value):
            seen += tried.trials
            if seen > most:
                return True
            slow += _read_slowly(outer, tried)
            if slow > MOST_TRIALS:
                raise wrong_shape("it has very many addresses, paths or fractions; give fewer")
            named += tried.trials * way
            if named > MOST_NAMED:
                raise wrong_shape("its names are too long for so many values; give shorter ones")
            if tried.choices:
                one_by_one = isinstance(outer, (float, list, dict))
                pairs += tried.choices if one_by_one else tried.mixed
                if pairs > MOST_PAIRS:
                    raise wrong_shape("there are too many values for so many choices; give fewer")
            if isinstance(outer, dict):
                spare -= sum(map(self._fields_of, tried.parts))
                spare -= FAULT * max(tried.wanted - len(outer), 0)
                if spare < 0:
                    raise wrong_shape("too many objects leave out most of their fields; give fewer")
            differing += differing_in(outer, tried)
            check_differing(differing)
            check_particular(outer, tried)
            gone_over += addressed(outer, tried)
            if gone_over > MOST_ADDRESSED:
                raise wrong_shape(TOO_LONG)
        return False

    def can_be_told(self, value: object) -> bool:
        """Whether JSON Schema's checker could tell all that may be wrong with a value, in memory.

        Args:
            value: What the answer holds; not more than can be checked.
        """
        left = MOST_BYTES
        for outer, tried, way in self._walk(value):
            faults = tried.faults + tried.keyed * (len(outer) if isinstance(outer, dict) else 0)
            held = len(outer) if isinstance(outer, str) else _held(outer)
            left -= faults * (_FAULT_BYTES + _WAY_BYTES * way + _HELD_BYTES * held)
            left -= _HELD_BYTES * tried.told
            if left < 0:
                return False
        return True

    def _walk(self, value: object) -> Iterator[tuple[Any, Tried, int]]:
        """Each value with what is tried with it, and the length of the way to it."""
        waiting = [(value, Tried(Counter([self._number(self._root)]), self._applied), 0)]
        while waiting:
            outer, tried, way = waiting.pop()
            yield outer, tried, way
            if isinstance(outer, dict):
                for name, inner in outer.items():
                    if (of_it := tried.property(name)) is not None:
                        waiting.append((inner, of_it, way + len(name) + STEP))
            elif isinstance(outer, list) and (items := tried.items) is not None:
                waiting.extend((inner, items, way + STEP) for inner in outer)

    @cached_property
    def _every(self) -> Sequence[Mapping[str, Any]]:
        """All parts of the schema."""
        return list(parts_of(self._root, with_shared=True))

    @cached_property
    def has_particular_places(self) -> bool:
        """Whether some text has to be in a form, or some items have to differ."""
        return self.has_sets or any(not part.keys().isdisjoint(_FORMS) for part in self._every)

    @cached_property
    def fields(self) -> int:
        """How many fields any one object has, with those of the objects that are made in it.

        One that is wanted counts as often as it may be a fault.
        """
        numbers = map(self._number, self._every)
        return max(self._fields_of(n) + FAULT * self._applied(n).wanted for n in numbers)

    def _fields_of(self, number: int) -> int:
        """The fields of an object, which all are made although a value leaves out nearly all.

        An object in it is made, too, unless it may be null: then it is.
        """
        known = self._sizes.get(number)
        if known is None:
            self._sizes[number] = 0  # of one that contains itself
            named, part = self._applied(number).named, self._parts[number]
            made = len(named)
            wanted = frozenset(part.get("required", ()) if isinstance(part, Mapping) else ())
            for name, parts in named.items():
                for inner in parts:
                    made += self._default_of(inner, is_wanted=name in wanted)
            known = self._sizes[number] = min(made, MOST_FIELDS)
        return known

    def _default_of(self, number: int, *, is_wanted: bool) -> int:
        """What a field that is left out counts for besides itself."""
        part = self._parts[number]
        if not isinstance(part, Mapping):
            return 0
        size = self._defaults.get(number)
        if size is None:
            written = json.dumps(part["default"], default=str) if "default" in part else ""
            size = self._defaults[number] = len(written) // CELL
        return size if is_wanted or "anyOf" in part else size + self._fields_of(number)

    @cached_property
    def choices(self) -> int:
        """How many choices there are in all."""
        return sum(len(_list(part.get("enum"))) for part in self._every)

    @cached_property
    def has_sets(self) -> bool:
        """Whether some items have to differ."""
        return any("uniqueItems" in part for part in self._every)

    @cached_property
    def patterns(self) -> SchemaPatterns:
        """Those of the schema, as they are run."""
        return SchemaPatterns(self._every, self._runs)

    @cached_property
    def rounds(self) -> float:
        """How often a text is gone over until it is known what is wrong, by what is usual."""
        told = 1 + levels_of_choices(self._root, self._references) / USUAL_ROUNDS
        levels = levels_of_unevaluated(self._root, self._references)
        return told * 2.0 ** min(levels, _MANY_LEVELS)

    def most_steps(self, size: int) -> float:
        """The most steps that patterns may take with texts of so many bytes; inf as `of_one_value`."""
        bits = size.bit_length()
        known = self._steps.get(bits)
        if known is None:
            parts = [self._applied(self._number(part)) for part in self._every]
            each = [applied.patterns + applied.names for applied in parts]
            most = max((_steps(runs, bits) for runs in each if runs), default=0)
            known = most and most * self.of_one_value
            known = self._steps[bits] = self.rounds * (known + _steps(self.patterns.hidden, bits))
        return known

    def most_addressed(self, size: int) -> float:
        """Likewise the characters that are gone over where addresses are looked for."""
        return self.of_one_value * LONGEST_ADDRESS * size if self._addresses else 0

    @cached_property
    def _addresses(self) -> bool:
        return any(is_email(part) or is_url(part) for part in self._every if self._tagged)

    def matched(self, value: object) -> Iterator[tuple[Collection[str], Counter[RunPattern]]]:
        """The texts in a value that are held against patterns, with those."""
        hidden = self.patterns.hidden
        for outer, tried, _ in self._walk(value):
            if isinstance(outer, str):
                if hidden or tried.patterns:
                    yield (outer,), tried.patterns + hidden if hidden else tried.patterns
            elif isinstance(outer, dict) and (hidden or tried.of_names):
                yield outer, tried.of_names + hidden

    @cached_property
    def of_one_value(self) -> float:
        """The most parts that can be tried with any one value; no bound is known of a circle."""
        return self._reach[0]

    @cached_property
    def levels(self) -> float:
        """How many lists and objects, one in the other, are tried; no bound is known of a circle."""
        return self._reach[1]

    @cached_property
    def _reach(self) -> tuple[float, float]:
        layer = {frozenset({self._number(self._root): 1}.items())}
        known = set(layer)
        most = looked_at = levels = 0
        while layer:
            levels += 1
            below = set()
            for parts in layer:
                tried = Tried(Counter(dict(parts)), self._applied)
                most = max(most, tried.trials)
                for_each = len(parts) + (len(tried.others.parts) if tried.others else 0)
                looked_at += 1 + len(tried.names) * for_each
                if most > MOST_TRIALS or looked_at > _MOST_LOOKED_AT:
                    return inf, inf
                inner = [*map(tried.property, tried.names), tried.others, tried.items]
                below |= {frozenset(each.parts.items()) for each in inner if each is not None}
            layer = below - known
            known |= layer
        return most, levels

    def _number(self, part: Any) -> int:
        """A number for a part; one that only refers to another has the other's."""
        for _ in range(100):
            if not isinstance(part, Mapping) or part.keys() != {"$ref"}:
                break
            part = self._references.target(part["$ref"])
        self._parts[id(part)] = part
        return id(part)

    def _applied(self, number: int) -> Applied:
        known = self._known.get(number)
        if known is None:
            self._known[number] = Applied()  # for names of properties that are held against it
            known = self._known[number] = self._look(self._parts[number])
        return known

    def _look(self, part: object) -> Applied:
        """What is tried; for the same value no part leads back to itself (see `vetting`)."""
        made = Applied()
        if not isinstance(part, Mapping):
            return made
        made.trials += OF_A_MULTIPLE * ("multipleOf" in part)
        made.unique = part.get("uniqueItems") is True
        made.faults += sum(len(names) for names in wanted_in(part) if isinstance(names, list))
        made.wanted = len(_list(part.get("required")))
        made.keyed = int("propertyNames" in part)
        told = [part[keyword] for keyword in _TOLD if keyword in part]
        made.told = len(json.dumps(told, default=str)) if told else 0
        choices = _list(part.get("enum"))
        made.choices = len(choices)
        kinds = {*map(type, choices)} - {type(None)}
        made.mixed = len(choices) if len(kinds) > 1 or float in kinds else 0
        made.form = not part.keys().isdisjoint(_FORMS)
        made.read_slowly = OF_A_LINE * (self._tagged and part.get("format") in _READ_BY_PYTHON)
        made.addresses = int(self._tagged and is_email(part))
        made.urls = int(self._tagged and is_url(part))
        made.patterns = self.patterns.run_as(part.get("pattern"))
        for name, _ in _mapping(part.get("patternProperties")):
            made.names.update(self.patterns.run_as(name))
        if isinstance(part.get("propertyNames"), Mapping):
            names = self._applied(self._number(part["propertyNames"]))
            made.names.update(names.patterns)
            made.names_read_slowly = names.read_slowly
            made.names_as_addresses = names.addresses + names.urls
        either = self._tagged and "discriminator" in part
        choice = Applied(trials=0, faults=0)
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


def _held(value: object) -> int:
    """Characters of a value as the checker has it, in which no number has an exponent."""
    written = json.dumps(value)
    return len(written) + LONGEST_FLOAT * most_long_numbers(written)


def _read_slowly(value: object, tried: Tried) -> int:
    """What lines count for that Python reads."""
    if tried.read_slowly and isinstance(value, str):
        return tried.read_slowly * _lines((value,))
    if tried.names_read_slowly and isinstance(value, dict):
        return tried.names_read_slowly * _lines(value)
    return 0


def _lines(texts: Collection[str]) -> int:
    return len(texts) + sum(map(len, texts)) // LINE


def _steps(runs: Mapping[RunPattern, int], bits: int) -> int:
    return sum(steps_of(run, bits) * times for run, times in runs.items())


def _mapping(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, Mapping) else []


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
