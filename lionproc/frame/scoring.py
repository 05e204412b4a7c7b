"""Is it any good: the one place where a frame uses the room of the evaluation."""

from __future__ import annotations

from collections.abc import Hashable

import pandas as pd

from lionproc.evaluation.check import Check, check
from lionproc.evaluation.compare import WayToDraw, compare
from lionproc.evaluation.comparison import Comparison
from lionproc.evaluation.review_file import to_review
from lionproc.evaluation.score import Score
from lionproc.evaluation.score import score as scored
from lionproc.frame.example_rows import example_rows

__all__ = [
    "Check",
    "Comparison",
    "Score",
    "WayToDraw",
    "check",
    "compare",
    "score",
    "to_review",
]


def score(
    frame: pd.DataFrame,
    into: Hashable,
    gold: Hashable | pd.DataFrame,
    by: Hashable | None = None,
) -> Score:
    """Compare a column of answers with gold, leaving out the rows that the model was shown.

    Args:
        frame: Any frame with both.
        into: The column of the answers.
        gold: As for `lionproc.evaluation.score.score`.
        by: A column whose values are slices.
    """
    shown = example_rows(frame, into)
    return scored(frame, into, gold, by, shown, examples_known=shown is not None)
