"""`votes=`: rows asked several times, the majority, its share, ties, and what votes cost."""

import itertools
import json
import warnings
from collections import Counter
from copy import copy
from random import Random
from typing import Any, Literal

import pandas as pd
import pytest
from pydantic import BaseModel

import lionproc as lp
from lionproc.errors import BudgetWarning, ConfidenceWarning, ConfigurationError, RowsFailedWarning

pytestmark = pytest.mark.usefixtures("home")
AB = Literal["a", "b", "c"]
ONE_BY_ONE = lp.Limits(concurrency=1)


class Votes:
    """Answers by row, in the order in which a row is asked."""

    def __init__(self, **by_row):
        self.by_row = by_row
        self.asked = Counter()

    def __call__(self, body):
        row = body["messages"][-1]["content"]
        said = self.by_row[row][self.asked[row]]
        self.asked[row] += 1
        return {"answer": said}


@pytest.fixture
def server(shared):
    shared.configure(faults=None, answer=None)
    return shared


@pytest.fixture(params=["with", "without"])
def how_votes_stood(request, monkeypatch):
    """A journal in which it is kept how votes stood, and one in which it is not, as once it was."""
    if request.param == "without":
        monkeypatch.setattr("lionproc.engine.replay.Replay.keep_voted", lambda *_: None)


def members(server, names):
    return [
        lp.Model("openai", name, base_url=server.base_url, api_key=server.key) for name in names
    ]


def ask(model, rows, **more):
    frame = pd.DataFrame({"text": rows})
    given = {"into": "x", "schema": AB, "model": model, "limits": ONE_BY_ONE, **more}
    return frame.llm.process("{text}", **given)


def test_the_majority_wins_and_its_share_is_the_confidence(server, model):
    server.configure(answer=Votes(p="abaab", q="ccccc", r="abcbb"))
    out = ask(model, ["p", "q", None, "r"], votes=5, details=True)
    assert out["x"].tolist()[:2] == ["a", "c"]
    assert out["x"].iloc[3] == "b"
    assert out["x"].isna().tolist() == [False, False, True, False]
    assert out["x_confidence"].dtype == "Float64"
    assert out["x_confidence"].tolist()[:2] == [0.6, 1.0]
    assert out["x_attempts"].tolist() == [5, 5, 0, 5]
    assert list(out.columns[:3]) == ["text", "x", "x_confidence"]
    report = out.llm.report()
    assert (report.rows, report.answered, report.requests) == (4, 3, 15)


def test_what_was_decided_without_a_vote_that_failed_is_found_when_the_run_is_looked_at(
    server, model
):
    server.configure(answer=Votes(p="aa", q="bb"), faults=[None, "400", None, None, "400"])
    frame = pd.DataFrame({"text": ["p", "q", "never asked"]})
    out = ask(model, ["p", "q"], votes=3)
    assert out["x"].tolist() == ["a", "b"]
    seen = lp.run(lp.runs()["run"].iloc[-1]).frame(frame)
    assert seen["x"].tolist()[:2] == ["a", "b"]
    assert seen["x"].isna().tolist() == [False, False, True]


def test_votes_are_kept_one_by_one_so_that_more_of_them_buy_only_what_is_new(server, model):
    server.configure(answer=Votes(p="abbab"))
    before = server.counters.total
    assert ask(model, ["p"])["x"].tolist() == ["a"]  # asked once: it is the first vote
    assert ask(model, ["p"], votes=3)["x"].tolist() == ["b"]
    assert server.counters.total == before + 3
    frame = pd.DataFrame({"text": ["p", "p"]})
    foreseen = frame.llm.estimate("{text}", schema=AB, model=model, votes=5)
    assert (foreseen.requests, foreseen.answered) == (2, 0)
    out = ask(model, ["p", "p"], votes=5)
    assert out["x_confidence"].tolist() == [0.6, 0.6]
    assert server.counters.total == before + 5
    again = ask(model, ["p", "p"], votes=5)
    assert server.counters.total == before + 5
    pd.testing.assert_frame_equal(out, again)
    assert again.llm.report().cached == 2
    bodies = [json.dumps(each.body, sort_keys=True) for each in list(server.requests)[-5:]]
    assert len(set(bodies)) == 1  # no nonce in what the model is asked


