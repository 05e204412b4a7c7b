"""Where rows begin at a stage, by what the journal has: an answer goes before a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from lionproc.engine.journal import Entry
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.errors import CallError
from lionproc.frame.assemble import Missing
from lionproc.frame.legs import Leg
from lionproc.frame.read_once import ReadOnce
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.steps import Found, Outcome, own_keys

__all__ = ["Recalled", "asked_too", "recall", "recall_at_one"]


class Recalled(NamedTuple):
    """Where a row begins.

    Attributes:
        leg: Its leg.
        event: Its event there, settled where the journal has the answer.
        before: Kept answers of smaller models, which led there.
        stands: Whether it is a vote that stands as it did when its row had its answer.
    """

    leg: Leg
    event: Event
    before: Sequence[Event] = ()
    stands: bool = False


def recall(
    fresh: Sequence[tuple[int, ModelCall]],
    legs: Sequence[Leg],
    builders: Sequence[RequestBuilder],
    *,
    find: Callable[[list[bytes]], Mapping[bytes, Entry]],
    replay: Replay,
    read: Sequence[ReadOnce],
    what_became: Callable[[Leg, Event], Outcome],
    begins: Callable[[int, Found], tuple[int, bool]],
) -> list[Recalled]:
    """Look rows up at all legs that they may begin at. Any thread.

    Args:
        fresh: Places, and what they ask at the first of the legs.
        legs: Where they may begin.
        builders: What makes the questions of each leg.
        find: Looks keys up in the journal.
        replay: Reads what is kept.
        read: What was read, by leaf.
        what_became: How an answered event counts for the steps.
        begins: Where a row begins, by its place and what is kept of it.
    """
    if len(legs) == 1:
        return recall_at_one(fresh, legs[0], find, replay, read[legs[0].leaf])
    asked: list[tuple[int, list[tuple[ModelCall, Sequence[bytes]]]]] = []
    for place, call in fresh:
        calls = [call, *(builder.ask_too(call) for builder in builders[1:])]
        keys = own_keys([each.keys_by_way for each in calls])
        asked.append((place, list(zip(calls, keys, strict=True))))
    once = [read[leg.leaf] for leg in legs]
    unknown: set[bytes] = set()
    for number, known in enumerate(once):
        keys_of = {call: keys for _, keyed in asked for call, keys in keyed[number : number + 1]}
        unknown.update(key for call in known.unknown(keys_of) for key in keys_of[call])
    kept = find(list(unknown))
    made = []
    for place, keyed in asked:
        events = [Event(call, tag=place) for call, _ in keyed]
        answered: dict[int, Outcome] = {}
        for number, event in enumerate(events):
            if once[number].answer(event, keyed[number][1], kept, replay):
                answered[number] = what_became(legs[number], event)
        number, stands = begins(place, answered.get)
        if stands:
            events[number].finish()
        before = [events[other] for other in answered if other < number]
        made.append(Recalled(legs[number], events[number], before))
    return made


def recall_at_one(
    fresh: Sequence[tuple[int, ModelCall]],
    leg: Leg,
    find: Callable[[list[bytes]], Mapping[bytes, Entry]],
    replay: Replay,
    once: ReadOnce,
) -> list[Recalled]:
    """As `recall`, where there is one leg: nothing leads to another."""
    unknown = once.unknown(call for _, call in fresh)
    kept = find(list({key for call in unknown for key in call.keys_by_way}))
    made = []
    for place, call in fresh:
        event = Event(call, tag=place)
        if once.answer(event, call.keys_by_way, kept, replay):
            event.finish()
        made.append(Recalled(leg, event))
    return made


def asked_too(
    builder: RequestBuilder, handed: Iterable[Sequence[tuple[int, ModelCall]]]
) -> list[tuple[int, ModelCall | Missing | CallError]]:
    """What rows become at a model, by what was asked of another one."""
    return [(place, builder.ask_too(call)) for votes in handed for place, call in votes]
