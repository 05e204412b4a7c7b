import dataclasses
import datetime as dt
import enum
import json
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, NaiveDatetime, RootModel, create_model

from lionproc.errors import CallError, ColumnError
from lionproc.frame import assemble as assembling
from lionproc.frame.assemble import MISSING, assemble, check_names, column_names
from lionproc.model.answer import Answer
from lionproc.model.coerce import cell_maker
from lionproc.model.model import Model


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Item(BaseModel):
    sku: str
    price: Decimal | None = None
    size: Literal["s", 1] = "s"
    extra: Any = None


class Review(BaseModel):
    label: Literal["good", "bad"]
    stars: int | None = None
    items: list[Item] = []


@dataclasses.dataclass
class Point:
    x: float
    y: float


def columns(answer, values, into):
    """The columns of answers, whose cells are made first, as when their replies arrive."""
    cell = cell_maker(answer.shape)
    cells = [value if value is MISSING else cell(value) for value in values]
    return assembling.columns(answer, cells, into)


def one(schema, values):
    return columns(Answer.of(schema), values, "out")["out"]


UTC = pd.DatetimeTZDtype("us", "UTC")
ITEM = pa.struct(
    [
        ("sku", pa.string()),
        ("price", pa.decimal128(38, 9)),
        ("size", pa.string()),
        ("extra", pa.string()),
    ]
)
DTYPES = [
    (str, "x", pd.StringDtype()),
    (int, 5, pd.Int64Dtype()),
    (float, 1.5, pd.Float64Dtype()),
    (bool, True, pd.BooleanDtype()),
    (Literal["b", "a"], "a", pd.CategoricalDtype(["b", "a"])),
    (Literal[3, 1, 2], 2, pd.CategoricalDtype([3, 1, 2])),
    (Literal["b", 1], 1, pd.CategoricalDtype(["b", 1])),
    (Literal[True, False], False, pd.CategoricalDtype([True, False])),
    (Mood, Mood.BAD, pd.CategoricalDtype(["good", "bad"])),
    (int | None, 5, pd.Int64Dtype()),
    (list[str], ["x"], pd.ArrowDtype(pa.list_(pa.string()))),
    (list[Item], [Item(sku="x")], pd.ArrowDtype(pa.list_(ITEM))),
    (dict[str, int], {"a": 1}, pd.ArrowDtype(pa.map_(pa.string(), pa.int64()))),
    (dt.date, dt.date(2024, 1, 1), pd.ArrowDtype(pa.date32())),
    (dt.datetime, dt.datetime(2024, 1, 1, tzinfo=dt.UTC), UTC),
    (NaiveDatetime, dt.datetime(2024, 1, 1), np.dtype("datetime64[us]")),  # noqa: DTZ001
    (dt.time, dt.time(1, 2), pd.ArrowDtype(pa.time64("us"))),
    (dt.timedelta, dt.timedelta(1), np.dtype("timedelta64[us]")),
    (Decimal, Decimal("1.5"), pd.ArrowDtype(pa.decimal128(38, 9))),
    (int | str, 5, pd.StringDtype()),
    ({"type": "object"}, {"a": 1}, pd.StringDtype()),
    ({"type": "number"}, 5, pd.Float64Dtype()),
    ({"enum": ["x", "y"]}, "y", pd.CategoricalDtype(["x", "y"])),
    (RootModel[int], RootModel[int](5), pd.Int64Dtype()),
]


@pytest.mark.parametrize(("schema", "value", "dtype"), DTYPES)
def test_every_answer_has_one_dtype_whether_there_are_values_gaps_or_no_rows(schema, value, dtype):
    for values in ([value, MISSING], [MISSING, MISSING], [None], []):
        made = pd.Series(one(schema, values))
        assert made.dtype == dtype
        assert made.isna().tolist() == [v in (MISSING, None) for v in values]
        if isinstance(dtype, pd.CategoricalDtype):
            assert made.cat.categories.tolist() == dtype.categories.tolist()
            assert not made.cat.ordered


