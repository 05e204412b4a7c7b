"""The report of a run over a frame: what its engine and its rows know, put together.

This is the one place where a frame uses the room of the reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lionproc.frame.extremes import Extreme
from lionproc.frame.plan import Plan
from lionproc.reports.kept_report import kept
from lionproc.reports.measured import latency_of, over_time
from lionproc.reports.report import Report, Row

if TYPE_CHECKING:
    from lionproc.frame.row_run import RowRun

__all__ = ["kept", "report_of"]


def report_of(run: RowRun, facts: Mapping[str, Any]) -> Report:
    """What a run did. Nothing of the run itself is kept in it.

    Args:
        run: The run.
        facts: What is known of it by name.
    """
    stats, routes, bought = run.stats, run._routes, run._bought
    saved = routes.saved
    return Report(
        stats,
        facts,
        latency=latency_of(routes.latencies),
        retried_for={str(kind): number for kind, number in routes.retries.items()},
        usd_saved={
            "journal": bought.by_journal,
            "deduplication": bought.by_sharing,
            "prompt_cache": None if saved is None else saved.prompt_cache,
            "tier": None if saved is None else saved.tier,
            "batch": None if saved is None else saved.batch,
        },
        over_time=over_time(run._timeline.points()),
        _slowest=_rows(run._plan, run._slowest.rows()),
        _dearest=_rows(run._plan, run._dearest.rows()),
        failures=partial(run._store.failures.table, stats),
    )


def _rows(plan: Plan, found: Sequence[Extreme]) -> list[Row]:
    index, rows = plan.frame.index, plan.rows
    return [
        Row(
            row.place % rows,
            index[row.place % rows],
            str(plan.outputs[row.place // rows % len(plan.outputs)].into or ""),
            row.seconds,
            row.usd,
            row.input_tokens + row.output_tokens,
            row.attempts,
            row.model,
        )
        for row in found
    ]
