"""What the last run saw of an endpoint's pace, kept in a small file beside the journal.

A run that finds it there begins with it, in place of slow start. It is a hint: what is wrong in it
is found out by the first refusals, or by their absence. Nothing in it tells which endpoint, key or
model it is about, but to who has all three.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from pathlib import Path
from typing import NamedTuple

from lionproc.engine.json_bounds import read_json
from lionproc.engine.made_here import USUAL_JOURNAL
from lionproc.engine.regular_file import read_regular
from lionproc.engine.whole_file import replace_whole

NAME = "pace.json"
DAY_S = 86_400.0  # after which it is forgotten
MOST_ENDPOINTS = 100
MOST_BYTES = 100_000
LATEST = 1e12  # seconds since 1970; a number of thousands of digits is no time
SLOWEST_PER_S = 5 / 60  # no provider has a lower limit; a bad hour of yesterday is none


class Pace(NamedTuple):
    """What was seen.

    Attributes:
        per_s: Requests per second.
        limited: Whether the server refused more; else it was never asked for more.
    """

    per_s: float
    limited: bool


def folder_of(journal: str) -> Path | None:
    """Where it is kept: beside a journal of the usual name, and nowhere else."""
    path = Path(journal)
    return path.parent if path.name == USUAL_JOURNAL else None


def read(folder: Path, identity: str) -> Pace | None:
    """What the last run of this endpoint saw, None if that is not known or too long ago."""
    entry = _entries(folder).get(_name(identity))
    if entry is None:
        return None
    per_s, limited, at = entry
    return Pace(max(per_s, SLOWEST_PER_S), limited) if 0 <= time.time() - at < DAY_S else None


def write(folder: Path, identity: str, pace: Pace) -> None:
    """Keep what a run saw. What cannot be kept is not kept: it is only a hint."""
    if not identity or not 0.001 < pace.per_s < 1e6:
        return
    if (folder / NAME).is_symlink():
        return  # we make none, and what it leads to would be replaced
    entries = _entries(folder)
    entries.pop(_name(identity), None)
    entries[_name(identity)] = round(pace.per_s, 4), pace.limited, time.time()
    latest = dict(list(entries.items())[-MOST_ENDPOINTS:])
    with contextlib.suppress(OSError), replace_whole(folder / NAME, private=True) as file:
        file.write(json.dumps(latest, indent=0).encode())


def _name(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()[:32]


def _entries(folder: Path) -> dict[str, tuple[float, bool, float]]:
    try:
        found = read_json(read_regular(folder / NAME, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: tuple(entry) for name, entry in found.items() if _is_sound(entry)}


def _is_sound(entry: object) -> bool:
    """Whether it is what `write` made: anybody may have written into the file."""
    if not (isinstance(entry, list) and len(entry) == 3 and isinstance(entry[1], bool)):
        return False
    per_s, _, at = entry
    if not (type(per_s) in {int, float} and type(at) in {int, float}):
        return False
    return bool(0.001 < per_s < 1e6 and 0 <= at < LATEST)
