import calendar
import math
import time
from array import array
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.errors import LimitsError
from lionproc.testing import FixedWindow, RollingWindow, Server, TokenBucket
from lionproc.testing.headers import duration
from lionproc.testing.limits import Charge, from_json
from lionproc.testing.recorder import worst_window

EVERY_KIND = [
    TokenBucket(requests=600, burst_s=3),
    RollingWindow(requests=600, window_s=10),
    FixedWindow(tokens=1200, window_s=1),
]


def admitted(limit, arrivals, amount=1):
    """The times at which a meter lets requests in."""
    meter, passed = limit.meter(), []
    for now in arrivals:
        if meter.wait_s(now, amount) == 0:
            meter.take(now, amount)
            passed.append(now)
    return passed


# --- the meters, with the time given ------------------------------------------------------------


def test_a_bucket_passes_its_burst_and_then_its_rate():
    passed = admitted(TokenBucket(requests=600), [*[0.0] * 200, *[n / 100 for n in range(6001)]])
    assert passed.count(0.0) == 100
    assert 699 <= len(passed) <= 701  # the bucket and a minute's refill
    at_once = admitted(TokenBucket(requests=60, burst_s=5), [0.0] * 20)
    assert len(at_once) == 5


def test_a_rolling_window_never_passes_more_than_its_limit():
    limit = RollingWindow(requests=60)
    passed = admitted(limit, [*[0.0] * 100, *[59.9] * 100, *[60.0] * 100, *[119.9] * 5])
    assert passed == [*[0.0] * 60, *[60.0] * 60]


def test_a_fixed_window_passes_twice_its_limit_across_the_border():
    limit = FixedWindow(requests=60)
    passed = admitted(limit, [5.0, *[64.9] * 100, *[65.0] * 100, *[125.0] * 100])
    assert passed == [5.0, *[64.9] * 59, *[65.0] * 60, *[125.0] * 60]


@pytest.mark.parametrize("kind", [RollingWindow, FixedWindow])
def test_a_short_window_has_its_share_of_the_minute(kind):
    assert len(admitted(kind(requests=600, window_s=1), [0.0] * 50)) == 10
    assert len(admitted(kind(requests=600, window_s=10), [0.0] * 150)) == 100
    assert len(admitted(kind(requests=6, window_s=1), [0.0] * 5)) == 1  # never none


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=60),
    st.integers(1, 30),
    st.sampled_from(EVERY_KIND),
)
def test_what_waits_as_long_as_it_is_told_is_admitted(gaps, amount, limit):
    meter, now = limit.meter(), 0.0
    for gap in gaps:
        now += gap
        wait_s = meter.wait_s(now, amount)
        if wait_s == float("inf"):
            assert amount > meter.remaining(now)
            continue
        now += wait_s + 1e-6
        assert meter.wait_s(now, amount) == 0
        assert meter.remaining(now) >= amount
        meter.take(now, amount)
        assert meter.reset_s(now) >= 0


@given(st.lists(st.floats(0, 2), max_size=80), st.integers(1, 20))
def test_a_rolling_window_holds_at_every_moment(gaps, limit):
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    passed = admitted(RollingWindow(requests=limit * 60 / 5, window_s=5), times)
    assert worst_window(array("d", passed), [1] * len(passed), 5.0) <= limit


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(0, 9)), max_size=40), st.floats(0.1, 5))
def test_the_worst_window_is_the_worst_of_all_windows(steps, window_s):
    times, amounts, now = [], [], 0.0
    for gap, amount in steps:
        now += gap
        times.append(now)
        amounts.append(amount)
    rows = list(zip(times, amounts, strict=True))
    every = [sum(a for t, a in rows if start <= t and t - start < window_s) for start in times]
    assert worst_window(array("d", times), amounts, window_s) == max(every, default=0)


def test_a_limit_needs_exactly_one_currency_above_zero():
    for wrong in ({}, {"requests": 1, "tokens": 1}, {"requests": 0}, {"tokens": float("inf")}):
        with pytest.raises(LimitsError):
            TokenBucket(**wrong)
    with pytest.raises(LimitsError):
        RollingWindow(requests=1, window_s=0)


