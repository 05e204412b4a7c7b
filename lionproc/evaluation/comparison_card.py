"""A comparison as a person reads it: who is ahead, whether that is luck, and where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lionproc.evaluation.compared import Compared
from lionproc.evaluation.mcnemar import NO_SIGN, Pair
from lionproc.evaluation.tables import (
    GREEN,
    HEAD,
    RED,
    Body,
    Row,
    between,
    interval_bar,
    number,
    percent,
    table_html,
    table_text,
)
from lionproc.evaluation.variants import difference
from lionproc.frame.cell import is_missing
from lionproc.notebook.formatting import dollars, duration, escaped, plain, plural, short_duration
from lionproc.notebook.pairs import BOX, CELL, NOTE, QUIET, as_lines, as_table

__all__ = ["as_html", "as_text", "headline", "pairs"]

MOST = 12  # variants of the table
MOST_PAIRS = 4
MOST_ROWS = 5
_SHOWN = "–"  # noqa: RUF001  (nothing to show)


def headline(made: Compared) -> str:
    """The comparison in one line."""
    variants = plural(len(made.variants), "variant")
    if made.gold is None:
        if len(made.variants) == 1:
            return f"lionproc: {variants} on {plural(len(made.frame), 'row')}, without gold"
        rows = len(made.disagreements)
        of = f"{rows:,} of {plural(len(made.frame), 'row')}"
        if not rows:
            return f"lionproc: {variants} answer all of {plural(len(made.frame), 'row')} alike"
        return f"lionproc: {variants} answer {of} differently"
    best = made.best
    if best is None:
        return f"lionproc: none of {variants} has an answer"
    row: Any = made.table.loc[best]
    if "mae" in made.table:
        how = f"{plain(best, 60)} is off by {number(row['mae'])} on average"
    else:
        how = f"{plain(best, 60)} is right in {percent(row['accuracy'])} of {plural(int(row['answered']), 'answer')}"
    if len(made.variants) == 1:
        return f"lionproc: {how}"
    against = [pair for pair in made.pairs if best in {pair.a, pair.b}]
    if not against:
        return f"lionproc: {how}; no other has an answer"
    if all(pair.is_sure for pair in against):
        return f"lionproc: {how}, and better than all others"
    if any(pair.is_sure for pair in against):
        sure = sum(pair.is_sure for pair in against)
        return f"lionproc: {how}; better than {sure} of {len(against)} others, the rest may be luck"
    return f"lionproc: {how}, which may be luck"


def pairs(made: Compared) -> list[tuple[str, str]]:
    """What is said above the table."""
    stats = made.stats
    by = plain(made.gold, 60)
    if made.gold is None:
        by = "each other" if len(made.variants) > 1 else ""
    cost = "" if stats.usd is None else dollars(stats.usd)
    if stats.usd is None and stats.tokens:
        cost = "not known of all (Model(..., price=lp.Price(...)) sets a price)"
    if cost and stats.cached:
        cost += f" for what was sent now; {plural(stats.cached, 'answer')} from the journal"
    told = [
        ("answers", plain(made.called, 60) + (f", compared with {by}" if by else "")),
        ("sample", made.drawn),
        ("cost", cost),
        ("time", f"{duration(stats.elapsed_s)}, all at the same time"),
        ("note", plain(stats.note, 300) if stats.state != "done" else ""),
    ]
    return [(name, text) for name, text in told if text]


def _table(made: Compared) -> tuple[Row, Body, list[str], list[str]]:
    """Heads, rows, a bar for each, and what is said below."""
    order = made.ranked[:MOST]
    table = made.table.loc[order]
    heads, columns = ["variant"], [[plain(name, 40) for name in order]]
    bars: list[str] = []

    def add(head: str, texts: Sequence[str]) -> None:
        heads.append(head)
        columns.append(list(texts))

    for name, head, told in (
        ("mae", "off by", number),
        ("r", "r", number),
        ("precision", "precision", percent),
        ("recall", "recall", percent),
        ("accuracy", "accuracy", percent),
        ("agreement", "agrees", percent),
    ):
        if name in table:
            add(head, [_SHOWN if pd.isna(each) else told(each) for each in table[name]])
    if "low" in table:
        ends = list(zip(table["low"], table["accuracy"], table["high"], strict=True))
        add("95 % interval", ["" if pd.isna(low) else between(low, high) for low, _, high in ends])
        bars = ["" if pd.isna(low) else interval_bar(low, mid, high) for low, mid, high in ends]
    add(
        "$ per 1,000",
        [_SHOWN if pd.isna(each) else dollars(each) for each in table["usd_per_1000"]],
    )
    add("per row", [_SHOWN if pd.isna(each) else short_duration(each) for each in table["seconds"]])
    some_missing = (table["answered"] < table["n"]).any()
    if some_missing:
        add(
            "answered",
            [f"{a:,} of {n:,}" for a, n in zip(table["answered"], table["n"], strict=True)],
        )
    below = [f"{len(made.variants) - MOST:,} more in .table"] if len(made.variants) > MOST else []
    if "accuracy" in table and some_missing:
        below.append("accuracy: of the answers; which is best counts a missing one as wrong")
    if "mae" in table and some_missing:
        below.append(
            "off by: of the answers; which is best counts a missing one as the median of the gold"
        )
    return heads, list(zip(*columns, strict=True)), bars, below


def _luck(made: Compared) -> list[Pair]:
    """The pairs that are worth a sentence: those of the best one, in the order of the table."""
    best = made.best
    found = [pair for pair in made.pairs if best in {pair.a, pair.b}]
    order = made.ranked
    found.sort(key=lambda pair: order.index(pair.b if pair.a == best else pair.a))
    return found[:MOST_PAIRS]


def _failures(made: Compared) -> list[tuple[str, str]]:
    """What went wrong, and where: once for all variants to which the same happened."""
    of: dict[str, list[str]] = {}
    for name, text in made.table["error"].dropna().items():
        of.setdefault(plain(text, 300), []).append(plain(name, 40))
    return [(", ".join(names), text) for text, names in of.items()]


def _more(made: Compared) -> str:
    rows = len(made.disagreements)
    parts = (
        [f".disagreements has the {plural(rows, 'row')} they answer differently"] if rows else []
    )
    if len(made.pairs) > MOST_PAIRS:
        parts.append(f".tests all {len(made.pairs):,} pairs")
    if len({v.prompt_name for v in made.asked.values()}) > 1:
        parts.append(".diff(a, b) what the prompts say differently")
    parts.append(".use(name) asks about all rows")
    return ", ".join(parts)


def as_text(made: Compared) -> str:
    """The comparison for a terminal."""
    heads, rows, _, below = _table(made)
    lines = [as_lines(headline(made), pairs(made)), "", *table_text(heads, rows)]
    lines += [f"  {text}" for text in below]
    for title, told in (("better, or luck?", [pair.words for pair in _luck(made)]),):
        lines += ["", f"  {title}", *(f"    {text}" for text in told)] if told else []
    failed = _failures(made)
    lines += (
        ["", "  without an answer", *(f"    {name}: {text}" for name, text in failed)]
        if failed
        else []
    )
    return "\n".join([*lines, "", f"  {_more(made)}"])


def as_html(made: Compared) -> str:
    """The comparison for a notebook; everything in it is escaped."""
    heads, rows, bars, below = _table(made)
    parts = [
        f"{BOX}<strong>{escaped(headline(made))}</strong>",
        as_table(pairs(made)),
        table_html(heads, rows, bars, below, first=220),
        _sentences("Better, or luck?", [(_mark(pair), pair.words) for pair in _luck(made)]),
        _sentences("Without an answer", _failures(made)),
        _rows(made),
        _prompts(made),
        f"<div style='margin-top:8px;{NOTE}'>{escaped(_more(made))}</div></div>",
    ]
    return "".join(parts)


def _mark(pair: Pair) -> str:
    if pair.is_sure:
        return "better"
    return "no difference" if pair.p_all >= NO_SIGN else "not sure"


def _title(text: str) -> str:
    return f"<div style='margin-top:12px;font-weight:600'>{escaped(text)}</div>"


def _sentences(title: str, told: Sequence[tuple[str, str]]) -> str:
    if not told:
        return ""
    rows = "".join(
        "<tr style='background:none'>"
        f"<th scope='row' style='{CELL};font-weight:normal;min-width:90px;{QUIET}'>{escaped(name)}"
        f"</th><td style='{CELL}'>{escaped(text)}</td></tr>"
        for name, text in told
    )
    return f"{_title(title)}<table style='border:0;margin:2px 0 0'>{rows}</table>"


def _rows(made: Compared) -> str:
    """The rows where they differ most, with what each says: green where it is right."""
    names: list[Any] = [each.columns[0] for each in made.sheet.answers if len(each.columns) == 1]
    there = made.table["answered"].gt(0)
    names = [name for name in made.ranked if name in names and there[name]][:6]
    table = made.disagreements
    if not len(table) or len(names) < 2:
        return ""
    read: list[Any] = [name for name in made.read if name != made.gold][:1]
    gold = [] if made.gold is None else [made.gold]
    heads = "".join(
        f"<th scope='col' style='{HEAD};text-align:left;white-space:normal;max-width:130px;"
        f"vertical-align:bottom;padding-left:8px'>{escaped(plain(name, 40))}</th>"
        for name in [*read, *gold, *names]
    )
    right = {name: made.sheet.right(str(name)) for name in names} if gold else {}
    body = ""
    for place in made.sheet.disagreements()[:MOST_ROWS].tolist():
        row = made.frame.iloc[place]
        cells = [_cell(row[name], 90, wide=True) for name in read]
        cells += [_cell(row[name], 30) for name in gold]
        for name in names:
            color = "" if not gold else GREEN if right[name][place] else RED
            cells.append(_cell(row[name], 30, color="" if is_missing(row[name]) else color))
        body += f"<tr style='background:none'>{''.join(cells)}</tr>"
    title = f"Where they differ: {min(MOST_ROWS, len(table)):,} of {plural(len(table), 'row')}"
    return (
        f"{_title(title)}<div style='overflow-x:auto'>"
        "<table style='border:0;margin:2px 0 0;border-collapse:separate;border-spacing:2px'>"
        f"<thead><tr style='background:none'>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any, most: int, *, wide: bool = False, color: str = "") -> str:
    text = "no answer" if is_missing(value) else plain(value, most)
    background = f"rgba({color},.2)" if color else "none"
    width = "min-width:160px;max-width:300px" if wide else "white-space:nowrap"
    quiet = f";{QUIET}" if is_missing(value) else ""
    return (
        f"<td style='padding:3px 8px;border:0;border-radius:2px;text-align:left;vertical-align:top;"
        f"background:{background};{width}{quiet}'>{escaped(text)}</td>"
    )


def _prompts(made: Compared) -> str:
    """What two prompts say differently, folded."""
    of_each = {variant.prompt_name: variant for variant in made.asked.values()}
    if len(of_each) != 2:
        return ""
    first, second = of_each.values()
    shown = difference(first, second)._repr_html_()
    return (
        "<details style='margin-top:12px'><summary>What the prompts say differently</summary>"
        f"{shown}</details>"
    )
