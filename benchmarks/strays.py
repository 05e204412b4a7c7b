"""What failures that come anyway cost a short run: refusals without a header, and all kinds at once.

    git worktree add FOLDER COMMIT

    python benchmarks/strays.py [--before FOLDER] [--rounds 7] [--no-peers] [--write]

A run of 2,000 rows, 64 in flight, against a server that takes 50 ms, with a limit of 60,000 a
minute set: at that pace it takes 2 s, so every wait of its last rows shows. In a round everybody
has one run with each kind of faults, in a process of its own, by turns; the n-th request of a run
gets the same fault whoever sends it. With --before a version before is measured as well.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import peers
import results
import work
from compare import commit_of
from referee import HERE, measured

ROWS, IN_FLIGHT, LATENCY_S, LIMIT = 2000, 64, 0.05, 60_000
HANG_S = 2.0  # the timeout that is set
SHARE = 0.0125
KINDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "429s": ("429_no_header",),
    "all": ("429_no_header", "500", "reset", "hang"),
}
TITLE = "Failures that come anyway"
NOTES = """
none: no faults. 429s: 1.25 % of the requests are refused at random, without a header. all: 429s,
500s, resets and hangs of 2 s, 1.25 % each. Seconds from the first row to the last: the median of
the rounds, the least and the most; times: over the same round without faults. openai: a semaphore
and a gather around its create with 5 retries; it is told no limit. Every row is answered, or
nothing is printed. Goals: 429s cost at most 1.15 times the time, all together at most 4.0 s.
least: computed, for who spends no time of its own, sends what failed again at once, and no more
than 1,000 requests in any second; free: the same without that. The rows alone fill two seconds of
1,000, so what is sent again leaves in the third. Hangs hold up to half of the slots, and the run is
over when the last of them is."""


def ours(url: str, key: str, in_flight: int) -> peers.Column:
    """`df.llm.process`, with a limiter that has seen nothing: the warm-up asks another model."""
    import pandas as pd

    import lionproc as lp

    def column(texts: Sequence[str]) -> Sequence[object]:
        name = work.MODEL if len(texts) > work.WARM_UP else "warm-up"
        model = lp.Model("openai", model=name, base_url=url, api_key=key, timeout=HANG_S)
        with tempfile.TemporaryDirectory() as folder:
            out = pd.DataFrame({"message": texts}).llm.process(
                work.TEMPLATE,
                into="label",
                system=work.SYSTEM,
                model=model,
                journal=f"{folder}/journal.sqlite",
                limits=lp.Limits(requests_per_minute=LIMIT, concurrency=in_flight),
                progress=False,
            )
        return list(out["label"])

    return column


def openai(url: str, key: str, in_flight: int) -> peers.Column:
    return peers.openai_loop(url, key, in_flight, timeout=HANG_S, max_retries=5)


CONTESTANTS = {"ours": ours, "openai": openai}


def faults(kind: str, seed: int) -> list[str | None]:
    """What goes wrong with the n-th request of a run."""
    names, dice = KINDS[kind], random.Random(seed)
    drawn = (int(dice.random() / SHARE) for _ in range(2 * ROWS))
    return [names[n] if n < len(names) else None for n in drawn]


def least(kind: str, seed: int, a_second: int) -> float:
    """Seconds for who spends no time of its own, and waits for nothing but slots and the limit."""
    plan, waiting, now = faults(kind, seed), ROWS, 0.0
    left: list[float] = []
    busy: list[tuple[float, bool]] = []  # until when, and whether it is to be sent again
    while waiting or busy:
        free_at = left[-a_second] + 1.0 if len(left) >= a_second else now
        if waiting and len(busy) < IN_FLIGHT and free_at <= now:
            fault = plan[len(left)]
            took_s = HANG_S if fault == "hang" else LATENCY_S
            heapq.heappush(busy, (now + took_s, fault is not None))
            left.append(now)
            waiting -= 1
        elif waiting and len(busy) < IN_FLIGHT and not (busy and busy[0][0] < free_at):
            now = free_at
        else:
            now, again = heapq.heappop(busy)
            waiting += again
    return now


def run(name: str, folder: str, kind: str, seed: int) -> float:
    """Seconds that somebody takes."""
    from lionproc.testing import Server

    script = [*[None] * work.WARM_UP, *faults(kind, seed)]
    with Server(
        process=True, latency_s=LATENCY_S, record=0, answer=work.ANSWER, faults=script
    ) as server:
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key), "PYTHONPATH": folder}
        told = measured(Path(__file__).name, name, "--rows", ROWS, "--in-flight", IN_FLIGHT, **env)
    return float(told["wall_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="a folder with the older package in it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--no-peers", action="store_true", help="without openai")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md")
    args = parser.parse_args()
    here = str(HERE.resolve().parent)
    everybody: dict[str, Callable[[str, int], float]] = {
        "least, free": partial(least, a_second=sys.maxsize),
        "least": partial(least, a_second=LIMIT // 60),
    }
    title = f"{ROWS:,} rows, {IN_FLIGHT} in flight, {args.rounds} rounds by turns"
    if args.before:
        everybody["before"] = partial(run, "ours", str(Path(args.before).resolve()))
        title += f"; before is commit {commit_of(args.before)}"
    everybody["now"] = partial(run, "ours", here)
    if not args.no_peers:
        everybody["openai"] = partial(run, "openai", here)
    took: dict[tuple[str, str], list[float]] = {
        (kind, name): [] for kind in KINDS for name in everybody
    }
    for seed in range(args.rounds):
        for (kind, name), each in took.items():
            each.append(everybody[name](kind, seed))
    lines = [title, f"{'':20}" + f"{'seconds':>9}{'least':>7}{'most':>7}{'times':>8}{'most':>7}"]
    for (kind, name), each in took.items():
        ratios = [a / b for a, b in zip(each, took["none", name], strict=True)]
        lines.append(
            f"{kind:6}{name:14}{median(each):9.2f}{min(each):7.2f}{max(each):7.2f}"
            f"{median(ratios):8.2f}{max(ratios):7.2f}"
        )
    lines.append(NOTES)
    print("\n".join(lines), flush=True)
    if args.write:
        results.write("strays.py", {TITLE: ("strays.py --before FOLDER", "\n".join(lines))})


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in CONTESTANTS:
        work.compete(CONTESTANTS)
    else:
        main()
