"""A run as its journal remembers it: its report, its errors, its answers for a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pandas as pd

from lionproc.engine.journal import Journal
from lionproc.engine.run_log import KILLED, KeptRun
from lionproc.engine.stats import RunStats
from lionproc.errors import ConfigurationError
from lionproc.face import face
from lionproc.frame.answer_digests import Digests, unpacked
from lionproc.frame.plan_arguments import VALUE, PromptLike
from lionproc.notebook.text_table import TextTable
from lionproc.reports.again import answers_again
from lionproc.reports.bought import Bought, began, bought_by
from lionproc.reports.difference import Difference, Note, Rows, difference
from lionproc.reports.kept_report import report_again
from lionproc.reports.report import Report
from lionproc.reports.sound import (
    sound_errors,
    sound_facts,
    sound_mark,
    sound_report,
    sound_stats,
)

__all__ = ["PastRun"]

_ERRORS: Final = ("position", "index", "into", "kind", "message", "hint", "attempts")


class PastRun:
    """A run that a journal remembers. `lp.run(id)` gives it.

    Attributes:
        id: What `lp.runs()` calls it.
        name: What the user called it; empty where they did not.
        state: "running", "done", "stopped", "failed", "killed", ...
        program: The name of the notebook or script that it ran in.
        prompt: Its prompt; the name of the function where it was one.
        stats: Its numbers, as `job.stats`.
        facts: What its report is made of.
    """

    def __init__(self, journal: Journal, kept: KeptRun, bought: Bought | None = None) -> None:
        self._path = journal.path
        self._number = kept.number
        self._note: Note = kept.facts
        self.id = str(kept.facts.get("run", ""))
        self.name = str(kept.facts.get("name") or "")
        self.state = kept.state
        self.program = str(kept.facts.get("program") or "")
        self.facts: Note = sound_facts(kept.facts.get("facts"))
        self.prompt = str(self.facts.get("prompt", ""))
        self.stats = _stats(kept)
        if kept.state == KILLED:
            if bought is None:
                bought = bought_by(journal, {kept.number: began(kept)})[kept.number]
            self.stats = _with_records(self.stats, kept, bought)

    @face
    def report(self) -> Report:
        """What the run did, as `job.report()` says it."""
        run = f"lp.run({self.id!r})"
        facts = {**self.facts, "errors_at": f"{run}.errors()", "frame_at": f"{run}.frame(df)"}
        return report_again(self.stats, facts, sound_report(self._note.get("report")), self.errors)

    @face
    def errors(self) -> pd.DataFrame:
        """The rows that failed, as `job.errors()` lists them, at most the first thousand.

        Returns:
            Position, index (as text), output column, kind, message, hint and attempts of each. A
            run that was killed had no time to list its rows: `report()` counts their kinds.
        """
        noted = sound_errors(self._note.get("errors"))
        rows = [{**row, "into": row["where"]} for row in noted]
        table = pd.DataFrame({name: [row.get(name) for row in rows] for name in _ERRORS})
        counts = dict.fromkeys(("position", "attempts"), "Int64")
        return TextTable(table.astype({**dict.fromkeys(_ERRORS, "string"), **counts}))

    @face
    def frame(
        self,
        df: Rows,
        *,
        prompt: PromptLike | None = None,
        system: object = None,
        schema: object = None,
    ) -> pd.DataFrame:
        """The answers of this run, put onto the rows of a frame by what they say. Nothing is sent.

        The rows may be in any order, be fewer, or be more: what the journal had no answer to when
        this run ended is NA. Later runs change nothing of it.

        Args:
            df: A frame with the columns that the prompt shows; the series, for a run over one.
            prompt: The prompt, where it was a function: a journal cannot keep those.
            system: The same for the system prompt.
            schema: The type of the answers. None for one like it, made of the JSON Schema that the
                journal remembers; where the type did more than that says (a validator, an alias), it
                has to be given.

        Returns:
            A new frame with the columns of the run.

        Raises:
            ConfigurationError: The frame lacks a column that the prompt shows, or the prompt was a
                function and is not given, or only the type itself can read the answers and is not.

        Example:
            ```python
            df.llm.process("Is {review} positive?", into="ok", schema=bool, name="first try")
            out = lp.run("first try").frame(df.sample(frac=1))
            ```
        """
        asked = self._note.get("asked")
        of_series = isinstance(asked, dict) and asked.get("each")
        if of_series and not isinstance(df, pd.Series):
            raise ConfigurationError(f"The run {self.id!r} was over a series: give it the series.")
        return answers_again(
            df.to_frame(VALUE) if isinstance(df, pd.Series) else df,
            self._note,
            journal=self._path,
            until=self._until(),
            prompt=prompt,
            system=system,
            schema=schema,
        )

    @face
    def diff(self, other: PastRun, df: Rows | None = None) -> Difference:
        """What changed from this run to another: prompt, model, parameters, schema, and answers.

        Args:
            other: The other run.
            df: Rows to compare the answers on. None compares them row by row, which takes that
                both runs ended and were over as many rows.

        Returns:
            The difference: printed, what changed; `.prompt` has the prompts' difference line by
            line, `.changed` how many answers differ, `.compared` of how many.
        """
        return difference(self, other, df)

    @property
    def columns(self) -> list[str]:
        """The columns of its answers."""
        found = self._note.get("columns")
        return [str(name) for name in found] if isinstance(found, list) else []

    def answer_digests(self) -> dict[str, Digests] | None:
        """Digests of its answers, row by row, by column; None where it did not end."""
        with Journal.open(self._path) as journal:
            kept = journal.runs.digests(self._number)
        if kept is None:
            return None
        found = unpacked(kept, len(self.columns), self.stats.rows)
        return None if found is None else dict(zip(self.columns, found, strict=True))

    @property
    def note(self) -> Note:
        """All that the journal remembers of it."""
        return self._note

    def _until(self) -> int | None:
        return sound_mark(self._note.get("until"))

    def __repr__(self) -> str:
        from lionproc.notebook.formatting import plain

        called = f" {self.name!r}" if self.name else ""
        stats = self.stats
        return plain(
            f"<Run {self.id}{called} {self.state}: {stats.answered:,} of {stats.rows:,} rows, "
            f"{self.facts.get('model')}; it has .report(), .errors(), .frame(df), .diff(other)>"
        )

    def _repr_html_(self) -> str:
        return self.report()._repr_html_()


def _stats(kept: KeptRun) -> RunStats:
    known = sound_stats(kept.facts.get("stats"))
    return RunStats(**{**known, "state": "stopped" if kept.state == KILLED else kept.state})


def _with_records(stats: RunStats, kept: KeptRun, bought: Bought) -> RunStats:
    """The numbers of a run that could not note its end, from what it bought."""
    ways = kept.facts.get("ways")  # an answer is a row, unless there are several to a row
    way = ways[0] if isinstance(ways, list) and len(ways) == 1 else None
    alone = isinstance(way, dict) and "members" not in way
    answered = stats.cached + len(bought.keys) if alone else 0
    seconds, usd = stats.elapsed_s, bought.usd
    if bought.last is not None and stats.began_at is not None:
        seconds = max(seconds, bought.last - stats.began_at)
    return replace(
        stats,
        answered=max(stats.answered, min(answered, stats.rows)),
        sent=max(stats.sent, bought.replies),
        prompt_tokens=max(stats.prompt_tokens, bought.prompt_tokens),
        completion_tokens=max(stats.completion_tokens, bought.completion_tokens),
        usd=usd if stats.usd is None or usd is None else max(usd, stats.usd),
        elapsed_s=seconds,
    )
