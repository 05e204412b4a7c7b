"""What lionproc writes it reads again: every writer with its reader, whatever is between them.

Either the writer refuses, in an error of ours and when it writes, or the reader gives back the same.
`make fuzz` draws many more examples than the suite, and far longer texts.
"""

import asyncio
import datetime as dt
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import lionproc as lp
from lionproc.cli.reading import Table, read
from lionproc.cli.writing import target_of
from lionproc.engine import packed, run_log
from lionproc.engine.journal import Journal
from lionproc.engine.journal_record import LARGEST, Entry, Failure, Voted, to_row
from lionproc.engine.usage import Usage
from lionproc.errors import LionprocError
from lionproc.evaluation import review_sheet
from lionproc.evaluation.review_file import to_review
from lionproc.evaluation.review_sheet import read_sheet
from lionproc.frame.export import write_parquet
from lionproc.frame.json_lines import to_jsonl
from lionproc.frame.parquet_reader import read_facts
from lionproc.frame.spreadsheet import to_csv, to_excel
from lionproc.model.as_json import DEEPEST, plain
from lionproc.service.branch import Branch
from lionproc.service.records import Records

IS_FUZZ = settings().max_examples > 100
SOME = settings(
    max_examples=settings().max_examples // 4,  # each of them writes a file
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.timeout(1800 if IS_FUZZ else 60)
SIGNS = "{}[]\"'\\,;|\t\r\n\0\x01\x7f\x1f\ufeff\ufffe\u2028\x85\ud800\udc00\U0001d11eé=+-@_x0F"
TEXTS = st.text(st.sampled_from(SIGNS) | st.characters(), max_size=12)


# No lambda: hypothesis would parse this file to show it, at which Python 3.11 fails at times (gh-106905).
def ended_by_many(text, sign):
    return text + sign * (1_000_000 if IS_FUZZ else 70_000)


def ten_to_the(power):
    return 10**power


def in_more(inner):
    return st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)


LONG = st.builds(ended_by_many, TEXTS, st.sampled_from('{["\\\x7f\x01é\U0001d11e'))
NAMES = TEXTS | st.sampled_from(["", "__proto__", "$ref", "id", "status", "A"])
NUMBERS = (
    st.integers()
    | st.floats()
    | st.sampled_from([2**63, 2**64, -0.0, True])
    | st.sampled_from([400, 5000]).map(ten_to_the)
)
LAST = dt.datetime.max.replace(tzinfo=dt.timezone(-dt.timedelta(hours=23, minutes=59)))
TIMES = st.datetimes() | st.dates() | st.times() | st.timedeltas() | st.just(LAST)
VALUES = st.recursive(
    st.none() | TEXTS | NUMBERS | TIMES | st.decimals() | st.binary(max_size=4) | st.fractions(),
    in_more,
    max_leaves=8,
)
DEPTHS = st.sampled_from(
    [100, DEEPEST - 2, DEEPEST - 1, DEEPEST, DEEPEST + 1, 230, *range(250, 256)]
)


def nested(levels, key, leaf):
    for _ in range(levels):
        leaf = [leaf] if key is None else {key: leaf}
    return leaf


DEEP = st.builds(nested, DEPTHS, st.none() | NAMES, st.none() | NUMBERS)


