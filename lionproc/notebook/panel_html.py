"""The parts of the panel that only show: snapshots in, HTML out. Nothing here has state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lionproc.engine.budget import WARN_AT
from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats
from lionproc.notebook import formatting
from lionproc.notebook.formatting import count, safe
from lionproc.notebook.history import Left
from lionproc.notebook.notes import Note
from lionproc.notebook.rates import about, known, learned

UNKNOWN = "\u2013"  # a dash


class FailureRow(NamedTuple):
    """A row that failed, as the panel lists it. All of it is plain text and untrusted.

    Attributes:
        row: Its label in the frame.
        kind: How it failed, a word of `Kind`.
        message: What happened.
        hint: What to do about it, where there is advice.
        reply: What the model said, where it said anything.
        text: What the row shows the model: its cells.
    """

    row: str
    kind: str
    message: str
    hint: str = ""
    reply: str = ""
    text: str = ""


_STATES = {
    "running": "Running",
    "paused": "Paused",
    "stopping": "Stopping",
    "stopped": "Stopped",
    "done": "Done",
    "failed": "Could not go on",
}


_EXPLAINED = {
    "Requests / min": "Sent in the last 60 s; before that, what a minute at this rate comes to",
    "Tokens / min": "Of the last 60 s; before that, what a minute at this rate comes to",
    "In flight": "Requests that were sent and are not answered yet",
    "Cost": "Of what was sent in this run",
}


def header(stats: RunStats, title: str, left: Left | None) -> str:
    """State, what is done, how long it took and still takes; the bar; rows by what became of them.

    Args:
        stats: The run.
        title: What is done with which model, in plain text.
        left: How long it still takes, None while that is not known.
    """
    return (
        f"<div class='lp-top lp-{stats.state}'><span class='lp-dot'></span>"
        f"<b role='status'>{_STATES[stats.state]}</b><span class='lp-what'>{safe(title)}</span>"
        f"<span class='lp-when'>{_when(stats, left)}</span></div>{_bar(stats)}{_rows(stats)}{_members(stats)}"
    )


def _when(stats: RunStats, left: Left | None) -> str:
    gone = formatting.duration(max(float(int(stats.elapsed_s)), 1.0)).replace(".0", "")
    if stats.left and left is not None:
        return f"{gone} · <strong>{formatting.left_between(*left)} left</strong>"
    return gone


def _bar(stats: RunStats) -> str:
    parts = (
        ("answered", stats.answered - stats.cached),
        ("cached", stats.cached),
        ("skipped", stats.skipped),
        ("failed", stats.failed),
    )
    whole = max(stats.rows, 1)
    pieces = "".join(
        f"<i class='lp-{name}' style='width:{100 * number / whole:.2f}%'></i>"
        for name, number in parts
        if number
    )
    return (
        f"<div class='lp-bar' role='progressbar' aria-label='Rows done' aria-valuemin='0' "
        f"aria-valuemax='{stats.rows}' aria-valuenow='{stats.finished}'>{pieces}</div>"
    )


def _rows(stats: RunStats) -> str:
    nothing = "0 %" if stats.state in {"running", "paused"} else "100 %"
    done = formatting.share(stats.finished / stats.rows) if stats.rows else nothing
    parts = [f"<span><b>{done}</b> · {stats.finished:,} of {stats.rows:,} rows</span>"]
    for number, word, kind in (
        (stats.cached, "cached", "cached"),
        (stats.skipped, "skipped", "skipped"),
        (stats.failed, "error" if stats.failed == 1 else "errors", "failed"),
    ):
        if number:  # the colours of the bar, said in words
            parts.append(
                f"<span class='lp-key lp-{kind}-count'><i class='lp-{kind}'></i>"
                f"{number:,} {word}</span>"
            )
    for number, word, kind in (
        (stats.retried, "retry" if stats.retried == 1 else "retries", ""),
        (stats.throttled, "refused (429)", "lp-refusals"),
    ):
        if number:
            parts.append(f"<span class='{kind}'>{number:,} {word}</span>")
    parts.append(f"<span class='lp-push'>{stats.left:,} left</span>")
    return f"<div class='lp-rows'>{''.join(parts)}</div>"


def _members(stats: RunStats) -> str:
    """Who answered how much, where the model is made of several."""
    parts = []
    for each in stats.members:
        cost = "" if each.usd is None else f" · {formatting.dollars(each.usd)}"
        lost = sum(each.errors.values())
        failed = f" · {lost:,} handed on or failed" if lost else ""
        parts.append(
            f"<span>{safe(each.member)} <b>{each.answered:,}</b>{safe(cost)}{failed}</span>"
        )
    return f"<div class='lp-rows lp-members'>{''.join(parts)}</div>" if parts else ""


def tiles(stats: RunStats, limits: Limits) -> str:
    """Rates against their limits, what is in flight, and the money.

    Args:
        stats: The run.
        limits: The live limits, to tell the person's from the server's.
    """
    return f"<div class='lp-tiles'>{_rates(stats, limits, say=known(stats))}{_spent(stats)}</div>"


def _spent(stats: RunStats) -> str:
    """Money, or tokens where nobody knows the price; as a bar where there is a budget for it."""
    part = stats.budget_used
    tokens = f"{count(stats.tokens)} tokens"
    if part is None:
        if stats.usd is None:
            return _tile("Tokens", count(stats.tokens), "price not known")
        return _tile("Cost", safe(formatting.dollars(stats.usd)), tokens)
    near = part >= WARN_AT
    used = formatting.share(min(part, 1.0)).replace(" ", "\N{NO-BREAK SPACE}")
    beside = f"{used} of {safe(stats.budget)}"
    if stats.usd is None:
        return _tile("Tokens", count(stats.tokens), f"{beside}; price not known", part, near=near)
    return _tile("Cost", safe(formatting.dollars(stats.usd)), beside, part, near=near)


def rates(stats: RunStats, limits: Limits) -> str:
    """`tiles` without the money, of the last minute whoever used it."""
    return f"<div class='lp-tiles'>{_rates(stats, limits, say=True)}</div>"


def _rates(stats: RunStats, limits: Limits, *, say: bool) -> str:
    return (
        _rate("Requests / min", stats.requests_per_minute if say else None,
              stats.requests_limit, limits.requests_per_minute, learned(stats))
        + _rate("Tokens / min", stats.tokens_per_minute if say else None,
                stats.tokens_limit, limits.tokens_per_minute, None)
        + _tile("In flight", count(stats.in_flight), f"of {stats.concurrency:,}",
                stats.in_flight / max(stats.concurrency, 1))
    )  # fmt: skip


def _rate(
    name: str, rate: float | None, limit: float | None, own: float | None, takes: float | None
) -> str:
    if takes is not None:
        beside, held = f"server: ~{about(takes)}", takes
    elif limit is not None:
        whose = "" if own is not None and limit >= own else " (server)"
        beside, held = f"of {count(limit)}{whose}", limit
    else:
        beside, held = "no limit", None
    if rate is None:
        return _tile(name, UNKNOWN, beside, None if held is None else 0.0)
    return _tile(name, count(rate), beside, None if held is None else rate / held)


def _tile(
    name: str, value: str, beside: str, part: float | None = None, *, near: bool = False
) -> str:
    width = 0.0 if part is None else 100 * min(max(part, 0.0), 1.0)
    kind = "lp-gauge lp-near" if near else "lp-gauge"
    gauge = "" if part is None else f"<div class='{kind}'><i style='width:{width:.0f}%'></i></div>"
    quiet = " class='lp-unknown'" if value == UNKNOWN else ""
    return (
        f"<div class='lp-tile' title='{_EXPLAINED.get(name, '')}'><span>{name}</span><b{quiet}>{value}</b><small>{beside}</small>"
        f"{gauge}</div>"
    )


def heading(said: str) -> str:
    """What stands over the fields of the limits.

    Args:
        said: Whose they are: which of them an earlier run set, or that each of several has them.
    """
    return f"<div class='lp-heading'><b>Limits</b> <span>{safe(said)}</span></div>"


def note(said: Note) -> str:
    """One line, which screen readers say where it asks for attention."""
    if not said.text:
        return ""
    pieces = safe(said.text, 300).split("`")
    marked = "".join(
        f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)
    )
    kind = " class='lp-alert' role='status'" if said.alert else ""
    return f"<p{kind}>{marked}</p>"


def failures(latest: Sequence[FailureRow]) -> str:
    """The latest errors as a table. All in it is a server's or a row's, so it is cut and escaped.

    Args:
        latest: The newest first.
    """
    if not latest:
        return "<p>No errors so far.</p>"
    hints = [failure.hint for failure in latest]
    rows = "".join(
        f"<tr><td>{safe(failure.row, 40)}</td><td>{safe(formatting.kind(failure.kind))}</td>"
        f"<td>{safe(failure.message, 300)}{_details(failure, said=failure.hint in hints[:place])}"
        "</td></tr>"
        for place, failure in enumerate(latest)
    )
    return (
        "<table aria-label='Latest errors'><thead>"
        "<tr><th scope='col'>row</th><th scope='col'>kind</th><th scope='col'>message</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _details(failure: FailureRow, *, said: bool) -> str:
    """What helps to judge a failure: each on a line of its own, if it is known.

    Args:
        failure: The failure.
        said: Whether its hint stands above already.
    """
    lines = (
        ("row", failure.text),
        ("model said", failure.reply),
        ("hint", "" if said else failure.hint),
    )
    return "".join(
        f"<div class='lp-detail'><span>{name}</span><span>{safe(text, 240)}</span></div>"
        for name, text in lines
        if text
    )
