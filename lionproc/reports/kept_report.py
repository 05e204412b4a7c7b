"""A report as a journal keeps it, in JSON's types, and made again of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.frame.cell import label_text
from lionproc.reports.report import Report

__all__ = ["kept", "report_again"]


def kept(report: Report) -> dict[str, object]:
    """What a report has besides its stats and facts. Labels of rows become texts."""
    return {
        "latency": dict(report.latency),
        "retried_for": dict(report.retried_for),
        "usd_saved": dict(report.usd_saved),
        "over_time": [dict(point) for point in report.over_time],
        "slowest": [{**asdict(row), "index": label_text(row.index)} for row in report._slowest],
        "dearest": [{**asdict(row), "index": label_text(row.index)} for row in report._dearest],
    }


def report_again(
    stats: RunStats,
    facts: Mapping[str, object],
    given: Mapping[str, Any],
    failures: Callable[[], pd.DataFrame],
) -> Report:
    """The report of a run that is remembered.

    Args:
        stats: The run's counts.
        facts: What else is known of it.
        given: What `sound_report` makes of what `kept` gave.
        failures: What lists the rows that failed.
    """
    return Report(
        stats,
        facts,
        latency=given["latency"],
        retried_for=given["retried_for"],
        usd_saved=given["usd_saved"],
        over_time=given["over_time"],
        _slowest=given["slowest"],
        _dearest=given["dearest"],
        failures=failures,
    )
