"""`lp.Pool`: one model behind several keys or deployments, whose limits add up.

The pool answers under the name of its first member: whichever of them is asked, the key of an
answer is that which the first one would give it, so that a rerun finds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_pool import LimiterPool
from lionproc.engine.usage import Usage
from lionproc.errors import ModelError
from lionproc.face import faced
from lionproc.model.canonical import SHAPE_NOTHING
from lionproc.model.composed import Composed, leaves_of
from lionproc.model.connection import Connection, EndpointState
from lionproc.model.model import Model
from lionproc.model.steps import ONE
from lionproc.model.wire import Response, Wire

__all__ = ["Pool"]


@faced
class Pool(Composed):
    """One model behind several keys or deployments: their limits add up.

    Rows go where there is room, each member under limits of its own; a run's `limits=` is what
    each of them may send. What one member fails, another is sent at once. A member that only fails
    (three times in a row), or refuses the key, the model or the account, is left out and probed
    now and then; the run stops only when none is left.

    The members are the same model: they have one name (of "openai/gpt-4o" and of an OpenRouter
    "openai/gpt-4o" it is "gpt-4o"), or `same=True` says so, as for Azure, whose deployments may be
    called anything. What shapes the answers (temperature, max_tokens, other parameters) must be
    the same too. Answers are kept as the first member's, whichever of them answered: plain runs of
    that one share them, and what other members have answered in plain runs is found too.

    Args:
        models: Two models or more: "provider/model", `lp.Model`, or other pools.
        same: True says that they are the same model though they are called differently.

    Raises:
        ModelError: They are not known to be the same model, or one of them cannot be in a pool.

    Example:
        ```python
        import os

        keys = [os.environ.get(name) for name in ("OPENAI_API_KEY", "OUR_OTHER_KEY")]
        model = lp.Pool([lp.Model("openai/gpt-4o-mini", api_key=key) for key in keys])
        df.llm.process("Is {review} positive?", into="ok", schema=bool, model=model)
        ```
    """

    def __init__(self, models: Sequence[Model | str], *, same: bool = False) -> None:
        self._compose(models)
        self._same = same
        singles: list[Model] = []
        for member in self.members:
            if isinstance(member, Pool):
                singles += member.members
            elif len(leaves_of(member)) > 1:
                name = type(member).__name__
                raise ModelError(
                    f"A Pool is one model behind several keys, and a {name} is several models. "
                    f"Put the Pool into the {name} instead."
                )
            else:
                singles.append(member)
        self.members = tuple(singles)
        first = self.members[0]
        for other in self.members[1:]:
            if not same and _name(other) != _name(first):
                raise ModelError(
                    f"Members of a Pool are the same model, and {_said(first)} and {_said(other)} "
                    "are called differently. If they are (two deployments of one model), say "
                    "lp.Pool([...], same=True); for another model where one fails, take lp.Fallback."
                )
            if _shaping(other) != _shaping(first):
                raise ModelError(
                    f"{first!r} and {other!r} have other parameters, which shape the answers: give "
                    "all members of a Pool the same."
                )
        if any(member.executor is not None for member in self.members):
            raise ModelError("Members of a Pool have limits of their own: leave executor= out.")
        self.leaves = (self,)
        self.steps = ONE
        self._limiter: LimiterPool | None = None

    def _named(self) -> dict[str, object]:
        return {"same": True} if self._same else {}

    def connect(self) -> Connection:
        """Open a way to each member; see `Model.connect`."""
        ways = [member.connect() for member in self.members]
        first = ways[0]
        endings = frozenset[str | None]().union(*(way.endings for way in ways))
        for way in ways:
            way.structured = first.structured  # one shape of question, whoever is asked
            way.endings = endings  # and of answer: a rerun does not know who gave it
        return Connection(
            identity=first.identity,
            former_identity=first.former_identity,
            model=first.model,
            provider=first.provider,
            structured=first.structured,
            max_tokens_name=first.max_tokens_name,
            wire=_Wires([way.wire for way in ways]),
            endpoint=EndpointState(
                self._pooled([way.limiter for way in ways]),
                first.endpoint.estimator,
                first.endpoint.fitting,
            ),
            usual=first.usual,
            free_levels=first.free_levels,
            price=max(ways, key=_dearness).price,
            endings=endings,
            top_logprobs=first.top_logprobs,
            ways=tuple(ways),
            is_as_it_was=lambda: all(way.is_as_it_was() for way in ways),
        )

    @property
    def limiter(self) -> Limiter:
        """The limiters of all members as one."""
        return self._pooled([member.limiter for member in self.members])

    def _pooled(self, limiters: Sequence[Limiter]) -> LimiterPool:
        """One pool for all runs, so that what is known of a member is known to the next run."""
        pool = self._limiter
        if pool is None or pool.members != tuple(limiters):
            pool = self._limiter = LimiterPool(limiters)
        return pool


def _name(model: Model) -> str:
    return str(model.model).rpartition("/")[2].lower()


def _said(model: Model) -> str:
    return repr(model.model or model.settings.name)


def _shaping(model: Model) -> Mapping[str, Any]:
    fields = model.body_params
    return {name: fields[name] for name in fields if name not in SHAPE_NOTHING}


def _dearness(way: Connection) -> float:
    """For a budget, which must hold whoever answers; what is not known counts as the most."""
    usd = way.price.usd(Usage(1000, 1000))
    return float("inf") if usd is None else usd


@dataclass(slots=True)
class _Wires:
    """The wires of all members, to be closed together; each sends by itself."""

    wires: Sequence[Wire]

    async def post(self, body: bytes) -> Response:
        """Send by the first one, where nobody chose another."""
        return await self.wires[0].post(body)

    async def close(self) -> None:
        """Close them all."""
        for wire in self.wires:
            await wire.close()
