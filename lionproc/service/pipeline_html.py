"""The HTML of the service layer in notebooks: a diagram of a pipeline, and cards.

The styles are inline, and the colours can be read on light and on dark pages. On a page that
removes the styles every word is still there.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_TEXT = "class='mathjax_ignore tex2jax_ignore'"  # what is shown is no mathematics
GOOD, BAD, REST = "#2e9e5b", "#d64545", "rgba(128,128,128,.3)"
_QUIET = "opacity:.65"
_CELL = "text-align:left;vertical-align:top;padding:2px 16px 2px 0;border:0;background:none"
_BOX = (
    "border:1px solid rgba(128,128,128,.5);border-radius:6px;padding:8px 12px;min-width:10em;"
    "text-align:left;font-variant-numeric:tabular-nums"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A stage in the diagram.

    Attributes:
        name: The stage's name.
        about: Its kind of data and its limit, in a few words.
        waiting: Items that wait there.
        in_flight: Requests that were sent and have no reply yet.
        done: Items that passed the stage.
        failed: Items that the stage stopped.
        left: Items that have not reached the stage yet.
    """

    name: str
    about: str = ""
    waiting: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0
    left: int = 0


def as_html(name: str, boxes: Sequence[Box]) -> str:
    """The diagram of a pipeline for a notebook; all text is escaped."""
    arrow = f"<div style='padding:0 10px;align-self:center;{_QUIET}'>&rarr;</div>"
    diagram = arrow.join(_box(box) for box in boxes)
    return (
        f"<div {_TEXT} style='margin:4px 0'><strong>{html.escape(name)}</strong>"
        "<div style='display:flex;flex-wrap:wrap;row-gap:8px;margin-top:6px'>"
        f"{diagram or 'no stages yet'}</div></div>"
    )


def _box(box: Box) -> str:
    done = f"{box.done:,} done" if box.done or box.failed or box.left else "nothing yet"
    failed = f", <span style='color:{BAD}'>{box.failed:,} failed</span>" if box.failed else ""
    # Always a line, an empty one too, so that boxes keep their height while the counts change.
    now = f"{box.waiting:,} waiting, {box.in_flight:,} in flight"
    shown = now if box.waiting or box.in_flight else "&nbsp;"
    return (
        f"<div style='{_BOX}'><b>{html.escape(box.name)}</b>"
        f"<div style='font-size:85%;{_QUIET}'>{html.escape(box.about)}</div>"
        f"{bar((box.done, GOOD), (box.failed, BAD), (box.waiting + box.in_flight + box.left, REST))}"
        f"<div>{done}{failed}</div><div style='{_QUIET}'>{shown}</div></div>"
    )


def bar(*parts: tuple[int, str]) -> str:
    """A bar of coloured parts, as long as their numbers. Invisible without styles."""
    shown = [part for part in parts if part[0]] or [(1, REST)]
    pieces = "".join(
        f"<div style='flex:{number};background:{colour}'></div>" for number, colour in shown
    )
    return (
        "<div style='display:flex;gap:2px;height:4px;margin:6px 0;"
        f"border-radius:2px;overflow:hidden'>{pieces}</div>"
    )


def as_text(name: str, boxes: Sequence[Box]) -> str:
    """The diagram of a pipeline for a terminal."""
    diagram = " -> ".join(
        f"[{box.name}: {box.waiting + box.in_flight} here, {box.done} done, {box.failed} failed]"
        for box in boxes
    )
    return f"{name}: {diagram or 'no stages yet'}"


def card(name: str, state: str, lines: Iterable[tuple[str, str]], *, good: bool) -> str:
    """A card for a notebook: a name, a state and lines; all text is escaped."""
    rows = "".join(
        f"<tr style='background:none'>"
        f"<th scope='row' style='{_CELL};font-weight:normal;{_QUIET}'>{html.escape(label)}</th>"
        f"<td style='{_CELL}'>{html.escape(text)}</td></tr>"
        for label, text in lines
    )
    return (
        f"<div {_TEXT} style='max-width:760px;margin:4px 0'><strong>{html.escape(name)}: "
        f"<span style='color:{GOOD if good else BAD}'>{html.escape(state)}</span></strong>"
        "<table style='border:0;margin:4px 0 0;font-variant-numeric:tabular-nums'>"
        f"{rows}</table></div>"
    )
