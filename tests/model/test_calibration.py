"""The threshold of a cascade: what a sample shows, and that it is kept as often as is said."""

import math
import random

import pytest

from lionproc.model.calibration import CANDIDATES, fewest_rows, found_threshold, upper


def sample_of(count, wrong_above=0, sure=0.95):
    return [(sure, True)] * (count - wrong_above) + [(sure, False)] * wrong_above


@pytest.mark.parametrize(("count", "rows"), [(0, 59), (4, 200), (17, 1000)])
def test_the_interval_is_that_of_clopper_and_pearson(count, rows):
    share = upper(count, rows, 0.95)
    tail = sum(math.comb(rows, k) * share**k * (1 - share) ** (rows - k) for k in range(count + 1))
    assert tail == pytest.approx(0.05)
    if count == 0:
        assert share == pytest.approx(1 - 0.05 ** (1 / rows))


@pytest.mark.parametrize(("target", "certainty", "rows"), [(0.95, 0.95, 59), (0.99, 0.95, 299)])
def test_fewer_rows_than_are_needed_show_nothing_even_if_none_differs(target, certainty, rows):
    assert fewest_rows(target, certainty) == rows
    assert found_threshold(sample_of(rows), target=target, certainty=certainty) is not None
    assert found_threshold(sample_of(rows - 1), target=target, certainty=certainty) is None


def test_as_many_may_differ_as_the_interval_allows():
    found = found_threshold(sample_of(200, 4), target=0.95, certainty=0.95)
    assert found.wrong == 4
    assert found.at_most < 0.05
    assert found_threshold(sample_of(200, 5), target=0.95, certainty=0.95) is None


def test_no_threshold_below_one_that_fails_is_taken_however_many_rows_are_right_there():
    rows = [(0.999, True)] * 60 + [(0.7, False)] * 20 + [(0.3, True)] * 1000
    found = found_threshold(rows, target=0.99, certainty=0.95)
    assert 0.7 < found.below <= 0.999
    assert found.stand == 60
    assert list(CANDIDATES) == sorted(CANDIDATES, reverse=True)


def test_answers_of_unknown_confidence_never_stand():
    rows = [(None, False)] * 100 + [(0.9, True)] * 100
    found = found_threshold(rows, target=0.95, certainty=0.95)
    assert (found.below, found.stand) == (0.0, 100)


@pytest.mark.parametrize("honest", [True, False])
def test_the_target_is_kept_at_least_as_often_as_is_said(honest):
    """Whatever the confidence is worth: it may be honest, or say nothing at all."""
    broken = 0
    for seed in range(200):
        draw = random.Random(seed)
        rows = []
        for _ in range(1000):
            sure = 1 - 0.5 * draw.random() ** 3
            rows.append((sure, draw.random() < (sure if honest else 0.945)))
        found = found_threshold(draw.sample(rows, 150), target=0.95, certainty=0.9)
        if found is not None:
            wrong = sum(sure >= found.below and not same for sure, same in rows)
            broken += wrong / len(rows) > 0.05
    assert broken <= 0.1 * 200
