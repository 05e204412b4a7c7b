"""A frame that is never whole in memory: from parquet to parquet through workers, and how it grows.

python benchmarks/out_of_core.py [--rows 100000] [--workers 1 2] [--partition 10000]

Two million rows: python benchmarks/out_of_core.py --rows 2000000 --workers 2 --partition 50000
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import tempfile
import time
from pathlib import Path

MEMORY = "1GB"  # of each worker, beyond which Dask spills and then stops it


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def written(folder: Path, rows: int, partition: int) -> float:
    """Short rows as parquet files; returns their size in MB."""
    import pandas as pd

    folder.mkdir()
    for number, start in enumerate(range(0, rows, partition)):
        texts = [
            f"review number {n} of a thing" for n in range(start, min(start + partition, rows))
        ]
        pd.DataFrame({"x": texts}).to_parquet(folder / f"part.{number}.parquet")
    return sum(file.stat().st_size for file in folder.iterdir()) / 1e6


def tried(workers: int, source: Path, target: Path, rows: int) -> str:
    import dask.dataframe as dd
    import pandas as pd

    import lionproc as lp
    import lionproc.dask
    from lionproc.testing import Server

    with (
        Server(process=True, latency_s=0.02, record=0, answer={"positive": True}) as server,
        lionproc.dask.local(
            workers, threads_per_worker=1, memory_limit=MEMORY, silence_logs=logging.ERROR
        ) as client,
    ):
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        limits = lp.Limits(concurrency=64, adapt=False)
        warm = dd.from_pandas(pd.DataFrame({"x": list("abcdefgh")}), npartitions=4)
        warm.llm.process("Warm {x}", into="y", model=model, limits=limits).compute()
        before = server.counters.total
        ddf = dd.read_parquet(source, split_row_groups=False)
        out = ddf.llm.process(
            "Is {x} positive?", into="y", model=model, limits=limits, save=target, details=False
        )
        began = time.monotonic()
        # Nothing is brought here: each part is written by the worker that has it.
        asked = out["y"].count().compute()
        seconds = time.monotonic() - began
        peaks = client.run(peak_mb).values()
        sent = server.counters.total - before
    assert asked == rows
    assert sent == rows, f"{sent} requests for {rows} rows"
    return (
        f"{workers} worker{'s' * (workers > 1):1s} {rows / seconds:9,.0f} {seconds:9.0f} "
        f"{max(peaks):12.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--partition", type=int, default=10_000, help="rows")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        size_mb = written(source, args.rows, args.partition)
        print(
            f"{args.rows:,} short rows, {size_mb:.0f} MB of parquet, {args.partition:,} in a "
            "partition\n             rows/s   seconds   MB a worker"
        )
        for workers in args.workers:
            os.environ["LIONPROC_HOME"] = str(Path(folder) / f"home-{workers}")
            print(tried(workers, source, Path(folder) / f"out-{workers}", args.rows), flush=True)
        print(
            "\nMB a worker: the most that one had in memory, Python and all packages included. "
            "The\nserver and the scheduler share the cores with the workers."
        )


if __name__ == "__main__":
    main()
