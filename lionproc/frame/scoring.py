"""Is it any good: the one place where a frame uses the room of the evaluation."""

from __future__ import annotations

from lionproc.evaluation.check import Check, check
from lionproc.evaluation.compare import WayToDraw, compare
from lionproc.evaluation.comparison import Comparison
from lionproc.evaluation.review_file import to_review
from lionproc.evaluation.score import Score, score

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
