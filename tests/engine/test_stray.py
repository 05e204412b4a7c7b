"""Which refusals come of the pace, and which come anyway."""

from __future__ import annotations

import pytest

from lionproc.engine.stray import StrayTest


def refusals(test, numbers, *, above=False, per_s=10.0):
    return [test.is_congestion(number, above=above, per_s=per_s) for number in numbers]


def proved():
    test = StrayTest()
    test.proved = True
    return test


def test_one_refusal_is_enough_above_a_limit_that_was_measured():
    assert refusals(proved(), [400], above=True) == [True]


def test_a_limit_that_is_asked_for_twice_as_much_wants_two_in_a_row():
    for second, believed in ((401, True), (402, False)):
        test = proved()
        assert not test.is_congestion(400, above=True, per_s=10.0, is_unproved=True)
        assert test.is_congestion(second, above=True, per_s=10.0, is_unproved=True) == believed


def test_a_pace_that_the_server_took_wants_a_second_one_soon_after():
    assert refusals(proved(), [400, 402]) == [False, True]
    assert refusals(proved(), [400, 450]) == [False, False]


def test_before_there_is_proof_it_wants_a_burst():
    test = StrayTest()
    assert refusals(test, range(3)) == [False, False, True]
    assert test.proved


@pytest.mark.parametrize(("apart", "is_proof"), [(100, True), (4, False)])
def test_the_more_are_refused_anyway_the_longer_a_burst_must_be(apart, is_proof):
    test = StrayTest()
    refusals(test, range(0, 60 * apart, apart))
    assert not test.proved
    refusals(test, range(60 * apart, 60 * apart + 9))
    assert test.proved == is_proof


def test_after_a_look_in_vain_two_in_a_row_are_proof():
    test = StrayTest()
    assert not test.is_congestion(10, above=False, per_s=1.0, again=True)
    assert test.is_congestion(11, above=False, per_s=1.0, again=True)
    assert test.proved


def test_a_burst_that_was_answered_by_a_lower_pace_says_little_of_those_that_leave_at_it():
    for soon, later in ((63, 75), (62, 80)):
        test = proved()
        refusals(test, range(40, 60), above=True)
        test.answered(60)
        assert refusals(test, [soon, later]) == [True, False]


def test_of_many_sent_at_once_refusals_come_in_any_order_and_are_no_burst_for_that():
    assert not any(refusals(StrayTest(), [40, 10, 30, 20]))
    assert refusals(StrayTest(), [12, 11, 10]) == [False, False, True]


def test_one_in_twenty_is_never_congestion_and_makes_the_next_ones_count_less():
    test = StrayTest()
    assert not any(refusals(test, range(20, 500, 20)))
    assert not any(refusals(test, range(520, 525)))


def test_what_was_refused_before_the_proof_came_of_the_limit_too():
    test = StrayTest()
    refusals(test, [20, 40, 60])
    assert refusals(test, range(80, 88))[-1]
    assert refusals(test, [400], above=True) == [True]


@pytest.mark.parametrize(("per_s", "believed"), [(4.9, False), (5.1, True)])
def test_what_was_refused_at_less_than_half_of_that_pace_goes_on_counting_as_stray(per_s, believed):
    test = StrayTest()
    refusals(test, [20, 40, 60], per_s=per_s)
    refusals(test, range(80, 90))
    assert test.seen == (0 if believed else 3)
    assert refusals(test, [250], above=True) == [believed]


def test_strays_of_long_ago_go_on_counting_after_a_burst():
    test = StrayTest()
    refusals(test, range(50, 5000, 50))
    assert refusals(test, range(5000, 5015))[-1]
    assert refusals(test, [5200, 5300], above=True) == [False, False]


def test_where_strays_were_seen_nothing_of_a_burst_that_was_answered_counts_any_more():
    test = proved()
    refusals(test, [20, 40])
    refusals(test, range(60, 80), above=True)
    test.answered(80)
    assert refusals(test, [83]) == [False]


def test_what_was_believed_and_is_in_doubt_counts_until_it_is_taken_back():
    test = proved()
    assert refusals(test, [100, 101, 102], above=True) == [True, True, True]
    for _ in range(4):
        test.unproved()
    assert refusals(test, [300, 301], above=True) == [False, True]
    test.confirmed()
    assert refusals(test, [500], above=True) == [True]
