"""What goes through the engine: a call to make, what came back, and the event that holds both."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Generator
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from lionproc.engine.apart import NotYetAskedError
from lionproc.engine.quotas import Signals
from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Saved, Usage, plus
from lionproc.errors import CallError, Kind, let_go, pass_on_interrupt

log = logging.getLogger("lionproc.engine")
EventState: TypeAlias = Literal["pending", "processing", "completed", "failed", "cancelled"]
CORRECTABLE = frozenset({Kind.WRONG_SHAPE, Kind.EMPTY})


@dataclass(slots=True)
class Reply:
    """What came back from one attempt.

    Attributes:
        error: Why it is not an answer and was not paid for; None for a reply that was paid.
        raw: The body as it came, kept in the journal.
        data: The parsed body, handed to `Call.read`; None for one that is to be parsed then.
        model: Which model answered, in the server's words.
        used: Tokens as the server counted them, None where it did not say.
        guessed: True where `used` is an estimate, because the server did not say.
        usage: All that is known of what it used; None where whoever made it did not look.
        usd: What it costs in dollars, by `usage`; None where that is not known.
        saved: What it would have cost more; None where that is nothing or not known.
        charged: Tokens that count against the limit, where that is more than was used.
        signals: What the headers say about limits.
    """

    error: CallError | None = None
    raw: bytes = b""
    data: Any = None
    model: str = ""
    used: Tokens | None = None
    guessed: bool = False
    usage: Usage | None = None
    usd: float | None = None
    saved: Saved | None = None
    charged: Tokens | None = None
    signals: Signals | None = None


class Call(Protocol):
    """One thing to ask. The engine runs anything of this shape.

    A call may have a `limiter`, that of where it goes. An executor with limits of its own
    lets it pass that one too. Where that is a `LimiterPool`, the call has `through(way)`: the same
    call, sent that way. It may have a `size`, the bytes that it takes while it waits, a
    `length`, the characters of the reply that it was answered by, and `keys_by_way`: all keys under
    which an answer to it may be kept, its own first; `shares`, what it has in common with others, and the
    bytes of memory that this takes; `reads_as`, equal for calls whose replies are read in one way; and
    `leaves_later`, true where it sees to it itself that it leaves when all that came is noted, see
    `Turn`.
    """

    @property
    def key(self) -> bytes | None:
        """A hash of all that shapes the answer; equal keys share one request. None: never."""

    @property
    def estimate(self) -> Tokens:
        """The tokens it will probably read and write, as far as is known now."""

    async def send(self) -> Reply:
        """Make one attempt. Failures come back as `Reply.error`."""

    def parse(self, raw: bytes) -> Any:
        """A kept body, parsed as `send` does it."""

    def read(self, data: Any) -> Any:
        """The answer in a paid reply; raises `CallError` if it is none."""

    def correction(self, data: object, error: CallError) -> Call | None:
        """The call that asks again with the reason, or None."""


# What an event has once it is answered.
_OF_WHAT_CAME = (
    *("_corrected", "again_for", "attempts", "cached", "cached_tokens", "call"),
    *("completion_tokens", "corrections", "crowded", "has_reply", "kept_at", "model"),
    *("prompt_tokens", "refused", "seconds", "unkept_usd", "usd", "value"),
)


def keys_of(call: Call) -> list[bytes]:
    """The keys under which an answer to a call may be kept, its own first.

    Args:
        call: Which.
    """
    own = [] if call.key is None else [call.key]
    return getattr(call, "keys_by_way", own)


def read_alike(one: Call, other: Call) -> bool:
    """Whether the replies to two equal calls are read in one way, so that they have one answer.

    Types may be equal in all that a model is told of them, and check or change what it says otherwise.

    Args:
        one: A call.
        other: With the same key.
    """
    return bool(getattr(one, "reads_as", None) == getattr(other, "reads_as", None))


class Event:
    """A call on its way through the engine. Awaiting it gives the answer or raises its error.

    Attributes:
        state: pending, processing, completed, failed or cancelled.
        done: True once nothing more will happen to it.
        value: The answer, once completed.
        error: Why there is none, once failed or cancelled.
        attempts: Requests sent for it so far.
        refused: How many of them got a 429 from a server that answers.
        crowded: How many of them were refused because too many were in flight.
        again_for: What was wrong with the last one, if it is sent again.
        usage: Tokens all its attempts used.
        cached_tokens: Of those read, the ones from the provider's prompt cache; None where a
            reply does not tell.
        usd: What its attempts cost, when they were bought; None where that is not known.
        seconds: Seconds that all its attempts took together; waits between them do not count.
        cached: True if the answer came from the journal.
        model: Which model answered, in the words of the last reply; empty if it does not say.
        size: Bytes that its call takes while it waits, as far as it says.
        looked_up: When the journal was last asked for its answer, in Unix seconds.
        has_reply: Whether a reply to it was kept, whatever it is worth.
        kept_at: When the last one came that was kept, in Unix seconds; 0.0 where there is none.
        tag: Whatever its makers want to find again, such as a row's position.
        priority: Higher goes first; equal ones in the order they came.
        claims: How many wait for it; see `RateLimitedAPIExecutor.submit`.
        is_given_up: Whether all of them gave up while it was in flight: it is not sent again.
    """

    __slots__ = (
        "_corrected",
        "_future",
        "again_for",
        "attempts",
        "cached",
        "cached_tokens",
        "call",
        "claims",
        "completion_tokens",
        "corrections",
        "created",
        "crowded",
        "deadline_s",
        "done",
        "error",
        "first",
        "has_reply",
        "is_given_up",
        "kept_at",
        "looked_up",
        "model",
        "priority",
        "prompt_tokens",
        "refused",
        "seconds",
        "size",
        "state",
        "tag",
        "unkept_usd",
        "usd",
        "value",
    )

    def __init__(
        self,
        call: Call,
        *,
        deadline_s: float | None = None,
        tag: Any = None,
        priority: float = 0,
    ) -> None:
        self.first = call
        self.call = call
        self.size: int = getattr(call, "size", 0)
        self.tag = tag
        self.deadline_s = deadline_s
        self.priority = priority
        self.claims = 0
        self.created = self.looked_up = time.time()
        self.has_reply = False
        self.is_given_up = False
        self._future: asyncio.Future[Any] | None = None
        self.reset()

    def reset(self) -> None:
        """Back to the first question, as if nothing had been asked."""
        self.call = self.first
        self._corrected: tuple[bytes, ...] = ()
        self.state: EventState = "pending"
        self.done = False
        self.value: Any = None
        self.error: CallError | None = None
        self.attempts = self.refused = self.crowded = 0
        self.again_for: CallError | None = None
        self.corrections = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cached_tokens: int | None = 0
        self.usd: float | None = 0.0
        self.unkept_usd: float | None = 0.0  # of it, what no record of the journal tells yet
        self.seconds = self.kept_at = 0.0
        self.cached = False
        self.model = ""

    def have(self, other: Event) -> None:
        """Have what came of an equal question, that of the same call.

        Args:
            other: It is answered, and not by a request.
        """
        for name in _OF_WHAT_CAME:
            setattr(self, name, getattr(other, name))

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The key of the question and those of its corrections."""
        key = self.first.key
        return self._corrected if key is None else (key, *self._corrected)

    @property
    def usage(self) -> Tokens:
        """Tokens that all attempts used."""
        return Tokens(self.prompt_tokens, self.completion_tokens)

    def count(self, used: Tokens, cached: int | None, usd: float | None) -> None:
        """What was billed for one attempt.

        Args:
            used: Tokens.
            cached: Of those read, the ones from the provider's prompt cache.
            usd: Dollars.
        """
        self.prompt_tokens += used.input
        self.completion_tokens += used.output
        read = self.cached_tokens
        self.cached_tokens = None if read is None or cached is None else read + cached
        self.usd = plus(self.usd, usd)

    def advance(self, data: object, max_corrections: int) -> bool:
        """Read a paid reply.

        Returns:
            True if that settles it, with an answer or an error; False if `call` is now the
            question again, with the reason.
        """
        try:
            self.value = self.call.read(data)
        except CallError as error:
            let_go(error)  # of the reply, which hangs on its frames
            self.error = error
            again = None
            if error.kind in CORRECTABLE and self.corrections < max_corrections:
                with contextlib.suppress(Exception):  # what was said may not fit into a request
                    again = self.call.correction(data, error)
            if again is not None:
                self.error = None
                self.again_for = error
                self.call = again
                self.corrections += 1
                if again.key is not None:
                    self._corrected += (again.key,)
                return False
        except NotYetAskedError:  # nothing is changed, and it is read again
            raise
        except BaseException as fault:  # noqa: BLE001  (a reply may hold anything)
            self.error = _unreadable(fault)
        return True

    def advance_raw(self, raw: bytes, max_corrections: int) -> bool:
        """`advance` with a body, which may be damaged or from another version where it was kept."""
        try:
            data = self.call.parse(raw)
        except BaseException as fault:  # noqa: BLE001  (as above)
            self.error = _unreadable(fault)
            return True
        return self.advance(data, max_corrections)

    def finish(self, error: CallError | None = None) -> None:
        """Settle it and wake whoever awaits it."""
        if error is not None:
            self.error = error
        if self.error is None:
            self.state = "completed"
        else:
            let_go(self.error)
            given_up = self.error.kind in {Kind.CANCELLED, Kind.NOT_SENT, Kind.DEADLINE}
            self.state = "cancelled" if given_up else "failed"
        self.done = True
        future = self._future
        if future is not None and not future.done():
            if self.error is None:
                future.set_result(self.value)
            else:
                future.set_exception(self.error)
                future.exception()  # looked at: nobody need await an event

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call back on the engine's loop when it is done, at once if it is."""
        if self.done:
            callback()
        else:
            self._waiter().add_done_callback(lambda _: callback())

    def _waiter(self) -> asyncio.Future[Any]:
        if self._future is None:
            from lionproc.engine import loop

            self._future = loop.get().create_future()
            if self.done:
                self.finish()
        return self._future

    def __await__(self) -> Generator[Any, None, Any]:
        from lionproc.engine import loop

        async def wait() -> Any:
            await asyncio.wait((self._waiter(),))
            if self.error is not None:
                raise copy(self.error)  # this one is kept, with no frames of whoever hears of it
            return self.value

        return loop.bridge(wait()).__await__()

    def __repr__(self) -> str:
        kind = f", {self.error.kind}" if self.error else ""
        return f"<Event {self.state}{kind}, {self.attempts} attempts>"


def _unreadable(fault: BaseException) -> CallError:
    """The failure of the one row whose reply something stumbled over. Never the run's."""
    pass_on_interrupt(fault)
    log.warning("a reply could not be read: %s", type(fault).__name__)
    return CallError(Kind.UNREADABLE, f"The reply could not be read ({type(fault).__name__}).")
