"""No text of an export acts in a spreadsheet program, however its beginning is dressed up."""

import csv
import datetime as dt
import enum
import io
import itertools
import json
import os
import random
import re
import subprocess
import sys
import zipfile
from decimal import Decimal
from fractions import Fraction

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest

from lionproc.errors import ColumnError, ConfigurationError, MissingDependencyError, SaveError
from lionproc.frame.spreadsheet import harmless

HIDDEN = {
    "controls": ["\x01", "\x00", "\x0b", "\x1f", "\x7f", "\x85", "\ufffe", "\uffff"],
    "invisible": ["\u200b", "\u200d", "\u2060", "\u00ad", "\u202e", "\ufeff", "\u034f", "\ufe0f"],
    "spaces": [" ", "\u00a0", "\u2003", "\u3000", "\u2028", "\u1680", "\u2800", "\u3164"],
    "not characters": ["\ud800", "\U000e0001", "\ufdd0", "\ue000"],
}
SIGNS = [*"=+-@", *"\uff1d\uff0b\uff0d\uff20", *"\ufe66\ufe62\ufe63\ufe6b", *"\u207a\u207c\u2212"]
ERRORS = ["#REF!", "#N/A", "#name?", " #DIV/0! ", "#VALUE!", "#SPILL!"]


def written(path):
    """All cells of a file that was written, whatever its kind."""
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [cell for row in csv.reader(file) for cell in row]
    sheet = openpyxl.load_workbook(path).active
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "inlineStr", "n", "d", "b"}  # no f, no e
    assert not any(cell.hyperlink for cell in cells)
    return [cell.value for cell in cells]


@pytest.fixture(params=["out.csv", "out.xlsx"])
def export(request, tmp_path):
    def export(frame, **options):
        write = frame.llm.to_csv if request.param.endswith("csv") else frame.llm.to_excel
        return written(write(tmp_path / request.param, **options))

    export.excel = request.param.endswith("xlsx")
    return export


@pytest.mark.parametrize("kind", HIDDEN)
@pytest.mark.parametrize("sign", SIGNS)
def test_what_cannot_be_seen_hides_no_formula(export, kind, sign):
    texts = [f"{hidden}{sign}HYPERLINK(A1)" for hidden in HIDDEN[kind]]
    cells = export(pd.DataFrame({"text": texts}, dtype=object), index=False, header=False)
    assert len(cells) == len(texts)
    assert all(cell.startswith("'") for cell in cells), cells


def test_several_of_them_hide_none_either(export):
    text = "".join(hidden for kind in HIDDEN.values() for hidden in kind) + "=1+1"
    (cell,) = export(pd.DataFrame({"text": [text]}, dtype=object), index=False, header=False)
    assert cell.startswith("'")


@pytest.mark.parametrize("text", ERRORS)
def test_the_name_of_an_error_stays_a_text(export, text):
    (cell,) = export(pd.DataFrame({"text": [text]}), index=False, header=False)
    assert cell == "'" + text


@pytest.mark.parametrize(
    "text", ["fine", "\u200bfine", "#REFERENCE", "#1", "a=b", "\u2013 five", "5 + 3", "\u0301x"]
)
def test_a_text_that_does_nothing_stays_as_it_is(text):
    assert harmless(text) == text


def test_headers_labels_levels_and_names_are_looked_at_like_cells(export):
    columns = pd.MultiIndex.from_tuples(
        [("\x01=a", "\u200b@x"), ("b", "#REF!")], names=["\x02=n", "=m"]
    )
    index = pd.MultiIndex.from_tuples([("\ufe66i", "\x03+1")], names=["\ufeff=one", "\x1f=two"])
    cells = export(pd.DataFrame([[1, 2]], columns=columns, index=index))
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip("'\x01\x02\x03\x1f")]
    assert not [text for text in texts if harmless(text) != text]


def test_headers_that_no_file_can_hold_are_written_safely(export):
    frame = pd.DataFrame([[1, 2]])
    frame.columns = pd.Index(["a\x00\x0b=b", "half \ud800"], dtype=object)
    frame.index = pd.Index(["i\x01\ud800"], dtype=object)
    frame.index.name = "name\x02\udfff"
    cells = export(frame)
    assert "half \ufffd" in cells
    assert len([cell for cell in cells if cell not in {"", None}]) == 6