def whole(text):
    """The text, as all that is written in UTF-8 has it: U+FFFD for half characters."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("written")


@pytest.fixture(autouse=True)
def little_is_free(monkeypatch):
    """Bounds that a test reaches with little."""
    monkeypatch.setattr(packed, "_FREE", 2**10)
    monkeypatch.setattr(review_sheet, "FREE_LETTERS", 2**12)


# of a service


@SOME
@given(VALUES | LONG | DEEP, VALUES | LONG | DEEP)
@example(nested(252, None, 1), nested(230, "a", 1))
@example({"n": Decimal("1E+9")}, nested(253, None, 1))
def test_a_record_is_read_as_it_was_written_or_not_written(place, data, result):
    records = Records(place, "req")
    try:
        record = {"id": "req_1", "status": "completed", "data": plain(data, given=True)}
        record["result"] = plain(result)
    except TypeError:  # which a service tells before anything is asked, or of the answer
        return
    try:
        records.write(record)
    except LionprocError:
        return
    assert records.read("req_1") == record


@SOME
@given(
    st.lists(st.tuples(st.sampled_from(["user", "assistant"]), TEXTS | LONG), max_size=4),
    NAMES | st.none(),
    st.none() | TEXTS,
    st.none() | st.integers(),
)
@example([], "A", None, 2**63)
def test_a_conversation_is_loaded_as_it_was_saved_or_not_saved(place, turns, name, system, most):
    try:
        branch = Branch(name, system)
        branch.messages = [*branch.messages, *({"role": role, "content": c} for role, c in turns)]
        branch.max_turns = most
        branch.save(place / "branch.json")
    except LionprocError:
        return
    again = Branch.load(place / "branch.json")
    assert [each["content"] for each in again.messages] == [
        whole(each["content"]) for each in branch.messages
    ]
    assert (again.name, again.max_turns) == (whole(str(name)), most)


# of a journal

KEYS = st.binary(min_size=16, max_size=16)
COUNTS = st.integers(-(2**63), 2**63) | st.integers(0, 9)
SECONDS = st.floats() | st.floats(0, 1e9)
PARTS = st.none() | st.integers(-2, 2**63)
USAGES = st.builds(Usage, COUNTS, COUNTS, PARTS, PARTS, PARTS, tier=TEXTS)
ENTRIES = st.builds(
    Entry, KEYS, st.binary(max_size=30), TEXTS, COUNTS, COUNTS, COUNTS, SECONDS, SECONDS,
    st.none() | USAGES, st.none() | SECONDS,
)  # fmt: skip
FAILURES = st.builds(Failure, KEYS, TEXTS, TEXTS | LONG, COUNTS, SECONDS, SECONDS)
ENTRY = Entry(b"k" * 16, b"{}", "m", 1, 1, 1, 1.0, 1.8e9)


async def keep(journal, record):
    if isinstance(record, Failure):
        kept = journal.append_failure(record)
    else:
        kept = journal.keep(record).durable
    journal.hurry()
    await kept


@SOME
@given(ENTRIES | FAILURES | st.builds(Voted, KEYS, TEXTS | LONG, SECONDS))
@example(ENTRY._replace(model="m" * (LARGEST["model"] + 1)))
@example(ENTRY._replace(model="é" * (LARGEST["model"] // 2 + 1)))
@example(ENTRY._replace(usage=Usage(1, 1, tier="t" * LARGEST["usage"])))
@example(ENTRY._replace(usage=Usage(1, 1, audio_output=-(2**63) - 1)))
@example(ENTRY._replace(attempts=-1))
@example(Failure(b"k" * 16, "k" * (LARGEST["kind"] + 1), "", 1, 1.8e9))
def test_a_record_of_a_journal_is_found_again_or_refused(record):
    with Journal.open(":memory:") as journal:
        try:
            asyncio.run(keep(journal, record))
        except (ValueError, LionprocError):
            return
        keys = [record.key]
        is_reply = isinstance(record, Entry)
        found = journal.find(keys) if is_reply else journal.newest(keys, type(record))
        assert list(found) == keys


def test_a_reply_that_is_longer_than_any_that_is_read_is_refused():
    with pytest.raises(ValueError, match="a reply of 67,108,865 bytes cannot be kept"):
        to_row(ENTRY._replace(reply=bytes(LARGEST["reply"] + 1)))


@SOME
@given(st.dictionaries(NAMES, VALUES | LONG | DEEP), st.binary())
def test_the_note_of_a_run_is_read_again_or_refused(facts, digests):
    with Journal.open(":memory:") as journal:
        try:
            number = journal.runs.begin(facts)
            journal.runs.end(number, facts, digests)
        except LionprocError:
            return
        (run,) = journal.runs.all()
        own = {"lease", "seen"}  # what a journal itself notes
        assert run.facts.keys() - own == {whole(name) for name in facts} - own
        assert journal.runs.digests(number) == digests


def test_the_digests_of_millions_of_answers_are_read_again_and_more_than_that_not_kept(monkeypatch):
    with Journal.open(":memory:") as journal:
        for digests in (bytes(17 * 2**20), bytes(18 * 2**20)):
            number = journal.runs.begin({})
            journal.runs.end(number, {}, digests)
            assert journal.runs.digests(number) == (digests if len(digests) == 17 * 2**20 else None)
            monkeypatch.setattr(run_log, "_MOST_DIGESTS", len(digests))
        stored = journal.contents._file.read("SELECT count(*) FROM run_answers", ())
        assert stored == [(1,)]


# of a frame

ROWS = st.lists(st.tuples(VALUES | LONG | DEEP, TEXTS | LONG), min_size=1, max_size=3)


def is_no_value(value):
    return value is None or value is pd.NA or value is pd.NaT or value != value  # noqa: PLR0124


def rows_of(frame):
    cells = frame.astype(object).itertuples(index=False, name=None)
    return [[None if is_no_value(cell) else cell for cell in row] for row in cells]


@SOME
@given(st.dictionaries(NAMES.map(whole), TEXTS | LONG | st.lists(TEXTS) | st.integers()))
def test_the_facts_of_a_run_are_read_from_its_file(place, facts):
    write_parquet(pd.DataFrame({"a": [1]}), place / "facts.parquet", facts)
    assert read_facts(place / "facts.parquet") == facts


@SOME
@given(ROWS, NAMES, st.booleans())
@example([(1, "{" * 300_000)], "a", True)
@example([(nested(DEEPEST, None, 1), "")], "a", False)
@example([(nested(230, "a", 1), "")], "a", False)
def test_rows_of_json_lines_are_read_as_they_were_written_or_not(place, rows, name, is_packed):
    frame = pd.DataFrame(rows, columns=[name, f"{name}2"], dtype=object)
    path = place / ("a.jsonl.gz" if is_packed else "a.jsonl")
    try:
        to_jsonl(frame, path)
    except LionprocError:
        return
    again = read(str(path)).frame
    assert list(again) == [whole(name), f"{whole(name)}2"]
    assert rows_of(again) == [[None if is_no_value(c) else plain(c) for c in row] for row in rows]


@SOME
@given(
    st.lists(st.tuples(TEXTS | LONG, TEXTS), min_size=1, max_size=3),
    st.lists(NAMES.map(whole), min_size=2, max_size=2, unique=True),
    st.sampled_from(["a.csv", "a.tsv", "a.csv.gz", "a.tsv.gz"]),
    st.builds(Table, st.none(), st.just("csv"), st.sampled_from(",;|\t"), st.booleans()),
)
@example([("a", "b")], ["a|b|c", "d"], "a.csv", Table(None, "csv"))
@example([("a", "b")], ["a,b\n", "d"], "a.csv", Table(None, "csv", ";"))
@example([("a", "b")], ["\ufeffa", "d"], "a.csv", Table(None, "csv"))
@example([("a", "{" * 300_000)], ["a", "b"], "a.csv.gz", Table(None, "csv"))
def test_a_table_of_the_command_is_read_as_it_was_written(place, rows, names, name, like):
    rows = [[whole(one), whole(other)] for one, other in rows]
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    target_of(str(place / name), "b.csv", like, as_is=True).write(frame, [])
    again = read(str(place / name)).frame
    assert list(again) == names
    assert rows_of(again) == [[cell or None for cell in row] for row in rows]
    target_of(str(place / name), "b.csv", like).write(frame, names[1:])  # formulas are made texts
    assert read(str(place / name)).frame.shape == frame.shape


# for a person to fill in


@SOME
@given(
    st.lists(st.tuples(TEXTS, TEXTS | LONG), min_size=1, max_size=3),
    st.lists(NAMES, min_size=2, max_size=2, unique_by=whole),
    st.sampled_from(["a.csv", "a.xlsx"]),
)
@example([("a", "b")], ["a;b;c;d;e;f;g;h", "d"], "a.csv")
@example([("a", "b")], ["a,b\n;;;;;;;;", "d;e"], "a.csv")
@example([("a", "b" * 5000)] * 100, ["a", "d"], "a.xlsx")
def test_a_sheet_to_label_is_read_with_what_a_person_wrote(place, rows, names, name):
    frame = pd.DataFrame(rows, columns=names, dtype=object).assign(answer="yes")
    kept = {"n": len(rows), "by": None, "seed": 0, "overwrite": True}
    try:
        to_review(frame, place / name, into="answer", columns=names, **kept)
    except LionprocError:
        return
    sheet, _ = read_sheet(place / name)
    assert sheet.shape == (len(rows), 7)
    assert lp.read_review(place / name).unlabelled == len(rows)
    filled = sheet.assign(**{column: "yes" for column in sheet if column == "gold"})
    if name == "a.csv":
        to_csv(filled, place / name, index=False)
    else:
        to_excel(filled, place / name, index=False)
    review = lp.read_review(place / name)
    assert list(review["gold"]) == ["yes"] * len(rows)
    assert list(review["id"]) == list(sheet["id"])
