"""One matrix of everything that can go wrong on the wire, over both wires and real sockets."""

import asyncio
import contextlib
import gzip
import itertools
import json
import os
import socket
import ssl
import threading
import time
import tracemalloc
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import httpx2
import openai
import pandas as pd
import pytest
import trustme

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.engine.reply_room import ReplyRoom, _rooms
from lionproc.errors import (
    AccessError,
    CallError,
    ConfigurationError,
    Kind,
    RowsFailedWarning,
    ServiceDownError,
)
from lionproc.model.client_wire import ClientWire
from lionproc.model.direct_wire import DirectWire
from lionproc.model.environment import certificates, proxy_for
from lionproc.model.opening import opened
from lionproc.model.reading import PIECE_BYTES, bounded
from lionproc.model.wire import MAX_REPLY_BYTES
from lionproc.testing import Fault, Server

WIRES = ("direct", "plain_client", "http_client", "azure")
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
KEY = "sk-test-of-the-wire-0123456789"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path, authority):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.upper() in PROXY_VARIABLES or name.startswith(("OPENAI_", "AZURE_", "SSL_CERT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", authority[1])


@contextlib.contextmanager
def model_at(wire, base_url, key, **more):
    """A model that is reached over one kind of wire."""
    if wire == "direct":
        yield lp.Model("openai", "m", base_url=base_url, api_key=key, **more)
    elif wire == "plain_client":
        client = openai.AsyncOpenAI(base_url=base_url, api_key=key)
        yield lp.Model("openai", "m", client=client, **more)
    else:
        with warnings.catch_warnings():
            http = httpx2.AsyncClient()
            if wire == "http_client":
                client = openai.AsyncOpenAI(base_url=base_url, api_key=key, http_client=http)
            else:
                client = openai.AsyncAzureOpenAI(
                    azure_endpoint=base_url.removesuffix("/v1"),
                    api_key=key,
                    api_version="2024-10-21",
                    http_client=http,
                )
        try:
            yield lp.Model("openai", "m", client=client, **more)
        finally:

            async def close():
                await http.aclose()

            engine_loop.submit(close()).result(10)


@pytest.fixture(params=WIRES)
def wire(request):
    return request.param


@pytest.fixture(params=["direct", "http_client"])
def kind_of_wire(request):
    """One of each implementation, where there are many cases."""
    return request.param


def ask(model, rows=1, **more):
    """A small frame through the whole path; its rows are unequal, so none shares an answer."""
    arguments = {"schema": str, "retry": lp.Retry(base_s=0.01, max_attempts=2), **more}
    df = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        try:
            return df.llm.process(
                "Say {text}",
                "a",
                model=model,
                journal=False,
                details=True,
                progress=False,
                **arguments,
            )
        except ServiceDownError as error:
            if not str(error).startswith("Nothing could be reached"):
                raise
            return lp.last_job().frame()  # what is said of its row is what these tests look at


def asked(wire, faults, rows=1, timeout=5.0, server=None, **more):
    with (
        Server(faults=faults, answer="fine", **(server or {})) as at,
        model_at(wire, at.base_url, at.key, timeout=timeout) as model,
    ):
        return ask(model, rows, **more), at.counters


def kind_of(out):
    message = out["a_error"].iloc[0]
    return None if message is pd.NA else message.partition(":")[0]


class Listener:
    """A port of its own; each connection is served on a thread."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()


class Raw(Listener):
    """A server that says exactly these bytes, to every request, on a connection each.

    Args:
        reply: Everything after the request, head included.
        tls: A context, to speak TLS.
        keep: Leave the connection open after the reply.
    """

    def __init__(self, reply, tls=None, keep=False):
        self._reply, self._tls, self._keep = reply, tls, keep
        self.requests = []
        super().__init__()

    @property
    def base_url(self):
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}/v1"

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with contextlib.suppress(OSError), connection:
                while (request := read_request(connection)) is not None:
                    self.requests.append(request)
                    connection.sendall(self._reply)
                    if not self._keep:
                        return


def read_request(connection):
    """One HTTP request off a socket: head and body, None at the end of the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-le")),
        0,
    )
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def http(body, status=200, more=""):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (
        f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}"
        f"content-length: {len(body)}\r\n\r\n"
    ).encode() + body


def completion(content="fine", finish="stop", **message):
    return {
        "model": "m",
        "choices": [{"message": {"content": content, **message}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }


def asked_raw(wire, reply, **more):
    with Raw(reply) as server, model_at(wire, server.base_url, KEY) as model:
        # It closes each connection without a word, so a second question might meet a closed one.
        once = lp.Retry(max_attempts=1, max_corrections=0)
        return ask(model, retry=once, **more), server


# --- what passes: a retry that succeeds ---------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault("429", retry_after_s=0.05),
        "408",
        "409",
        "500",
        "502_html",
        Fault("503", retry_after_s=0.05),
        "529",
        "reset",
        "close",
        "half",
        "html200",
        "error200",
        "bad_json",
        "wrong_encoding",
        "no_choices",
        "empty",
        "null",
    ],
    ids=lambda fault: f"{fault.name}-{fault.retry_after}" if isinstance(fault, Fault) else fault,
)
def test_what_may_pass_is_tried_again_and_succeeds(wire, fault):
    out, counters = asked(wire, [fault], server={"retry": "retry-after-ms"})
    assert out["a"].tolist() == ["fine"]
    assert out["a_status"].tolist() == ["answered"]
    assert out["a_attempts"].tolist() == [2]
    assert counters.total == 2


