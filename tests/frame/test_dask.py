"""Frames of Dask: nothing is bought for rows that it makes up."""

import pandas as pd
import pytest

import lionproc as lp
from lionproc.testing import Server


@pytest.fixture
def dd():
    return pytest.importorskip("dask.dataframe")


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    with Server(answer="fine") as made:
        yield made


@pytest.fixture
def model(server):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)


FRAME = pd.DataFrame({"text": ["one", "two", "three", "four"], "group": [1, 1, 2, 2]})


def test_made_up_rows_are_refused_and_real_ones_are_asked(dd, server, model):
    frame = dd.from_pandas(FRAME, npartitions=2)

    def ask(part):
        return part.llm.process("Say {text}", into="a", model=model, progress=False, panel=False)

    with pytest.raises(ValueError, match="meta="):
        frame.map_partitions(ask)
    with pytest.raises(ValueError, match="meta="):
        frame["text"].map_partitions(
            lambda part: part.llm.process("Say {value}", model=model, progress=False, panel=False)
        )
    assert server.counters.total == 0

    meta = frame._meta.assign(a="")
    out = frame.map_partitions(ask, meta=meta).compute(scheduler="sync")
    assert out["a"].tolist() == ["fine"] * 4
    assert server.counters.total == 4


async def test_a_collection_of_dask_is_no_list_of_items(dd, server, model, tmp_path):
    processor = lp.BatchProcessor(name="b", save_dir=tmp_path, model=model)
    for given in (dd.from_pandas(FRAME, npartitions=2), dd.from_pandas(FRAME["text"], 2)):
        told = await processor.process_batch(given, str)
        assert told["status"] == "error"
        assert "compute" in told["error"]
    assert server.counters.total == 0
