"""`df.llm`: the verbs that ask. What is asked of answers: `answers_accessor.py`; a series: `series_accessor.py`.

More than 400 lines because two thirds of them are the arguments and docstrings that people read
in a notebook; what a verb does is a few lines in each.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

import pandas as pd

from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.answers_accessor import AnswersAccessor
from lionproc.frame.estimate import Estimate, estimate
from lionproc.frame.job import Job, launch, prepare, wait_for
from lionproc.frame.plan import Plan
from lionproc.frame.plan_arguments import FROM_SCHEMA, PromptLike, plan
from lionproc.frame.preview import Preview, Sampling, preview
from lionproc.frame.run_options import (
    PipelineOptions,
    RunOptions,
    defaults_of,
    shows,
)
from lionproc.frame.shared_limits import limits_panel
from lionproc.model.model import Model

if TYPE_CHECKING:
    from lionproc.frame.scoring import Comparison, WayToDraw
    from lionproc.notebook.limits_panel import LimitsPanel


class FrameAccessor(AnswersAccessor):
    """An LLM for the columns of a frame, as `df.llm`."""

    @face
    def process(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        *,
        system: Any = None,
        model: Model | str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
        budget: Budget | None = None,
        retry: Retry | None = None,
        columns: Sequence[Hashable] | None = None,
        chunk_size: int | None = None,
        save: Any = None,
        journal: Any = None,
        resume: bool = True,
        deduplicate: bool = True,
        name: str | None = None,
        on_missing: Literal["skip", "send"] = "skip",
        examples: object = None,
        errors: Literal["coerce", "raise"] = "coerce",
        overwrite: bool = False,
        details: bool = False,
        confidence: bool = False,
        votes: int = 1,
        tie: Literal["na", "first"] = "na",
        progress: bool | None = None,
        panel: bool | None = None,
    ) -> pd.DataFrame:
        r"""Ask the model about every row and get the frame back with the answers.

        Blocks until it is done; interrupting keeps everything that was answered. What is in
        the journal is not asked again, so running a cell twice pays for nothing but what failed.

        Args:
            prompt: A template with `{column}` placeholders (`{{` is a brace), or a function
                that takes a row (a dict) and returns a text, a list of messages, or None to
                skip it.
            into: The new column. For a pydantic model or an object the prefix of its columns,
                None for the bare field names. With `columns=`, a name with `{column}` in it.
            schema: The answer's type: str, int, float, bool, Literal, Enum, dates, times,
                Decimal, list[...], dict[str, ...], a pydantic model, or a JSON Schema as a dict.
            system: A system prompt: a text, or a function of the row.
            model: "provider/model", or an `lp.Model`. None for that of `lp.configure`.
            limits: `lp.Limits(requests_per_minute=500)`, which become the live limits of
                everything that goes to this endpoint, key and model, runs that are under way
                included. None leaves them as they are.
            budget: `lp.Budget(usd=5)`; reaching it stops the run and returns what there is. None
                for no bound.
            retry: `lp.Retry`: how often, and how long, what failed is tried again. None for its
                defaults.
            columns: Ask the same about each of these columns; the prompt shows the cell as
                `{value}`.
            chunk_size: Rows per saved part and checkpoint, 1000 if not set.
            save: "out.parquet" for a file, "folder/" for a file per chunk, each as soon as its last
                row is there; or the address of either, such as "s3://...".
            journal: Where replies are kept: a path, None for `.lionproc/journal.sqlite`,
                False for nowhere on disk.
            resume: False asks again even what the journal has, and on Dask what is there at `save=`.
            deduplicate: False asks equal rows one by one.
            name: What `lp.runs()` calls this run.
            on_missing: "skip" leaves rows with a missing cell in the prompt NA without asking,
                "send" asks with an empty text there.
            examples: Rows with their answers, shown to the model before each question: a frame with
                the columns that the prompt shows and those of the answer (`into`), or a list of
                pairs like `({"review": "Fine."}, "positive")`. `score` leaves such rows out.
            errors: "coerce" makes failed rows NA and warns once; "raise" raises after all
                others are done and kept.
            overwrite: Replace columns that are there, and a file at `save=` that would lose rows
                or columns or is no parquet.
            details: Add columns with each row's status, error, attempts, tokens (all, input, cached
                and output), dollars, seconds, the model that answered, as its reply says, the run,
                and a note where an answer was asked again for its shape or repaired. What is not
                known is NA. Of equal rows, which share a request, the first bears the dollars, so
                that they add up to what was paid.
            confidence: Add `{into}_confidence`, from 0 to 1: the probability of the answer among
                those allowed, from the log-probabilities of its tokens. For Literal, Enum and bool;
                of a pydantic model a column for each such field. Where the model does not tell
                them: `votes=`.
            votes: Ask each row so many times; the answer is that of the majority and
                `{into}_confidence` its share. Each vote is a request; `votes=5` after `votes=3`
                buys two more. One that failed is asked again only if its row has no answer.
            tie: Where several answers have the most votes: "na" leaves the row without one, "first"
                takes the one that was given first.
            progress: False shows neither bar nor panel nor card.
            panel: True shows the live panel, False a bar; None the panel in a notebook that a
                person looks at, else the bar.

        Returns:
            A new frame: the input's rows, order and index, the new columns at the end with
            real dtypes (string, Int64, Float64, boolean, category, Arrow lists and structs).

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            RunError: The server refuses the key, is down, or the journal cannot be written.
            RowsFailedError: Rows failed and `errors="raise"`.
            KeyboardInterrupt: You stopped it; `lp.last_job().frame()` has what there is.

        Example:
            ```python
            out = df.llm.process(
                "Is this review positive or negative?\nReview: {review}",
                into="sentiment",
                schema=Literal["positive", "negative"],
                model="openai/gpt-4o-mini",
                limits=lp.Limits(requests_per_minute=500),
                save="reviews.parquet",
            )
            ```
        """
        options: RunOptions = {
            "system": system,
            "model": model,
            "limits": limits,
            "budget": budget,
            "retry": retry,
            "columns": columns,
            "chunk_size": chunk_size,
            "save": save,
            "journal": journal,
            "resume": resume,
            "deduplicate": deduplicate,
            "name": name,
            "on_missing": on_missing,
            "examples": examples,
            "errors": errors,
            "overwrite": overwrite,
            "details": details,
            "confidence": confidence,
            "votes": votes,
            "tie": tie,
            "progress": progress,
            "panel": panel,
        }
        return wait_for(prepare(self._plan(prompt, into, schema, options)))

    @face
    @shows(RunOptions, process)
    def start(
        self,
        prompt: PromptLike | Sequence[Any],
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> Job:
        """Start what `process` does, and return at once.

        Args:
            prompt: As for `process`; or the stages of `pipeline`.
            into: As for `process`.
            schema: As for `process`.
            **options: All other arguments of `process`.

        Returns:
            The running job.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
        """
        return launch(self._plan(prompt, into, schema, options))

    @face
    @shows(RunOptions, process)
    async def aprocess(
        self,
        prompt: PromptLike | Sequence[object],
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> pd.DataFrame:
        """`process`, awaited in a running event loop. Cancelling it stops the run.

        Args:
            prompt: As for `process`; or the stages of `pipeline`.
            into: As for `process`.
            schema: As for `process`.
            **options: All other arguments of `process`.

        Returns:
            The frame, as `process` does.

        Raises:
            LionprocError: As `process`.
        """
        return await prepare(self._plan(prompt, into, schema, options))

    @face
    @shows(PipelineOptions, process)
    def pipeline(self, stages: Sequence[Any], **options: Unpack[PipelineOptions]) -> pd.DataFrame:
        """Send every row through stages that work at the same time, and add all their columns.

        A stage's prompt may show what the frame that comes out has: columns of the input
        (`{review}`), and those of the stages before it (`{mood}`, `{facts_length}`; `{length}`
        too, where nothing else is called so). What could mean two things is refused. Rows
        stream; one that fails at a stage stops there and is NA from then on. What is in the
        journal is not asked again.

        It is a run like any other: it can be interrupted, paused and bounded, and it goes on
        where it was. `df.llm.start(stages)` gives the job, `await df.llm.aprocess(stages)` waits.

        Args:
            stages: `lp.ProcessingStage`s, or dicts of their fields. The name of a stage is that
                of its column, or the prefix of its columns where its schema has fields. A prompt
                is sent as `process` sends it: without a system prompt, unless the stage has one.
            model: Who answers where a stage names no model; None for the session's.
            limits: As for `process`: for everything that goes to that endpoint and key.
                A stage's own are its `rate_limit` and `concurrency`.
            budget: As for `process`: for all stages together.
            on_missing: As for `process`, for the templates of all stages.
            details: As for `process`, for each stage, and a column `pipeline_error` that says
                which stage stopped a row, and why.
            **options: All other arguments of `process`, but for those that a stage has itself.

        Returns:
            A new frame: the input's rows, order and index, the new columns at the end. Its
            `.llm.errors()` says which stage stopped which row and why, `.llm.report()` what
            the run and each stage did.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            RunError: The server refuses the key, is down, or the journal cannot be written.
            RowsFailedError: Rows failed and `errors="raise"`.

        Example:
            ```python
            df.llm.pipeline([
                {"name": "topic", "prompt": "What is this about? {review}"},
                {"name": "mood", "prompt": "How does it feel about {topic}? {review}",
                 "schema": Literal["good", "bad"], "rate_limit": 300},
            ])
            ```
        """
        return wait_for(prepare(_pipeline_plan(self._frame, stages, options)))

    @face
    @shows(RunOptions, process)
    def estimate(
        self,
        prompt: PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        **options: Unpack[RunOptions],
    ) -> Estimate:
        """What `process` would send, cost and take. Nothing is sent.

        Args:
            prompt: As for `process`.
            into: As for `process`.
            schema: As for `process`.
            **options: All other arguments of `process`.

        Returns:
            An `lp.Estimate`: requests, rows already answered, tokens, dollars, minutes, which limit
            decides how long it takes, and whether lengths were seen or are guessed.

        Raises:
            ConfigurationError: An argument cannot work.

        Example:
            ```python
            df.llm.estimate("Is {review} positive?", into="ok", schema=bool).usd
            ```
        """
        return estimate(self._plan(prompt, into, schema, options))

    @face
    @shows(RunOptions, process)
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
        """Run a few rows for real, and say what the rest would cost and take.

        What they answer is journaled, so `process` does not pay for them again. Shown as the last
        line of a cell, a preview has each row's prompt, reply, answer, tokens, cost and time.

        Args:
            prompt: As for `process`.
            into: As for `process`.
            schema: As for `process`.
            n: How many rows to run.
            sample: Which ones: "head" the first, "random" some from anywhere, which say best what
                the rest costs, "longest" those with the longest prompts, which go wrong first.
            seed: For "random": the same seed draws the same rows.
            **options: All other arguments of `process`; nothing is saved.

        Returns:
            An `lp.Preview`: `.frame`, the rows with their answers; `.rows`, a frame of what went
            out and came back; `.estimate` of the rest, by what was seen.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            RunError: The run cannot go on, as in `process`.

        Example:
            ```python
            df.llm.preview("Is {review} positive?", into="ok", schema=bool, n=20, sample="random")
            ```
        """
        less: RunOptions = {**options, "save": None, "progress": False}

        def few(rows: list[int]) -> Plan:
            return FrameAccessor(self._frame.iloc[rows])._plan(prompt, into, schema, less)

        whole = self._plan(prompt, into, schema, options)
        return preview(whole, few, lambda out, _: out, n=n, sample=sample, seed=seed)

    @face
    @shows(RunOptions, process, without=("columns", "save", "errors", "overwrite"))
    def compare(
        self,
        prompts: Mapping[str, Any] | Sequence[PromptLike] | PromptLike,
        into: object = FROM_SCHEMA,
        schema: object = str,
        *,
        models: Mapping[str, Any] | Sequence[Any] | Model | str | None = None,
        n: int | None = 50,
        sample: WayToDraw = "random",
        gold: Hashable | None = None,
        seed: int = 0,
        **options: Unpack[RunOptions],
    ) -> Comparison:
        """Ask the same rows in several ways: which is better, and is that luck?

        Every prompt is asked of every model, all at the same time, under the limits that they
        share and one budget. What is answered is journaled, so `process` with one of them does not
        pay for it again, and neither does running the cell again with one more.

        Args:
            prompts: By name: `{"short": "...", "strict": "..."}`, each a prompt as for `process`,
                or a dict of `prompt` and what goes with it alone (`system`, `examples`,
                `confidence`, `votes`). Or a list, or one.
            into: As for `process`; the columns of the comparison are called as the variants.
            schema: As for `process`.
            models: A list of models, or `{"name": model}`; None for `model=`.
            n: How many rows; None for all. Rows that are examples, or lack a cell that a template
                shows, are not drawn.
            sample: "random" draws them anywhere, "head" takes the first.
            gold: The column of what is right. Rows without it are not drawn; its values come in
                as often as they are.
            seed: The same one draws the same rows.
            **options: The other arguments of `process`.

        Returns:
            An `lp.Comparison`: `.table` (a row for each variant: accuracy with a 95 % interval,
            or agreement without gold, dollars for 1,000 rows, seconds, errors), `.frame`,
            `.disagreements`, `.agreement`, `.best`, `.test(a, b)` (McNemar's), `.diff(a, b)`,
            `.use(name)`, `.plot()`. A card as the last line of a cell.

        Raises:
            ConfigurationError: An argument cannot work; nothing was sent.
            RunError: None of the variants could go on. If one could, it is not raised: the others
                are shown with what stopped them.

        Example:
            ```python
            c = df.assign(label=["positive", "negative"]).llm.compare(
                {"short": "Mood? {review}", "strict": "Positive or negative? {review}"},
                models=["openai/gpt-4o-mini", "openai/gpt-4o"],
                into="mood", schema=Literal["positive", "negative"], gold="label", n=100,
            )
            ```
        """
        from lionproc.frame.scoring import compare

        def asks(rows: pd.DataFrame, prompt: Any, into: Any, more: dict[str, Any]) -> Plan:
            given: Any = more
            return FrameAccessor(rows)._plan(prompt, into, schema, given)

        taken: dict[str, Any] = dict(options)
        return compare(
            self._frame,
            prompts,
            asks,
            into=into,
            models=models,
            n=n,
            sample=sample,
            gold=gold,
            seed=seed,
            options=taken,
        )

    @face
    def limits(self, model: Model | str | None = None) -> LimitsPanel:
        """The live limits that all runs to a model share; in a notebook, sliders for them.

        Args:
            model: As for `process`.

        Returns:
            What shows the panel as the last line of a cell; its `limits` can be assigned to.

        Raises:
            ModelError: There is no such model, or no key for it.
        """
        return limits_panel(model)

    def _plan(
        self,
        prompt: PromptLike | Sequence[object],
        into: object,
        schema: object,
        options: RunOptions,
    ) -> Plan:
        if isinstance(prompt, (list, tuple)):
            from lionproc.frame.pipeline import are_stages

            if are_stages(prompt):
                given = {"into": into, "schema": schema, **options}
                return _pipeline_plan(self._frame, prompt, _of_stages(given))
        asked: Any = prompt  # a list that is neither is refused there
        return plan(self._frame, asked, **{**DEFAULTS, "into": into, "schema": schema, **options})


DEFAULTS = defaults_of(FrameAccessor.process)


def _pipeline_plan(frame: pd.DataFrame, stages: Sequence[object], options: PipelineOptions) -> Plan:
    from lionproc.frame.pipeline import pipeline_plan

    taken = PipelineOptions.__optional_keys__
    usual = {name: value for name, value in DEFAULTS.items() if name in taken}
    return pipeline_plan(frame, stages, **{**usual, **options})


def _of_stages(given: Mapping[str, object]) -> PipelineOptions:
    """The arguments of a run through stages, where they are given in place of the prompt.

    Raises:
        ConfigurationError: One of them is a stage's own.
    """
    taken = PipelineOptions.__optional_keys__
    for name, value in given.items():
        if name not in taken and value is not DEFAULTS[name]:
            raise ConfigurationError(
                f"{name}={value!r} does not go with stages: each has its own name, prompt, "
                "schema and system prompt."
            )
    kept: Any = {n: v for n, v in given.items() if n in taken}
    return cast("PipelineOptions", kept)
