"""Sentences about rates: known or not, learned from the server, left by an earlier run.

Said in the same words in the panel, behind the bar and on the card.
"""

from __future__ import annotations

import math

from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats
from lionproc.notebook.formatting import exact

KNOWN_AFTER_S = 5  # what a second or two come to in a minute is chance
_USUAL_CONCURRENCY = Limits().concurrency


def known(stats: RunStats) -> bool:
    """Whether the rates of a run say something about it now: not at its start, nor in a pause."""
    return stats.state == "running" and stats.elapsed_s >= KNOWN_AFTER_S


def learned(stats: RunStats) -> float | None:
    """Requests per minute that the server was found to take, where that is what holds a run.

    None where nothing was found, where that is no less than the limit, and where the server
    named its limit itself: then it is among the limits.
    """
    takes = stats.learned_requests_per_minute
    if takes is None or stats.learned_from in {"", "headers"}:
        return None
    limit = stats.requests_limit
    return takes if limit is None or takes < 0.98 * limit else None


def about(rate: float) -> str:
    """A measured rate, no more exact than it is known.

    Example:
        >>> about(148.6), about(1234), about(7.26)
        ('150', '1,200', '7.3')
    """
    if rate <= 0:
        return "0"
    return exact(round(rate, 1 - math.floor(math.log10(rate))))


def server_takes(stats: RunStats) -> str:
    """What the server was found to take, empty where that is not what holds a run."""
    rate = learned(stats)
    if rate is None:
        return ""
    source = ", as an earlier run found" if stats.learned_from == "earlier run" else ""
    return f"the server takes about {about(rate)} requests/min{source}"


def inherited(stats: RunStats, limits: Limits) -> str:
    """Limits that this run was not given: 60 requests/min, set by an earlier run.

    Args:
        stats: The run.
        limits: Its live limits.
    """
    if not stats.limits_inherited:
        return ""
    amounts = (
        (limits.requests_per_minute, "requests/min"),
        (limits.tokens_per_minute, "tokens/min"),
        (limits.input_tokens_per_minute, "input tokens/min"),
        (limits.output_tokens_per_minute, "output tokens/min"),
        (limits.concurrency if limits.concurrency < _USUAL_CONCURRENCY else None, "in flight"),
    )
    parts = [f"{exact(amount)} {unit}" for amount, unit in amounts if amount is not None]
    return f"{', '.join(parts)}, set by an earlier run" if parts else ""
