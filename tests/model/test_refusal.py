"""Refusals in the words of the providers: what would help, told from what would not."""

import json

import pytest

from lionproc.errors import CallError, Kind
from lionproc.model.chat_completion import classify
from lionproc.model.told import told

GOOGLE_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)


def refused(status, body, headers=None, **more):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, headers or {}, data, **more).error


def google(status, message, word, *details):
    """An error as Gemini's OpenAI-compatible address sends it: in a list."""
    error = {"code": status, "message": message, "status": word, "details": list(details)}
    return [{"error": error}]


def violation(quota):
    kind = "type.googleapis.com/google.rpc.QuotaFailure"
    return {"@type": kind, "violations": [{"quotaId": quota}]}


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (429, {"code": "insufficient_quota", "message": "Pay."}),
        (429, {"code": None, "type": "insufficient_quota", "message": "Pay."}),
        (429, {"code": 429, "type": "insufficient_quota", "message": "Pay."}),
        (429, {"message": "You exceeded your current quota, please check your plan and billing."}),
        (429, {"type": "billing_hard_limit_reached", "message": "Pay."}),
        (429, {"code": "billing_not_active", "message": "Pay."}),
        (400, {"type": "invalid_request_error", "message": (
            "Your credit balance is too low to access the Anthropic API.")}),
        (400, {"type": "invalid_request_error", "message": (
            "You have reached your specified API usage limits. You will regain access on ...")}),
        (402, {"code": 402, "message": "This request requires more credits, or fewer max_tokens."}),
        (403, {"code": 403, "message": "Key limit exceeded (total limit)."}),
        (403, {"code": "403", "message": "Out of call volume quota. Quota will be replenished in "
            "6 days."}),
        (400, {"code": "blocked_api_access", "message": "Your organization has hit its limit."}),
        (400, {"type": "budget_exceeded", "message": "Over it."}),
        (429, {"code": 429, "message": "Quota exceeded for metric: free_tier_requests, limit: 0"}),
        (429, {"code": "InsufficientQuota", "message": "No."}),
    ],
)  # fmt: skip
def test_an_account_without_credit_is_no_rate_limit_and_no_bad_row(status, error):
    for proven in (False, True):
        found = refused(status, {"error": error}, proven=proven)
        assert found.kind is Kind.QUOTA
        assert "no credit" in found.message
        assert "api_key" not in found.message


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": 429, "message": (
            "Rate limit exceeded: free-models-per-day. Add 10 credits to unlock more.")}},
        {"error": {"code": "rate_limit_exceeded", "type": "tokens", "message": (
            "Rate limit reached for model x on tokens per day (TPD): Limit 100000, Used 97050.")}},
        {"error": {"code": "rate_limit_exceeded", "type": "requests", "message": (
            "Rate limit reached for x on requests per day (RPD): Limit 200, Used 200.")}},
        google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED",
            violation("GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45s"}),
    ],
)  # fmt: skip
def test_a_quota_of_the_day_stops_unless_the_server_names_a_time_that_can_be_waited_for(body):
    found = refused(429, body)
    assert found.kind is Kind.QUOTA
    assert "quota of the day" in found.message
    assert refused(429, body, {"retry-after": "25000"}).kind is Kind.QUOTA
    soon = refused(429, body, {"retry-after": "40"})
    assert (soon.kind, soon.retry_after_s) == (Kind.RATE_LIMITED, 40)


def test_headers_that_have_nothing_left_for_hours_say_that_the_day_is_over():
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "7h12m0s"}
    assert refused(429, {"error": {"message": "No."}}, headers).kind is Kind.QUOTA
    headers["x-ratelimit-reset-requests"] = "8s"
    assert refused(429, {"error": {"message": "No."}}, headers).kind is Kind.RATE_LIMITED


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"code": "rate_limit_exceeded", "message": (
            "Rate limit reached for x on tokens per min (TPM): Limit 30000, Used 29000.")}},
        {"error": {"type": "rate_limit_error", "message": "This request would exceed your limit."}},
        {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min."}},
        {"error": {"code": "too_many_requests", "message": "You sent too many tokens a minute."}},
        google(429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED"),
        google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED"),
        google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED", violation("RequestsPerMinutePerProject")),
        b"<html>Too many requests</html>",
        b"",
    ],
)  # fmt: skip
def test_a_limit_by_the_minute_is_waited_for(body):
    assert refused(429, body).kind is Kind.RATE_LIMITED


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Rate limit reached for gpt-4. Please try again in 7.66s. Visit the site.", 7.66),
        ("Rate limit reached. Please try again in 20ms.", 0.02),
        ("Please try again in 6m0s.", 360),
        ("Too many requests. Retry after 5 Seconds.", 5),
        ("TRY AGAIN IN 2 MINUTES", 120),
        ("Limit 100, used 99. Please try again in 1m7.5s.", 67.5),
        ("Please retry after 3 seconds. Go to the site for more.", 3),
        ("Please retry in 41.820516331s.", 41.820516331),
        ("Please retry your request after 2 minutes.", 120),
        ("Try again in 1 hour.", 600),  # asked again after ten minutes
        ("Try again in 3 months.", None),
        ("Please try again later.", None),
        ("Too many requests in 5s", None),
    ],
)
def test_the_seconds_that_a_refusal_says_in_words_are_believed(words, seconds):
    body = {"error": {"message": words, "code": "rate_limit_exceeded"}}
    assert refused(429, body).retry_after_s == seconds
    assert refused(429, body, {"retry-after": "9"}).retry_after_s == 9
    reply = classify(429, {}, json.dumps(body).encode())
    assert reply.signals.retry_after_s == seconds