@pytest.mark.parametrize("said", [None, "banana", "-5", "1e9", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_429_that_says_nothing_or_nonsense_is_tried_again_soon(kind_of_wire, said):
    fault = Fault("429_absurd", retry_after=said) if said else Fault("429_no_header")
    out, counters = asked(kind_of_wire, [fault])
    assert out["a"].tolist() == ["fine"]
    assert counters.total == 2


@pytest.mark.parametrize("fault", ["slow", "gzip", "chunked", Fault("trickle", interval_s=0.001)])
def test_a_reply_that_is_only_unusual_is_an_answer(wire, fault):
    out, counters = asked(wire, [fault], server={"latency_s": 0.01})
    assert out["a"].tolist() == ["fine"]
    assert counters.total == 1


# --- what does not pass -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault("429", retry_after_s=0.01), Kind.RATE_LIMITED),
        (Fault("503", retry_after_s=0.01), Kind.OVERLOADED),
        ("529", Kind.OVERLOADED),
        ("500", Kind.SERVER_ERROR),
        ("502_html", Kind.SERVER_ERROR),
        ("reset", Kind.CONNECTION),
        ("close", Kind.CONNECTION),
        ("half", Kind.CONNECTION),
        ("html200", Kind.BAD_REPLY),
        ("error200", Kind.BAD_REPLY),
        ("bad_json", Kind.BAD_REPLY),
        ("wrong_encoding", Kind.BAD_REPLY),
    ],
    ids=str,
)
def test_what_does_not_pass_ends_typed_after_the_last_attempt(wire, fault, kind):
    out, counters = asked(wire, [fault] * 2, server={"retry": "retry-after-ms"})
    assert kind_of(out) == kind
    assert out["a"].isna().all()
    assert out["a_attempts"].tolist() == [2]
    assert counters.total == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("400", Kind.BAD_REQUEST),
        ("422", Kind.BAD_REQUEST),
        ("context_length", Kind.CONTEXT_LENGTH),
        ("redirect", Kind.REDIRECT),
        ("length", Kind.TRUNCATED),
        ("content_filter", Kind.FILTERED),
        ("tool_calls", Kind.TOOL_CALL),
        ("refusal", Kind.REFUSED),
        ("huge", Kind.BAD_REPLY),
    ],
)
def test_what_would_fail_again_fails_its_row_alone(wire, fault, kind):
    if fault == "huge":
        fault = Fault("huge", size_bytes=MAX_REPLY_BYTES + 1)
    retry = lp.Retry(base_s=0.01, max_attempts=1)
    out, counters = asked(wire, [fault], rows=2, limits={"concurrency": 1}, retry=retry)
    assert kind_of(out) == kind
    assert out["a"].isna().tolist() == [True, False]
    assert out["a_status"].tolist() == ["failed", "answered"]
    assert counters.total == 2


@pytest.mark.parametrize(
    ("fault", "words"), [("401", "api_key"), ("403", "api_key"), ("404", "model=")]
)
def test_a_refused_key_or_model_stops_the_run_and_says_what_to_do(wire, fault, words):
    with pytest.raises(AccessError, match=words):
        asked(wire, {fault: 1.0}, rows=50, limits={"concurrency": 2})
    stats = lp.last_job().stats
    assert stats.sent <= 2
    assert lp.last_job().frame()["a"].isna().all()


def test_an_account_without_credit_stops_the_run_instead_of_waiting_for_it(wire):
    error = {"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}
    for status in (429, 402):
        with pytest.raises(AccessError, match="no credit"):
            asked_raw(wire, http(error, status), rows=20, limits={"concurrency": 1})
        assert lp.last_job().stats.sent == 1


@pytest.mark.parametrize("fault", ["503", "reset", "html200"])
def test_a_server_that_stays_down_is_not_hammered(kind_of_wire, fault):
    retry = lp.Retry(base_s=0.001, cap_s=0.002, budget=10)
    with pytest.raises(ServiceDownError, match="run the same cell again"):
        asked(kind_of_wire, {fault: 1.0}, rows=200, retry=retry, limits={"concurrency": 4})
    assert lp.last_job().stats.sent <= 20


@pytest.mark.parametrize("fault", ["empty", "null", "no_choices"])
def test_an_answer_without_text_is_asked_for_twice_more_and_never_a_value(wire, fault):
    out, counters = asked(wire, {fault: 1.0}, retry=lp.Retry())
    assert kind_of(out) == Kind.EMPTY
    assert out["a_attempts"].tolist() == [3]
    assert counters.total == 3


# --- shape --------------------------------------------------------------------------------------

Colour = Literal["red", "green"]


@pytest.mark.parametrize("fault", ["wrong_shape", "not_json"])
def test_a_wrong_shape_is_asked_again_with_the_reason_and_every_attempt_counts(wire, fault):
    with (
        Server(faults=[fault, fault], answer='{"answer":"red"}') as server,
        model_at(wire, server.base_url, server.key) as model,
    ):
        out = ask(model, schema=Colour, retry=lp.Retry())
        assert out["a"].tolist() == ["red"]
        assert out["a_attempts"].tolist() == [3]
        second, third = server.requests[1].body["messages"], server.requests[2].body["messages"]
        assert [m["role"] for m in second] == ["user", "assistant", "user"]
        assert "Answer again" in second[-1]["content"]
        assert len(third) == 5
        tokens = sum(sum(map(len, map(str, r.body["messages"]))) for r in server.requests)
        assert tokens > 0
        assert lp.last_job().stats.sent == 3


@pytest.mark.parametrize("fault", ["wrong_shape", "not_json"])
def test_a_wrong_shape_is_given_up_after_two_corrections(wire, fault):
    out, counters = asked(wire, {fault: 1.0}, schema=Colour, retry=lp.Retry())
    assert kind_of(out) == Kind.WRONG_SHAPE
    assert out["a"].isna().all()
    assert out["a_attempts"].tolist() == [3]
    assert counters.total == 3


def test_a_fenced_answer_is_read(wire):
    with (
        Server(faults=["fenced"], answer='{"answer":"red"}') as server,
        model_at(wire, server.base_url, server.key) as model,
    ):
        out = ask(model, schema=Colour)
    assert out["a"].tolist() == ["red"]
    assert out["a_attempts"].tolist() == [1]


# --- endings that look right --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finish", "kind"),
    [
        ("max_tokens", Kind.TRUNCATED),
        ("MAX_TOKENS", Kind.TRUNCATED),
        ("model_context_window_exceeded", Kind.TRUNCATED),
        ("SAFETY", Kind.FILTERED),
        ("recitation", Kind.FILTERED),
        ("refusal", Kind.REFUSED),
        ("function_call", Kind.TOOL_CALL),
        ("error", Kind.BAD_REPLY),
    ],
)
def test_other_words_for_a_bad_ending_are_known(kind_of_wire, finish, kind):
    out, _ = asked_raw(kind_of_wire, http(completion("Looks fin", finish)))
    assert kind_of(out) == kind
    assert out["a"].isna().all()


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "end_turn", "stop-sequence", "COMPLETE"])
def test_a_good_ending_in_any_words_is_an_answer(kind_of_wire, finish):
    out, _ = asked_raw(kind_of_wire, http(completion("fine", finish)))
    assert out["a"].tolist() == ["fine"]


@pytest.mark.parametrize(
    "finish",
    ["OTHER", "LANGUAGE", "time_limit", "incomplete", "a_word_of_tomorrow", "stop\x1b[2J", 7],
)
def test_an_ending_that_nobody_knows_is_an_error_that_names_the_word(kind_of_wire, finish):
    out, server = asked_raw(kind_of_wire, http(completion("Dear Sir, we are writing to", finish)))
    assert kind_of(out) == Kind.UNKNOWN_ENDING
    assert str(finish)[:4] in out["a_error"].iloc[0]
    assert out["a_error"].iloc[0].isprintable()
    assert out["a"].isna().all()
    assert len(server.requests) == 1


