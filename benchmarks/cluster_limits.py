"""One budget for several workers: how much of the limit all together use, and what is refused.

python benchmarks/cluster_limits.py [--seconds 75]
"""

from __future__ import annotations

import argparse
import bisect
import logging
import os
import tempfile

PER_MINUTE = 1200
LATENCY_S = (0.02, 0.08)


def fullest(times: list[float], window_s: float = 60.0) -> int:
    """The most in any window, wherever it begins."""
    return max(bisect.bisect_left(times, at + window_s) - n for n, at in enumerate(times))


def tried(workers: int, seconds: float) -> str:
    import dask.dataframe as dd
    import pandas as pd

    import lionproc as lp
    import lionproc.dask
    from lionproc.testing import RollingWindow, Server

    rows = int(PER_MINUTE / 60 * seconds)
    frame = pd.DataFrame({"x": [f"row {n}" for n in range(rows)]})
    ddf = dd.from_pandas(frame, npartitions=2 * workers)
    limit = RollingWindow(requests=PER_MINUTE)
    with (
        Server(process=True, latency_s=LATENCY_S, limits=limit, record=2 * rows) as server,
        lionproc.dask.local(workers, silence_logs=logging.ERROR) as client,
    ):
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        limits = lp.Limits(requests_per_minute=PER_MINUTE)
        out = ddf.llm.process("Answer {x}", into="y", model=model, limits=limits, journal=False)
        assert out.compute()["y"].notna().all()
        times = sorted(each.arrived_s for each in server.requests if each.path.endswith("ions"))
        (budget,) = client.sync(client.scheduler.lionproc_budgets)
        share = (len(times) - 1) / (times[-1] - times[0]) * 60 / PER_MINUTE
        return (
            f"{workers} workers  {share:9.3f} {fullest(times) / PER_MINUTE:9.3f} "
            f"{server.counters.refused:5d} {len(times):7,d} {budget['asks']:7,d}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75.0)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIONPROC_HOME"] = folder
        print(
            f"{PER_MINUTE:,} requests a minute for all workers together, {args.seconds:.0f} s each; "
            "the server judges by a rolling minute\n"
            "              share     worst   429    sent    asks"
        )
        for workers in args.workers:
            print(tried(workers, args.seconds), flush=True)
        print(
            "\nshare: what was sent over what the limit allows, from the first request to the last;\n"
            "worst: the fullest 60 s at the server; asks: messages to the budget in the scheduler."
        )


if __name__ == "__main__":
    main()
