"""The legs of a run: each stage, and each model of a stage whose model is made of several.

A leg has a way, an executor and a recipe of its own. A row enters a stage at its first leg, or at
the one whose answer the journal has, and goes from one leg to the next as the model's steps say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.routes import Route
from lionproc.engine.usage import Usage
from lionproc.frame.stage import Stage
from lionproc.model.composed import leaves_of, steps_of
from lionproc.model.connection import Connection
from lionproc.model.model import Model
from lionproc.model.steps import Steps

__all__ = ["BACKLOG", "Leg", "legs_of", "member_names", "route_of"]

ONE = Usage(1, 1)
BACKLOG = 256  # rows that wait for the next model while the one before takes up more


@dataclass(frozen=True, slots=True)
class Leg:
    """One model of one stage.

    Attributes:
        number: Its place among all legs.
        stage: The number of its stage.
        leaf: Which model of the stage's it is.
        model: That model.
        steps: Where rows go from there.
    """

    number: int
    stage: int
    leaf: int
    model: Model
    steps: Steps

    @property
    def is_shared(self) -> bool:
        """Whether it is one of several of its stage."""
        return self.steps.count > 1


def legs_of(stages: Sequence[Stage]) -> list[Leg]:
    """The legs of all stages, in the order in which rows come to them."""
    legs: list[Leg] = []
    for number, stage in enumerate(stages):
        steps = steps_of(stage.model)
        for leaf, model in enumerate(leaves_of(stage.model)):
            legs.append(Leg(len(legs), number, leaf, model, steps))
    return legs


def route_of(leg: Leg, stage: Stage, connection: Connection) -> Route:
    """Where the requests of a leg go."""
    limiter = connection.limiter
    own = None if stage.limits is None else LimiterChain(stage.limits, [limiter])
    elsewhere = leg.steps.elsewhere(leg.leaf)
    ways = connection.ways or (connection,)
    names = (f"{way.provider.name}/{way.model}" for way in ways if way.price.usd(ONE) is None)
    name = ", ".join(names)
    before = [leg.number - leg.leaf + leaf for leaf in leg.steps.before(leg.leaf)]
    return Route(limiter, connection.price, own, connection.executor, elsewhere, name, before)


def member_names(connections: Sequence[Connection]) -> list[str]:
    """What the members of a composition are called, so that no two are called the same."""
    names = [f"{each.provider.name}/{each.model}" for each in connections]
    for further in (_host, _place):
        counts = Counter(names)
        names = [
            name if counts[name] == 1 else f"{name} {further(number, connections[number])}"
            for number, name in enumerate(names)
        ]
    return names


def _host(number: int, connection: Connection) -> str:
    del number
    return f"at {urlsplit(connection.identity.split()[0]).netloc or connection.identity}"


def _place(number: int, connection: Connection) -> str:
    del connection
    return f"({number + 1})"