def test_options_that_are_texts_are_looked_at_too(export):
    frame = pd.DataFrame({"a": [None, "x"], "b": [1, 2]})
    cells = export(frame, header=["=a", "\x01=b"], na_rep="=NA()", index_label="\u200b=i")
    assert not [text for text in cells if isinstance(text, str) and harmless(text) != text]
    assert {"'=a", "'=NA()"} <= set(cells)
    cells = export(frame.set_index(["a", "b"]).assign(c=1), index_label=["=one", "=two"])
    assert {"'=one", "'=two"} <= set(cells)


def test_no_engine_makes_formulas_or_links_of_text(tmp_path):
    """xlsxwriter takes `{=...}` for a formula, and addresses for links."""
    texts = ["{=HYPERLINK(A1)}", "http://a.example", "mailto:a@b", "internal:S!A1", "007", "=1"]
    frame = pd.DataFrame({"{=1+1}": texts})
    links = {"strings_to_urls": True, "constant_memory": False}
    for options in ({}, {"engine_kwargs": {"options": links}}):
        path = frame.llm.to_excel(
            tmp_path / "out.xlsx", index=False, engine="xlsxwriter", **options
        )
        assert written(path) == ["{=1+1}", *texts[:-1], "'=1"]
    with pytest.raises(ConfigurationError, match="'openpyxl', 'xlsxwriter'"):
        frame.llm.to_excel(tmp_path / "out.xlsx", engine="pyexcelerate")


def test_a_file_of_open_document_can_be_read_whatever_line_ends_are_in_it(tmp_path):
    """odfpy makes a character of a carriage return that no XML may have."""
    frame = pd.DataFrame(
        {"a\rb": ["x\r\ny", "\r=1", "=2\rz", "z"], "when": pd.Timestamp(2026, 1, 1)}
    )
    path = frame.llm.to_excel(tmp_path / "out.ods", index=False, engine="odf")
    found = pd.read_excel(path)
    assert list(found) == ["a\nb", "when"]
    assert list(found["a\nb"]) == ["x\ny", "'\n=1", "'=2\nz", "z"]
    assert list(found["when"]) == [pd.Timestamp(2026, 1, 1)] * 4


def test_a_file_is_what_its_ending_says_or_it_is_refused(tmp_path):
    frame = pd.DataFrame({"a": ["x"]})
    path = frame.llm.to_excel(tmp_path / "out.ODS", index=False)
    assert (
        zipfile.ZipFile(path).read("mimetype") == b"application/vnd.oasis.opendocument.spreadsheet"
    )
    for name, options in [
        ("out.xls", {}),
        ("out.xlsm", {}),
        ("out.csv", {}),
        ("out", {}),
        ("memory://sheets/out.xlsb?x=.xlsx", {}),
        ("out.ods", {"engine": "openpyxl"}),
        ("out.xlsx", {"engine": "odf"}),
    ]:
        with pytest.raises(ConfigurationError, match=r"end its name in \.(xlsx|ods)"):
            frame.llm.to_excel(name if "://" in name else tmp_path / name, **options)
    assert [file.name for file in tmp_path.iterdir()] == ["out.ODS"]
    made = frame.llm.to_excel("memory://sheets/out.xlsx", index=False)
    assert list(pd.read_excel(made)["a"]) == ["x"]


def test_an_engine_that_is_not_installed_is_named_with_the_line_that_installs_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install odfpy"):
        pd.DataFrame({"a": ["x"]}).llm.to_excel(tmp_path / "out.ods", engine="odf")


def test_columns_are_chosen_by_the_names_that_the_frame_has(export):
    cells = export(pd.DataFrame({"=a": [1], "b": [2]}), columns=["=a"], index=False)
    assert [str(cell) for cell in cells] == ["'=a", "1"]


class Sly(int):
    def __str__(self):
        return "=1+1"

    __repr__ = __str__


class SlyText(str):
    __slots__ = ()

    def __str__(self):
        return "fine"

    def startswith(self, *_):
        return False


