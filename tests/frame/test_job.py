"""A run in hand: started, steered from any thread, stopped, looked at, and run again."""

import asyncio
import gc
import threading
import weakref
from typing import Annotated

import pandas as pd
import pytest
from pydantic import AfterValidator

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.engine import run as run_module
from lionproc.errors import (
    BudgetWarning,
    ConfigurationError,
    JournalError,
    RowsFailedError,
    RowsFailedWarning,
)
from lionproc.frame import job as job_module

QUIET = {"progress": False}


pytestmark = pytest.mark.usefixtures("no_slow_start")


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def said(body):
    return body["messages"][-1]["content"]


def fails(*words, fault="400"):
    return lambda body, n: fault if str(said(body)).endswith(words) else None


def wait_until(condition, timeout_s=30.0):
    tick = threading.Event()
    for _ in range(int(timeout_s / 0.01)):
        if condition():
            return True
        tick.wait(0.01)
    return False


# While it runs


def test_a_job_returns_at_once_and_its_frame_fills(server, model):
    server.hold()
    job = texts(50).llm.start("Say {text}", into="a", model=model, **QUIET)

    server.wait_for(lambda c: c.in_flight == 32)
    assert not job.done
    assert lp.last_job() is job
    assert job.frame()["a"].isna().all()
    assert job.stats.state == "running"
    assert wait_until(lambda: job.stats.in_flight == 32)
    assert "running" in repr(job)
    with pytest.raises(TimeoutError, match=r"goes on.*job\.stop\(\)"):
        job.result(timeout=0.05)

    server.release()
    out = job.result(10)
    assert job.done
    assert out["a"].tolist() == [f"echo: Say text {n}" for n in range(50)]
    assert job.stats.state == "done"
    assert job.stats.finished == 50


def test_where_many_jobs_run_at_once_each_is_looked_at_less_often(server, model, monkeypatch):
    monkeypatch.setattr(run_module, "TICK_S", 0.001)
    monkeypatch.setattr(run_module, "MANY", 2)
    server.hold()
    jobs = [texts(1).llm.start(f"{n} {{text}}", into="a", model=model, **QUIET) for n in range(8)]
    ticks, looks = [], []
    for job in jobs:
        monkeypatch.setattr(job._budget, "heed", lambda: ticks.append(None))
        monkeypatch.setattr(job._use, "add", lambda *_: looks.append(None))
    assert wait_until(lambda: len(ticks) >= 400)
    seen = len(ticks), len(looks)
    server.release()
    assert all(job.result(10)["a"].notna().all() for job in jobs)
    assert 0 < seen[1] < 0.3 * seen[0]


def test_a_paused_job_sends_nothing_and_goes_on_when_told(server, model):
    server.configure(latency_s=0.005)
    job = texts(400).llm.start("Say {text}", into="a", model=model, **QUIET)
    server.wait_for(lambda c: c.total >= 60)

    job.pause()
    assert wait_until(lambda: job.stats.state == "paused" and job.stats.in_flight == 0)
    sent = server.counters.total
    assert sent < 400
    assert not job.wait(0.3)
    assert server.counters.total == sent

    job.resume()
    assert job.result(10)["a"].notna().all()
    assert server.counters.total == 400


def test_a_job_can_be_paused_before_its_first_request_and_stopped_while_paused(server, model):
    held = threading.Event()
    engine_loop.get().call_soon_threadsafe(held.wait)  # nothing begins before it is released
    job = texts(10).llm.start("Say {text}", into="a", model=model, **QUIET)
    job.pause()
    held.set()
    assert wait_until(lambda: job.stats.state == "paused" and job.stats.queued == 10)
    job.stop()
    assert job.wait(5)
    assert job.stats.state == "stopped"
    assert server.counters.total == 0
    assert job.report().facts["not_sent"] == 10
    assert repr(job.errors()) == "No errors: 0 of 10 rows answered, 10 not sent."


