"""The line beside the buttons: the one thing that a person should know now, and else nothing.

It is calm: what comes and goes several times a second, as waiting for one's turn does, is said
only when nothing has left for a while.
"""

from __future__ import annotations

from typing import NamedTuple

from lionproc.engine.stats import RunStats

STILL_S = 3.0  # for so long nothing was sent before a person wonders why
TOO_LATE = (
    "This frontend delivers moves only when the cell has ended. To steer while it runs, use "
    "`job = df.llm.start(...)`."
)
PAUSED = "Nothing is sent. What is in flight still comes in and is kept."
_WAITING = "Waiting"  # to wait under a limit is what a limit is for


class Note(NamedTuple):
    """One line of plain text; backquotes mark code.

    Attributes:
        text: What is said, empty for nothing.
        alert: Whether it asks for attention.
    """

    text: str = ""
    alert: bool = False


def note_of(stats: RunStats, *, said: str, reachable: bool, idle_s: float) -> Note:
    """What to say now.

    Args:
        stats: The run.
        said: What came of a person's last move, empty where that went well.
        reachable: Whether a person's moves arrive while the cell runs.
        idle_s: For how many seconds nothing was sent.
    """
    if said:
        return Note(said, alert=True)
    if not reachable:
        return Note(TOO_LATE, alert=True)
    if stats.state == "paused":
        return Note(PAUSED)
    note = stats.note.replace("`", "'")
    if note.startswith(_WAITING):
        return Note(note) if idle_s >= STILL_S else Note()
    return Note(note, alert=True) if note else Note(stats.partitions)
