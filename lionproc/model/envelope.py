"""What an HTTP reply means. Pure: status, headers and bytes in, a `Reply` or a text out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from lionproc.engine.adapt import Signals
from lionproc.engine.limiter import Tokens
from lionproc.engine.request import Reply
from lionproc.errors import CallError, Kind
from lionproc.model.headers import signals as read_signals

_KINDS = {
    401: Kind.ACCESS,
    402: Kind.ACCESS,
    403: Kind.ACCESS,
    404: Kind.NOT_FOUND,
    408: Kind.SERVER_ERROR,
    409: Kind.SERVER_ERROR,
    429: Kind.RATE_LIMITED,
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}
_WAYS_ON = {
    Kind.ACCESS: "The server refuses the key: check api_key= or the provider's key variable.",
    Kind.NOT_FOUND: "The server does not know this model or path: check model= and base_url=.",
    Kind.CONTEXT_LENGTH: "The prompt is longer than the model reads: shorten it.",
}
_NO_CREDIT = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
}
_CONTEXT = re.compile(
    r"context.{0,20}(?:length|size)|maximum context|too many tokens|prompt is too long",
    re.IGNORECASE,
)
# Why an answer ended, in the words of servers that are not OpenAI's own.
_ENDINGS = {
    "length": Kind.TRUNCATED,
    "max_tokens": Kind.TRUNCATED,
    "max_output_tokens": Kind.TRUNCATED,
    "max_length": Kind.TRUNCATED,
    "model_length": Kind.TRUNCATED,
    "model_context_window_exceeded": Kind.TRUNCATED,
    "content_filter": Kind.FILTERED,
    "content_filtered": Kind.FILTERED,
    "guardrail_intervened": Kind.FILTERED,
    "safety": Kind.FILTERED,
    "recitation": Kind.FILTERED,
    "blocklist": Kind.FILTERED,
    "prohibited_content": Kind.FILTERED,
    "spii": Kind.FILTERED,
    "refusal": Kind.REFUSED,
    "tool_calls": Kind.TOOL_CALL,
    "tool_use": Kind.TOOL_CALL,
    "function_call": Kind.TOOL_CALL,
    "malformed_function_call": Kind.TOOL_CALL,
    "error": Kind.BAD_REPLY,
    "abort": Kind.BAD_REPLY,
    "cancelled": Kind.BAD_REPLY,
}
_WHY_NOT = {
    Kind.TRUNCATED: "The answer was cut off at the token limit: raise max_tokens.",
    Kind.FILTERED: "The provider's content filter held the answer back.",
    Kind.REFUSED: "The model declined to answer.",
    Kind.TOOL_CALL: "The model called a tool instead of answering.",
    Kind.BAD_REPLY: "The server broke the answer off with an error.",
}
_MOST_TOKENS = 10**9  # a server that counts more in one reply counts wrongly
_SECRET = re.compile(
    r"\b(?:sk|pk|rk|gsk|key|xai)[-_][\w-]{8,}|\bAIza[\w-]{10,}|\bBearer\s+\S+", re.IGNORECASE
)


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Reply:
    """Tell an answer that was paid for from everything else.

    Args:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
        body: The whole body.

    Returns:
        A paid reply (parsed, with its usage), or one with its `error`.

    Example:
        >>> classify(200, {}, b"<html>please log in</html>").error.kind
        <Kind.BAD_REPLY: 'bad_reply'>
    """
    learned = read_signals(headers)
    if status != 200:
        return Reply(_refusal(status, body, learned), raw=body, signals=learned)
    try:
        data = orjson.loads(body)
    except ValueError:
        kind = "HTML" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        return _unreadable(f"The server answered 200 with {kind}.", learned)
    if not isinstance(data, dict):
        return _unreadable("The server answered 200 with JSON that is no object.", learned)
    if data.get("error"):
        return Reply(_error_in_200(data["error"], learned), raw=body, signals=learned)
    choices = data.get("choices")
    if not isinstance(choices, list):
        return _unreadable("The server answered 200 without any choices.", learned)
    used = _usage(data.get("usage"))
    if not choices and used is None:
        return _unreadable("The server answered 200 with no choice in it.", learned)
    if choices and isinstance(choices[0], dict) and choices[0].get("error"):
        # A proxy's upstream failed half way (OpenRouter says it like this).
        return Reply(_error_in_200(choices[0]["error"], learned), raw=body, signals=learned)
    model = data.get("model")
    return Reply(
        raw=body,
        data=data,
        model=model[:200] if isinstance(model, str) else "",
        used=used,
        signals=learned,
    )


def text_of(data: Any) -> str:
    """The text of a paid reply.

    Args:
        data: The parsed body.

    Returns:
        The message's text, not empty.

    Raises:
        CallError: It is cut off, filtered, refused, a tool call or empty.
    """
    choices = data.get("choices") if isinstance(data, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise CallError(Kind.EMPTY, "The reply has no choice in it.")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise CallError(Kind.EMPTY, "The reply has no message in it.")
    finish = choice.get("finish_reason")
    if finish != "stop":
        kind = _ENDINGS.get(finish.lower()) if isinstance(finish, str) else None
        if kind is not None:
            raise CallError(kind, _WHY_NOT[kind])
    if message.get("refusal"):
        raise CallError(Kind.REFUSED, _WHY_NOT[Kind.REFUSED])
    content = message.get("content")
    if isinstance(content, list):  # some servers answer in parts
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(text for text in texts if isinstance(text, str))
    if not content and message.get("tool_calls"):
        raise CallError(Kind.TOOL_CALL, _WHY_NOT[Kind.TOOL_CALL])
    if not isinstance(content, str) or not content.strip():
        raise CallError(Kind.EMPTY, "The answer is empty.")
    return content


def _refusal(status: int, body: bytes, learned: Signals) -> CallError:
    message, code = _told(body)
    kind = _KINDS.get(status)
    if kind is None:
        if status >= 500:
            kind = Kind.SERVER_ERROR
        elif 300 <= status < 400:
            kind = Kind.REDIRECT
            message = "Redirects are not followed, they would hand the row to another address."
        else:
            kind = Kind.BAD_REQUEST
    if kind is Kind.BAD_REQUEST and (code == "context_length_exceeded" or _CONTEXT.search(message)):
        kind = Kind.CONTEXT_LENGTH
    way_on = _WAYS_ON.get(kind)
    if status == 402 or (status == 429 and code in _NO_CREDIT):
        kind = Kind.ACCESS  # waiting does not bring money
        way_on = "The account has no credit left: add some, then run the same cell again."
    text = f"HTTP {status}: {message}" if message else f"HTTP {status}."
    if way_on is not None:
        text = f"{text} {way_on}"
    return CallError(kind, text, status=status, retry_after_s=learned.retry_after_s)


def _error_in_200(error: Any, learned: Signals) -> CallError:
    message, _ = _told_in(error)
    return CallError(
        Kind.BAD_REPLY,
        f"The server answered 200 with an error: {message or 'no reason given'}",
        status=200,
        retry_after_s=learned.retry_after_s,
    )


def _unreadable(message: str, learned: Signals) -> Reply:
    return Reply(CallError(Kind.BAD_REPLY, message, status=200), signals=learned)


def _told(body: bytes) -> tuple[str, str]:
    """The server's own words about an error, made short and safe, and its code."""
    try:
        data = orjson.loads(body)
    except ValueError:
        return "", ""
    if isinstance(data, dict):
        return _told_in(data.get("error", data.get("detail", data.get("message", ""))))
    return "", ""


def _told_in(error: Any) -> tuple[str, str]:
    code = ""
    if isinstance(error, dict):
        code = str(error.get("code") or error.get("type") or "")
        error = error.get("message") or code
    if isinstance(error, list):  # a list of faults may quote the request: take their words alone
        faults = (fault.get("msg") for fault in error[:3] if isinstance(fault, dict))
        error = "; ".join(fault for fault in faults if isinstance(fault, str))
    if not isinstance(error, str):
        return "", code
    message = " ".join(_SECRET.sub("[key]", error).split())
    message = "".join(letter for letter in message if letter.isprintable())
    return (message[:197] + "..." if len(message) > 200 else message), code


def _usage(usage: Any) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    written = usage.get("completion_tokens", usage.get("output_tokens"))
    if not (type(read) is int and 0 <= read <= _MOST_TOKENS):
        return None
    return Tokens(read, written if type(written) is int and 0 <= written <= _MOST_TOKENS else 0)