def test_limits_change_while_it_runs_from_any_thread(server, model):
    server.configure(latency_s=0.02)
    limits = lp.Limits(concurrency=1, adapt=False)
    job = texts(300).llm.start("Say {text}", into="a", model=model, limits=limits, **QUIET)
    server.wait_for(lambda c: c.total >= 5)
    assert server.counters.peak_in_flight == 1

    turner = threading.Thread(target=lambda: setattr(job.limits, "concurrency", 8))
    turner.start()
    turner.join()
    server.wait_for(lambda c: c.in_flight == 8)
    job.result(20)
    assert server.counters.peak_in_flight == 8


def test_stopping_lets_what_is_in_flight_come_back_and_keeps_it(server, model):
    server.hold()
    job = texts(500).llm.start("Say {text}", into="a", model=model, **QUIET)
    server.wait_for(lambda c: c.in_flight == 32)

    job.stop()
    assert wait_until(lambda: job.stats.state == "stopping")
    server.release()
    out = job.result(10)

    assert job.stats.state == "stopped"
    assert out["a"].notna().sum() == 32
    assert server.counters.total == 32
    assert job.errors().empty
    assert job.report().facts["not_sent"] == 468  # every row is accounted for
    out = texts(500).llm.process("Say {text}", into="a", model=model, **QUIET)
    assert server.counters.total == 500


def test_stopping_now_gives_up_what_is_in_flight(server, model):
    server.hold()
    job = texts(3000).llm.start("Say {text}", into="a", model=model, **QUIET)
    server.wait_for(lambda c: c.in_flight == 32)

    job.stop(0)

    assert job.wait(2)
    assert job.errors()["kind"].tolist() == ["cancelled"] * 32
    assert job.report().facts["not_sent"] == 2968  # what was never made into requests included
    server.wait_for(lambda c: c.abandoned == 32)


def test_stopping_again_after_the_end_changes_nothing(server, model):
    job = texts(5).llm.start("Say {text}", into="a", model=model, **QUIET)
    job.result(10)
    job.stop()
    job.pause()
    job.resume()
    assert job.frame()["a"].notna().all()
    assert job.stats.state == "done"


def test_awaiting_a_job_gives_its_frame_more_than_once(server, model):
    async def main():
        job = texts(5).llm.start("Say {text}", into="a", model=model, **QUIET)
        return await job, await job

    first, second = asyncio.run(main())
    pd.testing.assert_frame_equal(first, second)
    assert server.counters.total == 5


# After it


def test_errors_name_the_row_the_column_and_the_reason_in_order(server, model):
    server.configure(faults=lambda body, n: {"2": "400", "4": "length"}.get(said(body)[-1]))
    frame = pd.DataFrame(
        {"t": [f"t {n}" for n in range(6)], "u": [f"u {n}" for n in range(6)]},
        index=pd.MultiIndex.from_product([["x", "y"], [1, 2, 3]]),
    )
    with pytest.warns(RowsFailedWarning, match="4 of 12"):
        out = frame.llm.process(
            "Say {value}", into="{column}_a", columns=["t", "u"], model=model, **QUIET
        )

    errors = out.llm.errors()
    assert " ".join(errors) == "position index into kind message hint reply attempts raw"
    assert errors["position"].tolist() == [2, 4, 2, 4]
    assert errors["index"].tolist() == [("x", 3), ("y", 2)] * 2
    assert errors["into"].tolist() == ["t_a", "t_a", "u_a", "u_a"]
    assert errors["kind"].tolist() == ["bad_request", "truncated"] * 2
    assert (
        out["t_a"].isna().tolist() == out["u_a"].isna().tolist() == [n in {2, 4} for n in range(6)]
    )


def test_the_report_has_the_numbers_as_text_and_html(server, model):
    server.configure(faults=fails(" 1"))
    with pytest.warns(RowsFailedWarning):
        out = texts(4).llm.process("Say {text}", into="a", model=model, **QUIET)

    report = out.llm.report()
    assert report.stats.answered == 3
    assert report.facts["model"] == "test-model"
    assert "3 of 4" in repr(report)
    assert "1 bad" in repr(report)
    assert "<table" in report._repr_html_()
    assert server.key not in repr(report) + report._repr_html_() + str(report.facts)