def test_equal_rows_share_their_votes_unless_they_are_asked_one_by_one(server, model):
    server.configure(answer=lambda body: {"answer": "a"})
    before = server.counters.total
    ask(model, ["same", "same", "same"], votes=3, limits=lp.Limits(concurrency=8))
    assert server.counters.total == before + 3
    ask(model, ["same", "same"], votes=3, deduplicate=False)
    assert server.counters.total == before + 6


def test_a_tie_is_na_and_said_once_or_the_answer_that_was_given_first(server, model):
    server.configure(answer=Votes(p="ab", q="aa"))
    with pytest.warns(ConfidenceWarning, match=r"1 of 2 rows is NA.*tie='first'") as told:
        out = ask(model, ["p", "q"], votes=2)
    assert len(told) == 1
    assert out["x"].isna().tolist() == [True, False]
    assert out["x_confidence"].tolist() == [0.5, 1.0]
    assert out.llm.errors().empty
    first = ask(model, ["p", "q"], votes=2, tie="first")
    assert first["x"].tolist() == ["a", "a"]


def test_numbers_that_are_equal_are_one_answer(server, model):
    server.configure(answer=Votes(p=[0.0, -0.0, 1]))
    out = ask(model, ["p"], votes=3, schema=float)
    assert (out["x"].tolist(), out["x_confidence"].tolist()) == ([0.0], [pytest.approx(2 / 3)])


def test_which_answer_was_first_is_a_matter_of_the_votes_and_not_of_the_network(server, model):
    server.configure(answer=Votes(p="ba"), latency_s=lambda body: 0)
    ask(model, ["p"], votes=2, tie="first")  # kept
    assert ask(model, ["p"], votes=2, tie="first")["x"].tolist() == ["b"]


def test_a_vote_that_failed_counts_only_where_it_could_change_who_wins(server, model):
    def faults(body, n):
        return "refusal" if n in {1, 6} else None

    server.configure(answer=Votes(p="aaaab", q="abbab"), faults=faults)
    with pytest.warns(RowsFailedWarning, match="1 refused"):
        out = ask(model, ["p", "q"], votes=5)
    assert out["x"].iloc[0] == "a"
    assert (
        out["x_confidence"].iloc[0] == 0.6
    )  # of all five, as nobody knows what it would have said
    assert out["x"].isna().tolist() == [False, True]
    assert out.llm.errors()["position"].tolist() == [1]
    server.configure(faults=None, answer=lambda body: {"answer": "b"})
    before = server.counters.total
    again = ask(model, ["p", "q"], votes=5)
    assert server.counters.total == before + 1  # only the row that failed is asked again
    assert again["x"].tolist() == ["a", "b"]
    assert again["x_confidence"].tolist() == [0.6, 0.6]


@pytest.mark.parametrize("fault", ["length", "400", "no_ending"])
def test_a_row_that_has_its_answer_asks_no_vote_again_that_failed(server, model, fault):
    server.configure(
        answer=Votes(p="aaaaa", q="abbbb"), faults=lambda body, n: fault if n in {0, 7} else None
    )
    frame = pd.DataFrame({"text": ["p", "q"]})
    how = {"into": "x", "schema": AB, "model": model, "votes": 5, "limits": ONE_BY_ONE}
    job = frame.llm.start("{text}", details=True, **how)
    out = job.result(10)
    assert out["x"].tolist() == ["a", "b"]
    assert out["x_confidence"].tolist() == [0.8, 0.6]
    before = server.counters.total
    foreseen = frame.llm.estimate("{text}", schema=AB, model=model, votes=5)
    assert (foreseen.requests, foreseen.answered) == (0, 2)
    again = frame.llm.process("{text}", details=True, **how)
    assert again["x_confidence"].tolist() == [0.8, 0.6]
    assert again["x_attempts"].tolist() == [5, 5]
    assert again.llm.report().cached == 2
    assert job.retry_failed().result(10)["x"].tolist() == ["a", "b"]
    assert server.counters.total == before
    server.configure(faults=None, answer=lambda body: {"answer": "a"})
    more = frame.llm.process("{text}", **{**how, "votes": 7})  # then those that failed count, too
    assert server.counters.total == before + 6
    assert more["x_confidence"].tolist() == [1.0, pytest.approx(4 / 7)]


