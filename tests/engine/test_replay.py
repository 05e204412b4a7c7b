"""Answers out of the journal: what is taken, what is asked anew, and what is looked up again."""

import asyncio
import gc
import time
import weakref

import pytest

from lionproc.engine import replay as replay_module
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.replay import PARSED_AGAIN_BYTES, Replay
from lionproc.engine.request import Event, Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind


class Question:
    """Numbers are answers. Words are asked again twice, and `never` is not."""

    def __init__(self, name):
        self.key = name.encode().rjust(16, b"\0")
        self.name = name

    def parse(self, raw):
        return raw.decode().strip()

    def read(self, data):
        if not data.isdigit():
            raise CallError(Kind.WRONG_SHAPE, f"{data} is no number")
        return int(data)

    def correction(self, data, error):
        return None if data == "never" else Question(f"{self.name}+")


@pytest.fixture
def journal(tmp_path):
    with Journal.open(tmp_path / "journal.sqlite") as made:
        yield made


def keep(journal, **replies):
    async def write():
        for name, reply in replies.items():
            key = name.replace("_", "+").encode().rjust(16, b"\0")
            raw, now = reply.encode(), time.time()
            await journal.append(Entry(key, raw, f"model {name}", 10, 2, 1, 0.25, now))

    asyncio.run(write())


def answered(replay, event):
    entry = replay.find(event.first.key)
    return entry is not None and replay.answer(event, entry)


def test_a_kept_answer_is_taken_with_what_it_cost_when_it_was_bought(journal):
    keep(journal, a="42")
    replay, event = Replay(journal, 0, 2), Event(Question("a"))
    assert answered(replay, event)
    assert (event.value, event.cached, event.model) == (42, True, "model a")
    assert (event.usage, event.seconds) == (Tokens(10, 2), 0.25)
    assert replay.has_answered


def test_corrections_are_taken_from_the_journal_too(journal):
    keep(journal, a="what", a_="how", a__="7")
    event = Event(Question("a"))
    assert answered(Replay(journal, 0, 2), event)
    assert (event.value, event.attempts, event.corrections) == (7, 3, 2)


def test_the_first_correction_that_is_missing_is_what_is_sent(journal):
    keep(journal, a="what")
    replay, event = Replay(journal, 0, 2), Event(Question("a"))
    assert not answered(replay, event)
    assert (event.call.name, event.attempts, event.done) == ("a+", 1, False)
    assert not replay.has_answered


@pytest.mark.parametrize("corrections", [0, 2])
def test_a_kept_reply_that_is_no_answer_is_asked_anew_from_the_beginning(journal, corrections):
    keep(journal, a="never" if corrections else "what")
    replay, event = Replay(journal, 0, corrections), Event(Question("a"))
    assert not answered(replay, event)
    assert (event.call.name, event.attempts, event.error) == ("a", 0, None)
    assert not replay.has_answered


def test_a_paid_reply_settles_its_event_with_the_help_of_kept_corrections(journal):
    keep(journal, a_="7")
    replay, event = Replay(journal, 0, 2), Event(Question("a"))
    assert replay.settling(event, Reply(data="what")).at_once()
    assert (event.value, event.cached) == (7, False)
    asked = Event(Question("b"))
    assert not replay.settling(asked, Reply(data="what")).at_once()
    assert asked.call.name == "b+"


@pytest.mark.parametrize(("size", "is_held"), [(PARSED_AGAIN_BYTES, True), (10**6, False)])
def test_a_long_reply_that_waits_for_the_disk_is_not_held_as_objects(journal, size, is_held):
    raw = b"7".rjust(size)
    replay, event, reply = Replay(journal, 0, 2), Event(Question("a")), Reply(raw=raw, data="7")

    async def wait():
        await replay.keep(event, reply, Tokens(10, 2), 0.25).durable

    asyncio.run(wait())
    assert (reply.data is not None) is is_held
    assert replay.settling(event, reply).at_once()
    assert (event.value, event.error) == (7, None)