@pytest.mark.parametrize("finish", [None, ""])
def test_an_ending_that_is_not_said_is_an_error_that_says_the_way_on(kind_of_wire, finish):
    out, _ = asked_raw(kind_of_wire, http(completion("Dear Sir, we are writing to", finish)))
    assert kind_of(out) == Kind.UNKNOWN_ENDING
    assert "endings=[None]" in out["a_error"].iloc[0]


def test_a_router_that_leaves_only_the_models_own_word_is_understood(kind_of_wire):
    body = completion("fine", None)
    body["choices"][0]["native_finish_reason"] = "STOP"
    out, _ = asked_raw(kind_of_wire, http(body))
    assert out["a"].tolist() == ["fine"]


@pytest.mark.parametrize(("fault", "more"), [
    ("no_ending", {"endings": [None]}),
    (Fault("ending", text="done"), {"endings": ["done"]}),
])  # fmt: skip
def test_a_server_may_be_known_for_its_endings_and_what_was_paid_counts_then(tmp_path, fault, more):
    df = pd.DataFrame({"text": ["row"]})
    arguments = {"journal": tmp_path / "j.sqlite", "progress": False}
    with Server(faults={fault: 1.0}, answer="fine") as server:
        first = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        with pytest.warns(RowsFailedWarning, match="unknown_ending"):
            df.llm.process("Say {text}", "a", model=first, **arguments)
        knowing = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key, **more)
        out = df.llm.process("Say {text}", "a", model=knowing, **arguments)
        assert out["a"].tolist() == ["fine"]
        assert server.counters.total == 1  # the reply was in the journal


def test_where_a_provider_leaves_the_ending_out_its_answers_are_taken():
    with Server(faults=["no_ending"], answer="fine") as server:
        model = lp.Model("ollama", "m", base_url=server.base_url, api_key=server.key)
        assert ask(model)["a"].tolist() == ["fine"]


@pytest.mark.parametrize("word", ["insufficient_system_resource", "network_error", "error"])
def test_an_answer_that_the_server_broke_off_is_asked_again_and_its_tokens_count(wire, word):
    out, counters = asked(wire, [Fault("ending", text=word)])
    assert out["a"].tolist() == ["fine"]
    assert counters.total == 2
    stats = lp.last_job().stats
    assert stats.prompt_tokens == 2 * counters.prompt_tokens > 0
    assert stats.completion_tokens == 2 * counters.completion_tokens > 0


# --- forms of a 200 -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["comments", "end_mark", "event", "stream"])
def test_a_200_in_another_form_is_read_where_it_can_be_read_truthfully(wire, form):
    out, counters = asked(wire, [form])
    assert out["a"].tolist() == ["fine"]
    assert counters.total == 1
    assert lp.last_job().stats.prompt_tokens == counters.prompt_tokens > 0
    assert lp.last_job().stats.completion_tokens == counters.completion_tokens > 0


@pytest.mark.parametrize(
    ("form", "kind", "requests"),
    [
        ("stream_cut", Kind.UNKNOWN_ENDING, 1),
        ("stream_garbage", Kind.UNREADABLE, 1),
        ("stream_error", Kind.BAD_REPLY, 2),
        ("surrogate", Kind.WRONG_SHAPE, 3),
    ],
)
def test_a_200_that_cannot_be_read_truthfully_is_no_value(kind_of_wire, form, kind, requests):
    out, counters = asked(kind_of_wire, {form: 1.0})
    assert kind_of(out) == kind
    assert out["a"].isna().all()
    assert counters.total == requests
    if form in {"stream_cut", "surrogate"}:  # paid for, and so counted
        assert lp.last_job().stats.prompt_tokens > 0


def chunk(text=None, finish=None, number="A", **more):
    delta = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": number, "model": "m", "choices": [choice], **more}


def stream(*events):
    lines = (each if isinstance(each, str) else f"data: {json.dumps(each)}" for each in events)
    return "".join(f"{line}\n\n" for line in lines).encode()


OTHER = {"index": 1, "delta": {"content": "another"}, "finish_reason": None}


@pytest.mark.parametrize("events", [
    [chunk("fi"), chunk("ne", "stop"), chunk(None, "stop"), "data: [DONE]"],
    [chunk("", number="", model=""), chunk("fine"), chunk(None, "stop"), "event: done\ndata: [DONE]"],
    [chunk("fine", "stop"), {"choices": [], "usage": {"total_tokens": 3}}, "data: [DONE]", ": bye"],
    [chunk("fi", choices=[OTHER, *chunk("fi")["choices"]]), chunk("ne", "stop")],
    [chunk("fi", ""), chunk("ne", "null"), chunk("", "stop")],
    [chunk("fi", "stop"), chunk("ne", "stop")],
    [chunk("fi"), chunk("ne", number="B"), chunk("", "stop", number="C")],
    [chunk("fi", model="a/m"), chunk("ne", model="m"), chunk("", "stop"), chunk("\n")],
    [chunk("fine", "stop"), {"id": "B", "choices": [], "usage": {"total_tokens": 3}}],
    [chunk("fine", "stop"), "data: [DONE]", {"choices": [], "usage": {"total_tokens": 3}}],
])  # fmt: skip
def test_the_chunks_of_one_completion_are_its_text(kind_of_wire, events):
    out, _ = asked_raw(kind_of_wire, http(stream(*events)))
    assert out["a"].tolist() == ["fine"]


@pytest.mark.parametrize("events", [
    [chunk("The total is 1"), chunk("The total is ", number="B"), chunk("25", "stop", number="B")],
    [chunk("1", number=""), chunk("25", "stop", number="", model="another")],
    [chunk("neg"), chunk("pos", "stop", number="B", model="another")],
    [chunk("neg", "stop"), chunk("pos", "stop", number="B")],
    [chunk("fine", "stop"), chunk(" and more")],
    [chunk("fine", "stop"), "data: [DONE]", chunk("another", "stop")],
    [chunk("half"), 'event: error\ndata: {"message": "overloaded"}', chunk(None, "stop")],
], ids=range(7))  # fmt: skip
def test_what_is_more_or_less_than_one_completion_is_no_answer(kind_of_wire, events):
    out, _ = asked_raw(kind_of_wire, http(stream(*events)))
    assert out["a"].isna().all()


@pytest.mark.parametrize("ends", [["length", "stop"], ["stop", "length"], ["stop", "", "length"]])
def test_a_bad_ending_of_a_stream_counts_wherever_it_stands(kind_of_wire, ends):
    out, _ = asked_raw(kind_of_wire, http(stream(chunk("cut"), *(chunk(None, e) for e in ends))))
    assert kind_of(out) == Kind.TRUNCATED


def test_a_kept_reply_of_another_form_is_read_again_as_it_was(tmp_path):
    df = pd.DataFrame({"text": ["row"]})
    with Server(faults={"stream": 1.0}, answer="fine") as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        for _ in range(2):
            out = df.llm.process(
                "Say {text}", "a", model=model, journal=tmp_path / "j", progress=False
            )
            assert out["a"].tolist() == ["fine"]
        assert server.counters.total == 1


