"""What smells in the answers of a run that has ended, in one line for its card.

Looks at 20,000 rows at most, from everywhere, so that it takes a fraction of a second whatever
the run took. `out.llm.check()` looks at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pandas as pd

from lionproc.frame.look import Finding, bounds_of, in_one_line, looked_at
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import RowStore

__all__ = ["smells"]

log = logging.getLogger("lionproc")
PART_ROWS, PARTS = 1000, 20


def smells(plan: Plan, store: RowStore) -> str:
    """What there is to look at; empty for nothing.

    Args:
        plan: The run.
        store: Its answers.
    """
    found: list[Finding] = []
    try:
        for number in range(len(plan.outputs)):
            answer = plan.stages[plan.stage_of(number)].answer
            bounds = list(bounds_of(answer).values())
            for place, column in enumerate(_columns(plan, store, number)):
                known = bounds[place] if place < len(bounds) else (None, None)
                found += looked_at(column, known)
    except Exception:  # it is advice: no reason to end a run that is over
        log.debug("the answers could not be looked at", exc_info=True)
    return in_one_line(found)


def _columns(plan: Plan, store: RowStore, number: int) -> Iterator[pd.Series[Any]]:
    starts = range(0, plan.rows, max(PART_ROWS, plan.rows // PARTS))
    parts = [store.columns[number].between(s, min(s + PART_ROWS, plan.rows)) for s in starts]
    for name in parts[0] if parts else ():
        yield pd.concat([pd.Series(part[name], name=name) for part in parts], ignore_index=True)
