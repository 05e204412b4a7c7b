"""Who answers: the key, the limits, the faults, the answer and when it leaves."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from lionproc.errors import SchemaError
from lionproc.testing import faults
from lionproc.testing.answers import Completion, answer_to, completion, error_object, prompt_text
from lionproc.testing.billing import Cashier
from lionproc.testing.connection import Connection, Reply
from lionproc.testing.faults import Fault
from lionproc.testing.headers import limit_headers, retry_headers
from lionproc.testing.limits import Charge
from lionproc.testing.logprobs import MOST, logprobs_of
from lionproc.testing.recorder import Exchange, Recorder
from lionproc.testing.request_parser import Request
from lionproc.testing.settings import Settings

__all__ = ["Responder"]

LOG = logging.getLogger(__name__)
REDIRECTED = "/redirected"
CHAT = "/chat/completions"
MOST_OF_STRANGERS = 1024  # bytes that are kept of what somebody sends who has no key
CROWDED_S = 60.0  # what LiteLLM's proxy names, though the next reply makes room


class Responder:
    """Answers every connection of one server. All of it runs on the server's loop.

    Args:
        settings: The knobs at the start.
        key: The key that is demanded, None for none.
        record: How many of the last requests are kept whole.
        loop: The server's event loop.
    """

    def __init__(
        self, settings: Settings, key: str | None, record: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.settings = settings
        self.recorder = Recorder(record)
        self.cashier = Cashier()
        self.port = 0
        self.connections: set[Connection] = set()
        self.control: Callable[[Exchange], None] | None = None
        self.callable_error: Exception | None = None
        self.version = 0
        self.watchers: list[Callable[[], None]] = []
        self._loop = loop
        self._key = key
        self._credentials = (f"Bearer {key}", key)
        self._meters = [(limit, limit.meter()) for limit in settings.limits]
        self._asked = 0  # chat requests so far
        self._faults_since = 0  # the value of _asked when the faults were set
        self._held: list[Exchange] | None = None
        self._queue: deque[Exchange] = deque()
        self._busy = self._under_way = 0

    # --- what the user steers -----------------------------------------------------------------

    def configure(self, changes: Mapping[str, object]) -> None:
        """Change settings from this request on; new limits remember what was admitted before."""
        self.settings = self.settings.changed(changes)
        if "faults" in changes:
            self._faults_since = self._asked
        if "limits" in changes:
            now = time.monotonic()
            longest = max((getattr(x, "window_s", 60.0) for x in self.settings.limits), default=0)
            past = self.recorder.admitted_since(now - longest)
            self._meters = [(limit, limit.meter()) for limit in self.settings.limits]
            for limit, meter in self._meters:
                for then, charge in past:
                    meter.take(then, charge.of(limit.what))
        self._serve_queued()
        self._changed()

    def hold(self) -> None:
        """Keep replies back."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """Let go of the replies kept back, in their order."""
        held, self._held = self._held or [], None
        for exchange in held:
            self._send(exchange)

    def watch(self, version: int, wake: Callable[[], None]) -> None:
        """Call `wake` once, as soon as anything differs from what it was at `version`."""
        if version == self.version:
            self.watchers.append(wake)
        else:
            wake()

    def _changed(self) -> None:
        self.version += 1
        if self.watchers:
            watchers, self.watchers = self.watchers, []
            for wake in watchers:
                wake()

    # --- what connections tell (connection.Application) -----------------------------------------------

    def opened(self, connection: Connection) -> None:
        """See `connection.Application`."""
        self.connections.add(connection)
        self.recorder.connections += 1
        self.recorder.open_connections += 1
        if self.control is None:  # it may turn out to be the control connection otherwise
            self._changed()

    def closed(self, connection: Connection, exchange: Exchange | None) -> None:
        """See `connection.Application`."""
        self.connections.discard(connection)
        if connection.private:
            return
        self.recorder.open_connections -= 1
        if exchange is not None:
            self.recorder.left()
            self._closed(exchange)
        self._changed()

    def begin(self, connection: Connection, request: Request) -> Exchange:
        """See `connection.Application`."""
        exchange = Exchange(request, time.monotonic(), connection)
        if self.control is not None and request.path.startswith("/_control/"):
            if not connection.private:
                connection.private = True
                self.recorder.connections -= 1
                self.recorder.open_connections -= 1
        else:
            self.recorder.arrived(exchange)
        return exchange

    def answer(self, exchange: Exchange) -> None:
        """See `connection.Application`."""
        if exchange.connection.private and self.control is not None:
            self.control(exchange)
            return
        try:
            exchange.reply = self._decide(exchange)
        except SchemaError as error:
            exchange.reply = Reply(400, error_object(str(error), code="invalid_json_schema"))
        except Exception as error:  # the user's own callable; a server does not die of it
            LOG.exception("A function given to the test server raised")
            self.callable_error = self.callable_error or error
            exchange.reply = Reply(500, error_object("A function given to the test server raised."))
        if self._meters and self.settings.headers:
            more = limit_headers(self.settings.headers, self._meters, exchange.arrived_s)
            exchange.reply.headers = (*exchange.reply.headers, *more)
        slots = self.settings.slow_when_busy
        if slots is None or not exchange.admitted:
            self._serve(exchange)
        else:
            self._queue.append(exchange)
            self._serve_queued()
        self._changed()

    def sent(self, exchange: Exchange, status: int | None) -> None:
        """See `connection.Application`."""
        if exchange.connection.private:
            return
        self.recorder.replied(exchange, status)
        self._closed(exchange)
        self._changed()

    # --- when the reply leaves ------------------------------------------------------------------

    def _serve(self, exchange: Exchange) -> None:
        if exchange.latency_s > 0:
            exchange.timer = self._loop.call_later(exchange.latency_s, self._served, exchange)
        else:
            self._served(exchange)

    def _serve_queued(self) -> None:
        """Give free slots of a busy model to those who waited longest."""
        slots = self.settings.slow_when_busy
        while self._queue and (slots is None or self._busy < slots):
            exchange = self._queue.popleft()
            if exchange.open:
                exchange.in_slot = True
                self._busy += 1
                self._serve(exchange)

    def _served(self, exchange: Exchange) -> None:
        exchange.timer = None
        self._free(exchange)
        self._send(exchange)

    def _free(self, exchange: Exchange) -> None:
        if exchange.in_slot:
            exchange.in_slot = False
            self._busy -= 1
            self._serve_queued()

    def _send(self, exchange: Exchange) -> None:
        if self._held is not None:
            self._held.append(exchange)
        elif exchange.open and exchange.reply is not None:
            exchange.connection.send(exchange, exchange.reply)

    def _closed(self, exchange: Exchange) -> None:
        exchange.open = False
        exchange.reply = None  # the record keeps the request, not what was said
        exchange.connection = None
        if exchange.timer is not None:
            exchange.timer.cancel()
            exchange.timer = None
        if exchange.under_way:
            exchange.under_way = False
            self._under_way -= 1
        self._free(exchange)

    # --- what the reply is ----------------------------------------------------------------------

    def _decide(self, exchange: Exchange) -> Reply:
        request = exchange.request
        path = request.path.partition("?")[0]
        if path.startswith(REDIRECTED):  # counted before the key, which good clients drop
            self.recorder.redirects_followed += 1
            path = path[len(REDIRECTED) :]
        if self._key is not None and not self._knows(request):
            request.cut(MOST_OF_STRANGERS)
            message = "Incorrect API key provided: the test server has another one."
            return Reply(401, error_object(message, code="invalid_api_key"))
        if path.startswith("/v1/models") and request.method == "GET":
            exchange.admitted = True
            return self._models(path)
        if not path.endswith(CHAT):
            return Reply(404, error_object(f"Unknown request URL: {request.method} {path}."))
        if request.method != "POST":
            return Reply(405, error_object("Not allowed: use POST."), (("allow", "POST"),))
        try:
            body = orjson.loads(request.body)
        except orjson.JSONDecodeError:
            return Reply(400, error_object("The body of the request is no valid JSON."))
        if wrong := _what_is_wrong(body):
            return Reply(400, error_object(*wrong[:1], param=wrong[1]))
        return self._chat(exchange, body)

    def _knows(self, request: Request) -> bool:
        # Azure sends the key bare, in a header of its own
        given = request.header(b"authorization") or request.header(b"api-key")
        return given in self._credentials

    def _models(self, path: str) -> Reply:
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "lionproc"}
            for name in self.settings.models
        ]
        _, _, wanted = path.removeprefix("/v1/models").partition("/")
        if not wanted:
            return Reply(200, orjson.dumps({"object": "list", "data": models}))
        for model in models:
            if model["id"] == wanted:
                return Reply(200, orjson.dumps(model))
        return Reply(404, error_object("The model does not exist.", code="model_not_found"))

    def _chat(self, exchange: Exchange, body: dict[str, Any]) -> Reply:
        settings = self.settings
        n = self._asked
        self._asked += 1
        fault = settings.plan.pick(settings.seed, n - self._faults_since, body)
        prompt_tokens = settings.count_tokens(prompt_text(body))
        max_tokens = body.get("max_completion_tokens") or body.get("max_tokens")
        made: Completion | None = None

        def made_completion() -> Completion:
            text = answer_to(body, settings.answer)
            whole = completion(text, prompt_tokens, max_tokens, settings.count_tokens)
            sure = settings.confidence_of(body)
            if sure is not None:
                whole.logprobs = logprobs_of(body, whole.message["content"], sure)
            return whole

        by_max = settings.charge == "max_tokens" and max_tokens is not None
        counts_output = any(limit.what.endswith("tokens") for limit, _ in self._meters)
        if counts_output and not by_max:
            made = made_completion()
        charge = _charge(prompt_tokens, max_tokens if by_max else None, made)
        self.recorder.charged(exchange, charge)
        if refused := self._crowded() or self._refused(exchange, charge):
            return refused
        self.recorder.admit(exchange)
        exchange.under_way = True
        self._under_way += 1
        exchange.latency_s = settings.latency_of(body, n)
        if fault is not None:
            exchange.fault = fault.name
            self.recorder.by_fault[fault.name] += 1
            slowed = exchange.latency_s * 5 if fault.name == "slow" else exchange.latency_s
            exchange.latency_s = slowed if fault.latency_s is None else fault.latency_s
            if fault.name in faults.REFUSING:
                authorization = exchange.request.header(b"authorization")
                return faults.refusal(fault, n, authorization, self._retry)
        made = made or made_completion()
        if not by_max:
            self.recorder.charged(exchange, _charge(prompt_tokens, None, made))
        exchange.tokens = (prompt_tokens, made.completion_tokens)
        if settings.prices is not None:
            read, wrote = exchange.tokens
            used = self.cashier.used(body, prompt_text(body), read, wrote)
            self.cashier.charge(settings.prices, body["model"], used)
            made.usage, made.tier = used.told(settings.spelling), used.tier
        return self._completed(body, made, n, fault)

    def _completed(
        self, body: dict[str, Any], made: Completion, n: int, fault: Fault | None
    ) -> Reply:
        if fault is not None:
            faults.spoil(fault, made)
        choices = 0 if fault is not None and fault.name == "no_choices" else 1
        encoded = made.encode(n, int(time.time()), body["model"], self.settings.usage, choices)
        if fault is None:
            return Reply(200, encoded)
        location = f"http://localhost:{self.port}{REDIRECTED}/v1{CHAT}"
        return faults.deliver(fault, encoded, location)

    def _retry(self, wait_s: float) -> tuple[tuple[str, str], ...]:
        return retry_headers(self.settings.retry, wait_s)

    def _crowded(self) -> Reply | None:
        """429 if as many requests are under way as may be."""
        most = self.settings.at_once
        if most is None or self._under_way < most:
            return None
        self.recorder.refused += 1
        message = (
            f"Your current concurrency is {self._under_way}, which exceeds your concurrency limit "
            f"of {most}."
        )
        headers = retry_headers(self.settings.retry, CROWDED_S)
        return Reply(429, error_object(message, type_="rate_limit_error"), headers)

    def _refused(self, exchange: Exchange, charge: Charge) -> Reply | None:
        """429 if a limit has no room; otherwise every limit counts the request."""
        now = exchange.arrived_s
        longest, tightest = 0.0, None
        for limit, meter in self._meters:
            wait_s = meter.wait_s(now, charge.of(limit.what))
            if wait_s > longest:
                longest, tightest = wait_s, limit
        if tightest is None:
            for limit, meter in self._meters:
                meter.take(now, charge.of(limit.what))
            return None
        self.recorder.refused += 1
        if self.settings.count_refused:
            for limit, meter in self._meters:
                if limit.what == "requests":
                    meter.take(now, 1)
        what = tightest.what
        message = (
            f"Rate limit reached for {what.replace('_', ' ')} per min: "
            f"limit {tightest.per_minute:.0f}. Try again in {longest:.3f}s."
        )
        if longest == float("inf"):
            message = f"Request too large: it asks for {charge.of(what)} {what} at once."
        headers = retry_headers(self.settings.retry, longest, what)
        kind = "requests" if what == "requests" else "tokens"
        return Reply(429, error_object(message, type_=kind, code="rate_limit_exceeded"), headers)


def _charge(prompt_tokens: int, max_tokens: int | None, made: Completion | None) -> Charge:
    if max_tokens is not None:
        return Charge(prompt_tokens, max_tokens)
    return Charge(prompt_tokens, made.completion_tokens if made else 0)


def _what_is_wrong(body: object) -> tuple[str, str | None] | None:
    """Why a body is no chat request: a message and the parameter, None if it is one."""
    if not isinstance(body, dict):
        return "The body of the request is no JSON object.", None
    if not isinstance(body.get("model"), str):
        return "You must provide a model parameter.", "model"
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        return "Missing required parameter: 'messages', a list with at least one.", "messages"
    if not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages):
        return "Every message is an object with a role.", "messages"
    if body.get("stream"):
        return "The test server does not stream.", "stream"
    for name in ("max_tokens", "max_completion_tokens"):
        if not isinstance(body.get(name, 1), int | None) or (body.get(name) or 1) < 1:
            return f"'{name}' is a whole number, at least 1.", name
    most = body.get("top_logprobs")
    if most is not None and not (isinstance(most, int) and 0 <= most <= MOST):
        return f"Invalid value: 'top_logprobs' is a whole number from 0 to {MOST}.", "top_logprobs"
    if most is not None and not body.get("logprobs"):
        return "'top_logprobs' needs 'logprobs' to be true.", "top_logprobs"
    return None
