"""A limit dropped and raised mid-run, as a server without a limit of its own sees it.

    python benchmarks/live.py [--short]

One run of `df.llm.start`; fields of `job.limits` are assigned while it goes on. Times are those of
arrival at the server, in a process of its own, on the clock that all processes share.
"""

from __future__ import annotations

import argparse
import itertools
import time
from bisect import bisect_right
from typing import NamedTuple

import pandas as pd

import lionproc as lp
from lionproc.testing import Server

LATENCY_S = 0.05
START = {"requests_per_minute": 6000, "concurrency": 64}
IN_A_LINE = 10  # seconds
ENOUGH = 5  # seconds that a rate is taken from
NOTES = """
`>` stands before the second in which a limit changed. A new pace shows at once. A lowered limit
is kept in any 60 s, looking back too: what left before the change counts, so when the last 60 s
hold as much as the new limit, nothing leaves until they do not. A raised one is used at once."""


class Change(NamedTuple):
    """A field of the limits that is assigned so many seconds after the first request."""

    at_s: int
    field: str
    value: int


LONG = (
    Change(6, "requests_per_minute", 1200),
    Change(70, "requests_per_minute", 9000),
    Change(78, "concurrency", 1),
    Change(82, "concurrency", 64),
    Change(88, "", 0),
)
SHORT = (
    Change(3, "requests_per_minute", 1200),
    Change(7, "requests_per_minute", 9000),
    Change(10, "concurrency", 1),
    Change(13, "concurrency", 64),
    Change(16, "", 0),
)


class Seen(NamedTuple):
    """What came of it.

    Attributes:
        per_second: Requests in each second since the first one.
        times: When each came, in seconds since the first one.
        changed: When each change was made, likewise.
    """

    per_second: tuple[int, ...]
    times: list[float]
    changed: list[float]


def run(plan: tuple[Change, ...]) -> Seen:
    """Play the plan; its last entry is the end."""
    frame = pd.DataFrame({"x": [f"row {i}" for i in range(plan[-1].at_s * 150)]})
    with Server(process=True, latency_s=LATENCY_S, record=len(frame)) as server:
        model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        job = frame.llm.start(
            "{x}",
            into="y",
            model=model,
            limits=lp.Limits(**START),
            journal=False,
            progress=False,
        )
        server.wait_for(lambda counters: counters.total, timeout_s=30)
        first_s = server.requests[0].arrived_s
        changed = []
        for change in plan:
            time.sleep(max(first_s + change.at_s - time.monotonic(), 0))
            if change.field:
                changed.append(time.monotonic() - first_s)
                setattr(job.limits, change.field, change.value)
        per_second = server.counters.per_second[: plan[-1].at_s]
        times = [request.arrived_s - first_s for request in server.requests]
        assert not job.done, "the frame was too small"
        job.stop(1.0)
        job.wait(20)
    return Seen(per_second, times, changed)


def pace(limits: dict[str, int]) -> float:
    """Requests a second that the limits allow."""
    return min(limits["requests_per_minute"] / 60, limits["concurrency"] / LATENCY_S)


def reaction(times: list[float], changed: float, before: float, after: float) -> str:
    """When the change was seen: by a gap as wide, or as narrow, as the new pace has it."""
    pairs = list(itertools.pairwise(times[max(bisect_right(times, changed) - 1, 0) :]))
    if after < before:
        last = next(a for a, b in pairs if b - a > 0.9 / after)
        ms = (last - changed) * 1000
        return f"last at the old pace {ms:.0f} ms later" if ms > 0 else "no more at the old pace"
    first = next(a for a, b in pairs if a > changed and b - a < 1.1 / after)
    return f"first at the new pace {(first - changed) * 1000:.0f} ms later"


def rate(per_second: tuple[int, ...], first: int, last: int) -> float:
    """The mean of some whole seconds."""
    part = per_second[first:last]
    return sum(part) / len(part)


def fullest(times: list[float], phases: list[tuple[float, int]]) -> float:
    """The most in 60 s before any arrival, as a share of the limit it left under."""
    worst = 0.0
    for at, (begins, limit) in enumerate(phases):
        ends = phases[at + 1][0] if at + 1 < len(phases) else times[-1] + 1
        for index in range(bisect_right(times, begins), bisect_right(times, ends)):
            in_window = index + 1 - bisect_right(times, times[index] - 60)
            worst = max(worst, in_window / limit)
    return worst


def show(seen: Seen, plan: tuple[Change, ...]) -> None:
    changes = {change.at_s: change for change in plan[:-1]}
    print(
        f"started with {START['requests_per_minute']:,} requests a minute and "
        f"{START['concurrency']} at once; the server takes {LATENCY_S * 1000:g} ms and has no limit"
    )
    print(f"\n{'seconds':10}requests that arrived in each of them")
    for begin in range(0, len(seen.per_second), IN_A_LINE):
        counts = seen.per_second[begin : begin + IN_A_LINE]
        cells = [
            f"{'>' if second in changes else ''}{count}".rjust(6)
            for second, count in enumerate(counts, begin)
        ]
        print(f"{begin:2} to {begin + len(counts) - 1:2}  {''.join(cells)}")
    print(f"\n{'at s':>4}  {'changed':36}{'before /s':>10}{'after /s':>10}  seen at the server")
    limits = dict(START)
    phases = [(-1.0, limits["requests_per_minute"])]
    for change, following, changed in zip(plan, plan[1:], seen.changed, strict=False):
        old, before = limits[change.field], pace(limits)
        limits[change.field] = change.value
        told = reaction(seen.times, changed, before, pace(limits))
        first, last = change.at_s + 1, min(change.at_s + 1 + ENOUGH, following.at_s)
        phases.append((changed + 0.1, limits["requests_per_minute"]))
        print(
            f"{change.at_s:4}  {f'{change.field} {old:,} -> {change.value:,}':36}"
            f"{rate(seen.per_second, change.at_s - 2, change.at_s):10.1f}"
            f"{rate(seen.per_second, first, last):10.1f}  {told}"
        )
    print()
    silent = [at for at, count in enumerate(seen.per_second) if not count]
    if silent:
        print(f"nothing arrived in {len(silent)} seconds, from {silent[0]} to {silent[-1]}")
    print(f"the fullest 60 s before any arrival: {fullest(seen.times, phases):.3f} of the limit")
    print(NOTES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="without the silent seconds")
    args = parser.parse_args()
    plan = SHORT if args.short else LONG
    show(run(plan), plan)


if __name__ == "__main__":
    main()
