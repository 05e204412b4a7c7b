"""A score as a person reads it: one line that says it, then by label, by slice and the confusion.

All labels are escaped; everything has inline styles, as `notebook/pairs.py` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from lionproc.evaluation.scored import Scored, most_frequent
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
from lionproc.frame.cell import is_missing
from lionproc.notebook.card import bar_of
from lionproc.notebook.formatting import escaped, plain, plural, safe
from lionproc.notebook.pairs import BOX, as_lines, as_table

__all__ = ["as_html", "as_text", "headline", "pairs"]

MOST = 12  # rows of a table on the card
MOST_CONFUSED = 8


def headline(score: Scored) -> str:
    """The score in one line."""
    if not score.n:
        return f"lionproc: no answer to score, {plural(score.missing, 'row')} with gold have none"
    of = plural(score.n, "answer")
    if score.measure == "numbers":
        return f"lionproc: off by {number(score.mae)} on average, {of}"
    if score.measure == "lists" and score.table is not None and not score.table.empty:
        return (
            f"lionproc: {percent(score.recall)} of the items found, {percent(score.precision)} "
            f"of what was answered is right, {of}"
        )
    if score.weighted:
        return f"lionproc: {percent(score.accuracy)} right, judged by {of} of a review"
    return f"lionproc: {percent(score.accuracy)} of {of} right"


def pairs(score: Scored) -> list[tuple[str, str]]:
    """The score as pairs of a name and a text."""
    without = score.rows - score.n - score.missing - (score.examples or 0)
    rows = [f"{score.n:,} with gold and an answer"]
    if score.missing:
        rows.append(f"{score.missing:,} with gold and no answer")
    rows.append(f"{without:,} without gold" if without else "none without gold")
    if score.examples:
        rows.append(
            f"{plural(score.examples, 'example')} left out, as the model was shown the answer"
        )
    if score.examples is None:
        rows.append("examples not left out: which rows they are is not known in this session")
    if score.not_found:
        rows.append(
            f"{plural(score.not_found, 'row')} of the review not in this frame, or like several of its rows"
        )
    made = [
        ("answers", f"{plain(score.into, 80)}, compared with {plain(score.gold, 80)}"),
        ("rows", ", ".join(rows)),
        (_ACCURACY[score.measure], _accuracy(score)),
        ("weighted", _WEIGHTED if score.weighted else ""),
        ("kappa", _kappa(score)),
        ("F1", _f1(score)),
        ("error", _error(score)),
        ("r", "" if score.r is None else f"{score.r:.3f} (Pearson)"),
        ("mistakes", _mistakes(score)),
        ("by itself", _by_itself(score)),
        ("more", _more(score)),
    ]
    return [(name, text) for name, text in made if text]


_WEIGHTED = (
    "each row counts for as many as it stands for, as the review drew unsure and rare ones more "
    "often; the interval takes that into account"
)
_ACCURACY = {"labels": "accuracy", "lists": "all right", "numbers": ""}


def _accuracy(score: Scored) -> str:
    if score.interval is None:
        return ""
    text = f"{percent(score.accuracy)} (95 % interval {between(*score.interval)})"
    if score.missing:
        text += f", {percent(score.accuracy_with_missing)} with missing answers as wrong"
    return text


def _kappa(score: Scored) -> str:
    if score.kappa is None:
        return ""
    return f"{score.kappa:.3f} (1 is full agreement, 0 what chance gives)"


def _f1(score: Scored) -> str:
    if score.f1 is None:
        return ""
    return (
        f"{score.f1:.3f}, {'mean of the labels' if score.measure == 'labels' else 'of all items'}"
    )


def _error(score: Scored) -> str:
    if score.mae is None:
        return ""
    bias = score.bias or 0.0
    side = f"{number(abs(bias))} too {'high' if bias > 0 else 'low'} on average" if bias else ""
    parts = [f"mean absolute {number(score.mae)}", f"root mean square {number(score.rmse)}", side]
    return ", ".join(part for part in parts if part)


def _mistakes(score: Scored) -> str:
    """The three most frequent, of labels."""
    if score.confusion is None:
        return ""
    table = score.confusion.to_numpy()
    found = [
        (int(table[gold, said]), gold, said) for gold, said in zip(*table.nonzero(), strict=True)
    ]
    worst = sorted((each for each in found if each[1] != each[2]), key=lambda each: -each[0])[:3]
    labels = [plain(label, 40) for label in score.confusion.index]
    return ", ".join(f"{n:,} {labels[gold]} taken for {labels[said]}" for n, gold, said in worst)


def _by_itself(score: Scored) -> str:
    """How many rows need no look."""
    cover = score.coverage
    if cover is None:
        return ""
    wanted = percent(cover.accuracy)
    if cover.threshold is None or cover.interval is None:
        return f"no confidence is high enough for {wanted} right: look at all rows"
    seen = f"{percent(cover.seen)} of {cover.n:,} with gold right, {between(*cover.interval)}"
    return (
        f"{percent(cover.share)} of the rows, from a confidence of {cover.threshold:.3g} on, for "
        f"{wanted} right ({seen}); look at the rest: .review(accuracy={cover.accuracy:g})"
    )


def _more(score: Scored) -> str:
    parts = [
        f".wrong has the {plural(len(score.wrong), 'row')} that differ"
        if len(score.wrong) != 1
        else ".wrong has the row that differs"
    ]
    parts = parts if len(score.wrong) else []
    if score.points is not None or (score.table is not None and score.n and len(score.table)):
        parts.append(".plot() draws it")
    return ", ".join(parts)


# -- tables ----------------------------------------------------------------------------------


def _by_label(score: Scored) -> tuple[Row, Body, int]:
    """Heads, rows of texts, and how many rows are left out."""
    if score.table is None:
        return (), [], 0
    name = "label" if score.measure == "labels" else "item"
    heads = [name, "in gold", "precision", "recall", "F1"]
    places = most_frequent(score.table, "support", MOST)
    table = score.table.iloc[places]
    columns = [
        [plain(label, 30) for label in table.index],
        [f"{support:,}" for support in table["support"]],
        *([_ratio(value) for value in table[each]] for each in ("precision", "recall", "f1")),
    ]
    if score.shares is not None:
        shares = score.shares.iloc[places]
        heads += ["answered", "of the gold" if score.gold_in_all else "corrected (95 % interval)"]
        columns += [
            [percent(value) for value in shares["answers"]],
            [
                percent(share)
                + ("" if score.gold_in_all else f" ({between(low, high).removesuffix(' %')})")
                for share, low, high in zip(
                    shares["share"], shares["low"], shares["high"], strict=True
                )
            ],
        ]
    return heads, list(zip(*columns, strict=True)), len(score.table) - len(table)


def _ratio(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"  # noqa: RUF001  (nothing to count)


def _whole(value: float) -> str:
    return f"{value:,.0f}"


_SHOWN: Mapping[str, Callable[[float], str]] = {
    "n": _whole,
    "missing": _whole,
    "accuracy": percent,
    "precision": percent,
    "recall": percent,
    "mae": number,
    "rmse": number,
    "bias": number,
    "r": number,
}


def _by_slice(score: Scored) -> tuple[Row, Body, int]:
    if score.slices is None:
        return (), [], 0
    slices = score.slices.iloc[most_frequent(score.slices, "n", MOST)]
    names = [name for name in _SHOWN if name in slices]
    heads = [plain(slices.index.name, 40), *names]
    columns = [[_slice_name(value) for value in slices.index]]
    columns += [[_SHOWN[name](value) for value in slices[name]] for name in names]
    if "low" in slices:
        heads.append("95 % interval")
        ends = zip(slices["low"], slices["high"], strict=True)
        columns.append(["" if pd.isna(low) else between(low, high) for low, high in ends])
    return heads, list(zip(*columns, strict=True)), len(score.slices) - len(slices)


def _by_confidence(score: Scored) -> tuple[Row, Body, int]:
    if score.reliability is None:
        return (), [], 0
    table = score.reliability
    ends = zip(table["from"], table["to"], strict=True)
    columns = [
        [f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in ends],
        [f"{n:,}" for n in table["n"]],
        [percent(each) for each in table["confidence"]],
        [percent(each) for each in table["accuracy"]],
        [between(low, high) for low, high in zip(table["low"], table["high"], strict=True)],
    ]
    heads = ["confidence", "n", "sure", "right", "95 % interval"]
    return heads, list(zip(*columns, strict=True)), 0


def _confidence_bars(score: Scored) -> list[str]:
    if score.reliability is None:
        return []
    ends = (score.reliability[name] for name in ("low", "accuracy", "high", "confidence"))
    return [interval_bar(*each) for each in zip(*ends, strict=True)]


def _slice_name(value: object) -> str:
    return "(missing)" if is_missing(value) else plain(value, 30)


def _below(score: Scored, name: str, more: int) -> list[str]:
    """What is said below a table."""
    made = [f"{more:,} more in .{name}"] if more else []
    if name == "reliability":
        made.append(
            "tenths of the rows with gold, by confidence; the grey mark is how sure they were"
        )
    if name == "table" and score.shares is not None and not score.gold_in_all:
        made.append(
            f"corrected: the share in all {score.rows:,} rows, by the errors on the rows with gold"
            + (", weighted as drawn" if score.weighted else " (if those were drawn at random)")
        )
    return made


def as_text(score: Scored) -> str:
    """The score for a terminal."""
    parts = [as_lines(headline(score), pairs(score))]
    for heads, rows, more, name in _tables(score):
        below = (f"  {text}" for text in _below(score, name, more))
        parts += ["", *table_text(heads, rows), *below]
    return "\n".join(parts)


def _tables(score: Scored) -> list[tuple[Row, list[Row], int, str]]:
    made = [
        (*_by_label(score), "table"),
        (*_by_confidence(score), "reliability"),
        (*_by_slice(score), "slices"),
    ]
    return [each for each in made if each[1]]


def as_html(score: Scored) -> str:
    """The score for a notebook; everything in it is escaped."""
    bars = {
        "table": _share_bars(score),
        "reliability": _confidence_bars(score),
        "slices": _slice_bars(score),
    }
    tables = "".join(
        table_html(heads, rows, bars[name], _below(score, name, more))
        for heads, rows, more, name in _tables(score)
    )
    return (
        f"{BOX}<strong>{escaped(headline(score))}</strong>{_accuracy_bar(score)}"
        f"{as_table(pairs(score))}{tables}{_confusion(score)}</div>"
    )


def _accuracy_bar(score: Scored) -> str:
    """Right, wrong and missing as one line, as on the card of a run."""
    if score.right is None:
        return ""
    parts = (
        (score.right, "#2e9e5b"),
        (score.n - score.right, "#d64545"),
        (score.missing, "rgba(128,128,128,.3)"),
    )
    return bar_of(parts)


def _share_bars(score: Scored) -> list[str]:
    if score.shares is None or score.table is None or score.gold_in_all:
        return []
    shares = score.shares.iloc[most_frequent(score.table, "support", MOST)]
    ends = (shares[name] for name in ("low", "share", "high", "answers"))
    return [interval_bar(*each) for each in zip(*ends, strict=True)]


def _slice_bars(score: Scored) -> list[str]:
    if score.slices is None or "low" not in score.slices:
        return []
    slices = score.slices.iloc[most_frequent(score.slices, "n", MOST)]
    ends = zip(*(slices[name] for name in ("low", "accuracy", "high")), strict=True)
    return ["" if pd.isna(low) else interval_bar(low, middle, high) for low, middle, high in ends]


def _confusion(score: Scored) -> str:
    """How often which is taken for which, coloured by the share of its row."""
    table = score.confusion
    if table is None or not score.n or len(table) > MOST_CONFUSED:
        return ""
    labels = [safe(label, 24) for label in table.index]
    head = "".join(
        f"<th scope='col' style='{HEAD};text-align:center'>{each}</th>" for each in labels
    )
    body = "".join(
        f"<tr style='background:none'><th scope='row' style='{HEAD};text-align:right'>{labels[gold]}"
        f"</th>{''.join(_shaded(row, gold, said) for said in range(len(row)))}</tr>"
        for gold, row in enumerate(table.to_numpy().tolist())
    )
    return (
        "<table style='border:0;margin:10px 0 0;border-collapse:separate;border-spacing:2px;"
        "font-variant-numeric:tabular-nums'>"
        f"<thead><tr style='background:none'><th style='{HEAD};text-align:right'>gold ↓ answer →"
        f"</th>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _shaded(row: Sequence[int], gold: int, said: int) -> str:
    part = row[said] / (sum(row) or 1)
    color = (
        f"rgba({GREEN if gold == said else RED},{0.08 + 0.6 * part:.2f})"
        if row[said]
        else ("rgba(128,128,128,.08)")
    )
    return (
        f"<td style='padding:3px 14px;border:0;border-radius:2px;text-align:center;min-width:48px;"
        f"background:{color}'>{row[said]:,}</td>"
    )
