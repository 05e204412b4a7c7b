import asyncio
import contextlib
import gc
import gzip
import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import jsonschema_rs
import pytest
from openai import OpenAI

import lionproc as lp
from lionproc.errors import ConfigurationError, LionprocError
from lionproc.testing import FAULTS, Fault, Server, backends
from lionproc.testing.connection import Connection, Reply
from lionproc.testing.request_parser import Chunks, MalformedError, parse
from lionproc.testing.responder import Responder
from lionproc.testing.settings import Settings

COLOURS = {"enum": ["red", "green", "blue"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOURS}}


def address(server):
    url = urlsplit(server.base_url)
    return url.hostname, url.port


def raw_request(server, body):
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def read_reply(sock):
    reply = http.client.HTTPResponse(sock, method="POST")
    reply.begin()
    return reply.status, reply.read()


# --- replies -----------------------------------------------------------------------------------


def test_a_plain_request_gets_a_whole_chat_completion(ask, chat):
    before = int(time.time())
    with Server() as server:
        reply = ask(server, chat("Say something"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["object"] == "chat.completion"
    assert reply.json["model"] == "test-model"
    assert before <= reply.json["created"] <= time.time()
    assert {"id", "system_fingerprint"} <= reply.json.keys()
    assert reply.choice["finish_reason"] == "stop"
    assert reply.text == "echo: Say something"
    # 13 and 19 characters, four to a token
    assert reply.json["usage"] == {"prompt_tokens": 4, "completion_tokens": 5, "total_tokens": 9}


def test_the_openai_client_understands_the_server():
    with (
        Server(answer="Bonjour", models=["one", "two"]) as server,
        OpenAI(base_url=server.base_url, api_key=server.key, max_retries=0) as client,
    ):
        made = client.chat.completions.create(
            model="one", messages=[{"role": "user", "content": "Hello"}]
        )
        assert [model.id for model in client.models.list()] == ["one", "two"]
        assert client.models.retrieve("two").id == "two"
    assert made.choices[0].message.content == "Bonjour"
    assert made.usage.total_tokens == 4


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("as it is", "as it is"),
        ({"label": 1}, '{"label":1}'),
        (lambda body: body["messages"][-1]["content"].upper(), "HELLO"),
        (lambda body: {"n": len(body["messages"])}, '{"n":1}'),
    ],
)
def test_the_answer_is_what_was_asked_for(ask, answer, text):
    with Server(answer=answer) as server:
        assert ask(server).text == text


def test_a_schema_is_answered_by_an_instance_that_the_messages_decide(ask, chat):
    with Server() as server:
        first = [ask(server, chat(f"row {n}", response_format=FORMAT)).text for n in range(60)]
        again = [ask(server, chat(f"row {n}", response_format=FORMAT)).text for n in range(60)]
    assert first == again
    colours = [json.loads(text) for text in first]
    assert all(colours.count(colour) >= 10 for colour in COLOURS["enum"])


def test_usage_can_be_left_out_and_tokens_counted_by_another_rule(ask, chat):
    with Server(count_tokens=lambda text: len(text.split())) as server:
        assert ask(server, chat("one two three")).json["usage"]["prompt_tokens"] == 3
        server.configure(usage=False)
        assert "usage" not in ask(server).json


def test_max_tokens_cuts_the_answer_as_a_real_server_does(ask, chat):
    with Server(answer="x" * 100) as server:
        reply = ask(server, chat(max_tokens=5))
    assert reply.choice["finish_reason"] == "length"
    assert len(reply.text) == 20
    assert reply.json["usage"]["completion_tokens"] == 5


def test_a_prompt_of_parts_is_read(ask):
    parts = [{"type": "text", "text": "abc"}, {"type": "text", "text": "def"}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}]}
    with Server() as server:
        assert ask(server, body).text == "echo: abcdef"


# --- requests that are wrong -------------------------------------------------------------------


def test_the_key_is_random_and_demanded(ask):
    with Server() as server, Server() as other:
        assert server.key != other.key
        assert len(server.key) > 20
        assert server.key not in repr(server)
        for headers in ({}, {"Authorization": f"Bearer {other.key}"}, {"Authorization": "Bearer"}):
            reply = ask(server, headers=headers)
            assert reply.status == 401
            assert reply.json["error"]["code"] == "invalid_api_key"
        assert ask(server, headers={"api-key": server.key}).status == 200  # as Azure sends it
        assert server.counters.by_status == {401: 3, 200: 1}