class Fickle:
    said = 0

    def __str__(self):
        self.said += 1
        return "fine" if self.said == 1 else "=1+1"


class Plain(enum.IntEnum):
    FIVE = 5


def test_what_prints_as_it_likes_is_written_as_it_was_looked_at(export):
    values = [Sly(1), SlyText("=1+1"), Fickle(), Plain.FIVE, np.int64(-3), -3.5, ["=1"], b"=1"]
    values.append(Sly(10**20))  # as text where a spreadsheet would round it
    cells = export(pd.DataFrame({"a": pd.Series(values, dtype=object)}), index=False, header=False)
    assert [str(cell) for cell in cells] == [
        *("'=1+1", "'=1+1", "fine", "5", "-3", "-3.5", "['=1']", "b'=1'", "'=1+1"),
    ]


def sly(kind, *values, said="=1+1", later="=1+1"):
    """A value of a class that is made of a known one and prints one thing at first."""
    ways = {"prints": 0}

    def prints(self, *_):
        ways["prints"] += 1
        return said if ways["prints"] == 1 else later

    printing = dict.fromkeys(("__str__", "__repr__", "__format__", "isoformat"), prints)
    return type("Sly", (kind,), printing)(*values)


NUMBERS = [int, float, np.float64, np.float32, np.int64, np.uint8, np.complex128, Decimal, Fraction]


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize(
    "place", ["a cell", "the index", "a header", "a level", "a level of headers"]
)
def test_a_number_of_a_class_of_its_own_is_no_formula_wherever_it_stands(export, kind, place):
    labels = pd.Index([sly(kind, 1)], dtype=object)
    if place.startswith("a level"):
        labels = pd.MultiIndex.from_arrays([labels, ["x"]])
    columns = labels if "header" in place else ["b"]
    frame = pd.DataFrame([[1]], columns=columns, index=labels if "header" not in place else [0])
    if place == "a cell":
        frame = pd.DataFrame({"a": pd.Series([sly(kind, 1)], dtype=object)})
    more = {"merge_cells": False} if export.excel else {}
    assert not any(str(cell).startswith("=") for cell in export(frame, **more))


@pytest.mark.parametrize("kind", NUMBERS)
def test_a_number_that_prints_something_else_the_second_time_is_no_formula(export, kind):
    values = [sly(kind, 2, said="2"), sly(kind, 3, said="3")]
    frame = pd.DataFrame({"a": pd.Series(values, dtype=object)})
    cells = export(frame, index=False, header=False)
    assert [float(re.sub("[()]|[+]0j", "", str(cell))) for cell in cells] == [2, 3]
    made = harmless(sly(kind, 2, said="2"))
    assert type(made) in {*NUMBERS, complex} or (kind is Fraction and made == "2")


@pytest.mark.parametrize("zone", [None, dt.UTC])
@pytest.mark.parametrize("kind", [dt.datetime, dt.date])
def test_a_time_of_a_class_of_its_own_is_no_formula(export, kind, zone):
    for year in (1800, 2024):
        value = sly(kind, year, 1, 2, *((3, 4, 5, 6, zone) if kind is dt.datetime else ()))
        frame = pd.DataFrame({"a": pd.Series([value], dtype=object)})
        assert not any(str(cell).startswith("=") for cell in export(frame, header=False))


def test_the_length_of_a_text_is_counted_as_it_is_written(tmp_path):
    frame = pd.DataFrame({"long": ["\x00" + "x" * 32_767]})
    frame.llm.to_excel(tmp_path / "fits.xlsx")
    signs = pd.DataFrame({"long": ["\U0001f600" * 16_384]})  # two units of UTF-16 each
    for writer in ("openpyxl", "xlsxwriter"):
        with pytest.raises(ColumnError, match="32,768"):
            signs.llm.to_excel(tmp_path / "out.xlsx", engine=writer)
    with pytest.raises(ColumnError, match="'long'"):
        pd.DataFrame({"long": ["=" + "x" * 32_766]}).llm.to_excel(tmp_path / "out.xlsx")


