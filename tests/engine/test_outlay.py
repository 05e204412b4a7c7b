"""What a run has spent and may still spend, by itself: no sockets, no clock."""

import asyncio

import pytest

from lionproc.engine.budget import Budget
from lionproc.engine.outlay import NOT_KEPT, Outlay, Spending, gone, may_be_billed
from lionproc.engine.outlay import verdict as shared_verdict
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind


def verdict(outlay, estimate, *, sent=0, corrects=False, **bounds):
    return outlay.verdict(Budget(**bounds), Tokens(*estimate), sent, corrects=corrects)


def priced():
    return Outlay(lambda tokens: tokens.total)


def leave(outlay, estimate, times=1):
    for _ in range(times):
        outlay.leaves(Tokens(*estimate))


def test_what_is_in_flight_counts_before_anything_is_back():
    outlay = priced()
    assert verdict(outlay, (10, 90), tokens=250) == ("send", "")
    leave(outlay, (10, 90), 2)
    assert verdict(outlay, (10, 90), tokens=250) == ("wait", "")
    assert verdict(outlay, (10, 40), tokens=250) == ("send", "")
    assert verdict(outlay, (10, 90), usd=250) == ("wait", "")


def test_one_may_always_try_with_nothing_in_flight_for_only_replies_show_what_is_taken():
    outlay = Outlay()
    assert verdict(outlay, (10, 5000), tokens=100) == ("send", "")
    leave(outlay, (10, 5000))
    assert verdict(outlay, (10, 5000), tokens=100) == ("wait", "")
    outlay.is_back(Tokens(10, 5000))
    outlay.took(Tokens(10, 80), Tokens(10, 5000))
    assert verdict(outlay, (10, 5000), tokens=100) == ("send", "")


def test_what_is_spent_stops_and_an_estimate_never_does():
    outlay = Outlay()
    leave(outlay, (10, 900), 9)
    assert verdict(outlay, (1, 1), tokens=100) == ("wait", "")
    outlay.took(Tokens(50, 50))
    assert verdict(outlay, (1, 1), tokens=100) == ("stop", "100 tokens")
    assert verdict(outlay, (1, 1), sent=9, requests=9) == ("stop", "9 requests")


def test_estimates_are_corrected_by_the_replies_and_less_so_while_there_are_few():
    outlay = Outlay()
    assert outlay.corrected(Tokens(100, 4096)) == (100, 4096)
    outlay.took(Tokens(100, 8), Tokens(100, 4096))
    assert outlay.corrected(Tokens(100, 4096)) == (100, 2052)
    for _ in range(200):
        outlay.took(Tokens(100, 8), Tokens(100, 4096))
    read, written = outlay.corrected(Tokens(100, 4096))
    assert read == 100
    assert 8 <= written < 250
    for _ in range(200):  # a model that thinks for long
        outlay.took(Tokens(100, 8192), Tokens(100, 4096))
    assert outlay.corrected(Tokens(100, 4096)).output > 7500


@pytest.mark.parametrize(
    ("tight", "ample"),
    [({"tokens": 9_000}, {"tokens": 90_000}), ({"usd": 9_000}, {"usd": 90_000})],
)
def test_few_leave_at_first_where_a_budget_would_not_bear_long_answers(tight, ample):
    outlay = priced()
    leave(outlay, (10, 1), 3)
    assert verdict(outlay, (10, 1), **tight) == ("send", "")
    leave(outlay, (10, 1))
    assert verdict(outlay, (10, 1), **tight) == ("wait", "")
    assert verdict(outlay, (10, 1), **ample) == ("send", "")
    for _ in range(2):  # one more for each that is back
        outlay.is_back(Tokens(10, 1))
        outlay.took(Tokens(10, 1), Tokens(10, 1), 11.0)
        leave(outlay, (10, 1))
        assert verdict(outlay, (10, 1), **tight) == ("send", "")
        leave(outlay, (10, 1))
        assert verdict(outlay, (10, 1), **tight) == ("wait", "")


def test_those_who_share_a_budget_send_as_few_at_first_as_one_does():
    first, second = both = priced(), priced()
    leave(first, (10, 1), 3)
    asked = (Budget(tokens=9_000), both, 1, Tokens(10, 1), 0)
    assert shared_verdict(*asked) == ("send", "")
    leave(second, (10, 1))
    assert shared_verdict(*asked) == ("wait", "")
    first.is_back(Tokens(10, 1))
    first.took(Tokens(10, 1), Tokens(10, 1), 11.0)
    assert shared_verdict(*asked) == ("send", "")


def test_what_is_spent_and_in_flight_elsewhere_counts_as_it_was_told():
    there, here = priced(), priced()
    there.took(Tokens(10, 90), Tokens(10, 90), 100)
    leave(there, (10, 90), 2)
    told = there.spending
    assert told == Spending(100, 100, 200, 200, in_flight=2, billed=1)
    both = [here, Outlay.of(told, there.usd)]
    for name in ("usd", "tokens"):
        assert shared_verdict(Budget(**{name: 400}), both, 0, Tokens(10, 90), 3)[0] == "send"
        assert shared_verdict(Budget(**{name: 399}), both, 0, Tokens(10, 90), 3)[0] == "wait"
        assert shared_verdict(Budget(**{name: 100}), both, 0, Tokens(10, 90), 3)[0] == "stop"
    assert told.given_up() == Spending(300, 300, billed=1)
    assert told.share_of_rest(Budget(usd=500), 0.5) == Spending(pledged_usd=100)
    assert told.share_of_rest(Budget(tokens=200), 0.5) == Spending()
    assert told.share_of_rest(Budget(requests=5), 0.5) == Spending(pledged_requests=2)


