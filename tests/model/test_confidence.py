"""How sure a model is of a choice: by hand from the tokens of its reply, in every form they have."""

import enum
import json
import math
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from lionproc.errors import SchemaError
from lionproc.model import confidence, logprobs
from lionproc.model.answer import Answer
from lionproc.model.chat_completion import text_of
from lionproc.model.confidence import Confidences, confidence_of
from lionproc.model.logprobs import Token, tokens_of, tokens_under
from lionproc.model.spelling import Spelling

MOOD = Answer.of(Literal["positive", "negative"])
SHARED = Answer.of(Literal["positive", "possible", "negative"])


def entry(text, probability):
    raw = text if isinstance(text, bytes) else text.encode()
    logprob = math.log(probability) if probability else -9999.0
    return {"token": raw.decode("utf-8", "replace"), "bytes": list(raw), "logprob": logprob}


def reply(*tokens, content=None):
    """A reply of tokens: each a text that was certain, or pairs of which the first one came."""
    listed, said = [], b""
    for token in tokens:
        pairs = [(token, 1.0)] if isinstance(token, str | bytes) else token
        entries = [entry(*pair) for pair in pairs]
        listed.append({**entries[0], "top_logprobs": entries})
        said += bytes(entries[0]["bytes"])
    message = {"role": "assistant", "content": said.decode() if content is None else content}
    choice = {"message": message, "finish_reason": "stop", "logprobs": {"content": listed}}
    return {"choices": [{"index": 0, **choice}]}


def test_the_probability_is_that_of_the_answers_tokens_among_those_that_lead_to_an_answer():
    pairs = [("positive", 0.6), ("negative", 0.2), ("pos", 0.05), ("Great", 0.1)]
    data = reply('{"answer":"', pairs, '"}')
    assert confidence_of(data, MOOD) == pytest.approx(0.65 / 0.85)


def test_labels_that_share_a_beginning_are_told_apart_where_they_part():
    first = [("pos", 0.7), ("neg", 0.2), ("neutral", 0.05)]
    then = [("itive", 0.6), ("sible", 0.3), ("ed", 0.1)]
    data = reply('{"', "answer", '":"', first, then, '"}')
    assert confidence_of(data, SHARED) == pytest.approx(0.7 / 0.9 * 0.6 / 0.9)


def test_a_beginning_that_nobody_went_on_from_is_spread_as_the_rest_is():
    data = reply('{"answer":"', [("positive", 0.6), ("possible", 0.2), ("pos", 0.1)], '"}')
    assert confidence_of(data, SHARED) == pytest.approx(
        # negative is not listed: it counts as the least likely token that is, here what is left over
        (0.6 + 0.1 * 0.75) / (0.9 + 0.1)
    )


def test_a_label_that_begins_another_one_ends_with_its_quote():
    answer = Answer.of(Literal["good", "good enough"])
    data = reply('{"answer": ', '"good', [('"', 0.8), (" enough", 0.2)], "}")
    assert confidence_of(data, answer) == pytest.approx(0.8)
    data = reply('{"answer": ', '"good', [(" enough", 0.2), ('"', 0.7)], '"}')
    assert confidence_of(data, answer) == pytest.approx(0.2 / 0.9)


@pytest.mark.parametrize(
    "tokens",
    [
        ('{"answer":', [("true", 0.6), ("false", 0.2), ("True", 0.1)], "}"),
        ('{"answer": ', [("true", 0.6), ("false", 0.2)], "}"),
        ('{"answer":', [(" true", 0.4), ("true", 0.2), (" false", 0.2)], "}"),
        ('{"answer', [('": true', 0.6), ('":false', 0.2), ("s", 0.1)], "}"),
        ('{"answer":', [(" true}", 0.6), ("false", 0.2)]),
        ('{\n  "answer" :', [("\n", 0.5), (" ", 0.5)], [("true", 0.6), ("false", 0.2)], "\n}"),
        ("```json\n", '{"answer":', [("true", 0.6), ("false", 0.2)], "}\n```"),
        ("<think>", "true?", "</think>", '{"answer":', [("true", 0.6), ("false", 0.2)], "}"),
        ([("true", 0.6), ("false", 0.2)],),
        ([("tr", 0.6), ("fal", 0.2)], "ue"),
    ],
    ids=str,
)
def test_spaces_fences_thoughts_and_tokens_across_the_edges_change_nothing(tokens):
    data = reply(*tokens)
    assert confidence_of(data, Answer.of(bool)) == pytest.approx(0.75)


