"""Forms of a 200 that real servers send instead of plain JSON, made from a good completion."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["FORMS", "reshaped"]

COMMENTS = b": LIONPROC TESTING\n\n"
END_MARK = b"\n\ndata: [DONE]\n\n"
FORMS = (
    "comments",
    "end_mark",
    "event",
    "stream",
    "stream_cut",
    "stream_error",
    "stream_garbage",
    "surrogate",
)
STREAM = "text/event-stream"


def reshaped(form: str, body: bytes) -> tuple[bytes, str]:
    """A completion in another form.

    Args:
        form: One of `FORMS`: comment lines in front that keep the connection open, the end mark
            of a stream behind, one event, a stream of chunks, one that ends before its finish
            reason, with an error or in the middle of a chunk, or half a character at the end.
        body: The encoded completion.

    Returns:
        The body and its content type.
    """
    if form == "comments":
        return COMMENTS * 3 + body, "application/json"
    if form == "end_mark":
        return body + END_MARK, STREAM
    if form == "event":
        return b"data: " + body + END_MARK, STREAM
    if form == "surrogate":
        content: str = orjson.loads(body)["choices"][0]["message"]["content"]
        quoted = orjson.dumps(content)
        return body.replace(quoted, quoted[:-1] + b'\\ud83d"', 1), "application/json"
    events = [b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in _chunks(orjson.loads(body))]
    if form == "stream_cut":
        return COMMENTS + b"".join(events[:-2]), STREAM
    if form == "stream_error":
        error = orjson.dumps({"error": {"message": "The server had an error."}})
        return b"".join([*events[:-2], b"data: ", error, b"\n\n"]), STREAM
    if form == "stream_garbage":
        return b"".join([*events[:2], events[2][:30], b"\n\n"]), STREAM
    return COMMENTS + b"".join(events) + b"data: [DONE]\n\n", STREAM


def _chunks(whole: dict[str, Any]) -> list[dict[str, object]]:
    """The chunks of a stream: a role, the content in three, an ending and the usage."""
    choice = whole["choices"][0]
    content = choice["message"]["content"] or ""
    third = -(-len(content) // 3) or 1
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": content[at : at + third]} for at in range(0, len(content), third)]
    base = {**whole, "object": "chat.completion.chunk"}
    base.pop("usage", None)
    made = [{**base, "choices": [{"index": 0, "delta": d, "finish_reason": None}]} for d in deltas]
    ending = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
    made.append({**base, "choices": [ending]})
    made.append({**base, "choices": [], "usage": whole.get("usage")})
    return made
