"""From the arguments of a call to work on partitions: computed later, or given to a cluster now."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import dask.dataframe as dd
from dask.delayed import delayed
from distributed.client import _get_global_client

from lionproc.dask.job import DaskJob
from lionproc.dask.killed import key_of
from lionproc.dask.partition import answered, checked, failures
from lionproc.dask.question import Asked, DaskRows, Question, question_of
from lionproc.engine.told import warn
from lionproc.errors import ConfigurationError, LionprocWarning
from lionproc.model.cascade import Cascade
from lionproc.notebook.progress import show

__all__ = ["asks_before", "known_length", "lazily", "started", "tasks_of"]

MOST_FILES = 1000  # whose ends are read for the number of their rows
_ARITHMETIC = frozenset({None, operator.mul, operator.floordiv})  # and numbers


def lazily(asked_about: DaskRows, asked: Asked) -> DaskRows:
    """What comes out, to be computed.

    Args:
        asked_about: A Dask frame or series.
        asked: The arguments of the call.

    Raises:
        ConfigurationError: One of them cannot work; nothing was sent.
    """
    rows, _, meta, parts = _planned(asked_about, asked)
    return dd.from_delayed(parts, meta=meta, divisions=rows.divisions, prefix="llm")


def started(asked_about: DaskRows, asked: Asked) -> DaskJob:
    """The work, given to the cluster that is in use.

    Args:
        asked_about: A Dask frame or series.
        asked: The arguments of the call.

    Raises:
        ConfigurationError: One of them cannot work, or there is no cluster; nothing was sent.
    """
    client = _get_global_client()
    if client is None:
        raise ConfigurationError(
            "start() gives the work to a cluster, and there is none yet: lionproc.dask.local() "
            "makes one on this machine, distributed.Client(address) uses another."
        )
    if client.asynchronous:
        raise ConfigurationError(
            "This client was made with asynchronous=True, and everything here waits by itself. "
            "Make another one for it: distributed.Client(address). await ddf.llm.aprocess(...) "
            "does not block the loop."
        )
    rows, question, meta, parts = _planned(asked_about, asked, watched=True)
    many = known_length(asked_about)
    job = DaskJob(client, question, parts, meta, rows.divisions, rows=many)
    show(job, progress=question.progress, panel=question.panel, facts=job.facts)
    job.begin()
    return job


def tasks_of(question: Question, rows: DaskRows, *, raising: bool) -> list[Any]:
    """A task for each partition.

    Args:
        question: What is asked.
        rows: A Dask frame or series.
        raising: Whether rows that failed raise, once all are done.
    """
    # Numbers that belong to the partitions, whichever of them are computed later: their files are
    # called by them.
    parts = rows.to_delayed(optimize_graph=False)
    asked = delayed(question, traverse=False)
    ask = delayed(answered, pure=False)
    done = [
        ask(
            part,
            number,
            asked,
            dask_key_name=key_of(question.token, number, watched=question.watched),
        )
        for number, part in enumerate(parts)
    ]
    if not raising:
        return done
    failed = [delayed(failures)(part) for part in done]
    return [delayed(checked)(part, failed) for part in done]


def asks_before(rows: DaskRows) -> bool:
    """Whether a model is asked when these rows are computed: by a `process` that is not done yet.

    Args:
        rows: A Dask frame or series.
    """
    graph = dict(rows.optimize(fuse=False).__dask_graph__())
    return any(getattr(task, "func", None) is answered for task in graph.values())


def known_length(rows: DaskRows) -> int | None:
    """How many rows there are, where files or the frame that it was made of say so at once.

    Args:
        rows: A Dask frame or series.
    """
    if rows.npartitions > MOST_FILES:
        return None
    counted = rows.shape[0] if rows.ndim > 1 else rows.size
    graph: Mapping[Any, Any] = dict(counted.optimize(fuse=False).__dask_graph__())
    if any(getattr(task, "func", None) not in _ARITHMETIC for task in graph.values()):
        return None  # rows would be read
    return int(counted.compute(scheduler="sync"))


def _planned(
    asked_about: DaskRows, asked: Asked, *, watched: bool = False
) -> tuple[DaskRows, Question, Any, list[Any]]:
    """The rows, what is asked of them, an empty answer, and the work on each partition."""
    rows = asked_about.optimize()
    question, meta = question_of(asked, rows, watched=watched)
    _tell_of_small_partitions(question, asked_about)
    _tell_of_equal_rows(asked, asked_about)
    return (
        rows,
        question,
        meta,
        tasks_of(question, rows, raising=asked.options.get("errors") == "raise"),
    )


def _tell_of_small_partitions(question: Question, rows: DaskRows) -> None:
    """Each partition is a run, in which a cascade with a target has a sample of its own."""
    model = question.model
    if not isinstance(model, Cascade) or model.target is None or model.gold is not None:
        return
    many = known_length(rows)
    if many is not None and many <= model.sample * rows.npartitions:
        warn(
            f"A Cascade with target= finds its threshold in each partition, from {model.sample:,} "
            "rows that the large model answers, and these partitions have no more: it answers all of "
            "them, and nothing is saved. Make larger ones (ddf.repartition(...)), or give below=, "
            "such as the threshold that a run over some of the rows has found "
            '(out.llm.report().facts["threshold"]).',
            LionprocWarning,
        )


def _tell_of_equal_rows(asked: Asked, rows: DaskRows) -> None:
    """Which rows are equal to those of other partitions is known to none of them."""
    one_by_one = asked.options.get("deduplicate") is False
    if one_by_one and asked.options.get("journal") is not False and rows.npartitions > 1:
        warn(
            "With deduplicate=False equal rows of one partition are asked one by one; those of "
            "different partitions share an answer, which the journal has. To ask each of them make "
            "it another question, such as by a number of the row in the prompt, or make one "
            "partition (ddf.repartition(npartitions=1)).",
            LionprocWarning,
        )
