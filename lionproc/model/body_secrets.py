"""Keys within the fields of a request's body: of a search, a tool or a service that it names.

They go to the model's server and nowhere else. What is shown, noted and hashed has `[key]` in their
place; what is built has a mark that nobody can guess, and only the wire puts the key there. As a
header does, each tells one place from another, as a digest in the identity.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import orjson

from lionproc.errors import LionprocError, ModelError
from lionproc.model.canonical import SHAPE_NOTHING
from lionproc.model.credentials import (
    REDACTED,
    WORDS,
    Secret,
    has_prefix_of_key,
    looks_like_key,
    place_of,
    sealed,
    secrets_in,
    secrets_of_proxy,
)
from lionproc.model.identity import in_order, with_scope
from lionproc.model.secret_names import IS_SECRET, MAY_BE_SECRET, OF_AUTHENTICATION, spelt

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
_SHORTEST = 16  # characters of what looks like a key: `sk-10001` is the number of a product
_SCHEMA = frozenset(("properties", "$defs", "definitions", "patternProperties"))


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
        own = (echo for _, value in found.reveal().values() for echo in _echoes(value))
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
    if not _is_secret(value, path):
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


def _is_secret(value: object, path: tuple[str, ...]) -> bool:
    if not isinstance(value, str) or len(value.split()) not in {1, 2} or path[0] in _SAID:
        return False
    *above, name = ("", *path[1:])  # a field's own name was looked at before
    if "://" in value:
        return any(_of_address(value, with_path=path[0] in _SERVICES))
    if any(_of_pairs(value)):
        return True
    if "headers" in above[-1:] and secrets_in({name: value}):
        return True
    called = spelt(name)
    is_of_auth = any(OF_AUTHENTICATION.search(spelt(each)) for each in above)
    if IS_SECRET.search(called) or (is_of_auth and MAY_BE_SECRET.search(called)):
        return not WORDS.fullmatch(value)
    if MAY_BE_SECRET.search(called):
        return _is_like_a_key(value)
    return len(value) >= _SHORTEST and has_prefix_of_key(value)


def _is_like_a_key(value: str) -> bool:
    return len(value.strip()) >= _SHORTEST and looks_like_key(value)


def _of_address(value: str, *, with_path: bool) -> Iterator[str]:
    """What in an address lets somebody in: a login, a parameter, a part of the path that is a key."""
    try:
        parts = urlsplit(value)
        yield from secrets_of_proxy(value)
        for name, given in parse_qsl(parts.query):
            called = spelt(name)
            if (IS_SECRET.search(called) or MAY_BE_SECRET.search(called)) and _is_like_a_key(given):
                yield given
        yield from filter(_is_like_a_key, parts.path.split("/") if with_path else ())
    except ValueError:  # it is none
        yield value


def _of_pairs(value: str) -> Iterator[str]:
    """The keys of a text of settings, as `AccountName=me;AccountKey=...`."""
    pairs = [pair.partition("=") for pair in value.strip("; ").split(";")]
    if len(pairs) > 1 and all(equals for _, equals, _ in pairs):
        for name, _, given in pairs:
            if given and IS_SECRET.search(spelt(name.strip())):
                yield given.strip()


def _echoes(value: object) -> Iterator[str]:
    """What a server may say of a key that it was sent."""
    text = str(value)
    inner = tuple(_of_address(text, with_path=True) if "://" in text else _of_pairs(text))
    for each in inner or (text,):
        yield from secrets_in({"token": each})
