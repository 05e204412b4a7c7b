"""Large prompts: what is rendered at once and what waits is bounded by bytes, not by rows alone."""

import json
import time
import tracemalloc
from typing import Literal

import pandas as pd
import pyarrow as pa
import pytest

import lionproc as lp
from lionproc.engine.event_queue import QUEUE_BYTES
from lionproc.engine.journal import Entry
from lionproc.frame.portions import PORTION_BYTES, PORTION_ROWS, Portions

MIB = 2**20


def portions_of(portions, rows, size=10):
    """The lengths of the portions that rows are cut into, if each row becomes a request of a size."""
    lengths = []
    while rows:
        part = portions.first(rows)
        rows = rows[len(part) :]
        portions.made(len(part), size * len(part))
        lengths.append(len(part))
    return lengths


def test_the_first_row_goes_alone_and_short_ones_go_many_at_a_time():
    assert portions_of(Portions([]), range(1000)) == [1, 4, 16, 64, 256, 256, 256, 147]
    assert portions_of(Portions([]), list(range(7, 28))) == [1, 4, 16]


def test_rows_that_became_long_requests_make_the_next_portion_short():
    portions = Portions([])
    portions_of(portions, range(1000))
    portions.made(PORTION_ROWS, PORTION_ROWS * MIB)
    assert portions_of(portions, range(10), MIB) == [4, 4, 2]
    assert portions_of(portions, range(6), 9 * MIB) == [4, 1, 1]


@pytest.mark.parametrize(
    "dtype",
    [
        object,
        "str",
        "string[python]",
        "string[pyarrow]",
        pd.ArrowDtype(pa.large_string()),
        pd.ArrowDtype(pa.binary()),
    ],
    ids=str,
)
@pytest.mark.parametrize("listed", [False, True])
def test_few_long_cells_are_read_at_once_whatever_they_are_kept_as(dtype, listed):
    long = b"x" * (PORTION_BYTES // 3)
    cells = [b"short", None] * 150 + [long] * 10 + [long * 9] + [b"short"]
    if dtype != pd.ArrowDtype(pa.binary()):
        cells = [None if cell is None else cell.decode() for cell in cells]
    portions = Portions([pd.Series(cells, dtype=dtype), pd.Series(range(312))])
    rows = list(range(312)) if listed else range(312)
    assert portions_of(portions, rows) == [1, 4, 16, 64, 217, 3, 3, 2, 1, 1]


def test_the_first_request_leaves_when_its_row_is_made(server, model):
    def prompt(row):
        if row["x"] == 2:  # rows 0, 3 and 5 are tried before the run
            server.wait_for(lambda counters: counters.total > 0)
        return f"say {row['x']}"

    out = pd.DataFrame({"x": range(6)}).llm.process(prompt, "a", model=model, progress=False)
    assert out["a"].notna().all()


def test_no_more_large_prompts_wait_than_there_is_room_for(server, model):
    server.hold()
    made = []

    def prompt(row):
        made.append(row["x"])
        return f"{row['x']} " + "x" * (2 * MIB)

    limits = lp.Limits(concurrency=2)
    job = pd.DataFrame({"x": range(200)}).llm.start(
        prompt, "a", model=model, limits=limits, progress=False
    )
    server.wait_for(lambda counters: counters.in_flight == 2)
    (dispatcher,) = job._routes.dispatchers
    end = time.monotonic() + 10
    while not dispatcher.queue.is_full and time.monotonic() < end:
        time.sleep(0.005)
    assert dispatcher.queue.is_full
    job.stop(0)
    job.wait(30)
    most = (QUEUE_BYTES + 2 * PORTION_BYTES) // (2 * MIB) + 2 + 3
    assert len(made) <= most


def test_the_longer_the_replies_in_the_journal_the_fewer_rows_are_looked_up_at_once():
    portions = Portions([])
    portions_of(portions, range(1000))
    reply = Entry(bytes(16), b"x" * (PORTION_BYTES // 2), "m", 1, 1, 1, 0.1, 1.8e9)
    portions.found(5, [reply] * 4)  # one row had none
    assert portions_of(portions, range(20)) == [2, 8, 10]
    portions.found(PORTION_ROWS, [])
    assert len(portions.first(range(1000))) == 128


@pytest.mark.parametrize("again", ["process", "estimate"])
def test_of_long_replies_in_the_journal_some_are_in_memory_at_a_time(server, model, again):
    server.configure(answer=json.dumps({"answer": "good"}) + " " * (2 * MIB))
    frame = pd.DataFrame({"x": range(60)})
    options = {"schema": Literal["good", "bad"], "model": model}
    frame.llm.process("{x}", into="a", progress=False, **options)
    show = {"progress": False} if again == "process" else {}
    tracemalloc.start()
    try:
        getattr(frame.llm, again)("{x}", into="a", **options, **show)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert server.counters.total == 60
    assert most < 20 * 2 * MIB
