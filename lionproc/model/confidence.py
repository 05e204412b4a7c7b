r"""How sure a model is of an answer that it chose among a few: from the tokens of its reply.

The probability of an answer is that of its tokens, one after the other, and an answer may be
several tokens that others begin with too: "positive" and "possible" part at the second one. So
the allowed answers are walked like a trie. At each token the listed alternatives are sorted by
the answers that they leave possible; those that leave none (another quote, another word) count
for nothing, as a server that holds the model to the schema would never let them through:

    P(answer) = P(tokens that leave this answer alone) + P(tokens that leave the same answers as the
                token that came) x P(answer | what follows), all by P(tokens that leave any)

What is not listed is bounded, and the bound is held against the answer: an answer of which no
token is listed counts with the probability of the least likely token that is, and all of them
together with no more than the listed ones leave over. So a confidence is rather too low.
A token of which all that is listed leaves the same answers says nothing of which it is.
Servers list probabilities before they hold the model to a schema (llama.cpp, vLLM), so that
others than the allowed ones are among them.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any

from lionproc.engine.json_bounds import bounded
from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.answer import Answer
from lionproc.model.chat_completion import text_of
from lionproc.model.fences import unfenced
from lionproc.model.logprobs import NotToldError, Token, tokens_of, tokens_under
from lionproc.model.shape import Boolean, Choice, Shape
from lionproc.model.spelling import SPACE, Choices, Possible, Spelling

__all__ = ["WAY_ON", "Confidences", "confidence_of", "least_sure", "no_logprobs"]

WAY_ON = (
    "votes=5 works with every model and type: it asks each row five times, and the confidence is "
    "the share of the majority."
)
SPARE = 16  # tokens besides one for each byte of a value: spaces before it, ends behind it
_MOST_CHOICES = 100_000  # of all fields together; each takes up to two kilobytes
_LONGEST = 2_000  # characters of one: what was said until then is compared at each token
_MOST_WEIGHED = 1_000_000  # answers that a reply's alternatives leave, all together


class _Place:
    """Where in a reply an answer is chosen, and among which.

    Args:
        key: The property that it is under.
        shape: What it may be.
        schema: The same as JSON Schema, which says whether it may be null.
    """

    def __init__(self, key: str, shape: Boolean | Choice, schema: object) -> None:
        self.key = key
        members: list[Any] = list(shape.members) if isinstance(shape, Choice) else [True, False]
        if _may_be_null(schema):
            members.append(None)
        self.choices = Choices(members)

    def path(self, tokens: Sequence[Token], start: int, value: str) -> _Path | None:
        """How a reply came to the value that stands in it; None where nobody can say.

        Args:
            tokens: Those of the reply.
            start: At which byte the value begins.
            value: The value as it stands there.
        """
        whole = value.encode("utf-8", "surrogatepass")
        for spelling in self.choices:
            answer = spelling.possible(whole, ended=True)
            if answer.size == 1:
                most = len(whole) + SPARE
                steps = list(islice(_steps(tokens, start, spelling), most + 1))
                telling = [step for step in steps if step.tells]
                return _Path(answer.first, telling) if len(steps) <= most else None
        return None


def _may_be_null(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return False
    kind = schema.get("type")
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return (
        kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or None in schema.get("enum", ())
        or any(map(_may_be_null, branches))
    )


@dataclass(frozen=True, slots=True)
class _Step:
    """One token on the way to the answer: the answers possible before it, what might have come.

    Attributes:
        before: The answers possible before it.
        came: Those that it left.
        likely: The probability of the tokens that are known by what they leave.
        least: That of the least likely one that the server lists; one that it does not list has no
            more. The one that came may have less.
        listed: That of all that are known.
    """

    before: Possible
    came: Possible
    likely: Mapping[Possible, float]
    least: float
    listed: float

    @property
    def tells(self) -> bool:
        """Whether it changes a probability: not where all that leads to an answer leaves them all."""
        if self.came is not self.before or not self.likely.get(self.came):
            return True
        return any(left.size and left is not self.came for left in self.likely)


def _steps(tokens: Sequence[Token], start: int, spelling: Spelling) -> Iterator[_Step]:
    said = b""  # of the value, up to the token
    # Each of many fields is looked up in all the tokens: they are in order, so it is no walk.
    first_one = max(bisect_left(tokens, start, key=attrgetter("start")) - 1, 0)
    for place in range(first_one, len(tokens)):
        token = tokens[place]
        behind = max(start - token.start, 0)
        if behind and behind >= len(token.text):
            continue  # before the value
        before = spelling.possible(said)
        if before.size < 2:
            return
        lead, first = token.text[:behind], not said
        likely: dict[Possible, float] = defaultdict(float)
        try:
            known, own = list(token.likeliest), token.probability
        except NotToldError:
            known, own = [], None
        least = min((probability for _, probability in known), default=1.0)
        if own is not None and all(text != token.text for text, _ in known):
            known.append((token.text, own))  # drawn though it is none of the likeliest
        for text, probability in known:
            inside = _behind(lead, text) if text else None  # no text is the end of the reply
            if inside is not None:
                inside = inside.lstrip(SPACE) if first else inside
                likely[spelling.possible(said + inside)] += probability
        listed = sum(probability for _, probability in known)
        came = token.text[behind:]
        said += came.lstrip(SPACE) if first else came
        yield _Step(before, spelling.possible(said), likely, least, listed)


def _behind(lead: bytes, text: bytes) -> bytes | None:
    """What of a token belongs to the value, where the one that came has something before it.

    The space between a colon and the value may be there or not: it changes no answer.
    """
    if text.startswith(lead):
        return text[len(lead) :]
    text, lead = text.lstrip(SPACE), lead.strip(SPACE)
    if text.startswith(lead):
        return text[len(lead) :]
    return b"" if lead.startswith(text.rstrip(SPACE)) else None


@dataclass(frozen=True, slots=True)
class _Path:
    """How a reply came to an answer.

    Attributes:
        answer: Its place.
        steps: The tokens that say which it is.
    """

    answer: int
    steps: Sequence[_Step]

    @property
    def weight(self) -> int:
        """How many answers are gone through to know its probability."""
        return sum(step.before.size + sum(left.size for left in step.likely) for step in self.steps)

    def probability(self) -> float | None:
        """That of the answer that was given, None where nothing says."""
        share = {self.answer: 1.0}  # of one allowed answer there is no step
        for step in reversed(self.steps):
            mixed = _mixed(step, share)
            if mixed is None:
                return None
            share = mixed
        return min(max(share.get(self.answer, 0.0), 0.0), 1.0)


def _mixed(step: _Step, after: Mapping[int, float]) -> dict[int, float] | None:
    """The answers' probabilities before a token, from those behind the one that came."""
    if step.came not in step.likely:  # nothing says how likely what came was: that is not zero
        return None
    known: dict[int, float] = dict.fromkeys(step.before.places(), 0.0)
    unseen = set(known)
    open_: list[tuple[Possible, float]] = []
    for left, probability in step.likely.items():
        unseen.difference_update(left.places())
        if left is step.came:
            for place, share in after.items():
                known[place] += probability * share
        elif left.size == 1:
            known[left.first] += probability
        elif left.size:
            open_.append((left, probability))
    spread = dict(known)
    for left, probability in open_:  # nobody went on from there: as the others are spread
        base = sum(known[place] for place in left.places())
        for place in left.places():
            part = known[place] / base if base else 1 / left.size
            spread[place] += probability * part
    beyond = min(len(unseen) * step.least, max(1.0 - step.listed, 0.0))
    allowed = sum(probability for left, probability in step.likely.items() if left.size)
    whole = allowed + beyond
    if not whole:
        return None
    return {place: share / whole for place, share in spread.items()}


