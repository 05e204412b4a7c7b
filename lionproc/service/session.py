"""`Session`: the way to one model, with its limits, journal, connection and executor."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import weakref
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.forked import in_forked_child, leave_behind
from lionproc.engine.limiter_chain import LimiterChain
from lionproc.engine.limits import Limits
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.errors import CallError, ConfigurationError, Kind
from lionproc.model.answer import Answer
from lionproc.model.as_json import to_json
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.connection import Connection
from lionproc.model.defaults import default
from lionproc.model.model import Model
from lionproc.model.wire import Wire, mask_together
from lionproc.service.builders import Builders, made_meanwhile
from lionproc.service.resources import CLOSED, Resources, all_closed, close_unused, to_its_end

log = logging.getLogger("lionproc.service")


class Session:
    """Sends questions to one model.

    Args:
        model: The model that answers.
        limits: Limits of this session alone. Those that it shares hold as well: the limits of the
            model's executor if it has one, else those of its endpoint and key.
        executor: Send through this executor, with its limits and, if it has one, its journal. What
            waits, what fails and what stops all is the session's own.
        journal: The file that replies are kept in, None to keep none.
        retry: How often and how long to retry.
        queue_capacity: Requests that may wait.
        elsewhere: The kinds of failure after which another session takes over.
        for_others: Whether another session may be asked the same.
        sure: Whether replies are to tell how sure the model is of what it chose.
    """

    def __init__(
        self,
        model: Model,
        *,
        limits: Limits | None = None,
        executor: RateLimitedAPIExecutor | None = None,
        journal: str | os.PathLike[str] | None = None,
        retry: Retry | None = None,
        queue_capacity: int = 1000,
        elsewhere: frozenset[Kind] = frozenset(),
        for_others: bool = False,
        sure: bool = False,
    ) -> None:
        self.model = model
        self._sure = sure
        self._elsewhere = elsewhere
        self._for_others = for_others
        shared_limiters = () if model.executor is None else (model.executor.limiter,)
        self.executor = executor or RateLimitedAPIExecutor(
            queue_capacity,
            limiter=LimiterChain(limits or _unlimited(), shared_limiters),
            retry=retry,
            elsewhere=elsewhere,
        )
        self._journal_path = journal
        self._opening = asyncio.Lock()
        self._closed = False  # until somebody asks anew
        self._connection: Connection | None = None
        self._builders = Builders()
        self._by_answer = Builders()  # by the id of the answer type
        inside = partial(self.executor.inside, retry=retry, elsewhere=elsewhere)
        self._resources = Resources(self.executor, None if executor is None else inside)
        weakref.finalize(self, close_unused, self._resources).atexit = False
        _sessions.add(self)

    async def open(self) -> Connection:
        """Connect, on the engine's loop.

        Raises:
            ModelError: There is no key, or the address is invalid.
            JournalError: The journal cannot be opened.
            ConfigurationError: It was opened before the process was forked.
        """
        if self in _of_parent:
            raise ConfigurationError(
                "This service was used before its process was forked: its connections and requests "
                "under way stayed with the parent. Make it anew in each process."
            )
        connection = self._connection
        if connection is None or self._opening.locked():
            return await asyncio.shield(to_its_end(self._opened()))  # whoever gives up the wait
        if not connection.is_as_it_was():
            connection.is_as_it_was = lambda: True  # it is said once
            log.warning(
                "the client of %r has other headers, cookies, parameters or another address now "
                "than this service goes on with. To have it take them, close it and go on.",
                self.model,
            )
        return connection

    async def _opened(self) -> Connection:
        async with self._opening:
            if self._connection is None:
                connection = await asyncio.to_thread(self.model.connect)
                mask_together([connection.wire])  # of a Pool there are several within
                limits = default("limits", None)
                if limits is not None:
                    connection.endpoint.limiter.limits = limits
                await self._resources.open(connection, self._journal_path)
                self._connection = connection
                # What is registered last is called first, and the engine's loop, which closes
                # things, ends in its own handler.
                atexit.unregister(_at_exit)
                atexit.register(_at_exit)
            return self._connection

    def _made(self, connection: Connection, answer: Answer) -> RequestBuilder:
        params = self.model.body_params
        made = RequestBuilder(connection, params, answer, confidence=self._sure)
        made.elsewhere = self._elsewhere
        return made

    async def _builder(self, connection: Connection, schema: object) -> RequestBuilder:
        """What builds requests for answers of a type.

        Raises:
            SchemaError: It is not an answer type.
        """
        # For Python types are equal in which the order of choices is another.
        key: Hashable = to_json(schema) if isinstance(schema, Mapping) else (schema, repr(schema))
        try:
            known = self._builders.get(key)
        except TypeError:  # a type without a hash cannot be remembered
            return self._made(connection, Answer.of(schema))
        if known is None or known.connection is not connection:
            size = len(key) if isinstance(key, bytes) else 0
            known = await made_meanwhile(size, lambda: self._made(connection, Answer.of(schema)))
            self._builders.keep(key, known, size)
        return known

    async def call(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> ModelCall:
        """Build the call that sends these messages.

        Args:
            messages: Chat messages.
            schema: The answer's type.
            occurrence: A number that makes equal questions different ones; 0 lets them share
                one answer.

        Raises:
            ConfigurationError: The model or the answer type is invalid.
            CallError: Of kind `prompt`: the messages cannot be written as JSON. Of kind
                `not_sent`: it was closed, and nobody has revived it.
        """
        self._must_be_open()
        connection = await self.open()
        builder = await self._builder(connection, schema)
        builder.for_others = self._for_others
        try:
            return builder.ask(messages, occurrence)
        except (TypeError, ValueError, RecursionError) as error:
            raise CallError(
                Kind.PROMPT, f"The messages cannot be written as JSON ({type(error).__name__})."
            ) from error

    async def question(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> bytes:
        """A digest of what `call` asks and of whom, but for how the answer's type is asked for.

        Args:
            messages: Such that `call` has taken them.
            schema: As for `call`.
            occurrence: As for `call`.
        """
        builder = await self._builder(await self.open(), schema)
        return builder.question(messages, occurrence)

    async def others(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> bytes | None:
        """A digest of what others may be asked besides, and when; None where there are none.

        Args:
            messages: As for `question`.
            schema: As for `call`.
            occurrence: As for `call`.
        """
        del messages, schema, occurrence
        return None

    async def asks_too(self, call: ModelCall) -> ModelCall:
        """The call that asks this session's model what another one was asked; it is open.

        Args:
            call: Of a session that is `for_others`.

        Raises:
            CallError: Of kind `not_sent`: it was closed.
        """
        connection, answer = self._connection, call.answer
        if connection is None:
            raise CallError(Kind.NOT_SENT, CLOSED)
        builder = self._by_answer.get(id(answer))
        if builder is None or builder.connection is not connection:
            size = len(to_json(answer.json_schema or {}))
            builder = await made_meanwhile(size, lambda: self._made(connection, answer))
            builder.for_others = True
            self._by_answer.keep(id(answer), builder, size)
        return builder.ask_too(call)

    @property
    def connection(self) -> Connection | None:
        """The way to the model, if it is open."""
        return self._connection

    @property
    def sender(self) -> RateLimitedAPIExecutor:
        """What its requests are counted and wait in: its executor, or its part of one that it shares."""
        return self._resources.sender or self.executor

    @property
    def stopped(self) -> str:
        """Why nothing can be sent any more (a refused key, a server that is down), or ""."""
        if self._closed:
            return CLOSED
        return "" if self.sender.fatal is None else str(self.sender.fatal)

    def _must_be_open(self) -> None:
        if self._closed:
            raise CallError(Kind.NOT_SENT, CLOSED)

    async def revive(self) -> None:
        """Begin anew after `close`, or if an error stopped the executor: the cause may be gone."""
        self._closed = False
        self.sender.dispatcher.policy.hope()
        await self.restart()

    async def restart(self) -> None:
        """Begin anew if an error stopped it, or something in the executor that it shares."""
        if self.sender.fatal is not None or self.sender is not self.executor:
            await self._resources.start()

    async def ask(
        self,
        call: ModelCall,
        *,
        previous_key: bytes | None = None,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> Event:
        """Send a call and wait until it has an answer or has failed.

        Args:
            call: What to send.
            previous_key: The key of this very question in an earlier run, where its reply may be
                found if the call's own key differs from it, as its type was made anew.
            deadline_s: Seconds it may wait in the queue.
            priority: Requests with a higher number go first.

        Returns:
            The finished event; its `error` says why there is no answer.

        Raises:
            CallError: Of kind `not_sent`: it was closed, and nobody has revived it.
        """
        sender = self.sender
        if previous_key is not None and previous_key != call.key and sender.journal is not None:
            found = await asyncio.to_thread(sender.journal.find, [previous_key])
            event, dispatcher = Event(call), sender.dispatcher
            if previous_key in found and await dispatcher.readings.read(
                dispatcher.replay.answering(event, found[previous_key])
            ):
                event.finish()
                return event
        if self._closed or call.connection is not self._connection:
            raise CallError(Kind.NOT_SENT, CLOSED)
        event = await sender._append(call, deadline_s, priority)
        with contextlib.suppress(CallError):
            await sender.settled(event)
        return event

    async def close(self) -> None:
        """Stop sending and close the connection, on the engine's loop. `revive` may follow.

        Who gives up the wait ends it for nobody else.
        """
        self.refuse()
        if self not in _of_parent:  # else nothing is open here
            await asyncio.shield(to_its_end(self._close()))

    def refuse(self) -> None:
        """From now on nothing more is asked, until it is revived."""
        self._closed = True

    async def _close(self) -> None:
        async with self._opening:
            self._connection = None  # what was made for it is not sent any more
            await self._resources.close()
            self._builders.clear()
            self._by_answer.clear()


def _unlimited() -> Limits:
    """Limits that never hold anything back: the shared ones decide."""
    return Limits(concurrency=1_000_000, adapt=False)


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_of_parent: weakref.WeakSet[Session] = weakref.WeakSet()  # of a forked child


@in_forked_child
def _forked() -> None:
    """In a forked child: what was opened is the parent's, and is neither used nor closed here."""
    for session in _sessions:
        if session._connection is not None or session._opening.locked():
            _of_parent.add(session)
            leave_behind((session, session._resources.stay_behind(), session._connection))
        else:
            session._opening = asyncio.Lock()
            leave_behind(session._resources.begin_anew())
    for session in _of_parent:
        _sessions.discard(session)


def _at_exit() -> None:
    """Close what a script left open."""
    for session in list(_sessions):
        wire = session._resources.take()[0]  # journals close themselves
        if wire is not None:
            with contextlib.suppress(Exception):
                engine_loop.submit(_closed(wire)).result(2.0)
    with contextlib.suppress(Exception):
        engine_loop.submit(all_closed()).result(3.0)


async def _closed(wire: Wire) -> None:
    await wire.close()
    await asyncio.sleep(0.01)  # the loop's callbacks close the connections
