"""Where two or three features meet: each works alone, and together they keep the same promises."""

from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.testing import Server

pytestmark = pytest.mark.usefixtures("home")
AB = Literal["a", "b", "c"]


@pytest.fixture(scope="module")
def shared():
    with Server() as made:
        yield made


@pytest.fixture
def server(shared):
    shared.configure(faults=None, answer=None)
    return shared


def member(server, name):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key)


def test_votes_that_the_small_model_refused_and_the_large_one_cast_are_not_asked_for_again(server):
    def refused(body, n):
        del n
        return "content_filter" if body["model"] == "small" and "bad" in str(body) else None

    server.configure(answer=lambda body: {"answer": body["model"][0]}, faults=refused)
    frame = pd.DataFrame({"text": ["good", "bad", "bad"]})
    cascade = lp.Cascade([member(server, "small"), member(server, "large")], below=0.8)
    for model in (cascade, lp.Fallback([cascade, member(server, "large")])):
        ask = {"into": "x", "schema": Literal["s", "l"], "votes": 3, "model": model}
        out = frame.llm.process("{text}", **ask)
        assert out["x"].tolist() == ["s", "l", "l"]
        sent = server.counters.total
        again = frame.llm.process("{text}", **ask)
        assert server.counters.total == sent
        pd.testing.assert_frame_equal(out, again)
        seen = lp.run(out.llm.report().facts["run"]).frame(frame)
        assert seen["x"].tolist() == ["s", "l", "l"]


@pytest.mark.parametrize("details", [True, False])
def test_a_pipeline_that_saves_is_run_again_with_its_details_or_without(server, tmp_path, details):
    frame = pd.DataFrame({"text": ["a", "b"]})
    stages = [{"name": "x", "prompt": "{text}"}, {"name": "y", "prompt": "{x}"}]
    model, save = member(server, "m"), tmp_path / "out.parquet"
    frame.llm.pipeline(stages, model=model, save=save, details=True)
    sent = server.counters.total
    out = frame.llm.pipeline(stages, model=model, save=save, details=details)
    assert server.counters.total == sent
    assert list(lp.read_parquet(save).columns) == list(out.columns)
