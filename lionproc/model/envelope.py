"""What an HTTP reply means. Pure: status, headers and bytes in, a `Reply` or a text out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from lionproc.engine.adapt import Signals
from lionproc.engine.limiter import Tokens
from lionproc.engine.request import Reply
from lionproc.errors import CallError, Kind
from lionproc.model.headers import signals as read_signals
from lionproc.model.refusal import error_in_200, refusal

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


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, proven: bool = False
) -> Reply:
    """Tell an answer that was paid for from everything else.

    Args:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
        body: The whole body.
        proven: Whether this key and model have had a good reply; see `refusal`.

    Returns:
        A paid reply (parsed, with its usage), or one with its `error`.

    Example:
        >>> classify(200, {}, b"<html>please log in</html>").error.kind
        <Kind.BAD_REPLY: 'bad_reply'>
    """
    learned = read_signals(headers)
    if status != 200:
        return Reply(
            refusal(status, headers, body, learned, proven=proven), raw=body, signals=learned
        )
    try:
        data = orjson.loads(body)
    except ValueError:
        kind = "HTML" if body.lstrip()[:1] == b"<" else "something that is not JSON"
        return _unreadable(f"The server answered 200 with {kind}.", learned)
    if not isinstance(data, dict):
        return _unreadable("The server answered 200 with JSON that is no object.", learned)
    if data.get("error"):
        return Reply(error_in_200(data["error"], learned), raw=body, signals=learned)
    choices = data.get("choices")
    if not isinstance(choices, list):
        return _unreadable("The server answered 200 without any choices.", learned)
    used = _usage(data.get("usage"))
    if not choices and used is None:
        return _unreadable("The server answered 200 with no choice in it.", learned)
    if choices and isinstance(choices[0], dict) and choices[0].get("error"):
        # A proxy's upstream failed half way (OpenRouter says it like this).
        return Reply(error_in_200(choices[0]["error"], learned), raw=body, signals=learned)
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


def _unreadable(message: str, learned: Signals) -> Reply:
    return Reply(CallError(Kind.BAD_REPLY, message, status=200), signals=learned)


def _usage(usage: Any) -> Tokens | None:
    if not isinstance(usage, dict):
        return None
    read = usage.get("prompt_tokens", usage.get("input_tokens"))
    written = usage.get("completion_tokens", usage.get("output_tokens"))
    if not (type(read) is int and 0 <= read <= _MOST_TOKENS):
        return None
    return Tokens(read, written if type(written) is int and 0 <= written <= _MOST_TOKENS else 0)
