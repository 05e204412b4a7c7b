"""What is said at the end of a run of the rows that have no answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lionproc.engine.outlay import NOT_KEPT
from lionproc.engine.routes import GUESSED
from lionproc.engine.stats import RunStats
from lionproc.errors import (
    BudgetWarning,
    LionprocWarning,
    RowsFailedError,
    RowsFailedWarning,
    StoppedWarning,
)

__all__ = ["Unanswered", "used_up"]

_UNKEPT = (
    "Running the cell again goes on from here, up to the next such reply. Model(..., "
    "price=lp.Price(..., tiers={...})) says what they cost, and a budget of tokens or requests needs "
    "no price."
)


def used_up(reached: str) -> str:
    """Why rows are not asked again under a budget, and how they are.

    Args:
        reached: Its bound, in words.
    """
    if NOT_KEPT in reached:
        return (
            f"Nothing is sent under the budget of {reached}. Take the bound away first "
            "(job.budget.usd = None), then retry_failed() goes on. Or run the cell again with "
            "Model(..., price=lp.Price(..., tiers={...})), which says what such replies cost."
        )
    bound = "usd" if reached.startswith("$") else reached.rpartition(" ")[2]
    return (
        f"The budget of {reached} is used up, and what was spent counts. Raise it first "
        f"(job.budget.{bound} = ...), then retry_failed() goes on."
    )


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The rows without an answer, and why.

    Attributes:
        stats: The run.
        failed: How many rows failed, by what happened: "empty", "empty at 'mood'".
        given_up: Rows that were given up in flight.
        hint: What to do about the rows that failed, where it is the same for all.
        budget: The bound that stopped the run, in words; empty if none did.
        errors_at: What a person writes to see the errors.
        unsaved: Whether a file was wanted and is not there.
    """

    stats: RunStats
    failed: Mapping[str, int]
    given_up: int
    hint: str
    budget: str
    errors_at: str
    unsaved: bool

    def error(self) -> RowsFailedError:
        """For `errors="raise"`."""
        return RowsFailedError(
            f"{self.stats.failed:,} of {self.stats.rows:,} rows failed ({self._failed_words()}). "
            f"{self._advice()}The answers are journaled: lp.last_job().frame() has them, "
            "lp.last_job().errors() says what failed, running again asks only for the rest."
        )

    def warning(self) -> tuple[str, type[LionprocWarning]]:
        """The text of the warning, and its category."""
        stats = self.stats
        why = "The run was stopped" if stats.state == "stopped" else ""
        category: type[LionprocWarning] = StoppedWarning if why else RowsFailedWarning
        advice = "Running the cell again asks only for the rest."
        if self.budget:
            why = f"The budget of {self.budget} was reached"
            category = BudgetWarning
            advice = "Running again with a larger budget= goes on from here."
            if NOT_KEPT in self.budget:
                advice = _UNKEPT
            if stats.guessed:
                advice += (
                    f" The server did not count the tokens of {stats.guessed:,} replies; {GUESSED}."
                )
        missing = stats.rows - stats.answered - stats.skipped
        left = f"{missing:,} of {stats.rows:,} rows have no answer and are NA"
        text = f"{why}, so {left}" if why else left
        text = f"{text} ({self._missing_words(missing)}). "
        if stats.failed:
            text += self._advice() if missing == stats.failed else ""
            text += f"{self.errors_at} lists the errors. "
        text += advice
        if why and self.unsaved:
            text += " Nothing was saved: lp.last_job().save(path) writes what there is."
        return text, category

    def _advice(self) -> str:
        return f"{self.hint} " if self.hint else ""

    def _missing_words(self, missing: int) -> str:
        """Why rows have no answer: 3 truncated, 32 given up in flight, 968 not sent."""
        parts = [self._failed_words()] if self.stats.failed else []
        if self.given_up:
            parts.append(f"{self.given_up:,} given up in flight")
        left = missing - self.stats.failed - self.given_up
        return ", ".join([*parts, f"{left:,} not sent"] if left else parts)

    def _failed_words(self) -> str:
        most_first = sorted(self.failed.items(), key=lambda item: -item[1])
        return ", ".join(f"{count:,} {what}" for what, count in most_first)
