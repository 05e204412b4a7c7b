"""What was admitted between two openings, and what that says."""

from __future__ import annotations

import math

import pytest

from lionproc.engine.spell import Bounds, Spell


def test_the_limit_is_what_was_admitted_over_the_time_between_two_openings():
    # It opened between 9 and 10 s, and again between 29 and 31 s.
    spell = Spell(shut_at=9.0, opened_at=10.0, closed_at=28.0, admitted=22)
    assert spell.bounds(29.0, 31.0) == Bounds(22 / 22, 22 / 19)


def test_where_nothing_was_asked_for_some_time_the_limit_may_be_what_was_admitted_over_the_rest():
    spell = Spell(shut_at=0.0, opened_at=0.0, closed_at=60.0, admitted=20, idle_s=50.0)
    assert spell.bounds(60.0, 60.0) == Bounds(20 / 60, 20 / 10)
    assert spell.exact(60.0) == Bounds(19 / 60, 21 / 10)
    assert not spell.had_in_store(2.0, seconds=2.0)


def test_the_middle_of_bounds_is_as_many_times_the_one_as_the_other_is_of_it():
    assert Bounds(1.0, 4.0).middle == 2.0


def test_the_first_spell_has_what_was_in_store_in_it():
    first = Spell(-math.inf, 0.0, closed_at=1.0, admitted=110)
    assert first.is_first
    assert first.bounds(1.0, 1.1).low == 0.0
    assert first.had_in_store(10.0, seconds=2.0)
    assert not first.had_in_store(100.0, seconds=2.0)


@pytest.mark.parametrize(("shut_s", "is_window"), [(0.5, False), (0.7, True)])
def test_what_is_shut_for_longer_than_a_bucket_of_a_minute_counts_by_a_window(shut_s, is_window):
    spell = Spell(-math.inf, 0.0, closed_at=2.0, admitted=100)  # so the bucket has 100 a minute
    assert spell.is_window(2.0 + shut_s) is is_window
