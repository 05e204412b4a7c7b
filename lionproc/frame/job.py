"""`Job`: a run over a frame, to watch and steer while it runs, and to ask for results.

More than 400 lines because nearly all of them are the face that people call, with its docstrings.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pandas as pd

from lionproc.engine import loop as engine_loop
from lionproc.engine.at_exit import GRACE_S
from lionproc.engine.blocking_work import in_saving_thread
from lionproc.engine.budget import WARN_AT
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.paths import shown
from lionproc.engine.stats import RunStats
from lionproc.engine.told import warn
from lionproc.errors import (
    BudgetWarning,
    ConfidenceWarning,
    ConfigurationError,
    LionprocError,
    MixedModelsWarning,
    ParameterWarning,
    RunError,
)
from lionproc.face import face
from lionproc.frame import part_note, results
from lionproc.frame.answer_digests import packed
from lionproc.frame.asked import asked_of
from lionproc.frame.asked_again import asked_again
from lionproc.frame.cell import label_text
from lionproc.frame.export import write_parquet, write_part
from lionproc.frame.facts import facts_of, failed_words, member_facts, stage_facts, title_of
from lionproc.frame.failures import Outcome
from lionproc.frame.parquet_reader import PARTS
from lionproc.frame.part_writer import PartWriter, as_save_error
from lionproc.frame.plan import Plan, check_save
from lionproc.frame.row_run import RowRun
from lionproc.frame.rows_digest import OF, digest_of
from lionproc.frame.run_note import new_run_id, note_of
from lionproc.frame.save_target import check_file, is_folder_target
from lionproc.frame.smells import smells
from lionproc.frame.stale_parts import remove_stale_parts
from lionproc.frame.unanswered import Unanswered, used_up
from lionproc.frame.unsure import unsure
from lionproc.frame.with_answers import with_answers

if TYPE_CHECKING:
    from lionproc.engine.limits import Limits
    from lionproc.frame.plan_arguments import PromptLike
    from lionproc.model.model import Model
    from lionproc.notebook.panel_html import FailureRow
    from lionproc.reports.report import Report

WARN_AFTER_S = 5.0  # nobody can do anything about a budget sooner
_last: Job | None = None


class Job(RowRun):
    """A run over a frame. Made by `df.llm.start(...)`; awaiting it gives the frame.

    It has more than 25 methods because it is a public face: what is kept of each row is in its
    `RowStore`, what is written in its `PartWriter`, and most methods here are a few lines.

    Attributes:
        limits: The live limits; assign a field and it acts within 100 ms.
        stats: The run at this moment.
        done: True once it has ended.
        run_id: What `lp.runs()` and the files that it saves call this run.

    Example:
        ```python
        job = df.llm.start("Is {review} positive?", into="ok", schema=bool)
        job.limits.requests_per_minute = 300
        job.frame()          # what is there so far
        out = job.result()   # waits for the rest
        ```
    """

    def __init__(
        self,
        plan: Plan,
        before: Job | None = None,
        *,
        group: BudgetGroup | None = None,
        waited_for: bool = False,
    ) -> None:
        self.run_id = new_run_id()
        super().__init__(plan, before, group)
        self._waited_for = waited_for  # by the cell that started it, whose output has the card
        # Through stages a row is asked what others have said of it: there is no one question.
        # Nor is there where some rows were asked in other words.
        several = plan.staged or self.in_other_words
        asked = asked_of(() if several else plan.outputs, plan.answer, list(plan.frame.columns))
        # Parts are of what was asked first, whoever answers the rest of them.
        self._read: list[int] = plan.reads() if before is None else before._read
        self._asked: str = "" if before is None else before._asked
        if before is None and self._parts is not None:
            self._asked = part_note.note_of(plan, self._builders)
        named = frozenset(self._facts())
        self._outcome = Outcome(self.report, self._store.failures, named, asked)
        self.watch(self._outcome)
        self._save_error: LionprocError | None = None
        self._smells = ""
        self._warned = False
        # Whoever asks another model for what the first one did not answer knows of both.
        # So does whoever asks a model that is made of several.
        self._warned_of_mixture = (
            len(self._connections) > len(plan.stages)
            or any(connection.ways for connection in self._connections)
            or (before is not None and before._plan.model is not plan.model)
        )
        self._warned_of_budget = False
        self._warned_of_unsure = False
        self.saved_to: str | None = None
        self._ready: list[pd.DataFrame] = []  # assembled for the file; the first to ask gets it

    def _check(self) -> None:
        check_save(self._plan, self._saved_as)

    def _part_writer(self) -> PartWriter | None:
        plan = self._plan
        if plan.options.save is None or not is_folder_target(plan.options.save):
            return None
        return PartWriter(plan.rows, plan.options.chunk_size, plan.ends, self._write_part)

    def _write_part(self, chunk: int, start: int, stop: int) -> Path | str:
        plan = self._plan
        save, like = plan.options.save, plan.saved_as
        assert save is not None  # noqa: S101  (else there would be no parts)
        assert like is not None  # noqa: S101  (as for `save`)
        rows = digest_of(plan.frame.iloc[start:stop], self._read, like)
        noted = {part_note.NOTE: self._asked} if self._asked else {}
        part = write_part(
            save,
            chunk,
            self._frame(start, stop),
            {**self._facts(), PARTS: plan.parts, OF: rows, **noted},
            run=self._saved_as,
            like=like,
        )
        self.saved_to = shown(save)
        return part

    async def _open(self) -> None:
        if self._parts is not None:
            await in_saving_thread(self._remove_stale_parts)

    def _remove_stale_parts(self) -> None:
        plan = self._plan
        save, like = plan.options.save, plan.saved_as
        assert save is not None  # noqa: S101  (else there would be no parts)
        assert like is not None  # noqa: S101  (as for `save`)
        remove_stale_parts(
            save,
            self._fingerprint,
            plan.frame,
            read=self._read,
            size=plan.options.chunk_size,
            like=like,
            note=self._asked,
            has_journal=plan.options.journal is not False,
        )

    async def _close(self) -> None:
        save = self._plan.options.save
        for _ in self._store.settle():
            await asyncio.sleep(0)  # others have their turn
        try:
            if self._parts is not None:
                await self._parts.finish()
                self._save_error = self._parts.error
            elif save is not None and self._state == "done":
                await in_saving_thread(self._save_all, save)
        except (LionprocError, OSError) as error:
            self._save_error = as_save_error(error)
        finally:
            self._smells = await asyncio.to_thread(smells, self._plan, self._store)
            await super()._close()

    def _to_note(self) -> Mapping[str, object] | None:
        if self._plan.options.journal is False:
            return None
        stats = self.stats
        ended = stats.state in {"done", "stopped", "failed"}
        failures = self._store.failures if ended else None
        from lionproc.frame.reporting import kept

        report = self.report()
        steps = [leg.steps for leg in self._first_legs]
        return note_of(
            self._plan,
            self._builders,
            report,
            kept(report),
            failures=failures,
            steps=steps,
            after=self._since,
        )

    def _digests(self) -> bytes | None:
        rows = slice(0, self._plan.rows)
        return packed(column for kept in self._store.columns for _, column in kept.each(rows))

    @property
    def has_fields(self) -> bool:
        """True where the answers fill a column for each field of a model."""
        return any(stage.answer.fields is not None for stage in self._plan.stages)

    # -- results ----------------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """The frame as it is now: rows that are not answered yet are NA.

        Returns:
            The input's rows, index and columns, with the new columns at the end.
        """
        try:
            return self._ready.pop()
        except IndexError:
            return self._frame(0, self._plan.rows)

    def _frame(self, start: int, stop: int) -> pd.DataFrame:
        made = with_answers(self._plan, self._store, start, stop, self._answer)
        results.remember(made, self._outcome, self.run_id)
        return made

    @face
    def result(self, timeout: float | None = None) -> pd.DataFrame:
        """Wait for the end.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            The frame with the new columns.

        Raises:
            TimeoutError: It still runs; the job goes on.
            RunError: Something stopped the run; `frame()` has what was answered.
            RowsFailedError: Rows failed and `errors="raise"` was asked for.
            SaveError: The frame could not be saved; `frame()` has it.
        """
        if not self.wait(timeout):
            raise TimeoutError(
                f"The run is not finished after {timeout} s and goes on; "
                "job.frame() has what is there, job.stop() ends it."
            )
        self.raise_faults()
        if self._save_error is not None:
            raise self._save_error
        out = self.frame()
        self.tell_of_models()
        self._tell()
        return out

    def tell_of_models(self) -> None:
        """Warn, once, where more than one model has answered, or one does not take a parameter."""
        for builder in self._builders:
            while builder.changed:  # each is said once
                warn(builder.changed.popitem()[0], ParameterWarning)
        mixture = self._store.answered_by.mixture()
        if mixture and not self._warned_of_mixture:
            self._warned_of_mixture = True
            warn(
                f"The answers come from more than one model: {mixture}. details=True adds a column "
                "that says which row has which; resume=False asks all rows anew.",
                MixedModelsWarning,
            )

    def _tell(self) -> None:
        """Raise or warn about rows without an answer: once, and not where the card says it."""
        stats, options = self.stats, self._plan.options
        unanswered = Unanswered(
            stats,
            failed=failed_words(self._plan, self._store, stats.errors),
            given_up=self._given_up,
            hint=self._store.failures.hint(),
            budget=self._budget.reached,
            errors_at=self.errors_at,
            unsaved=options.save is not None and self._parts is None,
        )
        if stats.failed and options.errors == "raise":
            raise unanswered.error()
        if not self._warned_of_unsure:
            self._warned_of_unsure = True
            unknown, ties = self._store.no_confidence, self._ballots.ties
            for told in unsure(stats, unknown=unknown, ties=ties):
                warn(told, ConfidenceWarning)
        if not self._warned and self._asks_for_a_warning(stats):
            self._warned = True
            warn(*unanswered.warning())

    def _while_waiting(self) -> None:
        """Say once that most of the budget is used, where nothing that a person sees says it."""
        if self._warned_of_budget or len(self._watchers) > 1:
            return
        bound, used = self._budget.used()
        running = self._state == "running" and self.stats.elapsed_s >= WARN_AFTER_S
        if used is not None and WARN_AT <= used < 1 and running:
            self._warned_of_budget = True
            warn(f"{math.floor(100 * used)} % of the budget of {bound} is used.", BudgetWarning)

    def _asks_for_a_warning(self, stats: RunStats) -> bool:
        if stats.rows == stats.answered + stats.skipped:
            return False
        if self._waited_for:
            from lionproc.notebook.card import shown_for

            return not shown_for(self)
        # Whoever has the job in hand has stopped it themselves.
        return bool(stats.failed or self._budget.reached)

    @property
    def errors_at(self) -> str:
        """How a person who has what this run returned gets its errors."""
        return "out.llm.errors()" if self._waited_for else "job.errors()"

    def errors(self) -> pd.DataFrame:
        """The rows that failed.

        Returns:
            One row for each: position, index label, output column (or stage), kind, message, hint (what
            to do about it), reply (what the model said, cut), attempts and raw (the whole reply of
            a row whose answer had the wrong shape, as it came). Rows that were
            skipped for a missing cell are not among them, nor those that were never sent: the
            report counts both.
        """
        return self._store.failures.table(self.stats)

    def report(self) -> Report:
        """What the run did, as data, as a card, as plots and as a page."""
        from lionproc.frame.reporting import report_of

        facts = {
            **self._facts(),
            "not_sent": max(self.stats.left - self._given_up, 0) if self.done else 0,
            "answers": [str(name) for name in self._plan.answer_names],
            "errors_at": self.errors_at,
            "save": self._plan.options.save,
            "saved_to": self.saved_to,
            "save_error": None if self._save_error is None else str(self._save_error),
            "journal": self._journal.path,
            "check": self._smells,
            "fingerprint": self._fingerprint,
        }
        if self._plan.staged:
            facts["stages"] = stage_facts(
                self._plan, self._store, self._routes, self._legs, self._connections
            )
        if members := self.stats.members:
            facts["members"] = member_facts(members)
        for calibration in self._calibrations.values():
            if calibration.threshold is not None:
                facts["threshold"] = calibration.threshold.below
                facts["promise"] = calibration.told
        return report_of(self, facts)

    @property
    def title(self) -> str:
        """What is made with which model, in a few words."""
        return title_of(self._plan, self._connections)

    def latest_errors(self, most: int) -> list[FailureRow]:
        """The latest failures, the newest first.

        Called on the engine's thread, where nothing is added meanwhile.
        """
        from lionproc.notebook.panel_html import FailureRow

        index, rows = self._plan.frame.index, self._plan.rows
        return [
            FailureRow(
                row=label_text(index[place % rows]),
                kind=str(error.kind),
                message=error.message,
                hint=error.hint,
                reply=error.reply,
                text=self._plan.cells_shown(place, self._answer),
            )
            for place, error in self._store.failures.latest(most)
        ]

    @face
    def retry_failed(
        self,
        *,
        prompt: PromptLike | None = None,
        model: Model | str | None = None,
        limits: Limits | Mapping[str, Any] | None = None,
    ) -> Job:
        """Ask again for the rows without an answer; the others keep theirs.

        They may be asked in other words, or of another model. With `details=True` the columns
        `{into}_model` and `{into}_run` say which model and which run answered each row.

        The budget goes on with them: it is one for this job and all that ask again for it, and
        what any of them has spent counts. To go on behind it, raise it first: `job.budget.usd = 5`.

        Args:
            prompt: Another prompt, as for `process`; None for the same. Schema, system prompt and
                columns stay.
            model: Another model, as for `process`; None for the same.
            limits: Other limits, as for `process`; None for the same.

        Returns:
            A new job, started. Its frame has the answers of both.

        Raises:
            ConfigurationError: This run is not finished, its budget is used up, or an argument
                cannot work; nothing was sent.

        Example:
            ```python
            out = job.retry_failed(model="openai/gpt-5", prompt="Carefully: {review}").result()
            ```
        """
        if not self.done:
            raise ConfigurationError(
                "The run is not finished: wait for it with job.result(), or end it with job.stop()."
            )
        if reached := self._budget.used_up:
            raise ConfigurationError(used_up(reached))
        again = asked_again(self._plan, prompt=prompt, model=model, limits=limits)
        return launch(again, before=self)

    @face
    def save(self, path: Any) -> str:
        """Write the frame as it is now to a parquet file, whole or not at all.

        While the run goes on, rows that are not answered yet are NA in it.

        Args:
            path: The file, ending in .parquet; replaced if it is there.

        Returns:
            The path.

        Raises:
            SaveError: It could not be written.
            ColumnError: Parquet cannot hold this frame.
            ConfigurationError: It is a folder, or ends as another format does.
        """
        check_file(path)
        return self._write(self._frame(0, self._plan.rows), path)

    def _save_all(self, path: object) -> None:
        """Save the frame when the run has ended, and keep it for `result`."""
        frame = self._frame(0, self._plan.rows)
        self._write(frame, path)
        self._ready.append(frame)

    def _write(self, frame: pd.DataFrame, path: Any) -> str:
        self.saved_to = str(write_parquet(frame, path, self._facts()))
        return self.saved_to

    def _facts(self) -> Mapping[str, object]:
        return facts_of(self._plan, self.stats, self._connections, self.run_id)

    def __await__(self) -> Generator[Any, None, pd.DataFrame]:
        return self._finished().__await__()

    async def _finished(self) -> pd.DataFrame:
        self.begin()
        if self._promise is not None:
            try:
                await self._promise.arrival()
            except asyncio.CancelledError:
                self.stop(GRACE_S)
                raise
        return self.result()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled: a run belongs to its process, and holds the way to the model."""
        raise TypeError("A Job cannot be pickled. Take its frame along: job.frame().")

    def __repr__(self) -> str:
        if "saved_to" not in vars(self):
            return "<Job, half made>"  # a traceback shows it while __init__ fails
        stats = self.stats
        parts = [f"{stats.finished:,} of {stats.rows:,} rows"]
        parts += [f"{stats.failed:,} failed"] if stats.failed else []
        parts.append(f"{stats.sent:,} requests")
        from lionproc.notebook.formatting import left, plain

        if not self.done and stats.eta_s is not None:
            parts.append(f"{left(stats.eta_s)} left")
        ways = "frame(), errors(), report(), result()" if self.done else "frame(), pause(), stop()"
        title = plain(self.title)  # column names may be a stranger's
        return f"<Job {stats.state}, {title}: {', '.join(parts)}; it has .{ways}>"

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def prepare(
    plan: Plan,
    before: Job | None = None,
    *,
    waited_for: bool = True,
    job_type: type[Job] | None = None,
    group: BudgetGroup | None = None,
) -> Job:
    """A run that has not begun, remembered as the last one.

    Args:
        plan: The run.
        before: Another run of this plan, whose answers it begins with.
        waited_for: Whether the cell waits for the frame. Else it gets the job.
        job_type: A class of job that looks at more; a job by default.
        group: The runs that share its budget; None for it alone.
    """
    global _last  # noqa: PLW0603  (the last job of the session)
    job = _last = (job_type or Job)(plan, before, group=group, waited_for=waited_for)
    from lionproc.notebook.progress import show

    options = plan.options
    show(job, progress=options.progress, panel=options.panel, facts=lambda: job.report().facts)
    return job