# --- thoughts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["thoughts", "closing_tag"])
@pytest.mark.parametrize(("schema", "said", "value"), [
    (str, "fine", "fine"),
    (Colour, '{"answer":"red"}', "red"),
    (Colour, '```json\n{"answer":"red"}\n```', "red"),
    (int, "7", 7),
])  # fmt: skip
def test_thoughts_before_an_answer_are_taken_off_and_cost_nothing(fault, schema, said, value):
    with Server(faults={fault: 1.0}, answer=said) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = ask(model, schema=schema)
        assert out["a"].tolist() == [value]
        assert server.counters.total == 1


@pytest.mark.parametrize("row", [
    '<think>They want a "joke".\nA café?</think>\nWhy did the lion cross the road?',
    "It writes all of its thoughts\n</think>\nand then an answer.",
    "<think>Nothing but thoughts of another model.</think>",
    "analysis of the log: the token assistantfinal appears twice",
    "<|channel|>analysis<|message|>They greet.<|end|><|start|>assistant<|channel|>final<|message|>Hi<|return|>",
])  # fmt: skip
def test_tags_of_thoughts_in_a_row_that_is_quoted_cut_nothing_off_its_answer(row):
    replies = {"Correct": lambda asked: asked.removeprefix("Correct: "), "Think": lambda _: THOUGHT}

    def answer(body):
        asked = body["messages"][-1]["content"]
        return replies[asked.split()[0].strip(":")](asked)

    with Server(answer=answer) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        df = pd.DataFrame({"text": [row]})
        corrected = df.llm.process("Correct: {text}", model=model, journal=False, progress=False)
        assert corrected["answer"].tolist() == [row]
        prompt = "Think in <think></think>, then answer: {text}"
        asked = df.llm.process(prompt, model=model, journal=False, progress=False)
        assert asked["answer"].tolist() == ["fine"]


THOUGHT = "<think>It is about a row with tags of thoughts.</think>\nfine"


@pytest.mark.parametrize("fault", ["unclosed_thoughts", "all_reasoning"])
def test_a_reply_that_is_all_reasoning_says_so_and_what_to_raise(kind_of_wire, fault):
    out, _ = asked(kind_of_wire, {fault: 1.0}, retry=lp.Retry(max_corrections=0))
    assert kind_of(out) == Kind.EMPTY
    assert "all reasoning" in out["a_error"].iloc[0]
    assert "max_tokens" in out["a_error"].iloc[0]


def test_a_token_limit_that_was_spent_on_reasoning_says_so(kind_of_wire):
    body = completion(None, "length", reasoning_content="Is it this? Or rather")
    out, _ = asked_raw(kind_of_wire, http(body))
    assert kind_of(out) == Kind.TRUNCATED
    assert "reason" in out["a_error"].iloc[0]


# --- corrections --------------------------------------------------------------------------------


def turns(messages):
    return [message["role"] for message in messages if message["role"] != "system"]


@pytest.mark.parametrize("fault", ["empty", "null", "wrong_shape", "all_reasoning"])
def test_the_turns_of_a_correction_alternate_for_servers_that_demand_it(fault):
    def strictly(body, n):
        roles = turns(body["messages"])
        if any(one == other for one, other in itertools.pairwise(roles)):
            return "400"
        return fault if n < 2 else None

    with Server(faults=strictly, answer='{"answer":"red"}', process=False) as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = ask(model, schema=Colour, retry=lp.Retry())
        assert out["a"].tolist() == ["red"]
        assert turns(server.requests[0].body["messages"]) == ["user"]
        assert "Answer again" in server.requests[1].body["messages"][-1]["content"]


@pytest.mark.parametrize("said", ['{"a":"mauve"}', '{"a":"re', ""])
def test_a_shape_that_the_server_itself_refused_is_asked_again_with_the_reason(wire, said):
    with (
        Server(
            faults=[Fault("json_validate_failed", text=said)], answer='{"answer":"red"}'
        ) as server,
        model_at(wire, server.base_url, server.key) as model,
    ):
        out = ask(model, schema=Colour, retry=lp.Retry())
        assert out["a"].tolist() == ["red"]
        assert out["a_attempts"].tolist() == [2]
        second = server.requests[1].body["messages"]
        assert turns(second) == (["user", "assistant", "user"] if said else ["user"])


def test_what_a_server_refused_and_is_right_all_the_same_is_an_answer(kind_of_wire):
    with (
        Server(faults=[Fault("json_validate_failed", text='{"answer":"red"}')]) as server,
        model_at(kind_of_wire, server.base_url, server.key) as model,
    ):
        assert ask(model, schema=Colour)["a"].tolist() == ["red"]
        assert server.counters.total == 1


def test_a_reply_with_another_status_of_success_is_an_answer(kind_of_wire):
    whole = '{"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}]}'
    with (
        Server(faults=[Fault("other", status=201, body=whole)]) as server,
        model_at(kind_of_wire, server.base_url, server.key) as model,
    ):
        assert ask(model)["a"].tolist() == ["fine"]
        assert server.counters.total == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Kind.BAD_REPLY),
        (b"null", Kind.BAD_REPLY),
        (b"[]", Kind.BAD_REPLY),
        (b'"fine"', Kind.BAD_REPLY),
        (b"{}", Kind.BAD_REPLY),
        (b'{"choices":null}', Kind.BAD_REPLY),
        (b'{"choices":{}}', Kind.BAD_REPLY),
        (b'{"choices":[]}', Kind.BAD_REPLY),
        (b'{"detail":"Not Found"}', Kind.BAD_REPLY),
        (b"\xff\xfe{\x00}\x00", Kind.BAD_REPLY),
        (b"[" * 5000, Kind.BAD_REPLY),
        (b"[" * 500_000, Kind.BAD_REPLY),
        (b": working\n\n" * 9, Kind.UNREADABLE),
        (b"data: {}\n\n", Kind.UNREADABLE),
        (b"data: [1]\n\n", Kind.UNREADABLE),
        (b'data: {"choices":[]}\n\nfine', Kind.UNREADABLE),
        (
            b'{"choices":[{"message":{"content":"fine"},"finish_reason":"stop"}]} and',
            Kind.BAD_REPLY,
        ),
    ],
)
def test_a_200_that_is_no_completion_is_never_a_value(kind_of_wire, body, kind):
    out, _ = asked_raw(kind_of_wire, http(body))
    assert kind_of(out) == kind
    assert out["a"].isna().all()


