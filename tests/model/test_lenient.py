"""The JSON of errors, of which nobody knows what wrote it."""

import sys

import pytest

from lionproc.model import lenient
from lionproc.model.lenient import leniently_read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"so \ud83d", "so \ufffd"),
        (r"\ude00 it is", "\ufffd it is"),
        (r"\uD83D\uDE00", "\U0001f600"),
        (r"\ud83d\ud83d\ude00\ude00", "\ufffd\U0001f600\ufffd"),
        (r"C:\\ud83d\\\ud83d", "C:\\ud83d\\\ufffd"),
        (r"\\\\ud800\"\u00e9", '\\\\ud800"\u00e9'),
    ],
)
def test_half_a_character_is_one_that_is_unknown_and_all_else_stays(written, read):
    assert leniently_read(f'{{"message": "{written}", "score": NaN}}')["message"] == read


@pytest.mark.parametrize("escape", [r"\\", r"\ud800", r"\ud83d\ude00", r"\"", r"\\\ud800"])
def test_an_error_of_millions_of_escapes_is_not_looked_at_escape_by_escape(escape):
    body = f'{{"message": "{escape * 50_000}", "score": NaN}}'.encode()
    calls = []
    sys.setprofile(lambda _, event, of: calls.append(event) if event == "call" else None)
    try:
        assert leniently_read(body)["message"]
    finally:
        sys.setprofile(None)
    assert len(calls) < 1000  # sixteen megabytes of them took ten seconds at each attempt


def test_a_raw_control_character_is_no_json_here_either():
    with pytest.raises(ValueError, match="control character"):
        leniently_read(b'{"message": "a\x1fb", "score": NaN}')


def test_what_is_no_json_is_seen_at_its_beginning(monkeypatch):
    """An error may be megabytes of a page, which would be looked through to its end again and again."""
    monkeypatch.setattr(lenient, "_HALVES", None)
    for said in (b"a\\u0041" * 1000, "<html>\\ud800", b"\xef\xbb\xbfeyJ", "", " +1"):
        with pytest.raises(ValueError, match="begin as JSON"):
            leniently_read(said)
    assert leniently_read(b" NaN") is None
    assert leniently_read("[-Infinity, Infinity]") == [None, None]
    assert leniently_read(b"\xef\xbb\xbf[NaN]") == [None]
