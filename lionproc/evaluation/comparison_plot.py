"""`comparison.plot()`: how good against how dear, drawn by matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lionproc.errors import ConfigurationError
from lionproc.evaluation.compared import Compared
from lionproc.notebook.figure import MAIN, OTHER, TEXT, blank, tidy
from lionproc.notebook.formatting import dollars, plain, plural

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["figure"]

_NAMES = {
    "accuracy": "accuracy",
    "mae": "mean absolute error",
    "agreement": "agreement with others",
}


def figure(made: Compared) -> Figure:
    """Draw a comparison.

    Args:
        made: The comparison.

    Raises:
        ConfigurationError: There is nothing to draw.
        MissingDependencyError: matplotlib is not installed.
    """
    measure = next((name for name in _NAMES if name in made.table), None)
    table = made.table if measure is None else made.table[made.table[measure].notna()]
    if measure is None or not len(table):
        raise ConfigurationError("There is nothing to draw: no variant has an answer to compare.")
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

    title = f"{plain(made.called, 40)}: {plural(len(table), 'variant')}, {plural(len(made.frame), 'row')}"
    title += ", 95 % intervals" if "low" in table else ""
    drawn = blank(title, 7.0, 4.2, called="comparison.plot()")
    axis = drawn.subplots()
    tidy(axis, grid="both")
    known = table["usd_per_1000"].notna().all()
    # Without a price they stand side by side.
    across = (
        table["usd_per_1000"].astype(float) if known else pd.Series(range(len(table)), table.index)
    )
    for place, name in enumerate(table.index):
        value, x = float(table.loc[name, measure]), float(across.iloc[place])
        color = MAIN if name == made.best or made.best is None else OTHER
        if "low" in table and measure == "accuracy":
            low, high = float(table.loc[name, "low"]), float(table.loc[name, "high"])
            axis.vlines(x, low, high, color=color, linewidth=5, alpha=0.4)
        axis.plot([x], [value], "o", color=color, markersize=7)
        axis.annotate(
            plain(name, 28).replace("$", r"\$"), (x, value), xytext=(8, 4 + 11 * (place % 2)),
            textcoords="offset points", color=TEXT, fontsize=8,
        )  # fmt: skip
    axis.set_ylabel(_NAMES[measure], color=TEXT, fontsize=9)
    if measure != "mae":
        axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None, symbol=" %"))
    if known:
        axis.set_xlim(0, max(float(across.max()) * 1.35, 1e-9))
        axis.xaxis.set_major_locator(MaxNLocator(6))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: dollars(x).replace("$", r"\$")))
        axis.set_xlabel("US dollars for 1,000 rows", color=TEXT, fontsize=9)
    else:
        axis.set_xlim(-0.5, len(table) + 0.2)
        axis.set_xticks([])
        axis.set_xlabel("what they cost is not known of all", color=TEXT, fontsize=9)
    return drawn
