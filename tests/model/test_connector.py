"""A connection is used again only while nothing came on it that nobody had asked for."""

import asyncio
import contextlib
import json
import socket
import threading
from weakref import WeakSet

import openai
import pytest

from lionproc.errors import CallError, Kind
from lionproc.model import exchange
from lionproc.model.client_wire import ClientWire
from lionproc.model.connector import QuietConnector
from lionproc.model.direct_wire import DirectWire
from lionproc.model.reading import PIECE_BYTES


def reply(text):
    body = json.dumps(text).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class Peer:
    """Answers each request with its own words, and says more when it is told to."""

    def __init__(self):
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self.connections = []
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def _serve(self):
        with contextlib.suppress(OSError):  # it is closed
            while True:
                connection, _ = self._listening.accept()
                self.connections.append(connection)
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    @staticmethod
    def _answer(connection):
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            while lines.readline():
                length = 0
                while (line := lines.readline().strip()) != b"":
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                word = lines.read(length).decode()
                unasked = reply("of another row") if word.startswith("and another") else b""
                connection.sendall(reply(word) + unasked)

    def close(self):
        for connection in self.connections:
            connection.close()
        self._listening.close()


@pytest.fixture
def peer():
    made = Peer()
    yield made
    made.close()


async def asked(wire, word):
    return json.loads((await wire.post(word.encode())).body)


@pytest.mark.parametrize("is_read", [False, True], ids=["not read yet", "read already"])
async def test_a_reply_that_nobody_asked_for_answers_no_row(peer, is_read):
    wire = DirectWire(peer.url, {}, 5.0)
    assert await asked(wire, "one") == "one"
    peer.connections[0].sendall(reply("of another row"))
    for _ in range(3 * is_read):  # passes of the loop, which reads it
        await asyncio.sleep(0)
    assert [await asked(wire, word) for word in ("two", "three")] == ["two", "three"]
    # From then on no connection is trusted with a second reply.
    assert len(peer.connections) == 3
    await wire.close()


def wire_of_a_client(library, kind="AsyncClient"):
    def made(url):
        http = getattr(pytest.importorskip(library), kind)()
        return ClientWire(openai.AsyncOpenAI(base_url=url, api_key="k", http_client=http), 5.0)

    return made


WIRES = {
    "direct": lambda url: DirectWire(url, {}, 5.0),
    "an http_client": wire_of_a_client("httpx2"),
    "an older http_client": wire_of_a_client("httpx"),
    "aiohttp": wire_of_a_client("openai", "DefaultAioHttpClient"),
}


@pytest.mark.parametrize("way", WIRES)
@pytest.mark.parametrize("kind", ["in one piece", "a moment later"])
async def test_what_comes_with_a_reply_or_after_it_answers_no_row_whatever_the_wire(
    peer, way, kind
):
    wire = WIRES[way](peer.url)
    first = "and another" if kind == "in one piece" else "one"
    assert await asked(wire, first) == first
    if kind == "a moment later":
        peer.connections[0].sendall(reply("of another row"))
    assert [await asked(wire, word) for word in ("three", "four")] == ["three", "four"]
    assert len(peer.connections) >= 2
    await wire.close()


@pytest.mark.parametrize("way", WIRES)
async def test_a_connection_that_stays_quiet_is_used_again_whatever_the_wire(peer, way):
    wire = WIRES[way](peer.url)
    assert [await asked(wire, word) for word in ("one", "two", "three")] == ["one", "two", "three"]
    assert len(peer.connections) == 1
    await wire.close()


async def test_where_very_many_keep_connections_the_others_close_theirs(peer, monkeypatch):
    monkeypatch.setattr(exchange, "MOST_KEEPING", 1)
    monkeypatch.setattr(exchange, "_keeping", WeakSet())  # those of other tests may not be over
    keeps, closes = DirectWire(peer.url, {}, 5.0), DirectWire(peer.url, {}, 5.0)
    for word in ("one", "two"):
        assert [await asked(wire, word) for wire in (keeps, closes)] == [word, word]
    assert len(peer.connections) == 3
    await keeps.close()
    assert [await asked(closes, word) for word in ("three", "four")] == ["three", "four"]
    assert len(peer.connections) == 4
    await closes.close()


async def test_a_connection_that_the_server_closes_is_no_reason_to_open_one_for_each_row(peer):
    wire = DirectWire(peer.url, {}, 5.0)
    assert await asked(wire, "one") == "one"
    peer.connections[0].shutdown(socket.SHUT_WR)
    assert [await asked(wire, word) for word in ("two", "three")] == ["two", "three"]
    assert len(peer.connections) == 2
    await wire.close()


@pytest.mark.parametrize("moment", ["before it is given out", "after the loop has seen it"])
async def test_a_connection_that_is_closed_before_it_is_used_is_a_failure_of_the_connection(
    peer, monkeypatch, moment
):
    connect = QuietConnector.connect

    async def closed(self, *args, **kwargs):
        connection = await connect(self, *args, **kwargs)
        connection.transport.abort()
        for _ in range(3 * (moment != "before it is given out")):
            await asyncio.sleep(0)
        return connection

    wire = DirectWire(peer.url, {}, 5.0)
    monkeypatch.setattr(QuietConnector, "connect", closed)
    with pytest.raises(CallError) as failed:
        await asked(wire, "one")
    assert failed.value.kind is Kind.CONNECTION
    monkeypatch.setattr(QuietConnector, "connect", connect)
    assert await asked(wire, "two") == "two"
    await wire.close()


async def test_a_large_body_goes_over_the_connection_that_small_ones_left(peer):
    wire = DirectWire(peer.url, {}, 5.0)
    large = "x" * (PIECE_BYTES + 1)
    for word in ("one", large, "two"):
        assert await asked(wire, word) == word
    assert len(peer.connections) == 1
    await wire.close()


async def test_connections_that_nobody_uses_are_closed_after_a_while(peer, monkeypatch):
    monkeypatch.setattr(exchange, "KEPT_S", 0.0)
    wire = DirectWire(peer.url, {}, 5.0)
    await asyncio.gather(*(asked(wire, word) for word in ("one", "two")))
    assert len(peer.connections) == 2
    for _ in range(5):
        await asyncio.sleep(0)
    assert await asked(wire, "three") == "three"
    assert len(peer.connections) == 3
    await wire.close()


async def test_a_wire_that_is_closed_keeps_no_connection_and_no_timer(peer):
    wire = DirectWire(peer.url, {}, 5.0)
    await asked(wire, "one")
    kept = wire._exchange
    await wire.close()
    assert not kept._kept
    assert kept._timer is None
    assert wire._patience._timer is None
    assert await asked(wire, "two") == "two"  # it opens again
    await wire.close()
