"""The same work for everybody: the rows, the prompt, the shape of the answer, and the meter.

Runs in the process that is measured, whoever is measured there, so it needs nothing installed.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

MARK = "RESULT "
MODEL = "m"
SYSTEM = "You label customer messages."
TEMPLATE = "Which label fits this message?\n{message}"
LABELS = ("billing", "delivery", "product", "other")
ANSWER = json.dumps({"answer": LABELS[0]})  # what the server says, every time
SHAPE = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {
            "properties": {"answer": {"enum": list(LABELS), "type": "string"}},
            "required": ["answer"],
            "type": "object",
            "additionalProperties": False,
        },
        "strict": True,
    },
}
TEXT = (
    "I ordered a blue kettle on Monday and my card was charged twice for the same order; I wrote "
    "to support but nobody answered, and the parcel has not moved since then. "
) * 6
WARM_UP = 200  # rows that are not measured: imports, connections, caches

# What a contestant is: made once with address, key and requests in flight; then asked twice.
Contestant = Callable[[str, str, int], Callable[[Sequence[str]], Sequence[Any]]]


def messages(rows: int, name: str = "Message") -> list[str]:
    """The column: about a thousand characters each, all different."""
    return [f"{name} {i}: {TEXT[:1000]}" for i in range(rows)]


def chat(message: str) -> list[dict[str, str]]:
    """What is asked about one row."""
    return [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": TEMPLATE.replace("{message}", message)},
    ]


def body(message: str, shape: Any = SHAPE) -> dict[str, Any]:
    """The whole request of one row."""
    return {"model": MODEL, "messages": chat(message), "response_format": shape}


def same(sent: dict[str, Any]) -> bool:
    """Whether a request asks what it should, whoever made it."""
    message = sent["messages"][-1]["content"].removeprefix(TEMPLATE.format(message=""))
    shape = sent["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"]
    return sent["messages"] == chat(message) and shape == list(LABELS)


class Needs(NamedTuple):
    """What a contestant is called in a table, and the packages it needs.

    Attributes:
        label: With a place for the version of the first package.
        packages: All it imports.
    """

    label: str
    packages: tuple[str, ...]


def memory_mb(line: str) -> float:
    """A line of this process's memory: VmRSS for what it has now, VmHWM for its peak.

    `ru_maxrss` is no such peak: a child begins with its parent's.
    """
    found = re.search(rf"{line}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "memory is measured on Linux"
    return int(found[1]) / 1024


def peak_mb() -> float:
    """The most memory this process had since it began, or since `forget_peak`."""
    return memory_mb("VmHWM")


def forget_peak() -> float:
    """Let the peak begin at what this process has now, and tell how much that is."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return memory_mb("VmRSS")


class Meter:
    """User and system time of this process, all its threads, and the time on the wall.

    Attributes:
        began: When, by `time.perf_counter`.
    """

    began: float

    def __enter__(self) -> Self:
        self.began, self._cpu = time.perf_counter(), self._used()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu_s, self.wall_s = self._used() - self._cpu, time.perf_counter() - self.began

    @staticmethod
    def _used() -> float:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime

    def result(self, rows: int) -> dict[str, float]:
        """Figures of so many rows."""
        return {
            "cpu_ms": self.cpu_s / rows * 1000,
            "wall_s": self.wall_s,
            "rows": rows,
            "peak_mb": peak_mb(),
        }


def tell(result: dict[str, Any]) -> None:
    """Hand the figures to the process that asked for them."""
    print(MARK + json.dumps(result), flush=True)


def ready() -> None:
    """Wait until all who are to begin at once are ready."""
    print("ready", flush=True)
    sys.stdin.readline()


def compete(
    contestants: dict[str, Contestant],
    frames: Mapping[str, Callable[[Sequence[str]], Any]] = MappingProxyType({}),
) -> None:
    """Be one of them: warm up, work, tell the figures. Every row must have its answer.

    Args:
        contestants: What each is called, and how it is made.
        frames: Makes the frame of those who work on one: what is measured begins with it at hand.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=contestants)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    args = parser.parse_args()
    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    answers = contestants[args.name](url, key, args.in_flight)
    frame = frames.get(args.name, list)
    answers(frame(messages(WARM_UP, "Warm up")))
    rows = frame(messages(args.rows))
    with Meter() as meter:
        found = answers(rows)
    assert len(found) == args.rows
    assert all(LABELS[0] in str(answer) for answer in found)
    tell(meter.result(args.rows))
