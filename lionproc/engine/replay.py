"""Answers from the journal in place of requests, and what is kept there for the next run.

The journal keeps replies, not answers: an event is taken through the kept replies as it would be
through new ones, corrections included, until it has its answer or the next reply is missing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from functools import partial
from typing import TYPE_CHECKING

from lionproc.engine.apart import Reading, Steps, step
from lionproc.engine.journal import Entry, Failure, Voted
from lionproc.engine.kept_reading import read_again
from lionproc.engine.request import keys_of
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, JournalError, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lionproc.engine.journal import Journal, Kept
    from lionproc.engine.request import Call, Event, Reply

RAW_BYTES = 64 * 1024  # of a reply that is no answer; all of it is in the journal
# A longer one waits for the disk as it came and is parsed once more: as objects it may take thirty
# times as much memory, and many wait.
RAW_OF_ALL = 64 * 2**20  # of all of them, which stay with the failures for as long as those
PARSED_AGAIN_BYTES = 256 * 1024
# Whoever knows what an unknown ending means may use the reply that is kept, and an answer of which
# nobody says how sure it is has been paid for.
_USABLE = frozenset({Kind.UNKNOWN_ENDING, Kind.NO_LOGPROBS})
STALE_S = 2.0  # what was looked up longer ago is looked up again, just before it is sent


class Replay:
    """One executor's use of a journal.

    Args:
        journal: Where replies are kept; None keeps none and answers nothing.
        since: Only records after this mark answer anything.
        max_corrections: How often an answer of a wrong shape is asked again with the reason.

    Attributes:
        has_answered: Whether the journal had an answer to anything. Set from any thread.
        run: The number in the journal of the run that this is done for, 0 for none.
        until: Only records before this mark answer anything; None for all.
    """

    def __init__(self, journal: Journal | None, since: int, max_corrections: int) -> None:
        self.journal = journal
        self.has_answered = False
        self.run = 0
        self.until: int | None = None
        self._since = since
        self._max_corrections = max_corrections
        self._raw_room = RAW_OF_ALL

    # -- reading ----------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Before anything is sent again: what the journal refused when it was in trouble goes into it.

        Where that cannot be done as yet, the next reply that is kept tells why.
        """
        if self.journal is not None:
            await asyncio.to_thread(self.journal.catch_up)

    def find(self, key: bytes | None) -> Entry | None:
        """The reply that is kept under a key, if there is one. Any thread.

        Raises:
            JournalError: The journal cannot be read.
        """
        return self.find_all([() if key is None else (key,)])[0]

    def find_all(self, keys: Sequence[Sequence[bytes]]) -> list[Entry | None]:
        """As `find`, for many.

        Args:
            keys: Of each call all that its reply may be kept under; the first one goes first.
        """
        known = [key for own in keys for key in own]
        if not known or self.journal is None:
            return [None] * len(keys)
        found = self.journal.find(known, self._since, self.until)
        return [next((found[key] for key in own if key in found), None) for own in keys]

    def answer(self, event: Event, entry: Entry) -> bool:
        """Answer an event from the journal, if what is kept there is an answer.

        Any thread, as long as nobody else uses the event; on the loop `answering` does it.

        Args:
            event: Not yet sent.
            entry: The kept reply to its call.

        Returns:
            True if the event has its answer. Otherwise it is to be sent: its call asks the
            first question, or the first correction to which no reply is kept.
        """
        return self.answering(event, entry).at_once()

    def answering(self, event: Event, entry: Entry) -> Reading[bool]:
        """As `answer`, for the loop; also True if the event has come to its end meanwhile."""
        return Reading(self._answer(event, entry))

    def _answer(self, event: Event, entry: Entry) -> Steps[bool]:
        is_settled = yield from self._recall(event, entry)
        if event.done:  # it was given up meanwhile, and nothing is to be sent for it
            return True
        if is_settled and event.error is None:
            event.cached = True
            return True
        if event.error is not None:
            event.reset()  # it failed with what is kept, so it is asked anew
        return False

    def failed_before(self, events: Sequence[Event]) -> bool:
        """Whether all of these were asked before, in this run or an earlier one, and failed.

        Raises:
            JournalError: The journal cannot be read.
        """
        keys = {event.first.key for event in events if not event.attempts}
        if not keys or self.journal is None:
            return not keys
        known = [key for key in keys if key is not None]
        return len(self.journal.newest(known, Failure, self._since, self.until)) == len(keys)

    def fail_again(self, events: Sequence[Event]) -> None:
        """Give those that failed when they were asked before that failure. Any thread.

        Args:
            events: Not yet sent, and not answered by the journal.

        Raises:
            JournalError: The journal cannot be read.
        """
        unasked = [each for each in events if not each.attempts and each.first.key is not None]
        if not unasked or self.journal is None:
            return
        keys = [event.first.key or b"" for event in unasked]
        lost = self.journal.newest(keys, Failure, self._since, self.until)
        kept = self.find_all([() if key in lost else (key,) for key in keys])
        for event, key, entry in zip(unasked, keys, kept, strict=True):
            if key in lost:
                event.error, event.attempts = lost[key].error, lost[key].attempts
                event.cached, event.kept_at = True, lost[key].at
            elif not Reading(self._recall(event, entry)).at_once() or event.error is None:
                event.reset()

    def voted(self, keys: Sequence[bytes]) -> dict[bytes, Voted]:
        """How the votes on rows stood when they gave them their answers. Any thread.

        Args:
            keys: Under which that is kept.

        Raises:
            JournalError: The journal cannot be read.
        """
        if not keys or self.journal is None:
            return {}
        return self.journal.newest(keys, Voted, self._since, self.until)

    def settling(self, event: Event, reply: Reply) -> Reading[bool]:
        """Read a paid reply that has just come.

        Returns:
            What comes to True if the event has an answer or an error then, or was given up
            meanwhile; to False if `event.call` is then a correction that is to be sent.
        """
        return Reading(self._settle(event, reply))

    def _settle(self, event: Event, reply: Reply) -> Steps[bool]:
        if reply.data is None and reply.raw:
            advance = partial(event.advance_raw, reply.raw)
        else:
            advance = partial(event.advance, reply.data)

        def settles() -> bool:
            return event.done or advance(0 if event.is_given_up else self._max_corrections)

        is_settled = yield from step(settles)
        if event.done:
            return True
        if is_settled:
            if event.error is not None:
                event.error.raw = reply.raw[: min(RAW_BYTES, self._raw_room)]
                self._raw_room -= len(event.error.raw)
            return True
        return (yield from self._recall(event, self._find_for(event.call)))

    def is_stale(self, event: Event, *, shared: bool) -> bool:
        """Whether to look an event up once more before it is sent.

        Args:
            event: Not yet sent, or sent and failed; then only others can have had an answer since.
            shared: Whether others write answers into the same journal.
        """
        if shared:
            return not event.has_reply
        ago_s = abs(time.time() - event.looked_up)  # the clock may have been set back
        return _is_unsent(event) and ago_s > STALE_S

    def find_again(self, event: Event, next_ones: Iterable[Event] = ()) -> Entry | None:
        """The kept reply to what an event is about to ask: its question, or a correction.

        Those that follow it are looked up with it, for one look at many keys costs a tenth of one
        for each. What is there for one of them is found when its turn comes.

        Args:
            event: Which.
            next_ones: Those that are sent next.

        Raises:
            JournalError: The journal cannot be read.
        """
        if self.journal is None or event.call.key is None:
            return None
        keys = {event.call.key: event}
        for other in next_ones:
            if _is_unsent(other) and other.call.key is not None:
                keys.setdefault(other.call.key, other)
        found = dict(
            zip(keys, self.find_all([keys_of(each.call) for each in keys.values()]), strict=True)
        )
        now = time.time()
        for key, asked in keys.items():
            asked.looked_up = now if found[key] is None else 0.0
        return found[event.call.key]

    def _find_for(self, call: Call) -> Entry | None:
        return self.find_all([keys_of(call)])[0]

    def _recall(self, event: Event, entry: Entry | None) -> Steps[bool]:
        """Take an event through the kept replies. True if they settle it, or it was given up."""
        while entry is not None:
            event.attempts += 1
            event.model = entry.model
            event.seconds += entry.seconds
            event.kept_at = entry.at
            usage, bought = entry.usage, Tokens(entry.prompt_tokens, entry.completion_tokens)
            event.count(bought, None if usage is None else usage.cached, entry.usd)
            if (yield from step(partial(self._advance, event, entry))):
                self.has_answered = self.has_answered or event.error is None
                return True
            entry = self._find_for(event.call)
        return False

    def _advance(self, event: Event, entry: Entry) -> bool:
        with read_again(partial(self._was_refused, event, entry)):
            return event.done or event.advance_raw(entry.reply, self._max_corrections)

    def _was_refused(self, event: Event, entry: Entry, error: CallError) -> bool:
        """Whether a reply to the question that was asked again with this error is kept."""
        if event.corrections >= self._max_corrections:
            return False
        again = None
        with contextlib.suppress(Exception):  # as when it was refused
            again = event.call.correction(event.call.parse(entry.reply), error)
        return again is not None and self._find_for(again) is not None

    # -- keeping ----------------------------------------------------------------------------

    def keep(self, event: Event, reply: Reply, used: Tokens, seconds: float) -> Kept | None:
        """Hand a paid reply to the journal.

        Args:
            event: What it answers, not yet advanced.
            reply: What came back.
            used: The tokens it used.
            seconds: How long the attempt took.

        Returns:
            What tells when it is written and when it is on disk; None if nothing is to be kept.

        Raises:
            JournalError: Nothing can be written any more.
        """
        key = event.call.key
        if self.journal is None or key is None:
            return None
        read, written = used
        attempts, now = event.attempts, time.time()
        usd, event.unkept_usd = event.unkept_usd, 0.0
        event.has_reply, event.kept_at = True, now
        if len(reply.raw) > PARSED_AGAIN_BYTES:
            reply.data = None
        return self.journal.keep(
            Entry(
                key, reply.raw, reply.model, read, written, attempts, seconds, now, reply.usage, usd
            ),
            self.run,
        )

    def hurried(self, kept: Kept) -> asyncio.Future[None]:
        """What tells that a reply is on disk, for somebody who waits for nothing else."""
        self.hurry()
        return kept.durable

    def hurry(self) -> None:
        """Put what is kept on disk at once, for nothing more comes to be put there with it."""
        if self.journal is not None:
            self.journal.hurry()

    def keep_failure(self, event: Event) -> None:
        """Keep the failure of an event as a failure, so that the next run tries it again."""
        error = event.error
        if self.journal is None or error is None or error.kind in _USABLE:
            return
        now = time.time()
        # What came meanwhile is another one's reply, unless it is this one's, which will not do.
        unseen_s = 0.0 if event.has_reply else abs(now - event.created) + STALE_S
        for key in event.keys:
            failure = Failure(key, error.kind, error.message, event.attempts, now, unseen_s)
            with contextlib.suppress(JournalError):
                self.journal.append_failure(failure, self.run).add_done_callback(_retrieve)

    def keep_voted(self, key: bytes, stood: str) -> None:
        """Keep how the votes on a row stood.

        Args:
            key: Under which it is looked up.
            stood: Where each of them did.
        """
        if self.journal is not None:
            with contextlib.suppress(JournalError):
                kept = self.journal.keep(Voted(key, stood, time.time()), self.run)
                kept.durable.add_done_callback(_retrieve)


def _is_unsent(event: Event) -> bool:
    """Whether nothing was sent for an event, though kept replies may have led it to a correction."""
    return event.attempts == event.corrections and not event.has_reply


def _retrieve(future: asyncio.Future[None]) -> None:
    """Look at the outcome, so that asyncio does not complain that nobody has."""
    if not future.cancelled():
        future.exception()
