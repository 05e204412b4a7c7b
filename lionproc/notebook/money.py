"""An estimate and a preview as a person reads them, in a notebook and in a terminal.

As the card they are plain tables with inline styles, and readable without any. All that comes from
cells and replies is escaped, and long texts are folded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lionproc.notebook import formatting
from lionproc.notebook.pairs import CELL, QUIET, as_lines, as_table

if TYPE_CHECKING:
    from lionproc.frame.estimate import Estimate
    from lionproc.frame.preview import TriedRow

__all__ = ["estimate_html", "estimate_text", "preview_html", "preview_text"]

FOLDED = 280  # characters of a text that are shown before a person unfolds it
LINES = 4
MOST = 20_000  # of a text that a notebook's file shall hold
# A cell's text is no mathematics, whatever signs are in it.
_BOX = "<div class='mathjax_ignore tex2jax_ignore' style='max-width:760px;margin:4px 0'>"
_NUMBERS = "font-variant-numeric:tabular-nums"


def estimate_lines(foreseen: Estimate) -> list[tuple[str, str]]:
    """An estimate as pairs of a name and a text."""
    made = [
        ("model", formatting.plain(foreseen.model)),
        ("rows", _rows(foreseen)),
        ("requests", f"{foreseen.requests:,}"),
        ("input tokens", _input(foreseen)),
        ("output tokens", _output(foreseen)),
        ("cost", _cost(foreseen)),
        ("time", _time(foreseen)),
        ("judged by", foreseen.source),
        *[("to save", formatting.plain(hint, 400)) for hint in foreseen.hints],
        ("note", _note(foreseen)),
    ]
    if not foreseen.requests:
        kept = ("model", "rows", "requests")
        made = [(name, text) for name, text in made if name in kept]
    return [(name, text) for name, text in made if text]


def _rows(foreseen: Estimate) -> str:
    parts = [f"{foreseen.rows:,}"]
    if foreseen.answered:
        parts.append(f"{foreseen.answered:,} answered by the journal")
    if foreseen.skipped:
        parts.append(f"{foreseen.skipped:,} skipped")
    shared = foreseen.rows - foreseen.answered - foreseen.skipped - foreseen.requests
    if shared > 0:
        parts.append(f"{shared:,} share the request of an equal row")
    return ", ".join(parts)


def _input(foreseen: Estimate) -> str:
    text = f"about {formatting.count(foreseen.input_tokens)}"
    if foreseen.cached_tokens is not None:
        many = formatting.count(foreseen.cached_tokens) if foreseen.cached_tokens else "none"
        text += f", {many} of them from the provider's cache"
    return text


def _output(foreseen: Estimate) -> str:
    low, high = (formatting.count(part) for part in foreseen.output_range)
    about = f"about {formatting.count(foreseen.output_tokens)}"
    return about if low == high else f"{about} ({low} to {high})"


def _cost(foreseen: Estimate) -> str:
    tier = formatting.plain(foreseen.service_tier, 40)
    if foreseen.usd is None:
        text = "unknown: no price is known for this model; lp.Price(...) gives one"
        if foreseen.usd_standard is not None:
            text = f"unknown at the tier {tier}"
    else:
        text = f"about {formatting.dollars(foreseen.usd)}"
        if foreseen.usd_range is not None:
            low, high = map(formatting.dollars, foreseen.usd_range)
            text += "" if low == high else f" ({low} to {high})"
        text += f" at the tier {tier}" if foreseen.usd_standard is not None else ""
    if foreseen.usd_standard is not None:
        text += f"; {formatting.dollars(foreseen.usd_standard)} at the standard tier"
    return text


def _time(foreseen: Estimate) -> str:
    if foreseen.minutes is None:
        return "unknown until a reply has shown how long one takes"
    least = "at least " if foreseen.seconds is None else "about "
    text = least + formatting.duration(60 * foreseen.minutes)
    if foreseen.limited_by:
        text += f", limited by {foreseen.limited_by}"
    if foreseen.seconds is not None:
        text += f" ({_short(foreseen.seconds)} a request)"
    return text


def _short(seconds: float) -> str:
    return formatting.duration(seconds) if seconds >= 0.05 else "under 0.1 s"


def _note(foreseen: Estimate) -> str:
    if foreseen.basis != "guess":
        return ""
    return "lengths are guesses; df.llm.preview(...) with the same arguments tries a few rows and measures."


def _headline(foreseen: Estimate) -> str:
    if not foreseen.requests:
        return "Estimate: nothing to send, nothing to pay"
    time = ""
    if foreseen.minutes is not None:
        least = "at least " if foreseen.seconds is None else ""
        time = f", {least}{formatting.duration(60 * foreseen.minutes)}"
    if foreseen.usd is None:
        cost = "cost unknown"
    elif foreseen.basis == "guess" and foreseen.usd_range is not None:
        cost = " to ".join(map(formatting.dollars, foreseen.usd_range)) + " by a guess"
    else:
        cost = f"about {formatting.dollars(foreseen.usd)}"
    return f"Estimate: {formatting.plural(foreseen.requests, 'request')}, {cost}{time}"


def estimate_text(foreseen: Estimate) -> str:
    """An estimate for a terminal."""
    return as_lines(_headline(foreseen), estimate_lines(foreseen))


def estimate_html(foreseen: Estimate) -> str:
    """An estimate for a notebook; everything in it is escaped."""
    return (
        f"{_BOX}"
        f"<strong>{formatting.escaped(_headline(foreseen))}</strong>{as_table(estimate_lines(foreseen))}</div>"
    )


# -- previews -----------------------------------------------------------------------------------


def preview_text(head: str, rows: Sequence[TriedRow], foreseen: Estimate) -> str:
    """A preview for a terminal.

    Args:
        head: What was done, in a line.
        rows: The rows that were tried.
        foreseen: The estimate of the rest.
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
    return "\n".join([*parts, "", f"The rest. {estimate_text(foreseen)}"])


def preview_html(head: str, rows: Sequence[TriedRow], foreseen: Estimate) -> str:
    """A preview for a notebook; everything in it is escaped, and long texts are folded.

    Args:
        head: What was done, in a line.
        rows: The rows that were tried.
        foreseen: The estimate of the rest.
    """
    shared = _shared(rows)
    blocks = _texts_html([("system", shared)]) if shared else ""
    blocks += "".join(_row_html(row, shared) for row in rows)
    return (
        f"{_BOX}"
        f"<strong>{formatting.escaped(head)}</strong>{blocks}"
        f"<div style='{_RULE};padding-top:8px;margin-top:10px'>"
        f"<div style='{QUIET}'>The rest, by what was seen</div>{estimate_html(foreseen)}</div></div>"
    )


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
        "cost unknown" if row.usd is None else formatting.dollars(row.usd),
        "" if row.seconds is None else _short(row.seconds),
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
