"""The content key: everything that shapes an answer is in it, and nothing else."""

import asyncio
import functools
import json
import tracemalloc
from typing import Literal

import openai
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lionproc as lp
from lionproc.errors import CallError, ConfigurationError, Kind
from lionproc.model.answer import Answer
from lionproc.model.call import RequestBuilder
from lionproc.model.turns import QUOTED
from lionproc.testing import Server

KEY = "sk-test-of-the-call-0123456789"
SHAPING = {
    "prompt": ["Say {text}", "Say {text}.", "Say {text}\n"],
    "text": ["one", "One", "one "],
    "system": [None, "Be brief.", "Be funny."],
    "schema": [str, int, bool, Literal["a", "b"], Literal["a", "c"], list[int], {"type": "string"}],
    "model": ["m", "m2"],
    "base_url": ["https://one.example/v1", "https://one.example/v2", "https://two.example/v1"],
    "organization": [None, "org-1", "org-2"],
    "project": [None, "org-1"],
    "query": [{}, {"tenant": "a"}],
    "temperature": [None, 0, 0.5],
    "max_tokens": [None, 10, 20],
    "structured": [None, "json_object", "prompt"],
    "params": [{}, {"seed": 1}, {"seed": 2}, {"top_p": 0.5}],
}
TUNING = {
    "api_key": [KEY, KEY + "2"],
    "timeout": [5.0, 60.0],
    "limits": [None, {"requests_per_minute": 60, "concurrency": 2}],
    "retry": [None, lp.Retry(max_attempts=2)],
    "chunk_size": [None, 7],
    "into": ["a", "b"],
    "details": [False, True],
    "resume": [True, False],
    "progress": [None, False],
    "errors": ["coerce", "raise"],
    "budget": [None, lp.Budget(requests=5)],
}


@functools.cache
def http_client():
    """One for all: each reads the trusted authorities anew, a tenth of a second."""
    return openai.DefaultAsyncHttpxClient()


def key_of(case):
    client = openai.AsyncOpenAI(
        base_url=case["base_url"],
        api_key=case["api_key"],
        organization=case["organization"],
        project=case["project"],
        default_query=case["query"],
        http_client=http_client(),
    )
    model = lp.Model(
        "openai",
        case["model"],
        client=client,
        temperature=case["temperature"],
        max_tokens=case["max_tokens"],
        structured=case["structured"],
        timeout=case["timeout"],
        **case["params"],
    )
    names = (
        "system",
        "budget",
        "limits",
        "retry",
        "chunk_size",
        "details",
        "resume",
        "progress",
        "errors",
    )
    df = pd.DataFrame({"text": [case["text"]]})
    options = {"model": model, **{name: case[name] for name in names}}
    plan = df.llm._plan(case["prompt"], case["into"], case["schema"], options)
    recipe = RequestBuilder(plan.model.connect(), plan.model.body_params, plan.answer)
    ((_, call),) = plan.calls(recipe, 0, 1)
    return call.key


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_CUSTOM_HEADERS"):
        monkeypatch.delenv(name, raising=False)


BASE = {name: values[0] for name, values in (SHAPING | TUNING).items()}


def differing(case, other):
    names = [name for name in SHAPING if case[name] != other[name]]
    if case["schema"] is other["schema"] is str and "structured" in names:
        names.remove("structured")  # a plain text is asked for in one way
    return names


@pytest.mark.parametrize("name", SHAPING)
def test_each_thing_that_shapes_the_answer_makes_another_key(name):
    case = BASE | {"schema": int} if name == "structured" else BASE
    keys = [key_of(case | {name: value}) for value in SHAPING[name]]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", TUNING)
def test_no_tuning_knob_is_in_the_key(name):
    for schema in (str, int, Literal["a", "b"], {"type": "string"}):
        keys = {key_of(BASE | {name: value, "schema": schema}) for value in TUNING[name]}
        assert len(keys) == 1


