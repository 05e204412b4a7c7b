"""The truth about money: every figure against the bill of a server that prices as a known model."""

import json
import random
import sys
import threading
import warnings
from typing import Literal

import pandas as pd
import pytest

import lionproc as lp
import lionproc.frame.job as job_module
from lionproc.errors import BudgetWarning, ConfigurationError, RowsFailedWarning
from lionproc.frame.bought import Bought
from lionproc.testing import Fault, Server

QUIET = {"progress": False}
SYSTEM = "Say what the review is about, in one word. " * 220  # about 2,400 tokens


def reviews(rows):
    return pd.DataFrame({"review": [f"Review {n}: " + "good " * (n % 40) for n in range(rows)]})


@pytest.fixture
def journal(tmp_path):
    return str(tmp_path / "journal.sqlite")


def served(server, **more):
    return lp.Model("openai/gpt-5-mini", base_url=server.base_url, api_key=server.key, **more)


def run(frame, model, journal, **more):
    return frame.llm.process(
        "{review}", into="about", system=SYSTEM, model=model, journal=journal, **QUIET, **more
    )


@pytest.mark.parametrize("spelling", ["openai", "openrouter", "anthropic", "deepseek", "moonshot"])
@pytest.mark.parametrize("tier", [None, "flex"])
def test_the_report_is_the_bill_in_every_spelling_and_tier(spelling, tier, journal):
    with Server(prices="openai", spelling=spelling, answer="wine") as server:
        out = run(reviews(60), served(server, service_tier=tier), journal, details=True)
        bill, stats = server.bill, out.llm.report().stats
    assert stats.usd == pytest.approx(float(bill.usd), abs=1e-9)
    assert stats.cached_tokens == bill.cached_tokens > 60_000
    assert (stats.prompt_tokens, stats.completion_tokens) == (bill.input_tokens, bill.output_tokens)
    assert out["about_usd"].sum() == pytest.approx(float(bill.usd), abs=1e-9)
    assert out["about_cached_tokens"].sum() == bill.cached_tokens
    assert (out["about_input_tokens"] + out["about_output_tokens"]).eq(out["about_tokens"]).all()
    assert bill.by_tier == {tier or "default": 60}


def test_what_is_asked_by_a_tier_is_found_again_without_it_and_the_tier_waits_for_longer(journal):
    with Server(prices="openai", answer="wine") as server:
        flex = served(server, service_tier="flex")
        assert (flex.timeout, served(server).timeout) == (900, 60)
        assert served(server, service_tier="flex", timeout=5).timeout == 5
        run(reviews(5), flex, journal)
        run(reviews(5), served(server), journal)
        assert server.requests[0].body["service_tier"] == "flex"
        assert server.counters.total == 5


def test_a_rerun_keeps_what_the_answers_cost_and_says_what_it_added(journal, tmp_path):
    path = tmp_path / "out.parquet"
    with Server(prices="openai", answer="wine") as server:
        frame = pd.concat([reviews(12)] * 2, ignore_index=True)  # equal rows are paid once
        run(frame, served(server), journal, save=path)
        first, bill = lp.read_facts(path), float(server.bill.usd)
        again = run(frame, served(server), journal, save=path, overwrite=True, details=True)
        second = lp.read_facts(path)
    assert first["usd"] == first["usd_run"] == pytest.approx(bill)
    assert second["usd"] == pytest.approx(bill)
    assert second["usd_run"] == 0
    assert again["about_usd"].sum() == pytest.approx(bill)
    assert first["when"] <= second["when"]
    card = repr(again.llm.report())
    assert "for all answers when they were bought" in card


