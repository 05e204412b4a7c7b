"""A model that does not take something is asked without it, and the run says so."""

import dataclasses
import html
import json
import os
import warnings
from typing import Literal
from urllib.parse import quote_plus

import openai
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import (
    AccessError,
    ConfigurationError,
    FirstRowsFailedError,
    ParameterWarning,
    RowsFailedWarning,
)
from lionproc.model.fitting import Fitting, speaks_of
from lionproc.testing import Fault, Server
from lionproc.testing.answers import error_object

Verdict = Literal["good", "bad"]


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def no(body, status=400):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return Fault("other", status=status, body=body.decode())


def openai_error(message, param=None, code=None):
    return no(error_object(message, param=param, code=code))


def ask(server, rows=6, *, params=None, provider="openai", prompt="Say {text}", **more):
    model = lp.Model(provider, "m", base_url=server.base_url, api_key="none", **(params or {}))
    df = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        out = df.llm.process(prompt, "a", model=model, progress=False, **more)
    kinds = [warning.category for warning in said]
    return out, [str(w.message) for w in said if issubclass(w.category, ParameterWarning)], kinds


# The refusals of one and the same thing, in the words of those who refuse it.
REFUSALS = {
    "openai": openai_error(
        "Unsupported parameter: 'temperature' is not supported with this model.",
        "temperature",
        "unsupported_parameter",
    ),
    "openai, the value": openai_error(
        "Unsupported value: 'temperature' does not support 0 with this model. "
        "Only the default (1) value is supported.",
        "temperature",
        "unsupported_value",
    ),
    "azure of old": openai_error("Unrecognized request argument supplied: temperature"),
    "groq": openai_error("property 'temperature' is unsupported"),
    "anthropic": no(
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "`temperature` is deprecated for this model.",
            },
        }
    ),
    "pydantic": no(
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "temperature"],
                    "msg": "Extra inputs are not permitted",
                    "input": 0,
                }
            ]
        },
        422,
    ),
    "a gateway": no(
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": json.dumps(
                        {
                            "error": {
                                "message": "'temperature' is not supported with this model",
                                "type": "invalid_request_error",
                            }
                        }
                    )
                },
            }
        }
    ),
    "a list": no([{"error": {"code": 400, "message": "Unknown name temperature: unsupported"}}]),
}


@pytest.mark.parametrize("way", REFUSALS)
def test_a_parameter_that_the_model_does_not_take_is_left_out_and_that_is_said_once(way):
    faults = lambda body, n: REFUSALS[way] if "temperature" in body else None  # noqa: E731
    with Server(answer="fine", key=None, faults=faults) as server:
        limits = {"concurrency": 2}
        out, said, kinds = ask(server, params={"temperature": 0, "seed": 1}, limits=limits)
        assert out["a"].tolist() == ["fine"] * 6
        assert said == ["The model does not take temperature=0, so it was asked without it."]
        assert kinds == [ParameterWarning]
        refused = sum("temperature" in sent.body for sent in server.requests)
        assert refused <= 2
        assert server.counters.total == 6 + refused
        assert all(sent.body["seed"] == 1 for sent in server.requests)


@pytest.mark.parametrize("type_", [[], {}, None, 7])
def test_a_fault_of_an_odd_type_teaches_nothing_and_raises_nothing(type_):
    reply = json.dumps({"detail": [{"type": type_, "loc": ["seed"], "msg": "unsupported"}]})
    body = b'{"messages":[],"seed":1}'
    fitting = Fitting()
    assert not fitting.learn(reply.encode(), body, own_format=True)
    assert fitting.fit(body, "") == (body, [])


def test_what_was_learned_is_known_to_the_next_run_which_says_it_too_and_buys_nothing_twice():
    fault = REFUSALS["openai"]
    faults = lambda body, n: fault if "temperature" in body else None  # noqa: E731
    with Server(answer="fine", key=None, faults=faults) as server:
        ask(server, 2, params={"temperature": 0}, limits={"concurrency": 1})
        assert server.counters.total == 3
        _, said, _ = ask(server, 4, params={"temperature": 0})  # two of them are in the journal
        assert server.counters.total == 5
        assert len(said) == 1
        _, said, _ = ask(server, 4, params={"temperature": 0})
        assert (server.counters.total, said) == (5, [])


