"""Tables for the command: CSV, JSON Lines and parquet, from files and from standard input.

Cells of CSV are texts, as they stand in the file: "007" stays "007" and "NA" stays "NA", for a
prompt that shows another text than the file asks another question. An empty cell is a missing one.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import sys
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, cast

from lionproc.cli.csv_rows import csv_frame
from lionproc.engine.packed import TIMES as PACKED_TIMES
from lionproc.engine.packed import most_unpacked
from lionproc.engine.paths import local_path, missing_file
from lionproc.engine.regular_file import bytes_of, first_hole
from lionproc.engine.spare_memory import spare_memory
from lionproc.engine.unfolding import TIMES, room_of, room_of_texts
from lionproc.errors import ConfigurationError, LionprocError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["STDIN", "Format", "Table", "format_of", "missing_table", "read"]

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]
STDIN = "-"
ENDINGS: dict[str, Format] = {
    **dict.fromkeys((".csv", ".tsv", ".txt"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
}
_HEAD = 1 << 16  # bytes that are looked at to learn how a file is written
_LONGEST_CELL = 2**31 - 1  # a cell may be a document
_SPARE_BYTES = 2**28  # of memory for lists and objects, beyond those in proportion to the lines
_CELL = 8  # bytes of memory of one, beside its letters
_WORKBOOKS = {".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table, and how its file is written, so that the answers are written alike.

    Attributes:
        frame: The rows.
        format: What it was read from.
        delimiter: Between the cells of CSV.
        marked: Whether a byte order mark stood at its start, as Excel wants it.
    """

    frame: pd.DataFrame
    format: Format
    delimiter: str = ","
    marked: bool = False


def format_of(path: str) -> Format | None:
    """The format that the ending of a name says (.gz may follow it); None for another one."""
    name = path.lower().removesuffix(".gz")
    return ENDINGS.get(Path(name).suffix)


def read(
    path: str,
    *,
    format: Format | None = None,  # noqa: A002 - the field of a `Table`
    delimiter: str | None = None,
    encoding: str | None = None,
    rows: int | None = None,
    cells: bool = True,
) -> Table:
    """Read a file once, from its beginning to its end.

    Args:
        path: A file, or "-" for standard input.
        format: What it is, where its ending does not say so.
        delimiter: Between the cells of CSV; None for the one that its first line has.
        encoding: Of CSV; None for UTF-8, or what a byte order mark says.
        rows: Read the first ones only.
        cells: Whether they are wanted. If not, those of JSON Lines are missing in the frame.

    Raises:
        ConfigurationError: There is no such file, or it is no such table.
    """
    if rows is not None and rows < 1:
        raise ConfigurationError(f"--rows must be 1 or more, not {rows}.")
    said = format or format_of(path)
    if said is None and path != STDIN and local_path(path).is_dir():
        if not any(local_path(path).glob("part-*.parquet")):
            raise ConfigurationError(
                f"{path!r} is a folder, and none of parquet parts. Give one file of it."
            )
        said = "parquet"
    try:
        if path == STDIN:
            source: Any = io.BytesIO(sys.stdin.buffer.read())
            said = said or ("jsonl" if source.getvalue()[:_HEAD].lstrip()[:1] == b"{" else "csv")
        else:
            source = _opened(path, said)
        if said == "parquet":
            return Table(_parquet(path, rows), "parquet")
        with source:
            if said == "jsonl":
                return Table(_json_lines(source, rows, keep=cells), "jsonl")
            return _csv(source, path, delimiter, encoding, rows)
    except (OSError, ValueError, LookupError, csv.Error, EOFError, zlib.error, Warning) as error:
        if isinstance(error, LionprocError):
            raise
        raise ConfigurationError(_why(path, said, error)) from error


def _opened(path: str, said: Format | None) -> IO[bytes] | None:
    place = local_path(path)
    if not place.exists():
        raise missing_table(place)
    if said is None:
        more = "--from says which of them it is."
        if place.suffix.lower() in _WORKBOOKS:
            more = "Save the sheet as CSV, or read it with pandas and use df.llm in a notebook."
        raise ConfigurationError(
            f"{place.name!r} ends in {place.suffix!r}; this command reads .csv, .tsv, .jsonl and "
            f".parquet. {more}"
        )
    if said == "parquet":
        return None
    if not place.is_file() and not place.is_fifo():  # a device may never end
        raise ConfigurationError(
            f"{path!r} is neither a file nor a pipe. Give a file, or - for standard input."
        )
    if place.is_fifo():  # `<(zcat a.csv.gz)` of a shell; what is read of it does not come again
        return io.BytesIO(place.read_bytes())
    if place.suffix.lower() == ".gz":
        return cast("IO[bytes]", io.BufferedReader(_Unpacked(place), _HEAD))
    file = place.open("rb")
    if first_hole(file.fileno()) < place.stat().st_size:  # terabytes, and none on the disk
        file.close()
        raise ConfigurationError(f"{path!r} has a hole, and is no table.")
    return file


