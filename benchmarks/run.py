"""All benchmarks, printed and written to benchmarks/RESULTS.md (`make bench`, 25 minutes).

    python benchmarks/run.py [--quick] [--only TITLE] [--peers PYTHON ...]

What measures CPU or memory runs alone. What only keeps a pace leaves the cores mostly idle and
runs beside the section on limits, one after the other. Nothing is written unless all went well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import results

HERE = Path(__file__).parent


class Section(NamedTuple):
    """A script and what it takes.

    Attributes:
        title: One of `results.ORDER`.
        script: Its name in this folder.
        quick: Its further arguments for a short look.
        beside: Whether it runs beside the section on limits; it has the cores to itself otherwise.
        peers: Whether it takes `--peers`.
        arguments: Those it always has.
    """

    title: str
    script: str
    quick: tuple[str, ...] = ()
    beside: bool = False
    peers: bool = False
    arguments: tuple[str, ...] = ()


(
    LIMITS,
    SEARCH,
    STRAYS,
    LIVE,
    CPU,
    _,
    WIRES,
    STARTUP,
    SLOTS,
    MEMORY,
    MANY,
    WIDE,
    HARD,
    LARGE,
    SMALL,
    JOURNAL,
    PIPELINE,
    MONEY,
    CLUSTER,
    OUT_OF_CORE,
    COMPOSED,
    _,
) = results.ORDER
ONCE = ("--rounds", "1")
SECTIONS = (
    Section(CPU, "cpu.py", ("--rows", "2000", "--rounds", "1"), peers=True),
    Section(WIRES, "wires.py", ("--rows", "2000", "--rounds", "1"), peers=True),
    Section(STARTUP, "startup.py"),
    Section(MEMORY, "memory.py", ("--rows", "10000")),
    Section(MANY, "shapes.py", ("--rows", "10000", *ONCE), arguments=("many", *ONCE)),
    Section(WIDE, "shapes.py", ("--rows", "1000", *ONCE), arguments=("wide",)),
    Section(HARD, "reading.py", ("--every", "50")),
    Section(LARGE, "shapes.py", ("--rows", "20", *ONCE), arguments=("large",)),
    Section(SMALL, "shapes.py", ("--rows", "20", *ONCE), arguments=("small",)),
    Section(OUT_OF_CORE, "out_of_core.py", ("--rows", "5000"), arguments=("--rows", "40000")),
    Section(JOURNAL, "journal_size.py", ("--records", "20000")),
    Section(SEARCH, "search.py", ("--only", "bucket of 10 s")),
    Section(STRAYS, "strays.py", ("--rounds", "1")),
    Section(LIMITS, "adherence.py", ("--seconds", "10")),
    Section(SLOTS, "slots.py", ("--rows", "200"), beside=True),
    Section(LIVE, "live.py", ("--short",), beside=True),
    Section(PIPELINE, "pipeline.py", ("--items", "50"), beside=True),
    Section(MONEY, "money.py", ("--rows", "200"), beside=True),
    Section(CLUSTER, "cluster_limits.py", ("--seconds", "10")),
    Section(COMPOSED, "cascade.py", ("--seeds", "5", "--minutes", "1"), beside=True),
)


def output(section: Section, arguments: Sequence[str], *, show: bool = True) -> str:
    """What a section prints; shown as it comes, or not."""
    if show:
        print(f"\n== {section.title}", flush=True)
    command = [sys.executable, str(HERE / section.script), *arguments]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            lines.append(line)
            if show:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{section.title}: failed, so nothing is written.")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look, not written down")
    parser.add_argument("--only", default="", help="sections with this in their title")
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON")
    args = parser.parse_args()

    def run(section: Section, *, show: bool = True) -> str:
        arguments = (*section.arguments, *(section.quick if args.quick else ()))
        if section.peers and args.peers:
            arguments = (*arguments, "--peers", *args.peers)
        return output(section, arguments, show=show)

    began = time.monotonic()
    asked = [section for section in SECTIONS if args.only.lower() in section.title.lower()]
    beside = [section for section in asked if section.beside]
    made: dict[str, str] = {}
    with ThreadPoolExecutor(1) as lane:
        waiting: list[Future[str]] = []
        for section in asked:
            if section.title == LIMITS:
                waiting = [lane.submit(run, other, show=False) for other in beside]
            if not section.beside:
                made[section.title] = run(section)
        waiting = waiting or [lane.submit(run, other, show=False) for other in beside]
        for section, future in zip(beside, waiting, strict=True):
            made[section.title] = future.result()
            print(f"\n== {section.title}\n{made[section.title]}", end="", flush=True)
    print(f"\n{time.monotonic() - began:.0f} s")
    if args.quick:
        return
    outputs = {
        section.title: (" ".join((section.script, *section.arguments)), made[section.title])
        for section in asked
    }
    results.write("make bench", outputs)
    print(f"Written to benchmarks/{results.FILE.name}")


if __name__ == "__main__":
    main()
