"""How fast a run goes where the server says no, and what is known of it afterwards."""

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import last_pace
from lionproc.model import connection
from lionproc.testing import RollingWindow, Server

QUIET = {"progress": False}


pytestmark = pytest.mark.usefixtures("home")


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


def test_the_next_process_begins_with_what_the_last_run_saw(server, model, home):
    server.configure(limits=[RollingWindow(requests=1200, window_s=1)], latency_s=0.01)
    first = stats_of(model, 80, limits={"concurrency": 8})
    assert first.learned_from == "refusals"
    connection._states.clear()  # what a process knows of endpoints ends with it
    seen = stats_of(model, 120, limits={"concurrency": 8})
    assert seen.learned_from in {"earlier run", "refusals"}
    assert seen.throttled <= first.throttled
    names = {path.name for path in home.iterdir()}
    assert last_pace.NAME in names


FEW_FILES = """
import resource, warnings
import pandas as pd
import lionproc as lp
from lionproc.engine import last_pace
from lionproc.model import connection

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
model = lp.Model("openai", "test-model", base_url=base_url, api_key=key)
frame = pd.DataFrame({"text": [f"text {n}" for n in range(400)]})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    out = frame.llm.process(
        "Say {text}", into="a", model=model, limits={"concurrency": 300}, progress=False
    )
for warning in caught:
    print("WARNING", warning.filename, warning.message)
stats = lp.last_job().stats
print("RESULT", out["a"].notna().sum(), stats.retried, stats.concurrency)
"""


def test_with_few_open_files_fewer_requests_are_sent_at_once_and_one_warning_says_so(zygotes):
    with Server(process=True, latency_s=0.2) as server:
        child = zygotes[0].run(FEW_FILES, base_url=server.base_url, key=server.key)
        peak = server.counters.peak_in_flight
    lines = child.output.splitlines()
    warned = [line for line in lines if line.startswith("WARNING")]
    assert len(warned) == 1, child.output
    answered, retried, concurrency = map(int, lines[-1].split()[1:])
    assert (answered, retried) == (400, 0)
    assert 50 < concurrency < 112
    assert peak <= concurrency
    assert f"concurrency={concurrency}" in warned[0]
    assert "child" in warned[0]  # the line of the user's code
