"""A copy of the user's own client, with connections of ours.

Connections belong to the event loop they were opened in, and the engine has a loop of its own.
So nothing of the user's client is ever used there: its settings are copied, and the pools within
are made anew, whatever loop it was used in before. Afterwards it works where it worked before.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import sys
from collections import deque
from collections.abc import Callable
from functools import cache
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

import httpx2
import openai

from lionproc.engine.blocking_work import in_own_thread
from lionproc.errors import CallError, Kind, ModelError
from lionproc.model.bounded_pool import IS_BOUNDED, Body, keep_bounded
from lionproc.model.content_type import plain_type
from lionproc.model.held_pools import is_pool, is_session, pools_in
from lionproc.model.own_code import HTTP_CLIENT, within_proxies
from lionproc.model.quiet_pool import keep_quiet
from lionproc.model.reading import ACCEPT_ENCODING

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["module_of", "twin_of"]

_CORES = ("httpcore", "httpcore2")
_LOCKS = (asyncio.Lock, asyncio.Event, asyncio.Condition)
_ASYNC: dict[type, type[openai.AsyncOpenAI]] = {
    openai.OpenAI: openai.AsyncOpenAI,
    openai.AzureOpenAI: openai.AsyncAzureOpenAI,
}


def twin_of(client: openai.AsyncOpenAI | openai.OpenAI) -> openai.AsyncOpenAI:
    """A client with the settings of another, and nothing of it that holds a connection.

    Args:
        client: The user's own, async or not.

    Raises:
        ModelError: It has a transport that cannot be copied.
    """
    http = _http_twin(client._client)
    made: Any
    if getattr(client, "_workload_identity_auth", None) is not None:
        if isinstance(client, openai.OpenAI):
            raise ModelError(
                "A client with workload_identity= has to be the async one here: give "
                "client=openai.AsyncOpenAI(workload_identity=...)."
            )
        made = client.copy(http_client=http)  # its tokens are fetched over the new one, too
        made.organization, made.project = client.organization, client.project
    else:
        # Not made anew from its arguments: that would read the environment once more.
        made = _like(client, _async_kind(client))
        made._client = http
    made.max_retries, made.timeout = 0, None  # the wire bounds the whole attempt
    made._make_status_error_from_response = _unread
    for name in ("_api_key_provider", "_azure_ad_token_provider"):
        function = getattr(made, name, None)
        if function is not None:
            setattr(made, name, _renewing(function))
    return cast("openai.AsyncOpenAI", made)


def _unread(response: httpx2.Response) -> openai.APIStatusError:
    """The error of a status without its words, which openai would read whatever they are."""
    return openai.APIStatusError(f"HTTP {response.status_code}", response=response, body=None)


def _async_kind(client: openai.AsyncOpenAI | openai.OpenAI) -> type[openai.AsyncOpenAI]:
    """The class of the async client of the same settings."""
    if isinstance(client, openai.AsyncOpenAI):
        return type(client)
    kind = _ASYNC.get(type(client))
    if kind is None:
        raise ModelError(
            f"client= is a {type(client).__name__}, which works in threads only. Give the async "
            "client of the same kind."
        )
    return kind


def _like(thing: Any, kind: Any) -> Any:
    """Another object with the same settings, whatever its class does where it is made or copied."""
    made = object.__new__(kind)
    state = object.__getstate__(thing)
    fields, slots = state if isinstance(state, tuple) else (state, {})
    vars(made).update(fields)
    for name, value in slots.items():
        object.__setattr__(made, name, value)
    return made


def _renewing(function: Callable[[], Any]) -> Callable[[], Any]:
    """A function that renews a key, off the engine's loop, and with a word if it fails."""

    async def renewed() -> Any:
        try:
            if inspect.iscoroutinefunction(function):
                return await function()
            key = await in_own_thread(function)
            return await key if inspect.isawaitable(key) else key
        except Exception as error:  # noqa: BLE001  (the user's own code may raise anything)
            raise CallError(
                Kind.SERVER_ERROR,  # a service too, which may be back in a moment
                f"The function that renews the key failed ({type(error).__name__}).",
            ) from None

    return renewed


