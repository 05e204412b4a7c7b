"""`Job`: a frame being filled, in hand while it runs and after."""

from __future__ import annotations

import asyncio
import logging
import threading
from array import array
from collections.abc import Generator, Hashable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pandas as pd

from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.paths import shown
from lionproc.engine.request import Event
from lionproc.engine.run import GRACE_S, GUESSED, Run
from lionproc.engine.stats import RunStats
from lionproc.errors import (
    BudgetWarning,
    CallError,
    ConfigurationError,
    Kind,
    LionprocError,
    LionprocWarning,
    MixedModelsWarning,
    ParameterWarning,
    RowsFailedError,
    RowsFailedWarning,
    StoppedWarning,
)
from lionproc.face import face
from lionproc.frame import results
from lionproc.frame.answered_by import AnsweredBy
from lionproc.frame.assemble import MISSING, Missing, assemble, columns
from lionproc.frame.export import is_folder_target, write_parquet, write_part
from lionproc.frame.failures import Failures, Outcome
from lionproc.frame.plan import Plan, check_save, detail_names, warn
from lionproc.model.call import ModelCall, RequestBuilder

if TYPE_CHECKING:
    from lionproc.notebook.panel_html import FailureRow

log = logging.getLogger("lionproc.frame")

WAITING, ANSWERED, CACHED, SKIPPED, FAILED = range(5)
STATUS = ("not_sent", "answered", "cached", "skipped", "failed")
_last: Job | None = None


