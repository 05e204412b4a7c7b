"""All verbs of `df.llm` on Dask frames: done, foreseen by a sample, or refused with the way on."""

import shutil

import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal, assert_series_equal

import lionproc as lp
from lionproc.errors import ConfigurationError
from lionproc.frame import register as registering
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.job import Job
from lionproc.frame.series_accessor import SeriesAccessor
from lionproc.testing import Server

dask = pytest.importorskip("dask")  # its frames are imported by the first test that wants them
pytestmark = pytest.mark.usefixtures("dd")

FRAME = pd.DataFrame({"text": [f"row {n}" for n in range(1200)], "n": range(1200)})
SMALL = FRAME.head(8)
DONE = ("process", "start", "aprocess", "pipeline", "estimate", "preview")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, Server() as made:
        patch.setenv("LIONPROC_HOME", str(tmp_path_factory.mktemp("home")))
        with dask.config.set(scheduler="sync"):
            yield made


@pytest.fixture(scope="module")
def how(server):
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    return {"model": model, "progress": False}


@pytest.fixture
def sent(server):
    before = server.counters.total
    return lambda: server.counters.total - before


def verbs_of(kind):
    return [name for name in dir(kind) if not name.startswith("_")]


def test_every_verb_of_pandas_is_there_or_says_what_to_do_in_its_place(sent, how):
    from lionproc.dask.job import DaskJob

    ddf = dask.dataframe.from_pandas(SMALL, npartitions=2)
    for kind, accessor in ((FrameAccessor, ddf.llm), (SeriesAccessor, ddf["text"].llm)):
        for name in verbs_of(kind):
            verb = getattr(accessor, name)
            assert verb.__doc__
            if name not in DONE:
                with pytest.raises(ConfigurationError, match=rf"On Dask there is no {name}\(\). "):
                    verb("text", gold="n")
    inner = {"limits", "wait", "give_up", "errors_at", "fatal", "run_id", "has_fields", "vouch"}
    inner |= {"tell_of_models", "raise_faults", "budget", "stay_behind"}
    assert {*verbs_of(Job)} <= {*verbs_of(DaskJob), *inner}
    with pytest.raises(ConfigurationError, match="asked again"):
        DaskJob.retry_failed(None)
    with pytest.raises(ConfigurationError, match=r"lionproc\.dask\.local\(\)"):
        ddf["text"].llm.start("Of {value}", **how)
    assert sent() == 0


def test_an_estimate_is_that_of_all_rows_and_says_which_it_saw(sent, how):
    limits = lp.Limits(requests_per_minute=60)
    asked = {"prompt": "Foresee {text}", "into": "a", "limits": limits, **how}
    ddf = dask.dataframe.from_pandas(FRAME, npartitions=30)
    all_rows = ddf.llm.estimate(**asked)
    assert (all_rows.rows, all_rows.requests, all_rows.minutes) == (1200, 1200, 20)
    assert all_rows.limited_by == "requests_per_minute"
    assert all_rows.sample == "100 rows of 5 of 30 partitions"
    assert "5 of 30 partitions" in repr(all_rows)
    assert "what equals a row elsewhere is not seen" in all_rows._repr_html_()
    here = FRAME.llm.estimate(**asked)
    assert abs(all_rows.input_tokens - here.input_tokens) < 0.02 * here.input_tokens
    # How many are left of a filter is known of no file: that is said.
    some = ddf[ddf["n"] % 2 == 0].llm.estimate(**asked)
    assert some.rows == 600
    assert some.sample.endswith("if the others have as many rows as these")
    with pytest.raises(ConfigurationError, match="have no rows"):
        ddf[ddf["n"] < 0].llm.estimate(**asked)
    # What can be seen as a whole is the estimate of pandas.
    less = {**asked, "limits": None}
    assert dask.dataframe.from_pandas(SMALL, 2).llm.estimate(**less) == SMALL.llm.estimate(**less)
    cells = {**less, "prompt": "Foresee {value}", "into": None}
    assert ddf["text"].llm.estimate(**cells).rows == 1200
    assert sent() == 0


