"""benchmarks/RESULTS.md: written by the commands, a section each; nothing in it is by hand."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

FILE = Path(__file__).resolve().parent / "RESULTS.md"
HEAD = """# Results

Written by `make bench` and `make soak`. Servers are `lionproc.testing.Server` on loopback of the
same machine, without TLS. A shared, noisy machine: trust ratios and medians, not single times."""
ORDER = (
    "Limits: how much is used, how often they are broken",
    "A limit that nobody told",
    "Failures that come anyway",
    "A limit dropped and raised mid-run",
    "CPU per row",
    "Before and after",
    "Bare wires",
    "Start-up",
    "Slots",
    "Memory",
    "Many rows",
    "Wide answers",
    "Hard answers",
    "Large prompts",
    "Many small runs",
    "A large journal",
    "Pipeline",
    "Money",
    "Limits of a cluster",
    "Out of core",
    "Models made of models",
    "Soak",
)
PACKAGES = ("aiohttp", "aiolimiter", "openai", "orjson", "pandas", "pyarrow", "pydantic")


def machine() -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores (load of the last 5 minutes, its own included: "
        f"{os.getloadavg()[1]:.1f}), Python {platform.python_version()}, {versions}"
    )


def write(command: str, outputs: Mapping[str, tuple[str, str]]) -> None:
    """Replace some sections and leave the others that commands wrote.

    Args:
        command: That was run, such as "make bench".
        outputs: Script with its arguments, and what it printed, by title out of `ORDER`.
    """
    old = re.split(r"(?m)^## ", FILE.read_text())[1:] if FILE.exists() else []
    sections = {part.splitlines()[0]: "## " + part.strip() for part in old}
    made = f"`{command}` on {machine()}"
    for title, (script, output) in outputs.items():
        text = output.strip("\n")
        sections[title] = f"## {title}\n\n`python benchmarks/{script}`, {made}\n\n```\n{text}\n```"
    parts = [HEAD, *(sections[title] for title in ORDER if title in sections)]
    FILE.write_text("\n\n".join(parts) + "\n")
