"""Tokens before they are known."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lionproc.engine.tokens import Tokens
from lionproc.model.estimate import Estimator


def test_the_first_estimate_errs_on_the_side_of_sending_less():
    estimate = Estimator().tokens(3000, None, charges_max=False)
    assert estimate.input >= 3000 / 4  # English takes about four bytes a token
    assert estimate.output >= 100


def test_before_the_first_reply_nothing_is_learned_and_three_bytes_make_a_token():
    estimator = Estimator()
    assert not estimator.learned
    asked = [estimator.tokens(size, 1, charges_max=True).input for size in (0, 1, 3, 6, 300)]
    assert asked == [1, 1, 1, 2, 100]  # a request takes one at least
    estimator.learn(300, Tokens(75, 5))
    assert estimator.learned


def test_a_request_of_no_bytes_teaches_nothing_of_bytes():
    estimator = Estimator()
    estimator.learn(0, Tokens(5, 1))
    assert estimator.tokens(300, 1, charges_max=True).input == 100


@pytest.mark.parametrize(
    ("small", "large", "middle"),
    [
        (150, 400, 275),  # 2.5 tokens for each byte more cannot be: all in proportion
        (11, 12, 11),  # neither can a hundredth
        (100, 250, 175),  # one and a half can: the line holds
    ],
)
def test_a_line_that_cannot_be_is_not_believed(small, large, middle):
    estimator = Estimator()
    for _ in range(50):
        estimator.learn(100, Tokens(small, 1))
        estimator.learn(200, Tokens(large, 1))
    believed = estimator.tokens(100, 1, charges_max=True).input
    assert estimator.tokens(150, 1, charges_max=True).input == pytest.approx(middle, abs=1)
    if small == 100:
        assert believed == pytest.approx(100, abs=1)
    else:
        assert believed == pytest.approx(middle * 100 / 150, abs=1)


def test_the_bound_on_the_answer_is_the_most_that_is_expected():
    estimator = Estimator()
    assert estimator.tokens(300, 50, charges_max=False).output == 50
    assert estimator.tokens(300, 5000, charges_max=False).output < 5000
    assert estimator.tokens(300, 5000, charges_max=True).output == 5000


def test_it_learns_the_tokens_a_byte_and_what_every_request_carries():
    estimator, dice = Estimator(), random.Random(7)
    for _ in range(200):
        size = dice.randrange(500, 5000)
        estimator.learn(size, Tokens(120 + size // 4, 40))
    for size in (500, 2000, 5000):
        estimate = estimator.tokens(size, None, charges_max=False)
        assert estimate.input == pytest.approx(120 + size / 4, rel=0.02)
        assert estimate.output in {40, 41}


def test_requests_of_one_size_are_learned_too():
    estimator = Estimator()
    for _ in range(50):
        estimator.learn(400, Tokens(100, 10))
    assert estimator.tokens(400, None, charges_max=False) == Tokens(100, 10)
    assert estimator.tokens(800, None, charges_max=False).input == pytest.approx(200, abs=2)


@pytest.mark.parametrize("place", [0, 1, 20])
def test_one_count_that_cannot_be_makes_no_later_row_too_large(place):
    estimator = Estimator()
    for number in range(25):
        count = Tokens(20_000_000, 20_000_000) if number == place else Tokens(100, 10)
        estimator.learn(400, count)
        estimate = estimator.tokens(400, None, charges_max=False)
        assert estimate.input + estimate.output <= 8 * (400 // 3 + 256)
    assert estimate.input + estimate.output < 400


def test_replies_that_all_take_far_more_than_was_expected_are_believed():
    estimator = Estimator()
    for _ in range(10):
        estimator.learn(400, Tokens(100_000, 30_000))
    estimate = estimator.tokens(400, None, charges_max=False)
    assert estimate.input > 75_000
    assert estimate.output > 24_000


def test_it_follows_a_change():
    estimator = Estimator()
    for _ in range(500):
        estimator.learn(400, Tokens(100, 10))
    for _ in range(1500):
        estimator.learn(400, Tokens(200, 300))
    estimate = estimator.tokens(400, None, charges_max=False)
    assert estimate.input == pytest.approx(200, rel=0.05)
    assert estimate.output == pytest.approx(300, rel=0.05)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(1, 10**7),
            st.integers(0, 10**9),
            st.integers(0, 10**9),
            st.integers(1, 10**7),
        ),
        max_size=30,
    )
)
def test_whatever_replies_say_an_estimate_stays_a_possible_number(replies):
    estimator = Estimator()
    for sent, read, written, asked in replies:
        estimator.learn(sent, Tokens(read, written))
        estimate = estimator.tokens(asked, None, charges_max=False)
        assert 1 <= estimate.input < 10**17
        assert 0 <= estimate.output <= 10**9 + 1
