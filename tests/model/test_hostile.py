"""Replies and schemas from somebody who means harm: a row may fail, nothing else."""

import ast
import asyncio
import contextlib
import functools
import importlib
import json
import re
import resource
import signal
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd
import pytest
from pydantic import BaseModel, create_model, field_validator

import lionproc as lp
from lionproc.cli.writing import _SIGNS
from lionproc.engine import loop as engine_loop
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.trust import _RECORD, _STAGE
from lionproc.errors import CallError, Kind, RowsFailedWarning, SchemaError
from lionproc.model import references, shape
from lionproc.model.answer import Answer
from lionproc.model.body import MOST_EVENTS, MOST_LINES, MOST_PIECES, parsed
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.chat_completion import classify
from lionproc.model.credentials import _spelling
from lionproc.model.excerpt import excerpt_of
from lionproc.model.made_type import made_of
from lionproc.model.schema_type import type_of_schema
from lionproc.model.thoughts import without_thoughts
from lionproc.model.trials import Trials
from lionproc.model.vetting import LARGEST_SCHEMA, MOST_PARTS, MOST_REFERENCES, vet
from lionproc.testing import Server

OPEN = {"type": "object", "properties": {"x": {}}, "required": ["x"]}
LONG = 120_000  # characters: 0.01 s for a search that reads them once, 7 s for one that goes back


@pytest.fixture(autouse=True)
def private_home(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))


def model_of(server):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)


