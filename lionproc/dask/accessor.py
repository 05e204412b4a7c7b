"""`ddf.llm` and `series.llm`: the verbs for Dask frames and series, with the arguments of pandas'."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Unpack

import dask.dataframe as dd
from dask.delayed import delayed

from lionproc.dask.job import DaskJob
from lionproc.dask.partition import answered, checked, failures
from lionproc.dask.question import Asked, DaskRows, Question, question_of
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.plan_arguments import FROM_SCHEMA, PromptLike
from lionproc.frame.run_options import RunOptions, SeriesOptions, shows
from lionproc.frame.series_accessor import SeriesAccessor
from lionproc.notebook.progress import watchers

__all__ = ["DaskFrameAccessor", "DaskSeriesAccessor"]


class DaskFrameAccessor:
    """An LLM for the columns of a Dask frame, as `ddf.llm`."""

    def __init__(self, frame: DaskRows) -> None:
        self._frame = frame

    @face
    @shows(RunOptions, FrameAccessor.process)
    def process(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> DaskRows:
        """Ask the model about every row, when the frame that comes back is computed.

        Nothing is sent until then (`.compute()`, `.to_parquet(...)`, `.persist()`). Each partition
        is a run of the worker that has it. Limits hold for all workers together.

        Args:
            prompt: As for `df.llm.process`.
            into: As for `df.llm.process`.
            schema: As for `df.llm.process`.
            save: A folder, into which every partition is written when it is done; what is there
                whole is read back in place of being asked.
            budget: That of all partitions together. Those that run at the same time can pass it
                by what they send in half a second.
            **options: The other arguments of `df.llm.process`. `progress` and `panel` are those
                of `start`.

        Returns:
            A Dask frame with the input's columns, partitions and divisions, and the new columns
            with the dtypes that `df.llm.process` gives them.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.

        Example:
            ```python
            import dask.dataframe as dd
            import lionproc.dask

            ddf = dd.from_pandas(df, npartitions=2)  # or dd.read_parquet("reviews/")
            out = ddf.llm.process("Is {review} positive?", into="positive", schema=bool)
            out.compute()  # or out.to_parquet("answers/")
            ```
        """
        return _lazily(self._frame, Asked("frame", prompt, into, schema, options))

    @face
    @shows(RunOptions, FrameAccessor.process)
    def start(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> DaskJob:
        """Start what `process` does on the cluster that is in use, and return at once.

        Args:
            prompt: As for `df.llm.process`.
            into: As for `df.llm.process`.
            schema: As for `df.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            The running job: live stats and limits, pause and stop, and the frame at its end.

        Raises:
            ConfigurationError: An argument cannot work, or there is no cluster; nothing was sent.
        """
        return _started(self._frame, Asked("frame", prompt, into, schema, options))


class DaskSeriesAccessor:
    """An LLM for the cells of a Dask series, as `series.llm`."""

    def __init__(self, series: DaskRows) -> None:
        self._series = series

    @face
    @shows(SeriesOptions, SeriesAccessor.process)
    def process(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> DaskRows:
        """Ask the model about every cell, shown as `{value}`, when what comes back is computed.

        Args:
            prompt: As for `series.llm.process`.
            into: As for `series.llm.process`.
            schema: As for `series.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            A Dask series with the same partitions and divisions; a Dask frame of the fields for a
            pydantic model or object.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
        """
        return _lazily(self._series, Asked("series", prompt, into, schema, options))


def _started(asked_about: DaskRows, asked: Asked) -> DaskJob:
    from distributed.client import _get_global_client

    client = _get_global_client()
    if client is None:
        raise ConfigurationError(
            "start() gives the work to a cluster, and there is none yet: lionproc.dask.local() "
            "makes one on this machine, distributed.Client(address) uses another."
        )
    rows, question, meta, parts = _planned(asked_about, asked)
    job = DaskJob(client, question, parts, meta, rows.divisions)
    shown = watchers(
        job,
        progress=question.progress,
        panel=question.panel,
        title=job.title,
        facts=job.facts,
        latest=job.latest_errors,
    )
    for watcher in shown:
        job.watch(watcher)
    job.begin()
    return job


def _lazily(asked_about: DaskRows, asked: Asked) -> DaskRows:
    rows, _, meta, parts = _planned(asked_about, asked)
    return dd.from_delayed(parts, meta=meta, divisions=rows.divisions, prefix="llm")


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
        ask(part, number, asked, dask_key_name=(f"llm-process-{question.token}", number))
        for number, part in enumerate(parts)
    ]
    if not raising:
        return done
    failed = [delayed(failures)(part) for part in done]
    return [delayed(checked)(part, failed) for part in done]


def _planned(asked_about: DaskRows, asked: Asked) -> tuple[DaskRows, Question, Any, list[Any]]:
    """The rows, what is asked of them, an empty answer, and the work on each partition."""
    rows = asked_about.optimize()
    question, meta = question_of(asked, rows)
    return (
        rows,
        question,
        meta,
        tasks_of(question, rows, raising=asked.options.get("errors") == "raise"),
    )
