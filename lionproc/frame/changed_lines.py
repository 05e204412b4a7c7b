"""The lines in which two texts differ, as `diff -u` shows them.

Prompts quote what strangers wrote. To compare each line with each takes the square of them, and to
find the best of all ways from one text to the other the cube: of 100,000 short lines half a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final, TypeAlias

__all__ = ["changed_lines"]

MOST_COMPARED: Final = 250_000  # lines, each with each
_Step: TypeAlias = tuple[str, int, int, int, int]  # as `SequenceMatcher.get_opcodes` has it


def changed_lines(
    then: str, now: str, *, around: int, names: tuple[str, str] | None = None
) -> list[str]:
    r"""The lines that differ, each difference with some around it that do not.

    Args:
        then: A text.
        now: Another one.
        around: Lines before and behind each difference.
        names: What the texts are called, for the lines that say where a difference is; None leaves
            these out.

    Returns:
        Lines that begin with " ", "-" or "+". Where very many differ all of them are there, first
        those of the one text and then those of the other.

    Example:
        >>> changed_lines("a\nb", "a\nc", around=1)
        [' a', '-b', '+c']
    """
    before, after = then.splitlines(), now.splitlines()
    start = _alike(before, after)
    end = _alike(before[start:][::-1], after[start:][::-1])
    first, rest = max(start - around, 0), max(end - around, 0)
    before, after = (lines[first : len(lines) - rest] for lines in (before, after))
    made: list[str] = []
    for group in _groups(before, after, start - first, end - rest, around):
        if names is not None:
            (_, a, _, b, _), (_, _, a_end, _, b_end) = group[0], group[-1]
            where = f"-{first + a + 1},{a_end - a} +{first + b + 1},{b_end - b}"
            made += [] if made else [f"--- {names[0]}", f"+++ {names[1]}"]
            made.append(f"@@ {where} @@")
        for what, a, a_end, b, b_end in group:
            if what == "equal":
                made += [f" {line}" for line in before[a:a_end]]
            else:
                made += [f"-{line}" for line in before[a:a_end]]
                made += [f"+{line}" for line in after[b:b_end]]
    return made


def _groups(
    before: Sequence[str], after: Sequence[str], start: int, end: int, around: int
) -> Iterator[Sequence[_Step]]:
    """The differences, each with what is around it.

    Args:
        before: Lines of the one text.
        after: Lines of the other.
        start: How many of the first ones are the same.
        end: How many of the last ones are the same.
        around: As for `changed_lines`.
    """
    lost, new = len(before) - end, len(after) - end
    if (lost - start) * (new - start) <= MOST_COMPARED:
        if before != after:
            yield from SequenceMatcher(None, before, after).get_grouped_opcodes(around)
        return
    yield [
        ("equal", 0, start, 0, start),
        ("replace", start, lost, start, new),
        ("equal", lost, len(before), new, len(after)),
    ]


def _alike(then: Sequence[str], now: Sequence[str]) -> int:
    """How many of the first lines are the same."""
    pairs = enumerate(zip(then, now, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(then), len(now)))
