"""`lp.Cascade`: the small model first, and the large one for what it is not sure of."""

import asyncio
import copy
import hashlib
import pickle
from typing import Literal

import numpy as np
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError, ModelError, SchemaError, TargetError
from lionproc.frame.arrivals import Arrivals
from lionproc.frame.sample import drawn
from lionproc.testing import Server

QUIET = {"progress": False, "panel": False}
MOOD = Literal["good", "bad"]
pytestmark = pytest.mark.usefixtures("no_slow_start")


def by_chance(text, what):
    digest = hashlib.blake2b(f"{what} {text}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / 2**56


def text_of(body):
    return body["messages"][0]["content"][4:]


def true_mood(text):
    return "good" if by_chance(text, "mood") < 0.6 else "bad"


def sure(body):
    return 1 - 0.5 * by_chance(text_of(body), "sure") ** 3


def small_mood(body):
    """Right as often as it is sure."""
    text = text_of(body)
    right = by_chance(text, "right") < sure(body)
    return {"answer": true_mood(text) if right else {"good": "bad", "bad": "good"}[true_mood(text)]}


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    with Server(answer=small_mood, confidence=sure) as server:
        yield server


@pytest.fixture
def large():
    with Server(answer=lambda body: {"answer": true_mood(text_of(body))}) as server:
        yield server


def at(server, name, **more):
    return lp.Model("openai", name, base_url=server.base_url, api_key=server.key, **more)


def ask(model, texts, **more):
    frame = pd.DataFrame({"text": texts})
    arguments = {"into": "a", "schema": MOOD, "model": model, "details": True, **QUIET, **more}
    return frame.llm.process("Say {text}", **arguments)


def names(count, word="t"):
    return [f"{word}{n}" for n in range(count)]


def bodies_of(texts):
    return [{"messages": [{"content": f"Say {text}"}]} for text in texts]


def unsure(texts, below):
    return [sure(body) < below for body in bodies_of(texts)]


def rightly(texts):
    return [small_mood(body)["answer"] == true_mood(text_of(body)) for body in bodies_of(texts)]


def sent(*servers):
    return [server.counters.total for server in servers]


def test_what_the_small_one_is_less_sure_of_goes_on_and_a_rerun_sends_nothing(small, large):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.8)
    out = ask(cascade, names(60))
    on = unsure(names(60), 0.8)
    assert (out["a_model"] == "l").tolist() == on
    assert [text for text, it in zip(out["a"], on, strict=True) if it] == [
        true_mood(text) for text, it in zip(names(60), on, strict=True) if it
    ]
    assert sent(small, large) == [60, sum(on)]
    members = out.llm.report().members.set_index("member")
    assert members["answered"].tolist() == [60 - sum(on), sum(on)]
    assert members["confidence"]["openai/s"] > 0.85
    again = ask(cascade, names(60))
    assert set(again["a_status"]) == {"cached"}
    assert again["a_model"].tolist() == out["a_model"].tolist()
    assert sent(small, large) == [60, sum(on)]
    remembered = lp.run(lp.runs()["run"].iloc[-1]).frame(pd.DataFrame({"text": names(60)}))
    assert remembered["a"].tolist() == out["a"].tolist()


def test_an_unsure_answer_does_not_stand_as_that_of_the_same_model_further_on(small, large):
    on = unsure(names(40), 0.8)
    cascade = lp.Cascade([at(small, "s"), lp.Fallback([at(large, "l"), at(small, "s")])], below=0.8)
    ask(at(small, "s"), names(40), confidence=True)
    frame = pd.DataFrame({"text": names(40)})
    asked = {"into": "a", "schema": MOOD, "confidence": True, "model": cascade}
    assert frame.llm.estimate("Say {text}", **asked).requests == sum(on)
    out = ask(cascade, names(40), confidence=True)
    assert (out["a_model"] == "l").tolist() == on
    assert sent(small, large) == [40, sum(on)]
    large.configure(faults={"context_length": 1.0})  # then the small one's has to do
    out = ask(cascade, names(60), confidence=True)
    assert out["a"].notna().all()
    assert sent(small) == [60]
    seen = lp.run(lp.runs()["run"].iloc[-1]).frame(pd.DataFrame({"text": names(60)}))
    assert seen["a"].tolist() == out["a"].tolist()


