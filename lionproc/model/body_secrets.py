"""Keys within the fields of a request's body: of a search, a tool or a service that it names.

They go to the model's server and nowhere else. What is shown, noted and hashed has `[key]` in their
place; what is built has a mark that nobody can guess, and only the wire puts the key there. As a
header does, each tells one place from another, as a digest in the identity.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from lionproc.errors import LionprocError, ModelError
from lionproc.model.canonical import SHAPE_NOTHING
from lionproc.model.credentials import (
    REDACTED,
    Secret,
    has_long_run,
    has_prefix_of_key,
    is_surely_key,
    place_of,
    sealed,
)
from lionproc.model.identity import in_order, with_scope
from lionproc.model.secret_names import IS_SECRET, MAY_BE_SECRET, OF_AUTHENTICATION, spelt
from lionproc.model.sent_secrets import secrets_in, secrets_of_proxy

if TYPE_CHECKING:
    from lionproc.model.connection import Connection
    from lionproc.model.wire import Response, Wire

__all__ = ["BodySecrets"]

# What the model is shown, or says: documents, choices, grammars. No key is in it that anybody gave.
_SAID = frozenset(
    (
        *("bad_words", "chat_template", "chat_template_kwargs", "documents", "examples"),
        *("guided_choice", "guided_grammar", "guided_json", "guided_regex", "input"),
        *("instructions", "logit_bias", "messages", "prediction", "prompt", "response_format"),
        *("stop", "stop_sequences", "stop_tokens", "structured_outputs"),
    )
)
# Whose addresses may have a key as a part of their path.
_SERVICES = frozenset(("data_sources", "mcp_servers", "plugins", "tools"))
_ADDRESS = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]*://\S*\s*$")
_HEADERS = re.compile(r"(?:^|[^a-z])headers?$")
_PRIVATE = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY")
# What is no key, whatever it is called: words, and what has no digit and no odd mark in it.
_SAYING = re.compile(r"[A-Za-z ,.'/_-]*")
_SHORTEST = 16  # characters of what looks like a key: `sk-10001` is the number of a product
_SCHEMA = frozenset(
    ("properties", "$defs", "definitions", "patternProperties", "dependentRequired")
)


class BodySecrets:
    """The fields of a body, and the keys that were found in them.

    Attributes:
        shown: The fields with `[key]` in the place of each.
        sent: The fields that have one, with a mark in its place.
        given: Those fields as they were given.
        lost: Names of fields that had one before they travelled.

    Args:
        given: All fields, by name.
    """

    __slots__ = ("_found", "given", "lost", "sent", "shown")

    @sealed
    def __init__(self, given: Secret[dict[str, object]]) -> None:
        found: dict[str, tuple[str, object]] = {}
        marked = {name: _marked(value, (name,), found) for name, value in given.reveal().items()}
        with_keys = {path.partition("/")[0] for path, _ in found.values()}
        self.sent = {name: marked[name] for name in given.reveal() if name in with_keys}
        self.shown: dict[str, Any] = {
            **given.reveal(),
            **{name: _shown(value, found) for name, value in self.sent.items()},
        }
        self._found = Secret(found)
        self.given = Secret({name: given.reveal()[name] for name in self.sent})
        self.lost: tuple[str, ...] = ()

    @sealed
    def through(self, connection: Connection) -> Connection:
        """The way that sends them.

        Args:
            connection: A way that is open and knows nothing of them.

        Raises:
            ModelError: They were left behind where the model was pickled.
        """
        if self.lost:
            raise ModelError(
                f"Pickles carry no key, and so none of what is in {', '.join(self.lost)}. Make the "
                "Model where it is used."
            )
        if not self.sent:
            return connection
        # A path does not tell the entries of a list apart, and their keys may change places.
        carried = tuple(
            in_order(
                (f"body {path}", orjson.dumps(value).decode())
                for path, value in self._found.reveal().values()
                if path.partition("/")[0] not in SHAPE_NOTHING
            )
        )
        former = connection.former_identity
        return replace(
            connection,
            identity=with_scope(connection.identity, None, *carried),
            former_identity=with_scope(former, None, *carried) if former else "",
            wire=_KeyWire(connection.wire, self._found),
            marked=self.sent,
        )


class _KeyWire:
    """A wire that puts the keys into each body."""

    def __init__(self, wire: Any, found: Secret[dict[str, tuple[str, object]]]) -> None:
        self._wire: Wire = wire
        self.wires = (wire,)  # those that know what to take out of replies; see `mask_together`
        self._found = found
        keys = ((path, value) for path, value in found.reveal().values())
        own = (echo for path, value in keys for echo in _echoes(str(value), tuple(path.split("/"))))
        wire.secrets = Secret(tuple(dict.fromkeys((*wire.secrets.reveal(), *own))))

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        try:
            return await self._wire.post(self._filled(body))
        except Exception as error:  # noqa: BLE001  (whatever it is, its frames are not shown)
            if not isinstance(error, LionprocError):
                error.add_note(f"Raised {place_of(error)}.")
            raise error.with_traceback(None) from None

    def _filled(self, body: bytes) -> bytes:
        for mark, (_, value) in self._found.reveal().items():
            body = body.replace(orjson.dumps(mark), orjson.dumps(value))
        return body

    async def close(self) -> None:
        """See `Wire.close`."""
        await self._wire.close()


def _marked(value: object, path: tuple[str, ...], found: dict[str, tuple[str, object]]) -> object:
    """The same with a mark in the place of each key."""
    if isinstance(value, Mapping):
        return {
            name: _marked(inner, (*path, _called(name, value, path)), found)
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_marked(inner, path, found) for inner in value]
    if not any(_keys_in(value, path)):
        return value
    mark = f"[key {secrets.token_hex(16)}]"
    found[mark] = "/".join(path), value
    return mark


def _called(name: str, beside: Mapping[str, object], path: tuple[str, ...]) -> str:
    """What a value is called, by its name or by what stands beside it."""
    if path[-1] in _SCHEMA or (name == "key" and "value" in beside):
        return ""  # of what is described, or of the field that a filter looks at
    other = beside.get("name")
    return other if name == "value" and isinstance(other, str) else name


def _shown(value: object, marks: Mapping[str, object]) -> object:
    if isinstance(value, Mapping):
        return {name: _shown(inner, marks) for name, inner in value.items()}
    if isinstance(value, list):
        return [_shown(inner, marks) for inner in value]
    return REDACTED.decode() if isinstance(value, str) and value in marks else value


def _keys_in(value: object, path: tuple[str, ...]) -> Iterator[str]:
    """What in a value lets somebody in: all of it, a part of it, or nothing."""
    if not isinstance(value, str) or path[0] in _SAID:
        return
    *above, name = ("", *path[1:])  # a field's own name was looked at before
    if _ADDRESS.match(value):
        yield from _of_address(value, with_path=path[0] in _SERVICES)
        return
    found = False
    addresses = (word for word in value.split() if "://" in word) if "://" in value else ()
    within = (each for word in addresses for each in _of_address(word, with_path=False))
    for each in (*within, *_of_pairs(value), *_of_headers(name, value), *_of_json(value)):
        found = True
        yield each
    if not found and (_PRIVATE.search(value) or _is_key(value, name, above)):
        yield value


def _is_key(value: str, name: str, above: Sequence[str]) -> bool:
    if _HEADERS.search(spelt(above[-1] if above else "")) and secrets_in({name: value}):
        return True
    called = spelt(name)
    is_of_auth = any(OF_AUTHENTICATION.search(spelt(each)) for each in above)
    is_named = IS_SECRET.search(called) or OF_AUTHENTICATION.search(called)
    if is_named or (is_of_auth and MAY_BE_SECRET.search(called)):
        return not _SAYING.fullmatch(value)
    if MAY_BE_SECRET.search(called) and called != "code":
        return _is_like_a_key(value)
    return len(value) >= _SHORTEST and len(value.split()) <= 2 and has_prefix_of_key(value)


def _is_like_a_key(value: str) -> bool:
    return len(value) >= _SHORTEST and (has_prefix_of_key(value) or has_long_run(value))


def _of_address(value: str, *, with_path: bool) -> Iterator[str]:
    """What in an address lets somebody in: a login, a parameter, a part of the path that is a key."""
    try:
        parts = urlsplit(value)
        yield from secrets_of_proxy(value)
        for text in (parts.query, parts.fragment):
            yield from _of_parameters(text)
        steps = parts.path.split("/") if with_path else ()
        yield from filter(is_surely_key, steps)
    except ValueError:  # it is none
        yield value


def _of_parameters(text: str) -> Iterator[str]:
    for name, given in parse_qsl(text):
        called = spelt(name)
        is_key = IS_SECRET.search(called) and not _SAYING.fullmatch(given)
        if is_key or (MAY_BE_SECRET.search(called) and _is_like_a_key(given)):
            yield given


def _of_pairs(value: str) -> Iterator[str]:
    """The keys of a text of settings: `AccountName=me;AccountKey=...`, `user=me password=...`."""
    for between in (";", "&", None):
        pairs = [pair.partition("=") for pair in value.strip("; ").split(between)]
        if len(pairs) > 1 and all(equals for _, equals, _ in pairs):
            if between == "&":
                yield from _of_parameters(value)
                return
            for name, _, given in pairs:
                if given and IS_SECRET.search(spelt(name.strip())):
                    yield given.strip(" '\"")


def _of_headers(name: str, value: str) -> Iterator[str]:
    """Those of headers that are written as lines."""
    if _HEADERS.search(spelt(name)):
        for line in value.splitlines():
            header, colon, given = line.partition(":")
            if colon:
                yield from secrets_in({header.strip(): given.strip()})


def _of_json(value: str) -> Iterator[str]:
    if value.lstrip().startswith(("{", "[")):
        yield from secrets_in({"": value})


def _echoes(value: str, path: tuple[str, ...]) -> Iterator[str]:
    """What a server may say of a key that it was sent."""
    for key in _keys_in(value, path):
        if len(key.split()) <= 2:
            yield from secrets_in({"token": key})
        elif _HEADERS.search(spelt("".join(path[-2:-1]))):
            yield from secrets_in({path[-1]: key})
        else:  # its words are nobody's
            yield key
