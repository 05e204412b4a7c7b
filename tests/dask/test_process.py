"""`ddf.llm`: the same frame as with pandas, asked partition by partition when it is computed."""

import datetime as dt
import itertools
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from dataclasses import asdict
from decimal import Decimal
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal, assert_series_equal

import lionproc as lp
from lionproc.engine import at_exit
from lionproc.engine.outlay import Spending
from lionproc.engine.stats import RunStats
from lionproc.errors import ConfigurationError, LionprocWarning, ModelError
from lionproc.frame import parquet_trial
from lionproc.frame.export import write_parquet
from lionproc.frame.save_target import refuse_link
from lionproc.testing import Fault, Server

pytestmark = pytest.mark.usefixtures("dd")


class Review(pydantic.BaseModel):
    mood: Literal["good", "bad"]
    topics: list[str]
    stars: int | None
    inner: dict[str, float]


SCHEMAS = [
    str, int, float, bool, Literal["a", "b"], list[int], Review, dt.date, Decimal,
    dt.datetime, {"type": "object", "properties": {"x": {"type": "integer"}}},
]  # fmt: skip
FRAME = pd.DataFrame({"text": list("abcdefgh"), "n": range(8)})


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, Server() as made:
        patch.setenv("LIONPROC_HOME", str(tmp_path_factory.mktemp("home")))
        yield made


@pytest.fixture(scope="module")
def asked(shared):
    return {
        "model": lp.Model("openai", "m", base_url=shared.base_url, api_key=shared.key),
        "progress": False,
        "journal": False,
    }


def computed(frame):
    return frame.compute(scheduler="sync")


columns = st.sampled_from(
    ["int64", "Int64", "float64", "boolean", "category", "datetime64[ns, UTC]", "string"]
)


@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")  # they fail in both
@settings(max_examples=8, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    schema=st.sampled_from(SCHEMAS),
    dtype=columns,
    cells=st.lists(st.integers(0, 1) | st.none(), min_size=1, max_size=6),
    parts=st.integers(1, 3),
    details=st.booleans(),
)
def test_pandas_and_dask_give_equal_frames(dd, asked, schema, dtype, cells, parts, details):  # noqa: PLR0917
    numpy = not pd.api.types.is_extension_array_dtype(dtype) or "datetime" in dtype
    given_cells = [0 if cell is None and numpy else cell for cell in cells]
    frame = pd.DataFrame({"cell": pd.Series(given_cells, dtype=dtype)})
    frame["text"] = [f"row {place}" for place in range(len(cells))]
    ddf = dd.from_pandas(frame, npartitions=parts)
    there = ddf.compute()
    into = None if schema is Review else "answer"
    how = {"into": into, "schema": schema, "details": details, **asked}
    lazy = ddf.llm.process("{cell} of {text}", **how)
    here, there = there.llm.process("{cell} of {text}", **how), computed(lazy)
    prefix = "llm" if into is None else into
    varies = [f"{prefix}_seconds", f"{prefix}_run"] if details else []
    assert_frame_equal(
        there.drop(columns=varies), here.drop(columns=varies), check_categorical=True
    )
    assert list(lazy.dtypes) == list(there.dtypes)
    assert lazy.divisions == ddf.divisions


@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")
@pytest.mark.parametrize("cell", ["", "  ", None])
def test_a_partition_of_empty_prompts_is_na_and_ends_no_other(dd, asked, cell):
    frame = pd.DataFrame({"text": ["a", "b", *[cell] * 12]})
    how = {"into": "x", "on_missing": "send", **asked}
    out = computed(dd.from_pandas(frame, npartitions=7).llm.process("{text}", **how))
    assert out["x"].tolist()[:2] == ["echo: a", "echo: b"]
    assert out["x"].isna().sum() == 12


@pytest.mark.parametrize("threads", [1, 2])
def test_a_prompt_function_with_a_mistake_is_told_and_one_that_fails_for_a_partition_is_not(
    dd, asked, shared, threads
):
    frame = pd.DataFrame({"text": [f"odd {n}" for n in range(20)] + list("abcdefgh") * 5})
    ddf = dd.from_pandas(frame, npartitions=3)
    before = shared.counters.total
    how = {"into": "x", **asked}
    lazy = ddf.llm.process(lambda row: row["txet"], **how)
    with pytest.raises(lp.errors.PromptError, match="KeyError: 'txet'"):
        lazy.compute(scheduler="threads", num_workers=threads)
    assert shared.counters.total == before

    def prompt(row):
        return 5 if "odd" in row["text"] else "Say it"

    out = ddf.llm.process(prompt, **how).compute(scheduler="threads", num_workers=threads)
    assert out["x"].notna().sum() == 40


def refused(status):
    """What a server says of rows that are odd: all in one way."""
    error = {"error": {"message": "This is none of our rows.", "type": "invalid"}}
    fault = Fault("other", status=status, body=json.dumps(error))
    return lambda body, _: fault if "odd" in body["messages"][-1]["content"] else None


@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")
@pytest.mark.parametrize(
    ("status", "odd", "threads"), [(400, 20, 1), (400, 20, 2), (403, 20, 2), (402, 1, 2)]
)
@pytest.mark.parametrize(("first", "save"), [(True, False), (False, False), (True, True)])
def test_rows_that_fail_alike_in_one_partition_end_no_other(  # noqa: PLR0917
    dd, tmp_path, status, odd, threads, first, save
):
    """Its run by itself would be stopped: enough have failed in one way, and none was answered."""
    odd = 2 * odd if save and odd > 1 else odd
    rows = [f"odd {n}" for n in range(odd)], [f"text {n}" for n in range(40)]
    parts = [pd.DataFrame({"text": texts}) for texts in (rows if first else rows[::-1])]
    ddf = dd.concat([dd.from_pandas(part, npartitions=1) for part in parts])
    with Server(faults=refused(status), process=False) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "x", "model": model, "progress": False, "journal": tmp_path / "j.sqlite"}
        how |= {"save": tmp_path / "parts"} if save else {}
        lazy = ddf.llm.process("Say {text}", **how)
        for bought in (40, 0):  # and when all others are in the journal, or in parts
            before = server.counters.by_status.get(200, 0)
            out = lazy.compute(scheduler="threads", num_workers=threads)
            assert out["x"].notna().sum() == 40
            assert server.counters.by_status.get(200, 0) - before == bought