def test_rows_that_were_tried_do_not_count_as_answered_everywhere(sent, how):
    ddf = dask.dataframe.from_pandas(FRAME, npartitions=30)
    tried = ddf.llm.preview("Try {text}", "a", n=4, **how)
    assert tried.frame["a"].tolist() == [f"echo: Try row {n}" for n in range(4)]
    assert sent() == 4
    assert tried.estimate.basis == "seen"
    for foreseen in (tried.estimate, ddf.llm.estimate("Try {text}", "a", **how)):
        assert (foreseen.rows, foreseen.requests, foreseen.answered) == (1200, 1200, 0)
    cells = ddf["text"].llm.preview("Try {value}", n=2, **how)
    here = FRAME["text"].head(2).llm.process("Try {value}", **how)
    assert_series_equal(cells.frame, here, check_dtype=False)
    whole = dask.dataframe.from_pandas(SMALL, npartitions=2).llm.preview(
        "Whole {text}", "a", n=3, **how
    )
    assert (whole.estimate.answered, whole.estimate.sample) == (3, "")


def test_nothing_is_bought_in_order_to_foresee_what_follows_it(sent, how):
    first = dask.dataframe.from_pandas(SMALL, npartitions=2).llm.process("First {text}", "a", **how)
    for verb in (first.llm.estimate, first.llm.preview, first["a"].llm.estimate):
        with pytest.raises(ConfigurationError, match=r"persist\(\)"):
            verb("Then {n}", "b", **how)
    assert sent() == 0
    assert first.persist().llm.estimate("Then {a}", "b", **how).requests == 8
    assert sent() == 8


def test_stages_go_along_and_share_what_the_workers_share(sent, how):
    stages = [{"name": "x", "prompt": "Is {text}"}, {"name": "y", "prompt": "So {x}"}]
    ddf = dask.dataframe.from_pandas(SMALL, npartitions=2)
    out = ddf.llm.pipeline(stages, **how)
    assert sent() == 0
    assert_frame_equal(out.compute(), ddf.compute().llm.pipeline(stages, **how))
    for own in ({"rate_limit": 60}, {"model": "local"}):
        with pytest.raises(ConfigurationError, match="of its own"):
            ddf.llm.pipeline([{**stages[0], **own}], **how)
    with pytest.raises(ConfigurationError, match="list of stages"):
        ddf.llm.pipeline("Is {text}", **how)


def test_another_name_is_that_of_dask_frames_too(how):
    ours = [(kind, kind.__dict__["llm"]) for kind in registering._kinds]
    try:
        lp.register("lp")
        ddf = dask.dataframe.from_pandas(SMALL, npartitions=2)
        assert type(ddf.lp) is type(ddf.llm) is lp.dask.DaskFrameAccessor
        assert type(ddf["text"].lp) is lp.dask.DaskSeriesAccessor
        del dask.dataframe.DataFrame.lp
        registering.register_too(
            {dask.dataframe.DataFrame: registering._kinds[dask.dataframe.DataFrame]}
        )  # an import
        assert type(ddf.head(1, compute=False).lp) is lp.dask.DaskFrameAccessor
        with pytest.raises(ConfigurationError, match=r"dask\.DataFrame has 'npartitions'"):
            lp.register("npartitions")
    finally:
        registering._names[:] = ["llm"]
        for kind, descriptor in ours:
            kind.llm = descriptor
            if "lp" in kind.__dict__:
                del kind.lp
            kind._accessors.discard("lp")


def partitions(*parts):
    return dask.dataframe.from_map(
        lambda number: parts[number], range(len(parts)), meta=SMALL.iloc[:0]
    )


