import array
import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import io
import json
import re
import threading
import uuid
import weakref
from collections import deque
from urllib.parse import urlsplit

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import lionproc as lp
from lionproc.errors import CallError, Kind, PromptError
from lionproc.frame.portions import Portions
from lionproc.frame.prompt import MISSING, Prompt, cell_text, is_missing, placeholder
from lionproc.template import Names, parse

COLUMNS = ["id", "review", "title"]


def ask(template, columns, *cells, **options):
    """The text of the user's message when the cells are those of `columns`."""
    prompt = Prompt.of(template, columns, **options)
    row = dict(zip(columns, cells, strict=True))
    return prompt.render(*(row[label] for label in prompt.columns))[-1]["content"]


def refusal(template, columns=COLUMNS, **options):
    with pytest.raises(PromptError) as caught:
        Prompt.of(template, columns, **options)
    return str(caught.value)


# Templates


def test_a_template_reads_the_columns_it_names_in_order_and_once():
    prompt = Prompt.of("{title}: {review} ({title})", COLUMNS)
    assert prompt.columns == ("title", "review")
    assert prompt.render("Tea", "fine") == [{"role": "user", "content": "Tea: fine (Tea)"}]


def test_a_system_message_goes_first_and_is_sent_as_it_is():
    prompt = Prompt.of("{review}", COLUMNS, system='Answer {"a": 1} {{x}}')
    assert prompt.render("fine")[0] == {"role": "system", "content": 'Answer {"a": 1} {{x}}'}
    assert Prompt.of("{review}", COLUMNS, system="").render("fine")[0]["role"] == "user"


def test_a_system_message_that_names_a_column_is_refused_because_it_would_not_be_filled_in():
    assert "{review} would not be filled in" in refusal("{id}", system="About {review}")


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{}}{id}", "{}7"),
        ('{{"a": {id}}}', '{"a": 7}'),
        ('{{"a": {{"b": {id}}}}}', '{"a": {"b": 7}}'),
        ("{{id}}{id}", "{id}7"),
        ("{{{id}}}", "{7}"),
        ("100 % of %s %(x)s {id}", "100 % of %s %(x)s 7"),
        ("{ id }", "7"),
    ],
)
def test_doubled_braces_are_braces(template, text):
    assert ask(template, COLUMNS, 7, "", "") == text


@pytest.mark.parametrize(
    ("column", "template"),
    [
        ("two words", "{two words}"),
        ("a.b", "{a.b}"),
        ("a[0]", "{a[0]}"),
        ("a!r", "{a!r}"),
        ("a:>10", "{a:>10}"),
        ("", "{}"),
        ("Straße\n😀", "{Straße\n😀}"),
        ('it\'s "x"', '{it\'s "x"}'),
        ("{name}", "{ {{name}} }"),
        ("a{b}c", "{a{{b}}c}"),
        ("a}", "{ a}} }"),
        (" padded ", "{ padded }"),
        ("%s", "{%s}"),
        ("__class__", "{__class__}"),
        (0, "{0}"),
        (1.5, "{1.5}"),
        (None, "{None}"),
        (("a", "b"), "{a, b}"),
        (("a", 2), "{a, 2}"),
        (pd.Timestamp("2026-01-02"), "{2026-01-02 00:00:00}"),
    ],
)
def test_any_column_can_be_named(column, template):
    assert ask(template, [column], "cell") == "cell"
    assert ask(placeholder(column), [column], "cell") == "cell"


def test_a_text_label_goes_before_a_number_that_prints_alike():
    assert ask("{0}", [0, "0"], "number", "text") == "text"


labels = st.text(max_size=8) | st.text(alphabet="{}ab %", max_size=6)


@given(labels, st.text(max_size=20), st.text("{}a% "), st.text("{}a% "))
@example("a}b", "{a}", "", "}")
@example("{value}", "{a}", "{", "}")
def test_a_column_of_any_name_round_trips_and_the_cell_is_never_looked_into(
    label, cell, before, after
):
    assume((before + cell + after).strip())
    before_, after_ = (text.replace("{", "{{").replace("}", "}}") for text in (before, after))
    got = ask(f"{before_}{placeholder(label)}{after_}", [label], cell)
    assert got == f"{before}{cell}{after}"


