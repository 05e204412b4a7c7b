import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.engine import unfolding
from lionproc.engine.unfolding import room_of, unfolds

WORDS = st.text(st.sampled_from('[]{}"\\u: ,aé∀\n'), max_size=8)
VALUES = st.recursive(
    WORDS | st.integers(),
    lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner, min_size=1),
    max_leaves=20,
)


def room(value):
    """The same, told from what was written."""
    if isinstance(value, list):
        return unfolding._EMPTY + sum(map(room, value))
    return unfolding._OBJECT + sum(map(room, value.values())) if isinstance(value, dict) else 0


@given(value=VALUES, length=st.integers(1, 9), is_ascii=st.booleans())
def test_signs_within_texts_are_no_lists_and_no_objects_wherever_a_piece_ends(
    value, length, is_ascii
):
    content = json.dumps(value, ensure_ascii=is_ascii).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unfolding, "_PIECE", length)
        assert room_of(content) == room(value)


def test_a_text_of_many_brackets_unfolds_to_nothing_and_lists_beside_it_do():
    text = json.dumps(["{" * 1_000_000, '\\"[' * 300_000, "[]"])
    assert not unfolds(text.encode(), 1000)
    assert unfolds(text.replace('"[]"', "[[]" + ",[]" * 1_000_000 + "]").encode(), 1000)


def test_lists_behind_a_text_without_an_end_count_up_to_it():
    assert room_of(b"[[[[" + b'"[[[[') == 4 * unfolding._EMPTY


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_quotes_within_the_letters_of_another_encoding_hide_no_lists(encoding):
    content = ('["\u2200", "\u0122"' + ",[]" * 1000 + "]").encode(encoding)
    assert json.loads(content)[2:] == [[]] * 1000
    odd = ('["\u2200"' + ",[]" * 1000 + "]").encode(encoding)
    assert room_of(content) == room_of(odd) == 1001 * unfolding._EMPTY


def test_very_many_short_texts_unfold_too_and_few_long_ones_do_not(monkeypatch):
    monkeypatch.setattr(unfolding, "_MUCH", 10_000)
    short, long = json.dumps(["ab"] * 1000), json.dumps(["ab" * 100] * 10)
    assert unfolds(short.encode(), 1000)
    assert not unfolds(long.encode(), 1000)
    monkeypatch.setattr(unfolding, "_MUCH", 2**30)
    assert not unfolds(short.encode(), 1000)
