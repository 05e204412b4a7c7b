"""The journal in hand: how large it is, what is in it, and taking things out."""

import asyncio
import contextlib
import errno
import json
import re
import sqlite3
import tracemalloc
from copy import copy
from pathlib import Path

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import journal_record
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.journal_file import JournalFile
from lionproc.errors import ConfigurationError

pytestmark = pytest.mark.usefixtures("quiet_home")


@pytest.fixture
def runs(model):
    """Two runs of four rows each."""
    df = pd.DataFrame({"text": [f"text {n}" for n in range(4)]})
    for name in ("old", "new"):
        df.llm.process(f"{name} {{text}}", into="a", model=model, name=name)
    return df


def test_a_journal_says_how_much_is_in_it_and_whether_it_is_whole(runs):
    journal = lp.journal()
    assert journal.records == 8
    assert journal.size > 10_000
    assert journal.verify(progress=False) == lp.journal().verify(progress=False)
    assert "8 records" in repr(journal)
    with contextlib.closing(sqlite3.connect(journal.path)) as other, other:
        other.execute("UPDATE record SET reply = x'00' WHERE id = 3")
    found = journal.verify(progress=False)
    assert (found.records, found.damaged, bool(found)) == (8, 1, False)


def test_a_journal_of_which_sqlite_has_statistics_is_served_and_pruned(runs, server, model):
    with contextlib.closing(sqlite3.connect(lp.journal().path)) as other, other:
        other.execute("ANALYZE")
    sent = server.counters.total
    runs.llm.process("new {text}", into="a", model=model)
    assert server.counters.total == sent
    assert lp.journal().prune(run="old") == 4
    assert lp.journal().verify(progress=False)


def test_what_a_run_bought_is_taken_out_and_nothing_else(runs, server, model):
    assert lp.journal().prune(run="old") == 4
    assert lp.runs()["name"].tolist() == ["new"]
    sent = server.counters.total
    runs.llm.process("new {text}", into="a", model=model)
    assert server.counters.total == sent
    runs.llm.process("old {text}", into="a", model=model)
    assert server.counters.total == sent + 4


def test_a_run_of_which_something_is_left_keeps_its_number(runs, model, tmp_path):
    assert lp.journal().prune(run="new", older_than="1d") == 0
    other = pd.DataFrame({"text": ["z"]})
    other.llm.process("Say {text}", into="a", model=model, name="later")
    assert lp.runs()["name"].tolist() == ["old", "new", "later"]
    assert lp.journal().prune(run="later") == 1  # and not what the pruned one had bought
    lp.journal().export(tmp_path / "all.jsonl", progress=False)
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["run"] for line in lines] == [lp.run(n).id for n in ["old"] * 4 + ["new"] * 4]


def test_how_votes_stood_is_exported_as_what_it_is(server, model, tmp_path):
    rows, either = pd.DataFrame({"text": ["z"]}), lp.Fallback([model, copy(model)])
    rows.llm.process("Say {text}", into="a", model=either, votes=2)
    lp.journal().export(tmp_path / "all.jsonl", progress=False)
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["", "", "voted"]
    assert re.fullmatch(r"0:\d+\.\d+ 0:\d+\.\d+", lines[-1]["reply"])
    assert lines[-1]["attempts"] is None


def test_a_run_that_gets_the_number_of_one_that_is_gone_has_none_of_its_digests(runs, model):
    assert lp.journal().prune(run="new") == 4
    with Journal.open(lp.journal().path) as journal:
        number = journal.runs.begin({})
        assert (number, journal.runs.digests(number)) == (2, None)


def test_what_is_old_goes_and_gives_its_space_back(runs):
    journal = lp.journal()
    with contextlib.closing(sqlite3.connect(journal.path)) as other, other:
        other.execute("UPDATE record SET at = at - 40 * 86400, reply = zeroblob(1000000)"
                      " WHERE run = 1")  # fmt: skip
    before = journal.size
    assert journal.prune(older_than="30d") == 4
    assert journal.records == 4
    assert journal.size < before - 3_000_000
    assert journal.prune(older_than="30d", run="new") == 0


def test_an_earlier_run_has_nothing_of_what_comes_after_a_prune(runs, server, model):
    lp.journal().prune(older_than="0s")
    server.configure(answer=lambda body: "bought again")
    runs.llm.process("new {text}", into="a", model=model, name="later")
    assert lp.run("new").frame(runs)["a"].isna().all()
    assert set(lp.run("later").frame(runs)["a"]) == {"bought again"}