def ask(df, model, schema, **more):
    arguments = {"retry": lp.Retry(base_s=0.01, max_corrections=0), "details": True, **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        return df.llm.process(
            "Say {text}", "a", schema=schema, model=model, progress=False, **arguments
        )


# --- one answer never ends the run ---------------------------------------------------------------


@pytest.mark.parametrize("schema", [OPEN, {"type": "object"}], ids=["open", "free"])
@pytest.mark.parametrize("levels", [127, 128, 250, 256, 1000, 50_000])
def test_an_answer_that_is_nested_too_deeply_fails_its_row_alone(schema, levels):
    nested = '{"x":' + "[" * levels + "]" * levels + "}"

    def said(body):
        return nested if "evil" in body["messages"][-1]["content"] else '{"x": 1}'

    df = pd.DataFrame({"text": ["one", "evil", "two"]})
    with Server(answer=said, process=False) as server:
        out = ask(df, model_of(server), schema)
        assert server.counters.total == 3
    expected = ["answered", "answered" if levels < 128 else "failed", "answered"]
    assert out["a_status"].tolist() == expected
    assert ("nested" in str(out["a_error"].iloc[1])) == (expected[1] == "failed")


def test_what_failed_on_a_hostile_answer_is_asked_again_at_the_next_run(tmp_path):
    df = pd.DataFrame({"text": ["one"]})
    with Server(answer="[" * 300) as server:
        assert ask(df, model_of(server), OPEN, journal=tmp_path / "j")["a_x"].isna().all()
        server.configure(answer='{"x": 1}')
        assert ask(df, model_of(server), OPEN, journal=tmp_path / "j")["a_x"].tolist() == ["1"]


class Panic(BaseException):
    """As libraries in Rust raise it, past everybody who waits for an Exception."""


Panic.__name__ = "PanicException"


@pytest.mark.parametrize(
    "fault", [ZeroDivisionError(), RecursionError(), MemoryError(), Panic()], ids=repr
)
def test_whatever_goes_wrong_while_a_reply_is_read_fails_that_row_alone(monkeypatch, fault):
    sound = ModelCall.read

    def read(self, data):
        if b"evil" in self.body:
            raise fault
        return sound(self, data)

    monkeypatch.setattr(ModelCall, "read", read)
    df = pd.DataFrame({"text": ["one", "evil", "two"]})
    with Server(answer="fine") as server:
        out = ask(df, model_of(server), str)
    assert out["a_status"].tolist() == ["answered", "failed", "answered"]
    assert out["a_error"].iloc[1].startswith("unreadable: ")


@pytest.mark.parametrize(
    "raw",
    [b"", b"not JSON", b"\xff", b"[" * 100_000, b"null", b"7", b'{"choices": 1}'],
    ids=["empty", "no JSON", "no text", "deep", "null", "number", "no choices"],
)
@pytest.mark.parametrize("late", [False, True], ids=["at the start", "while it waits"])
def test_a_kept_reply_that_cannot_be_read_is_asked_again(tmp_path, raw, late):
    df = pd.DataFrame({"text": ["one", "two"]})
    with Server(answer='{"x": 1}') as server:
        model = model_of(server)
        plan = df.llm._plan("Say {text}", "a", OPEN, {"model": model})
        recipe = RequestBuilder(plan.model.connect(), plan.model.body_params, plan.answer)
        (_, call), _ = plan.calls(recipe, 0, 2)
        with Journal.open(tmp_path / "j") as journal:

            async def keep():
                await journal.append(Entry(call.key, raw, "m", 1, 1, 1, 0.1, 1.8e9))

            asyncio.run(keep())
            if late:

                async def answer():
                    async with lp.RateLimitedAPIExecutor(journal=journal) as executor:
                        return await executor.submit(call)

                assert asyncio.run(answer()) == {"x": 1}
                engine_loop.submit(recipe.connection.wire.close()).result(10)
            else:
                out = ask(df, model, OPEN, journal=tmp_path / "j")
                assert out["a_x"].tolist() == ["1", "1"]
        assert server.counters.total == (1 if late else 2)


def test_a_model_whose_name_is_half_a_character_ends_no_run():
    told = rb'{"model": "\ud800", "service_tier": "\ud800", "choices": [{}], "usage": {%s}}'
    reply = classify(200, {}, told % b'"prompt_tokens": 1, "completion_tokens": 1')
    assert (reply.model, reply.usage.tier) == ("\ufffd", "\ufffd")


@pytest.mark.parametrize(
    "fault", [SystemExit(), asyncio.CancelledError(), GeneratorExit()], ids=type
)
def test_whatever_a_validator_raises_is_a_wrong_shape(fault):
    class Checked(BaseModel):
        x: int

        @field_validator("x")
        @classmethod
        def _check(cls, x):
            raise fault

    with pytest.raises(CallError, match=type(fault).__name__) as caught:
        Answer.of(Checked).read('{"x": 1}')
    assert caught.value.kind is Kind.WRONG_SHAPE


# --- nothing over a reply takes longer than a reply ----------------------------------------------

# What is hard for a search that tries again from every place, or in many ways.
HARD_TEXTS = {
    "spaces": " " * LONG,
    "a fence and spaces": "```" + " " * LONG + "x",
    "a brace and spaces": "{" + " " * LONG,
    "digits": "1" * LONG + "x",
    "quoted digits": ('"' + " " * 300 + "1" * 300) * (LONG // 600),
    "a quotation mark, spaces and digits": '"' + " " * (LONG // 2) + "1" * (LONG // 2) + "x",
    "numbers": "1.1," * (LONG // 4) + "x",
    "braces": "{" * LONG,
    "closed braces": "}" * LONG,
    "quotation marks": '"' * LONG,
    "backslashes": "\\" * LONG + "x",
    "letters": "a" * LONG + "\n",
    "lines": "\n" * LONG + "x",
    "a key": "sk-" + "-" * LONG + "!",
    "keys": "sk-a" * (LONG // 4) + "!",
    "bearers": "Bearer " * (LONG // 7) + " " * LONG,
    "contexts": "context " * (LONG // 8),
    "quotas": "quota exceeded for metric: limit: " * (LONG // 34),
    "thoughts": "<think></think>" * (LONG // 15),
    "thoughts without an end": "<think>" * (LONG // 7),
    "spaces before thoughts": " " * LONG + "<think>",
    "ends of thoughts": "</think>" * (LONG // 8),
    "parts": "part-" + "1" * LONG + "-",
}


# An example of each that is made of something else.
PUT_TOGETHER = {
    "cli/writing.py": re.compile(f"[{_SIGNS}]"),
    "engine/git_names.py": re.compile(re.escape(b"a/b/") + _STAGE + _RECORD + rb"(?=\0)"),
    "frame/formulas.py": re.compile("[,;\t\r\n]"),
    "model/credentials.py": _spelling('sk-a+b/c=d"e&f<g>h i:j'),
    "model/fitting.py": re.compile(r"(?<![\w.])(?:max_tokens|maxTokens)(?!\w)"),
}


@functools.cache
def patterns():
    """Every regular expression of the package, where it is, and whether it is only matched there."""
    found = []
    package = Path(lp.__file__).parent
    for path in sorted(package.rglob("*.py")):
        text, module = path.read_text(), path.relative_to(package).as_posix()
        if not re.search(r"\bre\.\w+\(", text):
            continue
        tree = ast.parse(text)
        nodes = list(ast.walk(tree))
        names = {
            node.value: ast.unparse(getattr(node, "target", None) or node.targets[0])
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)
        }
        for node in nodes:
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr != "escape"
            ):
                name = names.get(node, "")
                anchored = not re.search(rf"\b{name}\.(search|sub|find|split)", text) and name
                flags = re.IGNORECASE if "IGNORECASE" in ast.unparse(node) else 0
                try:
                    pattern = re.compile(ast.literal_eval(node.args[0]), flags)
                except ValueError:  # put together: a constant of its module, or an example above
                    dotted = f"lionproc.{module.removesuffix('.py').replace('/', '.')}"
                    made = vars(importlib.import_module(dotted)).get(name)
                    pattern = made or PUT_TOGETHER.get(module)
                found.append((pattern, f"{module}:{name or node.lineno}", bool(anchored)))
    return found


@contextlib.contextmanager
def reading_once(what="It"):
    """Fails what takes a hundred times as long as reading, in time of this process alone."""

    def too_long(_signal, _frame):
        pytest.fail(f"{what} goes over the text again and again.")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, 2.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_what_a_refusal_quotes_is_looked_for_once_in_a_row():
    said = json.dumps({"error": {"message": ("a" * 15 + "b") * 250}}).encode()
    with reading_once():
        for _ in range(5):
            classify(503, {}, said, row="a" * 200_000)


def test_what_a_refusal_says_a_hundred_times_is_looked_for_once_in_a_row():
    said = json.dumps({"error": {"message": "per day, insufficient quota, " * 130}}).encode()
    row = "a per da " * 1_000_000
    with reading_once():
        for _ in range(5):
            classify(429, {}, said, row=row)


@pytest.mark.parametrize("text", HARD_TEXTS.values(), ids=HARD_TEXTS)
def test_no_regular_expression_of_the_package_takes_long_over_any_text(text):
    assert len(patterns()) > 60
    for pattern, where, anchored in patterns():
        assert pattern is not None, f"Give an example of {where} in PUT_TOGETHER."
        said = text.encode() if isinstance(pattern.pattern, bytes) else text
        with reading_once(where):
            pattern.fullmatch(said)
            pattern.match(said) if anchored else pattern.search(said)


def test_no_regular_expression_comes_from_outside_the_package():
    for path in Path(lp.__file__).parent.rglob("*.py"):
        source = path.read_text()
        assert "from re import" not in source
        assert "import regex" not in source


@pytest.mark.parametrize(
    "schema", [str, int, bool, Literal["a", 1], dict[str, int], {"type": "string"}, OPEN], ids=str
)
def test_no_reply_takes_long_to_read(schema):
    read = Answer.of(schema).read
    for text in HARD_TEXTS.values():
        for said in (text, f"```json\n{text}\n```", f'{{"answer":{text}}}', json.dumps(text)):
            with reading_once(), contextlib.suppress(CallError):
                read(without_thoughts(said))


def test_a_long_text_is_not_held_against_each_of_a_thousand_choices():
    """16 MiB beside 5,000 choices took five minutes, and Ctrl-C with them."""
    labels = tuple(f"Label {n}" for n in range(1000))
    for schema in (Literal[labels], list[Literal[labels]], {"enum": list(labels)}):
        answer = Answer.of(schema)
        for said in ("\u0661" * 500_000, "A\xdf" * 250_000):
            for text in (said, f'{{"answer":"{said}"}}', f'{{"answer":["{said}"]}}'):
                with reading_once(), pytest.raises(CallError):
                    answer.read(text)
        inner = [" label 7 "] if "list" in str(schema) else " label 7 "
        right = ["Label 7"] if "list" in str(schema) else "Label 7"
        assert answer.read(json.dumps({"answer": inner})) == right


def looks_at(body, read):
    """How often a text is gone over: calls of its methods and of functions that are given it."""
    looks = []

    def note(frame, event, function):
        if event == "c_call" and getattr(function, "__self__", None) == body:
            looks.append(function.__name__)

    sys.setprofile(note)
    try:
        read(body)
    finally:
        sys.setprofile(None)
    return looks


def test_a_reply_is_gone_over_as_often_for_many_fields_as_for_few():
    looks = {}
    for count in (1000, 3000):  # long ones: a short text cannot hold thousands of numbers
        names = [f"field_{place}" for place in range(count)]
        record = Answer.of(create_model("Wide", **dict.fromkeys(names, (int, ...))))
        looks[count] = looks_at(json.dumps(dict.fromkeys(names, 1)), record.read)
    # The many are held against their schema first, where its long numbers are counted: once.
    assert looks[3000] == [*looks[1000], "encode"]


def test_a_long_list_of_records_is_not_walked_in_search_of_work_that_cannot_be():
    class Item(BaseModel):
        name: str
        tags: list[str]

    calls = 0

    def note(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.endswith(("effort.py", "trials.py"))

    read = Answer.of(list[Item]).read
    text = json.dumps([{"name": "a", "tags": ["b", "c"]}] * 1000)
    read(text)  # what the schema asks for is worked out with the first long answer
    sys.setprofile(note)
    try:
        assert len(read(text)) == 1000
    finally:
        sys.setprofile(None)
    assert calls < 10


@pytest.mark.parametrize("form", [": {}", "data: {}", "{}", '{{"choices": "{}', "\n: {}\n"])
def test_no_body_takes_long_to_read(form):
    for text in HARD_TEXTS.values():
        with reading_once(), contextlib.suppress(ValueError):
            parsed((form.format(text) * 2).encode())


def test_a_stream_of_more_events_than_an_answer_has_tokens_is_not_looked_through():
    event = b'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'
    assert classify(200, {}, b":\n" * 1000 + event).error is None
    for line in (b":\n", b"data:{}\n", b"\n"):
        error = classify(200, {}, b": \n" + line * MOST_LINES + event).error
        assert error.kind is Kind.UNREADABLE


def test_a_stream_of_more_pieces_than_a_model_writes_tokens_is_not_read(monkeypatch):
    monkeypatch.setattr("lionproc.model.body.orjson.loads", int)  # whoever calls it fails
    event = b'data: {"choices":[]}\n'
    assert classify(200, {}, event * (MOST_EVENTS + 1)).error.kind is Kind.UNREADABLE


def test_a_reply_of_more_choices_than_an_answer_has_is_not_sorted():
    body = b'{"choices":[%s]}' % b",".join([b"1"] * (MOST_PIECES + 1))
    with pytest.raises(ValueError, match="more choices"):
        parsed(body)


def test_content_of_more_pieces_than_an_answer_has_is_not_looked_through():
    for piece in (b"[]", b'{"text":""}'):
        pieces = b",".join([piece] * (MOST_PIECES + 1))
        body = b'{"choices":[{"message":{"content":[%s]}}]}' % pieces
        assert classify(200, {}, body).error.kind is Kind.BAD_REPLY


@pytest.mark.parametrize("status", [200, 400])
def test_a_reply_of_very_many_objects_is_not_made_into_them(monkeypatch, status):
    monkeypatch.setattr("lionproc.model.body.orjson.loads", None)  # whoever calls it fails
    text = "a" if status == 200 else "b"
    body = b'{"choices":[{"message":{"content":"%s"}}],"x":[' % text.encode()
    error = classify(status, {}, body + b"{}," * 700_001 + b"0]}").error
    assert error.kind is (Kind.BAD_REPLY if status == 200 else Kind.BAD_REQUEST)


def test_the_body_of_an_error_is_looked_at_as_far_as_it_is_shown():
    body = json.dumps(
        {"error": {"message": "Bearer " + " " * (12 * 2**20) + "sk-abcdefgh12345678"}}
    )
    error = classify(400, {}, body.encode()).error
    assert error.kind is Kind.BAD_REQUEST
    assert len(error.message) < 300
    assert "abcdefgh" not in error.message


def test_of_a_reply_without_a_text_as_much_is_written_as_is_shown():
    class Long(list):
        def __iter__(self):
            yield from (1e-9 for _ in range(10_000))
            raise AssertionError

    assert excerpt_of({"choices": [{"message": {"x": Long([0])}}]}, 40).startswith('{"x": [1e-09, ')


# --- schemas -------------------------------------------------------------------------------------


def unfolding(levels, keyword):
    """A schema of a few lines that stands for 2 ** levels parts."""

    def two(level):
        part = {"$ref": f"#/$defs/d{level + 1}"}
        if keyword == "properties":
            return {"type": "object", "properties": {"a": part, "b": part}}
        return {keyword: [part, {**part, "title": "again"}]}

    shared = {f"d{level}": two(level) for level in range(levels)}
    shared[f"d{levels}"] = {"type": "string"}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": shared}


def chain(links):
    shared = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(links)}
    shared[f"d{links}"] = {"type": "string"}
    return {"type": "object", "properties": {"x": {"$ref": "#/$defs/d0"}}, "$defs": shared}


def nested(levels):
    made = {"type": "string"}
    for _ in range(levels):
        made = {"type": "array", "items": made}
    return {"type": "object", "properties": {"x": made}}


def inside_itself():
    made = {"type": "object"}
    made["properties"] = {"x": made}
    return made


@pytest.mark.parametrize("keyword", ["pattern", "patternProperties"])
def test_patterns_that_would_take_minutes_to_be_compiled_are_refused(keyword):
    """They take the square of their length; two megabytes of them were not done after ten minutes."""

    def schema(pattern):
        return {"type": "object", keyword: {pattern: {}} if keyword != "pattern" else pattern}

    with pytest.raises(SchemaError, match="enum"):
        vet(schema("a*" * 100_000))
    words = "|".join(f"word-{n}" for n in range(4000))
    assert Answer.of(schema(words))


@pytest.mark.parametrize("keyword", ["properties", "anyOf", "oneOf", "allOf"])
@pytest.mark.parametrize("levels", [20, 500])
def test_a_schema_that_unfolds_to_millions_of_parts_is_refused(keyword, levels):
    with pytest.raises(SchemaError, match=f"{MOST_PARTS:,} parts|{MOST_REFERENCES} references"):
        Answer.of(unfolding(levels, keyword))


LABELS = [f"c{n}" for n in range(20_000)]


def test_labels_that_are_referred_to_again_and_again_are_parts_of_a_schema_too():
    fields = {f"p{n}": {"$ref": "#/$defs/e"} for n in range(100)}
    with pytest.raises(SchemaError, match=f"{MOST_PARTS:,} parts"):
        Answer.of({"$defs": {"e": {"enum": LABELS}}, "type": "object", "properties": fields})


WITHIN = {
    "allOf": lambda part: {"allOf": [part]},
    "anyOf": lambda part: {"anyOf": [part]},
    "oneOf": lambda part: {"oneOf": [part]},
    "if": lambda part: {"if": part, "else": False},
    "dependentSchemas": lambda part: {"dependentSchemas": {"x": part}},
    "items": lambda part: {"anyOf": [{"items": part}]},
    "contains": lambda part: {"contains": part},
}


@pytest.mark.parametrize("keyword", ["unevaluatedItems", "unevaluatedProperties"])
@pytest.mark.parametrize("within", WITHIN)
def test_parts_that_are_looked_at_again_at_each_level_are_counted_as_often(keyword, within):
    def levels(count, *, referred):
        part, shared = {}, {}
        for number in range(count):
            if referred:
                shared[f"p{number}"] = part
                part = {"$ref": f"#/$defs/p{number}"}
            part = {keyword: False, **WITHIN[within](part)}
        return {"type": "object", "properties": {"x": part}, "$defs": shared}

    for referred in (False, True):
        vet(levels(3, referred=referred))
        with pytest.raises(SchemaError, match="look at again"):
            vet(levels(25, referred=referred))  # it took hours for each answer
    vet(nested(25) | {keyword: False})  # of what stands beside the keyword only names are read


@pytest.mark.parametrize("other", ["unknown", 0.5, True])
def test_many_values_are_not_held_against_many_choices_of_several_kinds(other):
    answer = Answer.of({"type": "array", "items": {"enum": [other, *range(2, 2000)]}})
    with pytest.raises(CallError, match="so many choices"):
        answer.read(json.dumps({"answer": [1999] * 50_000}))
    assert answer.read(json.dumps({"answer": [1999] * 500})) == [1999] * 500


def test_many_labels_beside_many_others_are_put_together_once():
    others = [{"const": f"k{n}"} for n in range(2000)]
    either = {"anyOf": [{"enum": LABELS}, *others]}
    with reading_once():
        answer = Answer.of({"type": "object", "properties": {"v": either}, "required": ["v"]})
    assert answer.read('{"v": "K1999"}') == {"v": "k1999"}


def with_two_meanings(way):
    """A schema that unfolds where its validator looks, and not where another reader does."""
    bomb = unfolding(20, "allOf")["$defs"]
    trivial = {name: {"type": "string"} for name in bomb}
    value, shared = {"$ref": "#/$defs/d0"}, trivial
    if way == "address":
        value = {"$id": "https://elsewhere.test/", "$ref": "#/$defs/d0", "$defs": bomb}
    elif way == "empty step":
        value, shared = {"$ref": "#/$defs//d0"}, {**trivial, "": {"d0": bomb["d0"]}}
        shared.update({name: part for name, part in bomb.items() if name != "d0"})
    elif way == "percent":
        value, shared = {"$ref": "#/$defs/%640"}, {**bomb, "%640": {"type": "string"}}
    elif way == "anchor":
        value = {"$ref": "#a"}
        shared = {"first": {"$anchor": "a"}, **bomb, "last": {"$anchor": "a", **bomb["d0"]}}
    return {"type": "object", "properties": {"x": value}, "$defs": shared}


@pytest.mark.parametrize("way", ["address", "empty step", "percent", "anchor"])
def test_what_is_counted_of_a_schema_is_what_its_validator_follows(way):
    with pytest.raises(SchemaError, match=r"5,000 parts|address of its own|two parts called"):
        Answer.of(with_two_meanings(way))


@pytest.mark.parametrize(
    ("reference", "shared"),
    [
        ("#/$defs/a%20b", {"a b": {"type": "integer"}, "a%20b": {"type": "string"}}),
        ("#/$defs/c~1d", {"c/d": {"type": "integer"}}),
        ("#q", {"any": {"$anchor": "q", "type": "integer"}}),
    ],
)
def test_a_reference_is_read_as_its_validator_reads_it(reference, shared):
    whole = {"$id": "https://whole.test/", "items": {"$ref": reference}, "$defs": shared}
    answer = Answer.of({"type": "object", "properties": {"x": {"$ref": reference}}, **whole})
    assert answer.read('{"x": 1}') == {"x": 1}
    if reference.startswith("#/"):
        assert Answer.of({"type": "array", **whole}, name="x").read('{"x": [1]}') == [1]


def test_all_patterns_of_a_schema_together_have_as_much_memory_as_a_few():
    def asked(count):
        large = [f"(?:\\w{{100}}){{50}}{n}" for n in range(count)]  # half a MiB, compiled
        return {"type": "object", "patternProperties": {each: {} for each in large}}

    for count, said in ((1, {"a" * 5001 + "0": "x"}), (10, {"a" * 500 + "0": "x"})):
        assert Answer.of(asked(count)).read(json.dumps(said)) == said
    with pytest.raises(SchemaError, match="is not a"):
        Answer.of(asked(1000))


def test_anchors_are_looked_up_once_however_many_there_are():
    looks: list[int] = []

    class Watched(dict):
        def items(self):
            looks.append(1)
            return super().items()

    shared = {f"d{n}": {"$anchor": f"a{n}", "type": "string"} for n in range(50)}
    found = references.References(Watched({"$defs": shared}))
    assert [found.target(f"#a{n}") for n in range(50)] == list(shared.values())
    assert looks == [1]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: chain(500), "lead from one to the next"),
        (lambda: nested(2000), "nested deeper"),
        (inside_itself, "contains itself"),
    ],
    ids=["chain", "nested", "inside itself"],
)
def test_a_schema_that_goes_too_deep_is_refused(make, says):
    with pytest.raises(SchemaError, match=says):
        Answer.of(make())


def each_contains_all(kinds, keyword="properties"):
    """As many kinds of things as that, each of which may hold any of them."""
    refs = [{"$ref": f"#/$defs/k{n}"} for n in range(kinds)]
    inner = {f"p{n}": ref for n, ref in enumerate(refs)} if keyword == "properties" else refs
    return {
        "type": "object",
        "properties": {"x": refs[0], "y": refs[-1]},
        "$defs": {f"k{n}": {"type": "object", keyword: inner} for n in range(kinds)},
    }


@pytest.mark.parametrize("take", [Answer.of, lambda s: type_of_schema(s, bare=False, own=False)])
@pytest.mark.parametrize("keyword", ["allOf", "properties"])
def test_a_schema_that_is_deep_by_its_references_is_refused_in_a_sentence(take, keyword):
    def nested(inner):
        for _ in range(40):
            inner = {keyword: [inner] if keyword == "allOf" else {"a": inner}}
        return inner

    shared = {f"a{n}": nested({"$ref": f"#/$defs/a{n + 1}"}) for n in range(90)}
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/a0"}},
        "$defs": {**shared, "a90": {"type": "string"}},
    }
    with pytest.raises(SchemaError, match="nested too deeply"):
        Answer.of(take(schema))


@pytest.mark.parametrize(
    "make", [Answer.of, lambda schema: type_of_schema(schema, bare=False, own=True)]
)
def test_parts_that_contain_each_other_are_not_followed_along_all_ways(make, monkeypatch):
    looked = 0
    look = shape._Walk.shape

    def count(self, *arguments):
        nonlocal looked
        looked += 1
        return look(self, *arguments)

    monkeypatch.setattr(shape._Walk, "shape", count)
    assert make(each_contains_all(9))  # nine: a million ways from one to the next
    assert looked < 50_000


@pytest.mark.parametrize("members", [[], [f"m{n}" for n in range(20_000)]], ids=["none", "many"])
def test_no_type_is_made_of_choices_that_are_none_or_very_many(members):
    schema = {"type": "object", "properties": {"x": {"enum": members}}, "required": ["x"]}
    assert type_of_schema(schema, bare=False, own=False) == schema


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"properties": {"k" * 100_000: {"type": [5] * 500}}}, "'type' cannot be \\[5, 5"),
        ({"properties": {"a": {"type": ["object"] * 40_000}}}, "'type' cannot be"),
        ({"properties": dict.fromkeys(map(str, range(5000)), 5)}, "'properties' cannot be"),
        ({"properties": {"a": {"minLength": "x" * 100_000}}}, "'minLength' cannot be \"xx"),
        ({"properties": {"a": {"type": [5] * 100}}}, "at 'properties/a/type': \\[5,5"),
    ],
    ids=["name", "kinds", "parts", "value", "short"],
)
def test_what_is_wrong_with_a_schema_is_told_in_a_few_words_and_little_memory(wrong, says):
    schema = {"type": "object", **wrong}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SchemaError, match=says) as raised:
        Answer.of(schema)
    assert len(str(raised.value)) < 700
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


