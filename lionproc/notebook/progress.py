"""What shows a run: the panel, a bar, or a line, whichever suits the place it is looked at."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lionproc.engine.job import Run, Watcher
from lionproc.engine.stats import RunStats
from lionproc.notebook import card, words
from lionproc.notebook.frontend import Output, Screen, bundle_of, surface
from lionproc.notebook.view import Failure

LOG_S = 10.0  # between two states of the bar in a log file, which keeps them all
LINE_S = 2.0  # between two states of the line in a notebook that nobody watches


def watchers(
    run: Run,
    *,
    progress: bool,
    panel: bool | None,
    title: str,
    facts: Callable[[], Mapping[str, Any]],
    latest: Callable[[int], Sequence[Failure]],
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
        return [Bar(run.stats.rows)]
    if panel or (panel is None and where == "notebook"):
        from lionproc.notebook.panel import Panel

        return [Panel(run, title=title, facts=facts, latest=latest)]
    if where == "notebook":
        return [NotebookBar(run, facts)]
    return [Line(run, facts)]


class Bar:
    """tqdm over rows, with errors, tokens and cached counts behind it."""

    def __init__(self, rows: int) -> None:
        from tqdm.auto import tqdm

        watched = sys.stderr is not None and sys.stderr.isatty()
        self._bar: Any = tqdm(
            total=rows,
            unit="row",
            dynamic_ncols=True,
            mininterval=0.1 if watched else LOG_S,
            file=sys.stderr,
        )

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        _advance(self._bar, stats)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        _advance(self._bar, stats)
        self._bar.refresh()
        self._bar.close()


class NotebookBar:
    """tqdm's bar for notebooks; the card takes its place at the end."""

    def __init__(
        self,
        run: Run,
        facts: Callable[[], Mapping[str, Any]],
        screen: Screen | None = None,
    ) -> None:
        from tqdm.notebook import tqdm

        self._run = run
        self._facts = facts
        self._screen = Output() if screen is None else screen
        self._bar: Any = tqdm(total=run.stats.rows, unit="row", display=False, dynamic_ncols=True)
        self._screen.show(bundle_of(self._bar.container, "lionproc: a run"))

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        _advance(self._bar, stats)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        _advance(self._bar, stats)
        card.put(self._screen, self._run, card.as_bundle(stats, self._facts()))
        self._bar.close()


class Line:
    """One line of text that is replaced now and then, and by the card at the end.

    For notebooks that a program runs: a widget would be saved as an empty frame, and a bar as a
    thousand lines.
    """

    def __init__(
        self,
        run: Run,
        facts: Callable[[], Mapping[str, Any]],
        screen: Screen | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._facts = facts
        self._screen = Output() if screen is None else screen
        self._clock = clock
        self._told_at = clock()
        self._screen.show(_line(run.stats))

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        if self._clock() - self._told_at >= LINE_S:
            self._told_at = self._clock()
            self._screen.replace(_line(stats))

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        card.put(self._screen, self._run, card.as_bundle(stats, self._facts()))


def _line(stats: RunStats) -> Mapping[str, str]:
    behind = postfix(stats)
    text = f"lionproc: {stats.finished:,} of {words.plural(stats.rows, 'row')}"
    return {"text/plain": f"{text}, {behind}" if behind else text}


def _advance(bar: Any, stats: RunStats) -> None:
    bar.set_postfix_str(postfix(stats), refresh=False)
    bar.update(stats.finished - bar.n)


def postfix(stats: RunStats) -> str:
    """The numbers behind the bar, only those that say something."""
    parts = [f"{words.count(stats.tokens)} tokens"] if stats.tokens else []
    if stats.usd:
        parts.append(words.dollars(stats.usd))
    for number, word in (
        (stats.cached, "cached"),
        (stats.failed, "failed"),
        (stats.retried, "retried"),
        (stats.skipped, "skipped"),
    ):
        if number:
            parts.append(f"{number:,} {word}")
    if stats.state not in {"running", "done"}:
        parts.append(stats.state)
    if stats.note:
        parts.append(words.plain(stats.note))
    return ", ".join(parts)