class Confidences:
    """Reads from replies how sure the model was of what it chose.

    Attributes:
        names: The fields whose values are chosen among a few; (None,) for an answer that is one
            value.
    """

    def __init__(self, places: Mapping[str | None, _Place]) -> None:
        self._places = dict(places)
        self.names = tuple(places)
        self._choices: dict[str, Choices] = {}  # that several fields may have
        for place in places.values():
            place.choices = self._choices.setdefault(place.choices.key, place.choices)
        total = sum(choices.size for choices in self._choices.values())
        if total > _MOST_CHOICES:
            raise SchemaError(
                f"The answers have {total:,} choices, and how sure a model is can be told of "
                f"{_MOST_CHOICES:,} at most. {WAY_ON}"
            )
        longest = max(choices.longest for choices in self._choices.values())
        if longest > _LONGEST:
            raise SchemaError(
                f"A choice has {longest:,} characters, and how sure a model is can be told of {_LONGEST:,} "
                f"at most. {WAY_ON}"
            )

    @classmethod
    def of(cls, answer: Answer) -> Confidences:
        """What there is to read in the replies to a question.

        Args:
            answer: The type of its answers.

        Raises:
            SchemaError: None of it is a choice, or there are far too many; the message says what works.
        """
        schema: Mapping[str, Any] = answer.json_schema or {}
        parts: Mapping[str, Any] = schema.get("properties", {})
        found: list[tuple[str | None, str, Shape]] = [(None, answer.name, answer.shape)]
        if answer.fields is not None:
            found = [(field.name, field.key, field.shape) for field in answer.fields]
        places = {
            name: _Place(key, shape, parts.get(key))
            for name, key, shape in found
            if isinstance(shape, Boolean | Choice)
        }
        if not places:
            what = "has no field that is one" if answer.fields is not None else "is none"
            raise SchemaError(
                "confidence=True is the probability of an answer among those allowed, so it takes "
                f"schema=Literal[...], an Enum or bool, and {answer.label[:60]} {what}. {WAY_ON}"
            )
        return cls(places)

    def prepared(self) -> Confidences:
        """The same, with what the first reply would wait for, and with it all others, made now."""
        for choices in self._choices.values():
            next(iter(choices))
        return self

    def read(self, data: object, said: str) -> tuple[float | None, ...]:
        """The probability of each choice, in the order of `names`; None where it is not known.

        Args:
            data: The parsed reply.
            said: Its text, as `chat_completion.text_of` takes it out: a good answer.
        """
        body = unfenced(said.strip())
        tokens = tokens_under(tokens_of(data), body)
        if not tokens:
            return (None,) * len(self._places)
        spans = _spans(body) if body.startswith("{") else dict.fromkeys(self._keys(), (0, body))
        made: list[float | None] = []
        weighed = 0
        for place in self._places.values():
            span = spans.get(place.key)
            path = None if span is None else place.path(tokens, *span)
            if path is not None:
                weighed += path.weight
            too_much = weighed > _MOST_WEIGHED
            made.append(None if path is None or too_much else path.probability())
        return tuple(made)

    def _keys(self) -> Iterable[str]:
        return (place.key for place in self._places.values())


