"""What a pipeline over a frame did: its errors and its report, stage by stage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import CallError, Kind
from lionproc.frame import results
from lionproc.frame.failures import Failure, errors_table

if TYPE_CHECKING:
    from lionproc.frame.pipeline import RowStep
    from lionproc.service.stage_runner import Passage

MISSING_CELL = "missing"


class PipelineRun:
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
        counted = [step.session.executor.counters for step in self._steps]
        costs = [step.usd for step in self._steps]
        self._ended = RunStats(
            state="done",
            rows=len(self._index),
            answered=len(passages) - len(stopped),
            skipped=len(stopped) - len(self._errors),
            failed=len(self._errors),
            sent=sum(each.sent for each in counted),
            retried=sum(each.retried for each in counted),
            throttled=sum(each.throttled for each in counted),
            prompt_tokens=sum(each.prompt_tokens for each in counted),
            completion_tokens=sum(each.completion_tokens for each in counted),
            usd=None if None in costs else sum(cost or 0.0 for cost in costs),
            elapsed_s=time.monotonic() - self._began,
            errors=Counter(error["kind"] for error in self._errors.values()),
        )

    @property
    def run_id(self) -> str:
        """Equal for the same stages over as many rows."""
        told = repr([(step.stage.name, step.stage.prompt) for step in self._steps])
        whole = f"{len(self._index)} {self._names} {told}"
        return blake2b(whole.encode(), digest_size=16).hexdigest()

    def errors(self) -> pd.DataFrame:
        """The rows that a stage stopped.

        Returns:
            Position, index label, stage, kind, message, hint, reply and attempts of each. Rows
            that were skipped for a missing cell are not among them.
        """
        failures = [
            Failure(
                place,
                error["stage"],
                CallError(Kind(error["kind"]), error["error"], hint=error.get("hint", ""),
                          reply=error.get("reply", "")),
                error.get("attempts", 0),
            )
            for place, error in self._errors.items()
        ]  # fmt: skip
        return errors_table(self._index, "stage", failures, self._ended or RunStats())

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
