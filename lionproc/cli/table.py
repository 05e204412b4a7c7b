"""Tables for a terminal: the sample, the column to ask about, and the first rows drawn as text."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from lionproc.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sample_reviews", "show", "text_column"]

SHOWN_ROWS = 12


def sample_reviews() -> pd.DataFrame:
    """The 60 reviews that come with the package: id, review, label."""
    import pandas as pd

    with files("lionproc.data").joinpath("reviews.csv").open(encoding="utf-8") as sample:
        return pd.read_csv(sample)


def text_column(frame: pd.DataFrame, wanted: str | None = None) -> str:
    """Choose the column to ask about: the wanted one, or the one with the longest texts.

    Raises:
        ConfigurationError: There is no such column, or none that holds text.
    """
    columns = list(frame.columns)
    if wanted is not None:
        if wanted not in columns:
            raise ConfigurationError(
                f"There is no column {wanted!r}." + did_you_mean(wanted, columns)
            )
        return wanted
    lengths = {
        name: frame[name].astype("str").str.len().mean()
        for name in columns
        if frame[name].dtype.kind not in "biufcmM" and not _are_numbers(frame[name])
    }
    if not lengths:
        raise ConfigurationError(
            "No column holds text. Name one with --column." + did_you_mean("", columns)
        )
    return max(lengths, key=lambda name: lengths[name])


def _are_numbers(column: pd.Series[str]) -> bool:
    """Whether all cells of text are numbers, as they stand in a CSV file."""
    import pandas as pd

    return bool(pd.to_numeric(column.dropna(), errors="coerce").notna().all())


def show(frame: pd.DataFrame, columns: list[str], *, width: int) -> str:
    """Draw the first rows as text.

    Args:
        frame: The table.
        columns: What to show of it. The first is cut so that a row fits.
        width: Characters in a line of the terminal.

    Returns:
        Lines without control characters: cells and answers are not to be trusted.
    """
    names = [_line(name) for name in columns]  # whoever wrote the file chose them
    cells = frame[columns].head(SHOWN_ROWS)
    cells = cells.astype(object).where(cells.notna(), "–")  # noqa: RUF001  (no answer, and no minus)
    rows = [[_line(value) for value in row] for row in cells.to_numpy()]
    widths = [max(len(row[i]) for row in [names, *rows]) for i in range(len(columns))]
    widths[1:] = [min(w, 24) for w in widths[1:]]
    widths[0] = max(12, min(widths[0], width - sum(widths[1:]) - 2 * len(widths)))
    lines = [
        "  ".join(_fit(text, w) for text, w in zip(row, widths, strict=True)).rstrip()
        for row in [names, ["-" * w for w in widths], *rows]
    ]
    if len(frame) > SHOWN_ROWS:
        lines.append(f"... and {len(frame) - SHOWN_ROWS:,} more")
    return "\n".join(lines)


def _line(value: object) -> str:
    return "".join(c if c.isprintable() else " " for c in str(value))


def _fit(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 3] + "..."
