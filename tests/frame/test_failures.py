"""What is said about rows that failed, where it is said, and by which frames."""

import asyncio
import gc
import json
import pickle
import weakref
from typing import Literal

import pandas as pd
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.engine import replay
from lionproc.engine.replay import RAW_BYTES
from lionproc.engine.stats import RunStats
from lionproc.errors import (
    HINTS,
    BudgetWarning,
    CallError,
    ConfigurationError,
    Kind,
    RowsFailedWarning,
    StoppedWarning,
)
from lionproc.frame.failures import Failure, Failures, errors_table
from lionproc.notebook import card

MOOD = Literal["pos", "neg"]


@pytest.fixture(autouse=True)
def quiet(no_slow_start):
    lp.configure(progress=False)
    yield
    lp.configure(progress=None)


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def said(body):
    return str(body["messages"][-1]["content"])


def fails(*words, fault="400"):
    return lambda body, n: fault if said(body).endswith(words) else None


@pytest.fixture
def one_failed(server, model):
    """A frame of four rows, of which the second has no answer."""
    server.configure(faults=fails(" 1"))
    with pytest.warns(RowsFailedWarning):
        return texts(4).llm.process("Say {text}", into="a", model=model)


# The table


def test_what_the_model_said_and_what_to_do_stand_beside_the_reason(server, model):
    server.configure(
        answer=lambda body: "\u202eIt is\nrather \x1b[31mfine" if " 1" in said(body) else None
    )
    with pytest.warns(RowsFailedWarning):
        out = texts(3).llm.process(
            "Say {text}", into="mood", schema=MOOD, model=model, retry=lp.Retry(max_corrections=0)
        )
    (record,) = out.llm.errors().to_dict("records")
    assert record["kind"] == "wrong_shape"
    assert "'pos' or 'neg'" in record["message"]
    assert record["reply"] == "It is rather [31mfine"
    assert "schema=" in record["hint"]
    assert record["hint"] not in record["message"]


def test_what_is_kept_of_a_row_that_failed_is_short_whatever_the_server_said(server, model):
    long = "x" * 2**20
    server.configure(answer=lambda body: long if " 1" in said(body) else '{"answer": 7}')

    def prompt(row):
        if row["text"] == "text 2":
            raise ValueError(row)
        return f"Say {row['text']}"

    job = texts(3).llm.start(
        prompt, into="a", schema=int, model=model, retry=lp.Retry(max_corrections=0)
    )
    job.wait(30)
    errors = [error for _, error in job._store.failures]
    assert sorted(error.kind for error in errors) == [Kind.PROMPT, Kind.WRONG_SHAPE]
    for error in errors:  # their frames would hold the reply, what it was parsed to, and the rows
        assert error.__traceback__ is error.__cause__ is error.__context__ is None
        assert len(error.raw) <= RAW_BYTES


def test_the_warning_says_what_to_do_where_it_is_the_same_for_all_rows_that_failed(server, model):
    server.configure(faults=lambda body, n: "length" if said(body)[-1] in "12" else None)
    with pytest.warns(
        RowsFailedWarning, match=r"\(2 truncated\)\. Raise max_tokens=, or .* errors"
    ):
        texts(4).llm.process("Say {text}", into="a", model=model)
    server.configure(faults=lambda body, n: {"1": "length", "2": "400"}.get(said(body)[-1]))
    with pytest.warns(RowsFailedWarning, match=r"\(1 \w+, 1 \w+\)\. out\.llm\.errors\(\) lists"):
        texts(4).llm.process("Tell {text}", into="a", model=model)


def test_an_answer_that_was_cut_off_is_shown_as_far_as_it_came(server, model):
    server.configure(answer="Dear Sir, we are writing to " + "you " * 500, faults=["length"])
    with pytest.warns(RowsFailedWarning):
        out = texts(1).llm.process("Say {text}", into="a", model=model)
    (record,) = out.llm.errors().to_dict("records")
    assert record["reply"].startswith("Dear Sir, we are")
    assert len(record["reply"]) <= 500
    assert "max_tokens=" in record["hint"]


