"""Which stage of a pipeline stopped a row, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.extensions import ExtensionArray

from lionproc.frame.cell import is_missing
from lionproc.frame.row_store import ANSWERED, CACHED, SKIPPED

if TYPE_CHECKING:
    from lionproc.frame.plan import Plan
    from lionproc.frame.row_store import RowStore
    from lionproc.frame.stage import Answers

__all__ = ["PIPELINE_ERROR", "stopped_at"]

PIPELINE_ERROR = "pipeline_error"


def stopped_at(
    plan: Plan, store: RowStore, answers: Answers, start: int, stop: int
) -> ExtensionArray:
    """The column `pipeline_error` of some rows; NA where a row came through.

    Args:
        plan: The run.
        store: Its answers.
        answers: What stages answered.
        start: The first row.
        stop: The row after the last.
    """
    texts = [_why(plan, store, answers, row) for row in range(start, stop)]
    made: ExtensionArray = pd.array(texts, dtype="string")
    return made


def _why(plan: Plan, store: RowStore, answers: Answers, row: int) -> str | None:
    for number, stage in enumerate(plan.stages):
        place = plan.first_place(number) + row
        status = store.status(place)
        if status in {ANSWERED, CACHED}:
            continue
        if status == SKIPPED:
            (output,) = stage.outputs
            cells, _ = output.cells(plan.frame, range(row, row + 1), answers)
            empty = [label for label, (cell,) in cells.items() if is_missing(cell)]
            why = f"{empty[0]!r} is missing" if empty else "its prompt is None"
            return f"{stage.name}: missing: {why}"
        error = store.failures.at(place)
        return "not sent" if error is None else f"{stage.name}: {error.kind}: {error.message}"
    return None
