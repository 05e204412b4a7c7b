"""What an HTTP reply means. Pure: status, headers and bytes in, a `Reply` or a text out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from lionproc.engine.quotas import Signals
from lionproc.engine.request import Reply
from lionproc.errors import CallError, Kind
from lionproc.model.body import is_event_stream, is_known, is_thought, joined, parsed
from lionproc.model.endings import WHY_NOT, broken_off, check_ending
from lionproc.model.headers import signals as read_signals
from lionproc.model.refusal import error_in_200, refusal
from lionproc.model.thoughts import are_quoted, without_thoughts
from lionproc.model.usage import counted, usage_of
from lionproc.model.validate import whole_characters

_REASONING = ("reasoning_content", "reasoning", "reasoning_details")
_RAISE = "Raise max_tokens, or let the model reason less (reasoning_effort)."


def classify(
    status: int, headers: Mapping[str, str], body: bytes, *, proven: bool = False, row: str = ""
) -> Reply:
    """Tell an answer that was paid for from everything else.

    Args:
        status: The HTTP status.
        headers: The headers, looked up without regard to case.
        body: The whole body.
        proven: Whether this key and model have had a good reply; see `refusal`.
        row: What was asked, if a refusal is not to be judged by what it quotes of that.

    Returns:
        A paid reply (parsed, with its usage), or one with its `error`.

    Example:
        >>> classify(200, {}, b"<html>please log in</html>").error.kind
        <Kind.BAD_REPLY: 'bad_reply'>
    """
    learned = read_signals(headers)
    refused = None
    if status != 200:
        refused = refusal(status, headers, body, learned, proven=proven, row=row)
        if refused.at_once:  # the time that is named with it is of another limit
            learned = replace(learned, retry_after_s=None, at_once=True)
        elif learned.retry_after_s is None and refused.retry_after_s is not None:
            learned = replace(learned, retry_after_s=refused.retry_after_s)  # said in words
        # Some gateways answer 201, and what was paid for counts.
        may_be_one = 200 <= status < 300 or (status == 400 and b'"failed_generation"' in body)
        if not may_be_one:
            return Reply(refused, raw=body, signals=learned)
    data: Any = None
    problem: CallError | None
    try:
        data = parsed(body)
        problem = _no_completion(data, learned, row)
    except ValueError:
        problem = _unreadable(body)
    if refused is not None and problem is not None:
        return Reply(refused, raw=body, signals=learned)
    if not isinstance(data, dict):
        return Reply(problem, raw=body, signals=learned)
    model, usage = data.get("model"), usage_of(data)
    return Reply(
        problem,
        raw=body,
        data=None if problem is not None else data,
        model=whole_characters(model[:200]) if isinstance(model, str) else "",
        used=None if usage is None else usage.tokens,
        usage=usage,
        signals=learned,
    )


def _unreadable(body: bytes) -> CallError:
    """Why a 200 cannot be read, and with it whether another attempt may help."""
    if is_event_stream(body):
        message = (
            "The server answered with a stream of events that cannot be read as one answer; "
            "nobody asked it to stream."
        )
        return CallError(Kind.UNREADABLE, message, status=200)
    kind = "HTML" if body[:64].lstrip()[:1] == b"<" else "something that is not JSON"
    return CallError(Kind.BAD_REPLY, f"The server answered 200 with {kind}.", status=200)


def _no_completion(data: object, learned: Signals, row: str) -> CallError | None:
    """Why JSON is no chat completion, or one that the server did not finish."""
    if not isinstance(data, dict):
        return _bad_reply("The server answered 200 with JSON that is no object.")
    if data.get("error"):
        return error_in_200(data["error"], learned, row)
    choices = data.get("choices")
    if not isinstance(choices, list):
        return _bad_reply("The server answered 200 without any choices.")
    if not choices and counted(data.get("usage")) is None:
        return _bad_reply("The server answered 200 with no choice in it.")
    first = choices[0] if choices else None
    if isinstance(first, dict):
        if first.get("error"):
            # A proxy's upstream failed half way (OpenRouter says it like this).
            return error_in_200(first["error"], learned, row)
        word = broken_off(first)
        if word is not None:
            return _bad_reply(f"The server broke the answer off ({word!r}).")
    return None


def _bad_reply(message: str) -> CallError:
    return CallError(Kind.BAD_REPLY, message, status=200)


def text_of(data: object, also_good: Collection[str | None] = (), asked: bytes = b"") -> str:
    """The text of a paid reply, without the thoughts before it.

    Args:
        data: The parsed body.
        also_good: Endings that are good at this server, besides those that are known; see
            `endings.check_ending`.
        asked: The messages as JSON; what a reply quotes of them is no thought.

    Returns:
        The message's text, not empty.

    Raises:
        CallError: It is cut off, filtered, refused, a tool call or empty, or nobody knows what
            its ending means.
    """
    choice = _choice(data)
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}  # as where a filter held it back; its ending says more
    content = joined(message.get("content"))
    text = content if isinstance(content, str) else ""
    answer = without_thoughts(text)
    if len(answer) < len(text) and are_quoted(text, answer, asked):
        answer = text
    has_answer = bool(answer) and not answer.isspace()
    only_thoughts = not has_answer and (_reasoning(message) or bool(text.strip()))
    try:
        check_ending(choice, also_good)
    except CallError as error:
        if only_thoughts and error.kind is Kind.TRUNCATED:
            reason = "The token limit was reached while it still reasoned."
            raise CallError(Kind.TRUNCATED, reason, hint=_RAISE) from None
        if has_answer or error.kind is not Kind.UNKNOWN_ENDING:
            raise
    _check_pieces(message)
    if has_answer:
        return answer
    if message.get("tool_calls"):
        raise CallError(Kind.TOOL_CALL, WHY_NOT[Kind.TOOL_CALL])
    if only_thoughts:
        reason = "The reply is all reasoning and has no answer."
        raise CallError(Kind.EMPTY, reason, hint=_RAISE)
    raise CallError(Kind.EMPTY, "The answer is empty.")


def _choice(data: Any) -> dict[str, Any]:
    body = data if isinstance(data, dict) else {}
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if isinstance(choice, dict):
        return choice
    feedback = body.get("promptFeedback")  # Gemini's, beside an empty list
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        raise CallError(Kind.FILTERED, WHY_NOT[Kind.FILTERED])
    raise CallError(Kind.EMPTY, "The reply has no choice in it.")


def _check_pieces(message: Mapping[str, object]) -> None:
    """Raise where the message, or a piece of it, is a refusal or cannot be read."""
    content = message.get("content")
    pieces = content if isinstance(content, list) else []
    # The Responses API names a refusal like this.
    refuses = any(isinstance(part, dict) and part.get("type") == "refusal" for part in pieces)
    if refuses or message.get("refusal"):
        raise CallError(Kind.REFUSED, WHY_NOT[Kind.REFUSED])
    if not all(map(is_known, pieces)):
        raise CallError(Kind.UNREADABLE, "A piece of the answer is neither a text nor a thought.")


def _reasoning(message: Mapping[str, object]) -> bool:
    """Whether the server sent thoughts apart from the answer."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    return any(message.get(name) for name in _REASONING) or any(
        isinstance(part, dict) and is_thought(part) for part in parts
    )
