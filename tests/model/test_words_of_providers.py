"""What providers, routers and local servers really say, and what it means for a run.

The bodies have the shape that each of them sends, as its pages and its users report it.
"""

import json
import warnings

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import AccessError, CallError, Kind, ParameterWarning
from lionproc.model.body import in_one_piece, parsed
from lionproc.model.chat_completion import classify, text_of
from lionproc.model.thoughts import without_thoughts
from lionproc.testing import Fault, Server


def refused(status, body, headers=None, *, proven=False):
    return classify(status, headers or {}, json.dumps(body).encode(), proven=proven).error


def error(message, **more):
    return {"error": {"message": message, **more}}


TOO_LONG = {
    "llama.cpp": (400, error("request (4390 tokens) exceeds the available context size (4096 tokens)",
        type="exceed_context_size_error", code=400)),
    "llama.cpp, in a 200": (200, error("try another", type="exceed_context_size_error", code=400)),
    "llama.cpp, in a 500": (500, error("Context size has been exceeded.", type="server_error",
        code=500)),
    "together": (400, error("Input validation error: `inputs` tokens + `max_new_tokens` must be "
        "<= 4097. Given: 5013 `inputs` tokens and 128 `max_new_tokens`")),
    "together, as a 403": (403, error("Input token count + `max_tokens` must be less than the "
        "context length of the model being queried.")),
    "gemini": (400, [error("The input token count (1200000) exceeds the maximum number of tokens "
        "allowed (1048576).", status="INVALID_ARGUMENT", code=400)]),
    "xai": (400, {"code": "Client specified an invalid argument", "error": (
        "This model's maximum prompt length is 131072 but the request contains 200000 tokens.")}),
    "bedrock": (400, {"message": "Input is too long for requested model."}),
    "anthropic": (400, error("input length and `max_tokens` exceed context limit: 190000 + 21333 "
        "> 200000", type="invalid_request_error")),
    "moonshot": (400, error("Invalid request: Your request exceeded model token limit: 8192")),
    "dashscope": (400, error("<400> InternalError: Range of input length should be [1, 30720]")),
    "vllm": (400, {"object": "error", "message": "max_tokens must be at least 1, got -186.",
        "type": "BadRequestError", "param": None, "code": 400}),
    "minimax": (400, error("invalid params, context window exceeds limit (2013)")),
    "zhipu": (400, error("Prompt exceeds max length", code="1261")),
}  # fmt: skip


@pytest.mark.parametrize("who", TOO_LONG)
def test_a_prompt_that_is_too_long_is_one_in_the_words_of_each_server(who):
    status, body = TOO_LONG[who]
    for proven in (False, True):
        assert refused(status, body, proven=proven).kind is Kind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    "body",
    [
        error("context deadline exceeded", code=500),
        error("The server had an error in the context of your request.", type="server_error"),
    ],
)
def test_a_500_that_has_the_word_context_in_it_passes(body):
    assert refused(500, body).kind is Kind.SERVER_ERROR


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, error("Budget limit exceeded", code=403,
            metadata={"limit_source": "openrouter_workspace_budget"})),
        (402, error("Insufficient credits", metadata={"limit_source": "openrouter_credits"})),
        (200, error("Insufficient credits", code=402)),
        (412, error("Account x is suspended, possibly due to reaching the monthly spending limit "
            "or failure to pay past invoices.", code="PRECONDITION_FAILED")),
        (429, error("No deployments available - crossed budget: Exceeded budget for deployment "
            "model_name: x: 0.363 >= 0.3", code="429")),
        (400, error("ExceededBudget: End User=x over budget. Spend=0.0008, Budget=0.0001",
            type="auth_error", code="400")),
    ],
)  # fmt: skip
def test_a_budget_of_an_account_or_a_proxy_that_is_used_up_stops(status, body):
    assert refused(status, body, proven=True).kind is Kind.QUOTA


