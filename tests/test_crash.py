"""Killed at any moment: nothing that counted as done is lost or bought twice.

Together these tests kill a run more than 50 times with SIGKILL, which no process can prepare for.
"""

import signal
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random

import pandas as pd
import pytest

import lionproc as lp
from lionproc.testing import Server

ROWS = 120
CHUNK = 20
SLOTS = 8

RUN = """
import os
import pandas as pd
import lionproc as lp
from lionproc.frame.job import Job

written = os.open(progress, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
took = Job._took

def counted(self, event):
    took(self, event)
    if event.error is None and not event.cached:
        os.write(written, b"%05d\\n" % event.tag)

Job._took = counted
exec(before)
frame = pd.DataFrame({"text": [f"{name} {n}" for n in range(rows)]})
out = frame.llm.process(
    "Say {text}",
    into="answer",
    model=lp.Model("openai", "m", base_url=base_url, api_key=key),
    chunk_size=chunk,
    save=save,
    journal=journal,
    limits={"concurrency": slots, "adapt": False},
    progress=False,
)
assert out["answer"].tolist() == [f"echo: Say {name} {n}" for n in range(rows)]
"""

# Where a run is killed by itself: the moment of the `nth` call of something.
KILL = """
import os, signal, itertools
count = itertools.count(1)
def die():
    if next(count) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
"""
MOMENTS = {
    "before_a_commit": """
from lionproc.engine.journal_file import JournalFile
commit = JournalFile._commit
def _commit(self, rows):
    die()
    commit(self, rows)
JournalFile._commit = _commit
""",
    "inside_a_commit": """
from lionproc.engine.journal_file import JournalFile
prepared = JournalFile._prepared
def _prepared(self, *args, write):
    connection = prepared(self, *args, write=write)
    if write:
        connection.set_progress_handler(die, 150)
    return connection
JournalFile._prepared = _prepared
nth *= 5
""",
    "after_a_commit": """
from lionproc.engine.journal_file import JournalFile
commit = JournalFile._commit
def _commit(self, rows):
    commit(self, rows)
    die()
JournalFile._commit = _commit
""",
    "half_way_through_a_part": """
import io
import pyarrow.parquet as pq
from lionproc.frame import export
write_down = export._write_down
def _write_down(table, file):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    file.write(sink.getvalue()[: sink.tell() // 2])
    file.flush()
    die()
    file.seek(0)
    file.truncate()
    write_down(table, file)
export._write_down = _write_down
""",
    "before_a_part_has_its_name": """
real = os.replace
def replace(source, *args, **kwargs):
    if "probe" not in source:
        die()
    real(source, *args, **kwargs)
os.replace = replace
""",
    "after_a_part_has_its_name": """
real = os.replace
def replace(source, *args, **kwargs):
    real(source, *args, **kwargs)
    if "probe" not in source:
        die()
os.replace = replace
""",
}


class Shop:
    """A server that knows how often each question was bought, and runs that buy from it."""

    def __init__(self, folder, zygote):
        self.folder = folder
        self.bought = Counter()
        self._zygote = zygote
        self._server = Server(latency_s=(0.0, 0.004), answer=self._answer)

    def _answer(self, body):
        text = body["messages"][0]["content"]
        self.bought[text] += 1
        return f"echo: {text}"

    def total(self, name):
        return sum(count for text, count in dict(self.bought).items() if f" {name} " in text)

    def start(self, name, before="", *, nth=0, save="parts/"):
        home = self.folder / name
        home.mkdir(exist_ok=True)
        return self._zygote.start(
            RUN,
            home,
            name=name,
            before=(KILL + before) if before else "",
            nth=nth,
            progress="progress",
            journal="journal.sqlite",
            save=save,
            rows=ROWS,
            chunk=CHUNK,
            slots=SLOTS,
            base_url=self._server.base_url,
            key=self._server.key,
        )

    def done(self, name):
        """How often what counts as done was bought so far."""
        path = self.folder / name / "progress"
        text = path.read_text() if path.exists() else ""
        texts = [f"Say {name} {int(line)}" for line in text.split()]
        return {text: self.bought[text] for text in texts}

    def files_are_whole(self, name, save):
        home = self.folder / name
        for file in home.rglob("*.parquet"):
            part = pd.read_parquet(file)
            assert part["answer"].tolist() == [f"echo: Say {text}" for text in part["text"]]
            assert len(part) == (CHUNK if save == "parts/" else ROWS)

    def close(self):
        self._server.close()


def killed_and_finished(shop, name, killings, *, save="parts/"):
    """Run until each of these has killed it, then to the end, and check the promises.

    Returns:
        How often it was killed.
    """
    kills = 0
    for killing in killings:
        child = killing()
        kills += child.wait() == -signal.SIGKILL
        assert child.status in {0, -signal.SIGKILL}, child.output
        paid = shop.done(name)
        shop.files_are_whole(name, save)
        again = shop.start(name, save=save) if killing is killings[-1] else None
        if again is not None:
            assert again.wait() == 0, again.output
            shop.files_are_whole(name, save)
        for text, count in paid.items():
            assert shop.bought[text] == count, "what had counted as done was bought again"
    total = shop.total(name)
    assert ROWS <= total <= ROWS + kills * SLOTS
    out = lp.read_parquet(shop.folder / name / save)
    assert out["answer"].tolist() == [f"echo: Say {name} {n}" for n in range(ROWS)]
    clean = shop.start(name, save=save)
    assert clean.wait() == 0, clean.output
    assert shop.total(name) == total, "a clean run again sends nothing"
    return kills


