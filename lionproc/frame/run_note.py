"""What a journal remembers of a run over a frame: how it went, and what it asked.

What was asked is kept so that the journal can be asked the same again, for another frame with the
same rows. What cannot be written as JSON (a function as prompt) is named, and whoever asks again
has to give it. Cells and answers are not kept here: the replies are in the records.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lionproc.engine.stats import RunStats
from lionproc.frame.assemble import column_names
from lionproc.frame.failures import Failures
from lionproc.frame.plan import Plan
from lionproc.model.call import RequestBuilder
from lionproc.model.composed import leaves_of
from lionproc.model.schema_type import shape_kept
from lionproc.model.steps import Steps

if TYPE_CHECKING:
    from lionproc.reports.report import Report
__all__ = ["arguments_of", "new_run_id", "note_of", "program_name", "with_prompt"]

MOST_ERRORS: Final = 1000
"""Rows without an answer that are listed; the kinds of all are counted."""
_LAUNCHER: Final = "ipykernel_launcher.py"


def new_run_id() -> str:
    """An id for a run: when it was made, by the clock of Greenwich, and some letters by chance."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def arguments_of(
    *,
    prompt: object,
    system: object,
    into: object,
    columns: object,
    on_missing: str,
    each: bool,
    **how: object,
) -> dict[str, object]:
    """The arguments that shape the questions of a run over rows, in JSON's types.

    Args:
        prompt: The prompt.
        system: The system prompt.
        into: The column.
        columns: The columns that are asked about.
        on_missing: What becomes of missing cells.
        each: Whether the prompt is for single cells.
        **how: Others, in JSON's types already.

    Returns:
        The same; a function is None there, and named under "functions". "into" and "columns" are
        lists of labels, None where a label is neither a text nor a whole number.
    """
    functions = [n for n, given in (("prompt", prompt), ("system", system)) if callable(given)]
    return {
        "prompt": None if callable(prompt) else prompt,
        "system": None if callable(system) else system,
        "functions": functions,
        "into": _labels([into]),
        "columns": None if columns is None else _labels(columns),
        "by_column": columns is not None,
        "on_missing": on_missing,
        "each": each,
        **how,
    }


def with_prompt(arguments: Mapping[str, object], prompt: object) -> dict[str, object]:
    """The same arguments with another prompt."""
    given: Any = arguments["functions"]
    functions = [name for name in given if name != "prompt"] + ["prompt"] * callable(prompt)
    return {**arguments, "prompt": None if callable(prompt) else prompt, "functions": functions}


def note_of(
    plan: Plan,
    builders: Sequence[RequestBuilder],
    report: Report,
    kept: Mapping[str, object],
    *,
    failures: Failures | None,
    steps: Sequence[Steps],
    after: int,
) -> dict[str, object]:
    """What is remembered of a run, in JSON's types.

    Args:
        plan: The run.
        builders: Made its questions, stage by stage and model by model.
        report: What it did so far.
        kept: The same, as far as it is neither stats nor facts.
        failures: Its rows without an answer; None while it goes.
        steps: Where rows went from model to model, stage by stage.
        after: The mark in the journal from which on its records answered rows.
    """
    stats, facts = report.stats, report.facts
    made = iter(builders)
    ways = [
        _ways([next(made) for _ in leaves_of(stage.model)], its)
        for stage, its in zip(plan.stages, steps, strict=True)
    ]
    plan.shapes = plan.shapes or [shape_kept(stage.answer) for stage in plan.stages]
    note: dict[str, object] = {
        "run": facts["run"],
        "name": plan.options.name,
        "state": stats.state,
        "program": program_name(),
        "columns": [
            str(name)
            for stage in plan.stages
            for output in stage.outputs
            for name in column_names(stage.answer, output.into)
        ],
        "deduplicate": plan.options.deduplicate,
        "after": after,
        "asked": plan.asked,
        "ways": ways,
        "shapes": plan.shapes,
        "stats": {**asdict(_plain(stats)), "errors": dict(stats.errors)},
        "facts": dict(facts),
        "report": dict(kept),
    }
    if failures is not None:
        note["errors"] = failures.kept(MOST_ERRORS)
    return note


def program_name() -> str:
    """The name of the notebook or script that this process runs, empty where it has none."""
    shell: Any = sys.modules.get("IPython")
    space = getattr(shell and shell.get_ipython(), "user_ns", {})
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    for found in (space.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME"), main):
        if isinstance(found, str) and found:
            name = Path(found.replace("\\", "/")).name
            return "" if name == _LAUNCHER else name
    return ""


def _labels(labels: Any) -> list[str | int | None] | None:
    given = list(labels)
    if any(not isinstance(label, str | int | None) or isinstance(label, bool) for label in given):
        return None
    return given


def _ways(builders: Sequence[RequestBuilder], steps: Steps) -> dict[str, object]:
    """How the model of a stage was asked, or the models that it is made of."""
    if len(builders) == 1:
        return _way(builders[0])
    return {"members": list(map(_way, builders)), "steps": steps.noted()}


def _way(builder: RequestBuilder) -> dict[str, object]:
    """How a model was asked; nothing of it is a secret."""
    own = _plain_way(builder)
    if builder.others:  # an answer may be kept under what it was asked as elsewhere
        own["others"] = [
            {name: said for name, said in _plain_way(other).items() if said != own[name]}
            for other in builder.others
        ]
    return own


def _plain_way(builder: RequestBuilder) -> dict[str, object]:
    connection = builder.connection
    return {
        "identity": connection.identity,
        "model": connection.model,
        "provider": connection.provider.name,
        "endings": sorted(connection.endings, key=str),
        "fields": builder.fields,
        "told": builder.told,
    }


def _plain(stats: RunStats) -> RunStats:
    return replace(stats, errors={})  # a proxy of a dict cannot be copied
