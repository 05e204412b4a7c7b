"""`estimate` and `preview` of a Dask frame: by some of its rows, as all may not fit in here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from dask.base import compute
from dask.delayed import delayed

from lionproc.dask.planned import asks_before, known_length
from lionproc.dask.question import Asked, DaskRows, Rows, plan_of
from lionproc.errors import ConfigurationError
from lionproc.frame.estimate import Estimate, estimate
from lionproc.frame.preview import Preview, Sampling, preview
from lionproc.frame.seen import Sample

__all__ = ["foreseen", "tried"]

MOST_PARTS = 5  # that are looked at, spread over the frame
MOST_ROWS = 1000  # of them together


@dataclass(frozen=True, slots=True)
class Drawn:
    """Some rows of a Dask frame.

    Attributes:
        to_try: Rows that may be tried.
        rows: Those that the others are judged by. They are not among `to_try`, unless they are all
            that there are: what was tried would otherwise count as answered many times over.
        times: How many rows of the frame each of those stands for.
        words: Which part of the frame they are; empty where they are all of it.
    """

    to_try: Rows
    rows: Rows
    times: float
    words: str

    def estimate(self, asked: Asked, replies: Mapping[bytes, Sample] | None = None) -> Estimate:
        """What all rows of the frame would take.

        Args:
            asked: The arguments of the call.
            replies: What questions have just taken, by their keys.
        """
        plan = plan_of(asked, self.rows)
        return estimate(plan, replies, times=self.times, sample=self.words)


def foreseen(asked_about: DaskRows, asked: Asked) -> Estimate:
    """What `process` would send, cost and take, by a sample of the rows.

    Args:
        asked_about: A Dask frame or series.
        asked: The arguments of the call.

    Raises:
        ConfigurationError: One of them cannot work, or no rows can be looked at for nothing.
    """
    return _drawn(asked_about, MOST_ROWS).estimate(asked)


def tried(asked_about: DaskRows, asked: Asked, *, n: int, sample: Sampling, seed: int) -> Preview:
    """Run a few rows here, and say what the rest would cost and take.

    Args:
        asked_about: A Dask frame or series.
        asked: The arguments of the call.
        n: How many rows to run.
        sample: Which ones of those that are looked at.
        seed: For "random".

    Raises:
        ConfigurationError: One of them cannot work, or no rows can be looked at for nothing.
        RunError: As `process`.
    """
    most = max(MOST_ROWS, n) if isinstance(n, int) else MOST_ROWS
    drawn = _drawn(asked_about, most)
    less = {"save": None, "progress": False}
    return preview(
        plan_of(asked, drawn.to_try, less),
        lambda rows: plan_of(asked, drawn.to_try.iloc[rows], less),
        lambda out, job: asked.shaped(drawn.to_try, out, job.has_fields),
        n=n,
        sample=sample,
        seed=seed,
        foresee=lambda _, replies: drawn.estimate(asked, replies),
    )


def _drawn(rows: DaskRows, most: int) -> Drawn:
    """Rows of some partitions, and how many there are in all.

    Raises:
        ConfigurationError: They would have to be paid for, or there are none.
    """
    if asks_before(rows):
        raise ConfigurationError(
            "Some rows are looked at for that, and they would have to be bought first: an earlier "
            "process() has not been computed yet. Keep its answers, and ask of those: "
            'out = out.persist(), or save="answers/" and lionproc.dask.read_parquet("answers/").'
        )
    parts = rows.optimize().to_delayed(optimize_graph=False)
    some = min(MOST_PARTS, len(parts))
    numbers = [round(place * (len(parts) - 1) / max(some - 1, 1)) for place in range(some)]
    look, share = delayed(_looked_at), math.ceil(most / some)
    looks = [look(parts[number], share) for number in numbers]
    seen: Sequence[Any] = compute(*looks)  # type: ignore[no-untyped-call]
    lengths, first, second = zip(*seen, strict=True)
    found = sum(lengths)
    known = found if some == len(parts) else known_length(rows)
    if not found and known != 0:
        raise ConfigurationError(
            f"The {some} of {len(parts):,} partitions that were looked at have no rows, so "
            "nothing can be foreseen. ddf.repartition(...) makes fewer and fuller ones of them."
        )
    every = pd.concat([half for halves in zip(first, second, strict=True) for half in halves])
    if len(every) == known:
        return Drawn(every, every, 1.0, "")
    drawn = pd.concat(second)
    words = f"{len(drawn):,} rows of {some} of {len(parts):,} partitions"
    if known is None:
        words += ", if the others have as many rows as these"
        known = round(found / some * len(parts))
    return Drawn(pd.concat(first), drawn, known / len(drawn), words)


def _looked_at(part: Rows, most: int) -> tuple[int, Rows, Rows]:
    """How many rows there are, and some of the first and of the second half."""
    middle = len(part) // 2
    return len(part), part.iloc[:middle][:most], part.iloc[middle:][:most]
