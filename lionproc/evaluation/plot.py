"""`score.plot()`: what was taken for what, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.card import headline
from lionproc.evaluation.scored import Scored, most_frequent
from lionproc.notebook.figure import BAD, MAIN, OTHER, TEXT, blank, tidy
from lionproc.notebook.formatting import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["figure"]

MOST = 20  # labels in the picture
RIGHT = "#2e9e5b"
INK = "#1d2127"  # what is read on a tint, which is a light one whatever the page behind it is


def figure(score: Scored) -> Figure:
    """Draw a score.

    Args:
        score: The score.

    Raises:
        ConfigurationError: There is nothing to draw.
        MissingDependencyError: matplotlib is not installed.
    """
    title = plain(headline(score).removeprefix("lionproc: "), 160)
    if score.n and score.points is not None:
        made = blank(title, 5.0, 5.0, called="score.plot()")
        _numbers(made.subplots(), score.points)
        return made
    if not score.n or score.table is None:
        raise ConfigurationError("There is nothing to draw: no row has both gold and an answer.")
    if score.table.empty:
        raise ConfigurationError("There is nothing to draw: all lists are empty.")
    places = most_frequent(score.table, "support", MOST)
    told = "of the gold" if score.gold_in_all else "corrected, 95 %"
    if score.shares is None:
        made = blank(title, 7.0, 1.2 + 0.32 * len(places), called="score.plot()")
        _items(made.subplots(), score.table.iloc[places])
    elif score.confusion is None:  # too many labels for one
        made = blank(title, 6.0, 1.2 + 0.32 * len(places), called="score.plot()")
        _shares(made.subplots(), score.shares.iloc[places], told)
    else:
        more = score.reliability is not None
        made = blank(
            title, 10.5 if more else 8.0, max(3.2, 1.4 + 0.42 * len(places)), called="score.plot()"
        )
        confusion, shares, *further = made.subplots(1, 2 + more)
        _confusion(confusion, score.confusion.iloc[places, places])
        _shares(shares, score.shares.iloc[places], told)
        for axis in further:
            _reliability(axis, score)
    return made


def _names(labels: Sequence[object]) -> list[str]:
    return [plain(label, 24).replace("$", r"\$") for label in labels]


def _head(axis: Axes, title: str, pad: float = 8) -> None:
    axis.set_title(title, loc="left", color=TEXT, fontsize=10, fontweight="bold", pad=pad)


def _confusion(axis: Axes, table: pd.DataFrame) -> None:
    from matplotlib.patches import Rectangle

    tidy(axis)
    _head(axis, "Gold by row, answer by column")
    labels, counts = _names(list(table.index)), table.to_numpy()
    size, of_row = len(labels), counts.sum(axis=1)
    for gold in range(size):
        for said in range(size):
            part = counts[gold, said] / (of_row[gold] or 1)
            color = _tint(RIGHT if gold == said else BAD, 0.15 + 0.6 * part) if part else TEXT
            axis.add_patch(
                Rectangle((said - 0.47, gold - 0.47), 0.94, 0.94, linewidth=0,
                          facecolor=color, alpha=1 if part else 0.1)
            )  # fmt: skip
            axis.text(
                said, gold, f"{counts[gold, said]:,}", ha="center", va="center",
                fontsize=9 if size <= 10 else 6, color=INK if part else TEXT,
            )  # fmt: skip
    axis.set_xlim(-0.5, size - 0.5)
    axis.set_ylim(size - 0.5, -0.5)
    axis.spines["bottom"].set_visible(False)
    slanted = size > 4 or max(map(len, labels)) > 10
    axis.set_xticks(
        range(size), labels, rotation=30 if slanted else 0, ha="right" if slanted else "center"
    )
    axis.set_yticks(range(size), labels)


def _shares(axis: Axes, shares: pd.DataFrame, told: str) -> None:
    tidy(axis, grid="x")
    _head(axis, "Share in the whole frame", pad=20)
    places = np.arange(len(shares))
    low, share, high = (shares[name].to_numpy() for name in ("low", "share", "high"))
    axis.hlines(places, low, high, color=MAIN, linewidth=5, alpha=0.4)
    axis.plot(share, places, "o", color=MAIN, markersize=6, label=told)
    axis.plot(
        shares["answers"],
        places,
        "|",
        color=OTHER,
        markersize=14,
        markeredgewidth=2,
        label="as answered",
    )
    axis.set_xlim(0, min(1.0, 1.15 * float(max(high.max(), shares["answers"].max()))))
    axis.set_ylim(len(shares) - 0.5, -0.5)
    axis.set_yticks(places, _names(list(shares.index)))
    _percents(axis)
    _legend(axis)


def _reliability(axis: Axes, score: Scored) -> None:
    """How often answers are right against how sure they were."""
    table = score.reliability
    assert table is not None  # noqa: S101  (else it is not drawn)
    tidy(axis, grid="both")
    _head(axis, "Right, by how sure it was", pad=20)
    sure, right, low, high = (
        table[name].to_numpy("float64") for name in ("confidence", "accuracy", "low", "high")
    )
    axis.plot([0, 1], [0, 1], color=TEXT, linewidth=1.2, linestyle=(0, (5, 3)), alpha=0.7)
    axis.vlines(sure, low, high, color=MAIN, linewidth=5, alpha=0.4)
    axis.plot(sure, right, "o-", color=MAIN, markersize=6, linewidth=1, label="right, 95 %")
    cover = score.coverage
    if cover is not None and cover.threshold is not None:
        told = f"{100 * cover.share:.0f} % of the rows from {cover.threshold:.2f} on"
        axis.axvline(cover.threshold, color=OTHER, linewidth=1.6, label=told)
    start = max(0.0, float(min(sure.min(), low.min())) - 0.05)
    axis.set_xlim(start, 1.02)
    axis.set_ylim(start, 1.02)
    axis.set_xlabel("confidence", color=TEXT, fontsize=9)
    _percents(axis)
    _percents(axis, up=True)
    _legend(axis)


def _items(axis: Axes, table: pd.DataFrame) -> None:
    tidy(axis, grid="x")
    _head(axis, "Items, the most frequent first", pad=20)
    places = np.arange(len(table))
    precision, recall = (
        table[name].to_numpy("float64", na_value=np.nan) for name in ("precision", "recall")
    )
    axis.plot(precision, places, "o", color=MAIN, markersize=6, label="precision")
    axis.plot(
        recall, places, "D", color=OTHER, markersize=9, label="recall",
        markerfacecolor="none", markeredgewidth=1.6,
    )  # fmt: skip
    axis.set_xlim(-0.02, 1.02)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_yticks(places, _names(list(table.index)))
    _percents(axis)
    _legend(axis)


def _numbers(axis: Axes, points: npt.NDArray[np.float64]) -> None:
    from matplotlib.ticker import MaxNLocator

    tidy(axis, grid="both")
    _head(axis, "Answer against gold")
    whole = bool((points == np.round(points)).all())
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(MaxNLocator(8, integer=whole))
    ends = [float(points.min()), float(points.max())]
    axis.plot(ends, ends, color=TEXT, linewidth=1.2, linestyle=(0, (5, 3)))
    # As large as there are rows: whole numbers lie on one another.
    points, counts = np.unique(points, axis=0, return_counts=True)
    sizes = 14 + 260 * (counts - 1) / max(1, counts.max() - 1) if counts.max() > 1 else 14
    axis.scatter(points[:, 0], points[:, 1], s=sizes, color=MAIN, alpha=0.55, linewidths=0)
    axis.set_xlabel("gold", color=TEXT, fontsize=9)
    axis.set_ylabel("answer", color=TEXT, fontsize=9)


def _percents(axis: Axes, *, up: bool = False) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    along = axis.yaxis if up else axis.xaxis
    along.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    along.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=" %"))


def _legend(axis: Axes) -> None:
    axis.legend(
        loc="lower left", fontsize=8, frameon=False, labelcolor=TEXT, ncols=4,
        bbox_to_anchor=(-0.02, 0.99), handlelength=1.4, columnspacing=1.2, borderaxespad=0.2,
    )  # fmt: skip


def _tint(color: str, share: float) -> tuple[float, ...]:
    """A color in white."""
    from matplotlib.colors import to_rgb

    return tuple(1 - share * (1 - part) for part in to_rgb(color))
