"""What `import lionproc` costs over `import pandas`, and the first run of a process.

    python benchmarks/startup.py [--before FOLDER] [--rounds 11]

Medians of several new processes. With another folder that has the package in it (see `compare.py`),
both versions by turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

CODE = """
import os, time
a = time.process_time()
import pandas
b = time.process_time()
import lionproc as lp
c = time.process_time()
at = {"base_url": os.environ["BENCH_URL"], "api_key": os.environ["BENCH_KEY"]}
frame = pandas.DataFrame({"x": ["a short row"]})
ask = {"into": "y", "journal": False, "progress": False}
frame.llm.process("Say {x}", model=lp.Model("openai", model="m", **at), **ask)
d = time.process_time()
frame.llm.process("Say {x}", model=lp.Model("openai", model="m", **at), **ask)
print(b - a, c - b, d - c, time.process_time() - d)
"""
HEADS = ("import pandas", "import lionproc", "first run", "second run")


def took(folder: str, environment: dict[str, str]) -> list[float]:
    """Milliseconds of processor time for each of `HEADS`, in a new process."""
    env = {**os.environ, **environment}
    done = subprocess.run(  # in the folder, where it looks for packages first
        [sys.executable, "-c", CODE],
        check=True,
        capture_output=True,
        text=True,
        env=env,
        cwd=folder,
    )
    return [1000 * float(part) for part in done.stdout.split()]


def main() -> None:
    from lionproc.testing import Server

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="a folder with the older package in it")
    parser.add_argument("--rounds", type=int, default=11)
    args = parser.parse_args()
    versions = {"now": str(Path(__file__).resolve().parent.parent)}
    if args.before:
        versions = {"before": str(Path(args.before).resolve()), **versions}
    found: dict[str, list[list[float]]] = {name: [] for name in versions}
    with Server(process=True, record=0, answer="fine") as server:
        environment = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        for _ in range(args.rounds):
            for name, folder in versions.items():
                found[name].append(took(folder, environment))
    print(f"{'ms of processor time':<22}" + "".join(f"{head:>17}" for head in HEADS))
    for name, rounds in found.items():
        medians = (statistics.median(part) for part in zip(*rounds, strict=True))
        print(f"{name:<22}" + "".join(f"{median:>17.0f}" for median in medians))


if __name__ == "__main__":
    main()
