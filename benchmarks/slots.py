"""How busy the slots are until the queue is empty, as the server sees it.

    python benchmarks/slots.py [--rows 600] [--in-flight 32]

First without a journal and with latencies that differ, so that a barrier would show; then with a
journal and even latencies, so that a slot that waits for the disk would.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

import lionproc as lp
from lionproc.testing import Server

SPREAD_S = (0.1, 3.0)
EVEN_S = (0.1, 0.05)


def busy(
    rows: int, in_flight: int, latency_s: float | tuple[float, float], journal: Path | None
) -> tuple[float, int]:
    """The share of the slots that the server sees, and the most requests that it sees at once."""
    frame = pd.DataFrame({"x": [f"row {i}" for i in range(rows)]})
    with Server(process=True, latency_s=latency_s, record=0) as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(concurrency=in_flight),
            journal=False if journal is None else journal,
            progress=False,
        )
        samples = []
        server.wait_for(lambda counters: counters.in_flight >= in_flight, timeout_s=30)
        while (counters := server.counters).total < rows:  # until the last one has left
            samples.append(counters.in_flight)
            time.sleep(0.05)
        job.result()
        peak = server.counters.peak_in_flight
    assert peak <= in_flight
    return sum(samples) / len(samples) / in_flight, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--in-flight", type=int, default=32)
    args = parser.parse_args()
    share, peak = busy(args.rows, args.in_flight, SPREAD_S, None)
    print(
        f"{args.rows} rows, latencies spread over {SPREAD_S[0]:g} to {SPREAD_S[1]:g} s: "
        f"{args.in_flight} slots are {share:.1%} busy until the queue is empty; the most in flight "
        f"at the server: {peak}"
    )
    for latency_s in EVEN_S:
        rows = 20 * args.rows
        with tempfile.TemporaryDirectory() as folder:
            kept, _ = busy(rows, args.in_flight, latency_s, Path(folder) / "journal.sqlite")
        bare, _ = busy(rows, args.in_flight, latency_s, None)
        print(
            f"{rows:,} rows of {latency_s * 1000:g} ms with a journal: {kept:.1%} busy, {bare:.1%} "
            "without one"
        )


if __name__ == "__main__":
    main()
