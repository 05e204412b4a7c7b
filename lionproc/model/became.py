"""What became of a question, as the steps of a model that is made of several see it."""

from __future__ import annotations

from typing import Any

from lionproc.engine.request import Event
from lionproc.model.confidence import least_sure
from lionproc.model.steps import Outcome

__all__ = ["what_became"]


def what_became(event: Event, *, sure: bool) -> Outcome:
    """What became of a question, for the steps of a model that is made of several.

    Args:
        event: Of a `ModelCall`, with an answer or an error.
        sure: Whether it matters how sure the answer is; of several choices the least sure one counts.
    """
    if event.error is not None:
        return Outcome(event.error.kind)
    call: Any = event.call
    return Outcome(confidence=least_sure(call.confidences) if sure else None)
