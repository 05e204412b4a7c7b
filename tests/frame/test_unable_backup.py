"""`lp.Fallback` whose further model cannot answer: it has single rows, and it ends no run for them."""

import asyncio
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine.failure_policy import FailurePolicy
from lionproc.engine.neighbours import introduce
from lionproc.engine.request import Event
from lionproc.engine.retry import Fail, Retry
from lionproc.errors import AccessError, CallError, Kind, RowsFailedWarning, ServiceDownError
from lionproc.model.steps import CANNOT, ONE, Cascaded, InTurn
from lionproc.testing import Server
from tests.frame.test_fallback import ask, at, names, only, other

NOBODY = "http://127.0.0.1:9/v1"
NO_MODEL = other(404, "model_not_found", "The model b does not exist.")
NO_KEY = other(401, "invalid_api_key", "The key of b is refused.")
NO_QUOTA = other(429, "insufficient_quota", "You exceeded your current quota.")
ONE_OR_TWO = Literal["one", "two"]
FOUR = {"concurrency": 4, "adapt": False}
pytestmark = [
    pytest.mark.usefixtures("no_slow_start"),
    pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning"),
]


@pytest.fixture
def first(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    with Server(answer="one") as server:
        yield server


@pytest.fixture
def second():
    with Server(answer="two") as server:
        yield server


@pytest.mark.parametrize(
    "case",
    [
        ("401", "access"),
        (NO_MODEL, "not_found"),
        (NO_QUOTA, "quota"),
        ("nobody", "connection"),
        ("503", "overloaded"),
        ("500", "server_error"),
    ],
    ids=str,
)
@pytest.mark.parametrize("refuses", ["content_filter", "context_length"])
def test_a_row_that_needs_a_model_which_cannot_answer_fails_alone_in_each_run(
    first, second, case, refuses, tmp_path
):
    fault, kind = case
    first.configure(faults=only({"t0", "t7"}, refuses))
    backup = at(second, "b")
    if fault == "nobody":
        backup = lp.Model("openai", "b", base_url=NOBODY, api_key="k")
    else:
        second.configure(faults={fault: 1.0})
    model = lp.Fallback([at(first), backup])
    expected = [n in {0, 7} for n in range(30)]
    for status in ("answered", "cached", "cached"):
        with pytest.warns(RowsFailedWarning, match="2 of 30"):
            out = ask(model, names(30), save=tmp_path / "answers.parquet")
        assert out["a"].isna().tolist() == expected
        assert out["a_error"][0].startswith(kind)
        assert out["a_status"][1] == status
        assert pd.read_parquet(tmp_path / "answers.parquet")["a"].isna().tolist() == expected
        assert lp.last_job().stats.state == "done"


def test_the_last_row_alone_that_is_left_brings_its_frame_back(first, second):
    ask(at(first), names(30))
    first.configure(faults=only({"t30"}, "content_filter"))
    second.configure(faults={"401": 1.0})
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(31))
    assert out["a"].isna().tolist() == [False] * 30 + [True]


def test_a_model_that_cannot_answer_is_asked_for_few_of_the_rows_that_need_it(first, second):
    needs = {f"t{n}" for n in range(0, 400, 2)}
    first.configure(faults=only(needs, "content_filter"))
    second.configure(faults={"401": 1.0})
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(400), limits=FOUR)
    assert out["a"].notna().sum() == 200
    assert second.counters.total <= 4
    assert out["a_error"][398].startswith("access")
    assert "was not asked for this row" in out["a_error"][398]


def test_one_that_only_fails_is_left_alone_after_what_would_have_ended_the_run(first, second):
    first.configure(faults=only({f"t{n}" for n in range(0, 400, 2)}, "content_filter"))
    second.configure(faults={"500": 1.0})
    little = lp.Retry(max_attempts=2, base_s=0.0, budget=5)
    model = lp.Fallback([at(first), at(second, "b")])
    out = ask(model, names(400), limits=FOUR, retry=little)
    assert out["a"].notna().sum() == 200
    assert second.counters.total <= 20


def test_votes_and_corrections_that_a_model_cannot_take_over_end_no_run(first, second):
    first.configure(faults=only({"t7"}, "content_filter"))
    second.configure(faults={"401": 1.0})
    model = lp.Fallback([at(first), at(second, "b")])
    voted = ask(model, names(20), votes=3)
    assert voted["a"].isna().tolist() == [n == 7 for n in range(20)]

    def shapes(body, _):
        if body["messages"][0]["content"] != "Say t7":
            return None
        return "wrong_shape" if len(body["messages"]) == 1 else "content_filter"

    first.configure(faults=shapes)
    corrected = ask(model, names(20), schema=ONE_OR_TWO, journal=False)
    assert corrected["a"].isna().tolist() == [n == 7 for n in range(20)]


def test_of_three_the_first_answers_and_the_others_end_no_run(first, second):
    first.configure(faults=only({"t3", "t9"}, "content_filter"))
    second.configure(faults={"401": 1.0})
    model = lp.Fallback([at(first), at(second, "b"), at(second, "c")])
    out = ask(model, names(20))
    assert out["a"].isna().tolist() == [n in {3, 9} for n in range(20)]
    nested = lp.Fallback([at(first), lp.Cascade([at(second, "d"), at(second, "e")], below=0.5)])
    assert ask(nested, names(20), schema=ONE_OR_TWO)["a"].notna().sum() == 18


def test_many_rows_that_neither_answers_are_no_verdict_on_those_that_the_first_does(first, second):
    first.configure(faults=only({f"t{n}" for n in range(40, 80)}, "content_filter"))
    second.configure(faults={"400": 1.0})
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(100))
    assert out["a"].notna().sum() == 60


