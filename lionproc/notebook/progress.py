"""What shows a run: the panel, a bar, or a line, whichever suits the place it is looked at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lionproc.engine.stats import RunStats
from lionproc.engine.streams import Stream
from lionproc.engine.watching import Steered, Watcher
from lionproc.notebook import card, formatting
from lionproc.notebook.frontend import Bundle, Output, Screen, bundle_of, say, surface
from lionproc.notebook.history import History
from lionproc.notebook.panel_html import FailureRow
from lionproc.notebook.rates import about, inherited, learned

LOG_S = 10.0  # between two states of the bar in a log file, which keeps them all
PRINT_S = 30.0  # before the log of such a notebook hears of it for the first time
MOST_PRINT_S = 600.0
LINE_S = 2.0  # between two states of the line in a notebook that nobody watches
INHERITED_S = 10.0  # for which a run says at its start that it was given no limits, but has some
# Without tqdm's own time left and rate: answers from the journal come in a burst, and tqdm would
# have the others come as fast.
BAR = "{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
LEAST_BAR = 12  # characters of the bar itself, whatever there is to say


class Shown(Steered, Protocol):
    """A job, as far as it is shown."""

    @property
    def title(self) -> str:
        """What is done, in plain text."""

    def latest_errors(self, most: int) -> list[FailureRow]:
        """The latest errors, the newest first."""

    def watch(self, watcher: Watcher) -> None:
        """Tell a watcher how it goes."""


def watchers(
    run: Steered,
    *,
    progress: bool,
    panel: bool | None,
    title: str,
    facts: Callable[[], Mapping[str, Any]],
    latest: Callable[[int], Sequence[FailureRow]],
) -> list[Watcher]:
    """What shows a run here. Call it in the thread of the cell.

    Args:
        run: The run, not yet begun.
        progress: False shows nothing.
        panel: True shows the panel in every notebook, also one run by a program; False never;
            None where a person sits.
        title: What is done, in plain text.
        facts: What the card needs besides the numbers.
        latest: The latest errors, the newest first, at most so many.
    """
    if not progress:
        return []
    where = surface()
    if where == "terminal":
        return [] if sys.stderr is None else [Bar(run)]  # a program without a window has none
    if panel or (panel is None and where == "notebook"):
        from lionproc.notebook.panel import Panel

        return [Panel(run, title=title, facts=facts, latest=latest)]
    if where == "notebook":
        return [NotebookBar(run, facts)]
    return [PrintedLine(run, facts)]


def show(
    job: Shown, *, progress: bool, panel: bool | None, facts: Callable[[], Mapping[str, Any]]
) -> None:
    """Have a job shown here, by what suits the place; the arguments are those of `watchers`."""
    shown = watchers(
        job, progress=progress, panel=panel, title=job.title, facts=facts, latest=job.latest_errors
    )
    for watcher in shown:
        job.watch(watcher)


class Bar:
    """tqdm over rows, with what a person should know behind it, as far as the terminal is wide.

    Args:
        run: The run, not yet begun.
    """

    def __init__(self, run: Steered) -> None:
        from tqdm.auto import tqdm

        watched = sys.stderr is not None and sys.stderr.isatty()
        self._behind = Behind(run)
        self._bar: Any = tqdm(
            total=run.stats.rows,
            unit="row",
            bar_format=BAR,
            dynamic_ncols=True,
            mininterval=0.1 if watched else LOG_S,
            file=None if sys.stderr is None else Stream(sys.stderr),
        )

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        columns = self._bar.format_dict["ncols"]  # None where this is no terminal
        hours = 3 if stats.elapsed_s >= 3600 else 0
        front = len("100%||  [00:00, ]") + hours + 2 * len(str(stats.rows)) + len("/")
        room = None if columns is None else columns - LEAST_BAR - front
        _advance(self._bar, stats, self._behind.said(stats, room))

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        self.update(stats)
        self._bar.refresh()
        self._bar.close()


class NotebookBar:
    """tqdm's bar for notebooks; the card takes its place at the end."""

    def __init__(
        self,
        run: Steered,
        facts: Callable[[], Mapping[str, Any]],
        screen: Screen | None = None,
    ) -> None:
        from tqdm.notebook import tqdm

        self._run = run
        self._facts = facts
        self._behind = Behind(run)
        self._screen = Output() if screen is None else screen
        self._bar: Any = tqdm(
            total=run.stats.rows, unit="row", display=False, dynamic_ncols=True, bar_format=BAR
        )
        self._screen.show(bundle_of(self._bar.container, "lionproc: a run"))

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        _advance(self._bar, stats, self._behind.said(stats))

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        self.update(stats)
        card.put(self._screen, self._run, card.as_bundle(stats, self._facts()))
        self._bar.close()