def test_records_before_the_mark_answer_nothing(journal):
    keep(journal, a="42")
    assert Replay(journal, 0, 2).find(Question("a").key) is not None
    assert Replay(journal, journal.mark(), 2).find(Question("a").key) is None


@pytest.mark.parametrize("came", ["meanwhile", "an hour ago", "to itself"])
def test_a_failure_hides_what_came_before_it_was_asked_and_nothing_of_another_process_after_that(
    journal, came
):
    replay, event = Replay(journal, 0, 2), Event(Question("a"))
    event.error = CallError(Kind.TIMEOUT, "no reply in 60 s")
    at = time.time() - (3600.0 if came == "an hour ago" else 0.0)

    async def meanwhile():
        if came == "to itself":
            await replay.keep(event, Reply(raw=b"42", data="42"), Tokens(), 0.1).durable
        else:
            await journal.append(Entry(event.first.key, b"42", "m", 10, 2, 1, 0.25, at))
        replay.keep_failure(event)

    asyncio.run(meanwhile())
    journal.flush()
    assert (replay.find(event.first.key) is not None) is (came == "meanwhile")


def test_without_a_journal_or_a_key_nothing_is_found_and_nothing_kept(journal):
    event, reply = Event(Question("a")), Reply(raw=b"42", data="42")
    assert Replay(None, 0, 2).find(event.first.key) is None
    assert Replay(None, 0, 2).keep(event, reply, Tokens(), 0.1) is None
    Replay(None, 0, 2).keep_failure(event)
    assert Replay(journal, 0, 2).find(None) is None


def test_those_that_follow_are_looked_up_together_and_what_is_found_is_looked_up_in_its_turn(
    journal, monkeypatch
):
    keep(journal, b="42")
    replay = Replay(journal, 0, 2)
    events = [Event(Question(name)) for name in "abc"]
    monkeypatch.setattr(replay_module, "STALE_S", 3600.0)
    for event in events:
        event.looked_up -= 7200.0
    assert replay.find_again(events[0], events[1:]) is None
    assert [replay.is_stale(event, shared=False) for event in events] == [False, True, False]
    assert replay.answer(events[1], replay.find_again(events[1]))


def test_what_waited_for_long_is_looked_up_again_though_the_clock_was_set_back():
    replay, event = Replay(None, 0, 2), Event(Question("a"))
    event.looked_up = time.time() + 3600  # by an hour
    assert replay.is_stale(event, shared=False)


def test_what_waited_for_long_is_looked_up_again_and_at_once_where_others_write_too(monkeypatch):
    replay, event = Replay(None, 0, 2), Event(Question("a"))
    assert not replay.is_stale(event, shared=False)
    assert replay.is_stale(event, shared=True)
    monkeypatch.setattr(replay_module, "STALE_S", -1.0)
    assert replay.is_stale(event, shared=False)
    event.attempts = 1  # it failed, and others may have been answered meanwhile
    assert replay.is_stale(event, shared=True)
    assert not replay.is_stale(event, shared=False)
    event.has_reply = True
    assert not replay.is_stale(event, shared=True)


def test_a_correction_that_another_asks_just_now_is_looked_up_before_it_is_sent(journal):
    keep(journal, a="what")
    replay, event = Replay(journal, 0, 2), Event(Question("a"))
    assert not answered(replay, event)
    keep(journal, a_="7")  # what the other one was answered meanwhile
    assert replay.is_stale(event, shared=True)
    assert replay.answer(event, replay.find_again(event))
    assert (event.value, event.attempts, event.cached) == (7, 2, True)


def test_what_an_event_is_asked_again_for_holds_no_reply():
    """Replies of a wrong shape may have megabytes, and the collector of Python rarely comes."""

    class Said:
        """A reply."""

    class Asked:
        key = None

        def read(self, data):
            raise CallError(Kind.WRONG_SHAPE, "no number") from ValueError(data)

        def correction(self, data, error):
            return Asked()

    event, said = Event(Asked()), Said()
    gone = weakref.ref(said)
    gc.disable()
    try:
        assert not event.advance(said, 1)
        del said
        assert gone() is None
    finally:
        gc.enable()
    assert event.again_for.kind is Kind.WRONG_SHAPE
