"""`DaskJob`: all partitions of a question on their way through a cluster, watched and steered here.

Workers tell the scheduler how their runs get on, a few times a second; this looks there, and says
there what a person wants. So it holds no connection to a worker, and works with any that come.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import dask.dataframe as dd
import pandas as pd
from distributed import Client, wait
from distributed.scheduler import KilledWorker

from lionproc.dask.killed import advice
from lionproc.dask.progress import Progress
from lionproc.dask.question import DaskRows, Question, Rows
from lionproc.dask.refusals import refused
from lionproc.dask.scheduler_plugin import LionprocPlugin
from lionproc.engine import loop as engine_loop
from lionproc.engine.limits import Limits
from lionproc.engine.promise import Promise
from lionproc.engine.stats import RunStats, State
from lionproc.engine.told import warn
from lionproc.engine.watching import Watcher
from lionproc.errors import ConfigurationError, LionprocError, RunError
from lionproc.face import face
from lionproc.frame.unanswered import Unanswered
from lionproc.notebook.card import shown_for

if TYPE_CHECKING:
    from lionproc.notebook.panel_html import FailureRow

__all__ = ["DaskJob"]

LOOK_S = 0.3
GONE = (
    "The cluster has ended or was restarted, this client of it was closed, or the work was cancelled. "
    "What was answered is journaled: start it again, and only the rest is asked."
)


class DaskJob:
    """What `ddf.llm.start(...)` gives: the work of a cluster, live.

    Attributes:
        limits: The live limits of all workers together; assign a rate and it acts within a second.
            `concurrency` is that of each worker process.

    Example:
        ```python
        import dask.dataframe as dd
        import lionproc.dask

        ddf = dd.from_pandas(df, npartitions=2)
        with lionproc.dask.local(n_workers=1, processes=False):
            job = ddf.llm.start("Is {review} positive?", into="ok", schema=bool)
            job.limits.requests_per_minute = 300
            out = job.result().compute()  # waits; a Dask frame, of partitions that are there
        ```
    """

    def __init__(
        self,
        client: Client,
        question: Question,
        parts: Sequence[Any],
        meta: Rows,
        divisions: Sequence[Any],
        *,
        rows: int | None = None,
    ) -> None:
        self.limits = Limits() if question.limits is None else question.limits.copy()
        self._client = client
        self._question = question
        self._meta = meta
        self._divisions = tuple(divisions)
        self._progress = Progress(question, self.limits, rows)
        self._paused = self._stopped = self._warned = False
        self._concurrency = self.limits.concurrency
        self._moved = False  # that, by a person: else each worker keeps what it has
        self._watchers: list[Watcher] = []
        self._looking: Promise[None] | None = None
        client.register_plugin(LionprocPlugin())
        self._futures = list(client.compute(list(parts)))  # type: ignore[no-untyped-call]
        self.limits.on_change(self._changed)

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher how it goes."""
        self._watchers.append(watcher)

    def begin(self) -> None:
        """Look from now on. The work itself has begun already."""
        self._looking = engine_loop.submit(self._look_on())

    # -- what a person does -----------------------------------------------------------------

    def pause(self) -> None:
        """Let nothing more leave until `resume`. What is in flight comes back and is kept."""
        self._paused = True
        self._steer()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._paused = False
        self._steer()

    def stop(self) -> None:
        """Send nothing more. Rows that were not asked are NA; what was answered is kept."""
        self._stopped = True
        self._steer()

    def _steer(self) -> None:
        self._say(
            lambda scheduler: scheduler.lionproc_steer(
                question=self._question.token, paused=self._paused, stopped=self._stopped
            )
        )

    def _changed(self) -> None:
        limits = self.limits
        self._moved |= limits.concurrency != self._concurrency
        concurrency = limits.concurrency if self._moved else None
        wanted = (
            limits.requests_per_minute,
            limits.tokens_per_minute,
            limits.input_tokens_per_minute,
            limits.output_tokens_per_minute,
        )
        self._say(
            lambda scheduler: scheduler.lionproc_set_limits(
                question=self._question.token, limits=wanted, concurrency=concurrency
            )
        )

    def _say(self, what: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
        """Say something to the scheduler, from any thread; returns the future of its answer."""

        async def said() -> Any:
            return await what(self._client.scheduler)

        loop: Any = self._client.loop
        return asyncio.run_coroutine_threadsafe(said(), loop.asyncio_loop)

    # -- how it goes ------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """True once all partitions have ended, in whatever way."""
        return all(future.done() for future in self._futures)

    @property
    def stats(self) -> RunStats:
        """All workers at this moment, as of a third of a second ago.

        Until every partition has begun, `rows` is what they come to if all are like those that
        have, where files do not say how many there are.
        """
        return self._progress.stats(self._state(), sum(future.done() for future in self._futures))

    def _state(self) -> State:
        if self._progress.ended:
            if any(future.status != "finished" for future in self._futures):
                return "failed"
            stopped = self._stopped or self._progress.reached
            return "stopped" if stopped else "done"
        if self._stopped:
            return "stopping"
        return "paused" if self._paused else "running"

    async def _look_on(self) -> None:
        while not self.done and self._client.status == "running":
            await self._look()
            for watcher in self._watchers:
                with contextlib.suppress(Exception):  # a display that breaks breaks nothing else
                    watcher.update(self.stats)
            await asyncio.sleep(LOOK_S)
        if self._client.status == "running":
            await self._look()
        self._progress.end()
        for watcher in self._watchers:
            with contextlib.suppress(Exception):
                watcher.close(self.stats)

    async def _look(self) -> None:
        with contextlib.suppress(Exception):  # the scheduler may be gone
            token = self._question.token
            said = self._say(lambda scheduler: scheduler.lionproc_look(question=token))
            self._progress.see(await asyncio.wait_for(asyncio.wrap_future(said), 5.0))

    # -- what comes out ---------------------------------------------------------------------

    def frame(self) -> DaskRows:
        """The partitions that are done, as a Dask frame; divisions are not known.

        Raises:
            ConfigurationError: None is done yet.
        """
        done = [future for future in self._futures if future.status == "finished"]
        if not done:
            raise ConfigurationError(
                "No partition is done yet. job.result() waits for all of them, and job.stats "
                "says how they get on."
            )
        return dd.from_delayed(done, meta=self._meta, prefix="llm")

    @face
    def result(self, timeout: float | None = None) -> DaskRows:
        """Wait for the end.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            A Dask frame (or series), as `ddf.llm.process` gives it, whose partitions are computed
            and are kept by the workers as long as it lives.

        Raises:
            TimeoutError: It still runs, and goes on.
            RunError: Something stopped it, or workers died; the message says what to do.
            RowsFailedError: Rows failed and `errors="raise"` was asked for.

        Warns:
            RowsFailedWarning: Rows failed, and no card in the notebook says so.
            BudgetWarning: The budget ended it, and no card says so.
        """
        try:
            self._wait(timeout)
        finally:
            if self.done and self._looking is not None:
                with contextlib.suppress(TimeoutError):
                    self._looking.result(LOOK_S * 10)  # so that the last numbers are there
        self._warn()
        return dd.from_delayed(
            self._futures, meta=self._meta, divisions=self._divisions, prefix="llm"
        )

    def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        finished = False
        while not finished:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                wait(self._futures, timeout=left)  # type: ignore[no-untyped-call]
            except TimeoutError:
                raise TimeoutError(
                    f"The work is not finished after {timeout} s and goes on; job.stats says how "
                    "it gets on, job.stop() ends it."
                ) from None
            except CancelledError:
                raise RunError(GONE) from None
            finished = self._all_finished()

    def _warn(self) -> None:
        """Say once that rows have no answer, where no card says it and nobody stopped it."""
        stats, reached = self.stats, self._progress.reached
        if self._warned or not (stats.failed or reached) or shown_for(self):
            return
        self._warned = True
        unanswered = Unanswered(
            stats,
            failed=stats.errors,
            given_up=0,
            hint="",  # the errors are with the workers
            budget=reached,
            errors_at="job.errors()",
            unsaved=False,
        )
        warn(*unanswered.warning())

    def __await__(self) -> Generator[Any, None, DaskRows]:
        """`await job` is `job.result()`. Cancelling stops the work."""
        return self._awaited().__await__()

    async def _awaited(self) -> DaskRows:
        assert self._looking is not None  # noqa: S101  (it was begun)
        try:
            await self._looking.arrival()
        except asyncio.CancelledError:
            self.stop()
            raise
        return await asyncio.to_thread(self.result)

    report = refused("report", "job.stats has the numbers, and job.errors() the rows that failed.")
    retry_failed = refused(
        "retry_failed", "Compute it again: only rows that failed are asked again."
    )
    save = refused("save", 'job.result().to_parquet("answers/") writes a file for each partition.')

    def _all_finished(self) -> bool:
        """Whether all partitions are there. Some may be lost again with the worker that had them.

        Raises:
            LionprocError: One cannot be.
        """
        states = [(number, future, future.status) for number, future in enumerate(self._futures)]
        for number, future, status in states:
            if status == "error":
                raise _told(number, future.exception())
        if self._client.status != "running" or any(each[2] == "cancelled" for each in states):
            raise RunError(GONE)
        return all(status == "finished" for _, _, status in states)

    def errors(self) -> pd.DataFrame:
        """The rows that failed, the first of each partition.

        Returns:
            Partition, position in it, index label, column, kind, message, hint and attempts.
        """
        rows = self._say(
            lambda scheduler: scheduler.lionproc_failures(question=self._question.token)
        ).result(30)
        names = ("partition", "position", "index", "where", "kind", "message", "hint", "attempts")
        return pd.DataFrame(rows, columns=list(names))

    def latest_errors(self, most: int) -> list[FailureRow]:
        """Some failures, for the panel."""
        from lionproc.notebook.panel_html import FailureRow

        return [
            FailureRow(
                row=each["index"],
                kind=each["kind"],
                message=each["message"],
                hint=each["hint"],
                reply="",
                text="",
            )
            for each in self._progress.failures[:most]
        ]

    @property
    def title(self) -> str:
        """What is made with which model, in a few words."""
        made = self._meta.columns[-1] if self._meta.ndim > 1 else self._meta.name
        return f"{made} with {self._question.model.provider}, on Dask"

    def facts(self) -> dict[str, object]:
        """What the card at the end says besides the numbers."""
        question = self._question
        return {
            "model": str(question.model.model),
            "provider": question.model.provider,
            "save": question.save,
            "saved_to": question.save,
            "errors_at": "job.errors()",
            "more": self._way_on(),
        }

    def _way_on(self) -> str:
        """What the card says of going on. `lp.last_job()` knows nothing of a cluster."""
        stats, parts = self.stats, list[str]()
        if stats.state == "failed":
            parts.append("job.frame() has the partitions that are done")
        if stats.failed:
            parts.append("job.errors() lists the errors")
        again = "running the cell again"
        if self._question.journal is False and (stats.left or stats.failed):
            parts.append(f"without a journal, {again} starts over")
        elif stats.left:
            larger = " with a larger budget=" if self._progress.reached else ""
            parts.append(f"{again}{larger} goes on from here, and pays nothing twice")
        elif stats.failed:
            parts.append(f"{again} asks only for those")
        return "; ".join(parts)

    def __repr__(self) -> str:
        stats = self.stats
        return (
            f"<DaskJob {stats.state}: {stats.finished:,} of {self._progress.about}"
            f"{stats.rows:,} rows, "
            f"{stats.sent:,} requests; it has .stats, .limits, .pause(), .stop(), .result()>"
        )


def _told(number: int, error: BaseException) -> BaseException:
    """The error of a partition, with the way on."""
    if isinstance(error, KilledWorker):
        return RunError(advice(number))
    if isinstance(error, LionprocError):
        return error
    made = RunError(
        f"Partition {number} could not be done: {type(error).__name__}: {error}. What was answered "
        "is journaled, and doing it again goes on from there."
    )
    made.__cause__ = error
    return made
