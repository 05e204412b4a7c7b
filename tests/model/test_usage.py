"""Tokens of replies, from counts that can be and for those that cannot."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Usage, from_bytes, to_bytes
from lionproc.model.usage import counted, guess, usage_of


@pytest.mark.parametrize(
    ("usage", "used"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2}, Tokens(3, 2)),
        ({"input_tokens": 3, "output_tokens": 2}, Tokens(3, 2)),
        ({"prompt_tokens": 3.0, "completion_tokens": 2.2}, Tokens(3, 3)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, Tokens(3, 2)),
        # Thoughts that are counted in the total alone.
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 1005}, Tokens(3, 1002)),
        ({"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 9}, Tokens(3, 6)),
        ({"prompt_tokens": 3, "total_tokens": 9}, Tokens(3, 6)),
        ({"completion_tokens": 3, "total_tokens": 9}, Tokens(6, 3)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 1}, Tokens(3, 2)),
        ({"prompt_tokens": 3}, None),
        ({"total_tokens": 9}, None),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 3, "completion_tokens": -2}, None),
        ({"prompt_tokens": 3, "completion_tokens": 10**18}, None),
        ({"prompt_tokens": 2**63, "completion_tokens": 2}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
        ({"prompt_tokens": "3", "completion_tokens": 2}, None),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, None),
        ({}, None),
        ([3, 2], None),
        (None, None),
    ],
)
def test_tokens_are_taken_only_from_counts_that_can_be(usage, used):
    assert counted(usage) == used


IN, OUT = "prompt_tokens_details", "completion_tokens_details"


@pytest.mark.parametrize(
    ("usage", "read", "written", "cached", "stored", "thought"),
    [
        # OpenAI, Azure, Groq, Gemini
        ({"prompt_tokens": 9, "completion_tokens": 5, IN: {"cached_tokens": 4},
          OUT: {"reasoning_tokens": 3}}, 9, 5, 4, None, 3),
        ({"prompt_tokens": 9, "completion_tokens": 5, IN: {"cached_tokens": 0}}, 9, 5, 0, None, None),
        ({"prompt_tokens": 9, "completion_tokens": 5, IN: None, OUT: None}, 9, 5, None, None, None),
        # OpenRouter
        ({"prompt_tokens": 9, "completion_tokens": 5, IN: {"cached_tokens": 4,
          "cache_write_tokens": 2}, OUT: {"reasoning_tokens": 0}}, 9, 5, 4, 2, 0),
        # Anthropic: the cache is beside what was read
        ({"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 40,
          "cache_creation_input_tokens": 20}, 69, 5, 40, 20, None),
        ({"input_tokens": 9, "output_tokens": 5, "cache_read_input_tokens": 4,
          "cache_creation_input_tokens": 0}, 13, 5, 4, 0, None),
        # A proxy in front of it: in OpenAI's spelling it is among what was read, or the total says
        ({"prompt_tokens": 69, "completion_tokens": 5, "total_tokens": 74,
          "cache_read_input_tokens": 40, "cache_creation_input_tokens": 20,
          IN: {"cached_tokens": 40}}, 69, 5, 40, 20, None),
        ({"prompt_tokens": 69, "completion_tokens": 5, "total_tokens": 134,
          "cache_read_input_tokens": 40, "cache_creation_input_tokens": 20}, 129, 5, 40, 20, None),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cache_read_input_tokens": 40}, 49, 5, 40, None, None),
        # DeepSeek, Moonshot
        ({"prompt_tokens": 9, "completion_tokens": 5, "prompt_cache_hit_tokens": 4,
          "prompt_cache_miss_tokens": 5}, 9, 5, 4, None, None),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4}, 9, 5, 4, None, None),
        # Thoughts beside what was written (xAI, Gemini), told by the total or by themselves
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 44,
          OUT: {"reasoning_tokens": 30}}, 9, 35, None, None, 30),
        ({"prompt_tokens": 9, "completion_tokens": 5, OUT: {"reasoning_tokens": 30}}, 9, 35, None, None, 30),
        # What cannot be is not known
        ({"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14,
          IN: {"cached_tokens": -4, "cache_write_tokens": True}}, 9, 5, None, None, None),
        ({"prompt_tokens": 9, "completion_tokens": 5, IN: {"cached_tokens": "4"}}, 9, 5, None, None, None),
        # A name that only looks right
        ({"prompt_tokens": 9, "completion_tokens": 5, "num_cached": 4, "kv_cached_tokens": 4}, 9, 5, None, None, None),
    ],
)  # fmt: skip
def test_the_whole_usage_is_read_in_every_spelling(usage, read, written, cached, stored, thought):  # noqa: PLR0917
    assert usage_of({"usage": usage}) == Usage(read, written, cached, stored, thought)


def test_sound_tier_and_cost_are_read_where_they_are_told():
    usage = {"prompt_tokens": 9, "completion_tokens": 5, IN: {"audio_tokens": 3},
             OUT: {"audio_tokens": 2}, "cost": 0.25}  # fmt: skip
    told = usage_of({"usage": usage, "service_tier": "Flex"})
    assert told == Usage(9, 5, None, None, None, 3, 2, "flex", 0.25)
    own_key = {**usage, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.5}}
    assert usage_of({"usage": own_key}).billed == 0.75
    assert usage_of({"usage": {**usage, "is_byok": True}}).billed is None
    assert usage_of({"usage": {**usage, "cost": {"total_cost": 1}}}).billed is None
    assert usage_of({"usage": {**usage, "service_tier": "standard"}}).tier == "standard"


@given(
    st.builds(
        Usage,
        st.integers(10**6, 10**9),
        st.integers(10**6, 10**9),
        *[st.none() | st.integers(0, 10**6)] * 5,
        st.text(max_size=40),
        billed=st.none(),  # it is in the dollars
    ),
    st.none() | st.floats(0, 1e9),
)
def test_the_journal_keeps_what_is_known_and_no_more(usage, usd):
    told = None if usage == Usage(*usage.tokens) else usage
    assert from_bytes(to_bytes(usage, usd), usage.tokens) == (told, usd)
    for wrong in (b"[]", b"{", b'"x"'):
        with pytest.raises(ValueError):  # noqa: PT011  (of whatever reads JSON)
            from_bytes(wrong, usage.tokens)


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (b'{"usd": -1.5}', (None, None)),
        (b'{"usd": 1e308}', (None, None)),
        (b'{"usd": true, "cached": true}', (None, None)),
        (b'{"usd": 0, "cached": -4, "reasoning": 3}', (Usage(9, 5, reasoning=3), 0.0)),
        (b'{"cached": 10, "cache_write": 9, "reasoning": 6}', (Usage(9, 5, cache_write=9), None)),
        (b'{"audio_input": 18446744073709551616, "audio_output": 6}', (None, None)),
    ],
)
def test_a_number_in_the_journal_that_cannot_be_is_not_known(kept, told):
    assert from_bytes(kept, Tokens(9, 5)) == told


@pytest.mark.parametrize(
    "kept",
    [b'{"usd": 1' + b"0" * 400 + b"}", b'{"cached": ' + b"9" * 4000 + b"}",
     b'{"usd": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"tier": "\\ud800"}'],
)  # fmt: skip
def test_what_no_number_or_text_can_hold_is_a_damaged_record(kept):
    with pytest.raises(ValueError):  # noqa: PT011  (of whatever reads JSON)
        from_bytes(kept, Tokens(9, 5))


def said(text, usage=None, **more):
    return {"choices": [{"message": {"role": "assistant", "content": text, **more}}],
            "usage": usage}  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        (said("a" * 300), Tokens(50, 100)),
        (said("a" * 300, {}), Tokens(50, 100)),
        (said("a" * 300, {"prompt_tokens": 7}), Tokens(7, 100)),
        (said("a" * 300, {"prompt_tokens": 0, "completion_tokens": 0}), Tokens(50, 100)),
        (said("a" * 300, {"total_tokens": 90}), Tokens(50, 40)),
        (said("a" * 300, {"prompt_tokens": None, "input_tokens": 9}), Tokens(9, 100)),
        (said("a" * 300, {"total_tokens": 30}), Tokens(30, 0)),
        (said("", reasoning_content="a" * 300), Tokens(50, 100)),
        (said(None, {"prompt_tokens": 7, "completion_tokens": 0}), Tokens(7, 0)),
        (None, Tokens(50, 0)),
    ],
)
def test_what_is_not_counted_is_estimated_by_what_is_known(reply, tokens):
    assert guess(reply, 50) == tokens


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "choices", "message", "content", "prompt_tokens", "total_tokens"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_whatever_a_reply_is_its_tokens_are_a_possible_number(reply):
    read, written = guess(reply, 50)
    assert read >= 0
    assert written >= 0
    found = counted(reply)
    assert found is None or min(found) > 0


@pytest.mark.parametrize(
    "part", ["prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"]
)
def test_more_tokens_than_any_context_has_are_a_wrong_count(part):
    told = {"prompt_tokens": 9, "completion_tokens": 2, part: 20_000_001}
    found = usage_of({"usage": told})
    assert found is None or found.tokens == (9, 2)


def test_a_reply_that_costs_more_than_any_did_says_nothing_of_its_price():
    told = {"prompt_tokens": 9, "completion_tokens": 2, "cost": 1e5}
    assert usage_of({"usage": told}).billed is None


def test_what_a_server_calls_its_counts_is_not_kept_in_memory():
    reply = {"usage": {**dict.fromkeys(map(str, range(50_000)), 1), "total_tokens": 3}}
    usage_of({"usage": {"total_tokens": 3, "other": 1}})  # so that what is kept once is kept
    tracemalloc.start()
    try:
        usage_of(reply)
        del reply
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 50_000
