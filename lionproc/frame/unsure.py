"""What is said at the end of a run of answers that nobody can be sure of."""

from __future__ import annotations

from collections.abc import Iterator

from lionproc.engine.stats import RunStats

__all__ = ["unsure"]


def unsure(stats: RunStats, *, unknown: int, ties: int) -> Iterator[str]:
    """Sentences for warnings, none where there is nothing to say.

    Args:
        stats: The run.
        unknown: Answers that should have a confidence and have none.
        ties: Rows whose votes tie, so that they have no answer.
    """
    if unknown:
        are = "answers has" if unknown == 1 else "answers have"
        yield (
            f"{unknown:,} of {stats.answered:,} {are} no confidence (NA), for the replies have no "
            "log-probabilities that fit them. votes=5 gives every answer one."
        )
    if ties:
        are = "rows is" if ties == 1 else "rows are"
        yield (
            f"{ties:,} of {stats.rows:,} {are} NA, for several answers have the most votes there. "
            "tie='first' takes the one that was given first; odd numbers of votes tie less often."
        )
