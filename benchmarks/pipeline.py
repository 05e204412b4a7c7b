"""Three stages at 600 requests a minute: how much longer than the slowest of them alone?

    python benchmarks/pipeline.py [--items 300] [--rpm 600]

The promise is a ratio of at most 1.1.
"""

import argparse
import asyncio
import re
import tempfile
import time

import lionproc as lp
from lionproc.testing import Server

FIELD = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def echo(body):
    """Answers that differ from item to item, so that no stage is saved any work."""
    text = " ".join(message["content"] for message in body["messages"])
    return {"a": re.findall(r"\d+", text)[-1]}


async def timed(model, names, items, rpm):
    with tempfile.TemporaryDirectory() as folder:
        pipeline = lp.Pipeline("Benchmark", folder, model=model)
        for name in names:
            stage = {"name": name, "type": "text", "options": {"of": name}, "schema": FIELD}
            told = await pipeline.add_stage({**stage, "rate_limit": rpm})
            assert told["status"] == "success", told
        started = time.perf_counter()
        told = await pipeline.process_data([{"n": 1000 + number} for number in range(items)])
        seconds = time.perf_counter() - started
        assert told["status"] == "success", told["error"]
        assert told["results"]["failed"] == 0
        await pipeline.close()
        return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=300)
    parser.add_argument("--rpm", type=float, default=600)
    asked = parser.parse_args()
    with Server(latency_s=(0.2, 0.8), answer=echo, seed=7) as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        alone = asyncio.run(timed(model, ["Only"], asked.items, asked.rpm))
        three = asyncio.run(timed(model, ["One", "Two", "Three"], asked.items, asked.rpm))
        counters = server.counters
    print(
        f"{asked.items} items, {asked.rpm:g} requests a minute for each stage, each item asked anew"
    )
    print(f"slowest stage alone {alone:6.1f} s")
    print(f"three stages        {three:6.1f} s, {three / alone:.3f} times as long")
    print(f"{counters.total:,} requests, {counters.duplicates} of them paid twice")


if __name__ == "__main__":
    main()
