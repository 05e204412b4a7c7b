"""How a journal behaves when it is large: opening, finding keys, and what `lp.journal()` shows.

    python benchmarks/journal_size.py [--records 2000000] [--bytes 1900]

The same for a small journal beside it. The keys that are looked up are spread over all of it, each
once; the file was just written, so that most of it is in the machine's memory.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import lionproc as lp
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.journal_file import JournalFile
from lionproc.engine.journal_record import Row, to_row

SMALL = 20_000
GROUP = 5_000
LOOKED_UP = 20_000
AT_ONCE = 512
OPENINGS = 7


def rows(start: int, stop: int, size: int) -> Iterator[Row]:
    """Records as runs write them; the key says the number."""
    noise = os.urandom(size)
    for number in range(start, stop):
        reply = b'{"n":%d}' % number + noise
        key = random.Random(number).randbytes(16)
        yield (*to_row(Entry(key, reply, "some-model", 600, 40, 1, 0.8, 1.8e9)), 1)


def build(path: Path, records: int, size: int) -> None:
    file = JournalFile(str(path))
    for start in range(0, records, GROUP):
        file.write(list(rows(start, min(start + GROUP, records), size)))
    file.flush()
    file.close()


def timed(work: Callable[[], object], times: int) -> float:
    """Median seconds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def look(path: Path, records: int) -> None:
    opened = timed(lambda: Journal.open(path).close(), OPENINGS)
    numbers = random.Random(7).sample(range(records), min(LOOKED_UP, records))
    keys = [random.Random(number).randbytes(16) for number in numbers]
    with Journal.open(path) as journal:
        began = time.perf_counter()
        found = sum(
            len(journal.find(keys[start : start + AT_ONCE]))
            for start in range(0, len(keys), AT_ONCE)
        )
        per_key = (time.perf_counter() - began) / len(keys)
        assert found == len(keys)
    shown = timed(lambda: repr(lp.journal(path)), 3)
    runs = timed(lambda: lp.runs(path), 3)
    size = path.stat().st_size
    print(
        f"{records:>9,} {size / 2**30:>6.2f} {opened * 1000:>9.1f} {per_key * 1e6:>11.1f}"
        f" {shown * 1000:>13.1f} {runs * 1000:>9.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--bytes", type=int, default=1900)
    args = parser.parse_args()
    print("  records     GB   open ms   us per key   lp.journal ms   runs ms")
    with tempfile.TemporaryDirectory() as folder:
        for records in (min(SMALL, args.records), args.records):
            path = Path(folder) / f"{records}.sqlite"
            build(path, records, args.bytes)
            look(path, records)


if __name__ == "__main__":
    main()
