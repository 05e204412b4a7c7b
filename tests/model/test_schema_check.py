"""JSON Schemas that are not plain are compiled, and answers held against them, in a process of its own."""

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
from pydantic import BaseModel, Field

import lionproc as lp
from lionproc.engine import kept_process
from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model import checked_apart, schema_check, trial_process
from lionproc.model.answer import Answer
from lionproc.model.plain_schema import is_plain
from lionproc.model.schema_ways import levels_for_one_value, levels_of
from lionproc.model.trials import Trials

ROOT = Path(lp.__file__).parents[1]

TEXT = {"type": "string"}
NAMES = {"type": "object", "properties": {"a": TEXT}, "propertyNames": {"maxLength": 3}}


@pytest.fixture(autouse=True)
def none_yet_and_none_left():
    trial_process.PROCESS.stop()
    yield
    trial_process.PROCESS.stop()


def has_begun():
    return trial_process.PROCESS.process is not None


def read(schema, said):
    return Answer.of(schema).read(said if isinstance(said, str) else json.dumps(said))


def chained(keyword, parts, levels, every):
    """A short schema that is `parts` times `levels` deep; its deepest parts are met first."""
    defs = {}
    for number in reversed(range(parts)):
        inner = {"$ref": f"#/$defs/c{number + 1}"} if number < parts - 1 else TEXT
        for _ in range(levels):
            inner = {keyword: inner}
        defs[f"c{number}"] = inner
    first = {f"p{n}": {"$ref": f"#/$defs/c{n}"} for n in range(parts - every, -1, -every)}
    return {
        "type": "object",
        "properties": {**first, "a": {"$ref": "#/$defs/c0"}},
        "$defs": defs,
    }


def nested(levels):
    """One with so many parts for each level of a value, and an answer of a hundred levels."""
    defs, inner = {}, {"$ref": "#/$defs/hub"}
    for number in range(levels // 60):
        for _ in range(60):
            inner = {"dependentSchemas": {"": inner}}
        defs[f"c{number}"] = inner
        inner = {"$ref": f"#/$defs/c{number}"}
    defs["hub"] = {"type": "object", "properties": {"": inner}}
    said = {}
    for _ in range(100):
        said = {"": said}
    root = {"z": TEXT, "": {"$ref": "#/$defs/hub"}}
    return {"type": "object", "properties": root, "$defs": defs}, json.dumps(said)


def run(code, *arguments):
    """A script of its own, for what might end the process that it is done in; its stack is small."""

    def with_a_small_stack():
        most = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (2**20, most))

    made = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {[str(ROOT), *sys.path]!r}\n" + code],
        input=json.dumps(arguments),
        preexec_fn=with_a_small_stack,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


# ---- where references lead


PART = {"type": "string", "pattern": "a*" * 500}


@pytest.mark.parametrize(
    ("reference", "beside"),
    [
        ("#/examples/0", {"examples": [PART]}),
        ("#/default/x", {"default": {"x": PART}}),
        ("#/properties/q/const", {"q": {"const": PART}}),
        ("#/properties/q/enum/0", {"q": {"enum": [PART]}}),
        ("#/x/0/0", {"x": [[PART]]}),
        ("#/x/enum", {"x": {"enum": PART}}),
        ("#/$defs", {"$defs": {"pattern": PART}}),
        ("#/required/0", {"required": ["q"]}),
    ],
)
def test_a_reference_to_what_is_no_part_is_refused(reference, beside):
    named = {"a": {"$ref": reference}, "q": beside.pop("q", {})}
    with pytest.raises(SchemaError, match=r"no schema stands.*Put that part under"):
        Answer.of({"type": "object", "properties": named, **beside})


DRAFT_7 = {"$schema": "http://json-schema.org/draft-07/schema#"}


