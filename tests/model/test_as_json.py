import dataclasses
import datetime as dt
import enum
import ipaddress
import re
import uuid
from collections import deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from pydantic import HttpUrl, TypeAdapter

from lionproc.model.answer import Answer
from lionproc.model.as_json import plain, to_json


@dataclasses.dataclass
class Scores:
    by_day: dict[int, object]


class Code(enum.IntEnum):
    A = 1


class Name(str):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (
            pd.Timestamp("2024-01-02 03:04:05.000000006", tz="UTC"),
            "2024-01-02T03:04:05.000000006+00:00",
        ),
        (pd.NaT, None),
        (pd.NA, None),
        (float("nan"), None),
        (np.datetime64("NaT", "ns"), None),
        (np.datetime64("2024-01-02"), "2024-01-02"),
        (np.array(["NaT", "2024-01-02"], dtype="M8[ns]"), [None, "2024-01-02T00:00:00.000000000"]),
        (np.float32(1.1), 1.1),
        (np.array([[1.1, np.nan]], dtype="f4"), [[1.1, None]]),
        (pd.Timedelta("1D"), "1 days 00:00:00"),
        (dt.time(1, tzinfo=dt.UTC), "01:00:00+00:00"),
        (dt.date(1, 1, 1), "0001-01-01"),
        (b"text", "text"),
        (np.bytes_(b"text"), "text"),
        (np.int8(3), 3),
        (np.float16(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (Decimal("1.50"), "1.50"),
        (pd.Period("2024-01"), "2024-01"),
        (pd.Interval(0, 1), "(0, 1]"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (np.array(["a", None], dtype=object), ["a", None]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        ({"b", "a"}, ["a", "b"]),
        (Code.A, 1),
        (Name("n"), "n"),
        (2**70, str(2**70)),
        (-(2**63), -(2**63)),
        ({0: "a", "b": {np.int64(1): 2}}, {"0": "a", "b": {"1": 2}}),
        ({("a", "b"): 1}, {"('a', 'b')": 1}),
        ({pd.Timestamp("2024"): 1}, {"2024-01-01T00:00:00": 1}),
        ({None: 1, True: 2}, {"null": 1, "true": 2}),
        ("half \ud800", "half \ufffd"),
        (
            Scores({1: 2**70, 2: uuid.UUID(int=1)}),
            {"by_day": {"1": str(2**70), "2": str(uuid.UUID(int=1))}},
        ),
        (HttpUrl("https://example.com/a"), "https://example.com/a"),
        (ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
        (re.compile("a+"), "a+"),
        (Fraction(1, 3), "1/3"),
        (deque([1]), [1]),
    ],
)
def test_what_a_row_may_hold_has_a_form_in_json(value, kept):
    assert plain(value) == kept
    assert plain([{"deep": value}]) == [{"deep": kept}]


def test_the_records_of_a_frame_of_all_dtypes_are_json():
    frame = pd.DataFrame(
        {
            0: [1, 2],
            "at": pd.to_datetime(["2024-01-02", None], utc=True),
            "late": pd.to_timedelta(["1D", None]),
            "kind": pd.Categorical(["a", None]),
            "n": pd.array([1, None], dtype="Int64"),
            "raw": [b"x", None],
            "when": pd.period_range("2024", periods=2, freq="M"),
            "list": pd.Series([np.array([1.5]), None], dtype=object),
        }
    )
    first, second = plain(frame.to_dict("records"), given=True)
    assert first["at"] == "2024-01-02T00:00:00+00:00"
    assert first["list"] == [1.5]
    assert second.pop("0") == 2
    assert second.pop("when") == "2024-02"
    assert set(second.values()) == {None}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"a": [{"b": object()}]}, r"not JSON serializable: object \(at \['a'\]\[0\]\['b'\]\)"),
        ({"photo": b"\xff\x00"}, r"bytes that are not UTF-8.*\['photo'\]"),
        ({1: "a", "1": "b"}, "two keys are '1' as text"),
        ({"frame": pd.DataFrame()}, "not JSON serializable: DataFrame"),
        ([1 + 2j], "not JSON serializable: complex"),
        (iter([1]), "not JSON serializable: list_iterator"),
    ],
)
def test_what_has_none_is_named_with_its_place_and_never_shown(value, why):
    with pytest.raises(TypeError, match=why):
        plain(value)


@pytest.mark.parametrize(
    "number", [10**5000, -(10**700), 2**64], ids=["long", "below zero", "65 bits"]
)
def test_a_number_of_any_length_is_written_with_all_of_its_digits(number):
    as_text = str(Decimal(number))
    assert plain([number, {number: 1}]) == [as_text, {as_text: 1}]
    with pytest.raises(TypeError, match=r"digits.*in a key at \['a'\]"):
        plain({"a": {(10**5000,): 1}})


def test_a_list_that_holds_itself_is_an_error():
    endless = []
    endless.append(endless)
    with pytest.raises(TypeError, match="levels"):
        plain(endless)


def test_half_a_character_is_refused_where_a_user_gives_it():
    with pytest.raises(TypeError, match=r"half a character.*\['text'\]"):
        plain({"text": "\ud800"}, given=True)


@pytest.mark.parametrize("hours", [-1, -47, -48, 0, 1, 47])
def test_a_span_of_time_is_written_so_that_it_is_read_as_the_same(hours):
    span = dt.timedelta(hours=hours, seconds=hours)
    for value in (span, pd.Timedelta(span)):
        assert TypeAdapter(dt.timedelta).validate_python(plain(value)) == span
        assert Answer.of(list[dt.timedelta]).read_json(plain([value])) == [span]


def test_a_long_key_is_not_written_out_for_each_value_within_it():
    """To put it together again for 40,000 values copied gigabytes."""
    key = "k" * 100_000
    with pytest.raises(TypeError) as caught:
        to_json({key: [1, 10**30, object()]})
    assert "[2]" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert to_json({key: [1, 10**30]}) == f'{{"{key}":[1,"{10**30}"]}}'.encode()
