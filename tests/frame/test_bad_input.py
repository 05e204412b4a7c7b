"""Whatever a frame holds and an argument says: a result, or an error before anything is paid."""

import datetime as dt
import decimal
import enum
import math
import tempfile
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lionproc as lp
from lionproc.errors import (
    ColumnError,
    ConfigurationError,
    JournalError,
    LimitsError,
    LionprocError,
    ModelError,
    PromptError,
    RowsFailedWarning,
    SchemaError,
)
from lionproc.template import placeholder
from lionproc.testing import Server

QUIET = {"progress": False, "journal": False}
FAST = {**QUIET, "limits": {"adapt": False}}


@pytest.fixture(scope="module")
def server():
    with Server(record=0, answer="fine") as made:
        yield made


@pytest.fixture(scope="module")
def model(server):
    return lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key)


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("work"))


@pytest.fixture
def frame():
    return pd.DataFrame({"text": ["a", "b"], "n": [1, 2]})


# Frames


class Odd:
    def __str__(self):
        raise RuntimeError("no text")


TIMES = st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))  # noqa: DTZ001
CELLS = st.one_of(
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=4),
    st.sampled_from(["", "\0", "{text}", "{0.__class__}", "%s", "=1+1", "\ud800", "x" * 10**6]),
    st.none(),
    st.just(pd.NA),
    st.just(pd.NaT),
    st.floats(),
    st.integers(-(2**70), 2**70),
    st.booleans(),
    st.binary(max_size=4),
    TIMES,
    st.lists(st.integers(0, 9), max_size=3),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=2),
    st.just(decimal.Decimal("1.50")),
    st.just(Odd()),
)


def column_of(kind, values):
    rows = len(values)
    numbers = [n for n, _ in enumerate(values)]
    match kind:
        case "object":
            return pd.Series(values, dtype=object)
        case "time":
            return pd.Series(pd.to_datetime(pd.Series(numbers, dtype="int64"), unit="D"))
        case "zone":
            days = pd.date_range("2024-03-30", periods=rows, freq="h", tz="Europe/Berlin")
            return pd.Series(days)
        case "category":
            return pd.Series(pd.Categorical(["a", None, "b"] * rows)[:rows])
        case "arrow_text":
            texts = [None if n % 3 == 0 else f"t{n}" for n in numbers]
            return pd.Series(texts, dtype=pd.ArrowDtype(pa.string()))
        case "arrow_list":
            return pd.Series([[n] for n in numbers], dtype=pd.ArrowDtype(pa.list_(pa.int64())))
        case "nullable":
            return pd.Series([None if n % 2 else n for n in numbers], dtype="Int64")
        case "interval":
            return pd.Series(pd.arrays.IntervalArray.from_breaks(range(rows + 1)))
        case "period":
            return pd.Series(pd.period_range("2024-01", periods=rows, freq="M"))
        case "complex":
            return pd.Series(np.array(numbers, dtype=complex))
        case _:
            return pd.Series(numbers, dtype="float32")


KINDS = (
    "object", "object", "time", "zone", "category", "arrow_text", "arrow_list", "nullable",
    "interval", "period", "complex", "float",
)  # fmt: skip
NAMES = st.one_of(
    st.sampled_from(["text", "a b", "{", "}", "{text}", "", " ", "value", "x" * 500, "é", "a.b"]),
    st.integers(-2, 2),
    st.sampled_from([None, math.nan, ("a", "b"), 1.5, b"b", dt.date(2024, 1, 1)]),
)


@st.composite
def frames(draw):
    rows = draw(st.integers(0, 4))
    made = []
    for _ in range(draw(st.integers(1, 3))):
        values = draw(st.lists(CELLS, min_size=rows, max_size=rows))
        made.append(column_of(draw(st.sampled_from(KINDS)), values))
    frame = pd.concat(made, axis=1) if made else pd.DataFrame()
    frame.columns = pd.Index([draw(NAMES) for _ in made], dtype=object)
    if draw(st.booleans()):
        frame.index = pd.Index(
            draw(st.lists(CELLS.filter(hashable), min_size=rows, max_size=rows)), dtype=object
        )
    return frame