def test_a_vote_that_no_member_could_cast_is_not_asked_again_where_the_others_decide(server, model):
    refused = Counter()

    def faults(body, n):
        refused[body["model"]] += 1
        return "refusal" if refused[body["model"]] == 1 else None

    server.configure(answer=lambda body: {"answer": "a"}, faults=faults)
    other = lp.Model("openai", "other", base_url=server.base_url, api_key=server.key)
    both = lp.Fallback([model, other])
    out = ask(both, ["p"], votes=3)
    assert refused == {"test-model": 3, "other": 1}
    before = server.counters.total
    pd.testing.assert_frame_equal(ask(both, ["p"], votes=3), out)
    assert (out["x"].tolist(), server.counters.total) == (["a"], before)


@pytest.mark.parametrize(
    ("small", "large", "share"),
    [
        ("aaaa!", "aaaaa", 0.8),  # the small one decides
        ("aaabb", "!aaaa", 0.8),  # it is not sure enough, and the large one decides
        ("aaab!", "a!aaa", 0.8),
        ("aabb!", "!aaaa", 0.8),  # the small one cannot decide
    ],
)
def test_votes_that_failed_at_any_model_of_a_cascade_are_not_asked_again(
    server, model, small, large, share
):
    said = {"small": iter(small), "large": iter(large)}
    now = {}

    def faults(body, n):
        now["answer"] = next(said[body["model"]])
        return "length" if now["answer"] == "!" else None

    server.configure(answer=lambda body: {"answer": now["answer"].replace("!", "a")}, faults=faults)
    models = members(server, said)
    cascade = lp.Cascade(models, below=0.8)
    out = ask(cascade, ["p"], votes=5)
    assert (out["x"].tolist(), out["x_confidence"].tolist()) == (["a"], [share])
    before = server.counters.total
    foreseen = out[["text"]].llm.estimate("{text}", schema=AB, model=cascade, votes=5)
    assert (foreseen.requests, foreseen.answered) == (0, 1)
    pd.testing.assert_frame_equal(ask(cascade, ["p"], votes=5), out)
    assert server.counters.total == before


class Refusals:
    """Answers by model and row, in the order in which a row is asked; refuses at `!`, is cut off at `?`."""

    def __init__(self, server, **by_model):
        self.by_model, self.asked, self.now = by_model, Counter(), {}
        server.configure(answer=lambda body: {"answer": self.now[_row(body)]}, faults=self)

    def __call__(self, body, n):
        asked = body["model"], _row(body)
        votes = self.by_model[body["model"]]
        said = (votes if isinstance(votes, str) else votes[asked[1]])[self.asked[asked]]
        self.asked[asked] += 1
        self.now[asked[1]] = said
        return {"!": "refusal", "?": "length"}.get(said)


def _row(body):
    return body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("made_of", "middle"),
    [
        (lambda small, middle, large: [small, large], ""),
        (lambda small, middle, large: [small, middle, large], "!!!"),
        (lambda small, middle, large: [lp.Fallback([small, middle]), large], "!!!"),
        (lambda small, middle, large: [middle, small, large], "abc"),
    ],
)
def test_a_row_that_one_model_decides_asks_no_vote_again_of_those_that_all_failed_at_another(
    server, made_of, middle
):
    Refusals(server, small="!!!", middle=middle, large="a!a")
    names = ("small", "middle", "large")
    models = members(server, names)
    cascade = lp.Cascade(made_of(*models), below=0.5)
    out = ask(cascade, ["p"], votes=3)
    assert (out["x"].tolist(), out["x_confidence"].tolist()) == (["a"], [pytest.approx(2 / 3)])
    before = server.counters.total
    server.configure(answer=lambda body: {"answer": "b"}, faults=None)
    foreseen = out[["text"]].llm.estimate("{text}", schema=AB, model=cascade, votes=3)
    assert (foreseen.requests, foreseen.answered) == (0, 1)
    pd.testing.assert_frame_equal(ask(cascade, ["p"], votes=3), out)
    assert server.counters.total == before


