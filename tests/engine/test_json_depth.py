"""What is nested too deeply is refused before it is read, whatever the limit of recursion is."""

import json
import subprocess
import sys
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.json_depth import MOST_LEVELS, shallow


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
        assert shallow(kind("[" * more + text + "]" * more))
        with pytest.raises(RecursionError):
            shallow(kind("[" * (more + 1) + text + "]" * (more + 1)))


@pytest.mark.parametrize(
    "text", ["[" * 2000, '{"a":' * 2000, '[{"a":' * 2000, "]" * 2000 + "[" * 4000]
)
def test_what_never_ends_is_counted_too(text):
    with pytest.raises(RecursionError):
        shallow(text)


def test_many_that_stand_beside_each_other_are_not_deep():
    assert shallow("[" + "[],{}," * 100_000 + "[]]")
    assert shallow('["' + "[" * 100_000 + '"]')


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
        print("lives")
    """)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout == "lives\n", (done.returncode, done.stderr[-2000:])
