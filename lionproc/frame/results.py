"""Where a run's results are looked up: which job made a frame, its errors, its report."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import CallError, ConfigurationError

if TYPE_CHECKING:
    from lionproc.frame.job import Job
    from lionproc.frame.plan import Plan

# Frames are not hashable, so they are known by id as long as they live.
_made: dict[int, tuple[weakref.ref[Any], Job]] = {}


def remember(frame: pd.DataFrame | pd.Series[Any], job: Job) -> None:
    """Know later which job made a frame. Nothing is written into the frame."""
    key = id(frame)

    def forget(_: object) -> None:
        _made.pop(key, None)

    _made[key] = (weakref.ref(frame, forget), job)


def job_of(frame: pd.DataFrame | pd.Series[Any]) -> Job:
    """The job that made a frame.

    Raises:
        ConfigurationError: It was not made by a run of this session.
    """
    ref, job = _made.get(id(frame), (None, None))
    if ref is None or job is None or ref() is not frame:
        raise ConfigurationError(
            "This frame was not returned by df.llm.process in this session (or it is a copy of "
            "such a frame). lp.last_job() has the errors and the report of the last run."
        )
    return job


def errors_table(plan: Plan, failures: Mapping[int, tuple[CallError, int]]) -> pd.DataFrame:
    """One row for every row without an answer."""
    places = sorted(failures)
    rows = [place % plan.rows for place in places]
    found = [failures[place] for place in places]
    index = plan.frame.index
    return pd.DataFrame(
        {
            "position": pd.array(rows, dtype="int64"),
            "index": pd.Series([index[row] for row in rows], dtype=object),
            "into": pd.Series(
                [str(plan.outputs[place // plan.rows].into or "") for place in places],
                dtype=object,
            ),
            "kind": pd.array([str(error.kind) for error, _ in found], dtype="string"),
            "message": pd.array([error.message for error, _ in found], dtype="string"),
            "attempts": pd.array([attempts for _, attempts in found], dtype="int64"),
        }
    )


@dataclass(frozen=True)
class Report:
    """What a run did. Printed, it is a summary; `facts` has the numbers."""

    stats: RunStats
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, stats: RunStats, facts: Mapping[str, Any]) -> Report:
        """The report of a run at this moment."""
        return cls(stats, facts)

    def __repr__(self) -> str:
        from lionproc.notebook.card import as_text

        return as_text(self.stats, self.facts)

    def _repr_html_(self) -> str:
        from lionproc.notebook.card import as_html

        return as_html(self.stats, self.facts)


def show(job: Job, *, progress: bool, panel: bool | None) -> None:
    """Let a person see the job, in the way that suits where they sit."""
    from lionproc.notebook.progress import watchers

    shown = watchers(
        job,
        progress=progress,
        panel=panel,
        title=job.title,
        facts=lambda: job.report().facts,
        latest=job.latest_errors,
    )
    for watcher in shown:
        job.watch(watcher)