def test_the_wait_that_google_writes_into_the_body_is_kept():
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.5s"}
    body = google(429, GOOGLE_QUOTA, "RESOURCE_EXHAUSTED", violation("PerMinute"), retry)
    assert refused(429, body).retry_after_s == 45.5
    assert refused(429, body, {"retry-after": "3"}).retry_after_s == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (google(400, "Bad schema.", "INVALID_ARGUMENT"), "HTTP 400: Bad schema."),
        ({"error": {"message": json.dumps(google(400, "Bad schema.", "X")[0])}},
            "HTTP 400: Bad schema."),
        ({"error": {"message": "Provider returned error", "code": 400, "metadata": {
            "raw": json.dumps({"error": {"message": "Bad schema."}})}}}, "HTTP 400: Bad schema."),
        ({"error": {"message": "Provider returned error", "metadata": {"raw": "Bad schema."}}},
            "HTTP 400: Provider returned error: Bad schema."),
    ],
)  # fmt: skip
def test_the_words_of_a_server_are_found_in_lists_and_texts_too(body, words):
    assert refused(400, body).message == words


def test_a_bad_key_is_one_whatever_the_status():
    reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    body = google(400, "API key not valid.", "INVALID_ARGUMENT", reason)
    found = refused(400, body)
    assert found.kind is Kind.ACCESS
    assert "api_key=" in found.message


def test_a_403_or_404_is_the_rows_own_once_the_key_has_had_an_answer():
    for status, first in ((403, Kind.ACCESS), (404, Kind.NOT_FOUND)):
        body = {"error": {"message": "Not this one."}}
        assert refused(status, body).kind is first
        found = refused(status, body, proven=True)
        assert found.kind is Kind.FORBIDDEN
        assert "Not this one." in found.message
        assert "api_key" not in found.message
    assert refused(401, {"error": {"message": "No."}}, proven=True).kind is Kind.ACCESS


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (403, {"code": 403, "message": "x requires moderation on y. Your input was flagged."},
            Kind.FILTERED),
        (400, {"code": "content_filter", "message": "No.", "status": 400}, Kind.FILTERED),
        (404, {"code": 404, "message": "No endpoints found that support image input"},
            Kind.BAD_REQUEST),
        (429, {"type": "rate_limit_error", "message": (
            "Extra usage is required for long context requests.")}, Kind.CONTEXT_LENGTH),
        (429, {"type": "tokens", "message": (
            "Request too large for x on tokens per min (TPM): Limit 30000, Requested 41000.")},
            Kind.TOO_LARGE),
    ],
)  # fmt: skip
def test_what_one_row_alone_did_wrong_fails_that_row_alone(status, error, kind):
    assert refused(status, {"error": error}).kind is kind


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_page_of_html_is_a_firewall_and_not_a_bad_key(status):
    message = refused(status, b"\n<!DOCTYPE html><title>Blocked</title>").message
    assert "firewall" in message
    assert "api_key" not in message


def test_a_200_that_says_there_is_no_credit_is_not_asked_again():
    body = {"error": {"code": 402, "message": "Insufficient credits."}}
    assert refused(200, body).kind is Kind.QUOTA
    assert refused(200, {"error": {"message": "Upstream failed."}}).kind is Kind.BAD_REPLY


def test_a_huge_error_is_not_looked_through_to_its_end():
    said = {"error": {"message": "No. " * 1_000_000, "details": [[]] * 100_000}}
    assert len(refused(400, said).message) < 250


def test_a_time_that_only_a_row_names_is_waited_for_by_nobody():
    body = json.dumps({"error": {"message": "Too many requests near: retry in 600s"}}).encode()
    assert classify(429, {}, body).signals.wait_s == 600
    assert classify(429, {}, body, row="Say: retry in 600s").signals.wait_s is None


