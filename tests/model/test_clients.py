"""A client of the user's own: its settings are used, itself it stays as it was."""

import asyncio
import contextlib
import itertools
import os
import threading
import warnings
from collections import deque
from functools import partial, wraps
from os import urandom
from urllib.parse import unquote, urlsplit

import httpx2
import openai
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import LionprocError, ModelError, RowsFailedWarning
from lionproc.model.opening import opened
from lionproc.testing import Fault, Server

KEY = "sk-test-of-the-clients-0123456789"
CALL = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("OPENAI_", "AZURE_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)


def ask(client, rows=40, **more):
    df = pd.DataFrame({"text": [f"row {n}" for n in range(rows)]})
    model = client if isinstance(client, lp.Model) else lp.Model("openai/m", client=client)
    retry = lp.Retry(max_attempts=1)
    return df.llm.process(
        "Say {text}", "a", model=model, journal=False, progress=False, retry=retry, **more
    )


class Counting(httpx2.AsyncBaseTransport):
    """A transport as people write them, around one of httpx."""

    def __init__(self):
        self.inner = {"all": [httpx2.AsyncHTTPTransport()]}
        self.gate = asyncio.Semaphore(2)
        self.count = [0]

    async def handle_async_request(self, request):
        async with self.gate:
            self.count[0] += 1
            return await self.inner["all"][0].handle_async_request(request)

    async def aclose(self):
        await self.inner["all"][0].aclose()


class Sending(httpx2.AsyncBaseTransport):
    """Hands each request to a function."""

    def __init__(self, send, *inner):
        self.parts = (send, inner)

    async def handle_async_request(self, request):
        return await self.parts[0](request)

    async def aclose(self):
        for each in self.parts[1]:
            await each.aclose()


def of_http_2(*, alone):
    http = httpx2.AsyncClient()
    http._transport._pool._http1, http._transport._pool._http2 = not alone, True
    return openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key=KEY, http_client=http)


class InTurn:
    """Keys or addresses by turns, as people write it."""

    def __init__(self):
        self.all = deque(httpx2.AsyncHTTPTransport() for _ in range(2))

    def __call__(self, request):
        self.all.rotate()
        return self.all[0].handle_async_request(request)


def by_method():
    inner = httpx2.AsyncHTTPTransport()
    return Sending(inner.handle_async_request, inner)


def by_turns():
    turns = InTurn()
    return Sending(turns, *turns.all)


CUSTOM = {"custom": Counting, "method": by_method, "turns": by_turns}


def made(kind, server):
    url, key = server.base_url, server.key
    at = {"base_url": url, "api_key": key}
    azure = {"azure_endpoint": url.removesuffix("/v1"), "api_key": key, "api_version": "1"}
    match kind:
        case "plain":
            return openai.AsyncOpenAI(**at)
        case "http_client":
            return openai.AsyncOpenAI(**at, http_client=httpx2.AsyncClient())
        case "httpx":
            httpx = pytest.importorskip("httpx")
            return openai.AsyncOpenAI(**at, http_client=httpx.AsyncClient())
        case "aiohttp":
            return openai.AsyncOpenAI(**at, http_client=openai.DefaultAioHttpClient())
        case "custom" | "method" | "turns":
            http = httpx2.AsyncClient(transport=CUSTOM[kind]())
            http._transport.client = http  # as those do that ask for a token first
            return openai.AsyncOpenAI(**at, http_client=http)
        case "azure":
            return openai.AsyncAzureOpenAI(**azure)
        case "sync":
            return openai.OpenAI(**at)
        case "sync_http_client":
            return openai.OpenAI(**at, http_client=httpx2.Client())
        case "sync_httpx":
            httpx = pytest.importorskip("httpx")
            return openai.OpenAI(**at, http_client=httpx.Client())
        case _:
            return openai.AzureOpenAI(**azure)


ASYNC = ("plain", "http_client", "httpx", "aiohttp", *CUSTOM, "azure")
SYNC = ("sync", "sync_http_client", "sync_httpx", "sync_azure")