def test_what_a_model_answered_when_it_was_asked_again_further_on_is_foreseen(small, large):
    small.configure(faults=["refusal"])
    large.configure(confidence=0.6)
    cascade = lp.Cascade([at(small, "s"), at(large, "l"), at(small, "s")], below=0.8)
    for _ in range(2):
        assert ask(cascade, names(1), confidence=True)["a"].notna().all()
        assert sent(small, large) == [2, 1]
    asked = {"into": "a", "schema": MOOD, "confidence": True, "model": cascade}
    foreseen = pd.DataFrame({"text": names(1)}).llm.estimate("Say {text}", **asked)
    assert (foreseen.requests, foreseen.answered) == (0, 1)


def test_a_run_that_asked_anew_has_no_answers_of_before_when_it_is_looked_at(small, large):
    large.configure(answer='{"answer":"bad"}')
    ask(at(large, "l"), names(6))
    small.configure(answer='{"answer":"good"}', confidence=0.99)
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.8)
    assert set(ask(cascade, names(6))["a"]) == {"bad"}  # as the large one had answered
    assert set(ask(cascade, names(6), resume=False)["a"]) == {"good"}
    frame = pd.DataFrame({"text": names(6)})
    for run, said in zip(lp.runs()["run"].iloc[-2:], ("bad", "good"), strict=True):
        assert set(lp.run(run).frame(frame)["a"]) == {said}


def test_plain_runs_and_cascades_share_what_was_paid_for(small, large):
    ask(at(small, "s"), names(20), confidence=True)
    on = unsure(names(20), 0.8)
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.8)
    ask(cascade, names(20))
    assert sent(small, large) == [20, sum(on)]
    ask(at(large, "l"), names(40))  # all rows, those of the cascade from the journal
    assert sent(large) == [40]
    out = ask(cascade, names(40))
    assert set(out["a_model"]) == {"s", "l"} - ({"s"} if all(out["a_model"] == "l") else set())
    assert sent(small, large) == [20, 40]  # the large one's answers are there: nobody is asked
    assert set(out["a_status"]) == {"cached"}


def test_a_row_without_an_answer_of_the_small_one_goes_on_and_one_that_is_down_stops_the_run(
    small, large
):
    small.configure(faults=lambda body, _: "content_filter" if text_of(body) == "t1" else None)
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.01)
    assert ask(cascade, names(3))["a_model"].tolist() == ["s", "l", "s"]
    small.configure(faults={"401": 1.0})
    with pytest.raises(lp.errors.AccessError):
        ask(cascade, names(30, "u"))
    assert sent(large) == [1]  # the large one's price is not paid for that


def test_three_levels_and_members_that_are_composed(small, large):
    with Server(answer=small_mood, confidence=lambda body: 0.9) as middle:
        levels = [at(small, "s"), lp.Pool([at(middle, "m"), at(middle, "m", scope="x")])]
        cascade = lp.Cascade(
            [*levels, lp.Fallback([at(small, "gone"), at(large, "l")])], below=0.85
        )
        small.configure(faults=lambda body, _: "404" if body["model"] == "gone" else None)
        out = ask(cascade, names(30))
        on = unsure(names(30), 0.85)
        assert (out["a_model"] == "m").tolist() == on
        cascade = lp.Cascade(
            [*levels, lp.Fallback([at(small, "gone"), at(large, "l")])], below=0.95
        )
        out = ask(cascade, names(30))
        assert (out["a_model"] == "l").tolist() == unsure(names(30), 0.95)


def test_each_level_is_priced_and_a_row_bears_all_that_it_took(small, large):
    cheap, dear = lp.Price(input=1000.0, output=0.0), lp.Price(input=9000.0, output=0.0)
    cascade = lp.Cascade([at(small, "s", price=cheap), at(large, "l", price=dear)], below=0.8)
    out = ask(cascade, names(12), confidence=True)
    on = pd.Series(unsure(names(12), 0.8))
    read = out["a_input_tokens"]
    assert out["a_usd"][~on].tolist() == pytest.approx((read[~on] * 0.001).tolist())
    assert out["a_usd"][on].tolist() == pytest.approx((read[on] / 2 * 0.010).tolist())
    assert out.llm.report().usd == pytest.approx(out["a_usd"].sum())
    assert out["a_confidence"][~on].min() >= 0.8
    again = ask(cascade, names(12), confidence=True)
    assert again["a_usd"].tolist() == pytest.approx(out["a_usd"].tolist())


