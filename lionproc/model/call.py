"""A question to a model as the engine sends it, and the recipe that all of a run share.

More than 400 lines because each of the two makes the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from lionproc.engine.limiter import Limiter
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.engine.usage import Usage
from lionproc.errors import CallError, Kind
from lionproc.model.answer import Answer
from lionproc.model.as_json import to_json
from lionproc.model.body import parsed
from lionproc.model.canonical import SHAPE_NOTHING, canonical_messages, tail_of
from lionproc.model.chat_completion import classify, text_of
from lionproc.model.confidence import Confidences, no_logprobs
from lionproc.model.connection import Connection
from lionproc.model.excerpt import excerpt_of
from lionproc.model.fitting import instructed, speaks_of
from lionproc.model.media import NO_MEDIA, Media, tariff_of, weigh
from lionproc.model.quotation import all_of
from lionproc.model.refusal import is_for_all
from lionproc.model.schema import with_an_end
from lionproc.model.turns import ask_again
from lionproc.model.typed_length import refuse_very_long
from lionproc.model.usage import guess, tier_of
from lionproc.model.validate import whole_characters

KEY_BYTES = 16
SCHEMA_TIMES = 24  # bytes of memory for a character of a schema, once it is compiled: measured
_REFUSED = frozenset({Kind.BAD_REQUEST, Kind.ACCESS, Kind.FORBIDDEN, Kind.NOT_FOUND})
LARGE = 2**18  # bytes of a body that are better not there twice
REPLY_LENGTH = 500  # characters of a reply that will not do, for whoever looks at the failure
Message = Mapping[str, Any]


class RequestBuilder:
    """Everything the requests of a run have in common, worked out once.

    Args:
        connection: The way to the model.
        params: Fields of the body besides model, messages and response_format.
        answer: The shape of the answers.
        told: What the messages are to say of that shape, where `params` has the fields of an
            earlier builder; None to work out from the answer how it is asked for.
        confidence: Whether replies are to tell how sure the model is of what it chose.

    Attributes:
        fields: The fields of the body that shape the answer, besides model and messages.
        told: What the messages say of the answer's shape; empty where a field says it.
        for_others: Whether another model may be asked the same, so that calls keep what was asked.
        elsewhere: The kinds of failure after which another model is asked, so that they end no run.
        ways: The builders of all ways to the model, where there are several; see `Connection`.
        others: What gives its calls the other keys that their answers may be kept under.
        rest: Bytes of a body behind its messages.
        weight: The bytes of memory that it takes, roughly.
    """

    for_others: bool = False
    elsewhere: frozenset[Kind] = frozenset()

    def __init__(
        self,
        connection: Connection,
        params: Mapping[str, Any],
        answer: Answer,
        told: str | None = None,
        *,
        confidence: bool = False,
    ) -> None:
        self.connection = connection
        self.answer = answer
        self.confidences = Confidences.of(answer).prepared() if confidence else None
        provider = connection.provider
        fields: dict[str, Any] = {**connection.usual, **params}
        if confidence:
            fields = {"top_logprobs": connection.top_logprobs, **fields, "logprobs": True}
        self.max_tokens: int | None = fields.pop("max_tokens", None)
        if self.max_tokens is not None:
            fields[connection.max_tokens_name] = self.max_tokens
        else:  # by its newer name it is the same bound
            self.max_tokens = fields.get("max_completion_tokens")
        self.told = told or ""
        given = tuple(fields)
        # What says in words how to answer, where the format in the body is ours to change.
        self.instruction = "" if "response_format" in fields else answer.instruction
        self.changed: dict[str, None] = {}  # what was not sent as it was asked, in sentences
        if told is None and not answer.plain and "response_format" not in fields:
            if connection.structured == "json_schema":
                fields["response_format"] = with_an_end(
                    answer.response_format(), connection.free_levels
                )
            else:
                self.told = answer.instruction
                if connection.structured == "json_object":
                    fields["response_format"] = {"type": "json_object"}
        self._head = b'{"model":' + orjson.dumps(connection.model) + b',"messages":'
        keyed = self.fields = {name: fields[name] for name in fields if name not in SHAPE_NOTHING}
        self._tail = tail_of(keyed)
        identity = connection.identity.encode()
        self._hash = blake2b(identity + b"\0" + self._head, digest_size=KEY_BYTES)
        self._tail_of_given = tail_of({name: keyed[name] for name in given if name in keyed})
        self.digest = blake2b(
            identity + self._head + self._tail + self.told.encode(), digest_size=KEY_BYTES
        ).digest()
        if connection.takes_cache_key:
            fields.setdefault("prompt_cache_key", f"lionproc-{self.digest.hex()}")
        sent = connection.marked_in(fields)
        self._sent_tail = self._tail if sent == keyed else tail_of(sent)
        self.rest = len(self._sent_tail)
        self.weight = SCHEMA_TIMES * len(to_json(answer.json_schema or {}))
        self.ways = tuple(
            RequestBuilder(way, params, answer, told, confidence=confidence)
            for way in connection.ways
        )
        for way in self.ways:
            way.changed = self.changed
        self.others: tuple[RequestBuilder, ...] = tuple(
            RequestBuilder(before, params, answer, told, confidence=confidence)
            for before in connection.before
        ) + tuple(each for way in self.ways for each in (way, *way.others))
        self.charges_max = provider.charges_max_tokens
        self._tariff = tariff_of(connection.model)

    def ask(self, messages: Sequence[Message], occurrence: int = 0) -> ModelCall:
        """The call that sends these messages.

        Args:
            messages: Chat messages.
            occurrence: Tells equal questions apart that shall not share an answer.
        """
        asked = messages if self.for_others else None
        if self.told:
            messages = instructed(messages, self.told)
        written = orjson.dumps(canonical_messages(messages))
        call = self.call(written, occurrence, weigh(messages, self._tariff))
        call.asked = asked
        return call

    def question(self, messages: Sequence[Message], occurrence: int = 0) -> bytes:
        """What is asked of whom, whatever the answer's shape and how that is asked for.

        Args:
            messages: As for `ask`.
            occurrence: As for `ask`.

        Returns:
            A digest of 16 bytes.
        """
        digest = self._hash.copy()
        digest.update(b"question" + orjson.dumps(canonical_messages(messages)))
        digest.update(self._tail_of_given + b"\0%d" % occurrence)
        return digest.digest()

    def ask_too(self, call: ModelCall) -> ModelCall:
        """The call that asks this model what another one was asked.

        Args:
            call: Made by a builder whose calls are `for_others`.
        """
        assert call.asked is not None  # noqa: S101  (else it was not made for others)
        made = self.ask(call.asked, call.occurrence)
        return made.as_vote(call.vote) if call.vote else made

    def call(
        self, messages: bytes, occurrence: int = 0, media: Media = NO_MEDIA, vote: int = 0
    ) -> ModelCall:
        """The call that sends these messages, already JSON, with this that is not text.

        Args:
            messages: Chat messages as JSON.
            occurrence: As for `ask`.
            media: What in them is no text.
            vote: Which of several answers to the one question it is for; the first one, 0, is
                that of a question that is asked once.
        """
        digest = self._hash.copy()
        digest.update(messages)
        digest.update(self._tail)
        if occurrence:
            digest.update(b"\0%d" % occurrence)
        key = digest.digest()
        return ModelCall(self, messages, _key_of_vote(key, vote), occurrence, media, vote=vote)


def _key_of_vote(key: bytes, vote: int) -> bytes:
    """The key of one of several answers to a question."""
    return blake2b(key + b"\0vote %d" % vote, digest_size=KEY_BYTES).digest() if vote else key


class ModelCall:
    """One question. A `Call` of the engine.

    Attributes:
        asked: The messages as they were given, where another model may be asked them too.
        cell: The answer as its column holds it, once `read` has read one.
        confidences: How sure the model was of each choice in it, where that was asked for.
        length: How many characters the reply had that the answer was read from.
        mended: Whether the reply had another form than was asked for; see `Answered`.
        occurrence: Tells equal questions apart that shall not share an answer.
        vote: Which of several answers to the question it is for.
    """

    __slots__ = (
        *("_begins", "_media", "_named_by", "_recipe", "_was_sent", "asked", "cell"),
        *("confidences", "key", "length", "mended", "occurrence", "vote"),
    )
    leaves_later = True  # its wire sees to that

    def __init__(
        self,
        recipe: RequestBuilder,
        messages: bytes,
        key: bytes,
        occurrence: int,
        media: Media,
        *,
        vote: int,
    ) -> None:
        self._recipe = recipe
        self._named_by = recipe  # what gives keys and chooses ways
        self._media = media
        self.occurrence = occurrence
        self.asked: Sequence[Message] | None = None
        self.vote = vote
        # Not the schema, which all have; and a copy, for orjson writes into blocks of 4 kilobytes.
        self._begins: bytes | memoryview = recipe._head + messages
        self.key: bytes | None = key
        self.cell: Any = None
        self.confidences: tuple[float | None, ...] = ()
        self.length = 0
        self.mended = self._was_sent = False

    @property
    def body(self) -> bytes:
        """The request, as it is sent."""
        made = b"".join((self._begins, self._recipe._sent_tail))
        if len(made) > LARGE:  # not to be there twice while it is under way
            self._begins = memoryview(made)[: len(self._begins)]
        return made

    @property
    def answer(self) -> Answer:
        """The shape of the answer."""
        return self._recipe.answer

    @property
    def estimate(self) -> Tokens:
        """The tokens it will probably take, as far as is known now."""
        recipe, media = self._recipe, self._media
        return recipe.connection.endpoint.estimator.tokens(
            len(self._begins) + recipe.rest - media.size,
            recipe.max_tokens,
            charges_max=recipe.charges_max,
            media=media.tokens,
        )

    @property
    def text_size(self) -> int:
        """Bytes of the body, without what is no text."""
        return len(self._begins) + self._recipe.rest - self._media.size

    @property
    def media_tokens(self) -> int:
        """Tokens of its pictures, sounds and files by the provider's rule."""
        return self._media.tokens

    @property
    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self._begins)

    @property
    def reads_as(self) -> object:
        """Its type: others may be equal to it in all that a model is told, and check something else."""
        return self._recipe.answer.source

    @property
    def shares(self) -> tuple[object, int]:
        """What it has in common with other calls, and the bytes of memory that this takes."""
        return self._recipe, self._recipe.weight

    @property
    def connection(self) -> Connection:
        """The way to the model that it is sent over, or those of which one is chosen."""
        return self._named_by.connection

    @property
    def limiter(self) -> Limiter:
        """The limiter of the endpoint and key it goes to."""
        return self.connection.endpoint.limiter

    @property
    def elsewhere(self) -> frozenset[Kind]:
        """The kinds of failure after which another model is asked."""
        return self._named_by.elsewhere

    def through(self, way: int) -> ModelCall:
        """The same call, sent one way of several to the model; its key stays."""
        named, recipe = self._named_by, self._named_by.ways[way]
        assert self.key is not None  # noqa: S101  (a call of a recipe has one)
        asks = (self._messages, self.key, self.occurrence, self._media)
        other = ModelCall(recipe, *asks, vote=self.vote)
        other.asked, other._named_by = self.asked, named
        return other

    @property
    def keys_by_way(self) -> list[bytes]:
        """The keys that a plain run of each way would give it, its own first.

        Those that it had in journals of before are among them.
        """
        others, asks = self._named_by.others, (self._messages, self.occurrence, self._media)
        if not others:  # of most, and it is asked for each row
            return [] if self.key is None else [self.key]
        keys = [each.call(*asks, self.vote).key for each in others]
        return list(dict.fromkeys(key for key in (self.key, *keys) if key is not None))

    @property
    def _messages(self) -> bytes:
        return bytes(self._begins[len(self._recipe._head) :])

    def as_vote(self, vote: int) -> ModelCall:
        """The same question, for another answer to it."""
        assert self.key is not None  # noqa: S101  (a call of a recipe has one)
        key = _key_of_vote(self.key, vote)
        made = ModelCall(self._recipe, self._messages, key, self.occurrence, self._media, vote=vote)
        made.asked = self.asked
        return made

    def as_first_vote(self) -> ModelCall:
        """The same question asked once."""
        return self._named_by.call(self._messages, self.occurrence, self._media)

    async def send(self) -> Reply:
        """Make one attempt."""
        if self.connection.is_closed:  # others may still wait for it
            return Reply(CallError(Kind.NOT_SENT, "The connection that it was made for is closed."))
        self._was_sent = True
        recipe = self._recipe
        connection = recipe.connection
        endpoint = connection.endpoint
        sure = recipe.confidences is not None
        if sure and endpoint.fitting.leaves_out("logprobs", "top_logprobs"):
            return Reply(no_logprobs(connection.model))
        body, changed = endpoint.fitting.fit(self.body, recipe.instruction)
        try:
            response = await connection.wire.post(body)
        except CallError as error:
            return Reply(error)
        if changed:
            recipe.changed.update(dict.fromkeys(filter(None, changed)))
        status, headers, came = response
        reply = classify(status, headers, came, proven=endpoint.proven)
        if reply.error is not None and is_for_all(reply.error, headers):
            # Not if a row alone says so, whose words a refusal may quote.
            row = all_of(self._messages)
            reply = classify(status, headers, came, proven=endpoint.proven, row=row)
        if reply.error is None:
            endpoint.proven = True
        else:
            reply.error = self._refused(reply.error, response.body, body)
            self._price(reply)
            return reply
        used = reply.used
        if used is None:
            used = reply.used = guess(reply.data, self.estimate.input)
            reply.usage = Usage(*used, tier=tier_of(reply.data))
            reply.guessed = True
        else:
            endpoint.estimator.learn(self.text_size, used, self._media.tokens)
        if recipe.charges_max and recipe.max_tokens:
            reply.charged = Tokens(used.input, max(used.output, recipe.max_tokens))
        self._price(reply)
        return reply

    def _price(self, reply: Reply) -> None:
        if reply.usage is not None:
            price, used = self._recipe.connection.price, (reply.usage, reply.model)
            reply.usd, reply.saved = price.usd(*used), price.saved(*used)

    def _refused(self, error: CallError, refusal: bytes, sent: bytes) -> CallError:
        """What a failed attempt means, by what the server says in its body."""
        recipe, fitting = self._recipe, self._recipe.connection.endpoint.fitting
        again = CallError(Kind.UNSUPPORTED, error.message, status=error.status)
        sure = recipe.confidences is not None and error.kind in _REFUSED
        if sure and speaks_of("logprobs", refusal, sent):
            if fitting.learn_most("top_logprobs", refusal, sent):
                return again
            if not recipe.connection.endpoint.logprobs.told:  # else it is of this row
                return no_logprobs(recipe.connection.model, error)
        if error.kind is Kind.BAD_REQUEST and self._fits_better(refusal, sent):
            return again
        if error.kind is Kind.NOT_FOUND:
            error.message += f" It was asked for {recipe.connection.model[:100]!r}."
        return error

    def _fits_better(self, refusal: bytes, sent: bytes) -> bool:
        """Whether the next attempt is another one: it was learned just now what to leave out."""
        fitting, instruction = self._recipe.connection.endpoint.fitting, self._recipe.instruction
        if fitting.fit(self.body, instruction)[0] != sent:
            return True  # learned from another row, while this one was under way
        return fitting.learn(refusal, sent, own_format=bool(instruction))

    def parse(self, raw: bytes) -> object:
        """A kept body, parsed."""
        return parsed(raw)

    def read(self, data: Any) -> Any:
        """The typed answer in a paid reply."""
        recipe = self._recipe
        try:
            said = text_of(data, recipe.connection.endings, bytes(self._begins))
            if not recipe.answer.plain:
                refuse_very_long(said)
            value, self.cell, self.mended = recipe.answer.answered(said)
            self.length = len(said)
            sure = recipe.confidences
            if sure is not None:  # of a good answer: what fits no type may be a guardrail's
                seen = recipe.connection.endpoint.logprobs
                # What is kept was paid for.
                must = self._was_sent and Kind.NO_LOGPROBS not in self.elsewhere
                if not seen.are_there(data) and must and seen.are_missed(self.key):
                    raise no_logprobs(recipe.connection.model)
                self.confidences = sure.read(data, said)
        except CallError as error:
            error.reply = excerpt_of(data, REPLY_LENGTH)
            raise
        return value

    def correction(self, data: object, error: CallError) -> ModelCall | None:
        """The question again, with the answer that will not do and the reason why.

        The turns go on alternating between user and assistant: many servers demand that.
        """
        messages = orjson.loads(self._messages)
        try:
            said = whole_characters(text_of(data, self._recipe.connection.endings))
        except CallError:
            said = ""
        reason = "There was no answer." if error.kind is Kind.EMPTY else error.message
        ask_again(messages, said, reason)
        return self._named_by.call(orjson.dumps(messages), self.occurrence, self._media, self.vote)