def test_a_price_that_is_not_known_is_said_to_be_unknown_and_a_budget_in_dollars_refuses(journal):
    with Server(answer="wine") as server:
        model = lp.Model("openai/mystery", base_url=server.base_url, api_key=server.key)
        with pytest.raises(ConfigurationError, match=r"price=lp\.Price"):
            run(reviews(3), model, journal, budget=lp.Budget(usd=1))
        assert server.counters.total == 0
        out = run(reviews(3), model, journal, details=True)
        assert out["about_usd"].isna().all()
        assert out["about_cached_tokens"].isna().all()
        stats = out.llm.report().stats
        assert stats.usd is stats.cached_tokens is stats.usd_of_answers is None
        assert "unknown" in repr(out.llm.report())
        priced = lp.Model(
            "openai/mystery", base_url=server.base_url, api_key=server.key, price=lp.Price(1, 2)
        )
        again = run(reviews(4), priced, journal, budget=lp.Budget(usd=1))
        assert again.llm.report().stats.usd > 0


@pytest.mark.parametrize("tier", [None, "flex"])
def test_a_budget_of_half_the_bill_stops_within_one_requests_cost_and_says_how_to_go_on(
    tier, journal, tmp_path
):
    with Server(prices="openai", answer="wine", latency_s=0.002) as server:
        model = served(server, service_tier=tier)
        run(reviews(300), model, str(tmp_path / "whole.sqlite"))
        whole = float(server.bill.usd)
        with pytest.warns(BudgetWarning, match=r"larger budget= goes on from here"):
            out = run(reviews(300), model, journal, budget=lp.Budget(usd=whole / 2))
        spent = float(server.bill.usd) - whole
    assert whole / 2 <= spent <= whole / 2 + whole / 300
    stats = out.llm.report().stats
    assert stats.usd == pytest.approx(spent, abs=1e-9)
    assert stats.budget_used >= 1


def test_a_tier_without_a_price_ends_a_budget_in_dollars_and_the_words_name_it_and_the_way_on(
    journal,
):
    named = "no price is known for the tier 'rapid'"
    said = {"message": {"content": "wine"}, "finish_reason": "stop"}
    used = {"prompt_tokens": 9, "completion_tokens": 1}
    reply = {"choices": [said], "model": "gpt-5-mini", "service_tier": "rapid", "usage": used}
    fast = Fault("other", status=200, body=json.dumps(reply))
    with Server(prices="openai", answer="wine", faults=[None, fast]) as server:
        more = {"limits": lp.Limits(concurrency=1), "budget": lp.Budget(usd=5)}
        with pytest.warns(BudgetWarning, match=rf"{named}.*Running the cell again.*tiers="):
            out = run(reviews(6), served(server), journal, **more)
        assert f"unknown: {named}; Model(..., price=lp.Price(..., tiers=...))" in repr(
            out.llm.report()
        )
        job = lp.last_job()
        job.budget.usd = 100
        with pytest.raises(ConfigurationError, match=rf"{named}.*budget\.usd = None"):
            job.retry_failed()
        job.budget.usd = None
        assert job.retry_failed().result()["about"].notna().all()
        assert server.counters.total == 6


def test_the_member_of_a_composition_that_has_no_price_is_named(journal):
    with Server(answer="wine", faults={"content_filter": 1.0}) as first, Server() as second:
        unknown = lp.Model("openai/mystery", base_url=second.base_url, api_key=second.key)
        for model in (
            lp.Fallback([served(first), unknown]),
            lp.Pool([served(first), unknown], same=True),
        ):
            with pytest.raises(ConfigurationError, match="price of openai/mystery is not known"):
                run(reviews(1), model, journal, budget=lp.Budget(usd=1))
        out = run(reviews(1), lp.Fallback([served(first), unknown]), journal)
        assert "no price is known for the model 'mystery'" in repr(out.llm.report())