@pytest.mark.parametrize("kind", ASYNC)
def test_a_client_that_was_used_in_a_cell_is_used_by_a_run_and_works_in_cells_afterwards(kind):
    with Server(answer="fine", latency_s=0.01) as server, asyncio.Runner() as cell:
        client = made(kind, server)

        async def chats():
            calls = (client.chat.completions.create(**CALL) for _ in range(4))
            return [reply.choices[0].message.content for reply in await asyncio.gather(*calls)]

        assert cell.run(chats()) == ["fine"] * 4
        assert ask(client)["a"].tolist() == ["fine"] * 40
        assert cell.run(chats()) == ["fine"] * 4
        assert ask(client, resume=False)["a"].tolist() == ["fine"] * 40
        assert cell.run(chats()) == ["fine"] * 4
        cell.run(client.close())
        server.wait_for(lambda counters: counters.open_connections == 0)


@pytest.mark.parametrize("kind", SYNC)
def test_a_sync_client_does_as_well(kind):
    with Server(answer="fine") as server, made(kind, server) as client:
        assert client.chat.completions.create(**CALL).choices[0].message.content == "fine"
        assert ask(client)["a"].tolist() == ["fine"] * 40
        assert client.chat.completions.create(**CALL).choices[0].message.content == "fine"


def test_a_client_that_was_closed_still_says_how_to_ask():
    with Server(answer="fine") as server:
        client = made("http_client", server)
        asyncio.run(client.close())
        assert ask(client, 2)["a"].tolist() == ["fine"] * 2


def test_a_run_within_the_loop_of_the_client_works_too():
    with Server(answer="fine") as server:

        async def main():
            async with made("http_client", server) as client:
                await client.chat.completions.create(**CALL)
                df = pd.DataFrame({"text": ["one", "two"]})
                model = lp.Model("openai/m", client=client)
                out = await df.llm.aprocess("{text}", "a", model=model, progress=False)
                await client.chat.completions.create(**CALL)
                return out

        assert asyncio.run(main())["a"].tolist() == ["fine"] * 2


# --- its settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers", [{"X-Team": "a\r\nX-Evil: 1"}, {"X-Team\nX-Evil": "a"}, {"X-Team": "a\0"}], ids=str
)
def test_a_header_with_a_line_break_is_refused_by_name_before_anything_is_sent(headers):
    with Server(answer="fine", key=None) as server:
        client = openai.AsyncOpenAI(
            base_url=server.base_url, api_key="none", default_headers=headers
        )
        with pytest.raises(ModelError, match=r"The header 'X-Team.* has a line break"):
            ask(client, 1)
        assert server.counters.total == 0


@pytest.mark.parametrize(
    "headers", [{"X-Team": "a\udce9"}, {"Authorization": "Bearer \ud800"}], ids=str
)
def test_a_header_with_half_a_character_is_refused_by_name_before_anything_is_sent(headers):
    with Server(answer="fine", key=None) as server:
        client = openai.AsyncOpenAI(
            base_url=server.base_url, api_key="none", default_headers=headers
        )
        with pytest.raises(ModelError, match=rf"{next(iter(headers))}' .* has half a character"):
            ask(client, 1)
        assert server.counters.total == 0


class Setting(httpx2.AsyncHTTPTransport):
    """Brings replies that set a cookie more each time."""

    async def handle_async_request(self, request):
        reply = await super().handle_async_request(request)
        name = urandom(4).hex()
        reply.headers["Set-Cookie"] = f"of-{name}=session; Path=/"
        return reply


