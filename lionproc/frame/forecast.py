"""From the sizes of questions and what replies have shown to tokens, dollars and minutes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lionproc.engine.tokens import INPUT, OUTPUT, REQUESTS, TOKENS
from lionproc.engine.usage import Usage, plus
from lionproc.frame.cacheable import WORTH_SAYING, FixedPart, cached_tokens
from lionproc.frame.plan import Plan
from lionproc.frame.seen import Line, OfModel, Sample, usd_factor
from lionproc.model.answer_size import MOST_THOUGHTS, answer_tokens, thinks
from lionproc.model.call import RequestBuilder
from lionproc.model.model import Model

__all__ = ["Forecast"]

_ENOUGH = 3  # replies of the model to other questions, before its lengths are believed
_UNSURE = 0.7  # of the tokens read that are guessed from bytes; a guess errs on the safe side
_PER_MINUTE = {
    REQUESTS: "requests_per_minute",
    TOKENS: "tokens_per_minute",
    INPUT: "input_tokens_per_minute",
    OUTPUT: "output_tokens_per_minute",
}
_CHEAPER = frozenset({"flex", "batch"})


@dataclass(frozen=True, slots=True)
class _Output:
    """Tokens written for each question: as few, as usual, as many as is likely."""

    low: Line
    usual: Line
    high: Line
    source: str
    seen: bool


class Forecast:
    """What questions of these sizes will take.

    Args:
        plan: The run.
        builder: Makes its calls.
        sizes: How many questions there are of each (bytes of text, tokens of media).
        model: Who answers them.
        samples: What rows of this prompt took.
        others: Where there are none: replies of the model to other questions.
        fixed: What is the same in all questions.
    """

    def __init__(
        self,
        plan: Plan,
        builder: RequestBuilder,
        sizes: Mapping[tuple[int, int], float],
        *,
        model: Model,
        samples: Sequence[Sample],
        others: OfModel | None,
        fixed: FixedPart | None,
    ) -> None:
        self._plan = plan
        self._builder = builder
        self._price = builder.connection.price
        self._sizes = sizes
        self._requests = sum(sizes.values())
        self._samples = samples
        self._others = others or OfModel()
        self._fixed = fixed
        self._model = model
        self._tier = model.service_tier or ""
        self._output = self._output_by_samples() if samples else self._output_by_schema()
        self._read = self._read_by_size()
        self._cached = self._from_cache_each()

    def made(self) -> dict[str, Any]:
        """The fields of an estimate that are foreseen, not counted."""
        read = sum(self._read[size] * count for size, count in self._sizes.items())
        low, wrote, high = (
            self._written(line)
            for line in (self._output.low, self._output.usual, self._output.high)
        )
        usd = self._usd(self._tier, self._output.usual, self._cached or 0)
        minutes, limited_by, seconds = self._minutes(read, wrote)
        connection = self._builder.connection
        cheaper = self._tier in _CHEAPER
        return {
            "input_tokens": round(read),
            "cached_tokens": None if self._cached is None else self._from_cache(self._cached),
            "output_tokens": round(wrote),
            "output_range": (round(low), round(high)),
            "usd": usd,
            "usd_range": self._usd_range(usd),
            "usd_standard": self._usd("default", self._output.usual, self._cached or 0)
            if cheaper
            else None,
            "service_tier": self._tier,
            "minutes": minutes,
            "limited_by": limited_by,
            "seconds": seconds,
            "basis": "seen" if self._output.seen else "guess",
            "source": self._output.source,
            "model": f"{connection.provider.name}/{connection.model}",
            "hints": tuple(filter(None, [self._hint(usd)])),
        }

    # -- tokens -----------------------------------------------------------------------------

    def _read_by_size(self) -> dict[tuple[int, int], float]:
        estimator = self._builder.connection.estimator
        samples = self._samples
        if not samples or any(sample.media for sample in samples):
            reckoned = {
                (size, media): float(
                    estimator.tokens(size, None, charges_max=False, media=media).input
                )
                for size, media in {*self._sizes, *((s.size, s.media) for s in samples)}
            }
            expected = sum(reckoned[s.size, s.media] for s in samples)
            off = sum(s.input for s in samples) / expected if expected else 1.0
            return {size: tokens * off for size, tokens in reckoned.items()}
        line = Line.through([s.size for s in samples], [s.input for s in samples], flat=False)
        return {(size, media): line.at(size) for size, media in self._sizes}

    def _output_by_samples(self) -> _Output:
        samples, bound = self._samples, self._builder.max_tokens
        values = [float(s.output) for s in samples]
        usual = Line.through([s.size for s in samples], values, flat=True)
        spread = 0.5
        if len(values) > 1 and any(values):
            error = statistics.stdev(values) / math.sqrt(len(values))
            spread = min(max(2 * error / statistics.fmean(values), 0.02), 1.0)
        if bound is not None and not usual.slope:
            usual = Line(0.0, min(usual.start, bound * max(s.requests for s in samples)))
        replies = f"{len(samples):,} {'reply' if len(samples) == 1 else 'replies'}"
        return _Output(
            Line(usual.slope * (1 - spread), usual.start * (1 - spread)),
            usual,
            Line(usual.slope * (1 + spread), usual.start * (1 + spread)),
            f"{replies} to this prompt",
            seen=True,
        )

    def _output_by_schema(self) -> _Output:
        others, bound = self._others, self._builder.max_tokens
        guessed = [float(part) for part in answer_tokens(self._plan.answer)]
        known = others.replies >= _ENOUGH
        source = "the type of the answer; no reply has been seen yet"
        by_model = known and self._plan.answer.plain
        if by_model:
            tenth = len(others.outputs) // 10
            most = others.outputs[-1 - tenth]
            guessed = [others.outputs[tenth], statistics.fmean(others.outputs), most]
            source = f"{others.replies:,} replies of this model to other prompts"
        elif known and others.thoughts:
            guessed = [part + others.thoughts for part in guessed]
            source = (
                f"the type of the answer, and the thoughts in {others.replies:,} replies of this "
                "model to other prompts"
            )
        elif thinks(self._builder.connection.model, self._model.body_params):
            guessed[2] += MOST_THOUGHTS
            source = f"{source}; this model may think first, so it may be much more"
        if bound is not None:
            guessed = [min(part, float(bound)) for part in guessed]
        low, usual, high = (Line(0.0, part) for part in guessed)
        return _Output(low, usual, high, source, seen=by_model)

    def _written(self, line: Line) -> float:
        return sum(line.at(size) * count for (size, _), count in self._sizes.items())

    def _from_cache_each(self) -> float | None:
        """Tokens of each question that come from the provider's cache, None if nobody knows.

        Of replies that came at the same time all but the first may have missed it, so what most
        show is believed. Before any has come, a provider that is known to cache will probably do
        so; the dearer end of the range is without.
        """
        if not self._samples:
            known = self._builder.connection.provider.caches_from
            return float(self._cacheable()) if known else None
        told = [sample.cached for sample in self._samples if sample.cached is not None]
        if not told:
            return None
        hits = [cached for cached in told if cached]
        if 2 * len(hits) >= len(told):
            return statistics.median(hits)
        return statistics.fmean(told)

    def _from_cache(self, cached: float) -> int:
        return round(
            sum(min(cached, self._read[size]) * count for size, count in self._sizes.items())
        )

    # -- dollars ----------------------------------------------------------------------------

    def _usd(self, tier: str, output: Line, cached: float, *, unsure: float = 1.0) -> float | None:
        """What all questions cost, None where that is not known."""
        total: float | None = 0.0
        for (size, media), count in self._sizes.items():
            read = self._read[size, media] * unsure
            usage = Usage(round(read), 0, round(min(cached, read)), tier=tier)
            of_input = self._price.usd(usage)
            thousand = self._price.usd(usage._replace(output=1000))
            if of_input is None or thousand is None:
                return self._usd_by_samples() if tier == self._tier else None
            of_output = (thousand - of_input) * output.at(size) / 1000
            total = plus(total, count * (of_input + of_output))
        if total is not None and tier == self._tier:
            total *= usd_factor(self._samples, self._price, tier)
        return total

    def _usd_by_samples(self) -> float | None:
        """As much a row as those cost that were seen, where no list has a price."""
        known = [sample.usd for sample in self._samples if sample.usd is not None]
        if not known or len(known) < len(self._samples):
            return None
        tokens = sum(sample.input for sample in self._samples)
        read = sum(self._read[size] * count for size, count in self._sizes.items())
        return sum(known) / tokens * read if tokens else None

    def _usd_range(self, usd: float | None) -> tuple[float, float] | None:
        if usd is None:
            return None
        learned = bool(self._samples) or self._builder.connection.estimator.learned
        in_cache = max(self._cached or 0.0, float(self._cacheable()))
        low = self._usd(self._tier, self._output.low, in_cache, unsure=1.0 if learned else _UNSURE)
        seen = (self._cached or 0) if self._samples else 0
        high = self._usd(self._tier, self._output.high, seen)
        return min(usd if low is None else low, usd), max(usd if high is None else high, usd)

    # -- the cache --------------------------------------------------------------------------

    def _usual_read(self) -> float:
        read = sum(self._read[size] * count for size, count in self._sizes.items())
        return read / self._requests if self._requests else 0.0

    def _cacheable(self) -> int:
        """Tokens at the start of each question that the provider may have cached."""
        if self._fixed is None or self._requests < 2:
            return 0
        least = self._builder.connection.provider.caches_from
        return cached_tokens(self._fixed.first * self._usual_read(), least)

    def _hint(self, usd: float | None) -> str:
        """What it would save to have all that is fixed at the start of the prompt."""
        fixed, least = self._fixed, self._builder.connection.provider.caches_from
        if fixed is None or self._requests < 2:
            return ""
        later = fixed.later * self._usual_read()
        now = self._cacheable()
        then = cached_tokens((fixed.first + fixed.later) * self._usual_read(), least)
        if later < WORTH_SAYING or then <= now:
            return ""
        saves = None
        if usd is not None:
            as_is = self._usd(self._tier, self._output.usual, now)
            moved = self._usd(self._tier, self._output.usual, then)
            if as_is is None or moved is None or moved >= as_is:
                return ""  # this model has no lower price for what is cached
            saves = as_is - moved
        return _hint(fixed, later, then - now, saves, usd)

    # -- minutes ----------------------------------------------------------------------------

    def _minutes(self, read: float, wrote: float) -> tuple[float | None, str | None, float | None]:
        """How long it takes, what decides that, and how long one request takes."""
        seconds = self._others.seconds
        again = 1.0  # requests for each question
        if self._samples:
            sent = sum(sample.requests for sample in self._samples)
            again = max(sent / len(self._samples), 1.0)
            seconds = sum(sample.seconds for sample in self._samples) / max(sent, 1)
        if not self._requests:
            return 0.0, None, seconds
        limiter, given = self._model.limiter, self._plan.options.limits
        if self._builder.charges_max and self._builder.max_tokens is not None:
            wrote = max(wrote, float(self._requests * self._builder.max_tokens))
        requests = self._requests * again
        amounts = {REQUESTS: requests, TOKENS: read + wrote, INPUT: read, OUTPUT: wrote}
        needs = {
            _PER_MINUTE[quantity]: amount / limit
            for quantity, amount in amounts.items()
            if (limit := limiter.effective(quantity, given)) is not None
        }
        if seconds is not None:
            each = len(limiter.members)  # a limit of the run is what each member may send
            at_once = limiter.concurrency if given is None else each * given.concurrency
            rounds = requests / at_once
            needs["concurrency"] = max(rounds, 1.0) * seconds / 60
        if not needs:
            return None, None, seconds
        limited_by = max(needs, key=lambda name: needs[name])
        return needs[limited_by], limited_by, seconds


def _hint(fixed: FixedPart, later: float, more: int, saves: float | None, usd: float | None) -> str:
    from lionproc.notebook.formatting import dollars

    if fixed.system_changes:
        what = (
            f"The system prompt changes from row to row, so about {later:,.0f} tokens that are the "
            "same in every row cannot come from the provider's prompt cache. Move what changes "
            "into the prompt, behind them"
        )
    else:
        what = (
            f"About {later:,.0f} tokens that are the same in every row stand behind the first "
            "placeholder, where the provider's prompt cache does not reach. Put them before it, "
            "or into system="
        )
    if saves is None or usd is None:
        return f"{what}: up to {more:,} tokens of each row could then come from the cache."
    return f"{what}: that saves up to {dollars(saves)} of {dollars(usd)}."
