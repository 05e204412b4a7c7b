"""`Report`: what a run did, as data, as text, as a card, as plots and as a page."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lionproc.engine.stats import MemberUse, RunStats
from lionproc.notebook.text_table import TextTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "Row"]

SAVED = {
    "journal": "by the journal",
    "deduplication": "by equal rows",
    "prompt_cache": "by the provider's prompt cache",
    "tier": "by the tier",
    "batch": "by the Batch API",
}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that stands out.

    Attributes:
        position: In the frame, from 0.
        index: Its label.
        into: The column of the answer.
        seconds: How long its requests took.
        usd: What it cost, None where that is not known.
        tokens: Tokens read and written.
        attempts: Requests.
        model: Which model answered, as its reply says; empty where it does not.
    """

    position: int
    index: Any
    into: str
    seconds: float
    usd: float | None
    tokens: int
    attempts: int
    model: str


def _no_failures() -> pd.DataFrame:
    return pd.DataFrame()


@dataclass(frozen=True)
class Report:
    """What a run did. The last line of a cell shows it as a card; what is not known is None.

    It has more than 25 methods because it is a public face: most are a number each.

    Attributes:
        stats: The run's counts, as a snapshot.
        facts: What else is known of it, by name.
        latency: Seconds until a paid reply came: p50, p90, p95, p99 (to 2 %) and longest.
        retried_for: Requests that were sent again, by the kind of error that made it necessary.
        usd_saved: Dollars that were not spent: by the `journal` (what its answers had cost),
            `deduplication` (equal rows), the provider's `prompt_cache`, a cheaper `tier` and the
            `batch` API. Below zero where a tier or a cache was dearer.
        over_time: Up to 48 stretches of the run, each a dict: the middle in `seconds` since its
            start, rates (means of 3 s at least) and limits per minute, latency_p50 and _p95, and what was refused, sent
            again and failed.

    Example:
        ```python
        report = out.llm.report()
        report.usd, report.usd_saved["journal"], report.latency["p95"]
        report.to_html("report.html")
        ```
    """

    stats: RunStats
    facts: Mapping[str, Any]
    latency: Mapping[str, float | None] = field(default_factory=dict)
    retried_for: Mapping[str, int] = field(default_factory=dict)
    usd_saved: Mapping[str, float | None] = field(default_factory=dict)
    over_time: Sequence[Mapping[str, Any]] = ()
    _slowest: Sequence[Row] = field(default=(), repr=False)
    _dearest: Sequence[Row] = field(default=(), repr=False)
    failures: Callable[[], pd.DataFrame] = field(default=_no_failures, repr=False)

    # -- as data ----------------------------------------------------------------------------

    @property
    def rows(self) -> int:
        """Rows of the run."""
        return self.stats.rows

    @property
    def answered(self) -> int:
        """Rows with an answer, those of the journal included."""
        return self.stats.answered

    @property
    def cached(self) -> int:
        """Rows that the journal answered without a request."""
        return self.stats.cached

    @property
    def skipped(self) -> int:
        """Rows that were not asked for a missing cell."""
        return self.stats.skipped

    @property
    def failed(self) -> int:
        """Rows that ended in an error."""
        return self.stats.failed

    @property
    def requests(self) -> int:
        """Requests sent, those sent again included."""
        return self.stats.sent

    @property
    def retries(self) -> int:
        """Requests that were sent again."""
        return self.stats.retried

    @property
    def input_tokens(self) -> int:
        """Tokens read in this run, cached ones included."""
        return self.stats.prompt_tokens

    @property
    def cached_tokens(self) -> int | None:
        """Of those, the ones from the provider's prompt cache."""
        return self.stats.cached_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens written in this run, thoughts included."""
        return self.stats.completion_tokens

    @property
    def reasoning_tokens(self) -> int | None:
        """Of those, the ones that were thoughts."""
        return self.stats.reasoning_tokens

    @property
    def usd(self) -> float | None:
        """What this run spent, in dollars."""
        return self.stats.usd

    @property
    def usd_of_answers(self) -> float | None:
        """What all its answers cost when they were bought, in this run or before it."""
        return self.stats.usd_of_answers

    @property
    def seconds(self) -> float:
        """How long it took, pauses included."""
        return self.stats.elapsed_s

    @property
    def errors(self) -> Mapping[str, int]:
        """Rows that failed, by kind."""
        return self.stats.errors

    @property
    def limit_used(self) -> float | None:
        """The share of what the limits allowed that was used while there was work."""
        return self.stats.limit_used

    @property
    def slowest(self) -> pd.DataFrame:
        """The ten rows whose requests took longest."""
        return _table(self._slowest)

    @property
    def most_expensive(self) -> pd.DataFrame:
        """The ten rows that cost most."""
        return _table(self._dearest)

    @property
    def model(self) -> str:
        """Provider and model."""
        from lionproc.notebook import formatting

        return formatting.model_name(self.facts)

    def as_dict(self) -> dict[str, Any]:
        """All of it by name, for a log or a file: plain JSON, but for labels that are not."""
        stats = self.stats
        began = stats.began_at
        return {
            "state": stats.state,
            "run": self.facts.get("run"),
            "model": self.model,
            "prompt": self.facts.get("prompt"),
            "schema": self.facts.get("schema"),
            "columns": list(self.facts.get("columns", ())),
            "started": None if began is None else datetime.fromtimestamp(began, UTC).isoformat(),
            "seconds": stats.elapsed_s,
            "rows": stats.rows,
            "answered": stats.answered,
            "cached": stats.cached,
            "skipped": stats.skipped,
            "failed": stats.failed,
            "requests": stats.sent,
            "retries": stats.retried,
            "retried_for": dict(self.retried_for),
            "refused": stats.throttled,
            "errors": {str(kind): rows for kind, rows in stats.errors.items()},
            "input_tokens": stats.prompt_tokens,
            "cached_tokens": stats.cached_tokens,
            "output_tokens": stats.completion_tokens,
            "reasoning_tokens": stats.reasoning_tokens,
            "replies_with_estimated_tokens": stats.guessed,
            "usd": stats.usd,
            "usd_of_answers": stats.usd_of_answers,
            "usd_saved": dict(self.usd_saved),
            "budget": stats.budget or None,
            "budget_used": stats.budget_used,
            "latency": dict(self.latency),
            "limit_used": stats.limit_used,
            "requests_limit": stats.requests_limit,
            "tokens_limit": stats.tokens_limit,
            "stages": list(self.facts.get("stages", ())),
            "members": [dict(each) for each in self.facts.get("members", ())],
            "slowest": [asdict(row) for row in self._slowest],
            "most_expensive": [asdict(row) for row in self._dearest],
            "over_time": [dict(point) for point in self.over_time],
        }

    @property
    def members(self) -> pd.DataFrame:
        """A row for each member of a model that is made of several; empty for a single one.

        Columns: member, answered (rows), requests, prompt_tokens, completion_tokens, usd and errors
        (a dict: how many requests had no answer there, by kind); of a cascade also confidence, how sure
        each was on average of its answers that stand.
        """
        columns = [*MemberUse._fields]
        made = pd.DataFrame(list(self.facts.get("members", ())), columns=columns)
        empty = [name for name in ("stage", "confidence") if not made[name].notna().any()]
        return TextTable(made.drop(columns=empty))

    # -- to be looked at --------------------------------------------------------------------

    @property
    def headline(self) -> str:
        """The run in one line."""
        from lionproc.notebook.card import headline

        return headline(self.stats)

    def pairs(self, *, labels: bool = True) -> list[tuple[str, str]]:
        """The report as pairs of a name and a text.

        Args:
            labels: Whether the labels of rows may be in it.
        """
        from lionproc.notebook import card, formatting

        def rows(found: Sequence[Row], told: Callable[[Row], str]) -> str:
            shown = [f"row {formatting.plain(r.index, 40)} {told(r)}" for r in found[:3]]
            return ", ".join(shown) if labels else ""

        more = {
            "cost": [("savings", _saved(self.usd_saved))],
            "time": [("latency", _latency(self.latency))],
            "requests": [("retries", _reasons(self.retried_for))],
        }
        made = []
        for name, text in card.lines(self.stats, self.facts):
            made += [(name, text), *more.pop(name, [])]
        last = [
            ("slowest", rows(self._slowest, lambda r: formatting.short_duration(r.seconds))),
            ("dearest", rows(self._dearest, lambda r: formatting.fine_dollars(r.usd or 0.0))),
        ]
        where = next((n for n, (name, _) in enumerate(made) if name in _LAST), len(made))
        made[where:where] = [*(pair for pairs in more.values() for pair in pairs), *last]
        hidden = set() if labels else {"check"}  # it may say what rows say
        return [(name, text) for name, text in made if text and name not in hidden]

    def plot(self) -> Figure:
        """Draw the run over time: throughput against the limit, latency, tokens, what went wrong.

        Returns:
            A matplotlib figure; a notebook shows it as the last line of a cell, and
            `.savefig(path)` writes it.

        Raises:
            MissingDependencyError: matplotlib is not installed (`pip install 'lionproc[plot]'`).
        """
        from lionproc.reports.plot import figure

        return figure(f"{self.model}, {self.stats.rows:,} rows", self.over_time)

    def to_html(
        self, path: str | os.PathLike[str], *, prompt: bool = False, cells: bool = False
    ) -> Path:
        """Write the report as one page, to be mailed or kept: no JavaScript, nothing loaded.

        Only numbers are in it, and the names of the model and of the new columns. What was asked
        and what rows say is left out unless you say so, and no path of this machine is in it.

        Args:
            path: The file; replaced, whole or not at all.
            prompt: Whether the prompt, the system prompt and the schema are in it.
            cells: Whether texts of rows are in it: the labels of those that stand out, and the
                messages and replies of those that failed.

        Returns:
            The path.

        Raises:
            SaveError: It could not be written; an older file is untouched.
        """
        from lionproc.frame.place import saving
        from lionproc.reports.html import page

        made = page(
            self.stats,
            self.facts,
            pairs=self.pairs(labels=cells),
            over_time=self.over_time,
            stand_out={"Slowest rows": self.slowest, "Most expensive rows": self.most_expensive},
            failures=self.failures() if cells else None,
            saved=sum(usd for usd in self.usd_saved.values() if usd),
            asked=prompt,
        )
        with saving(path) as file:
            file.write(made.encode())
        return Path(path)

    def __repr__(self) -> str:
        from lionproc.notebook.pairs import as_lines

        return as_lines(self.headline, self.pairs())

    def _repr_html_(self) -> str:
        from lionproc.notebook.card import as_html

        return as_html(self.stats, self.facts, self.pairs())


_LAST = frozenset({"note", "saved", "more"})


def _saved(saved: Mapping[str, float | None]) -> str:
    from lionproc.notebook.formatting import dollars

    parts = [f"{dollars(usd)} {SAVED[name]}" for name, usd in saved.items() if usd and usd > 0]
    parts += [
        f"{dollars(-usd)} lost {SAVED[name]}" for name, usd in saved.items() if usd and usd < 0
    ]
    return ", ".join(parts)


def _latency(latency: Mapping[str, float | None]) -> str:
    from lionproc.notebook.formatting import duration, short_duration

    half, most, longest = (latency.get(name) for name in ("p50", "p95", "longest"))
    if half is None or most is None or longest is None:
        return ""
    half, most = max(half, 0.1), max(most, 0.1)  # within that, as nothing takes no time
    return (
        f"half within {duration(half)}, 95 % within {duration(most)}, "
        f"longest {short_duration(longest)}"
    )


def _reasons(retried_for: Mapping[str, int]) -> str:
    from lionproc.notebook.formatting import kind

    most_first = sorted(retried_for.items(), key=lambda item: -item[1])
    return ", ".join(f"{number:,} {kind(name)}" for name, number in most_first)


def _table(rows: Sequence[Row]) -> TextTable:
    def texts(values: list[str]) -> Any:
        return pd.array([value or None for value in values], dtype="string")

    return TextTable(
        {
            "position": pd.array([row.position for row in rows], dtype="int64"),
            "index": pd.Series([row.index for row in rows], dtype=object),
            "into": texts([row.into for row in rows]),
            "seconds": pd.array([row.seconds for row in rows], dtype="float64"),
            "usd": pd.array([row.usd for row in rows], dtype="Float64"),
            "tokens": pd.array([row.tokens for row in rows], dtype="int64"),
            "attempts": pd.array([row.attempts for row in rows], dtype="int64"),
            "model": texts([row.model for row in rows]),
        }
    )