class _Unpacked(io.RawIOBase):
    """A file of gzip, as far as it is no bomb.

    Args:
        place: Where it is.
    """

    def __init__(self, place: Path) -> None:
        self._name = place.name
        self._file = gzip.GzipFile(place)
        size = bytes_of(place.stat())
        self._most = most_unpacked(size)
        self._most_memory = max(self._most, spare_memory())

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, into: Any) -> int:
        read = self._file.readinto(into)
        if self._file.tell() > self._most:
            raise ConfigurationError(
                f"{self._name!r} unpacks to more than {PACKED_TIMES} times its size, so it is not read. "
                "If that is meant, unpack it first: gunzip --keep."
            )
        return read

    def check(self, memory: int) -> None:
        """Refuse a table that would take far more memory than the file has bytes, and than there is.

        Args:
            memory: The bytes of it.

        Raises:
            ConfigurationError: It would.
        """
        if memory > self._most_memory:
            raise ConfigurationError(
                f"{self._name!r} would take {memory / 1e9:,.1f} GB of memory as a table, more than "
                f"{PACKED_TIMES} times its size, so it is not read. If that is meant, unpack it first: "
                "gunzip --keep."
            )

    def close(self) -> None:
        self._file.close()
        super().close()


def _check_memory(source: Any, memory: int) -> None:
    packed = getattr(source, "raw", None)
    if isinstance(packed, _Unpacked):
        packed.check(memory)


def missing_table(path: Path) -> ConfigurationError:
    """The error for a table that is not there; it names those that are near."""
    return missing_file(path, (*ENDINGS, *(f"{ending}.gz" for ending in ENDINGS)))


def _why(path: str, said: Format | None, error: Exception) -> str:
    """What is wrong with a file. Parsers quote what they could not read, so they are not quoted."""
    name = "What comes from standard input" if path == STDIN else repr(path)
    if isinstance(error, UnicodeError):
        return (
            f"{name} is not written in UTF-8. Say how it is, as in --encoding cp1252 (Excel in "
            "western Europe) or --encoding shift_jis."
        )
    if isinstance(error, zlib.error | EOFError):
        return f"{name} cannot be read: it is damaged, or not all of it is there."
    if isinstance(error, LookupError):
        return f"There is no such encoding: {error}."
    if isinstance(error, OSError):
        return f"{name} cannot be read: {error.strerror or type(error).__name__}."
    if isinstance(error, csv.Error):
        return f"{name} cannot be read as a table: {error}."
    return (
        f"{name} cannot be read as a table ({type(error).__name__}). Is it really "
        f"{'CSV with a line of column names' if said == 'csv' else said}?"
    )


def _parquet(path: str, rows: int | None) -> pd.DataFrame:
    if path == STDIN:
        raise ConfigurationError(
            "Parquet is read from a file, not from standard input: give its path."
        )
    from lionproc.frame.parquet_reader import read_parquet

    frame = read_parquet(path)
    # Names are texts here, as in a CSV and in a prompt.
    frame.columns = [", ".join(map(str, n)) if isinstance(n, tuple) else str(n) for n in frame]
    names = [*frame.columns, *(str(name) for name in frame.index.names if name is not None)]
    _must_differ(names)
    return frame if rows is None else frame.head(rows)


def _csv(
    source: Any, path: str, delimiter: str | None, encoding: str | None, rows: int | None
) -> Table:
    from lionproc.frame.byte_order import marked_encoding

    head = source.read(_HEAD)
    source.seek(0)
    marked = marked_encoding(head)
    encoding = encoding or marked or "utf-8"
    is_tsv = path.lower().removesuffix(".gz").endswith(".tsv")
    usual = "\t" if is_tsv else None
    names, found = _header(source, head, encoding, delimiter or usual, rows)
    lines = io.TextIOWrapper(source, encoding, newline="")
    frame = csv_frame(lines, found, names, rows)
    lines.detach()
    return Table(frame, "csv", found, marked is not None)


