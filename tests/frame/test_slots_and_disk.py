"""A slot sends again while its reply waits for the disk; a kill repeats no more for that."""

import signal
import threading

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine.journal_file import JournalFile
from lionproc.testing import Server

SLOTS = 8
ROWS = 40
RUN = """
import threading
import pandas as pd
import lionproc as lp
from lionproc.engine.journal_file import JournalFile

if held:
    JournalFile.flush = lambda self: threading.Event().wait()
out = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]}).llm.process(
    "Say {text}",
    into="answer",
    model=lp.Model("openai", "m", base_url=base_url, api_key=key),
    journal="journal.sqlite",
    limits={"concurrency": slots, "adapt": False},
    retry=lp.Retry(first_failures=None),
    progress=False,
)
assert out["answer"].notna().all()
print(lp.last_job().stats.sent)
"""


@pytest.fixture
def disk(monkeypatch):
    """A disk that takes as long as the test wants, and what it was asked to hold."""
    real, free, unflushed = JournalFile.flush, threading.Event(), []

    def flush(self):
        if self.mode == "memory":
            return
        unflushed.append(self.count() - sum(flushed))
        free.wait(20)
        flushed.append(self.count() - sum(flushed))
        real(self)

    flushed = []
    monkeypatch.setattr(JournalFile, "flush", flush)
    free.unflushed = unflushed
    yield free
    free.set()


def test_a_kill_while_the_disk_is_slow_repeats_only_what_was_in_flight(tmp_path, zygotes):
    # The replies of the first requests come, and those after them never.
    with Server(faults=lambda body, n: "hang" if n >= SLOTS else None) as server:
        names = {"slots": SLOTS, "rows": ROWS, "base_url": server.base_url, "key": server.key}
        child = zygotes[0].start(RUN, tmp_path, held=True, **names)
        # None of the replies is on disk, and every slot is with the server again.
        server.wait_for(lambda c: c.ok == SLOTS and c.in_flight == SLOTS, 20)
        child.kill()
        assert child.wait() == -signal.SIGKILL

        server.configure(faults=None)
        second = zygotes[0].run(RUN, tmp_path, held=False, **names)
        assert second.status == 0, second.output
        assert int(second.output) == ROWS - SLOTS  # what had come back was not bought again
        assert server.counters.total == ROWS + SLOTS


def test_no_more_replies_than_four_a_slot_wait_for_the_disk_beside_those_that_hold_theirs(
    tmp_path, disk
):
    most = 5 * SLOTS
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        options = {"model": model, "into": "a", "progress": False}
        job = pd.DataFrame({"x": range(200)}).llm.start(
            "Say {x}",
            journal=tmp_path / "j.sqlite",
            limits={"concurrency": SLOTS, "adapt": False},
            retry=lp.Retry(first_failures=None),
            **options,
        )
        server.wait_for(lambda c: c.ok == most, 20)
        other = lp.Model("openai", "other", base_url=server.base_url, api_key=server.key)
        pd.DataFrame({"x": range(50)}).llm.process(  # time enough to send more
            "Ask {x}", journal=False, **{**options, "model": other}
        )
        assert server.counters.total == most + 50
        assert job.stats.finished == 0  # nothing counts that is not on disk
        disk.set()
        assert job.result(20)["a"].notna().all()
    assert max(disk.unflushed) <= most


def test_a_wrong_shape_whose_slot_has_gone_on_is_asked_again(tmp_path):
    asked = []

    def answer(body):
        asked.append(body)
        number = body["messages"][0]["content"].split()[-1]
        return "five" if number == "5" and len(body["messages"]) == 1 else number

    with Server(answer=answer) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = pd.DataFrame({"x": range(10)}).llm.process(
            "Say {x}",
            into="a",
            schema=int,
            model=model,
            journal=tmp_path / "j.sqlite",
            retry=lp.Retry(first_failures=None),
            progress=False,
        )
    assert out["a"].tolist() == list(range(10))
    assert len(asked) == 11


def test_a_disk_that_fails_when_it_is_flushed_stops_the_buying_and_keeps_the_answers_in_hand(
    tmp_path, monkeypatch
):
    def flush(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("lionproc.engine.journal_file._flush", flush)
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        frame = pd.DataFrame({"x": range(2000)})
        with pytest.raises(lp.errors.JournalError, match=r"j\.sqlite.*Input/output error"):
            frame.llm.process(
                "Say {x}",
                into="a",
                model=model,
                journal=tmp_path / "j.sqlite",
                limits={"adapt": False},
                progress=False,
            )
        assert lp.last_job().frame()["a"].notna().sum() == server.counters.total < 2000
