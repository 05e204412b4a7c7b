from __future__ import annotations

import dataclasses
from datetime import datetime
from html.parser import HTMLParser

import pytest

from lionproc.engine.stats import RunStats
from lionproc.notebook import card, formatting
from lionproc.notebook.errors_html import errors_html

STATS = RunStats(
    state="done",
    rows=1000,
    answered=990,
    cached=200,
    skipped=4,
    failed=6,
    sent=850,
    retried=54,
    throttled=12,
    prompt_tokens=40_000,
    completion_tokens=2000,
    usd=0.0123,
    elapsed_s=84.6,
    requests_limit=600,
    limit_used=0.984,
    errors={"bad_request": 2, "timeout": 4},
)
FACTS = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "prompt": "\nIs this review positive or negative?\nReview: {review}",
    "schema": "'positive' | 'negative'",
    "saved_to": "out.parquet",
    "journal": ".lionproc/journal.sqlite",
}


class Text(HTMLParser):
    """What is left when a host takes all tags and styles away."""

    def __init__(self):
        super().__init__()
        self.words = []
        self.tags = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.within_a_text = tag == "span"

    def handle_endtag(self, tag):
        self.within_a_text = tag == "span"

    def handle_data(self, data):
        if self.within_a_text and self.words:
            data = self.words.pop() + data
        self.words.append(data)


def read(stats=STATS, facts=FACTS):
    text = Text()
    text.feed(card.as_html(stats, facts))
    return text


def test_the_card_says_all_that_a_person_asks_afterwards():
    text = card.as_text(STATS, FACTS)
    for said in (
        "openai/gpt-4o-mini",
        "990 of 1,000 answered, 200 of them from the journal, 4 skipped (empty cells), 6 failed",
        "850 sent, 54 retries, 12 refused (429)",
        "42,000 (40,000 input, 2,000 output)",
        "$0.0123",
        "1 min 25 s, 603 requests a minute",
        "98 % of what was allowed was used (600 requests/min)",
        "prompt    Is this review positive or negative? ...",
        "schema    'positive' | 'negative'",
        "4 timeout, 2 bad request",
        "out.parquet; replies in .lionproc/journal.sqlite",
        "out.llm.errors() lists the errors; running the cell again asks only for those",
    ):
        assert said in text


def test_the_html_says_the_same_as_the_text():
    words = " ".join(read().words)
    for name, text in card.lines(STATS, FACTS):
        assert name in words
        assert text in words


def test_the_html_is_a_plain_table_that_any_host_keeps():
    assert read().tags <= {"div", "strong", "table", "tr", "th", "td", "span"}


def test_what_is_not_known_is_left_out():
    names = [name for name, _ in card.lines(RunStats(rows=3, answered=3, state="done"), {})]
    assert names == ["rows", "requests", "time"]


def test_when_it_ran_is_said_by_the_clock_on_the_wall():
    began = datetime(2026, 3, 28, 23, 58, 7).astimezone().timestamp()

    def when(elapsed_s):
        stats = dataclasses.replace(STATS, began_at=began, elapsed_s=elapsed_s)
        return dict(card.lines(stats, FACTS))["when"].rpartition(" ")[0]

    assert when(20.0) == "2026-03-28 23:58"
    assert when(90.0) == "2026-03-28 23:58 to 23:59"
    assert when(600.0) == "2026-03-28 23:58 to 2026-03-29 00:08"


def test_limits_of_an_earlier_run_and_what_the_server_takes_are_said():
    stats = dataclasses.replace(
        STATS, limits_inherited=True, learned_requests_per_minute=148.2, learned_from="refusals"
    )
    text = card.as_text(stats, FACTS)
    assert "(600 requests/min, set by an earlier run)" in text
    assert "; the server takes about 150 requests/min" in text
    short = dataclasses.replace(stats, limit_used=None, learned_from="")
    assert dict(card.lines(short, FACTS))["limit"] == "600 requests/min, set by an earlier run"


def test_a_person_who_holds_the_job_is_told_how_to_ask_it():
    text = card.as_text(STATS, {**FACTS, "errors_at": "job.errors()"})
    assert "job.errors() lists the errors" in text
    assert "out.llm" not in text


def test_what_was_to_be_saved_and_was_not_is_said():
    stats = RunStats(state="stopped", rows=10, answered=4, sent=4)
    facts = {**FACTS, "saved_to": None, "save": "out.parquet"}
    assert "nothing saved; lp.last_job().save(path) writes" in card.as_text(stats, facts)
    assert "nothing saved" not in card.as_text(stats, {**FACTS, "save": "out.parquet"})


def test_a_stopped_run_says_how_to_go_on():
    stats = RunStats(state="stopped", rows=10, answered=4, sent=4)
    text = card.as_text(stats, FACTS)
    assert "lionproc: stopped" in text
    assert "6 not sent (rows without an answer are NA)" in text
    assert "running the cell again goes on from here, and pays nothing twice" in text


def test_without_a_journal_nothing_is_promised():
    stats = RunStats(state="stopped", rows=10, answered=4, sent=4)
    text = card.as_text(stats, {**FACTS, "journal": ":memory:"})
    assert "starts over" in text
    assert "pays nothing twice" not in text
    assert "memory" not in text


def test_a_failed_run_names_the_frame():
    stats = RunStats(state="failed", rows=10, answered=4, note="The server refuses the key.")
    text = card.as_text(stats, FACTS)
    assert "could not go on" in text
    assert "The server refuses the key." in text
    assert "lp.last_job().frame()" in text
    # One of yesterday is not the last one of today.
    text = card.as_text(stats, {**FACTS, "frame_at": "lp.run('a').frame(df)"})
    assert "lp.run('a').frame(df) has what was answered" in text
    assert "last_job" not in text


def test_what_could_not_be_saved_is_said():
    facts = {**FACTS, "saved_to": None, "save_error": "The disk is full."}
    assert "not saved: The disk is full." in card.as_text(STATS, facts)


def test_all_is_escaped():
    hostile = "<script>alert(1)</script>"
    text = card.as_html(RunStats(note=hostile, state="failed"), dict.fromkeys(FACTS, hostile))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_dollars_in_a_notebook_are_money_and_no_mathematics():
    stats = RunStats(rows=3, answered=3, cached=2, usd=0.25, usd_of_answers=0.5, prompt_tokens=9)
    shown = card.as_html(stats, {"prompt": "Is $5 more than $4?"})
    assert shown.count("$") == shown.count("<span>$</span>") == 4


@pytest.mark.parametrize("sign", [r"\(", r"\[", r"\begin{align}", r"\ref{a}", "$$"])
def test_no_text_in_a_notebook_begins_a_formula_which_may_be_a_link_that_runs_code(sign):
    said = rf"{sign}\href{{javascript:alert(1)}}{{more}}"
    row = {"index": said, "kind": said, "message": said, "hint": said, "reply": said}
    for shown in (
        card.as_html(RunStats(note=said, state="failed"), dict.fromkeys(FACTS, said)),
        errors_html([(1, [row])], 1),
        formatting.safe(said),
    ):
        bare = shown.replace(r"<span>\</span>", "").replace("<span>$</span>", "")
        assert "href{javascript" in bare
        assert "\\" not in bare
        assert "$" not in bare
