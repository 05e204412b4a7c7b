"""What the test server says: answers, the chat-completions envelope and error objects.

Everything here is a pure function of the request, so a run repeats exactly.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lionproc.schema_sample import instance

__all__ = ["Answer", "Completion", "answer_to", "completion", "error_object", "prompt_text"]

Answer = str | Mapping[str, Any] | Callable[[dict[str, Any]], str | Mapping[str, Any]]


@dataclass(slots=True)
class Completion:
    """The parts of one reply, open to be spoilt by a fault before they are encoded.

    Attributes:
        message: The assistant's message: role, content, refusal.
        finish_reason: "stop", "length", "content_filter" or "tool_calls"; None says nothing.
        prompt_tokens: Tokens of the request.
        completion_tokens: Tokens of the answer.
        usage: The whole usage, where the server charges for it.
        tier: The tier that served it; empty says nothing.
        logprobs: The tokens with their log-probabilities; None says nothing.
    """

    message: dict[str, Any]
    finish_reason: str | None
    prompt_tokens: int
    completion_tokens: int
    usage: dict[str, Any] | None = None
    tier: str = ""
    logprobs: list[dict[str, object]] | None = None

    def encode(self, n: int, created: int, model: str, usage: Any, choices: int = 1) -> bytes:
        """The chat-completions object as JSON.

        Args:
            n: Number of the request, becomes part of the id.
            created: Unix time in seconds.
            model: The model that was asked for.
            usage: Whether to tell the tokens; neither True nor False is told as it is.
            choices: How many choices; only a fault asks for none.

        Returns:
            The body of the reply.
        """
        envelope: dict[str, Any] = {
            "id": f"chatcmpl-test{n:012d}",
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": self.message,
                    "logprobs": self.logprobs and {"content": self.logprobs, "refusal": None},
                    "finish_reason": self.finish_reason,
                }
            ][:choices],
            "system_fingerprint": "fp_lionproc_testing",
        }
        if usage is not True and usage is not False:
            envelope["usage"] = usage
        elif usage:
            envelope["usage"] = self.usage or {
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": self.completion_tokens,
                "total_tokens": self.prompt_tokens + self.completion_tokens,
            }
        if self.tier:
            envelope["service_tier"] = self.tier
        return orjson.dumps(envelope)


def prompt_text(body: Mapping[str, Any]) -> str:
    """All text of a request's messages, in order, as a tokenizer would read it.

    Example:
        >>> prompt_text({"messages": [{"role": "user", "content": "Hello"}]})
        'Hello'
    """
    messages = body["messages"]
    if len(messages) == 1 and isinstance(messages[0].get("content"), str):
        return str(messages[0]["content"])
    return "".join(_text(message) for message in messages)


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
    return ""


def default_tokens(text: str) -> int:
    """Four characters to a token, the rule of thumb OpenAI gives for English.

    Source: help.openai.com, "What are tokens and how to count them?".
    """
    return math.ceil(len(text) / 4)


def answer_to(body: dict[str, Any], answer: Answer | None) -> str:
    """The text of the reply.

    Args:
        body: The request, parsed.
        answer: What the user asked to be said, or None for the defaults.

    Returns:
        With `answer`, that. Otherwise an instance of the JSON Schema of `response_format`, derived
        from a hash of the messages; without a schema, an echo of the last user text.
    """
    if callable(answer):
        answer = answer(body)
    if isinstance(answer, str):
        return answer
    if answer is not None:
        return orjson.dumps(answer).decode()
    asked = body.get("response_format") or {}
    if asked.get("type") == "json_schema":
        schema = asked.get("json_schema", {}).get("schema", {})
        digest = hashlib.blake2b(orjson.dumps(body["messages"]), digest_size=8).digest()
        value = instance(schema, seed=int.from_bytes(digest, "big"))
        return orjson.dumps(value).decode()
    users = [m for m in body["messages"] if m.get("role") == "user"]
    text = f"echo: {_text(users[-1])[:60]}" if users else "echo: "
    if asked.get("type") == "json_object":
        return orjson.dumps({"answer": text}).decode()
    return text


def completion(
    text: str, prompt_tokens: int, max_tokens: int | None, count: Callable[[str], int]
) -> Completion:
    """A reply, cut at `max_tokens` with the finish reason "length" as a real server does.

    Args:
        text: The answer.
        prompt_tokens: Tokens of the request.
        max_tokens: The most tokens the client asked for.
        count: Tokens of a text.

    Returns:
        The reply, not yet encoded.
    """
    tokens, reason = max(count(text), 1), "stop"
    if max_tokens is not None and tokens > max_tokens:
        text = text[: len(text) * max_tokens // tokens]
        tokens, reason = max_tokens, "length"
    message = {"role": "assistant", "content": text, "refusal": None}
    return Completion(message, reason, prompt_tokens, tokens)


def error_object(
    message: str,
    *,
    type_: str = "invalid_request_error",
    code: str | None = None,
    param: str | None = None,
) -> bytes:
    """An error as OpenAI's API writes it.

    Example:
        >>> error_object("No.", code="nope")
        b'{"error":{"message":"No.","type":"invalid_request_error","param":null,"code":"nope"}}'
    """
    error = {"message": message, "type": type_, "param": param, "code": code}
    return orjson.dumps({"error": error})