@pytest.mark.parametrize(
    ("reference", "beside"),
    [
        ("#/$defs/enum", {"$defs": {"enum": TEXT, "default": TEXT}}),
        ("#/definitions/const", {"definitions": {"const": TEXT}}),
        ("#/properties/enum", {"properties": {"enum": TEXT}}),
        ("#/patternProperties/%5Ex", {"patternProperties": {"^x": TEXT}}),
        ("#/dependentSchemas/default/properties/b", {"dependentSchemas": {"default": {"properties": {"b": TEXT}}}}),
        ("#/dependencies/x/items/1", {**DRAFT_7, "dependencies": {"x": {"items": [True, TEXT]}, "y": ["x"]}}),
        ("#/components/schemas/Name", {"components": {"schemas": {"Name": TEXT}}}),
        ("#/x/1", {"x": [True, TEXT]}),
        ("#/not/contains/propertyNames", {"not": {"type": "array", "contains": {"propertyNames": TEXT}}}),
        ("#/allOf/0/then/additionalProperties", {"allOf": [{"then": {"additionalProperties": TEXT}}]}),
        ("#name", {"$defs": {"n": {**TEXT, "$anchor": "name"}}}),
    ],
)  # fmt: skip
def test_a_reference_to_a_part_is_followed_wherever_it_stands(reference, beside):
    named = {**beside.pop("properties", {}), "a": {"$ref": reference}}
    schema = {"type": "object", "properties": named, "required": ["a"], **beside}
    assert read(schema, {"a": "b"}) == {"a": "b"}
    with pytest.raises(CallError):
        read(schema, {"a": 5})


# ---- what is too deep, or too much


OF = """
import json
from lionproc.errors import CallError, SchemaError
from lionproc.model.answer import Answer
schema, *said = json.load(sys.stdin)
try:
    answer = Answer.of(schema)
    for text in said:
        answer.read(text)
    print("read")
except (CallError, SchemaError) as error:
    print(type(error).__name__, error)
"""


def test_a_short_schema_that_fills_the_stack_when_it_is_compiled_is_refused():
    said = run(OF, chained("unevaluatedProperties", 8, 150, 4))
    assert said.startswith("SchemaError")
    assert "too deeply" in said


def test_a_short_answer_that_fills_the_stack_when_it_is_checked_is_a_wrong_shape():
    said = run(OF, *nested(300))
    assert said.startswith("CallError")
    assert "nested too deeply, for this schema" in said


def test_work_with_a_long_value_counts_as_often_as_it_is_done():
    parts = [{"uniqueItems": True}] * 4900
    schema = {"type": "object", "properties": {"a": {"type": "array", "allOf": parts}}}
    before = time.process_time()
    with pytest.raises(CallError, match="too long to check") as caught:
        read(schema, {"a": list(range(90_000))})
    assert time.process_time() - before < 10  # here it takes 35 seconds
    assert caught.value.kind == Kind.WRONG_SHAPE
    assert read(schema, {"a": [1, 2]}) == {"a": [1, 2]}


