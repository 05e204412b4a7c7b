"""What a reply that is no 200 means: pure, from status, headers and body to a `CallError`.

Providers spell the same thing in many ways: a bad key is a 401 or a 400, an empty account a 402,
a 429, a 403 or a 400, and some wrap the error in a list or in a text. What must not be mixed up is
what helps: waiting, another row, another key, or money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from lionproc.engine.adapt import Signals
from lionproc.errors import CallError, Kind
from lionproc.model.excerpt import shown
from lionproc.model.headers import LONGEST_WAIT_S, day_is_used_up

__all__ = ["error_in_200", "refusal"]

_KINDS = {
    401: Kind.ACCESS,
    402: Kind.QUOTA,
    403: Kind.ACCESS,
    404: Kind.NOT_FOUND,
    407: Kind.ACCESS,
    408: Kind.SERVER_ERROR,
    409: Kind.SERVER_ERROR,
    429: Kind.RATE_LIMITED,
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}
_WAYS_ON = {
    Kind.ACCESS: "The server refuses the key: check api_key= or the provider's key variable.",
    Kind.NOT_FOUND: "The server does not know this model or path: check model= and base_url=.",
    Kind.CONTEXT_LENGTH: "The prompt is longer than the model reads.",
    Kind.FORBIDDEN: "The same key and model have answered before, so this is about this row.",
    Kind.QUOTA: (
        "The account has no credit left or has reached its spending limit: add credit or raise "
        "the limit, then run the same cell again."
    ),
}
_DAY_OVER = (
    "The quota of the day is used up, and waiting a minute does not bring it back: run the same "
    "cell again when it is reset, or raise the quota."
)
_PROXY = "The proxy wants a login: give it in the proxy's address, HTTPS_PROXY=http://user:...@host"
_A_PAGE = (
    "A page of HTML came instead of an API's reply, as a firewall, a proxy or a login page sends "
    "it: check the network, the proxy variables and base_url=."
)
# The codes, types and reasons of no credit, as letters and digits alone. Sources: the error pages
# of OpenAI, Azure, OpenRouter, Groq and Gemini, and of LiteLLM's proxy, Moonshot and DashScope.
_NO_CREDIT = frozenset(
    {
        "insufficientquota",
        "insufficientbalance",
        "insufficientcredits",
        "billinghardlimitreached",
        "billingnotactive",
        "billingdisabled",
        "blockedapiaccess",
        "budgetexceeded",
        "exceededcurrentquotaerror",
        "arrearage",
    }
)
# The same in sentences, of those who send it as a plain 400, 403 or 429.
_NO_CREDIT_SAID = re.compile(
    r"credit balance is too low|specified API usage limits|"
    r"insufficient (?:credit|balance|fund|quota)|requires more credits|"
    r"credits (?:are|have been) (?:depleted|exhausted)|used all available credits|"
    r"spend(?:ing)? (?:limit|cap)|key limit exceeded|quota will be replenished|"
    r"requires billing to be enabled|budget has been exceeded",
    re.IGNORECASE,
)
_PER_DAY = re.compile(r"per[ _-]?day|\b[RT]PD\b|daily (?:limit|quota|request|token)", re.IGNORECASE)
_NEVER_FREE = re.compile(r"quota exceeded for metric:[^\n]{0,200}?\blimit: 0\b", re.IGNORECASE)
_TOO_LARGE = re.compile(r"\brequest too large\b", re.IGNORECASE)
_BAD_KEY = frozenset({"apikeyinvalid", "invalidapikey", "apikeyexpired"})
_FILTERED = frozenset({"contentfilter", "responsibleaipolicyviolation", "contentpolicyviolation"})
_MODERATED = re.compile(r"requires moderation|\bflagged\b|content polic|moderation", re.IGNORECASE)
_CONTEXT = re.compile(
    r"context[^=]{0,20}(?:length|size)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)
_EXTRA_FOR_LONG = "required for long context requests"  # Anthropic's 429 that no waiting helps
_NOT_THIS_INPUT = re.compile(r"support (?:the requested )?(?:image|audio|file|video|input)")
_MOST_READ = 4000  # characters of a server's words that are looked at
_LETTERS = re.compile(r"[^a-z0-9]+")
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")


class Told(NamedTuple):
    """What a server says about an error.

    Attributes:
        message: Its own words, made short and safe; empty if there are none.
        words: Its codes, types and reasons as lower-case letters and digits.
        text: All that was understood, for looking through.
        wait_s: Seconds to wait as the body has it (Google's way), None if it does not say.
        is_page: True for a page of HTML.
    """

    message: str = ""
    words: frozenset[str] = frozenset()
    text: str = ""
    wait_s: float | None = None
    is_page: bool = False


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    learned: Signals,
    *,
    proven: bool = False,
) -> CallError:
    """The error of a reply that is no 200.

    Args:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
        body: The body.
        learned: What the headers say about limits.
        proven: Whether this key and model have had a good reply. A 403 or 404 is then about
            this row (moderation, a picture for a model that sees none), not about the key.

    Returns:
        The error. Its kind says what would help, its message what to do.
    """
    said = told(body)
    wait_s = learned.retry_after_s
    kind, way_on = _KINDS.get(status), ""
    if kind is None:
        kind = Kind.SERVER_ERROR if status >= 500 else Kind.BAD_REQUEST
    if 300 <= status < 400:
        kind = Kind.REDIRECT
        way_on = "Redirects are not followed, they would hand the row to another address."
        said = Told()
    elif 400 <= status < 500:
        kind, way_on = _closer(kind, status, headers, said, wait_s)
    if kind is Kind.RATE_LIMITED and wait_s is None and said.wait_s is not None:
        wait_s = min(said.wait_s, LONGEST_WAIT_S)
    if proven and status in {403, 404} and kind in {Kind.ACCESS, Kind.NOT_FOUND}:
        kind = Kind.FORBIDDEN
    if said.is_page and kind in {Kind.ACCESS, Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.BAD_REQUEST}:
        way_on = _A_PAGE
    text = f"HTTP {status}: {said.message}" if said.message else f"HTTP {status}."
    way_on = way_on or _WAYS_ON.get(kind, "")
    return CallError(
        kind, f"{text} {way_on}" if way_on else text, status=status, retry_after_s=wait_s
    )


def error_in_200(error: Any, learned: Signals) -> CallError:
    """The error of a reply with status 200 that has an error in it.

    Args:
        error: What is said of it.
        learned: What the headers say about limits.
    """
    said = told_in(error)
    kind = Kind.QUOTA if _no_credit(said) else Kind.BAD_REPLY
    text = f"The server answered 200 with an error: {said.message or 'no reason given'}"
    return CallError(
        kind,
        f"{text} {_WAYS_ON[kind]}" if kind in _WAYS_ON else text,
        status=200,
        retry_after_s=learned.retry_after_s,
    )


def _closer(
    kind: Kind, status: int, headers: Mapping[str, str], said: Told, wait_s: float | None
) -> tuple[Kind, str]:
    """A 4xx by what is said with it: its kind, and the way on where that is not the usual one."""
    if status == 407:
        return kind, _PROXY
    if _no_credit(said):
        return Kind.QUOTA, ""
    if status == 429:
        return _of_a_429(headers, said, wait_s)
    if status in {400, 403, 422} and said.words & _FILTERED:
        return Kind.FILTERED, ""
    if status == 403 and _MODERATED.search(said.text):
        return Kind.FILTERED, ""
    if status in {400, 403} and said.words & _BAD_KEY:
        return Kind.ACCESS, ""
    too_long = "contextlengthexceeded" in said.words or _CONTEXT.search(said.message)
    if kind is Kind.BAD_REQUEST and too_long:
        return Kind.CONTEXT_LENGTH, ""
    if status == 404 and _NOT_THIS_INPUT.search(said.text):
        return Kind.BAD_REQUEST, ""
    return kind, ""


def _of_a_429(headers: Mapping[str, str], said: Told, wait_s: float | None) -> tuple[Kind, str]:
    """Whether waiting helps, and if not, what does."""
    # Whoever names a time that a run can wait for is waited for, quota of the day or not.
    soon = wait_s is not None and wait_s < LONGEST_WAIT_S
    if not soon and (_PER_DAY.search(said.text) or day_is_used_up(headers)):
        return Kind.QUOTA, _DAY_OVER
    if _NEVER_FREE.search(said.text):
        return Kind.QUOTA, ""
    if _EXTRA_FOR_LONG in said.text:
        return Kind.CONTEXT_LENGTH, ""
    if _TOO_LARGE.search(said.text):
        return Kind.TOO_LARGE, "Shorten the prompt or set max_tokens."
    return Kind.RATE_LIMITED, ""


def _no_credit(said: Told) -> bool:
    if said.words & _NO_CREDIT or _NO_CREDIT_SAID.search(said.text):
        return True
    # OpenAI's sentence for an empty account is Google's for a limit by the minute.
    google = "resourceexhausted" in said.words or "ai.google.dev" in said.text
    return "exceeded your current quota" in said.text and not google


def told(body: bytes) -> Told:
    """What a server says in the body of an error."""
    if body.lstrip()[:1] == b"<":
        return Told(is_page=True)
    try:
        data = orjson.loads(body)
    except ValueError:
        return Told()
    return told_in(_inside(data))


def _inside(data: Any) -> Any:
    """The error in a body: of an object, or of Google's list with an object in it."""
    if isinstance(data, list) and data and isinstance(data[0], dict) and "error" in data[0]:
        data = data[0]
    if isinstance(data, dict):
        return data.get("error", data.get("detail", data.get("message", "")))
    return ""


def told_in(error: Any, depth: int = 0) -> Told:
    """What an error object says.

    Args:
        error: The object, a text, or a list of faults.
        depth: How many errors it lies in.
    """
    words: set[str] = set()
    texts: list[str] = []
    wait_s = None
    inner: Any = None
    if isinstance(error, dict):
        names = [error.get(name) for name in ("code", "type", "status", "reason")]
        code = next((str(name) for name in names[:2] if name), "")
        for detail in _objects(error.get("details")) + _objects(error.get("innererror")):
            names += [detail.get("reason"), detail.get("code")]
            texts += [str(v.get("quotaId", "")) for v in _objects(detail.get("violations"))]
            found = _SECONDS.fullmatch(str(detail.get("retryDelay", ""))[:20])
            wait_s = float(found[1]) if found else wait_s
        words = {word for name in names if (word := _letters(name))}
        metadata = error.get("metadata")
        inner = metadata.get("raw") if isinstance(metadata, dict) else None
        error = error.get("message") or code
    if isinstance(error, list):  # a list of faults may quote the request: take their words alone
        faults = (fault.get("msg") for fault in error[:3] if isinstance(fault, dict))
        error = "; ".join(fault for fault in faults if isinstance(fault, str))
    message = error if isinstance(error, str) else ""
    # A proxy hands the provider's own error on as a text: in place of its words, or beside them.
    within = None if depth > 1 else _wrapped(inner) or _wrapped(message)
    if within is not None:
        deeper = told_in(within, depth + 1)
        if deeper.message or deeper.words:
            best = deeper.message or shown(message)
            text = "\n".join([message[:_MOST_READ], deeper.text, *texts])
            return Told(best, deeper.words | words, text, deeper.wait_s or wait_s)
    elif isinstance(inner, str) and inner.strip():
        message = f"{message}: {inner}" if message else inner
    text = "\n".join([message[:_MOST_READ], *texts])
    return Told(shown(message), frozenset(words), text, wait_s)


def _objects(value: Any) -> list[dict[str, Any]]:
    found = value[:20] if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, dict)]


def _letters(name: Any) -> str:
    return _LETTERS.sub("", str(name).lower()[:80]) if isinstance(name, str) else ""


def _wrapped(text: Any) -> Any:
    """The error inside a text that is JSON itself, or None."""
    if not isinstance(text, str) or text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return _inside(orjson.loads(text)) or None
    except ValueError:
        return None
