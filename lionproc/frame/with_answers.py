"""The input with the columns that a run fills: the same for a job, and for no rows at all.

Whoever has to know the columns of a run before it begins (Dask wants that) gets them from here,
so that they cannot be others than those that come.
"""

from __future__ import annotations

from collections.abc import Hashable
from copy import deepcopy
from typing import Any

import pandas as pd

from lionproc.frame.assemble import assemble
from lionproc.frame.confidence_columns import confidence_names
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import RowStore
from lionproc.frame.stage import Answers
from lionproc.frame.stopped_at import PIPELINE_ERROR, stopped_at

__all__ = ["columns_before", "store_of", "with_answers"]


def store_of(plan: Plan, run: str = "") -> RowStore:
    """An empty store for the answers of a plan.

    Args:
        plan: The run.
        run: Its id.
    """
    outputs = [
        (plan.stages[plan.stage_of(number)].answer, output.into)
        for number, output in enumerate(plan.outputs)
    ]
    return RowStore(
        plan.frame.index,
        outputs,
        where="stage" if plan.staged else "into",
        details=plan.options.details,
        run=run,
        further=plan.first_place(len(plan.stages) - 1),
        sure=[
            confidence_names(plan.stages[plan.stage_of(number)], output.into)
            for number, output in enumerate(plan.outputs)
        ],
    )


def with_answers(
    plan: Plan, store: RowStore, start: int, stop: int, answer: Answers
) -> pd.DataFrame:
    """Rows of the input with what is in the store for them; NA where nothing is.

    Args:
        plan: The run.
        store: Its answers.
        start: The first row.
        stop: The row after the last.
        answer: What stages answered.
    """
    new: dict[Hashable, Any] = {}
    details: dict[Hashable, Any] = {}
    for number, output in enumerate(plan.outputs):
        base = number * plan.rows
        new.update(store.columns[number].between(start, stop))
        new.update(store.confidences[number].between(start, stop))
        if plan.options.details:
            details.update(store.details(output.into, base + start, stop - start))
    if details and plan.staged:
        details[PIPELINE_ERROR] = stopped_at(plan, store, answer, start, stop)
    new.update(details)
    frame = plan.frame.iloc[start:stop] if (start, stop) != (0, plan.rows) else plan.frame
    made = assemble(frame, new, overwrite=plan.options.overwrite)
    made.attrs = deepcopy(plan.attrs)
    return made


def columns_before(plan: Plan) -> pd.DataFrame:
    """What a run makes, without its rows: the columns in order, with their dtypes.

    Args:
        plan: The run, over a frame without rows.
    """

    def nothing(stage: int, row: int, _field: str | None = None) -> None:
        raise LookupError(f"there is no row {row} at stage {stage}")

    return with_answers(plan, store_of(plan), 0, 0, nothing)
