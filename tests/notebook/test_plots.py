from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from lionproc.engine.stats import RunStats
from lionproc.notebook.history import SECONDS, History
from lionproc.notebook.plots import sparkline


def run(seconds, *, per_second=10, limit=600.0, tokens_limit=None, throttled=0, learned=None):
    """Snapshots of a steady run, five a second."""
    for tick in range(seconds * 5 + 1):
        sent = int(tick * per_second / 5)
        yield RunStats(
            rows=10_000,
            answered=sent,
            sent=sent,
            throttled=throttled * tick,
            prompt_tokens=100 * sent,
            elapsed_s=tick / 5,
            requests_limit=limit,
            tokens_limit=tokens_limit,
            learned_requests_per_minute=learned,
            learned_from="" if learned is None else "refusals",
        )


def told(snapshots):
    history = History()
    for stats in snapshots:
        history.add(stats)
    return history


def svg(history):
    return ET.fromstring(re.search(r"<svg.*</svg>", sparkline(history.line()))[0])  # noqa: S314


def test_a_steady_run_is_drawn_at_its_rate():
    line = told(run(30)).line()
    assert line.unit == "requests"
    assert len(line.rates) == 30
    assert all(rate == pytest.approx(600, rel=0.02) for rate in line.rates)


def test_only_the_last_two_minutes_are_kept():
    assert len(told(run(300)).line().rates) == SECONDS


def test_the_limit_is_a_line_that_steps_where_it_was_moved():
    history = told(run(20, limit=600.0))
    for stats in run(40, limit=1200.0):
        if stats.elapsed_s > 20:
            history.add(stats)
    path = svg(history).find("path[@class='lp-line']").get("d")
    assert path.count("V") == 1
    assert path.startswith("M0.0 ")
    low, high = (float(y) for y in re.findall(r"(?:M0\.0 |V)([\d.]+)", path))
    assert high < low, "up is a smaller y"


def test_without_a_limit_there_is_no_line():
    history = told(run(20, limit=None))
    assert svg(history).find("path") is None
    assert "no limit" in sparkline(history.line())


def test_where_only_tokens_are_limited_tokens_are_drawn():
    line = told(run(20, limit=None, tokens_limit=90_000.0)).line()
    assert line.unit == "tokens"
    assert line.rates[-1] == pytest.approx(60_000, rel=0.02)
    assert line.limits[-1] == 90_000


def test_a_limit_far_above_does_not_press_the_curve_to_the_ground():
    history = told(run(20, limit=100_000.0))
    heights = [
        float(point.split(",")[1]) for point in svg(history).find("polyline").get("points").split()
    ]
    assert max(heights) < 50
    assert "limit 100k ↑" in sparkline(history.line())


def test_refusals_are_marked():
    assert len(svg(told(run(10, throttled=1))).findall("path[@class='lp-refused']")) == 10


def test_the_picture_can_be_read_out():
    label = svg(told(run(60))).get("aria-label")
    assert label == "Requests per minute, the last 60 seconds: now 600, highest 600, limit 600"


def test_a_run_of_no_time_is_drawn_too():
    assert svg(History()).get("role") == "img"
    assert "0" in sparkline(told(run(0)).line())


def test_what_the_server_takes_is_a_line_of_its_own_with_its_name():
    history = told(run(20, per_second=4, learned=250.0))
    picture = svg(history)
    assert picture.find("path[@class='lp-takes']") is not None
    assert picture.find("path[@class='lp-line']") is not None, "beside the limit's"
    assert "the server takes about 250</span>" in sparkline(history.line())
    assert "the server takes about 250" in picture.get("aria-label")


def test_marks_have_a_legend_where_they_are_drawn():
    assert "refused (429)</span>" in sparkline(told(run(10, throttled=1)).line())
    assert "refused" not in sparkline(told(run(10)).line())
    assert "server takes" not in sparkline(told(run(10)).line())
