"""What smells in the answers of a run that has ended, in one line for its card.

Looks at 20,000 rows at most, of wide or long answers at fewer, from everywhere, so that it takes a fraction
of a second whatever the run took. `out.llm.check()` looks at all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lionproc.frame.look import Finding, bounds_of, in_one_line, looked_at
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import RowStore

__all__ = ["smells"]

log = logging.getLogger("lionproc")
MOST_ROWS, FEWEST_ROWS = 20_000, 1000
MOST_CELLS = 60_000
MOST_BYTES = 2**28  # of the texts of a column
PART_ROWS, FEWEST_PARTS = 1000, 5


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
    answers = store.columns[number]
    rows = min(MOST_ROWS, max(MOST_CELLS // max(answers.width, 1), FEWEST_ROWS))
    size = min(PART_ROWS, rows // FEWEST_PARTS)
    starts = np.arange(0, plan.rows, max(size, plan.rows * size // rows))
    places = (starts[:, None] + np.arange(size)).ravel()
    places = places[places < plan.rows]
    for name, cells in answers.each(places):
        column = pd.Series(cells, name=name)
        if isinstance(column.dtype, pd.StringDtype):
            length = pc.sum(pc.binary_length(pa.array(column.array))).as_py() or 0
            if length > MOST_BYTES:
                fewer = places[:: length // MOST_BYTES + 1]
                column = pd.Series(dict(answers.each(fewer))[name], name=name)
        yield column