@pytest.mark.parametrize(
    ("schema", "value", "cell"),
    [
        (str, "ünï\0", "ünï\0"),
        (int, 2**63 - 1, 2**63 - 1),
        (int, -(2**63), -(2**63)),
        (Mood, Mood.BAD, "bad"),
        (Literal["b", 1], 1, 1),
        (set[str], {"b", "a"}, ["a", "b"]),
        (list[Mood], [Mood.BAD], ["bad"]),
        (list[Literal["b", 1]], ["b", 1], ["b", "1"]),
        (dict[int, str], {1: "a"}, [("1", "a")]),
        (int | str, "5", '"5"'),
        (int | str, 5, "5"),
        (tuple[int, str], (1, "ü"), '[1,"ü"]'),
        ({"type": "object"}, {"b": [None]}, '{"b":[null]}'),
        ({"type": "integer"}, 3.0, 3),
        (Decimal, Decimal("1E+5"), Decimal(100000)),
        (dt.date, dt.date(1, 1, 1), dt.date(1, 1, 1)),
        (
            dt.datetime,
            dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
            pd.Timestamp("2024-01-01T10:00", tz="UTC"),
        ),
        (
            list[Item],
            [Item(sku="a", price=Decimal("0.1"), size=1, extra={"k": 1})],
            [{"sku": "a", "price": Decimal("0.1"), "size": "1", "extra": '{"k":1}'}],
        ),
    ],
)
def test_values_arrive_exactly(schema, value, cell):
    made = one(schema, [MISSING, value])
    assert pd.isna(made[0])
    assert made[1] == cell


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("1." + "0" * 50, Decimal(1)),
        ("0E+50", Decimal(0)),
        ("9" * 29 + "." + "9" * 9, Decimal("9" * 29 + "." + "9" * 9)),
        ("12345678901234567890123456789.1234567891", None),  # 28 digits of it would fit
        ("1E+999999", None),
        ("0." + "3" * 100_000, None),
    ],
)
def test_a_decimal_fits_its_column_exactly_or_is_a_wrong_shape(text, cell):
    for schema, written in ((Decimal, f'"{text}"'), (list[Decimal], f'["{text}"]')):
        answer = Answer.of(schema)
        if cell is None:
            with pytest.raises(CallError, match="29 digits before and 9 after"):
                answer.answered(written)
        else:
            made = columns(answer, [answer.answered(written).cell], "out")["out"][0]
            assert made == (cell if schema is Decimal else [cell])


def test_the_least_duration_of_64_bits_is_refused_for_it_means_a_gap():
    with pytest.raises(CallError, match="a duration of less than 292,000 years"):
        Answer.of(dt.timedelta).answered('"-P106751991DT4H0M54.775808S"')


@pytest.mark.parametrize(
    ("members", "held"),
    [
        ([2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
        ([2**64 - 1, 1], [str(2**64 - 1), "1"]),  # Arrow's whole numbers end before
        ([2**53 + 1, 0.5], [str(2**53 + 1), "0.5"]),  # a float would be another number
        ([2, 0.5], [2.0, 0.5]),
    ],
)
def test_choices_of_large_numbers_in_a_list_are_exact(members, held):
    schema = {"type": "array", "items": {"enum": members}}
    (made,) = columns(Answer.of(schema), [members], "a")["a"]
    assert list(made) == held


def test_a_field_with_a_point_in_its_name_is_one_field():
    answer = Answer.of(create_model("Dotted", **{"a.b": (int, ...), "c": (str, ...)}))
    assert answer.answered('{"a.b": 1, "c": "x"}').cell == {"a.b": 1, "c": "x"}


def test_a_model_becomes_one_column_per_field():
    values = [Review(label="bad", stars=2, items=[Item(sku="a")]), MISSING, Review(label="good")]
    made = columns(Answer.of(Review), values, "review")
    assert list(made) == ["review_label", "review_stars", "review_items"]
    frame = pd.DataFrame(made)
    assert frame["review_label"].astype(object).fillna("NA").tolist() == ["bad", "NA", "good"]
    assert frame["review_stars"].fillna(-1).tolist() == [2, -1, -1]
    assert frame["review_items"].isna().tolist() == [False, True, False]
    assert [item["sku"] for item in frame["review_items"][0]] == ["a"]


def test_field_names_alone_are_the_columns_when_into_is_none():
    assert column_names(Answer.of(Review), None) == ["label", "stars", "items"]
    assert column_names(Answer.of(Review), "r") == ["r_label", "r_stars", "r_items"]
    assert column_names(Answer.of(int), "n") == ["n"]
    assert column_names(Answer.of(int), ("a", 1)) == [("a", 1)]


def test_an_answer_of_none_is_na_in_every_column_of_the_model():
    made = columns(Answer.of(Review | None), [None, Review(label="bad", stars=1)], "r")
    assert [array.isna().tolist() for array in made.values()] == [[True, False]] * 3


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (Point, Point(1.0, 2.0)),
        (
            {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}},
            {"x": 1, "y": 2},
        ),
    ],
)
def test_dataclasses_and_json_objects_have_columns_too(schema, value):
    made = columns(Answer.of(schema), [MISSING, value], None)
    assert {name: array[1] for name, array in made.items()} == {"x": 1.0, "y": 2.0}


