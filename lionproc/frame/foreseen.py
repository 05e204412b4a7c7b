"""What was foreseen of a run in this session, so that a bill out of line with it is noticed."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["foreseen", "remember"]

MOST = 100  # estimates that are remembered
_ranges: OrderedDict[str, tuple[float, float]] = OrderedDict()


def remember(fingerprint: str, usd_range: tuple[float, float] | None) -> None:
    """An estimate was made.

    Args:
        fingerprint: Of the run that it is of.
        usd_range: The least and the most that it will probably cost; None where it is not known.
    """
    if usd_range is not None:
        _ranges[fingerprint] = usd_range
        _ranges.move_to_end(fingerprint)
        while len(_ranges) > MOST:
            _ranges.popitem(last=False)


def foreseen(fingerprint: object) -> tuple[float, float] | None:
    """What the last estimate of a run said it would cost, in dollars; None without one."""
    return _ranges.get(str(fingerprint))