def test_the_panels_list_has_the_reply_the_advice_and_the_cells_of_the_row(server, model):
    server.configure(answer="rather fine")
    frame = pd.DataFrame({"title": ["A", "B"], "text": ["first", None], "x": [1, 2]})
    with pytest.warns(RowsFailedWarning):
        frame.llm.process(
            "{title}: {text}", into="mood", schema=MOOD, model=model,
            retry=lp.Retry(max_corrections=0),
        )  # fmt: skip
    (failure,) = lp.last_job().latest_errors(5)
    assert (failure.row, failure.kind) == ("0", "wrong_shape")
    assert failure.reply == "rather fine"
    assert failure.hint
    assert failure.text == "title: A, text: first"


def test_rows_that_were_never_sent_are_no_errors_and_the_report_counts_them(server, model):
    server.hold()
    job = texts(100).llm.start("Say {text}", into="a", model=model)
    server.wait_for(lambda counters: counters.in_flight == 32)
    job.stop(0)
    assert job.wait(30)
    assert job.errors()["kind"].tolist() == ["cancelled"] * 32
    assert job.report().facts["not_sent"] == 68


def test_where_nothing_failed_the_table_says_so(server, model):
    frame = pd.DataFrame({"text": ["a", None, "b"]})
    out = frame.llm.process("Say {text}", into="a", model=model)
    errors = out.llm.errors()
    assert errors.empty
    sentence = "No errors: 2 of 3 rows answered, 1 skipped (empty cells)."
    assert repr(errors) == sentence
    assert errors._repr_html_() == f"<p>{sentence}</p>"
    assert list(errors)[-3:] == ["reply", "attempts", "raw"]


def test_a_notebook_shows_what_failed_alike_once_with_what_to_do_and_some_rows_of_it(server, model):
    server.configure(answer="<b>no</b>", faults=lambda _, number: "400" if number < 3 else None)
    with pytest.warns(RowsFailedWarning):
        out = texts(12).llm.process(
            "Say {text}", into="mood", schema=MOOD, model=model,
            retry=lp.Retry(max_corrections=0, first_failures=None),
        )  # fmt: skip
    page = out.llm.errors()._repr_html_()
    assert "12 rows without an answer" in page
    assert page.count("Name the allowed answers in the prompt") == 1
    wrong = int((out.llm.errors()["kind"] == "wrong_shape").sum())
    assert page.index(f"{wrong} <b>wrong shape</b>") < page.index(
        f"{12 - wrong} <b>bad request</b>"
    )
    assert f"and {wrong - 5} row" in page
    assert "&lt;b&gt;no&lt;/b&gt;" in page
    assert "<b>no</b>" not in page
    assert "chatcmpl" not in page  # the raw reply is in the frame, for those who look for it


def test_of_very_many_ways_to_fail_a_notebook_looks_at_those_that_it_shows(monkeypatch):
    errors = [CallError(Kind.BAD_REQUEST, f"no {max(n - 2, 0)}.") for n in range(2_000)]
    rows = [Failure(place, "mood", error, 1) for place, error in enumerate(errors)]
    table = errors_table(pd.RangeIndex(2_000), "into", rows, RunStats())
    looked_at = []
    inner = pd.DataFrame.to_dict
    monkeypatch.setattr(
        pd.DataFrame,
        "to_dict",
        lambda frame, *of: looked_at.append(len(frame)) or inner(frame, *of),
    )
    page = table._repr_html_()
    assert looked_at == [3, *[1] * 7]
    assert "2,000 rows without an answer" in page
    assert "and 1,990 that failed in other ways" in page
    assert page.index("no 0.") < page.index("no 1.")


def test_a_part_of_the_table_is_a_frame_like_any_other(one_failed):
    errors = one_failed.llm.errors()
    assert "1 rows x 9 columns" in repr(errors)
    none = errors[errors["kind"] == "timeout"]
    assert type(none) is pd.DataFrame
    assert "Empty DataFrame" in repr(none)


def test_an_error_keeps_its_hint_and_its_reply_when_it_travels():
    error = CallError(Kind.TRUNCATED, "Cut off.", status=200, reply="Dear Sir")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (again.kind, again.message, again.status) == (Kind.TRUNCATED, "Cut off.", 200)
    assert (again.hint, again.reply) == (error.hint, "Dear Sir")
    assert str(again) == "Cut off. Raise max_tokens=, or ask for a shorter answer."


# Which frames know it