def test_what_one_tenant_refuses_is_asked_of_another_at_the_same_address_and_key():
    refused = REFUSALS["openai"]
    with Server(answer="fine") as server:

        def asked_by(tenant):
            at = {"base_url": server.base_url, "api_key": server.key}
            client = openai.AsyncOpenAI(**at, default_headers={"x-portkey-config": tenant})
            model = lp.Model("openai/m", client=client, temperature=0)
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                pd.DataFrame({"text": ["a"]}).llm.process(
                    "Say {text}", "a", model=model, progress=False
                )
            limiter = model.connect().endpoint.limiter
            return [str(warning.message) for warning in said], limiter

        server.configure(faults=lambda body, n: refused if "temperature" in body else None)
        of_one, first = asked_by("pc-one")
        server.configure(faults=None)
        of_other, second = asked_by("pc-other")
        sent = [json.loads(request.raw_body).get("temperature") for request in server.requests]
    assert (len(of_one), of_other) == (1, [])
    assert sent == [0, None, 0]
    assert first is second  # the account is one


def test_neither_the_number_of_attempts_nor_the_first_failures_count_it():
    names = ("temperature", "top_p", "seed", "stop", "logprobs")

    def faults(body, n):
        found = next((name for name in names if name in body), None)
        return found and openai_error(f"Unknown parameter: '{found}'.", found, "unknown_parameter")

    params = {"temperature": 0, "top_p": 0.5, "seed": 1, "stop": ["x"], "logprobs": True}
    with Server(answer="fine", key=None, faults=faults) as server:
        retry = lp.Retry(max_attempts=1, first_failures=1, budget=1)
        out, said, _ = ask(server, 40, params=params, retry=retry)
        assert out["a"].tolist() == ["fine"] * 40
        assert len(said) == 5


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")],
)
def test_the_bound_on_the_answer_takes_the_name_that_the_model_wants_and_needs_no_word(
    monkeypatch, sent, wanted
):
    from lionproc.model import opening

    def faults(body, n):
        if sent in body:
            return openai_error(
                f"Unsupported parameter: '{sent}' is not supported with this model. "
                f"Use '{wanted}' instead.",
                sent,
                "unsupported_parameter",
            )
        return None

    with Server(answer="fine", key=None, faults=faults) as server:
        if sent == "max_completion_tokens":
            monkeypatch.setattr(opening, "is_azure", lambda client: True)
        out, said, _ = ask(server, params={"max_tokens": 9})
        assert out["a"].tolist() == ["fine"] * 6
        assert server.requests[-1].body[wanted] == 9
        assert said == []


def test_the_bound_on_the_answer_is_never_left_out_for_it_bounds_the_bill():
    def faults(body, n):
        name = next(name for name in body if name.startswith("max_"))
        return openai_error(f"Unsupported parameter: '{name}'.", name, "unsupported_parameter")

    with Server(answer="fine", key=None, faults=faults) as server:
        out, said, kinds = ask(server, 3, params={"max_tokens": 9}, limits={"concurrency": 1})
        assert out["a"].isna().all()
        assert (said, kinds) == ([], [RowsFailedWarning])
        assert all({"max_tokens", "max_completion_tokens"} & set(r.body) for r in server.requests)
        assert server.counters.total == 4


@pytest.mark.parametrize(
    ("refused", "takes"),
    [({"json_schema"}, "json_object"), ({"json_schema", "json_object"}, None)],
)
def test_a_format_that_the_model_does_not_take_is_asked_for_in_words(refused, takes):
    def faults(body, n):
        given = body.get("response_format", {}).get("type")
        if given in refused:
            return openai_error(
                f"Invalid parameter: 'response_format' of type '{given}' is not supported with "
                "this model.",
                "response_format",
            )
        return None

    with Server(answer='{"answer": "good"}', key=None, faults=faults) as server:
        out, said, _ = ask(server, schema=Verdict, limits={"concurrency": 1})
        assert out["a"].tolist() == ["good"] * 6
        last = server.requests[-1].body
        assert last.get("response_format", {}).get("type") == takes
        assert [message["role"] for message in last["messages"]] == ["system", "user"]
        assert last["messages"][0]["content"].count("JSON Schema") == 1
        assert server.counters.total == 6 + len(refused)
        assert "structured=" in said[-1]


