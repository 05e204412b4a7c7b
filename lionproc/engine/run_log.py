"""The runs that a journal remembers: what each was asked, how it went, and whether it still goes.

A run is noted when it begins, every few seconds, and when it ends. While it goes its process holds
a lease beside the journal. The system ends that with the process, so a run that never noted an end
and whose lease is free was killed; what it noted last is what is known of it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args
from zlib import crc32

from lionproc.engine.journal_file import LAST_ID, MEMORY, JournalFile
from lionproc.engine.json_bounds import read_json
from lionproc.engine.lease import Lease
from lionproc.engine.stats import State
from lionproc.engine.unfolding import unfolds
from lionproc.errors import JournalError

__all__ = ["KILLED", "KeptRun", "RunLog"]

log = logging.getLogger("lionproc.engine")

KILLED: Final = "killed"
QUIET_S: Final = 60.0
"""Seconds after which a run without a lease, where the disk has no locks, is taken for killed."""
MOST_LEASES: Final = 32  # of one process; each is an open file, and runs may come by the thousand
_LARGEST: Final = 16 * 2**20  # bytes of what is noted of a run; what is larger we did not put there
_MOST_DIGESTS: Final = 2**28  # bytes of those of a run's answers, packed: of 30 million answers
_SPARE: Final = 2**24  # bytes of memory for what is in it, beyond those in proportion to its length
_SOME: Final = 20  # runs that are read at a time
_READ: Final = (
    f"SELECT id, CASE WHEN length(facts) <= {_LARGEST} THEN facts END, checksum"  # noqa: S608  (constants)
    " FROM run WHERE id > ? ORDER BY id LIMIT ?"
)
# Half a character: as JSON writes it (as it does each half of one beyond 16 bits), or its bytes.
_HALF: Final = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
_UPDATE: Final = "UPDATE run SET facts = ?, checksum = ? WHERE id = ?"


class KeptRun(NamedTuple):
    """What is remembered of one run.

    Attributes:
        number: Its number in this journal, from 1; its records bear it.
        facts: What was noted last, in JSON's types.
        state: "running", "paused", "stopping", "done", "stopped", "failed" or "killed".
    """

    number: int
    facts: dict[str, Any]
    state: str


class RunLog:
    """The runs in one journal. All methods may be called from any thread.

    Args:
        file: The journal's file.
    """

    def __init__(self, file: JournalFile) -> None:
        self._file = file
        self._leases: dict[int, Lease] = {}
        self._held: list[Lease] = []  # one for each run that has one, so some of them twice

    def begin(self, facts: Mapping[str, object]) -> int:
        """Note that a run begins.

        Args:
            facts: What is known of it, in JSON's types.

        Returns:
            Its number.

        Raises:
            JournalError: It could not be noted.
        """
        lease = self._held[-1] if len(self._held) >= MOST_LEASES else self._lease()
        if lease is not None:
            self._held.append(lease)
            lease.claim()
        try:
            made = _written({**facts, "lease": _shown(lease)})
            number = self._file.change("INSERT INTO run (facts, checksum) VALUES (?, ?)", made)
            # One that was forgotten may have had this number.
            self._file.change("DELETE FROM run_answers WHERE run = ?", (number,))
        except BaseException:
            self._let_go(lease)
            raise
        if lease is not None:
            self._leases[number] = lease
        return number

    def _let_go(self, lease: Lease | None) -> None:
        if lease is not None:
            self._held.remove(lease)
            if lease not in self._held:
                lease.close()

    def note(self, number: int, facts: Mapping[str, object]) -> None:
        """Note how a run goes.

        Raises:
            JournalError: It could not be noted.
        """
        lease = self._leases.get(number)
        made = _written({**facts, "lease": _shown(lease)})
        self._file.change(_UPDATE, (*made, number))

    def end(self, number: int, facts: Mapping[str, object], digests: bytes | None) -> None:
        """Note how a run ended.

        Args:
            number: The run's.
            facts: What is known of it.
            digests: Of its answers, by which runs are compared; None where there are none. More
                than are read again are not kept.

        Raises:
            JournalError: It could not be noted. The run counts as ended all the same.
        """
        try:
            self.note(number, facts)
            if digests is not None and len(digests) <= _MOST_DIGESTS:
                self._file.change(
                    "INSERT OR REPLACE INTO run_answers (run, digests) VALUES (?, ?)",
                    (number, digests),
                )
        finally:
            self._let_go(self._leases.pop(number, None))

    def all(self) -> Iterator[KeptRun]:
        """The runs, oldest first; one that is damaged is left out.

        They are read one after the other: what is noted of each may be long.

        Raises:
            JournalError: The journal cannot be read.
        """
        lease = self._lease()
        for number, facts in self._noted():
            yield KeptRun(number, facts, _state(facts, lease))

    def forget(self, number: int) -> None:
        """Remember a run no more.

        Raises:
            JournalError: The journal cannot be written.
        """
        self._file.change("DELETE FROM run WHERE id = ?", (number,))

    def end_before(self, mark: int, last: int) -> None:
        """No run that is over reaches beyond this mark: what comes after it is of later runs.

        Args:
            mark: The id of a record.
            last: That of the newest one. Runs that reach beyond this are of others, just now.

        Raises:
            JournalError: The journal cannot be written.
        """
        for number, facts in self._noted():
            until = facts.get("until")
            if isinstance(until, int) and mark < until <= last:
                self._file.change(_UPDATE, (*_packed({**facts, "until": mark}), number))

    def digests(self, number: int) -> bytes | None:
        """The digests of a run's answers, None where there are none.

        Raises:
            JournalError: The journal cannot be read.
        """
        query = "SELECT digests FROM run_answers WHERE run = ? AND length(digests) <= ?"
        found = self._file.read(query, (number, _MOST_DIGESTS))
        return found[0][0] if found and isinstance(found[0][0], bytes) else None

    def _noted(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The numbers and facts of all runs that are not damaged, oldest first."""
        since = -LAST_ID
        while found := self._file.read(_READ, (since, _SOME)):
            for number, kept, checksum in found:
                if number <= since:
                    return  # the file is damaged: they stand in no order, and would have no end
                since = number
                facts = _read(kept, checksum)
                if facts is not None:
                    yield number, facts

    def _lease(self) -> Lease | None:
        return None if self._file.path == MEMORY else Lease(Path(self._file.path).parent)