def test_the_target_is_kept_with_a_threshold_that_the_sample_shows(small, large):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, sample=80)
    texts = names(300)
    out = ask(cascade, texts)
    facts = out.llm.report().facts
    same = (out["a"] == [true_mood(text) for text in texts]).mean()
    assert same >= 0.9
    assert 0 < facts["threshold"] < 1
    assert "90.0%" in facts["promise"]
    assert "80 rows" in facts["promise"]
    asked = sent(small, large)
    assert asked[0] == 300
    assert 80 <= asked[1] < 250
    again = ask(cascade, texts)  # the same sample, the same threshold
    assert sent(small, large) == asked
    assert again["a_model"].tolist() == out["a_model"].tolist()
    remembered = lp.run(lp.runs()["run"].iloc[-1]).frame(pd.DataFrame({"text": texts}))
    assert remembered["a"].tolist() == out["a"].tolist()


def test_the_sample_is_of_the_same_rows_in_whatever_order_they_come(small, large):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, sample=80)
    texts = names(100) * 2 + names(100, "u") + [None] * 10
    out = ask(cascade, texts)
    asked = sent(small, large)
    assert asked[1] < 200
    mixed = np.random.default_rng(1).permutation(len(texts))
    again = ask(cascade, [texts[place] for place in mixed])
    assert sent(small, large) == asked
    pd.testing.assert_series_equal(again["a"], out["a"].iloc[mixed].reset_index(drop=True))
    facts = [each.llm.report().facts["threshold"] for each in (out, again)]
    assert facts[0] == facts[1]


def test_every_row_is_as_likely_in_a_sample_as_any_other_whatever_it_equals():
    times = np.zeros(40)
    of_equal = set()
    for frame in range(2_000):
        rows = [b"%d %d" % (frame, max(row, 20)) for row in range(40)]  # the first 21 are equal
        sample = drawn(rows, 10)
        assert len(set(sample)) == 10
        times[sample] += 1
        of_equal.add(sum(row <= 20 for row in sample))
    assert times == pytest.approx(500, abs=5 * np.sqrt(2_000 * 0.25 * 0.75))
    assert of_equal >= set(range(2, 9))  # drawn one by one, and not all or none


def test_rows_that_are_equal_or_have_no_cell_are_no_trouble_to_a_sample(small, large):
    texts = names(100) * 2 + [None] * 20
    out = ask(lp.Cascade([at(small, "s"), at(large, "l")], target=0.8, sample=100), texts)
    assert out["a"].isna().sum() == 20
    assert out["a"][:100].tolist() == out["a"][100:200].tolist()
    assert sent(small) == [100]


def test_a_row_has_the_answer_of_an_equal_one_of_the_sample_whichever_comes_first(small, large):
    texts = names(1_200)  # more than may wait: when a text comes again it has been answered
    cascade = lp.Cascade(
        [at(small, "s", concurrency=4), at(large, "l", concurrency=300)], target=0.8, sample=600
    )
    out = ask(cascade, texts * 2)
    answers = out["a"].tolist()
    assert answers[:1_200] == answers[1_200:]
    assert sent(small) == [1_200]
    before = sent(large)
    assert ask(cascade, texts * 2)["a"].tolist() == answers
    assert sent(small, large) == [1_200, *before]


def test_a_target_that_the_sample_cannot_show_ends_the_run_and_keeps_what_was_paid(small, large):
    wrong = {"good": "bad", "bad": "good"}
    small.configure(answer=lambda body: {"answer": wrong[true_mood(text_of(body))]})
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.95, sample=60)
    with pytest.raises(TargetError, match="raise sample="):
        ask(cascade, names(200))
    assert sent(small, large) == [200, 60]
    ask(at(large, "l"), names(200))
    assert sent(large) == [200]


