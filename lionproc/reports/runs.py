"""`lp.runs()` and `lp.run(id)`: what a journal remembers of the runs that wrote into it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from lionproc.engine.journal import Journal
from lionproc.engine.journal_path import real_path
from lionproc.engine.run_log import KILLED, KeptRun
from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.face import face
from lionproc.model.defaults import default
from lionproc.notebook.text_table import TextTable
from lionproc.reports.bought import began, bought_by
from lionproc.reports.past_run import PastRun

__all__ = ["found_in", "opened", "run", "runs"]

_LONGEST = 100  # characters of a name that may have been meant
AnyPath = str | os.PathLike[str] | None
_TEXTS: Final = ("run", "name", "state", "model", "prompt", "schema", "program")
_COUNTS: Final = ("rows", "answered", "cached", "failed", "input_tokens", "output_tokens")
_ORDER: Final = (
    *("run", "name", "started", "state", "model", "prompt", "schema"),
    *("rows", "answered", "cached", "failed", "input_tokens", "output_tokens"),
    *("usd", "seconds", "program"),
)


@face
def runs(journal: AnyPath = None) -> pd.DataFrame:
    """All runs that a journal remembers, the newest last.

    Args:
        journal: Its path; None for the one that `process` uses.

    Returns:
        A row for each run: `run` (its id), `name`, `started` (UTC), `state` ("running", "done",
        "stopped", "failed", "killed", ...), `model`, `prompt`, `schema`, `rows`, `answered`
        (those from the journal included), `cached`, `failed`, `input_tokens`, `output_tokens`,
        `usd` (what it bought; NA where that is not known), `seconds` and `program` (the notebook
        or script). Of a run that was killed it says what its records say.

    Raises:
        JournalError: There is a journal and it cannot be read.

    Example:
        ```python
        lp.runs().query("state == 'killed'")
        ```
    """
    with opened(journal) as kept:
        rows = [] if kept is None else [_row(past) for past in _all(kept)]
    table = pd.DataFrame({name: [row[name] for row in rows] for name in _ORDER})
    types: dict[str, Any] = {
        **dict.fromkeys(_TEXTS, "string"),
        **dict.fromkeys(_COUNTS, "Int64"),
        "started": "datetime64[us, UTC]",
        "usd": "Float64",
        "seconds": "Float64",
    }
    return TextTable(table.astype(types))


def _all(journal: Journal) -> Iterator[PastRun]:
    """All runs; what those bought that were killed is read once for all of them."""
    killed = {each.number: began(each) for each in journal.runs.all() if each.state == KILLED}
    bought = bought_by(journal, killed)
    for each in journal.runs.all():
        yield PastRun(journal, each, bought.get(each.number))


@face
def run(id: str, journal: AnyPath = None) -> PastRun:  # noqa: A002  (what everybody calls it)
    """One run that a journal remembers.

    Args:
        id: The `run` of `lp.runs()`, the beginning of it, or the name it was given (of several
            with that name the newest); `lp.read_facts(path)["run"]` has that of a file.
        journal: As for `lp.runs`.

    Returns:
        The run, with `report()`, `errors()`, `frame(df)` and `diff(other)`.

    Raises:
        ConfigurationError: There is no such run, or more than one begins so.
        JournalError: There is a journal and it cannot be read.

    Example:
        ```python
        df.llm.process("Is {review} positive?", into="ok", schema=bool, name="first try")
        lp.run("first try").frame(df.sample(frac=1))  # tomorrow, with the rows in another order
        ```
    """
    with opened(journal) as kept:
        if kept is None:
            where = real_path(default("journal", journal) or None, make=False)
            raise ConfigurationError(
                f"There is no journal {where!r}, so no run is remembered there. Go to the folder of "
                "the notebook that ran, or name its journal with journal=."
            )
        return PastRun(kept, found_in(kept, id))


def found_in(journal: Journal, wanted: str) -> KeptRun:
    """The run of an id, the beginning of one, or a name.

    Raises:
        ConfigurationError: There is none, or there are several.
        JournalError: The journal cannot be read.
    """
    named: KeptRun | None = None
    begun: list[str] = []
    first: KeptRun | None = None
    names: dict[str, None] = {}
    for each in journal.runs.all():
        id_, name = str(each.facts.get("run", "")), each.facts.get("name")
        if id_ == wanted:
            return each
        if name == wanted:
            named = each
        if name:
            names[str(name)[:_LONGEST]] = None
        if wanted and id_.startswith(wanted):
            first = first or each
            begun.append(id_)
    if named is not None:
        return named
    if len(begun) > 1:
        raise ConfigurationError(
            f"{len(begun)} runs begin with {wanted!r}: {', '.join(begun[-5:])}. "
            "Give more of its id."
        )
    if first is None:
        near = did_you_mean(wanted, names)
        raise ConfigurationError(
            f"The journal {journal.path!r} remembers no run {wanted!r}.{near} lp.runs() lists "
            "its runs."
        )
    return first


@contextmanager
def opened(path: AnyPath) -> Iterator[Journal | None]:
    """The journal of a path, or the session's; None where there is no file, and none is made."""
    given = default("journal", path)
    if given is False:  # the session keeps nothing on disk
        given = None
    where = real_path(given, make=False)
    if not os.path.lexists(where):
        yield None
        return
    journal = Journal.open(where)
    try:
        yield journal
    finally:
        journal.close()


def _row(past: PastRun) -> Mapping[str, Any]:
    stats, facts = past.stats, past.facts
    began = stats.began_at
    return {
        "run": past.id,
        "name": past.name or None,
        "started": None if began is None else datetime.fromtimestamp(began, UTC),
        "state": past.state,
        "model": facts.get("model"),
        "prompt": facts.get("prompt"),
        "schema": facts.get("schema"),
        "rows": stats.rows,
        "answered": stats.answered,
        "cached": None if past.state == KILLED else stats.cached,
        "failed": stats.failed,
        "input_tokens": stats.prompt_tokens,
        "output_tokens": stats.completion_tokens,
        "usd": stats.usd,
        "seconds": stats.elapsed_s,
        "program": past.program or None,
    }