def hashable(cell):
    try:
        hash(cell)
    except TypeError:
        return False
    return True


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(frame=frames(), save=st.booleans(), by_function=st.booleans(), data=st.data())
def test_any_frame_gives_a_result_or_an_error_before_anything_is_paid(
    server, model, tmp_path, *, frame, save, by_function, data
):
    name = data.draw(st.sampled_from(list(frame.columns)))
    prompt = (lambda row: f"Say {next(iter(row.values()))!s:.20}") if by_function else None
    before = frame.copy(deep=True)
    sent = server.counters.total
    path = tmp_path / "out.parquet"
    path.unlink(missing_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RowsFailedWarning)
            out = frame.llm.process(
                prompt or f"Say {placeholder(name)}",
                into="the answer",
                model=model,
                save=path if save else None,
                **FAST,
            )
    except ConfigurationError as error:
        assert server.counters.total == sent
        assert str(error)  # noqa: PT017
        return
    pd.testing.assert_frame_equal(frame, before)
    assert len(out) == len(frame)
    assert out.index is frame.index or out.index.equals(frame.index)
    failed = set(out.llm.errors()["position"])
    stats = out.llm.report().stats
    assert stats.answered + stats.failed + stats.skipped == len(frame)
    assert len(failed) == stats.failed
    for position, answer in enumerate(out["the answer"]):
        assert answer is pd.NA or answer == "fine"
        assert not (position in failed and answer is not pd.NA)
    if save:
        assert lp.read_parquet(path)["the answer"].tolist() == out["the answer"].tolist()


def test_a_million_characters_and_characters_that_are_none_are_sent_or_fail_alone(server, model):
    cells = ["x" * 10**6, "a\0b", "\ud83d", "\U0001f600", b"\xff\xfe", "last"]
    with pytest.warns(RowsFailedWarning, match=r"1 of 6 .*1 prompt"):
        out = pd.DataFrame({"text": pd.Series(cells, dtype=object)}).llm.process(
            "Say {text}", into="a", model=model, **FAST
        )
    assert out["a"].tolist() == ["fine"] * 4 + [pd.NA, "fine"]
    assert out.llm.errors()["message"].str.contains("bytes").all()


def test_column_names_that_occur_twice_are_refused_by_name_only_where_they_matter(server, model):
    frame = pd.DataFrame([["a", "b", "c"]], columns=["x", "x", "y"])
    sent = server.counters.total
    with pytest.raises(ConfigurationError, match="'x'"):
        frame.llm.process("Say {x}", into="a", model=model, **FAST)
    with pytest.raises(ColumnError, match="'x'"):
        frame.llm.process("Say {value}", into="{column}_a", columns=["x"], model=model, **FAST)
    with pytest.raises(ColumnError, match="'x'"):
        frame.llm.process("Say {y}", into="x", overwrite=True, model=model, **FAST)
    with pytest.raises(ColumnError, match=r"'x'.*save="):
        frame.llm.process("Say {y}", into="a", save="out.parquet", model=model, **FAST)
    assert server.counters.total == sent

    out = frame.llm.process("Say {y}", into="a", model=model, **FAST)
    assert list(out.columns) == ["x", "x", "y", "a"]
    assert out["a"].tolist() == ["fine"]


# Prompts and schemas


def name_of(value: object) -> str:
    """A name that is the same in every process, so that tests can be shared among several."""
    return "function" if " at 0x" in repr(value) else str(value)


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("Say {txet}", r"(?s)txet.*'text'"),
        ("Say {text", "brace|closed|}"),
        ("Say text}", "brace|}}"),
        ("Say {}", "name|empty|column"),
        ("Say {0}", "0"),
        ("Say {text.__class__}", r"text\.__class__"),
        ("Say {text[0]}", r"text\[0\]"),
        ("Say {text!r}", "text!r"),
        ("Say {text:>10}", "text:>10"),
        ("", "empty"),
        (None, "NoneType"),
        (7, "int"),
        (b"Say {text}", "bytes"),
        (lambda: "no argument", "one argument"),
        (lambda row: 7, "int"),
        (lambda row: [], "no messages"),
        (lambda row: [{"content": "x"}], "role"),
        (lambda row: row["nothing"], "KeyError"),
        (lambda row: 1 / 0, "ZeroDivisionError"),
    ],
    ids=name_of,
)
def test_a_prompt_that_cannot_work_is_refused_with_the_reason(server, model, frame, prompt, words):
    sent = server.counters.total
    with pytest.raises(PromptError, match=words):
        frame.llm.process(prompt, into="a", model=model, **FAST)
    assert server.counters.total == sent


