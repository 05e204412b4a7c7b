"""What a part of a JSON Schema leads to, for the value that it is held against and for what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from lionproc.model.pattern_work import RunPattern

__all__ = ["Applied", "Tried"]

K = TypeVar("K")


@dataclass(slots=True)
class Applied:
    """What a part of a schema leads to: for the value itself, and for what is in it.

    Attributes:
        trials: Parts that are tried with the value.
        named: Parts that are tried with each property, by its name.
        others: Those that are tried with every property.
        items: Those that are tried with every item.
        unique: Whether items have to differ, so that each may be compared with each.
        form: Whether a text has to be in a form that takes long to check: an address, a pattern.
        read_slowly: Trials that each line of a text counts for besides, as Python reads it.
        names_read_slowly: Likewise each name of a property.
        patterns: Against which a text is held, and how often.
        names: Those that each name of a property is held against.
        addresses: How often a text is held against pydantic's pattern of an e-mail address.
        names_as_addresses: How often each name of a property is.
        urls: How often a text is read as an address of the web.
        faults: How many faults the value itself may have, those of its names aside.
        keyed: Parts that are tried with each name.
        told: Characters of the schema that its faults are told with.
        wanted: Fields that have to be there; of several kinds of objects those of the largest.
        choices: How many there are (`enum`). Texts and whole numbers are looked up among them, and
            each other value is held against all.
        mixed: How many are in enumerations of several kinds, or with a fraction, where each value is
            held against all.
    """

    trials: int = 1
    unique: bool = False
    form: bool = False
    read_slowly: int = 0
    names_read_slowly: int = 0
    patterns: Counter[RunPattern] = field(default_factory=Counter)
    names: Counter[RunPattern] = field(default_factory=Counter)
    addresses: int = 0
    names_as_addresses: int = 0
    urls: int = 0
    faults: int = 1
    keyed: int = 0
    told: int = 0
    choices: int = 0
    mixed: int = 0
    wanted: int = 0
    named: dict[str, Counter[int]] = field(default_factory=dict)
    others: Counter[int] = field(default_factory=Counter)
    items: Counter[int] = field(default_factory=Counter)

    def join(self, more: Applied, *, either: bool) -> None:
        """Add another part for the same value; `either` if only one of the two is tried."""
        self.trials += more.trials
        self.unique = self.unique or more.unique
        self.form = self.form or more.form
        self.read_slowly += more.read_slowly
        self.names_read_slowly += more.names_read_slowly
        self.patterns = self.patterns + more.patterns
        self.names = self.names + more.names
        self.addresses += more.addresses
        self.names_as_addresses += more.names_as_addresses
        self.urls += more.urls
        self.faults += more.faults
        self.keyed += more.keyed
        self.told += more.told
        self.choices += more.choices
        self.mixed += more.mixed
        self.wanted = max(self.wanted, more.wanted)
        for name, parts in more.named.items():
            known = self.named.get(name)
            self.named[name] = parts if known is None else _joined(known, parts, either=either)
        self.others = _joined(self.others, more.others, either=either)
        self.items = _joined(self.items, more.items, either=either)


def _joined(one: Counter[int], other: Counter[int], *, either: bool) -> Counter[int]:
    return one | other if either else one + other


class Tried:
    """All that is tried with a value; of a hundred thousand items it is the same, and said once.

    Args:
        parts: The parts of the schema, by their numbers, and how often each.
        look: What a part leads to.

    Attributes:
        parts: As given.
        trials, choices, mixed, faults, keyed, told, read_slowly, names_read_slowly, addresses,
            names_as_addresses, urls: As of `Applied`, of all parts, as often as each.
        wanted, unique, form: As of `Applied`.
    """

    def __init__(self, parts: Counter[int], look: Callable[[int], Applied]) -> None:
        self.parts = parts
        self._look = look
        self._applied = applied = [(look(part), times) for part, times in parts.items()]
        self.trials = sum(each.trials * times for each, times in applied)
        self.choices = sum(each.choices * times for each, times in applied)
        self.mixed = sum(each.mixed * times for each, times in applied)
        self.faults = sum(each.faults * times for each, times in applied)
        self.keyed = sum(each.keyed * times for each, times in applied)
        self.told = sum(each.told * times for each, times in applied)
        self.read_slowly = sum(each.read_slowly * times for each, times in applied)
        self.names_read_slowly = sum(each.names_read_slowly * times for each, times in applied)
        self.addresses = sum(each.addresses * times for each, times in applied)
        self.names_as_addresses = sum(each.names_as_addresses * times for each, times in applied)
        self.urls = sum(each.urls * times for each, times in applied)
        self.wanted = max((each.wanted for each, _ in applied), default=0)
        self.unique = any(each.unique for each, _ in applied)
        self.form = any(each.form for each, _ in applied)
        self._named: dict[str, Tried | None] = {}

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of properties that some part knows."""
        return frozenset(name for each, _ in self._applied for name in each.named)

    @cached_property
    def patterns(self) -> Counter[RunPattern]:
        """Against which a text is held, and how often."""
        return _sum((each.patterns, times) for each, times in self._applied)

    @cached_property
    def of_names(self) -> Counter[RunPattern]:
        """Against which each name of a property is held, and how often."""
        return _sum((each.names, times) for each, times in self._applied)

    @cached_property
    def items(self) -> Tried | None:
        """What is tried with each item; None for nothing."""
        return self._inner(_sum((each.items, times) for each, times in self._applied))

    @cached_property
    def others(self) -> Tried | None:
        """What is tried with a property that no part knows by its name; None for nothing."""
        return self._inner(_sum((each.others, times) for each, times in self._applied))

    def property(self, name: str) -> Tried | None:
        """What is tried with a property of a name; None for nothing."""
        if name not in self.names:
            return self.others
        if name not in self._named:
            found = [(each.others, times) for each, times in self._applied]
            found += [(e.named[name], times) for e, times in self._applied if name in e.named]
            self._named[name] = self._inner(_sum(found))
        return self._named[name]

    def _inner(self, parts: Counter[int]) -> Tried | None:
        return Tried(parts, self._look) if parts else None


def _sum(counted: Iterable[tuple[Counter[K], int]]) -> Counter[K]:
    made: Counter[K] = Counter()
    for each, times in counted:
        for what, count in each.items():
            made[what] += count * times
    return made
