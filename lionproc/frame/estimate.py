"""What a run would cost and take, before it is started."""

from __future__ import annotations

from dataclasses import dataclass

from lionproc.engine.journal import Journal
from lionproc.engine.tokens import REQUESTS, TOKENS
from lionproc.engine.usage import Usage, plus
from lionproc.errors import ConfigurationError
from lionproc.frame.plan import Plan
from lionproc.model.call import ModelCall, RequestBuilder


@dataclass(frozen=True, slots=True)
class Estimate:
    """A run foreseen. Printed, it is a sentence or two.

    Attributes:
        rows: Rows of the run.
        answered: Rows that the journal answers without a request.
        skipped: Rows that are not asked for a missing cell, or cannot be.
        requests: Requests to send; equal rows share one.
        prompt_tokens: Tokens they will read.
        completion_tokens: Tokens they will write.
        usd: What they cost, None where the price is not known.
        minutes: The least time the limits allow, None where none is set.
        learned: False as long as no reply has shown how long answers are.
    """

    rows: int
    answered: int
    skipped: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    minutes: float | None
    learned: bool

    def __repr__(self) -> str:
        from lionproc.notebook.formatting import dollars, plural

        parts = [f"{plural(self.rows, 'row')}: {plural(self.requests, 'request')} to send"]
        if self.answered:
            parts.append(f"{plural(self.answered, 'row')} answered by the journal")
        if self.skipped:
            parts.append(f"{plural(self.skipped, 'row')} skipped")
        text = ", ".join(parts)
        text += (
            f"; about {self.prompt_tokens:,} tokens to read and {self.completion_tokens:,} to write"
        )
        if self.usd is not None:
            text += f", {dollars(self.usd)}"
        if self.minutes is not None:
            text += f", at least {self.minutes:,.1f} minutes within the limits"
        if not self.learned and self.requests:
            text += (
                ". No reply has been seen yet, so lengths are guesses; preview() makes them good"
            )
        return text + "."


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


def estimate(plan: Plan) -> Estimate:
    """Foresee a run. Nothing is sent, and nothing is changed.

    Args:
        plan: The run.

    Returns:
        Requests, tokens, dollars and minutes.

    Raises:
        ConfigurationError: It has several stages.
    """
    must_be_foreseeable(plan)
    connection = plan.model.connect()
    recipe = RequestBuilder(connection, plan.model.body_params, plan.answer)
    options = plan.options
    journal = Journal.open(":memory:" if options.journal is False else options.journal)
    answered = skipped = read = written = 0
    usd: float | None = 0.0
    asked: set[bytes] = set()
    try:
        since = 0 if options.resume else journal.mark()
        for made in plan.first_calls(recipe):
            calls = []
            for _, call in made:
                if isinstance(call, ModelCall) and call.key is not None:
                    calls.append((call.key, call))
                else:
                    skipped += 1
            kept = journal.find([key for key, _ in calls], since)
            for key, call in calls:
                if key in kept:
                    answered += 1
                elif key not in asked:
                    asked.add(key)
                    tokens = call.estimate
                    read += tokens.input
                    written += tokens.output
                    usd = plus(usd, connection.price.usd(Usage(tokens.input, tokens.output)))
    finally:
        journal.close()
    plan.forget_occurrences()
    return Estimate(
        rows=plan.total,
        answered=answered,
        skipped=skipped,
        requests=len(asked),
        prompt_tokens=read,
        completion_tokens=written,
        usd=usd,
        minutes=_minutes(plan, len(asked), read + written),
        learned=connection.estimator.learned,
    )


def _minutes(plan: Plan, requests: int, tokens: int) -> float | None:
    limiter = plan.model.limiter
    needs = [
        amount / limit
        for quantity, amount in ((REQUESTS, requests), (TOKENS, tokens))
        if (limit := limiter.effective(quantity, plan.options.limits)) is not None
    ]
    return max(needs) if needs else None
