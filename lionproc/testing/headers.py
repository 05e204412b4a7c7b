"""Rate-limit headers as providers write them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Literal

from lionproc.testing.limits import Limit, Meter, What

__all__ = [
    "HEADERS",
    "RETRIES",
    "HeaderStyle",
    "RetryStyle",
    "duration",
    "limit_headers",
    "retry_headers",
]

RetryStyle = Literal["retry-after", "retry-after-ms", "x-ratelimit", "llm_provider", "none", "date"]
HeaderStyle = Literal["openai", "anthropic"]
RETRIES = ("retry-after", "retry-after-ms", "x-ratelimit", "llm_provider", "none", "date")
HEADERS = ("openai", "anthropic", None)
Headers = tuple[tuple[str, str], ...]
ABOUT_NEVER_S = 3600.0  # what is said about a request that can never be admitted


def duration(seconds: float) -> str:
    """A duration as in OpenAI's reset headers: the way Go prints one.

    Source: platform.openai.com, "Rate limits in headers".

    Example:
        >>> [duration(s) for s in (0.006, 1, 8.64, 360, 3601.5)]
        ['6ms', '1s', '8.64s', '6m0s', '1h0m1.5s']
    """
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    tail = f"{rest / 1000:g}s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def retry_headers(style: RetryStyle, wait_s: float, what: What = "requests") -> Headers:
    """How a refusal says when to come again.

    Args:
        style: Which header; "none" for silence, as LiteLLM's proxy keeps.
        wait_s: Seconds.
        what: The currency that ran out, for "x-ratelimit".

    Returns:
        Name and value, or nothing.
    """
    wait_s = min(wait_s, ABOUT_NEVER_S)
    match style:
        case "retry-after":
            return (("retry-after", str(max(math.ceil(wait_s), 1))),)
        case "retry-after-ms":
            return (("retry-after-ms", str(max(math.ceil(wait_s * 1000), 1))),)
        case "llm_provider":
            return (("llm_provider-retry-after", str(max(math.ceil(wait_s), 1))),)
        case "date":
            # whole seconds only, so it is rounded up
            return (("retry-after", formatdate(math.ceil(time.time() + wait_s), usegmt=True)),)
        case "x-ratelimit":
            kind = "requests" if what == "requests" else "tokens"
            return (
                (f"x-ratelimit-remaining-{kind}", "0"),
                (f"x-ratelimit-reset-{kind}", duration(wait_s)),
            )
        case _:
            return ()


def limit_headers(
    style: HeaderStyle | None, meters: Sequence[tuple[Limit, Meter]], now: float
) -> Headers:
    """The state of the limits, as every reply of a provider tells it.

    Args:
        style: Whose headers.
        meters: The limits and their state; of several in one currency the tightest is told.
        now: The meters' time.

    Returns:
        Names and values.
    """
    tightest: dict[What, tuple[int, Limit, Meter]] = {}
    for limit, meter in meters if style else ():
        remaining = meter.remaining(now)
        if limit.what not in tightest or remaining < tightest[limit.what][0]:
            tightest[limit.what] = (remaining, limit, meter)
    headers: list[tuple[str, str]] = []
    for what, (remaining, limit, meter) in tightest.items():
        values = {"limit": f"{limit.per_minute:.0f}", "remaining": str(remaining)}
        reset_s = meter.reset_s(now)
        if style == "anthropic":
            at = datetime.fromtimestamp(math.ceil(time.time() + reset_s), UTC)
            values["reset"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
            headers += _anthropic(what, values)
        elif what in {"requests", "tokens"}:
            values["reset"] = duration(reset_s)
            headers += [(f"x-ratelimit-{part}-{what}", value) for part, value in values.items()]
    return tuple(headers)


def _anthropic(what: What, values: Mapping[str, str]) -> Headers:
    kind = what.replace("_", "-")
    return tuple((f"anthropic-ratelimit-{kind}-{part}", v) for part, v in values.items())