def test_what_is_not_listed_is_bounded_and_the_bound_is_held_against_the_answer():
    listed = [("positive", 0.02), ("Great", 0.5), ("The", 0.01)]
    data = reply('{"answer":"', listed, '"}')
    assert confidence_of(data, MOOD) == pytest.approx(0.02 / (0.02 + 0.01))
    data = reply('{"answer":"', [("positive", 0.9), ("Great", 0.098)], '"}')
    assert confidence_of(data, MOOD) == pytest.approx(0.9 / 0.902)  # no more than is left over


def test_the_bound_is_that_of_the_list_where_what_came_is_less_likely_than_all_of_it():
    data = reply('{"answer":"', [("positive", 0.001), ("Great", 0.5), ("The", 0.009)], '"}')
    place = data["choices"][0]["logprobs"]["content"][1]
    place["top_logprobs"] = place["top_logprobs"][1:]
    assert confidence_of(data, MOOD) == pytest.approx(0.001 / (0.001 + 0.009))
    place["top_logprobs"] = []  # then all that is left over may be the other one's
    assert confidence_of(data, MOOD) == pytest.approx(0.001)


def test_a_bound_is_not_lost_on_the_way_from_the_first_token_to_the_one_that_decides():
    listed = [("positive", 0.02), ("Great", 0.5), ("The", 0.01)]
    data = reply('{"answer":', [(' "', 0.1), ("\n", 0.2)], listed, '"}')
    assert confidence_of(data, MOOD) == pytest.approx(2 / 3)


def test_the_token_that_came_counts_where_it_is_none_of_those_listed_and_twice_listed_ones_once():
    data = reply('{"answer":"', [("positive", 0.2), ("negative", 0.7), ("negative", 0.7)], '"}')
    place = data["choices"][0]["logprobs"]["content"][1]
    place["top_logprobs"] = place["top_logprobs"][1:]
    assert confidence_of(data, MOOD) == pytest.approx(0.2 / 0.9)
    # Two tokens of a vocabulary that read the same have probabilities of their own.
    data = reply('{"answer":"', [("positive", 0.2), ("negative", 0.3), ("negative", 0.1)], '"}')
    assert confidence_of(data, MOOD) == pytest.approx(0.2 / 0.6)


def test_the_end_of_a_reply_is_no_beginning_of_an_answer():
    data = reply('{"answer":"', [("positive", 0.3), ("Great", 0.1), ("", 0.5)], '"}', "")
    assert confidence_of(data, MOOD) == pytest.approx(0.75)


def test_a_token_may_be_half_a_character_and_a_character_may_be_written_as_an_escape():
    answer = Answer.of(Literal["café", "cafè"])
    data = reply('{"answer":"caf', [(b"\xc3", 0.9)], [(b"\xa9", 0.6), (b"\xa8", 0.2)], '"}')
    assert confidence_of(data, answer) == pytest.approx(0.75)
    data = reply('{"answer":"caf\\u00e', [("9", 0.6), ("8", 0.2)], '"}')
    assert confidence_of(data, answer) == pytest.approx(0.75)


class Mark(enum.Enum):
    ONE = 1
    TWELVE = 12
    HALF = 0.5


def test_numbers_end_where_something_else_follows_and_null_is_an_answer_where_it_may_be():
    answer = Answer.of(Mark)
    data = reply('{"answer":', [("1", 0.8), ("0", 0.1)], [("}", 0.6), ("2", 0.2)])
    assert confidence_of(data, answer) == pytest.approx(0.8 / 0.9 * 0.75)
    either = Answer.of(Literal["yes"] | None)
    data = reply('{"answer":', [("null", 0.6), ('"yes', 0.2)], "}")
    assert confidence_of(data, either) == pytest.approx(0.75)
    assert confidence_of(reply('{"answer":"yes"}'), Answer.of(Literal["yes"])) == 1.0


class Size(enum.Enum):
    SMALL = 1.0
    HUGE = 1e16


def test_a_whole_number_is_read_however_many_digits_it_has_and_with_a_point_or_without():
    answer = Answer.of(Size)
    for huge in ("10000000000000000", "10000000000000000.0", "1e+16"):
        pairs = [(f"{huge}}}", 0.6), ("1.0}", 0.1), ("1}", 0.1)]
        data = reply('{"answer":', pairs)
        assert confidence_of(data, answer) == pytest.approx(0.75), huge


