"""Answers are written where they were asked for: a file beside the input, another, or a pipe."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from lionproc.cli.ending import said, show
from lionproc.cli.reading import STDIN, Format, Table, format_of
from lionproc.cli.refusing import STDOUT, refuse_loss, refuse_the_input, refuse_unwritable
from lionproc.engine.packed import write_packed
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.errors import ConfigurationError, LionprocError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Target",
    "target_of",
    "write_failures",
]

_CHUNK_ROWS = 10_000
_SIGNS = ",;\t\r"  # at which a program may split a line, as far as quotation marks do not hold it


@dataclass(frozen=True, slots=True)
class Target:
    """Where answers go.

    Attributes:
        path: A file, a folder of parts, an address, or "-" for standard output.
        format: How they are written.
        like: How CSV is written.
        as_is: Whether text that begins like a formula is left as it is, in CSV.
        moved: Whether programs split it at other signs than the input: a table with tabs as .csv.
    """

    path: str
    format: Format
    like: Table
    as_is: bool = False
    moved: bool = False

    @property
    def save(self) -> str | None:
        """What `process` itself saves: parquet, which has the facts of the run in it."""
        return self.path if self.format == "parquet" else None

    @property
    def _is_new(self) -> bool:
        """Whether the rows were in no CSV before, where their own text would act already."""
        return self.moved or self.like.format != "csv"

    def _labels(self, names: Iterable[str], answers: Collection[str]) -> list[str]:
        """The names of columns as they are written; those of answers are of a schema."""
        from lionproc.frame.spreadsheet import csv_cleaner

        if self.as_is or self.format != "csv":
            return list(names)
        clean = csv_cleaner(self.like.delimiter)
        return [str(clean(n, n)) if self._is_new or n in answers else n for n in names]

    def check(
        self, frame: pd.DataFrame, *, columns: Sequence[str], overwrite: bool, journal: Path | None
    ) -> None:
        """Refuse, before anything is sent, what cannot be written or would be lost.

        Args:
            frame: The rows.
            columns: The names of those that will be written.
            overwrite: Whether a file may be replaced that holds what the new one will not.
            journal: Where replies are kept, None for the usual place.

        Raises:
            ConfigurationError: It cannot be written, or holds more.
        """
        if self.format == "parquet":
            return
        if self.like.format == "parquet":  # the others hold nothing but texts and JSON
            self._check_cells(frame)
        if self.path == STDOUT:
            return
        refuse_unwritable(self.path, "--save", journal)
        if not is_url(self.path) and local_path(self.path).exists() and not overwrite:
            new = {*columns} - {*frame.columns}
            refuse_loss(self.path, len(frame), self._labels(columns, new))

    def _check_cells(self, frame: pd.DataFrame) -> None:
        """Write the rows to nowhere: parquet holds bytes, broken texts and times beyond others."""
        with Path(os.devnull).open("wb") as nowhere:
            try:
                self._write(frame, (), nowhere)
            except (LionprocError, MemoryError):
                raise
            except Exception:
                for name in frame.columns:
                    try:
                        self._write(frame[[name]].reset_index(drop=True), (), nowhere)
                    except Exception as error:  # noqa: BLE001  (as above)
                        raise ConfigurationError(
                            f"Column {str(name)!r} ({frame[name].dtype}) has cells that cannot be "
                            f"written as {self.format} ({type(error).__name__}), so nothing was "
                            "sent. Save to a .parquet file, or convert the column first."
                        ) from None
                raise

    def write(self, frame: pd.DataFrame, answers: Sequence[str]) -> None:
        """Write a frame, to a file whole or not at all.

        Args:
            frame: The rows with their answers.
            answers: The columns that a model has filled.

        Raises:
            SaveError: The file could not be written; an older one is untouched.
            BrokenPipeError: Nobody reads standard output any more.
        """
        if self.path == STDOUT:
            if sys.stdout.isatty():  # it obeys what is written to it, and a person reads
                made = io.BytesIO()
                self._write(frame, answers, made)
                show(made.getvalue().decode().removesuffix("\n"))
                return
            self._write(frame, answers, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        from lionproc.frame.place import saving

        with saving(self.path) as file:
            if self.path.lower().endswith(".gz"):
                write_packed(file, lambda sink: self._write(frame, answers, sink))
                return
            self._write(frame, answers, file)

    def _write(self, frame: pd.DataFrame, answers: Sequence[str], sink: IO[bytes]) -> None:
        from lionproc.frame.json_lines import named_levels, write_records
        from lionproc.frame.separator import SEPARATORS
        from lionproc.frame.spreadsheet import csv_cleaner, csv_end_cleaner
        from lionproc.frame.whole_numbers import with_levels

        if self.format == "jsonl":
            write_records(frame, sink.write)
            return
        levels = [name for name, _ in named_levels(frame)]
        frame = with_levels(frame, levels) if levels else frame
        clean = None if self.as_is else csv_cleaner(self.like.delimiter)
        only_end = None if self.as_is else csv_end_cleaner(self.like.delimiter)
        shown = {
            name: _for_csv(frame[name], clean if self._is_new or name in answers else only_end)
            for name in frame.columns
        }
        made: Any = frame.assign(**{str(k): v for k, v in shown.items() if v is not None})
        # A carriage return alone ends a line for some readers, and csv does not quote it; another
        # sign separates for programs elsewhere, and a formula may stand behind it.
        is_csv = self.like.delimiter in ",;" or _is_csv(self.path)
        split = f"[{_SIGNS.replace(self.like.delimiter, '')}]" if is_csv else "\r"
        labels = self._labels(made.columns, answers)
        # The first line tells what separates the others, unless a mark stands before it.
        told = f"[{SEPARATORS.replace(self.like.delimiter, '')}\r\ufeff]"
        odd = any(re.search(told, name) for name in labels) or any(
            made[name].astype("str").str.contains(split).any()
            for name in made.columns
            if made[name].dtype.kind not in "biufcmM"
        )
        first = made.iloc[:, 0] if len(made.columns) else ()
        quoting = csv.QUOTE_NONNUMERIC if odd else csv.QUOTE_MINIMAL
        goes_on = self.like.delimiter == "," or (is_csv and self.like.delimiter == "\t")
        if _may_go_on([*labels[:1], *first], numbers_too=goes_on):
            quoting = csv.QUOTE_ALL  # a number could go on with the end of the line before, too
        if self.like.marked:
            sink.write("\ufeff".encode())
        made.columns = labels
        made.to_csv(
            sink,
            index=False,
            sep=self.like.delimiter,
            encoding="utf-8",
            lineterminator="\n",
            quoting=quoting,
            chunksize=_CHUNK_ROWS,
        )


def _may_go_on(first: Iterable[object], *, numbers_too: bool) -> bool:
    """Whether one of the first cells of lines would be a formula with a bare text behind it.

    To a program with another separator the whole line is one cell, and a comma in it may be that
    of a decimal number, as a tab may be a space behind one.
    """
    from lionproc.frame.formulas import NUMBER, sign_of

    return any(
        sign_of(text) and (numbers_too or not NUMBER.fullmatch(text)) for text in map(str, first)
    )


def _for_csv(column: pd.Series[Any], clean: Callable[[Any, Any], Any] | None) -> Any:
    """A column as CSV can have it; None where it is so already. Lists and records become JSON."""
    import numpy as np
    import pandas as pd

    from lionproc.frame.dtypes import cells_of
    from lionproc.model.as_json import to_json

    dtype = column.dtype
    is_arrow = isinstance(dtype, pd.ArrowDtype)
    is_text = isinstance(dtype, pd.StringDtype)
    if (dtype.kind in "biufcmM" and not is_arrow) or (is_text and clean is None):
        return None
    cells = [
        to_json(cell).decode() if isinstance(cell, list | tuple | dict | np.ndarray) else cell
        for cell in cells_of(column)
    ]
    if clean is not None:
        cells = [c if isinstance(c, bytes) else clean(c, column.name) for c in cells]
    return pd.Series(cells, index=column.index, dtype=object)


def target_of(
    save: str | None,
    source: str,
    table: Table,
    to: Literal["csv", "jsonl"] | None = None,
    *,
    as_is: bool = False,
) -> Target:
    """Where the answers go.

    Args:
        save: What was asked for; None for a file beside the input, or standard output where the
            input came from standard input.
        source: The input.
        table: What was read from it.
        to: The format on standard output; None for that of the input.
        as_is: See `Target`.

    Raises:
        ConfigurationError: It is the input itself, or ends as no format that is written.
    """
    if save is None:
        save = STDOUT if source == STDIN else _beside(source)
        if local_path(save).is_symlink():  # nobody here chose where it leads
            raise ConfigurationError(
                f"{shown(save)!r} is a link to another place. Say with --save where the answers go."
            )
    if save == STDOUT:
        usual: Format = "jsonl" if table.format == "parquet" else table.format
        return Target(save, to or usual, table, as_is)
    refuse_the_input(save, source, "--save")
    is_folder = save.endswith(("/", os.sep)) or is_url(save) or local_path(save).is_dir()
    said = format_of(save) or ("parquet" if is_folder or not Path(save).suffix else None)
    if said is None:
        raise ConfigurationError(
            f"{Path(save).name!r} ends in {Path(save).suffix!r}; this command writes .csv, .tsv, "
            ".jsonl and .parquet, and folders of parquet parts (--save folder/)."
        )
    if table.format != "csv":
        table = Table(table.frame, table.format)
    if save.lower().removesuffix(".gz").endswith(".tsv"):
        table = Table(table.frame, table.format, "\t", table.marked)
    moved = table.delimiter not in ",;" and _is_csv(save) and not _is_csv(source)
    return Target(save, said, table, as_is, moved)


def _is_csv(path: str) -> bool:
    return path.lower().removesuffix(".gz").endswith(".csv")


def write_failures(failed: pd.DataFrame, path: str) -> None:
    """List the rows that failed in a CSV file, in the words of the command.

    Args:
        failed: What `errors()` of a run returns.
        path: Where it is written.

    Raises:
        SaveError: It could not be written.
    """
    words = {name: failed[name].map(said, na_action="ignore") for name in ("message", "hint")}
    failed.assign(**words).llm.to_csv(path, index=False)


def _beside(source: str) -> str:
    path = Path(source)
    name = path.name.removesuffix(".gz")
    return str(path.with_name(f"{Path(name).stem}-answered{Path(name).suffix}"))
