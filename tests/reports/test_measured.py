"""Percentiles and rates over time, from what the engine counted."""

import itertools

import pytest

from lionproc.engine.timeline import Point
from lionproc.reports.measured import over_time


def points(number, seconds, sent):
    counts = itertools.cycle(sent)
    return [
        Point(n * seconds, seconds, next(counts), 10, 1, 0, 0, 0, 600.0, None, [1, 0])
        for n in range(number)
    ]


def test_bursts_within_a_second_are_no_rate_above_the_limit():
    rates = [point["requests_per_minute"] for point in over_time(points(24, 0.25, [10, 0, 0, 0]))]
    assert max(rates[6:-6]) <= 660  # 10 a second, at once


def test_a_long_run_has_its_rates_as_they_were_and_counts_are_never_smoothed():
    made = over_time(points(40, 60.0, [300, 600]))
    assert [point["requests_per_minute"] for point in made[:3]] == pytest.approx([300, 600, 300])
    assert made[0]["input_tokens_per_minute"] == pytest.approx(10)


def test_a_report_has_few_points_in_which_nothing_is_lost():
    given = [Point(n * 0.25, 0.25, 1, 1, 1, 1, 2, 3, None, None, [1]) for n in range(96)]
    made = over_time(given)
    assert len(made) == 24
    assert [sum(point[name] for point in made) for name in ("refused", "retries", "failed")] == [
        *(96, 192, 288)
    ]
