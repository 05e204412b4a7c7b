"""What a part notes of its questions, where its name does not tell them all.

Those of a pipeline whose stages ask with functions are known when they are made, and of later stages
they are made of answers. So a part notes a digest of them, and whoever finds it makes them anew, of
the answers in the part. Noted are also the thresholds by which a cascade chose who answers, the code
that read replies, and that equal rows were asked one by one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from lionproc.frame.assemble import column_names
from lionproc.frame.dtypes import cells_of
from lionproc.frame.function_digest import digest_of
from lionproc.frame.job import Job
from lionproc.frame.plan import Plan
from lionproc.frame.stage import Answers
from lionproc.model.as_json import plain, plain_field, to_json
from lionproc.model.reading_code import reading_code
from lionproc.model.thresholds import thresholds_of

__all__ = ["Columns", "note_expected", "note_of"]

Columns = Mapping[Hashable, Any]
"""The arrays of the answers in a part, by name."""


def note_of(job: Job, columns: Columns) -> str | None:
    """What a part notes that is about to be written.

    Args:
        job: The run that answered its rows, which has ended.
        columns: The answers.

    Returns:
        A digest; None where its name tells all, or its questions cannot be made of what is in it (a
        validator of the type makes another answer of an answer, say).
    """
    plan = job._plan
    saved = _Saved(plan, columns)
    try:
        return _digest(job, saved) if _are_equal(plan, saved, job._answer) else None
    except Exception:  # noqa: BLE001  (code of the type's may raise anything)
        return None


def note_expected(job: Job, columns: Columns) -> str | None:
    """What a part has noted if its answers are those to the questions of this run.

    Args:
        job: The run, not yet begun.
        columns: The answers in the part.

    Returns:
        A digest; None where its name tells all.

    Raises:
        Exception: Of any kind, where its questions cannot be made of what is in it.
    """
    return _digest(job, _Saved(job._plan, columns))


def _digest(job: Job, answers: Answers) -> str | None:
    plan = job._plan
    stages = _noted_stages(plan)
    thresholds = [thresholds_of(stage.model) for stage in plan.stages]
    apart = not plan.options.deduplicate and (plan.staged or _repeats(job))
    reading = [reading_code(stage.answer.source) for stage in plan.stages]
    if not (stages or any(thresholds) or apart or any(reading)):
        return None
    made = hashlib.sha256(json.dumps([thresholds, apart]).encode())
    if any(reading):
        made.update(digest_of(reading).encode())
    for stage in stages:
        (builder, *_) = job._builders_at(stage)
        for calls in plan.in_portions(stage, builder, range(plan.rows), answers):
            for _, call in calls:
                made.update(getattr(call, "key", None) or b"-")
    plan.forget_occurrences()
    return made.hexdigest()


def _noted_stages(plan: Plan) -> list[int]:
    """The stages whose questions the name of a part does not tell."""
    functions = [n for n, stage in enumerate(plan.stages) if stage.calls_functions]
    return functions if plan.staged else []


def _repeats(job: Job) -> bool:
    """Whether rows ask what others have asked."""
    plan = job._plan
    calls = (call for some in plan.first_calls(job._builders[0]) for _, call in some)
    found = any(getattr(call, "occurrence", 0) for call in calls)
    plan.forget_occurrences()
    return found


def _are_equal(plan: Plan, saved: Answers, given: Answers) -> bool:
    """Whether what is in a part is what functions of later stages were shown."""
    return all(
        to_json(saved(stage, row)) == to_json(given(stage, row))
        for stage in range(max(_noted_stages(plan), default=0))
        for row in range(plan.rows)
    )


class _Saved:
    """The answers in a part, as later stages are shown them. An `Answers`.

    Args:
        plan: The run.
        columns: The answers.
    """

    def __init__(self, plan: Plan, columns: Columns) -> None:
        self._stages = plan.stages
        self._columns = columns
        self._read: dict[int, list[list[Any]]] = {}  # by stage, column by column

    def __call__(self, stage: int, row: int, field: str | None = None, /) -> object:
        answer, cells = self._stages[stage].answer, self._cells(stage, row)
        value = None
        if answer.fields is None:
            (cell,) = cells
            value = None if cell is None else answer.read(answer.written(cell))
        elif self._came_to(stage, row):
            names = [each.name for each in answer.fields]
            value = answer.read(answer.written(dict(zip(names, cells, strict=True))))
        return plain(value) if field is None else plain_field(value, field)

    def _came_to(self, stage: int, row: int) -> bool:
        """Whether a row was answered there: an answer of which all is None shows at later stages."""
        later = range(stage, len(self._stages))
        return any(cell is not None for number in later for cell in self._cells(number, row))

    def _cells(self, stage: int, row: int) -> list[Any]:
        if stage not in self._read:
            (output,) = self._stages[stage].outputs
            names = column_names(self._stages[stage].answer, output.into)
            self._read[stage] = [cells_of(pd.Series(self._columns[name])) for name in names]
        return [column[row] for column in self._read[stage]]
