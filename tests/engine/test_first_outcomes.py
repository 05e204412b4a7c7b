"""The trial of a run's first requests, by itself: what counts, what waits, and what ends it."""

import asyncio

import pytest

from lionproc.engine.first_failures import FirstOutcomes
from lionproc.engine.request import Event, Reply
from lionproc.errors import CallError, FirstRowsFailedError, Kind, ServiceDownError


class Call:
    key = None


def failed(kind):
    return CallError(kind, f"a failure of kind {kind}")


def sent(outcomes):
    event = Event(Call())
    outcomes.sent(event)
    return event


def ends(outcomes, kind=None, *, event=None, known=False):
    """Whether the run is over with an event that ends like this."""
    event = event or sent(outcomes)
    event.finish(None if kind is None else failed(kind))
    return outcomes.is_over_with(event, known=known)


@pytest.mark.parametrize("kind", [Kind.WRONG_SHAPE, Kind.BAD_REQUEST, Kind.EMPTY])
def test_it_is_over_when_enough_have_failed_in_one_way(kind):
    outcomes = FirstOutcomes(3)
    assert [ends(outcomes, kind) for _ in range(3)] == [False, False, True]
    assert isinstance(outcomes.verdict(sent(outcomes)), FirstRowsFailedError)


def test_failures_of_other_kinds_and_of_the_server_and_what_was_given_up_do_not_count():
    outcomes = FirstOutcomes(2)
    others = [Kind.BAD_REQUEST, Kind.TIMEOUT, Kind.TIMEOUT, Kind.TIMEOUT, Kind.CANCELLED]
    others += [Kind.CANCELLED, Kind.NOT_SENT, Kind.NOT_SENT, Kind.DEADLINE, Kind.DEADLINE]
    assert not any(ends(outcomes, kind) for kind in others)
    assert not outcomes.holds_back
    assert ends(outcomes, Kind.BAD_REQUEST)


def test_an_answer_that_was_bought_ends_the_trial_and_one_of_the_journal_does_not():
    outcomes, known = FirstOutcomes(1), sent(FirstOutcomes(1))
    known.cached = True
    assert not ends(outcomes, event=known)
    assert outcomes.on_trial
    assert not ends(outcomes)
    assert not outcomes.on_trial
    assert not ends(outcomes, Kind.BAD_REQUEST)


def test_what_the_journal_knows_excuses_all_but_a_refused_key():
    outcomes = FirstOutcomes(2)
    assert not any(ends(outcomes, Kind.BAD_REQUEST, known=True) for _ in range(9))
    assert [ends(outcomes, Kind.FORBIDDEN, known=True) for _ in range(2)] == [False, True]


def test_a_failure_counts_when_all_that_was_sent_before_is_back_or_put_off():
    outcomes = FirstOutcomes(1)
    slow = sent(outcomes)
    assert not ends(outcomes, Kind.BAD_REQUEST)
    assert outcomes.holds_back
    outcomes.put_off(slow)
    assert not outcomes.holds_back
    assert ends(outcomes, Kind.BAD_REQUEST)
    outcomes.sent(slow)  # again, and in its old place
    assert ends(outcomes, Kind.BAD_REQUEST, event=slow)


def test_enough_doubtful_replies_hold_the_rest_back_until_one_of_them_has_ended():
    async def main():
        outcomes = FirstOutcomes(2)
        first, second = sent(outcomes), sent(outcomes)
        await outcomes.may_correct(first)
        assert not outcomes.holds_back
        await outcomes.may_correct(second)
        assert outcomes.holds_back
        assert not ends(outcomes, Kind.TIMEOUT, event=first)
        assert not outcomes.holds_back

    asyncio.run(main())


@pytest.mark.parametrize("how", ["put off", "failed", "answered", "stopped"])
def test_whoever_waits_to_be_corrected_hears_when_its_turn_has_come(how):
    async def main():
        outcomes = FirstOutcomes(1)
        first, second = sent(outcomes), sent(outcomes)
        waits = asyncio.create_task(outcomes.may_correct(second))
        await asyncio.sleep(0)
        assert not waits.done()
        if how == "put off":
            outcomes.put_off(first)
        elif how == "stopped":
            outcomes.stop()
        else:
            ends(outcomes, Kind.TIMEOUT if how == "failed" else None, event=first)
        await asyncio.wait_for(waits, 1)

    asyncio.run(main())


def test_only_a_reply_shows_that_somebody_was_reached():
    outcomes = FirstOutcomes(None)
    for kind in (Kind.CONNECTION, Kind.TIMEOUT):  # a timeout may be a packet that nobody took
        outcomes.back(Reply(failed(kind)))
    assert isinstance(outcomes.unreached([Kind.CONNECTION, Kind.CANCELLED]), ServiceDownError)
    assert outcomes.unreached([Kind.CONNECTION, Kind.TIMEOUT]) is None
    outcomes.back(Reply(failed(Kind.SERVER_ERROR)))
    assert outcomes.unreached([Kind.CONNECTION]) is None


@pytest.mark.parametrize("arrived", [True, False])
def test_a_row_whose_connection_breaks_is_its_own_fault_where_others_are_known(arrived):
    outcomes = FirstOutcomes(None)
    outcomes.back(Reply(CallError(Kind.CONNECTION, "It broke.", arrived=arrived)))
    assert isinstance(outcomes.unreached([Kind.CONNECTION]), ServiceDownError)
    assert (outcomes.unreached([Kind.CONNECTION], known=True) is None) == arrived


def test_without_a_number_there_is_no_trial():
    outcomes = FirstOutcomes(None)
    assert not outcomes.on_trial
    assert not any(ends(outcomes, Kind.BAD_REQUEST) for _ in range(99))
    assert not outcomes.holds_back