def test_times_with_a_zone_and_days_that_excel_does_not_have_are_written_as_text(tmp_path):
    zone = dt.timezone(dt.timedelta(hours=2))
    instant = pd.Timestamp("2024-01-02 03:04:05", tz="UTC")
    frame = pd.DataFrame(
        {
            "utc": [instant, pd.NaT],
            "mixed": pd.Series([dt.datetime(2024, 1, 2, 3, tzinfo=zone), None], dtype=object),
            "naive": [pd.Timestamp("2024-01-02"), pd.NaT],
            "early": [pd.Timestamp("1789-07-14"), pd.NaT],
            "day": pd.Series([dt.date(1, 1, 1), dt.date(2024, 5, 6)], dtype=object),
            "clock": pd.Series([dt.time(10, tzinfo=zone), dt.time(11)], dtype=object),
        }
    )
    frame.index = pd.MultiIndex.from_tuples([(instant, 1), (instant, 2)], names=["at", None])
    path = frame.llm.to_excel(tmp_path / "out.xlsx", merge_cells=False)
    rows = list(openpyxl.load_workbook(path).active.iter_rows(values_only=True))
    assert rows[1] == (
        *("2024-01-02T03:04:05+00:00", 1, "2024-01-02T03:04:05+00:00"),
        *("2024-01-02T03:00:00+02:00", pd.Timestamp("2024-01-02"), "1789-07-14T00:00:00"),
        *("0001-01-01", "10:00:00+02:00"),
    )
    assert rows[2][2:6] == (None,) * 4
    pd.DataFrame({"a": [1]}, index=[instant]).llm.to_excel(tmp_path / "index.xlsx")


def test_numbers_of_more_digits_than_excel_keeps_are_written_as_text(tmp_path):
    amounts = np.array([Decimal("12345678901234567.25"), Decimal("-1.50")], dtype=object)
    frame = pd.DataFrame(
        {
            "nullable": pd.array([2**53 + 1, None], dtype="Int64"),
            "unsigned": np.array([2**64 - 1, 5], dtype="uint64"),
            "negative": [-(10**15), 1 - 10**15],
            "objects": amounts,
            "vast": np.array([Decimal("1e400"), Decimal("1e-400")], dtype=object),
            "arrow": pd.array(amounts, dtype=pd.ArrowDtype(pa.decimal128(38, 2))),
            "none": pd.array([None, None], dtype="Int64"),
            "flags": [True, False],
        },
        index=[10**17 + 1, 2],
    )
    path = frame.llm.to_excel(tmp_path / "out.xlsx")
    _, first, second = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
    long = "12345678901234567.25"
    assert first == (
        *(
            f"{10**17 + 1}",
            f"{2**53 + 1}",
            f"{2**64 - 1}",
            f"-{10**15}",
            long,
            "1E+400",
            long,
            None,
            True,
        ),
    )
    assert second == (2, None, 5, 1 - 10**15, -1.5, "1E-400", -1.5, None, False)


class _Unprintable:
    def __str__(self):
        raise OSError


def test_a_whole_number_of_thousands_of_digits_is_written_with_all_of_them(tmp_path):
    huge = pd.Series([10**5000, -(10**5000), 2], dtype=object)
    frame = pd.DataFrame({"n": huge, 10**5000: [1, 2, 3]}).set_axis(pd.Index(huge, dtype=object))
    for path in (frame.llm.to_csv(tmp_path / "o.csv"), frame.llm.to_excel(tmp_path / "o.xlsx")):
        read = pd.read_csv if path.suffix == ".csv" else pd.read_excel
        again = read(path, dtype=str, index_col=0)
        wanted = ["1" + "0" * 5000, "-1" + "0" * 5000, "2"]
        assert list(again["n"]) == [str(label) for label in again.index] == wanted
        assert again.columns[1] == wanted[0]
    for cell in ([10**5000], _Unprintable()):
        with pytest.raises(ColumnError, match="has no text"):
            pd.DataFrame({"n": [cell]}).llm.to_csv(tmp_path / "o.csv")


def test_arrow_columns_of_times_are_written_too(tmp_path):
    import pyarrow as pa

    times = pd.Series(
        [dt.datetime(2024, 1, 2, tzinfo=dt.UTC), None],
        dtype=pd.ArrowDtype(pa.timestamp("us", "UTC")),
    )
    path = pd.DataFrame({"at": times}).llm.to_excel(tmp_path / "out.xlsx", index=False)
    assert openpyxl.load_workbook(path).active["A2"].value == "2024-01-02T00:00:00+00:00"