@pytest.mark.parametrize(
    "message",
    [
        "This response_format type is unavailable now",
        "This model does not support response format `json_schema`.",
        "Invalid schema for response_format 'answer': In context=(), 'minLength' is not permitted.",
    ],
)
def test_other_words_for_a_format_that_is_not_taken_are_known(message):
    def faults(body, n):
        return openai_error(message) if "json_schema" in str(body.get("response_format")) else None

    with Server(answer='{"answer": "good"}', key=None, faults=faults) as server:
        assert ask(server, schema=Verdict)[0]["a"].tolist() == ["good"] * 6


def test_a_format_of_the_users_own_is_not_changed():
    params = {"response_format": {"type": "json_object"}}
    fault = openai_error("'response_format' is not supported with this model.", "response_format")
    with Server(answer="{}", key=None, faults=lambda body, n: fault) as server:
        out, _, kinds = ask(server, 2, params=params, limits={"concurrency": 1})
        assert out["a"].isna().all()
        assert kinds == [RowsFailedWarning]
        assert server.counters.total == 2


ROLES = {
    "developer": "'developer' is not one of ['system', 'assistant', 'user'] - 'messages.0.role': "
    "unsupported role",
    "system": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_the_model_does_not_know_is_sent_as_the_next_best(role):
    def faults(body, n):
        return openai_error(ROLES[role]) if body["messages"][0]["role"] == role else None

    def prompt(row):
        return [
            {"role": role, "content": "Be brief."},
            {"role": "user", "content": f"Say {row['text']}"},
        ]

    with Server(answer="fine", key=None, faults=faults) as server:
        out, said, _ = ask(server, 2, prompt=prompt, limits={"concurrency": 1})
        assert out["a"].tolist() == ["fine"] * 2
        last = server.requests[-1].body["messages"]
        if role == "developer":
            assert [message["role"] for message in last] == ["system", "user"]
            assert said == []
        else:
            assert [message["role"] for message in last] == ["user"]
            assert last[0]["content"].startswith("Be brief.\n\nSay row ")
            assert "no system role" in said[0]


def test_a_provider_that_is_known_to_have_no_developer_role_is_never_sent_one(monkeypatch):
    from lionproc.model import providers

    with Server(answer="fine", key=None) as server:
        groq = providers.PROVIDERS["groq"]
        at = dataclasses.replace(groq, base_url=server.base_url)
        monkeypatch.setitem(providers.PROVIDERS, "groq", at)
        monkeypatch.setenv("GROQ_API_KEY", "none-of-them")
        df = pd.DataFrame({"text": ["one"]})
        prompt = lambda row: [{"role": "developer", "content": row["text"]}]  # noqa: E731
        df.llm.process(prompt, "a", model="groq/m", progress=False)
        assert server.requests[0].body["messages"] == [{"role": "system", "content": "one"}]


@pytest.mark.parametrize(
    "fault",
    [
        openai_error("The request is wrong."),
        openai_error("Unsupported parameter: 'tools'.", "tools", "unsupported_parameter"),
        openai_error("'temperature' must be between 0 and 1", "temperature"),
        openai_error(
            "Unsupported value: 'reasoning_effort' does not support 'none' with this model.",
            "reasoning_effort",
            "unsupported_value",
        ),
        openai_error("Unsupported content: messages.", "messages", "unsupported_value"),
    ],
)
def test_any_other_refusal_is_the_rows_own_and_nothing_is_changed(fault):
    params = {"temperature": 0, "reasoning_effort": "none", "tools": []}
    with Server(answer="fine", key=None, faults=lambda body, n: fault) as server:
        out, said, _ = ask(server, 2, params=params, limits={"concurrency": 1})
        assert out["a"].isna().all()
        assert said == []
        assert server.counters.total == 2


@pytest.mark.parametrize(
    "cell",
    [
        "unsupported parameter: 'max_tokens'",
        "temperature is not supported",
        "response_format json_schema is not supported",
        "unknown role system",
        "temperature",
        "max_tokens",
        "json_schema",
    ],
)
@pytest.mark.parametrize("prompt", ["Say {text}", "{text}"])
def test_what_a_refusal_quotes_of_a_row_changes_nothing_for_the_others(cell, prompt):
    def fault(body, number):
        said = body["messages"][-1]["content"]
        return openai_error(f"Unsupported input near: {said}") if cell in said else None

    with Server(faults=fault, key=None, answer="good") as server:
        model = lp.Model(
            "openai", "m", base_url=server.base_url, api_key="none", max_tokens=9, temperature=0
        )
        df = pd.DataFrame({"text": [cell, "a", "b"]})
        with pytest.warns(RowsFailedWarning):
            out = df.llm.process(
                prompt,
                "a",
                Verdict,
                model=model,
                system="Judge.",
                progress=False,
                limits=lp.Limits(concurrency=1),
            )
        assert out["a"].notna().tolist() == [False, True, True]
        bodies = [request.body for request in server.requests]
    assert all(
        {*body} == {*bodies[0]} and body["messages"][0]["role"] == "system" for body in bodies
    )


QUOTED = {
    "JSON": json.dumps,
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON of PHP": lambda text: json.dumps(text).replace("/", "\\/"),
    "Python": repr,
    "HTML": html.escape,
    "an address": quote_plus,
    "small letters": str.lower,
    "capitals": str.upper,
    "one line": lambda text: " ".join(text.split()),
}


@pytest.mark.parametrize("way", QUOTED)
def test_a_row_is_known_in_whatever_way_a_refusal_quotes_it(way):
    for name in ("temperature", "max_tokens", "response_format"):
        for left, right in (
            ('say "', '" to me'),
            ("a/", "/b"),
            ("x\n'", "'\ny"),
            ("\xe9 ", " <\xe9>"),
        ):
            row = f"{left}{name}{right} unsupported"
            asked = {
                "messages": [{"role": "user", "content": f"Judge: {row}"}],
                "temperature": 0,
                "max_tokens": 9,
                "response_format": {"type": "json_object"},
            }
            sent = json.dumps(asked).encode()
            for said in (QUOTED[way](row), f"Unsupported input: {QUOTED[way](row)}"):
                assert not Fitting().learn(error_object(said), sent, own_format=True)
            said = f"Unsupported parameter: {name!r} of {QUOTED[way](row)}"
            assert Fitting().learn(error_object(said), sent, own_format=True)


@pytest.mark.parametrize(
    "row", ["roles of a system unknown", "unknown roles: system", "systems' roles"]
)
def test_a_word_that_stands_in_a_longer_one_of_a_row_is_known_as_quoted(row):
    messages = [{"role": "system", "content": "Judge."}, {"role": "user", "content": row}]
    sent = json.dumps({"messages": messages}).encode()
    assert not Fitting().learn(error_object(f"Unsupported: {row}"), sent, own_format=True)
    assert Fitting().learn(error_object(f"Unsupported role system: {row}"), sent, own_format=True)


@pytest.mark.parametrize("way", [json.dumps, repr])
def test_a_refusal_that_quotes_the_whole_question_says_nothing_of_its_fields(way):
    asked = {
        "model": "m",
        "messages": [{"role": "system", "content": "Judge."}, {"role": "user", "content": "Hm"}],
        "logprobs": True,
        "temperature": 0,
        "seed": 1,
        "response_format": {"type": "json_object"},
    }
    sent = json.dumps(asked).encode()
    refusal = error_object(f"Unknown letter in input: {way(asked)}")
    assert not Fitting().learn(refusal, sent, own_format=True)
    assert not speaks_of("logprobs", refusal, sent)
    assert speaks_of("logprobs", error_object("No logprobs."), sent)


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    "cell",
    [
        "Your credit balance is too low, they told me",
        "I reached my spending limit yesterday",
        "My API key was reported as leaked",
        "they say: location is not supported",
        "Spend cap",
        "\u017fpend cap",  # an s, to a search that minds no case
        "\u8bf4" * 3000 + " my spend cap",
        "Model unloaded",
    ],
)
def test_what_a_refusal_quotes_of_a_row_ends_no_run(cell, status):
    def fault(body, number):
        said = body["messages"][-1]["content"]
        quoted = {"error": {"message": f"Invalid input near: {said}"}}  # with escapes
        return no(quoted, status) if cell in said else None

    with Server(faults=fault, key=None, answer="fine") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none")
        df = pd.DataFrame({"text": ["a", cell, "b"]})
        with pytest.warns(RowsFailedWarning):
            out = df.llm.process(
                "{text}", "a", model=model, progress=False, limits=lp.Limits(concurrency=1)
            )
        assert out["a"].notna().tolist() == [True, False, True]


