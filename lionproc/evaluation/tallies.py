"""What a variant took: how many answers, what they cost, how long they took, what went wrong."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from lionproc.errors import LionprocError, RunError
from lionproc.frame.job import Job
from lionproc.notebook.formatting import kind

__all__ = ["Tally"]


@dataclass(frozen=True, slots=True)
class Tally:
    """What a variant took.

    Attributes:
        rows: Rows of the sample.
        answered: Of these, with an answer.
        errors: Those that it was asked for and has no answer to.
        usd_per_1000: Dollars for a thousand rows like these, as they were when they were bought;
            None where the price of one is not known.
        seconds: The median of the seconds that a row's requests took; None without an answer.
        input_tokens: Tokens read for all rows.
        output_tokens: Tokens written.
        error: What went wrong most, in words; empty where nothing did.
        fatal: What no row could get past.
    """

    rows: int
    answered: int
    errors: int
    usd_per_1000: float | None
    seconds: float | None
    input_tokens: int
    output_tokens: int
    error: str
    fatal: LionprocError | None

    @classmethod
    def of(cls, job: Job, took: pd.DataFrame, fatal: LionprocError | None) -> Tally:
        """What a run took, by its rows.

        Args:
            job: The run, over.
            took: Its details, a row each.
            fatal: What ended it before its time.
        """
        stats = job.stats
        answered = took["status"].isin(["answered", "cached"]).to_numpy(dtype=bool)
        asked = took[answered | (took["status"] == "failed").to_numpy(dtype=bool)]
        billed = asked[asked["input_tokens"].gt(0).fillna(value=False) | asked["usd"].notna()]
        unknown = took.loc[answered, "usd"].isna().any() or billed["usd"].isna().any()
        usd = None if unknown or not answered.any() else float(billed["usd"].sum()) / len(asked)
        seconds = took.loc[answered, "seconds"].median() if answered.any() else None
        lost = stats.left if fatal is not None else 0
        return cls(
            rows=stats.rows,
            answered=stats.answered,
            errors=stats.failed + lost,
            usd_per_1000=None if usd is None else 1000 * usd,
            seconds=None if seconds is None or pd.isna(seconds) else float(seconds),
            input_tokens=int(took["input_tokens"].sum()),
            output_tokens=int(took["output_tokens"].sum()),
            error=str(fatal) if isinstance(fatal, (RunError, LionprocError)) else _most(job),
            fatal=fatal,
        )


def _most(job: Job) -> str:
    """The most frequent failure of its rows."""
    failed = job.errors()
    if not len(failed):
        return ""
    (which, rows), *_ = Counter(failed["kind"]).most_common(1)
    message = failed.loc[failed["kind"] == which, "message"].iloc[0]
    return f"{rows:,} {kind(which)}: {message}"
