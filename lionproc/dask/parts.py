"""Partitions that are saved: whole or not at all, under a name that says what is in it.

`part-00007-1a2b3c4d-5e6f7a8b.parquet`: the partition, a digest of what is asked of whom (prompt,
model, schema, and the columns that come), and one of what was asked about (its rows). A part that
is there and whole is read back and nothing is asked; one with rows that failed is asked again for
those. What no name tells of its questions stands in it (`part_note.py`): one that does not say that
they were these is asked again, and the journal has what was paid of that. So a folder on a disk that
all workers share resumes on any of them, with or without journal.
Of a question that is asked anew (`resume=False`) only parts that were written for it count: Dask does
a partition again whose worker died, and another machine's clock does not say which part is older.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import socket
import stat
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from lionproc.dask.part_note import Columns, note_expected, note_of
from lionproc.dask.question import Question
from lionproc.engine.git_index import doubt_of, is_gone
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.trust import others_of, repository_of
from lionproc.engine.trusted import trusting
from lionproc.errors import ConfigurationError
from lionproc.frame.assemble import assemble, place_in
from lionproc.frame.export import table_of, write_parquet
from lionproc.frame.job import Job
from lionproc.frame.local_copy import local_copy
from lionproc.frame.own_file import is_own
from lionproc.frame.parquet_reader import PARTS, facts_of, read_source
from lionproc.frame.parquet_trial import try_files
from lionproc.frame.part_note import NOTE
from lionproc.frame.place import Remote, place_of
from lionproc.frame.rows_digest import written
from lionproc.frame.save_target import mixed_with, not_of, part_of, refuse_link

__all__ = ["Part"]

log = logging.getLogger("lionproc")
DIGEST = "part"  # in the facts: of all that the name says, and more of it
QUESTION = "question"  # in the facts: the token of the one that it was written for


class Part:
    """The file of one partition.

    Args:
        question: What is asked.
        number: Which partition it is.
        job: The run over its rows, not yet begun.

    Raises:
        ConfigurationError: The folder holds parts of another run.
    """

    def __init__(self, question: Question, number: int, job: Job) -> None:
        assert question.save is not None  # noqa: S101  (else there would be no parts)
        self._question = question
        self._folder = place_of(question.save)
        self._job = job
        self._number = number
        plan = job._plan
        asked = hashlib.sha256()
        for builder in job._builders:
            asked.update(builder.digest)
        kept = {k: v for k, v in (plan.asked or {}).items() if k != "into"}
        asked.update(repr((plan.names, sorted(kept.items()), sorted(plan.about.items()))).encode())
        asked.update(repr(question.partitions).encode())
        self._run = asked.hexdigest()
        rows = hashlib.sha256(written(table_of(plan.frame)))
        if _calls(question):
            # What a function asks is known when it was asked.
            for calls in plan.first_calls(job._builders[0]):
                for _, call in calls:
                    rows.update(getattr(call, "key", None) or b"-")
            plan.forget_occurrences()
        self._name = part_of(number, self._run, rows.hexdigest())
        whole = f"{number} {self._run} {rows.hexdigest()}"
        self._digest = hashlib.sha256(whole.encode()).hexdigest()
        self._there: list[str] = []  # before it was asked
        self._answered = 0  # rows, in the part that is there whole, whatever question it is of
        self._check_folder()

    @property
    def answered(self) -> int:
        """How many rows have an answer in the part that is there, once it was read."""
        return self._answered

    def _check_folder(self) -> None:
        """Refuse a disk that is not the notebook's: whoever reads the folder there finds no part.

        Raises:
            ConfigurationError: The folder is not here.
        """
        if isinstance(self._folder, Path) and not self._folder.is_dir():
            raise ConfigurationError(
                f"The folder {str(self._folder)!r} is not there on {socket.gethostname()!r}: it "
                "was made where process() was called. Nothing was sent for this partition. Workers "
                'on other machines need a disk that all share, or an address (save="s3://..."). To '
                "have each save its parts on its own disk, make the folder there. If it was "
                "removed, call process() again."
            )

    def read(self) -> pd.DataFrame | None:
        """The rows with their answers, where they are all there already.

        Of a question that is asked anew what was there before it does not count.

        Raises:
            ConfigurationError: The folder holds parts of another run, or this part came from
                somebody else, who would answer in the model's place.
        """
        self._there = self._names()
        for name in self._there:
            if whose := not_of(name, self._run, self._question.partitions, by_rows=True):
                raise mixed_with(self._folder, whose, name)
        file = self._folder / self._name
        if not file.exists():
            refuse_link(file)
            return None
        try:
            with self._opened(file) as source:
                columns = self._columns(source)
        except OSError:
            return None
        if columns is None:
            return None
        self._remove_older()  # whoever wrote it may have been killed before
        plan = self._job._plan
        return assemble(plan.frame, columns, overwrite=plan.options.overwrite)

    @contextlib.contextmanager
    def _opened(self, file: Path | Remote) -> Iterator[Any]:
        """The part. Whose it is is looked at again when it is open: no other one takes its place then.

        Raises:
            ConfigurationError: It is another user's, or a link; or cannot be read without harm.
            OSError: It cannot be opened, or read.
        """
        if isinstance(file, Remote):
            with local_copy(file) as copy, copy.open("rb") as source:
                _try(copy, file)
                yield source
            return
        repository = repository_of(file)
        if repository is not None and is_gone(repository) and is_own(file):
            repository = None
        self._check_whose(file, file.stat(), repository)
        refuse_link(file)
        _try(file, file)
        flags = (getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
        with os.fdopen(os.open(file, os.O_RDONLY | sum(flags)), "rb") as source:
            self._check_whose(file, os.fstat(source.fileno()), None)
            yield source

    def _columns(self, source: Any) -> dict[Hashable, Any] | None:
        """The answers in a part; None where rows failed, or it is damaged or of other rows, or old.

        Who may write in the folder can give a part the name of another one, without writing in it.
        """
        plan = self._job._plan
        try:
            facts: Any = facts_of(pq.read_schema(source))
            if facts[DIGEST] != self._digest:
                return None
            if pq.read_metadata(source).num_rows != plan.rows:
                return None
            saved, _ = read_source(source)
            if len(saved) != plan.rows:
                return None
            places: dict[Hashable, int] = {n: place for place, n in enumerate(saved.columns)}
            found = {name: places[name if name in places else str(name)] for name in plan.names}
            names = sorted(found, key=found.__getitem__)  # as of a run
            columns = {name: saved.iloc[:, found[name]].array for name in names}
            self._answered = int(facts["answered"])  # now that it was read whole
            is_own = facts.get(QUESTION) == self._question.token
            is_old = not plan.options.resume and not is_own
            is_complete = facts["rows"] == facts["answered"] + facts["skipped"]
            is_this = self._is_asked(facts, columns, is_own=is_own)
        except MemoryError:  # nothing is asked again that is there
            raise
        except Exception:  # noqa: BLE001  (whatever is wrong with it: then it is asked again)
            return None
        else:
            return columns if is_complete and not is_old and is_this else None

    def _is_asked(self, facts: Any, columns: Columns, *, is_own: bool) -> bool:
        """Whether the answers in a part are those to these questions, as far as it has noted them."""
        noted = facts.get(NOTE)
        if noted is None and is_own:
            return True
        expected = note_expected(self._job, columns)
        if noted not in {None, expected}:
            self._answered = 0  # what has other answers makes way for those of this run
        return bool(noted == expected)

    def _check_whose(self, file: Path, found: os.stat_result, repository: Path | None) -> None:
        try:
            refuse_planted_link(file)
            who = others_of(found, file.parent, group=False)
            if not stat.S_ISREG(found.st_mode):
                who = "is a device, pipe or socket and no file"
            if not who and repository is not None:
                who = f"is part of the git repository {str(repository)!r}{doubt_of(repository)}"
        except OSError as error:
            who = f"cannot be used: {error.strerror}"
        if who:
            raise ConfigurationError(
                f"{str(file)!r} {who}. What is in it would be taken for answers, so nothing was "
                "sent for this partition. Choose another folder with save=; or, if you trust all "
                f"who can write there: {trusting(file.parent)}"
            )

    def write(self, out: pd.DataFrame) -> None:
        """Write the rows with their answers, and remove what was there for this partition before.

        A whole part that has more answers stays, if the run was ended before it had asked for all rows,
        or was not to ask for all of them anew.

        Raises:
            SaveError: It could not be written.
        """
        stats, resume = self._job.stats, self._job._plan.options.resume
        if self._answered > stats.answered and (stats.left or resume):
            log.warning(
                "%s has %d answers and stays: this run has %d",
                self._name,
                self._answered,
                stats.answered,
            )
            self._remove_older()  # whoever wrote it may have been killed before
            return
        file = self._folder / self._name
        where = file.url if isinstance(file, Remote) else file
        question = self._question
        facts = {DIGEST: self._digest, QUESTION: question.token, PARTS: question.partitions}
        columns = {name: out.iloc[:, _place(out, name)].array for name in self._job._plan.names}
        if note := note_of(self._job, columns):
            facts[NOTE] = note
        write_parquet(out, where, {**self._job._facts(), **facts})
        self._remove_older()

    def _remove_older(self) -> None:
        """Remove what was there for this partition before: both would be read as rows."""
        mine = part_of(self._number, self._run).removesuffix(".parquet")
        for name in self._there:
            if not name.startswith(f"{mine}-") or name == self._name:
                continue
            try:  # of rows that have changed since
                (self._folder / name).unlink(missing_ok=True)
            except Exception as error:  # noqa: BLE001  (every store has its own; whoever reads is told)
                why = type(error).__name__  # its words may have the address
                log.warning("%s is of rows that have changed, and stays (%s)", name, why)

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        names = [entry.name for entry in self._folder.iterdir()]
        return sorted(name for name in names if name.lower().endswith((".parquet", ".pq")))


def _try(part: Path, name: Path | Remote) -> None:
    if try_files([part], [name]) is not None:
        raise OSError(errno.EIO, "it is damaged")


def _place(out: pd.DataFrame, name: Hashable) -> int:
    place = place_in(out, name)
    assert place is not None  # noqa: S101  (the run has made the column)
    return place


def _calls(question: Question) -> bool:
    return callable(question.asked.prompt) or callable(question.asked.options.get("system"))
