"""Whether a task of this process is wanted still, where there is no cluster to ask.

Dask's own schedulers (threads, or none) leave the tasks alone that run when a computation ends
early, by Ctrl-C or by an error: nobody takes what they bring.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import Any

from dask.callbacks import Callback

__all__ = ["current_task", "is_given_up", "look_out"]


_given_up: set[Hashable] = set()


def _starts(graph: Mapping[Hashable, object]) -> None:
    # Who computes it again wants it. A graph may have very many tasks, and these are few.
    _given_up.difference_update([task for task in list(_given_up) if task in graph])


def _ends(graph: object, state: Mapping[str, Any], errored: bool) -> None:
    del graph
    if errored:
        _given_up.update(state.get("running", ()))


_listener = Callback(start=_starts, finish=_ends)  # type: ignore[no-untyped-call]  # Dask's


def look_out() -> None:
    """Hear of the computations that begin from now on."""
    _listener.register()  # again: what is registered within a computation is forgotten with it


def current_task() -> Hashable:
    """The key of the task that this thread does; None where none of Dask's own schedulers runs it."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute_task" and frame.f_globals["__name__"] == "dask.local":
            key: Hashable = frame.f_locals.get("key")
            return key
        frame = frame.f_back  # type: ignore[assignment]
    return None


def is_given_up(task: Hashable) -> bool:
    """Whether the computation of a task has ended without it.

    Args:
        task: What `current_task` said.
    """
    return task is not None and task in _given_up
