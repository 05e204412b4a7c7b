"""Several runs at the same time: one budget, one display, and none that harms another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.limits import Limits
from lionproc.engine.routes import Routes
from lionproc.engine.stats import RunStats, State
from lionproc.engine.watching import Watcher
from lionproc.frame.job import Job, end_now, prepare
from lionproc.frame.plan import Plan

if TYPE_CHECKING:
    from lionproc.notebook.panel_html import FailureRow

__all__ = ["SideBySide"]

_OVER = frozenset({"done", "stopped", "failed"})


class SideBySide:
    """Runs at the same time, steered and shown as one. It is `Steered`.

    What ends one of them, a key that is refused or a model that is not there, ends no other.

    Args:
        plans: What each does, by its name. Their own displays are off.
        progress: False shows nothing.
        panel: As for `process`.
        title: What is done, in plain text.

    Attributes:
        jobs: The runs, by their names.

    Raises:
        ConfigurationError: One of them cannot work; nothing was sent.
    """

    def __init__(
        self, plans: Mapping[str, Plan], *, progress: bool, panel: bool | None, title: str
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self._title = title
        self._display: list[Watcher] = []
        group = BudgetGroup()
        try:
            for name, plan in plans.items():
                self.jobs[name] = prepare(plan, group=group)
        except BaseException:
            for job in self.jobs.values():
                job.give_up()
            raise
        from lionproc.notebook.progress import watchers

        self._display = watchers(
            self,
            progress=progress,
            panel=panel,
            title=title,
            facts=self._facts,
            latest=self._latest,
        )
        for job in self.jobs.values():
            job.watch(_Relay(self, job))

    def wait(self) -> None:
        """Start them all, and block until the last has ended.

        Raises:
            KeyboardInterrupt: A person interrupted; what was paid for is kept.
        """
        jobs = list(self.jobs.values())
        try:
            for job in jobs:
                job.begin()
            for job in jobs:
                job.wait()
        except KeyboardInterrupt:
            end_now(*jobs)
        except BaseException:  # nobody else has them in hand, as in `wait_for`
            end_now(*jobs)
            raise
        else:
            return
        stats = self.stats
        raise KeyboardInterrupt(
            f"Stopped after {stats.finished:,} of {stats.rows:,} answers. They are kept: running "
            "the cell again goes on from here, and pays nothing twice."
        ) from None

    # -- the wheel --------------------------------------------------------------------------

    @property
    def limits(self) -> Limits:
        """The live limits: those of the first, where they go to different models."""
        return next(iter(self.jobs.values())).limits

    def pause(self) -> None:
        """Let nothing more leave until `resume`."""
        for job in self.jobs.values():
            job.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        for job in self.jobs.values():
            job.resume()

    def stop(self, grace_s: float = 10.0) -> None:
        """Send nothing more, and let what is in flight come back, for so many seconds."""
        for job in self.jobs.values():
            job.stop(grace_s)

    # -- what a person sees -----------------------------------------------------------------

    @property
    def stats(self) -> RunStats:
        """All of them at this moment, as one."""
        each = [job.stats for job in self.jobs.values()]
        # Rows of one that could not go on will not come any more, and the others do not wait.
        lost = sum(stats.left for stats in each if stats.state == "failed")
        errors = Counter[str]()
        for stats in each:
            errors.update(stats.errors)
            if stats.state == "failed" and stats.errors:
                errors[max(stats.errors, key=lambda kind: stats.errors[kind])] += stats.left
        began = [stats.began_at for stats in each if stats.began_at is not None]
        so_far = RunStats(
            state=_state([stats.state for stats in each]),
            rows=sum(stats.rows for stats in each),
            answered=sum(stats.answered for stats in each),
            cached=sum(stats.cached for stats in each),
            skipped=sum(stats.skipped for stats in each),
            failed=sum(stats.failed for stats in each) + lost,
            usd_of_answers=_sum([stats.usd_of_answers for stats in each]),
            budget=each[0].budget,
            budget_used=each[0].budget_used,
            began_at=min(began, default=None),
            limits_inherited=each[0].limits_inherited,
            note=self._note(each),
            errors=errors,
        )
        open_ones = [job._routes for job in self.jobs.values() if job._routes.executors]
        if not open_ones:
            return so_far
        together = Routes([route for routes in open_ones for route in routes.routes])
        together.executors = [executor for routes in open_ones for executor in routes.executors]
        made = together.stats(max(stats.elapsed_s for stats in each), so_far)
        # One that has bought nothing has cost nothing, whatever its price would be.
        return replace(made, usd=_sum([stats.usd for stats in each if stats.tokens]))

    def _note(self, each: Sequence[RunStats]) -> str:
        of: dict[str, list[str]] = {}  # what several say is said once
        for name, stats in zip(self.jobs, each, strict=True):
            if stats.note:
                of.setdefault(stats.note, []).extend([name] if stats.state == "failed" else [])
        return " ".join(
            f"{', '.join(names)}: {note}" if names else note for note, names in of.items()
        )

    def _facts(self) -> Mapping[str, Any]:
        """What the card of all says besides the numbers."""
        reports = {name: job.report() for name, job in self.jobs.items()}
        first = next(iter(reports.values())).facts
        models = dict.fromkeys(report.model for report in reports.values())
        return {
            "model": ", ".join(models),
            "schema": first.get("schema", ""),
            "journal": first["journal"],
            "stages": [_as_stage(name, report.stats) for name, report in reports.items()],
            "more": "the comparison has the answers side by side, what they cost and who is better",
        }

    def _latest(self, most: int) -> list[FailureRow]:
        found = [
            row._replace(row=f"{row.row} ({name})")
            for name, job in self.jobs.items()
            for row in job.latest_errors(most)
        ]
        return list(islice(found, most))

    def heard_of(self, job: Job) -> None:
        """One of them has news: the first that still runs speaks for all."""
        speaker = next((each for each in self.jobs.values() if not _over(each)), None)
        if job is speaker:
            stats = self.stats
            for watcher in self._display:
                watcher.update(stats)

    def ended(self) -> None:
        """One of them has ended; after the last one the display does."""
        if all(map(_over, self.jobs.values())):
            stats, display = self.stats, self._display
            self._display = []
            for watcher in display:
                watcher.close(stats)


class _Relay:
    """Hands what one run says on to the display of all. A `Watcher`."""

    def __init__(self, whole: SideBySide, job: Job) -> None:
        self._whole = whole
        self._job = job

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        del stats
        self._whole.heard_of(self._job)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        del stats
        self._whole.ended()


def _over(job: Job) -> bool:
    return job.stats.state in _OVER


def _state(states: Sequence[State]) -> State:
    """The state of all: they run as long as one does, and have failed where every one has."""
    under_way = [state for state in states if state not in _OVER]
    for state in ("stopping", "running", "paused"):
        if state in under_way:
            return state
    if all(state == "failed" for state in states):
        return "failed"
    return "stopped" if "stopped" in states else "done"


def _sum(amounts: Sequence[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None


def _as_stage(name: str, stats: RunStats) -> dict[str, object]:
    """One of them, as the card shows a stage."""
    lost = stats.left if stats.state == "failed" else 0
    return {
        "called": "variant",
        "stage": name,
        "answered": stats.answered,
        "cached": stats.cached,
        "skipped": stats.skipped,
        "failed": stats.failed + lost,
        "requests": stats.sent,
    }
