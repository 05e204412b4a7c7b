"""Tables, numbers and intervals of the cards about quality, as text and as HTML.

All texts are escaped; everything has inline styles, as `notebook/pairs.py` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pandas as pd

from lionproc.notebook.formatting import escaped
from lionproc.notebook.pairs import NOTE, QUIET

__all__ = [
    "GREEN",
    "HEAD",
    "RED",
    "Body",
    "Row",
    "between",
    "interval_bar",
    "number",
    "percent",
    "table_html",
    "table_text",
]

BLUE, GREEN, RED = "47,129,214", "46,158,91", "214,69,69"
HEAD = (
    f"white-space:nowrap;padding:2px 10px 2px 0;border:0;background:none;font-weight:normal;{QUIET}"
)
_CELL = "padding:2px 10px 2px 0;border:0;background:none;white-space:nowrap"

Row: TypeAlias = Sequence[str]
Body: TypeAlias = list[Row]


def percent(share: float | None) -> str:
    """A share in percent with one digit; never 100 % before it is whole, nor 0 % above nothing."""
    if share is None or pd.isna(share):
        return "unknown"
    tenths = round(share * 1000)
    tenths = min(tenths, 999) if share < 1 else tenths
    tenths = max(tenths, 1) if share > 0 else tenths
    return f"{tenths / 10:.1f} %" if 0 < tenths < 1000 else f"{tenths // 10} %"


def between(low: float, high: float) -> str:
    """An interval in percent."""
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def number(value: float | None) -> str:
    """A number with three digits that matter."""
    return "unknown" if value is None or pd.isna(value) else f"{value:.3g}"


def table_text(heads: Row, rows: Sequence[Row]) -> list[str]:
    """A table for a terminal, line by line."""
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    return [
        "  "
        + "  ".join(
            text.rjust(width) if place else text.ljust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]


def interval_bar(low: float, middle: float, high: float, before: float | None = None) -> str:
    """An interval between 0 and 1, its middle, and a faint mark of what was there before."""
    mark = (
        f"<div style='position:absolute;left:calc({100 * before:.1f}% - 1px);top:1px;bottom:1px;"
        "width:2px;background:rgba(128,128,128,.8)'></div>"
        if before is not None
        else ""
    )
    return (
        "<div style='position:relative;width:80px;height:12px;border-radius:2px;"
        "background:rgba(128,128,128,.14)'>"
        f"<div style='position:absolute;left:{100 * low:.1f}%;width:{max(1.0, 100 * (high - low)):.1f}%;"
        f"top:3px;bottom:3px;border-radius:2px;background:rgba({BLUE},.45)'></div>{mark}"
        f"<div style='position:absolute;left:calc({100 * middle:.1f}% - 1px);top:0;bottom:0;width:3px;"
        f"background:rgb({BLUE})'></div></div>"
    )


def table_html(
    heads: Row,
    rows: Sequence[Row],
    bars: Sequence[str] = (),
    below: Sequence[str] = (),
    *,
    first: int = 120,
) -> str:
    """A table for a notebook, with a bar behind each row, and what is said below it.

    Args:
        heads: What stands above the columns.
        rows: The cells.
        bars: HTML, made by `interval_bar`.
        below: Sentences.
        first: The most pixels of the first column, which breaks its lines.
    """

    def side(place: int) -> str:
        left = f"text-align:left;white-space:normal;min-width:60px;max-width:{first}px"
        return "text-align:right" if place else left

    head = "".join(
        f"<th scope='col' style='{HEAD};{side(place)}'>{escaped(text)}</th>"
        for place, text in enumerate(heads)
    )
    body = "".join(
        "<tr style='background:none'>"
        + "".join(
            f"<td style='{_CELL};{side(place)}'>{escaped(text)}</td>"
            for place, text in enumerate(row)
        )
        + (f"<td style='{_CELL}'>{bars[place]}</td>" if bars else "")
        + "</tr>"
        for place, row in enumerate(rows)
    )
    return (
        "<div style='overflow-x:auto'>"
        "<table style='border:0;margin:10px 0 0;font-variant-numeric:tabular-nums'>"
        f"<thead><tr style='background:none'>{head}</tr></thead><tbody>{body}</tbody></table>"
        "</div>" + "".join(f"<div style='{NOTE}'>{escaped(text)}</div>" for text in below)
    )
