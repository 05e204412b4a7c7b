"""An estimate as a person reads it, in a notebook and in a terminal.

As the card it is a plain table with inline styles, and readable without any.
"""

from __future__ import annotations

from typing import Protocol

from lionproc.notebook import formatting
from lionproc.notebook.pairs import BOX, as_lines, as_table

__all__ = ["estimate_html", "estimate_text"]


class _Foreseen(Protocol):
    """What is shown of an `lp.Estimate`; there it is said what each of these is."""

    @property
    def rows(self) -> int: ...

    @property
    def requests(self) -> int: ...

    @property
    def answered(self) -> int: ...

    @property
    def skipped(self) -> int: ...

    @property
    def input_tokens(self) -> int: ...

    @property
    def cached_tokens(self) -> int | None: ...

    @property
    def output_tokens(self) -> int: ...

    @property
    def usd(self) -> float | None: ...

    @property
    def minutes(self) -> float | None: ...

    @property
    def limited_by(self) -> str | None: ...

    @property
    def basis(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def output_range(self) -> tuple[int, int]: ...

    @property
    def usd_range(self) -> tuple[float, float] | None: ...

    @property
    def usd_standard(self) -> float | None: ...

    @property
    def service_tier(self) -> str: ...

    @property
    def seconds(self) -> float | None: ...

    @property
    def model(self) -> str: ...

    @property
    def hints(self) -> tuple[str, ...]: ...

    @property
    def sample(self) -> str: ...


def estimate_lines(foreseen: _Foreseen) -> list[tuple[str, str]]:
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
        ("foreseen from", _sample(foreseen)),
        ("note", _note(foreseen)),
    ]
    if not foreseen.requests:
        kept = ("model", "rows", "requests", "foreseen from")
        made = [(name, text) for name, text in made if name in kept]
    return [(name, text) for name, text in made if text]


def _rows(foreseen: _Foreseen) -> str:
    parts = [f"{foreseen.rows:,}"]
    if foreseen.answered:
        parts.append(f"{foreseen.answered:,} answered by the journal")
    if foreseen.skipped:
        parts.append(f"{foreseen.skipped:,} skipped")
    shared = foreseen.rows - foreseen.answered - foreseen.skipped - foreseen.requests
    if shared > 0:
        parts.append(f"{shared:,} share the request of an equal row")
    return ", ".join(parts)


def _input(foreseen: _Foreseen) -> str:
    text = f"about {formatting.count(foreseen.input_tokens)}"
    if foreseen.cached_tokens is not None:
        many = formatting.count(foreseen.cached_tokens) if foreseen.cached_tokens else "none"
        text += f", {many} of them from the provider's cache"
    return text


def _output(foreseen: _Foreseen) -> str:
    low, high = (formatting.count(part) for part in foreseen.output_range)
    about = f"about {formatting.count(foreseen.output_tokens)}"
    return about if low == high else f"{about} ({low} to {high})"


def _is_free(foreseen: _Foreseen) -> bool:
    """Whether something is sent and costs exactly nothing, as on one's own machine."""
    return foreseen.usd == 0 and bool(foreseen.requests) and not any(foreseen.usd_range or ())


def _cost(foreseen: _Foreseen) -> str:
    tier = formatting.plain(foreseen.service_tier, 40)
    if foreseen.usd is None:
        text = "unknown: no price is known for this model; Model(..., price=lp.Price(...)) sets one"
        if foreseen.usd_standard is not None:
            text = f"unknown at the tier {tier}"
    elif _is_free(foreseen):
        return "$0: this model costs nothing"
    else:
        text = f"about {formatting.dollars(foreseen.usd)}"
        if foreseen.usd_range is not None:
            low, high = map(formatting.dollars, foreseen.usd_range)
            text += "" if low == high else f" ({low} to {high})"
        text += f" at the tier {tier}" if foreseen.usd_standard is not None else ""
    if foreseen.usd_standard is not None:
        text += f"; {formatting.dollars(foreseen.usd_standard)} at the standard tier"
    return text


def _time(foreseen: _Foreseen) -> str:
    if foreseen.minutes is None:
        return "unknown until a reply has shown how long one takes"
    least = "at least " if foreseen.seconds is None else "about "
    text = least + _roughly(60 * foreseen.minutes)
    if foreseen.limited_by:
        text += f", limited by {foreseen.limited_by}"
    if foreseen.seconds is not None:
        text += f" ({formatting.short_duration(foreseen.seconds)} a request)"
    return text


def _roughly(seconds: float) -> str:
    """A time that is foreseen, no more exact than it is known."""
    return formatting.duration(60 * round(seconds / 60) if seconds >= 120 else max(seconds, 0.1))


def _sample(foreseen: _Foreseen) -> str:
    if not foreseen.sample:
        return ""
    return f"{foreseen.sample}; what equals a row elsewhere is not seen, and counted as a request"


def _note(foreseen: _Foreseen) -> str:
    if foreseen.basis != "guess":
        return ""
    return "lengths are guesses; df.llm.preview(...) with the same arguments tries a few rows and measures."


def _headline(foreseen: _Foreseen) -> str:
    if not foreseen.requests:
        return "Estimate: nothing to send, nothing to pay"
    time = ""
    if foreseen.minutes is not None:
        least = "at least " if foreseen.seconds is None else ""
        time = f", {least}{_roughly(60 * foreseen.minutes)}"
    if foreseen.usd is None:
        cost = "cost unknown"
    elif _is_free(foreseen):
        cost = "$0"
    elif foreseen.basis == "guess" and foreseen.usd_range is not None:
        cost = " to ".join(map(formatting.dollars, foreseen.usd_range)) + " by a guess"
    else:
        cost = f"about {formatting.dollars(foreseen.usd)}"
    return f"Estimate: {formatting.plural(foreseen.requests, 'request')}, {cost}{time}"


def estimate_text(foreseen: _Foreseen) -> str:
    """An estimate for a terminal."""
    return as_lines(_headline(foreseen), estimate_lines(foreseen))


def estimate_html(foreseen: _Foreseen) -> str:
    """An estimate for a notebook; everything in it is escaped."""
    return (
        f"{BOX}"
        f"<strong>{formatting.escaped(_headline(foreseen))}</strong>{as_table(estimate_lines(foreseen))}</div>"
    )
