"""How long the hardest answers take to be read: processor time by length, and the longest stall.

    python benchmarks/reading.py [--only WORDS] [--all] [--every N]

Each type with each answer that is known to be hard for it (`hard_answers`, `hard_schemas`), through all
that a reply goes through once it has its text. All are tried at one length, and of each type the one
that takes longest at all lengths; the last column says in its first words why it is none, where it is
refused. A stall is how long another thread waited, for the interpreter's lock or for a core.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import work
from hard_answers import Case, pydantic_cases
from hard_schemas import schema_cases

SIZES = (64 * 2**10, 256 * 2**10, 2**20, 4 * 2**20 - 100)
GIVEN_UP_S = 20.0  # of an answer that takes so long no longer one is tried
MEMORY = 6 * 2**30
PART = 40  # cases of one process
ENDED_S = 300.0  # after which it is ended
LONG_S, LARGE_MB = 2.0, 1024.0
NAMES = ("64 KB", "256 KB", "1 MB", "4 MB")


def answer_of(kind: Any) -> Any:
    """The answer type, with a choice beside the value."""
    from pydantic import create_model

    from lionproc.model.answer import Answer

    if not isinstance(kind, dict):
        return Answer.of(
            create_model("Asked", choice=(Literal["red", "green"], ...), x=(kind, ...))
        )
    kind = dict(kind)
    shared = {name: kind.pop(name) for name in ("$defs", "$schema") if name in kind}
    fields = {"choice": {"enum": ["red", "green"]}, "x": kind}
    return Answer.of({**shared, "type": "object", "properties": fields, "required": [*fields]})


@contextlib.contextmanager
def stalls() -> Iterator[list[float]]:
    """The longest time for which this thread kept the others waiting, once it is over."""
    found, over = [0.0], threading.Event()

    def look() -> None:
        before = time.perf_counter()
        while not over.wait(0.001):
            now = time.perf_counter()
            found[0] = max(found[0], now - before)
            before = now
        found[0] = max(found[0], time.perf_counter() - before)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def cases() -> list[Case]:
    """All of them."""
    return [*pydantic_cases(), *schema_cases()]


def look(case: Case, sizes: Sequence[int]) -> dict[str, Any]:
    """What the answers of a case take, by their lengths."""
    from lionproc.errors import LionprocError

    made: dict[str, Any] = {"name": case.name, "cpu": [], "stall": [], "mb": [], "said": []}
    try:
        answer = answer_of(case.kind)
    except LionprocError as error:
        return made | {"said": [f"the type is refused: {error}"]}
    for size in sizes:
        text = f'{{"choice":"RED","x":{case.text(size)}}}'
        before, said = work.forget_peak(), "read"
        with stalls() as found:
            began = time.process_time()
            try:
                answer.answered(text)
            except LionprocError as error:
                said = str(error)
            except MemoryError:
                said = "NO MEMORY"
            took = time.process_time() - began
        for what, figure in (("cpu", took), ("stall", found[0]), ("mb", work.peak_mb() - before)):
            made[what].append(figure)
        made["said"].append(said)
        if took > GIVEN_UP_S:
            break
    return made


def one_part(places: Sequence[int], sizes: Sequence[int]) -> None:
    """Look at some of the cases, in this process."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    every = cases()
    for place in places:
        work.tell(look(every[place], sizes))


def looked_at(places: Sequence[int], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """What cases take, each with its place; a process that takes minutes is ended."""
    found: list[dict[str, Any]] = []
    while len(found) < len(places):
        part = places[len(found) : len(found) + PART]
        told = json.dumps([part, sizes])
        command = [sys.executable, __file__, "--part", told]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            clock = threading.Timer(ENDED_S, process.kill)
            clock.start()
            said = [line for line in process.stdout or () if line.startswith(work.MARK)]
            clock.cancel()
        made = [json.loads(line.removeprefix(work.MARK)) for line in said]
        if len(made) < len(part):
            name = cases()[part[len(made)]].name
            none = {
                "name": name,
                "cpu": [ENDED_S],
                "stall": [ENDED_S],
                "mb": [0],
                "said": ["NO END"],
            }
            made.append(none)
        found += made
    return [{**made, "place": place} for made, place in zip(found, places, strict=True)]


def both(places: Sequence[int], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The same, in as many processes as there are cores here."""
    count = os.cpu_count() or 1
    parts = [places[first::count] for first in range(count)]
    with ThreadPoolExecutor(count) as pool:
        looked = pool.map(lambda part: looked_at(part, sizes), parts)
        return sorted((made for part in looked for made in part), key=lambda made: made["place"])


def line_of(made: dict[str, Any]) -> str:
    """A line of the table."""
    times = [f"{each:.2f}" for each in made["cpu"]]
    times += ["-"] * (len(SIZES) - len(times))
    stall, mb = max(made["stall"], default=0), max(made["mb"], default=0)
    return (
        f"{made['name']:<40.40}" + "".join(f"{each:>8}" for each in times) + f"{stall:>8.2f}"
        f"{mb:>6.0f}  {made['said'][-1]:.50}"
    )


def hardest(found: Sequence[dict[str, Any]]) -> list[int]:
    """The places of the answers that take longest, one of each type."""
    by_type: dict[str, dict[str, Any]] = {}
    for made in found:
        name = made["name"].partition(",")[0]
        if name not in by_type or sum(made["cpu"]) > sum(by_type[name]["cpu"]):
            by_type[name] = made
    return [made["place"] for made in by_type.values()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases with this in their name")
    parser.add_argument("--all", action="store_true", help="every answer, and not one of each type")
    parser.add_argument("--every", type=int, default=1, help="only each so manieth")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        one_part(*json.loads(args.part))
        return
    places = [k for k, case in enumerate(cases()) if args.only in case.name][:: args.every]
    tried = len(places)
    if not args.all:
        places = hardest(both(places, SIZES[1:2]))
    found = both(places, SIZES)
    heads = "".join(f"{name:>8}" for name in NAMES)
    print(f"{'s of processor time, by length':<40}{heads}   stall    MB  the longest was")
    for made in found:
        print(line_of(made))
    over = [
        m for m in found if max(m["cpu"], default=0) > LONG_S or max(m["mb"], default=0) > LARGE_MB
    ]
    grown = [m for m in found if len(m["cpu"]) > 1 and m["cpu"][-1] > max(1.0, 8 * m["cpu"][-2])]
    print(
        f"\n{tried:,} answers tried at {NAMES[1]}, the hardest of each of {len(found)} types at all "
        f"lengths: {len(over)} of more than {LONG_S:g} s or {LARGE_MB:,.0f} MB, {len(grown)} that grow "
        "eightfold from 1 to 4 MB"
    )


if __name__ == "__main__":
    main()
