"""What a reply that is no 200 means: pure, from status, headers and body to a `CallError`.

Providers spell the same thing in many ways: a bad key is a 401 or a 400, an empty account a 402,
a 429, a 403 or a 400, and some wrap the error in a list or in a text. What must not be mixed up is
what helps: waiting, another row, another key, or money.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from lionproc.engine.quotas import Signals
from lionproc.engine.retry import FATAL
from lionproc.errors import CallError, Kind
from lionproc.model.headers import LONGEST_WAIT_S, WAIT_BEGUN, day_is_used_up, words_s
from lionproc.model.quotation import plainly, unquoted
from lionproc.model.told import Told, told, told_in
from lionproc.model.wire import PROXY_LOGIN

__all__ = ["CHECK_WAY", "NO_HTTP", "error_in_200", "is_for_all", "refusal"]

_KINDS = {
    401: Kind.ACCESS,
    402: Kind.QUOTA,
    403: Kind.ACCESS,
    404: Kind.NOT_FOUND,
    407: Kind.ACCESS,
    408: Kind.SERVER_ERROR,
    409: Kind.SERVER_ERROR,
    410: Kind.NOT_FOUND,  # Azure's, for a model that is retired
    413: Kind.TOO_LARGE,
    424: Kind.SERVER_ERROR,  # of servers whose model failed behind them
    425: Kind.SERVER_ERROR,
    429: Kind.RATE_LIMITED,
    498: Kind.NO_CAPACITY,  # Groq's, for its cheaper tier
    499: Kind.SERVER_ERROR,  # a gateway gave up waiting
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}
WAYS_ON = {
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
_AFFORD = "can only afford"  # OpenRouter, where the credit would do for a shorter answer
_NOT_LOADED = (
    "The server cannot load this model: load it there, free memory, or name another model."
)
_NOT_HERE = "The provider does not serve the country that this machine connects from."
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
        "openrouterguardrailbudget",
        "openrouterworkspacebudget",
        "openrouterkeylimit",
        "openroutercredits",
    }
)
# The same in sentences, of those who send it as a plain 400, 403 or 429.
_NO_CREDIT_SAID = re.compile(
    r"credit balance is too low|specified API usage limits|"
    r"insufficient (?:credit|balance|fund|quota)|requires more credits|"
    r"credits (?:are|have been) (?:depleted|exhausted)|used all available credits|"
    r"spend(?:ing)? (?:limit|cap)|key limit exceeded|quota will be replenished|"
    r"requires billing to be enabled|budget has been exceeded|exceeded ?budget\b|"
    r"budget limit exceeded",
    re.IGNORECASE,
)
_PER_DAY = re.compile(r"per[ _-]?day|\b[RT]PD\b|daily (?:limit|quota|request|token)", re.IGNORECASE)
_ZERO = re.compile(r"\blimit: 0\b", re.IGNORECASE)
_NEVER_FREE = re.compile(r"quota exceeded for metric:[^\n]{0,200}?\blimit: 0\b", re.IGNORECASE)
_TOO_LARGE = re.compile(r"\brequest too large\b", re.IGNORECASE)
# OpenAI's 429 for "flex": the tier has no room now, and the pace is not at fault.
_NO_CAPACITY = frozenset({"resourceunavailable"})
_NO_CAPACITY_SAID = re.compile(r"\bresource[ _]unavailable\b", re.IGNORECASE)
_IN_FLIGHT = "openrouterinflightbudget"  # a 402 that passes when what is under way is paid
# Too many at once: Moonshot, Zhipu (also in Chinese), Anthropic, Ollama and its cloud, gateways. The
# last one is LiteLLM's, which counts requests and tokens by the minute in a sentence much like it.
_AT_ONCE = re.compile(
    r"(?<![a-z])concurren(?:cy|t)(?![a-z])|并发|maximum pending requests|"
    r"\b(?:simultaneous|parallel|in[- ]flight) (?:requests|connections|calls)|"
    r"limit type: max_parallel_requests",
    re.IGNORECASE,
)
# Whoever names these limits fewer at once as a way to keep to them.
_PER_TIME = re.compile(r"\bper (?:second|minute|hour|min|sec)\b|\b[RT]P[MS]\b", re.IGNORECASE)
_LIMIT_TYPE = "rate_limit_type"  # LiteLLM's header
_BAD_KEY = frozenset({"apikeyinvalid", "invalidapikey", "apikeyexpired", "consumersuspended"})
_KEY_IS_OVER = re.compile(
    r"api key (?:was|is|has been|has) (?:reported as leaked|expired|revoked|disabled|deleted)",
    re.IGNORECASE,
)
_ABROAD = re.compile(
    r"location is not supported|country, region, or territory not supported", re.IGNORECASE
)
_UNLOADED = re.compile(
    r"no models? (?:is |are )?loaded|model (?:is |was )?unloaded|failed to load model|"
    r"model requires more (?:system|gpu) memory",
    re.IGNORECASE,
)
_FILTERED = frozenset({"contentfilter", "responsibleaipolicyviolation", "contentpolicyviolation"})
_MODERATED = re.compile(r"requires moderation|\bflagged\b|content polic|moderation", re.IGNORECASE)
# A prompt that is too long, in the words of each server. Checked on what it says, not on codes.
_CONTEXT = re.compile(
    r"context[^=]{0,20}(?:length|size|limit|window)|maximum context|too many tokens|"
    r"prompt is too long|input is too long|prompt exceeds max|maximum prompt length|"
    r"exceeds the maximum number of tokens|exceeded model token limit|"
    r"range of input length|tokens`? \+ `?max_(?:new_)?tokens|"
    r"max_tokens must be at least 1, got -",
    re.IGNORECASE,
)
_CONTEXT_IN_500 = re.compile(
    r"context size (?:has been exceeded|\()|available context size", re.IGNORECASE
)
_CONTEXT_CODES = frozenset({"contextlengthexceeded", "exceedcontextsizeerror"})
NO_HTTP = "What came is not a valid HTTP reply to a question."
CHECK_WAY = "Check the address and the port of base_url=, and whether a proxy stands in between."
_STATUSES = frozenset(map(str, range(400, 500)))
_WAITED_FOR = frozenset({Kind.RATE_LIMITED, Kind.OVERLOADED, Kind.NO_CAPACITY})
_EXTRA_FOR_LONG = "required for long context requests"  # Anthropic's 429 that no waiting helps
_NOT_THIS_INPUT = re.compile(r"support (?:the requested )?(?:image|audio|file|video|input)")


# What a refusal is judged by that ends a run, or makes all of it wait.
_SAYINGS = (
    *(_AT_ONCE, _PER_TIME, _ZERO),
    *(_NO_CREDIT_SAID, _PER_DAY, _NEVER_FREE, _NO_CAPACITY_SAID, _KEY_IS_OVER, _ABROAD, _UNLOADED),
    re.compile(r"exceeded your current quota"),
    WAIT_BEGUN,
)
_CODES = _NO_CREDIT | _BAD_KEY | _NO_CAPACITY | {_IN_FLIGHT}  # the same, of codes
_MOST_LOOKED_AT = 16_000  # characters of what is said


def _own(said: Told, row: str) -> Told:
    """What is said, to be judged without what it quotes of a row.

    A short cell is quoted with nothing beside it by which a quotation is known, so the sayings
    that stand in the row, too, are not heard at all, in whatever way either writes them; and no
    codes and times, as a row may be an error itself.
    """
    if not row:
        return said
    text = unquoted(said.text[:_MOST_LOOKED_AT], row)
    heard, plain = cache(row.lower), cache(lambda: plainly(row))  # a row may be long

    @cache
    def is_quoted(saying: str) -> bool:
        return saying in heard() or plainly(saying) in plain()

    def spared(found: re.Match[str]) -> str:
        return "..." if is_quoted(found[0].lower()) else found[0]

    for saying in _SAYINGS:
        text = saying.sub(spared, text)
    words, wait_s = said.words, said.wait_s
    if words & _CODES or wait_s is not None:
        letters = plain().replace(" ", "")
        words = frozenset(word for word in words if word not in _CODES or word not in letters)
        wait_s = None if "retrydelay" in letters else wait_s
    return said._replace(text=text, words=words, wait_s=wait_s)


def refusal(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    learned: Signals,
    *,
    proven: bool = False,
    row: str = "",
) -> CallError:
    """The error of a reply that is no 200.

    Args:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
        body: The body.
        learned: What the headers say about limits.
        proven: Whether this key and model have had a good reply. A 403 or 404 is then about
            this row (moderation, a picture for a model that sees none), not about the key, and a
            401 may be.
        row: What was asked, if it is not to be judged by what it quotes of that.

    Returns:
        The error. Its kind says what would help, its message what to do.
    """
    if not 200 <= status < 600 or status == 304:  # a question is no condition, and no upgrade
        kind = Kind.SERVER_ERROR if status >= 600 else Kind.BAD_REQUEST
        return CallError(kind, f"HTTP {status}: {NO_HTTP}", status=status, hint=CHECK_WAY)
    return _meant(status, headers, _own(told(body), row), learned, proven=proven)


def _meant(
    status: int, headers: Mapping[str, str], said: Told, learned: Signals, *, proven: bool
) -> CallError:
    wait_s = learned.retry_after_s
    kind, way_on = _KINDS.get(status), ""
    if kind is None:
        kind = Kind.SERVER_ERROR if status >= 500 else Kind.BAD_REQUEST
        kind = Kind.BAD_REPLY if 200 <= status < 300 else kind  # a success that brings nothing
    if 300 <= status < 400:
        kind = Kind.REDIRECT
        way_on = "Redirects are not followed, they would hand the row to another address."
        said = Told()
    elif _UNLOADED.search(said.text):
        # Somebody may load it again while a run waits; where it never answered, nobody will.
        kind, way_on = Kind.OVERLOADED if proven else Kind.NOT_FOUND, _NOT_LOADED
    elif 400 <= status < 500:
        kind, way_on = _closer(kind, status, headers, said, wait_s)
    elif said.words & _CONTEXT_CODES or _CONTEXT_IN_500.search(said.message):
        kind = Kind.CONTEXT_LENGTH
    at_once = kind in {Kind.RATE_LIMITED, Kind.OVERLOADED} and _is_of_concurrency(headers, said)
    if at_once:
        kind, wait_s = Kind.RATE_LIMITED, None
    elif kind in {Kind.RATE_LIMITED, Kind.OVERLOADED} and wait_s is None:
        said_s = words_s(said.text) if said.wait_s is None else said.wait_s
        wait_s = None if said_s is None else min(said_s, LONGEST_WAIT_S)
    about_all = bool(way_on)  # it says itself that no other row would fare better
    row_s = status in {403, 404} and kind in {Kind.ACCESS, Kind.NOT_FOUND} and not about_all
    if row_s and proven:
        kind = Kind.FORBIDDEN
    if said.is_page and kind in {Kind.ACCESS, Kind.NOT_FOUND, Kind.FORBIDDEN, Kind.BAD_REQUEST}:
        way_on = _A_PAGE
    text = f"HTTP {status}: {said.message}" if said.message else f"HTTP {status}."
    way_on = way_on or WAYS_ON.get(kind, "")
    return CallError(
        kind,
        f"{text} {way_on}" if way_on else text,
        status=status,
        retry_after_s=wait_s,
        at_once=at_once,
        may_be_of_row=(row_s and not proven) or _may_be_of_row(status, text, proven=proven),
    )


def _may_be_of_row(status: int, text: str, *, proven: bool) -> bool:
    """Whether credit may do for another row, or another way to the model has a key that is good."""
    return status in {401, 402} and (proven or _AFFORD in text)


def _is_of_concurrency(headers: Mapping[str, str], said: Told) -> bool:
    """Whether a refusal is about the requests in flight, and not about those of a minute."""
    limit_type = headers.get(_LIMIT_TYPE)
    if limit_type is not None:
        return limit_type == "max_parallel_requests"
    return bool(_AT_ONCE.search(said.text)) and not _PER_TIME.search(said.text)


def error_in_200(error: object, learned: Signals, row: str = "") -> CallError:
    """The error of a reply with status 200 that has an error in it.

    Args:
        error: What is said of it.
        learned: What the headers say about limits.
        row: See `refusal`.
    """
    said = _own(told_in(error), row)
    code = _status_in(error)
    if code is not None:
        # It had taken the request, key included, and passes on what became of it.
        kind = _meant(code, {}, said, learned, proven=True).kind
    elif _no_credit(said):
        kind = Kind.QUOTA
    else:
        kind = Kind.CONTEXT_LENGTH if _is_too_long(said) else Kind.BAD_REPLY
    text = f"The server answered 200 with an error: {said.message or 'no reason given'}"
    return CallError(
        kind,
        f"{text} {WAYS_ON[kind]}" if kind in WAYS_ON else text,
        status=200,
        retry_after_s=learned.retry_after_s,
        may_be_of_row=True,  # whoever answers 200 has let the key and the model pass
    )


def is_for_all(error: CallError, headers: Mapping[str, str]) -> bool:
    """Whether a refusal ends the run, or by its words makes all of it wait.

    Args:
        error: The refusal.
        headers: Those it came with.
    """
    if error.at_once:
        return True
    if error.kind in _WAITED_FOR:
        return "retry-after" not in headers or error.status != 429
    return error.kind in FATAL


def _status_in(error: object) -> int | None:
    """The status of a 4xx that a router or a server put into a 200."""
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, bool) or not isinstance(code, (int, str)):
        return None
    return int(code) if str(code) in _STATUSES else None


def _is_too_long(said: Told) -> bool:
    return bool(said.words & _CONTEXT_CODES or _CONTEXT.search(said.message))


def _closer(
    kind: Kind, status: int, headers: Mapping[str, str], said: Told, wait_s: float | None
) -> tuple[Kind, str]:
    """A 4xx by what is said with it: its kind, and the way on where that is not the usual one."""
    if status == 407:
        return kind, PROXY_LOGIN
    if _IN_FLIGHT in said.words:
        return Kind.RATE_LIMITED, ""
    if _no_credit(said):
        return Kind.QUOTA, ""
    if status == 429:
        return _of_a_429(headers, said, wait_s)
    if status in {400, 403, 422} and _is_filtered(status, said):
        return Kind.FILTERED, ""
    if status in {400, 403} and (way_on := _no_access(said)):
        return Kind.ACCESS, way_on
    if (kind is Kind.BAD_REQUEST or status == 403) and _is_too_long(said):
        return Kind.CONTEXT_LENGTH, ""
    if status == 404 and _NOT_THIS_INPUT.search(said.text):
        return Kind.BAD_REQUEST, ""
    return kind, ""


def _is_filtered(status: int, said: Told) -> bool:
    if said.words & _FILTERED:
        return True
    return (status == 403 or "invalidprompt" in said.words) and bool(_MODERATED.search(said.text))


def _no_access(said: Told) -> str:
    """The way on where the key or the place is refused, whatever it was good for before."""
    if said.words & _BAD_KEY or _KEY_IS_OVER.search(said.text):
        return WAYS_ON[Kind.ACCESS]
    return _NOT_HERE if _ABROAD.search(said.text) else ""


def _of_a_429(headers: Mapping[str, str], said: Told, wait_s: float | None) -> tuple[Kind, str]:
    """Whether waiting helps, and if not, what does."""
    if said.words & _NO_CAPACITY or _NO_CAPACITY_SAID.search(said.text):
        return Kind.NO_CAPACITY, ""
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