@pytest.mark.parametrize(("rows", "threads"), [(400, 1), (400, 2), (80, 1), (80, 2)])
def test_rows_that_fail_alike_in_all_partitions_end_the_work_and_say_where(
    dd, tmp_path, rows, threads
):
    """Of small ones the first may be odd: all of its rows are asked, and 16 of the next one."""
    frame = pd.DataFrame({"text": [f"odd {n}" for n in range(rows)]})
    ddf = dd.from_pandas(frame, npartitions=4)
    with Server(faults=refused(400), process=False) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "x", "model": model, "progress": False, "journal": tmp_path / "j.sqlite"}
        lazy = ddf.llm.process("Say {text}", **how, limits=lp.Limits(concurrency=16))
        with pytest.raises(lp.errors.FirstRowsFailedError, match="first 16 requests") as caught:
            lazy.compute(scheduler="threads", num_workers=threads)
        assert re.search(r"in partition \d", caught.value.__notes__[0])
        assert server.counters.total <= 2 * 32 + (rows < 128) * 64


def test_nothing_is_sent_before_it_is_computed_and_nothing_for_made_up_rows(dd, shared, asked):
    before = shared.counters.total
    out = dd.from_pandas(FRAME, npartitions=3).llm.process("Lazy {text}", into="a", **asked)
    assert list(out.columns) == ["text", "n", "a"]
    assert shared.counters.total == before
    assert computed(out.partitions[1])["a"].tolist() == [
        "echo: Lazy d",
        "echo: Lazy e",
        "echo: Lazy f",
    ]
    assert shared.counters.total == before + 3


@pytest.mark.parametrize(
    ("schema", "into"), [(str, None), (list[str], "topics"), (Review, "r"), (bool, None)]
)
def test_a_series_gives_what_it_gives_with_pandas(dd, asked, schema, into):
    series = dd.from_pandas(FRAME["text"], npartitions=2)
    here = series.compute().llm.process("Of {value}", into, schema, **asked)
    lazy = series.llm.process("Of {value}", into, schema, **asked)
    same = assert_series_equal if isinstance(here, pd.Series) else assert_frame_equal
    same(computed(lazy), here)


def test_functions_columns_and_a_system_prompt_go_along(dd, asked):
    ddf = dd.from_pandas(FRAME, npartitions=2)
    how = {"columns": ["text", "n"], "into": "{column}_fr", "system": "Be kind.", **asked}
    out = computed(ddf.llm.process("In French: {value}", **how))
    assert out["n_fr"].tolist() == [f"echo: In French: {n}" for n in range(8)]
    out = computed(ddf.llm.process(lambda row: f"{row['text']}{row['n']}", into="x", **asked))
    assert out["x"].tolist() == [f"echo: {text}{n}" for n, text in enumerate("abcdefgh")]


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask itself
def test_partitions_that_are_empty_or_all_missing_keep_the_types(
    dd, asked, tmp_path, keeps_storage
):
    frame = pd.DataFrame({"text": pd.array([None, None, "a", "b"], dtype="string"), "n": range(4)})
    ddf = dd.from_pandas(frame, npartitions=2)
    how = {"into": "r", "schema": Review, "details": True, **asked}
    for rows in (ddf, ddf[ddf["n"] > 1], ddf[ddf["n"] > 9]):
        out = rows.llm.process("Of {text}", **how, save=tmp_path / f"{rows.npartitions}-{id(rows)}")
        parts = [computed(part) for part in out.partitions]
        assert all((part.dtypes == out.dtypes).all() for part in parts)
    out = ddf.llm.process("Of {text}", **how)
    out.to_parquet(tmp_path / "all", compute_kwargs={"scheduler": "sync"})
    back = lp.dask.read_parquet(tmp_path / "all")
    for found, kept in zip(computed(back).dtypes, out.dtypes, strict=True):
        both_texts = isinstance(found, pd.StringDtype) and isinstance(kept, pd.StringDtype)
        assert found == kept or (both_texts and not keeps_storage)
    assert computed(back)["r_topics"].isna().tolist() == [True, True, False, False]
    assert computed(back)["r_error"].isna().all()


def test_one_bad_row_is_na_and_ends_no_job_and_raises_at_the_end_where_that_is_wanted(dd, home):
    def fault(body, number):
        return "400" if "row c" in str(body["messages"]) else None

    with Server(answer="fine", faults=fault) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "retry": lp.Retry(first_failures=None)}
        ddf = dd.from_pandas(FRAME, npartitions=4)
        out = computed(ddf.llm.process("row {text}", **how))
        assert out["a"].isna().tolist() == [text == "c" for text in FRAME["text"]]
        assert server.counters.total == 8
        strict = ddf.llm.process("Strictly row {text}", errors="raise", **how)
        with pytest.raises(lp.errors.RowsFailedError, match="1 bad_request"):
            computed(strict)
        assert server.counters.total == 16  # all others are done and kept:
        assert computed(ddf.llm.process("Strictly row {text}", **how))["a"].notna().sum() == 7
        assert server.counters.total == 17


def test_a_part_that_is_there_is_read_and_what_has_changed_or_failed_is_asked_again(
    dd, home, tmp_path, keeps_storage
):
    bad = {"c"}

    def fault(body, number):
        return "400" if any(f"row {text}" in str(body["messages"]) for text in bad) else None

    with Server(faults=fault) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "schema": list[int], "model": model, "journal": False}
        how |= {"save": tmp_path / "out", "retry": lp.Retry(first_failures=None, max_attempts=1)}

        def run(frame, prompt="row {text}"):
            before = server.counters.total
            out = computed(dd.from_pandas(frame, npartitions=4).llm.process(prompt, **how))
            back = lp.read_parquet(tmp_path / "out")
            assert_frame_equal(back, out, check_dtype=keeps_storage)
            assert_frame_equal(computed(lp.dask.read_parquet(tmp_path / "out")), out)
            return server.counters.total - before

        assert run(FRAME) == 8
        assert run(FRAME) == 2  # the partition with the row that failed
        bad.clear()
        assert run(FRAME) == 2
        assert run(FRAME) == 0
        changed = FRAME.assign(n=FRAME["n"].where(FRAME["n"] != 7, 70))
        assert run(changed) == 2
        with pytest.raises(lp.errors.ConfigurationError, match="another run"):
            run(FRAME, "other row {text}")
        with pytest.raises(lp.errors.ConfigurationError, match="another run"):
            run(FRAME.assign(text="x"), lambda row: "row " + row["text"])


