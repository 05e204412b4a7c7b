"""Which refusals come of the pace, and which come anyway."""

from __future__ import annotations

from lionproc.engine.stray import StrayTest


def refusals(test, numbers, *, below=False):
    return [test.is_congestion(number, within=True, below=below) for number in numbers]


def test_one_refusal_is_enough_where_nothing_speaks_against_it():
    assert refusals(StrayTest(), [40]) == [True]


def test_a_doubt_wants_a_second_one_soon_after():
    test = StrayTest()
    test.doubts = 1
    assert refusals(test, [40, 42]) == [False, True]
    far = StrayTest()
    far.doubts = 1
    assert refusals(far, [40, 90]) == [False, False]


def test_a_pace_that_the_server_took_is_as_good_as_a_doubt():
    assert refusals(StrayTest(), [40, 42], below=True) == [False, True]


def test_a_stated_limit_wants_a_burst():
    test = StrayTest()
    test.presumed = 2
    assert refusals(test, range(5)) == [False, False, False, True, False]


def test_those_that_were_not_enough_make_the_next_ones_count_less():
    test = StrayTest()
    test.doubts = 1
    for _ in range(500):
        test.left()
    assert not any(refusals(test, range(0, 500, 20)))  # one in twenty, whatever the pace
    assert refusals(test, [520, 521]) == [False, False]


def test_congestion_that_was_none_is_a_doubt_and_one_that_was_takes_it_back():
    test = StrayTest()
    assert refusals(test, [40]) == [True]
    test.unproved(doubt=True)
    assert test.doubts == 1
    assert refusals(test, [100]) == [False]
    test.confirmed()
    assert test.doubts == 0
