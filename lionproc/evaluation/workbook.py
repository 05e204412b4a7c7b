"""The cells of a workbook's first sheet, and nothing else that is in the file.

openpyxl reads all of a workbook before its first cell, and a stranger may have made it: the names of
ranges take the square of their length, formats are looked through once for each style, and a part
once for each sheet that is said to be in it. So a few kilobytes took hours. Here each part is looked
through and then read once, from its beginning to its end, and of openpyxl is what makes a cell of its
text.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import posixpath
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import XMLParser, iterparse

from lionproc.evaluation.markup import check_markup

__all__ = ["first_sheet"]

LONGEST_FORMAT = 255  # characters of a number format, as Excel has it
MOST_TAGS_OF_A_ROW = 10 * 16_384  # and attributes: as many cells as Excel has columns
_LONGEST_NUMBER = 1000  # characters; Excel writes no more than two dozen
MOST_FORMATS = 5_000  # of numbers; Excel takes some hundred
MOST_LETTERS_OF_A_ROW = 2**24
MOST_SHEETS = 1000  # that are looked at for the first one with cells
_PIECE = 2**16
_SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}worksheet"
_STYLES = "xl/styles.xml"  # where openpyxl looks for them, too


@contextlib.contextmanager
def first_sheet(place: Path) -> Iterator[Iterator[Sequence[object]]]:
    """The rows of the first sheet, in the types that its cells have.

    Args:
        place: An .xlsx, whose size was looked at.

    Yields:
        The rows, one at a time.

    Raises:
        ValueError: It has no sheet.
        Exception: It is damaged, or not all of it is there.
    """
    reading: Any = importlib.import_module("openpyxl.worksheet._reader")
    moments: Any = importlib.import_module("openpyxl.utils.datetime")
    with zipfile.ZipFile(place) as archive:
        book = _Book(archive)
        days, spans = _formats_of_times(archive)
        _Beginning().read(archive, book.sheet)
        with archive.open(book.sheet) as part:
            cells = reading.WorkSheetParser(
                part,
                _strings(archive, book.strings),
                data_only=True,
                epoch=moments.CALENDAR_MAC_1904 if book.is_of_1904 else moments.WINDOWS_EPOCH,
                date_formats=days,
                timedelta_formats=spans,
            )
            yield _rows(part, cells)


def _rows(part: IO[bytes], cells: Any) -> Iterator[Sequence[object]]:
    """The rows of a sheet, missing ones too. Nothing of it is kept, and what has no cells not made.

    Raises:
        ValueError: A row has more cells than Excel has columns.
    """
    within: list[Any] = []
    inside = tags = letters = 0  # of a row
    following = 1
    for event, element in iterparse(part, ("start", "end")):  # noqa: S314  (`_Beginning` has)
        is_row = _bare(element.tag) == "row"
        if event == "start":
            within.append(element)
            inside += is_row
            tags = tags + 1 + len(element.attrib) if inside else 0
            if tags > MOST_TAGS_OF_A_ROW:
                raise ValueError("a row has more cells than a row of Excel")
            continue
        within.pop()
        if inside:  # of what is beside the rows nothing is read
            _refuse_long_numbers(element, within)
            letters += len(element.text or "")
        if letters > MOST_LETTERS_OF_A_ROW:
            raise ValueError("a row has more text than a row of Excel")
        inside -= is_row
        if is_row and not inside:
            tags = letters = 0
            number, found = cells.parse_row(element)
            if following <= number:
                yield from itertools.repeat((), number - following)
                following = number + 1
                yield _row(found)
        if _bare(element.tag) == "sheetData":
            return  # there are no cells behind it
        if within and not inside:
            within[-1].clear()


def _refuse_long_numbers(element: Any, within: Sequence[Any]) -> None:
    """Raise a ValueError for a number of thousands of digits, which may take Python their square."""
    is_text = bool(within) and within[-1].get("t") in {"str", "inlineStr"}
    is_number = _bare(element.tag) == "v" and not is_text
    if is_number and len(element.text or "") > _LONGEST_NUMBER:
        raise ValueError("a number in it has thousands of digits")
    if any(len(said) > _LONGEST_NUMBER for said in element.attrib.values()):
        raise ValueError("an attribute of a cell is no word and no number")


def _row(cells: Sequence[dict[str, Any]]) -> Sequence[object]:
    row: list[object] = [None] * max((cell["column"] for cell in cells), default=0)
    for cell in cells:
        row[cell["column"] - 1] = cell["value"]
    return row


class _Part:
    """What one part of a file says, tag by tag, of which nothing is kept but what is wanted."""

    is_over = False  # nothing more of it is wanted

    def read(self, archive: zipfile.ZipFile, name: str) -> None:
        """Read the part of this name.

        Raises:
            KeyError: There is none.
            SyntaxError: It is no XML.
            ValueError: It unfolds to far more than it is.
        """
        with archive.open(name) as part:
            check_markup(part)
        parser = XMLParser(target=self)  # noqa: S314  (it was checked)
        with archive.open(name) as part:
            while not self.is_over and (piece := part.read(_PIECE)):
                parser.feed(piece)
        if not self.is_over:
            parser.close()

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """A tag begins."""

    def end(self, tag: str) -> None:
        """A tag ends."""

    def data(self, text: str) -> None:
        """Some of the text within one."""

    def close(self) -> None:
        """It is read."""


class _Beginning(_Part):
    """The first tag of a sheet; all of it is looked through before."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        del attributes
        if not self.is_over and tag != _SHEET:
            raise ValueError("its sheet is of another kind, such as Strict Open XML")
        self.is_over = True


