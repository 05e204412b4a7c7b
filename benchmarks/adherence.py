"""How much of a rate limit is used, and how often it is broken, against servers that enforce it.

    python benchmarks/adherence.py [--seconds 75] [--only fixed] [--parallel 8]

Each line is one run in a process of its own against a server in another. `share` is what the
server admitted per minute over the limit, from the first request on; `worst` the fullest rolling
60 s window at the server; `429` the requests it refused.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LATENCY = (0.02, 0.08)


def scenarios() -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    kinds = {
        "token bucket of 10 s": ("TokenBucket", {"burst_s": 10}),
        "rolling 60 s": ("RollingWindow", {"window_s": 60}),
        "fixed minute": ("FixedWindow", {"window_s": 60}),
        "rolling 10 s": ("RollingWindow", {"window_s": 10}),
        "fixed 1 s": ("FixedWindow", {"window_s": 1}),
        "rolling 1 s": ("RollingWindow", {"window_s": 1}),
    }
    for rpm in (600, 6000):
        for name, (kind, options) in kinds.items():
            made[f"{rpm} rpm, {name}"] = {
                "server": [(kind, {"requests": rpm, **options})],
                "limits": {"requests_per_minute": rpm, "adapt": True},
                "what": "requests",
                "limit": rpm,
            }
    for name in ("token bucket of 10 s", "rolling 60 s", "fixed minute"):
        kind, options = kinds[name]
        made[f"120,000 tpm, {name}"] = {
            "server": [(kind, {"tokens": 120_000, **options})],
            "limits": {"tokens_per_minute": 120_000, "adapt": True},
            "what": "tokens",
            "limit": 120_000,
        }
    for headers in ("openai", None):
        made[f"none set, 600 rpm bucket, {'headers' if headers else 'no headers'}"] = {
            "server": [("TokenBucket", {"requests": 600, "burst_s": 10})],
            "limits": {"adapt": True},
            "what": "requests",
            "limit": 600,
            "headers": headers,
        }
    made["none set, 600 rpm fixed minute, no headers"] = {
        "server": [("FixedWindow", {"requests": 600})],
        "limits": {"adapt": True},
        "what": "requests",
        "limit": 600,
    }
    return made


def one(name: str, seconds: float) -> dict[str, Any]:
    """Run a scenario for so many seconds."""
    import pandas as pd

    import lionproc as lp
    from lionproc import testing

    scenario = scenarios()[name]
    limits = [getattr(testing, kind)(**options) for kind, options in scenario["server"]]
    rng = random.Random(7)
    words = [20, 60, 250, 900]  # characters / 4 is what the server counts as tokens
    rows = int(scenario["limit"] * seconds / 60 * 1.3) + 400
    if scenario["what"] == "tokens":
        rows = 6000
    size = (lambda: rng.choice(words)) if scenario["what"] == "tokens" else (lambda: 20)
    frame = pd.DataFrame({"x": [f"{i} " + "abc " * size() for i in range(rows)]})
    with (
        tempfile.TemporaryDirectory() as folder,
        testing.Server(
            process=True,
            latency_s=LATENCY,
            limits=limits,
            headers=scenario.get("headers"),
            charge="actual",
            record=0,
        ) as server,
    ):
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(**scenario["limits"]),
            journal=str(Path(folder) / "j.sqlite"),
            progress=False,
        )
        server.wait_for(lambda counters: counters.total, timeout_s=30)
        time.sleep(seconds)
        counters = server.counters
        unit = scenario["what"]
        if unit == "requests":
            done = sum(counters.per_second[: int(seconds)]) * 60 / int(seconds)
        else:
            done = (counters.prompt_tokens + counters.completion_tokens) * 60 / seconds
        worst = server.worst_window(60.0, what=unit)
        job.stop(1.0)
        job.wait(20)
        return {
            "name": name,
            "share": done / scenario["limit"],
            "worst": worst / scenario["limit"],
            "r429": counters.refused,
            "sent": counters.total,
            "estimate_error": job.stats.estimate_error,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=75)
    parser.add_argument("--only", default="")
    parser.add_argument("--parallel", type=int, default=6)
    parser.add_argument("--one", default="")
    args = parser.parse_args()
    if args.one:
        print("RESULT " + json.dumps(one(args.one, args.seconds)))
        return

    def run(name: str) -> dict[str, Any]:
        command = [sys.executable, __file__, "--one", name, "--seconds", str(args.seconds)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if "RESULT " not in done.stdout:
            return {"name": name, "error": done.stderr[-800:]}
        result: dict[str, Any] = json.loads(done.stdout.split("RESULT ")[1])
        return result

    names = [name for name in scenarios() if args.only in name]
    print(f"{args.seconds:g} s each, latency {LATENCY[0] * 1000:g} to {LATENCY[1] * 1000:g} ms")
    print(f"{'server, and the limit that is set':46}{'share':>8}{'worst':>8}{'429':>6}{'sent':>8}")
    with concurrent.futures.ThreadPoolExecutor(args.parallel) as pool:
        for made in pool.map(run, names):
            if "error" in made:
                print(f"{made['name']:46} failed: {made['error']}")
                continue
            print(
                f"{made['name']:46}{made['share']:8.3f}{made['worst']:8.3f}"
                f"{made['r429']:6}{made['sent']:8}",
                flush=True,
            )


if __name__ == "__main__":
    main()
