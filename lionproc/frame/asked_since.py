"""From when on answers of a journal count, for a question that is asked anew in several runs.

`resume=False` asks again what the journal had before. A run by itself notes where the journal stands
when it begins. Of a Dask frame each partition is a run, and Dask does one again whose worker died:
what was paid for the question itself counts then, or all of it would be paid twice.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, NamedTuple

from lionproc.engine.journal import Journal
from lionproc.engine.journal_path import real_path
from lionproc.errors import JournalError

__all__ = ["AskedSince", "asked_now"]


class AskedSince(NamedTuple):
    """Where a journal stood when a question was asked.

    Attributes:
        journal: Its file.
        mark: What `Journal.mark` said.
    """

    journal: str
    mark: int

    def of(self, journal: Journal) -> int:
        """The mark for a run over a journal, which may be another one, or have begun anew."""
        now = journal.mark()
        return min(self.mark, now) if journal.path == self.journal else now


def asked_now(journal: Any, *, resume: bool) -> AskedSince | None:
    """Note where a journal stands; None where that does not matter.

    Args:
        journal: As `process` takes it. None is made for this.
        resume: As there.
    """
    if resume or journal is False:
        return None
    with contextlib.suppress(JournalError, OSError):
        where = real_path(journal, make=False)
        if not Path(where).exists():
            return AskedSince(where, 0)
        with Journal.open(where) as opened:
            return AskedSince(where, opened.mark())
    return None