def test_a_file_of_no_rows_has_its_headers(export):
    cells = export(pd.DataFrame({"=a": [], "at": pd.to_datetime([], utc=True)}), index=False)
    assert cells == ["'=a", "at"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
@pytest.mark.parametrize("errors", ["ignore", "replace"])
def test_what_the_encoding_of_a_csv_leaves_out_hides_no_formula(tmp_path, encoding, errors):
    texts = ["\u6f22=1+1", "\U0001f44d-cmd|X!A0", "a;\u6f22=1+1", "\ud800@SUM(1)", "\u6f22 fine"]
    index = pd.Index([f"\u6f22+{text}" for text in texts], dtype=object)
    frame = pd.DataFrame({"\u6f22=a": texts}, index=index, dtype=object)
    path = frame.llm.to_csv(tmp_path / "out.csv", encoding=encoding, errors=errors)
    text = path.read_text(encoding)
    for separator in ",;":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
    assert "fine" in text


def test_what_excel_shows_as_another_character_hides_no_formula(tmp_path):
    frame = pd.DataFrame({"_x003d_a": ["_x003D_1+1", "_x200B__x0040_SUM(A1)", "a_x003D_b"]})
    cells = written(frame.llm.to_excel(tmp_path / "out.xlsx", index=False))
    assert cells == ["'_x003d_a", "'_x003D_1+1", "'_x200B__x0040_SUM(A1)", "a_x003D_b"]


def test_an_excel_file_is_one_that_its_readers_can_open(tmp_path):
    path = pd.DataFrame({"a\x01": ["\ud800\x02", "_x003D_1"]}, dtype=object).llm.to_excel(
        tmp_path / "out.xlsx"
    )
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    assert len(pd.read_excel(path)) == 2


def test_lists_and_records_are_json_in_a_cell(export):
    kind = pa.struct({"name": pa.string(), "at": pa.timestamp("us")})
    made = pd.DataFrame(
        {
            "r": pd.array(
                [{"name": "=x", "at": pd.Timestamp(2026, 1, 1)}, None], pd.ArrowDtype(kind)
            ),
            "l": pd.array([["a", "b"], []], pd.ArrowDtype(pa.list_(pa.string()))),
        }
    )
    cells = export(made, index=False, header=False)
    assert [cell or None for cell in cells] == [
        '{"name":"=x","at":"2026-01-01T00:00:00"}',
        '["a","b"]',
        None,
        "[]",
    ]


# ---- a text that goes on in the next cell, for a program that splits at another separator

TAILS = [*("1&", '1&"', '1&""', '"1&', "'", "'x", "[", "[x", "SUM(", "A1", "x", "5", "", "1 & ")]
TAILS += ["1,", "x|", "x!", "- two", "don't", '1&" "', "1\t&", "1\r&", "1;&", "a;'b"]
MIDDLES = ["", 5, "&", '"&"', "&1&", "x"]
HEADS = ["&cmd|'/c calc'!A0", "5+cmd|'/c calc'!A0", "'!A1", "]S!A1", '"&cmd|X!A0', '&""&cmd|X!A0']
HEADS += [",5)&cmd|X!A0", "|'/c calc'!A0", "(1)", "1+SUM(1)", "-SUM(1)"]
PART = re.compile(
    r"""\s+|(?P<text>"(?:[^"]|"")*")|(?P<operand>'(?:[^']|'')*'|\[[^\]]*\]|[\w.?%#\\]+)|(?P<call>[(|!])|."""
)


def is_live(field):
    """Whether a program may take it for a formula, and would call something."""
    if not field.startswith(("=", "+", "-", "@")):
        return False
    kinds, last = set(), None
    for part in PART.finditer(field):
        if part[0].isspace():
            continue
        kind, before = part.lastgroup or part[0], field[part.start() - 1]
        follows = last in {"text", "operand", ")"} or before == "!"
        if kind in "\"'[" or (follows and "text" in {kind, last}):
            return False  # it is not closed, or is no formula
        if part[0][0] == "'" and before.isalnum():
            return False
        kinds.add(kind)
        last = kind
    return "call" in kinds


def fields(written):
    """All that programs with each separator find, where a carriage return ends a line or not."""
    for text, separator in itertools.product((written, re.sub("\r(?!\n)", " ", written)), ",;\t"):
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator):
            yield from row


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"sep": ";"}, {"sep": "\t"}, {"sep": "|"}, {"quotechar": "'"}),
        *({"quoting": csv.QUOTE_MINIMAL}, {"quoting": csv.QUOTE_ALL}),
        {"quoting": csv.QUOTE_NONE, "escapechar": "\\"},
    ],
    ids=str,
)
def test_no_text_is_a_formula_together_with_the_next_ones(tmp_path, options):
    every = list(itertools.product(",;\t\n\r", "-+=@", TAILS, MIDDLES, HEADS, ",;\t\n"))
    rows = [
        (f"a{before}{sign}{tail}", middle, f"{head}{behind}b")
        for before, sign, tail, middle, head, behind in random.Random(5).sample(every, 1500)
    ]
    frame = pd.DataFrame(rows, columns=["a;-1&", "&cmd|X!A0;b", "c"], dtype=object)
    path = frame.llm.to_csv(tmp_path / "out.csv", **options)
    found = [field for field in fields(path.read_bytes().decode()) if is_live(field)]
    assert not found