def test_an_answer_in_another_case_is_read_as_the_answer_that_it_was_taken_for():
    data = reply('{"answer":"', [("Positive", 0.6), ("positive", 0.1), ("Negative", 0.2)], '"}')
    assert confidence_of(data, MOOD) == pytest.approx(0.7 / 0.9)
    assert confidence_of(reply([("positive", 0.6), ("negative", 0.3)]), MOOD) == pytest.approx(
        2 / 3
    )


class Review(BaseModel):
    reason: str
    mood: Literal["good", "bad"]
    urgent: bool


def test_each_choice_of_a_model_has_its_own():
    answer = Answer.of(Review)
    data = reply(
        '{"reason":"bad? urgent:true","mood":"',
        [("good", 0.6), ("bad", 0.2)],
        '","urgent":',
        [("false", 0.9), ("true", 0.1)],
        "}",
    )
    confidences = Confidences.of(answer)
    assert confidences.names == ("mood", "urgent")
    assert confidences.read(data, text_of(data)) == pytest.approx((0.75, 0.9))
    assert confidence_of(data, answer) == pytest.approx(0.75)


@pytest.mark.parametrize("schema", [str, int, float, list[bool], dict[str, bool]], ids=str)
def test_what_is_no_choice_is_refused_with_the_way_on(schema):
    with pytest.raises(SchemaError, match=r"Literal.*votes=5"):
        Confidences.of(Answer.of(schema))


def test_tokens_without_end_and_alternatives_without_end_are_not_all_read(monkeypatch):
    read = []
    likely = Token.likeliest.fget
    monkeypatch.setattr(
        Token, "likeliest", property(lambda token: read.append(token) or likely(token))
    )
    data = reply('{"answer":"', "pos", *[""] * 500, "itive", '"}')
    assert confidence_of(data, SHARED) is None  # nobody spells a word in so many tokens
    assert len(read) < 50
    data = reply('{"answer":"', [("positive", 0.6)] + [("~", 1e-9)] * 500, '"}')
    data["choices"][0]["logprobs"]["content"][1]["top_logprobs"] += [entry("negative", 0.2)]
    assert confidence_of(data, MOOD) == pytest.approx(1.0)


def test_what_is_listed_beside_a_token_is_read_once_however_many_fields_are_in_it(monkeypatch):
    read = []
    text = logprobs._text
    monkeypatch.setattr(logprobs, "_text", lambda listed: read.append(listed) or text(listed))
    for listed in (0.2, 2.0):  # no log-probability
        read.clear()
        said = json.dumps({f"f{number}": True for number in range(100)})
        data = reply([(said, 0.6), *((f"~{number}", 0.001) for number in range(50))])
        data["choices"][0]["logprobs"]["content"][0]["top_logprobs"][-1]["logprob"] = -1 + listed
        fields = {name: {"type": "boolean"} for name in json.loads(said)}
        schema = {"type": "object", "properties": fields, "required": list(fields)}
        known = Confidences.of(Answer.of(schema)).read(data, said)
        assert len(known) == 100
        assert len(set(known)) == 1
        assert len(read) == 52  # with the token itself


@pytest.mark.parametrize("given", ["bytes", "token"])
def test_what_is_longer_than_any_token_is_none(given):
    def longer(listed, more):
        if given == "bytes":
            listed["bytes"] += b" " * more
        else:
            listed["token"], listed["bytes"] = listed["token"] + " " * more, None

    most = logprobs.LONGEST_TOKEN
    for more, share in ((most - 8, 0.6 / 0.8), (most - 7, 1.0)):
        data = reply('{"answer":"', [("positive", 0.6), ("negative", 0.2)], '"}')
        longer(data["choices"][0]["logprobs"]["content"][1]["top_logprobs"][1], more)
        assert [len(text) for text, _ in tokens_of(data)[1].likeliest] == (
            [8, most] if share < 1 else [8]
        )
    for more, count in ((most - 1, 1), (most, 0)):
        data = reply("x")
        longer(data["choices"][0]["logprobs"]["content"][0], more)
        assert len(tokens_of(data)) == count