def test_a_prune_that_is_killed_once_the_records_are_gone_leaves_no_run_with_later_answers(
    runs, server, model, monkeypatch
):
    inner = JournalFile.prune

    def killed(*given):
        inner(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(JournalFile, "prune", killed)
        with pytest.raises(KeyboardInterrupt):
            lp.journal().prune(older_than="0s")
    server.configure(answer=lambda body: "bought again")
    runs.llm.process("new {text}", into="a", model=model, name="later")
    assert lp.run("new").frame(runs)["a"].isna().all()
    assert set(lp.run("later").frame(runs)["a"]) == {"bought again"}


def test_a_run_that_ends_while_others_are_taken_out_keeps_its_answers(
    runs, server, model, monkeypatch
):
    inner = JournalFile.last_id
    asked = []

    def last_id(*given):
        found = inner(*given)
        if not asked:
            asked.append(found)
            runs.llm.process("meanwhile {text}", into="a", model=model, name="meanwhile")
        return found

    monkeypatch.setattr(JournalFile, "last_id", last_id)
    lp.journal().prune(run="new")
    assert lp.run("meanwhile").frame(runs)["a"].notna().all()
    assert lp.run("old").frame(runs)["a"].notna().all()


@pytest.mark.parametrize("age", ["30", "a month", 30, "-1d"])
def test_an_age_that_is_none_is_refused(runs, age):
    with pytest.raises(ConfigurationError, match='"30d"'):
        lp.journal().prune(older_than=age)
    assert lp.journal().records == 8


def test_nothing_is_taken_out_unless_it_is_said_what(runs):
    with pytest.raises(ConfigurationError, match="prune"):
        lp.journal().prune()


@pytest.mark.parametrize("locks", [True, False])
def test_nothing_is_taken_out_while_a_run_goes_on(runs, server, model, monkeypatch, locks):
    def refuse(handle, operation):
        raise OSError(errno.ENOLCK, "no locks here")

    if not locks:  # as on some network disks
        fcntl = pytest.importorskip("fcntl")
        monkeypatch.setattr(fcntl, "flock", refuse)
    server.configure(faults=lambda body, n: "hang")
    job = runs.llm.start("more {text}", into="a", model=model)
    server.wait_for(lambda seen: seen.in_flight)
    assert lp.runs()["state"].iloc[-1] == "running"
    with pytest.raises(ConfigurationError, match="goes on"):
        lp.journal().prune(older_than="0s")
    job.stop(0.0)
    assert job.wait(30)
    assert lp.journal().prune(older_than="0s") == 8


def test_a_record_of_a_day_that_no_calendar_has_is_exported_without_it(tmp_path):
    async def keep():
        with Journal.open(tmp_path / "j.sqlite") as journal:
            await journal.append(Entry(bytes(16), b"{}", "m", 1, 1, 1, 0.1, 9e300))

    with pytest.MonkeyPatch.context() as patch:  # somebody else has written it
        patch.setattr(journal_record, "_may_be", lambda *_: True)
        asyncio.run(keep())
    lp.journal(tmp_path / "j.sqlite").export(tmp_path / "all.parquet", progress=False)
    assert pd.read_parquet(tmp_path / "all.parquet")["at"].isna().all()


def test_whoever_reads_a_journal_of_large_replies_has_some_of_them_in_memory(tmp_path):
    reply = b"x" * 2**22

    async def keep():
        with Journal.open(tmp_path / "j.sqlite") as journal:
            for n in range(16):
                await journal.append(Entry(n.to_bytes(16), reply, "m", 1, 1, 1, 0.1, 1.8e9))

    asyncio.run(keep())
    kept = lp.journal(tmp_path / "j.sqlite")
    tracemalloc.start()
    try:
        assert kept.verify(progress=False).records == 16
        kept.export(tmp_path / "all.parquet", progress=False)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(pd.read_parquet(tmp_path / "all.parquet", columns=["key"])) == 16
    assert most < 12 * len(reply)


def test_the_records_are_read_by_other_programs(runs):
    lp.journal().export("records.parquet", progress=False)
    lp.journal().export("records.jsonl", progress=False)
    table = pd.read_parquet("records.parquet")
    assert table["run"].nunique() == 2
    assert table["input_tokens"].gt(0).all()
    lines = [json.loads(line) for line in Path("records.jsonl").read_text("utf-8").splitlines()]
    assert [line["key"] for line in lines] == table["key"].tolist()
    assert "choices" in json.loads(lines[0]["reply"])
    with pytest.raises(ConfigurationError, match="parquet"):
        lp.journal().export("records.csv")


def test_a_journal_that_is_not_there_is_empty_and_stays_so(tmp_path):
    assert (lp.journal().records, lp.journal().size) == (0, 0)
    assert not list(tmp_path.rglob("*.sqlite"))
    with pytest.raises(ConfigurationError, match="no journal"):
        lp.journal().export("records.parquet")