def test_a_router_whose_budget_for_what_is_in_flight_is_full_is_waited_for():
    body = error("Too much is in flight", metadata={"limit_source": "openrouter_in_flight_budget"})
    found = refused(402, body, {"retry-after": "3"})
    assert (found.kind, found.retry_after_s) == (Kind.RATE_LIMITED, 3)
    assert refused(402, error("Pay first", code=402)).kind is Kind.QUOTA


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (429, "Rate limited upstream", Kind.RATE_LIMITED),
        ("429", "Rate limited upstream", Kind.RATE_LIMITED),
        (400, "Provider returned error", Kind.BAD_REQUEST),
        (403, "Your input was flagged", Kind.FILTERED),
        (404, "No such thing for this row", Kind.FORBIDDEN),
        (408, "It took too long", Kind.SERVER_ERROR),
        (502, "Provider returned error", Kind.BAD_REPLY),
        ("boom", "Whatever", Kind.BAD_REPLY),
        (True, "Whatever", Kind.BAD_REPLY),
    ],
)
def test_the_status_that_a_router_puts_into_a_200_says_what_helps(code, message, kind):
    whole = refused(200, error(message, code=code))
    half = refused(200, {"choices": [{"finish_reason": "error", **error(message, code=code)}]})
    assert (whole.kind, half.kind) == (kind, kind)
    assert message in whole.message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, error("No models loaded. Please load a model in the developer page.")),
        (400, error("No models loaded. Please load a model in the developer page.")),
        (400, {"error": "Model unloaded."}),
        (400, {"error": 'Failed to load model "gpt-oss-20b". Error: Error loading model.'}),
        (500, error("model requires more system memory (5.3 GiB) than is available (3.3 GiB)")),
    ],
)
def test_a_model_that_is_not_loaded_stops_a_first_run_and_is_waited_for_in_a_later_one(
    status, body
):
    first, later = refused(status, body), refused(status, body, proven=True)
    assert (first.kind, later.kind) == (Kind.NOT_FOUND, Kind.OVERLOADED)
    assert "load it there" in first.message
    assert "this row" not in later.message


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (403, error("Your API key was reported as leaked. Please use another API key."), "api_key="),
        (403, error("Forbidden", status="PERMISSION_DENIED",
            details=[{"reason": "CONSUMER_SUSPENDED"}]), "api_key="),
        (403, error("Country, region, or territory not supported"), "country"),
        (400, [error("User location is not supported for the API use.")], "country"),
    ],
)  # fmt: skip
def test_what_no_row_can_get_past_is_not_taken_for_the_rows_own(status, body, words):
    for proven in (False, True):
        found = refused(status, body, proven=proven)
        assert found.kind is Kind.ACCESS
        assert words in found.message


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (410, error("The model is deprecated.", code="ModelDeprecated"), Kind.NOT_FOUND),
        (413, error("Request too large for model x on tokens per minute (TPM): Limit 6000, "
            "Requested 12328", code="rate_limit_exceeded"), Kind.TOO_LARGE),
        (424, {"error": "Request failed during generation", "error_type": "generation"},
            Kind.SERVER_ERROR),
        (498, error("Flex tier capacity exceeded"), Kind.NO_CAPACITY),
        (499, [error("The operation was cancelled.", status="CANCELLED")], Kind.SERVER_ERROR),
        (400, error("Invalid prompt: your prompt was flagged as potentially violating our usage "
            "policy.", code="invalid_prompt"), Kind.FILTERED),
    ],
)  # fmt: skip
def test_statuses_that_few_servers_have_mean_what_those_say(status, body, kind):
    assert refused(status, body, proven=True).kind is kind


@pytest.mark.parametrize(
    "body",
    [
        {"success": False, "errors": [{"code": 5006, "message": "bad seed"}]},
        {"detail": {"error": {"message": "bad seed", "code": "x"}}},
        {"object": "error", "message": {"detail": [{"loc": ["seed"], "msg": "bad seed"}]}},
        {"error": {"error": {"error": {"message": "bad seed"}}}},
    ],
)
def test_the_words_of_a_server_are_found_however_deep_they_lie(body):
    assert refused(400, body).message == "HTTP 400: bad seed"


def test_what_lies_deeper_than_anybody_means_it_is_not_looked_for():
    body = "end"
    for _ in range(100):
        body = {"error": body}
    assert refused(400, body).message == "HTTP 400."


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (("<|channel|>analysis<|message|>Two and two.<|end|><|start|>assistant"
            "<|channel|>final<|message|>4<|return|>"), "4"),
        ("<|start|>assistant<|channel|>final<|message|>4", "4"),
        ('<|channel|>final <|constrain|>json<|message|>{"n": 4}<|end|>', '{"n": 4}'),
        ("<|channel|>analysis<|message|>We need", ""),
        ("<|channel|>commentary<|message|>{}<|end|>", ""),
        ("analysisWe need to output only that word.assistantfinalfour", "four"),
        ("<|channel>thought\nHm.\n<channel|>4", "4"),
        ("analysis of variance", "analysis of variance"),
        ("The mark is <|channel|>final<|message|>, they say.",
            "The mark is <|channel|>final<|message|>, they say."),
    ],
)  # fmt: skip
def test_the_channels_of_a_model_that_a_server_passes_on_are_no_answer(text, answer):
    assert without_thoughts(text).strip() == answer