def test_a_budget_that_is_reached_while_the_sample_is_asked_stops_as_ever(small, large):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, sample=80)
    with pytest.warns(lp.errors.BudgetWarning):
        out = ask(cascade, names(120), budget=lp.Budget(requests=50))
    assert sum(sent(small, large)) == 50
    assert out["a"].isna().any()
    assert ask(cascade, names(120))["a"].notna().all()  # and goes on from there
    assert sent(small) == [120]


def test_who_waits_for_a_leg_that_has_ended_goes_on():
    async def play():
        handed = Arrivals(10)
        for row in range(5):
            handed.add(row)
        waiting = asyncio.create_task(handed.few(2))
        await asyncio.sleep(0)
        assert not waiting.done()
        handed.abandon()
        await asyncio.wait_for(waiting, 1)
        await asyncio.wait_for(handed.few(0), 1)

    asyncio.run(play())


def test_a_large_model_that_refuses_the_key_ends_a_run_that_waits_for_it(small, large):
    large.configure(faults={"401": 1.0})
    for cascade in (
        lp.Cascade([at(small, "s"), at(large, "l")], below=0.99999),
        lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, sample=80),
    ):
        with pytest.raises(lp.errors.AccessError):
            ask(cascade, names(700))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "below= .* or target="),
        ({"below": 0.8, "target": 0.9}, "one of them"),
        ({"below": 1.5}, "at most 1"),
        ({"target": 1}, "between 0 and 1"),
        ({"target": 0.95, "sample": 58}, "that takes 59"),
        ({"target": 0.99}, "that takes 299"),
        ({"below": 0.5, "sample": 0}, "sample"),
    ],
)
def test_what_cannot_be_shown_or_meant_is_refused_before_anything_is_paid(small, more, said):
    with pytest.raises(ConfigurationError, match=said):
        lp.Cascade([at(small, "s"), at(small, "l")], **more)


def test_it_is_taken_wherever_a_model_is(small, large, tmp_path):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.8)
    frame = pd.DataFrame({"text": names(20)})
    stages = [{"name": "x", "prompt": "Say {text}", "schema": MOOD}]
    out = frame.llm.pipeline(stages, model=cascade, details=True, **QUIET)
    assert (out["x_model"] == "l").tolist() == unsure(names(20), 0.8)
    assert frame.llm.estimate("Say {text}", into="a", schema=MOOD, model=cascade).answered == 20

    async def serve():
        branch = lp.Branch("b", model=cascade)
        for text in names(6, "b"):
            await branch.ask(f"Say {text}", schema=MOOD)
        prompt = "Say {text}"
        service = lp.ProcessingService(
            "s", tmp_path / "s", None, None, model=cascade, prompt=prompt, system=None
        )
        async with service:
            for text in names(6, "s"):
                await service.process_data({"text": text}, schema=MOOD)

    before = sent(large)[0]
    asyncio.run(serve())
    assert sent(large)[0] - before == sum(unsure([*names(6, "b"), *names(6, "s")], 0.8))


def test_a_threshold_needs_a_choice_and_a_target_a_frame(small, large):
    with pytest.raises(SchemaError, match="votes"):
        ask(lp.Cascade([at(small, "s"), at(large, "l")], below=0.8), ["t0"], schema=str)
    found = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9)
    with pytest.raises(ModelError, match="below="):
        lp.Fallback([found, at(large, "x")])
    with pytest.raises(ConfigurationError, match="below="):
        asyncio.run(lp.Branch("b", model=found).chat("Hello"))
    assert sent(small, large) == [0, 0]


def test_an_equal_row_that_comes_later_is_voted_on_by_whoever_decided_the_first_one(small, large):
    said = iter(['{"answer":1}', "What?"])
    small.configure(answer=lambda body: next(said) if text_of(body) == "t" else '{"answer":5}')
    large.configure(answer='{"answer":7}')
    few = lp.RateLimitedAPIExecutor(queue_capacity=4, concurrency_limit=1)  # so it does come later
    out = ask(
        lp.Cascade([at(small, "s", executor=few), at(large, "l")], below=0.4),
        ["t", *names(12, "n"), "t"],
        schema=int, votes=2, tie="first", retry=lp.Retry(max_corrections=0),
    )  # fmt: skip
    assert out["a"].iloc[[0, -1]].tolist() == [7, 7]
    assert sent(small, large) == [26, 2]


