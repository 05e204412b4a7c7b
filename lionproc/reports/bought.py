"""What runs bought that could not note their end, from the records that they kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lionproc.engine.journal import Entry, Journal, Record
from lionproc.engine.run_log import KeptRun
from lionproc.engine.usage import plus
from lionproc.reports.sound import sound_mark

__all__ = ["Bought", "began", "bought_by"]


@dataclass(slots=True)
class Bought:
    """What a run bought.

    Attributes:
        replies: How many.
        keys: Of the questions that they answer.
        prompt_tokens: Of all of them.
        completion_tokens: Of all of them.
        usd: Their price, None where that of one is not known.
        last: When the last record came, in Unix seconds; failures are records too.
    """

    replies: int = 0
    keys: set[bytes] = field(default_factory=set)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float | None = 0.0
    last: float | None = None

    def add(self, record: Record) -> None:
        """Count a record of the run."""
        self.last = record.at if self.last is None else max(self.last, record.at)
        if isinstance(record, Entry):
            self.replies += 1
            self.keys.add(record.key)
            self.prompt_tokens += record.prompt_tokens
            self.completion_tokens += record.completion_tokens
            self.usd = plus(self.usd, record.usd)


def began(run: KeptRun) -> int:
    """The mark at which a run began: what has its number and came before is of an earlier one."""
    return sound_mark(run.facts.get("since")) or 0


def bought_by(journal: Journal, since: Mapping[int, int]) -> dict[int, Bought]:
    """What several runs bought. All records are read once, however many runs there are.

    Args:
        journal: Where they kept it.
        since: The marks at which they began, by the number of the run.

    Raises:
        JournalError: The journal cannot be read.
    """
    found = {number: Bought() for number in since}
    if len(since) == 1:
        ((number, mark),) = since.items()
        for record in journal.contents.of_run(number, mark):
            found[number].add(record)
    elif since:
        for number, record in journal.contents.of_runs(since):
            found[number].add(record)
    return found