def test_whole_numbers_of_other_peoples_parts_are_the_same_whichever_have_gaps(dd, tmp_path):
    big = 2**60 + 1
    for number, ids in enumerate(([1, None], [big, None], [big, big + 2])):
        pq.write_table(pa.table({"id": pa.array(ids, pa.int64())}), tmp_path / f"{number}.parquet")
    lazy = lp.dask.read_parquet(tmp_path)
    ids = computed(lazy)["id"]
    assert str(ids.dtype) == str(lazy.dtypes["id"]) == "Int64"
    assert ids.dropna().tolist() == [1, big, big, big + 2]


@pytest.mark.parametrize("what", ["an answer", "the name of a column", "its end"])
def test_a_part_that_was_damaged_on_the_disk_is_asked_again(dd, home, tmp_path, what):
    with Server(answer="mild") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": False, "save": tmp_path / "out"}
        ddf = dd.from_pandas(FRAME, npartitions=2)

        def run():
            before = server.counters.total
            assert computed(ddf.llm.process("row {text}", **how))["a"].tolist() == ["mild"] * 8
            return server.counters.total - before

        assert run() == 8
        part = min((tmp_path / "out").iterdir())
        content = part.read_bytes()
        damaged = {
            "an answer": content.replace(b"mild", b"wild", 1),
            "the name of a column": content.replace(b"\x04text", b"\x04\xe1ext"),
            "its end": content[: len(content) // 2],
        }
        part.write_bytes(damaged[what])
        assert run() == 4
        assert run() == 0


def test_a_text_that_has_changed_has_its_own_partition_asked_again_and_no_other(dd, home, tmp_path):
    with Server(answer="fine") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"model": model, "journal": False, "save": tmp_path / "out"}

        def run(texts):
            before = server.counters.total
            frame = pd.DataFrame({"text": texts}, dtype="str")
            computed(dd.from_pandas(frame, npartitions=4).llm.process("row {text}", "a", **how))
            return server.counters.total - before

        assert run(list("abcdefgh")) == 8
        assert run([*"abcdefg", "changed"]) == 2


def test_files_of_a_folder_may_have_digits_in_their_names_that_are_no_numbers(dd, tmp_path):
    for name in ("1\xb22", "10", "2"):
        pd.DataFrame({"a": [name]}).to_parquet(tmp_path / f"{name}.parquet")
    assert sorted(computed(lp.dask.read_parquet(tmp_path))["a"]) == ["10", "1\xb22", "2"]


def test_categories_of_a_folder_are_known_only_where_all_parts_have_the_same(dd, home, tmp_path):
    frame = pd.DataFrame({"text": list("abcd")})
    rows = dd.from_pandas(frame, npartitions=2).astype("category")
    (tmp_path / "theirs").mkdir()
    for number, part in enumerate(rows.partitions):
        computed(part).to_parquet(tmp_path / "theirs" / f"{number}.parquet")
    theirs = lp.dask.read_parquet(tmp_path / "theirs")
    assert not theirs["text"].cat.known
    assert sorted(computed(theirs)["text"].cat.categories) == list("abcd")

    with Server(answer="y") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        asked = {"model": model, "journal": False, "save": tmp_path / "ours"}
        computed(rows.llm.process("row {text}", "a", Literal["x", "y"], **asked))
    ours = lp.dask.read_parquet(tmp_path / "ours")
    assert not ours["text"].cat.known
    assert ours["a"].cat.categories.tolist() == ["x", "y"]
    assert computed(dd.get_dummies(ours[["a"]]))["a_y"].tolist() == [True] * 4

    last = max((tmp_path / "ours").iterdir())
    changed = lp.read_parquet(last).astype({"a": pd.CategoricalDtype(["y", "z"])})
    write_parquet(changed, last, lp.read_facts(last))
    with pytest.raises(ConfigurationError, match="other categories in 'a' than the first part"):
        computed(lp.dask.read_parquet(tmp_path / "ours"))


WHERE = {
    "a column": "column 'c'",
    "a column, and none in the first part": "column 'c'",
    "a level": "level 0 of the index",
    "a level that is called as the answers": "level 0 of the index",
    "the index": "the index",
}


@pytest.mark.parametrize("where", WHERE)
def test_values_that_pandas_cannot_tell_apart_in_all_parts_together_are_refused_in_each(
    dd, tmp_path, where
):
    many, name = 2_000, "a" if "answers" in where else "c"
    if "none" in where:
        none = pd.DataFrame({"n": [1], "c": pd.Categorical([None])})
        write_parquet(none, tmp_path / "-1.parquet", {})
    for part in range(12):
        numbers = range(part * many, part * many + many)
        alike = [n << 33 | (n ^ n << 11 ^ n << 22) % 2**32 for n in numbers]
        frame = pd.DataFrame({"n": range(many), name: pd.Categorical(alike)})
        facts = {}
        if "level" in where:
            frame = frame.set_index([name, "n"]).assign(a=pd.Categorical(["x"] * many))
            facts = {"columns": ["a"]}
        path = write_parquet(frame, tmp_path / f"part-{part:05}-1a2b3c4d.parquet", facts)
        if where == "the index":  # as nobody writes it
            table = pq.read_table(path)
            said = json.loads(table.schema.metadata[b"pandas"])
            said["index_columns"] = ["c"]
            told = {**table.schema.metadata, b"pandas": json.dumps(said).encode()}
            pq.write_table(table.replace_schema_metadata(told), path)
    if "none" in where:
        (tmp_path / "-1.parquet").rename(tmp_path / "part-00000-1a2b3c4d.parquet")
    with pytest.raises(
        ConfigurationError, match=f"has values in {WHERE[where]} that would take very"
    ):
        computed(lp.dask.read_parquet(tmp_path))
    assert len(lp.read_parquet(max(tmp_path.iterdir()))) == many