def test_a_field_the_reply_left_out_is_na():
    schema = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "string"}}}
    made = columns(Answer.of(schema), [{"x": 1}], None)
    assert pd.isna(made["y"][0])


def test_columns_are_named_by_field_and_not_by_alias():
    class Aliased(BaseModel):
        mood: str = Field(alias="the-mood")

    answer = Answer.of(Aliased)
    made = columns(answer, [answer.read('{"the-mood": "fine"}')], None)
    assert list(made["mood"]) == ["fine"]


def test_one_column_needs_a_name_and_a_prefix_has_to_be_text():
    with pytest.raises(ColumnError, match="into="):
        column_names(Answer.of(int), None)
    with pytest.raises(ColumnError, match="has to be a text"):
        column_names(Answer.of(Review), 5)


SCALARS = {
    str: st.text(st.characters(exclude_categories=["Cs"])),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    Literal["b", "a", 1]: st.sampled_from(["b", "a", 1]),
    dt.date: st.dates(),
    list[int]: st.lists(st.integers(-(2**63), 2**63 - 1)),
    dict[str, bool]: st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"])), st.booleans()
    ),
}
ANSWERS = {schema: Answer.of(schema) for schema in SCALARS}


def plain(cell):
    if isinstance(cell, np.generic):
        return cell.item()
    return cell


@given(st.data(), st.sampled_from(list(SCALARS)))
def test_whatever_the_answers_they_come_back_by_position(data, schema):
    values = data.draw(st.lists(SCALARS[schema] | st.just(MISSING), max_size=8))
    made = columns(ANSWERS[schema], values, "out")["out"]
    assert len(made) == len(values)
    for value, cell in zip(values, made, strict=True):
        if value is MISSING:
            assert cell is pd.NA or pd.isna(cell)
        elif isinstance(value, dict):
            assert dict(cell) == value
        else:
            assert plain(cell) == value
            assert type(plain(cell)) is type(value)


@given(st.data(), st.sampled_from(list(SCALARS)))
def test_what_was_read_from_json_always_fits_its_column(data, schema):
    value = data.draw(SCALARS[schema])
    answer = ANSWERS[schema]
    read = answer.read(json.dumps({answer.name: value}, default=str))
    assert len(columns(answer, [read], "out")["out"]) == 1


def test_an_answer_becomes_cells_of_its_columns_in_a_few_calls(calls_of):
    answer = Answer.of(Review)
    cells = [answer.answered('{"label": "bad", "stars": 2}').cell] * 10_000
    assembling.columns(answer, cells[:1], "r")  # imports what it needs
    assert calls_of(lambda: assembling.columns(answer, cells, "r")) < 5 * len(cells)


# ---------------------------------------------------------------- the frame


INDEXES = {
    "range": pd.RangeIndex,
    "duplicates": lambda n: pd.Index(["same"] * n),
    "multi": lambda n: pd.MultiIndex.from_arrays([["k"] * n, [0] * n], names=["a", None]),
    "dates": lambda n: pd.date_range("2024", periods=n),
}


@pytest.mark.parametrize("n", [0, 3])
@pytest.mark.parametrize("index", INDEXES)
def test_the_index_the_order_and_the_columns_stay_whatever_the_index(index, n):
    frame = pd.DataFrame({"b": range(n), "a": ["x"] * n}, index=INDEXES[index](n))
    made = assemble(frame, columns(Answer.of(int), list(range(n)), "out"))
    assert made.index.equals(frame.index)
    assert list(made.index.names) == list(frame.index.names)
    assert list(made.columns) == ["b", "a", "out"]
    assert made["out"].tolist() == list(range(n))
    assert made.dtypes[["a", "b"]].tolist() == frame.dtypes[["a", "b"]].tolist()
    assert made["out"].dtype == pd.Int64Dtype()


