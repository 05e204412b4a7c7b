"""The panel: a run's numbers, limits, pause and stop, in the output of a cell.

Made in the thread of the cell, so that it appears there. From then on everything happens on the
engine's thread: snapshots come from there, and what a person does is handed over to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.stats import RunStats
from lionproc.engine.watching import Steered
from lionproc.notebook import card, panel_html
from lionproc.notebook.frontend import (
    Delivery,
    Output,
    Screen,
    bundle_of,
    close_all,
    let_events_through,
)
from lionproc.notebook.history import History
from lionproc.notebook.limit_controls import LimitControls
from lionproc.notebook.notes import note_of
from lionproc.notebook.panel_html import FailureRow
from lionproc.notebook.plots import sparkline
from lionproc.notebook.rates import inherited
from lionproc.notebook.style import CSS

REDRAW_S = 0.3  # at most three or four times a second, which is what an eye can use
ERRORS_SHOWN = 20


class Panel:
    """Shows a run and steers it. A `Watcher`.

    Args:
        run: What is shown and steered.
        title: What is done, in plain text.
        facts: What the card at the end needs besides the numbers.
        latest: The latest errors, the newest first, at most so many. Called on the engine's
            thread.
        screen: Where it appears; the output of the running cell by default.
        clock: Seconds, for the rhythm of redrawing.
    """

    def __init__(
        self,
        run: Steered,
        *,
        title: str,
        facts: Callable[[], Mapping[str, Any]],
        latest: Callable[[int], Sequence[FailureRow]],
        screen: Screen | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        import ipywidgets

        self._run = run
        self._title = title
        self._facts = facts
        self._latest = latest
        self._screen = Output() if screen is None else screen
        self._clock = clock
        self._history = History()
        self._drawn_at = float("-inf")
        self._said = ""
        self._inherited: str | None = None  # as long as nobody has moved them
        self._closed = False
        self._delivery = Delivery()

        self.wheel = LimitControls(lambda: run.limits, self._say)
        self.pause = ipywidgets.Button(description="Pause", icon="pause")
        self.stop = ipywidgets.Button(
            description="Stop", icon="stop", tooltip="Send nothing more; keep every answer"
        )
        self.errors = ipywidgets.ToggleButton(
            description="Errors", icon="list", tooltip="Show the latest errors"
        )
        for button, name in ((self.pause, "pause"), (self.stop, "stop"), (self.errors, "errors")):
            button.add_class(f"lp-{name}-button")
        self._head, self._tiles, self._note, self._list = (ipywidgets.HTML() for _ in range(4))
        self._heading, self._plot = ipywidgets.HTML(), ipywidgets.HTML()
        self._plot.add_class("lp-plot")
        self._note.add_class("lp-note")
        self._list.add_class("lp-list")
        self._list.tabbable = True  # it scrolls
        self._style = ipywidgets.HTML(CSS)
        self._limits = ipywidgets.VBox([self._heading, self.wheel.box])
        self._middle = ipywidgets.Box([self._limits, self._plot])
        self._middle.add_class("lp-middle")
        self._buttons = ipywidgets.HBox([self.pause, self.stop, self.errors, self._note])
        self._buttons.add_class("lp-buttons")
        self.box = ipywidgets.VBox(
            [self._style, self._head, self._tiles, self._middle, self._buttons, self._list]
        )
        self.box.add_class("lp-panel")

        self.pause.on_click(self._pause_clicked)
        self.stop.on_click(self._stop_clicked)
        self.errors.observe(self._errors_clicked, "value")
        let_events_through([*self.wheel.movable, self.pause, self.stop, self.errors])
        self._draw(run.stats)
        self._screen.show(bundle_of(self.box, "lionproc: a run, live while its kernel runs"))

    # -- what the run says, on the engine's thread --------------------------------------------

    def update(self, stats: RunStats) -> None:
        """See `Watcher.update`."""
        fresh = self._history.add(stats)
        if fresh or self._clock() - self._drawn_at >= REDRAW_S:
            self._draw(stats, plot=fresh)

    def close(self, stats: RunStats) -> None:
        """See `Watcher.close`: the card takes the panel's place."""
        self._closed = True
        self._delivery.close()
        import ipywidgets

        bundle = card.as_bundle(stats, self._facts())
        # In the widget too, for frontends that cannot replace an output or were reloaded.
        before = self._widgets()
        self.box.remove_class("lp-panel")
        self.box.children = (ipywidgets.HTML(bundle["text/html"]),)
        card.put(self._screen, self._run, bundle)
        close_all(before)

    def _widgets(self) -> list[object]:
        return [
            *self.wheel.widgets, self.pause, self.stop, self.errors, self._head, self._tiles,
            self._note, self._list, self._heading, self._plot, self._style, self._limits,
            self._middle, self._buttons,
        ]  # fmt: skip

    def _draw(self, stats: RunStats, *, plot: bool = True) -> None:
        """Send what changed; a widget whose value stays the same sends nothing."""
        self._drawn_at = self._clock()
        self._head.value = panel_html.header(stats, self._title, self._history.left(stats))
        self._tiles.value = panel_html.tiles(stats, self._run.limits)
        if plot:
            self._plot.value = f"<div class='lp-chart'>{sparkline(self._history.line())}</div>"
        self._draw_controls(stats)
        self._draw_heading(stats)
        self._draw_note(stats)
        if self.errors.value and plot:
            self._draw_errors()

    def _draw_controls(self, stats: RunStats) -> None:
        reachable = self._delivery.works
        self.wheel.sync()
        self.wheel.enable(on=reachable)
        paused = stats.state == "paused"
        _set(self.pause, description="Resume" if paused else "Pause")
        _set(self.pause, icon="play" if paused else "pause")
        _set(self.pause, tooltip="Go on sending" if paused else "Send nothing until resumed")
        _set(self.pause, disabled=not reachable or stats.state not in {"running", "paused"})
        stopping = stats.state == "stopping"
        _set(self.stop, description="Stopping" if stopping else "Stop")
        _set(self.stop, disabled=not reachable or stopping)
        _set(self.errors, description=f"Errors ({stats.failed:,})" if stats.failed else "Errors")
        _set(self.errors, disabled=not reachable)

    def _draw_note(self, stats: RunStats) -> None:
        said = note_of(
            stats,
            said=self._said,
            reachable=self._delivery.works,
            idle_s=self._history.idle_s,
        )
        self._note.value = panel_html.note(said)

    def _draw_heading(self, stats: RunStats) -> None:
        """Whose limits these are, until somebody moves one."""
        whose = inherited(stats, self._run.limits)
        if self._inherited is None and stats.elapsed_s:
            self._inherited = whose
        said = whose if whose == self._inherited else ""
        if len(stats.members) > 1 and not said:
            said = "of each member; they add up"
        self._heading.value = panel_html.heading(said)

    def _draw_errors(self) -> None:
        self._list.value = (
            panel_html.failures(self._latest(ERRORS_SHOWN)) if self.errors.value else ""
        )

    def _say(self, text: str) -> None:
        self._said = text
        self._redraw()

    def _redraw(self) -> None:
        if not self._closed:
            self._draw(self._run.stats, plot=False)

    # -- what a person does, on any thread ----------------------------------------------------

    def _pause_clicked(self, _: object) -> None:
        if self._run.stats.state == "paused":
            self._run.resume()
        else:
            self._run.pause()
        self._soon(self._redraw)

    def _stop_clicked(self, _: object) -> None:
        self._run.stop()
        self._soon(self._redraw)

    def _errors_clicked(self, _: object) -> None:
        self._soon(self._draw_errors)

    def _soon(self, act: Callable[[], None]) -> None:
        engine_loop.get().call_soon_threadsafe(act)


def _set(widget: object, **traits: object) -> None:
    """Set traits that differ; a trait that stays costs no message."""
    for name, value in traits.items():
        if getattr(widget, name) != value:
            setattr(widget, name, value)