def _http_twin(http: Any, outer: _Fresh | None = None) -> Any:
    """A copy of a client of httpx.

    Args:
        http: The client.
        outer: What copies the transport that it is a part of.
    """
    http = within_proxies(HTTP_CLIENT, http)
    module = module_of(http)
    if issubclass(type(http), module.AsyncClient):
        made = _like(http, type(http))
        made._event_hooks = {name: list(hooks) for name, hooks in http._event_hooks.items()}
    elif _library(http) in {"httpx", "httpx2", "openai"}:
        made = module.AsyncClient(
            auth=http.auth,
            params=http.params,
            timeout=http.timeout,
            base_url=http.base_url,
            trust_env=False,  # its proxies are copied below
            event_hooks={
                name: [_awaited(hook) for hook in hooks] for name, hooks in http.event_hooks.items()
            },
            transport=module.MockTransport(print),  # its place is taken below
        )
    else:
        raise _uncopied(http)
    if made._event_hooks["response"]:  # what they say of a reply is then said of a whole one
        made._event_hooks["response"].insert(0, _read)
    made._headers = http.headers.copy()
    made._headers["Accept-Encoding"] = ACCEPT_ENCODING
    made._cookies = _given_cookies(module)(http.cookies)
    fresh = outer or _Fresh(module)
    fresh.made[id(http)] = made
    made._transport = _bounded_transport(module)(fresh.of(http._transport))
    made._mounts = {
        pattern: transport and _bounded_transport(module)(fresh.of(transport))
        for pattern, transport in http._mounts.items()
    }
    if outer is None:
        _refuse_what_is_held(http, made)
    made._state = type(http._state).UNOPENED
    return made


def _refuse_what_is_held(http: Any, made: Any) -> None:
    """A pool that is in the copy too is one that no copy got at."""
    ours = pools_in([made._transport, *made._mounts.values()]).keys()
    for transport in (http._transport, *http._mounts.values()):
        if ours & pools_in(transport).keys():
            raise ModelError(
                f"The http_client of client= has a {type(transport).__name__} that keeps "
                "connections where they cannot be copied for lionproc's own event loop, as in a "
                "function or an iterator. Keep its inner transports in attributes, lists, tuples "
                "or dicts, or give base_url= and api_key= instead of client=."
            )


def module_of(http: Any) -> ModuleType:
    """httpx2, or the older httpx if the client is one of that.

    Args:
        http: The client of it that is within an openai client.
    """
    if isinstance(http, (httpx2.AsyncClient, httpx2.Client)):
        return httpx2
    return sys.modules["httpx"]


def _library(thing: object) -> str:
    return type(thing).__module__.partition(".")[0]


