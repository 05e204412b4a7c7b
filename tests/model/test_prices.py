"""What replies cost: the table, by tier and step, checked against its own slow arithmetic."""

import random

import pytest
from genai_prices import Usage as Asked
from genai_prices import calc_price
from genai_prices.data_snapshot import get_snapshot

import lionproc as lp
from lionproc.engine.usage import Usage
from lionproc.errors import ConfigurationError, ModelError
from lionproc.model.prices import Price, TablePrice, price_of
from lionproc.model.providers import PROVIDERS

TABLE = {provider.prices for provider in PROVIDERS.values() if provider.prices}


def of_table(model, provider="openai", tier=""):
    return TablePrice(model, provider, tier)


def test_every_price_of_our_providers_is_the_tables_own():
    dice = random.Random(7)
    seen = 0
    for provider in (found for found in get_snapshot().providers if found.id in TABLE):
        for model in dice.sample(provider.models, min(25, len(provider.models))):
            words = {v.when.get("service_tier") for v in model.price_variants or ()}
            batch = any("processing" in v.when for v in model.price_variants or ())
            for tier in sorted({"", *filter(None, words), *(["batch"] if batch else [])}):
                context = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
                read = dice.choice([40, 3000, 200_001, 272_001, 1_100_000])
                cached, written = dice.randrange(read), dice.randrange(5000)
                asked = Asked(input_tokens=read, cache_read_tokens=cached, output_tokens=written)
                try:
                    true = calc_price(
                        asked,
                        model.id,
                        provider_id=provider.id,
                        price_context=context if tier else None,
                    )
                except (LookupError, ValueError):
                    continue
                price = of_table(model.id, provider.id)
                usd = price.usd(Usage(read, written, cached, tier=tier))
                if usd is None:  # no chat model
                    assert None in {true.model_price.input_mtok, true.model_price.output_mtok}
                    continue
                assert usd == pytest.approx(float(true.total_price)), (provider.id, model.id, tier)
                seen += 1
    assert seen > 100


def test_cached_tokens_and_the_tier_that_the_reply_names_decide():
    price = of_table("gpt-5-mini", tier="flex")
    assert price.usd(Usage(1_000_000, 0)) == pytest.approx(0.25)
    assert price.usd(Usage(1_000_000, 0, 1_000_000)) == pytest.approx(0.025)
    assert price.usd(Usage(1_000_000, 0, tier="flex")) == pytest.approx(0.125)
    assert price.usd(Usage(1_000_000, 0, tier="default")) == pytest.approx(0.25)
    assert price.usd(Usage(0, 1_000_000, tier="flex")) == pytest.approx(1.0)


def test_a_tier_without_a_price_is_unknown_and_not_the_usual_one():
    price = of_table("gpt-5-mini")
    assert price.usd(Usage(10, 10, tier="scale")) is None
    assert of_table("gpt-3.5-turbo").usd(Usage(10, 10, tier="flex")) is None
    dear = of_table("gpt-5-mini", tier="priority").usd(Usage(10, 10))
    assert dear == pytest.approx(price.usd(Usage(10, 10, tier="priority")))  # a reply without one


def test_a_reply_is_priced_as_the_model_that_it_names_where_the_table_knows_it():
    deployment = of_table("my-deployment", "azure")
    assert deployment.usd(Usage(10, 10)) is None
    assert deployment.usd(Usage(10**6, 0), "gpt-4o-mini-2024-07-18") == pytest.approx(0.15)
    assert of_table("gpt-4o-mini").usd(Usage(10**6, 0), "what-a-proxy-says") == pytest.approx(0.15)


def test_a_price_that_is_not_known_is_not_zero():
    assert of_table("no-such-model-anywhere").usd(Usage(10, 10)) is None
    assert of_table("text-embedding-3-small").usd(Usage(10, 10)) is None
    assert of_table("text-embedding-3-small").usd(Usage(10**6, 0)) == pytest.approx(0.02)


@pytest.mark.parametrize("name", ["local", "ollama", "vllm"])
def test_what_runs_here_costs_nothing_unless_its_user_says_so(name):
    assert price_of("m", PROVIDERS[name], None, "", official=True).usd(Usage(10, 10)) == 0
    own = Price(input=1, output=2)
    assert price_of("m", PROVIDERS[name], own, "", official=True) is own


