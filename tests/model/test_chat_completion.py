"""What replies mean, as pure functions: fuzzed, since a reply may hold anything."""

import contextlib
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lionproc.errors import CallError, Kind
from lionproc.model.chat_completion import classify, text_of

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "message",
                    "content",
                    "text",
                    "finish_reason",
                    "refusal",
                    "error",
                    "x",
                    "tool_calls",
                    "usage",
                    "prompt_tokens",
                    "model",
                    "code",
                    "type",
                    "detail",
                    "msg",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def reply(status=200, body=None, headers=None):
    return classify(
        status, headers or {}, body if isinstance(body, bytes) else json.dumps(body).encode()
    )


def completion(content="fine", finish="stop", **more):
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}], **more}


@settings(deadline=None)
@given(ANYTHING, st.sampled_from([200, 200, 200, 204, 302, 400, 401, 404, 422, 429, 500, 503, 599]))
@example({"choices": [None]}, 204)  # as of 200: what is missing in it is said when it is read
@example({"choices": [None]}, 302)
def test_no_reply_makes_it_raise_and_only_a_success_can_be_paid_for(body, status):
    made = reply(status, body)
    if not 200 <= status < 300:
        assert made.error is not None
    if made.error is None:
        with contextlib.suppress(CallError):
            assert text_of(made.data).strip()


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({}, optional={
            "message": ANYTHING | st.fixed_dictionaries({}, optional={
                "content": ANYTHING, "refusal": ANYTHING, "tool_calls": ANYTHING}),
            "finish_reason": ANYTHING,
        }), max_size=2)},
        optional={"usage": ANYTHING, "model": ANYTHING},
    )
)  # fmt: skip
def test_an_answer_comes_only_from_a_message_with_text(body):
    try:
        text = text_of(body)
    except CallError:
        return
    choice = body["choices"][0]
    content = choice["message"]["content"]
    if isinstance(content, list):
        content = "".join(p["text"] for p in content if isinstance(p, dict) and "text" in p)
    assert text == content
    assert not choice["message"].get("refusal")


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from([200, 400, 500]))
def test_bytes_of_any_kind_are_never_paid_for(body, status):
    made = reply(status, body)
    assert made.error is not None
    assert made.used is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Kind.BAD_REQUEST),
        (401, Kind.ACCESS),
        (402, Kind.QUOTA),
        (403, Kind.ACCESS),
        (404, Kind.NOT_FOUND),
        (405, Kind.BAD_REQUEST),
        (408, Kind.SERVER_ERROR),
        (409, Kind.SERVER_ERROR),
        (410, Kind.NOT_FOUND),
        (413, Kind.TOO_LARGE),
        (422, Kind.BAD_REQUEST),
        (424, Kind.SERVER_ERROR),
        (429, Kind.RATE_LIMITED),
        (498, Kind.NO_CAPACITY),
        (499, Kind.SERVER_ERROR),
        (500, Kind.SERVER_ERROR),
        (502, Kind.SERVER_ERROR),
        (503, Kind.OVERLOADED),
        (529, Kind.OVERLOADED),
        (599, Kind.SERVER_ERROR),
        (302, Kind.REDIRECT),
        (204, Kind.BAD_REPLY),
        (101, Kind.BAD_REQUEST),
    ],
)
def test_every_status_has_its_kind(status, kind):
    error = reply(status, b"").error
    assert error.kind is kind
    assert error.status == status


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "Too long."},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"message": "prompt is too long: 200001 tokens > 200000 maximum"},
        {"message": "The input exceeds the context window length of this model"},
        {"message": "the request exceeds the available context size, try increasing it"},
    ],
)
def test_a_prompt_that_is_too_long_is_told_from_other_bad_requests(error):
    found = reply(400, {"error": error}).error
    assert found.kind is Kind.CONTEXT_LENGTH
    assert "Shorten" in found.hint


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"error": {"message": "Bad seed."}}, "HTTP 400: Bad seed."),
        ({"error": "Bad seed."}, "HTTP 400: Bad seed."),
        ({"detail": "Bad seed."}, "HTTP 400: Bad seed."),
        ({"message": "Bad seed."}, "HTTP 400: Bad seed."),
        ({"error": {"code": "bad_seed"}}, "HTTP 400: bad_seed"),
        ({"error": {"message": {"text": "Bad seed."}}}, "HTTP 400."),
        ([], "HTTP 400."),
    ],
)
def test_the_servers_own_words_are_passed_on(body, words):
    assert reply(400, body).error.message == words