@pytest.mark.parametrize(
    "choice",
    [
        None,
        "fine",
        {},
        {"message": None},
        {"message": "fine"},
        {"message": {"content": 7}},
        {"message": {"content": {"text": "fine"}}},
        {"message": {"content": " \n"}},
        {"text": "fine"},
        {"delta": {"content": "fine"}},
    ],
)
def test_a_choice_of_another_form_is_empty(kind_of_wire, choice):
    body = {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    out, _ = asked_raw(kind_of_wire, http(body))
    assert kind_of(out) == Kind.EMPTY
    assert out["a"].isna().all()


def test_text_in_parts_is_put_together(wire):
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "fi"}, {"text": "ne"}]
    out, _ = asked_raw(wire, http(completion(parts)))
    assert out["a"].tolist() == ["fine"]


# --- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault("trickle", interval_s=0.05), Fault("hang")])
def test_one_attempt_never_takes_longer_than_the_timeout(wire, fault):
    started = time.monotonic()
    out, counters = asked(
        wire, {fault: 1.0}, timeout=0.2, retry=lp.Retry(base_s=0.01, max_attempts=2)
    )
    elapsed_s = time.monotonic() - started
    assert kind_of(out) == Kind.TIMEOUT
    assert "0.2 s" in out["a_error"].iloc[0]
    assert out["a_attempts"].tolist() == [2]
    assert counters.total == 2
    assert elapsed_s >= 0.4  # both attempts had their time; a hang would never end


def test_a_timeout_ends_one_attempt_and_the_next_one_answers(wire):
    out, _ = asked(wire, ["hang"], timeout=0.2)
    assert out["a"].tolist() == ["fine"]


# --- size ---------------------------------------------------------------------------------------


# 20 times what a reply may have, in a few hundred kilobytes. After a full flush the same piece
# packs to the same bytes, so one is packed for all; the checksum behind them is never reached.
def bomb(bits):
    packer = zlib.compressobj(9, wbits=bits)
    mebibyte = bytes(2**20)
    first, next_ = (packer.compress(mebibyte) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + next_ * 319 + packer.flush()


BOMBS = {"gzip": bomb(zlib.MAX_WBITS | 16), "deflate": bomb(zlib.MAX_WBITS)}


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("framing", ["by length", "in chunks", "gzip", "deflate"])
def test_a_huge_reply_is_refused_without_being_held(wire, framing, status):
    filling = b" " * 2**16
    pieces = 4 * MAX_REPLY_BYTES // len(filling)
    if framing == "by length":
        head, body = f"content-length: {4 * MAX_REPLY_BYTES}\r\n\r\n", [filling] * pieces
    elif framing == "in chunks":
        head = "transfer-encoding: chunked\r\n\r\n"
        body = [b"10000\r\n" + filling + b"\r\n"] * pieces
    else:
        packed = BOMBS[framing]
        head = f"content-encoding: {framing}\r\ncontent-length: {len(packed)}\r\n\r\n"
        body = [packed]
    reply = f"HTTP/1.1 {status} X\r\n{head}".encode()

    class Pouring(Raw):
        def _serve(self, connection):
            with contextlib.suppress(OSError), connection:
                read_request(connection)
                connection.sendall(reply)
                for piece in body:
                    connection.sendall(piece)

    with Pouring(b"") as server, model_at(wire, server.base_url, KEY) as model:
        tracemalloc.start()
        try:
            out = ask(model, retry=lp.Retry(max_attempts=1))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert kind_of(out) == Kind.BAD_REPLY
    assert "longer than 16 MiB" in out["a_error"].iloc[0]
    assert peak < 2.5 * MAX_REPLY_BYTES


class Reader(httpx2.AsyncHTTPTransport):
    """Reads each reply to its end before anybody else does, as those that keep a record of them."""

    lengths: ClassVar = []

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        self.lengths.append(len(await response.aread()))
        return response


@pytest.mark.parametrize("framing", ["by length", *BOMBS])
def test_a_huge_reply_is_not_held_by_a_transport_that_reads_it(framing):
    Reader.lengths.clear()
    packed = BOMBS.get(framing, b" " * (MAX_REPLY_BYTES + 1))
    head = f"content-encoding: {framing}\r\n" if framing in BOMBS else ""
    reply = f"HTTP/1.1 200 OK\r\n{head}content-length: {len(packed)}\r\n\r\n".encode() + packed
    with Raw(reply) as server:
        http = httpx2.AsyncClient(transport=Reader())
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, http_client=http)
        model = lp.Model("openai", "m", client=client, scope="")
        out = ask(model, retry=lp.Retry(max_attempts=1))
    assert "longer than 16 MiB" in out["a_error"].iloc[0]
    assert not Reader.lengths  # no reply was read to an end


def test_a_packed_reply_is_an_answer_where_a_transport_reads_it_first():
    body = zlib.compress(json.dumps(completion()).encode(), wbits=zlib.MAX_WBITS | 16)
    head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(body)}\r\n\r\n"
    with Raw(head.encode() + body) as server:
        http = httpx2.AsyncClient(transport=Reader())
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, http_client=http)
        out = ask(lp.Model("openai", "m", client=client, scope=""))
    assert out["a"].tolist() == ["fine"]


class Own(httpx2.AsyncBaseTransport):
    """A transport that is no pool of connections."""

    def __init__(self, head, body):
        self.head, self.body = head, body

    async def handle_async_request(self, request):
        del request
        return httpx2.Response(400, headers=self.head, stream=httpx2.ByteStream(self.body))


@pytest.mark.parametrize("is_own", [False, True])
@pytest.mark.parametrize("charset", ["punycode", "bz2", 'x"; "' + ";" * 300 + "charset=punycode"])
def test_no_text_of_an_error_is_decoded_as_its_server_wants_it(charset, is_own):
    """`punycode` takes the square of its length, and of `bz2` some kilobytes unfold to gigabytes."""
    body, seen = b"-bbbb is not ascii", []
    said = f"text/html; charset={charset}"

    async def look(response):
        await response.aread()
        seen.append((response.headers["content-type"], response.text))

    reply = f"HTTP/1.1 400 X\r\nContent-Type: {said}\r\ncontent-length: {len(body)}\r\n\r\n"
    with Raw(reply.encode() + body) as server:
        transport = Own({"Content-Type": said}, body) if is_own else None
        http = httpx2.AsyncClient(transport=transport, event_hooks={"response": [look]})
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, http_client=http)
        out = ask(lp.Model("openai", "m", client=client, scope=""))
    assert seen == [("text/html", body.decode())]
    assert "HTTP 400" in out["a_error"].iloc[0]


def test_openai_reads_no_error_that_comes_over_a_client_of_the_users_own(monkeypatch):
    """Its own reading has no bounds: neither of levels nor of digits."""
    monkeypatch.setattr(httpx2.Response, "text", property(lambda _: pytest.fail("It was read.")))
    body = b'{"error": {"message": "too odd"}}'
    reply = b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    out, _ = asked_raw("http_client", reply)
    assert "HTTP 400: too odd" in out["a_error"].iloc[0]


