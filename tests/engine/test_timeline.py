"""What a run keeps of its time, in little room: no sockets, no clock."""

import itertools
import random

from lionproc.engine.latencies import BINS, Latencies, quantile
from lionproc.engine.stats import RunStats
from lionproc.engine.timeline import MOST_POINTS, Timeline


def test_percentiles_are_true_to_two_percent_however_many_replies_came():
    dice = random.Random(3)
    seen, true = Latencies(), []
    for _ in range(20_000):
        seconds = dice.lognormvariate(0, 1)
        seen.add(seconds)
        true.append(seconds)
    true.sort()
    for share in (0.5, 0.9, 0.95, 0.99):
        exact = true[int(share * len(true))]
        assert abs(quantile(seen.counts, share) / exact - 1) < 0.03
    assert seen.longest_s == true[-1]
    assert len(seen.counts) == BINS
    assert sum(Latencies.together([seen, seen]).counts) == 40_000


def test_a_reply_that_took_no_time_or_days_is_counted_too():
    seen = Latencies()
    for seconds in (0.0, 1e-9, 1e6):
        seen.add(seconds)
    assert (seen.counts[0], seen.counts[-1]) == (2, 1)
    assert quantile(Latencies().counts, 0.5) is None


def test_a_run_of_any_length_is_few_points_and_nothing_of_it_is_lost():
    timeline, latencies = Timeline(), [0] * BINS
    for tick in range(1, 2001):
        latencies[tick % 7] += 3
        timeline.add(
            RunStats(elapsed_s=0.2 * tick, sent=3 * tick, prompt_tokens=30 * tick, failed=tick // 9,
                     throttled=tick // 5, requests_limit=900.0 if tick < 1000 else 600.0),
            latencies,
        )  # fmt: skip
        assert len(timeline._points) <= MOST_POINTS
    points = timeline.points()
    assert len(points) > MOST_POINTS / 2
    assert sum(point.sent for point in points) == 6_000
    assert sum(point.input_tokens for point in points) == 60_000
    assert sum(point.failed for point in points) == 2000 // 9
    assert sum(point.refused for point in points) == 400
    assert sum(sum(point.latencies) for point in points) == 6_000
    assert (points[0].requests_limit, points[-1].requests_limit) == (900, 600)
    assert points[0].start_s == 0
    for point, later in itertools.pairwise(points):
        assert abs(point.start_s + point.seconds - later.start_s) < 1e-6