@pytest.mark.parametrize("faults", [[None, "context_length"], ["context_length"]])
def test_votes_that_a_cascade_has_cast_for_another_model_are_judged_by_it(small, large, faults):
    """Whichever vote came last; and a rerun takes the model that has answered all of them."""
    said = iter("xy")
    small.configure(answer=lambda _: next(said), faults=faults, latency_s=0.02)
    large.configure(answer=lambda body: "z" if body["model"] == "c" else "x")
    spare = lp.Cascade([at(large, "b"), at(large, "c")], below=0.8)
    model = lp.Fallback([at(small, "a"), spare])
    limits = {"concurrency": 1, "adapt": False}
    for _ in range(2):
        out = ask(model, ["t"], schema=str, votes=3, limits=limits)
        assert (out["a"].tolist(), out["a_confidence"].tolist()) == (["z"], [1.0])
        assert sent(small, large) == [3, 4]


def test_with_votes_the_share_of_the_majority_decides_whatever_the_type(small, large):
    """Row t2 has three of four votes, and t5 a tie: they go on, and all votes of theirs."""
    asked = {}

    def says(body):
        text = text_of(body)
        asked[text] = asked.get(text, 0) + 1
        split = {"t2": "aaba", "t5": "abab"}.get(text, "aaaa")
        return split[(asked[text] - 1) % 4]

    small.configure(answer=says, confidence=None)
    large.configure(answer="c")
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], below=0.8)
    out = ask(cascade, names(7), schema=str, votes=4)
    assert out["a"].tolist() == ["a", "a", "c", "a", "a", "c", "a"]
    assert out["a_confidence"].tolist() == [1.0] * 7
    assert out["a_model"].tolist() == ["l" if n in {2, 5} else "s" for n in range(7)]
    assert out["a_attempts"].tolist() == [8 if n in {2, 5} else 4 for n in range(7)]
    assert sent(small, large) == [28, 8]
    again = ask(cascade, names(7), schema=str, votes=4)
    assert again["a"].tolist() == out["a"].tolist()
    assert sent(small, large) == [28, 8]
    with pytest.raises(ConfigurationError, match="leave votes= out"):
        ask(lp.Cascade([at(small, "s"), at(large, "l")], target=0.9), names(2), votes=3)


def test_where_the_sample_is_the_whole_frame_the_large_one_answers_all(small, large):
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.95)
    assert set(ask(cascade, names(5))["a_model"]) == {"l"}
    shown = pd.DataFrame({"text": names(9)}).llm.preview(
        "Say {text}", into="a", schema=MOOD, model=cascade, n=2
    )
    assert shown.frame["a"].tolist() == [true_mood("t0"), true_mood("t1")]


def test_an_estimate_counts_every_level_and_learns_how_many_rows_go_on(small, large):
    cheap, dear = lp.Price(input=1000.0, output=0.0), lp.Price(input=9000.0, output=0.0)
    models = [at(small, "s", price=cheap), at(large, "l", price=dear)]
    cascade = lp.Cascade(models, below=0.8)
    frame = pd.DataFrame({"text": names(100)})

    def foreseen(model):
        return frame.llm.estimate("Say {text}", into="a", schema=MOOD, model=model)

    blind = foreseen(cascade)
    assert (blind.requests, blind.answered) == (200, 0)
    assert blind.usd == pytest.approx(10 * foreseen(models[0]).usd, rel=0.1)
    assert "go on" in blind.hints[-1]
    ask(cascade, names(50))
    on = unsure(names(50), 0.8)
    known = foreseen(cascade)
    assert known.answered == 50
    assert known.requests == 50 + sum(on)
    assert known.usd < blind.usd
    assert foreseen(lp.Fallback(models)).requests == foreseen(models[0]).requests - sum(on)