def test_a_list_of_faults_that_quotes_the_request_is_read_without_the_quotes():
    faults = [{"loc": ["body", "messages", 0], "msg": "field required", "input": "my diary"}]
    message = reply(422, {"detail": faults}).error.message
    assert message == "HTTP 422: field required"


def test_words_of_a_server_are_short_printable_and_without_keys():
    said = (
        "no\x1b[2J\n\tkey sk-proj-abcdefgh12345678 nor Bearer abc.def\u202e AIzaSyA1234567890abc "
        + "z" * 999
    )
    message = reply(400, {"error": {"message": said}}).error.message
    assert message.isprintable()
    assert len(message) <= 220
    for secret in ("abcdefgh", "abc.def", "AIzaSy"):
        assert secret not in message


def test_the_wait_that_a_refusal_asks_for_is_in_its_error():
    assert reply(503, b"", {"retry-after": "7"}).error.retry_after_s == 7
    assert reply(429, b"", {"retry-after-ms": "250"}).error.retry_after_s == 0.25


def test_an_error_beside_an_answer_is_an_error():
    body = completion("fine", error={"message": "Half of it failed."})
    assert reply(200, body).error.kind is Kind.BAD_REPLY


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"content": "  \n"}, Kind.EMPTY),
        ({"content": ""}, Kind.EMPTY),
        ({"content": None}, Kind.EMPTY),
        ({"content": [{"type": "text", "text": " "}]}, Kind.EMPTY),
        ({"content": None, "reasoning_content": "Hm."}, Kind.EMPTY),
        ({"content": None, "tool_calls": [{"id": "1"}]}, Kind.TOOL_CALL),
        ({"content": "fine", "refusal": "No."}, Kind.REFUSED),
        ({"content": [{"type": "refusal", "refusal": "No."}]}, Kind.REFUSED),
    ],
)
def test_a_message_that_ended_well_may_still_be_no_answer(message, kind):
    with pytest.raises(CallError) as caught:
        text_of({"choices": [{"message": message, "finish_reason": "stop"}]})
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
        {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter: SPII"}]},
    ],
)
def test_what_gemini_holds_back_is_filtered_and_not_merely_empty(body):
    with pytest.raises(CallError) as caught:
        text_of(body)
    assert caught.value.kind is Kind.FILTERED


def test_an_error_inside_a_choice_is_an_error_to_try_again():
    body = completion("half an ans", "error", usage={"prompt_tokens": 1, "completion_tokens": 1})
    body["choices"][0]["error"] = {"code": 502, "message": "Upstream went away."}
    made = reply(200, body)
    assert made.error.kind is Kind.BAD_REPLY
    assert "Upstream went away" in made.error.message


def test_the_models_name_is_kept_short():
    assert reply(200, completion(model="m" * 10_000)).model == "m" * 200
    assert reply(200, completion(model=7)).model == ""


def test_a_stream_tells_its_tier_and_usage_wherever_they_are_said():
    usage = {"prompt_tokens": 5, "completion_tokens": 2}
    events = [
        {"service_tier": "priority", "choices": [{"delta": {"content": "fi"}}]},
        {"choices": [{"delta": {"content": "ne"}, "finish_reason": "stop"}]},
        {"choices": [], "usage": usage},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    reply = classify(200, {}, body.encode())
    assert text_of(reply.data) == "fine"
    assert reply.usage.tier == "priority"
    assert reply.usage.tokens == (5, 2)