def _awaited(hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
    async def call(message: Any) -> None:
        hook(message)

    return call


async def _read(reply: Any) -> None:
    await reply.aread()


@cache
def _given_cookies(module: ModuleType) -> Any:
    """Cookies that are the user's, and stay so.

    A row is asked alone: what a server sets with one reply would make the next rows another
    session, and their requests longer and longer.
    """

    class Given(module.Cookies):  # type: ignore[misc,name-defined]
        def extract_cookies(self, response: object) -> None:
            """Take none."""

    return Given


@cache
def _bounded_transport(module: ModuleType) -> Any:
    """The transport around all others: it decompresses, and reads no more than a reply can be."""

    class Stream(Body, module.AsyncByteStream):  # type: ignore[misc,name-defined]
        pass

    class Transport(module.AsyncBaseTransport):  # type: ignore[misc,name-defined]
        def __init__(self, inner: Any) -> None:
            self._inner = inner

        async def handle_async_request(self, request: Any) -> object:
            response = await self._inner.handle_async_request(request)
            if IS_BOUNDED not in response.extensions:
                encoding = response.headers.pop("Content-Encoding", "")
                response.stream = Stream(response.stream, encoding, response.status_code)
                response.headers.pop("Content-Length", None)
                if "Content-Type" in response.headers:
                    response.headers["Content-Type"] = plain_type(response.headers["Content-Type"])
            return response

        async def aclose(self) -> None:
            await self._inner.aclose()

    return Transport


class _Fresh:
    """Copies of transports without their connections.

    Args:
        module: httpx2 or httpx.

    Attributes:
        made: What is copied already, by the id of the original.
    """

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self.made: dict[int, Any] = {}

    def of(self, thing: Any) -> Any:
        """A copy of a part of a transport, as deep as there are pools in it."""
        if id(thing) not in self.made:
            self.made[id(thing)] = self._new(thing)
        return self.made[id(thing)]

    def _new(self, thing: Any) -> object:
        module, kind = self._module, type(thing)
        if isinstance(thing, (dict, list, deque)):
            made = self.made[id(thing)] = copy.copy(thing)
            for at, value in list(made.items() if isinstance(made, dict) else enumerate(made)):
                made[at] = self.of(value)
            return made
        if isinstance(thing, _LOCKS):
            return kind()
        if isinstance(thing, asyncio.Semaphore):
            return kind(thing._value)
        if is_pool(thing) or (_library(thing) in _CORES and hasattr(thing, "_requests")):
            return _fresh_pool(thing)
        if is_session(thing):
            _refuse_settings_of(thing)
            return None  # the transport makes another like it
        if isinstance(thing, (module.AsyncClient, module.Client)):
            return _http_twin(thing, self)
        return self._transport(thing)

    def _transport(self, thing: Any) -> Any:
        module = self._module
        if type(thing) is module.HTTPTransport:
            made = object.__new__(module.AsyncHTTPTransport)
            made._pool = self.of(thing._pool)
            return made
        if isinstance(thing, module.AsyncBaseTransport):
            return self._copied(thing)
        if isinstance(thing, module.BaseTransport):
            raise _uncopied(thing)
        return self._holder(thing) if pools_in(thing) else thing  # a setting

    def _holder(self, thing: Any) -> object:
        """A copy of something else that holds pools; as it is, if it cannot be copied."""
        if isinstance(thing, tuple):
            values = map(self.of, thing)
            return thing._make(values) if hasattr(thing, "_make") else tuple(values)
        if isinstance(thing, MethodType):
            return MethodType(thing.__func__, self.of(thing.__self__))
        is_object = hasattr(thing, "__dict__") and not isinstance(thing, FunctionType)
        return self._copied(thing) if is_object else thing

    def _copied(self, transport: Any) -> object:
        try:
            made = copy.copy(transport)
            inner = vars(made)
        except Exception:  # noqa: BLE001  (the user's own class may refuse in any way)
            raise _uncopied(transport) from None
        if made is transport:
            raise _uncopied(transport)
        self.made[id(transport)] = made
        for name, value in list(inner.items()):
            inner[name] = self.of(value)
        if callable(getattr(made, "get_client", None)):
            _keep_sessions_quiet(made)
        return made


def _fresh_pool(pool: Any) -> object:
    """A pool of httpcore with the same settings and no connections, for async use."""
    if _library(pool) not in _CORES:  # a class of the user's own
        raise _uncopied(pool)
    library = sys.modules[_library(pool)]
    name = type(pool).__name__
    kind = getattr(library, name if name.startswith("Async") else f"Async{name}", None)
    if kind is None:
        raise _uncopied(pool)
    made = _like(pool, kind)
    # A reply that is given up would fill the window of a connection that HTTP/2 shares with others.
    if made._http2 and not made._http1:
        raise ModelError(
            "The http_client of client= speaks HTTP/2 alone (http1=False), where one reply that is "
            "given up holds up all others of its connection. Leave http1=False out: lionproc asks "
            "over HTTP/1.1."
        )
    made._http2 = False
    like = library.AsyncConnectionPool()
    made._connections, made._requests = [], []
    made._optional_thread_lock = like._optional_thread_lock
    if kind is not type(pool):
        made._network_backend = like._network_backend
    keep_quiet(made)
    keep_bounded(made)
    return made


def _keep_sessions_quiet(transport: Any) -> None:
    """Have the sessions of aiohttp that a transport makes use no connection that has spoken."""
    make = transport.get_client

    def get_client() -> Any:
        from aiohttp import TCPConnector

        from lionproc.model.connector import QuietConnector

        session = make()
        connector = getattr(session, "connector", None)
        if type(connector) is TCPConnector:
            connector.__class__ = QuietConnector  # it has the same fields
        return session

    transport.get_client = get_client


def _refuse_settings_of(session: ClientSession) -> None:
    """A session belongs to its loop, so only one that can be made again will do."""
    if session.headers or session.auth is not None or session.trust_env:
        raise ModelError(
            "The http_client of client= has an aiohttp session with settings of its own, which "
            "belongs to the loop it was made in. Give the transport a function that makes the "
            "session: AiohttpTransport(client=lambda: aiohttp.ClientSession(...))."
        )


def _uncopied(thing: Any) -> ModelError:
    return ModelError(
        f"The http_client of client= has a {type(thing).__name__}, which cannot be copied for "
        "lionproc's own event loop. Give an async client with a transport of httpx, or "
        "base_url= and api_key= instead of client=."
    )
