"""Numbers and durations as a person reads them, and text as HTML may hold it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

_MATHEMATICS = re.compile(r"[$\\]")
# Control characters say nothing, and those that turn the direction of text can make a row of an
# error table read as something else.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def count(number: float) -> str:
    """A number in full where that is short, else with a letter: 9,876 or 41.2k or 1.25M.

    Example:
        >>> count(9876), count(41_234), count(120_000), count(1_250_000)
        ('9,876', '41.2k', '120k', '1.25M')
    """
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def exact(number: float) -> str:
    """A limit in full: 1,200 or 0.5."""
    return f"{number:,.4f}".rstrip("0").rstrip(".")


def dollars(usd: float) -> str:
    """Money with as many decimals as say something.

    Example:
        >>> dollars(0), dollars(1e-6), dollars(0.00123), dollars(0.25), dollars(1234.5)
        ('$0', '<$0.0001', '$0.0012', '$0.250', '$1,234.50')
    """
    if usd < 0.0001:
        return "<$0.0001" if usd else "$0"
    if usd < 0.1:
        return f"${usd:.4f}"
    return f"${usd:.3f}" if usd < 1 else f"${usd:,.2f}"


def fine_dollars(usd: float) -> str:
    """The money for one row, which may be very little: never cut to a bound.

    Example:
        >>> fine_dollars(0.0000409), fine_dollars(0.0000000123), fine_dollars(0.25)
        ('$0.000041', '$0.000000012', '$0.250')
    """
    if not 0 < usd < 0.0001:
        return dollars(usd)
    return f"${usd:.{1 - math.floor(math.log10(usd))}f}"


def duration(seconds: float) -> str:
    """A time as it is said.

    Example:
        >>> duration(0.42), duration(9.94), duration(59.7), duration(185), duration(7800)
        ('0.4 s', '9.9 s', '1 min', '3 min 05 s', '2 h 10 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = math.floor(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest:02} s" if rest else f"{minutes} min"
    hours, rest = divmod(whole // 60, 60)
    return f"{hours:,} h {rest:02} min" if rest else f"{hours:,} h"


def short_duration(seconds: float) -> str:
    """The time of a request, which is never shown as nothing.

    Example:
        >>> short_duration(0.042), short_duration(0.42)
        ('under 0.1 s', '0.4 s')
    """
    return duration(seconds) if seconds >= 0.05 else "under 0.1 s"


def left(seconds: float) -> str:
    """About how long it still takes, no more exact than it is known.

    Example:
        >>> left(7), left(41), left(130), left(5000)
        ('a few seconds', '40 s', '2 min', '1 h 23 min')
    """
    if seconds < 10:
        return "a few seconds"
    if seconds < 120:
        return duration(10 * round(seconds / 10))
    return duration(60 * round(seconds / 60))


def left_between(least: float, most: float) -> str:
    """How long it still takes, as a span where two judgements of it differ by much.

    Example:
        >>> left_between(58, 62), left_between(130, 270), left_between(41, 200)
        ('1 min', '2 to 4 min', '40 s to 3 min')
    """
    one, other = left(least), left(most)
    if one == other or most <= 1.4 * least or most < 10:
        return left((least + most) / 2)
    if least < 10:
        return f"up to {other}"
    number, _, unit = one.rpartition(" ")
    same = unit == other.rpartition(" ")[2] and " " not in number
    return f"{number if same else one} to {other}"


def first_line(text: object, most: int = 100) -> str:
    """The first line of a text that says something, with "..." where there is more of it."""
    lines = [plain(line, most) for line in str(text).splitlines() if line.strip()]
    if not lines:
        return ""
    return f"{lines[0]} ..." if len(lines) > 1 and not lines[0].endswith("…") else lines[0]


def moment(seconds: float, until: float | None = None) -> str:
    """A moment, or the time from one to another, by the clock on this machine's wall.

    Args:
        seconds: Since 1970, UTC.
        until: The end, None for a moment.
    """
    began = on_the_wall(seconds)
    first, zone = f"{began:%Y-%m-%d %H:%M}", began.tzname() or ""
    ended = on_the_wall(seconds if until is None else until)
    last = f"{ended:%H:%M}" if ended.date() == began.date() else f"{ended:%Y-%m-%d %H:%M}"
    span = first if first.endswith(last) else f"{first} to {last}"
    return f"{span} {zone}".rstrip()


def on_the_wall(seconds: float) -> datetime:
    """A moment by the clock of this machine; in UTC where `TZ` is no zone that there can be.

    Args:
        seconds: Since 1970, UTC.
    """
    try:
        return datetime.fromtimestamp(seconds).astimezone()
    except ValueError:  # a day and more from UTC
        return datetime.fromtimestamp(seconds, UTC)


def plural(number: int, noun: str) -> str:
    """A count and its noun: 1 row, 2 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def share(part: float) -> str:
    """A part of 1 in percent; never 100 % before it is whole, never 0 % once it is something."""
    percent = math.floor(part * 100 + 0.5)
    if part < 1 and percent >= 100:
        percent = 99
    return f"{percent} %" if percent or part <= 0 else "<1 %"


def kind(name: str) -> str:
    """A kind of error without underscores."""
    return name.replace("_", " ")


def plain(text: object, most: int = 200) -> str:
    """A text on one line, without characters that move others, cut where it is long."""
    flat = printable(str(text)[: 4 * most]).strip()
    return flat if len(flat) <= most else flat[: most - 1] + "…"


def printable(text: str) -> str:
    """A text on one line, without characters that move others."""
    return _UNPRINTABLE.sub(" ", text)


def safe(text: object, most: int = 200) -> str:
    """`plain`, escaped for HTML; for what stands between tags, not in an attribute."""
    return escaped(plain(text, most))


def escaped(text: str) -> str:
    r"""A text escaped for HTML that a notebook shows, where some signs would begin mathematics.

    MathJax looks for dollars, `\(`, `\[`, `\begin` and `\ref` in texts without a tag within, and
    what it finds may be a link that runs code (`\href{javascript:...}`).

    Example:
        >>> escaped("$1 < $2")
        '<span>$</span>1 &lt; <span>$</span>2'
    """
    return _MATHEMATICS.sub(r"<span>\g<0></span>", html.escape(text))


def place(path: object) -> str:
    """A path as it is said from the working directory, where it lies under it.

    A saved notebook need not tell where its author's home is.
    """
    try:
        return plain(Path(str(path)).absolute().relative_to(Path.cwd()))
    except (ValueError, OSError):
        return plain(path)


def model_name(facts: Mapping[str, object]) -> str:
    """Provider and model, or whatever of the two is known."""
    return "/".join(str(facts[key]) for key in ("provider", "model") if facts.get(key))
