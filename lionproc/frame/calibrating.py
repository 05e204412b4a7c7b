"""The sample of a cascade with a target: which rows it has, what they say, and who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pandas as pd

from lionproc.engine.request import Event
from lionproc.errors import ColumnError, ConfigurationError, Kind, TargetError, did_you_mean
from lionproc.frame.cell import is_missing
from lionproc.frame.votes import answer_of, written
from lionproc.model.calibration import Threshold, fewest_rows, found_threshold
from lionproc.model.cascade import Cascade
from lionproc.model.shape import Boolean, Choice, Scalar, Shape
from lionproc.model.steps import Cascaded, Found, Outcome

__all__ = ["Calibration", "gold_of"]

_SHOWN = 60  # characters of a cell that is no choice
_NONE_STANDS = 2.0
_NOT_ASKED = frozenset({Kind.NOT_SENT, Kind.CANCELLED})


def gold_of(
    model: Cascade, frame: pd.DataFrame, places: range, shape: Shape
) -> dict[int, bytes] | None:
    """The right answers by place, as `answer_of` writes them; None where the cascade names none.

    Args:
        model: The cascade.
        frame: Where its gold is.
        places: The places of the stage.
        shape: What the answers look like.

    Raises:
        ColumnError: There is no such column, or more than one; or a cell of it can be no answer.
        ConfigurationError: Too few rows have gold to show the target.
    """
    name = model.gold
    if name is None:
        return None
    if list(frame.columns).count(name) != 1:
        raise ColumnError(f"gold: there is no column {name!r}.{did_you_mean(name, frame.columns)}")
    cells = frame[name].tolist()
    able = _able(shape)
    gold: dict[int, bytes] = {}
    for place in places:
        row = place % len(cells)
        if not is_missing(cells[row]):
            try:
                gold[place] = written(cells[row])
            except TypeError as error:
                raise ColumnError(
                    f"gold: {name!r} has in row {frame.index[row]!r} what no answer can be "
                    f"({error}). Mend it, or leave it empty."
                ) from None
            if able is not None and gold[place] not in able:
                shown = f"{repr(cells[row])[:_SHOWN]}, which is none of the choices of schema="
                raise ColumnError(
                    f"gold: {name!r} has in row {frame.index[row]!r} {shown}."
                    f"{did_you_mean(cells[row], able.values())} Mend it, leave it empty, or add it "
                    "to schema=."
                )
    fewest = fewest_rows(model.target or 0.5, model.certainty)
    if len(gold) < fewest:
        raise ConfigurationError(
            f"gold: {len(gold):,} rows of {name!r} have a value, and to show a target of "
            f"{model.target:g} takes {fewest:,}. Label more, or lower target=."
        )
    return gold


def _able(shape: Shape) -> dict[bytes, Scalar] | None:
    """All answers that there can be, as they are written; None where they are not counted."""
    match shape:
        case Choice(members=members):
            return {written(member): member for member in members}
        case Boolean():
            return {written(member): member for member in (True, False)}
        case _:
            return None


class Calibration:
    """Finds the threshold of a cascade, for one stage of a run. Lives on the engine's loop.

    Args:
        model: The cascade.
        steps: Its steps in this run, which get the threshold.
        sample: The places of its sample.
        gold: The right answers, by place, where people have given some; then the sample is of these
            rows, and the large model is not asked for it.
        before: That of an earlier run of these rows, which did not find the threshold: what its
            sample has said counts.

    Attributes:
        sample: The places of its sample.
        is_open: Whether the threshold is still to be found.
        settled: Set when it is found, or never will be.
        held: Answers of the small model, with the places that share each, that wait for it.
        threshold: What was found.
    """

    def __init__(
        self,
        model: Cascade,
        steps: Cascaded,
        sample: frozenset[int],
        gold: Mapping[int, bytes] | None = None,
        before: Calibration | None = None,
    ) -> None:
        self.model, self._steps, self._gold = model, steps, gold
        self.sample = sample
        self._pairs: dict[int, tuple[float | None, bool]] = {}
        self._of_both: set[bytes] = set()  # the questions that both models are asked
        if before is not None:
            self._pairs.update(before._pairs)
            self._of_both.update(before._of_both)
        self._unseen = set(sample - self._pairs.keys())
        self._asked: dict[int, tuple[bytes | None, float | None]] = {}  # of the small one
        self._small_is_over = False
        self.is_open = True
        self.settled = asyncio.Event()
        self.held: list[tuple[Event, Sequence[int]]] = []
        self.threshold: Threshold | None = None

    def begins(self, place: int, found: Found) -> tuple[int, bool]:
        """Where a row begins; of the sample both models are asked."""
        if self.is_open and place in self._unseen:
            small = any(found(leaf) is not None for leaf in range(self._steps.starts[1]))
            return self._steps.kept(found) if small else (0, False)
        return self._steps.kept(found)

    def small(self, place: int, event: Event, sure: float | None) -> None:
        """The small model has answered a row, or has no answer."""
        if place in self._unseen:
            self._unseen.remove(place)
            said = None if event.error is not None else answer_of(event)
            if self._gold is None:
                self._asked[place] = (said, sure)
            else:
                self._pairs[place] = (sure, said == self._gold[place])

    def came(
        self,
        leaf: int,
        places: Sequence[int],
        event: Event,
        outcome: Outcome,
        following: int | None,
    ) -> tuple[int | None, bool]:
        """A model has answered a row, or failed it.

        Args:
            leaf: Which model of the cascade.
            places: The rows that share it.
            event: What came.
            outcome: What became of it.
            following: Who is asked next by the steps.

        Returns:
            Who is asked next, and whether the row waits for the threshold instead.
        """
        if self._steps.is_last(leaf):
            if following is None:
                for place in places:
                    self._large(place, event)
            return following, False
        return self._came_small(places, event, outcome, following)

    def _came_small(
        self, places: Sequence[int], event: Event, outcome: Outcome, following: int | None
    ) -> tuple[int | None, bool]:
        large, waits = self._steps.starts[1], False
        if not self.is_open:
            # Who came before or after an equal row of the sample has that one's answer.
            equal = event.error is None and event.first.key in self._of_both
            return (large if equal else following), False
        sampled = [place for place in places if place in self._unseen]
        if event.error is None and following is None:
            if sampled and self._gold is None:
                following = large
                if event.first.key is not None:
                    self._of_both.add(event.first.key)
            else:
                waits = True
                self.held.append((event, places[1:]))
        if waits or following == large:
            for place in sampled:
                self.small(place, event, outcome.confidence)
        elif following is None:
            self._unseen.difference_update(sampled)
        return following, waits

    def _large(self, place: int, event: Event) -> None:
        small = self._asked.pop(place, None)
        if small is None or (event.error is not None and event.error.kind in _NOT_ASKED):
            return
        said, sure = small
        # What the large one cannot answer is no reason to believe the small one.
        same = event.error is None and said is not None and said == answer_of(event)
        self._pairs[place] = (sure, same)

    def small_is_over(self) -> None:
        """The small model has nothing more to answer: what was not asked had a cell missing."""
        self._small_is_over = True

    @property
    def is_complete(self) -> bool:
        """Whether all that the sample can say is there."""
        return self.is_open and not self._asked and (self._small_is_over or not self._unseen)

    def close(self) -> None:
        """Nothing will be found any more: the run stops."""
        self.settled.set()

    def find(self) -> None:
        """Find the threshold.

        Raises:
            TargetError: The sample cannot show that there is one.
        """
        self.is_open = False
        self.settled.set()
        model, pairs = self.model, list(self._pairs.values())
        assert model.target is not None  # noqa: S101  (else there is nothing to find)
        found = found_threshold(pairs, target=model.target, certainty=model.certainty)
        if found is None and not self.held:
            self._steps.below = _NONE_STANDS  # the sample was all there is
            return
        fewest = fewest_rows(model.target, model.certainty)
        if found is None and len(pairs) < fewest:
            raise TargetError(
                f"The sample cannot show that any threshold keeps the target of {model.target:g}: "
                f"both models are known of {len(pairs):,} of its rows, and that takes {fewest:,}. The "
                "others failed, have a cell missing, or were answered before. Nothing more was "
                "sent, and what was answered is kept. Take the large model alone, raise sample=, "
                "or lower target=."
            )
        if found is None:
            differ = sum(not same for _, same in pairs)
            says = "the large one says" if self._gold is None else "the gold says"
            raise TargetError(
                f"The sample cannot show that any threshold keeps the target of {model.target:g}: "
                f"in {differ:,} of {len(pairs):,} rows the small model does not say what {says}, "
                "the surest among them. Nothing more was sent, and what was answered is kept. Take "
                "the large model alone, raise sample=, or lower target=."
            )
        self.threshold = found
        self._steps.below = found.below

    @property
    def told(self) -> str:
        """What the threshold promises, in a sentence; empty while there is none."""
        found, model = self.threshold, self.model
        if found is None:
            return ""
        whose = "the large model's"
        if self._gold is not None:
            whose = f"as {model.gold!r} has it or the large model's"
        return (
            f"At least {model.target:.1%} of the answers are {whose} (certainty "
            f"{model.certainty:.0%}): of a sample of {found.rows:,} rows {found.stand:,} would stand "
            f"at a confidence of {found.below:.4g} or more, {found.wrong:,} of them differ, so at "
            f"most {found.at_most:.1%} of all rows do."
        )
