from __future__ import annotations

import pandas as pd
import pytest

import lionproc as lp
from lionproc.notebook.limits_panel import LimitsPanel


@pytest.fixture
def model(server):
    return lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)


class Screen(list):
    show = replace = list.append


@pytest.fixture
def panel(model):
    made = lp.limits_panel(model)
    made._screen = Screen()
    made.show()
    yield made
    made.close()


def test_it_moves_the_limits_that_the_next_run_uses(panel, model, move, until):
    row = panel.wheel.rows[0]
    move(row.field, value="300")
    until(lambda: panel.limits.requests_per_minute == 300)
    frame = pd.DataFrame({"a": ["x"]})
    job = frame.llm.start("Say {a}", into="b", model=model, journal=False, progress=False)
    assert job.limits is panel.limits
    assert job.limits.requests_per_minute == 300
    job.result()


def test_the_accessor_opens_the_same_limits(model):
    frame = pd.DataFrame({"a": ["x"]})
    assert frame.llm.limits(model).limits is lp.limits_panel(model).limits


def test_it_shows_what_a_run_uses(panel, model, until):
    frame = pd.DataFrame({"a": [str(n) for n in range(7)]})
    frame.llm.process("Say {a}", into="b", model=model, journal=False, progress=False)
    until(lambda: "<b>7</b>" in panel._tiles.value)


def test_a_second_one_takes_the_place_of_the_first(panel, model):
    second = lp.limits_panel(model)
    second._screen = Screen()
    second.show()
    assert panel._ticking is None
    assert "Limits(" in panel._screen[-1]["text/plain"]
    second.close()


def test_in_a_terminal_it_prints_the_limits(model, capsys):
    panel = lp.limits_panel(model)
    panel.limits.requests_per_minute = 90
    assert repr(panel) == "openai/m: Limits(requests_per_minute=90, concurrency=32)"
    panel._ipython_display_()
    assert "requests_per_minute=90" in capsys.readouterr().out
    assert isinstance(panel, LimitsPanel)