class Job(Run):
    """A run over a frame. Made by `df.llm.start(...)`; awaiting it gives the frame.

    Attributes:
        limits: The live limits; assign a field and it acts within 100 ms.
        stats: The run at this moment.
        done: True once it has ended.

    Example:
        ```python
        job = df.llm.start("Is {review} positive?", into="ok", schema=bool)
        job.limits.requests_per_minute = 300
        job.frame()          # what is there so far
        out = job.result()   # waits for the rest
        ```
    """

    def __init__(self, plan: Plan, before: Job | None = None, *, waited_for: bool = False) -> None:
        self._plan = plan
        self._waited_for = waited_for  # by the cell that started it, whose output has the card
        options = plan.options
        connection = plan.model.connect()
        self._connection = connection
        self._recipe = RequestBuilder(connection, plan.model.body_params, plan.answer)
        self._fingerprint = plan.fingerprint(self._recipe)
        check_save(plan, self._fingerprint)
        limiter = connection.limiter
        if plan.model.executor is not None:
            limiter = plan.model.executor.limiter
        journal = Journal.open(":memory:" if options.journal is False else options.journal)
        try:
            super().__init__(
                rows=plan.total,
                limiter=limiter,
                journal=journal,
                retry=options.retry,
                budget=options.budget,
                price=connection.price,
                since=0 if options.resume else journal.mark(),
                limits=options.limits,
            )
        except BaseException:
            journal.close()
            raise
        size = plan.total
        self._values: list[Any] = [MISSING] * size
        self._status = bytearray(size)
        self._failures = Failures(
            plan.frame.index, [str(output.into or "") for output in plan.outputs]
        )
        self._given_up = 0  # stopped while they were in flight
        self._outcome = Outcome(self, self._failures)
        self.watch(self._outcome)
        self._attempts = array("H", bytes(2 * size)) if options.details else None
        self._tokens = array("L", bytes(array("L").itemsize * size)) if options.details else None
        self._seconds = array("f", bytes(4 * size)) if options.details else None
        self._answered_by = AnsweredBy(size)
        self._followers: dict[int, list[int]] = {}  # rows that share the answer of an earlier one
        self._chunk_left = self._chunks()
        if before is not None:
            self._take_over(before)
        self._writing: set[asyncio.Task[None]] = set()
        self._save_error: LionprocError | None = None
        self._warned = False
        self._warned_of_mixture = False
        self._saved = threading.Event()
        self.saved_to: str | None = None

    def _chunks(self) -> list[int]:
        """Answers that each chunk still waits for, where chunks are saved."""
        save = self._plan.options.save
        if save is None or not is_folder_target(save):
            return []
        size, outputs = self._plan.options.chunk_size, len(self._plan.outputs)
        return [
            min(size, self._plan.rows - start) * outputs
            for start in range(0, self._plan.rows, size)
        ]

    def _take_over(self, before: Job) -> None:
        """Begin with what another job of this plan has; only the rest is asked."""
        for position, status in enumerate(before._status):
            if status in {ANSWERED, CACHED}:
                self._values[position] = before._values[position]
                self._status[position] = CACHED
                self._cached += 1
            elif status == SKIPPED:
                self._status[position] = SKIPPED
                self._skipped += 1
            else:
                continue
            if self._chunk_left:
                self._chunk_left[self._chunk_of(position)] -= 1
        self._answered_by.take_over(before._answered_by)
        if self._plan.options.details:
            self._attempts = copy(before._attempts)
            self._tokens = copy(before._tokens)
            self._seconds = copy(before._seconds)

    def _chunk_of(self, position: int) -> int:
        return position % self._plan.rows // self._plan.options.chunk_size

    # -- the run ----------------------------------------------------------------------------

    async def _open(self) -> None:
        """The connection opens with the first request."""

    async def _feed(self, executor: RateLimitedAPIExecutor) -> None:
        plan, recipe = self._plan, self._recipe
        for start, stop in plan.batches():
            if executor.fatal is not None:
                return
            made = await asyncio.to_thread(plan.calls, recipe, start, stop)
            fresh: list[tuple[int, ModelCall]] = []
            for position, call in made:
                if self._status[position] != WAITING:
                    continue  # an earlier job has it
                if isinstance(call, ModelCall):
                    if not self._join(executor, position, call):
                        fresh.append((position, call))
                else:
                    self._without_call(position, call)
            # Whoever was under way a moment ago and is not any more has been journaled since.
            events = await asyncio.to_thread(self._recall, executor, fresh)
            for event in events:
                if event.done:
                    self._took(event)
                elif not self._join(executor, event.tag, event.first) and not executor.offer(event):
                    await executor.put((event,))

    def _without_call(self, position: int, reason: Missing | CallError) -> None:
        if isinstance(reason, CallError):
            self._fail(position, reason, 0)
        else:
            self._skip(position)

    def _join(self, executor: RateLimitedAPIExecutor, position: int, call: Any) -> bool:
        """Let a row share the answer, or the failure, of an equal one in this run."""
        event = executor.live(call.key)
        if event is not None:
            self._followers.setdefault(event.tag, []).append(position)
            return True
        error = executor.doomed(call.key)
        if error is not None:
            self._fail(position, error, 0)
            return True
        return False

    def _recall(
        self, executor: RateLimitedAPIExecutor, fresh: list[tuple[int, ModelCall]]
    ) -> list[Event]:
        """Events for calls, those that the journal can answer already settled."""
        if not fresh:
            return []
        kept = self._journal.find(
            [call.key for _, call in fresh if call.key is not None], self._since
        )
        events = []
        for position, call in fresh:
            event = Event(call, tag=position)
            entry = None if call.key is None else kept.get(call.key)
            if entry is not None:
                settled = executor.recall(event, entry)
                if settled and event.error is None:
                    event.cached = True
                    event.prompt_tokens = entry.prompt_tokens
                    event.completion_tokens = entry.completion_tokens
                    event.seconds = entry.seconds
                    event.finish()
                    self._connection.endpoint.proven = True
                elif settled:
                    event.reset()  # it failed with what was kept, so it is asked anew
            events.append(event)
        return events

    def _took(self, event: Event) -> None:
        self._fill(event.tag, event)
        for position in self._followers.pop(event.tag, ()):
            self._fill(position, event)

    def _fill(self, position: int, event: Event) -> None:
        if (
            self._attempts is not None and self._tokens is not None and self._seconds is not None
        ):  # details were asked for
            self._attempts[position] = min(event.attempts, 65535)
            self._tokens[position] = event.prompt_tokens + event.completion_tokens
            self._seconds[position] = event.seconds
        if event.error is not None:
            self._fail(position, event.error, event.attempts)
            return
        self._values[position] = event.value
        self._answered_by.note(position, event.model)
        if event.cached:
            self._status[position] = CACHED
            self._cached += 1
        else:
            self._status[position] = ANSWERED
            self._answered += 1
        if self._chunk_left:
            self._settled(position)

    def _skip(self, position: int) -> None:
        self._status[position] = SKIPPED
        self._skipped += 1
        self._settled(position)

    def _fail(self, position: int, error: CallError, attempts: int) -> None:
        self._failures.add(position, error, attempts)
        if error.kind in {Kind.NOT_SENT, Kind.CANCELLED}:
            self._given_up += error.kind is Kind.CANCELLED
            return  # still to be asked, so its chunk is not whole
        self._status[position] = FAILED
        self._count_error(error.kind)
        self._settled(position)

    def _settled(self, position: int) -> None:
        if not self._chunk_left:
            return
        chunk = self._chunk_of(position)
        self._chunk_left[chunk] -= 1
        if self._chunk_left[chunk] == 0:
            task = asyncio.create_task(self._write_part(chunk))
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write_part(self, chunk: int) -> None:
        try:
            await asyncio.to_thread(self._part, chunk)
        except (LionprocError, OSError) as error:
            self._save_error = self._save_error or _save_error(error)

    def _part(self, chunk: int) -> None:
        save = self._plan.options.save
        if save is None or self._save_error is not None:
            return
        start = chunk * self._plan.options.chunk_size
        stop = min(start + self._plan.options.chunk_size, self._plan.rows)
        part = self._frame(start, stop)
        write_part(
            save,
            chunk,
            part,
            self._facts(),
            run=self._fingerprint,
            like=self._plan.saved_as,
        )
        self.saved_to = shown(save)

    async def _close(self) -> None:
        if self._writing:
            await asyncio.wait(set(self._writing))
        save = self._plan.options.save
        try:
            if save is not None and not is_folder_target(save) and self._state == "done":
                await asyncio.to_thread(self.save, save)
            elif save is not None and self._plan.rows == 0 and is_folder_target(save):
                await asyncio.to_thread(self._part, 0)
        except (LionprocError, OSError) as error:
            self._save_error = _save_error(error)
        finally:
            await self._connection.wire.close()

    @property
    def has_fields(self) -> bool:
        """True where the answers fill a column for each field of a model."""
        return self._plan.answer.fields is not None

    # -- results ----------------------------------------------------------------------------

    def frame(self) -> pd.DataFrame:
        """The frame as it is now: rows that are not answered yet are NA.

        Returns:
            The input's rows, index and columns, with the new columns at the end.
        """
        return self._frame(0, self._plan.rows)

    def _frame(self, start: int, stop: int) -> pd.DataFrame:
        plan = self._plan
        new: dict[Hashable, Any] = {}
        for number, output in enumerate(plan.outputs):
            base = number * plan.rows
            cells = self._values[base + start : base + stop]
            new.update(columns(plan.answer, cells, output.into))
        if plan.options.details:
            for number, output in enumerate(plan.outputs):
                new.update(self._details(output.into, number * plan.rows + start, stop - start))
        frame = plan.frame.iloc[start:stop] if (start, stop) != (0, plan.rows) else plan.frame
        made = assemble(frame, new, overwrite=plan.options.overwrite)
        results.remember(made, self._outcome, self._fingerprint)
        return made

    def _details(self, into: Hashable | None, first: int, count: int) -> dict[Hashable, Any]:
        places = range(first, first + count)
        errors = [self._failures.at(place) for place in places]
        status = [
            error.kind.value
            if error is not None and self._status[place] == WAITING
            else STATUS[self._status[place]]
            for place, error in zip(places, errors, strict=True)
        ]
        texts = [None if error is None else f"{error.kind}: {error}" for error in errors]
        end = first + count
        made = (
            pd.array(status, dtype="string"),
            pd.array(texts, dtype="string"),
            pd.array(np.array(self._attempts or [], dtype="int64")[first:end], dtype="Int64"),
            pd.array(np.array(self._tokens or [], dtype="int64")[first:end], dtype="Int64"),
            pd.array(np.array(self._seconds or [], dtype="float64")[first:end], dtype="Float64"),
            self._answered_by.column(first, count),
        )
        return dict(zip(detail_names(into), made, strict=True))

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
        self._raise_faults()
        if self._save_error is not None:
            raise self._save_error
        out = self.frame()
        self._tell_mixture()
        self._tell()
        return out

    def _tell_mixture(self) -> None:
        """Warn, once, where more than one model has answered."""
        mixture = self._answered_by.mixture()
        if mixture and not self._warned_of_mixture:
            self._warned_of_mixture = True
            warn(
                f"The answers come from more than one model: {mixture}. details=True adds a column "
                "that says which row has which; resume=False asks all rows anew.",
                MixedModelsWarning,
            )

    def _tell(self) -> None:
        """Raise or warn about rows without an answer: once, and not where the card says it."""
        stats, total = self.stats, self._plan.total
        if self._failed and self._plan.options.errors == "raise":
            raise RowsFailedError(
                f"{self._failed:,} of {total:,} rows failed ({self._error_words()}). "
                "The answers are journaled: lp.last_job().frame() has them, "
                "lp.last_job().errors() says what failed, running again asks only for the rest."
            )
        while self._recipe.changed:  # each is said once
            warn(self._recipe.changed.popitem()[0], ParameterWarning)
        if self._warned or not self._asks_for_a_warning(stats):
            return
        self._warned = True
        missing = total - stats.answered - stats.skipped
        why = "The run was stopped" if stats.state == "stopped" else ""
        category: type[LionprocWarning] = StoppedWarning if why else RowsFailedWarning
        advice = "Running the cell again asks only for the rest."
        if self._budget_reached:
            why = f"The budget of {self._budget_reached} was reached"
            category = BudgetWarning
            advice = "Running again with a larger budget= goes on from here."
            if stats.guessed:
                advice += (
                    f" The server did not count the tokens of {stats.guessed:,} replies; {GUESSED}."
                )
        left = f"{missing:,} of {total:,} rows have no answer and are NA"
        text = f"{why}, so {left}" if why else left
        text = f"{text} ({self._missing_words(missing)}). "
        if self._failed:
            text += f"{self.errors_at} lists the errors. "
        text += advice
        if why and self._plan.options.save is not None and not self._chunk_left:
            text += " Nothing was saved: lp.last_job().save(path) writes what there is."
        warn(text, category)

    def _asks_for_a_warning(self, stats: RunStats) -> bool:
        missing = self._plan.total - stats.answered - stats.skipped
        if not missing:
            return False
        if self._waited_for:
            from lionproc.notebook.card import shown_for

            return not shown_for(self)
        # Whoever has the job in hand has stopped it themselves.
        return bool(self._failed or self._budget_reached)

    def _missing_words(self, missing: int) -> str:
        """Why rows have no answer: 3 truncated, 32 given up in flight, 968 not sent."""
        parts = [self._error_words()] if self._failed else []
        if self._given_up:
            parts.append(f"{self._given_up:,} given up in flight")
        left = missing - self._failed - self._given_up
        return ", ".join([*parts, f"{left:,} not sent"] if left else parts)

    def _error_words(self) -> str:
        return ", ".join(f"{count:,} {kind}" for kind, count in self._errors.most_common())

    @property
    def errors_at(self) -> str:
        """How a person who has what this run returned gets its errors."""
        return "out.llm.errors()" if self._waited_for else "job.errors()"

    def errors(self) -> pd.DataFrame:
        """The rows that failed.

        Returns:
            One row for each: position, index label, output column, kind, message, hint (what
            to do about it), reply (what the model said, cut) and attempts. Rows that were
            skipped for a missing cell are not among them, nor those that were never sent: the
            report counts both.
        """
        return self._failures.table(self.stats)

    def report(self) -> results.Report:
        """What the run did, as one table and a readable summary."""
        facts = {
            **self._facts(),
            "not_sent": max(self.stats.left - self._given_up, 0) if self.done else 0,
            "errors_at": self.errors_at,
            "save": self._plan.options.save,
            "saved_to": self.saved_to,
            "save_error": None if self._save_error is None else str(self._save_error),
            "journal": self._journal.path,
        }
        return results.Report.of(self.stats, facts)

    @property
    def title(self) -> str:
        """What is made with which model, in a few words."""
        made = [str(output.into) for output in self._plan.outputs if output.into is not None]
        columns = ", ".join(made[:3]) + ", ..." * (len(made) > 3)
        model = f"{self._connection.provider.name}/{self._connection.model}"
        return f"{columns} with {model}" if columns else model

    def latest_errors(self, most: int) -> list[FailureRow]:
        """The latest failures, the newest first.

        Called on the engine's thread, where nothing is added meanwhile.
        """
        from lionproc.notebook.panel_html import FailureRow

        index, rows = self._plan.frame.index, self._plan.rows
        return [
            FailureRow(
                row=str(index[place % rows]),
                kind=str(error.kind),
                message=error.message,
                hint=error.hint,
                reply=error.reply,
                text=self._plan.cells_shown(place),
            )
            for place, error in self._failures.latest(most)
        ]

    @face
    def retry_failed(self) -> Job:
        """Ask again for the rows without an answer; the others keep theirs.

        Returns:
            A new job, started. Its frame has the answers of both.

        Raises:
            ConfigurationError: This run is not finished.
        """
        if not self.done:
            raise ConfigurationError("The run is not finished; stop() it or wait for it first.")
        return launch(self._plan, before=self)

    @face
    def save(self, path: Any) -> str:
        """Write the frame as it is now to a parquet file, whole or not at all.

        Args:
            path: The file; replaced if it is there.

        Returns:
            The path.

        Raises:
            SaveError: It could not be written.
            ColumnError: Parquet cannot hold this frame.
        """
        self.saved_to = str(write_parquet(self._frame(0, self._plan.rows), path, self._facts()))
        return self.saved_to

    def _facts(self) -> Mapping[str, Any]:
        plan, stats = self._plan, self.stats
        return {
            "model": self._connection.model,
            "provider": self._connection.provider.name,
            "schema": plan.answer.label,
            "columns": [str(name) for name in plan.names],
            "run": self._fingerprint,
            "rows": stats.rows,
            "answered": stats.answered,
            "cached": stats.cached,
            "skipped": stats.skipped,
            "failed": stats.failed,
            "requests": stats.sent,
            "prompt_tokens": stats.prompt_tokens,
            "completion_tokens": stats.completion_tokens,
            "replies_with_estimated_tokens": stats.guessed,
            "usd": stats.usd,
            **plan.about,
        }

    def __await__(self) -> Generator[Any, None, pd.DataFrame]:
        return self._finished().__await__()

    async def _finished(self) -> pd.DataFrame:
        self.begin()
        future = self._future
        if future is not None:
            waiter = asyncio.wrap_future(future)
            try:
                await asyncio.shield(waiter)
            except asyncio.CancelledError:
                self.stop(GRACE_S)
                raise
            except Exception:  # noqa: BLE001, S110  (result() raises it)
                pass
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
        if not self.done and stats.eta_s is not None:
            from lionproc.notebook.formatting import left

            parts.append(f"{left(stats.eta_s)} left")
        ways = "frame(), errors(), report(), result()" if self.done else "frame(), pause(), stop()"
        return f"<Job {stats.state}, {self.title}: {', '.join(parts)}; it has .{ways}>"

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def _save_error(error: Exception) -> LionprocError:
    return error if isinstance(error, LionprocError) else LionprocError(str(error))


