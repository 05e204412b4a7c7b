"""The limits of a partition's run: its own where it is alone, else those of all together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from lionproc.dask.question import Question
from lionproc.engine.limits import Limits

__all__ = ["shared_budget"]


@contextlib.contextmanager
def shared_budget(question: Question) -> Iterator[Limits | None]:
    """For as long as a run over a partition takes.

    Args:
        question: What is asked.

    Yields:
        The limits that the run is given.
    """
    yield question.limits