def test_a_reply_sets_no_cookie_for_the_next_rows():
    with Server(answer="fine") as server:
        http = httpx2.AsyncClient(transport=Setting(), cookies={"crumb": "oat"})
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
        ask(client, 6, limits={"concurrency": 1})
        assert {sent.headers["cookie"] for sent in server.requests} == {"crumb=oat"}
        assert dict(http.cookies) == {"crumb": "oat"}


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_the_settings_of_an_http_client_are_sent(kind):
    seen = []

    async def look(request):
        seen.append(request.url.path)

    hooks = {
        "request": [look if kind == "async" else lambda request: seen.append(request.url.path)]
    }
    settings = {
        "headers": {"X-Team": "lions"},
        "params": {"tenant": "a b"},
        "cookies": {"crumb": "oat"},
        "auth": httpx2.BasicAuth("user", "word"),
        "event_hooks": hooks,
    }
    with Server(answer="fine", key=None) as server:
        at = {"base_url": server.base_url, "api_key": "none"}
        if kind == "async":
            client = openai.AsyncOpenAI(**at, http_client=httpx2.AsyncClient(**settings))
        else:
            client = openai.OpenAI(**at, http_client=httpx2.Client(**settings))
        ask(lp.Model("openai/m", client=client, scope="lions"), 1)
        (sent,) = server.requests
    assert sent.headers["x-team"] == "lions"
    assert sent.headers["cookie"] == "crumb=oat"
    assert sent.headers["authorization"] == "Basic dXNlcjp3b3Jk"
    assert "tenant=a" in sent.path
    assert sent.headers["accept-encoding"] == "gzip, deflate"
    assert seen == ["/v1/chat/completions"]


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_proxy_of_an_http_client_is_gone_through(kind):
    with Server(answer="fine") as proxy:  # whoever answers here was taken for the proxy
        at = {"base_url": "http://model.example/v1", "api_key": proxy.key}
        proxies = {"proxy": proxy.base_url.removesuffix("/v1")}
        if kind == "async":
            client = openai.AsyncOpenAI(**at, http_client=httpx2.AsyncClient(**proxies))
        else:
            client = openai.OpenAI(**at, http_client=httpx2.Client(**proxies))
        with contextlib.suppress(LionprocError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ask(lp.Model("openai/m", client=client, allow_http=True), 1)
        assert proxy.counters.connections == 1


class OfTenant(openai.AsyncOpenAI):
    __slots__ = ("__tenant",)

    def __init__(self, **settings):
        super().__init__(**settings)
        self.__tenant = "acme"

    async def _prepare_options(self, options):
        options.headers = {**options.headers, "X-Tenant": self.__tenant}
        return options


class HttpOfTenant(httpx2.AsyncClient):
    __slots__ = ("team",)

    async def send(self, request, **options):
        request.headers["X-Team"] = self.team
        return await super().send(request, **options)


def test_what_classes_of_the_user_keep_in_slots_is_sent():
    http = HttpOfTenant()
    http.team = "blue"
    with Server(answer="fine") as server:
        client = OfTenant(base_url=server.base_url, api_key=server.key, http_client=http)
        out = ask(lp.Model("openai/m", client=client, scope="acme"), rows=1)
        assert out["a"].tolist() == ["fine"]
        (asked,) = server.requests
    sent = {name.lower(): value for name, value in asked.headers.items()}
    assert (sent["x-tenant"], sent["x-team"]) == ("acme", "blue")


def test_a_transport_that_makes_its_answers_itself_is_asked():
    def answer(request):
        reply = {"choices": [{"message": {"content": "made up"}, "finish_reason": "stop"}]}
        return httpx2.Response(200, json=reply)

    for client in (
        openai.AsyncOpenAI(
            api_key=KEY, http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(answer))
        ),
        openai.OpenAI(
            api_key=KEY, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
        ),
    ):
        assert ask(client, 2)["a"].tolist() == ["made up"] * 2


def test_the_own_transport_of_a_client_is_copied_and_counts_for_itself():
    with Server(answer="fine") as server:
        client = made("custom", server)
        ask(client, 5)
        transport = client._client._transport
        assert transport.inner["all"][0]._pool.connections == []
        assert transport.gate._value == 2


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_function_that_renews_a_token_is_called_off_the_loop_and_its_failure_is_named(kind):
    threads = []

    def token():
        threads.append(threading.current_thread().name)
        if len(threads) > 3:
            raise OSError("sk-secret-of-the-identity-service")
        return KEY

    with Server(answer="fine", key=KEY) as server:
        make = openai.AsyncAzureOpenAI if kind == "async" else openai.AzureOpenAI
        client = make(
            azure_endpoint=server.base_url.removesuffix("/v1"),
            azure_ad_token_provider=token,
            api_version="1",
        )
        assert ask(client, 3)["a"].tolist() == ["fine"] * 3
        assert "lionproc" not in threads
        with pytest.warns(RowsFailedWarning):
            out = ask(client, 1)
        message = out.llm.errors()["message"].iloc[0]
        assert "renews the key failed (OSError)" in message
        assert "sk-secret" not in message
        assert {sent.headers["authorization"] for sent in server.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("kind", ["async", "sync"])
def test_a_key_of_a_function_is_renewed_for_each_request_of_either_kind_of_client(kind):
    keys = iter([f"{KEY}-{n}" for n in range(9)])

    async def renewed():
        return next(keys)

    with Server(answer="fine", key=None) as server:
        if kind == "async":
            client = openai.AsyncOpenAI(base_url=server.base_url, api_key=renewed)
        else:
            client = openai.OpenAI(base_url=server.base_url, api_key=lambda: next(keys))
        ask(client, 3)
        assert len({sent.headers["authorization"] for sent in server.requests}) == 3
        assert client.api_key == ""


def test_a_key_that_was_renewed_since_is_taken_out_of_what_comes_back_too():
    keys, said = iter([f"eyJhbGciTok{n}xYz/Q9w==" for n in range(9)]), []

    def answer(_body):
        sent = [each.headers["authorization"] for each in server.requests]
        said.append(" was replaced by ".join(sent))
        return said[-1]

    with Server(answer=answer, key=None) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=lambda: next(keys))
        told = ask(client, 3, limits={"concurrency": 1, "adapt": False})["a"].tolist()
    assert len(set(told)) == 3
    assert "eyJhbGciTok" in said[-1]
    assert not [text for text in told if "eyJhbGciTok" in text]


