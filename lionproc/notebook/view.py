"""The parts of the panel that only show: snapshots in, HTML out. Nothing here has state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats
from lionproc.notebook import words
from lionproc.notebook.words import count, safe


class Failure(NamedTuple):
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


def header(stats: RunStats, title: str, left_s: float | None) -> str:
    """State, what is done, how long it took and still takes; the bar; rows by what became of them.

    Args:
        stats: The run.
        title: What is done with which model, in plain text.
        left_s: Seconds until the end, None while that is not known.
    """
    return (
        f"<div class='lp-top lp-{stats.state}'><span class='lp-dot'></span>"
        f"<b role='status'>{_STATES[stats.state]}</b><span class='lp-what'>{safe(title)}</span>"
        f"<span class='lp-when'>{_when(stats, left_s)}</span></div>{_bar(stats)}{_rows(stats)}"
    )


def _when(stats: RunStats, left_s: float | None) -> str:
    gone = words.duration(max(float(int(stats.elapsed_s)), 1.0)).replace(".0", "")
    if stats.state in {"running", "stopping"} and stats.left and left_s is not None:
        return f"{gone} · <strong>{words.left(left_s)} left</strong>"
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
    parts = [f"<span><b>{stats.finished:,}</b> of {stats.rows:,} rows</span>"]
    for number, word, kind in (
        (stats.cached, "cached", ""),
        (stats.skipped, "skipped", ""),
        (stats.retried, "retried", ""),
        (stats.throttled, "refused (429)", "lp-refusals"),
    ):
        if number:
            parts.append(f"<span class='{kind}'>{number:,} {word}</span>")
    if stats.failed:
        errors = words.plural(stats.failed, "error")
        parts.append(f"<span class='lp-errors'>{errors}</span>")
    parts.append(f"<span class='lp-push'>{stats.left:,} left</span>")
    return f"<div class='lp-rows'>{''.join(parts)}</div>"


def tiles(stats: RunStats, limits: Limits) -> str:
    """Rates against their limits, what is in flight, and the money.

    Args:
        stats: The run.
        limits: The live limits, to tell the person's from the server's.
    """
    if stats.usd is None:
        spent = _tile("Tokens", count(stats.tokens), "price not known")
    else:
        spent = _tile("Cost", safe(words.dollars(stats.usd)), f"{count(stats.tokens)} tokens")
    return f"<div class='lp-tiles'>{_rates(stats, limits)}{spent}</div>"


def rates(stats: RunStats, limits: Limits) -> str:
    """`tiles` without the money."""
    return f"<div class='lp-tiles'>{_rates(stats, limits)}</div>"


def _rates(stats: RunStats, limits: Limits) -> str:
    return (
        _rate("Requests / min", stats.requests_per_minute, stats.requests_limit,
              limits.requests_per_minute, stats.pace)
        + _rate("Tokens / min", stats.tokens_per_minute, stats.tokens_limit,
                limits.tokens_per_minute, None)
        + _tile("In flight", count(stats.in_flight), f"of {stats.concurrency:,}",
                stats.in_flight / max(stats.concurrency, 1))
    )  # fmt: skip


def _rate(
    name: str, rate: float, limit: float | None, own: float | None, pace: float | None
) -> str:
    if limit is not None:
        whose = "" if own is not None and limit >= own else " (server)"
        return _tile(name, count(rate), f"of {count(limit)}{whose}", rate / limit)
    if pace is not None and rate > pace / 4:
        return _tile(name, count(rate), f"pace {count(pace)}")
    return _tile(name, count(rate), "no limit")


def _tile(name: str, value: str, beside: str, part: float | None = None) -> str:
    width = 0.0 if part is None else 100 * min(max(part, 0.0), 1.0)
    gauge = (
        "" if part is None else f"<div class='lp-gauge'><i style='width:{width:.0f}%'></i></div>"
    )
    return f"<div class='lp-tile'><span>{name}</span><b>{value}</b><small>{beside}</small>{gauge}</div>"


def note(text: str, *, alert: bool = False) -> str:
    """One line that screen readers say when it changes. Backquotes mark code.

    Args:
        text: Plain text.
        alert: Whether it asks for attention.
    """
    pieces = safe(text, 300).split("`")
    marked = "".join(
        f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces)
    )
    kind = " class='lp-alert'" if alert else ""
    return f"<div class='lp-note' role='status'><p{kind}>{marked}</p></div>"


def failures(latest: Sequence[Failure]) -> str:
    """The latest errors as a table. All in it is a server's or a row's, so it is cut and escaped.

    Args:
        latest: The newest first.
    """
    if not latest:
        return "<div class='lp-list'>No errors so far.</div>"
    rows = "".join(
        f"<tr><td>{safe(failure.row, 40)}</td><td>{safe(words.kind(failure.kind))}</td>"
        f"<td>{safe(failure.message, 300)}{_details(failure)}</td></tr>"
        for failure in latest
    )
    return (
        "<div class='lp-list' tabindex='0' role='region' aria-label='Latest errors'><table><thead>"
        "<tr><th scope='col'>row</th><th scope='col'>kind</th><th scope='col'>message</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
    )


def _details(failure: Failure) -> str:
    """What helps to judge a failure: each on a line of its own, if it is known."""
    lines = (("hint", failure.hint), ("reply", failure.reply), ("row", failure.text))
    return "".join(
        f"<div class='lp-detail'><span>{name}</span> {safe(text, 240)}</div>"
        for name, text in lines
        if text
    )