@pytest.mark.parametrize(
    "made",
    [
        lambda out: out.head(2),
        lambda out: out.copy(),
        lambda out: out[out["a"].isna()],
        lambda out: out.sort_values("text", ascending=False),
        lambda out: out[["a"]],
        lambda out: out["a"],
        lambda out: out.reset_index(),
    ],
)
def test_what_is_made_of_a_frame_knows_the_run_too(one_failed, made):
    part = made(one_failed)
    assert part.llm.errors()["position"].tolist() == [1]
    assert part.llm.report().stats.failed == 1


def test_a_frame_of_another_session_says_so_and_a_strange_one_says_where_to_look(one_failed):
    elsewhere = pickle.loads(pickle.dumps(one_failed))  # noqa: S301
    assert type(elsewhere.attrs["lionproc_run"]) is str
    with pytest.raises(ConfigurationError, match="another session"):
        elsewhere.llm.errors()
    with pytest.raises(ConfigurationError, match=r"lp\.last_job\(\)"):
        texts(2).llm.report()


def test_what_a_stranger_calls_a_run_in_a_file_is_shown_without_its_control_characters():
    frame = texts(1)
    frame.attrs["lionproc_run"] = "\x1b]0;title\x07" * 1000
    with pytest.raises(ConfigurationError, match="another session") as caught:
        frame.llm.errors()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


def test_in_a_file_of_pandas_the_run_is_an_id_and_nothing_more(one_failed, tmp_path):
    one_failed.attrs["mine"] = 7
    path = tmp_path / "plain.parquet"
    one_failed.to_parquet(path)
    metadata = pq.read_schema(path).metadata
    attrs = json.loads(metadata[b"PANDAS_ATTRS"])
    assert attrs == {"lionproc_run": str(one_failed.attrs["lionproc_run"]), "mine": 7}
    assert attrs["lionproc_run"] == lp.last_job().run_id
    with pytest.raises(ConfigurationError, match="another session"):
        pd.read_parquet(path).llm.errors()


def test_a_second_run_over_the_answers_of_a_first_is_the_one_that_is_known(server, model):
    server.configure(faults=fails(" 1"))
    with pytest.warns(RowsFailedWarning):
        first = texts(4).llm.process("Say {text}", into="a", model=model)
    second = first.llm.process("Tell {text}!", into="b", model=model)
    assert second.llm.errors().empty
    assert len(first.llm.errors()) == 1


def test_the_rows_of_a_run_are_not_kept_for_what_is_left_of_it(server, model):
    part = texts(50).llm.process("Say {text}", into="a", model=model).head(1)
    job = weakref.ref(lp.last_job())
    texts(1).llm.process("Say {text}", into="a", model=model)  # the last job is another one now
    gc.collect()
    assert job() is None
    assert part.llm.report().stats.answered == 50
    assert part.llm.errors().empty
    known = weakref.ref(part.attrs["lionproc_run"].run)
    del part
    gc.collect()
    assert known() is None


class Survey(pd.DataFrame):
    _metadata = ["source"]  # noqa: RUF012

    @property
    def _constructor(self):
        return Survey


def test_a_frame_of_ones_own_class_stays_one_and_keeps_what_it_knows(server, model):
    frame = Survey(texts(2))
    frame.source = "the field"
    frame.attrs["mine"] = 7
    out = frame.llm.process("Say {text}", into="a", model=model)
    assert type(out) is Survey
    assert out.source == "the field"
    assert out.attrs["mine"] == 7
    assert "lionproc_run" not in frame.attrs


# Warnings


def stopped_with_a_failure(server, model):
    """100 rows: 1 failed, 32 came back after the stop, the rest was not sent."""
    server.configure(faults=fails(" 0"))
    server.hold()
    job = texts(100).llm.start("Say {text}", into="a", model=model)
    server.wait_for(lambda counters: counters.in_flight >= 32)
    job.stop()
    while job.stats.state != "stopping":
        pass
    server.release()
    return job


def test_after_a_stop_the_warning_counts_every_row_without_an_answer(server, model):
    job = stopped_with_a_failure(server, model)
    with pytest.warns(StoppedWarning) as caught:
        out = job.result(20)
    (warning,) = caught
    missing = int(out["a"].isna().sum())
    failed = job.stats.failed
    assert failed > 0
    assert str(warning.message).startswith(
        f"The run was stopped, so {missing} of 100 rows have no answer and are NA "
        f"({failed} bad_request, {missing - failed} not sent). job.errors() lists the errors."
    )