def test_a_function_that_never_brings_a_key_holds_up_no_run_of_another_model():
    asked, brings = threading.Semaphore(0), threading.Event()
    many = min(32, (os.cpu_count() or 1) + 4)  # threads of the engine's pool

    def hangs():
        asked.release()
        brings.wait(60)
        return KEY

    with Server(answer="fine", key=None) as server:
        client = openai.OpenAI(base_url=server.base_url, api_key=hangs)
        rows = pd.DataFrame({"text": [f"text {n}" for n in range(many)]})
        model = lp.Model("openai", "m", client=client)
        limits = {"concurrency": many, "adapt": False}
        job = rows.llm.start("{text}", into="a", model=model, limits=limits, progress=False)
        assert all(asked.acquire(timeout=20) for _ in range(many))
        other = lp.Model("openai", "n", base_url=server.base_url, api_key=KEY)
        rest = rows.llm.start("{text}", into="a", model=other, limits=limits, progress=False)
        assert rest.result(20)["a"].eq("fine").all()
        brings.set()
        assert job.result(20)["a"].eq("fine").all()


# --- what its code raises -----------------------------------------------------------------------

CODE = "hunter2secret0123456789"


def journaled(client):
    df = pd.DataFrame({"text": ["row 0", "row 1", "row 2"]})
    model = lp.Model("openai/m", client=client)
    with pytest.warns(RowsFailedWarning):
        return df.llm.process("Say {text}", "a", model=model, progress=False)


@pytest.mark.parametrize("kind", ["httpx", "httpx2", "sync"])
def test_a_hook_that_raises_for_a_status_hides_nothing_of_it_and_shows_no_secret(
    kind, tmp_path, caplog
):
    async def look(reply):
        reply.raise_for_status()

    httpx = httpx2 if kind != "httpx" else pytest.importorskip("httpx")

    def faults(body, n):
        refused = Fault("400") if "row 1" in str(body) else None
        return refused if n else Fault("429", retry_after_s=0.05)

    with Server(answer="fine", faults=faults) as server:
        at = {"base_url": server.base_url, "api_key": server.key}
        more = {"params": {"code": CODE}}
        if kind == "sync":
            http = httpx.Client(event_hooks={"response": [httpx.Response.raise_for_status]}, **more)
            client = openai.OpenAI(**at, http_client=http)
        else:
            http = httpx.AsyncClient(event_hooks={"response": [look]}, **more)
            client = openai.AsyncOpenAI(**at, http_client=http)
        out = journaled(client)
        assert any(CODE in sent.path for sent in server.requests)
    assert out["a"].isna().tolist() == [False, True, False]
    (failed,) = out.llm.errors().to_dict("records")
    assert (failed["kind"], failed["attempts"]) == ("bad_request", 1)
    assert failed["message"].startswith("HTTP 400: ")
    assert CODE not in caplog.text + str(failed) + out.llm.errors()._repr_html_()
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and CODE in path.read_text("latin")
    ]


@pytest.mark.parametrize(
    "raised",
    [RuntimeError, ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError],
    ids=lambda raised: raised.__name__,
)
@pytest.mark.parametrize("event", ["request", "response"])
def test_what_a_hook_raises_is_told_by_its_type_and_place_and_never_in_its_words(
    raised, event, caplog
):
    async def hook(message):
        if message.headers.get("content-type") == "application/json":
            raise raised(f"in the words of {CODE}")

    with Server(answer="fine") as server:
        http = httpx2.AsyncClient(event_hooks={event: [hook]})
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
        with pytest.warns(RowsFailedWarning):
            out = ask(lp.Model("openai/m", client=client, scope="lions"), 2)
        errors = out.llm.errors()
        assert set(errors["kind"]) == {"unexpected"}
        assert (
            errors["message"]
            .str.startswith(
                f"The http_client of client= raised {raised.__name__} (in test_clients.py, line "
            )
            .all()
        )
        assert ask(made("plain", server), 1)["a"].tolist() == ["fine"]  # the engine lives
    assert caplog.text == ""


