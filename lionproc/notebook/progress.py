"""A progress bar for terminals, scripts and headless runs."""

from __future__ import annotations

import sys
from typing import Any

from lionproc.engine.job import Run, Watcher
from lionproc.engine.stats import RunStats


class Bar:
    """tqdm over rows, with errors, tokens and cached counts behind it."""

    def __init__(self, rows: int) -> None:
        from tqdm.auto import tqdm

        self._bar: Any = tqdm(total=rows, unit="row", dynamic_ncols=True, file=sys.stderr)

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        self._bar.set_postfix_str(postfix(stats), refresh=False)
        self._bar.update(stats.finished - self._bar.n)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`."""
        self.update(stats)
        self._bar.refresh()
        self._bar.close()


def postfix(stats: RunStats) -> str:
    """The numbers behind the bar, only those that say something."""
    parts = [f"{stats.tokens:,} tokens"] if stats.tokens else []
    if stats.usd:
        parts.append(f"${stats.usd:,.4f}")
    for count, word in (
        (stats.cached, "cached"),
        (stats.failed, "failed"),
        (stats.retried, "retried"),
        (stats.skipped, "skipped"),
    ):
        if count:
            parts.append(f"{count:,} {word}")
    if stats.state not in {"running", "done"}:
        parts.append(stats.state)
    if stats.note:
        parts.append(stats.note)
    return ", ".join(parts)


def watchers(job: Run, *, progress: bool, panel: bool | None) -> list[Watcher]:
    """What shows a run here: nothing, a bar, or in a notebook the panel."""
    del panel
    return [Bar(job.stats.rows)] if progress else []
