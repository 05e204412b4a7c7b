"""What a worker does with a partition: an ordinary run of the ordinary engine.

All partitions of a process share its engine, limiter and journal, as runs of a notebook do. Across
processes the limits hold because their limiters take their permissions from one budget.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from distributed import Reschedule

from lionproc.dask.attendant import WORKS, Attendant
from lionproc.dask.parts import Part
from lionproc.dask.question import Question, Rows
from lionproc.dask.sharing import shared_budget, this_worker
from lionproc.errors import AccessError, FirstRowsFailedError, RowsFailedError
from lionproc.frame.job import Job, prepare
from lionproc.frame.plan import Plan

__all__ = ["answered", "checked"]

log = logging.getLogger("lionproc")
FAILED = "lionproc_failed"  # in the attrs of a partition on its way to `checked`


class PartitionJob(Job):
    """A run over one partition. Nobody looks at its process, so what it would warn of is logged.

    Attributes:
        number: Which partition it is.
        watched: Whether the notebook says it of all partitions together.
    """

    number = 0
    watched = False

    def _tell(self) -> None:
        stats, level = self.stats, logging.INFO if self.watched else logging.WARNING
        of = f"of {stats.rows:,} rows of partition {self.number}"
        if stats.failed:
            kinds = ", ".join(f"{count:,} {kind}" for kind, count in stats.errors.items())
            log.log(level, "%d %s failed: %s", stats.failed, of, kinds)
        if stats.state == "stopped":
            log.log(level, "%d %s were not sent", stats.left, of)

    def _tell_mixture(self) -> None:
        mixture = self._store.answered_by.mixture()
        if mixture:
            log.warning("the answers come from more than one model: %s", mixture)


def answered(part: Rows, number: int, question: Question) -> Rows:
    """A partition with its answers.

    Args:
        part: Its rows.
        number: Which partition it is.
        question: What is asked.

    Returns:
        What `process` returns for such rows. How many failed is in its attrs.
    """
    question.check(part, number)
    worker = this_worker()
    with shared_budget(question, worker) as limits:
        plan = question.plan(part, limits=limits)
        try:
            out, failed = _run(plan, worker, question, number)
        except _GoOnError:
            plan = question.plan(part, limits=limits)
            out, failed = _run(plan, worker, question, number, again=True)
    made = question.shaped(part, out, plan)
    made.attrs = {FAILED: dict(failed)} if failed else {}
    return made


class _GoOnError(Exception):
    """Rows of this partition alone may fail alike, so that its run stopped: it is to go on."""


def _run(
    plan: Plan, worker: Any, question: Question, number: int, *, again: bool = False
) -> tuple[pd.DataFrame, Mapping[str, int]]:
    """The rows with their answers, and how many failed, by kind."""
    group = None if worker is not None else WORKS.begin(question.token, number, again=again)
    job = prepare(plan, job_type=PartitionJob, group=group)
    assert isinstance(job, PartitionJob)  # noqa: S101  (for the type checker)
    job.number, job.watched = number, question.watched
    try:
        attendant = Attendant(job, worker, question, number, again=again)
        place = None if question.save is None else Part(question, number, job)
        out = None if place is None else place.read()
        if place is not None and out is not None:
            attendant.tell_of_part(place.answered)
        else:
            if plan.fault is not None and not again:
                raise _GoOnError if attendant.is_to_go_on() else plan.fault
            out = _asked(job, attendant)
            if place is not None:
                place.write(out)
    finally:
        if job.stats.began_at is None:  # and never will: nobody else closes it then
            job._journal.close()
            job._routes.group.leave(job._routes)
    return out, job.stats.errors


def _asked(job: PartitionJob, attendant: Attendant) -> pd.DataFrame:
    job.watch(attendant)
    attendant.begin()
    job.begin()
    try:
        out = job.result()
    except (FirstRowsFailedError, AccessError) as error:
        if attendant.is_to_go_on():
            raise _GoOnError from error
        error.add_note(f"So it was in partition {job.number}.")
        raise
    finally:
        attendant.end()
    if attendant.unwanted:  # what there is of it must not be taken for all of it
        raise Reschedule
    return out


def failures(part: Rows) -> Mapping[str, int]:
    """How many rows of a partition failed, by kind."""
    found: Mapping[str, int] = part.attrs.get(FAILED, {})
    return found


def checked(part: Rows, failed: Sequence[Mapping[str, int]]) -> Rows:
    """A partition, if no row failed in any: for `errors="raise"`.

    Raises:
        RowsFailedError: Some did. All others are done and journaled.
    """
    kinds: dict[str, int] = {}
    for each in failed:
        for kind, count in each.items():
            kinds[kind] = kinds.get(kind, 0) + count
    if kinds:
        words = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
        raise RowsFailedError(
            f"{sum(kinds.values()):,} rows failed ({words}). The answers of all others are "
            'journaled: errors="coerce" gives them with NA for those that failed, and running '
            "again asks only for the rest."
        )
    part.attrs = {}
    return part