def test_levels_are_counted_through_references_and_circles_have_as_many_as_parts():
    assert levels_of(chained("unevaluatedProperties", 8, 150, 4)) == 8 * 150 + 8 + 2
    assert levels_for_one_value(nested(300)[0]) == 5 * 61 + 2
    node = {"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert levels_of(node) == 3 + 1  # in the circle, and "null"
    assert levels_for_one_value(node) == 3


# ---- which are checked where


class Leaf(BaseModel):
    kind: str = Field(max_length=20)
    size: int | None = Field(ge=0, default=None)
    tags: set[str] = set()


class Tree(BaseModel):
    """A tree."""

    left: "Tree | Leaf | None" = Field(description="What is left", default=None)
    right: "Tree | Leaf | None" = None
    pair: tuple[int, str] | None = None
    named: dict[str, Leaf] = {}


PLAIN = [
    Leaf.model_json_schema(),
    Tree.model_json_schema(),
    {"type": "array", "items": {"enum": ["a", "b"]}, "uniqueItems": True},
    {
        **DRAFT_7,
        "$id": "https://example.com/a",
        "type": "object",
        "properties": {"a": {"allOf": [TEXT], "x-order": [{"of": 1}], "example": {"unheard": {}}}},
        "if": {"required": ["a"]},
        "then": {"not": {"required": ["b"]}},
        "patternProperties": {"^b": {"contains": {"const": 1}}},
    },
]


@pytest.mark.parametrize("schema", PLAIN, ids=["leaf", "tree", "list", "old"])
def test_an_ordinary_schema_starts_no_process(schema):
    answer = Answer.of(schema)
    for said in ('{"kind": "a", "size": 1}', '{"answer": ["a"]}', '{"left": {"right": null}}', "5"):
        try:
            answer.read(said)
        except CallError:
            continue
    assert not has_begun()


@pytest.mark.parametrize(
    "more",
    [
        {"propertyNames": {"maxLength": 3}},
        {"dependentSchemas": {"a": {"required": ["b"]}}},
        {"unevaluatedProperties": False},
        {"contentEncoding": "base64"},
        {"$defs": {"a": {"$dynamicAnchor": "b"}}},
        {"unheard": {"of": 1}},
        {"$defs": {str(n): True for n in range(5)}, "properties": {"a": {"$ref": "#/x-b"}}, "x-b": TEXT},
        {"allOf": [{"minProperties": 0}] * 1000},
    ],
)  # fmt: skip
def test_what_is_not_plain_is_checked_in_a_process_of_its_own(more):
    schema = {"type": "object", "properties": {"a": TEXT}, **more}
    assert not is_plain(schema)
    Answer.of(schema)
    assert has_begun()


@pytest.mark.parametrize(
    "said",
    [
        {"a": "b"},
        {"a": 5},
        {"long name": 1, "a": 2},
        {"a": "\U0001f600"},
        {},
        "[1]",
        "no JSON",
        '{"a": "b", "c": 123456789012345678901234567890, "d": 1e400}',
        json.dumps({"a": ["x"] * 30_000}),
    ],
)
def test_it_says_of_an_answer_what_is_said_here(said, monkeypatch):
    def told():
        try:
            return read(NAMES, said)
        except CallError as error:
            return str(error)

    apart = told()
    assert has_begun()
    trial_process.PROCESS.stop()
    monkeypatch.setattr(schema_check, "is_plain", lambda schema: True)
    assert told() == apart
    assert not has_begun()


def test_a_long_answer_for_many_parts_is_checked_apart_and_a_short_one_is_not():
    schema = {
        "type": "object",
        "properties": {"a": {"anyOf": [{"maxLength": n} for n in range(99)]}},
    }
    read(schema, {"a": "b"})
    assert not has_begun()
    with pytest.raises(CallError, match="not valid under any"):
        read(schema, {"a": "b" * 100_000})
    assert has_begun()


def test_an_answer_for_many_levels_of_choices_is_checked_apart():
    def in_choices(levels):
        inner = {"allOf": [{"uniqueItems": True}] * 200 + [TEXT]}
        for _ in range(levels):
            inner = {"anyOf": [inner]}
        return {"type": "object", "properties": {"a": inner}, "required": ["a"]}

    wrong = {"a": [number / 7 for number in range(200)]}
    for levels, is_apart in ((0, False), (40, True)):
        with pytest.raises(CallError):
            read(in_choices(levels), wrong)
        assert has_begun() == is_apart


def test_what_it_says_to_one_answer_is_never_taken_for_another(monkeypatch):
    answer = Answer.of(NAMES)
    child, end = trial_process.PROCESS._child, kept_process._Child.end

    def interrupted(self):  # for the second time, before anything is ended
        monkeypatch.setattr(kept_process._Child, "end", end)
        raise KeyboardInterrupt

    def interrupt(*_):
        monkeypatch.setattr(child, "_said", type(child)._said.__get__(child))
        raise KeyboardInterrupt

    monkeypatch.setattr(child, "_said", interrupt, raising=False)
    monkeypatch.setattr(kept_process._Child, "end", interrupted)
    with pytest.raises(KeyboardInterrupt):
        answer.read('{"a": "b"}')
    for _ in range(2):
        with pytest.raises(CallError, match="does not allow"):
            answer.read('{"abcd": "b"}')


def test_an_answer_of_many_levels_for_parts_of_many_is_checked_apart():
    inner = {"$ref": "#/$defs/n"}
    for _ in range(10):
        inner = {"anyOf": [inner, {"type": "null"}]}
    node = {"type": "object", "properties": {"a": inner}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "$defs": {"n": node}}
    for levels in (10, 100):
        said = {}
        for _ in range(levels):
            said = {"a": said}
        assert read(schema, said) == said
        assert has_begun() == (levels == 100)


def test_a_schema_that_is_none_is_told_as_such_wherever_it_is_compiled():
    for more in ({}, {"propertyNames": {"maxLength": 3}}):
        with pytest.raises(
            SchemaError, match=r"This is no valid JSON Schema.*regular expression|regex"
        ):
            Answer.of(
                {"type": "object", "properties": {"a": {"pattern": "(?P<a>.)(?P<a>.)"}}, **more}
            )


# ---- the process


def test_one_that_was_killed_is_replaced_and_told_the_schema_again():
    answer = Answer.of(NAMES)
    first = trial_process.PROCESS.process
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert answer.read('{"a": "b"}') == {"a": "b"}
    with pytest.raises(CallError, match="does not allow"):
        answer.read('{"abcd": "b"}')
    assert trial_process.PROCESS.process.pid != first.pid


def test_one_that_was_ended_half_by_two_interrupts_is_replaced():
    answer = Answer.of(NAMES)
    first = trial_process.PROCESS._child
    first.let_go()  # and somebody interrupts again before it is ended
    assert answer.read('{"a": "b"}') == {"a": "b"}
    assert trial_process.PROCESS._child is not first


def test_more_schemas_than_it_keeps_are_told_again():
    answers = [Answer.of({**NAMES, "propertyNames": {"maxLength": n}}) for n in range(3, 30)]
    for answer in answers * 2:
        assert answer.read('{"a": "b"}') == {"a": "b"}


def test_what_others_have_it_forget_meanwhile_is_told_again_with_the_answer():
    answers = [Answer.of({**NAMES, "propertyNames": {"maxLength": n}}) for n in range(3, 43)]

    def read_often(answer):
        return [answer.read('{"a": "b"}') for _ in range(20)]

    with ThreadPoolExecutor(len(answers)) as at_once:
        assert list(at_once.map(read_often, answers)) == [[{"a": "b"}] * 20] * len(answers)


def test_after_ctrl_c_while_it_begins_another_begins(monkeypatch):
    begin = kept_process._Child.begin

    def interrupted(self, message):
        monkeypatch.setattr(kept_process._Child, "begin", begin)
        self.end()
        raise KeyboardInterrupt

    monkeypatch.setattr(kept_process._Child, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Answer.of(NAMES)
    assert read(NAMES, {"a": "b"}) == {"a": "b"}
    assert has_begun()


@pytest.fixture
def no_process(monkeypatch):
    monkeypatch.setattr(kept_process, "_interpreter", lambda: None)


def test_without_a_process_a_schema_that_is_shallow_is_checked_here(no_process):
    assert read(NAMES, {"a": "b"}) == {"a": "b"}
    with pytest.raises(CallError, match="does not allow"):
        read(NAMES, {"abcd": "b"})


def test_without_a_process_a_schema_that_may_be_deep_is_refused(no_process):
    with pytest.raises(SchemaError, match=r"deeper than 80 levels.*none could be started"):
        Answer.of(chained("unevaluatedProperties", 2, 50, 1))


def test_without_a_process_an_answer_that_may_be_deep_is_not_the_fault_of_the_model(monkeypatch):
    schema, said = nested(60)
    answer = Answer.of(schema)
    trial_process.PROCESS.stop()
    monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    with pytest.raises(CallError, match="nested too deeply to be checked here") as caught:
        answer.read(said)
    assert caught.value.kind == Kind.UNREADABLE
    assert answer.read('{"z": "b"}') == {"z": "b"}


# ---- what was kept


def ask(server, schema):
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
    frame = pd.DataFrame({"text": ["a"]})
    return frame.llm.process("Say {text}", into="a", schema=schema, model=model, progress=False)


def test_an_answer_that_is_kept_has_more_time(server, monkeypatch):
    given, really = [], trial_process.ask
    monkeypatch.setattr(
        checked_apart, "ask", lambda said: given.append(said["seconds"]) or really(said)
    )
    server.configure(answer='{"a": "b"}')
    assert ask(server, NAMES).iloc[:, 1].tolist() == ["b"]
    fresh = given[-1]
    assert ask(server, NAMES).iloc[:, 1].tolist() == ["b"]
    assert given[-1] == 2 * fresh
    assert server.counters.total == 1


@pytest.mark.parametrize("again", ["with a little time left", "without a process"])
def test_a_kept_answer_that_took_too_long_does_so_again(server, monkeypatch, again):
    said = iter(['{"a": "long"}', '{"a": "short"}'])
    server.configure(answer=lambda body: next(said))
    really = trial_process.ask
    with monkeypatch.context() as slow:
        slow.setattr(
            checked_apart,
            "ask",
            lambda told: None if '"long"' in told.get("text", "") else really(told),
        )
        first = ask(server, NAMES)
    assert first.iloc[:, 1].tolist() == ["short"]
    if again == "without a process":
        trial_process.PROCESS.stop()
        monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    else:
        monkeypatch.setattr(
            checked_apart, "ask", lambda told: {**really(told), "seconds": 0.9 * told["seconds"]}
        )
    assert ask(server, NAMES).equals(first)
    assert server.counters.total == 2


ROWS = """
import json, warnings
import pandas as pd
import lionproc as lp
warnings.simplefilter("ignore")
url, key, folder, schema = json.load(sys.stdin)
out = pd.DataFrame({"t": [f"row {n}" for n in range(6)]}).llm.process(
    "Say {t}", into="o", schema=schema, journal=folder + "/j.sqlite", progress=False,
    model=lp.Model("openai", "m", base_url=url, api_key=key), retry=lp.Retry(max_corrections=0),
)
print(int(out.iloc[:, 1].notna().sum()), out.llm.errors().to_string())
"""


def test_an_answer_that_fills_the_stack_is_one_rows_failure_and_the_journal_serves_all_others(
    server, tmp_path
):
    schema, said = nested(300)
    server.configure(answer=lambda body: said if "row 3" in json.dumps(body) else '{"z": "good"}')
    for _ in range(2):
        told = run(ROWS, server.base_url, server.key, str(tmp_path), schema)
        assert told.startswith("5 ")
        assert "nested too deeply" in told
    assert server.counters.total == 7  # the row without an answer is asked again


# ---- where else schemas come from


RESUME = """
import asyncio, json, warnings
import lionproc as lp
warnings.simplefilter("ignore")
url, key, folder = json.load(sys.stdin)

async def resumed():
    service = lp.ProcessingService(
        "S", folder, requests_per_minute=None, max_tokens=None, prompt="Say {text}",
        model=lp.Model("openai", "m", base_url=url, api_key=key),
    )
    print(json.dumps([each["status"] for each in await service.resume()]))
    await service.close()

asyncio.run(resumed())
"""


async def test_a_record_with_a_schema_that_fills_the_stack_fails_alone(server, tmp_path):
    server.configure(answer='{"p": "b"}')
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    service = lp.ProcessingService(
        "S", tmp_path, requests_per_minute=None, max_tokens=None, model=model, prompt="Say {text}"
    )
    for text in "abc":
        await service.process_data(
            {"text": text}, schema={"type": "object", "properties": {"p": TEXT}}
        )
    await service.close()
    records = sorted(tmp_path.glob("req_*.json"))
    for file in records:
        record = json.loads(file.read_text()) | {"status": "received", "owner": ""}
        record.pop("result", None)
        if file == records[1]:
            record["schema"] = chained("unevaluatedProperties", 8, 150, 4)
        file.write_text(json.dumps(record))
    told = json.loads(run(RESUME, server.base_url, server.key, str(tmp_path)))
    assert sorted(told) == ["error", "success", "success"]


def test_the_command_refuses_a_schema_that_fills_the_stack(tmp_path):
    schema, rows = tmp_path / "s.json", tmp_path / "in.csv"
    schema.write_text(json.dumps(chained("unevaluatedProperties", 8, 150, 4)))
    rows.write_text("text\na\n")
    command = ["process", rows, "-p", "Say {text}", "-m", "m", "--schema", schema]
    made = subprocess.run(
        [sys.executable, "-m", "lionproc", *command, "--base-url", "http://127.0.0.1:9/v1"],
        cwd=ROOT,
        env={**os.environ, "LIONPROC_API_KEY": "k"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode > 0
    assert "nested too deeply" in made.stderr


@pytest.mark.parametrize("number", ["1e-310", "5e-324", "1e308", "0." + "0" * 300 + "1"])
@pytest.mark.parametrize(
    "items",
    [
        {"enum": [n / 2 for n in range(20)]},
        {"const": 3},
        {"type": "number", "minimum": -1, "maximum": 1},
        {"type": "integer"},
    ],
    ids=["an enum", "a constant", "bounds", "whole numbers"],
)
def test_many_numbers_of_many_digits_are_compared_in_a_process_of_their_own(number, items):
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": items}}}
    told = []
    for count, is_apart in ((10, False), (12_000, True)):
        try:
            told.append(read(schema, f'{{"a": [{", ".join([number] * count)}]}}'))
        except CallError as error:
            told.append(str(error)[:50])
        assert has_begun() == is_apart
    assert isinstance(told[0], str) == isinstance(told[1], str)
    trial_process.PROCESS.stop()
    with contextlib.suppress(CallError):
        read(schema, {"a": [0.3, 1 / 7, 7] * 1000})
    assert not has_begun()


@pytest.mark.parametrize("number", ["0.5", "500", "0.3333333333333333"])
@pytest.mark.parametrize(
    "chosen",
    [
        {"enum": list(range(1, 101))},
        {"enum": [n + 0.25 for n in range(100)]},
        {"enum": [[n] for n in range(100)]},
    ],
    ids=["whole numbers", "fractions", "lists"],
)
def test_many_numbers_are_held_against_many_choices_in_a_process_of_their_own(number, chosen):
    """Two to four millionths of a second each, with Python's lock held."""
    items = {"anyOf": [chosen, {"type": ["number", "array"]}]}
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": items}}}
    for count, is_apart in ((10, False), (19_000, True)):
        with contextlib.suppress(CallError):
            read(schema, f'{{"a": [{", ".join([number] * count)}]}}')
        assert has_begun() == is_apart


@pytest.mark.parametrize("fraction", ["1e-310", "0.5"])
def test_many_numbers_that_have_to_differ_are_compared_in_a_process_of_their_own(fraction):
    """Whole numbers of one float have one hash, so each is compared with each."""
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "uniqueItems": True, "items": {"type": "array"}}},
    }
    for count, is_apart in ((5, False), (300, True)):
        lists = (
            f"[{fraction}, {fraction}, {2**60 + number % 10}, {number}]" for number in range(count)
        )
        with contextlib.suppress(CallError):
            read(schema, f'{{"a": [{", ".join(lists)}]}}')
        assert has_begun() == is_apart
    trial_process.PROCESS.stop()
    assert read(schema, {"a": [[f"tag {number}"] for number in range(100)]})
    assert not has_begun()


def test_texts_are_held_against_many_choices_at_once():
    items = {"enum": [f"label {number}" for number in range(100)]}
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": items}}}
    read(schema, {"a": ["label 7"] * 15_000})
    assert not has_begun()


def test_whole_numbers_that_are_held_against_fractions_count_as_pairs():
    trials = Trials({"items": {"enum": [n + 0.5 for n in range(100)]}}, tagged=False)
    with pytest.raises(CallError, match="too many values for so many choices"):
        trials.are_more([3] * 30_000, 10**9, 90_000)


def test_of_an_answer_with_many_such_numbers_the_first_fault_alone_is_told():
    names = [f"f{number}" for number in range(45)]
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "number"}},
            **dict.fromkeys(names, TEXT),
        },
        "required": ["a", *names],
    }
    for number, faults in (("0.125", 45), ("1e308", 1)):
        with pytest.raises(CallError) as caught:
            read(schema, f'{{"a": [{", ".join([number] * 8000)}]}}')
        assert str(caught.value).count("required property") == min(faults, 3)


def test_numbers_with_an_exponent_count_as_what_they_are_written_out_as():
    parts = [{"type": "object", "required": [f"f{number}"]} for number in range(100)]
    trials = Trials({"anyOf": [{"type": "null"}, {"allOf": parts}]}, tagged=False)
    assert trials.can_be_told({"a": [0.125] * 1000})
    assert not trials.can_be_told({"a": [1e308] * 1000})