@pytest.mark.usefixtures("how_votes_stood")
@pytest.mark.parametrize(
    ("made_of", "votes", "share"),
    [
        # The cascade is unsure at "a"; "b" has no third vote, and "c" has.
        (
            lambda a, b, c: lp.Fallback([lp.Cascade([a, b], below=0.9), c]),
            {"a": "aab", "b": "aa!", "c": "a"},
            1.0,
        ),
        # It has none at all there.
        (
            lambda a, b, c: lp.Fallback([lp.Cascade([a, b], below=0.9), c]),
            {"a": "aab", "b": "!!!", "c": "aaa"},
            1.0,
        ),
        # "b" has no second and third one, and "c" has the second.
        (
            lambda a, b, c: lp.Cascade([a, lp.Fallback([b, c])], below=0.9),
            {"a": "abc", "b": "a!!", "c": "a!"},
            2 / 3,
        ),
        # The one that "c" has is not of the two at "a", though it would make them whole.
        (
            lambda a, b, c: lp.Fallback([lp.Cascade([a, b], below=0.9), c]),
            {"a": "ab?", "b": "cc!", "c": "c"},
            1.0,
        ),
        # "b" is asked twice, and has no third vote either time.
        (
            lambda a, b, c: lp.Cascade([a, b, c, copy(b)], below=0.9),
            {"a": "abc", "b": "aa!!", "c": "bc!"},
            2 / 3,
        ),
    ],
)
def test_votes_that_failed_are_not_asked_again_where_they_led_to_the_answer_through_models_of_models(
    server, made_of, votes, share
):
    Refusals(server, **votes)
    models = members(server, "abc")
    model = made_of(*models)
    frame = pd.DataFrame({"text": ["p"]})
    how = {"into": "x", "schema": AB, "model": model, "votes": 3, "limits": ONE_BY_ONE}
    job = frame.llm.start("{text}", details=True, retry=lp.Retry(max_corrections=0), **how)
    out = job.result(10)
    assert out["x_confidence"].tolist() == [pytest.approx(share)]
    before = server.counters.total
    server.configure(answer=lambda body: {"answer": "b"}, faults=None)
    foreseen = frame.llm.estimate("{text}", **how)
    assert (foreseen.requests, foreseen.answered) == (0, 1)
    again = frame.llm.process("{text}", details=True, retry=lp.Retry(max_corrections=0), **how)
    said = ["x", "x_confidence", "x_model"]
    pd.testing.assert_frame_equal(again[said], out[said])
    looked_at = lp.run(job.run_id).frame(frame)
    pd.testing.assert_frame_equal(looked_at[said[:2]], out[said[:2]])
    assert server.counters.total == before


def _made_of(random, models):
    """One of these, or a model made of all of them, at random."""
    if len(models) == 1:
        return models[0]
    cut = random.randrange(1, len(models))
    members = [_made_of(random, models[:cut]), _made_of(random, models[cut:])]
    if random.random() < 0.5:
        return lp.Fallback(members)
    return lp.Cascade(members, below=random.choice([0.6, 0.9]))


