"""How deep parts of a JSON Schema that are gone over again and again stand in one another.

Its checker looks for the fault of a value in each branch of a choice once more: what stands within
twenty choices is gone over some twenty times until it is known why it does not fit. To know what
`unevaluatedProperties` means at a level, it goes over all that is within twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from lionproc.model.references import FOLLOWED, References, children_of

__all__ = ["levels_of_choices", "levels_of_unevaluated"]

_CHOICES: Final = ("anyOf", "oneOf")
_UNEVALUATED: Final = ("unevaluatedProperties", "unevaluatedItems")


def levels_of_choices(schema: Mapping[str, Any], references: References) -> int:
    """The most choices that stand in one another, on any way into a schema.

    Args:
        schema: The schema, vetted.
        references: Where its references lead.
    """

    def branches(part: Mapping[str, Any]) -> list[Any]:
        return [each for word in _CHOICES for each in part.get(word) or ()]

    return _levels(schema, references, branches)


def levels_of_unevaluated(schema: Mapping[str, Any], references: References) -> int:
    """The same of parts that say what is to become of what nobody else has looked at.

    Args:
        schema: As for `levels_of_choices`.
        references: Likewise.
    """

    def all_within(part: Mapping[str, Any]) -> list[Any]:
        is_one = any(word in part for word in _UNEVALUATED)
        return [True, *_within(part, references)] if is_one else []

    return _levels(schema, references, all_within)


def _levels(
    schema: Mapping[str, Any],
    references: References,
    deeper: Callable[[Mapping[str, Any]], list[Any]],
) -> int:
    known: dict[int, int] = {}
    waiting: list[tuple[Mapping[str, Any], bool]] = [(schema, False)]
    while waiting:  # each part after those within it
        part, is_through = waiting.pop()
        if is_through:
            within = [known[id(child)] for child in _within(part, references)]
            among = [1 + known.get(id(each), 0) for each in deeper(part)]
            known[id(part)] = max([0, *within, *among])
        elif id(part) not in known:
            known[id(part)] = 0  # of one that leads back to itself
            waiting.append((part, True))
            waiting += [(child, False) for child in _within(part, references)]
    return known[id(schema)]


def _within(part: Mapping[str, Any], references: References) -> Iterator[Mapping[str, Any]]:
    yield from children_of(part, with_shared=False)
    for keyword in FOLLOWED:
        if isinstance(part.get(keyword), str):
            target = references.target(part[keyword])
            if isinstance(target, Mapping):
                yield target