def test_models_made_of_models_are_compared_copied_and_sent_to_other_processes(
    small, large, monkeypatch
):
    monkeypatch.setenv("OPENAI_API_KEY", small.key)
    cascade = lp.Cascade(
        [at(small, "s"), lp.Pool([at(large, "l"), at(large, "l", scope="x")])], below=0.8
    )
    frame = pd.DataFrame({"text": names(30), "label": [true_mood(text) for text in names(30)]})
    compared = frame.llm.compare(
        {"p": "Say {text}"},
        models=[at(large, "l"), cascade, lp.Fallback([at(small, "s"), at(large, "l")])],
        schema=MOOD,
        into="a",
        gold="label",
        n=30,
        **QUIET,
    )
    alone, cascaded, fallen_back = compared.table["accuracy"]
    right, on = rightly(frame["text"]), unsure(frame["text"], 0.8)
    assert alone == 1.0
    # And more, where the large one has answered a row just now: what the journal has goes first.
    assert cascaded >= sum(a or b for a, b in zip(right, on, strict=True)) / 30
    assert fallen_back >= sum(right) / 30
    for again in (copy.copy(cascade), pickle.loads(pickle.dumps(cascade))):  # noqa: S301  (ours)
        assert repr(again) == repr(cascade)
        assert small.key not in repr(again)
        assert (again.below, len(again.leaves)) == (0.8, 2)
    assert small.key.encode() not in pickle.dumps(cascade)


def test_gold_finds_the_threshold_without_asking_the_large_one(small, large):
    texts = names(260)
    frame = pd.DataFrame({"text": texts, "label": [true_mood(text) for text in texts]})
    frame.loc[100:, "label"] = None
    models = [at(small, "s"), at(large, "l")]
    cascade = lp.Cascade(models, target=0.9, gold="label")
    arguments = {"into": "a", "schema": MOOD, **QUIET}
    out = frame.llm.process("Say {text}", model=cascade, **arguments)
    facts = out.llm.report().facts
    assert sent(large) == [sum(unsure(texts, facts["threshold"]))]
    assert "as 'label' has it" in facts["promise"]
    assert "100 rows" in facts["promise"]
    assert (out["a"] == [true_mood(text) for text in texts]).mean() >= 0.9
    before = sent(small, large)
    frame.llm.process("Say {text}", model=cascade, **arguments)
    assert sent(small, large) == before
    few = lp.Cascade(models, target=0.99, sample=300, gold="label")
    with pytest.raises(ConfigurationError, match="takes 299"):
        frame.llm.process("Say {text}", model=few, **arguments)
    with pytest.raises(lp.errors.ColumnError, match="label"):
        frame.llm.process(
            "Say {text}", model=lp.Cascade(models, target=0.9, gold="labels"), **arguments
        )
    with pytest.raises(ConfigurationError, match="target="):
        lp.Cascade(models, below=0.5, gold="label")


@pytest.mark.parametrize("cell", [b"\xff", object(), 1j, float("inf"), {"a": object()}], ids=type)
def test_gold_that_can_be_no_answer_is_refused_by_column_and_row_and_nothing_is_sent(
    small, large, cell
):
    labels = pd.Series(["good"] * 77 + [cell] + ["good"] * 42, dtype=object)
    frame = pd.DataFrame({"text": names(120), "label": labels})
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, gold="label")
    with pytest.raises(lp.errors.ColumnError, match=r"'label' has in row 77 .*leave it empty"):
        frame.llm.process("Say {text}", into="a", schema=MOOD, model=cascade, **QUIET)
    assert sent(small, large) == [0, 0]


@pytest.mark.parametrize(
    ("schema", "cell"), [(MOOD, "GOOD"), (MOOD, 1e300), (MOOD, ["good"]), (bool, "yes"), (bool, 1)]
)
def test_gold_that_is_none_of_the_choices_is_refused_by_row_before_anything_is_paid(
    small, large, schema, cell
):
    right = True if schema is bool else "good"
    labels = pd.Series([None] * 3 + [right] * 74 + [cell] + [right] * 42, dtype=object)
    frame = pd.DataFrame({"text": names(120), "label": labels})
    cascade = lp.Cascade([at(small, "s"), at(large, "l")], target=0.9, gold="label")
    with pytest.raises(lp.errors.ColumnError, match=r"'label' has in row 77 .*none of the choices"):
        frame.llm.process("Say {text}", into="a", schema=schema, model=cascade, **QUIET)
    assert sent(small, large) == [0, 0]
