"""What is left of a run when it has ended: a summary that reads well anywhere.

How it is written: `pairs.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from lionproc.engine.stats import RunStats
from lionproc.engine.watching import Steered
from lionproc.notebook import formatting
from lionproc.notebook.frontend import Bundle, Screen
from lionproc.notebook.pairs import as_lines, as_table
from lionproc.notebook.rates import server_takes

HEADLINES = {
    "running": "running",
    "paused": "paused",
    "stopping": "stopping",
    "stopped": "stopped",
    "done": "done",
    "failed": "could not go on",
}
IN_MEMORY = ":memory:"  # a journal that is gone with the run
_put: weakref.WeakSet[Steered] = weakref.WeakSet()


def headline(stats: RunStats) -> str:
    """The run in one line."""
    if stats.state == "done" and stats.failed:
        what = f"done, {formatting.plural(stats.failed, 'row')} without an answer"
    else:
        what = HEADLINES[stats.state]
    return f"lionproc: {what}"


def lines(stats: RunStats, facts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The summary as pairs of a name and a text.

    Args:
        stats: The run.
        facts: What else is known: `model`, `provider`, `prompt`, `schema`, `save` (where it was
            to be saved), `saved_to`, `save_error`, `journal`, `errors_at` (what a person writes
            to see the errors), and of a pipeline its `stages`, each with `stage` (its name),
            `answered`, `cached`, `skipped`, `failed` and `requests`.
    """
    made = [
        ("model", formatting.plain(formatting.model_name(facts))),
        ("prompt", formatting.first_line(facts.get("prompt", ""))),
        ("schema", formatting.plain(facts.get("schema", ""), 100)),
        ("examples", formatting.plain(facts.get("examples", ""), 40)),
        ("votes", _votes(facts)),
        ("rows", _rows(stats)),
        *[
            (stage.get("called", "stage"), formatting.plain(_stage(stage), 400))
            for stage in facts.get("stages", ())
        ],
        *[("by", formatting.plain(_member(member), 400)) for member in facts.get("members", ())],
        ("target", formatting.plain(str(facts.get("promise") or ""), 400)),
        ("requests", _requests(stats)),
        ("tokens", _tokens(stats)),
        ("cost", _cost(stats)),
        ("when", _when(stats)),
        ("time", _time(stats)),
        ("limit", _limit(stats)),
        ("errors", _errors(stats)),
        ("check", _check(facts)),
        ("note", formatting.plain(stats.note, 400)),
        ("saved", _saved(stats, facts)),
        ("more", _more(stats, facts)),
    ]
    return [(name, text) for name, text in made if text]


def _rows(stats: RunStats) -> str:
    parts = [f"{stats.answered:,} of {stats.rows:,} answered"]
    if stats.cached:
        parts.append(f"{stats.cached:,} of them from the journal")
    if stats.skipped:
        parts.append(f"{stats.skipped:,} skipped (empty cells)")
    if stats.failed:
        parts.append(f"{stats.failed:,} failed")
    if stats.left:
        parts.append(f"{stats.left:,} not sent" if _over(stats) else f"{stats.left:,} to come")
    without = " (rows without an answer are NA)" if stats.failed or stats.left else ""
    return ", ".join(parts) + without


def _stage(facts: Mapping[str, Any]) -> str:
    parts = [f"{facts['answered']:,} answered"]
    if facts["cached"]:
        parts.append(f"{facts['cached']:,} of them from the journal")
    parts += [f"{facts[name]:,} {name}" for name in ("skipped", "failed") if facts[name]]
    parts.append(formatting.plural(facts["requests"], "request"))
    return f"{facts['stage']}: {', '.join(parts)}"


def _votes(facts: Mapping[str, Any]) -> str:
    votes = formatting.plain(facts.get("votes", ""), 10)
    return f"{votes} for each row, the majority is the answer" if votes else ""


