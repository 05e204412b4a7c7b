from enum import Enum
from typing import Annotated, Literal

import pytest
from pydantic import AfterValidator

from lionproc.errors import CallError
from lionproc.model import answer_parser, familiar
from lionproc.model.answer import Answer

LABELS = {"enum": ["good", "bad"]}


class Mood(Enum):
    GOOD = "good"


class Lenient(Enum):
    GOOD = "good"

    @classmethod
    def _missing_(cls, value):
        SEEN.append(value)
        return cls.GOOD


SEEN = []


@pytest.fixture
def checked(monkeypatch):
    """The texts that were looked at."""
    texts = []
    read = answer_parser.Form.read
    monkeypatch.setattr(
        answer_parser.Form, "read", lambda form, body: texts.append(body) or read(form, body)
    )
    return texts


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Literal["good", "bad"], '"good"'),
        (Mood, '"good"'),
        (bool, "true"),
        (int, "7"),
        (float, "0.5"),
        (LABELS, '"good"'),
    ],
)
def test_an_answer_of_one_word_is_read_once(schema, said, checked):
    answer, text = Answer.of(schema), f'{{"answer": {said}}}'
    first = answer.answered(text)
    assert [answer.answered(text) for _ in range(3)] == [first] * 3
    assert len(checked) == 1
    assert type(answer.answered(text).value) is type(first.value)


def test_a_validator_of_a_person_sees_every_reply(checked):
    seen = []
    answer = Answer.of(Annotated[Literal["good"], AfterValidator(lambda v: seen.append(v) or v)])
    seen.clear()  # it was tried out
    for _ in range(3):
        assert answer.read('{"answer": "good"}') == "good"
    assert len(seen) == 3
    lenient = Answer.of(Lenient)
    SEEN.clear()
    for _ in range(2):
        assert lenient.read('{"answer": "fine"}') is Lenient.GOOD
    assert len(SEEN) == 2  # of what: older pydantic does not say


def test_what_was_wrong_is_wrong_again_and_true_is_no_1(checked):
    answer = Answer.of(Literal[1, 2])
    assert answer.read('{"answer": 1}') == 1
    for _ in range(2):
        with pytest.raises(CallError, match="not true or false"):
            answer.read('{"answer": true}')
    with pytest.raises(CallError, match="a key occurs twice"):
        answer.read('{"answer": 1, "answer": 1}')


def test_lists_which_their_reader_may_change_are_made_anew(checked):
    answer, text = Answer.of(list[str]), '{"answer": ["a"]}'
    answer.read(text).append("b")
    assert answer.read(text) == ["a"]


def test_no_more_texts_are_remembered_than_a_column_of_labels_has(checked, monkeypatch):
    monkeypatch.setattr(familiar, "MOST", 2)
    answer = Answer.of(int)
    for number in (1, 2, 3, 3, 1):
        assert answer.read(f'{{"answer": {number}}}') == number
    assert len(checked) == 4  # the third text began anew
    long = f'{{"answer": 1{" " * familiar.LONGEST}}}'
    assert [answer.read(long), answer.read(long)] == [1, 1]
    assert len(checked) == 6
