"""Starts every measurement in a process of its own and prints what came of it."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from work import MARK, Needs

HERE = Path(__file__).parent
VERSIONS = """
import importlib.metadata, json, sys
found = {}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class FailedError(RuntimeError):
    """A process ended without its figures."""


def begin(
    script: str, *arguments: object, python: str = sys.executable, **environment: str
) -> subprocess.Popen[str]:
    """Start a script of this folder, with what it prints going to pipes."""
    local = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return subprocess.Popen(
        [python, str(HERE / script), *map(str, arguments)],
        env={**os.environ, **local, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What it tells (`work.tell`), and as "exit" the code it ended with.

    Raises:
        FailedError: It told nothing; the message is the end of what it wrote.
    """
    printed, wrote = process.communicate()
    if MARK not in printed:
        raise FailedError(wrote[-2000:].strip() or f"exit {process.returncode}, no output")
    result: dict[str, Any] = json.loads(printed.split(MARK)[1].splitlines()[0])
    return result | {"exit": process.returncode}


def measured(
    script: str, *arguments: object, python: str = sys.executable, **environment: str
) -> dict[str, Any]:
    """What a script tells when it runs alone; see `finish`."""
    return finish(begin(script, *arguments, python=python, **environment))


def together(*commands: Sequence[object]) -> list[dict[str, Any] | FailedError]:
    """What several scripts tell that begin at once, when the last one is ready (`work.ready`)."""
    processes = [begin(*map(str, command)) for command in commands]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for process in processes:  # not with `finish`, which waits for the end
        with contextlib.suppress(BrokenPipeError):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
    told: list[dict[str, Any] | FailedError] = []
    for process in processes:
        try:
            told.append(finish(process))
        except FailedError as error:
            told.append(error)
    return told


@functools.cache
def installed(python: str, *packages: str) -> dict[str, str]:
    """The versions of those of these packages that an interpreter has."""
    command = [python, "-c", VERSIONS, *packages]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    versions: dict[str, str] = json.loads(done.stdout)
    return versions


class Entry(NamedTuple):
    """Who is measured.

    Attributes:
        name: For the command line.
        label: For the table.
        python: The interpreter to run on; None if none has it.
        optional: Whether the table can do without.
    """

    name: str
    label: str
    python: str | None = sys.executable
    optional: bool = False


def entries(contestants: Mapping[str, Needs], pythons: Iterable[str]) -> list[Entry]:
    """Where each contestant can run: on the first interpreter that has all it needs.

    Args:
        contestants: What each needs, by name.
        pythons: Interpreters to look at after this one.
    """
    made = []
    for name, needs in contestants.items():
        for python in (sys.executable, *pythons):
            versions = installed(python, *needs.packages)
            if len(versions) == len(needs.packages):
                label = needs.label.format(versions[needs.packages[0]])
                made.append(Entry(name, label, python, optional=True))
                break
        else:
            made.append(Entry(name, needs.label.format("").strip(), None, optional=True))
    return made


class Contest:
    """Rounds in which everybody is measured, and the table of them.

    Args:
        first: Label of the one that ratios are to; it is measured first in a round.
    """

    def __init__(self, first: str) -> None:
        self.first = first
        self.results: dict[str, list[dict[str, Any]]] = {}
        self.absent: dict[str, str] = {}

    def measure(self, entry: Entry, *command: object, **environment: str) -> bool:
        """Let one run, alone. Whether it did; what is optional may be missing or fail."""
        results = self.results.setdefault(entry.label, [])
        if entry.python is None:
            self.absent[entry.label] = "not installed"
        if entry.label in self.absent:
            return False
        try:
            results.append(measured(*map(str, command), python=entry.python, **environment))
        except FailedError as error:
            if not entry.optional:
                raise
            self.absent[entry.label] = f"failed: {str(error).splitlines()[-1]}"
            return False
        return True

    def show(self) -> None:
        """Print medians over the rounds; a ratio is the median of the ratios within a round."""
        titles = ("CPU ms/row", f"x {self.first.split()[0]}", "wall s", "peak MB", "rows", "rows/s")
        print(f"{'':24}" + "".join(f"{title:>11}" for title in titles))
        floors = self.results[self.first]
        for label, results in self.results.items():
            if label in self.absent:
                print(f"{label:24}{self.absent[label]}")
                continue
            pairs = zip(results, floors, strict=True)
            figures = {
                "cpu_ms": [result["cpu_ms"] for result in results],
                "ratio": [result["cpu_ms"] / floor["cpu_ms"] for result, floor in pairs],
                "wall_s": [result["wall_s"] for result in results],
                "peak_mb": [result["peak_mb"] for result in results],
                "rows": [result["rows"] for result in results],
                "speed": [result["rows"] / result["wall_s"] for result in results],
            }
            cpu_ms, ratio, wall_s, peak_mb, rows, speed = map(statistics.median, figures.values())
            print(
                f"{label:24}{cpu_ms:11.3f}{ratio:11.2f}{wall_s:11.1f}{peak_mb:11.0f}"
                f"{rows:11,.0f}{speed:11,.0f}"
            )
