"""How deep a JSON Schema is with its references followed, told without going as deep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from lionproc.model.references import FOLLOWED, References, children_of, for_the_same, parts_of

__all__ = ["levels_for_one_value", "levels_of"]

Part: TypeAlias = Mapping[str, Any]


def levels_of(schema: Part) -> int:
    """The most parts of a schema that stand in one another, references followed.

    So deep goes whoever compiles it. Parts that lead to each other count once each, which may be more
    than any way through them has, and is never less.

    Args:
        schema: The schema, vetted.
    """
    references = References(schema)

    def within(part: Part) -> Iterator[Part]:
        yield from children_of(part, with_shared=False)
        yield from _referred(part, references)

    return _longest((schema,), within)


def levels_for_one_value(schema: Part) -> int:
    """The most parts of a schema that stand in one another and are for the same value.

    So much deeper goes whoever checks a value, for each list or object that it is in.

    Args:
        schema: As for `levels_of`.
    """
    references = References(schema)

    def within(part: Part) -> Iterator[Part]:
        yield from (each for each in for_the_same(part) if isinstance(each, Mapping))
        yield from _referred(part, references)

    return _longest(parts_of(schema, with_shared=True), within)


def _referred(part: Part, references: References) -> Iterator[Part]:
    for keyword in FOLLOWED:
        if isinstance(part.get(keyword), str):
            target = references.target(part[keyword])
            if isinstance(target, Mapping):
                yield target


def _longest(starts: Iterable[Part], within: Callable[[Part], Iterator[Part]]) -> int:
    """The most parts on any way, of a circle all of them: Tarjan's algorithm, by a loop."""
    found: dict[int, int] = {}  # in which order
    lowest: dict[int, int] = {}  # the first of those found that it leads back to
    length: dict[int, int] = {}  # of the longest way on from it, of those that are done
    beyond: dict[int, int] = {}  # the longest way out of its circle
    waiting: list[int] = []
    at: dict[int, int] = {}  # where it waits
    for start in starts:
        way = [(start, within(start))] if id(start) not in found else []
        while way:
            part, rest = way[-1]
            number = id(part)
            if number not in found:
                found[number] = lowest[number] = len(found)
                beyond[number] = 0
                at[number] = len(waiting)
                waiting.append(number)
            for each in rest:
                if id(each) not in found:
                    way.append((each, within(each)))
                    break
                if id(each) in length:
                    beyond[number] = max(beyond[number], length[id(each)])
                else:
                    lowest[number] = min(lowest[number], lowest[id(each)])
            else:
                way.pop()
                if lowest[number] == found[number]:
                    circle = waiting[at[number] :]
                    del waiting[at[number] :]
                    most = len(circle) + max(beyond[each] for each in circle)
                    length.update(dict.fromkeys(circle, most))
                if way:
                    outer = id(way[-1][0])
                    if number in length:
                        beyond[outer] = max(beyond[outer], length[number])
                    else:
                        lowest[outer] = min(lowest[outer], lowest[number])
    return max(length.values(), default=0)
