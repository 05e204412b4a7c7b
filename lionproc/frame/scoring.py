"""Is it any good: the one place where a frame uses the room of the evaluation."""

from __future__ import annotations

from lionproc.evaluation.review_file import to_review
from lionproc.evaluation.score import Score, score

__all__ = ["Score", "score", "to_review"]