def test_parts_of_which_pandas_would_make_objects_together_are_refused(dd, tmp_path):
    def of_levels(*values):
        for number, each in enumerate(values):
            frame = pd.DataFrame({"c": each, "d": "same", "n": 1}).set_index(["c", "d"])
            write_parquet(frame, tmp_path / f"{number}.parquet", {})
        return computed(lp.dask.read_parquet(tmp_path)).index.get_level_values("c").tolist()

    shards = [shard << 32 | number for shard in range(60) for number in range(60)]
    assert of_levels(shards, *([number] for number in range(99))) == [*shards, *range(99)]
    with pytest.raises(
        ConfigurationError, match="has texts in level 0 of the index, and the first"
    ):
        of_levels(shards, ["a"])
    with pytest.raises(ConfigurationError, match="has values in level 0 of the index that would"):
        of_levels([], shards)


def test_an_older_part_that_a_killed_worker_has_left_is_no_rows_and_is_removed(
    dd, asked, shared, tmp_path
):
    def run(frame):
        asked_about = dd.from_pandas(frame, npartitions=2)
        return computed(asked_about.llm.process("left {text}", "a", save=tmp_path / "out", **asked))

    run(FRAME.head(4))
    older = {part: part.read_bytes() for part in (tmp_path / "out").glob("part-*")}
    changed = FRAME.head(4).assign(text=["a", "changed", "c", "d"])
    run(changed)
    for part, content in older.items():  # it was killed when the new one had its name
        part.write_bytes(content)
    for read in (lp.read_parquet, lp.read_facts, lp.dask.read_parquet):
        with pytest.raises(lp.errors.ConfigurationError, match="two parts for the same rows"):
            read(tmp_path / "out")
    sent = shared.counters.total
    out = run(changed)
    assert shared.counters.total == sent
    assert lp.read_parquet(tmp_path / "out").to_dict("list") == out.to_dict("list")


def test_where_a_part_stays_the_older_one_is_removed_all_the_same(dd, tmp_path):
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)

        def run(last, fails="nothing"):
            server.configure(faults=lambda body, _: "400" if fails in str(body) else None)
            rows = dd.from_pandas(pd.DataFrame({"text": ["a", "b", last]}), npartitions=1)
            how = {"model": model, "progress": False, "journal": False, "save": tmp_path / "out"}
            computed(rows.llm.process("stays {text}", "a", **how))

        run("old")
        (older,) = (tmp_path / "out").glob("part-*")
        content = older.read_bytes()
        run("new", fails="stays b")
        older.write_bytes(content)  # whoever wrote the new one was killed before it was removed
        run("new", fails="stays")
        (left,) = (tmp_path / "out").glob("part-*")
    assert pd.read_parquet(left)["text"].tolist() == ["a", "b", "new"]
    assert pd.read_parquet(left)["a"].notna().tolist() == [True, False, True]


@pytest.mark.parametrize("kind", ["pandas", "dask"])
@pytest.mark.parametrize("leads", ["to a file", "nowhere"])
def test_nothing_is_written_through_a_link_in_the_place_of_a_part(  # noqa: PLR0917
    dd, asked, shared, tmp_path, kind, leads
):
    rows = FRAME.head(2) if kind == "pandas" else dd.from_pandas(FRAME.head(2), npartitions=1)

    def run():
        made = rows.llm.process("linked {text}", "a", save=tmp_path / "out", **asked)
        return made if kind == "pandas" else computed(made)

    run()
    (part,) = (tmp_path / "out").glob("part-*")  # its name is known to whoever asks the same
    mine = tmp_path / "mine"
    part.unlink()
    part.symlink_to(mine)
    if leads == "to a file":
        mine.write_text("mine")
    sent = shared.counters.total
    with pytest.raises(lp.errors.ConfigurationError, match="is a link"):
        run()
    assert shared.counters.total == sent
    assert mine.read_text() == "mine" if leads == "to a file" else not mine.exists()


def test_at_an_address_too_the_part_of_rows_that_have_changed_is_replaced(dd, asked, tmp_path):
    where = f"memory://{tmp_path.name}/changed/"
    rows = pd.DataFrame({"text": ["a", "b"]}), pd.DataFrame({"text": ["a", "changed"]})
    for frame in rows:
        about = dd.from_pandas(frame, npartitions=1)
        out = computed(about.llm.process("there {text}", "a", save=where, **asked))
    assert lp.read_parquet(where).to_dict("list") == out.to_dict("list")


@pytest.mark.skipif(os.name != "posix", reason="there are no such rights")
@pytest.mark.parametrize("how", ["owner", "mode", "link", "clone", "pipe"])
def test_a_part_that_somebody_else_can_write_is_no_answer(  # noqa: PLR0917
    dd, asked, shared, tmp_path, monkeypatch, how
):
    def run():
        frame = dd.from_pandas(FRAME.head(2), npartitions=1)
        return computed(frame.llm.process("whose {text}", "a", save=tmp_path / "out", **asked))

    out = run()
    (part,) = (tmp_path / "out").glob("part-*")
    (tmp_path / "out").chmod(0o1777)  # everybody may add, as in /tmp
    if how == "mode":
        part.chmod(0o666)
    elif how == "clone" and shutil.which("git") is None:
        pytest.skip("git is not installed")
    elif how == "clone":
        subprocess.run(["git", "init", "-q", "."], check=True, cwd=tmp_path)
        subprocess.run(["git", "add", part], check=True, cwd=tmp_path)
    elif how == "pipe":
        part.rename(tmp_path / "away.parquet")
        os.mkfifo(part)  # nobody waits for what somebody may write there
        monkeypatch.setattr(parquet_trial, "PROCESS", None)  # nor tries it
    elif os.geteuid() != 0:
        pytest.skip("only root may give files away")
    elif how == "owner":
        os.chown(part, 54321, 54321)
    else:
        part.symlink_to(part.rename(tmp_path / "of another run.parquet"))
        os.chown(part, 54321, 54321, follow_symlinks=False)
    sent = shared.counters.total
    with pytest.raises(lp.errors.ConfigurationError, match=r"taken for answers.*LIONPROC_TRUST"):
        run()
    assert shared.counters.total == sent
    if how not in {"link", "pipe"}:
        monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path))
        assert_frame_equal(run(), out)