@pytest.mark.parametrize("name", ["__post_init__", "_hidden", "two words"])
def test_no_type_is_made_whose_fields_are_called_as_no_field_may_be(name):
    schema = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
    assert type_of_schema(schema, bare=False, own=False) == schema


def test_few_kinds_that_contain_each_other_are_columns_as_far_as_they_differ():
    field = Answer.of(each_contains_all(2)).shape.by_name["x"]
    assert field == shape.Record(
        (("p0", shape.Json()), ("p1", shape.Record((("p0", shape.Json()), ("p1", shape.Json())))))
    )


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
@pytest.mark.parametrize("kinds", [1, 9])
def test_a_part_that_a_value_is_held_against_without_end_is_refused(keyword, kinds):
    with pytest.raises(SchemaError, match="refers to itself for the same value"):
        Answer.of(each_contains_all(kinds, keyword))


def test_through_a_property_or_an_item_a_part_may_lead_to_itself():
    tree = {
        "type": "object",
        "properties": {"x": {"type": "string"}, "more": {"$ref": "#/$defs/t"}},
    }
    tree["$defs"] = {"t": {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}
    assert Answer.of(tree).read('{"x": "a", "more": [{"x": "b"}, null]}')


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string", "minLength": 99_999}, "minItems": 9000},
        {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/d"}},
            "$defs": {
                "d": {
                    "type": "object",
                    "properties": {
                        f"p{n}": {"allOf": [{"$ref": "#/$defs/d"}] * 2} for n in range(400)
                    },
                }
            },
        },
    ],
    ids=["texts", "joined"],
)
def test_no_answer_is_made_up_for_long(schema):
    with calls_of("schema_sample.py", "effort.py", "trials.py") as calls:
        assert Answer.of(schema)
    assert len(calls) < 400_000