class PrintedLine:
    """One line of text that is replaced now and then, and by the card at the end.

    For notebooks that a program runs: a widget would be saved as an empty frame, and a bar as a
    thousand lines. Whoever looks at that program's log sees what is printed, not what is
    replaced: so in a long run a line is printed now and then, ever more seldom.
    """

    def __init__(
        self,
        run: Steered,
        facts: Callable[[], Mapping[str, Any]],
        screen: Screen | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._facts = facts
        self._screen = Output() if screen is None else screen
        self._clock = clock
        self._told_at = self._printed_at = clock()
        self._print_s = PRINT_S
        self._behind = Behind(run)
        self._screen.show(self._line(run.stats))

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        behind = self._behind.said(stats)
        if self._clock() - self._told_at >= LINE_S:
            self._told_at = self._clock()
            self._screen.replace(self._line(stats, behind))
        if self._clock() - self._printed_at >= self._print_s:
            self._printed_at = self._clock()
            self._print_s = min(self._print_s * 1.25, MOST_PRINT_S)
            say(self._line(stats, behind)["text/plain"])

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        card.put(self._screen, self._run, card.as_bundle(stats, self._facts()))

    def _line(self, stats: RunStats, behind: str = "") -> Bundle:
        text = f"lionproc: {stats.finished:,} of {formatting.plural(stats.rows, 'row')}"
        return {"text/plain": f"{text}, {behind}" if behind else text}


class Behind:
    """The words behind a bar, the most important first.

    Args:
        run: The run.
    """

    def __init__(self, run: Steered) -> None:
        self._run = run
        self._history = History()

    def said(self, stats: RunStats, room: int | None = None) -> str:
        """What to say of a snapshot.

        Args:
            stats: The snapshot; each is to be given once, in order.
            room: How many characters there are; what does not fit is left out, whole.
        """
        self._history.add(stats)
        left = self._history.left(stats)
        first = (
            [f"{formatting.left_between(*left)} left"] if left is not None and stats.left else []
        )
        if stats.elapsed_s < INHERITED_S and (whose := inherited(stats, self._run.limits)):
            first.append(whose)
        return fitting([*first, *parts_of(stats)], room)


def fitting(parts: Sequence[str], room: int | None) -> str:
    """As many of the parts as there is room for, by commas; the first is cut if it alone does not fit."""
    if room is None:
        return ", ".join(parts)
    said = ""
    for part in parts:
        longer = f"{said}, {part}" if said else formatting.plain(part, max(room, 1))
        if len(longer) <= room:
            said = longer
    return said


def parts_of(stats: RunStats) -> list[str]:
    """What the numbers of a run say, the most important first, and only those that say something."""
    parts: list[str] = [] if stats.state in {"running", "done"} else [stats.state]
    if stats.failed:
        parts.append(f"{stats.failed:,} failed")
    if (takes := learned(stats)) is not None:
        parts.append(f"server takes ~{about(takes)}/min")
    if stats.usd:
        parts.append(formatting.dollars(stats.usd))
    if stats.tokens:
        parts.append(f"{formatting.count(stats.tokens)} tokens")
    for number, word in (
        (stats.cached, "cached"),
        (stats.retried, "retry" if stats.retried == 1 else "retries"),
        (stats.skipped, "skipped"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    if stats.note:
        parts.append(formatting.plain(stats.note))
    if stats.partitions:
        parts.append(stats.partitions.rstrip("."))
    return parts


def _advance(bar: Any, stats: RunStats, behind: str) -> None:
    bar.set_postfix_str(behind, refresh=False)
    bar.total = stats.rows  # of a cluster it is known when all of it has begun
    bar.update(stats.finished - bar.n)
