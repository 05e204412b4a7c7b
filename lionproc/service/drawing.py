"""A pipeline as a picture: boxes, arrows, and what is going on in each."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_BOX = (
    "border:1px solid currentColor;border-radius:6px;padding:6px 12px;min-width:9em;"
    "display:inline-block;vertical-align:top;text-align:left;opacity:.9"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A stage in the drawing.

    Attributes:
        name: Its name.
        about: What it does, in a few words.
        waiting: Items that wait there.
        in_flight: Requests on their way.
        done: Items that passed.
        failed: Items that it stopped.
    """

    name: str
    about: str = ""
    waiting: int = 0
    in_flight: int = 0
    done: int = 0
    failed: int = 0


def as_html(name: str, boxes: Sequence[Box]) -> str:
    """The drawing for a notebook; everything in it is escaped."""
    drawn = "<span style='padding:0 .6em'>&rarr;</span>".join(_box(box) for box in boxes)
    return (
        f"<div><b>{html.escape(name)}</b></div>"
        f"<div style='white-space:nowrap;overflow-x:auto'>{drawn or 'no stages yet'}</div>"
    )


def _box(box: Box) -> str:
    failed = f"<span style='color:firebrick'>{box.failed:,} failed</span>"
    return (
        f"<div style='{_BOX}'><b>{html.escape(box.name)}</b>"
        f"<div style='font-size:85%'>{html.escape(box.about)}</div>"
        f"<div>{box.waiting:,} waiting, {box.in_flight:,} in flight</div>"
        f"<div>{box.done:,} done{', ' + failed if box.failed else ''}</div></div>"
    )


def as_text(name: str, boxes: Sequence[Box]) -> str:
    """The drawing for a terminal."""
    drawn = " -> ".join(
        f"[{box.name}: {box.waiting + box.in_flight} here, {box.done} done, {box.failed} failed]"
        for box in boxes
    )
    return f"{name}: {drawn or 'no stages yet'}"
