"""`series.llm`: the verbs for a series, which are those of a frame of one column."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Unpack

import pandas as pd

from lionproc.face import face
from lionproc.frame import results
from lionproc.frame.accessor import DEFAULTS, FrameAccessor
from lionproc.frame.assemble import column_names
from lionproc.frame.estimate import Estimate, estimate
from lionproc.frame.job import Job, launch, prepare, wait_for
from lionproc.frame.plan import Plan
from lionproc.frame.plan_arguments import FROM_SCHEMA, VALUE, PromptLike, plan
from lionproc.frame.preview import Preview, Sampling, preview
from lionproc.frame.run_options import (
    SeriesOptions,
    shows,
)
from lionproc.frame.verbs import Verbs
from lionproc.model.answer import Answer

if TYPE_CHECKING:
    from lionproc.reports.report import Report


class SeriesAccessor(Verbs):
    """An LLM for the cells of a series, as `series.llm`."""

    def __init__(self, series: pd.Series[Any]) -> None:
        self._series = series

    @face
    @shows(SeriesOptions, FrameAccessor.process)
    def process(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> pd.Series[Any] | pd.DataFrame:
        """Ask the model about every cell, shown as `{value}`.

        Args:
            prompt: A template with `{value}`, or a function of the cell.
            into: The name of the result; the series' own by default. For a pydantic model or an
                object the prefix of its columns.
            schema: As for `df.llm.process`.
            **options: The other arguments of `df.llm.process`, but for `columns`.

        Returns:
            A series with the same index; a frame of the fields for a pydantic model or object.

        Raises:
            LionprocError: As `df.llm.process`.

        Example:
            ```python
            df["review"].llm.process("Summarise in five words: {value}")
            ```
        """
        job = prepare(self._plan(prompt, into, schema, options))
        return self._unwrapped(wait_for(job), into, job.has_fields)

    @face
    @shows(SeriesOptions, process)
    def start(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> Job:
        """Start what `process` does, and return at once.

        Args:
            prompt: As for `process`.
            into: The name of the new column in the job's frame, "answer" by default. For a
                pydantic model or an object the prefix of its columns.
            schema: As for `process`.
            **options: The other arguments of `process`.

        Returns:
            The running job. Its frame has the cells in a column `value`, and the answers.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.

        Example:
            ```python
            job = df["review"].llm.start("Summarise in five words: {value}", into="summary")
            job.result()["summary"]
            ```
        """
        return launch(self._plan(prompt, into, schema, options))

    @face
    @shows(SeriesOptions, process)
    async def aprocess(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> pd.Series[Any] | pd.DataFrame:
        """`process`, awaited in a running event loop. Cancelling it stops the run.

        Args:
            prompt: As for `process`.
            into: As for `process`.
            schema: As for `process`.
            **options: The other arguments of `process`.

        Returns:
            What `process` returns.

        Raises:
            LionprocError: As `process`.
        """
        job = prepare(self._plan(prompt, into, schema, options))
        return self._unwrapped(await job, into, job.has_fields)

    @face
    @shows(SeriesOptions, process)
    def estimate(
        self,
        prompt: PromptLike,
        into: Hashable | None = None,
        schema: object = str,
        **options: Unpack[SeriesOptions],
    ) -> Estimate:
        """What `process` would send, cost and take. Nothing is sent.

        Args:
            prompt: As for `process`.
            into: As for `process`.
            schema: As for `process`.
            **options: The other arguments of `process`.

        Returns:
            Requests, rows already answered, tokens, dollars and minutes.

        Raises:
            ConfigurationError: An argument cannot work.
        """
        return estimate(self._plan(prompt, into, schema, options))

    @face
    @shows(SeriesOptions, process)
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
        """Run a few cells for real, and say what the rest would cost and take.

        What they answer is journaled, so `process` does not pay for them again. Nothing is saved.

        Args:
            prompt: As for `process`.
            into: As for `process`.
            schema: As for `process`.
            n: How many cells to run.
            sample: As for `df.llm.preview`: "head", "random" or "longest".
            seed: For "random".
            **options: The other arguments of `process`.

        Returns:
            An `lp.Preview`, as `df.llm.preview` does; its `frame` is what `process` returns, of
            these cells.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            RunError: The run cannot go on, as in `process`.
        """
        less: SeriesOptions = {**options, "save": None, "progress": False}

        def few(rows: list[int]) -> Plan:
            return SeriesAccessor(self._series.iloc[rows])._plan(prompt, into, schema, less)

        return preview(
            self._plan(prompt, into, schema, options),
            few,
            lambda out, job: self._unwrapped(out, into, job.has_fields),
            n=n,
            sample=sample,
            seed=seed,
        )

    def _plan(
        self, prompt: PromptLike, into: Hashable | None, schema: object, options: SeriesOptions
    ) -> Plan:
        answer, label = Answer.of(schema), VALUE
        new = [into] if answer.fields is None else column_names(answer, into)
        while label in new:  # a field of this name is no clash: nobody has named the cells
            label += "_"
        named = {
            "into": FROM_SCHEMA if into is None else into,
            "schema": schema,
            "each": True,
            "value_names": (VALUE, self._series.name),
        }
        frame = self._series.to_frame(name=label)
        return plan(frame, prompt, **{**DEFAULTS, **named, **options})

    def _unwrapped(
        self,
        out: pd.DataFrame,
        into: Hashable | None,
        has_fields: bool,
    ) -> pd.Series[Any] | pd.DataFrame:
        made: pd.Series[Any] | pd.DataFrame = out.iloc[:, 1:]  # without the cells
        if isinstance(made, pd.DataFrame) and made.shape[1] == 1 and not has_fields:
            made = made.iloc[:, 0]
            made.name = self._series.name if into is None else into
        made.attrs = dict(out.attrs)
        return made

    @face
    def errors(self) -> pd.DataFrame:
        """As `df.llm.errors`."""
        return results.run_of(self._series).errors()

    @face
    def report(self) -> Report:
        """As `df.llm.report`."""
        return results.run_of(self._series).report()