@pytest.mark.parametrize("event", ["request", "response"])
def test_a_hook_that_runs_out_of_time_is_named_and_not_the_timeout_of_the_model(event):
    async def hook(message):
        raise TimeoutError

    with Server(answer="fine") as server:
        http = httpx2.AsyncClient(event_hooks={event: [hook]})
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
        with pytest.warns(RowsFailedWarning):
            out = ask(lp.Model("openai/m", client=client, scope="lions"), 1)
    error = out.llm.errors().iloc[0]
    assert error["kind"] == "timeout"  # and so it is asked again, where that is allowed
    assert error["message"].startswith("The http_client of client= raised TimeoutError (in test_")
    assert "60 s" not in error["message"]
    assert pd.isna(error["hint"])


# --- what cannot be copied ----------------------------------------------------------------------


class Strange(httpx2.BaseTransport):
    """JobStore in threads only."""


class StrangeClient(httpx2.Client):
    """Does something of its own."""


class Subclass(openai.OpenAI):
    """Does something of its own."""


class Slotted(httpx2.AsyncBaseTransport):
    """Refuses to be copied."""

    def __copy__(self):
        raise TypeError


def sending(inner):
    http = httpx2.AsyncClient(transport=Sending(inner))
    return openai.AsyncOpenAI(api_key=KEY, http_client=http)


def in_closure():
    inner = httpx2.AsyncHTTPTransport()

    async def send(request):
        return await inner.handle_async_request(request)

    return send


def in_iterator():
    return partial(next, itertools.cycle([httpx2.AsyncHTTPTransport()]))


@pytest.mark.parametrize(
    ("client", "words"),
    [
        (
            lambda: openai.OpenAI(api_key=KEY, http_client=httpx2.Client(transport=Strange())),
            "Strange",
        ),
        (lambda: openai.OpenAI(api_key=KEY, http_client=StrangeClient()), "StrangeClient"),
        (lambda: Subclass(api_key=KEY, http_client=httpx2.Client()), "Subclass"),
        (
            lambda: openai.AsyncOpenAI(
                api_key=KEY, http_client=httpx2.AsyncClient(transport=Slotted())
            ),
            "Slotted",
        ),
        (lambda: sending(in_closure()), "a Sending that keeps connections"),
        (lambda: sending(in_iterator()), "a Sending that keeps connections"),
        (lambda: sending(wraps(in_iterator())(lambda _: None)), "a Sending that keeps"),
        (lambda: of_http_2(alone=True), "HTTP/2 alone"),
        (object, "not object"),
    ],
)
def test_what_cannot_be_copied_is_refused_by_name_before_anything_is_sent(client, words):
    with pytest.raises(ModelError, match=words):
        ask(client(), 1)


def test_a_transport_that_cannot_be_closed_takes_no_answer_away():
    class Unclosed(httpx2.AsyncHTTPTransport):
        async def aclose(self):
            await super().aclose()
            raise RuntimeError(CODE)

    with Server(answer="fine") as server:
        http = httpx2.AsyncClient(transport=Unclosed())
        client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key, http_client=http)
        assert ask(client, 2)["a"].tolist() == ["fine"] * 2


def test_what_belongs_to_another_loop_out_of_sight_is_told_with_the_way_on():
    gate = asyncio.Event()

    class Gated(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request):
            await gate.wait()
            return await super().handle_async_request(request)

    async def use():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(gate.wait(), 0)
        task = asyncio.ensure_future(gate.wait())
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(use())
    client = openai.AsyncOpenAI(
        base_url="http://127.0.0.1:9/v1",
        api_key=KEY,
        http_client=httpx2.AsyncClient(transport=Gated()),
    )
    with pytest.warns(RowsFailedWarning):
        (message,) = ask(client, 1).llm.errors()["message"]
    assert "locks of another event loop" in message
    assert "transport (Gated)" in message
    assert message.endswith("a client of its own, which nothing else uses.")


def test_a_session_of_aiohttp_with_settings_of_its_own_is_refused_with_the_way_on():
    import aiohttp

    async def main():
        async with aiohttp.ClientSession(headers={"X-Team": "lions"}) as session:
            http = openai.DefaultAioHttpClient()
            http._transport.client = session
            client = openai.AsyncOpenAI(api_key=KEY, http_client=http)
            with pytest.raises(ModelError, match="a function that makes the session"):
                lp.Model("openai/m", client=client).connect()

    asyncio.run(main())


