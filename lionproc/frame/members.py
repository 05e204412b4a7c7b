"""What each member of models that are made of several did: its name, its rows, its part of the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lionproc.engine.counters import WayUse
from lionproc.engine.routes import Routes
from lionproc.engine.stats import MemberUse
from lionproc.engine.usage import Usage
from lionproc.frame.legs import Leg, member_names
from lionproc.frame.stage import Stage
from lionproc.model.connection import Connection

__all__ = ["Members"]


class Members:
    """The members of the models of a run.

    Args:
        legs: The legs of the run.
        connections: The ways to their models.
    """

    def __init__(self, legs: Sequence[Leg], connections: Sequence[Connection]) -> None:
        self._legs = legs
        self._connections = connections
        self._answered = [0] * len(legs)
        self._sure = [[0.0, 0.0] for _ in legs]  # the sum of confidences, and of how many rows
        self._names: dict[int, str] = {}
        self._says: dict[int, str] = {}
        self._beside: dict[int, list[str]] = {}  # the models of all members, as they are asked for
        for first in legs:
            if first.leaf == 0:
                numbers = [leg.number for leg in legs if leg.stage == first.stage]
                self._name(numbers, [connections[number] for number in numbers])

    def _name(self, numbers: Sequence[int], connections: Sequence[Connection]) -> None:
        told = Counter(connection.model for connection in connections)
        names = member_names(connections)
        for number, connection, name in zip(numbers, connections, names, strict=True):
            self._names[number] = name
            self._beside[number] = list(told)
            if told[connection.model] > 1:
                self._says[number] = name

    def count(self, leg: Leg, rows: int, sure: float | None) -> None:
        """Rows have the answer of a leg, which was so sure of it."""
        self._answered[leg.number] += rows
        if sure is not None:
            self._sure[leg.number][0] += rows * sure
            self._sure[leg.number][1] += rows

    def who(self, leg: Leg, told: str) -> str:
        """Who answered at a leg.

        Args:
            leg: Where.
            told: The model's name as the reply has it, which is taken where no other member is
                called so, or is of the same model.
        """
        own, beside = self._connections[leg.number].model, self._beside[leg.number]
        meant = max((each for each in beside if told.startswith(each)), key=len, default=own)
        return self._says.get(leg.number, told if meant == own else self._names[leg.number])

    def used(self, routes: Routes, stages: Sequence[Stage]) -> tuple[MemberUse, ...]:
        """What each did so far; nothing for models that are single ones."""
        made: list[MemberUse] = []
        for leg in self._legs:
            ways = self._connections[leg.number].ways
            stage = stages[leg.stage].name
            if ways:
                made += self._used_by_way(ways, routes.ways(leg.number), stage)
            elif leg.is_shared:
                tokens = routes.used(leg.number)
                made.append(
                    MemberUse(
                        self._names[leg.number],
                        self._answered[leg.number],
                        routes.sent(leg.number),
                        tokens.input,
                        tokens.output,
                        routes.usd(leg.number),
                        routes.errors(leg.number),
                        stage,
                        self._confidence(leg.number),
                    )
                )
        return tuple(made)

    def _confidence(self, number: int) -> float | None:
        total, rows = self._sure[number]
        return total / rows if rows else None

    @staticmethod
    def _used_by_way(
        ways: Sequence[Connection], counted: Mapping[int, WayUse], stage: str
    ) -> list[MemberUse]:
        made = []
        for number, name in enumerate(member_names(ways)):
            use = counted.get(number) or WayUse()
            usd = use.usd
            if use.answered == 0 and ways[number].price.usd(Usage(1, 1)) is None:
                usd = None
            errors = {str(kind): count for kind, count in dict(use.errors).items()}
            made.append(
                MemberUse(
                    name,
                    use.answered,
                    use.sent,
                    use.prompt_tokens,
                    use.completion_tokens,
                    usd,
                    errors,
                    stage,
                )
            )
        return made