class Asked(ReplyRoom):
    """Tells when a reply asked for room and there was none."""

    def __init__(self, most):
        super().__init__(most)
        self.is_full = asyncio.Event()

    def _has_room(self, held, size):
        has_room = super()._has_room(held, size)
        if not has_room:
            self.is_full.set()
        return has_room


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("framing", ["by length", "gzip"])
def test_a_long_reply_waits_with_the_server_while_others_fill_the_memory(
    kind_of_wire, framing, status
):
    body = json.dumps({**completion(), "padding": "x" * 2**20}).encode()
    packed = framing == "gzip"
    more = "content-encoding: gzip\r\n" if packed else ""
    reply = http(gzip.compress(body) if packed else body, status, more)

    async def post(server):
        room = _rooms[asyncio.get_running_loop()] = Asked(2**20)
        with model_at(kind_of_wire, server.base_url, KEY) as model:
            wire = opened(model).wire
            with room.kept(2**20):
                reply = asyncio.create_task(wire.post(b"{}"))
                full = asyncio.create_task(room.is_full.wait())
                await asyncio.wait([reply, full], return_when=asyncio.FIRST_COMPLETED)
                assert not reply.done()
            came = await reply
            await wire.close()
        assert room.taken == 0
        return came

    with Raw(reply) as server:
        came = asyncio.run(post(server))
    assert (came.status, came.body) == (status, body)


def test_a_body_of_very_many_small_pieces_is_held_in_few_large_ones():
    async def arriving():
        for _ in range(PIECE_BYTES + 1):
            yield b"ab"

    async def held():
        return [piece async for piece in bounded(arriving(), "", 200)]

    pieces = asyncio.run(held())
    assert [len(piece) for piece in pieces] == [PIECE_BYTES, PIECE_BYTES, 2]
    assert b"".join(pieces) == b"ab" * (PIECE_BYTES + 1)


def compressed(name, body):
    """A body in an encoding that servers have, or say that they have."""
    match name:
        case "gzip" | "x-gzip" | "GZIP ":
            return gzip.compress(body)
        case "two gzips":
            return gzip.compress(body[:20]) + gzip.compress(body[20:])
        case "gzip and zeros":
            return gzip.compress(body) + bytes(9)
        case "deflate":
            return zlib.compress(body)
        case "bare deflate":
            bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            return bare.compress(body) + bare.flush()
        case _:
            return body


@pytest.mark.parametrize(
    "name",
    [
        "gzip",
        "x-gzip",
        "GZIP ",
        "two gzips",
        "gzip and zeros",
        "deflate",
        "bare deflate",
        "identity",
    ],
)
def test_a_compressed_reply_is_an_answer(wire, name):
    encoding = next((known for known in ("gzip", "deflate") if name.endswith(known)), name)
    encoding = "gzip" if "gzip" in name and name not in {"x-gzip", "GZIP "} else encoding
    encoding = name if name in {"x-gzip", "GZIP "} else encoding
    body = compressed(name, json.dumps(completion("fine")).encode())
    out, _ = asked_raw(wire, http(body, more=f"content-encoding: {encoding}\r\n"))
    assert out["a"].tolist() == ["fine"]


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", b"whatever"),
        ("zstd", b"whatever"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0)),
        ("gzip", b"this is no gzip"),
        ("gzip", gzip.compress(b"{}" * 999, mtime=0)[:-9]),
        ("deflate", b"x\x9c and no more"),
        ("gzip", gzip.compress(b"") * 10_000 + gzip.compress(json.dumps(completion()).encode())),
    ],
)
def test_what_cannot_be_decompressed_is_a_failure_of_its_row(kind_of_wire, encoding, body, status):
    reply = http(body, status, f"content-encoding: {encoding}\r\n")
    out, _ = asked_raw(kind_of_wire, reply)
    assert kind_of(out) == Kind.BAD_REPLY


def test_an_endless_head_is_no_reply(wire):
    head = b"HTTP/1.1 200 OK\r\n" + b"x-filling: " + b"y" * 200_000 + b"\r\n\r\n"
    out, _ = asked_raw(wire, head)
    assert kind_of(out) == Kind.CONNECTION