def at_random(shop, name, random):
    def kill():
        start = shop.total(name)
        child = shop.start(name)
        after = start + random.randint(0, max(ROWS - 20 - start, 0))
        pause = threading.Event()
        while child.running and shop.total(name) < after:
            pause.wait(0.002)
        pause.wait(random.uniform(0, 0.02))
        child.kill()
        return child

    return kill


def in_parallel(tmp_path, zygotes, work, time=0):
    """Do the same with both zygotes at once, each with a server of its own; adds up."""
    results, faults = [], []

    def one(number):
        folder = tmp_path / str(number)
        folder.mkdir()
        shop = Shop(folder, zygotes[number])
        try:
            results.append(work(shop, Random(2 * time + number)))
        except BaseException as fault:
            faults.append(fault)
        finally:
            shop.close()

    workers = [threading.Thread(target=one, args=(number,)) for number in range(len(zygotes))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if faults:
        raise faults[0]
    return sum(results)


@pytest.mark.parametrize("time", range(2))
def test_killed_at_random_moments_nothing_is_bought_twice(tmp_path, zygotes, time):
    def work(shop, random):
        return sum(
            killed_and_finished(
                shop, f"run{n}", [at_random(shop, f"run{n}", random) for _ in range(3)]
            )
            for n in range(3)
        )

    assert in_parallel(tmp_path, zygotes, work, time) >= 14


@pytest.mark.parametrize("moments", [list(MOMENTS)[::2], list(MOMENTS)[1::2]])
def test_killed_in_the_middle_of_writing_nothing_is_torn(tmp_path, zygotes, moments):
    def work(shop, random):
        kills = 0
        for moment in moments:
            name = f"run-{moment}"
            nths = random.sample(range(1, 4), 2)
            killings = [partial(shop.start, name, MOMENTS[moment], nth=nth) for nth in nths]
            kills += killed_and_finished(shop, name, killings)
        return kills

    assert in_parallel(tmp_path, zygotes, work) >= 11


@pytest.mark.parametrize("moment", [m for m in MOMENTS if "part" in m])
def test_killed_while_the_file_is_saved_it_is_whole_or_absent(tmp_path, zygotes, moment):
    shop = Shop(tmp_path, zygotes[0])
    try:
        killings = [lambda: shop.start("run", MOMENTS[moment], nth=1, save="out.parquet")]
        assert killed_and_finished(shop, "run", killings, save="out.parquet") == 1
        assert shop.total("run") == ROWS
    finally:
        shop.close()


SCRIPT = """
import pandas as pd
import lionproc as lp

frame = pd.DataFrame({"text": [f"text {n}" for n in range(400)]})
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
fast = {"adapt": False}
out = frame.llm.process("Say {text}", into="answer", model=model, limits=fast, progress=False)
print(out["answer"].notna().sum(), lp.last_job().stats.sent)
"""


def test_killed_half_way_a_second_run_sends_the_other_half(tmp_path, zygotes):
    """As a person meets it: a script, `kill -9`, the same script again, and nothing is named."""
    with Server(latency_s=(0.0, 0.005)) as server:
        names = {"base_url": server.base_url, "key": server.key}
        first = zygotes[0].start(SCRIPT, tmp_path, **names)
        server.wait_for(lambda c: c.ok >= 200, 30)
        first.kill()
        under_way = 32

        second = zygotes[0].run(SCRIPT, tmp_path, **names)
        assert second.status == 0, second.output
        answered, sent = map(int, second.output.split())

        assert answered == 400
        assert sent <= 200 + under_way
        assert server.counters.total <= 400 + under_way
    assert not list(Path(tmp_path).rglob("*.tmp"))


def test_a_script_that_ends_while_a_job_runs_keeps_what_came_back(tmp_path, zygotes):
    code = """
import pandas as pd, lionproc as lp
frame = pd.DataFrame({"text": [f"text {n}" for n in range(300)]})
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
job = frame.llm.start("Say {text}", into="a", model=model, journal="j.sqlite", progress=False)
if wait:
    job.result()
    print(job.stats.sent)
else:
    while job.stats.finished < 20:
        job.wait(0.005)
"""
    with Server(latency_s=0.03) as server:
        names = {"base_url": server.base_url, "key": server.key}
        first = zygotes[0].run(code, tmp_path, wait=False, **names)
        assert first.status == 0
        assert not first.output  # it ends without a word
        replied = server.counters.ok
        assert 20 <= replied < 300

        second = zygotes[0].run(code, tmp_path, wait=True, **names)
        assert second.status == 0, second.output
        assert server.counters.total == 300  # what was in flight had time to come back


def test_a_run_in_a_thread_goes_on_when_the_main_thread_has_ended(tmp_path, zygotes):
    code = """
import asyncio, threading
import pandas as pd, lionproc as lp
model = lp.Model("openai", "m", base_url=base_url, api_key=key)

def work():
    threading.main_thread().join()
    frame = pd.DataFrame({"text": [f"text {n}" for n in range(30)]})
    how = {"model": model, "journal": "j.sqlite", "progress": False, "chunk_size": 10}
    out = frame.llm.process("Say {text}", into="a", save="parts/", **how)
    batch = asyncio.run(lp.BatchProcessor(model=model).process_batch(["x"] * 20, schema=str))
    print(out["a"].notna().sum(), batch["status"])

threading.Thread(target=work).start()
threading._shutdown()  # what Python calls there
"""
    with Server() as server:
        child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.output.split() == ["30", "success"]