def _member(facts: Mapping[str, Any]) -> str:
    parts = [f"{facts['answered']:,} answered", formatting.plural(facts["requests"], "request")]
    if facts["usd"] is not None:
        parts.append(formatting.dollars(facts["usd"]))
    if facts.get("confidence") is not None:
        parts.append(f"confidence {facts['confidence']:.2f} on average")
    lost = sum(facts["errors"].values())
    if lost:
        kinds = ", ".join(map(formatting.kind, facts["errors"]))
        parts.append(f"{lost:,} handed on or failed ({kinds})")
    return f"{facts['member']}: {', '.join(parts)}"


def _requests(stats: RunStats) -> str:
    if not stats.sent:
        return "none"
    parts = [f"{stats.sent:,} sent"]
    if stats.retried:
        parts.append(f"{stats.retried:,} {'retry' if stats.retried == 1 else 'retries'}")
    if stats.throttled:
        parts.append(f"{stats.throttled:,} refused (429)")
    return ", ".join(parts)


def _tokens(stats: RunStats) -> str:
    if not stats.tokens:
        return ""
    of_input = f" with {stats.cached_tokens:,} cached" if stats.cached_tokens else ""
    thought = f" with {stats.reasoning_tokens:,} reasoning" if stats.reasoning_tokens else ""
    parts = f"{stats.prompt_tokens:,} input{of_input}, {stats.completion_tokens:,} output{thought}"
    return f"{stats.tokens:,} ({parts})"


def _cost(stats: RunStats) -> str:
    if stats.usd is None:
        of = formatting.plain(stats.unpriced or "this model", 200)
        tiers = "..., tiers=..." if of.startswith("the tier ") else "..."
        return (
            f"unknown: no price is known for {of}; Model(..., price=lp.Price({tiers})) sets one"
            if stats.tokens
            else ""
        )
    text = formatting.dollars(stats.usd) + (" for what was sent now" if stats.cached else "")
    if stats.cached and stats.usd_of_answers is not None:
        text += (
            f", {formatting.dollars(stats.usd_of_answers)} for all answers when they were bought"
        )
    return f"{text} (budget {stats.budget})" if stats.budget.startswith("$") else text


def _time(stats: RunStats) -> str:
    text = formatting.duration(stats.elapsed_s)
    if stats.sent >= 10 and stats.elapsed_s >= 2:
        text += f", {formatting.count(60 * stats.sent / stats.elapsed_s)} requests a minute"
    return text


def _when(stats: RunStats) -> str:
    if stats.began_at is None:
        return ""
    return formatting.moment(stats.began_at, stats.began_at + stats.elapsed_s)


def _limit(stats: RunStats) -> str:
    limits = [
        f"{formatting.exact(limit)} {unit}/min"
        for limit, unit in ((stats.requests_limit, "requests"), (stats.tokens_limit, "tokens"))
        if limit is not None
    ]
    if limits and stats.limits_inherited:
        limits.append("set by an earlier run")
    parts = [", ".join(limits)] if stats.limits_inherited and limits else []
    if stats.limit_used is not None:
        behind = f" ({', '.join(limits)})" if limits else ""
        parts = [f"{formatting.share(stats.limit_used)} of what was allowed was used{behind}"]
    takes = server_takes(stats)
    return "; ".join([*parts, takes] if takes else parts)


def _errors(stats: RunStats) -> str:
    return ", ".join(
        f"{number:,} {formatting.kind(kind)}"
        for kind, number in sorted(stats.errors.items(), key=lambda item: -item[1])
    )


def _check(facts: Mapping[str, Any]) -> str:
    said = formatting.plain(facts.get("check") or "", 300)
    return f"{said} (out.llm.check() has examples)" if said else ""


def _saved(stats: RunStats, facts: Mapping[str, object]) -> str:
    parts = [formatting.place(facts["saved_to"])] if facts.get("saved_to") else []
    if facts.get("save_error"):
        parts.append(f"not saved: {formatting.plain(facts['save_error'], 400)}")
    elif facts.get("save") and not parts and _over(stats):
        parts.append("nothing saved; lp.last_job().save(path) writes what there is")
    if facts.get("journal") and facts["journal"] != IN_MEMORY:
        parts.append(f"replies in {formatting.place(facts['journal'])}")
    return "; ".join(parts)


