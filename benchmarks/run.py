"""All benchmarks, printed and written to benchmarks/RESULTS.md (`make bench`, 12 minutes).

    python benchmarks/run.py [--quick] [--only TITLE] [--peers PYTHON ...]

What measures CPU or memory runs alone. What only keeps a pace leaves the cores mostly idle and
runs side by side. Nothing is written unless every section went well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import results

HERE = Path(__file__).parent


class Section(NamedTuple):
    """A script and what it takes.

    Attributes:
        title: One of `results.ORDER`.
        script: Its name in this folder.
        quick: Its arguments for a short look.
        alone: Whether others on the cores would disturb its figures.
        peers: Whether it takes `--peers`.
    """

    title: str
    script: str
    quick: tuple[str, ...] = ()
    alone: bool = True
    peers: bool = False


LIMITS, LIVE, CPU, WIRES, STARTUP, SLOTS, MEMORY, PIPELINE, _ = results.ORDER
SECTIONS = (
    Section(CPU, "cpu.py", ("--rows", "2000", "--rounds", "1"), peers=True),
    Section(WIRES, "wires.py", ("--rows", "2000", "--rounds", "1"), peers=True),
    Section(STARTUP, "startup.py"),
    Section(MEMORY, "memory.py", ("--rows", "10000")),
    Section(LIMITS, "adherence.py", ("--seconds", "10"), alone=False),
    Section(LIVE, "live.py", ("--short",), alone=False),
    Section(SLOTS, "slots.py", ("--rows", "200"), alone=False),
    Section(PIPELINE, "pipeline.py", ("--items", "50"), alone=False),
)


def start(section: Section, arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / section.script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str], title: str) -> str:
    """Pass on what it prints as it comes."""
    print(f"\n== {title}", flush=True)
    lines = []
    for line in process.stdout or ():
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        sys.exit(f"{title}: failed, nothing is written")
    return "".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look, not written down")
    parser.add_argument("--only", default="", help="sections with this in their title")
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON")
    args = parser.parse_args()
    began = time.monotonic()
    asked = [section for section in SECTIONS if args.only.lower() in section.title.lower()]
    arguments = {
        section.title: [
            *(section.quick if args.quick else ()),
            *(("--peers", *args.peers) if section.peers and args.peers else ()),
        ]
        for section in asked
    }
    made: dict[str, str] = {}
    for section in asked:
        if section.alone:
            made[section.title] = output(start(section, arguments[section.title]), section.title)
    together = [section for section in asked if not section.alone]
    running = [start(section, arguments[section.title]) for section in together]
    try:
        for section, process in zip(together, running, strict=True):
            made[section.title] = output(process, section.title)
    finally:
        for process in running:
            process.terminate()
    print(f"\n{time.monotonic() - began:.0f} s")
    if args.quick:
        return
    results.write(
        "make bench",
        {section.title: (section.script, made[section.title]) for section in asked},
    )
    print(f"Written to benchmarks/{results.FILE.name}")


if __name__ == "__main__":
    main()