def _bare(name: str) -> str:
    return name.rpartition("}")[2]


class _Links(_Part):
    """Where the parts are that another part names.

    Args:
        archive: The file.
        source: The other part; "" for the file itself.
        wanted: The ids of the sheets that are looked for.

    Attributes:
        found: Where the sheets are, by their ids, and the first part of some kinds, by its kind.
    """

    def __init__(self, archive: zipfile.ZipFile, source: str, wanted: Collection[str] = ()) -> None:
        self._folder, name = posixpath.split(source)
        self._wanted = wanted
        self.found: dict[str, str] = {}
        self.read(archive, posixpath.join(self._folder, "_rels", f"{name}.rels"))

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if _bare(tag) != "Relationship" or attributes.get("TargetMode") == "External":
            return
        kind, target = attributes["Type"].rpartition("/")[2], attributes["Target"]
        path = posixpath.normpath(posixpath.join("/", self._folder, target)).lstrip("/")
        if kind in {"officeDocument", "sharedStrings"}:
            self.found.setdefault(kind, path)
        elif kind == "worksheet" and attributes["Id"] in self._wanted:
            self.found.setdefault(attributes["Id"], path)


class _Book(_Part):
    """What a workbook says of its sheets.

    Args:
        archive: The file.

    Attributes:
        sheet: The part with the first of them.
        strings: The part with the texts of cells, None where there is none.
        is_of_1904: Whether days are counted from then, as they once were on the Mac.

    Raises:
        ValueError: There is no sheet.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.is_of_1904 = False
        self._view: Any = importlib.import_module("openpyxl.workbook.views").BookView
        self._sheets: dict[str, None] = {}  # the ids, in their order
        main = _Links(archive, "").found["officeDocument"]
        self.read(archive, main)
        links = _Links(archive, main, self._sheets).found
        there = set(archive.namelist())
        self.strings = links.get("sharedStrings")
        sheets = [links[each] for each in self._sheets if each in links]
        self.sheet = next((each for each in sheets if each in there), "")
        if not self.sheet:
            raise ValueError("it has no sheet")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _bare(tag)
        if name == "workbookPr":
            self.is_of_1904 = attributes.get("date1904", "0") not in {"0", "false"}
        elif name == "sheet" and len(self._sheets) < MOST_SHEETS:
            known = {_bare(each): value for each, value in attributes.items() if "}" in each}
            if "id" in known:
                self._sheets[known["id"]] = None
        elif name == "workbookView":  # what openpyxl does not know there is damage
            self._view(**{each: value for each, value in attributes.items() if "}" not in each})


class _Strings(_Part):
    """The texts of cells, which stand in a part of their own."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._parts: list[str] = []
        self._letters = 0
        self._is_text = False
        self._beside = 0  # how to say it, in Japanese, is no part of it

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        del attributes
        name = _bare(tag)
        self._beside += name == "rPh"
        self._is_text = name == "t" and not self._beside

    def data(self, text: str) -> None:
        if self._is_text:
            self._parts.append(text)
            self._letters += len(text)
            if self._letters > MOST_LETTERS_OF_A_ROW:
                raise ValueError("a cell has more text than a row of Excel")

    def end(self, tag: str) -> None:
        name = _bare(tag)
        self._is_text = False
        self._beside -= name == "rPh"
        if name == "si":
            # As openpyxl has it: Excel writes "_x0041_" so, for else it would be read as "A".
            self.found.append("".join(self._parts).replace("x005F_", ""))
            self._parts.clear()
            self._letters = 0


def _strings(archive: zipfile.ZipFile, name: str | None) -> list[str]:
    strings = _Strings()
    if name is not None:
        strings.read(archive, name)
    return strings.found


class _Styles(_Part):
    """The number formats of the styles of cells."""

    def __init__(self) -> None:
        numbers: Any = importlib.import_module("openpyxl.styles.numbers")
        self.codes: dict[int, str] = dict(numbers.BUILTIN_FORMATS)
        self.used: list[int] = []
        self._within = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = _bare(tag)
        if name in {"numFmts", "cellXfs"}:
            self._within = name
        elif name == "xf" and self._within == "cellXfs":
            self.used.append(int(attributes.get("numFmtId", 0)))
        elif name == "numFmt" and self._within == "numFmts":
            self.codes[int(attributes["numFmtId"])] = attributes["formatCode"][:LONGEST_FORMAT]
            if len(self.codes) > MOST_FORMATS:
                raise ValueError("it has more number formats than Excel writes")

    def end(self, tag: str) -> None:
        if _bare(tag) == self._within:
            self._within = ""


def _formats_of_times(archive: zipfile.ZipFile) -> tuple[set[int], set[int]]:
    """The styles in which a number is a day, and those in which it is how long something took."""
    numbers: Any = importlib.import_module("openpyxl.styles.numbers")
    styles = _Styles()
    with contextlib.suppress(KeyError):  # there need not be any
        styles.read(archive, _STYLES)
    made: list[set[int]] = []
    for is_one in (numbers.is_date_format, numbers.is_timedelta_format):
        ids = {each for each, code in styles.codes.items() if is_one(code)}
        made.append({place for place, each in enumerate(styles.used) if each in ids})
    return made[0], made[1]
