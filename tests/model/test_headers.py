"""Rate-limit headers in all their spellings, and in none."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lionproc.engine.quotas import Quota
from lionproc.model.headers import day_is_used_up, retry_after_s, signals

NOW = 1_793_577_600.0  # 2026-11-02 00:00:00 UTC


def wait(text, name="retry-after"):
    return retry_after_s({name: text}, lambda: NOW)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2", 2),
        ("0", 0),
        ("1.5", 1.5),
        (" 2 ", 2),
        ("20ms", 0.02),
        ("1s", 1),
        ("6m0s", 360),
        ("1m30.5s", 90.5),
        ("Mon, 02 Nov 2026 00:00:30 GMT", 30),
        ("2026-11-02T00:00:30Z", 30),
        ("2026-11-02T01:00:30+01:00", 30),
        ("Mon, 02 Nov 2020 00:00:00 GMT", 0),  # past: at once
        (str(NOW + 30), 30),  # a Unix time
        ("3600", 600),  # a night run asks now and then
        ("1h", 600),
    ],
)
def test_a_wait_is_read_in_every_spelling(text, seconds):
    assert wait(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "banana",
            "-5",
            "",
            "nan",
            "inf",
            "-inf",
            "1e9",
            "1e400",
            "0x10",
            "1s2",
            "s",
            "1 s",
            "--",
        ),
        *("Mon, 02 Nov 9999 00:00:00 GMT", "99999-01-01", "0000-00-00", "Mon, 99 Foo", "9" * 5000),
        "٣ days",
    ],
)
def test_nonsense_is_as_if_it_were_not_there(text):
    assert wait(text) is None
    assert wait(text, "retry-after-ms") is None


@settings(deadline=None)
@given(st.text(max_size=80) | st.from_regex(r"[0-9.:TZ+ -]{1,30}") | st.floats().map(str))
def test_no_header_makes_it_raise_or_wait_for_ever(text):
    seconds = wait(text)
    assert seconds is None or 0 <= seconds <= 600
    found = signals(
        {f"x-ratelimit-{part}-requests": text for part in ("limit", "remaining", "reset")}
    )
    for quota in found.quotas.values():
        for number in (quota.limit, quota.remaining, quota.reset_s):
            assert number is None or (math.isfinite(number) and number >= 0)


@pytest.mark.parametrize("off_s", [-3600.0, 0.0, 3600.0, -NOW, 1e12])
def test_a_moment_is_read_by_the_clock_of_the_server_that_names_it(off_s):
    headers = {"date": "Mon, 02 Nov 2026 00:00:00 GMT", "retry-after": "2026-11-02T00:00:30Z"}
    reset = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-reset": "2026-11-02T00:00:40Z",
    }
    assert retry_after_s(headers, lambda: NOW + off_s) == 30
    quotas = signals(headers | reset, lambda: NOW + off_s).quotas
    assert quotas["requests"].reset_s == 40
    assert retry_after_s(headers | {"date": "today"}, lambda: NOW) == 30


def test_milliseconds_go_before_seconds_and_nonsense_gives_way():
    assert retry_after_s({"retry-after-ms": "1500", "retry-after": "9"}) == 1.5
    assert retry_after_s({"retry-after-ms": "soon", "retry-after": "9"}) == 9
    assert retry_after_s({"llm_provider-retry-after": "9"}) == 9
    assert retry_after_s({}) is None


def test_openai_and_its_proxies_are_understood():
    headers = {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "120000",
        "x-ratelimit-remaining-tokens": "119000",
        "x-ratelimit-reset-tokens": "0.5s",
    }
    expected = {"requests": Quota(600, 599, 0.1), "tokens": Quota(120000, 119000, 0.5)}
    assert signals(headers).quotas == expected
    assert signals({f"llm_provider-{k}": v for k, v in headers.items()}).quotas == expected


def test_anthropic_counts_what_is_read_and_written_apart():
    headers = {}
    for number, lane in enumerate(("requests", "tokens", "input-tokens", "output-tokens"), 1):
        headers[f"anthropic-ratelimit-{lane}-limit"] = str(100 * number)
        headers[f"anthropic-ratelimit-{lane}-remaining"] = str(10 * number)
        headers[f"anthropic-ratelimit-{lane}-reset"] = "2026-11-02T00:00:30Z"
    assert signals(headers, lambda: NOW).quotas == {
        "requests": Quota(100, 10, 30),
        "tokens": Quota(200, 20, 30),
        "input": Quota(300, 30, 30),
        "output": Quota(400, 40, 30),
    }


@pytest.mark.parametrize(
    ("reset", "is_used_up"),
    [
        ("7h", True),
        ("30h", True),
        ("720h", True),
        ("5m", False),
        ("87600h", False),
        ("9999d", False),
    ],
)
def test_a_quota_that_comes_back_in_hours_is_used_up_and_one_in_years_is_nonsense(
    reset, is_used_up
):
    left = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": reset}
    assert day_is_used_up(left) is is_used_up


def test_a_limit_by_the_day_is_not_taken_for_one_by_the_minute():
    headers = {"x-ratelimit-limit-requests": "1000", "x-ratelimit-reset-requests": "86m24s"}
    assert signals(headers).quotas == {}


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [
        ("10000", "9999", "8.64s"),  # OpenAI, small tiers
        ("200", "199", "7m12s"),
        ("14400", "14370", "2m59.56s"),  # Groq
        ("14400", "14398", "8.1s"),  # one and a bit, counted as two
        ("1000", "0", "23h59m"),
    ],
)
def test_a_limit_that_fills_up_in_a_day_is_one_of_the_day(limit, remaining, reset):
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    assert signals({f"x-ratelimit-{k}-requests": v for k, v in said.items()}).quotas == {}


@pytest.mark.parametrize(
    ("limit", "remaining", "reset"),
    [("60", "59", "1s"), ("600", "599", "100ms"), ("600", "599", "59.9s"), ("500", "500", "0s")],
)
def test_a_limit_of_the_minute_is_kept_in_a_bucket_and_in_a_window(limit, remaining, reset):
    said = {"limit": limit, "remaining": remaining, "reset": reset}
    made = signals({f"x-ratelimit-{k}-requests": v for k, v in said.items()})
    assert made.quotas["requests"].limit == float(limit)


@pytest.mark.parametrize(
    ("lane", "limit"),
    [("requests", "5e-324"), ("requests", "0.001"), ("tokens", "1"), ("tokens", "1e300")],
)
def test_a_limit_that_no_provider_has_is_ignored_and_named(lane, limit):
    name = f"x-ratelimit-limit-{lane}"
    made = signals({name: limit, f"x-ratelimit-remaining-{lane}": "0"})
    assert made.quotas == {}
    assert made.ignored == f"{name}: {limit}"


def test_headers_of_a_reply_are_found_in_any_case():
    from multidict import CIMultiDict

    assert retry_after_s(CIMultiDict({"Retry-After": "3"})) == 3
