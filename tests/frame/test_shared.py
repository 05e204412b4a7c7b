"""`Limits(shared=True)`: one budget for the notebooks and scripts of a machine."""

import json

import pandas as pd
import pytest

import lionproc as lp

CODE = """
import os
import pandas as pd
import lionproc as lp

os.environ["LIONPROC_HOME"] = shared_home
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
limits = lp.Limits(requests_per_minute=12_000, adapt=False, shared=True)
df = pd.DataFrame({"text": [f"{name} {n}" for n in range(60)]})
df.llm.process("Say {text}", into="a", model=model, limits=limits, progress=False)
"""


@pytest.fixture
def given(server, tmp_path):
    return {"base_url": server.base_url, "key": server.key, "shared_home": str(tmp_path / "home")}


def budget_in(home):
    (file,) = home.glob("limits-*.json")
    return file, json.loads(file.read_text())


def test_two_processes_borrow_from_one_budget(zygotes, server, given, tmp_path):
    children = [
        zygote.start(CODE, **given, name=name)
        for zygote, name in zip(zygotes, ("one", "two"), strict=True)
    ]
    assert [child.wait() for child in children] == [0, 0], children[0].output
    file, kept = budget_in(tmp_path / "home")
    assert server.counters.total == 120
    assert kept["limits"][0] == 12_000
    assert kept["counts"]["granted"] - kept["counts"]["refunded"] >= 120
    # What it counts in this minute is what both have sent, and what is lent still.
    held = sum(bucket[1] for bucket in kept["sent"])
    lent = sum(lease["permissions"] for _, lease in kept["leases"])
    assert 120 <= held + lent <= 120 + lent
    written = file.read_text() + file.name  # nothing tells what it is about
    assert server.key not in written
    assert "127.0.0.1" not in written
    assert file.stat().st_mode & 0o077 == 0


def test_sharing_can_be_begun_and_ended_while_a_run_goes_on(home, server, model):
    limits = lp.Limits(requests_per_minute=60_000, adapt=False, shared=True)
    df = pd.DataFrame({"text": [str(n) for n in range(40)]})
    df.llm.process("Say {text}", into="a", model=model, limits=limits, progress=False)
    before = budget_in(home)[1]["counts"]["granted"]
    limits.shared = False
    df.llm.process("Again {text}", into="a", model=model, progress=False)
    assert budget_in(home)[1]["counts"]["granted"] == before
    limits.shared = True
    df.llm.process("Once more {text}", into="a", model=model, progress=False)
    assert budget_in(home)[1]["counts"]["granted"] >= before + 40
    assert server.counters.total == 120
    with pytest.raises(lp.errors.LimitsError, match="shared"):
        lp.Limits(shared="yes")
