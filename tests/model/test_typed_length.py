"""A typed answer is no longer than a model writes; a text may be, and what was paid for is read again."""

import json

import pandas as pd
import pytest

from lionproc.errors import CallError, Kind, RowsFailedWarning
from lionproc.model import typed_length
from lionproc.model.typed_length import LONGEST_TYPED

LONG = "a" * LONGEST_TYPED
TYPED = json.dumps({"answer": [LONG]})


@pytest.fixture
def ask(server, model, tmp_path):
    server.configure(answer=TYPED)

    def asked(texts=("a",), schema=list[str]):
        return pd.DataFrame({"text": texts}).llm.process(
            "Say {text}", "a", schema=schema, model=model, progress=False, details=True,
            journal=tmp_path / "journal",
        )  # fmt: skip

    return asked


def test_a_typed_answer_longer_than_any_model_writes_fails_its_row_alone_and_is_asked_once(
    server, ask
):
    server.configure(
        answer=lambda body: TYPED if "long" in str(body["messages"]) else '{"answer": ["b"]}'
    )
    with pytest.warns(RowsFailedWarning):
        out = ask(("long", "short"))
    assert out["a_status"].tolist() == ["failed", "answered"]
    assert out["a_error"].iloc[0].startswith(f"{Kind.UNREADABLE}")
    assert "the answer has 4.1 MiB; a typed one may have 4" in out["a_error"].iloc[0]
    assert server.counters.total == 2


def test_a_text_of_that_length_is_kept(server, ask):
    assert ask(schema=str)["a"].iloc[0] == TYPED


def test_a_kept_answer_that_is_longer_is_read_as_before_and_not_bought_again(
    server, ask, monkeypatch
):
    with monkeypatch.context() as before:
        before.setattr(typed_length, "LONGEST_TYPED", typed_length.LONGEST_KEPT)
        assert ask()["a"].iloc[0] == [LONG]
    assert ask()["a"].iloc[0] == [LONG]
    assert server.counters.total == 1


def test_one_that_failed_for_its_length_is_asked_anew_by_the_next_run(server, ask):
    with pytest.warns(RowsFailedWarning):
        ask()
    server.configure(answer='{"answer": ["short"]}')
    assert ask()["a"].iloc[0] == ["short"]


def test_letters_of_several_bytes_count_as_so_many():
    typed_length.refuse_very_long("\u4e00" * (LONGEST_TYPED // 3))
    with pytest.raises(CallError, match="a typed one may have 4"):
        typed_length.refuse_very_long("\u4e00" * (LONGEST_TYPED // 3 + 1))
    typed_length.refuse_very_long("\ud800")  # whoever reads it says what that is