@pytest.mark.parametrize(
    "options",
    [{}, {"journal": False}, {"resume": False}, {"deduplicate": False}],
    ids=["journal", "memory", "asked_anew", "one_by_one"],
)
def test_what_failed_is_asked_again_and_nothing_else(server, model, options):
    server.configure(faults=fails(" 3", " 7"))
    frame = pd.DataFrame({"text": [f"text {n % 10}" for n in range(30)]})
    with pytest.warns(RowsFailedWarning, match="6 of 30"):
        out = frame.llm.process(
            "Say {text}", into="a", model=model, save="p/", chunk_size=5, details=True,
            **options, **QUIET,
        )  # fmt: skip
    job, sent = lp.last_job(), server.counters.total
    assert out["a"].isna().sum() == 6

    server.configure(faults=None)
    server.hold()  # until all rows are there: equal ones share what is under way
    again = job.retry_failed()
    assert wait_until(lambda: again._feeding is not None and again._feeding.done())
    server.release()
    whole = again.result(10)

    assert server.counters.total == sent + (6 if options == {"deduplicate": False} else 2)
    assert whole["a"].tolist() == [f"echo: Say text {n % 10}" for n in range(30)]
    assert whole["a_status"].value_counts().to_dict() == {"cached": 24, "answered": 6}
    assert (whole["a_attempts"] > 0).all()
    assert again.errors().empty
    assert again.stats.cached == 24
    assert again.stats.answered == 30
    assert lp.last_job() is again
    pd.testing.assert_frame_equal(lp.read_parquet("p/")[["text", "a"]], whole[["text", "a"]])
    assert job.frame()["a"].isna().sum() == 6  # the first job is as it was


def test_only_a_finished_job_is_run_again(server, model):
    server.hold()
    job = texts(3).llm.start("Say {text}", into="a", model=model, **QUIET)
    with pytest.raises(ConfigurationError, match="not finished"):
        job.retry_failed()
    server.release()
    job.result(10)


def test_a_job_saves_what_it_has_at_any_time(server, model, tmp_path):
    server.configure(faults=fails(" 1"))
    job = texts(3).llm.start("Say {text}", into="a", model=model, **QUIET)
    with pytest.warns(RowsFailedWarning):
        out = job.result(10)

    path = tmp_path / "now.parquet"
    assert job.save(path) == str(path.resolve())
    pd.testing.assert_frame_equal(lp.read_parquet(path), out)
    assert lp.read_facts("now.parquet")["failed"] == 1


def test_a_partial_frame_is_not_saved_as_if_it_were_whole_and_that_is_said(server, model, tmp_path):
    with pytest.warns(BudgetWarning, match=r"Nothing was saved: lp\.last_job\(\)\.save"):
        texts(9).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(requests=3),
            save="out.parquet", **QUIET,
        )  # fmt: skip
    assert not (tmp_path / "out.parquet").exists()
    assert list(tmp_path.glob("*.tmp")) == list(tmp_path.glob(".*.tmp")) == []


def test_the_warning_comes_once_and_the_error_every_time(server, model):
    server.configure(faults=fails(" 1"))
    job = texts(3).llm.start("Say {text}", into="a", model=model, **QUIET)
    with pytest.warns(RowsFailedWarning):
        job.result(10)
    job.result(10)  # a second warning would fail this test

    strict = texts(3).llm.start("Say {text}", into="a", model=model, errors="raise", **QUIET)
    for _ in range(2):
        with pytest.raises(RowsFailedError):
            strict.result(10)


def test_without_any_run_the_last_job_says_so(monkeypatch):
    monkeypatch.setattr(job_module, "_last", None)
    with pytest.raises(ConfigurationError, match=r"Nothing has been run yet .* lp\.runs\(\)"):
        lp.last_job()


# Faults around it


def test_a_journal_that_stops_working_stops_the_buying_and_the_answers_are_in_hand(
    server, model, monkeypatch
):
    from lionproc.engine.journal_file import JournalFile

    real, writes = JournalFile.write, []

    def write(self, rows):
        writes.append(len(rows))
        if len(writes) > 3:
            raise JournalError("The journal cannot be written: the disk is full.")
        real(self, rows)

    monkeypatch.setattr(JournalFile, "write", write)
    server.configure(latency_s=0.005)

    with pytest.raises(JournalError, match="disk is full"):
        texts(2000).llm.process("Say {text}", into="a", model=model, **QUIET)

    bought = server.counters.total
    assert bought < 2000
    frame = lp.last_job().frame()
    assert frame["a"].notna().sum() == bought  # paid for, so it is there
    assert lp.last_job().stats.state == "failed"
    assert lp.last_job().report().facts["not_sent"] == 2000 - bought