def test_what_is_no_http_names_the_address_and_the_proxy_to_check():
    out, _ = asked_raw("direct", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{}")
    (row,) = out.llm.errors().to_dict("records")
    assert "not a valid HTTP reply" in row["message"]
    assert row["hint"].startswith("Check the address and the port of base_url=")


# --- where a row may go -------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_reaches_no_other_origin(kind_of_wire, status):
    with Raw(http(completion())) as other:
        to = f"location: http://localhost:{other.port}/v1/chat/completions\r\n"
        out, server = asked_raw(kind_of_wire, http(b"", status, to))
        assert kind_of(out) == Kind.REDIRECT
        assert len(server.requests) == 1
        assert other.requests == []


def test_a_server_that_changes_the_protocol_gives_no_answer_and_one_that_hesitates_does(wire):
    out, _ = asked_raw(wire, b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n")
    assert kind_of(out) not in {Kind.TIMEOUT, None}
    early = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"
    out, _ = asked_raw(wire, early + http(completion()))
    assert out["a"].notna().all()


def test_a_server_that_hesitates_without_an_end_is_not_listened_to_for_long():
    early = b"HTTP/1.1 102 Processing\r\n\r\n"
    out, server = asked_raw("direct", early * 1002 + http(completion()))
    assert kind_of(out) == Kind.BAD_REPLY
    assert len(server.requests) == 1
    out, _ = asked_raw("direct", early * 500 + http(completion()))
    assert out["a"].tolist() == ["fine"]


def test_a_redirect_within_the_origin_is_not_followed_either(wire):
    out, counters = asked(wire, ["redirect"])
    assert kind_of(out) == Kind.REDIRECT
    assert counters.redirects_followed == 0


def test_an_aiohttp_whose_connections_are_not_known_sends_the_same_in_its_own_way(monkeypatch):
    sent = []
    with Server(answer="fine") as server:
        for known in (True, False):
            monkeypatch.setattr("lionproc.model.direct_wire.IS_KNOWN", known)
            with model_at("direct", server.base_url, server.key) as model:
                assert ask(model)["a"].tolist() == ["fine"]
            sent.append(server.requests[-1])
            monkeypatch.setattr("lionproc.model.exchange.Exchange.post", None)
    ours, its_own = sent
    assert ours.headers == its_own.headers
    assert (ours.path, ours.body) == (its_own.path, its_own.body)


def test_connections_are_reused(wire):
    limits = {"concurrency": 4, "adapt": False}
    with Server(answer="fine") as at, model_at(wire, at.base_url, at.key) as model:
        at.hold()
        with ThreadPoolExecutor(1) as beside:
            all_at_once = beside.submit(at.wait_for, lambda now: now.in_flight == 4)
            all_at_once.add_done_callback(lambda _: at.release())
            out, counters = ask(model, 60, limits=limits), at.counters
        assert all_at_once.exception() is None
    assert out["a"].notna().all()
    assert counters.peak_in_flight == 4
    assert counters.connections == 4


def test_what_is_sent_is_the_same_over_every_wire():
    bodies, keys = [], []
    for wire in WIRES:
        with (
            Server(answer="fine") as server,
            model_at(wire, server.base_url, server.key, temperature=0.5, max_tokens=9) as model,
        ):
            ask(model, system="Be brief.")
            (sent,) = server.requests
        body = json.loads(sent.raw_body)
        if wire == "azure":
            body["max_tokens"] = body.pop("max_completion_tokens")
        bodies.append(body)
        given = sent.headers.get("authorization") or f"Bearer {sent.headers['api-key']}"
        keys.append(given == f"Bearer {server.key}")
        assert sent.headers["content-type"] == "application/json"
    assert bodies == [bodies[0]] * 4
    assert keys == [True] * 4


def test_which_wire_is_taken(monkeypatch):
    def taken(model):
        return type(model.connect().wire)

    kinds = {}
    for wire in WIRES:
        with model_at(wire, "http://127.0.0.1:9/v1", KEY) as model:
            kinds[wire] = taken(model)
    assert kinds == {
        "direct": DirectWire,
        "plain_client": DirectWire,
        "http_client": ClientWire,
        "azure": ClientWire,
    }

    async def renewed():
        return KEY

    client = openai.AsyncOpenAI(base_url="https://example.org/v1", api_key=renewed)
    assert taken(lp.Model("openai/m", client=client)) is ClientWire

    class Own(openai.AsyncOpenAI):
        pass

    assert taken(lp.Model("openai/m", client=Own(api_key=KEY))) is ClientWire


def test_the_headers_and_query_of_a_plain_client_are_sent():
    with Server(answer="fine") as server:
        client = openai.AsyncOpenAI(
            base_url=server.base_url,
            api_key=server.key,
            organization="org-1",
            project="proj-1",
            default_headers={"X-Team": "lions"},
            default_query={"tenant": "a b"},
        )
        ask(lp.Model("openai/m", client=client))
        (sent,) = server.requests
    assert sent.headers["x-team"] == "lions"
    assert sent.headers["openai-organization"] == "org-1"
    assert sent.headers["openai-project"] == "proj-1"
    assert sent.path == "/v1/chat/completions?tenant=a+b"


def test_a_refused_connection_says_why(wire):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with model_at(wire, f"http://127.0.0.1:{port}/v1", KEY) as model:
        out = ask(model)
    assert kind_of(out) == Kind.CONNECTION
    assert "refused" in out["a_error"].iloc[0]


# --- proxies and certificates from the environment ----------------------------------------------


class Proxy(Listener):
    """A small HTTP proxy: plain requests are answered by `upstream`, CONNECT opens a tunnel to it."""

    def __init__(self, upstream):
        self._upstream = upstream
        self.seen = []
        self.heads = []
        super().__init__()
        self.url = f"http://127.0.0.1:{self.port}"

    def _serve(self, client):
        with contextlib.suppress(OSError), client:
            head, body = read_request(client)
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.seen.append((method, target))
            self.heads.append(head)
            with socket.create_connection(("127.0.0.1", self._upstream)) as up:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    path = target.split("/", 3)[3]
                    line = f"{method} /{path} HTTP/1.1".encode()
                    rest = head.partition(b"\r\n")[2]
                    up.sendall(line + b"\r\n" + rest + b"\r\n\r\n" + body)
                back = threading.Thread(target=pump, args=(up, client), daemon=True)
                back.start()
                pump(client, up)
                back.join(5)


def pump(source, sink):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_from_the_environment_is_used(monkeypatch, kind_of_wire, variable):
    with Server(answer="fine") as server, Proxy(urlsplit(server.base_url).port) as proxy:
        monkeypatch.setenv(variable, proxy.url.replace("http://", "http://user:pass%20word@"))
        base_url = "http://behind-the-proxy/v1"  # nobody but the proxy knows this name
        with model_at(kind_of_wire, base_url, server.key, allow_http=True) as model:
            out = ask(model)
        assert out["a"].tolist() == ["fine"]
        ((method, target),) = proxy.seen
        assert (method, urlsplit(target).hostname) == ("POST", "behind-the-proxy")
        assert b"proxy-authorization: Basic dXNlcjpwYXNzIHdvcmQ=" in proxy.heads[0].replace(
            b"Proxy-A", b"proxy-a"
        )


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "127.0.0.0/8", "other.example, 127.0.0.1"])
def test_no_proxy_goes_around_it(monkeypatch, kind_of_wire, no_proxy):
    with Server(answer="fine") as server, Proxy(urlsplit(server.base_url).port) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with model_at(kind_of_wire, server.base_url, server.key) as model:
            assert ask(model)["a"].tolist() == ["fine"]
        assert proxy.seen == []


def test_proxies_are_chosen_as_the_openai_client_chooses_them(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "http://all.example:1")
    hosts = ("a.example", "x.a.example", "xa.example", "b.example", "127.0.0.1", "[::1]:8")
    for no_proxy in (
        "",
        "a.example",
        ".a.example",
        "*.a.example",
        "A.EXAMPLE",
        "a.example:443",
        "b.example:8443, 127.0.0.0/8",
        "::1",
        "[::1]",
        "localhost",
        "http://a.example",
        "https://a.example",
        "*",
        "not/a/network, ,b.example",
    ):
        monkeypatch.setenv("NO_PROXY", no_proxy)
        client = httpx2.AsyncClient()
        for scheme in ("http", "https"):
            for host in hosts:
                url = f"{scheme}://{host}/v1"
                transport = client._transport_for_url(httpx2.URL(url))
                pool = getattr(transport, "_pool", None)
                theirs = getattr(pool, "_proxy_url", None)
                expected = None if theirs is None else bytes(theirs.host).decode()
                ours = proxy_for(url)
                chosen = None if ours is None else urlsplit(ours).hostname
                assert chosen == expected, (no_proxy, url)