# --- azure --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "path"),
    [
        ("", "/openai/deployments/dep%20a/chat/completions?api-version=2024-10-21"),
        ("/openai/", "/openai/deployments/dep%20a/chat/completions?api-version=2024-10-21"),
        ("/openai/v1/", "/openai/v1/chat/completions"),
        (
            "/openai/deployments/other/chat/completions",
            "/openai/deployments/other/chat/completions?api-version=2024-10-21",
        ),
    ],
)
def test_azure_is_reached_at_each_of_its_addresses(after, path):
    with Server(answer="fine", key=KEY) as server:
        base = server.base_url.removesuffix("/v1") + after
        ask(lp.Model("azure", "dep a", base_url=base, api_key=KEY, max_tokens=9), 1)
        (sent,) = server.requests
    assert sent.path == path
    assert sent.headers["api-key"] == KEY
    assert "authorization" not in sent.headers
    assert sent.body["max_completion_tokens"] == 9
    assert "max_tokens" not in sent.body
    assert ("prompt_cache_key" in sent.body) == (after == "/openai/v1/")  # older ones refuse it


@pytest.mark.parametrize("kind", [openai.AsyncAzureOpenAI, openai.AzureOpenAI])
def test_a_client_for_azure_at_the_newer_address_asks_at_the_path_that_is_there(kind):
    with Server(answer="fine", key=KEY) as server:
        base = urlsplit(server.base_url)._replace(path="/openai/v1/").geturl()
        client = kind(base_url=base, api_key=KEY, api_version="preview")
        ask(lp.Model("openai", "dep", client=client, max_tokens=9), 1)
        (sent,) = server.requests
    assert sent.path == "/openai/v1/chat/completions?api-version=preview"
    assert sent.body["max_completion_tokens"] == 9


QUERIES = {
    "a list": ({"t": ["1", "2"]}, "t[]=1&t[]=2"),
    "a record": ({"f": {"a": "1"}}, "f[a]=1"),
    "yes": ({"t": True}, "t=true"),
    "text": ({"t": "1"}, "t=1"),
}


@pytest.mark.parametrize("way", QUERIES)
def test_parameters_of_the_address_are_written_as_the_client_itself_writes_them(way):
    query, written = QUERIES[way]
    with Server() as server:
        at = {"base_url": server.base_url, "api_key": server.key}
        client = openai.AsyncOpenAI(default_query=query, **at)
        model = lp.Model("openai/m", client=client)
        pd.DataFrame({"t": ["1"]}).llm.process("{t}", into="a", model=model, progress=False)
        (request,) = server.requests
    assert f"?{written} HTTP" in unquote(request.raw_head.split(b"\r\n")[0].decode())


def test_a_client_whose_key_a_function_renews_keeps_its_limits_after_a_call_of_ones_own(server):
    async def key():
        return server.key

    client = openai.AsyncOpenAI(base_url=server.base_url, api_key=key)
    before = opened(lp.Model("openai/m", client=client)).endpoint

    async def call():
        await client.chat.completions.create(**CALL)
        await client.close()  # its connection is of this loop

    asyncio.run(call())
    assert client.api_key == server.key
    assert opened(lp.Model("openai/m", client=client)).endpoint is before
    other = openai.AsyncOpenAI(base_url=server.base_url, api_key="another account")
    assert opened(lp.Model("openai/m", client=other)).endpoint is not before


@pytest.mark.parametrize("kind", [openai.AsyncOpenAI, openai.OpenAI])
@pytest.mark.parametrize("how", [{"api_key": ""}, {"default_headers": {"api-key": "of a gateway"}}])
def test_a_client_without_a_key_does_not_send_that_of_the_organizations_admin(
    monkeypatch, kind, how
):
    """openai's chat does not either; to a gateway it would be a stranger's."""
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin-0123456789abcdef0123456789")
    with Server(key=None) as server, warnings.catch_warnings():
        warnings.simplefilter("ignore", RowsFailedWarning)
        client = kind(base_url=server.base_url, **how)
        with contextlib.suppress(LionprocError, openai.OpenAIError):
            ask(client, rows=2)
        ask(kind(base_url=server.base_url, api_key=KEY), rows=1)
        sent = [seen.headers for seen in server.requests]
    assert sent
    assert not [each for each in sent if "sk-admin" in str(each)]