@given(st.lists(st.text("{}a", max_size=5), min_size=1, max_size=4, unique=True), st.data())
def test_what_is_not_a_column_is_never_filled_in(known, data):
    template = data.draw(st.text("{}a ", max_size=12))
    try:
        prompt = Prompt.of(template, known)
    except PromptError:
        return
    assert set(prompt.columns) <= set(known)
    pieces = prompt.render(*("<{a}>" for _ in prompt.columns))[-1]["content"].split("<{a}>")
    assert len(pieces) >= 2


@given(st.text(max_size=60))
def test_a_template_of_any_text_is_refused_or_rendered_but_nothing_else_happens(template):
    try:
        prompt = Prompt.of(template, ["a", "b c"])
    except PromptError:
        return
    prompt.render(*("x" for _ in prompt.columns))


def test_cells_cannot_act_on_the_template():
    cells = ["{title}", "{review.__class__}", "%(title)s%n", "{{", "}", "{0}", "\\1"]
    for cell in cells:
        assert (
            ask("{review} by {title}", ["review", "title"], cell, "SECRET") == f"{cell} by SECRET"
        )


def test_an_unknown_column_is_answered_with_the_nearest_names():
    message = refusal("Text: {revew}")
    assert "no column 'revew' (line 1, position 7)" in message
    assert "Did you mean 'review'?" in message
    assert "There are: 'id', 'review', 'title'." in refusal("{zzz}")


@pytest.mark.parametrize(
    "template", ["{review.__class__}", "{review[0]}", "{review!r}", "{review:>1000000}"]
)
def test_only_bare_names_are_allowed_and_the_error_says_so(template):
    message = refusal(template)
    assert "no attributes, indexes, conversions or formats" in message
    assert "like {review}" in message
    assert "doubled: {{ and }}" in message


@pytest.mark.parametrize("template", ['{"label": "x"} {review}', "{\n review }", "{} {review}"])
def test_json_in_a_prompt_gets_the_hint_to_double_its_braces(template):
    assert "JSON" in refusal(template, ["id", "review text"])


def test_a_column_that_cannot_be_named_is_answered_with_what_can_stand_there():
    assert "Nothing stands between these braces (line 1, position 3)" in refusal("a {} {review}")
    assert refusal("{review}", []).endswith("The frame has no columns.")
    with pytest.raises(PromptError, match=r"shows the cell as \{value\}"):
        parse("{review}", Names(["title"], each=True))


def test_an_unmatched_brace_is_pointed_at():
    message = refusal("one\ntwo {review} and { more", COLUMNS)
    assert "opening brace without a closing one (line 2, position 18)" in message
    shown, caret = message.splitlines()[1:3]
    assert shown[caret.index("^")] == "{"
    message = refusal("x" * 100 + "}" + "y" * 100)
    assert "closing brace without an opening one (line 1, position 101)" in message
    shown, caret = message.splitlines()[1:3]
    assert shown[caret.index("^")] == "}"
    assert len(shown) < 70


def test_columns_that_share_a_name_are_ambiguous_only_where_they_are_read():
    assert "More than one column is called 'a'" in refusal("{a}", ["a", "b", "a"])
    assert "More than one column is called '1'" in refusal("{1}", [1, 1])
    assert ask("{b}", ["a", "b", "a"], 1, 2, 3) == "2"
    assert "More than one column is called 'a'" in refusal(lambda row: "x", ["a", "a"])


def test_a_template_that_asks_every_row_the_same_is_refused():
    assert "every row would ask the same" in refusal("Is this positive?")
    assert "empty" in refusal("")
    assert "empty" in refusal(" \n")


def test_a_prompt_that_is_neither_text_nor_function_is_refused():
    assert "a text or a function of a row, not int" in refusal(7)
    assert "a text or a function of a row, not int" in refusal("{id}", system=7)
    assert "'skip' or 'send'" in refusal("{id}", on_missing="drop")


