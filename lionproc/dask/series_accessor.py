"""`series.llm` of Dask series: the verbs for their cells, with the arguments of pandas'."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Unpack

from lionproc.dask.foresight import foreseen, tried
from lionproc.dask.job import DaskJob
from lionproc.dask.planned import lazily, started
from lionproc.dask.question import Asked, DaskRows
from lionproc.dask.refusals import ERRORS, REPORT, refused
from lionproc.face import face
from lionproc.frame.estimate import Estimate
from lionproc.frame.plan_arguments import PromptLike
from lionproc.frame.preview import Preview, Sampling
from lionproc.frame.run_options import SeriesOptions, shows
from lionproc.frame.series_accessor import SeriesAccessor

__all__ = ["DaskSeriesAccessor"]


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
        return lazily(self._series, Asked("series", prompt, into, schema, options))

    @face
    @shows(SeriesOptions, SeriesAccessor.process)
    def start(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> DaskJob:
        """Start what `process` does on the cluster that is in use, and return at once.

        Args:
            prompt: As for `series.llm.process`.
            into: As for `series.llm.process`.
            schema: As for `series.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            The running job; its result is what `process` gives.

        Raises:
            ConfigurationError: An argument cannot work, or there is no cluster; nothing was sent.
        """
        return started(self._series, Asked("series", prompt, into, schema, options))

    @face
    @shows(SeriesOptions, SeriesAccessor.process)
    async def aprocess(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> DaskRows:
        """`start`, awaited in a running event loop. Cancelling it stops the work.

        Args:
            prompt: As for `series.llm.process`.
            into: As for `series.llm.process`.
            schema: As for `series.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            What `process` gives, of partitions that are there.

        Raises:
            ConfigurationError: An argument cannot work, or there is no cluster; nothing was sent.
            LionprocError: As `job.result()`.
        """
        return await started(self._series, Asked("series", prompt, into, schema, options))

    @face
    @shows(SeriesOptions, SeriesAccessor.process)
    def estimate(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> Estimate:
        """What `process` would send, cost and take, by a sample of the cells. Nothing is sent.

        Args:
            prompt: As for `series.llm.process`.
            into: As for `series.llm.process`.
            schema: As for `series.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            As `ddf.llm.estimate`.

        Raises:
            ConfigurationError: As `ddf.llm.estimate`.
        """
        return foreseen(self._series, Asked("series", prompt, into, schema, options))

    @face
    @shows(SeriesOptions, SeriesAccessor.process)
    def preview(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        *,
        n: int = 3,
        sample: Sampling = "head",
        seed: int = 0,
        **options: Unpack[SeriesOptions],
    ) -> Preview:
        """Run a few cells for real, in this process, and say what the rest would cost and take.

        Args:
            prompt: As for `series.llm.process`.
            into: As for `series.llm.process`.
            schema: As for `series.llm.process`.
            n: How many cells to run.
            sample: As for `ddf.llm.preview`.
            seed: For "random".
            **options: As for `ddf.llm.process`; nothing is saved.

        Returns:
            As `ddf.llm.preview`.

        Raises:
            ConfigurationError: As `ddf.llm.preview`.
            RunError: The run cannot go on.
        """
        asked = Asked("series", prompt, into, schema, options)
        return tried(self._series, asked, n=n, sample=sample, seed=seed)

    errors = refused("errors", ERRORS)
    report = refused("report", REPORT)