def test_a_part_of_more_rows_is_asked_again_and_not_read(dd, asked, shared, tmp_path, monkeypatch):
    def run():
        ddf = dd.from_pandas(FRAME[["text"]].head(2), npartitions=1)
        return computed(ddf.llm.process("many {text}", "a", save=tmp_path, **asked))

    run()
    (part,) = tmp_path.glob("part-*")
    facts = pq.read_schema(part).metadata[b"lionproc"].decode()
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["text" * 30])
    rows = pa.table({"text": texts, "a": texts})
    with pq.ParquetWriter(part, rows.schema, compression="zstd", store_schema=False) as file:
        file.add_key_value_metadata({"lionproc": facts})
        for _ in range(5):
            file.write_table(rows)
    sent, read = shared.counters.total, []
    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", lambda *_, **__: read.append(1))
        run()
    assert not read
    assert shared.counters.total == sent + 2
    assert len(lp.read_parquet(tmp_path)) == 2


def test_a_part_that_takes_more_than_there_is_is_refused_and_nothing_is_asked_again(
    dd, asked, shared, tmp_path, monkeypatch
):
    def run():
        ddf = dd.from_pandas(FRAME[["text"]].head(2), npartitions=1)
        return computed(ddf.llm.process("large {text}", "a", save=tmp_path, **asked))

    out, sent = run(), shared.counters.total
    with monkeypatch.context() as patch:
        for name, bound in (("TIMES", -(2**40)), ("spare_memory", lambda: -(2**40))):
            patch.setattr(parquet_trial, name, bound)  # which any has passed
        patch.setattr(parquet_trial, "is_own", lambda file: False)  # as if it had been copied
        with pytest.raises(lp.errors.ConfigurationError, match="memory"):
            run()
    assert_frame_equal(run(), out)
    assert shared.counters.total == sent


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_a_part_of_a_repository_is_refused_also_where_its_partition_is_not_computed(
    dd, asked, shared, tmp_path
):
    def asked_about():
        ddf = dd.from_pandas(FRAME.head(4), npartitions=2)
        return ddf.llm.process("cloned {text}", "a", save=tmp_path / "out", **asked)

    computed(asked_about())
    one, two = sorted((tmp_path / "out").glob("part-*"))
    one.unlink()
    subprocess.run(["git", "init", "-q", "."], check=True, cwd=tmp_path)
    subprocess.run(["git", "add", two], check=True, cwd=tmp_path)
    with pytest.raises(lp.errors.ConfigurationError, match=r"taken for answers.*LIONPROC_TRUST"):
        asked_about().partitions[0]


@pytest.mark.parametrize("name", ["part-00002-{}", "part-000001-{}"])
def test_a_part_that_a_run_does_not_have_is_refused_and_not_read(dd, asked, shared, tmp_path, name):
    def run():
        frame = dd.from_pandas(FRAME.head(4), npartitions=2)
        return computed(frame.llm.process("beyond {text}", "a", save=tmp_path, **asked))

    run()
    one, two = sorted(tmp_path.glob("part-*"))
    planted = tmp_path / f"{name.format(two.stem[11:])}.parquet"
    planted.write_bytes(two.read_bytes())
    if "2" in name:
        for read in (lp.read_parquet, lp.dask.read_parquet):
            with pytest.raises(lp.errors.ConfigurationError, match="somebody else has put some"):
                read(tmp_path)
    one.unlink()
    two.unlink()
    sent = shared.counters.total
    with pytest.raises(lp.errors.ConfigurationError, match="that this run does not have"):
        run()
    assert shared.counters.total == sent


def test_a_part_that_has_the_name_of_another_one_is_no_answer(dd, home, tmp_path):
    # Who may write in a folder may rename what is in it, without writing in the files.
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        ddf = dd.from_pandas(FRAME.head(4), npartitions=2)

        def run(word):
            how = {"model": model, "journal": False, "save": tmp_path / word}
            out = computed(ddf.llm.process(f"{word} {{text}}", "a", **how))
            assert out["a"].tolist() == [f"echo: {word} {text}" for text in "abcd"]
            return sorted((tmp_path / word).iterdir())

        (one, two), (other, _) = run("one"), run("other")
        one.rename(tmp_path / "aside")
        two.rename(one)
        (tmp_path / "aside").rename(two)
        run("one")
        assert server.counters.total == 12
        other.rename(one)
        run("one")
        assert server.counters.total == 14
        run("one")
        assert server.counters.total == 14


def test_a_part_that_is_put_there_between_the_look_and_the_opening_is_no_answer(
    dd, asked, shared, tmp_path, monkeypatch
):
    ddf, save = dd.from_pandas(FRAME.head(2), npartitions=1), tmp_path / "out"
    how = {"into": "a", "save": save, **asked}
    computed(ddf.llm.process("between {text}", **how))

    def look(path):
        refuse_link(path)
        path.chmod(0o666)  # as if it were another file

    monkeypatch.setattr("lionproc.dask.parts.refuse_link", look)
    sent = shared.counters.total
    with pytest.raises(lp.errors.ConfigurationError, match="taken for answers"):
        computed(ddf.llm.process("between {text}", **how))
    assert shared.counters.total == sent


def test_parts_of_another_run_that_come_meanwhile_are_left_as_they_are(dd, home, tmp_path):
    other = tmp_path / "part-00000-0123abcd-4567cdef.parquet"

    def answer(body):
        other.write_bytes(b"theirs")  # both have found the folder empty
        return "fine"

    with Server(answer=answer) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = dd.from_pandas(FRAME.head(2), npartitions=1).llm.process(
            "{text}", "a", model=model, save=tmp_path, progress=False
        )
        assert computed(out)["a"].tolist() == ["fine", "fine"]
    assert other.read_bytes() == b"theirs"
    assert len(list(tmp_path.glob("part-*"))) == 2


