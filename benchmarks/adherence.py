"""How much of a rate limit is used, and how often it is broken, against servers that enforce it.

    python benchmarks/adherence.py [--seconds 75] [--only fixed] [--parallel 6]

Each line is one run in a process of its own against a server in another; so many begin at once,
when all of them are ready.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from referee import FailedError, together
from work import ready, tell

LATENCY = (0.02, 0.08)
NOTES = """
share: what the server admitted over what the limit allows, from the first request to the end;
last 60 s: the same at the end of the run; worst: the fullest 60 s at the server, wherever they
begin; 429: what it refused. A bucket of 10 s admits its store on top of the first minute, so a
run that has to find its limit can show more than 1. The servers that judge by 1 s or 10 s have
the same limit, cut to their window. Prompts of the token lines have 20 to 900 words."""


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
    with testing.Server() as other:  # what is imported on the way is imported now
        model = lp.Model("openai", model="m", base_url=other.base_url, api_key=other.key)
        frame[:1].llm.process("{x}", into="y", model=model, journal=False, progress=False)
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
        ready()
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(**scenario["limits"]),
            journal=str(Path(folder) / "j.sqlite"),
            progress=False,
        )
        server.wait_for(lambda counters: counters.total, timeout_s=30)
        unit = scenario["what"]
        ending_s = min(60.0, 0.8 * seconds)

        def admitted() -> int:
            counters = server.counters
            if unit == "requests":
                return counters.admitted
            return counters.prompt_tokens + counters.completion_tokens

        began = time.monotonic()
        time.sleep(seconds - ending_s)
        middle, before = time.monotonic(), admitted()
        time.sleep(max(began + seconds - time.monotonic(), 0))
        end, done = time.monotonic(), admitted()
        counters = server.counters
        worst = server.worst_window(60.0, what=unit)
        job.stop(1.0)
        job.wait(20)
        return {
            "name": name,
            "share": done * 60 / (end - began) / scenario["limit"],
            "ending": (done - before) * 60 / (end - middle) / scenario["limit"],
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
        tell(one(args.one, args.seconds))
        return

    names = [name for name in scenarios() if args.only in name]
    ending = f"last {min(60.0, 0.8 * args.seconds):g} s"
    failed = False
    print(f"{args.seconds:g} s each, latency {LATENCY[0] * 1000:g} to {LATENCY[1] * 1000:g} ms")
    print(
        f"{'server, and the limit that is set':44}{'share':>8}{ending:>11}{'worst':>8}{'429':>6}{'sent':>8}"
    )
    results: dict[str, dict[str, Any] | FailedError] = {}
    batches = -(-len(names) // args.parallel)
    for batch in (names[at::batches] for at in range(batches)):  # slow and fast ones mixed
        size = ("--seconds", args.seconds)
        told = together(*(("adherence.py", "--one", name, *size) for name in batch))
        results.update(zip(batch, told, strict=True))
    for name in names:
        made = results[name]
        if isinstance(made, FailedError):
            failed = True
            print(f"{name:44} failed: {made}")
            continue
        print(
            f"{name:44}{made['share']:8.3f}{made['ending']:11.3f}{made['worst']:8.3f}"
            f"{made['r429']:6}{made['sent']:8}"
        )
    print(NOTES)
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
