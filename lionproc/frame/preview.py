"""Runs the first rows for real, and says what all of them would cost and take."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.frame.estimate import estimate, must_be_foreseeable
from lionproc.frame.job import Job, prepare, wait_for
from lionproc.frame.plan import Plan


def rows_to_run(n: Any) -> int:
    """How many rows to run.

    Raises:
        ConfigurationError: It is no number of rows.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigurationError(f"n is how many rows to run, at least 1, not {n!r}.")
    return n


def try_out(whole: Plan, head: Plan) -> tuple[pd.DataFrame, Job]:
    """Run the first rows, and print what all of them would cost and take."""
    must_be_foreseeable(whole)
    job = prepare(head)
    out = wait_for(job)
    print(f"The whole run: {estimate(whole)}")  # noqa: T201  (what it is for)
    return out, job
