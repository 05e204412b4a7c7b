"""`report.to_html(path)`: a run on one page, to mail to a colleague.

The page holds numbers, the names of the model and of the new columns, and nothing else: what was
asked and what rows say is in it only where that is asked for. It loads nothing and runs nothing.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lionproc.engine.stats import RunStats
from lionproc.notebook import formatting
from lionproc.notebook.card import headline
from lionproc.reports.charts import charts_of
from lionproc.reports.svg import svg

__all__ = ["page"]

_OURS = ("model", "rows", "stage", "by", "requests", "tokens", "cost", "savings", "when", "time", "latency",
         "limit", "errors", "retries")  # fmt: skip
_MOST_ERRORS = 200
_FOLDED = 600  # characters of a text that are shown before a person unfolds it

_CSS = """
:root{color-scheme:light dark;--text:#1d2127;--quiet:#5b626c;--faint:#d9dde3;--back:#fff;
--main:#1f6fc4;--other:#b86e0a;--bad:#c23434}
@media (prefers-color-scheme:dark){:root{--text:#e4e7eb;--quiet:#9aa2ad;--faint:#343a42;
--back:#15181c;--main:#5ea7ee;--other:#e0a047;--bad:#ef6b6b}}
body{margin:0 auto;padding:28px 20px 48px;max-width:920px;background:var(--back);
color:var(--text);font:15px/1.5 system-ui,sans-serif;font-variant-numeric:tabular-nums}
h1{font-size:22px;margin:0 0 2px}h2{font-size:16px;margin:30px 0 8px}
p{margin:0;color:var(--quiet)}pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:0;
padding:10px 12px;border:1px solid var(--faint);border-radius:6px;font-size:13px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(130px,1fr));gap:12px 20px;
margin:20px 0 4px}.tiles div{border-top:2px solid var(--faint);padding-top:6px}
.tiles b{display:block;font-size:22px;font-weight:600}.tiles span{color:var(--quiet);font-size:13px}
.bar{display:flex;gap:2px;height:6px;border-radius:3px;overflow:hidden;margin:14px 0 0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;
padding:4px 16px 4px 0;font-weight:400;border-bottom:1px solid var(--faint)}
th{color:var(--quiet);white-space:nowrap}td.n,th.n{text-align:right;padding-right:8px}
td{overflow-wrap:anywhere}.wide{overflow-x:auto}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(380px,100%),1fr));gap:0 40px}
summary{cursor:pointer;overflow-wrap:anywhere}.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(380px,100%),1fr));gap:22px 28px}
figure{margin:0}figcaption{font-size:13px;color:var(--quiet);display:flex;flex-wrap:wrap;gap:0 12px}
figcaption b{color:var(--text)}figcaption span[class]::before{content:"";display:inline-block;
width:14px;border-top:2px solid;vertical-align:4px;margin-right:5px}
figcaption .main{color:var(--main)}figcaption .other{color:var(--other)}
figcaption .bad{color:var(--bad)}figcaption .limit::before{border-top-style:dashed}
svg{width:100%;height:auto;display:block;margin-top:4px}svg text{font-size:10.5px;fill:var(--quiet)}
svg path{fill:none;stroke-width:1.7;stroke-linejoin:round;stroke-linecap:round}
.grid{stroke:var(--faint)}svg .grid{stroke-width:1}svg .main{stroke:var(--main)}
svg .other{stroke:var(--other)}svg .bad{stroke:var(--bad)}
svg .limit{stroke:var(--quiet);stroke-dasharray:5 4}
@media print{body{padding:0}}
"""


def page(
    stats: RunStats,
    facts: Mapping[str, Any],
    *,
    pairs: Sequence[tuple[str, str]],
    over_time: Sequence[Mapping[str, Any]],
    stand_out: Mapping[str, pd.DataFrame],
    failures: pd.DataFrame | None,
    saved: float,
    asked: bool,
) -> str:
    """The page.

    Args:
        stats: The run.
        facts: What else is known of it, by name.
        pairs: The report in words; those that name places and texts are left out.
        over_time: Its points.
        stand_out: Rows that stand out, by what they are.
        failures: The rows that failed, where texts of rows may be seen; else None.
        saved: Dollars that were saved.
        asked: Whether what was asked is in it: prompt, system prompt and schema.
    """
    cells = failures is not None
    tables = "".join(_rows(title, rows, labels=cells) for title, rows in stand_out.items())
    parts = [
        f"<h1>{_safe(headline(stats))}</h1><p>{_safe(_columns(facts))}</p>",
        _bar(stats),
        _tiles(stats, saved),
        f"<h2>In numbers</h2>{_pairs([pair for pair in pairs if pair[0] in _OURS])}",
        _asked(facts) if asked else "",
        _charts(over_time),
        f"<div class='two'>{tables}</div>" if tables else "",
        "" if failures is None else _errors(failures),
        f"<p style='margin-top:28px'>{_left_out(asked=asked, cells=cells)}</p>",
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{_safe(headline(stats))}</title><style>{_CSS}</style></head>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _safe(text: object, most: int = 400) -> str:
    return html.escape(formatting.plain(text, most))


def _columns(facts: Mapping[str, Any]) -> str:
    names = [formatting.plain(name, 60) for name in facts.get("answers", ())]
    made = ", ".join(names[:6]) + ", ..." * (len(names) > 6)
    model = formatting.model_name(facts)
    return f"The answers of {model} in {made}" if made else model


def _bar(stats: RunStats) -> str:
    parts = (
        (stats.answered + stats.skipped, "#2e9e5b"),
        (stats.failed, "var(--bad)"),
        (stats.left, "var(--faint)"),
    )
    pieces = "".join(f"<i style='flex:{n};background:{color}'></i>" for n, color in parts if n)
    return f"<div class='bar'>{pieces}</div>"


def _tiles(stats: RunStats, saved: float) -> str:
    cost = "unknown" if stats.usd is None else formatting.dollars(stats.usd)
    shown = [
        (f"{stats.answered:,}", f"of {stats.rows:,} rows answered"),
        (cost, "spent by this run"),
        (formatting.duration(stats.elapsed_s), "from start to end"),
        (f"{stats.sent:,}", "requests"),
    ]
    if saved > 0:
        shown.append((formatting.dollars(saved), "saved"))
    if stats.failed:
        shown.append((f"{stats.failed:,}", "rows failed"))
    tiles = (f"<div><b>{_safe(big)}</b><span>{_safe(small)}</span></div>" for big, small in shown)
    return f"<div class='tiles'>{''.join(tiles)}</div>"


def _pairs(pairs: Sequence[tuple[str, str]]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{_safe(name)}</th><td>{_safe(text, 1000)}</td></tr>"
        for name, text in pairs
    )
    return f"<table>{rows}</table>"


def _asked(facts: Mapping[str, Any]) -> str:
    made = []
    for name in ("system", "prompt", "schema"):
        text = str(facts.get(name) or "")
        shown = f"<pre>{html.escape(text)}</pre>"
        if len(text) > _FOLDED:
            first = _safe(formatting.first_line(text))
            shown = (
                f"<details><summary>{first} ({len(text):,} characters)</summary>{shown}</details>"
            )
        made += [f"<h2>{name.capitalize()}</h2>{shown}"] if text else []
    return "".join(made)


def _charts(points: Sequence[Mapping[str, Any]]) -> str:
    if len(points) < 2:
        return ""
    seconds = [point["seconds"] for point in points]
    drawn = "".join(svg(chart, seconds) for chart in charts_of(points) if chart.lines)
    return f"<h2>Over time</h2><div class='charts'>{drawn}</div>"


def _rows(title: str, found: pd.DataFrame, *, labels: bool) -> str:
    """Rows that stand out, by their position; by their label where that may be seen."""
    if not len(found):
        return ""
    rows = found.to_dict("records")
    names = ["position", *(["index"] if labels else []), "seconds", "usd", "tokens", "attempts"]
    head = "".join(f"<th scope='col'{_side(name)}>{_HEADS[name]}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td{_side(name)}>{_cell(name, row)}</td>' for name in names)}</tr>"
        for row in rows
    )
    return (
        f"<div class='wide'><h2>{title}</h2><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


_HEADS = {"position": "row number", "index": "label", "seconds": "time", "usd": "cost",
          "tokens": "tokens", "attempts": "requests"}  # fmt: skip


def _side(name: str) -> str:
    return "" if name == "index" else " class='n'"


def _cell(name: str, row: Mapping[Any, Any]) -> str:
    value = row[name]
    if name == "index":
        return _safe(value, 60)
    if name == "seconds":
        return _safe(formatting.duration(value))
    if name == "usd":
        return "unknown" if pd.isna(value) else _safe(formatting.fine_dollars(value))
    return f"{value:,}"


def _errors(failures: pd.DataFrame) -> str:
    rows = failures.to_dict("records")
    if not rows:
        return ""
    body = "".join(
        f"<tr><td class='n'>{row['position']:,}</td><td>{_safe(row['index'], 60)}</td>"
        f"<td>{_safe(formatting.kind(row['kind']))}</td><td>{_safe(row['message'])}"
        f"{_said(row.get('reply'))}</td></tr>"
        for row in rows[:_MOST_ERRORS]
    )
    more = len(rows) - _MOST_ERRORS
    return (
        "<h2>Rows without an answer</h2><div class='wide'><table><thead><tr><th class='n'>row number</th>"
        f"<th>label</th><th>kind</th><th>message</th></tr></thead><tbody>{body}</tbody></table></div>"
        + (f"<p>and {more:,} more</p>" if more > 0 else "")
    )


def _said(reply: Any) -> str:
    return f"<p>The model said: {_safe(reply)}</p>" if isinstance(reply, str) and reply else ""


def _left_out(*, asked: bool, cells: bool) -> str:
    missing = [
        *([] if asked else ["what was asked"]),
        *([] if cells else ["the texts of rows"]),
    ]
    left_out = f" {' and '.join(missing).capitalize()} left out." if missing else ""
    return f"Made by lionproc.{left_out}"