# One cell at a time


def test_value_is_the_cell_where_one_is_asked_for_each():
    prompt = Prompt.of("{title}: {value}", ["title", "value"], each=True)
    assert prompt.columns == ("title",)
    assert prompt.render("Tea", value=3)[0]["content"] == "Tea: 3"
    rows = prompt.render_slice({"title": ["a", "b", "c"]}, 1, 3, value=[1, None, 3])
    assert rows == [MISSING, [{"role": "user", "content": "c: 3"}]]
    assert "Put {value} there" in refusal("{title}", each=True)


def test_value_without_a_cell_to_stand_for_says_where_it_works():
    assert "{value} is the cell of columns=[...], and of a Series" in refusal("{value}")


def test_a_function_for_each_gets_the_cell():
    prompt = Prompt.of(lambda cell: f"<{cell}>", [], each=True, system=lambda cell: f"s{cell}")
    assert prompt.render_slice({}, 0, 2, value=[1, None]) == [
        [{"role": "system", "content": "s1"}, {"role": "user", "content": "<1>"}],
        MISSING,
    ]


# Cells


class Colour(enum.Enum):
    RED = "red"


class Shade(str, enum.Enum):  # noqa: UP042  (its str() is not its value, unlike StrEnum's)
    DARK = "dark"


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("text", "text"),
        ("", ""),
        ("a\0b", "a\0b"),
        (3, "3"),
        (2**80, str(2**80)),
        (np.int64(3), "3"),
        (1.0, "1.0"),
        (np.float64(1.0), "1.0"),
        (np.float32(0.5), "0.5"),
        (1e300, "1e+300"),
        (float("inf"), "inf"),
        (True, "True"),
        (np.bool_(False), "False"),
        (decimal.Decimal("1.10"), "1.10"),
        (np.str_("x"), "x"),
        (pd.Timestamp("2026-01-02 03:04:05+01:00"), "2026-01-02T03:04:05+01:00"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (dt.time(3, 4), "03:04:00"),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        (pd.Timedelta("1D"), "1 days 00:00:00"),
        (pd.Period("2026-01"), "2026-01"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Shade.DARK, "dark"),
        ("é".encode(), "é"),
        ([1, "é", None], '[1,"é",null]'),
        ({"a": [np.float64(1.5)], 2: dt.date(2026, 1, 2)}, '{"a":[1.5],"2":"2026-01-02"}'),
        ((1, 2), "[1,2]"),
        ({"b"}, '["b"]'),
        (np.array([1, 2]), "[1,2]"),
        (np.array(["a", None], dtype=object), '["a",null]'),
        (
            [pd.NA, pd.Timestamp("2026-01-02"), decimal.Decimal("1.5"), b"x"],
            '[null,"2026-01-02T00:00:00","1.5","x"]',
        ),
        ([2**80], f"[{2**80}]"),
        (["\ud800"], '["\ufffd"]'),
        ([], "[]"),
        (urlsplit("https://a/b"), '["https","a","/b","",""]'),
        ([urlsplit("x")], '[["","","x","",""]]'),
    ],
)
def test_a_cell_becomes_the_text_a_person_would_write(cell, text):
    assert cell_text(cell) == text
    assert ask("{a}.", ["a"], cell) == f"{text}."


LONG = list(range(2_000))
WRITTEN = json.dumps(LONG, separators=(",", ":"))


class Series:
    """As Polars has it, which itself changes how a process hears of Ctrl-C."""

    __module__ = "polars.series.series"

    def to_list(self):
        return LONG


class Frame:
    """The same of its tables."""

    __module__ = "polars.dataframe.frame"

    def __init__(self, columns):
        self._columns = columns

    def to_dicts(self):
        return pd.DataFrame(self._columns).to_dict("records")


