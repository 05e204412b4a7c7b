"""Steering a test server over its own port, for the parent of a child process."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from typing import Any

import orjson

from lionproc.errors import LionprocError
from lionproc.testing.answers import error_object
from lionproc.testing.connection import Reply
from lionproc.testing.recorder import Exchange, Recorded
from lionproc.testing.responder import Responder
from lionproc.testing.settings import changes_from_json

__all__ = ["Control", "recorded_from_json"]

TOKEN_HEADER = "x-control-token"  # noqa: S105 - the name of a header, not a token


class Control:
    """Answers `/_control/<operation>` for who has the token.

    Args:
        responder: The server to steer.
        token: What the header `x-control-token` must say.
    """

    def __init__(self, responder: Responder, token: str) -> None:
        self._responder = responder
        self._token = token.encode()
        self._operations: dict[str, Callable[[dict[str, Any]], Any]] = {
            "configure": lambda asked: responder.configure(changes_from_json(asked)),
            "snapshot": lambda _: [responder.version, responder.recorder.snapshot()],
            "bill": lambda _: responder.cashier.bill.to_json(),
            "requests": lambda _: [_to_json(e.recorded()) for e in responder.recorder.exchanges],
            "worst_window": lambda asked: responder.recorder.worst_window(**asked),
            "hold": lambda _: responder.hold(),
            "release": lambda _: responder.release(),
        }

    def __call__(self, exchange: Exchange) -> None:
        """Answer one control request, at once or, for "changed", when something has."""
        request = exchange.request
        token = request.header(TOKEN_HEADER.encode()).encode()
        if not hmac.compare_digest(token, self._token):
            exchange.connection.send(exchange, Reply(403, error_object("Another token, please.")))
            return
        operation = request.path.rpartition("/")[2]
        asked = orjson.loads(request.body or b"{}")
        if operation == "changed":
            connection = exchange.connection
            done = Reply(200, b"null")
            self._responder.watch(asked["version"], lambda: connection.send(exchange, done))
            return
        try:
            result = self._operations[operation](asked)
            reply = Reply(200, orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS))
        except (LionprocError, KeyError, TypeError) as error:
            reply = Reply(400, error_object(str(error)))
        exchange.connection.send(exchange, reply)


def _to_json(recorded: Recorded) -> dict[str, object]:
    raw = {name: base64.b64encode(getattr(recorded, name)) for name in ("raw_head", "raw_body")}
    return vars(recorded) | {name: data.decode() for name, data in raw.items()}


def recorded_from_json(data: dict[str, Any]) -> Recorded:
    """A recorded request that travelled as JSON."""
    raw = {name: base64.b64decode(data[name]) for name in ("raw_head", "raw_body")}
    return Recorded(**(data | raw))