def test_one_partition_alone_writes_its_own_part(dd, asked, tmp_path):
    ddf = dd.from_pandas(FRAME, npartitions=4)
    out = ddf.llm.process("Of {text}", into="a", save=tmp_path, **asked)
    computed(out.partitions[2])
    (part,) = tmp_path.glob("*.parquet")
    assert part.name.startswith("part-00002-")
    assert lp.read_parquet(part)["n"].tolist() == [4, 5]


def test_a_budget_is_one_for_all_partitions(dd, home):
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        ddf = dd.from_pandas(FRAME, npartitions=4)
        together = ddf.llm.process("At {text}", into="a", model=model, budget=lp.Budget(requests=3))
        some = together.compute(scheduler="threads", num_workers=4)
        assert some["a"].notna().sum() == server.counters.total == 3
        before = server.counters.total
        out = ddf.llm.process("Of {text}", into="a", model=model, budget=lp.Budget(requests=5))
        assert computed(out)["a"].notna().sum() == server.counters.total - before == 5
        # Computed once more it counts from the start, and goes on with what was not sent.
        assert computed(out)["a"].notna().sum() == 8
        assert server.counters.total - before == 8


def test_what_a_run_said_before_its_end_and_comes_after_it_counts_no_more(dd):
    from lionproc.dask.work import Work, summed

    work = Work()
    for state, answered in (("running", 2), ("done", 9), ("running", 5)):
        stats = asdict(RunStats(state=state, rows=9, answered=answered, sent=answered))
        work.hear(0, "a run", {**stats, "errors": {}, "spending": Spending(sent=answered)})
    total = summed(work.runs.values())
    assert (total["answered"], total["sent"], total["ended"]) == (9, 9, 1)


def told(number, state="running", **spending):
    stats = asdict(RunStats(state=state, rows=9)) | {"errors": {}, "worker": f"worker {number}"}
    spent = Spending(**spending)
    return {"number": number, "run": f"run {number}", "stats": {**stats, "spending": spent}}


def test_runs_of_a_cluster_never_have_more_of_a_budget_together_than_there_is(dd):
    from lionproc.dask.work import Work

    dice = random.Random(7)
    for most in (1, 2, 5, 100, 10_000):
        work, sent, may = Work(), [0] * 8, [0] * 8
        while not work.reached:
            number = dice.randrange(8)
            heard = work.hear(**told(number, sent=sent[number]), budget={"requests": most})
            elsewhere = heard["elsewhere"]
            may[number] = most - elsewhere.sent - elsewhere.pledged_requests
            sent[number] = dice.randint(sent[number], may[number])
            assert sum(map(max, sent, may)) <= most
        assert sum(sent) == most


def test_runs_of_a_cluster_have_each_a_part_of_what_a_budget_leaves(dd):
    from lionproc.dask.work import Work

    work, bounds = Work(), {"usd": 10.0, "tokens": 1_000}
    first = work.hear(**told(0, usd=1.0, tokens=100, pledged_usd=1.0), budget=bounds)["elsewhere"]
    assert first == Spending(pledged_usd=4.0, pledged_tokens=450)  # half of the rest is kept
    second = work.hear(**told(1), budget=bounds)["elsewhere"]
    assert (second.usd, second.tokens) == (1.0, 100)
    assert second.pledged_usd == 1.0 + 4.0 + 2.0  # in flight, the first one's, and half of the rest
    work.hear(**told(0, "done", usd=2.0, tokens=200), budget=bounds)
    second = work.hear(**told(1), budget=bounds)["elsewhere"]
    assert second == Spending(2.0, 200, pledged_usd=4.0, pledged_tokens=400)


def test_a_budget_is_told_in_as_few_steps_with_thousands_of_partitions_as_with_a_few(
    dd, monkeypatch
):
    from lionproc.dask.work import Work

    steps, plus = [], Spending.plus
    monkeypatch.setattr(Spending, "plus", lambda *both: steps.append(1) or plus(*both))
    taken = set()
    for count in (10, 3_000):
        work = Work()
        for number in range(count):
            for state in ("running", "done"):
                steps.clear()
                heard = work.hear(**told(number, state, sent=2), budget={"requests": 10_000})
                taken.add(len(steps))
        assert heard["elsewhere"] == Spending()  # who has ended has no share
        assert work.hear(**told(count), budget={"requests": 10_000})["elsewhere"].sent == 2 * count
    assert max(taken) < 12


def test_a_run_that_was_lost_and_ends_all_the_same_counts_as_it_has_ended(dd):
    from lionproc.dask.work import Works

    works, bounds = Works(), {"requests": 10}
    works.hear("q", **told(0, sent=2, pledged_usd=3.0, in_flight=2), budget=bounds)
    works.lose("worker 0")
    works.hear("q", **told(1, "done", sent=1), budget=bounds)
    works.hear("q", **told(0, "done", sent=4), budget=bounds)
    elsewhere = works.hear("q", **told(2), budget=bounds)["elsewhere"]
    assert (elsewhere.sent, elsewhere.usd, elsewhere.pledged_requests) == (5, 0.0, 2)


def test_what_a_worker_had_in_flight_when_it_went_counts_as_spent_and_holds_nobody(dd):
    from lionproc.dask.work import Works, summed

    works, bounds = Works(), {"requests": 10}
    for number in range(2):
        in_flight = {"sent": 2, "usd": 1.0, "pledged_usd": 2.0, "in_flight": 2}
        works.hear("q", **told(number, **in_flight), budget=bounds)
    works.lose("worker 0")
    assert summed(works.of("q").runs.values())["places"] == [""]
    lost = Spending(usd=3.0, sent=2)
    for again in (told(1), told(0), told(1)):  # one is said on its way out
        elsewhere = works.hear("q", **again, budget=bounds)["elsewhere"]
    assert elsewhere == lost.plus(Spending(pledged_requests=4))
    works.hear("q", **told(1, "done"), budget=bounds)
    # Computed once more it counts from the start.
    again = works.hear("q", **{**told(1), "run": "again"}, budget=bounds)["elsewhere"]
    assert again == Spending(pledged_requests=5)


