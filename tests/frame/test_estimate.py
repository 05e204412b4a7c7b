"""What a run would cost, before it does."""

from __future__ import annotations

import base64
import random
import struct

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import RowsFailedWarning
from lionproc.testing import Server


@pytest.fixture
def model(server):
    return lp.Model("openai", model="gpt-4o-mini", base_url=server.base_url, api_key=server.key)


FRAME = pd.DataFrame({"text": ["one", "two", "two", None, "five"]})


def test_an_estimate_sends_nothing_and_counts_equal_rows_once(server, model, tmp_path):
    journal = str(tmp_path / "j.sqlite")
    foreseen = FRAME.llm.estimate("Say {text}", into="a", model=model, journal=journal)
    assert server.counters.total == 0
    assert (foreseen.rows, foreseen.requests, foreseen.skipped) == (5, 3, 1)
    assert foreseen.usd is not None
    assert foreseen.basis == "guess"
    assert "guesses" in repr(foreseen)
    assert not (tmp_path / "j.sqlite").exists()


def test_what_the_journal_has_costs_nothing(server, model, tmp_path):
    journal = str(tmp_path / "j.sqlite")
    with pytest.warns(lp.errors.BudgetWarning):
        FRAME.llm.process(
            "Say {text}",
            into="a",
            model=model,
            journal=journal,
            progress=False,
            budget=lp.Budget(requests=1),
            limits=lp.Limits(concurrency=1),
        )
    foreseen = FRAME.llm.estimate("Say {text}", into="a", model=model, journal=journal)
    assert (foreseen.answered, foreseen.requests) == (1, 2)
    assert foreseen.basis == "seen"
    assert foreseen.source == "1 reply to this prompt"


@pytest.mark.parametrize("votes", [1, 2])
def test_a_kept_reply_that_is_no_answer_is_foreseen_to_be_asked_again(
    server, model, tmp_path, votes
):
    server.configure(faults=[None, "no_ending"])
    ask = {"into": "a", "model": model, "journal": str(tmp_path / "j.sqlite"), "votes": votes}
    with pytest.warns(RowsFailedWarning):
        FRAME.llm.process("Say {text}", limits=lp.Limits(concurrency=1), progress=False, **ask)
    foreseen, sent = FRAME.llm.estimate("Say {text}", **ask), server.counters.total
    FRAME.llm.process("Say {text}", progress=False, **ask)
    assert foreseen.requests == 1
    assert server.counters.total == sent + 1


def test_limits_say_how_long_it_takes_at_least(model, tmp_path):
    foreseen = FRAME.llm.estimate(
        "Say {text}", into="a", model=model, journal=False, limits={"requests_per_minute": 2}
    )
    assert foreseen.minutes == pytest.approx(1.5)
    assert foreseen.limited_by == "requests_per_minute"
    assert "at least 1 min 30 s, limited by requests_per_minute" in repr(foreseen)


def test_a_picture_is_estimated_by_its_pixels_and_sent_under_a_limit_its_bytes_would_break(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path))
    noise = random.Random(1).randbytes(700_000)  # after the head nobody looks at the rest
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 2048, 4096)
    url = "data:image/png;base64," + base64.b64encode(head + noise).decode()
    part = {"type": "image_url", "image_url": {"url": url}}

    def look(row):
        text = {"type": "text", "text": f"What is on picture {row['n']}?"}
        return [{"role": "user", "content": [text, part]}]

    usage = {"prompt_tokens": 1130, "completion_tokens": 5, "total_tokens": 1135}
    with Server(answer="A cat.", usage=usage) as server:
        model = lp.Model("openai", "gpt-4o", base_url=server.base_url, api_key=server.key)
        frame = pd.DataFrame({"n": range(3)})
        foreseen = frame.llm.estimate(look, into="a", model=model)
        assert 1105 <= foreseen.input_tokens / 3 <= 1250
        limits = lp.Limits(tokens_per_minute=200_000)
        out = frame.llm.process(look, into="a", model=model, limits=limits, progress=False)
    assert out["a"].tolist() == ["A cat."] * 3
    assert lp.last_job().stats.estimate_error < 0.3