def test_of_what_somebody_without_the_key_sends_little_is_kept(ask):
    with Server() as server:
        body = {"model": "m", "messages": [{"role": "user", "content": "x" * 2**20}]}
        assert ask(server, body, headers={}).status == 401
        assert ask(server, body).status == 200
        assert [len(seen.raw_body) > 2**20 for seen in server.requests] == [False, True]
        assert len(server.requests[0].raw_body) <= 1024
        assert ask(server, body, headers={"x-long": "x" * 30_000}).status == 401
        assert server.requests[2].headers.get("x-long", "").count("x") < 5000


def test_a_server_without_a_key_takes_everybody(ask):
    with Server(key=None) as server:
        assert ask(server, headers={}).status == 200


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{nonsense", None),
        (b"[]", None),
        (b'{"messages": []}', "model"),
        (b'{"model": "m", "messages": []}', "messages"),
        (b'{"model": "m", "messages": ["hi"]}', "messages"),
        (b'{"model": "m", "messages": [{"role": "user"}], "max_tokens": "9"}', "max_tokens"),
        (b'{"model": "m", "messages": [{"role": "user"}], "stream": true}', "stream"),
    ],
)
def test_a_body_that_is_no_chat_request_gets_an_error_object(ask, body, param):
    with Server() as server:
        reply = ask(server, body)
    assert reply.status == 400
    error = reply.json["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert error["message"]


def test_other_paths_and_methods_are_refused(ask):
    with Server() as server:
        assert ask(server, path="/embeddings").status == 404
        assert ask(server, method="GET").status == 405
        assert ask(server, method="GET", path="/models/none").status == 404


def test_bytes_that_are_not_http_are_refused_and_the_server_lives_on(ask):
    with Server() as server:
        for wrong in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"):
            with socket.create_connection(address(server)) as sock:
                sock.sendall(wrong)
                assert read_reply(sock)[0] == 400
        assert ask(server).status == 200


def test_a_schema_without_a_finite_instance_is_refused(ask, chat):
    endless = {"$ref": "#"}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": endless}}
    with Server() as server:
        assert ask(server, chat(response_format=asked)).status == 400


def test_an_answer_function_that_raises_shows_when_the_server_ends(ask):
    def answer(body):
        raise ZeroDivisionError

    with (
        pytest.raises(LionprocError, match="ZeroDivisionError") as caught,
        Server(answer=answer) as server,
    ):
        assert ask(server).status == 500
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": {"429s": 0.1}},
        {"faults": {"429": 1.1}},
        {"faults": {"429": 0.6, "500": 0.6}},
        {"faults": "500"},
        {"latency_s": -1},
        {"latency_s": (2, 1)},
        {"limits": [60]},
        {"limits": lp.Limits(requests_per_minute=60)},  # those are what a client keeps
        {"slow_when_busy": 0},
        {"retry": "soon"},
        {"headers": "azure"},
        {"charge": "twice"},
    ],
)
def test_settings_that_cannot_work_are_refused_and_change_nothing(ask, wrong):
    with pytest.raises(ConfigurationError):
        Server(**wrong)
    with Server() as server:
        with pytest.raises(ConfigurationError):
            server.configure(**wrong)
        with pytest.raises(ConfigurationError, match="Did you mean 'latency_s'"):
            server.configure(latency=1)
        assert ask(server).status == 200


# --- the wire ----------------------------------------------------------------------------------


class Talkative:
    """Who answers each request at once, and at length."""

    def __init__(self):
        self.connections, self.held = [], []

    def opened(self, connection):
        self.connections.append(connection)

    def closed(self, connection, exchange):
        pass

    def begin(self, connection, request):
        return connection

    def answer(self, exchange):
        exchange.send(exchange, Reply(200, b"x" * 1000))

    def sent(self, exchange, status):
        pass


