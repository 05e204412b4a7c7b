"""What the panel says of a snapshot."""

from __future__ import annotations

import dataclasses
import re

import pytest

from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats
from lionproc.notebook import panel_html
from lionproc.notebook.history import Left
from lionproc.notebook.notes import Note, note_of

LIMITS = Limits(requests_per_minute=600)
STATS = RunStats(
    rows=1200,
    answered=600,
    sent=640,
    in_flight=7,
    concurrency=32,
    elapsed_s=60.0,
    requests_per_minute=596.0,
    requests_limit=600.0,
    tokens_per_minute=22_000.0,
)


def words(html):
    return re.sub(r"<[^>]*>", " ", html)


def tiles(**changes):
    """Name, value and what is beside it, of each tile."""
    made = panel_html.tiles(dataclasses.replace(STATS, **changes), LIMITS)
    found = re.findall(r"<span>(.*?)</span><b[^>]*>(.*?)</b><small>(.*?)</small>", made)
    return {name: (value, beside) for name, value, beside in found}


def test_rates_stand_beside_their_limits():
    assert tiles()["Requests / min"] == ("596", "of 600")
    assert tiles()["Tokens / min"] == ("22k", "no limit")


@pytest.mark.parametrize(
    "changes", [{"elapsed_s": 1.2}, {"elapsed_s": 4.9}, {"state": "paused"}, {"state": "stopping"}]
)
def test_a_rate_that_says_nothing_about_now_is_a_dash(changes):
    made = tiles(**changes)
    assert made["Requests / min"] == ("\u2013", "of 600")
    assert made["Tokens / min"] == ("\u2013", "no limit")
    assert made["In flight"] == ("7", "of 32"), "what is counted is known at once"


def test_what_the_server_takes_stands_beside_the_rate():
    learned = tiles(learned_requests_per_minute=148.2, learned_from="refusals")
    assert learned["Requests / min"] == ("596", "server: ~150")
    by_headers = tiles(learned_requests_per_minute=500.0, learned_from="headers",
                       requests_limit=500.0)  # fmt: skip
    assert by_headers["Requests / min"] == ("596", "of 500 (server)")


def test_rows_are_said_in_percent_and_by_what_became_of_them():
    stats = dataclasses.replace(STATS, cached=30, failed=2, retried=1, throttled=3, skipped=4)
    text = " ".join(words(panel_html.header(stats, "t", None)).split())
    for said in (
        "51 % · 606 of 1,200 rows", "30 cached", "4 skipped", "2 errors", "1 retry",
        "3 refused (429)", "594 left",
    ):  # fmt: skip
        assert said in text


def test_the_time_left_is_said_only_where_it_is_known():
    assert "min left" not in words(panel_html.header(STATS, "t", None))
    assert "2 to 4 min left" in words(panel_html.header(STATS, "t", Left(130.0, 250.0)))


def test_whose_limits_they_are_stands_over_their_fields():
    assert "<b>Limits</b>" in panel_html.heading("")
    assert "60 requests/min, set by an earlier run" in panel_html.heading(
        "60 requests/min, set by an earlier run"
    )


def said(idle_s=0.0, **changes):
    return note_of(dataclasses.replace(STATS, **changes), said="", reachable=True, idle_s=idle_s)


def test_to_wait_for_ones_turn_is_not_said_all_the_time():
    waiting = {"note": "Waiting for room under the limit of the last minute."}
    assert said(**waiting) == Note()
    assert said(**waiting, idle_s=5.0) == Note(waiting["note"])


def test_what_asks_for_attention_is_said_at_once_and_read_out():
    asked = said(note="The server asked everybody to wait, 12 s more.")
    assert asked.alert
    assert "role='status'" in panel_html.note(asked)
    assert "role=" not in panel_html.note(said(state="paused"))