def _shown(lease: Lease | None) -> str | None:
    """What tells others of a lease; None where nobody could see it, and would take it for ended."""
    return lease.id if lease is not None and lease.is_seen else None


def _written(facts: Mapping[str, object]) -> tuple[bytes, int]:
    try:
        kept, checksum = _packed({**facts, "seen": time.time()})
    except (TypeError, ValueError, RecursionError) as error:
        raise _unkept(f"cannot be written ({type(error).__name__})") from error
    if not _is_ours(kept):
        way_on = "A shorter prompt or shorter names of columns take less."
        raise _unkept(f"({len(kept):,} bytes) is more than is read again", way_on)
    return kept, checksum


def _unkept(why: str, way_on: str = "") -> JournalError:
    said = (
        f"What would be remembered of a run {why}, so lp.runs() does not show how it went. {way_on}"
    )
    log.warning("%s", said.rstrip())
    return JournalError(said.rstrip())


def _packed(facts: Mapping[str, object]) -> tuple[bytes, int]:
    kept = json.dumps(facts, default=str).encode()
    return kept, crc32(kept)


def _is_ours(kept: bytes) -> bool:
    """Whether it may be what we noted of a run, by what it takes."""
    return len(kept) <= _LARGEST and not unfolds(kept, _SPARE)


def _read(kept: object, checksum: object) -> dict[str, Any] | None:
    if not isinstance(kept, bytes) or crc32(kept) != checksum or not _is_ours(kept):
        return None
    try:
        facts = read_json(kept)
        if _HALF.search(kept):  # no column of texts takes it, and one run would hide all others
            text = json.dumps(facts, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
            facts = read_json(text.decode("utf-16-le", "replace"))
    except (ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _state(facts: Mapping[str, Any], lease: Lease | None) -> str:
    noted = str(facts.get("state", KILLED))
    if noted in {"done", "stopped", "failed"}:
        return noted
    if noted not in get_args(State):  # somebody noted what we do not
        return KILLED
    held, seen = facts.get("lease"), facts.get("seen")
    if lease is not None and held is not None:
        return noted if lease.is_held(held) else KILLED
    quiet_s = time.time() - seen if isinstance(seen, float) else QUIET_S
    return noted if abs(quiet_s) < QUIET_S else KILLED
