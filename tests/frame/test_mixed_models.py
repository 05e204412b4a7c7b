"""Which model answered which row, as the replies say."""

import warnings

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import MixedModelsWarning
from lionproc.frame.answered_by import MOST_NAMES, AnsweredBy
from lionproc.testing import Fault, Server


@pytest.fixture(autouse=True)
def private_home(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))


@pytest.fixture
def server():
    with Server(answer="fine") as made:
        yield made


@pytest.fixture
def model(server):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)


def ask(model, texts, **more):
    df = pd.DataFrame({"text": texts})
    return df.llm.process("Say {text}", "a", model=model, details=True, progress=False, **more)


def test_the_model_that_a_reply_names_is_kept_by_row(server, model):
    out = ask(model, ["one", None, "two", "one"])
    assert out["a_model"].dtype == "string"
    assert out["a_model"].tolist() == ["m", pd.NA, "m", "m"]
    server.configure(faults={"404": 1.0})
    again = ask(model, ["one", "two"])  # from the journal
    assert again["a_status"].tolist() == ["cached", "cached"]
    assert again["a_model"].tolist() == ["m", "m"]


def test_a_run_whose_answers_come_from_two_models_warns_once(server, model):
    ask(model, ["one", "two"])
    server.configure(faults={Fault("other_model", text="m-of-tomorrow"): 1.0})
    with pytest.warns(MixedModelsWarning) as caught:
        out = ask(model, ["one", "two", "three"])
    assert len(caught) == 1
    assert "'m' (2), 'm-of-tomorrow' (1)" in str(caught[0].message)
    assert out["a_model"].tolist() == ["m", "m", "m-of-tomorrow"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lp.last_job().result()  # it has been said
        fresh = ask(model, ["one", "two", "three"], resume=False)
    assert set(fresh["a_model"]) == {"m-of-tomorrow"}


def test_rows_that_are_asked_again_keep_the_model_of_the_others(server, model):
    server.configure(faults=["400"])
    with pytest.warns(lp.errors.RowsFailedWarning):
        ask(model, ["one", "two"], limits={"concurrency": 1})
    server.configure(faults={Fault("other_model", text="m2"): 1.0})
    job = lp.last_job().retry_failed()
    with pytest.warns(MixedModelsWarning):
        assert sorted(job.result(10)["a_model"]) == ["m", "m2"]


def test_a_server_that_gives_every_reply_another_name_fills_no_memory():
    known = AnsweredBy(5000)
    for position in range(5000):
        known.note(position, f"model-{position}")
    assert known.column(0, 5000)[-1] == "(another)"
    assert len(set(known.column(0, 5000))) == MOST_NAMES
    assert known.mixture().startswith("'(another)' (")


def test_a_reply_that_names_no_model_is_no_second_one():
    known = AnsweredBy(3)
    known.note(0, "m")
    known.note(1, "")
    assert known.mixture() == ""
    assert known.column(0, 3).tolist() == ["m", pd.NA, pd.NA]