@pytest.mark.parametrize("labels", [300, 600])
def test_what_a_token_leaves_possible_is_looked_up_and_not_tried_label_by_label(
    labels, monkeypatch
):
    tried = []
    ends = Spelling._is_end
    answer = Answer.of(Literal[tuple(f"label {number}" for number in range(labels))])
    confidences = Confidences.of(answer).prepared()
    monkeypatch.setattr(Spelling, "_is_end", lambda *a: tried.append(a) or ends(*a))
    data = reply('{"answer":"label ', [("7", 0.6), *((str(n), 0.01) for n in range(20))], '"}')
    (known,) = confidences.read(data, text_of(data))
    assert 0 < known <= 1
    assert len(tried) < 100


def test_many_labels_of_one_beginning_take_no_room_for_each_way_to_write_it():
    start = "https://www.wikidata.org/wiki/Q"
    labels = [f"{start}{number:05d}" for number in range(2_000)]
    spelling = Spelling([[label.encode()] for label in labels], None, bytes.lower)
    cased = {
        "".join(one.upper() if place % step == rest else one for place, one in enumerate(start))
        for step in range(2, 30)
        for rest in range(step)
    }
    tracemalloc.start()
    found = {id(spelling.possible(text.encode())) for text in cased}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(cased) > 150
    assert len(found) == 1
    assert peak < 1_000 * len(cased)  # a set of these labels is 130,000 bytes


def test_choices_that_several_fields_have_are_kept_once_and_their_rarer_spellings_when_they_come(
    monkeypatch,
):
    part = {"enum": [1, 2, "é"]}
    names = [f"f{number}" for number in range(40)]
    more = {"type": "object", "properties": dict.fromkeys(names, part), "required": names}
    more["properties"]["other"] = {"enum": [1.0, 2, "é"]}
    made = Confidences.of(Answer.of(more)).prepared()
    assert len(made._choices) == 2
    assert [len(choices._made) for choices in made._choices.values()] == [1, 1]
    with ThreadPoolExecutor(4) as threads:
        every = list(threads.map(list, list(made._choices.values()) * 4))
    assert {len(each) for each in every} == {6}
    assert len({id(each[0]) for each in every}) == 2


def test_more_choices_than_can_be_told_apart_are_refused_with_the_way_on(monkeypatch):
    monkeypatch.setattr(confidence, "_MOST_CHOICES", 5)
    assert Confidences.of(Answer.of(Literal["a", "b", "c", "d", "e"])).names == (None,)
    with pytest.raises(SchemaError, match=r"6 choices.*5 at most.*votes=5"):
        Confidences.of(Answer.of(Literal["a", "b", "c", "d", "e", "f"]))


def test_a_choice_that_is_too_long_to_be_compared_at_each_token_is_refused_with_the_way_on():
    fits, longer = "a" * 2_000, "a" * 2_001
    assert Confidences.of(Answer.of({"enum": [fits, "b"]})).names == (None,)
    with pytest.raises(SchemaError, match=r"2,001 characters.*2,000 at most.*votes=5"):
        Confidences.of(Answer.of({"enum": [longer, "b"]}))


def test_of_beginnings_of_long_choices_few_are_kept():
    spelling = Spelling([(b"a" * 2_000,), (b"b",)], None)
    tracemalloc.start()
    for length in range(2_000):
        for other in b"xyz":
            assert not spelling.possible(b"a" * length + bytes([other])).size
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 3_000_000


def test_alternatives_that_leave_more_answers_than_can_be_weighed_leave_the_confidence_unknown():
    class Two(BaseModel):
        sure: bool
        long: Literal[tuple("a" * length for length in range(1, 301))]  # type: ignore[valid-type]
        then: bool

    word = "a" * 300
    tokens = [
        [("a", 0.5), *((word[place : place + size], 0.001) for size in range(2, 101))]
        for place in range(300)
    ]
    last = [("true", 0.6), ("false", 0.4)]
    data = reply('{"sure":', last, ',"long":"', *tokens, '","then":', last, "}")
    known = Confidences.of(Answer.of(Two)).read(data, text_of(data))
    assert known == (pytest.approx(0.6), None, None)  # of what comes behind it nothing is read


