"""What changed from one run to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        functions: What a function of the user's made in both; nobody remembers what it did.
    """

    prompt: str
    system: str
    settings: Mapping[str, tuple[Any, Any]]
    compared: int | None
    changed: int | None
    functions: Sequence[str] = ()

    def __repr__(self) -> str:
        from lionproc.notebook.formatting import plain

        lines = []
        for what, text in (("prompt", self.prompt), ("system prompt", self.system)):
            if text:
                shown = (f"  {line[:1]}{plain(line[1:], 500)}" for line in text.splitlines())
                lines += [f"The {what} changed:", *shown]
        for name, (then, now) in self.settings.items():
            lines.append(f"{name}: {plain(then)} -> {plain(now)}")
        if not lines and self.functions:
            made = ", ".join(plain(name) for name in self.functions)
            lines.append(f"Nothing else changed; what functions made is not remembered: {made}.")
        elif not lines:
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
        functions=[name for name in _functions(one) if name in _functions(other)],
    )


def _lines(then: str, now: str) -> str:
    return "\n".join(changed_lines(then, now, around=1))


def _asked(past: Remembered) -> dict[str, Any]:
    """Model, schema, endpoint (with a digest of the headers and keys that route) and parameters.

    What further models and later stages were asked has their names before it.
    """
    facts, note = past.facts, past.note
    asked = {name: facts.get(name) for name in ("provider", "model", "schema")}
    given = note.get("asked")
    given = given if isinstance(given, dict) else {}
    asked |= {name: given[name] for name in _SHAPING if name in given}
    asked["examples"] = facts.get("examples", "none")
    stages, shapes = _dicts(given.get("stages")), _dicts(note.get("shapes"))
    for number, way in enumerate(_dicts(note.get("ways")) or [{}]):
        stage = stages[number] if number < len(stages) else {}
        name = f"{stage.get('name')}: " if number else ""
        asked |= {name + each: said for each, said in stage.items() if each not in _TOLD or number}
        members = _dicts(way.get("members")) or [way]
        asked |= _of_member(members[0], name, is_first=not number)
        for member in members[1:]:
            asked |= _of_member(member, f"{name}{member.get('model')}: ")
        if "steps" in way:
            asked[f"{name}steps"] = way["steps"]
        schema = shapes[number].get("schema") if number < len(shapes) else None
        if schema is not None:
            asked[f"{name}JSON Schema"] = schema
    return asked


_TOLD = frozenset({"name", "prompt", "system"})  # of the first stage elsewhere


def _of_member(way: Note, name: str, *, is_first: bool = False) -> dict[str, Any]:
    said = {"endpoint": way.get("identity")}
    if not is_first:  # of which the facts tell
        said |= {"provider": way.get("provider"), "model": way.get("model")}
    fields = way.get("fields")
    if isinstance(fields, dict):
        said |= {each: value for each, value in fields.items() if each != "response_format"}
    return {name + each: value for each, value in said.items()}  # the schema is told


def _functions(past: Remembered) -> list[str]:
    given = past.note.get("asked")
    named = given.get("functions") if isinstance(given, dict) else None
    return list(map(str, named)) if isinstance(named, list) else []


def _dicts(noted: object) -> list[Note]:
    """Of the stages of a run, whatever somebody noted."""
    if not (isinstance(noted, list) and all(isinstance(each, dict) for each in noted)):
        return []
    return noted


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
