"""The rows that failed, for a notebook: what failed in the same way once, and its rows below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lionproc.notebook import formatting
from lionproc.notebook.pairs import BOX, CELL, QUIET

__all__ = ["errors_html"]

MOST_WAYS, MOST_ROWS = 8, 5  # ways to fail, and rows of each
_RULE = "border-top:1px solid rgba(128,128,128,.35);padding-top:6px;margin-top:8px"


def errors_html(
    ways: Sequence[tuple[int, Sequence[Mapping[Any, Any]]]], total: int, where: str = ""
) -> str:
    """Failures by kind and message; everything in it is escaped.

    Args:
        ways: The most frequent ways to fail, in their order, as many as are shown: how many rows
            failed so, and the first of them: `index`, `kind`, `message`, `hint` and `reply` of each,
            None for what is not known.
        total: How many rows failed in any way.
        where: The field that says in which column or stage, where they are of several.
    """
    blocks = "".join(_way(count, rows, where) for count, rows in ways)
    left = total - sum(count for count, _ in ways)
    if left:
        blocks += f"<div style='{_RULE};{QUIET}'>and {left:,} that failed in other ways</div>"
    head = f"{formatting.plural(total, 'row')} without an answer"
    return f"{BOX}<strong>{head}</strong>{blocks}</div>"


def _way(count: int, rows: Sequence[Mapping[Any, Any]], where: str) -> str:
    kind = formatting.safe(formatting.kind(_text(rows[0], "kind")), 40)
    message = formatting.escaped(formatting.plain(_text(rows[0], "message"), 400))
    hint = formatting.escaped(formatting.plain(_text(rows[0], "hint"), 300))
    shown, left = rows[:MOST_ROWS], count - len(rows[:MOST_ROWS])
    if any(_text(row, "reply") for row in shown):
        more = (
            f"<div style='{QUIET}'>and {formatting.plural(left, 'row')} more</div>" if left else ""
        )
        below = (
            "<table style='border:0;margin:2px 0 0;font-variant-numeric:tabular-nums'>"
            f"{''.join(_row(row, where) for row in shown)}</table>{more}"
        )
    else:
        more = f", and {formatting.plural(left, 'row')} more" if left else ""
        below = f"<div style='{QUIET}'>{', '.join(_label(row, where) for row in shown)}{more}</div>"
    return (
        f"<div style='{_RULE}'>{count:,} <b>{kind}</b> {message}"
        f"<div style='{QUIET}'>{hint}</div>{below}</div>"
    )


def _row(row: Mapping[Any, Any], where: str) -> str:
    said = formatting.plain(_text(row, "reply"), 160)
    return (
        "<tr style='background:none'>"
        f"<th scope='row' style='{CELL};font-weight:normal;white-space:nowrap;{QUIET}'>{_label(row, where)}</th>"
        f"<td style='{CELL};overflow-wrap:anywhere'>{formatting.escaped(said)}</td></tr>"
    )


def _label(row: Mapping[Any, Any], where: str) -> str:
    place = f" · {formatting.plain(row[where], 60)}" if where else ""
    return formatting.escaped(f"row {formatting.plain(row['index'], 60)}{place}")


def _text(row: Mapping[Any, Any], name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
