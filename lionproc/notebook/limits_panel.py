"""The limits that all runs to a model share, to set before and between runs."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

from lionproc.engine import loop as engine_loop
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.promise import Promise
from lionproc.engine.stats import RunStats
from lionproc.engine.tokens import REQUESTS, TOKENS
from lionproc.notebook import panel_html
from lionproc.notebook.formatting import safe
from lionproc.notebook.frontend import (
    Delivery,
    Output,
    Screen,
    bundle_of,
    close_all,
    let_events_through,
    surface,
)
from lionproc.notebook.limit_controls import LimitControls
from lionproc.notebook.notes import Note
from lionproc.notebook.style import CSS

REDRAW_S = 0.5
_open: weakref.WeakKeyDictionary[Limiter, LimitsPanel] = weakref.WeakKeyDictionary()
TOO_LATE = "This frontend delivers moves only when the cell has ended."


class LimitsPanel:
    """The live limits of a model, as `df.llm.limits()` gives them.

    In a notebook it shows sliders, and what was used in the last minute. Only the one that was
    shown last is live. Everywhere else it prints the limits.

    Args:
        limiter: Whose limits.
        title: What they are the limits of.
        screen: Where it appears; the output of the running cell by default.

    Example:
        ```python
        panel = df.llm.limits()
        panel.limits.requests_per_minute = 300
        ```
    """

    def __init__(self, limiter: Limiter, title: str, screen: Screen | None = None) -> None:
        self._limiter = limiter
        self._title = title
        self._screen = screen
        self._said = ""
        self._ticking: Promise[None] | None = None
        self._shown = False

    @property
    def limits(self) -> Limits:
        """The live limits; assign a field and it acts at once."""
        return self._limiter.limits

    def _ipython_display_(self) -> None:
        if surface() == "notebook":
            self.show()
        else:
            print(repr(self))  # noqa: T201  (how IPython asks for a text)

    def __repr__(self) -> str:
        return f"{self._title}: {self.limits!r}"

    def show(self) -> None:
        """Open it in the output of the running cell."""
        import ipywidgets

        before = _open.get(self._limiter)
        if before is not None:
            before.close()
        _open[self._limiter] = self
        screen = self._screen = Output() if self._screen is None or self._shown else self._screen
        self._shown = True
        self._delivery = Delivery()
        self.wheel = LimitControls(lambda: self.limits, self._say)
        self._style = ipywidgets.HTML(CSS)
        self._head, self._tiles, self._note = (ipywidgets.HTML() for _ in range(3))
        self._note.add_class("lp-note")
        self.box: Any = ipywidgets.VBox(
            [self._style, self._head, self._tiles, self.wheel.box, self._note]
        )
        self.box.add_class("lp-panel")
        let_events_through(self.wheel.movable)
        self._draw()
        screen.show(bundle_of(self.box, repr(self)))
        self._ticking = engine_loop.submit(self._tick())

    def close(self) -> None:
        """Leave the limits as a text in place of the panel."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
            self._delivery.close()
            if _open.get(self._limiter) is self:
                del _open[self._limiter]
            if self._screen is not None:
                text = repr(self)
                self._screen.replace({"text/plain": text, "text/html": f"<p>{safe(text, 400)}</p>"})
            close_all([
                *self.wheel.widgets, self._style, self._head, self._tiles, self._note, self.box,
            ])  # fmt: skip

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(REDRAW_S)
            self._draw()

    def _draw(self) -> None:
        limiter = self._limiter
        stats = RunStats(
            in_flight=limiter.in_flight,
            requests_per_minute=limiter.per_minute(REQUESTS, 60.0),
            tokens_per_minute=limiter.per_minute(TOKENS, 60.0),
            requests_limit=limiter.effective(REQUESTS),
            tokens_limit=limiter.effective(TOKENS),
            learned_requests_per_minute=limiter.learned.per_minute,
            learned_from=limiter.learned.source,
            concurrency=limiter.concurrency,
        )
        self._head.value = (
            f"<div class='lp-top'><b>Limits</b><span class='lp-what'>{safe(self._title)}</span>"
            "<span class='lp-when'>shared by all runs; the last 60 s</span></div>"
        )
        self._tiles.value = panel_html.rates(stats, self.limits)
        self.wheel.sync()
        works = self._delivery.works
        self.wheel.enable(on=works)
        self._note.value = panel_html.note(
            Note(self._said or ("" if works else TOO_LATE), alert=True)
        )

    def _say(self, text: str) -> None:
        self._said = text
        self._draw()
