"""How fast a run goes where the server says no, and what is known of it afterwards."""

import pandas as pd
import pytest

import lionproc as lp
from lionproc.testing import RollingWindow, Server

QUIET = {"progress": False}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def server():
    with Server() as made:
        yield made


@pytest.fixture
def model(server):
    return lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key)


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def stats_of(model, count, **options):
    texts(count).llm.process("Say {text}", into="a", model=model, **QUIET, **options)
    return lp.last_job().stats


def test_a_limit_that_an_earlier_run_left_is_known_as_such(model):
    assert not stats_of(model, 1).limits_inherited
    assert not stats_of(model, 2, limits={"requests_per_minute": 600}).limits_inherited
    later = stats_of(model, 3)
    assert later.limits_inherited
    assert later.requests_limit == 600
    assert not stats_of(model, 4, limits={"requests_per_minute": 900}).limits_inherited


def test_what_the_headers_say_of_the_limit_is_shown_as_learned(server, model):
    assert stats_of(model, 1).learned_requests_per_minute is None
    server.configure(limits=[RollingWindow(requests=600)], headers="openai")
    stats = stats_of(model, 2)
    assert (stats.learned_requests_per_minute, stats.learned_from) == (600, "headers")
