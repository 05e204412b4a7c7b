from __future__ import annotations

import time

import pytest

from lionproc.notebook import formatting


def test_a_share_is_whole_only_when_it_is():
    assert [formatting.share(part) for part in (0, 0.001, 0.5, 0.996, 1.0)] == [
        "0 %",
        "<1 %",
        "50 %",
        "99 %",
        "100 %",
    ]


def test_text_that_turns_or_breaks_lines_is_made_plain():
    assert formatting.plain("a\nb\x1b[31m\u202e\u061cc") == "a b [31m c"
    assert formatting.safe("<b>\"'&") == "&lt;b&gt;&quot;&#x27;&amp;"
    assert len(formatting.plain("x" * 10_000)) == 200


def test_paths_below_the_working_directory_are_told_from_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert formatting.place(tmp_path / "data" / "out.parquet") == "data/out.parquet"
    assert formatting.place("/elsewhere/out.parquet") == "/elsewhere/out.parquet"


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="TZ of Unix")
@pytest.mark.parametrize("zone", ["ABC99", "ABC-24:30", "UTC0"])
def test_a_zone_of_more_than_a_day_is_none_and_times_are_in_utc(monkeypatch, zone):
    try:
        with monkeypatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            assert formatting.moment(0.0, 7200.0) == "1970-01-01 00:00 to 02:00 UTC"
    finally:
        time.tzset()
