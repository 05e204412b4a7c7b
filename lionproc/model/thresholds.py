"""By what cascades choose who answers: no question and no key tells that."""

from __future__ import annotations

import json

from lionproc.model.cascade import Cascade
from lionproc.model.composed import steps_of
from lionproc.model.model import Model

__all__ = ["thresholds_of"]


def thresholds_of(model: Model) -> object:
    """By what the cascades in a model choose who answers, in JSON's types.

    Args:
        model: Who answers.

    Returns:
        How its members are asked and from which confidence on, or how that is found out in a run;
        None where no cascade is among them.
    """
    noted = steps_of(model).noted()
    if "cascade" not in json.dumps(noted):
        return None
    if isinstance(model, Cascade) and model.target is not None:  # found in each run
        return [noted, model.target, model.sample, model.certainty, model.gold]
    return [noted]
