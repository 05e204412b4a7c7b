"""The long run: many rows, one request in twenty goes wrong, and nothing may be left over.

    python benchmarks/soak.py [--rows 200000] [--faults 0.05] [--in-flight 64]

Watches memory, files, tasks and threads of this process while `df.llm.process` runs against a
test server in another one, checks that every row is accounted for, and runs the same again,
which must send only what has no answer. Writes its section of benchmarks/RESULTS.md.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import results

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.testing import Fault, Server

# Shares of all that goes wrong. What asks everybody to wait is rare, as it is in life: a server
# that has just said "20 ms" is obeyed by all slots at once. What hangs costs a whole timeout.
MIX: dict[str | Fault, float] = {
    Fault("429", retry_after_s=0.02): 0.08,
    "429_no_header": 0.002,
    "500": 0.25,
    "503": 0.1,
    "reset": 0.18,
    "close": 0.08,
    "half": 0.1,
    "html200": 0.05,
    "error200": 0.05,
    "bad_json": 0.05,
    "wrong_shape": 0.03,
    "empty": 0.01,
    "400": 0.01,
    "hang": 0.008,
}
LABELS = Literal["positive", "negative", "neutral"]


class Use:
    """What this process holds at a moment."""

    def __init__(self) -> None:
        self.rss_mb = (
            int(Path("/proc/self/statm").read_text().split()[1])
            * os.sysconf("SC_PAGE_SIZE")
            / 2**20
        )
        self.files = len(list(Path("/proc/self/fd").iterdir()))
        self.threads = sum(not t.name.startswith("asyncio_") for t in threading.enumerate())
        self.tasks: int = engine_loop.call(
            lambda: len(asyncio.all_tasks() - {asyncio.current_task()})
        )

    def __str__(self) -> str:
        return f"{self.rss_mb:9.1f} {self.files:6} {self.tasks:6} {self.threads:8}"


def frame_of(rows: int) -> pd.DataFrame:
    text = "The kettle leaks since Tuesday and nobody answers my letters about it. " * 3
    return pd.DataFrame({"review": [f"Review {n}: {text}" for n in range(rows)]})


def run(frame: pd.DataFrame, model: lp.Model, in_flight: int, say: Callable[[str], None]) -> Any:
    job = frame.llm.start(
        "Is this review positive?\n{review}",
        into="mood",
        schema=LABELS,
        model=model,
        limits=lp.Limits(concurrency=in_flight),
        retry=lp.Retry(base_s=0.1, cap_s=2.0),
        chunk_size=10_000,
        save="parts/",
        progress=False,
    )
    began = time.monotonic()
    step, last = max(len(frame) // 10, 1), 0
    while not job.wait(0.5):
        stats = job.stats
        if stats.finished >= last + step:
            last = stats.finished // step * step
            seconds = time.monotonic() - began
            say(f"{seconds:8.0f} {stats.finished:9,} {stats.finished / seconds:8.0f} {Use()}")
    return job


def left_over(before: Use) -> Use:
    """What is still held when idle workers have had their time to leave."""
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        after = Use()
        if after.tasks <= before.tasks and after.files <= before.files:
            return after
        if time.monotonic() > deadline:
            return after
        time.sleep(0.1)


def soak(rows: int, faults: float, in_flight: int) -> list[str]:
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    rates = {fault: share * faults for fault, share in MIX.items()}
    with Server(
        process=True, latency_s=(0.02, 0.06), retry="retry-after-ms", faults=rates, record=0
    ) as server:
        model = lp.Model(
            "openai", "soak", base_url=server.base_url, api_key=server.key, timeout=5.0
        )
        warm = frame_of(200).llm.process(
            "Warm up {review}", into="a", model=model, journal=False, progress=False
        )
        del warm
        frame = frame_of(rows)
        lp.last_job().wait()
        time.sleep(2)
        before = left_over(Use())
        sent_before = server.counters.total
        say(f"{rows:,} rows, {faults:.0%} of the requests go wrong, {in_flight} in flight")
        say(
            f"{'s':>8} {'rows':>9} {'rows/s':>8} {'MB':>9} {'files':>6} {'tasks':>6} {'threads':>8}"
        )
        say(f"{0:8} {0:9} {'':8} {before}")
        began = time.monotonic()
        cpu = time.process_time()
        job = run(frame, model, in_flight, say)
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = job.result()
        stats = job.stats
        say(f"{seconds:8.0f} {stats.finished:9,} {rows / seconds:8.0f} {Use()}")
        after = left_over(before)
        say(f"{'after':>8} {'':9} {'':8} {after}")

        counters = server.counters
        failed = int(out["mood"].isna().sum())
        errors = job.errors()
        played = dict(sorted(counters.by_fault.items()))
        kinds = {str(kind): count for kind, count in stats.errors.items()}
        say("")
        say(f"answered {stats.answered:,}, failed {stats.failed:,}: {kinds}")
        say(f"requests {stats.sent:,}, sent again {stats.retried:,}, 429s {stats.throttled:,}")
        say(
            f"CPU {1000 * cpu / rows:.3f} ms a row; the journal has {Path(home()).stat().st_size / rows:.0f} bytes a row"
        )
        say(f"faults played: {played}")
        checks = {
            "every row has an answer or an error": stats.answered + stats.failed == rows
            and len(errors) == failed == stats.failed,
            "every answer is one of the labels": set(out["mood"].dropna())
            <= {"positive", "negative", "neutral"},
            "rows are in order": bool((out["review"] == frame["review"]).all()),
            "the server saw what was counted": counters.total - sent_before == stats.sent,
            "no answer was bought twice": counters.duplicates == 0,
            "the saved parts are the frame": lp.read_parquet("parts/")["mood"].equals(out["mood"]),
            "no file, task or thread is left": after.files <= before.files
            and after.tasks == 0
            and after.threads <= before.threads,
        }
        growth = after.rss_mb - before.rss_mb
        say(f"memory grew by {growth:.1f} MB, {growth * 2**20 / rows:.0f} bytes a row")
        del out, errors

        server.configure(faults=None)
        sent = server.counters.total
        began = time.monotonic()
        again = run(frame, model, in_flight, say=lambda _: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            again.result()
        checks["the second run sends only what failed"] = (
            server.counters.total - sent <= failed * 3
            and again.stats.answered == rows
            and again.stats.cached == rows - failed
        )
        say(f"the second run: {time.monotonic() - began:.1f} s, {again.stats.sent:,} requests")
        say("")
        for check, good in checks.items():
            say(f"{'yes' if good else 'NO '}  {check}")
    if not all(checks.values()):
        raise SystemExit("\n".join(lines[-12:]))
    return lines


def home() -> str:
    return str(Path(os.environ["LIONPROC_HOME"]) / "journal.sqlite")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--no-record", action="store_true", help="do not write RESULTS.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LIONPROC_HOME"] = str(Path(folder) / "home")
        os.chdir(folder)
        lines = soak(args.rows, args.faults, args.in_flight)
    if not args.no_record:
        results.write("make soak", {"Soak": ("soak.py", "\n".join(lines))})
        print(f"\nWritten to benchmarks/{results.FILE.name}")


if __name__ == "__main__":
    main()