async def test_replies_that_nobody_reads_do_not_pile_up_and_are_all_there_for_who_does():
    loop, application = asyncio.get_running_loop(), Talkative()
    server = await loop.create_server(lambda: Connection(application, loop), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    reader, writer = await asyncio.open_connection(host, port, limit=2**10)
    writer.write(b"GET / HTTP/1.1\r\n\r\n" * 20_000)
    while not application.connections or application.connections[0].transport.is_reading():  # noqa: ASYNC110  (no event tells it)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert application.connections[0].transport.get_write_buffer_size() < 2**20
    for _ in range(20_000):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(1000)
    writer.close()
    server.close()


async def test_what_a_client_sends_ahead_of_its_reply_is_left_with_it():
    loop, application = asyncio.get_running_loop(), Talkative()
    application.answer = application.held.append
    server = await loop.create_server(lambda: Connection(application, loop), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\n\r\n" + b"x" * 2**24)
    while not application.held or application.connections[0].transport.is_reading():  # noqa: ASYNC110  (no event tells it)
        await asyncio.sleep(0)
    connection = application.connections[0]
    assert len(connection._buffer) < 2**20
    connection.send(application.held[0], Reply(200, b"{}"))
    assert connection.transport.is_reading()
    writer.close()
    server.close()


def test_a_connection_is_kept_and_split_or_pipelined_requests_are_understood(chat):
    with Server() as server, socket.create_connection(address(server)) as sock:
        data = raw_request(server, chat("one"))
        for at in range(0, len(data), 7):
            sock.sendall(data[at : at + 7])
        assert b"echo: one" in read_reply(sock)[1]
        sock.sendall(raw_request(server, chat("two")) + raw_request(server, chat("three")))
        stream = sock.makefile("rb")
        seen = b""
        while b"three" not in seen:
            seen += stream.read1(65536)
        assert seen.index(b"echo: two") < seen.index(b"echo: three")
        stream.close()
        assert server.counters.connections == 1


def test_chunked_bodies_and_expect_continue_are_understood(chat):
    data = json.dumps(chat("in chunks")).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {}\r\n{}\r\n\r\n"
    with Server() as server:
        with socket.create_connection(address(server)) as sock:
            sock.sendall(head.format(server.key, "Transfer-Encoding: chunked").encode())
            for part in (data[:10], data[10:11], data[11:]):
                sock.sendall(b"%x;note=1\r\n%b\r\n" % (len(part), part))
            sock.sendall(b"0\r\nTrailer: x\r\n\r\n")
            assert b"echo: in chunks" in read_reply(sock)[1]
            sock.sendall(raw_request(server, chat("after")))
            assert b"echo: after" in read_reply(sock)[1]
        with socket.create_connection(address(server)) as sock:
            more = f"Expect: 100-continue\r\nContent-Length: {len(data)}"
            sock.sendall(head.format(server.key, more).encode())
            assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
            sock.sendall(data)
            assert b"echo: in chunks" in read_reply(sock)[1]


def test_each_chunk_of_a_body_is_looked_at_once_however_it_comes_in():
    class Buffer(bytearray):
        looks = 0

        def find(self, *about):
            self.looks += 1
            return super().find(*about)

    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    data, chunks, pieces = Buffer(head), Chunks(), 0
    for _ in range(50):
        data += b"1\r\nx\r\n" * 100
        assert parse(data, chunks)[0] is None
        pieces += 1
    data += b"0\r\nname: value\r\n\r\n"
    request, used = parse(data, chunks)
    assert (request.body, used) == (b"x" * 5000, len(data))
    assert data.looks < 5000 + 10 * pieces


@pytest.mark.parametrize("end", [b"", b"0\r\nname: value"], ids=["a size", "trailers"])
def test_what_comes_in_without_end_is_refused(end):
    head = b"POST / HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    for start in (b"", head + end):
        with pytest.raises(MalformedError, match="too large"):
            parse(bytearray(start + b"1" * 70_000), Chunks())


def test_connection_close_is_heeded(chat):
    with Server() as server, socket.create_connection(address(server)) as sock:
        request = raw_request(server, chat()).replace(b"Host: x", b"Connection: close")
        sock.sendall(request)
        stream = sock.makefile("rb")
        assert stream.read().endswith(b"}")  # reads until the end of the connection
        stream.close()


@pytest.mark.parametrize("turns", range(5))
def test_a_connection_that_is_just_being_made_is_closed_with_the_server(turns):
    async def main():
        loop = asyncio.get_running_loop()
        responder = Responder(Settings(), None, 0, loop)
        stop, ready = loop.create_future(), loop.create_future()
        serving = loop.create_task(backends.serve(responder, 0, stop, ready.set_result))
        sock = socket.create_connection(("127.0.0.1", await ready))
        for _ in range(turns):
            await asyncio.sleep(0)
        stop.set_result(None)
        await serving
        sock.settimeout(30)
        with sock, contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        assert responder.connections == set()

    asyncio.run(main())
    gc.collect()  # a transport that is still open would complain here


# --- latency, queueing, holding ----------------------------------------------------------------


def test_latency_is_a_number_a_range_or_a_function(ask, chat):
    def took(text="x"):
        began = time.monotonic()
        assert ask(server, chat(text)).status == 200
        return time.monotonic() - began

    with Server(latency_s=0.1, seed=1) as server:
        assert took() >= 0.1
        server.configure(latency_s=(0.05, 0.15))
        times = [took() for _ in range(5)]
        assert min(times) >= 0.05
        assert max(times) - min(times) > 0.01
        given = []

        def latency(body):
            given.append(0.2 if "slow" in str(body) else 0.0)
            return given[-1]

        server.configure(latency_s=latency)
        assert took("slow") >= 0.2
        took("x")
        assert given == [0.2, 0.0]


def test_a_busy_model_queues_beyond_its_slots_without_refusing(ask):
    with Server(latency_s=0.1, slow_when_busy=2) as server:
        began = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            statuses = [r.status for r in pool.map(lambda _: ask(server), range(6))]
        assert statuses == [200] * 6
        assert time.monotonic() - began >= 0.3  # three rounds of two
        assert server.counters.peak_in_flight == 6


def test_a_client_that_leaves_a_busy_model_frees_its_slot(ask, chat):
    with Server(latency_s=30, slow_when_busy=1) as server:
        with socket.create_connection(address(server)) as sock:
            sock.sendall(raw_request(server, chat()))
            server.wait_for(lambda c: c.in_flight == 1)
            server.configure(latency_s=0)
        server.wait_for(lambda c: c.abandoned == 1)
        assert ask(server).status == 200


def test_hold_keeps_replies_back_until_release(ask):
    with Server() as server, ThreadPoolExecutor(4) as pool:
        server.hold()
        replies = [pool.submit(ask, server) for _ in range(4)]
        counters = server.wait_for(lambda c: c.in_flight == 4)
        assert counters.ok == 0
        assert not any(reply.done() for reply in replies)
        server.release()
        assert [reply.result().status for reply in replies] == [200] * 4
        assert server.counters.in_flight == 0
        assert ask(server).status == 200


def test_a_client_that_leaves_while_held_is_abandoned_not_answered(chat):
    with Server() as server:
        server.hold()
        with socket.create_connection(address(server)) as sock:
            sock.sendall(raw_request(server, chat()))
            server.wait_for(lambda c: c.in_flight == 1)
        counters = server.wait_for(lambda c: c.abandoned == 1)
        assert (counters.in_flight, counters.open_connections) == (0, 0)
        server.release()
        assert server.counters.ok == 0


def test_waiting_for_what_does_not_come_ends_with_the_counters():
    with Server() as server, pytest.raises(TimeoutError, match="total=0"):
        server.wait_for(lambda c: c.total, timeout_s=0.05)


def test_closing_cuts_what_is_in_flight_and_ends_the_thread(ask):
    server = Server()
    server.hold()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, server)
        server.wait_for(lambda c: c.in_flight == 1)
        server.close()
        with pytest.raises(OSError, match=r"."):
            waiting.result()
    server.close()
    assert server.counters.total == 1  # still readable
    assert not any(t.name == "lionproc-testing-server" for t in threading.enumerate())


def test_a_new_server_has_no_address_that_an_earlier_one_of_the_process_had(monkeypatch):
    """Or what was learned of the earlier one would be believed of it."""
    earlier = {port for port in range(65_536) if port & 2}
    monkeypatch.setattr(backends, "_GIVEN", set(earlier))
    for _ in range(8):
        with Server() as server:
            assert urlsplit(server.base_url).port not in earlier
    assert len(backends._GIVEN - earlier) == 8
    monkeypatch.setattr(backends, "_GIVEN", set(range(65_536)))
    with Server() as server, Server(port=0) as other:
        assert server.base_url != other.base_url  # none is left, and still they begin


def test_a_port_that_is_taken_is_an_error():
    with Server() as server, pytest.raises(OSError, match="in use"):
        Server(port=urlsplit(server.base_url).port)


# --- counters and records ----------------------------------------------------------------------


def test_counters_tell_what_happened(ask, chat):
    with Server(faults=[None, "500", None, "reset", None]) as server:
        for n in range(3):
            ask(server, chat(f"row {n}"))
        with pytest.raises(OSError, match=r"."):
            ask(server)
        ask(server, b"no JSON")
        counters = server.wait_for(lambda c: c.open_connections == 0)
    assert (counters.total, counters.ok, counters.admitted) == (5, 2, 4)
    assert counters.by_status == {200: 2, 500: 1, 400: 1}
    assert counters.by_fault == {"500": 1, "reset": 1}
    assert (counters.in_flight, counters.peak_in_flight, counters.connections) == (0, 1, 5)
    assert (counters.prompt_tokens, counters.completion_tokens) == (4, 6)
    assert sum(counters.per_second) == 4


def test_requests_are_recorded_up_to_the_number_asked_for(ask, chat):
    with Server(record=2, faults=[None, "503"]) as server:
        before = time.monotonic()
        for n in range(2):
            ask(server, chat(f"row {n}"))
        first, second = server.requests
        assert before <= first.arrived_s <= second.arrived_s <= time.monotonic()
        assert first.body["messages"][0]["content"] == "row 0"
        assert first.headers["authorization"] == f"Bearer {server.key}"
        assert (first.method, first.path) == ("POST", "/v1/chat/completions")
        assert (first.status, first.fault, second.status, second.fault) == (200, None, 503, "503")
        ask(server, chat("row 2"))
        assert [r.body["messages"][0]["content"] for r in server.requests] == ["row 1", "row 2"]
    with Server(record=0) as server:
        ask(server)
        assert server.requests == []


def test_duplicates_count_bodies_that_were_answered_before(ask, chat):
    with Server(faults=["500", "half", "wrong_shape"]) as server:
        ask(server, chat("a"))
        with pytest.raises(http.client.IncompleteRead):
            ask(server, chat("a"))
        ask(server, chat("a"))
        assert server.duplicates() == 0  # none of these was an answer
        ask(server, chat("a"))
        assert server.duplicates() == 0
        ask(server, chat("b"))
        ask(server, chat("a"))
        ask(server, chat("a"))
        assert server.duplicates() == 2


# --- faults ------------------------------------------------------------------------------------


def error_code(reply):
    return reply.json["error"]["code"]


def is_not_json(reply):
    with pytest.raises(ValueError, match=r"."):
        json.loads(reply.raw)
    return True


SEEN = {
    "400": lambda r: r.status == 400,
    "401": lambda r: r.status == 401 and error_code(r) == "invalid_api_key",
    "403": lambda r: r.status == 403,
    "404": lambda r: r.status == 404 and error_code(r) == "model_not_found",
    "408": lambda r: r.status == 408,
    "409": lambda r: r.status == 409,
    "422": lambda r: r.status == 422,
    "429": lambda r: r.status == 429 and r.headers["retry-after"] == "1",
    "429_no_header": lambda r: r.status == 429 and not any("retry" in h for h in r.headers),
    "429_absurd": lambda r: r.status == 429 and r.headers["retry-after"] == "banana",
    "429_no_capacity": lambda r: (
        r.status == 429
        and error_code(r) == "resource_unavailable"
        and not any("retry" in h for h in r.headers)
    ),
    "500": lambda r: r.status == 500 and r.json["error"]["message"],
    "502_html": lambda r: r.status == 502 and r.headers["content-type"].startswith("text/html"),
    "503": lambda r: r.status == 503,
    "529": lambda r: r.status == 529 and r.json["error"]["type"] == "overloaded_error",
    "context_length": lambda r: r.status == 400 and error_code(r) == "context_length_exceeded",
    "redirect": lambda r: r.status == 307 and r.headers["location"].startswith("http://localhost:"),
    "html200": lambda r: r.status == 200 and r.raw.startswith(b"<html>"),
    "error200": lambda r: r.status == 200 and "choices" not in r.json and r.json["error"],
    "bad_json": lambda r: r.status == 200 and is_not_json(r),
    "no_choices": lambda r: r.status == 200 and r.json["choices"] == [],
    "empty": lambda r: r.text == "",
    "null": lambda r: r.text is None,
    "length": lambda r: r.choice["finish_reason"] == "length" and len(r.text) < len('"green"'),
    "content_filter": lambda r: r.choice["finish_reason"] == "content_filter",
    "tool_calls": lambda r: r.text is None and r.choice["message"]["tool_calls"][0]["function"],
    "refusal": lambda r: r.text is None and r.choice["message"]["refusal"],
    "wrong_shape": lambda r: json.loads(r.text) not in COLOURS["enum"],
    "not_json": lambda r: r.text.startswith("Sure"),
    "fenced": lambda r: json.loads(r.text.split("\n")[1]) in COLOURS["enum"],
    "thoughts": lambda r: json.loads(r.text.split("</think>")[1]) in COLOURS["enum"],
    "closing_tag": lambda r: "<think>" not in r.text and "</think>" in r.text,
    "unclosed_thoughts": lambda r: "</think>" not in r.text and "<think>" in r.text,
    "all_reasoning": lambda r: r.text == "" and r.choice["message"]["reasoning_content"],
    "ending": lambda r: r.choice["finish_reason"] == "insufficient_system_resource",
    "no_ending": lambda r: r.choice["finish_reason"] is None,
    "other_model": lambda r: r.json["model"] == "another-model",
    "json_validate_failed": lambda r: (
        r.status == 400 and '"red"' not in r.json["error"]["failed_generation"]
    ),
    "comments": lambda r: r.raw.startswith(b": ") and json.loads(r.raw.split(b"\n\n")[-1]),
    "end_mark": lambda r: r.raw.startswith(b"{") and r.raw.endswith(b"data: [DONE]\n\n"),
    "event": lambda r: json.loads(r.raw[6:].split(b"\n")[0])["object"] == "chat.completion",
    "stream": lambda r: (
        r.headers["content-type"] == "text/event-stream"
        and r.raw.count(b"chat.completion.chunk") >= 4
        and r.raw.endswith(b"data: [DONE]\n\n")
    ),
    "stream_cut": lambda r: b"[DONE]" not in r.raw and b'"stop"' not in r.raw,
    "stream_error": lambda r: b'data: {"error"' in r.raw and r.status == 200,
    "stream_garbage": lambda r: b"data: " in r.raw and not r.raw.endswith(b"}\n\n"),
    "surrogate": lambda r: b'\\ud83d"' in r.raw,
    "wrong_encoding": lambda r: r.status == 200 and b"\xff\xfe" in r.raw and is_not_json(r),
    "huge": lambda r: len(r.raw) > 2**20 and len(r.text) == 2**20,
    "echo_key": lambda r: r.status == 400 and "Bearer sk-test-" in r.json["error"]["message"],
    "headers": lambda r: r.headers["x-said"] == "so" and json.loads(r.text),
    "other": lambda r: (r.status, r.raw, r.headers["x-said"]) == (418, b"A teapot.", "so"),
    "slow": lambda r: json.loads(r.text) in COLOURS["enum"],
    "gzip": lambda r: json.loads(gzip.decompress(r.raw))["object"] == "chat.completion",
    "chunked": lambda r: "content-length" not in r.headers and json.loads(r.text),
    "trickle": lambda r: json.loads(r.text) in COLOURS["enum"],
}
BROKEN_OFF = {
    "reset": ConnectionResetError,
    "close": http.client.RemoteDisconnected,
    "half": http.client.IncompleteRead,
    "hang": TimeoutError,
}
SAID = (("x-said", "so"),)
DETAILS = {
    "huge": {"size_bytes": 2**20},
    "trickle": {"interval_s": 0.0001},
    "headers": {"headers": SAID},
    "other": {"status": 418, "body": "A teapot.", "headers": SAID},
}


def test_every_fault_is_seen_below():
    assert SEEN.keys() | BROKEN_OFF.keys() == FAULTS
    assert not SEEN.keys() & BROKEN_OFF.keys()


@pytest.mark.parametrize("name", sorted(SEEN))
def test_a_fault_with_a_reply_is_what_it_says(ask, chat, name):
    fault = Fault(name, **DETAILS.get(name, {}))
    with Server(faults=[fault]) as server:
        body = chat("a colour", response_format=FORMAT)
        assert SEEN[name](ask(server, body))
        good = ask(server, body)  # the script is over
        assert json.loads(good.text) in COLOURS["enum"]
        assert server.counters.by_fault == {name: 1}


@pytest.mark.parametrize("name", sorted(BROKEN_OFF))
def test_a_fault_without_a_reply_is_what_it_says(ask, name):
    with Server(faults=[name]) as server:
        with pytest.raises(BROKEN_OFF[name]) as caught:
            ask(server, timeout=0.2 if name == "hang" else 10)
        assert caught.type is BROKEN_OFF[name]  # a close is a kind of reset to http.client
        server.wait_for(lambda c: c.in_flight == 0)
        assert ask(server).status == 200


def test_trickle_sends_a_byte_at_a_time(chat):
    with Server(faults=[Fault("trickle", interval_s=0.03)]) as server:
        with socket.create_connection(address(server)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(raw_request(server, chat()))
            pieces = [sock.recv(65536) for _ in range(5)]
        assert all(len(piece) <= 2 for piece in pieces[1:])


def test_the_huge_reply_is_not_held_in_memory_and_ends_when_the_client_leaves(chat):
    with Server(faults={"huge": 1.0}) as server:
        with socket.create_connection(address(server)) as sock:
            sock.sendall(raw_request(server, chat()))
            head = sock.recv(65536)
            assert int(head.split(b"content-length: ")[1].split(b"\r\n")[0]) > 64 * 2**20
        assert server.wait_for(lambda c: c.in_flight == 0).abandoned == 1


def test_a_slow_reply_takes_five_times_as_long_or_what_it_says(ask):
    with Server(latency_s=0.05, faults=["slow", Fault("500", latency_s=0.2)]) as server:
        for at_least in (0.25, 0.2):
            began = time.monotonic()
            ask(server)
            assert time.monotonic() - began >= at_least


def test_a_redirect_that_is_followed_is_counted(ask):
    with Server(faults=["redirect", Fault("redirect", location="http://example.com/")]) as server:
        location = urlsplit(ask(server).headers["location"])
        assert ask(server).headers["location"] == "http://example.com/"
        assert server.counters.redirects_followed == 0
        connection = http.client.HTTPConnection(location.hostname, location.port, timeout=5)
        connection.request("POST", location.path, b"{}", {})
        connection.getresponse().read()
        connection.close()
        assert server.counters.redirects_followed == 1


def test_rates_repeat_with_the_seed_and_keep_their_share(ask):
    def run(seed):
        with Server(faults={"500": 0.2, "429_absurd": 0.1}, seed=seed) as server:
            for _ in range(200):
                ask(server)
            return [request.fault for request in server.requests]

    one = run(7)
    assert one == run(7)
    assert one != run(8)
    assert 20 <= one.count("500") <= 60
    assert 8 <= one.count("429_absurd") <= 35


def test_faults_come_by_function_and_absurd_headers_by_turns(ask):
    def choose(body, n):
        return "429_absurd" if n < 3 else Fault("429", retry_after_s=2) if n == 3 else None

    with Server(faults=choose) as server:
        told = [ask(server).headers.get("retry-after") for _ in range(5)]
    assert told == ["banana", "-5", "1e9", "2", None]


def test_a_script_starts_over_when_it_is_set_while_running(ask):
    with Server() as server:
        assert ask(server).status == 200
        server.configure(faults=["503", None, "500"])
        assert [ask(server).status for _ in range(4)] == [503, 200, 500, 200]


def test_instances_validate_against_their_schema(ask, chat):
    schema = {
        "type": "object",
        "$defs": {"tag": {"enum": ["a", "b"]}},
        "properties": {
            "tag": {"$ref": "#/$defs/tag"},
            "score": {"anyOf": [{"type": "integer", "minimum": 3, "maximum": 5}, {"type": "null"}]},
        },
        "required": ["tag", "score"],
        "additionalProperties": False,
    }
    asked = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    with Server() as server:
        for n in range(20):
            value = json.loads(ask(server, chat(f"row {n}", response_format=asked)).text)
            jsonschema_rs.validate(schema, value)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example"])
def test_a_name_of_the_internet_that_leads_here_is_not_answered(host, chat):
    with Server(key=None) as server:
        connection = http.client.HTTPConnection(*address(server), timeout=5)
        connection.request("POST", "/v1/chat/completions", json.dumps(chat()), {"Host": host})
        assert connection.getresponse().status == 421
        connection.close()
        assert server.counters.total == 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:99", "[::1]:5", "LOCALHOST.", "box", ""])
def test_a_name_of_this_machine_is_answered(host, chat):
    with Server(key=None) as server:
        connection = http.client.HTTPConnection(*address(server), timeout=5)
        connection.request("POST", "/v1/chat/completions", json.dumps(chat()), {"Host": host})
        assert connection.getresponse().status == 200
        connection.close()
