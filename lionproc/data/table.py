"""Tables for the command line: read from a file, and drawn as text."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from lionproc.errors import ConfigurationError, LionprocError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table", "show", "text_column"]

SHOWN_ROWS = 12


def read_table(path: Path | None) -> pd.DataFrame:
    """Read a file as a table.

    Args:
        path: A CSV, TSV or parquet file; None for the sample reviews.

    Returns:
        At least one row; the labels of the columns are strings.

    Raises:
        ConfigurationError: There is no such file, or it is no table.
    """
    import pandas as pd

    if path is None:
        with files("lionproc.data").joinpath("reviews.csv").open(encoding="utf-8") as sample:
            return pd.read_csv(sample)
    if not path.is_file():
        raise _no_file(path)
    ending = path.suffix.lower()
    try:
        if ending in {".parquet", ".pq"}:
            frame = pd.read_parquet(path)
        elif ending in {".csv", ".tsv", ".txt"}:
            frame = pd.read_csv(path, sep="\t" if ending == ".tsv" else ",")
        else:
            raise ConfigurationError(
                f"{str(path)!r} ends in {ending!r}; this command reads .csv, .tsv and .parquet. "
                "In Python, any DataFrame will do: df.llm.process(...)."
            )
    except (OSError, ValueError) as error:  # pandas' and pyarrow's parse errors are ValueErrors
        if isinstance(error, LionprocError):
            raise
        # The parsers' messages quote what they could not read, so only their kind is passed on.
        raise ConfigurationError(
            f"{str(path)!r} cannot be read as a table ({type(error).__name__}). Is it really "
            f"a {ending} file, in UTF-8 and with a line of column names?"
        ) from error
    frame.columns = frame.columns.map(str)
    if frame.empty:
        raise ConfigurationError(f"{str(path)!r} has no rows.")
    return frame


def _no_file(path: Path) -> ConfigurationError:
    if path.is_dir():
        return ConfigurationError(f"{str(path)!r} is a folder. Give one file of it with --file.")
    folder = path.parent
    if not folder.is_dir():
        return ConfigurationError(f"There is no folder {str(folder)!r}.")
    tables = sorted(p.name for p in folder.iterdir() if p.suffix in {".csv", ".tsv", ".parquet"})
    return ConfigurationError(
        f"There is no file {path.name!r} in {str(folder.resolve())!r}."
        + did_you_mean(path.name, tables)
    )


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
        if frame[name].dtype.kind not in "biufcmM"
    }
    if not lengths:
        raise ConfigurationError(
            "No column holds text. Name one with --column." + did_you_mean("", columns)
        )
    return max(lengths, key=lambda name: lengths[name])


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
    rows = [[_line(value) for value in row] for row in frame[columns].head(SHOWN_ROWS).to_numpy()]
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
