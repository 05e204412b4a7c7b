"""Work of other shapes than short rows: many rows, wide answers, large prompts, many small runs.

python benchmarks/shapes.py many|wide|large|small [--rows N] [--rounds 3]

Each figure is of a process of its own; the server is another. Of several rounds the median is
shown. Memory is the peak above what the process had when the run began, frame included.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import work
from referee import measured

IN_FLIGHT = 64
FIELDS = (60, 240)
LARGE_MB = 5
LARGE_IN_FLIGHT = 64
ROWS = {"many": 500_000, "wide": 20_000, "large": 150, "small": 200}
ITEMS = 100  # of a batch, for each small run
Figures = dict[str, float]


def fields(count: int) -> dict[str, Any]:
    """An answer of so many fields: texts, whole numbers, numbers and yes or no in turn."""
    kinds: tuple[Any, ...] = ("a few words of text {}", 7, 0.5, True)
    values = {f"field_{place}": kinds[place % 4] for place in range(count)}
    return {n: v.format(n) if isinstance(v, str) else v for n, v in values.items()}


def schema(count: int) -> Any:
    """The model of such an answer."""
    from pydantic import create_model

    made: dict[str, Any] = {name: (type(value), ...) for name, value in fields(count).items()}
    return create_model("Wide", **made)


def run(frame: Any, prompt: Any, schema: Any = str, *, journal: str, in_flight: int) -> Any:
    """A run over a frame, started."""
    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    return frame.llm.start(
        prompt,
        into="y",
        schema=schema,
        model=lp.Model("openai", model=work.MODEL, base_url=url, api_key=key),
        journal=journal,
        limits=lp.Limits(concurrency=in_flight),
        progress=False,
    )


def asked(frame: Any, prompt: Any, schema: Any = str, in_flight: int = IN_FLIGHT) -> Figures:
    """Figures of a run with an empty journal and of one more with a full one."""
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        warm = {"journal": f"{folder}/warm.sqlite", "in_flight": in_flight}
        run(pd.DataFrame({"x": ["warm up"]}), "{x}", schema, **warm).result()
        told: Figures = {}
        for name in ("new", "warm"):
            before = work.forget_peak()
            with work.Meter() as meter:
                job = run(frame, prompt, schema, journal=f"{folder}/j.sqlite", in_flight=in_flight)
                while not (job.stats.sent or job.done):
                    time.sleep(0.002)
                first_s = time.perf_counter() - meter.began
                out = job.result()
            assert out.iloc[:, -1].notna().all()
            told |= {
                f"{name}_ms": meter.cpu_s / len(frame) * 1000,
                f"{name}_mb": work.peak_mb() - before,
                f"{name}_first_s": first_s,
            }
        made = out.drop(columns=list(frame.columns))
        return told | {"arrow_mb": _arrow_bytes(made) / 2**20}


def _arrow_bytes(frame: Any) -> int:
    import pyarrow as pa

    return int(pa.Table.from_pandas(frame, preserve_index=False).nbytes)


def many(rows: int) -> Figures:
    """Short rows, all different."""
    import pandas as pd

    return asked(pd.DataFrame({"x": [f"row {i} " + "word " * 20 for i in range(rows)]}), "Say {x}")


def wide(rows: int, count: int) -> Figures:
    """Answers of many fields; reading them alone, and as pydantic does it."""
    import pandas as pd
    from pydantic import TypeAdapter

    from lionproc.model.answer import Answer

    kind, text = schema(count), json.dumps(fields(count))
    answer, adapter = Answer.of(kind), TypeAdapter(kind)
    told = {
        "read_us": _microseconds(lambda: answer.read(text)),
        "pydantic_us": _microseconds(lambda: adapter.validate_json(text, strict=True)),
    }
    return told | asked(pd.DataFrame({"x": [f"row {i}" for i in range(rows)]}), "Say {x}", kind)


def _microseconds(call: Callable[[], Any], times: int = 500) -> float:
    took = []
    for _ in range(9):
        began = time.thread_time()
        for _ in range(times):
            call()
        took.append((time.thread_time() - began) / times * 1e6)
    return min(took)


def large(rows: int) -> Figures:
    """Prompts of megabytes, which a function makes so that the frame is small."""
    import pandas as pd

    text = "word " * (LARGE_MB * 2**20 // 5)
    frame = pd.DataFrame({"x": range(rows)})
    return asked(frame, lambda row: f"{row['x']} {text}", in_flight=LARGE_IN_FLIGHT)


def small(rows: int) -> Figures:
    """Runs of one row, and a batch of many items."""
    import pandas as pd

    frame = pd.DataFrame({"x": ["a short row"]})
    starts, worked = [], []
    folder = tempfile.mkdtemp()  # in one of `play`, which is removed when all is over
    run(frame, "Say {x}", journal=f"{folder}/j.sqlite", in_flight=IN_FLIGHT).result()
    for _ in range(rows):
        began, idle = time.perf_counter(), time.thread_time()
        job = run(frame, "Say {x}", journal=f"{folder}/j.sqlite", in_flight=IN_FLIGHT)
        worked.append(time.thread_time() - idle)
        starts.append(time.perf_counter() - began)
        job.result()
    rate = asyncio.run(items_per_s(folder, rows * ITEMS))
    start_ms, worked_ms = (1000 * statistics.median(each) for each in (starts, worked))
    return {"start_ms": start_ms, "worked_ms": worked_ms, "items_per_s": rate}


async def items_per_s(folder: str, count: int) -> float:
    """Items of one batch that are done a second."""
    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    processor = lp.BatchProcessor(
        "bench",
        f"{folder}/batches",
        IN_FLIGHT,
        None,
        max_tokens=None,
        model=lp.Model("openai", model=work.MODEL, base_url=url, api_key=key),
    )
    began = time.perf_counter()
    batch = await processor.process_batch({"n": number} for number in range(count))
    took = time.perf_counter() - began
    assert batch["failed"] == 0
    await processor.close()
    return count / took


def told(kind: str, count: int) -> str:
    """What a kind of work measured, from its medians."""
    match kind:
        case "many":
            return (
                "{rows:,} rows: {new_ms:.3f} ms CPU a row, warm {warm_ms:.3f}; "
                "{new_mb:.0f} MB above the frame, warm {warm_mb:.0f}"
            )
        case "wide":
            return (
                f"{count} fields, {{rows:,}} rows: {{new_ms:.3f}} ms CPU a row, warm {{warm_ms:.3f}}; "
                "read in {read_us:.0f} us, pydantic alone {pydantic_us:.0f} ({ratio:.1f} times); "
                "{new_mb:.0f} MB above the frame, warm {warm_mb:.0f}, Arrow has {arrow_mb:.0f}"
            )
        case "large":
            return (
                f"{{rows}} prompts of {LARGE_MB} MB, {LARGE_IN_FLIGHT} in flight: "
                "{new_mb:.0f} MB above the frame; the first request after {new_first_s:.2f} s"
            )
        case _:
            return (
                "a run starts in {start_ms:.1f} ms, of which its thread works {worked_ms:.1f}; "
                "{items_per_s:.0f} items of a batch a second"
            )


def play(kind: str, rows: int, rounds: int) -> None:
    """Measure a kind of work, and print it."""
    from lionproc.testing import Server

    for count in FIELDS if kind == "wide" else (0,):
        answer = json.dumps(fields(count)) if count else "fine"
        part = max(rows * FIELDS[0] // count, 1) if count else rows
        with (
            Server(process=True, latency_s=0.02, record=0, answer=answer) as server,
            tempfile.TemporaryDirectory() as folder,
        ):
            env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
            env["TMPDIR"] = folder  # ext4 makes files slowly for minutes after many were removed
            one = partial(measured, Path(__file__).name, kind, "--one", "--fields", count, **env)
            found = [one("--rows", part) for _ in range(rounds)]
            more = one("--rows", 4 * part) if kind == "wide" else {}
        medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
        if kind == "wide":
            medians["ratio"] = medians["read_us"] / medians["pydantic_us"]
        print(told(kind, count).format(rows=part, **medians), flush=True)
        if more:
            mb, arrow_mb = (more[name] - medians[name] for name in ("new_mb", "arrow_mb"))
            print(
                f"of {4 * part:,} rows each after the first {part:,} takes "
                f"{mb / part / 3 * 2**20:.0f} bytes, its Arrow {arrow_mb / part / 3 * 2**20:.0f} "
                f"({mb / arrow_mb:.2f} times)",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=ROWS)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fields", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    rows = args.rows or ROWS[args.kind]
    if not args.one:
        play(args.kind, rows, args.rounds)
    elif args.kind == "wide":
        work.tell(wide(rows, args.fields))
    else:
        work.tell({"many": many, "large": large, "small": small}[args.kind](rows))


if __name__ == "__main__":
    main()