def broken():
    good = reply('{"answer":"', [("positive", 0.6), ("negative", 0.2)], '"}')
    for path, value in [
        (("logprobs",), None),
        (("logprobs",), {"content": None}),
        (("logprobs",), {"content": []}),
        (("logprobs",), {"content": "positive"}),
        (("logprobs",), [0.1]),
        (("logprobs", "content", 1), None),
        (("logprobs", "content", 1, "token"), 17),
        (("logprobs", "content", 1, "bytes"), [999]),
        (("logprobs", "content", 1, "top_logprobs"), {"a": 1}),
        (("logprobs", "content", 1, "top_logprobs", 1), "negative"),
        (("logprobs", "content", 1, "top_logprobs", 1, "logprob"), "-1"),
        (("logprobs", "content", 1, "logprob"), None),
        (("message", "content"), '{"answer":"negative"}'),
        (("message", "content"), "neither"),
    ]:
        data = json.loads(json.dumps(good))
        holder = data["choices"][0]
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = value
        yield data


@pytest.mark.parametrize("data", list(broken()))
def test_tokens_that_are_none_or_of_another_text_are_unknown_and_never_a_number_made_up(data):
    known = confidence_of(data, MOOD)
    assert known is None or 0 < known <= 1
    if data["choices"][0]["message"]["content"] != '{"answer":"positive"}':
        assert known is None


@pytest.mark.parametrize("told", [None, "-0.1", True, {}])
@pytest.mark.parametrize("others", [None, [], [entry("negative", 0.2)]])
def test_an_answer_of_which_no_probability_is_told_is_unknown_and_not_surely_wrong(told, others):
    data = reply('{"answer":"', [("positive", 0.6)], '"}')
    data["choices"][0]["logprobs"]["content"][1] |= {"logprob": told, "top_logprobs": others}
    assert confidence_of(data, MOOD) is None


def test_a_number_that_no_float_holds_is_no_probability_and_no_fault():
    data = reply('{"answer":"', [("positive", 0.6), ("negative", 0.2)], '"}')
    listed = data["choices"][0]["logprobs"]["content"][1]["top_logprobs"]
    listed[1]["logprob"] = -(10**400)
    assert confidence_of(data, MOOD) is None


def test_a_token_that_hardly_ever_comes_and_nothing_else_is_unknown():
    data = reply('{"answer":"', [("positive", 0.0), ("Great", 1.0)], '"}')
    assert confidence_of(data, MOOD) is None


def test_tokens_in_the_spelling_of_a_vocabulary_are_read():
    data = reply('{"answer":Ġ"', [("positive", 0.6), ("negative", 0.2)], '"}')
    for token in data["choices"][0]["logprobs"]["content"]:
        token["bytes"] = None
    data["choices"][0]["message"]["content"] = '{"answer": "positive"}'
    assert confidence_of(data, MOOD) == pytest.approx(0.75)


@settings(max_examples=60)
@given(st.lists(st.text("aX", max_size=6)), st.text("aX", min_size=1, max_size=6))
def test_a_text_is_found_at_its_last_place_among_the_tokens(texts, said):
    tokens = tokens_of(reply(*texts))
    whole = "".join(texts)
    found = tokens_under(tokens, said)
    if whole.rfind(said) < 0:
        assert found == ()
    else:
        assert sum(len(t.text) for t in found) + found[0].start == len(whole) - whole.rfind(said)


LABELS = st.lists(
    st.text(st.sampled_from('abé" \\'), min_size=1, max_size=4), min_size=2, max_size=5, unique=True
)


@settings(max_examples=60)
@given(st.data(), LABELS)
def test_a_model_of_random_tokens_is_as_sure_as_counting_all_its_ways_says(data, labels):
    """A made-up model writes characters by chance; what it writes is counted out exactly."""
    answer = Answer.of(Literal[tuple(labels)])
    texts = {
        label: json.dumps({"answer": label}, ensure_ascii=False, separators=(",", ":"))
        for label in labels
    }
    weights = {label: data.draw(st.integers(1, 9)) for label in labels}
    said = data.draw(st.sampled_from(labels))
    tokens, place, alive = [], 0, dict(weights)
    while place < len(texts[said]):
        after = {}
        for label, weight in alive.items():
            after.setdefault(texts[label][place : place + 1], {})[label] = weight
        whole = sum(alive.values())
        step = texts[said][place]
        # An impossible token takes half of everything, as before a server holds to the schema.
        pairs = [(text, sum(each.values()) / whole / 2) for text, each in after.items()]
        tokens.append(sorted([*pairs, ("~", 0.5)], key=lambda pair: pair[0] != step))
        alive = after[step]
        place += 1
    known = confidence_of(reply(*tokens), answer)
    assert known == pytest.approx(weights[said] / sum(weights.values()))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.sampled_from(["positive", "negative", '{"answer":"', '"}', "", "�", "token_id:5"])
    | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["token", "bytes", "logprob", "top_logprobs", "content"]), inner
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    ANYTHING,
    st.lists(
        st.dictionaries(st.sampled_from(["token", "bytes", "logprob", "top_logprobs"]), ANYTHING),
        max_size=4,
    ),
)
def test_whatever_a_server_sends_as_log_probabilities_harms_no_answer(anything, entries):
    for told in (anything, {"content": anything}, {"content": entries}):
        data = {"choices": [{"message": {"content": '{"answer":"positive"}'}, "logprobs": told}]}
        (known,) = Confidences.of(MOOD).read(data, '{"answer":"positive"}')
        assert known is None or 0 <= known <= 1