def prepare(plan: Plan, before: Job | None = None, *, waited_for: bool = True) -> Job:
    """A run that has not begun, remembered as the last one.

    Args:
        plan: The run.
        before: Another run of this plan, whose answers it begins with.
        waited_for: Whether the cell waits for the frame. Else it gets the job.
    """
    global _last  # noqa: PLW0603  (the last job of the session)
    job = _last = Job(plan, before, waited_for=waited_for)
    results.show(job, progress=plan.options.progress, panel=plan.options.panel)
    return job


def launch(plan: Plan, before: Job | None = None) -> Job:
    """Start a run, and remember it as the last one."""
    job = prepare(plan, before, waited_for=False)
    job.begin()
    return job


@face
def last_job() -> Job:
    """The run that was started last in this session.

    Raises:
        ConfigurationError: There was none.
    """
    if _last is None:
        raise ConfigurationError("Nothing has been run yet in this session.")
    return _last


def wait_for(job: Job) -> pd.DataFrame:
    """Start a job if it is not, and block until it is done.

    Ctrl-C once ends it gracefully, twice at once.

    Raises:
        KeyboardInterrupt: A person interrupted; what was paid for is kept.
    """
    try:
        job.begin()
        return job.result()
    except KeyboardInterrupt:
        pass
    try:
        job.stop(GRACE_S)
        job.wait(GRACE_S + 5.0)
    except KeyboardInterrupt:
        job.stop(0.0)
    stats = job.stats
    raise KeyboardInterrupt(
        f"Stopped after {stats.finished:,} of {stats.rows:,} rows. What was answered is kept: "
        "lp.last_job().frame() has it, and running the cell again goes on from here."
    ) from None
