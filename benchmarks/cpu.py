"""CPU per row: the whole path of lionproc against a bare aiohttp + orjson loop, in one run.

    python benchmarks/cpu.py [--rows 20000] [--in-flight 64] [--latency 0.05] [--rounds 3]

Both send the same prompts to the same server in another process. Figures are user + system
time of this process from the first request to the last row; ratios are within one round.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILL = (
    "I ordered a blue kettle on Monday and my card was charged twice for the same order; I wrote "
    "to support but nobody answered, and the parcel has not moved since then. "
) * 6
SYSTEM = "You label customer messages."
TEMPLATE = "Which label fits this message?\n{message}"


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def messages(rows: int) -> list[str]:
    return [f"Message {i}: {FILL[:1000]}" for i in range(rows)]


def floor(url: str, key: str, rows: int, in_flight: int) -> dict[str, float]:
    import aiohttp
    import orjson

    texts = messages(rows)
    from lionproc.model.answer import Answer

    shape = Answer.of(LABEL, name="label").response_format()
    answers: list[str] = []

    async def main() -> float:
        connector = aiohttp.TCPConnector(limit=in_flight)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            todo = iter(texts)

            async def worker() -> None:
                for text in todo:
                    body = {
                        "model": "m",
                        "messages": [
                            {"role": "system", "content": SYSTEM},
                            {"role": "user", "content": TEMPLATE.replace("{message}", text)},
                        ],
                        "response_format": shape,
                    }
                    async with session.post(
                        url + "/chat/completions", data=orjson.dumps(body)
                    ) as reply:
                        data = orjson.loads(await reply.read())
                        answers.append(data["choices"][0]["message"]["content"])

            start = cpu_s()
            await asyncio.gather(*(worker() for _ in range(in_flight)))
            return cpu_s() - start

    began = time.perf_counter()
    used = asyncio.run(main())
    assert len(answers) == rows
    return {"cpu_ms": used / rows * 1000, "wall_s": time.perf_counter() - began}


from typing import Literal  # noqa: E402

LABEL = Literal["billing", "delivery", "product", "other"]


def whole(url: str, key: str, rows: int, in_flight: int, *, warm: bool = False) -> dict[str, float]:
    import pandas as pd

    import lionproc as lp

    frame = pd.DataFrame({"message": messages(rows)})
    model = lp.Model("openai", model="m", base_url=url, api_key=key)
    journal = os.environ["BENCH_JOURNAL"]

    def run(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.llm.process(
            TEMPLATE,
            into="label",
            schema=LABEL,
            system=SYSTEM,
            model=model,
            journal=journal,
            limits=lp.Limits(
                concurrency=in_flight, adapt=os.environ.get("BENCH_ADAPT", "1") == "1"
            ),
        )

    warmup = pd.DataFrame({"message": [f"warm up {i}" for i in range(200)]})
    run(warmup)
    start, began = cpu_s(), time.perf_counter()
    out = run(frame)
    used, wall = cpu_s() - start, time.perf_counter() - began
    assert len(out) == rows
    assert out["label"].notna().all()
    assert (lp.last_job().stats.sent == 0) == warm, lp.last_job().stats
    return {"cpu_ms": used / rows * 1000, "wall_s": wall}


def one(kind: str, rows: int, in_flight: int) -> None:
    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    if kind == "floor":
        result = floor(url, key, rows, in_flight)
    else:
        result = whole(url, key, rows, in_flight, warm=kind == "warm")
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("RESULT " + json.dumps(result))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", default="")
    args = parser.parse_args()
    if args.one:
        one(args.one, args.rows, args.in_flight)
        return
    from lionproc.testing import Server

    rounds: list[dict[str, dict[str, float]]] = []
    answer = json.dumps({"label": "billing"})
    with Server(process=True, latency_s=args.latency, record=0, answer=answer) as server:
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as folder:
                env = {
                    **os.environ,
                    "BENCH_URL": server.base_url,
                    "BENCH_KEY": server.key,
                    "BENCH_JOURNAL": str(Path(folder) / "journal.sqlite"),
                }
                made = {}
                for kind in ("floor", "whole", "warm"):
                    command = [sys.executable, __file__, "--one", kind, "--rows", str(args.rows)]
                    command += ["--in-flight", str(args.in_flight)]
                    done = subprocess.run(
                        command, check=False, env=env, capture_output=True, text=True
                    )
                    if "RESULT " not in done.stdout:
                        sys.exit(done.stderr[-3000:])
                    made[kind] = json.loads(done.stdout.split("RESULT ")[1])
                rounds.append(made)
    print(
        f"{args.rows:,} rows, {args.in_flight} in flight, server latency {args.latency * 1000:g} ms"
    )
    print(f"{'':22}{'CPU ms/row':>12}{'x floor':>9}{'wall s':>9}{'peak MB':>9}")
    for kind in ("floor", "whole", "warm"):
        rows = [r[kind] for r in rounds]
        ratio = statistics.median(r[kind]["cpu_ms"] / r["floor"]["cpu_ms"] for r in rounds)
        print(
            f"{kind:22}{statistics.median(r['cpu_ms'] for r in rows):12.3f}{ratio:9.2f}"
            f"{statistics.median(r['wall_s'] for r in rows):9.1f}"
            f"{statistics.median(r['peak_mb'] for r in rows):9.0f}"
        )


if __name__ == "__main__":
    main()