@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")
@pytest.mark.parametrize("prompt", ["{text}", lambda row: row["text"]], ids=["text", "function"])
def test_cells_that_are_empty_say_nothing_of_the_prompt(prompt, server, model):
    frame = pd.DataFrame({"text": [*[""] * 6, "good"]})
    sent = server.counters.total
    out = frame.llm.process(prompt, into="a", system="Judge.", model=model, **FAST)
    assert out["a"].notna().tolist() == [False] * 6 + [True]
    assert server.counters.total == sent + 1


def test_a_prompt_that_fails_for_the_first_row_alone_fails_that_row_alone(server, model):
    frame = pd.DataFrame({"text": ["missing.png", "a", "b"]})

    def prompt(row):
        if row["text"] == "missing.png":
            raise FileNotFoundError
        return row["text"]

    with pytest.warns(RowsFailedWarning):
        out = frame.llm.process(prompt, into="a", model=model, **FAST)
    assert out["a"].notna().tolist() == [False, True, True]
    assert out.llm.errors()[["index", "kind"]].to_numpy().tolist() == [[0, "prompt"]]


async def async_prompt(row):
    return "x"


class Empty(enum.Enum):
    pass


@pytest.mark.parametrize(
    "schema",
    [
        object,
        dict,
        set[int],
        complex,
        Empty,
        list,
        "str",
        7,
        {"type": "nonsense"},
        {"properties": 7},
        lambda: 1,
        Any,
        list[object],
    ],
    ids=name_of,
)
def test_a_schema_that_cannot_work_is_refused_or_works(server, model, frame, schema):
    sent = server.counters.total
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RowsFailedWarning)
            out = frame.llm.process("Say {text}", into="a", schema=schema, model=model, **FAST)
    except SchemaError as error:
        assert server.counters.total == sent
        assert str(error).strip()  # noqa: PT017
    else:
        assert len(out) == 2
        assert len(out.llm.errors()) == out.iloc[:, -1].isna().sum()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"system": 7}, "system="),
        ({"system": "Use {text}."}, r"\{text\}"),
        ({"prompt": async_prompt}, "async"),
        ({"into": "text"}, "'text' already"),
        ({"into": "a\ud800"}, "half a character"),
        ({"schema": Literal["a", "b\ud800"]}, r"cannot be asked for.*b.*Ask for"),
        ({"into": None}, "into="),
        ({"columns": "text"}, "columns="),
        ({"columns": []}, "columns="),
        ({"columns": ["txet"], "into": "{column}_a"}, r"'txet'.*'text'"),
        ({"columns": ["text"], "into": "a"}, r"\{column\}"),
        ({"on_missing": "drop"}, "on_missing"),
        ({"errors": "ignore"}, "coerce"),
        ({"resume": "yes"}, "resume"),
        ({"deduplicate": 1}, "deduplicate"),
        ({"overwrite": None}, "overwrite"),
        ({"details": "all"}, "details"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"chunk_size": 2.5}, "chunk_size"),
        ({"chunk_size": True}, "chunk_size"),
        ({"retry": 3}, "retry="),
        ({"budget": 5}, "budget="),
        ({"budget": {"usd": -1}}, "usd"),
        ({"budget": {"requests": math.nan}}, "requests"),
        ({"budget": {"tokens": "many"}}, "tokens"),
        ({"budget": {"dollars": 5}}, "dollars"),
        ({"limits": 600}, "limits="),
        ({"limits": {"rpm": 600}}, "'rpm'"),
        ({"model": 7}, "model="),
        ({"model": "gpt-4o"}, "openai/gpt-4o"),
        ({"model": "opnai/gpt-4o"}, "openai"),
        ({"save": 7}, "save="),
        ({"save": ""}, "save="),
        ({"save": "out.csv"}, r"out\.parquet"),
        ({"journal": 7}, "journal="),
        ({"journal": True}, "journal="),
        ({"journal": "missing/folder/j.sqlite"}, "folder"),
    ],
    ids=name_of,
)
def test_an_argument_that_cannot_work_is_named_with_the_way_on(server, model, frame, more, words):
    sent = server.counters.total
    arguments = {"prompt": "Say {text}", "into": "a", "model": model, **FAST, **more}
    if "columns" in more:
        arguments["prompt"] = "Say {value}"
    with pytest.raises((ConfigurationError, JournalError), match=words):
        frame.llm.process(**arguments)
    assert server.counters.total == sent