def _more(stats: RunStats, facts: Mapping[str, object]) -> str:
    """The way on."""
    if not _over(stats):
        return ""
    if facts.get("more"):
        return str(facts["more"])
    kept, parts = facts.get("journal") != IN_MEMORY, []
    if stats.state == "failed":
        at = formatting.plain(facts.get("frame_at", "lp.last_job().frame()"))
        parts.append(f"{at} has what was answered")
    if stats.failed:
        parts.append(
            f"{formatting.plain(facts.get('errors_at', 'out.llm.errors()'))} lists the errors"
        )
    at_budget = stats.state == "stopped" and (stats.budget_used or 0.0) >= 1
    if at_budget and stats.left:
        parts.append(
            "raise lp.last_job().budget, and lp.last_job().retry_failed() goes on from here"
        )
    if not kept and (stats.left or stats.failed):
        parts.append("without a journal, running the cell again starts over")
    elif at_budget and stats.left:
        parts.append("so does running the cell again with a larger budget=, and pays nothing twice")
    elif stats.left:
        parts.append("running the cell again goes on from here, and pays nothing twice")
    elif stats.failed:
        parts.append("running the cell again asks only for those")
    return "; ".join(parts)


def _over(stats: RunStats) -> bool:
    return stats.state in {"done", "stopped", "failed"}


def as_text(stats: RunStats, facts: Mapping[str, object]) -> str:
    """The summary for a terminal.

    Args:
        stats: The run.
        facts: As for `lines`.
    """
    return as_lines(headline(stats), lines(stats, facts))


def as_html(
    stats: RunStats, facts: Mapping[str, object], pairs: Sequence[tuple[str, str]] | None = None
) -> str:
    """The summary for a notebook; everything in it is escaped.

    Args:
        stats: The run.
        facts: As for `lines`.
        pairs: What it says, `lines` by default.
    """
    if pairs is None:
        pairs = lines(stats, facts)
    return (
        "<div style='max-width:760px;margin:4px 0'>"
        f"<strong>{formatting.escaped(headline(stats))}</strong>{_bar(stats)}"
        f"{as_table(pairs)}</div>"
    )


def _bar(stats: RunStats) -> str:
    """Answered, failed and not sent as one line; nothing where styles are taken away."""
    if not stats.rows:
        return ""
    parts = (
        (stats.answered + stats.skipped, "#2e9e5b"),
        (stats.failed, "#d64545"),
        (stats.left, "rgba(128,128,128,.3)"),
    )
    return bar_of(parts)


def bar_of(parts: Sequence[tuple[float, str]]) -> str:
    """One line of parts, each as long as its number and in its color."""
    pieces = "".join(
        f"<div style='flex:{number};background:{color}'></div>" for number, color in parts if number
    )
    return (
        "<div style='display:flex;gap:2px;height:4px;max-width:420px;margin:6px 0;"
        f"border-radius:2px;overflow:hidden'>{pieces}</div>"
    )


def as_bundle(stats: RunStats, facts: Mapping[str, object]) -> dict[str, str]:
    """The summary as content of a cell's output."""
    return {"text/html": as_html(stats, facts), "text/plain": as_text(stats, facts)}


def put(screen: Screen, run: Steered, bundle: Bundle) -> None:
    """Leave a run's card in the output of its cell."""
    screen.replace(bundle)
    _put.add(run)


def shown_for(run: Steered) -> bool:
    """Whether the card of a run that has ended stands in the output of a notebook's cell.

    It says what failed, what was not sent and how to go on, so a warning would only say it once
    more, in red. False in a terminal, with `progress=False`, and where the card could not be
    shown; there the warning is all that a person sees.

    Args:
        run: The run.

    Example:
        ```python
        job = df.llm.start("Is {review} positive?", into="ok", schema=bool)
        job.result()
        shown_for(job)  # True in a cell of a notebook
        ```
    """
    return run in _put
