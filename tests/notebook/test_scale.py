from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.limits import LEAST_RATE, MOST
from lionproc.notebook.scale import Scale, read, shown

limits = st.one_of(
    st.none(),
    st.integers(1, 10**9),
    st.floats(0.01, 1e9).map(lambda limit: round(limit, 2)),
)


def around(value, lowest=1.0):
    return Scale.around(value, usual=600, lowest=lowest, can_be_off=True, whole=False)


@given(limits)
def test_a_limit_is_exactly_on_the_slider_that_shows_it(limit):
    scale = around(limit)
    place = scale.position(limit)
    assert place is not None
    assert scale.values[place] == limit


@given(limits)
def test_positions_rise_and_the_last_is_no_limit(limit):
    *numbers, last = around(limit).values
    assert last is None
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0


@given(limits)
def test_each_position_has_words_of_its_own(limit):
    labels = around(limit).labels()
    assert len(set(labels)) == len(labels)


@given(st.integers(1, 10**9))
def test_a_limit_can_be_moved_far_up_and_down(limit):
    numbers = [value for value in around(limit).values if value is not None]
    assert numbers[-1] >= 10 * limit
    assert numbers[0] <= max(limit / 10, 1)


@given(limits)
def test_what_a_field_shows_can_be_typed_back(limit):
    assert read(shown(limit)) == limit


def test_what_counts_requests_has_whole_positions():
    scale = Scale.around(3, usual=32, lowest=1, can_be_off=False, whole=True)
    assert scale.values[:4] == (1, 2, 3, 4)
    assert None not in scale.values


@pytest.mark.parametrize("text", ["many", "1 2", "12x", "-3", "1e3", "nan", "1.2.3", "k"])
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=text):
        read(text)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 305 + "g"])
def test_more_digits_than_a_number_has_are_no_number(text):
    with pytest.raises(ValueError, match="999"):
        read(text)


@given(st.floats(LEAST_RATE, MOST))
def test_every_limit_that_can_be_set_can_be_shown(limit):
    assert around(limit).position(limit) is not None


def test_numbers_are_read_as_people_write_them():
    assert [read(text) for text in ("600", " 1,200 ", "30k", "30 K", "1.5M", "2_000")] == [
        600,
        1200,
        30_000,
        30_000,
        1_500_000,
        2000,
    ]
    assert [read(text) for text in ("", "none", "No Limit", "∞", "off")] == [None] * 5
