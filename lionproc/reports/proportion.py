"""What a note of a run asks for is made where somebody may have asked it.

A journal may be anybody's, and a note says in a few bytes what takes all memory: a cell shown half
a million times, a stage again and again. So it is weighed before anything is made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from lionproc.errors import ConfigurationError, PromptError
from lionproc.frame.assemble import column_names
from lionproc.frame.cell import cell_text
from lionproc.frame.pipeline_names import OfPrompt
from lionproc.frame.stage import Output, Stage, taken
from lionproc.model.composed import leaves_of
from lionproc.model.excerpt import shown
from lionproc.reports.difference import Note

__all__ = ["refuse_too_many", "refuse_too_much"]

MOST_WAYS: Final = 1_000  # to the models of all stages; each is a request of its own for a row
MOST_FIELDS: Final = 100_000  # of the requests of all of them
MOST_COLUMNS: Final = 10_000  # of answers
FEW_SHOWN: Final = 50  # times in one prompt, however long the cell
MUCH_TEXT: Final = 2**26  # characters


def refuse_too_many(note: Note) -> None:
    """Refuse stages, models and columns of which a note says more than anybody asks.

    Args:
        note: What the journal remembers of a run.

    Raises:
        ConfigurationError: It does; nothing was made of it.
    """
    asked = note["asked"]
    ways = [each for way in note["ways"] for each in way.get("members", [way])]
    counts = [1 + len(way.get("others", ())) for way in ways]
    fields = sum(n * (1 + len(way["fields"])) for n, way in zip(counts, ways, strict=True))
    stages = max(len(asked.get("stages", ())), len(note["ways"]))
    if max(sum(counts), stages) > MOST_WAYS or fields > MOST_FIELDS:
        many = f"{sum(counts):,} ways to models, with {fields:,} fields"
        raise _refusal(note, f"had {stages:,} stages and {many}")
    columns = len(asked.get("columns") or ())
    words = sum(len(asked[name]) for name in ("prompt", "system") if asked.get(name))
    if columns > MOST_COLUMNS or columns * words > MUCH_TEXT:
        raise _refusal(note, f"asked {words:,} characters of {columns:,} columns")


def refuse_too_much(frame: pd.DataFrame, stages: Sequence[Stage], note: Note) -> None:
    """Refuse prompts and answers that take far more than the rows and the note have.

    Args:
        frame: The rows.
        stages: What the note says that they were asked.
        note: What the journal remembers of the run.

    Raises:
        ConfigurationError: They do; nothing was rendered.
    """
    columns = fixed = more = 0
    for stage in stages:
        ways = sum(1 + len(leaf.others) for leaf in _leaves(stage))
        for output in stage.outputs:
            columns += len(column_names(stage.answer, output.into))
            shows = output.prompt.shown
            alike = max(output.prompt.fixed, len(stage.told) * max(1, shows[OfPrompt.OPTIONS]))
            fixed += ways * alike
            for label, times in shows.items():
                if times > FEW_SHOWN:
                    more += ways * (times - FEW_SHOWN) * _characters(frame, output, label)
                if more > MUCH_TEXT:
                    what = shown(repr(label), 100)
                    raise _refusal(note, f"showed {what} {times:,} times in one prompt")
    if columns > MOST_COLUMNS:
        raise _refusal(note, f"made {columns:,} columns")
    if fixed > MUCH_TEXT:
        raise _refusal(note, f"asked {fixed:,} characters of each row, besides its cells")


def _leaves(stage: Stage) -> Sequence[Any]:
    return leaves_of(stage.model)


def _characters(frame: pd.DataFrame, output: Output, label: Any) -> int:
    """How long all cells of a name are together; nobody knows it of what stages answer."""
    if label in frame.columns:
        column = frame[label]
    elif output.place is not None:
        column = frame.iloc[:, output.place]  # {value}
    else:
        return MUCH_TEXT
    return sum(map(_length, taken(column, range(len(frame)))))


def _length(cell: object) -> int:
    try:
        return 1 + len(cell_text(cell))
    except PromptError:
        return 1  # it is not shown


def _refusal(note: Note, what: str) -> ConfigurationError:
    run = shown(repr(note.get("run")), 100)
    return ConfigurationError(
        f"The journal says that the run {run} {what}. That is far more than anybody "
        "asks, so nothing is made of it. Run the same call again: what the journal has is not sent."
    )