def test_a_frame_that_is_saved_is_put_together_once(server, model, monkeypatch):
    put_together = []
    real = lp.frame.job.Job._frame
    monkeypatch.setattr(
        lp.frame.job.Job, "_frame", lambda *args: put_together.append(1) or real(*args)
    )
    job = texts(3).llm.start("Say {text}", into="a", model=model, save="out.parquet", **QUIET)
    out = job.result(10)
    assert len(put_together) == 1
    assert out["a"].tolist() == lp.read_parquet("out.parquet")["a"].tolist()
    out["a"] = "changed by whoever has it"  # the next one is a frame of its own
    assert job.frame()["a"].tolist() == lp.read_parquet("out.parquet")["a"].tolist()


def test_a_fault_while_rows_are_made_lets_what_is_in_flight_come_back(server, model, monkeypatch):
    server.hold()

    def breaks(self, recipe, start, stop):
        if start > 40:  # the first ones are made a few at a time
            server.wait_for(lambda c: c.in_flight == 32)
            threading.Timer(0.2, server.release).start()
            raise RuntimeError("a fault")
        return real(self, recipe, start, stop)

    from lionproc.frame.plan import Plan

    real = Plan.calls
    monkeypatch.setattr(Plan, "fingerprint", lambda self, recipe: "f")
    monkeypatch.setattr(Plan, "calls", breaks)
    job = texts(600).llm.start("Tell {text}", into="a", model=model, **QUIET)
    with pytest.raises(RuntimeError, match="a fault"):
        job.result(10)
    assert job.frame()["a"].notna().sum() == 32 == server.counters.total


def test_a_run_whose_task_is_cancelled_ends_and_gives_everything_back(server, model, tmp_path):
    from lionproc.engine import journal

    server.hold()
    path = tmp_path / "j.sqlite"
    job = texts(3000).llm.start("Say {text}", into="a", model=model, journal=path, **QUIET)
    server.wait_for(lambda c: c.in_flight == 32)

    job._promise.cancel()

    assert wait_until(lambda: str(path) not in journal._open, 5)
    server.wait_for(lambda c: c.abandoned == 32)
    assert job.stats.state == "stopped"
    assert server.counters.total == 32


def test_a_broken_display_does_not_break_the_run(server, model):
    class Broken:
        def update(self, stats):
            raise RuntimeError("no display")

        close = update

    job = texts(5).llm.start("Say {text}", into="a", model=model, **QUIET)
    job.watch(Broken())
    assert job.result(10)["a"].notna().all()


def test_a_refused_run_leaves_nothing_open_and_no_limits_changed(server, model, tmp_path):
    from lionproc.engine import journal

    path = tmp_path / "j.sqlite"
    limits = model.limiter.limits
    with pytest.raises(ConfigurationError, match="price"):
        texts(3).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(usd=1), journal=path,
            limits=lp.Limits(concurrency=1), **QUIET,
        )  # fmt: skip
    assert str(path) not in journal._open
    assert model.limiter.limits is limits


def test_a_frame_is_not_kept_alive_by_having_been_made(server, model):
    out = texts(3).llm.process("Say {text}", into="a", model=model, **QUIET)
    ref = weakref.ref(out)
    del out
    gc.collect()
    assert ref() is None


def test_an_answer_becomes_a_cell_when_its_reply_arrives_and_never_again(server, model):
    looked_at = []

    class Words(list):
        def __iter__(self):
            looked_at.append(len(self))
            return super().__iter__()

    schema = Annotated[list[str], AfterValidator(Words)]
    job = texts(3).llm.start("Say {text}", into="a", schema=schema, model=model, **QUIET)
    frames = [job.result(20), job.frame(), job.frame()]
    assert all(frame["a"].notna().all() for frame in frames)
    assert len(looked_at) == 3