@pytest.mark.parametrize("cell", [
    np.array(LONG), pd.Series(LONG), pd.Index(LONG), pd.array(LONG, dtype="Int64"),
    pd.array(LONG, dtype="int64[pyarrow]"), pd.Categorical(LONG), pa.array(LONG),
    pa.chunked_array([LONG]), array.array("l", LONG), Series(),
], ids=lambda cell: f"{type(cell).__module__}.{type(cell).__name__}")  # fmt: skip
def test_of_an_array_nothing_is_left_out_whoever_made_it(cell):
    assert cell_text(cell) == WRITTEN
    assert cell_text([cell]) == f"[{WRITTEN}]"


TABLE = pd.DataFrame({"n": [1, 2]}, index=["a", "b"])


@pytest.mark.parametrize(("cell", "text"), [
    (pd.Series(list("aba")).value_counts(), '{"a":2,"b":1}'),
    (pd.Series([1, 2], index=["a", "a"]), '[["a",1],["a",2]]'),
    (pd.Series([1], index=[None]), '{"null":1}'),
    (TABLE, '{"a":{"n":1},"b":{"n":2}}'),
    (TABLE.set_index("n", append=True).iloc[:1], '{"[\\"a\\",1]":{}}'),
    (pd.DataFrame([[1, 2]], columns=[("a", 1), pd.Timestamp("2024")]), '[{"[\\"a\\",1]":1,"2024-01-01T00:00:00":2}]'),
    (pd.Series([1.1], dtype="float32"), "[1.1]"),
    (pd.DataFrame({"n": np.array([1.1], "float32")}), '[{"n":1.1}]'),
    (pd.DataFrame(), "[]"),
], ids=str)  # fmt: skip
def test_labels_of_an_array_that_say_something_are_shown_with_it(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize("make", [pd.DataFrame, pa.table, Frame])
def test_of_a_table_nothing_is_left_out(make):
    assert json.loads(cell_text(make({"a": LONG}))) == [{"a": number} for number in LONG]


def test_cells_that_are_what_groupby_makes_of_a_column_are_shown_whole(server):
    said = [f"message {number}" for number in range(300)]
    frame = pd.DataFrame({"user": ["a"] * 150 + ["b"] * 150, "said": said})
    grouped = frame.groupby("user")["said"].unique().reset_index()
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    grouped.llm.process("{said}", "a", model=model)
    shown = [json.loads(sent.body["messages"][-1]["content"]) for sent in server.requests]
    assert sorted(shown) == sorted([said[:150], said[150:]])


def test_a_table_with_columns_of_one_name_is_shown_row_by_row():
    assert cell_text(pd.DataFrame([[1, 2]], columns=["a", "a"])) == '[[["a",1],["a",2]]]'


def test_what_is_called_like_an_array_and_is_none_is_what_it_prints():
    class Basket:
        def tolist(self):
            raise AssertionError("nobody asked for it")

        def __str__(self):
            return "two apples"

    assert cell_text(Basket()) == "two apples"
    assert (cell_text(np.bool_(True)), cell_text(np.int64(3))) == ("True", "3")


def test_categories_are_shown_by_value():
    cells = pd.Series(["a", "b", None], dtype="category").tolist()
    rows = Prompt.of("{c}", ["c"]).render_slice({"c": cells}, 0, 3)
    assert [row if row is MISSING else row[0]["content"] for row in rows] == ["a", "b", MISSING]


@pytest.mark.parametrize("text", ["\ud800", "a\udc00b", "\udc00\ud800", "x\ud83d", "é\ud800é"])
def test_lone_surrogates_become_a_replacement_and_nothing_else_is_lost(text):
    got = ask("{a}|é\ud800", ["a"], text)
    assert got == re.sub("[\ud800-\udfff]", "\ufffd", text) + "|é\ufffd"
    orjson.dumps(got)


def test_two_halves_of_a_character_become_the_character():
    assert ask("{a}", ["a"], "\ud83d\ude00") == "😀"


@given(st.text(st.characters(), max_size=20))
def test_every_message_can_be_sent(cell):
    for columns, template in ((["a"], "x{a}"), (["a"], lambda row: "x" + row["a"])):
        orjson.dumps(Prompt.of(template, columns, system=cell).render(cell))


@pytest.mark.parametrize(
    "cell",
    [
        None,
        float("nan"),
        np.float32("nan"),
        np.float64("nan"),
        pd.NA,
        pd.NaT,
        np.datetime64("NaT", "ns"),
        np.timedelta64("NaT", "s"),
        decimal.Decimal("NaN"),
    ],
)
def test_a_missing_cell_skips_the_row_or_is_sent_as_nothing(cell):
    assert is_missing(cell)
    assert Prompt.of("a{a}", ["a"]).render(cell) is MISSING
    assert ask("a{a}", ["a"], cell, on_missing="send") == "a"


@pytest.mark.parametrize(
    "cell",
    [
        "",
        "nan",
        0,
        False,
        [],
        [None],
        {},
        np.array([np.nan]),
        (),
        set(),
        "None",
        b"",
        object(),
        pd.Timestamp("2026-01-02"),
        np.int64(0),
        decimal.Decimal(0),
        2**80,
    ],
)
def test_what_is_not_missing_is_not_missing(cell):
    assert not is_missing(cell)


class OddText(str):
    __slots__ = ()

    def __str__(self):
        raise ValueError

    isascii = __len__ = __str__


class Odd:
    def __init__(self, text):
        self.text = text

    def __str__(self):
        if isinstance(self.text, str):
            return self.text
        raise self.text


class OddFloat(float):
    def __ne__(self, other):
        raise ValueError

    __hash__ = float.__hash__


class OddClass:
    __class__ = property(lambda cell: 1 / 0)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (OddText("a"), "a"),
        (Odd(OddText("a")), "a"),
        (OddFloat(1), "1.0"),
        (decimal.Decimal("sNaN"), None),
        (Odd(ValueError()), CallError),
        (Odd(asyncio.CancelledError()), CallError),
        (Odd(GeneratorExit()), CallError),
        (OddClass(), CallError),
    ],
    ids=["text", "text of it", "float", "sNaN", "raises", "cancels", "closes", "class"],
)
def test_whatever_a_cell_does_when_it_is_looked_at_the_other_rows_are_asked(cell, text):
    column = np.empty(2, dtype=object)
    column[:] = cell, "good"
    assert Portions([pd.Series(column, dtype=object)]).first(range(2)) == range(1)
    odd, good = Prompt.of("{a}", ["a"]).render_slice({"a": [cell, "good"]}, 0, 2)
    assert good[0]["content"] == "good"
    if text is None:
        assert odd is MISSING
    elif isinstance(text, str):
        assert odd[0]["content"] == text
    else:
        assert odd.kind is Kind.PROMPT


