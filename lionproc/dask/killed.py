"""What to do where Dask gives up on a partition, because worker after worker died over it.

Dask ends such work with an error of its own, `KilledWorker`, which knows nothing of what was
answered and kept. A job raises an error of ours in its place. What is computed by Dask raises
Dask's; there the scheduler sends the same advice to the notebook, as a warning just before it.
"""

from __future__ import annotations

from typing import Any

from distributed.protocol.pickle import dumps

from lionproc.errors import LionprocWarning

__all__ = ["advice", "key_of", "warn_if_killed"]

_COMPUTED = "llm-process-"  # nobody watches it: what Dask raises is all that is heard of it
_WATCHED = "llm-start-"  # a job says it


def key_of(token: str, number: int, *, watched: bool) -> tuple[str, int]:
    """What the task of a partition is called in the scheduler, and in Dask's dashboard.

    Args:
        token: The question's.
        number: Which partition, from 0.
        watched: Whether a job in the notebook watches it.
    """
    return (f"{_WATCHED if watched else _COMPUTED}{token}", number)


def advice(number: int) -> str:
    """What happened to a partition, and the way on.

    Args:
        number: Which one, from 0.
    """
    return (
        f"Partition {number} was given to several workers, and each died while it had it. Most "
        "often that is memory: make partitions smaller (ddf.repartition(partition_size="
        '"64MB")), give each worker more (lionproc.dask.local(memory_limit="4GB")), or fewer '
        "threads. client.get_worker_logs() may say more. Doing it again goes on from what was "
        "answered, where there is a journal."
    )


def warn_if_killed(scheduler: Any, key: Any) -> bool:
    """Warn all notebooks of a cluster if a failed task is a partition that nobody watches.

    They are told as `distributed.warn` tells from a task.

    Args:
        scheduler: The scheduler.
        key: The key of a task that has just failed.

    Returns:
        Whether it was one, and was given up because of workers that died.
    """
    if not (isinstance(key, tuple) and str(key[0]).startswith(_COMPUTED)):
        return False
    if scheduler.tasks[key].suspicious <= scheduler.allowed_failures:
        return False
    message, category = (
        dumps(each)  # type: ignore[no-untyped-call]
        for each in (advice(key[1]), LionprocWarning)
    )
    scheduler.log_event("warn", {"message": message, "category": category})
    return True
