"""What a server says about an error, whatever shape it has it in. Pure.

An error is an object, a text, a list with an object in it (Google), a list of faults (FastAPI,
Cloudflare), or any of these inside another: under `message`, or as a text in a text.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from lionproc.model.body import json_of
from lionproc.model.excerpt import shown

__all__ = ["Told", "faults_in", "told", "told_in"]

_NESTS = ("error", "detail", "message", "errors")  # where an error is, in whatever holds it
_DEEPEST = 3
_MOST_READ = 4000  # characters of a server's words that are looked at
_LONGEST = 200  # characters of the name of a quota
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


def told(body: bytes) -> Told:
    """What a server says in the body of an error."""
    if body.lstrip()[:1] == b"<":
        return Told(is_page=True)
    try:
        data = json_of(body)
    except ValueError:
        return Told()
    return told_in(_inside(data))


def _inside(data: object) -> object:
    """The error in a body: of an object, or of Google's list with an object in it."""
    if isinstance(data, list) and data and isinstance(data[0], dict) and "error" in data[0]:
        data = data[0]
    if isinstance(data, dict):
        return next((data[name] for name in _NESTS if name in data), "")
    return ""


def faults_in(data: object) -> list[dict[str, Any]]:
    """The faults that a server made with pydantic lists, in whatever they lie."""
    for _ in range(_DEEPEST):
        if not isinstance(data, dict):
            return []
        if isinstance(data.get("detail"), list):
            return _objects(data["detail"])
        data = next((data[name] for name in _NESTS if isinstance(data.get(name), dict)), None)
    return []


def told_in(error: object, depth: int = 0) -> Told:
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
        if not isinstance(error.get("message"), str) and depth < _DEEPEST:
            inside = next((error[n] for n in _NESTS if isinstance(error.get(n), (dict, list))), "")
            deeper = told_in(inside, depth + 1) if inside else Told()
            if deeper.message:
                own = {word for name in ("code", "type") if (word := _letters(error.get(name)))}
                return deeper._replace(words=deeper.words | own)
        names = [error.get(name) for name in ("code", "type", "status", "reason")]
        code = next((str(name) for name in names[:2] if name), "")
        for detail in _objects(error.get("details")) + _objects(error.get("innererror")):
            names += [detail.get("reason"), detail.get("code")]
            texts += [
                str(v.get("quotaId", ""))[:_LONGEST] for v in _objects(detail.get("violations"))
            ]
            found = _SECONDS.fullmatch(str(detail.get("retryDelay", ""))[:20])
            wait_s = float(found[1]) if found else wait_s
        words = {word for name in names if (word := _letters(name))}
        metadata = error.get("metadata")
        if isinstance(metadata, dict) and (word := _letters(metadata.get("limit_source"))):
            words.add(word)
        inner = metadata.get("raw") if isinstance(metadata, dict) else None
        error = error.get("message") or code
    if isinstance(error, list):  # a list of faults may quote the request: take their words alone
        faults = (f.get("msg", f.get("message")) for f in error[:3] if isinstance(f, dict))
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


def _objects(value: object) -> list[dict[str, object]]:
    found = value[:20] if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, dict)]


def _letters(name: object) -> str:
    return _LETTERS.sub("", str(name).lower()[:80]) if isinstance(name, str) else ""


def _wrapped(text: Any) -> object:
    """The error inside a text that is JSON itself, or None."""
    if not isinstance(text, str) or text.lstrip()[:1] not in {"{", "["}:
        return None
    try:
        return _inside(json_of(text)) or None
    except ValueError:
        return None
