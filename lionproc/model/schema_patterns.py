"""The patterns of a schema, as they are run for its answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lionproc.model.pattern_work import RunPattern, room_of
from lionproc.model.references import patterns_in

__all__ = ["SchemaPatterns"]


class SchemaPatterns:
    """The patterns of a schema, as they are run for its answers.

    Args:
        parts: All parts of the schema.
        runs: How the patterns of a type are run; None for those of a JSON Schema.

    Attributes:
        hidden: What a type runs and does not say in its schema, so that it may stand anywhere.
        are_any: Whether there are any.
    """

    def __init__(
        self,
        parts: Iterable[Mapping[str, Any]],
        runs: Mapping[str, Collection[RunPattern]] | None,
    ) -> None:
        written = [pattern for part in parts for pattern in patterns_in(part)]
        self._runs = runs
        self._room = room_of(len(written))
        hidden = (runs or {}).keys() - set(written)
        self.hidden = Counter(run for pattern in hidden for run in (runs or {})[pattern])
        self.are_any = bool(written or self.hidden)

    def run_as(self, pattern: object) -> Counter[RunPattern]:
        """How a pattern of the schema is run; nothing where it is not, or is none."""
        if not isinstance(pattern, str):
            return Counter()
        if self._runs is None:
            return Counter([RunPattern(pattern, room=self._room)])
        return Counter(self._runs.get(pattern, ()))
