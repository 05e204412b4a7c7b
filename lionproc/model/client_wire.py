"""The wire through a client of the user's own. Importing this imports openai."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import orjson

from lionproc.engine.loop import cancellations
from lionproc.engine.turn import turn_of
from lionproc.errors import CallError, Kind, pass_on_interrupt
from lionproc.model.client_logs import without_parameters
from lionproc.model.credentials import Secret, hidden, place_of
from lionproc.model.environment import proxy_for
from lionproc.model.identity import sent_headers
from lionproc.model.patience import OutOfTimeError, Patience
from lionproc.model.sent_secrets import secrets_in, secrets_of_proxy
from lionproc.model.twin import module_of, twin_of
from lionproc.model.wire import PATH, Response, broken, timed_out, way_to

RENEWED = 32  # secrets of the latest requests that are taken out of what comes back
_OTHER_LOOP = re.compile(r"different (?:event )?loop|Event loop is closed")


class ClientWire:
    """Through a client of the user's own, over connections of ours.

    Args:
        client: An openai client, for Azure or not, async or not. It stays as it is.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.

    Raises:
        ModelError: Its transport is one that cannot be copied.
    """

    def __init__(self, client: openai.AsyncOpenAI | openai.OpenAI, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._patience = Patience(timeout_s)
        self._client = client
        self._twin: openai.AsyncOpenAI | None = twin_of(client)
        url = str(client.base_url)
        proxy = proxy_for(url)
        self._way = way_to(url, proxy)
        of_proxies = (*secrets_of_proxy(proxy), *_of_own_proxies(client))
        self.secrets = Secret((*secrets_in(sent_headers(client), url), *of_proxies))
        self._renewed: Secret[tuple[str, ...]] = Secret(())
        # Azure's client builds the path from the model in the body, so it wants the parsed one;
        # at Azure's newer address the path is the one that everybody has.
        azure = isinstance(client, (openai.AsyncAzureOpenAI, openai.AzureOpenAI))
        self._parsed = azure and not client.base_url.path.rstrip("/").endswith("/v1")

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        if self._twin is None:
            self._twin = twin_of(self._client)
        turn_of(asyncio.get_running_loop()).noted()
        cancelled = cancellations()
        try:
            with self._patience.attempt(), without_parameters():
                reply = await self._reply(self._twin, body)
            self._remember(reply.request)
            status, headers, came = reply.status_code, reply.headers, reply.content
        except (OutOfTimeError, openai.APITimeoutError):
            raise timed_out(self.timeout_s) from None
        except TimeoutError as error:
            raise _fault(error, self._client, Kind.TIMEOUT) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            arrived = not isinstance(cause, httpx2.ConnectError)
            raise broken(cause, self._way, arrived=arrived) from None
        except CallError as error:
            raise error.with_traceback(None) from None
        except (openai.OpenAIError, OSError) as error:
            raise broken(error, self._way) from None
        except BaseException as error:
            if isinstance(error, GeneratorExit) or cancellations() > cancelled:
                raise
            pass_on_interrupt(error)
            raise _fault(error, self._client) from None
        clean = hidden(status, came, (*self._renewed.reveal(), *self.secrets.reveal()))
        return Response(status, headers, clean)

    def _remember(self, request: Any) -> None:
        """Keys that are renewed are known only here; an error may still speak of those before."""
        now = Secret(secrets_in(request.headers, str(request.url)))
        self._renewed = Secret(
            tuple(dict.fromkeys((*now.reveal(), *self._renewed.reveal())))[:RENEWED]
        )

    async def _reply(self, client: openai.AsyncOpenAI, body: bytes) -> Any:
        """The reply, whatever status it has: a hook may raise for that too, as httpx shows it."""
        try:
            return await self._sent(client, body)
        except (openai.APIStatusError, module_of(client._client).HTTPStatusError) as error:
            if error.response.is_success:
                raise
            return error.response

    async def _sent(self, client: openai.AsyncOpenAI, body: bytes) -> Any:
        """The reply; openai 3.0 says of all that is raised on the way that the connection broke."""
        try:
            return await self._send(client, body)
        except openai.APIConnectionError as error:
            cause = error.__cause__
            if cause is None or isinstance(cause, module_of(client._client).RequestError):
                raise
            raise cause from None

    async def _send(self, client: openai.AsyncOpenAI, body: bytes) -> Any:
        # As openai's own chat has it: else a client without a key sends that of the organization's admin.
        options: Any = {"follow_redirects": False, "security": {"bearer_auth": True}}
        if self._parsed:
            return await client.post(
                PATH, cast_to=httpx2.Response, body=orjson.loads(body), options=options
            )
        options["headers"] = {"Content-Type": "application/json"}
        return await client.post(PATH, cast_to=httpx2.Response, content=body, options=options)

    async def close(self) -> None:
        """See `Wire.close`."""
        twin, self._twin = self._twin, None
        self._patience.close()
        if twin is not None:
            with contextlib.suppress(Exception):  # of the user's own code, when all is done
                await twin.close()


def _fault(
    error: BaseException,
    client: openai.AsyncOpenAI | openai.OpenAI,
    kind: Kind = Kind.UNEXPECTED,
) -> CallError:
    """The error of a row on which code of the user's raised. Its words may show anything."""
    what, way_on = f"raised {type(error).__name__} ({place_of(error)})", ""
    if isinstance(error, RuntimeError) and _OTHER_LOOP.search(str(error)):
        what = "holds connections or locks of another event loop, where no copy gets at them"
        way_on = " Or give lp.Model(client=...) a client of its own, which nothing else uses."
    transport = type(client._client._transport).__name__
    return CallError(
        kind,
        f"The http_client of client= {what}: look at its hooks, its auth and its transport "
        f"({transport}).{way_on}",
        hint="",
    )


def _of_own_proxies(client: openai.AsyncOpenAI | openai.OpenAI) -> Iterator[str]:
    """What the proxies are sent that a client was given, and not the environment."""
    http = client._client
    for transport in (http._transport, *http._mounts.values()):
        headers = getattr(getattr(transport, "_pool", None), "_proxy_headers", ())
        for name, value in headers:
            yield from secrets_in({name.decode("latin-1"): value.decode("latin-1")})
