"""Where a run's results are looked up: which run made a frame, its errors, its report."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import ConfigurationError

if TYPE_CHECKING:
    from lionproc.frame.job import Job


class Made(Protocol):
    """A run that made a frame."""

    def errors(self) -> pd.DataFrame:
        """The rows without an answer."""

    def report(self) -> Report:
        """What the run did."""


# Frames are not hashable, so they are known by id as long as they live.
_made: dict[int, tuple[weakref.ref[Any], Made]] = {}


def remember(frame: pd.DataFrame | pd.Series[Any], run: Made) -> None:
    """Know later which run made a frame. Nothing is written into the frame."""
    key = id(frame)

    def forget(_: object) -> None:
        _made.pop(key, None)

    _made[key] = (weakref.ref(frame, forget), run)


def run_of(frame: pd.DataFrame | pd.Series[Any]) -> Made:
    """The run that made a frame.

    Raises:
        ConfigurationError: It was not made by a run of this session.
    """
    ref, run = _made.get(id(frame), (None, None))
    if ref is None or run is None or ref() is not frame:
        raise ConfigurationError(
            "This frame was not returned by df.llm.process or df.llm.pipeline in this session (or "
            "it is a copy of such a frame). lp.last_job() has the errors and the report of the "
            "last df.llm.process."
        )
    return run


class Failure(NamedTuple):
    """A row without an answer: where it is, where it failed and why."""

    position: int
    where: str
    kind: str
    message: str
    attempts: int


def errors_table(index: pd.Index[Any], where: str, failures: Iterable[Failure]) -> pd.DataFrame:
    """One row for every row without an answer.

    Args:
        index: The labels of the rows.
        where: What the column of the places where they failed is called.
        failures: In the order they are shown.
    """
    rows = list(failures)
    return pd.DataFrame(
        {
            "position": pd.array([row.position for row in rows], dtype="int64"),
            "index": pd.Series([index[row.position] for row in rows], dtype=object),
            where: pd.Series([row.where for row in rows], dtype=object),
            "kind": pd.array([row.kind for row in rows], dtype="string"),
            "message": pd.array([row.message for row in rows], dtype="string"),
            "attempts": pd.array([row.attempts for row in rows], dtype="int64"),
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