def test_a_budget_and_a_failure_make_one_warning(server, model):
    server.configure(faults=fails(" 0"))
    with pytest.warns(BudgetWarning) as caught:
        out = texts(9).llm.process(
            "Say {text}", into="a", model=model, budget=lp.Budget(requests=3),
            limits={"concurrency": 1, "adapt": False},
        )  # fmt: skip
    (warning,) = caught
    assert out["a"].isna().sum() == 7
    assert "7 of 9 rows have no answer and are NA (1 bad_request, 6 not sent)" in str(
        warning.message
    )
    assert "out.llm.errors()" in str(warning.message)


def test_where_a_card_stands_in_the_cell_nothing_is_said_twice(server, model, monkeypatch):
    monkeypatch.setattr(card, "shown_for", lambda run: True)
    server.configure(faults=fails(" 1"))
    out = texts(4).llm.process("Say {text}", into="a", model=model)  # a warning would fail this
    assert out["a"].isna().sum() == 1
    job = texts(4).llm.start("Say {text}", into="a", model=model, resume=False)
    with pytest.warns(RowsFailedWarning, match=r"job\.errors\(\)"):
        job.result(20)  # its card stands in the cell that started it


async def test_whoever_awaits_a_frame_is_told_that_it_was_stopped(server, model):
    server.configure(latency_s=0.02)

    class Stops:
        def update(self, stats):
            lp.last_job().stop()

        def close(self, stats):
            pass

    waiting = texts(3000).llm.aprocess(
        "Say {text}", into="a", model=model, limits={"concurrency": 2}
    )
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0)
    lp.last_job().watch(Stops())
    with pytest.warns(StoppedWarning, match="The run was stopped"):
        await task


def test_a_stop_that_comes_while_a_run_ends_changes_nothing_of_how_it_ended(server, model):
    server.hold()
    job = texts(3).llm.start("Say {text}", into="a", model=model)
    end = job._noted.end

    async def stopped_meanwhile():
        job.stop()
        await asyncio.sleep(0)
        await end()

    job._noted.end = stopped_meanwhile
    server.release()
    assert job.result()["a"].notna().all()
    assert job.stats.state == "done"


def test_the_card_names_what_the_person_has_in_hand(server, model):
    server.configure(faults=fails(" 1"))
    job = texts(4).llm.start("Say {text}", into="a", model=model)
    with pytest.warns(RowsFailedWarning):
        job.result(20)
    assert "job.errors() lists the errors" in repr(job.report())
    with pytest.warns(RowsFailedWarning):
        out = texts(4).llm.process("Say {text}", into="a", model=model)
    assert "out.llm.errors() lists the errors" in repr(out.llm.report())


def test_advice_fits_one_row_and_a_thousand():
    assert not [hint for hint in HINTS.values() if "this row" in hint or "the row" in hint]


def test_of_very_many_failures_the_replies_take_a_bounded_room(server, model, monkeypatch):
    monkeypatch.setattr(replay, "RAW_OF_ALL", 10_000)
    server.configure(answer="x" * 3000)
    with pytest.warns(RowsFailedWarning):
        out = texts(12).llm.process("Say {text}", into="a", schema=int, model=model)
    kept = [len(raw) for raw in out.llm.errors()["raw"].fillna("")]
    assert (sum(kept), len(kept)) == (10_000, 12)
    assert max(kept) > 3000


def test_failures_are_gone_through_while_others_are_added():
    """On CPython 3.11 garbage is collected while a dict is copied pair by pair."""
    failures = Failures(pd.RangeIndex(100_000), ["out"])
    error = CallError(Kind.EMPTY, "no answer")
    places = iter(range(100_000))

    def another_fails(phase, info):
        failures.add(next(places), error, 1)

    for _ in range(5_000):
        failures.add(next(places), error, 1)
    gc.callbacks.append(another_fails)
    try:
        assert len(list(failures)) >= 5_000
        assert len(failures.kept(10)) == 10
    finally:
        gc.callbacks.remove(another_fails)
