"""The session with a model: limits, journal, connection, and one engine."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.errors import CallError
from lionproc.model.answer import Answer
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.connection import Connection
from lionproc.model.defaults import MODEL_VARIABLE, default, default_model
from lionproc.model.model import Model
from lionproc.model.wire import Wire
from lionproc.service.records import to_json

RECIPES = 256  # answer types that are remembered


class Session:
    """A way to ask one model.

    Args:
        model: Who answers.
        limits: Limits of this session alone, in front of those it shares: the model's executor's
            if it has one, else those of its endpoint and key.
        shared: Limits to set for the endpoint and key, for all who use them.
        executor: Send through this engine instead; `limits` and `journal` are then its own.
        journal: Where replies are kept; None keeps none.
        retry: How patient to be.
        queue_capacity: Requests that may wait.
        first_failures: See `RateLimitedAPIExecutor`; for a session that serves one run alone.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits | None = None,
        shared: Limits | None = None,
        executor: RateLimitedAPIExecutor | None = None,
        journal: str | os.PathLike[str] | None = None,
        retry: Retry | None = None,
        queue_capacity: int = 1000,
        first_failures: int | None = None,
    ) -> None:
        self.model = model
        behind = () if model.executor is None else (model.executor.limiter,)
        self.executor = executor or RateLimitedAPIExecutor(
            queue_capacity,
            limiter=LimiterChain(limits or _no_limits(), behind),
            retry=retry,
            first_failures=first_failures,
        )
        self._own = executor is None
        self._shared = shared
        self._journal_path = journal
        self._opening = asyncio.Lock()
        self._connection: Connection | None = None
        self._recipes: dict[Any, RequestBuilder] = {}
        self._holds: dict[str, Any] = {}
        weakref.finalize(self, _let_go, self._holds).atexit = False
        _sessions.add(self)

    async def open(self) -> Connection:
        """Connect, on the engine's loop.

        Raises:
            ModelError: There is no key, or the address cannot be.
            JournalError: The journal cannot be opened.
        """
        async with self._opening:
            if self._connection is None:
                connection = await asyncio.to_thread(self.model.connect)
                self._holds["wire"] = connection.wire
                limits = default("limits", self._shared)
                if limits is not None:
                    connection.limiter.limits = limits
                if self._journal_path is not None and self.executor.journal is None:
                    journal = await asyncio.to_thread(Journal.open, self._journal_path)
                    self._holds["journal"] = self.executor.journal = journal
                if self._own:
                    await self.executor.start()
                self._connection = connection
                atexit.unregister(_at_exit)  # what is registered last is called first, and the
                atexit.register(_at_exit)  # loop that closes things has ended after its own turn
            return self._connection

    def recipe(self, connection: Connection, schema: Any) -> RequestBuilder:
        """How to ask for answers of a type.

        Raises:
            SchemaError: That type cannot be asked for.
        """
        key: Any = to_json(schema) if isinstance(schema, Mapping) else schema
        try:
            known = self._recipes.get(key)
        except TypeError:  # an answer type that cannot be looked up
            return RequestBuilder(connection, self.model.body_params, Answer.of(schema))
        if known is None or known.connection is not connection:
            known = RequestBuilder(connection, self.model.body_params, Answer.of(schema))
            if len(self._recipes) >= RECIPES:
                self._recipes.clear()
            self._recipes[key] = known
        return known

    async def call(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> ModelCall:
        """The call that asks this.

        Raises:
            ConfigurationError: The model or the answer type cannot be used.
            CallError: Of kind `prompt`: the messages cannot be JSON.
        """
        connection = await self.open()
        recipe = self.recipe(connection, schema)
        try:
            return recipe.ask(messages, occurrence)
        except (TypeError, ValueError) as error:
            from lionproc.errors import Kind

            raise CallError(
                Kind.PROMPT, f"The messages cannot be written as JSON ({type(error).__name__})."
            ) from error

    async def revive(self) -> None:
        """Where an error stopped the engine, let it try again: it may have been mended since."""
        if self.executor.fatal is not None:
            await self.executor.start()

    async def ask(
        self,
        call: ModelCall,
        *,
        kept_as: bytes | None = None,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> Event:
        """Send a call through the engine and wait until it is finished, one way or the other.

        Args:
            call: What to ask.
            kept_as: A key under which an earlier run may have kept the reply, if that was
                another one than the call's.
            deadline_s: Seconds it may wait in the queue.
            priority: Higher goes first.

        Returns:
            The finished event; its `error` says why there is no answer.
        """
        executor = self.executor
        if kept_as is not None and kept_as != call.key and executor.journal is not None:
            found = await asyncio.to_thread(executor.journal.find, [kept_as])
            event = Event(call)
            if kept_as in found and executor.dispatcher.replay.answer(event, found[kept_as]):
                event.finish()
                return event
        event = await executor._append(call, deadline_s, priority)
        with contextlib.suppress(CallError):
            await executor.settled(event)
        return event

    async def close(self) -> None:
        """Stop sending and close what is open, on the engine's loop. `open` works again."""
        async with self._opening:
            if self._own:
                await self.executor.dispatcher.halt(10.0)
            self._connection = None
            self._recipes.clear()
            held, self._holds["wire"], self._holds["journal"] = dict(self._holds), None, None
            if held.get("journal") is not None:
                self.executor.journal = None
            await _shut(held)


def _no_limits() -> Limits:
    """A gate that is always open: the ones behind it decide."""
    return Limits(concurrency=1_000_000, adapt=False)


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_of_models: weakref.WeakKeyDictionary[Model, Session] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def session_of(model: Model) -> Session:
    """The session that everything in this process shares which uses this very `Model`."""
    with _lock:
        session = _of_models.get(model)
        if session is None:
            session = Session(_Unheld.of(model), executor=model.executor)
            _of_models[model] = session
        return session


def session_model(given: Model | str | None = None) -> Model:
    """The model of an argument or of the session; the same one for the same words.

    Raises:
        ModelError: None was given, none is configured and none is in the environment.
    """
    chosen = default("model", given, os.environ.get(MODEL_VARIABLE, "").strip() or None)
    if not isinstance(chosen, str):
        return default_model(given)
    model = Model.of(chosen)
    variables = (model.settings.key_variable or "", "OPENAI_BASE_URL")
    known = hash((chosen, *(os.environ.get(name) for name in variables)))
    with _lock:
        return _named.setdefault(known, model)


_named: dict[int, Model] = {}


class _Unheld(Model):
    """A model that is not kept alive by its own session, which is remembered as long as it lives."""

    @classmethod
    def of(cls, model: Model | str) -> _Unheld:
        other = cls.__new__(cls)
        other.__dict__.update(Model.of(model).__dict__)
        return other


def _let_go(holds: dict[str, Any]) -> None:
    """A session is gone: close what it held, on the engine's loop."""
    held = dict(holds)
    if held.get("wire") is None and held.get("journal") is None:
        return
    with contextlib.suppress(RuntimeError):  # the loop has ended and took everything along
        loop = engine_loop.get()
        loop.call_soon_threadsafe(lambda: _closing.add(loop.create_task(_shut(held))))


_closing: set[asyncio.Task[None]] = set()


async def _shut(held: dict[str, Any]) -> None:
    task = asyncio.current_task()
    try:
        if held.get("wire") is not None:
            await held["wire"].close()
        if held.get("journal") is not None:
            with contextlib.suppress(RuntimeError):  # at exit there are no threads to be had,
                await asyncio.to_thread(held["journal"].close)  # and journals close themselves
    finally:
        if task is not None:
            _closing.discard(task)


def _at_exit() -> None:
    """Scripts need not close what they opened."""
    for session in list(_sessions):
        wire, session._holds["wire"] = session._holds.get("wire"), None
        session._holds["journal"] = None  # journals close themselves
        if wire is not None:
            with contextlib.suppress(Exception):
                engine_loop.submit(_closed(wire)).result(2.0)
    with contextlib.suppress(Exception):
        engine_loop.submit(_all_closed()).result(3.0)


async def _closed(wire: Wire) -> None:
    await wire.close()
    await asyncio.sleep(0.01)  # connections are closed by callbacks, which want their turn


async def _all_closed() -> None:
    """Wait for what lines that are gone left to be closed."""
    if _closing:
        await asyncio.wait(set(_closing), timeout=2.0)
        await asyncio.sleep(0.01)
