from __future__ import annotations

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
