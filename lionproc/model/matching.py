"""Refuses answers whose texts are too much work for the patterns that they have to match.

How much work they are at the most is told from the patterns and the lengths of the texts. Of most
answers that is little. The others are held against their patterns in a process of its own first, for
what is much by this measure may be done in a moment: most patterns are far from their worst.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, TypeAlias

from lionproc.engine.kept_process import NotStartedError
from lionproc.engine.kept_reading import kept_before
from lionproc.errors import CallError, Kind
from lionproc.model.pattern_work import (
    MOST_BACKTRACKS,
    MOST_SECONDS,
    MOST_STEPS,
    RunPattern,
    steps_with,
)
from lionproc.model.trial_process import ask
from lionproc.model.trials import TOO_LONG, Trials
from lionproc.model.validate import is_whole

__all__ = ["MORE_IF_KEPT", "Held", "refuse_long_matching", "takes_a_moment"]

Held: TypeAlias = Mapping[tuple[tuple[RunPattern, int], ...], Collection[str]]
"""Texts by the patterns that they are held against, and how often they are."""

MORE_IF_KEPT: Final = 2  # time for what was an answer before, so that it is one again


def refuse_long_matching(trials: Trials, value: object) -> None:
    """Refuse an answer that would be held against patterns for longer than a moment.

    Args:
        trials: Those of its schema.
        value: What the answer holds; not more than can be checked, patterns aside.

    Raises:
        CallError: Of kind `wrong_shape`; `unreadable` where it could not be tried.
    """
    steps = sum(steps_with(texts, runs) for texts, runs in trials.matched(value))
    if trials.rounds * steps <= MOST_STEPS:
        return
    too_long, was_refused = CallError(Kind.WRONG_SHAPE, TOO_LONG), kept_before()
    if was_refused is not None and was_refused(too_long):
        raise too_long
    held: dict[tuple[tuple[RunPattern, int], ...], list[str]] = {}
    for texts, runs in trials.matched(value):
        whole = filter(is_whole, texts)  # others are refused by whatever checks them
        held.setdefault(tuple(runs.items()), []).extend(whole)
    try:
        seconds = MOST_SECONDS * (1 if was_refused is None else MORE_IF_KEPT)
        if takes_a_moment(held, seconds / trials.rounds):
            return
    except NotStartedError as error:
        if was_refused is not None:  # it was an answer, for what failed is not read again
            return
        raise CallError(  # not the model's fault: to ask it again would not help
            Kind.UNREADABLE,
            f"{TOO_LONG}, as far as is known without a try",
            hint="Such answers are tried in a process of their own, and none could be started: "
            f"{error}.",
        ) from None
    raise too_long


def takes_a_moment(held: Held, seconds: float) -> bool:
    """Whether texts are held against patterns within the time that there is for it.

    Args:
        held: What is held against what.
        seconds: Of the processor, that there are.

    Raises:
        NotStartedError: That cannot be tried.
    """
    numbers: dict[RunPattern, int] = {}
    groups = [
        ([(numbers.setdefault(run, len(numbers)), times) for run, times in runs], list(texts))
        for runs, texts in held.items()
    ]
    runs = [(*run, MOST_BACKTRACKS) for run in numbers]
    return ask({"runs": runs, "seconds": seconds, "held": groups}) is not None