def test_a_correction_that_takes_more_than_is_left_reaches_the_budget_and_leaves_when_it_is_raised(
    journal,
):
    with Server(prices="openai", answer="not a number") as server:
        run(reviews(1), served(server), journal)  # shows what one takes
        one = server.bill.input_tokens + server.bill.output_tokens
        with pytest.warns(BudgetWarning, match=r"larger budget= goes on from here"):
            run(
                reviews(1), served(server), journal, schema=int,
                budget=lp.Budget(tokens=one * 3 // 2),
            )  # fmt: skip
        assert server.bill.requests == 2
        with pytest.warns(RowsFailedWarning, match="wrong_shape"):
            run(reviews(1), served(server), journal, schema=int, budget=lp.Budget(tokens=9 * one))
        assert server.bill.requests == 4  # what would not do was paid once


def test_a_first_answer_that_will_not_do_ends_no_run_under_a_small_budget(journal):
    """Of how long the corrected one will be only the bound is known, which is no reason to stop."""

    def say(body):
        said = json.dumps(body["messages"])
        return "perhaps" if "row 0 " in said and "Answer again" not in said else "yes"

    with Server(answer=say) as server:
        model = served(server, max_tokens=4096, price=lp.Price(input=2.5, output=10))
        frame = pd.DataFrame({"review": [f"row {n} of many" for n in range(30)]})
        out = frame.llm.process(
            "{review}", into="about", schema=Literal["yes", "no"], model=model, journal=journal,
            budget=lp.Budget(usd=0.02), limits=lp.Limits(concurrency=1), **QUIET,
        )  # fmt: skip
    assert out["about"].notna().all()


def test_a_budget_is_raised_live_and_a_run_has_its_own(journal):
    with Server(prices="openai", answer="wine") as server:
        given = lp.Budget(requests=10)
        server.hold()
        job = reviews(40).llm.start(
            "{review}", into="about", model=served(server), journal=journal, budget=given,
            limits=lp.Limits(concurrency=8), **QUIET,
        )  # fmt: skip
        server.wait_for(lambda seen: seen.in_flight == 8)
        assert job.stats.budget == "10 requests"
        job.budget.requests = 30
        job.budget.usd = 5
        server.release()
        with pytest.warns(BudgetWarning, match="30 requests"):
            job.result(30)
        assert server.counters.total == 30
        assert given == lp.Budget(requests=10)
        with pytest.raises(ConfigurationError, match="requests"):
            job.budget.request = 5
        with pytest.raises(ConfigurationError, match="0 or more"):
            job.budget.usd = -1
        with pytest.raises(ConfigurationError, match="Budget"):
            job.budget = 5


def test_what_waits_for_a_budget_goes_on_when_it_is_raised(journal):
    with Server(prices="openai", answer="wine") as server:
        server.hold()
        job = reviews(40).llm.start(
            "{review}", into="about", model=served(server), journal=journal,
            budget=lp.Budget(tokens=1500), **QUIET,
        )  # fmt: skip
        while not job.stats.note.startswith("Waiting"):  # which the server does not see
            threading.Event().wait(0.01)
        job.budget.tokens = 1_000_000
        server.wait_for(lambda seen: seen.in_flight == 32)
        server.release()
        assert job.result(30)["about"].notna().all()


def test_what_a_budget_stopped_goes_on_when_it_is_raised_and_what_was_spent_counts(journal):
    with Server(prices="openai", answer="wine") as server:
        with pytest.warns(BudgetWarning, match="10 requests"):
            run(reviews(30), served(server), journal, budget=lp.Budget(requests=10))
        job = lp.last_job()
        with pytest.raises(ConfigurationError, match=r"10 requests is used up.*job\.budget"):
            job.retry_failed()
        job.budget.requests = 25
        more = job.retry_failed()
        with pytest.warns(BudgetWarning, match="25 requests"):
            out = more.result(30)
        assert (server.counters.total, more.stats.sent) == (25, 15)
        assert (more.stats.budget, more.stats.budget_used) == ("25 requests", 1.0)
        more.budget = lp.Budget(usd=float(server.bill.usd) * 3)
        whole = more.retry_failed()
        assert whole.result(30)["about"].notna().all()
        assert server.counters.total == 30
        assert whole.stats.budget_used == pytest.approx(
            float(server.bill.usd) / whole.budget.usd, abs=1e-6
        )
    assert out["about"].notna().sum() == 25


def test_retries_of_one_run_share_its_budget_one_after_the_other_and_at_once(journal):
    with Server(prices="openai", answer="wine") as server:
        job = reviews(30).llm.start(
            "{review}", into="about", model=served(server), journal=journal,
            budget=lp.Budget(requests=10), **QUIET,
        )  # fmt: skip
        job.wait(30)
        job.budget.requests = 14
        assert job.retry_failed().wait(30)
        with pytest.raises(ConfigurationError, match="14 requests is used up"):
            job.retry_failed()
        job.budget.requests = 18
        server.hold()
        again = [job.retry_failed(), job.retry_failed()]
        server.wait_for(lambda seen: seen.total == 18)
        server.release()
        assert all(each.wait(30) for each in again)
        assert server.counters.total == 18
        assert [each.stats.budget for each in again] == ["18 requests"] * 2


def test_four_fifths_of_a_budget_are_said_while_it_runs(journal, monkeypatch):
    monkeypatch.setattr(job_module, "WARN_AFTER_S", 0.0)
    with Server(prices="openai", answer="wine") as server:
        server.hold()
        job = reviews(40).llm.start(
            "{review}", into="about", model=served(server), journal=journal,
            budget=lp.Budget(requests=36), limits=lp.Limits(concurrency=30), **QUIET,
        )  # fmt: skip
        server.wait_for(lambda seen: seen.in_flight == 30)
        assert "83 % of the budget of 36 requests is used" in job.stats.note
        with pytest.warns(BudgetWarning, match="83 %"), pytest.raises(TimeoutError):
            job.result(0.6)
        server.release()
        with pytest.warns(BudgetWarning, match="36 requests was reached"):
            job.result(30)


def test_a_tier_without_room_backs_off_by_itself_and_cuts_nobodys_pace(journal):
    faults = [Fault("429_no_capacity")] * 20
    with Server(prices="openai", answer="wine", faults=faults) as server:
        out = run(
            reviews(30), served(server, service_tier="flex"), journal,
            retry=lp.Retry(base_s=0.001, first_failures=None),
        )  # fmt: skip
        stats = out.llm.report().stats
    assert stats.answered == 30
    assert (stats.throttled, stats.holding_s, stats.pace) == (0, 0, None)
    assert stats.retried == 20
    assert stats.learned_from == ""


def test_the_raw_reply_of_a_row_that_failed_its_shape_is_in_the_errors(journal):
    with Server(prices="openai", answer="not a number") as server:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out = reviews(2).llm.process(
                "{review}", into="n", schema=int, model=served(server), journal=journal,
                retry=lp.Retry(max_corrections=0), **QUIET,
            )  # fmt: skip
        errors = out.llm.errors()
        stats, bill = out.llm.report().stats, float(server.bill.usd)
    assert (
        errors["raw"].str.contains('"content":"not a number"', regex=False).tolist() == [True] * 2
    )
    assert stats.usd == pytest.approx(bill)  # what failed was paid for all the same
    assert stats.usd_of_answers == 0


def test_the_bill_of_a_server_in_another_process_can_be_asked_for_too(journal):
    with Server(prices="openai", answer="wine", process=True) as server:
        out = run(reviews(5), served(server), journal)
        assert out.llm.report().stats.usd == pytest.approx(float(server.bill.usd))
        assert server.bill.requests == 5


def test_each_question_is_counted_once_in_any_order_and_remembered_in_few_bytes():
    numbers = random.Random(7)
    keys = [numbers.randbytes(16) for _ in range(20_000)] + [bytes(16), bytes([255]) * 16]
    bought = Bought()
    assert all(bought.add(key, 2.0) for key in keys)
    later = Bought()
    later.take_over(bought, lambda row: False)
    assert not any(later.add(key, 2.0) for key in numbers.sample(keys, 5000))
    assert later.add(bytes(15) + b"1", 2.0) is False  # half of a key is what tells them apart
    assert later.usd == bought.usd == 2.0 * len(keys)
    assert sum(map(sys.getsizeof, bought._asked)) < 12 * len(keys)  # a set has 100 for each