def test_rows_on_which_a_good_model_fails_in_a_row_take_no_others_with_them(first, second):
    first.configure(faults=only({f"t{n}" for n in range(40, 46)}, "500"))
    second.configure(faults={"401": 1.0})
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(120), limits=FOUR)
    assert out["a"].isna().tolist() == [40 <= n < 46 for n in range(120)]


@pytest.mark.parametrize(
    "fault", ["401", "403", "503", "reset", "content_filter", "context_length"]
)
def test_where_none_of_them_answers_the_run_ends_early_and_the_last_one_says_why(
    first, second, fault
):
    first.configure(faults={fault: 1.0})
    second.configure(faults={NO_KEY: 1.0})
    with pytest.raises(AccessError, match="key of b"):
        ask(lp.Fallback([at(first), at(second, "b")]), names(1000), limits=FOUR)
    assert first.counters.total + second.counters.total < 100


def test_where_none_of_a_few_rows_is_answered_the_last_one_says_why(first, second):
    first.configure(faults={"content_filter": 1.0})
    second.configure(faults={"401": 1.0})
    model = lp.Fallback([at(first), at(second, "b")])
    with pytest.raises(AccessError):
        ask(model, names(2))
    nobody = lp.Model("openai", "b", base_url=NOBODY, api_key="k")
    with pytest.raises(ServiceDownError, match="Nothing could be reached"):
        ask(lp.Fallback([at(first), nobody]), names(2))


@pytest.mark.parametrize("refuses", ["content_filter", None])
@pytest.mark.parametrize(
    ("fault", "error"), [("401", AccessError), ("503", ServiceDownError), ("500", ServiceDownError)]
)
def test_where_the_first_dies_half_way_and_the_next_is_unable_the_run_ends(
    first, second, fault, error, refuses
):
    def faults(body, number):
        row = body["messages"][-1]["content"]
        return fault if number > 100 else refuses if row == "Say t9" else None

    first.configure(faults=faults)
    second.configure(faults={"401": 1.0})
    little = lp.Retry(max_attempts=2, base_s=0.0, budget=1)
    with pytest.raises(error):
        ask(lp.Fallback([at(first), at(second, "b")]), names(800), limits=FOUR, retry=little)
    assert first.counters.total + second.counters.total < 200
    assert lp.last_job().stats.failed < 60
    first.configure(faults=None)
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(800))
    assert out["a"].tolist() == ["one"] * 800


def test_where_the_first_dies_half_way_and_the_next_answers_nothing_is_lost(first, second):
    first.configure(faults=lambda _, number: "503" if number > 100 else None)
    out = ask(lp.Fallback([at(first), at(second, "b")]), names(400), limits=FOUR)
    assert out["a"].notna().all()
    assert set(out["a"]) == {"one", "two"}
    assert first.counters.total <= 120


def test_a_cascade_ends_where_the_model_is_refused_that_its_unsure_rows_need(first, second):
    first.configure(faults=only({"t1"}, "content_filter"))
    second.configure(faults={"401": 1.0})
    with pytest.raises(AccessError):
        ask(lp.Cascade([at(first), at(second, "b")], below=0.5), names(3), schema=ONE_OR_TWO)


def test_one_that_is_left_alone_is_asked_again_later_and_an_answer_brings_it_back():
    async def play():
        first, last = FailurePolicy(Retry(), 16, elsewhere=CANNOT), FailurePolicy(Retry(), 16)
        introduce([first, last], InTurn([ONE, ONE]).before)
        refused = CallError(Kind.ACCESS, "No.")
        assert isinstance(last.failed(Event(None), refused, 0.0, probe=False), Fail)
        assert last.turns_away(Event(None))
        assert last.refused(Event(None), 29.0).kind is Kind.ACCESS
        assert not first.has_substitute
        probe = Event(None)
        assert last.refused(probe, 31.0) is None
        last.paid()
        assert not last.turns_away(Event(None))
        assert first.has_substitute

    asyncio.run(play())


def test_who_waits_for_a_model_that_fails_hears_when_the_next_one_answers_for_the_first_time():
    async def play():
        first, last = FailurePolicy(Retry(), 16, elsewhere=CANNOT), FailurePolicy(Retry(), 16)
        introduce([first, last], InTurn([ONE, ONE]).before)
        first.is_known = lambda: True
        now = asyncio.get_running_loop().time() + 600
        down = CallError(Kind.CONNECTION, "Refused.")
        for _ in range(5):
            first.failed(Event(None), down, now, probe=False)
        assert not first.turns_away(Event(None))
        waiting = [asyncio.create_task(first.probes(Event(None))) for _ in range(2)]
        await asyncio.sleep(0)
        answered = Event(None)
        answered.finish()
        last.finished(answered, known=False)
        assert await asyncio.gather(*waiting) == [False, False]
        assert first.turns_away(Event(None))

    asyncio.run(play())


def test_who_was_asked_before_one_is_known_in_whatever_way_they_are_composed():
    steps = InTurn([Cascaded([ONE, ONE], 0.5), InTurn([ONE, Cascaded([ONE, ONE], 0.5)])])
    assert [list(steps.before(leaf)) for leaf in range(5)] == [
        [],
        [],
        [0, 1],
        [0, 1, 2],
        [0, 1, 2],
    ]
    assert [list(Cascaded([ONE, InTurn([ONE, ONE])], 0.5).before(leaf)) for leaf in range(3)] == [
        [],
        [],
        [1],
    ]
