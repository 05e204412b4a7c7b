"""What a server says of its limits, in headers and words, read into `Signals`. Pure."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache

from lionproc.engine.quotas import Quota, Signals
from lionproc.engine.tokens import INPUT, OUTPUT, REQUESTS, TOKENS

_PREFIXES = ("", "llm_provider-")  # LiteLLM's proxy hands the provider's headers on like this
_DURATION = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)(ms|us|µs|ns|s|m|h|d)")
_UNIT_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PARTS = ("limit", "remaining", "reset")
_ANTHROPIC = {
    REQUESTS: "requests",
    TOKENS: "tokens",
    INPUT: "input-tokens",
    OUTPUT: "output-tokens",
}
_NAMES = tuple(
    (
        tuple(
            (quantity, tuple(f"{prefix}x-ratelimit-{part}-{quantity}" for part in _PARTS))
            for quantity in (REQUESTS, TOKENS)
        ),
        tuple(
            (quantity, tuple(f"{prefix}anthropic-ratelimit-{name}-{part}" for part in _PARTS))
            for quantity, name in _ANTHROPIC.items()
        ),
    )
    for prefix in _PREFIXES
)
_NUMBER = r"\d{1,9}(?:\.\d{1,12})?"
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)"
_SPOKEN = re.compile(rf"({_NUMBER})\s?({_UNIT})", re.IGNORECASE)
_ASKS = r"(?:try again|retry|wait)(?:\s+\w+){0,2}?\s+(?:in|after|for)\s+(?:about\s+)?"
_SPAN = rf"{_NUMBER}\s?{_UNIT}(?![a-z])"
_WAIT_SAID = re.compile(rf"{_ASKS}((?:{_SPAN}[\s,]*){{1,4}})", re.IGNORECASE)
WAIT_BEGUN = re.compile(rf"{_ASKS}{_SPAN}", re.IGNORECASE)  # its first unit alone
# A reset further away belongs to a limit by the day, which is not planned with by the minute.
_MINUTE_RESET_S = 75.0
# Who asks for a longer wait is asked again after this time; beyond a day it is no answer at all.
LONGEST_WAIT_S = 600.0
_DAY_S = 86_400.0
_MONTH_S = 32 * _DAY_S
_LONGEST_TEXT = 64
# Less than this a minute, or more, is no limit that a provider has: such a header is ignored.
_LEAST = {REQUESTS: 1.0, TOKENS: 100.0, INPUT: 100.0, OUTPUT: 10.0}
_MOST = 1e10
SILENCE = Signals()


def signals(headers: Mapping[str, str], clock: Callable[[], float] = time.time) -> Signals:
    """What a reply says about limits. What cannot be understood is as if it were not there.

    Args:
        headers: A reply's headers, looked up without regard to case.
        clock: Unix seconds now, for headers that give a date.

    Returns:
        Quotas of OpenAI's and Anthropic's kinds and the seconds to wait.

    Example:
        >>> signals({"x-ratelimit-limit-requests": "60", "retry-after-ms": "1500"})
        Signals(quotas={'requests': Quota(limit=60.0, remaining=None, reset_s=None)}, retry_after_s=1.5)
    """
    if not _speak(tuple(headers)):
        return SILENCE
    clock = _of_server(headers, clock)
    quotas: dict[str, Quota] = {}
    ignored = ""
    for quantity, names in _names(headers):
        limit, remaining, reset = map(headers.get, names)
        quota = _quota(limit, remaining, reset, clock)
        if quota is None:
            continue
        if quota.limit is not None and not _LEAST[quantity] <= quota.limit <= _MOST:
            ignored = ignored or f"{names[0]}: {str(limit)[:20]}"
        else:
            quotas.setdefault(quantity, quota)
    return Signals(quotas, retry_after_s(headers, clock), ignored)


def _names(headers: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The names of limit, remaining and reset for each amount, as this server may spell them."""
    for openai, anthropic in _NAMES:
        yield from openai
        if anthropic[0][1][0] in headers:
            yield from anthropic


def day_is_used_up(headers: Mapping[str, str], clock: Callable[[], float] = time.time) -> bool:
    """Whether headers say that nothing is left, and that it comes back in hours or days.

    More than a month is nonsense.

    Example:
        >>> day_is_used_up({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7h"})
        True
    """
    clock = _of_server(headers, clock)
    for _, (_, remaining, reset) in _names(headers):
        if remaining in headers and reset in headers and _number(headers[remaining]) == 0:
            seconds = _seconds(headers[reset], clock)
            if seconds is not None and LONGEST_WAIT_S < seconds <= _MONTH_S:
                return True
    return False