@pytest.mark.parametrize("official", [True, False])
def test_what_openrouter_says_that_a_reply_costs_is_believed_at_its_own_address(official):
    price = price_of("openai/gpt-4o-mini", PROVIDERS["openrouter"], None, "", official=official)
    usd = price.usd(Usage(10**6, 0, billed=0.5))
    assert usd == pytest.approx(0.5 if official else 0.15)
    unknown = price_of("some/model", PROVIDERS["openrouter"], None, "", official=True)
    assert unknown.usd(Usage(10, 10)) is None
    assert unknown.usd(Usage(10, 10, billed=0.0)) == 0


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-4o-mini"),
        ("azure", "gpt-4o-mini"),
        ("openrouter", "openai/gpt-4o-mini"),
        ("groq", "llama-3.3-70b-versatile"),
        ("gemini", "gemini-2.0-flash"),
        ("anthropic", "claude-3-5-haiku-latest"),
    ],
)
def test_every_provider_is_found_in_the_table_of_prices(provider, model):
    price = price_of(model, PROVIDERS[provider], None, "", official=True)
    read, written = price.usd(Usage(10**6, 0)), price.usd(Usage(0, 10**6))
    assert 0 < read <= written < 1000


def test_prices_of_ones_own_count_whatever_is_known_of_the_model():
    price = lp.Price(input=3, cached_input=0.3, cache_write=3.75, output=15)
    assert price.usd(Usage(1000, 100, 400, 200)) * 1e6 == pytest.approx(
        400 * 3 + 400 * 0.3 + 200 * 3.75 + 100 * 15
    )
    assert lp.Price(3, 15).usd(Usage(1000, 0, 400, 200)) * 1e6 == pytest.approx(3000)
    model = lp.Model("openai/my-own", api_key="k", price=price)
    assert model.connect().price is price
    assert "price=Price(input=3" in repr(model)


def test_prices_of_ones_own_are_those_of_the_standard_tier_and_never_too_low_for_another():
    plain, tiered = lp.Price(1, 2), lp.Price(1, 2, 0.1, tiers={"flex": 0.5, "Priority": 2})
    million = Usage(10**6, 0)
    for tier in ("", "default", "standard", "flex", "batch"):
        assert plain.usd(million._replace(tier=tier)) == pytest.approx(1)
    assert plain.usd(million._replace(tier="priority")) is None
    assert tiered.usd(million._replace(tier="flex")) == pytest.approx(0.5)
    assert tiered.usd(Usage(10**6, 10**6, 10**6, tier="priority")) == pytest.approx(4.2)
    assert tiered.usd(million._replace(tier="scale")) is None

    def asked(price, tier):
        return price_of("m", PROVIDERS["openai"], price, tier, official=True)

    assert asked(plain, "flex") is plain
    dear = asked(tiered, "priority")  # a reply that names no tier may have been served by it
    assert dear.usd(million) == pytest.approx(2)
    assert dear.usd(million._replace(tier="default")) == pytest.approx(1)
    with pytest.raises(ConfigurationError, match=r"tiers=\{'priority': 2.0\}"):
        lp.Model("openai/m", api_key="k", price=plain, service_tier="priority").connect()


@pytest.mark.parametrize("wrong", [{"input": -1, "output": 1}, {"input": "1", "output": 1},
                                   {"input": 1, "output": None}, {"input": 1, "output": True},
                                   {"input": 1, "output": 1, "cached_input": float("nan")}])  # fmt: skip
def test_prices_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="dollars per million tokens"):
        lp.Price(**wrong)


@pytest.mark.parametrize("wrong", ["flex", 0.5, {"flex": "half"}, {"flex": -1}, {0.5: "flex"}])
def test_factors_of_tiers_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"Price\(tiers=\.\.\.\)"):
        lp.Price(1, 2, tiers=wrong)


def test_what_is_no_price_and_no_tier_is_refused_before_anything_is_sent():
    with pytest.raises(ConfigurationError, match=r"price= takes lp\.Price"):
        lp.Model("openai/gpt-4o", api_key="k", price=0.15)
    with pytest.raises(ConfigurationError, match="service_tier"):
        lp.Model("openai/gpt-4o", api_key="k", service_tier=True)
    with pytest.raises(ModelError, match="service_tier"):
        lp.Model("openai/gpt-4o", api_key="k", service_teir="flex")
