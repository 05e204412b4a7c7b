"""How deep the choices of a JSON Schema stand in one another.

Its checker looks for the fault of a value in each branch of a choice once more: what stands within
twenty choices is gone over some twenty times until it is known why it does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from lionproc.model.references import FOLLOWED, References, children_of

__all__ = ["levels_of_choices"]

_CHOICES: Final = ("anyOf", "oneOf")


def levels_of_choices(schema: Mapping[str, Any], references: References) -> int:
    """The most choices that stand in one another, on any way into a schema.

    Args:
        schema: The schema, vetted.
        references: Where its references lead.
    """
    known: dict[int, int] = {}
    waiting: list[tuple[Mapping[str, Any], bool]] = [(schema, False)]
    while waiting:  # each part after those within it
        part, is_through = waiting.pop()
        if is_through:
            within = [known[id(child)] for child in _within(part, references)]
            branches = [each for word in _CHOICES for each in part.get(word) or ()]
            among = [known.get(id(each), 0) for each in branches]
            known[id(part)] = max([0, *within, *(1 + levels for levels in among)])
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
