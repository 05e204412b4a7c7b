"""What is saved or handed on is read by other programs, with no type of ours in the way."""

import datetime as dt
import json
import sys
import warnings
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest

import lionproc as lp
from lionproc.errors import MissingDependencyError
from lionproc.frame.assemble import MISSING, assemble, columns
from lionproc.frame.export import write_parquet
from lionproc.model.answer import Answer
from lionproc.model.coerce import cell_maker


class Part(pydantic.BaseModel):
    name: str
    sizes: list[int]


class Found(pydantic.BaseModel):
    mood: Literal["good", "bad"]
    stars: Literal[3, 1]
    parts: list[Part]
    first: Part
    scores: dict[str, float]
    price: Decimal
    day: dt.date
    at: dt.datetime
    took: dt.timedelta


FULL = Found(
    mood="good",
    stars=3,
    parts=[Part(name="a", sizes=[1, 2]), Part(name="b", sizes=[])],
    first=Part(name="c", sizes=[3]),
    scores={"x": 0.5},
    price=Decimal("1.50"),
    day=dt.date(2026, 1, 2),
    at=dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
    took=dt.timedelta(seconds=1.5),
)
BARE = FULL.model_copy(update={"parts": [], "scores": {}})


@pytest.fixture(scope="module")
def out():
    answer = Answer.of(Found)
    cell = cell_maker(answer.shape)
    cells = [cell(FULL), MISSING, cell(BARE)]
    given = pd.DataFrame(
        {
            "text": ["ü", "b", "c"],
            "zone": pd.to_datetime(["2026-01-01"] * 3).tz_localize("Europe/Berlin"),
            "empty": [None, None, None],
            "lists": [[1], None, []],
        },
        index=pd.Index([7, 7, 8], name="id"),
    )
    return assemble(given, columns(answer, cells, "r"))


@pytest.fixture(scope="module")
def path(out, tmp_path_factory):
    return write_parquet(out, tmp_path_factory.mktemp("saved") / "out.parquet", {"model": "m"})


def types_in(kind):
    yield kind
    for number in range(kind.num_fields):
        yield from types_in(kind.field(number).type)


def test_a_file_has_plain_arrow_types_and_nothing_of_the_dtypes_is_lost(out, path):
    schema = pq.read_schema(path)
    for field in schema:
        assert not any(isinstance(kind, pa.BaseExtensionType) for kind in types_in(field.type))
        assert b"ARROW:extension:name" not in (field.metadata or {})
    read = lp.read_parquet(path)
    pd.testing.assert_frame_equal(read.drop(columns="lists"), out.drop(columns="lists"))
    assert list(read.dtypes) == list(out.dtypes)


def test_polars_reads_it_as_what_it_is_without_a_warning(out, path):
    polars = pytest.importorskip("polars")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = polars.read_parquet(path)
        handed = polars.from_arrow(out.llm.to_arrow())
    assert handed.schema == read.schema
    part = polars.Struct({"name": polars.String, "sizes": polars.List(polars.Int64)})
    assert read.schema["r_parts"] == polars.List(part)
    assert read.schema["r_first"] == part
    assert read.schema["r_stars"] == polars.Int64
    assert read.schema["r_price"] == polars.Decimal(38, 9)
    full, none, bare = read.to_dicts()
    assert full["r_parts"] == [{"name": "a", "sizes": [1, 2]}, {"name": "b", "sizes": []}]
    assert full["r_mood"] == "good"
    assert full["r_price"] == Decimal("1.5")
    assert full["r_took"] == dt.timedelta(seconds=1.5)
    assert none["r_parts"] is None
    assert bare["r_parts"] == []
    assert [row["id"] for row in (full, none, bare)] == [7, 7, 8]


def test_duckdb_asks_it_in_sql(out, path):
    duckdb = pytest.importorskip("duckdb")
    ask = "SELECT r_parts[1].name, len(r_parts), r_scores['x'], r_stars, r_price FROM {} ORDER BY id, r_stars"
    handed = out.llm.to_arrow()
    for source in (f"'{path}'", "handed"):
        assert duckdb.sql(ask.format(source)).fetchall() == [
            ("a", 2, 0.5, 3, Decimal("1.5")),
            (None, None, None, None, None),
            (None, 0, None, 3, Decimal("1.5")),
        ]
    del handed


def test_an_arrow_table_has_the_index_and_is_what_is_saved(out, path):
    table = out.llm.to_arrow()
    assert table.schema.names == pq.read_schema(path).names
    assert table.column("r_parts").to_pylist() == pq.read_table(path)["r_parts"].to_pylist()
    back = table.to_pandas()
    assert back.index.equals(out.index)
    assert back["r_stars"].tolist()[0] == 3


def test_a_dataset_has_the_rows_and_the_named_index_and_downloads_nothing(out, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = out.llm.to_dataset()
    assert made.num_rows == 3
    assert made.column_names == ["id", *out.columns]
    assert made.features["r_mood"].dtype in {"string", "large_string"}
    full: Any = made[0]
    assert full["r_mood"] == "good"
    assert full["r_scores"] == [{"key": "x", "value": 0.5}]
    assert full["r_parts"][0] == {"name": "a", "sizes": [1, 2]}
    assert made[1]["r_first"] is None
    assert made.filter(lambda row: row["r_stars"] == 3).num_rows == 2
    unnamed = out.reset_index(drop=True).tail(1).llm.to_dataset()
    assert unnamed.column_names == list(out.columns)
    assert json.dumps(unnamed[0]["r_parts"]) == "[]"


def test_without_the_package_a_dataset_says_what_to_install(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match="pip install datasets"):
        out.llm.to_dataset()