@lru_cache(maxsize=64)
def _speak(names: tuple[str, ...]) -> bool:
    """Whether any header is about limits. A server sends the same names again and again."""
    return any("ratelimit" in name or "retry-after" in name for name in map(str.lower, names))


def retry_after_s(
    headers: Mapping[str, str], clock: Callable[[], float] = time.time
) -> float | None:
    """Seconds the server asks everybody to wait, None if it does not say or says nonsense.

    More than 600 s are cut to that, so that a night run asks now and then; more than a day (or
    less than nothing) is nonsense.

    Example:
        >>> retry_after_s({"retry-after": "2"}), retry_after_s({"retry-after": "banana"})
        (2.0, None)
    """
    clock = _of_server(headers, clock)
    for prefix in _PREFIXES:
        ms = _number(headers.get(prefix + "retry-after-ms"))
        if ms is not None and ms / 1000 <= _DAY_S:
            return min(ms / 1000, LONGEST_WAIT_S)
        text = headers.get(prefix + "retry-after")
        if text is not None:
            seconds = _seconds(text, clock)
            if seconds is not None and seconds <= _DAY_S:
                return min(seconds, LONGEST_WAIT_S)
    return None


def words_s(words: str) -> float | None:
    """Seconds that an error message asks to wait, None if it does not say.

    OpenAI, Groq, Azure and Gemini say it like this.

    Example:
        >>> words_s("Rate limit reached. Please try again in 1m7.66s."), words_s("Sorry.")
        (67.66, None)
    """
    found = _WAIT_SAID.search(words)
    if found is None:
        return None
    parts = _SPOKEN.findall(found[1])
    seconds = sum(float(amount) * _unit_s(unit) for amount, unit in parts)
    return min(seconds, LONGEST_WAIT_S) if seconds <= _DAY_S else None


def _unit_s(name: str) -> float:
    name = name.casefold()
    return _UNIT_S["ms" if name.startswith(("ms", "mil")) else name[:1]]


def _quota(
    limit: str | None, remaining: str | None, reset: str | None, clock: Callable[[], float]
) -> Quota | None:
    if limit is None and remaining is None:
        return None
    reset_s = None if reset is None else _seconds(reset, clock)
    if reset_s is not None and reset_s > _MINUTE_RESET_S:
        return None
    quota = Quota(_number(limit), _number(remaining), reset_s)
    return None if quota == Quota() or _is_by_day(quota) else quota


def _is_by_day(quota: Quota) -> bool:
    """Whether a bucket that fills up at this rate is a day's.

    OpenAI's small tiers and Groq give the requests of the day under the name of the minute's:
    10,000 with 9,999 left and a reset of 8.64 s, which is a ten-thousandth of a day. What is
    used is a count rounded up, so the time comes out as a day, or as little as half of one.
    """
    limit, remaining, reset_s = quota.limit, quota.remaining, quota.reset_s
    if limit is None or remaining is None or reset_s is None or remaining >= limit:
        return False
    period_s = reset_s * (limit / (limit - remaining))
    return 0.5 * _DAY_S <= period_s <= 1.02 * _DAY_S


def _of_server(headers: Mapping[str, str], clock: Callable[[], float]) -> Callable[[], float]:
    """The clock that a server reads where it names a moment; ours may be off by an hour."""

    def now() -> float:
        try:
            return parsedate_to_datetime(headers["date"]).timestamp()
        except (KeyError, ValueError, TypeError, OverflowError, LookupError):
            return clock()

    return now


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds(text: str, clock: Callable[[], float]) -> float | None:
    """Seconds from `2`, `1.5s`, `6m0s`, `20ms`, an RFC 3339 time or an HTTP date."""
    text = text.strip()
    if len(text) > _LONGEST_TEXT:
        return None
    number = _number(text)
    if number is not None:
        # A Unix time, where seconds were to be expected.
        return max(number - clock(), 0.0) if number > 1e9 else number
    parts = _DURATION.findall(text)
    if parts and "".join(a + b for a, b in parts) == text:
        return sum(float(amount) * _UNIT_S[unit] for amount, unit in parts)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = parse(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=UTC)
            return max(moment.timestamp() - clock(), 0.0)
        except (ValueError, TypeError, OverflowError, LookupError):
            continue
    return None
