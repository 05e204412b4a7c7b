"""What a part of a JSON Schema leads to, for the value that it is held against and for what is in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from lionproc.model.pattern_work import RunPattern

__all__ = ["Applied", "tried_with"]


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
        mixed: How many are in enumerations of several kinds, where each value is held against all.
    """

    trials: int = 1
    unique: bool = False
    form: bool = False
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


def tried_with(
    applied: list[tuple[Applied, int]], name: str | None, *, others: bool = False
) -> Counter[int]:
    """What is tried with a property of a name, or with others; with an item where neither is meant."""
    made: Counter[int] = Counter()
    none: Counter[int] = Counter()
    for each, times in applied:
        known = none if name is None else each.named.get(name, none)
        for found in (each.others, known) if others else (each.items,):
            for part, count in found.items():
                made[part] += count * times
    return made