CASES = st.fixed_dictionaries({n: st.sampled_from(v) for n, v in (SHAPING | TUNING).items()})
CHANGES = st.lists(st.sampled_from(list(SHAPING | TUNING)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(CASES, CASES, CHANGES)
def test_two_questions_share_a_key_if_and_only_if_all_that_shapes_them_is_equal(case, other, names):
    changed = case | {name: other[name] for name in names}
    assert (key_of(case) == key_of(changed)) == (not differing(case, changed))


SAME = {
    "the order of parameters": [{"seed": 1, "top_p": 0.9}, {"top_p": 0.9, "seed": 1}],
    "a whole number": [{"temperature": 0}, {"temperature": 0.0}, {"temperature": -0.0}],
    "whole numbers": [{"top_p": 1, "seed": 3}, {"top_p": 1.0, "seed": 3.0}],
    "names within": [
        {"logit_bias": {"1": 1.0, "2": -1}},
        {"logit_bias": {"2": -1, "1": 1}},
    ],
    "a parameter by its other way": [
        {"reasoning": {"effort": "low", "exclude": True}},
        {"reasoning": {"exclude": True, "effort": "low"}},
    ],
}


@pytest.mark.parametrize("way", SAME)
def test_the_same_parameters_in_another_form_are_the_same_question(way):
    bodies = [recipe(**more).ask(ASK).body for more in SAME[way]]
    assert len(set(bodies)) == 1
    assert len({recipe(**more).ask(ASK).key for more in SAME[way]}) == 1
    assert len({recipe(**more).digest for more in SAME[way]}) == 1


@pytest.mark.parametrize(
    "other",
    [{"seed": True}, {"seed": "1"}, {"seed": 1.5}, {"seed": 2**53 + 1}, {"seed": float(2**53)}],
)
def test_what_only_looks_alike_is_another_question(other):
    assert recipe(**other).ask(ASK).key != recipe(seed=1).ask(ASK).key


def test_the_order_of_names_in_a_message_is_nothing():
    picture = {"url": "data:image/png;base64,AAAA", "detail": "low"}
    parts = [{"type": "text", "text": "What?"}, {"type": "image_url", "image_url": picture}]
    turned = [dict(reversed(part.items())) for part in parts]
    turned[1]["image_url"] = dict(reversed(picture.items()))
    calls = [
        recipe().ask([{"role": "user", "content": parts}]),
        recipe().ask([{"content": turned, "role": "user"}]),
        recipe().ask([{"content": turned[::-1], "role": "user"}]),
    ]
    assert calls[0].body == calls[1].body
    assert calls[0].key == calls[1].key != calls[2].key
    named = [{"name": "x", "content": "a", "role": "user"}, {"role": "user", "content": "a"}]
    assert json.loads(recipe().ask(named).body)["messages"] == named
    assert recipe().ask(named[1:]).body == recipe().ask([{"content": "a", "role": "user"}]).body


def test_the_order_of_the_properties_of_a_schema_is_kept_for_it_is_the_order_of_the_answer():
    def asked(names, **more):
        properties = {name: {"type": "string", "maxLength": 9} for name in names}
        turned = {"required": ["why"], "properties": properties, "type": "object"}
        return recipe(turned, **more).ask(ASK)

    def of(body):
        return list(body["response_format"]["json_schema"]["schema"]["properties"])

    one, other = asked(["why", "verdict"]), asked(["verdict", "why"])
    assert of(json.loads(one.body)) == ["why", "verdict"]
    assert of(json.loads(other.body)) == ["verdict", "why"]
    assert one.key != other.key
    straight = {
        "type": "object",
        "properties": {name: {"maxLength": 9, "type": "string"} for name in ("why", "verdict")},
        "required": ["why"],
    }
    assert recipe(straight).ask(ASK).key == one.key
    told = [
        recipe(straight, structured="prompt"),
        recipe(dict(reversed(straight.items())), structured="prompt"),
    ]
    assert told[0].ask(ASK).key == told[1].ask(ASK).key


def test_nothing_is_bought_again_for_another_column_or_another_order():
    with Server(answer='{"answer": "good"}', key=None) as server:
        df = pd.DataFrame({"text": ["one", "two"]})
        for into, more in (("a", {"seed": 1, "top_p": 1}), ("b", {"top_p": 1.0, "seed": 1})):
            model = lp.Model("openai/m", base_url=server.base_url, temperature=0, **more)
            for schema in (str, Literal["good", "bad"]):
                out = df.llm.process("{text}", into, schema=schema, model=model, progress=False)
                assert out[into].notna().all()
        df.llm.process("{value}", "{column}_x", columns=["text"], model=model, progress=False)
        assert server.counters.total == 4


@settings(deadline=None)
@given(st.lists(st.text(max_size=6), min_size=2, max_size=2, unique=True))
def test_no_two_texts_share_a_key(texts):
    with_text = [recipe().ask([{"role": "user", "content": text}]).key for text in texts]
    assert with_text[0] != with_text[1]


def test_the_border_between_messages_is_in_the_key():
    def message(*texts):
        return [{"role": "user", "content": text} for text in texts]

    asked = [message("ab", "c"), message("a", "bc"), message("abc"), message("abc", "")]
    assert len({recipe().ask(messages).key for messages in asked}) == 4


_recipes = {}


def recipe(schema=str, **more):
    name = (repr(schema), repr(more))
    if name not in _recipes:
        model = lp.Model("openai/m", base_url="https://one.example/v1", api_key=KEY, **more)
        _recipes[name] = RequestBuilder(
            model.connect(), model.body_params, Answer.of(schema, name="a")
        )
    return _recipes[name]


# --- the body -----------------------------------------------------------------------------------


def body(messages, schema=str, **more):
    return json.loads(recipe(schema, **more).ask(messages).body)


ASK = [{"role": "user", "content": "How many?"}]


def test_a_plain_question_holds_nothing_that_was_not_given():
    assert body(ASK) == {"model": "m", "messages": ASK}


def test_a_key_for_the_prompt_cache_goes_to_openai_itself_and_is_no_part_of_the_question(
    monkeypatch,
):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    def made(schema=str, **more):
        model = lp.Model("openai/m", api_key=KEY, **more)
        return RequestBuilder(model.connect(), model.body_params, Answer.of(schema)).ask(ASK)

    sent, own = made(), made(prompt_cache_key="mine")
    cache_key = json.loads(sent.body)["prompt_cache_key"]
    assert cache_key.startswith("lionproc-")
    assert json.loads(own.body)["prompt_cache_key"] == "mine"
    assert sent.key == own.key
    assert json.loads(made().body)["prompt_cache_key"] == cache_key
    assert json.loads(made(int).body)["prompt_cache_key"] != cache_key
    assert "prompt_cache_key" not in body(ASK)  # to another address that speaks like OpenAI


def test_calls_that_wait_hold_their_messages_and_not_the_shape_that_all_of_them_ask_for():
    builder = recipe(Literal[tuple(f"label {n}" for n in range(500))])
    first = builder.ask(ASK)
    assert first.size < 100
    assert len(first.body) == first.text_size > 5000
    tracemalloc.start()
    try:
        calls = [builder.ask(ASK) for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 1000 * len(calls)
    finally:
        tracemalloc.stop()


def test_a_long_prompt_is_in_memory_once_while_its_request_is_under_way():
    long = [{"role": "user", "content": "word " * 400_000}]
    builder = recipe(Literal["yes", "no"])
    tracemalloc.start()
    try:
        call = builder.ask(long)
        before = call.body  # of the first attempt
        del before
        sent, size = call.body, call.text_size
        assert len(sent) == size > 2_000_000
        assert tracemalloc.get_traced_memory()[0] < 1.1 * size
    finally:
        tracemalloc.stop()
    assert sent == builder.ask(long).body == call.body
    assert call.as_vote(1).body == sent
    corrected = call.correction({}, CallError(Kind.EMPTY, "nothing"))
    assert json.loads(corrected.body)["messages"][0]["content"].startswith(long[0]["content"])


def test_parameters_are_fields_of_the_body():
    made = body(ASK, temperature=0, max_tokens=9, seed=3, logit_bias={"50256": -100})
    assert made == {
        "model": "m",
        "messages": ASK,
        "temperature": 0,
        "max_tokens": 9,
        "seed": 3,
        "logit_bias": {"50256": -100},
    }


def test_a_type_is_asked_for_in_the_way_of_the_model():
    strict = body(ASK, int)["response_format"]
    assert strict["type"] == "json_schema"
    assert strict["json_schema"]["schema"]["type"] == "object"
    loose = body(ASK, int, structured="json_object")
    assert loose["response_format"] == {"type": "json_object"}
    assert "JSON Schema" in loose["messages"][0]["content"]
    told = body(ASK, int, structured="prompt")
    assert "response_format" not in told
    assert [m["role"] for m in told["messages"]] == ["system", "user"]


def test_an_instruction_joins_the_system_prompt_that_is_there():
    messages = [{"role": "system", "content": "Be brief."}, *ASK]
    made = body(messages, int, structured="prompt")["messages"]
    assert len(made) == 2
    assert made[0]["content"].startswith("Be brief.\n\n")
    assert messages[0]["content"] == "Be brief."


def test_a_response_format_of_the_users_own_goes_before_ours():
    own = {"type": "json_object"}
    assert body(ASK, int, response_format=own)["response_format"] == own


def test_images_pass_through_as_they_are():
    parts = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]
    messages = [{"role": "user", "content": parts}]
    assert body(messages)["messages"] == messages


def test_a_correction_holds_what_was_said_and_why_it_will_not_do():
    call = recipe(int).ask(ASK)
    said = {"choices": [{"message": {"content": '{"a":"many"}'}, "finish_reason": "stop"}]}
    with pytest.raises(CallError) as caught:
        call.read(said)
    assert caught.value.kind is Kind.WRONG_SHAPE
    again = call.correction(said, caught.value)
    messages = json.loads(again.body)["messages"]
    assert messages[0] == ASK[0]
    assert messages[1] == {"role": "assistant", "content": '{"a":"many"}'}
    assert caught.value.message in messages[2]["content"]
    assert again.key != call.key
    assert again.correction(said, caught.value).key not in {again.key, call.key}


def test_of_a_long_answer_and_a_long_reason_a_correction_quotes_the_beginning_and_says_so():
    call = recipe(int).ask(ASK)
    begins = len(call.body)
    for _ in range(2):
        said = {"choices": [{"message": {"content": "z" * 2**22}, "finish_reason": "stop"}]}
        call = call.correction(said, CallError(Kind.WRONG_SHAPE, "no " * 2**20))
    messages = json.loads(call.body)["messages"]
    assert messages[1]["content"] == "z" * QUOTED + " [...]"
    assert "Only the beginning of your answer is shown here. Answer" in messages[2]["content"]
    assert len(call.body) < begins + 3 * QUOTED
    said = {"choices": [{"message": {"content": "z" * QUOTED}, "finish_reason": "stop"}]}
    messages = json.loads(call.correction(said, CallError(Kind.WRONG_SHAPE, "no")).body)["messages"]
    assert messages[-2:] == [
        {"role": "assistant", "content": "z" * QUOTED},
        {"role": "user", "content": "no Answer again, correctly."},
    ]


def test_questions_told_apart_by_occurrence_have_keys_of_their_own_and_equal_bodies():
    calls = [recipe().ask(ASK, occurrence=n) for n in range(3)]
    assert len({call.key for call in calls}) == 3
    assert len({call.body for call in calls}) == 1


@pytest.mark.parametrize("bound", ["max_tokens", "max_completion_tokens"])
async def test_a_reply_teaches_the_estimate_and_says_what_was_charged(bound):
    with Server(answer="four word answer here") as server:
        at = {"base_url": server.base_url, "api_key": server.key}
        model = lp.Model("openai/m", **at, **{bound: 50})
        made = RequestBuilder(model.connect(), model.body_params, Answer.of(str))
        call = made.ask(ASK)
        before = call.estimate
        reply = await call.send()
        assert reply.error is None
        assert reply.used.output == 6
        assert reply.charged.output == 50  # OpenAI counts the bound, used or not
        assert call.estimate.input == reply.used.input != before.input
        assert call.read(reply.data) == call.read(call.parse(reply.raw)) == "four word answer here"
        await made.connection.wire.close()


async def test_a_failed_attempt_is_a_reply_with_its_error_and_never_raises():
    with Server(faults=["500", "reset"]) as server:
        model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
        made = RequestBuilder(model.connect(), model.body_params, Answer.of(str))
        kinds = [(await made.ask(ASK).send()).error.kind for _ in range(2)]
        await made.connection.wire.close()
    assert kinds == [Kind.SERVER_ERROR, Kind.CONNECTION]
    await asyncio.sleep(0)


def test_a_parameter_that_cannot_be_sent_is_refused_before_anything_is():
    with pytest.raises(ConfigurationError, match="metadata"):
        lp.Model("openai/m", metadata={1, 2})