def _spans(body: str) -> dict[str, tuple[int, str]]:
    """For each property of a JSON object at which byte its value begins, and the value's text."""
    found: dict[str, tuple[int, str]] = {}
    decoder = json.JSONDecoder()
    place, counted, size = 1, 0, 0  # of so many characters so many bytes are known
    try:
        bounded(body)
        while True:
            place = _over(body, place, ", \t\r\n")
            if body[place] == "}":
                return found
            key, place = decoder.raw_decode(body, place)
            place = _over(body, place, ": \t\r\n")
            _, end = decoder.raw_decode(body, place)
            size += len(body[counted:place].encode("utf-8", "surrogatepass"))
            counted = place
            found[str(key)] = (size, body[place:end])
            place = end
    except (ValueError, IndexError, RecursionError):
        return found


def _over(body: str, place: int, marks: str) -> int:
    while body[place] in marks:
        place += 1
    return place


def confidence_of(data: object, answer: Answer) -> float | None:
    """How sure the model was of the answer in one reply that was asked for with log-probabilities.

    Args:
        data: The parsed reply.
        answer: The type of the answer.

    Returns:
        The probability of the answer among those allowed; of a model with several choices that of
        the least sure one. None where the reply does not say of one, or has no answer.

    Raises:
        SchemaError: Nothing in the answer is a choice.
    """
    confidences = Confidences.of(answer)
    try:
        return least_sure(confidences.read(data, text_of(data)))
    except CallError:
        return None


def least_sure(confidences: Sequence[float | None]) -> float | None:
    """How sure an answer of several choices is: as its least sure one.

    Returns:
        None where one of them is not known, for it may be the least.
    """
    known = [each for each in confidences if each is not None]
    return min(known) if known and len(known) == len(confidences) else None


def no_logprobs(model: str, refused: CallError | None = None) -> CallError:
    """Why there is no confidence, and the way on.

    Args:
        model: Who does not tell it.
        refused: What was refused; None where replies just have none.
    """
    if refused is None:
        what = f"The replies of {model!r} have no log-probabilities"
    else:
        what = (
            f"{model!r} was asked for log-probabilities and refused: {refused.message.rstrip('.')}"
        )
    return CallError(
        Kind.NO_LOGPROBS,
        f"{what}, so confidence=True cannot say how sure it is. {WAY_ON} Where the server gives "
        "fewer of them than were asked for: lp.Model(..., top_logprobs=5).",
        status=None if refused is None else refused.status,
        hint="",
        # What a guardrail says of a row may show the request, and with it this word.
        may_be_of_row=refused is not None and "logprob" not in refused.message.lower(),
    )
