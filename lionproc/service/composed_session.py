"""The way to a model that is made of several: a session for each, and the steps between them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping, Sequence
from copy import copy
from hashlib import blake2b
from typing import Any

from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.failure_policy import FailurePolicy
from lionproc.engine.forked import in_forked_child
from lionproc.engine.neighbours import introduce
from lionproc.engine.request import Event
from lionproc.engine.tokens import Tokens
from lionproc.errors import ConfigurationError
from lionproc.model.as_json import to_json
from lionproc.model.became import what_became
from lionproc.model.call import ModelCall
from lionproc.model.composed import leaves_of, steps_of
from lionproc.model.connection import Connection
from lionproc.model.model import Model
from lionproc.model.steps import Outcome, own_keys
from lionproc.model.wire import mask_together
from lionproc.service.session import Session
from lionproc.service.session_model import ModelCopy

__all__ = ["ComposedSession", "made_session", "session_of"]


class ComposedSession(Session):
    """Sends questions to several models in turn, as their steps say.

    What a caller sees of an executor is the first one's.

    Args:
        model: The model that is made of several.
        **shared: What else all sessions are given; see `Session`.
    """

    def __init__(self, model: Model, **shared: Any) -> None:
        if getattr(model, "target", None) is not None:
            raise ConfigurationError(
                "A Cascade with target= finds its threshold from a sample of a frame's rows, and "
                "there is none here: give it below=, such as the threshold that a run has found "
                '(out.llm.report().facts["threshold"]).'
            )
        leaves = leaves_of(model)
        self.steps = steps_of(model)
        given = shared.pop("executor", None)
        self.sessions = [
            Session(
                leaf,
                executor=leaf.executor or given,
                elsewhere=self.steps.elsewhere(number),
                for_others=True,
                sure=self.steps.unsure(number),
                **shared,
            )
            for number, leaf in enumerate(leaves)
        ]
        self._introduced: list[FailurePolicy] = []
        first = self.sessions[0]
        self.model, self.executor = first.model, first.executor

    @property
    def sender(self) -> RateLimitedAPIExecutor:
        """What requests to the first model are counted and wait in; see `Session.sender`."""
        return self.sessions[0].sender

    @property
    def connection(self) -> Connection | None:
        """The way to the first model, if it is open."""
        return self.sessions[0].connection

    async def open(self) -> Connection:
        """Connect to the first model; to others when they are asked."""
        return await self.sessions[0].open()

    async def call(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> ModelCall:
        """Build the call that sends these messages to the first model; see `Session.call`."""
        mask_together([(await session.open()).wire for session in self.sessions])
        policies = [session.sender.dispatcher.policy for session in self.sessions]
        if policies != self._introduced:
            introduce(policies, self.steps.before)
            self._introduced = policies
        return await self.sessions[0].call(messages, schema, occurrence)

    async def question(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> bytes:
        """What the first model is asked; see `Session.question`."""
        return await self.sessions[0].question(messages, schema, occurrence)

    async def others(
        self, messages: Sequence[Mapping[str, Any]], schema: Any = str, occurrence: int = 0
    ) -> bytes | None:
        """What the further models may be asked, and when; see `Session.others`."""
        asked = [await each.question(messages, schema, occurrence) for each in self.sessions[1:]]
        return blake2b(b"".join((to_json(self.steps.noted()), *asked)), digest_size=16).digest()

    @property
    def stopped(self) -> str:
        """Why nothing can be sent any more, or ""."""
        return next((said for said in map(_stops, self.sessions) if said), "")

    async def revive(self) -> None:
        """Start what an error stopped again: the cause may be gone."""
        for session in self.sessions:
            await session.revive()

    async def ask(
        self,
        call: ModelCall,
        *,
        previous_key: bytes | None = None,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> Event:
        """Send a call until a model has answered it or none can; see `Session.ask`."""
        others = [await each.asks_too(call) for each in self.sessions[1:]]
        calls = [call, *others]
        leaf, event, before = await asyncio.to_thread(self._kept, calls, previous_key)
        while event is None:
            session = self.sessions[leaf]
            asked = await session.ask(calls[leaf], deadline_s=deadline_s, priority=priority)
            following = self.steps.after(leaf, self._what_became(leaf, asked))
            if following is None:
                event = asked
            else:
                before.append(asked)
                leaf = following
                await self.sessions[leaf].restart()
        return _with(event, before) if before else event

    def _kept(
        self, calls: Sequence[ModelCall], previous_key: bytes | None
    ) -> tuple[int, Event | None, list[Event]]:
        """Where a request begins by what the journal has: a leaf, its answer, and those before."""
        replay = self.sender.dispatcher.replay
        keys = own_keys([call.keys_by_way for call in calls])
        if previous_key is not None:
            keys.append([previous_key])
        events = [Event(call) for call in calls]
        answered: dict[int, Outcome] = {}
        for number, entry in enumerate(replay.find_all(keys)):
            # An earlier version may have kept the first model's answer under another key.
            place = number if number < len(calls) else 0
            if entry is not None and place not in answered and replay.answer(events[place], entry):
                answered[place] = self._what_became(place, events[place])
        leaf, stands = self.steps.kept(answered.get)
        if stands:
            events[leaf].finish()
        before = [events[number] for number in answered if number < leaf]
        return leaf, events[leaf] if stands else None, before

    def _what_became(self, leaf: int, event: Event) -> Outcome:
        return what_became(event, sure=self.steps.unsure(leaf))

    async def close(self) -> None:
        """Stop sending and close all connections."""
        for session in self.sessions:
            session.refuse()
        for session in self.sessions:
            await session.close()


def made_session(model: Model, **shared: Any) -> Session:
    """The session for a model, whatever it is made of; the arguments are those of `Session`."""
    return (
        Session(model, **shared) if len(leaves_of(model)) == 1 else ComposedSession(model, **shared)
    )


_shared_sessions: weakref.WeakKeyDictionary[Model, Session] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@in_forked_child
def _forked() -> None:
    """In a forked child: what is shared there is opened there."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _shared_sessions.clear()


def session_of(model: Model) -> Session:
    """The session for this very `Model`, which everything in this process shares."""
    with _lock:
        session = _shared_sessions.get(model)
        if session is None:
            if len(leaves_of(model)) > 1:
                session = ComposedSession(model)
            else:
                session = Session(ModelCopy.of(model), executor=model.executor)
            _shared_sessions[model] = session
        return session


def _stops(session: Session) -> str:
    """Why nothing can be sent any more, as far as one of several sessions goes."""
    others = session.sender.dispatcher.policy.others
    return "" if others.may_answer else session.stopped


def _with(event: Event, before: Sequence[Event]) -> Event:
    """An event with what was taken for it before; others may have the event itself."""
    whole = copy(event)
    for other in before:
        whole.attempts += other.attempts
        whole.seconds += other.seconds
        whole.count(
            Tokens(other.prompt_tokens, other.completion_tokens), other.cached_tokens, other.usd
        )
    return whole