@pytest.mark.parametrize(
    "other",
    [
        SMALL.assign(more=1),
        SMALL.drop(columns="n"),
        SMALL[["n", "text"]],
        SMALL.assign(text=[1] * 8),
        None,
        SMALL["text"],
    ],
    ids=["more", "less", "order", "dtype", "none", "series"],
)
def test_a_partition_that_dask_would_refuse_is_not_paid_for(sent, how, other):
    out = partitions(SMALL, other).llm.process("Alike {text}", "a", **how)
    with pytest.raises(ConfigurationError, match="Partition 1 is not what Dask was told"):
        out.partitions[1].compute()
    assert sent() == 0


LISTS = pd.Series([["a"], []] * 4, dtype=pd.ArrowDtype(pa.list_(pa.string())))
ODD = {
    "empty ones": lambda: (ddf := dask.dataframe.from_pandas(SMALL, npartitions=4))[ddf["n"] > 5],
    "one row each": lambda: dask.dataframe.from_pandas(
        SMALL.head(3), npartitions=3
    ).clear_divisions(),
    "equal labels": lambda: dask.dataframe.from_pandas(
        SMALL.set_axis([1, 1, 1, 2, 2, 2, 2, 3]), npartitions=3
    ),
    "numbers of two kinds": lambda: partitions(SMALL[:4], SMALL[4:].assign(n=[4.5, 5, 6, 7])),
    "unknown categories": lambda: dask.dataframe.from_pandas(SMALL, npartitions=3).astype(
        {"text": "category"}
    ),
    "delayed": lambda: dask.dataframe.from_delayed(
        [dask.delayed(SMALL.iloc)[k : k + 4] for k in (0, 4)], meta=SMALL.iloc[:0]
    ),
    "shuffled": lambda: dask.dataframe.from_pandas(SMALL, npartitions=3).shuffle(
        "n",
        shuffle_method="tasks",  # by way of the disk the order of rows is another each time
    ),
    "lists": lambda: dask.dataframe.from_pandas(SMALL.assign(tags=LISTS), npartitions=2),
    "some columns": lambda: dask.dataframe.from_pandas(SMALL, npartitions=2)[["text"]],
    "names that are numbers": lambda: dask.dataframe.from_pandas(
        SMALL.rename(columns={"n": 0}), npartitions=2
    ),
}


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask itself
@pytest.mark.parametrize("odd", ODD)
def test_odd_partitions_give_what_pandas_gives_and_cost_it_once(sent, how, odd, tmp_path):
    ddf = ODD[odd]()
    asked = {"prompt": f"{odd} {{text}}", "schema": list[int], **how}
    out, again = (ddf.llm.process(into=into, **asked) for into in ("a", "b"))
    assert out.divisions == ddf.divisions
    one, two = dask.compute(out, again)
    assert sent() == len(one)
    assert one["a"].tolist() == two["b"].tolist()
    assert_frame_equal(one, ddf.compute().llm.process(into="a", **asked))
    ddf.llm.process(into="a", save=tmp_path, **asked).compute()
    assert_series_equal(lp.read_parquet(tmp_path)["a"], one["a"])
    assert sent() == len(one)


def test_what_follows_in_the_graph_costs_nothing_more(sent, how):
    out = dask.dataframe.from_pandas(SMALL, npartitions=4).llm.process("Once {text}", "a", **how)
    one = out.compute()
    for later in (out, out.repartition(npartitions=1), out[out["n"] >= 0], out.persist()):
        assert_frame_equal(later.compute(), one)
    assert out[["a"]].count().compute().item() == len(dask.dataframe.merge(out, out, on="n")) == 8
    assert sent() == 8


def test_a_folder_that_is_not_on_this_disk_is_refused_and_nothing_is_sent(sent, how, tmp_path):
    folder = tmp_path / "answers"
    out = dask.dataframe.from_pandas(SMALL, npartitions=2).llm.process(
        "At {text}", "a", save=folder, **how
    )
    shutil.rmtree(folder)  # as a worker sees it that is another machine
    with pytest.raises(ConfigurationError, match="a disk that all share"):
        out.compute()
    assert sent() == 0
    folder.mkdir()
    assert len(out.compute()) == len(list(folder.glob("*.parquet"))) * 4 == sent() == 8
