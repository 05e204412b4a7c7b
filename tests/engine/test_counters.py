"""What an executor counts: replies by what the server said of them, and failures."""

import pytest

from lionproc.engine.counters import Counters
from lionproc.engine.limiter import Tokens
from lionproc.engine.request import Reply
from lionproc.errors import CallError, Kind

EXPECTED = Tokens(100, 50)


def test_a_reply_counts_with_what_the_server_counted_and_shows_how_far_the_estimate_was_off():
    counters = Counters()
    assert counters.paid(EXPECTED, Reply(used=Tokens(80, 20))) == Tokens(80, 20)
    assert (counters.prompt_tokens, counters.completion_tokens) == (80, 20)
    assert (counters.estimated, counters.guessed) == (1, 0)
    assert counters.estimate_off == pytest.approx(0.5)
    assert counters.outlay.spent == (80, 20)


@pytest.mark.parametrize("used", [None, Tokens(90, 30)])
def test_a_reply_that_the_server_did_not_count_is_a_guess_and_not_nothing(used):
    counters = Counters()
    told = counters.paid(EXPECTED, Reply(used=used, guessed=True))
    assert told == counters.outlay.spent == (used or EXPECTED)
    assert (counters.estimated, counters.guessed, counters.estimate_off) == (0, 1, 0.0)
    assert counters.outlay.corrected(EXPECTED) == EXPECTED  # a guess corrects no estimate


def test_failures_count_what_was_billed_or_may_have_been():
    counters = Counters()
    counters.failed(EXPECTED, CallError(Kind.EMPTY, "no"), Reply(used=Tokens(7, 3)))
    counters.failed(EXPECTED, CallError(Kind.TIMEOUT, "no"), Reply())
    counters.failed(EXPECTED, CallError(Kind.RATE_LIMITED, "no"), Reply())
    assert (counters.prompt_tokens, counters.completion_tokens) == (7, 3)
    assert (counters.outlay.spent, counters.outlay.lost) == ((7, 3), EXPECTED)
    assert (counters.throttled, counters.guessed) == (1, 0)
