"""What a run needs in memory above the frame itself, and the most that is in flight.

python benchmarks/memory.py [--rows 100000]
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from referee import measured
from work import forget_peak, peak_mb, tell

IN_FLIGHT = 64


def watched(rows: int) -> dict[str, float]:
    """Peak memory of this process above what it was with the frame alone."""
    import pandas as pd

    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    model = lp.Model("openai", model="m", base_url=url, api_key=key)
    with tempfile.TemporaryDirectory() as folder:
        arguments = {
            "into": "y",
            "model": model,
            "journal": str(Path(folder) / "journal.sqlite"),
            "limits": lp.Limits(concurrency=IN_FLIGHT),
            "progress": False,
        }
        pd.DataFrame({"x": ["warm up"]}).llm.process("{x}", **arguments)
        frame = pd.DataFrame({"x": [f"row {i} " + "word " * 40 for i in range(rows)]})
        before = forget_peak()
        out = frame.llm.process("Answer {x}", **arguments)
        assert out["y"].notna().all()
        return {"above_mb": peak_mb() - before}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        tell(watched(args.rows))
        return
    from lionproc.testing import Server

    with Server(process=True, latency_s=0.02, record=0) as server:
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        found = measured("memory.py", "--one", "--rows", args.rows, **env)
        peak = server.counters.peak_in_flight
    print(
        f"{args.rows:,} rows: {found['above_mb']:.0f} MB above the frame; the most in flight at "
        f"the server: {peak} of {IN_FLIGHT} allowed"
    )
    assert peak <= IN_FLIGHT


if __name__ == "__main__":
    main()
