"""A word on answers of earlier runs that are kept, though the same would be asked otherwise now.

A batch or a job may go on with another model, scope or prompt than it began with: what was answered
is paid for and stays, and its results are then of two kinds.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from lionproc.engine import loop as engine_loop
from lionproc.engine.told import warn
from lionproc.errors import LionprocWarning
from lionproc.service.request_runner import RequestRunner

__all__ = ["telling_of_kept"]

P = ParamSpec("P")
T = TypeVar("T")


class _Lists(Protocol):
    """What goes on with lists of items."""

    def _runners(self) -> Iterable[RequestRunner]: ...


L = TypeVar("L", bound=_Lists)


def telling_of_kept(
    method: Callable[Concatenate[L, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[L, P], Coroutine[Any, Any, T]]:
    """Have a coroutine method run on the engine's loop, and warn at its end, where it is awaited.

    Args:
        method: One that goes on with lists that were begun before.
    """

    @functools.wraps(method)
    async def told(self: L, /, *args: P.args, **kwargs: P.kwargs) -> T:
        for runner in self._runners():
            runner.kept_otherwise = 0
        result = await engine_loop.bridge(method(self, *args, **kwargs))
        kept = sum(runner.kept_otherwise for runner in self._runners())
        if kept:
            answers = "1 answer was" if kept == 1 else f"{kept:,} answers were"
            warn(
                f"{answers} kept from earlier runs though the same would be asked otherwise now: the "
                "model, its address or scope, a parameter or the prompt has changed (or a record). "
                "Answers that came since stand beside them. To have all of one kind, process the "
                "items anew, as a list of its own.",
                LionprocWarning,
            )
        return result

    return told