@pytest.mark.parametrize(
    ("cell", "quoted"),
    [
        ("retry in 9h", "for retry in 9h, slow down"),  # what stands behind it is no part of it
        ("wait\nfor 600s", "for wait for 600s"),
        ("wait for 9h", "for wait for 9h, 30 s after the last one"),
        ("insufficient\nquota", "Insufficient quota"),
        ("no models\tloaded", "NO MODELS LOADED"),
        ("limit: 0", "Quota exceeded for metric: tokens of 'limit: 0', limit: 90"),
        ('{"error": {"code": "insufficient_quota"}}', '{"error": {"code": "insufficient_quota"}}'),
        (
            '{"error": {"details": [{"retryDelay": "599s"}]}}',
            '{"error": {"message": "a", "details": [{"retryDelay": "599s"}]}}',
        ),
    ],
)
def test_what_a_row_says_is_nothing_to_others_in_whatever_letters_it_is_quoted(cell, quoted):
    body = json.dumps({"error": {"message": quoted}}).encode()
    mine = classify(429, {}, body, proven=True)
    assert mine.error.kind is not Kind.RATE_LIMITED or mine.signals.wait_s
    reply = classify(429, {}, body, proven=True, row=f"Say: {cell}")
    assert reply.error.kind is Kind.RATE_LIMITED
    assert reply.signals.wait_s is None


AT_ONCE = {
    "Moonshot": "Your account org-1 request reached max organization concurrency: 1, please try again after 1 seconds",
    "Zhipu": "High concurrency usage of this API, please reduce concurrency or contact us.",
    "Zhipu in Chinese": "您当前使用该API的并发数过高",
    "Anthropic": "Number of concurrent connections has exceeded your rate limit. Please try again later.",
    "Ollama's cloud": "timed out waiting for a concurrent request slot",
    "gateways": "Too many concurrent requests. Limit: 1 concurrent requests",
    "Vertex": "Quota exceeded for online_prediction_concurrent_requests_per_base_model.",
    "servers": "Too many parallel requests.",
    "LiteLLM": (
        "Rate limit exceeded for api_key: 88dc. Limit type: max_parallel_requests. Current limit: 5, "
        "Remaining: 0. Limit resets at: 2026-01-01 00:01:00 UTC"
    ),
}


@pytest.mark.parametrize("headers", [{}, {"retry-after": "60"}])
@pytest.mark.parametrize("who", AT_ONCE)
def test_too_many_at_once_is_told_from_too_many_a_minute(who, headers):
    reply = classify(429, headers, json.dumps({"error": {"message": AT_ONCE[who]}}).encode())
    assert reply.error.kind is Kind.RATE_LIMITED
    assert reply.signals.at_once
    assert reply.error.retry_after_s is None  # it is of another limit: the next reply makes room
    assert reply.signals.wait_s is None


def test_a_server_that_queues_no_more_takes_no_more_at_once():
    body = {"error": "server busy, please try again.  maximum pending requests exceeded"}
    reply = classify(503, {}, json.dumps(body).encode())
    assert reply.error.kind is Kind.RATE_LIMITED
    assert reply.signals.at_once


@pytest.mark.parametrize(
    "words",
    [
        "Rate limit reached for requests.",
        "Over 60 requests per minute. Lower your concurrency or wait.",
        "Rate limit reached for TPM. Send fewer concurrent requests.",
        "Crossed TPM / RPM / Max Parallel Request Limit. current rpm: 61, rpm limit: 60",
        "Rate limit exceeded for api_key: 88dc. Limit type: requests. Current limit: 60",
    ],
)
def test_too_many_a_minute_is_not_taken_for_too_many_at_once(words):
    reply = classify(429, {"retry-after": "7"}, json.dumps({"error": {"message": words}}).encode())
    assert not reply.signals.at_once
    assert reply.signals.wait_s == 7


def test_the_header_of_a_proxy_goes_before_its_words():
    body = json.dumps({"error": {"message": "Too many concurrent requests or tokens."}}).encode()
    of_tokens = classify(429, {"rate_limit_type": "tokens", "retry-after": "7"}, body)
    of_requests = classify(429, {"rate_limit_type": "max_parallel_requests"}, b"{}")
    assert not of_tokens.signals.at_once
    assert of_tokens.signals.wait_s == 7
    assert of_requests.signals.at_once


@pytest.mark.parametrize("field", ["message", "quotaId", "raw", "msg", "retryDelay"])
def test_little_of_an_error_is_looked_through_however_long_it_is(field):
    said = "quota exceeded for metric: " * 10_000
    error = {"message": "No.", "details": [{field: said, "violations": [{field: said}]}]}
    for body in ({"error": {**error, "metadata": {field: said}}}, {"detail": [{field: said}]}):
        assert len(told(json.dumps(body).encode()).text) < 100_000


@pytest.mark.parametrize("status", [99, 101, 304, 999])
def test_a_status_that_no_reply_to_a_question_has_names_the_address_and_the_proxy(status):
    said = str(classify(status, {}, b"").error)
    assert "not a valid HTTP reply" in said
    assert "base_url=" in said
    assert "Redirects" not in said
    assert "Change what the server refuses" not in said


def test_a_reason_ends_before_what_to_do_about_it_begins():
    said = str(CallError(Kind.WRONG_SHAPE, "give fewer"))
    assert said.startswith("give fewer. Name the allowed answers")