def test_a_field_is_looked_up_among_the_tokens_and_not_walked_to():
    class Watched(tuple):
        __slots__ = ()
        looks = 0

        def __getitem__(self, place):
            Watched.looks += 1
            return super().__getitem__(place)

        def __iter__(self):
            raise AssertionError("walked")

    confidences = Confidences.of(Answer.of(Literal["yes", "no"], name="a"))
    (place,) = confidences._places.values()
    said = [b"{", *[b" "] * 10_000, b'"a":', b'"yes"', b"}"]
    starts = [0]
    for text in said[:-1]:
        starts.append(starts[-1] + len(text))
    entry = {"logprob": -0.5}
    tokens = Watched(Token(text, start, entry) for text, start in zip(said, starts, strict=True))
    path = place.path(tokens, starts[-2], '"yes"')
    assert path.probability() == pytest.approx(math.exp(-0.5))
    assert Watched.looks < 100


def test_an_answer_of_which_one_choice_has_no_known_probability_is_as_unsure_as_one_can_be():
    class Review(BaseModel):
        mood: Literal["good", "bad"]
        is_urgent: bool

    def told(urgent):
        pairs = [("good", 0.9), ("bad", 0.1)]
        return reply('{"mood":"', pairs, '","is_urgent":', urgent, "}")

    answer = Answer.of(Review)
    known = told([("true", 0.8), ("false", 0.2)])
    assert confidence_of(known, answer) == pytest.approx(0.8)
    unknown = told("true")
    entry = unknown["choices"][0]["logprobs"]["content"][3]
    entry.update(logprob=None, top_logprobs=[])
    assert Confidences.of(answer).read(unknown, text_of(unknown)) == (pytest.approx(0.9), None)
    assert confidence_of(unknown, answer) is None


@pytest.mark.parametrize("logprob", [0.62, 5, 1e308, math.inf, math.nan, 10**400])
def test_a_number_that_is_no_log_probability_says_nothing_and_never_that_a_model_is_sure(logprob):
    data = reply('{"answer":"', "positive", '"}')
    entry = data["choices"][0]["logprobs"]["content"][1]
    entry.update(logprob=logprob, top_logprobs=[])
    assert confidence_of(data, MOOD) is None
    entry.update(logprob=1e-7)  # rounded
    assert confidence_of(data, MOOD) is not None


@pytest.mark.parametrize("logprob", [0.62, 5, math.nan, "-1", True])
def test_where_one_alternative_is_no_log_probability_the_others_are_none_either(logprob):
    """Logits, say: -0.2 beside 3.1 is a share of 4 %, and no probability of 0.82."""
    data = reply("{", '"answer":"', [("positive", 0.82), ("negative", 0.1)], '"}')
    before, _, choice, after = data["choices"][0]["logprobs"]["content"]
    assert confidence_of(data, MOOD) == pytest.approx(0.82 / 0.92)
    for place in (before, after):  # nothing is chosen there
        place["top_logprobs"].append({**entry("x", 0.1), "logprob": logprob})
    assert confidence_of(data, MOOD) == pytest.approx(0.82 / 0.92)
    choice["top_logprobs"][1]["logprob"] = logprob
    assert confidence_of(data, MOOD) is None
    choice["top_logprobs"][1]["logprob"] = None  # not told, which says nothing of the others
    assert 0.8 < confidence_of(data, MOOD) < 0.83