def test_the_input_is_not_touched_and_its_data_is_shared():
    frame = pd.DataFrame({"a": np.arange(1000)})
    before = frame.copy()
    made = assemble(frame, columns(Answer.of(int), [1] * 1000, "a"), overwrite=True)
    pd.testing.assert_frame_equal(frame, before)
    assert made["a"].tolist() == [1] * 1000
    if int(pd.__version__.split(".")[0]) >= 3:
        kept = assemble(frame, columns(Answer.of(int), [1] * 1000, "b"))
        assert np.shares_memory(kept["a"].to_numpy(), frame["a"].to_numpy())
        kept.loc[0, "a"] = 99
        pd.testing.assert_frame_equal(frame, before)


def test_an_overwritten_column_keeps_its_place_and_new_ones_come_last():
    frame = pd.DataFrame({"a": [1], "label": ["old"], "z": [2]})
    made = assemble(frame, columns(Answer.of(Review), [MISSING], None), overwrite=True)
    assert list(made.columns) == ["a", "label", "z", "stars", "items"]
    assert made["label"].isna().all()


def test_a_column_that_no_other_can_be_joined_to_is_named_before_anything_is_sent():
    frame = pd.DataFrame({"a": [1]})
    frame.columns = pd.Index(["a\ud800"], dtype=object)
    with pytest.raises(ColumnError, match=r"column 'a\\ud800' has half a character"):
        check_names(frame, ["b"], overwrite=False)


def test_columns_that_are_there_are_refused_before_anything_is_sent():
    frame = pd.DataFrame({"a": [1], "label": [2]})
    with pytest.raises(ColumnError, match="overwrite=True"):
        check_names(frame, ["label"], overwrite=False)
    with pytest.raises(ColumnError, match="overwrite=True"):
        assemble(frame, columns(Answer.of(int), [1], "a"))
    check_names(frame, ["label"], overwrite=True)


def test_two_outputs_of_one_name_are_refused():
    with pytest.raises(ColumnError, match="Two output columns"):
        check_names(pd.DataFrame({"a": [1]}), ["x", "x"], overwrite=True)


@pytest.mark.parametrize("asked", [{"details": True}, {"confidence": True}])
def test_a_field_that_has_the_name_of_a_column_beside_it_is_to_be_renamed(asked):
    schema = create_model("R", error=(bool, ...), error_confidence=(float, ...))
    frame, model = pd.DataFrame({"a": ["x"]}), Model("openai/x", api_key="k")
    with pytest.raises(ColumnError, match=r"details=, votes= or confidence=, rename the field"):
        frame.llm.estimate("{a}", into="r", schema=schema, model=model, **asked)


def test_duplicate_columns_of_the_input_stay_but_cannot_be_overwritten():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    made = assemble(frame, columns(Answer.of(int), [3], "b"))
    assert made.to_numpy().tolist() == [[1, 2, 3]]
    assert list(made.columns) == ["a", "a", "b"]
    with pytest.raises(ColumnError, match="several columns"):
        check_names(frame, ["a"], overwrite=True)


def test_attrs_flags_and_the_name_of_the_columns_are_carried_over():
    frame = pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
    frame.attrs["source"] = "shop"
    frame.columns.name = "field"
    made = assemble(frame, columns(Answer.of(int), [3], "b"))
    assert made.attrs == {"source": "shop"}
    assert made.columns.name == "field"
    assert not made.flags.allows_duplicate_labels


def test_a_frame_with_two_levels_of_columns_takes_new_ones_on_the_first():
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    made = assemble(frame, columns(Answer.of(int), [3], "b"))
    assert made.columns.tolist() == [("a", "x"), ("a", "y"), ("b", "")]


def test_two_hundred_new_columns_raise_no_warning():
    frame = pd.DataFrame({"a": [1]})
    answer = Answer.of(int)
    new = {}
    for n in range(200):
        new |= columns(answer, [n], f"c{n}")
    assert assemble(frame, new).shape == (1, 201)


@pytest.mark.parametrize(
    ("taken", "said"),
    [(["b"], "has a column 'b' already"), (["b", "c"], "has columns 'b', 'c' al")],
)
def test_names_that_are_taken_are_listed(taken, said):
    frame = pd.DataFrame({"a": [1], "b": [2], "c": [3]})
    with pytest.raises(ColumnError, match=said):
        check_names(frame, ["new", *taken], overwrite=False)
    check_names(frame, ["new", *taken], overwrite=True)