def test_what_came_to_nothing_and_may_have_been_billed_counts():
    outlay = priced()
    outlay.may_have_taken(Tokens(10, 90))
    assert outlay.spent == (0, 0)
    assert verdict(outlay, (1, 1), tokens=100) == ("stop", "100 tokens")
    assert verdict(outlay, (1, 1), usd=100) == ("stop", "$100.00")
    assert verdict(outlay, (1, 1), usd=101) == ("send", "")


def test_what_may_have_been_billed_is_judged_as_replies_were():
    outlay = priced()
    for _ in range(200):
        outlay.took(Tokens(100, 8), Tokens(100, 4096), 1.0)
    outlay.may_have_taken(Tokens(100, 4096))
    assert outlay.lost.output < 250
    assert outlay.lost_usd < 300


def test_nothing_in_flight_is_nothing_to_the_last_digit():
    outlay = Outlay(lambda tokens: tokens.total / 10)
    for tokens in (1, 2):
        outlay.leaves(Tokens(tokens, 0))
    for tokens in (1, 2):
        outlay.is_back(Tokens(tokens, 0))
    assert outlay.pledged_usd == 0  # 0.1 + 0.2 - 0.1 - 0.2 is not


def test_each_of_several_is_corrected_by_its_own_replies():
    exact, cheap = priced(), priced()
    for _ in range(200):
        cheap.took(Tokens(5, 5), Tokens(50, 50), 10.0)
    leave(cheap, (50, 50))
    spent, _ = gone([exact, cheap])
    asked = (Budget(usd=spent + 100), [exact, cheap])
    assert shared_verdict(*asked, 0, Tokens(40, 40), 0) == ("send", "")
    assert shared_verdict(*asked, 0, Tokens(50, 50), 0) == ("wait", "")
    assert shared_verdict(*asked, 1, Tokens(50, 50), 0) == ("send", "")


async def test_whoever_waits_is_counted_and_woken_by_what_is_back():
    outlay = priced()
    outlay.leaves(Tokens(1, 1))
    waits = asyncio.create_task(outlay.wait())
    await asyncio.sleep(0)
    assert outlay.waiting == 1
    outlay.is_back(Tokens(1, 1))
    await asyncio.wait_for(waits, 1)
    assert outlay.waiting == 0


def test_dollars_are_those_of_the_replies_and_what_is_in_flight_costs_as_they_did():
    outlay = priced()
    for _ in range(200):  # nine tenths cheaper than the tokens say: a cache, a cheaper tier
        leave(outlay, (90, 10))
        outlay.is_back(Tokens(90, 10))
        outlay.took(Tokens(90, 10), Tokens(90, 10), 10.0)
    assert outlay.spent_usd == 2000
    assert outlay.corrected_usd(100) == pytest.approx(14.3, abs=0.1)
    leave(outlay, (90, 10))
    assert verdict(outlay, (90, 10), usd=2030) == ("send", "")
    assert verdict(outlay, (90, 10), usd=2020) == ("wait", "")
    assert verdict(outlay, (90, 10), usd=2000)[0] == "stop"
    outlay.is_back(Tokens(90, 10))
    assert outlay.pledged_usd == 0


def test_a_budget_in_dollars_ends_with_the_first_reply_whose_price_is_not_known():
    outlay = priced()
    outlay.took(Tokens(10, 1), Tokens(10, 1), None, "the tier 'fast'")
    assert verdict(outlay, (1, 1), usd=1000) == (
        "stop",
        f"$1,000.00 ({NOT_KEPT} the tier 'fast')",
    )
    assert verdict(outlay, (1, 1), tokens=1000) == ("send", "")


@pytest.mark.parametrize(
    ("error", "billed"),
    [
        (CallError(Kind.TIMEOUT, "No reply."), True),
        (CallError(Kind.CONNECTION, "Broke off."), True),
        (CallError(Kind.CONNECTION, "Refused.", arrived=False), False),
        (CallError(Kind.UNREADABLE, "A stream.", status=200), True),
        (CallError(Kind.BAD_REPLY, "Too long.", status=200), True),
        (CallError(Kind.BAD_REPLY, "Half of it.", status=206), True),
        (CallError(Kind.BAD_REPLY, "Too long.", status=500), False),
        (CallError(Kind.SERVER_ERROR, "Request timeout.", status=408), True),
        (CallError(Kind.SERVER_ERROR, "Gateway timeout.", status=504), True),
        (CallError(Kind.SERVER_ERROR, "Gateway timeout.", status=524), True),
        (CallError(Kind.SERVER_ERROR, "Oops.", status=500), False),
        (CallError(Kind.RATE_LIMITED, "Slower.", status=429), False),
        (CallError(Kind.BAD_REQUEST, "No.", status=400), False),
    ],
)
def test_what_may_have_been_billed_is_told_from_what_was_surely_not(error, billed):
    assert may_be_billed(error) is billed


def test_a_correction_of_which_the_reading_takes_more_than_is_left_reaches_the_budget():
    outlay = priced()
    outlay.took(Tokens(10, 90), usd=100.0)
    for bound, words in (("tokens", "199 tokens"), ("usd", "$199.00")):
        assert verdict(outlay, (10, 90), **{bound: 199}) == ("send", "")
        assert verdict(outlay, (100, 900), corrects=True, **{bound: 199}) == ("stop", words)
        assert verdict(outlay, (100, 900), corrects=True, **{bound: 201}) == ("send", "")
    outlay.leaves(Tokens(10, 90))  # what is in flight may come to less
    assert verdict(outlay, (100, 900), corrects=True, tokens=201) == ("wait", "")
