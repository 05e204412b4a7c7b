"""What is nested too deeply is refused before it is read, whatever the limit of recursion is."""

import json
import subprocess
import sys
from decimal import Decimal
from textwrap import dedent

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lionproc as lp
from lionproc.engine.json_bounds import MOST_LEVELS, bounded, read_json
from lionproc.testing import Server


def levels_of(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return isinstance(value, list | dict) + max(map(levels_of, inner), default=0)


VALUES = st.recursive(
    st.none() | st.text() | st.sampled_from(["[", "{", "]}", '"[', "\\", '\\"{']),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans())
def test_levels_are_counted_as_they_are(value, ascii_only):
    text = json.dumps(value, ensure_ascii=ascii_only)
    more = MOST_LEVELS - levels_of(value)
    for kind in (str, lambda text: text.encode("utf-8", "surrogatepass")):
        assert bounded(kind("[" * more + text + "]" * more))
        with pytest.raises(RecursionError):
            bounded(kind("[" * (more + 1) + text + "]" * (more + 1)))


@pytest.mark.parametrize(
    "text", ["[" * 2000, '{"a":' * 2000, '[{"a":' * 2000, "]" * 2000 + "[" * 4000]
)
def test_what_never_ends_is_counted_too(text):
    with pytest.raises(RecursionError):
        bounded(text)


def test_many_that_stand_beside_each_other_are_not_deep():
    assert bounded("[" + "[],{}," * 100_000 + "[]]")
    assert bounded('["' + "[" * 100_000 + '"]')


@pytest.fixture
def numbers_of_any_length():
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


def test_bytes_are_utf_8_whatever_they_look_like():
    assert read_json(b'\xef\xbb\xbf{"a": "\xc3\xa9"}') == {"a": "é"}
    for encoding in ("utf-16", "utf-16-le", "utf-32"):
        with pytest.raises(ValueError, match=r"codec|Expecting"):
            read_json('{"a": 1}'.encode(encoding))


@pytest.mark.usefixtures("numbers_of_any_length")
def test_numbers_are_as_long_as_python_reads_them_by_itself_also_where_it_was_told_to_read_any():
    for kind in (str, str.encode):
        assert bounded(kind(json.dumps({"n": [int("1" * 4300)], "t": "1" * 9000, "d": -0.5})))
        with pytest.raises(ValueError, match="4,300 digits"):
            bounded(kind(json.dumps([int("-" + "1" * 4301)])))


@pytest.mark.usefixtures("numbers_of_any_length")
@pytest.mark.parametrize("schema", [int, list[int], dict[str, float], Decimal, {"type": "object"}])
def test_an_answer_with_a_longer_number_is_a_wrong_shape(schema):
    number = "1" * 4301
    said = {list[int]: f"[{number}]", int: number, Decimal: number}.get(
        schema if not isinstance(schema, dict) else None, f'{{"x": {number}}}'
    )
    with Server(answer=said) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        with pytest.warns(lp.errors.RowsFailedWarning):
            out = pd.DataFrame({"t": ["a"]}).llm.process(
                "{t}", "a", schema, model=model, journal=False, progress=False
            )
    assert "longer than any that Python reads" in out.llm.errors()["message"].iloc[0]


def test_a_deep_reply_ends_no_process_in_which_the_limit_of_recursion_was_raised(tmp_path):
    code = dedent("""
        import sys, warnings
        import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
        import lionproc as lp
        from lionproc.testing import Fault, Server

        sys.setrecursionlimit(10**6)
        warnings.simplefilter("ignore")
        lp.configure(progress=False)
        deep = "[" * 200_000 + "NaN" + "]" * 200_000
        df = pd.DataFrame({"t": ["a"]})

        def asked(said, schema, faults=()):
            with Server(answer=said, faults=list(faults)) as server:
                model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
                out = df.llm.process("{t}", into="a", schema=schema, model=model)
                return out["a"].isna().iloc[0]

        for schema in (list[str], {"type": "array"}, dict[str, float]):
            assert asked(deep, schema)
            assert not asked(None, schema)  # the next run asks again
        body = '{"error": {"message": ' + deep + "}}"
        assert asked("x", bool, [Fault("other", status=400, body=body)])
        stream = 'data: {"choices": ' + deep + "}\\n\\ndata: [DONE]\\n\\n"
        assert asked("x", int, [Fault("other", status=200, body=stream)] * 9)
        for key in (b"pandas", b"lionproc", b"lionproc.columns", b"ARROW:x"):
            table = pa.table({"a": [1]}).replace_schema_metadata({key: deep.encode()})
            pq.write_table(table, "deep.parquet")
            for read in (lp.read_parquet, lp.read_facts):
                try:
                    read("deep.parquet")
                except lp.errors.ConfigurationError:
                    pass
        comment = ': "\\n{"choices": ' + deep + "}"  # with half a pair of quotation marks
        assert asked("x", int, [Fault("other", status=200, body=comment)] * 9)
        other = ('{"\\u2200": ' + deep + "}").encode("utf-16-le")  # which looks like a text in UTF-8
        for key in (b"pandas", b"lionproc", b"lionproc.columns", b"PANDAS_ATTRS"):
            table = pa.table({"a": [1]}).replace_schema_metadata({key: other})
            pq.write_table(table, "other.parquet")
            for read in (lp.read_parquet, lp.read_facts):
                try:
                    read("other.parquet")
                except lp.errors.ConfigurationError:
                    pass
        print("lives")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "lives\n", (done.returncode, done.stderr[-2000:])
