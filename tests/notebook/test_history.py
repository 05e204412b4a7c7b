"""The time left: honest at the start, while the pace changes, and while nothing may leave."""

from __future__ import annotations

import dataclasses

import pytest

from lionproc.engine.stats import RunStats
from lionproc.notebook import formatting
from lionproc.notebook.history import SECONDS, History


class Story:
    """A run told to a history, second by second."""

    def __init__(self, rows=10_000, **facts):
        self.history = History()
        self.now = RunStats(rows=rows, concurrency=32, **facts)
        self.history.add(self.now)

    def goes(self, seconds, per_second=0.0, **facts):
        """So many seconds at this pace."""
        self.now = dataclasses.replace(self.now, **facts)
        before, began = self.now.answered, self.now.elapsed_s
        for tick in range(1, seconds * 5 + 1):
            done = before + int(per_second * tick / 5)
            self.now = dataclasses.replace(
                self.now, elapsed_s=began + tick / 5, answered=done, sent=done
            )
            self.history.add(self.now)
        return self

    @property
    def left(self):
        return self.history.left(self.now)

    @property
    def said(self):
        return None if self.left is None else formatting.left_between(*self.left)


def test_nothing_is_told_of_the_first_seconds():
    assert Story().goes(4, 100).left is None
    assert Story().goes(6, 100).said == "1 min 30 s"


def test_a_steady_run_has_one_time_left():
    least, most = Story().goes(60, 10).left
    assert least == pytest.approx(most, rel=0.05) == pytest.approx(940, rel=0.05)


def test_while_the_pace_changes_a_span_is_told_that_holds_the_truth():
    story = Story().goes(60, 10).goes(12, 2)
    truth = story.now.left / 2
    least, most = story.left
    assert least < truth <= 1.05 * most
    assert most > 2 * least
    assert " to " in story.said
    story.goes(30, 2)
    assert story.left.least == pytest.approx(story.now.left / 2, rel=0.1), "and settles"


def test_after_a_limit_was_moved_the_time_before_it_says_nothing():
    story = Story(requests_limit=600.0).goes(60, 10)
    story.goes(4, 40, requests_limit=2400.0)
    assert story.left is None
    story.goes(3, 40)
    assert story.left.most == pytest.approx(story.now.left / 40, rel=0.1)


def test_after_refusals_the_time_before_them_says_nothing():
    story = Story().goes(10, 100)
    assert story.said == "1 min 30 s"
    story.goes(8, 2, learned_requests_per_minute=120.0, learned_from="refusals")
    assert story.left.least == pytest.approx(story.now.left / 2, rel=0.15)


def test_while_the_limit_is_looked_for_the_time_left_is_a_span():
    story = Story(learned_from="refusals")
    for pace in (4, 6, 9, 4, 6, 9, 4, 6):
        story.goes(8, pace, learned_requests_per_minute=60.0 * pace)
        assert story.left.least <= story.now.left / 4
        assert story.left.most >= story.now.left / 9


def test_while_everybody_waits_for_the_server_the_wait_is_added():
    story = Story().goes(60, 10).goes(5, 0, holding_s=300.0)
    assert story.left.least == pytest.approx(story.now.left / 10 + 300, rel=0.05)


def test_a_pause_has_no_time_left_and_spoils_none():
    story = Story().goes(60, 10).goes(40, 0, state="paused")
    assert story.left is None
    story.goes(2, 10, state="running")
    assert story.left.least == pytest.approx(story.now.left / 10, rel=0.1)


def test_rows_that_come_slowly_are_judged_by_more_seconds():
    story = Story(rows=100)
    for _ in range(12):
        story.goes(9).goes(1, 1)
    assert story.left.least == pytest.approx(story.now.left * 10, rel=0.15)


def test_answers_from_the_journal_and_skipped_rows_are_no_pace():
    story = Story(rows=10_000)
    story.goes(1, 0, cached=5000, answered=5000).goes(10, 10)
    assert story.left.least == pytest.approx(story.now.left / 10, rel=0.1)


def test_at_the_end_nothing_is_left():
    assert Story(rows=10).goes(1, 10).left == (0, 0)


def test_only_the_last_two_minutes_are_kept():
    assert len(Story().goes(300, 1).history.line().rates) == SECONDS


def test_nothing_sent_for_a_while_is_noticed():
    story = Story().goes(10, 5)
    assert story.history.idle_s == 0
    assert story.goes(4).history.idle_s >= 3
