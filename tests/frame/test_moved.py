"""What a run began with is what it ends with, and names are what they are in pandas."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

import lionproc as lp
from lionproc.errors import ColumnError, ConfigurationError

QUIET = {"progress": False, "limits": {"adapt": False}}


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def elsewhere(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    return folder


def sorted_in_place(frame):
    frame._update_inplace(frame.sort_values("text"))  # what inplace=True does, without its warning


def cut_in_place(frame):
    frame._update_inplace(frame.drop(index=0))


def filled_in_place(frame):
    frame["more"] = 1
    frame.index = list("wxyz")
    frame.columns = ["renamed", "more"]


def emptied(frame):
    del frame["text"]


@pytest.mark.parametrize("change", [sorted_in_place, cut_in_place, filled_in_place, emptied])
@pytest.mark.parametrize("how", [{}, {"columns": ["text"]}])
def test_a_frame_that_is_changed_in_place_while_it_is_asked_moves_no_answer(
    server, model, change, how
):
    frame = pd.DataFrame({"text": list("cabd")})
    prompt, into = ("{value}", "{column}_a") if how else ("{text}", "text_a")
    server.hold()
    job = frame.llm.start(prompt, into=into, model=model, **how, **QUIET)

    change(frame)
    server.release()
    out = job.result()

    assert out["text"].tolist() == list("cabd")
    assert out["text_a"].tolist() == [f"echo: {text}" for text in "cabd"]
    assert out.index.tolist() == [0, 1, 2, 3]
    assert "text_a" not in frame


def written_by_label(frame):
    frame.loc[frame["text"] != "", "text"] = "later"


def written_by_place(frame):
    frame.iloc[:, 0] = frame.iloc[::-1, 0].to_numpy()


def updated(frame):
    frame.update(pd.DataFrame({"text": ["later"] * len(frame)}))


def written_into_the_array(frame):
    frame["text"].array[0] = "later"  # where pandas 3 alone would keep no frame from it


@pytest.fixture
def no_copies_on_write(monkeypatch):
    """pandas 2 has none; here what it would let through goes through the array."""
    monkeypatch.setattr("lionproc.frame.snapshot._copies_on_write", lambda: False)


@pytest.mark.usefixtures("no_copies_on_write")
@pytest.mark.parametrize(
    "change", [written_by_label, written_by_place, updated, written_into_the_array]
)
def test_cells_that_are_changed_while_their_rows_are_asked_do_not_stand_beside_the_old_answers(
    server, model, change
):
    frame = pd.DataFrame({"text": pd.Series(list("cabd"), dtype=object)})
    server.hold()
    job = frame.llm.start("{text}", into="text_a", model=model, save="out.parquet", **QUIET)

    change(frame)
    server.release()
    out = job.result()

    assert out["text"].tolist() == list("cabd")
    assert out["text_a"].tolist() == [f"echo: {text}" for text in "cabd"]
    assert lp.read_parquet("out.parquet")["text"].tolist() == list("cabd")


@pytest.mark.usefixtures("no_copies_on_write")
def test_who_writes_into_a_frame_that_came_back_changes_no_other_one(server, model):
    frame = pd.DataFrame({"text": pd.Series(list("ab"), dtype=object), "a": ["", ""]})
    job = frame.llm.start("{text}", into="a", overwrite=True, model=model, **QUIET)

    job.result()["text"].array[0] = "later"

    assert job.frame()["text"].tolist() == list("ab")
    assert frame["text"].tolist() == list("ab")


@pytest.mark.parametrize("save", ["out.parquet", "parts/", "./deep/er/out.parquet"])
def test_a_relative_save_is_where_the_run_was_started_wherever_the_process_goes(
    server, model, elsewhere, monkeypatch, save
):
    begun = Path.cwd()
    server.hold()
    job = pd.DataFrame({"text": list("ab")}).llm.start("{text}", save=save, model=model, **QUIET)
    monkeypatch.chdir(elsewhere)
    server.release()
    job.result()

    assert list(elsewhere.iterdir()) == []
    assert len(lp.read_parquet(begun / save)) == 2
    assert Path(job.saved_to).is_absolute()


def test_a_relative_journal_of_the_session_stays_the_same_file(
    server, model, elsewhere, monkeypatch
):
    frame = pd.DataFrame({"text": list("ab")})
    lp.configure(journal="kept.sqlite")
    try:
        frame.llm.process("{text}", model=model, **QUIET)
        monkeypatch.chdir(elsewhere)
        frame.llm.process("{text}", model=model, **QUIET)
    finally:
        lp.configure(journal=None)

    assert server.counters.total == 2
    assert list(elsewhere.iterdir()) == []


async def test_the_folder_of_a_service_stays_the_same(
    server, model, elsewhere, monkeypatch, tmp_path
):
    service = lp.ProcessingService("notes", "requests", model=model, journal="replies.sqlite")
    monkeypatch.chdir(elsewhere)
    async with service:
        result = await service.process_data({"text": "a"})

    assert result["status"] == "success"
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "replies.sqlite").exists()


@pytest.mark.parametrize(
    "columns",
    [
        pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]),
        pd.Index(["a", None], dtype=object),
        pd.Index([1, "b"], dtype=object),
        pd.date_range("2026-01-01", periods=2),
    ],
)
def test_a_cell_that_saves_is_run_again_whatever_the_columns_are_called(server, model, columns):
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=columns)
    for _ in range(2):
        frame.llm.process(
            lambda row: f"{list(row.values())}", into="z", save="o.parquet", model=model, **QUIET
        )

    assert server.counters.total == 2
    assert pq.ParquetFile("o.parquet").metadata.num_columns == 3


def test_columns_are_whatever_pandas_takes_for_a_list_of_them(model):
    frame = pd.DataFrame({"a": ["x"], "b": ["y"], "n": [1]})
    for columns in (
        frame.columns[:2],
        frame.columns[:2].to_numpy(),
        pd.Series(["a", "b"]),
        ("a", "b"),
        frame.select_dtypes(exclude="number").columns,
    ):
        out = frame.llm.process("{value}", columns=columns, into="{column}_q", model=model, **QUIET)
        assert out.columns.tolist() == ["a", "b", "n", "a_q", "b_q"]
    for wrong in ("a", {"a", "b"}, [], frame.columns[:0], 5):
        with pytest.raises(ConfigurationError, match="list of column names"):
            frame.llm.process("{value}", columns=wrong, into="{column}_q", model=model, **QUIET)


def test_a_field_called_value_is_no_clash_with_the_cells_of_a_series(model):
    class Price(BaseModel):
        value: float
        currency: str

    prices = pd.Series(["5 EUR", None], name="price")
    out = prices.llm.process("{value}", schema=Price, model=model, **QUIET)
    named = prices.llm.process("{value}", into="value", model=model, **QUIET)

    assert out.columns.tolist() == ["value", "currency"]
    assert named.name == "value"
    assert named.tolist() == ["echo: 5 EUR", pd.NA]


def test_a_column_that_a_run_added_beside_columns_of_two_levels_can_be_replaced(model):
    frame = pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    first = frame.llm.process("{a, b}", into="z", model=model, **QUIET)
    second = first.llm.process(
        "{a, c}", into="z", overwrite=True, save="o.parquet", model=model, **QUIET
    )

    assert second.columns.tolist() == [("a", "b"), ("a", "c"), ("z", "")]
    assert second["z"].tolist() == ["echo: 2"]
    with pytest.raises(ColumnError, match="has a column 'a' already"):
        frame.llm.process("{a, b}", into="a", model=model, **QUIET)
    with pytest.raises(ColumnError, match="several columns called 'a'"):
        frame.llm.process("{a, b}", into="a", overwrite=True, model=model, **QUIET)


@pytest.mark.parametrize("save", ["out.parquet", "parts/"])
def test_a_column_that_is_replaced_need_not_fit_the_file(model, save):
    frame = pd.DataFrame({"note": [object(), 1j], "text": ["a", "b"]})
    out = frame.llm.process(
        "{text}", into="note", overwrite=True, save=save, chunk_size=1, model=model, **QUIET
    )

    pd.testing.assert_frame_equal(lp.read_parquet(save), out)


def test_nor_need_one_that_is_replaced_by_what_was_asked_about_it(model):
    frame = pd.DataFrame({"note": ["one", 2]})
    for _ in range(2):
        out = frame.llm.process(
            "{note}", into="note", overwrite=True, save="parts/", chunk_size=1, model=model, **QUIET
        )
    pd.testing.assert_frame_equal(lp.read_parquet("parts/"), out)


@pytest.mark.parametrize("name", ["answer", 3, ("a", "b")])
@pytest.mark.parametrize("save", ["out.parquet", "parts/"])
def test_an_index_of_any_name_is_saved_and_comes_back(model, name, save):
    index = pd.Index([None, "y"], name=name, dtype=object)
    frame = pd.DataFrame({"text": ["a", "b"]}, index=index)
    for _ in range(2):
        out = frame.llm.process("{text}", save=save, chunk_size=1, model=model, **QUIET)
    read = lp.read_parquet(save)

    assert read["answer"].tolist() == out["answer"].tolist() == ["echo: a", "echo: b"]
    assert read.index.isna().tolist() == [True, False]
    assert read.index.name == (str(name) if isinstance(name, tuple) else name)
