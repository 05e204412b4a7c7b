"""`ddf.llm`: the verbs for Dask frames, with the arguments of pandas'. Series: `series_accessor.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from lionproc.dask.foresight import foreseen, tried
from lionproc.dask.job import DaskJob
from lionproc.dask.planned import lazily, started
from lionproc.dask.question import Asked, DaskRows
from lionproc.dask.refusals import ERRORS, REPORT, refused
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.estimate import Estimate
from lionproc.frame.plan_arguments import FROM_SCHEMA, PromptLike
from lionproc.frame.preview import Preview, Sampling
from lionproc.frame.run_options import PipelineOptions, RunOptions, shows

__all__ = ["DaskFrameAccessor"]


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
                whole is read back in place of being asked, also with `journal=False`. With
                `resume=False` that is only what this call has written, and the rest is replaced.
                What was answered to other questions of a function is asked again.
            budget: That of all partitions together. On a cluster what is left is divided among
                those that run at the same time, anew every half second: dollars and tokens can be
                passed by a request of each.
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
        return lazily(self._frame, Asked("frame", prompt, into, schema, options))

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
        return started(self._frame, Asked("frame", prompt, into, schema, options))

    @face
    @shows(RunOptions, FrameAccessor.process)
    async def aprocess(
        self,
        prompt: PromptLike | Sequence[object],
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> DaskRows:
        """`start`, awaited in a running event loop. Cancelling it stops the work.

        Args:
            prompt: As for `df.llm.process`; or the stages of `pipeline`.
            into: As for `df.llm.process`.
            schema: As for `df.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            What `job.result()` returns: a Dask frame whose partitions are there.

        Raises:
            ConfigurationError: An argument cannot work, or there is no cluster; nothing was sent.
            LionprocError: As `job.result()`.
        """
        return await started(self._frame, Asked("frame", prompt, into, schema, options))

    @face
    @shows(PipelineOptions, FrameAccessor.process)
    def pipeline(self, stages: Sequence[Any], **options: Unpack[PipelineOptions]) -> DaskRows:
        """Send every row through stages, when the frame that comes back is computed.

        Args:
            stages: As for `df.llm.pipeline`. They have the model and the limits of the call, and
                none of their own.
            **options: As for `ddf.llm.process`.

        Returns:
            As `ddf.llm.process`.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
        """
        from lionproc.frame.pipeline import are_stages

        if not are_stages(stages):
            raise ConfigurationError("stages= is a list of stages: dicts or lp.ProcessingStage.")
        return lazily(self._frame, Asked("frame", list(stages), FROM_SCHEMA, str, options))

    @face
    @shows(RunOptions, FrameAccessor.process)
    def estimate(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> Estimate:
        """What `process` would send, cost and take, by a sample of the rows. Nothing is sent.

        Up to 1,000 rows of five partitions are read. Of more rows it is not seen which ones are
        equal. `answered` counts what the journal of this process has, and not what is saved.
        Where concurrency decides about the minutes, they are those of one worker process.

        Args:
            prompt: As for `df.llm.process`.
            into: As for `df.llm.process`.
            schema: As for `df.llm.process`.
            **options: As for `ddf.llm.process`.

        Returns:
            An `lp.Estimate` of all rows, as `df.llm.estimate` gives it; `.sample` says what it was
            foreseen from.

        Raises:
            ConfigurationError: An argument cannot work, or the rows come from a `process` that is
                not computed yet.
        """
        return foreseen(self._frame, Asked("frame", prompt, into, schema, options))

    @face
    @shows(RunOptions, FrameAccessor.process)
    def preview(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        *,
        n: int = 3,
        sample: Sampling = "head",
        seed: int = 0,
        **options: Unpack[RunOptions],
    ) -> Preview:
        """Run a few rows for real, in this process, and say what the rest would cost and take.

        They are taken from up to 1,000 rows of five partitions.

        Args:
            prompt: As for `df.llm.process`.
            into: As for `df.llm.process`.
            schema: As for `df.llm.process`.
            n: How many rows to run.
            sample: As for `df.llm.preview`, of the rows that were read.
            seed: For "random".
            **options: As for `ddf.llm.process`; nothing is saved.

        Returns:
            An `lp.Preview`, as `df.llm.preview` gives it; its `.estimate` is that of all rows.

        Raises:
            ConfigurationError: An argument cannot work, or the rows come from a `process` that is
                not computed yet; nothing was sent.
            RunError: The run cannot go on.
        """
        asked = Asked("frame", prompt, into, schema, options)
        return tried(self._frame, asked, n=n, sample=sample, seed=seed)

    compare = refused(
        "compare",
        "It asks the same few rows in several ways: take some, as with "
        "ddf.head(200, npartitions=-1).llm.compare(...).",
    )
    limits = refused(
        "limits",
        "Workers keep the limits together while they work: job = ddf.llm.start(...), and "
        "job.limits are live.",
    )
    errors = refused("errors", ERRORS)
    report = refused("report", REPORT)
    score = refused(
        "score",
        "Bring the columns here that it compares: "
        'out[["mood", "label"]].compute().llm.score("mood", gold="label").',
    )
    check = refused(
        "check",
        'Bring the answers here, or some of them: out[["mood"]].compute().llm.check("mood").',
    )
    to_review = refused(
        "to_review",
        "Draw from rows that are here: out.sample(frac=0.01).compute().llm.to_review(...).",
    )
    facts = refused("facts", 'With save="answers/", lp.read_facts says it of each part.')
    to_parquet = refused(
        "to_parquet",
        'save="answers/" writes a part per partition, with the facts of its run; '
        'lionproc.dask.read_parquet("answers/") reads them back.',
    )
    to_csv = refused(
        "to_csv",
        "out.compute().llm.to_csv(path) brings all rows here; out.to_csv(folder) does not, and lets formulas through.",
    )
    to_excel = refused("to_excel", "A sheet is written at once: out.compute().llm.to_excel(path).")
    to_jsonl = refused(
        "to_jsonl",
        "out.compute().llm.to_jsonl(path) brings all rows here; a partition at a time does not: "
        "for part in out.partitions: part.compute().llm.to_jsonl(...).",
    )
    to_arrow = refused(
        "to_arrow",
        'out.compute().llm.to_arrow() brings all rows here; with save="answers/" Arrow reads the '
        'folder: pyarrow.dataset.dataset("answers/").',
    )
    to_dataset = refused("to_dataset", "A dataset is in memory: out.compute().llm.to_dataset().")