def test_a_choice_without_a_message_ends_as_its_ending_says():
    for ending, kind in (("content_filter", Kind.FILTERED), ("stop", Kind.EMPTY)):
        with pytest.raises(CallError) as caught:
            text_of({"choices": [{"index": 0, "finish_reason": ending}]})
        assert caught.value.kind is kind


# In a run, over a socket


@pytest.fixture
def ask(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path))

    def ask(server, **params):
        model = lp.Model("openai", "m", base_url=server.base_url, api_key="none", **params)
        frame = pd.DataFrame({"text": [f"row {n}" for n in range(6)]})
        return frame.llm.process("Say {text}", "a", model=model, progress=False)

    return ask


def says(status, body, **headers):
    return Fault("other", status=status, body=json.dumps(body), headers=tuple(headers.items()))


def test_a_run_goes_on_when_the_router_lets_more_be_in_flight(ask):
    full = error("Full", metadata={"limit_source": "openrouter_in_flight_budget"})
    with Server(key=None, faults=[says(402, full, **{"retry-after-ms": "20"})]) as server:
        out = ask(server)
        assert out["a"].notna().all()
        assert server.counters.total == 7


def test_a_model_that_needs_more_memory_than_there_is_stops_a_run_at_once(ask):
    memory = error("model requires more system memory (5.3 GiB) than is available (3.3 GiB)")
    with Server(key=None, faults={says(500, memory): 1.0}) as server:
        with pytest.raises(AccessError, match="system memory"):
            ask(server)
        assert server.counters.total <= 6  # each row once: none is tried again


def test_a_bound_on_the_answer_that_is_refused_deep_in_a_body_is_renamed(ask):
    fault = {"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra"}
    no = says(422, {"object": "error", "message": {"detail": [fault]}, "code": None})

    def answer(body, _):
        return no if "max_completion_tokens" in body else None

    with Server(key=None, faults=answer) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ParameterWarning)
            out = ask(server, max_completion_tokens=50)
        assert out["a"].notna().all()
        assert server.requests[-1].body["max_tokens"] == 50


def said(*pieces):
    text = {"type": "text", "text": "fine"}
    message = {"content": [*pieces, text]}
    return text_of({"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


def test_pieces_of_an_answer_are_its_text_and_thoughts_among_them_are_none():
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    source = {"type": "reference", "reference_ids": [1]}
    search = {"type": "web_search_tool_result", "content": []}
    idea = {"type": "thought", "text": "Hm."}
    marked = [{"type": "text", "text": "Hm.", "thought": True}, {"text": "Hm.", "thought": True}]
    pieces = [thought, source, None, search, idea, *marked, "so ", {"text": "very "}]
    assert said(*pieces) == "so very fine"


@pytest.mark.parametrize(
    "piece",
    [
        {"type": "Text", "text": "not "},
        {"type": "text", "text": {"value": "not "}},
        {"type": "text", "text": 42},
        {"type": "output_json", "json": {"a": 1}},
        [{"type": "text", "text": "not "}],
    ],
)
def test_an_answer_of_which_a_piece_cannot_be_read_is_none(piece):
    with pytest.raises(CallError) as caught:
        said(piece)
    assert caught.value.kind is Kind.UNREADABLE


def test_of_several_choices_the_first_is_the_one_that_says_so():
    choices = [
        {"index": n, "finish_reason": "stop", "message": {"content": str(n)}} for n in (1, 0, 2)
    ]
    assert text_of(parsed(json.dumps({"choices": choices}).encode())) == "0"


def test_pieces_that_become_one_text_are_not_longer_than_they_were():
    said = "\x7f" * 1000 + "é" * 1000
    pieces = [{"type": "text", "text": said}, {"type": "text", "text": "\ud800"}]
    body = json.dumps({"choices": [{"message": {"content": pieces}}]}, ensure_ascii=False)
    body = body.encode(errors="backslashreplace")
    whole = in_one_piece(body)
    assert len(whole) <= len(body)
    assert json.loads(whole)["choices"][0]["message"]["content"] == said + "\ud800"


def test_brackets_within_the_text_of_a_reply_are_no_lists():
    said = "[" * 800_000 + '"' + "\\"
    body = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
    assert parsed(body)["choices"][0]["message"]["content"] == said
    with pytest.raises(ValueError, match="more lists and objects"):
        parsed(body[:-1] + b"," + b'"x":[' + b"[]," * 800_000 + b"1]}")
    with pytest.raises(ValueError, match="more lists and objects"):
        parsed(b'{} "' + body)


def test_a_number_of_very_many_digits_beside_an_answer_is_not_known():
    body = b'{"choices":[{"message":{"content":"fine"}}],"usage":{"total_tokens":%s,"n":7}}'
    assert parsed(body % (b"9" * 5000))["usage"] == {"total_tokens": None, "n": 7}
