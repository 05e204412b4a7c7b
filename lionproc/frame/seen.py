"""What replies have shown of how many tokens a row takes, what it costs and how long it lasts."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from lionproc.engine.journal import Journal
from lionproc.engine.request import Event
from lionproc.engine.usage import Price, Usage
from lionproc.model.call import ModelCall

__all__ = ["Line", "OfModel", "Reservoir", "Sample", "of_model", "usd_factor"]

MOST_SAMPLES = 500
LATEST = 100  # records of the journal that are looked through for replies of a model
FEW = 8  # through fewer points no line is drawn
FITS = 0.5  # share of the variance that a line must explain to be believed


class Sample(NamedTuple):
    """What one row took, all its requests together.

    Attributes:
        size: Bytes of its question, without media.
        media: Tokens of its media, by the provider's rule.
        input: Tokens read.
        output: Tokens written, thoughts included.
        cached: Of those read, the ones from the provider's prompt cache; None if not told.
        usd: What it cost, None where that is not known.
        seconds: How long its requests took.
        requests: How many there were.
    """

    size: int
    media: int
    input: int
    output: int
    cached: int | None
    usd: float | None
    seconds: float
    requests: int

    @classmethod
    def of(cls, call: ModelCall, event: Event) -> Sample:
        """What an event, at its end, says of the row that asked."""
        return cls(
            call.text_size,
            call.media_tokens,
            event.prompt_tokens,
            event.completion_tokens,
            event.cached_tokens,
            event.usd,
            event.seconds,
            event.attempts,
        )


class Reservoir:
    """So many of what comes, each with the same chance; always the same ones of the same.

    Attributes:
        seen: How many came.
        kept: Those; their replies, which may be long, are in the journal.
    """

    def __init__(self, most: int = MOST_SAMPLES) -> None:
        self._most = most
        self._random = Random(0)
        self.seen = 0
        self.kept: list[ModelCall] = []

    def add(self, call: ModelCall) -> None:
        """Take it, in place of another where there are enough, or leave it."""
        self.seen += 1
        if len(self.kept) < self._most:
            self.kept.append(call)
        elif (place := self._random.randrange(self.seen)) < self._most:
            self.kept[place] = call


@dataclass(frozen=True, slots=True)
class Line:
    """How a number of tokens goes with the size of a question."""

    slope: float
    start: float

    @classmethod
    def through(cls, sizes: Sequence[float], values: Sequence[float], *, flat: bool) -> Line:
        """The line that fits best, with the right sum over the points.

        Args:
            sizes: Of the questions, at least one.
            values: The tokens of each.
            flat: What is taken where no line fits: a level one, else one through zero.
        """
        mean_x, mean_y = statistics.fmean(sizes), statistics.fmean(values)
        if len(sizes) >= FEW and max(sizes) > min(sizes) and max(values) > min(values):
            fitted = statistics.linear_regression(sizes, values)
            fits = statistics.correlation(sizes, values) ** 2
            if fits >= FITS and fitted.slope > 0:
                return cls(fitted.slope, fitted.intercept)
        if flat or not mean_x:
            return cls(0.0, mean_y)
        return cls(mean_y / mean_x, 0.0)

    def at(self, size: float) -> float:
        """The tokens of a question of this size, never below zero."""
        return max(self.slope * size + self.start, 0.0)


def usd_factor(samples: Sequence[Sample], price: Price, tier: str) -> float:
    """By how much more the samples cost than their tokens at the price of a tier.

    It is not 1 where another tier served them, where attempts were billed that brought nothing,
    or where the server bills by a list of its own.

    Args:
        samples: What was seen.
        price: The prices of the model.
        tier: The tier that is asked for.
    """
    paid = reckoned = 0.0
    for sample in samples:
        usage = Usage(sample.input, sample.output, sample.cached, tier=tier)
        usd = price.usd(usage)
        if usd is not None and sample.usd is not None:
            paid += sample.usd
            reckoned += usd
    return paid / reckoned if reckoned and paid else 1.0


@dataclass(frozen=True, slots=True)
class OfModel:
    """What a journal has of a model's replies to other questions.

    Attributes:
        replies: How many were found.
        outputs: Tokens that each wrote, sorted.
        thoughts: Tokens that they thought, on average.
        seconds: How long they took, on average; None where there is none.
    """

    replies: int = 0
    outputs: tuple[int, ...] = ()
    thoughts: float = 0.0
    seconds: float | None = None


def of_model(journal: Journal, model: str) -> OfModel:
    """Look through the latest records of a journal for replies of a model.

    Args:
        journal: Where replies are kept.
        model: The name that is asked for. Replies may name a dated version of it.
    """
    found = [
        entry._replace(reply=b"")  # which may be long, and says nothing here
        for entry in journal.latest(LATEST)
        if entry.model == model or entry.model.startswith(f"{model}-2")
    ]
    if not found:
        return OfModel()
    thoughts = [entry.usage.reasoning or 0 if entry.usage else 0 for entry in found]
    return OfModel(
        len(found),
        tuple(sorted(entry.completion_tokens for entry in found)),
        statistics.fmean(thoughts),
        statistics.fmean(entry.seconds for entry in found),
    )