def test_a_question_that_is_under_way_keeps_its_budget_however_many_others_there_are(dd):
    from lionproc.dask.work import MOST_QUESTIONS, Works

    works = Works()
    stats = asdict(RunStats(state="running", rows=9)) | {"errors": {}, "spending": Spending(sent=3)}
    said = {"number": 0, "run": "a run", "stats": stats, "budget": {"requests": 5}}
    for other in range(2 * MOST_QUESTIONS):
        works.hear("long", **said)
        works.hear(f"another {other}", **said)
        works.hear("long", **{**said, "number": 1})
    assert works.of("long").reached == "5 requests"
    assert works.hear("long", **{**said, "number": 2, "run": "a late one"})["stopped"]


def test_what_a_function_asks_is_part_of_the_name(dd, asked, shared, tmp_path):
    ddf = dd.from_pandas(FRAME, npartitions=1)
    words = "one"

    def prompt(row):
        return f"{words} {row['text']}"

    for words in ("one", "two", "two"):
        out = computed(ddf.llm.process(prompt, into="a", save=tmp_path, **asked))
        assert out["a"][0] == f"echo: {words} a"
    assert len(list(tmp_path.glob("*.parquet"))) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"into": "n"}, "'n'"),
        ({"schema": object()}, "object"),
        ({"budget": 5}, "budget="),
        ({"errors": "ignore"}, "'raise'"),
        ({"save": "out.parquet"}, "save="),
        ({"colums": ["text"]}, "columns"),
        ({"resume": 1}, "resume"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_called(dd, asked, arguments, words):
    ddf = dd.from_pandas(FRAME, npartitions=2)
    with pytest.raises(lp.errors.ConfigurationError, match=words):
        ddf.llm.process("Say {text}", **{"into": "a", **asked, **arguments})
    with pytest.raises(lp.errors.ConfigurationError, match="text"):
        ddf.llm.process("Say {txt}", into="a", **asked)
    with pytest.raises(lp.errors.ConfigurationError, match=r"examples=gold\.head\(8\)"):
        ddf.llm.process("Say {text}", into="a", examples=ddf.assign(a="x"), **asked)


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_without_a_cluster_ctrl_c_ends_the_asking_too(dd, asked, shared, monkeypatch, scheduler):
    heard = threading.Event()

    def interrupt():
        shared.wait_for(lambda counters: counters.in_flight == 2)
        os.kill(os.getpid(), signal.SIGINT)
        if not heard.wait(20):  # Python sleeps on if one comes as it lies down
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("lionproc.dask.attendant.GRACE_S", 0.02)
    frame = pd.DataFrame({"text": [f"{scheduler} {n}" for n in range(200)]})
    limits = {"concurrency": 2, "adapt": False}
    ddf = dd.from_pandas(frame, npartitions=2).llm.process("Say {text}", limits=limits, **asked)
    before = shared.counters.total
    shared.hold()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            ddf.compute(scheduler=scheduler, num_workers=2)
        heard.set()
        tick = threading.Event()
        while at_exit._under_way:  # until the timeout of the test
            tick.wait(0.005)
    finally:
        thread.join()
        shared.release()
    assert shared.counters.total - before <= 4  # what was in flight
    assert ddf.compute(scheduler=scheduler)["answer"].tolist() == [
        f"echo: Say {text}" for text in frame["text"]
    ]


def test_what_is_asked_anew_is_paid_once_though_a_partition_is_done_again(dd, home):
    """As Dask does with what was on a worker that died."""
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        ask = {"prompt": "Anew {text}", "into": "a", "model": model, "progress": False}
        FRAME.llm.process(**ask)
        for times in (2, 3):
            out = dd.from_pandas(FRAME, npartitions=2).llm.process(**ask, resume=False)
            computed(out.partitions[0])
            first = computed(out)
            assert server.counters.total == times * len(FRAME)
            assert_frame_equal(computed(out), first)
            assert server.counters.total == times * len(FRAME)


@pytest.mark.parametrize("journal", [None, False])
def test_parts_that_are_there_are_no_answers_to_what_is_asked_anew(dd, home, tmp_path, journal):
    said = "old"
    with Server(answer=lambda body: said) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": journal, "progress": False}
        how["save"] = tmp_path / "out"

        def asked(**more):
            """The answers of all rows, and how many requests they took."""
            before = server.counters.total
            ddf = dd.from_pandas(FRAME, npartitions=2)
            (answers,) = {*computed(ddf.llm.process("Say {text}", **how, **more))["a"]}
            (saved,) = {*lp.read_parquet(tmp_path / "out")["a"]}
            assert saved == answers
            return answers, server.counters.total - before

        assert asked() == ("old", 8)
        said = "new"
        assert asked() == ("old", 0)
        assert asked(resume=False) == ("new", 8)
        said = "newest"
        assert asked(resume=False) == ("newest", 8)
        assert asked() == ("newest", 0)


@pytest.mark.parametrize("journal", [None, False])
def test_a_run_that_ends_before_all_is_asked_anew_takes_no_answers_out_of_parts(
    dd, home, tmp_path, journal
):
    said = "old"
    with Server(answer=lambda body: said) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": journal, "save": tmp_path / "out"}
        ddf = dd.from_pandas(FRAME, npartitions=4)
        computed(ddf.llm.process("Say {text}", **how))
        said = "new"
        few = lp.Budget(requests=3)
        computed(ddf.llm.process("Say {text}", resume=False, budget=few, **how))
        saved = lp.read_parquet(tmp_path / "out")["a"]
        assert saved.value_counts().to_dict() == {"old": 6, "new": 2}  # a part is new as a whole


def test_a_run_in_which_more_rows_fail_takes_no_answers_out_of_parts(dd, home, tmp_path):
    with Server(faults=["400"]) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": False, "save": tmp_path / "out"}
        ddf = dd.from_pandas(FRAME, npartitions=1)
        computed(ddf.llm.process("Say {text}", **how))
        assert lp.read_parquet(tmp_path / "out")["a"].count() == len(FRAME) - 1
        server.configure(faults=["400"] * 3)
        computed(ddf.llm.process("Say {text}", **how))
        assert lp.read_parquet(tmp_path / "out")["a"].count() == len(FRAME) - 1
        server.configure(faults=None)
        computed(ddf.llm.process("Say {text}", **how))
        assert lp.read_parquet(tmp_path / "out")["a"].count() == len(FRAME)


@pytest.mark.parametrize("what", ["an answer", "its pages"])
def test_a_damaged_part_makes_way_for_the_answers_of_a_run_in_which_rows_fail(
    dd, home, tmp_path, what
):
    with Server(answer="old") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": False, "save": tmp_path / "out"}
        ddf = dd.from_pandas(FRAME, npartitions=1)
        computed(ddf.llm.process("Say {text}", **how))
        [part] = (tmp_path / "out").iterdir()
        content = part.read_bytes()
        if what == "an answer":
            part.write_bytes(content.replace(b"old", b"odd", 1))
        else:
            part.write_bytes(content[:4] + bytes(200) + content[204:])
        server.configure(answer="new", faults=["400"])
        computed(ddf.llm.process("Say {text}", **how))
        saved = lp.read_parquet(tmp_path / "out")["a"]
        assert saved.value_counts().to_dict() == {"new": len(FRAME) - 1}


@pytest.mark.parametrize("journal", [None, False])
def test_a_part_of_what_is_asked_anew_is_paid_once_though_its_partition_is_done_again(
    dd, home, tmp_path, journal
):
    """As Dask does with what was on a worker that died: its part is there, its rows are gone."""
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        how = {"into": "a", "model": model, "journal": journal, "save": tmp_path / "out"}
        ddf = dd.from_pandas(FRAME, npartitions=2)
        computed(ddf.llm.process("Say {text}", **how))
        out = ddf.llm.process("Say {text}", resume=False, **how)
        computed(out.partitions[0])
        first = computed(out)
        assert server.counters.total == 2 * len(FRAME)
        assert_frame_equal(computed(out), first)
        assert server.counters.total == 2 * len(FRAME)


def test_that_equal_rows_of_different_partitions_share_an_answer_is_told(dd, home):
    """Where partitions begin and end does not change what is asked: that would be paid again."""
    counted = itertools.count()
    frame = pd.DataFrame({"text": ["same", "same", "other", "same"]})
    with Server(answer=lambda _: f"answer {next(counted)}") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        asked = {"into": "a", "model": model, "deduplicate": False}
        first = frame.llm.process("Say {text}", progress=False, **asked)
        assert first["a"].nunique() == server.counters.total == 4
        with pytest.warns(LionprocWarning, match="those of different partitions share an answer"):
            out = dd.from_pandas(frame, npartitions=2).llm.process("Say {text}", **asked)
        assert set(computed(out)["a"]) < set(first["a"])
        computed(dd.from_pandas(frame, npartitions=1).llm.process("Say {text}", **asked))
        assert server.counters.total == 4


PLACES = {  # the model, what the notebook's environment says, and what the worker's does
    "no address": ("openai/m", {}, {"OPENAI_BASE_URL": None}),
    "another address": ("openai/m", {}, {"OPENAI_BASE_URL": "http://localhost:1/v1"}),
    "another organization": ("openai/m", {}, {"OPENAI_ORG_ID": "org-b"}),
    "another project": ("openai/m", {"OPENAI_PROJECT_ID": "a"}, {"OPENAI_PROJECT_ID": "b"}),
    "another header": ("openai/m", {}, {"OPENAI_CUSTOM_HEADERS": "X-Tenant: b"}),
    "another endpoint": ("azure/m", {}, {"AZURE_OPENAI_ENDPOINT": "http://localhost:1"}),
    "another version": ("azure/m", {}, {"OPENAI_API_VERSION": "2025-01-01-preview"}),
}


@pytest.mark.parametrize("key", ["of the environment", "of the notebook"])
@pytest.mark.parametrize("place", PLACES)
def test_a_process_that_would_ask_elsewhere_than_the_notebook_refuses_and_sends_nothing(
    dd, home, place, key
):
    name, before, after = PLACES[place]
    provider, model = name.split("/")
    with Server(key=None) as server, pytest.MonkeyPatch.context() as patch:
        usual = {
            "OPENAI_BASE_URL": server.base_url,
            "OPENAI_API_KEY": server.key,
            "AZURE_OPENAI_ENDPOINT": server.base_url,
            "AZURE_OPENAI_API_KEY": server.key,
        }
        for variable, text in {**usual, **before}.items():
            patch.setenv(variable, str(text))
        given = {} if key == "of the environment" else {"api_key": "sk-" + "n" * 24}
        asked = lp.Fallback([lp.Model(provider, model, **given), "local"])
        ddf = dd.from_pandas(FRAME, npartitions=2)
        out = ddf.llm.process("Say {text}", into="a", model=asked)
        for variable, text in after.items():
            patch.delenv(variable) if text is None else patch.setenv(variable, text)
        with pytest.raises(ModelError, match=r"(?s)Nothing was sent: .*from their own environment"):
            computed(out)
        assert not server.requests


def test_a_notebook_without_a_key_can_ask_workers_that_have_one(dd, home, monkeypatch):
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        ddf = dd.from_pandas(FRAME, npartitions=2)
        out = ddf.llm.process("Say {text}", into="a", model="openai/m")
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        assert computed(out)["a"].notna().all()


def test_partitions_too_small_for_the_sample_of_a_cascade_are_told(dd, asked):
    models = [asked["model"], lp.Model("openai", "large", base_url="http://localhost:1/v1")]
    given = {"into": "a", "schema": bool, "model": lp.Cascade(models, target=0.9, sample=60)}
    frame = pd.DataFrame({"text": [f"row {n}" for n in range(200)]})
    with pytest.warns(LionprocWarning, match="threshold in each partition, from 60 rows"):
        dd.from_pandas(frame, npartitions=4).llm.process("Is it {text}?", **given)
    dd.from_pandas(frame, npartitions=2).llm.process("Is it {text}?", **given)  # no word
