"""A preview as a person reads it: the rows that were tried, each with what went out and came back.

All that comes from cells and replies is escaped, and long texts are folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from lionproc.notebook import formatting
from lionproc.notebook.pairs import BOX, CELL, QUIET

__all__ = ["TriedRow", "preview_html", "preview_text"]

FOLDED = 280  # characters of a text that are shown before a person unfolds it
LINES = 4
MOST = 20_000  # of a text that a notebook's file shall hold


@dataclass(frozen=True, slots=True)
class TriedRow:
    """One question that was asked for real.

    Attributes:
        label: The row's, in the frame's index.
        prompt: What was asked, as text.
        reply: What the model wrote, as it came; None where nothing came.
        answer: The value that was read from it, None where there is none.
        tokens: Tokens read and written, questions asked again included.
        usd: What it cost when it was bought, in dollars; None where that is not known.
        seconds: How long its requests took.
        error: Why there is no answer.
        into: The column of the answer.
        system: The system prompt of `prompt`, as text; empty where it has none.
        asked: The rest of it.
        requests: How many it took.
        note: What stands in place of numbers: that it was skipped, or shares a request.
    """

    label: str
    prompt: str
    reply: str | None
    answer: Any
    tokens: int | None
    usd: float | None
    seconds: float | None
    error: str | None
    into: str
    note: str = ""
    system: str = ""
    asked: str = ""
    requests: int = 0

    @property
    def error_kind(self) -> str:
        """How it failed, in a word or two; empty where it did not."""
        return (self.error or "").partition(":")[0]

    @property
    def answer_text(self) -> str:
        """The answer as text, empty where there is none."""
        if self.answer is None:
            return ""
        if isinstance(self.answer, str):
            return self.answer
        return orjson.dumps(self.answer, default=str).decode()


def preview_text(head: str, rows: Sequence[TriedRow], rest: str) -> str:
    """A preview for a terminal.

    Args:
        head: What was done, in a line.
        rows: The rows that were tried.
        rest: The estimate of the rest, as text.
    """
    shared = _shared(rows)
    parts = [head, *([f"  system  {formatting.plain(shared, 300)}"] if shared else [])]
    for row in rows:
        parts.append(f"\nrow {formatting.plain(row.label, 60)}  {_facts(row)}")
        parts += [
            f"  {name:<6}  {formatting.plain(_ends(text, 300), 300)}"
            for name, text in _texts(row, shared)
            if text
        ]
    return "\n".join([*parts, "", f"The rest. {rest}"])


def preview_html(head: str, rows: Sequence[TriedRow], rest: str) -> str:
    """A preview for a notebook; everything in it is escaped, and long texts are folded.

    Args:
        head: What was done, in a line.
        rows: The rows that were tried.
        rest: The estimate of the rest, as HTML.
    """
    shared = _shared(rows)
    blocks = _texts_html([("system", shared)]) if shared else ""
    blocks += "".join(_row_html(row, shared) for row in rows)
    return (
        f"{BOX}"
        f"<strong>{formatting.escaped(head)}</strong>{blocks}"
        f"<div style='{_RULE};padding-top:8px;margin-top:10px'>"
        f"<div style='{QUIET}'>The rest, by what was seen</div>{rest}</div></div>"
    )


_NUMBERS = "font-variant-numeric:tabular-nums"
_RULE = "border-top:1px solid rgba(128,128,128,.35)"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere"


def _shared(rows: Sequence[TriedRow]) -> str:
    """The system prompt, where all rows have the same: it is shown once."""
    told = {row.system for row in rows if row.prompt}
    return told.pop() if len(told) == 1 else ""


def _texts_html(texts: Sequence[tuple[str, str]]) -> str:
    cells = "".join(
        "<tr style='background:none'>"
        f"<th scope='row' style='{CELL};width:64px;font-weight:normal;{QUIET}'>{name}</th>"
        f"<td style='{CELL};padding-right:0;{_style(name)}'>{_folded(text)}</td></tr>"
        for name, text in texts
        if text
    )
    return (
        f"<table style='border:0;margin:2px 0 0;width:100%;table-layout:fixed;{_NUMBERS}'>"
        f"{cells}</table>"
    )


def _row_html(row: TriedRow, shared: str) -> str:
    return (
        f"<div style='{_RULE};padding-top:6px;margin-top:8px;{_NUMBERS}'>"
        "<div style='display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.93em'>"
        f"<span>row {formatting.escaped(formatting.plain(row.label, 60))}</span>"
        f"<span style='{QUIET}'>{formatting.escaped(_facts(row))}</span></div>"
        f"{_texts_html(_texts(row, shared))}</div>"
    )


def _style(name: str) -> str:
    if name == "answer":
        return "font-weight:600"
    return "color:var(--jp-error-color1,#d64545)" if name == "error" else ""


def _ends(text: str, most: int) -> str:
    """The beginning and the end of a text: what differs between rows may stand at either."""
    flat = formatting.plain(text, len(text) + 1)
    return flat if len(flat) <= most else f"{flat[: most // 2]} … {flat[-most // 2 + 3 :]}"


def _facts(row: TriedRow) -> str:
    parts = [
        formatting.plural(row.requests, "request") if row.requests > 1 else "",
        "tokens unknown" if row.tokens is None else formatting.plural(row.tokens, "token"),
        "cost unknown" if row.usd is None else formatting.fine_dollars(row.usd),
        "" if row.seconds is None else formatting.short_duration(row.seconds),
    ]
    return row.note or " · ".join(part for part in parts if part)


def _texts(row: TriedRow, shared: str) -> list[tuple[str, str]]:
    reply = row.reply or ""
    return [
        ("system", "" if row.system == shared else row.system),
        ("prompt", row.asked),
        ("reply", "" if reply.strip() == row.answer_text.strip() else reply),
        ("answer", row.answer_text),
        ("error", row.error or ""),
    ]


def _folded(text: str) -> str:
    """A text as HTML, behind its beginning where it is long."""
    cut = len(text) - MOST
    lines = [formatting.plain(line, MOST) for line in text[:MOST].splitlines()]
    if cut > 0:
        lines.append(f"… and {cut:,} characters more")
    whole = formatting.escaped("\n".join(lines))
    if len(text) <= FOLDED and len(lines) <= LINES:
        return f"<div style='{_TEXT}'>{whole}</div>"
    start = _ends(" ".join(lines), FOLDED // 2)
    return (
        f"<details><summary style='cursor:pointer;overflow-wrap:anywhere'>{formatting.escaped(start)} "
        f"<span style='{QUIET}'>{len(text):,} characters</span></summary>"
        f"<div style='{_TEXT};margin:4px 0 4px 12px'>{whole}</div></details>"
    )