def test_a_text_behind_a_number_that_begins_a_line_does_not_go_on_with_it(tmp_path):
    frame = pd.DataFrame({"n": [-1], "text": ["5+cmd|X!A0"]})  # a decimal comma
    path = frame.llm.to_csv(tmp_path / "out.csv", index=False, quoting=csv.QUOTE_MINIMAL)
    assert path.read_text().splitlines()[1] == '"-1","5+cmd|X!A0"'


@pytest.mark.parametrize(
    "text", ["a;-5", "Fine:\n- one.\n- don't", "x\n- [x] done", "x\n+ 'two' of three", "a;- 5 %"]
)
def test_the_end_of_a_text_that_nothing_can_follow_stays_as_it_is(tmp_path, text):
    path = pd.DataFrame({"text": [text]}).llm.to_csv(tmp_path / "out.csv", index=False)
    assert written(path)[1] == text


def test_no_column_is_put_into_a_wide_sheet_by_itself(tmp_path, monkeypatch):
    # That takes the square of their number: 50,000 of one cell took 19 seconds.
    monkeypatch.setattr(pd.DataFrame, "isetitem", None)
    frame = pd.DataFrame({"a": ["=1", None], "b": [1, 2], "c": pd.Categorical(["x", "-y"])}, [3, 3])
    frame.columns = ["n", "n", "=n"]
    frame.llm.to_csv(tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (
        '"","n","n","\'=n"\n3,"\'=1",1,"x"\n3,"",2,"\'-y"\n'
    )


def test_an_index_of_several_levels_is_made_safe_without_telling_its_rows_apart(
    tmp_path, monkeypatch
):
    levels = [["=a", "b", None, "=a"], [10**17, 2, 2, 3]]
    index = pd.MultiIndex.from_arrays(levels, names=["=x", "y"])
    frame = pd.DataFrame({"v": ["one", "two", "three", "four"]}, index=index)
    for name in ("from_tuples", "from_arrays", "from_frame"):
        monkeypatch.setattr(pd.MultiIndex, name, None)
    frame.llm.to_csv(tmp_path / "out.csv")
    frame.llm.to_excel(tmp_path / "out.xlsx")
    monkeypatch.undo()
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith('"\'=a"')
    read = pd.read_excel(tmp_path / "out.xlsx", dtype=str)
    assert read.iloc[:, 0].tolist()[0] == "'=a"
    assert read.iloc[:, 1].tolist() == ["1" + "0" * 17, "2", "2", "3"]
    assert frame.index.equals(index)


@pytest.mark.parametrize(
    ("name", "compression", "within"),
    [
        ("out.csv.zip", "infer", "out.csv"),
        ("out.csv.zip", {"method": "infer"}, "out.csv"),
        ("out.csv", "zip", "out.csv"),
        ("out.zip", {"method": "zip", "compresslevel": 1}, "out"),
        ("out.dat", {"method": "zip", "archive_name": "x.csv"}, "x.csv"),
    ],
)
def test_what_is_in_an_archive_has_the_name_that_pandas_gives_it(
    tmp_path, name, compression, within
):
    frame = pd.DataFrame({"a": ["x"]})
    path = frame.llm.to_csv(tmp_path / name, index=False, compression=compression)
    assert zipfile.ZipFile(path).namelist() == [within]
    assert pd.read_csv(path, compression="zip")["a"].tolist() == ["x"]
    other = tmp_path / "of pandas"
    other.mkdir()
    frame.to_csv(other / name, compression=compression)
    assert zipfile.ZipFile(other / name).namelist() == [within]


def test_no_rows_are_added_to_a_tar_which_nobody_would_read(tmp_path):
    frame = pd.DataFrame({"a": ["x"]})
    for name, how in (("out.csv.tar", "infer"), ("out.csv", "tar"), ("out.csv", {"method": "tar"})):
        with pytest.raises(ConfigurationError, match=r"use \.csv"):
            frame.llm.to_csv(tmp_path / name, mode="a", compression=how)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("begun", ["k,i\n", None], ids=["into a file", "into none yet"])
def test_rows_that_somebody_else_adds_meanwhile_are_not_lost(tmp_path, monkeypatch, begun):
    path = tmp_path / "out.csv"
    if begun:
        path.write_text(begun)
    add, others = pd.DataFrame.to_csv, ["theirs,1\n", "theirs,2\n"]

    def added(self, *args, **options):
        if others:
            with path.open("a") as file:
                file.write(others.pop(0))
        add(self, *args, **options)

    monkeypatch.setattr(pd.DataFrame, "to_csv", added)
    frame = pd.DataFrame({"k": ["mine"], "i": [3]})
    frame.llm.to_csv(path, mode="a", header=False, index=False)
    assert path.read_text() == f'{begun or ""}theirs,1\ntheirs,2\n"mine",3\n'
    others[:] = ["theirs,4\n"] * 1000
    with pytest.raises(SaveError, match="written into it meanwhile"):
        frame.llm.to_csv(path, mode="a", header=False, index=False)
    assert path.read_text().count("theirs,4") == 1000 - len(others)


@pytest.mark.skipif(os.name != "posix", reason="there are no such locks")
def test_two_processes_that_add_rows_to_one_file_lose_none(tmp_path):
    path = tmp_path / "out.csv"
    code = (
        "import sys, pandas as pd, lionproc\n"
        "for i in range(20):\n"
        "    pd.DataFrame({'i': [i]}).llm.to_csv(sys.argv[1], mode='a', header=False, index=False)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert sorted(map(int, path.read_text().split())) == sorted([*range(20)] * 2)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_a_list_of_numbers_is_the_same_one_whatever_separates_columns(tmp_path, separator):
    for numbers in ([1.0, -2.0, -0.5], [[1, -2], [-3]], [-1e-5]):
        frame = pd.DataFrame({"cell": pd.Series([numbers], dtype=object)})
        path = frame.llm.to_csv(tmp_path / "out.csv", index=False, sep=separator)
        assert json.loads(pd.read_csv(path, sep=separator)["cell"][0]) == numbers


def test_an_array_that_is_no_text_is_written_as_it_prints(tmp_path):
    cell = np.array([b"\xff", 1], dtype=object)
    path = pd.DataFrame({"cell": pd.Series([cell], dtype=object)}).llm.to_csv(
        tmp_path / "out.csv", index=False
    )
    assert written(path)[1] == str(cell)


@pytest.mark.parametrize("cell", [
    np.arange(1_500), pd.Series(range(1_500)), pd.array(range(1_500), dtype="Int64"),
], ids=["numpy", "a series", "pandas"])  # fmt: skip
@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_of_an_array_in_a_cell_nothing_is_left_out(tmp_path, name, cell):
    frame = pd.DataFrame({"cell": pd.Series([cell, None], dtype=object)})
    write = frame.llm.to_csv if name.endswith("csv") else frame.llm.to_excel
    assert json.loads(written(write(tmp_path / name, index=False))[1]) == list(range(1_500))