@pytest.mark.parametrize(
    "proxy", ["http://[", "http://:secret@proxy.example:99999", "a:b:c", "ftp://proxy.example"]
)
def test_a_proxy_whose_address_cannot_be_is_said_before_anything_is_sent(monkeypatch, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with (
        model_at("direct", "http://127.0.0.1:9/v1", KEY) as model,
        pytest.raises(lp.errors.ModelError, match=r"HTTP_PROXY.* invalid") as caught,
    ):
        ask(model)
    assert proxy not in str(caught.value)


@pytest.fixture
def tls(authority):
    """What a server needs to speak TLS with a certificate of our authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1", "model.example").configure_cert(context)
    return context


def test_an_authority_of_the_environment_is_trusted(wire, tls):
    with Raw(http(completion()), tls=tls) as server, model_at(wire, server.base_url, KEY) as model:
        assert ask(model)["a"].tolist() == ["fine"]


def test_a_certificate_of_nobody_is_refused_before_anything_is_sent(monkeypatch, wire, tls):
    monkeypatch.delenv("SSL_CERT_FILE")
    with Raw(http(completion()), tls=tls) as server, model_at(wire, server.base_url, KEY) as model:
        out = ask(model)
        assert server.requests == []
    assert kind_of(out) == Kind.CONNECTION
    assert "SSL_CERT_FILE" in out["a_error"].iloc[0]


def test_a_client_that_prefers_http_2_is_used_over_http_1_where_no_reply_holds_up_others(tls):
    tls.set_alpn_protocols(["h2", "http/1.1"])
    http_client = httpx2.AsyncClient()
    http_client._transport._pool._http2 = True  # as http2=True has it, where h2 is installed
    with Raw(http(completion()), tls=tls) as server:
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=KEY, http_client=http_client)
        assert ask(lp.Model("openai", "m", client=client))["a"].tolist() == ["fine"]


@pytest.mark.parametrize("user", ["", "user:word@"])
def test_tls_goes_through_a_proxy_in_a_tunnel_and_the_key_stays_inside(
    monkeypatch, wire, tls, user
):
    with Raw(http(completion()), tls=tls) as server, Proxy(server.port) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", f"http://{user}"))
        with model_at(wire, "https://model.example/v1", KEY) as model:
            assert ask(model)["a"].tolist() == ["fine"]
        ((method, target),) = proxy.seen
        assert (method, target) == ("CONNECT", "model.example:443")
        assert (b"Basic dXNlcjp3b3Jk" in proxy.heads[0]) == bool(user)
        assert KEY.encode() not in proxy.heads[0]
        ((head, _),) = server.requests
        assert KEY.encode() in head
        assert b"dXNlcjp3b3Jk" not in head


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_wants_a_login_ends_the_run_and_says_where_to_give_it(
    monkeypatch, kind_of_wire, scheme
):
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with Raw(refusal) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://user:hunter2@127.0.0.1:{proxy.port}")
        url = f"{scheme}://model.example/v1"
        with (
            model_at(kind_of_wire, url, KEY, allow_http=True) as model,
            pytest.raises(AccessError, match="The proxy wants a login") as caught,
        ):
            ask(model)
        assert "hunter2" not in str(caught.value)
        assert len(proxy.requests) == 1


def test_a_proxy_that_opens_no_tunnel_is_named_with_its_status(monkeypatch, kind_of_wire):
    with Raw(b"HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        with model_at(kind_of_wire, "https://model.example/v1", KEY) as model:
            out = ask(model, retry=lp.Retry(max_attempts=1))
    assert kind_of(out) == Kind.CONNECTION
    assert "HTTP 502 from the proxy)" in out["a_error"].iloc[0]


def test_the_embedded_model_is_never_asked_through_a_proxy(monkeypatch):
    from lionproc.model import local

    with Server(answer="fine") as server, Proxy(urlsplit(server.base_url).port) as proxy:
        endpoint = local.Endpoint(server.base_url, server.key, "m", "weights-1", 1, 4)
        monkeypatch.setattr(local, "start", lambda model: endpoint)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert ask("local")["a"].tolist() == ["fine"]
        assert proxy.seen == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "gopher://user:hunter2@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_an_error_that_names_it(monkeypatch, proxy):
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(ConfigurationError, match="proxy") as caught:
        lp.Model("openai/m", base_url="https://model.example/v1", api_key=KEY).connect()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_certificates_that_cannot_be_read_are_named(monkeypatch, tmp_path, content):
    path = tmp_path / "authority.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        lp.Model("openai/m", base_url="https://model.example/v1", api_key=KEY).connect()


def test_trusted_certificates_are_read_once_for_all_and_only_for_https(monkeypatch, tmp_path):
    path = tmp_path / "authority.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    read, create = [], httpx2.create_ssl_context
    monkeypatch.setattr(httpx2, "create_ssl_context", lambda: read.append(1) or create())

    def connect(address):
        lp.Model("openai/m", base_url=address, api_key=KEY).connect()
        return len(read)

    assert connect("http://127.0.0.1:9/v1") == 0
    assert [connect(f"https://{name}.example/v1") for name in ("a", "b", "a")] == [1, 1, 1]
    assert certificates("https://a.example") is certificates("https://b.example")
    path.write_text(path.read_text() + "\n")  # somebody adds an authority
    os.utime(path, (1, 1))
    assert connect("https://a.example/v1") == 2


# --- the wire by itself -------------------------------------------------------------------------


async def test_a_wire_that_was_closed_opens_again():
    with Server(answer="fine") as server:
        url = f"{server.base_url}/chat/completions"
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        direct = DirectWire(url, headers, 5.0)
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}]}).encode()
        for _ in range(2):
            reply = await direct.post(body)
            assert reply.status == 200
            assert reply.headers["Content-Type"] == reply.headers["content-type"]
            await direct.close()
        await asyncio.to_thread(server.wait_for, lambda counters: counters.open_connections == 0)


async def test_a_large_body_arrives_whole():
    with Server(answer="fine") as server:
        url = f"{server.base_url}/chat/completions"
        direct = DirectWire(url, {"Authorization": f"Bearer {server.key}"}, 5.0)
        said = "0123456789" * 300_000
        sent = {"model": "m", "messages": [{"role": "user", "content": said}]}
        for _ in range(2):  # aiohttp warns of a body of a megabyte, and a warning is an error here
            assert (await direct.post(json.dumps(sent).encode())).status == 200
        await direct.close()
        assert [request.body for request in server.requests] == [sent, sent]


async def test_cancelling_an_attempt_leaves_no_connection_behind():
    with Server() as server:
        server.hold()
        direct = DirectWire(
            f"{server.base_url}/chat/completions", {"Authorization": f"Bearer {server.key}"}, 5.0
        )
        task = asyncio.create_task(direct.post(b"{}"))
        await asyncio.to_thread(server.wait_for, lambda counters: counters.in_flight == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for, lambda counters: counters.open_connections == 0)
        await direct.close()


async def test_a_broken_connection_names_its_reason_and_its_host():
    direct = DirectWire("http://no-such-host.invalid/v1", {}, 5.0)
    with pytest.raises(CallError) as caught:
        await direct.post(b"{}")
    await direct.close()
    assert caught.value.kind is Kind.CONNECTION
    assert "no-such-host.invalid" in str(caught.value)
