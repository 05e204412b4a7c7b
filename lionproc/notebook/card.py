"""What is left of a run when it has ended: a summary that reads well anywhere."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from lionproc.engine.stats import RunStats


def lines(stats: RunStats, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as pairs of a name and a text."""
    rows = [f"{stats.answered:,} of {stats.rows:,} answered"]
    for count, word in (
        (stats.cached, "from the journal"),
        (stats.skipped, "skipped"),
        (stats.failed, "failed"),
    ):
        if count:
            rows.append(f"{count:,} {word}")
    made = [("model", f"{facts.get('provider', '')}/{facts.get('model', '')}".strip("/"))]
    made.append(("rows", ", ".join(rows)))
    requests = f"{stats.sent:,}"
    if stats.retried:
        requests += f", {stats.retried:,} of them again"
    if stats.throttled:
        requests += f", {stats.throttled:,} refused with 429"
    made.append(("requests", requests))
    made.append(("tokens", f"{stats.prompt_tokens:,} read, {stats.completion_tokens:,} written"))
    if stats.usd is not None:
        made.append(("cost", f"${stats.usd:,.4f}"))
    made.append(("time", f"{stats.elapsed_s:,.1f} s"))
    if stats.errors:
        made.append(("errors", ", ".join(f"{n:,} {kind}" for kind, n in stats.errors.items())))
    if stats.note:
        made.append(("note", stats.note))
    return made


def as_text(stats: RunStats, facts: Mapping[str, Any]) -> str:
    """The summary for a terminal."""
    pairs = lines(stats, facts)
    width = max(len(name) for name, _ in pairs)
    return "\n".join([f"lionproc: {stats.state}"] + [f"  {n:<{width}}  {t}" for n, t in pairs])


def as_html(stats: RunStats, facts: Mapping[str, Any]) -> str:
    """The summary for a notebook; everything in it is escaped."""
    cells = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(text)}</td></tr>"
        for name, text in lines(stats, facts)
    )
    return f"<table><caption>lionproc: {html.escape(stats.state)}</caption>{cells}</table>"