@pytest.mark.parametrize("sign", ["&#{}", "&#{};", "&#x{};", "&#X{}"])
def test_a_row_with_a_letter_of_thousands_of_digits_is_judged_as_any_other(sign):
    cell = f"look: {sign.format('1' * 5000)} there"  # Python reads no number of so many

    def fault(body, number):
        return no({"error": {"message": "insufficient credit"}}, 402) if number < 20 else None

    with Server(faults=fault, key=None, answer="fine") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none")
        df = pd.DataFrame({"text": [cell] * 3})
        with pytest.raises(AccessError, match="no credit"):
            df.llm.process("{text}", "a", model=model, progress=False, journal=False)


@pytest.mark.parametrize("status", [400, 422, 500, 503])
def test_what_a_refusal_quotes_of_a_row_makes_nobody_wait(status):
    cell = "There are no models loaded. Please try again in 10 minutes."

    def fault(body, number):
        said = body["messages"][-1]["content"]
        return no(error_object(f"Invalid input near: {said}"), status) if cell in said else None

    with Server(faults=fault, key=None, answer="fine") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none")
        df = pd.DataFrame({"text": ["a", cell, "b"]})
        job = df.llm.start(
            "{text}",
            "a",
            model=model,
            progress=False,
            limits=lp.Limits(concurrency=1),
            retry=lp.Retry(max_attempts=2, base_s=0.001),
        )
        with pytest.warns(RowsFailedWarning):
            assert job.result(20)["a"].notna().tolist() == [True, False, True]


