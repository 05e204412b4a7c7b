"""What a run would cost and take, before it is started: the counts, and what is shown of them.

Tokens, dollars and minutes are foreseen in `forecast.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from lionproc.engine.home import VARIABLE
from lionproc.engine.journal import Journal
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.errors import ConfigurationError
from lionproc.frame.estimate_members import MemberLooks, added_up
from lionproc.frame.forecast import Forecast
from lionproc.frame.foreseen import remember
from lionproc.frame.plan import Plan
from lionproc.frame.seen import Reservoir, Sample, of_model
from lionproc.frame.to_ask import ToAsk
from lionproc.model.composed import leaves_of
from lionproc.model.model import Model

__all__ = ["Estimate", "estimate", "must_be_foreseeable"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run foreseen. The last line of a cell shows it as a table. What is not known is None.

    Attributes:
        rows: Rows of the run.
        requests: Requests to send; equal rows share one.
        answered: Rows that the journal answers without a request.
        skipped: Rows that are not asked for a missing cell, or cannot be.
        input_tokens: Tokens that will be read, cached ones included.
        cached_tokens: Of those, the ones from the provider's prompt cache.
        output_tokens: Tokens that will be written, thoughts included as far as they were seen.
        usd: What it costs, in dollars.
        minutes: How long it takes; the least time that the limits allow, where no reply has shown
            how long one takes.
        limited_by: The limit that decides how long it takes: "requests_per_minute",
            "tokens_per_minute", "input_tokens_per_minute", "output_tokens_per_minute",
            "concurrency", or None.
        basis: "seen" where replies have shown how long answers are, "guess" where the schema
            is all there is.
        source: What the tokens are judged by, in words.
        output_range: The fewest and the most tokens that will probably be written.
        usd_range: The least and the most that it will probably cost, in dollars.
        usd_standard: What it costs at the standard tier, where a cheaper one is asked for.
        service_tier: The tier that is asked for; empty for none.
        seconds: How long one request takes.
        model: Provider and model.
        hints: What would make it cheaper, in sentences.
        sample: Which part of the rows it was foreseen from, in words; empty where it was all.

    Example:
        ```python
        foreseen = df.llm.estimate("Is {review} positive?", into="ok", schema=bool)
        foreseen.usd, foreseen.minutes, foreseen.basis
        ```
    """

    rows: int
    requests: int
    answered: int
    skipped: int
    input_tokens: int
    cached_tokens: int | None
    output_tokens: int
    usd: float | None
    minutes: float | None
    limited_by: str | None
    basis: Literal["seen", "guess"]
    source: str = ""
    output_range: tuple[int, int] = (0, 0)
    usd_range: tuple[float, float] | None = None
    usd_standard: float | None = None
    service_tier: str = ""
    seconds: float | None = None
    model: str = ""
    hints: tuple[str, ...] = field(default=())
    sample: str = ""

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, for a log or a file."""
        return asdict(self)

    def __repr__(self) -> str:
        from lionproc.notebook.estimate_card import estimate_text

        return estimate_text(self)

    def _repr_html_(self) -> str:
        from lionproc.notebook.estimate_card import estimate_html

        return estimate_html(self)


def must_be_foreseeable(plan: Plan) -> None:
    """Refuse a run of several stages: what a later one asks is made of answers.

    Raises:
        ConfigurationError: It is one.
    """
    if plan.staged:
        raise ConfigurationError(
            "What stages will ask is not known before the stages before them have answered. "
            "df.head(20).llm.pipeline(stages).llm.report() shows what 20 rows take, and budget= "
            "bounds all of them."
        )


def estimate(
    plan: Plan,
    tried: Mapping[bytes, Sample] | None = None,
    *,
    times: float = 1.0,
    sample: str = "",
) -> Estimate:
    """Foresee a run. Nothing is sent, and nothing is changed.

    Args:
        plan: The run.
        tried: What questions of it have just taken, by their keys. The journal has others.
        times: How many rows each row of the plan stands for, where it has a sample of them.
        sample: Which part of the rows that is, in words.

    Returns:
        Requests, tokens, dollars and minutes.

    Raises:
        ConfigurationError: It has several stages.
    """
    must_be_foreseeable(plan)
    leaves, stage = leaves_of(plan.model), plan.stages[0]
    builders = [stage.builder(leaf.connect(), number) for number, leaf in enumerate(leaves)]
    for builder in builders:
        builder.for_others = len(leaves) > 1
    passed = MemberLooks(plan, builders)
    with _kept(plan.options.journal) as journal:
        passed.through(journal)
        certain, perhaps, further = (
            [
                _foreseen(plan, look.with_kept(there.kept), leaf, journal, tried or {}, times=times)
                for look, there, leaf in zip(looks, passed.certain, leaves, strict=True)
                if look.sizes or look is passed.certain[0]
            ]
            for looks in (passed.certain, passed.perhaps, passed.further)
        )
    several = len(leaves) > 1
    made = Estimate(
        rows=round(plan.total * times),
        requests=round(passed.requests * times),
        answered=round(passed.answered * times),
        skipped=round(passed.skipped * times),
        sample=sample,
        **(added_up(certain, perhaps, further, passed.share) if several else certain[0]),
    )
    known = made.usd_range or (None if made.usd is None else (made.usd, made.usd))
    remember(plan.fingerprint(builders), known)
    return made


def _foreseen(
    plan: Plan,
    look: ToAsk,
    leaf: Model,
    journal: Journal,
    tried: Mapping[bytes, Sample],
    *,
    times: float,
) -> dict[str, Any]:
    """What is foreseen of one model."""
    samples = dict(_replayed(look.kept, journal, plan.options.retry.max_corrections))
    if leaf is plan.model or look.builder.connection.model == plan.model.model:
        samples.update(tried)
    others = None if samples else of_model(journal, look.builder.connection.model)
    forecast = Forecast(
        plan,
        look.builder,
        {size: count * times for size, count in look.sizes.items()},
        model=leaf,
        samples=list(samples.values()),
        others=others,
        fixed=look.fixed(),
    )
    return forecast.made()


def _kept(journal: Any) -> Journal:
    """The journal, if there is one: to look is no reason to make a file."""
    if journal is None:
        path = Path(os.environ.get(VARIABLE) or ".lionproc") / "journal.sqlite"
        return Journal.open(None if path.exists() else ":memory:")
    if journal is False or (Path(journal).parent.is_dir() and not Path(journal).exists()):
        return Journal.open(":memory:")
    return Journal.open(journal)


def _replayed(
    kept: Reservoir, journal: Journal, max_corrections: int
) -> Iterator[tuple[bytes, Sample]]:
    """What rows took that the journal answers, questions asked again included."""
    replay = Replay(journal, 0, max_corrections)
    for call in {call.key: call for call in kept.kept}.values():  # each once
        event = Event(call)
        (entry,) = replay.find_all([call.keys_by_way])
        if entry is not None and replay.answer(event, entry):
            yield entry.key, Sample.of(call, event)