FIELDS = (
    "requests_per_minute", "tokens_per_minute", "input_tokens_per_minute",
    "output_tokens_per_minute", "concurrency", "burst_seconds",
)  # fmt: skip
NO_LIMITS = [0, -1, math.nan, math.inf, -math.inf, "600", "", b"6", [600], True, 10**400, 1e13]


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("value", NO_LIMITS, ids=lambda value: name_of(value)[:12])
def test_a_limit_that_is_no_number_above_zero_is_refused_by_name(model, frame, name, value):
    if isinstance(value, str) and value:
        with pytest.raises(LimitsError, match=name):
            frame.llm.process("Say {text}", into="a", model=model, **QUIET, limits={name: value})
        return
    with pytest.raises(LimitsError, match=name):
        lp.Limits(**{name: value})
    limits = lp.Limits()
    with pytest.raises(LimitsError, match=name):
        setattr(limits, name, value)
    assert limits == lp.Limits()


@pytest.mark.parametrize("value", [5e-324, 1e-306, 9e-7])
def test_a_limit_that_is_hardly_above_zero_is_refused_and_ends_no_run(value):
    limits = lp.Limits(requests_per_minute=60)
    with pytest.raises(LimitsError, match="requests_per_minute is at least 1e-06"):
        limits.requests_per_minute = value
    assert limits.requests_per_minute == 60


@settings(max_examples=200)
@given(
    value=st.one_of(
        st.floats(), st.integers(-(2**50), 2**50), st.text(max_size=5), st.none(), st.booleans()
    ),
    name=st.sampled_from([*FIELDS, "adapt"]),
)
def test_a_limit_is_taken_as_it_is_or_refused(value, name):
    limits = lp.Limits()
    try:
        setattr(limits, name, value)
    except LimitsError as error:
        assert name in str(error)  # noqa: PT017
    else:
        assert getattr(limits, name) == value


@pytest.mark.parametrize("name", ["max_attempts", "base_s", "cap_s", "max_corrections", "budget"])
@pytest.mark.parametrize("value", [-1, math.nan, "3", None, True], ids=repr)
def test_a_retry_that_cannot_be_is_refused_by_name(name, value):
    with pytest.raises(ConfigurationError, match=name):
        lp.Retry(**{name: value})


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 3},
        {"temperature": "hot"},
        {"max_tokens": 0},
        {"max_tokens": math.nan},
        {"timeout": 0},
        {"timeout": math.nan},
        {"messages": []},
        {"stream": True},
        {"structured": "yes"},
        {"base_url": "ftp://x"},
        {"base_url": "nonsense"},
        {"base_url": "http://example.com/v1"},
        {"base_url": "https://user:pass@example.com/v1"},
    ],
    ids=name_of,
)
def test_a_model_that_cannot_be_is_refused_by_name(more):
    with pytest.raises(ConfigurationError, match=next(iter(more))):
        lp.Model("openai", "m", api_key="k", **more)


# Where results go


def test_saving_into_a_missing_folder_makes_it_and_over_a_file_replaces_it(model, frame, tmp_path):
    target = tmp_path / "not" / "there" / "out.parquet"
    out = frame.llm.process("Say {text}", into="a", model=model, save=target, **FAST)
    pd.testing.assert_frame_equal(lp.read_parquet(target), out)
    again = frame.llm.process("Say {text}", into="b", model=model, save=target, **FAST)
    pd.testing.assert_frame_equal(lp.read_parquet(target), again)


def test_a_path_in_the_way_is_refused(server, model, frame, tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "full").mkdir()
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "full" / "other.parquet")
    sent = server.counters.total
    for target in (
        "file/",
        "file/out.parquet",
        "full/",
        "bad\0name.parquet",
        "n" * 300 + ".parquet",
    ):
        with pytest.raises(ConfigurationError, match=r"save=|empty folder"):
            frame.llm.process(
                "Say {text}", into="a", model=model, save=f"{tmp_path}/{target}", **FAST
            )
    assert server.counters.total == sent
    assert (tmp_path / "file").read_text() == "x"


