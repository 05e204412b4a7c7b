"""All benchmarks, printed and written to benchmarks/RESULTS.md (`make bench`).

python benchmarks/run.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "RESULTS.md"
PACKAGES = ("aiohttp", "aiolimiter", "openai", "orjson", "pandas", "pyarrow", "pydantic")
SECTIONS = {
    "Limits: how much is used, how often they are broken": (
        "adherence.py",
        [],
        ["--seconds", "20"],
    ),
    "CPU per row": ("cpu.py", [], ["--rows", "3000", "--rounds", "1"]),
    "Start-up": ("startup.py", [], []),
    "Slots and memory": ("occupancy.py", [], ["--rows", "200", "--memory-rows", "10000"]),
}


def machine() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look, not written down")
    args = parser.parse_args()
    parts = [
        "# Results",
        f"\nMade by `make bench` on {machine()}.",
        "\nA shared, noisy machine: trust ratios and medians, not single times.",
    ]
    for title, (script, usual, quick) in SECTIONS.items():
        print(f"\n== {title}", flush=True)
        command = [sys.executable, str(HERE / script), *(quick if args.quick else usual)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            lines = []
            for line in process.stdout or ():
                print(line, end="", flush=True)
                lines.append(line)
        parts.append(f"\n## {title}\n\n`python benchmarks/{script}`\n\n```\n{''.join(lines)}```")
    if args.quick:
        return
    # Sections that other commands wrote (the soak, the pipeline, notes by hand) stay.
    old = re.split(r"(?m)^(?=## )", RESULTS.read_text())[1:] if RESULTS.exists() else []
    kept = ["\n" + part.rstrip() for part in old if part.splitlines()[0][3:] not in SECTIONS]
    RESULTS.write_text("\n".join(parts + kept) + "\n")
    print(f"\nWritten to {RESULTS.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
