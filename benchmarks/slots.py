"""No barrier: how busy the slots are until the queue is empty.

python benchmarks/slots.py [--rows 600] [--in-flight 32]
"""

from __future__ import annotations

import argparse
import time

import pandas as pd

import lionproc as lp
from lionproc.testing import Server

LATENCY_S = (0.1, 3.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--in-flight", type=int, default=32)
    args = parser.parse_args()
    frame = pd.DataFrame({"x": [f"row {i}" for i in range(args.rows)]})
    with Server(process=True, latency_s=LATENCY_S, record=0) as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(concurrency=args.in_flight),
            journal=False,
            progress=False,
        )
        samples = []
        server.wait_for(lambda counters: counters.in_flight >= args.in_flight, timeout_s=30)
        while (counters := server.counters).total < args.rows:  # until the last one has left
            samples.append(counters.in_flight)
            time.sleep(0.05)
        job.result()
        peak = server.counters.peak_in_flight
    busy = sum(samples) / len(samples) / args.in_flight
    print(
        f"{args.rows} rows, latencies spread over {LATENCY_S[0]:g} to {LATENCY_S[1]:g} s: "
        f"{args.in_flight} slots are {busy:.1%} busy until the queue is empty; the most in flight "
        f"at the server: {peak}"
    )
    assert peak <= args.in_flight


if __name__ == "__main__":
    main()
