"""The bytes of a reply become a chat completion, where they can be read without guessing.

Servers and routers send completions in more forms than the one that was asked for: with comment
lines in front that keep the connection open, as server-sent events although nobody asked for a
stream, with the end mark of a stream behind, or, where a server checks the shape itself, inside
an error. What is read here is read the same way from the wire and from the journal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from types import NoneType
from typing import Any, TypeGuard

import orjson

from lionproc.engine.json_bounds import bounded, read_json
from lionproc.engine.unfolding import without_texts
from lionproc.model.escapes import has_needless_escapes
from lionproc.model.lenient import leniently_read
from lionproc.model.validate import DEEPEST, is_deeper

__all__ = [
    "in_one_piece",
    "is_event_stream",
    "is_known",
    "is_thought",
    "joined",
    "json_of",
    "parsed",
]

_FIELDS = ("data:", "event:", "id:", "retry:", ":")  # how a line of an event stream begins
_BEGINNINGS = tuple(field.encode() for field in _FIELDS)
_END = "[DONE]"
_NO_END = (None, "", "null")  # before the end
MOST_LINES = 500_000  # of events, comments and empty lines among them
MOST_EVENTS = 150_000  # no model writes more tokens; each is read on the loop that all share
MOST_PARTS = 700_000  # lists and objects; 32,000 tokens with 20 alternatives have no more
MOST_PIECES = 10_000  # of the content of one message, and choices of a reply
# Thoughts that have their words under the name of a text.
_THOUGHTS = ("thinking", "thought", "reasoning", "reasoning_content", "summary_text")
# A list under the name of a message's text; log-probabilities have one of that name, too.
_LISTED = re.compile(rb'"content"(?<!"logprobs":\{"content")(?<!"logprobs": \{"content")\s*:\s*\[')
_TOO_DEEP = "It is nested too deeply."
LONGEST_NUMBER = 1000  # digits; Python reads none of 4,301
_DECODER = json.JSONDecoder(
    parse_int=lambda text: None if len(text) > LONGEST_NUMBER else int(text)
)


def parsed(body: bytes) -> Any:
    r"""The JSON that a body holds; of a stream, the completion that its chunks make.

    Args:
        body: The whole body.

    Returns:
        What it holds, of plain JSON types. It need not be a completion.

    Raises:
        ValueError: It cannot be read, or not in one way only.

    Example:
        >>> parsed(b': still working\n\n{"choices":[]}')
        {'choices': []}
    """
    signs = parts = _signs(body)
    if signs > MOST_PARTS:  # they may be within texts, which is known as far as it is JSON
        parts = sum(map(_signs, without_texts(body)))
        _check(parts)
    try:
        data = orjson.loads(body)
    except ValueError:
        _check(signs)
        try:
            data = _read(body.decode("utf-8-sig").lstrip())
        except RecursionError:
            raise ValueError(_TOO_DEEP) from None
    data = _not_deep(data, parts)
    if not isinstance(data, dict):
        return data
    choices = data.get("choices")
    if isinstance(choices, list) and len(choices) > 1:  # only one is ever asked for: the first
        if len(choices) > MOST_PIECES:
            raise ValueError("It has more choices than an answer has.")
        choices.sort(key=lambda choice: isinstance(choice, dict) and bool(choice.get("index")))
    message = _choice(data).get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list) and len(content) > MOST_PIECES:
        raise ValueError("Its content has more pieces than an answer has.")
    return _generated(data) if "error" in data else data


def json_of(text: bytes | str) -> object:
    """What JSON of an error holds, if it is no deeper than anything a server has to say.

    Raises:
        ValueError: It is no JSON, too much of it, or too deep: whatever writes or shows it would
            stumble.
    """
    parts = _signs(text.encode() if isinstance(text, str) else text)
    _check(parts)
    return _not_deep(leniently_read(text), parts)


def _signs(body: bytes) -> int:
    """Lists and objects in a body, and perhaps more: those within texts count too."""
    return body.count(b"[") + body.count(b"{")


def _check(parts: int) -> None:
    if parts > MOST_PARTS:
        raise ValueError("It has more lists and objects than an answer has.")


def _not_deep(data: object, parts: int) -> object:
    if parts > DEEPEST and is_deeper(data, DEEPEST):
        raise ValueError(_TOO_DEEP)
    return data


def is_event_stream(body: bytes) -> bool:
    """Whether a body is, or tries to be, a stream of server-sent events."""
    return body[:64].lstrip().startswith(_BEGINNINGS)


def joined(content: object) -> Any:
    """The text of a message, which some servers send in parts, thoughts among them."""
    if not isinstance(content, list):
        return content
    texts = [
        part.get("text") if _is_text(part) else part
        for part in content
        if isinstance(part, str) or _is_text(part)
    ]
    return "".join(text for text in texts if isinstance(text, str))


def is_known(part: object) -> bool:
    """Whether a piece of the content is a text, or is surely none of the answer.

    Args:
        part: One of the list.
    """
    if _is_text(part):
        return isinstance(part.get("text"), str | NoneType)
    if isinstance(part, dict):  # sources, searches, refusals and what else comes beside a text
        return is_thought(part) or not (part.get("text") or part.get("json"))
    return isinstance(part, str | NoneType)


def is_thought(part: dict[str, object]) -> bool:
    """Whether a piece of the content is a thought, by its kind or by a mark on a text."""
    return part.get("thought") is True or part.get("type") in _THOUGHTS


def _is_text(part: object) -> TypeGuard[dict[str, object]]:
    if not isinstance(part, dict) or part.get("thought") is True:
        return False
    return part.get("type", "text") in ("text", "output_text")


def in_one_piece(body: bytes) -> bytes | None:
    """A reply whose text came in pieces, with its text as one; None where it did not.

    Args:
        body: The whole body.
    """
    is_plain = body.lstrip()[:1] == b"{"
    if is_plain and not has_needless_escapes(body) and not _LISTED.search(body):
        return None
    try:
        data = parsed(body)
        message = data["choices"][0]["message"]
        if is_plain and not isinstance(message.get("content"), list):
            return None
        message["content"] = joined(message.get("content"))
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    text = json.dumps(data, ensure_ascii=False)
    return text.encode(errors="backslashreplace")  # as JSON escapes half a character


def _read(text: str) -> object:
    if text.count("\n") > MOST_LINES:
        raise ValueError("There are more events than an answer has tokens.")
    place = 0
    event = ""
    payloads: list[tuple[str, str]] = []
    while place < len(text):
        end = text.find("\n", place)
        end = len(text) if end < 0 else end
        line = text[place:end].rstrip("\r")
        if line.startswith("data:"):
            payloads.append((event, line[5:].strip()))
        elif not line:
            event = ""
        elif line.startswith("event:"):
            event = line[6:].strip()
        elif not line.startswith(_FIELDS):
            if payloads:
                raise ValueError("There is something between the events.")
            # Comments end here, and JSON begins, on one line or on many.
            rest = bounded(text[place:])  # a comment may have half a pair of quotation marks
            data, stop = _DECODER.raw_decode(rest)
            _only_an_end_mark(rest[stop:])
            return data
        place = end + 1
    if len(payloads) > MOST_EVENTS:
        raise ValueError("There are more events than an answer has tokens.")
    return _completion(list(_events(payloads)))


def _only_an_end_mark(rest: str) -> None:
    for line in rest.splitlines():
        if line.strip() and not line.startswith(":") and line.removeprefix("data:").strip() != _END:
            raise ValueError("There is something behind the JSON.")


def _events(payloads: list[tuple[str, str]]) -> Iterator[dict[str, object]]:
    is_over = False
    for name, payload in payloads:
        if payload == _END:
            is_over = True
            continue
        if payload.startswith(":") or not payload:
            continue  # a router's comment that was wrapped once more
        try:
            event = orjson.loads(payload)
        except ValueError:
            event = read_json(payload)  # which takes half a character
        if not isinstance(event, dict):
            raise ValueError("An event is no object.")  # noqa: TRY004  (its value is wrong)
        if is_over and _choice(event):  # some count the tokens there
            raise ValueError("There are events behind the end.")
        yield {"error": event} if name == "error" and not event.get("error") else event


def _completion(events: list[dict[str, Any]]) -> dict[str, object]:
    """One completion from the events of a stream."""
    for event in events:
        if event.get("error"):
            return event
    _check_one(events)
    whole = [event for event in events if _choice(event).get("message") is not None]
    if len(whole) == 1 and len(events) == 1:
        return whole[0]
    if whole or not any("choices" in event for event in events):
        raise ValueError("The events are neither one completion nor the chunks of one.")
    return _joined(events)


def _check_one(events: list[dict[str, Any]]) -> None:
    """A proxy that began anew elsewhere goes on in the same stream, with chunks of another id.

    Some servers give each chunk an id of its own, and some call the model by several names.
    """
    chunks = [event for event in events if _choice(event)]
    ids = [repr(chunk["id"]) for chunk in chunks if chunk.get("id")]
    models = {repr(chunk["model"]) for chunk in chunks if chunk.get("model")}
    different = len(set(ids))
    if different == len(ids):  # no id says that they are of one
        is_new = len(models) > 1 or (different > 1 and sum(map(_is_whole, chunks)) > 1)
    else:
        is_new = different > 1
    if is_new:
        raise ValueError("The events are of more than one completion.")


def _choice(event: dict[str, Any]) -> dict[str, object]:
    """The first choice of an event; only one is ever asked for."""
    choices = event.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and not choice.get("index"):
            return choice
    return {}


def _joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "finish_reason": None}
    deltas: list[dict[str, Any]] = []
    tokens: list[object] = []
    for chunk in chunks:
        part = _choice(chunk)
        delta = part.get("delta")
        deltas.append(delta if isinstance(delta, dict) else {})
        end, word = choice["finish_reason"], part.get("finish_reason")
        if end is not None and word != end and _says_more(deltas[-1]):  # some say it in each chunk
            raise ValueError("There is something behind the end of the message.")
        if word not in _NO_END and end in (None, "stop"):  # that it was cut or filtered counts
            choice["finish_reason"] = word
        for name in ("native_finish_reason", "error"):
            if part.get(name) is not None:
                choice[name] = part[name]
        tokens += _tokens(part)
    choice["message"] = _message(deltas)
    if tokens:
        choice["logprobs"] = {"content": tokens}
    made: dict[str, Any] = {"object": "chat.completion", "model": "", "choices": [choice]}
    for name in ("model", "usage", "service_tier"):
        said = [chunk[name] for chunk in chunks if chunk.get(name)]
        made |= {name: said[-1]} if said else {}
    return made


def _message(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    """What the pieces of a message make together."""
    texts: dict[str, list[str]] = {}
    calls: list[object] = []
    for delta in deltas:
        for name, value in delta.items():
            if isinstance(value, str):
                texts.setdefault(name, []).append(value)
            elif name == "content" and value is not None:
                raise ValueError("A piece of the content is no text.")
            elif name == "tool_calls" and value:
                calls.append(value)
    made: dict[str, Any] = {name: "".join(pieces) for name, pieces in texts.items()}
    made["role"] = "assistant"
    return made | ({"tool_calls": calls} if calls else {})


def _is_whole(chunk: dict[str, Any]) -> bool:
    """Whether a chunk has a text and its ending."""
    part = _choice(chunk)
    delta = part.get("delta")
    ends = part.get("finish_reason") not in _NO_END
    return ends and isinstance(delta, dict) and _says_more(delta)


def _says_more(delta: dict[str, Any]) -> bool:
    """Whether a piece says something of the answer."""
    content = delta.get("content")
    text = content.strip() if isinstance(content, str) else content
    return bool(text or delta.get("tool_calls") or delta.get("refusal"))


def _tokens(part: dict[str, object]) -> list[object]:
    """The tokens of a chunk with their log-probabilities, where it has them."""
    listed = part.get("logprobs")
    found = listed.get("content") if isinstance(listed, dict) else None
    return found if isinstance(found, list) else []


def _generated(data: dict[str, Any]) -> object:
    """What a server that checks the shape itself refused, as the reply it was: Groq's way."""
    error = data["error"]
    if not isinstance(error, dict) or error.get("code") != "json_validate_failed":
        return data
    text = error.get("failed_generation")
    if not isinstance(text, str):
        return data
    cut = "max completion tokens" in str(error.get("message"))[:500].lower()
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "length" if cut else "stop",
    }
    return {
        "object": "chat.completion",
        "model": data.get("model"),
        "choices": [choice],
        "usage": data.get("usage"),
    }