@contextmanager
def trial() -> Iterator[None]:
    """What runs in it and comes to its end does not take the place of the last job.

    A look at one row must not hide the run that a person has in hand. One that failed is the last.
    """
    global _last  # noqa: PLW0603  (the last job of the session)
    before = _last
    yield
    if before is not None:
        _last = before


def launch(plan: Plan, before: Job | None = None) -> Job:
    """Start a run, and remember it as the last one."""
    job = prepare(plan, before, waited_for=False)
    job.begin()
    return job


@face
def last_job() -> Job:
    """The run that was started last in this session; a preview is none, if it came to its end.

    Raises:
        ConfigurationError: There was none.
    """
    if _last is None:
        raise ConfigurationError(
            "Nothing has been run yet in this session. lp.runs() lists the runs of earlier ones."
        )
    return _last


def wait_for(job: Job) -> pd.DataFrame:
    """Start a job if it is not, and block until it is done.

    Ctrl-C once ends it gracefully, twice at once. So does whatever else is raised here before it is
    done: by a signal, as task queues do when the time of a task is over, or a warning that is an
    error. Nobody else has the job in hand, and it would go on spending.

    Raises:
        KeyboardInterrupt: A person interrupted; what was paid for is kept.
        RunError: It would be waited for where it runs.
    """
    try:
        engine_loop.refuse_to_wait_here()
    except RunError:
        job.give_up()
        raise
    try:
        job.begin()
        return job.result()
    except KeyboardInterrupt:
        end_now(job)
    except BaseException:
        if not job.done:
            end_now(job)
        raise
    stats = job.stats
    raise KeyboardInterrupt(
        f"Stopped after {stats.finished:,} of {stats.rows:,} rows. What was answered is kept: "
        "lp.last_job().frame() has it, and running the cell again goes on from here."
    ) from None


def end_now(*jobs: Job) -> None:
    """Stop jobs, and wait a moment for what is in flight; at a second Ctrl-C not even that."""
    try:
        for job in jobs:
            job.stop(GRACE_S)
        for job in jobs:
            job.wait(GRACE_S + 5.0)
    except KeyboardInterrupt:
        for job in jobs:
            job.stop(0.0)