@pytest.fixture
def locked():
    """A folder that nobody may write, within folders that everybody may see."""
    with tempfile.TemporaryDirectory() as open_folder:
        Path(open_folder).chmod(0o755)
        folder = Path(open_folder) / "locked"
        folder.mkdir()
        (folder / "old.parquet").write_bytes(b"old")
        folder.chmod(0o555)
        yield folder
        folder.chmod(0o755)


@pytest.mark.parametrize("more", [{"save": "\ud83d.parquet"}, {"save": "\ud83d/"}])
def test_a_path_with_half_a_character_is_refused_before_anything_is_sent(
    server, model, frame, more
):
    before = server.counters.total
    for options in (more, {"journal": "\ud83d.sqlite"}):
        with pytest.raises(LionprocError, match=r"cannot be the path of a file: .* \'\\ud83d\'"):
            frame.llm.process("{text}", "a", model=model, **{**QUIET, **options})
    assert server.counters.total == before


def test_a_path_without_rights_is_refused_before_anything_is_sent(
    tmp_path, zygotes, server, locked
):
    code = """
import os
import pandas as pd, lionproc as lp
from lionproc.errors import ConfigurationError, JournalError
frame = pd.DataFrame({"text": ["a"]})
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
# Whoever has given up their rights may not read the place that the packages lie in: everything
# that a run imports is imported before.
frame.llm.process("Say {text}", into="a", model=model, progress=False, journal=mine + "/j.sqlite",
                  save=mine + "/out.parquet")
if os.geteuid() == 0:
    os.setuid(65534)
for arguments in ({"save": locked + "/out.parquet"}, {"save": locked + "/parts/"},
                  {"save": locked + "/old.parquet"}, {"journal": locked + "/j.sqlite"}):
    try:
        frame.llm.process("Say {text}", into="a", model=model, progress=False,
                          **{"journal": False, **arguments})
    except (ConfigurationError, JournalError) as error:
        print(type(error).__name__, error)
"""
    sent = server.counters.total
    child = zygotes[0].run(
        code, tmp_path, mine=str(tmp_path), locked=str(locked),
        base_url=server.base_url, key=server.key,
    )  # fmt: skip
    assert child.status == 0, child.output
    lines = child.output.splitlines()
    assert len(lines) == 4, child.output
    assert all("ermission denied" in line or "rights" in line for line in lines), child.output
    assert all("save=" in line for line in lines[:3])
    assert "journal=" in lines[3]
    assert server.counters.total == sent + 1
    assert (locked / "old.parquet").read_bytes() == b"old"


def test_every_error_is_one_of_ours_and_says_no_cell(server, model):
    cell = "CELL-4711"
    frame = pd.DataFrame({"text": [cell], "odd": [Odd()]})
    seen = []
    for arguments in (
        {"prompt": "Say {txt}"},
        {"prompt": lambda row: {row["text"]}},
        {"prompt": "Say {text}", "save": "out.parquet"},
        {"prompt": "Say {text}", "into": "odd"},
        {"prompt": "Say {text}", "schema": "str"},
    ):
        with pytest.raises(LionprocError) as caught:
            frame.llm.process(**{"into": "a", "model": model, **FAST, **arguments})
        seen.append(str(caught.value))
    assert len(seen) == 5
    assert cell not in "".join(seen)


def test_no_model_and_no_key_say_what_to_do(frame, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("LIONPROC_MODEL", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        frame.llm.process("Say {text}", into="a", model="openai/gpt-4o-mini", **QUIET)
    with pytest.raises(ModelError, match=r"lp\.configure"):
        frame.llm.process("Say {text}", into="a", **QUIET)


def test_attrs_of_a_file_that_pandas_cannot_copy_are_told_with_the_way_on(frame, model):
    deep: list[Any] = []
    for _ in range(1000):
        deep = [deep]
    frame.attrs = {"deep": deep}
    with pytest.raises(ConfigurationError, match=r"df\.attrs = \{\}"):
        frame.llm.process("Say {text}", into="x", model=model, **QUIET)
