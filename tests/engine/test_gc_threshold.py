"""The garbage collector passes less often during a run, and as before afterwards."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import gc_threshold
from lionproc.testing import Server

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)


def test_the_collector_is_relaxed_inside_and_as_before_after():
    with gc_threshold.relaxed():
        assert gc.get_threshold() == (gc_threshold.THRESHOLD, 10, 10)
    assert gc.get_threshold() == USUAL


def test_the_last_one_out_restores_it():
    first, second = gc_threshold.relaxed(), gc_threshold.relaxed()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert gc.get_threshold()[0] == gc_threshold.THRESHOLD
    second.__exit__(None, None, None)
    assert gc.get_threshold() == USUAL


def test_it_is_restored_when_the_inside_fails():
    with pytest.raises(ZeroDivisionError), gc_threshold.relaxed():
        _ = 1 / 0
    assert gc.get_threshold() == USUAL


@pytest.mark.parametrize("own", [(0, 10, 10), (50_000, 5, 5)])
def test_who_wants_fewer_passes_or_none_keeps_that(own):
    gc.set_threshold(*own)
    with gc_threshold.relaxed():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_a_change_from_inside_is_kept():
    with gc_threshold.relaxed():
        gc.set_threshold(1234, 5, 6)
    assert gc.get_threshold() == (1234, 5, 6)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_has_its_own_collector_back():
    with gc_threshold.relaxed():
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, repr(gc.get_threshold()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 100).decode() == repr(USUAL)
        os.close(reader)
        os.close(writer)


def test_a_run_relaxes_it_until_its_end(tmp_path):
    with Server() as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        server.hold()
        job = pd.DataFrame({"x": ["a", "b"]}).llm.start(
            "{x}", into="y", model=model, journal=tmp_path / "j.sqlite", progress=False
        )
        server.wait_for(lambda counters: counters.total == 2)
        during = gc.get_threshold()[0]
        server.release()
        job.result(20)
    assert during == gc_threshold.THRESHOLD
    assert gc.get_threshold() == USUAL