@pytest.mark.parametrize("cell", ["They allow two concurrent requests.", "\u5e76\u53d1"])
@pytest.mark.parametrize("headers", [(), (("retry-after", "0"),)])
def test_what_a_refusal_quotes_of_a_row_changes_the_concurrency_of_nobody(headers, cell):
    refusals = iter([True])

    def fault(body, number):
        said = body["messages"][-1]["content"]
        if cell not in said or not next(refusals, False):
            return None
        quoted = error_object(f"Rate limit reached for: {said}")
        return Fault("other", status=429, body=quoted.decode(), headers=headers)

    with Server(faults=fault, key=None, answer="fine", latency_s=0.05) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none")
        df = pd.DataFrame({"text": [cell, *map(str, range(20))]})
        limits = {"concurrency": 8, "requests_per_minute": 60_000}
        job = df.llm.start("{text}", "a", model=model, progress=False, limits=limits)
        assert job.result(20)["a"].notna().all()
        assert next(refusals, None) is None
        assert job.stats.concurrency == 8


@pytest.mark.parametrize(
    "cell", ["no logprobs here", "logprobs", "my\nlogprobs\n?", "top_logprobs of 2 at most"]
)
def test_a_word_that_only_a_row_says_does_not_stop_a_run_that_wants_log_probabilities(cell):
    def fault(body, number):
        said = body["messages"][-1]["content"]
        return openai_error(f"Invalid input near: {said!r}") if "logprobs" in said else None

    with Server(faults=fault, key=None, answer="good") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none")
        df = pd.DataFrame({"text": [cell, "a"]})
        with pytest.warns(RowsFailedWarning):
            out = df.llm.process(
                "{text}", "a", Verdict, confidence=True, model=model, progress=False
            )
        assert out["a"].notna().tolist() == [False, True]
        assert all(request.body["top_logprobs"] == 20 for request in server.requests)


def test_a_run_that_only_fails_stops_as_before():
    fault = openai_error("The request is wrong.")
    with (
        Server(answer="fine", key=None, faults=lambda body, n: fault) as server,
        pytest.raises(FirstRowsFailedError),
    ):
        ask(server, 100, params={"temperature": 0})


@pytest.mark.parametrize(
    ("provider", "params", "words"),
    [
        ("anthropic/m", {"temperature": 1.5}, "temperature is a number from 0 to 1"),
        ("anthropic/m", {"logprobs": True}, "anthropic gives no logprobs"),
        ("groq/m", {"top_logprobs": 2}, "groq gives no logprobs"),
    ],
)
def test_what_a_provider_is_known_not_to_take_is_refused_before_anything_is_sent(
    provider, params, words
):
    with pytest.raises(ConfigurationError, match=words):
        lp.Model(provider, **params)
    name, _, model = provider.partition("/")
    lp.Model(name, model, base_url="https://elsewhere.example/v1", **params)
