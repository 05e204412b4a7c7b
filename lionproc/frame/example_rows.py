"""Which rows of a frame are examples that the model was shown, by what they say and not by their labels."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.frame import results
from lionproc.frame.asked import Asked
from lionproc.frame.assemble import column_names, place_in
from lionproc.frame.prompt_function import Message

__all__ = ["example_rows", "rows_shown"]


def example_rows(frame: pd.DataFrame, into: Hashable) -> npt.NDArray[np.bool_] | None:
    """Which rows the model was shown with their answers, when it was asked for these.

    Args:
        frame: A frame that a run made, or that was made of one.
        into: The column of the answers.

    Returns:
        True for each such row. None where there were examples, and it is not known which.
    """
    none = np.zeros(len(frame), dtype=np.bool_)
    try:
        run = results.run_of(frame)
    except ConfigurationError:
        return none  # no run of this session, which nobody can know more of
    try:
        questions = run.asked
    except ConfigurationError:
        questions = ()
    asked = [each for each in questions if into in column_names(each.answer, each.into)]
    if not questions:  # it was in another session, or there were several stages
        return none if run.facts().get("examples", "none") == "none" else None
    for question in asked:
        if question.prompt.turns:
            return rows_shown(frame, question)
    return none


def rows_shown(frame: pd.DataFrame, asked: Asked) -> npt.NDArray[np.bool_] | None:
    """Which rows would be asked just what one of the examples was asked.

    Args:
        frame: Rows.
        asked: A question with examples.

    Returns:
        True for each such row; None where a column that the prompt shows is not there any more.
    """
    shown: set[bytes] = set()
    said: list[Message] = []
    for turn in asked.prompt.turns:
        if turn["role"] == "assistant" and said:
            shown.add(orjson.dumps(said))
            said = []
        else:
            said.append(turn)
    read = [*asked.prompt.columns, *([] if asked.value is None else [asked.value])]
    if any(place_in(frame, label) is None for label in read):
        return None
    cells: dict[Hashable, list[Any]] = {name: frame[name].tolist() for name in asked.prompt.columns}
    value = None if asked.value is None else frame[asked.value].tolist()
    rows = asked.prompt.alone().render_slice(cells, 0, len(frame), value=value)
    return np.array(
        [isinstance(row, list) and orjson.dumps(row) in shown for row in rows], np.bool_
    )