def _header(
    source: Any, head: bytes, encoding: str, delimiter: str | None, rows: int | None
) -> tuple[list[str], str]:
    """The names in the first line, however long it is, and what is between them.

    Raises:
        ConfigurationError: Names are there twice, or the rows below would make far more cells than
            the file has bytes.
        csv.Error: There are none.
    """
    from lionproc.frame.separator import separator_of
    from lionproc.frame.table_bounds import LINES

    lines = io.TextIOWrapper(source, encoding, newline="")  # refuses what decodes no text
    if delimiter is None:
        delimiter = separator_of(codecs.getincrementaldecoder(encoding)().decode(head))
    if len(delimiter) != 1:
        raise ConfigurationError(f"--delimiter is one character, not {delimiter!r}.")
    csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_CELL))
    reader = csv.reader(lines, delimiter=delimiter)
    names = next(filter(None, reader), [])
    if not names:
        raise csv.Error("there is nothing in it")
    LINES.check("The table", columns=len(names), rows=1, written=source.tell())
    _must_differ(names)
    widest, count = len(names), 0
    for row in itertools.islice(reader, rows):
        count += bool(row) or widest == 1
        widest = max(widest, len(row))
    LINES.check("The table", columns=widest, rows=count, written=source.tell())
    _check_memory(source, source.tell() + _CELL * widest * count)
    lines.detach().seek(0)
    return names, delimiter


def _must_differ(names: list[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigurationError(
                f"Two columns are called {name!r}, so it is not clear which is meant. Rename one."
            )


def _json_lines(source: Any, rows: int | None, *, keep: bool) -> pd.DataFrame:
    import pandas as pd

    from lionproc.frame.byte_order import marked_encoding
    from lionproc.frame.table_bounds import LINES

    marked = marked_encoding(source.read(_HEAD))
    source.seek(0)
    lines = source if marked in {None, "utf-8-sig"} else _recoded(source, str(marked))
    places: dict[str, array[int]] = defaultdict(lambda: array("q"))  # a row may have few of them
    cells: dict[str, list[Any]] = defaultdict(list)
    count = 0
    weigh = partial(_check_memory, source) if keep else None
    for count, record in enumerate(itertools.islice(_records(lines, weigh), rows), 1):
        LINES.check("The table", columns=max(len(record), len(cells)), rows=1, written=0)
        for name, cell in record.items():
            column = cells[name]
            if keep:
                places[name].append(count - 1)
                column.append(cell)
    LINES.check("The table", columns=len(cells), rows=count, written=source.tell())
    if not keep:
        return pd.DataFrame(index=range(count), columns=list(cells))
    return pd.DataFrame(
        {name: _column(_spread(cells[name], places[name], count)) for name in list(cells)},
        index=range(count),
    )


def _spread(cells: list[Any], places: array[int], count: int) -> list[Any]:
    """A cell for each row, None where there is none."""
    if len(cells) == count:
        return cells
    made: list[Any] = [None] * count
    for place, cell in zip(places, cells, strict=True):
        made[place] = cell
    return made


def _recoded(source: Any, encoding: str) -> Iterator[bytes]:
    """Its lines in UTF-8."""
    text = io.TextIOWrapper(source, encoding, newline="\n")
    try:
        for line in text:
            yield line.encode()
    finally:
        text.detach()  # or the end of this one would close the other


def _records(source: Any, weigh: Callable[[int], None] | None) -> Iterator[dict[str, Any]]:
    from lionproc.cli.json_row import json_row  # late, for it takes the packages of models along

    room = size = texts = 0
    for number, line in enumerate(source, 1):
        bare = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if not bare.strip():
            continue
        own = room_of(b"{ }")
        room += room_of(bare, own + TIMES * len(bare)) - own
        size += len(bare)
        if room > _SPARE_BYTES + TIMES * size:
            raise ConfigurationError(
                f"Line {number:,} and those before have so many empty lists and objects that they take "
                "far more memory than the file has bytes. Leave those cells out, or give them as text."
            )
        if weigh is not None:
            texts += room_of_texts(bare)
            weigh(room + texts + size)
        yield json_row(bare, number)


def _column(cells: list[Any]) -> Any:
    """A column of the type that its cells have: whole numbers stay whole beside missing cells."""
    import pandas as pd

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {str}:
        return pd.Series(cells).array  # text, in the way of this pandas
    if kinds in ({int}, {float}, {bool}):
        try:
            return pd.array(cells)
        except (OverflowError, ValueError):
            pass
    return pd.Series(cells, dtype=object).array
