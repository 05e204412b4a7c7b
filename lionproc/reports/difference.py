"""What changed from one run to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.errors import ConfigurationError
from lionproc.frame.answer_digests import Digests, digests_of
from lionproc.frame.changed_lines import changed_lines

__all__ = ["Difference", "Note", "Rows", "difference"]

Note: TypeAlias = "Mapping[str, Any]"
"""What a journal remembers of a run, in JSON's types."""
Rows: TypeAlias = "pd.DataFrame | pd.Series[Any]"


_SHAPING = ("votes", "tie")  # arguments that shape the answers and are no fields of a request


class Remembered(Protocol):
    """A run that a journal remembers."""

    prompt: str
    facts: Note
    stats: RunStats

    @property
    def columns(self) -> list[str]:
        """The columns of its answers."""

    @property
    def note(self) -> Note:
        """All that is known of it."""

    def answer_digests(self) -> Mapping[str, Digests] | None:
        """Digests of its answers, row by row, by column; None where there are none."""

    def frame(self, df: Rows) -> pd.DataFrame:
        """Its answers for the rows of a frame."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What changed from one run to another. Printed, it says so in a few lines.

    Attributes:
        prompt: The difference of the prompts, line by line (as `diff -u`); empty where they are
            equal.
        system: The same of the system prompts.
        settings: Model, schema, provider, endpoint (its address, and a digest of what else decides
            who answers there) and parameters that differ: name -> (then, now).
        compared: How many rows have an answer in at least one of the runs; None where the answers
            could not be compared without the frame.
        changed: How many of these have another answer, or one in one run alone.
    """

    prompt: str
    system: str
    settings: Mapping[str, tuple[Any, Any]]
    compared: int | None
    changed: int | None

    def __repr__(self) -> str:
        from lionproc.notebook.formatting import plain

        lines = []
        for what, text in (("prompt", self.prompt), ("system prompt", self.system)):
            if text:
                shown = (f"  {line[:1]}{plain(line[1:], 500)}" for line in text.splitlines())
                lines += [f"The {what} changed:", *shown]
        for name, (then, now) in self.settings.items():
            lines.append(f"{name}: {plain(then)} -> {plain(now)}")
        if not lines:
            lines.append("Both asked the same.")
        if self.compared is None:
            lines.append("Answers: not compared; .diff(other, df) compares them on a frame.")
        else:
            lines.append(f"Answers: {self.changed:,} of {self.compared:,} differ.")
        return "\n".join(lines)


def difference(one: Remembered, other: Remembered, df: Rows | None) -> Difference:
    """See `PastRun.diff`.

    Raises:
        ConfigurationError: The runs made no columns in common.
    """
    then, now = _asked(one), _asked(other)
    settings = {name: (then.get(name), now.get(name)) for name in {**then, **now}}
    compared = changed = None
    counted = _on_frame(one, other, df) if df is not None else _by_row(one, other)
    if counted is not None:
        compared, changed = counted
    return Difference(
        prompt=_lines(one.prompt, other.prompt),
        system=_lines(str(one.facts.get("system") or ""), str(other.facts.get("system") or "")),
        settings={name: (a, b) for name, (a, b) in settings.items() if a != b},
        compared=compared,
        changed=changed,
    )


def _lines(then: str, now: str) -> str:
    return "\n".join(changed_lines(then, now, around=1))


def _asked(past: Remembered) -> dict[str, Any]:
    """Model, schema, endpoint (with a digest of the headers and keys that route) and parameters."""
    facts = past.facts
    asked = {name: facts.get(name) for name in ("provider", "model", "schema")}
    way = _first(past.note.get("ways"))
    asked["endpoint"] = way.get("identity")
    fields = way.get("fields")
    if isinstance(fields, dict):
        asked |= {n: value for n, value in fields.items() if n != "response_format"}  # the schema
    given = past.note.get("asked")
    if isinstance(given, dict):
        asked |= {name: given[name] for name in _SHAPING if name in given}
    asked["examples"] = facts.get("examples", "none")
    schema = _first(past.note.get("shapes")).get("schema")
    if schema is not None:
        asked["JSON Schema"] = schema
    return asked


def _first(noted: object) -> Note:
    """Of the stages of a run the first, whatever somebody noted."""
    return noted[0] if isinstance(noted, list) and noted and isinstance(noted[0], dict) else {}


def _by_row(one: Remembered, other: Remembered) -> tuple[int, int] | None:
    then, now = one.answer_digests(), other.answer_digests()
    if then is None or now is None:
        return None
    pairs = _pairs(list(then), list(now))
    if not pairs or one.stats.rows != other.stats.rows:
        return None
    return _count([(then[a], now[b]) for a, b in pairs])


def _on_frame(one: Remembered, other: Remembered, df: Rows) -> tuple[int, int]:
    then, now = one.frame(df), other.frame(df)
    pairs = _pairs(one.columns, other.columns)
    if not pairs:
        raise ConfigurationError(
            f"The runs made other columns ({one.columns} and {other.columns}), so their answers "
            "cannot be compared."
        )
    return _count([(digests_of(then[a]), digests_of(now[b])) for a, b in pairs])


def _pairs(then: list[str], now: list[str]) -> list[tuple[str, str]]:
    """Which column is compared with which: those of one name; where each has one, these two."""
    if len(then) == len(now) == 1:
        return [(then[0], now[0])]
    return [(name, name) for name in then if name in now]


def _count(pairs: list[tuple[Digests, Digests]]) -> tuple[int, int]:
    answered = np.logical_or.reduce([(a != 0) | (b != 0) for a, b in pairs])
    changed = np.logical_or.reduce([a != b for a, b in pairs])
    return int(answered.sum()), int(changed.sum())
