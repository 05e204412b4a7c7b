"""No barrier: how busy the slots are until the queue is empty, and what a run needs in memory.

python benchmarks/occupancy.py [--rows 600] [--in-flight 32] [--memory-rows 100000]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024**2


def occupancy(rows: int, in_flight: int) -> dict[str, float]:
    """Latencies spread over 0.1 to 3 s; sampled at the server until the queue is empty."""
    import pandas as pd

    import lionproc as lp
    from lionproc.testing import Server

    frame = pd.DataFrame({"x": [f"row {i}" for i in range(rows)]})
    with Server(process=True, latency_s=(0.1, 3.0), record=0) as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(concurrency=in_flight),
            journal=False,
            progress=False,
        )
        samples = []
        server.wait_for(lambda counters: counters.in_flight >= in_flight, timeout_s=30)
        while job.stats.queued or job.stats.sent < rows - in_flight:
            samples.append(server.counters.in_flight)
            time.sleep(0.05)
        job.result()
        peak = server.counters.peak_in_flight
    return {"busy": sum(samples) / len(samples) / in_flight, "peak": peak}


def memory(rows: int) -> dict[str, float]:
    """Peak memory of this process above what it was with the frame alone."""
    import pandas as pd

    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    model = lp.Model("openai", model="m", base_url=url, api_key=key)
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "into": "y",
            "model": model,
            "journal": str(Path(folder) / "j.sqlite"),
            "limits": lp.Limits(concurrency=64),
            "progress": False,
        }
        pd.DataFrame({"x": ["warm up"]}).llm.process("{x}", **arguments)
        frame = pd.DataFrame({"x": [f"row {i} " + "word " * 40 for i in range(rows)]})
        before, peak, stop = rss_mb(), 0.0, threading.Event()

        def watch() -> None:
            nonlocal peak
            while not stop.wait(0.05):
                peak = max(peak, rss_mb())

        watcher = threading.Thread(target=watch)
        watcher.start()
        out = frame.llm.process("Answer {x}", **arguments)
        stop.set()
        watcher.join()
        assert out["y"].notna().all()
        limiter = model.connect().limiter
        return {"above_mb": max(peak, rss_mb()) - before, "peak_in_flight": limiter.peak_in_flight}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--memory-rows", type=int, default=100_000)
    parser.add_argument("--one", default="")
    args = parser.parse_args()
    if args.one:
        print("RESULT " + json.dumps(memory(args.memory_rows)))
        return
    made = occupancy(args.rows, args.in_flight)
    print(
        f"slots busy until the queue is empty: {made['busy']:.1%} of {args.in_flight} "
        f"(latencies 0.1 to 3 s, {args.rows} rows; most at once {made['peak']})"
    )
    from lionproc.testing import Server

    with Server(process=True, record=0) as server:
        command = [sys.executable, __file__, "--one", "memory"]
        command += ["--memory-rows", str(args.memory_rows)]
        env = {**os.environ, "BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        done = subprocess.run(command, check=False, env=env, capture_output=True, text=True)
    if "RESULT " not in done.stdout:
        sys.exit(done.stderr[-2000:])
    found = json.loads(done.stdout.split("RESULT ")[1])
    print(
        f"memory above the frame, {args.memory_rows:,} rows: {found['above_mb']:.0f} MB "
        f"(most in flight {found['peak_in_flight']} of 64 allowed)"
    )


if __name__ == "__main__":
    main()