def test_limits_travel_as_json():
    for limit in EVERY_KIND:
        assert from_json(limit.to_json()) == limit
    with pytest.raises(LimitsError, match="RollingWindow"):
        from_json({"kind": "Sieve"})


def test_a_charge_has_an_amount_in_each_currency():
    charge = Charge(input_tokens=10, output_tokens=5)
    kinds = ("requests", "tokens", "input_tokens", "output_tokens")
    assert [charge.of(kind) for kind in kinds] == [1, 15, 10, 5]


# --- the server ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    [
        TokenBucket(requests=6, burst_s=30),
        RollingWindow(requests=3),
        FixedWindow(requests=3),
        RollingWindow(requests=18, window_s=10),
    ],
)
def test_the_server_refuses_what_is_over_the_limit(ask, limit):
    with Server(limits=[limit]) as server:
        statuses = [ask(server).status for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        counters = server.counters
        assert (counters.admitted, counters.refused) == (3, 2)
        assert server.worst_window(60) == 3
        assert server.worst_window(60, which="arrived") == 5


def test_a_window_opens_again_when_it_is_over_and_not_before(ask):
    with Server(limits=RollingWindow(requests=240, window_s=0.5)) as server:  # 2 in half a second
        assert [ask(server).status for _ in range(2)] == [200, 200]
        while ask(server).status == 429:
            pass
        first, _, *refused, opened = server.requests
        assert refused
        assert refused[-1].arrived_s - first.arrived_s < 0.5 <= opened.arrived_s - first.arrived_s
        assert server.worst_window(0.5) == 2


def test_tokens_are_charged_with_max_tokens_or_the_answer(ask, chat):
    body = chat("x" * 40, max_tokens=50)  # 10 + 50, and 4 for the answer "ok" cut short: 10 + 1
    with Server(limits=[RollingWindow(tokens=100)], answer="ok") as server:
        assert [ask(server, body).status for _ in range(2)] == [200, 429]
        assert server.worst_window(60, "tokens") == 60
        assert server.worst_window(60, "tokens", "arrived") == 120
    with Server(limits=[RollingWindow(tokens=33)], answer="ok", charge="actual") as server:
        assert [ask(server, body).status for _ in range(4)] == [200, 200, 200, 429]
        assert server.worst_window(60, "tokens") == 33
    with Server(limits=[RollingWindow(tokens=33)], answer="ok") as server:
        without = chat("x" * 40)
        assert [ask(server, without).status for _ in range(4)] == [200, 200, 200, 429]
        assert server.worst_window(60, "output_tokens") == 3


def test_input_and_output_tokens_are_limited_apart(ask, chat):
    limits = [RollingWindow(input_tokens=1000), RollingWindow(output_tokens=50)]
    with Server(limits=limits) as server:
        statuses = [ask(server, chat(max_tokens=20)).status for _ in range(3)]
        assert statuses == [200, 200, 429]
        server.configure(limits=[RollingWindow(input_tokens=3)])
        assert ask(server, chat("x" * 12)).status == 429  # 2 tokens of "Hello", twice, came before


def test_a_request_that_never_fits_is_told_so(ask, chat):
    with Server(limits=[TokenBucket(tokens=600)]) as server:
        reply = ask(server, chat(max_tokens=101))
        assert reply.status == 429
        assert "too large" in reply.json["error"]["message"]


def test_several_limits_hold_together(ask, chat):
    limits = [RollingWindow(requests=10), RollingWindow(requests=60, window_s=3)]
    with Server(limits=limits) as server:
        assert [ask(server).status for _ in range(4)] == [200, 200, 200, 429]


@pytest.mark.parametrize("count_refused", [False, True])
def test_refused_requests_count_if_they_are_to(ask, count_refused):
    limit = RollingWindow(requests=1)
    with Server(limits=limit, count_refused=count_refused, retry="retry-after-ms") as server:
        ask(server)
        while time.monotonic() < server.requests[0].arrived_s + 0.02:
            pass  # so that the two moments can be told apart
        ask(server)
        wait_ms = int(ask(server).headers["retry-after-ms"])
        admitted, refused, last = [request.arrived_s for request in server.requests]
        holds = refused if count_refused else admitted
        assert wait_ms == pytest.approx((holds + 60 - last) * 1000, abs=1.001)
        assert refused - admitted > 0.01


def test_limits_change_while_running_and_remember_the_past(ask):
    with Server() as server:
        assert [ask(server).status for _ in range(4)] == [200] * 4
        server.configure(limits=RollingWindow(requests=5))
        assert [ask(server).status for _ in range(2)] == [200, 429]
        server.configure(limits=FixedWindow(requests=6))
        assert [ask(server).status for _ in range(2)] == [200, 429]
        server.configure(limits=())
        assert ask(server).status == 200


def test_a_refusal_says_when_to_come_again_in_the_way_asked_for(ask):
    with Server(limits=RollingWindow(requests=1)) as server:
        ask(server)

        def told(style):
            """What it says, and the seconds that are really left."""
            server.configure(retry=style)
            reply = ask(server)
            assert reply.status == 429
            assert reply.json["error"]["code"] == "rate_limit_exceeded"
            plain = {"content-type", "content-length"}
            first, *_, last = [request.arrived_s for request in server.requests]
            said = {name: value for name, value in reply.headers.items() if name not in plain}
            return said, first + 60 - last

        assert told("none")[0] == {}
        for style, name in {
            "retry-after": "retry-after",
            "llm_provider": "llm_provider-retry-after",
        }.items():
            said, left_s = told(style)
            assert said == {name: str(math.ceil(left_s))}
        said, left_s = told("retry-after-ms")
        assert int(said["retry-after-ms"]) == pytest.approx(left_s * 1000, abs=1.001)
        before = time.time()
        said, left_s = told("date")
        date = parsedate_to_datetime(said["retry-after"]).timestamp()
        assert before <= date - left_s <= time.time() + 1
        said, left_s = told("x-ratelimit")
        assert said["x-ratelimit-remaining-requests"] == "0"
        assert said["x-ratelimit-reset-requests"] in {
            duration(left_s + off) for off in (-0.001, 0, 0.001)
        }


def test_every_reply_tells_the_limits_as_openai_does(ask, chat):
    limits = [RollingWindow(requests=10), RollingWindow(tokens=1000), TokenBucket(requests=600)]
    with Server(limits=limits, headers="openai") as server:
        ask(server, chat(max_tokens=98))
        told = ask(server, chat(max_tokens=98)).headers
    assert told["x-ratelimit-limit-requests"] == "10"
    assert told["x-ratelimit-remaining-requests"] == "8"
    assert told["x-ratelimit-limit-tokens"] == "1000"
    assert told["x-ratelimit-remaining-tokens"] == "800"
    assert told["x-ratelimit-reset-tokens"] == "1m0s"


def test_every_reply_tells_the_limits_as_anthropic_does(ask, chat):
    limits = [RollingWindow(requests=10), RollingWindow(input_tokens=100)]
    before = int(time.time())
    with Server(limits=limits, headers="anthropic") as server:
        told = ask(server, chat()).headers
    assert told["anthropic-ratelimit-requests-limit"] == "10"
    assert told["anthropic-ratelimit-requests-remaining"] == "9"
    assert told["anthropic-ratelimit-input-tokens-remaining"] == "98"
    reset = told["anthropic-ratelimit-requests-reset"]
    assert reset.endswith("Z")
    parsed = calendar.timegm(time.strptime(reset, "%Y-%m-%dT%H:%M:%SZ"))
    assert before + 60 <= parsed <= time.time() + 61


def test_durations_are_written_as_openai_writes_them():
    seconds = (0.0, 0.0061, 0.12, 1, 8.64, 59.9996, 60, 64.56, 360, 3600, 3661.5)
    assert [duration(s) for s in seconds] == [
        "0ms", "7ms", "120ms", "1s", "8.64s", "1m0s", "1m0s", "1m4.56s", "6m0s", "1h0m0s", "1h1m1.5s",
    ]  # fmt: skip
