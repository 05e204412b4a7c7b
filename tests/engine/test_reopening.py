"""When a server that refuses is asked again."""

from __future__ import annotations

import math

import pytest

from lionproc.engine.reopening import Reopening
from lionproc.engine.spell import Bounds, Refusal, Spell


def refusal(now, said_s=None):
    return Refusal(now, 0, 0, 0.05, 10.0, said_s, 0.5)


def first(admitted, closed_at=1.0):
    return Spell(-math.inf, 0.0, closed_at, admitted, 100.0)


def refused_again(reopening, spell, known=None, times=1):
    """When it is asked, each time that it is not open yet."""
    moments = []
    for _ in range(times):
        now = reopening.hold_until + 0.05
        reopening.tries += 1
        reopening.refused(refusal(now), spell, now - 0.05, known)
        moments.append(reopening.hold_until)
    return moments


def test_what_the_server_says_is_waited_and_hardly_more():
    reopening = Reopening()
    reopening.refused(refusal(1.0, said_s=7.0), first(100), 0.95, None)
    assert 8.0 < reopening.hold_until < 8.5


@pytest.mark.parametrize(("admitted", "wait_s"), [(600, 0.15), (100, 0.75), (60, 1.25), (10, 0.4)])
def test_the_first_wait_is_as_long_as_a_bucket_of_a_minute_would_be_shut(admitted, wait_s):
    reopening = Reopening()
    reopening.refused(refusal(1.0), first(admitted), 0.95, None)
    assert reopening.hold_until == pytest.approx(1.0 + wait_s)


def test_the_waits_grow_threefold_while_a_bucket_may_be_meant():
    reopening, spell = Reopening(), Spell(0.0, 0.0, 10.0, 10, 1.0)  # one a second
    reopening.refused(refusal(10.0), spell, 9.95, Bounds(1.0, 1.0))
    assert reopening.hold_until == pytest.approx(11.0)
    assert refused_again(reopening, spell, Bounds(1.0, 1.0)) == [pytest.approx(11.05 + 3.0)]


def test_a_look_that_was_refused_soon_is_repeated_after_the_mean_time_between_two_requests():
    reopening, spell = Reopening(), Spell(0.0, 0.0, 0.25, 1, 4.0)
    reopening.refused(refusal(0.25), spell, 0.2, Bounds(1.0, 1.0))
    assert reopening.hold_until == pytest.approx(1.25)


def test_what_no_bucket_would_do_is_waited_out_to_the_end_of_a_window():
    reopening, spell = Reopening(), first(60)
    reopening.refused(refusal(1.0), spell, 0.95, None)
    ten, minute = refused_again(reopening, spell, times=2)
    assert ten == pytest.approx(10.1)
    assert minute == pytest.approx(60.1)
    assert reopening.opened(60.1, spell, 10.1, limited=True) == pytest.approx(
        60.0
    )  # when it opened
    assert reopening.window_s == 60.0
    assert reopening.was_window


def test_of_windows_that_end_at_once_the_longest_is_meant():
    reopening, spell = Reopening(), first(600, closed_at=55.0)
    reopening.refused(refusal(55.0), spell, 54.95, None)
    assert refused_again(reopening, spell)[-1] == pytest.approx(56.1)  # of a second
    assert refused_again(reopening, spell)[-1] == pytest.approx(60.1)
    reopening.opened(60.1, spell, 56.1, limited=True)
    assert reopening.window_s == 60.0


def test_a_known_window_is_waited_out_at_once():
    reopening, spell = Reopening(), Spell(0.0, 0.0, 50.0, 60, 2.0)
    reopening.was_window = True
    reopening.refused(refusal(50.0), spell, 49.95, Bounds(1.0, 1.0))
    assert reopening.hold_until == pytest.approx(60.1)


def test_a_server_that_opens_when_it_should_may_have_no_window_that_is_known():
    reopening, spell = Reopening(), Spell(0.0, 0.0, 50.0, 60, 2.0)
    reopening.was_window = True
    reopening.refused(refusal(50.0), spell, 49.95, Bounds(1.0, 1.0))
    opened_at = reopening.hold_until
    assert reopening.opened(opened_at, spell, 49.95, limited=True) == pytest.approx(60.0)
    assert reopening.was_window
    assert reopening.window_s == 0.0


def test_a_server_that_never_admitted_anything_is_asked_ever_later():
    reopening, spell, waits = Reopening(), first(0), []
    for _ in range(5):
        now = reopening.hold_until
        reopening.refused(refusal(now), spell, now, None)
        waits.append(reopening.hold_until - now)
        reopening.opened(reopening.hold_until, spell, now, limited=False)
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.37)
    assert waits[-1] > 1.5 * waits[0]


def test_who_looks_is_waited_for():
    reopening = Reopening()
    reopening.wait(5.0)
    assert reopening.hold_until == 5.0


def test_what_was_admitted_in_less_than_a_known_window_ends_with_it():
    reopening, spell = Reopening(), Spell(0.0, 0.0, 30.0, 300, 9.0)
    reopening.window_s = 60.0
    reopening.refused(refusal(30.0), spell, 29.95, Bounds(10.0, 10.0))
    assert refused_again(reopening, spell, Bounds(10.0, 10.0)) == [pytest.approx(60.1)]