def test_a_cell_without_text_fails_its_row_alone_and_is_not_shown():
    class Thing:
        pass

    prompt = Prompt.of("{a}{b}", ["a", "b"])
    deep = []
    for _ in range(100_000):
        deep = [deep]
    cells = {"a": [b"\xffsecret", "ok", Thing(), deep, None], "b": ["x"] * 5}
    bad, good, thing, nested, missing = prompt.render_slice(cells, 0, 5)
    while deep:  # taken apart here, because a garbage collector would recurse
        deep = deep[0]
    assert good[0]["content"] == "okx"
    assert missing is MISSING
    for error in (bad, thing, nested):
        assert isinstance(error, CallError)
        assert error.kind is Kind.PROMPT
        assert "'a'" in str(error)
        assert "secret" not in str(error)
    assert "not UTF-8" in str(bad)
    assert "Thing has no text" in str(thing)


@dataclasses.dataclass
class Noted:
    what: object


class Invoice:
    def __repr__(self):
        return "<Invoice 17>"


NO_TEXTS = [
    *(len, lambda: 1, (each for each in ()), [].append, [].sort, re, list.append),
    *(threading.Lock(), threading.Event(), weakref.ref(Noted), io.TextIOWrapper(io.BytesIO())),
    *(functools.partial(lambda: 1), deque([lambda: 1]), Noted(lambda: 1), {(lambda: 1): 1}.keys()),
]


