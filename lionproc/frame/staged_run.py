"""What a pipeline over a frame did: its errors and its report, stage by stage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from lionproc.engine.limiter import Tokens
from lionproc.engine.stats import RunStats
from lionproc.frame import results
from lionproc.model.connection import Connection
from lionproc.service.flow import LineStep, Passage

MISSING_CELL = "missing"


class RowStep(LineStep):
    """A stage that skips rows whose cell, shown in the prompt, is missing, and counts.

    Attributes:
        cached: Rows that were answered from the journal.
        skipped: Rows that were skipped.
        connection: The way to its model, once it is open.
    """

    cached = skipped = 0
    connection: Connection | None = None

    async def ask(self, position: int, data: Any, context: Mapping[str, Any]) -> dict[str, Any]:
        """See `Step.ask`."""
        empty = [name for name in self.prompt.fields if context.get(name, data) is None]
        if empty:
            self.skipped += 1
            return {"status": "skipped", "kind": MISSING_CELL, "error": f"{empty[0]!r} is missing"}
        self.connection = await self.line.open()
        told = await super().ask(position, data, context)
        self.cached += told.get("cached", False)
        return told

    @property
    def model(self) -> str:
        """Who answered, or was to."""
        if self.connection is None:
            return f"{self.line.model.provider}/{self.line.model.model or ''}".rstrip("/")
        return f"{self.connection.provider.name}/{self.connection.model}"

    @property
    def used(self) -> Tokens:
        """The tokens it took in this run."""
        tally = self.line.executor.tally
        return Tokens(tally.prompt_tokens, tally.completion_tokens)

    @property
    def usd(self) -> float | None:
        """What it cost, None where the price is not known."""
        if self.connection is None:
            return 0.0  # nothing was sent
        price = self.connection.price
        return None if price is None else price.usd(self.used)

    def facts(self) -> dict[str, Any]:
        """What it did, by name."""
        tally = self.line.executor.tally
        return {
            "stage": self.stage.name,
            "model": self.model,
            "answered": self.counts.done,
            "cached": self.cached,
            "skipped": self.skipped,
            "failed": self.counts.failed - self.skipped,
            "requests": tally.sent,
            "prompt_tokens": tally.prompt_tokens,
            "completion_tokens": tally.completion_tokens,
            "usd": self.usd,
        }


class StagedRun:
    """A finished pipeline over a frame, as its frame remembers it.

    Args:
        index: The labels of the rows.
        names: The columns it made.
        steps: Its stages.
        journal: Where the replies are.
    """

    def __init__(
        self,
        index: pd.Index[Any],
        names: Sequence[Hashable],
        steps: Sequence[RowStep],
        journal: Any,
    ) -> None:
        self._index = index
        self._names = [str(name) for name in names]
        self._steps = steps
        self._journal = str(journal)
        self._began = time.monotonic()
        self._errors: dict[int, dict[str, Any]] = {}
        self._ended: RunStats | None = None

    def end(self, passages: Mapping[int, Passage]) -> None:
        """Take in what came out."""
        stopped = {place: p.error for place, p in sorted(passages.items()) if p.error is not None}
        self._errors = {n: error for n, error in stopped.items() if error["kind"] != MISSING_CELL}
        tallies = [step.line.executor.tally for step in self._steps]
        costs = [step.usd for step in self._steps]
        self._ended = RunStats(
            state="done",
            rows=len(self._index),
            answered=len(passages) - len(stopped),
            skipped=len(stopped) - len(self._errors),
            failed=len(self._errors),
            sent=sum(tally.sent for tally in tallies),
            retried=sum(tally.retried for tally in tallies),
            throttled=sum(tally.throttled for tally in tallies),
            prompt_tokens=sum(tally.prompt_tokens for tally in tallies),
            completion_tokens=sum(tally.completion_tokens for tally in tallies),
            usd=None if None in costs else sum(cost or 0.0 for cost in costs),
            elapsed_s=time.monotonic() - self._began,
            errors=Counter(error["kind"] for error in self._errors.values()),
        )

    def errors(self) -> pd.DataFrame:
        """The rows that a stage stopped.

        Returns:
            Position, index label, stage, kind, message and attempts of each. Rows that were
            skipped for a missing cell are not among them.
        """
        return results.errors_table(
            self._index,
            "stage",
            [
                results.Failure(
                    place, error["stage"], error["kind"], error["error"], error.get("attempts", 0)
                )
                for place, error in self._errors.items()
            ],
        )

    def report(self) -> results.Report:
        """What the run did: the whole as after `df.llm.process`, and each stage in `facts`."""
        stats = self._ended or RunStats(rows=len(self._index))
        facts = {
            "model": ", ".join(dict.fromkeys(step.model for step in self._steps)),
            "columns": self._names,
            "rows": stats.rows,
            "answered": stats.answered,
            "skipped": stats.skipped,
            "failed": stats.failed,
            "requests": stats.sent,
            "prompt_tokens": stats.prompt_tokens,
            "completion_tokens": stats.completion_tokens,
            "usd": stats.usd,
            "journal": self._journal,
            "stages": [step.facts() for step in self._steps],
        }
        return results.Report.of(stats, facts)