@contextlib.contextmanager
def calls_of(*files):
    calls = []

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename.endswith(files):
            calls.append(None)

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def test_types_that_unfold_are_bounded_as_schemas_are():
    from pydantic import create_model

    made = create_model("Leaf", a=(str, ...))
    for level in range(16):
        made = create_model(f"Level{level}", a=(made, ...), b=(made, ...))
    with pytest.raises(SchemaError, match="parts"):
        Answer.of(made)


@pytest.mark.parametrize("draft", ["2020-12", "2019-09", "07", "06", "04"])
def test_the_known_drafts_are_taken(draft):
    year = "draft/" if "-" in draft else "draft-"
    for scheme in ("http", "https"):
        address = f"{scheme}://json-schema.org/{year}{draft}/schema"
        for said in (address, address + "#"):
            answer = Answer.of({"$schema": said, **OPEN})
            assert answer.read('{"x": 1}') == {"x": 1}


@pytest.fixture
def somebody():
    """A server, and whether anybody has come."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        came = threading.Event()

        def wait():
            try:
                listener.accept()
            except OSError:
                return
            came.set()

        threading.Thread(target=wait, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/schema", came
        listener.shutdown(socket.SHUT_RDWR)


def reaching_for(address):
    return [
        {"$schema": address, "type": "object"},
        {"type": "object", "properties": {"a": {"$schema": address, "type": "string"}}},
        {"type": "object", "$defs": {"a": {"$schema": address}}},
        {"type": "object", "properties": {"a": {"$ref": address}}},
        {"type": "object", "not": {"$ref": address}},
        {"type": "object", "properties": {"a": {"$dynamicRef": address}}},
        {"type": "object", "properties": {"a": {"$id": address, "$ref": "b"}}},
        {"type": "object", "dependentSchemas": {"a": {"$ref": address}}},
        {"type": "array", "items": {"$ref": f"{address}#/$defs/x"}},
    ]


def test_nothing_is_ever_fetched_for_a_schema_nor_quoted_from_a_file(somebody, tmp_path):
    address, came = somebody
    secret = tmp_path / "secret.json"
    secret.write_text("the secret of this machine")
    for target in (address, secret.as_uri()):
        for schema in reaching_for(target):
            with pytest.raises(SchemaError) as caught:
                Answer.of(schema)
            assert "the secret" not in str(caught.value)
    assert not came.is_set()


@pytest.mark.parametrize("data", ["enum", "const", "default", "examples"])
def test_what_is_data_in_a_schema_may_look_like_anything(data):
    value = {"$ref": "https://example.com/x", "$schema": "none"}
    schema = {"type": "object", "properties": {"a": {data: [value] if data != "const" else value}}}
    assert Answer.of(schema).fields[0].name == "a"
    named = {"type": "object", "properties": {"$ref": {"type": "string"}, "default": OPEN}}
    assert [field.name for field in Answer.of(named).fields] == ["$ref", "default"]


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


async def test_a_record_that_somebody_edited_fetches_nothing_and_harms_no_other(
    somebody, tmp_path, monkeypatch
):
    address, came = somebody
    monkeypatch.chdir(tmp_path)
    with Server(answer='{"x": 1}') as server:
        async with lp.ProcessingService("A", "r", 60_000, None, model=model_of(server)) as first:
            ids = [(await first.process_data({"n": n}, OPEN))["request_id"] for n in range(3)]
        for number, request_id in enumerate(ids):
            changes = {"schema": {"$schema": address, "type": "object"}} if number == 1 else {}
            edit(Path("r", f"{request_id}.json"), status="processing", **changes)
        async with lp.ProcessingService("A", "r", 60_000, None, model=model_of(server)) as second:
            told = await second.resume()
    assert [each["status"] for each in told] == ["success", "error", "success"]
    assert "no draft that is known" in told[1]["error"]
    assert not came.is_set()


def test_a_misspelt_name_is_not_held_against_a_million_of_a_strangers(monkeypatch):
    searched = []
    monkeypatch.setattr(
        lp.errors, "get_close_matches", lambda word, names, *_: searched.extend(names) or []
    )
    names = [f"name {n}" for n in range(5000)]
    hint = lp.errors.did_you_mean("nme", [*names, "x" * 1000])
    assert len(searched) <= 4000
    assert hint.endswith("(5,001 in all).")
    searched.clear()
    lp.errors.did_you_mean("x" * 199, ["y" * 199] * 2000)
    assert 0 < len(searched) <= 2_000_000 / 199**2


def test_a_label_of_megabytes_is_not_told_whole():
    frame = pd.DataFrame({"a": pd.Categorical(["x"]), "gold": ["y" * 10**6]})
    with pytest.raises(lp.errors.ConfigurationError) as refused:
        frame.llm.score("a", gold="gold")
    assert len(str(refused.value)) < 1000


def test_a_schema_that_is_longer_than_any_model_can_be_asked_with_is_refused():
    long = {"type": "string", "description": "x" * LARGEST_SCHEMA}
    with pytest.raises(SchemaError, match="would be sent with each request: at most 1,000,000"):
        Answer.of(long)
    with pytest.raises(SchemaError, match="would be sent with each request"):
        made_of(long)
    short = {"type": "string", "description": "é" * (LARGEST_SCHEMA - 100)}
    assert Answer.of(short).read('"a"') == "a"


def test_parts_that_nothing_refers_to_are_not_without_number():
    unused = {f"d{number}": {} for number in range(30_000)}
    with pytest.raises(SchemaError, match="parts, with those that nothing refers to"):
        vet({"type": "string", "$defs": unused})


def test_a_default_that_many_properties_refer_to_is_written_once():
    class Default:
        written = 0

        def __str__(self):
            Default.written += 1
            return "a"

    named = {f"p{number}": {"$ref": "#/$defs/d"} for number in range(50)}
    schema = {"type": "object", "properties": named, "$defs": {"d": {"default": Default()}}}
    assert Trials(schema, tagged=False).fields
    assert Default.written == 1


@pytest.mark.parametrize(
    "part",
    [
        {"required": [f"n{number}" for number in range(20_000)]},
        {"default": ["é"] * 20_000},
        {"examples": ["x" * 100_000]},
        {"dependentRequired": {"a": [f"n{number}" for number in range(20_000)]}},
        {"const": "x" * 100_000},
    ],
    ids=lambda part: next(iter(part)),
)
def test_long_data_that_many_parts_refer_to_counts_as_often(part):
    def asked(times):
        many = {f"p{number}": {"$ref": "#/$defs/d"} for number in range(times)}
        return {"type": "object", "properties": many, "$defs": {"d": part}}

    vet(asked(20))
    with pytest.raises(SchemaError, match="long lists of names and values count as several"):
        vet(asked(300))


@pytest.mark.parametrize("draft", ["2019-09", "2020-12"])
def test_a_recursive_reference_to_a_part_is_refused_as_its_validator_takes_it_for_the_whole(draft):
    schema = {
        "$schema": f"https://json-schema.org/draft/{draft}/schema",
        "$defs": {"x": {}},
        "type": "object",
        "properties": {"b": {"allOf": [{"$recursiveRef": "#/$defs/x"}] * 12}},
    }
    with pytest.raises(SchemaError, match=r"'#' alone.*'\$ref'"):
        Answer.of(schema)