@pytest.mark.parametrize("thing", NO_TEXTS, ids=[type(thing).__name__ for thing in NO_TEXTS])
def test_what_python_shows_of_an_object_is_no_text(thing):
    for cell in (thing, [thing], {"a": (thing,)}, np.array([thing], dtype=object)):
        with pytest.raises(PromptError, match=r"a .+ has no text; convert the column first"):
            cell_text(cell)


def test_words_that_speak_of_an_address_are_a_text():
    said = "see <f at 0x7f00> isn't"
    assert cell_text(said) == cell_text(RuntimeError(said)) == said
    assert cell_text(Noted(said)) == f"Noted(what={said!r})"
    assert cell_text(deque([said, 'a "'])) == f"deque([{said!r}, 'a \"'])"
    assert cell_text(Invoice()) == "<Invoice 17>"


def test_what_python_shows_in_angle_brackets_is_a_text_where_no_address_is_in_it():
    months = pd.Series(pd.period_range("2020-01", periods=1, freq="M"))
    (between,) = months - pd.Period("2019-10", freq="M")
    assert cell_text(between) == "<3 * MonthEnds>"
    assert cell_text([between, pd.offsets.Day()]) == '["<3 * MonthEnds>","<Day>"]'
    assert cell_text(int) == "<class 'int'>"
    assert cell_text(re.match("a", "a")) == "<re.Match object; span=(0, 1), match='a'>"


def test_an_empty_prompt_fails_its_row():
    prompt = Prompt.of("{a} {b}", ["a", "b"])
    rows = prompt.render_slice({"a": ["", "x", ""], "b": [" ", "", None]}, 0, 3)
    assert isinstance(rows[0], CallError)
    assert rows[1][0]["content"] == "x "
    assert rows[2] is MISSING
    with pytest.raises(CallError, match="empty"):
        prompt.render("", "")


# Functions


def test_a_function_gets_the_row_as_a_dict_of_all_columns():
    prompt = Prompt.of(lambda row: f"{sorted(row.items())}", ["b", "a"])
    assert prompt.columns == ("b", "a")
    assert prompt.render(1, 2)[0]["content"] == "[('a', 2), ('b', 1)]"


def test_messages_of_a_function_pass_through_and_keep_their_parts():
    picture = {"type": "image_url", "image_url": {"url": "data:..."}}
    given_back = [
        {"role": "user", "content": [{"type": "text", "text": "see"}, picture], "name": "n"},
        {"role": "assistant", "content": None},
    ]
    prompt = Prompt.of(lambda row: given_back, COLUMNS, system="s")
    assert prompt.render(1, 2, 3) == [{"role": "system", "content": "s"}, *given_back]
    assert prompt.render(1, 2, 3)[1]["content"][1] is picture
    own = Prompt.of(lambda row: [{"role": "system", "content": "mine"}], COLUMNS, system="s")
    assert own.render(1, 2, 3) == [{"role": "system", "content": "mine"}]


def test_a_function_that_returns_none_skips_the_row():
    prompt = Prompt.of(lambda row: row["a"], ["a"])
    rows = prompt.render_slice({"a": [None, "x"]}, 0, 2)
    assert rows == [MISSING, [{"role": "user", "content": "x"}]]


def test_a_function_that_fails_fails_its_row_alone_and_shows_no_cell():
    def write(row):
        return {"raise": lambda: 1 / 0, "ok": lambda: "fine"}[row["a"]]()

    first, second, third = Prompt.of(write, ["a"]).render_slice(
        {"a": ["raise", "secret", "ok"]}, 0, 3
    )
    assert (first.kind, first.message) == (
        Kind.PROMPT,
        "the prompt function raised ZeroDivisionError",
    )
    assert second.message == "the prompt function raised KeyError"
    assert third[0]["content"] == "fine"