@pytest.mark.usefixtures("how_votes_stood")
@pytest.mark.parametrize("seed", range(6))
def test_whatever_a_model_is_made_of_a_row_with_an_answer_keeps_it_and_is_not_asked_again(
    server, seed
):
    random = Random(seed)
    names = "abcd"
    models = members(server, names)
    model = _made_of(random, models)
    rows = [f"row {number}" for number in range(20)]
    said = {n: {row: random.choices("aaab!?", k=20) for row in rows} for n in names}
    Refusals(server, **said)
    votes = {"votes": random.choice([2, 3, 5]), "tie": "first"}
    how = {**votes, "retry": lp.Retry(max_corrections=0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        out = ask(model, rows, **how)
    failed = out.llm.errors()["position"]
    has = out.drop(index=failed).reset_index(drop=True)
    assert len(has) > 5
    before = server.counters.total
    server.configure(answer=lambda body: {"answer": "c"}, faults=None)
    foreseen = has[["text"]].llm.estimate("{text}", schema=AB, model=model, **votes)
    assert (foreseen.requests, foreseen.answered) == (0, len(has))
    pd.testing.assert_frame_equal(ask(model, has["text"].tolist(), **how), has)
    assert server.counters.total == before
    whole = ask(model, rows, **how)  # and who has none gets one
    assert whole.llm.report().cached == len(has)
    assert whole.llm.report().failed == 0


@pytest.mark.usefixtures("how_votes_stood")
def test_votes_that_were_handed_on_are_not_asked_again_where_they_had_failed(server):
    """The first model is down, the second unsure, the third has no label; the fourth answers."""
    turns = itertools.cycle("ABC")
    said = {"m1": lambda: next(turns), "m2": lambda: "no label at all", "m3": lambda: "A"}
    server.configure(
        answer=lambda body: said[body["model"]](),
        faults=lambda body, n: "500" if body["model"] == "m0" else None,
    )
    at = {"base_url": server.base_url, "api_key": server.key}
    m0, *others = (lp.Model("openai", f"m{n}", **at) for n in range(4))
    once = {"into": "x", "schema": Literal["A", "B", "C"], "votes": 3, "progress": False,
            "model": lp.Fallback([m0, lp.Cascade(others, below=0.7)]),
            "retry": lp.Retry(max_attempts=1, max_corrections=0)}  # fmt: skip
    rows = pd.DataFrame({"text": ["one"]})
    first = rows.llm.process("Label {text}", **once)
    sent = server.counters.total
    said["m2"] = lambda: "B"
    assert rows.llm.process("Label {text}", **once).equals(first)
    assert (first["x"].tolist(), server.counters.total) == (["A"], sent)


@pytest.mark.parametrize("seed", [4, 13, 24, 35])
def test_over_runs_in_which_models_fail_and_heal_a_row_with_an_answer_keeps_it(server, seed):
    """Also where a model is asked twice on a row's way, and answers at the second time."""
    random = Random(seed)
    names = random.choices("abc", k=5)
    models = members(server, names)
    model = _made_of(random, models)
    rows = [f"row {number}" for number in range(12)]
    how = {"votes": random.choice([2, 3]), "tie": "first"}
    had = {}
    for ways_to_fail in ("!!??", "!?", ""):
        answers = "aab" + ways_to_fail
        said = {n: {row: random.choices(answers, k=40) for row in rows} for n in "abc"}
        came = Refusals(server, **said)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RowsFailedWarning)
            out = ask(model, rows, **how, retry=lp.Retry(max_corrections=0, first_failures=None))
        failed, asked = set(out.llm.errors()["position"]), {row for _, row in came.asked}
        has = dict(zip(rows, zip(out["x"], out["x_confidence"], strict=True), strict=True))
        assert {row: has[row] for row in had} == had
        assert asked.isdisjoint(had)
        had |= {row: has[row] for place, row in enumerate(rows) if place not in failed}
    assert len(had) == len(rows)


def test_a_vote_that_was_cast_while_the_first_model_was_down_stands_though_it_failed_there_before(
    server,
):
    first, second = members(server, ("first", "second"))
    model, rows = lp.Fallback([first, second]), [f"row {number}" for number in range(8)]
    how = {"votes": 3, "retry": lp.Retry(max_attempts=1, max_corrections=0)}
    Refusals(server, first="?ab")
    with pytest.warns(RowsFailedWarning):
        ask(model, rows, **how)
    server.configure(
        answer=lambda body: {"answer": "a"},
        faults=lambda body, n: "500" if body["model"] == "first" else None,
    )
    before = server.counters.total
    out = ask(model, rows, **how)  # the last ones go straight to the second
    assert server.counters.total < before + 2 * len(rows)
    assert out["x"].tolist() == ["a"] * len(rows)
    server.configure(answer=lambda body: {"answer": "c"}, faults=None)
    before = server.counters.total
    assert out[["text"]].llm.estimate("{text}", schema=AB, model=model, votes=3).requests == 0
    pd.testing.assert_frame_equal(ask(model, rows, **how), out)
    assert server.counters.total == before


@pytest.mark.usefixtures("how_votes_stood")
def test_votes_go_the_way_again_on_which_a_model_was_left_out_before_one_that_begins_further_on(
    server,
):
    first, second = members(server, ("first", "second"))
    model, rows = lp.Fallback([first, second]), [f"row {number}" for number in range(8)]
    how = {"votes": 3, "retry": lp.Retry(max_attempts=1, max_corrections=0)}
    came = Refusals(server, second="?a?")
    server.configure(faults=lambda body, n: "500" if body["model"] == "first" else came(body, n))
    with pytest.warns(RowsFailedWarning):
        ask(model, rows, **how)
    Refusals(server, first="a!", second="a")
    out = ask(model, rows, **how)
    assert out["x_confidence"].tolist() == [1.0] * len(rows)
    before = server.counters.total
    pd.testing.assert_frame_equal(ask(model, rows, **how), out)
    assert server.counters.total == before


@pytest.mark.parametrize(
    "made", [lambda a, b: lp.Fallback([a, b]), lambda a, _: a, lambda a, _: lp.Pool([a, copy(a)])]
)
def test_what_another_run_buys_changes_no_row_that_has_an_answer(server, made):
    Refusals(server, a="!aa", b="!")
    a, b = members(server, "ab")
    out = ask(made(a, b), ["p"], votes=3)
    assert out["x_confidence"].tolist() == [pytest.approx(2 / 3)]
    server.configure(answer=lambda body: {"answer": "a"}, faults=None)
    assert ask(a, ["p"], votes=5)["x_confidence"].tolist() == [1.0]
    before = server.counters.total
    pd.testing.assert_frame_equal(ask(made(a, b), ["p"], votes=3), out)
    assert server.counters.total == before


def test_what_a_run_without_resuming_bought_takes_the_place_of_the_answer_of_before(server):
    a, b = members(server, "ab")
    model, how = lp.Fallback([a, b]), {"votes": 3, "retry": lp.Retry(max_corrections=0)}
    Refusals(server, a="a!!", b="aa")
    assert ask(model, ["p"], **how)["x_confidence"].tolist() == [1.0]
    Refusals(server, a="b??")
    with pytest.warns(RowsFailedWarning):
        ask(model, ["p"], **how, resume=False)  # only one vote is there
    came = Refusals(server, a="bb")
    out = ask(model, ["p"], **how)
    assert (out["x"].tolist(), out["x_confidence"].tolist()) == (["b"], [1.0])
    assert came.asked == {("a", "p"): 2}


def test_a_threshold_of_1_is_one_of_1_0_and_a_run_of_before_has_what_it_had(server):
    a, b, c = members(server, "abc")
    how = {"votes": 3, "retry": lp.Retry(max_attempts=1)}
    server.configure(
        answer=lambda body: {"answer": "a"},
        faults=lambda body, n: "500" if body["model"] == "a" else None,
    )
    out = ask(lp.Cascade([lp.Fallback([a, b]), c], below=1), ["p"], **how)
    server.configure(answer=lambda body: {"answer": "b"}, faults=None)
    ask(a, ["p"], **how)
    again = ask(lp.Cascade([lp.Fallback([a, b]), c], below=1.0), ["p"], **how)
    seen = lp.run(again.llm.facts()["run"]).frame(out[["text"]])
    assert [each["x"].tolist() for each in (out, again, seen)] == [["a"]] * 3


def test_how_votes_stood_is_kept_once_for_equal_rows(server, tmp_path):
    a, b = members(server, "ab")
    server.configure(
        answer=lambda body: {"answer": "a"},
        faults=lambda body, n: "500" if body["model"] == "a" else None,
    )
    ask(lp.Fallback([a, b]), ["p", "q"] * 20, votes=3, retry=lp.Retry(max_attempts=1))
    kept = pd.read_parquet(lp.journal().export(tmp_path / "kept.parquet"))
    assert (kept["kind"] == "voted").sum() == 2


def test_a_row_bears_nothing_that_others_asked_after_it_had_its_answer(server):
    a, b = members(server, "ab")
    server.configure(
        answer=lambda body: {"answer": "a"},
        faults=lambda body, n: "500" if body["model"] == "a" else None,
    )
    how = {"votes": 3, "details": True, "retry": lp.Retry(max_attempts=1)}
    out = ask(lp.Fallback([a, b]), ["p"], **how)
    server.configure(answer=lambda body: {"answer": "a"}, faults=None)
    ask(a, ["p"], **how)
    again = ask(lp.Fallback([a, b]), ["p"], **how)
    told = ["x", "x_confidence", "x_tokens", "x_usd", "x_model"]
    pd.testing.assert_frame_equal(again[told], out[told])


def test_a_rerun_tells_the_attempts_at_a_model_that_was_down(server, model):
    server.configure(
        answer=lambda body: {"answer": "a"},
        faults=lambda body, n: "500" if body["model"] == "down" else None,
    )
    down = lp.Model("openai", "down", base_url=server.base_url, api_key=server.key)
    how = {"votes": 3, "details": True, "retry": lp.Retry(max_attempts=1)}
    out = ask(lp.Fallback([down, model]), ["p"], **how)
    again = ask(lp.Fallback([down, model]), ["p"], **how)
    assert (out["x_attempts"].tolist(), again["x_attempts"].tolist()) == ([6], [6])


def test_votes_on_many_rows_stay_together_on_their_way_to_the_next_model(server, monkeypatch):
    monkeypatch.setattr("lionproc.frame.row_run.PORTION_ROWS", 4)
    rows = [f"row {number}" for number in range(30)]  # more votes than are taken up at once
    Refusals(server, small="!!!", large="a!a")
    models = members(server, ("small", "large"))
    how = {"votes": 3, "limits": lp.Limits(concurrency=8)}
    out = ask(lp.Cascade(models, below=0.5), rows, **how)
    assert out["x"].tolist() == ["a"] * 30
    before = server.counters.total
    server.configure(answer=lambda body: {"answer": "b"}, faults=None)
    pd.testing.assert_frame_equal(ask(lp.Cascade(models, below=0.5), rows, **how), out)
    assert server.counters.total == before


def test_votes_on_a_row_without_an_answer_are_foreseen_at_the_model_they_have_led_to(server):
    Refusals(server, first="aabb!", small="a", large="!a!ba")
    first, small, large = members(server, ("first", "small", "large"))
    model = lp.Fallback([first, lp.Cascade([small, large], below=0.9)])
    with pytest.warns(RowsFailedWarning):
        out = ask(model, ["p"], votes=5)
    foreseen = out[["text"]].llm.estimate("{text}", schema=AB, model=model, votes=5)
    assert (foreseen.requests, foreseen.answered) == (2, 0)
    before = server.counters.total
    server.configure(answer=lambda body: {"answer": "a"}, faults=None)
    assert ask(model, ["p"], votes=5)["x"].tolist() == ["a"]
    assert server.counters.total == before + 2


class Person(BaseModel):
    name: str
    tags: list[str]


@pytest.mark.parametrize(
    ("schema", "said", "wins"),
    [
        (str, ["Yes", "yes", "yes "], "yes"),
        (int, [{"answer": 3}, {"answer": 3.0}, {"answer": 4}], 3),
        (float, [{"answer": 1}, {"answer": 1.0}, {"answer": 0.5}], 1.0),
        (bool, [{"answer": True}, {"answer": False}, {"answer": True}], True),
        (list[str], [{"answer": ["a"]}, {"answer": ["b"]}, {"answer": ["a"]}], ["a"]),
        (list[float], [{"answer": [0.0]}, {"answer": [1]}, {"answer": [-0.0]}], [0.0]),
        (
            dict[str, int],
            [{"answer": {"a": 1, "b": 2}}, {"answer": {"b": 2, "a": 1}}, {"answer": {"a": 1}}],
            [("a", 1), ("b", 2)],
        ),
        (
            dict[str, Any],
            [{"answer": {"a": 1, "b": []}}, {"answer": {}}, {"answer": {"b": [], "a": 1.0}}],
            '{"a":1,"b":[]}',
        ),
        (
            dict[str, Any],
            [f'{{"answer": {{"a": {a}}}}}' for a in (10**20, f'"{10**20}"', 10**20)],
            '{"a":100000000000000000000}',
        ),
    ],
    ids=lambda value: str(value)[:12],
)
def test_answers_of_any_type_are_compared_as_what_they_are(server, model, schema, said, wins):
    told = iter(said)
    server.configure(answer=lambda body: next(told))
    out = ask(model, [f"row {schema}"], schema=schema, votes=3)
    assert out["x"].tolist()[0] == wins
    assert out["x_confidence"].tolist() == [pytest.approx(2 / 3)]


def test_a_model_is_voted_on_as_a_whole(server, model):
    told = iter(
        [
            '{"name": "Ann", "tags": ["x"]}',
            '{"tags": ["x"], "name": "Ann"}',
            '{"name": "Bob", "tags": ["x"]}',
        ]
    )
    server.configure(answer=lambda body: next(told))
    out = ask(model, ["who"], schema=Person, into=None, votes=3)
    assert out["name"].tolist() == ["Ann"]
    assert out["confidence"].tolist() == [pytest.approx(2 / 3)]


def test_a_vote_of_a_wrong_shape_is_asked_again_by_itself(server, model):
    def answer(body):
        return {"answer": "a"} if len(body["messages"]) > 1 else {"answer": "z"}

    server.configure(answer=answer)
    before = server.counters.total
    out = ask(model, ["mend"], votes=3, details=True)
    assert server.counters.total == before + 6  # each vote has its own second chance
    assert out["x_note"].tolist() == ["asked again"]
    ask(model, ["mend"], votes=3)
    assert server.counters.total == before + 6


def test_a_budget_counts_every_vote_and_what_was_bought_is_kept(server, model):
    server.configure(answer=lambda body: {"answer": "a"})
    with pytest.warns(BudgetWarning):
        out = ask(model, list("stuv"), votes=3, budget=lp.Budget(requests=5))
    assert out["x"].notna().sum() == 1
    before = server.counters.total
    out = ask(model, list("stuv"), votes=3)
    assert server.counters.total == before + 7
    assert out["x_confidence"].tolist() == [1.0] * 4


def test_a_run_knows_its_votes_and_so_does_the_next_session(server, model):
    server.configure(answer=Votes(p="abb", q="aab"))
    out = ask(model, ["p", "q"], votes=3)
    run = lp.run(out.llm.facts()["run"])
    again = run.frame(pd.DataFrame({"text": ["q", "new", "p"]}))
    assert again["x"].tolist()[::2] == ["a", "b"]
    assert again["x_confidence"].isna().tolist() == [False, True, False]
    once = lp.run(ask(model, ["p", "q"]).llm.facts()["run"])
    assert once.diff(run).settings["votes"] == (1, 3)


def test_a_preview_shows_what_a_row_took_with_all_its_votes(server, model):
    server.configure(answer=Votes(p="aba", q="bbb"))
    frame = pd.DataFrame({"text": ["p", "q"]})
    before = server.counters.prompt_tokens + server.counters.completion_tokens
    tried = frame.llm.preview("{text}", into="x", schema=AB, model=model, votes=3, n=1)
    assert tried.frame["x"].tolist() == ["a"]
    assert tried.rows["answer"].tolist() == ["a"]
    assert tried.rows["reply"].iloc[0].count("answer") == 3
    counted = server.counters
    taken = counted.prompt_tokens + counted.completion_tokens - before
    assert tried.rows["tokens"].tolist() == [taken]
    assert tried.estimate.requests == 3


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"seed": 7}], ids=str)
def test_votes_that_hardly_differ_are_warned_of(server, settings):
    server.configure(answer=lambda body: {"answer": "a"})
    same = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, **settings)
    with pytest.warns(ConfidenceWarning, match=next(iter(settings))) as told:
        ask(same, ["p"], votes=2)
    assert len(told) == 1


def test_votes_that_cannot_be_are_refused(model):
    for more, match in [
        ({"votes": 0}, "votes"),
        ({"votes": 2.5}, "votes"),
        ({"votes": True}, "votes"),
        ({"votes": 3, "tie": "random"}, "tie"),
    ]:
        with pytest.raises(ConfigurationError, match=match):
            ask(model, ["p"], **more)


def test_each_vote_goes_its_own_way_through_models_that_are_made_of_several(server, model):
    def faults(body, n):
        return "503" if body["model"] == "down" else None

    server.configure(answer=Votes(p="abb"), faults=faults)
    down = lp.Model("openai", "down", base_url=server.base_url, api_key=server.key)
    both = lp.Fallback([down, model])
    out = ask(both, ["p"], votes=3, details=True, retry=lp.Retry(max_attempts=1))
    assert out["x"].tolist() == ["b"]
    assert out["x_confidence"].tolist() == [pytest.approx(2 / 3)]
    before = server.counters.total
    ask(model, ["p"], votes=3)
    assert server.counters.total == before  # the keys are those of who answered
