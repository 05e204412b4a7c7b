"""Tokens of replies, from counts that can be and for those that cannot."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine.tokens import Tokens
from lionproc.model.usage import counted, guess


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
