"""What comes out of a record with its type is the very value that was returned, or it stays JSON."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    AliasGenerator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    computed_field,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from typing_extensions import TypedDict

import lionproc as lp
from lionproc.errors import CallError
from lionproc.model.same_value import same_value
from lionproc.service import typed_result

SAID = {"mood": "good", "reason_given": "it broke"}


def edit(pattern, without=(), **fields):
    (path,) = Path().glob(pattern)
    record = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: record[name] for name in record.keys() - set(without)}))


class Plain(BaseModel):
    mood: str
    reason_given: str | None = None
    score: float = 0


class WrittenOtherwise(BaseModel):
    mood: str
    reason_given: str | None = Field(default=None, serialization_alias="reasonGiven")


class WrittenInCamels(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))

    mood: str
    reason_given: str | None = None


class ReadOtherwise(BaseModel):
    mood: str
    reason: str | None = Field(default=None, validation_alias="reason_given")


class ReadByOneOf(BaseModel):
    mood: str
    reason: str = Field("", validation_alias=AliasChoices("reason_given", "why"))


class Aliased(BaseModel):
    mood: str
    reason: str | None = Field(default=None, alias="reason_given")


class LeftOut(BaseModel):
    mood: str
    reason_given: str | None = Field(default=None, exclude=True)


class Hushed(BaseModel):
    mood: str
    reason_given: Annotated[str | None, PlainSerializer(lambda said: None)] = None


class WithMore(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mood: str
    reason_given: str

    @computed_field
    @property
    def loud(self) -> str:
        return self.mood.upper()


class Loose(TypedDict):
    mood: str
    reason: Annotated[str, Field(alias="reason_given")]


@dataclasses.dataclass
class Said:
    mood: str
    reason: Annotated[str | None, Field(alias="reason_given")] = None


class Reasoned(BaseModel):
    mood: str
    reason: str


class Unreasoned(BaseModel):
    mood: str
    reason: str = Field("none", validation_alias="why")


class Inside(BaseModel):
    inner: WrittenInCamels
    others: list[LeftOut]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        *((kind, SAID) for kind in (Plain, WrittenOtherwise, WrittenInCamels, ReadOtherwise)),
        *((kind, SAID) for kind in (ReadByOneOf, Aliased, LeftOut, Hushed, WithMore, Loose, Said)),
        *((kind | None, {"answer": SAID}) for kind in (WrittenOtherwise, LeftOut)),
        (list[LeftOut], {"answer": [SAID, {"mood": "bad"}]}),
        (dict[str, WrittenOtherwise], {"answer": {"a": SAID}}),
        (Inside, {"inner": SAID, "others": [SAID]}),
        (int | str, '{"answer": 100000000000000000000}'),
    ],
    ids=str,
)
async def test_a_result_is_one_value_whatever_it_is_called_where_it_is_written(
    server, model, schema, said
):
    server.configure(answer=said)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", schema)
        request_id = told["request_id"]
        now = [service.get_request(request_id, schema), await service.wait(request_id, schema)]
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        later = [service.get_request(request_id, schema), await service.wait(request_id, schema)]
    assert told["status"] == "success"
    assert all(same_value(each["result"], told["result"]) for each in now + later)
    assert server.counters.total == 1


async def test_a_batch_that_is_asked_again_or_resumed_gives_results_of_one_kind(server, model):
    server.configure(answer=SAID, faults=["content_filter"])
    processor = lp.BatchProcessor("B", "batches", 2, None, model=model)
    first = await processor.process_batch(["a", "b"], WrittenOtherwise)
    again = await processor.retry_failed(first["batch_id"], WrittenOtherwise)
    await processor.close()
    whole = WrittenOtherwise(mood="good", reason_given="it broke")
    assert [each["result"] for each in again["results"]] == [whole, whole]
    edit("batches/batch_*.json", status="processing")
    later = lp.BatchProcessor("B", "batches", 2, None, model=model)
    (resumed,) = await later.resume(WrittenOtherwise)
    await later.close()
    assert [each["result"] for each in resumed["results"]] == [whole, whole]
    assert server.counters.total == 3


async def test_an_answer_that_comes_anew_has_nothing_of_the_one_before(server, model):
    server.configure(answer=SAID)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", LeftOut)
    edit("requests/req_*.json", without=("result", "key"), status="processing")
    server.configure(answer={"mood": "good"})
    async with lp.ProcessingService(
        "A", "requests", None, None, model=model, journal="other.sqlite"
    ) as service:
        (resumed,) = await service.resume(LeftOut)
        again = service.get_request(told["request_id"], LeftOut)["result"]
    assert resumed["result"] == again == LeftOut(mood="good")


async def test_a_result_whose_end_is_being_written_has_its_type(server, model, monkeypatch):
    server.configure(answer=SAID)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        seen = []

        async def look(record):
            seen.append(service.get_request(record["id"], LeftOut)["result"])

        monkeypatch.setattr(service._store, "write_end", look)
        told = await service.process_data("x", LeftOut)
    assert seen == [told["result"]]


class Kept(BaseModel):
    mood: str
    _first: str = PrivateAttr("")

    @model_validator(mode="after")
    def of_the_reply(self):
        self._first, self.mood = self.mood[:1], self.mood[1:]
        return self


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (Kept, {"mood": "good"}),
        (Reasoned | Unreasoned, {"answer": {"mood": "good"}}),
        (tuple[LeftOut, int], {"answer": [SAID, 1]}),
    ],
    ids=["a private attribute", "which of two", "a part of a tuple"],
)
async def test_what_no_record_has_stays_json(server, model, schema, said):
    server.configure(answer=said)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", schema)
        record = service.get_request(told["request_id"])
        again = service.get_request(told["request_id"], schema)["result"]
    assert not same_value(told["result"], record["result"])
    assert again is not None
    assert same_value(again, record["result"])


async def of_before(server, model, schema, said):
    """What was returned, and what is read of a record without a note, as those of before are."""
    server.configure(answer=said)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", schema)
        edit("requests/req_*.json", without=("reads_back", "reply"))
        recorded = service.get_request(told["request_id"])
        assert not {"reads_back", "reply"} & recorded.keys()
        again = service.get_request(told["request_id"], schema)["result"]
    return told["result"], again, recorded["result"]


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        *((kind, SAID) for kind in (Plain, Aliased, Reasoned)),
        *((kind, {"mood": "fine"}) for kind in (WrittenOtherwise, ReadOtherwise)),
        (list[Plain], {"answer": [SAID]}),
    ],
    ids=str,
)
async def test_a_record_of_before_gives_the_type_where_nothing_can_be_lost(
    server, model, schema, said
):
    said = {"reason": "none", **said} if schema is Reasoned else said
    told, again, _ = await of_before(server, model, schema, said)
    assert same_value(again, told)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        *((kind, SAID) for kind in (WrittenOtherwise, WrittenInCamels, ReadOtherwise, LeftOut)),
        *((kind, SAID) for kind in (Hushed, Said)),
        (Kept, {"mood": "good"}),
        (Inside, {"inner": SAID, "others": [SAID]}),
        (Reasoned | Unreasoned, {"answer": {"mood": "good"}}),
        (int | str, '{"answer": 100000000000000000000}'),
    ],
    ids=str,
)
async def test_a_record_of_before_stays_json_where_something_may_be_lost(
    server, model, schema, said
):
    told, again, recorded = await of_before(server, model, schema, said)
    assert again == recorded
    assert not same_value(again, told)


class Tagged(BaseModel):
    tags: set[str]


@pytest.mark.parametrize("order", [["a", "b", "c"], ["c", "b", "a"]], ids=str)
@pytest.mark.parametrize("noted", [(), ("reads_back",)], ids=["noted", "of before"])
async def test_a_set_is_one_in_whatever_order_a_process_has_written_it(server, model, order, noted):
    server.configure(answer={"tags": ["a", "b", "c"]})
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", Tagged)
        edit("requests/req_*.json", without=noted, result={"tags": order})
        assert service.get_request(told["request_id"], Tagged)["result"] == told["result"]


class Anything(BaseModel):
    within: Any


def test_a_result_of_many_levels_is_not_gone_over_again_at_each_of_them(monkeypatch):
    gone_over, digest = [], typed_result.blake2b
    monkeypatch.setattr(
        typed_result, "blake2b", lambda text: gone_over.append(len(text)) or digest(text)
    )
    within = [f"a long text, the {n}th" for n in range(1000)]
    for _ in range(100):
        within = [within, {"more": "of it"}]
    record = {"status": "completed", "result": {"within": within}, "reads_back": True}
    read = typed_result.typed_result({**record, "reply": '{"within": 1}'}, Anything)
    assert read == record["result"]
    assert 0 < sum(gone_over) < 2 * len(str(within))
    same = typed_result.typed_result(
        {**record, "reply": json.dumps({"within": within[::-1]})}, Anything
    )
    assert same == Anything(within=within[::-1])


async def test_what_was_edited_is_not_what_was_answered(server, model):
    server.configure(answer=SAID)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", LeftOut)
        edit("requests/req_*.json", result={"mood": "bad"})
        assert service.get_request(told["request_id"], LeftOut)["result"] == {"mood": "bad"}


class Broken(BaseModel):
    mood: Annotated[str, PlainSerializer(lambda said: {}[said])]


async def test_a_type_that_raises_where_a_result_is_read_leaves_it_json(server, model):
    server.configure(answer=SAID)
    async with lp.ProcessingService("A", "requests", None, None, model=model) as service:
        told = await service.process_data("x", Plain)
        read = service.get_request(told["request_id"], Broken)["result"]
    assert read == told["result"].model_dump()


def record_type(check):
    class Record(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def checked(cls, value):
            return check(value)

    return Record


def refuse(value):
    raise ValueError("no such number")


@pytest.mark.parametrize("order", ["plain first", "strict first"])
async def test_equal_questions_with_types_that_check_otherwise_are_each_read_by_its_own(
    server, model, order
):
    """All that the model is told of these types is equal, and they are asked at one time."""
    server.configure(answer='{"n": 3}')
    plain, twice, strict = (record_type(check) for check in (int, (2).__mul__, refuse))
    types = (
        [plain, plain, twice, strict] if order == "plain first" else [strict, twice, plain, plain]
    )
    async with lp.ProcessingService("A", "read", model=model) as service:
        told = await asyncio.gather(
            *(service.process_data({"t": 1}, schema=each) for each in types)
        )
    for each, kind in zip(told, types, strict=True):
        if kind is strict:
            assert (each["status"], each["kind"]) == ("error", "wrong_shape")
        else:
            assert each["result"] == kind.model_construct(n=6 if kind is twice else 3)
    asked = [len(json.loads(request.raw_body)["messages"]) for request in server.requests]
    # Longer ones are corrections of the strict one, whose failure may have the question asked again.
    assert asked.count(min(asked)) <= (1 if order == "plain first" else 2)
    branches = [lp.Branch(model=model) for _ in types]
    chats = (
        branch.chat("again", schema=kind) for branch, kind in zip(branches, types, strict=True)
    )
    said = await asyncio.gather(*chats, return_exceptions=True)
    assert [type(each) for each in said] == [CallError if k is strict else k for k in types]