@pytest.mark.parametrize(
    "result",
    [
        7,
        b"x",
        [],
        "",
        " ",
        ["x"],
        [{"role": "user"}],
        [{"content": "x"}],
        [{"role": 1, "content": "x"}],
        {"role": "user", "content": "x"},
    ],
)
def test_a_function_that_returns_something_else_fails_the_row(result):
    (made,) = Prompt.of(lambda row: result, ["a"]).render_slice({"a": [1]}, 0, 1)
    assert isinstance(made, CallError)
    assert made.kind is Kind.PROMPT


def test_functions_that_cannot_work_are_refused_before_the_run():
    async def later(row):
        return "x"

    assert "async" in refusal(later)
    assert "one argument" in refusal(lambda: "x")
    assert "one argument" in refusal("{id}", system=lambda a, b: "x")
    prompt = Prompt.of(lambda row: row["absent"], ["a"])
    with pytest.raises(PromptError, match=r"row 1, the prompt fails: .*KeyError") as caught:
        prompt.check({"a": [1, 2]}, at=1)
    assert isinstance(caught.value.__cause__, KeyError)
    Prompt.of("{a}", ["a"]).check({"a": ["x"]})


def test_a_system_function_may_differ_by_row_be_left_out_and_fail():
    def system(row):
        return {0: "zero", 1: None, 2: 5}[row["a"]]

    rows = Prompt.of("{b}", ["a", "b"], system=system).render_slice(
        {"a": [0, 1, 2, 3], "b": ["x"] * 4}, 0, 4
    )
    assert rows[0] == [{"role": "system", "content": "zero"}, {"role": "user", "content": "x"}]
    assert rows[1] == [{"role": "user", "content": "x"}]
    assert "returned int" in rows[2].message
    assert rows[3].message == "the system function raised KeyError"


# Slices


@given(
    st.lists(st.tuples(st.none() | st.text(), st.none() | st.integers()), max_size=12),
    st.integers(0, 14),
    st.integers(0, 14),
)
def test_a_slice_is_what_its_rows_are_one_by_one(rows, start, stop):
    prompt = Prompt.of("{a}-{b}", ["a", "b"], system="s")
    cells = {"a": [a for a, _ in rows], "b": [b for _, b in rows]}
    assert prompt.render_slice(cells, start, stop) == [
        prompt.render(*row) for row in rows[start:stop]
    ]


def test_rendering_takes_a_few_calls_a_row(calls_of):
    count = 1000
    cells = {"a": [f"text {n}" for n in range(count)], "b": ["é" * 20] * count}
    prompt = Prompt.of("Title: {a}\nReview: {b}", ["a", "b"], system="s")
    assert calls_of(lambda: prompt.render_slice(cells, 0, count)) < 10 * count


def test_a_missing_time_within_a_list_is_none_and_no_day_of_1677():
    times = np.array(["NaT", "2024-01-02"], dtype="datetime64[ns]")
    shown = '[null,"2024-01-02T00:00:00.000000000"]'
    assert cell_text(times) == cell_text(list(times)) == shown
    assert cell_text([np.float32(1.1), np.int8(3), np.bool_(1)]) == "[1.1,3,true]"
    assert cell_text(np.array([1.1], dtype="float32")) == "[1.1]"


def test_a_template_of_very_many_braces_is_read_once():
    frame = pd.DataFrame({"a": ["x"]})
    literals, fields = parse("{{" * 100_000 + "{a}", Names(list(frame), each=False))
    assert (len(literals[0]), fields) == (100_000, ["a"])


def test_a_prompt_that_would_fill_the_memory_fails_its_row_alone():
    prompt = Prompt.of("{a}" * 300, ["a"])
    first, second = prompt.render_slice({"a": ["x" * 2**19, "y"]}, 0, 2)
    assert "would have 157,286,400 characters" in str(first)
    assert second == [{"role": "user", "content": "y" * 300}]


def test_a_cell_that_a_template_shows_again_is_written_once():
    written = []

    class Cell:
        def __str__(self):
            written.append(self)
            return "cell"

    assert ask("{a} {a} {a}", ["a"], Cell()) == "cell cell cell"
    assert len(written) == 1
