"""How busy the slots are until the queue is empty, as the server sees it.

    python benchmarks/slots.py [--rows 600] [--in-flight 32]

First without a journal and with latencies that differ, so that a barrier would show; then with a
journal and even latencies, so that a slot that waits for the disk would. The run is a process of
its own, the server another, and who looks at the server a third.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import work
from referee import begin, finish

ROWS, IN_FLIGHT = 600, 32
EVEN_ROWS = 20 * ROWS
SPREAD_S = (0.1, 3.0)
EVEN_S = (0.1, 0.05)


def run(rows: int, in_flight: int) -> None:
    """Be the run that is looked at."""
    import pandas as pd

    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    out = pd.DataFrame({"x": [f"row {i}" for i in range(rows)]}).llm.process(
        "{x}",
        into="y",
        model=lp.Model("openai", model=work.MODEL, base_url=url, api_key=key),
        limits=lp.Limits(concurrency=in_flight),
        journal=os.environ.get("BENCH_JOURNAL") or False,
        progress=False,
    )
    assert out["y"].notna().all()
    work.tell({})


def busy(
    rows: int,
    in_flight: int,
    latency_s: float | tuple[float, float],
    *,
    journal: bool,
    **environment: str,
) -> tuple[float, int]:
    """The share of the slots that the server sees, and the most requests that it sees at once."""
    from lionproc.testing import Server

    with (
        Server(process=True, latency_s=latency_s, record=0) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        environment |= {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        if journal:
            environment["BENCH_JOURNAL"] = f"{folder}/journal.sqlite"
        process = begin(
            Path(__file__).name, "--one", "--rows", rows, "--in-flight", in_flight, **environment
        )
        samples: list[int] = []
        # From when all are busy until the last one has left.
        while (counters := server.counters).total < rows and process.poll() is None:
            if samples or counters.in_flight >= in_flight:
                samples.append(counters.in_flight)
            time.sleep(0.05)
        finish(process)
        peak = server.counters.peak_in_flight
    assert peak <= in_flight
    return sum(samples) / len(samples) / in_flight, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        run(args.rows, args.in_flight)
        return
    share, peak = busy(args.rows, args.in_flight, SPREAD_S, journal=False)
    print(
        f"{args.rows} rows, latencies spread over {SPREAD_S[0]:g} to {SPREAD_S[1]:g} s: "
        f"{args.in_flight} slots are {share:.1%} busy until the queue is empty; the most in flight "
        f"at the server: {peak}"
    )
    for latency_s in EVEN_S:
        rows = EVEN_ROWS * args.rows // ROWS
        kept, _ = busy(rows, args.in_flight, latency_s, journal=True)
        bare, _ = busy(rows, args.in_flight, latency_s, journal=False)
        print(
            f"{rows:,} rows of {latency_s * 1000:g} ms with a journal: {kept:.1%} busy, {bare:.1%} "
            "without one"
        )


if __name__ == "__main__":
    main()
