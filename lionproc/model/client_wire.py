"""The wire through the user's own openai client. Importing this imports openai."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import openai
import orjson

from lionproc.model.credentials import REDACTED, secrets_in
from lionproc.model.environment import proxy_for
from lionproc.model.wire import (
    MAX_REPLY_BYTES,
    PATH,
    Response,
    broken,
    timed_out,
    too_long,
    way_to,
)


class ClientWire:
    """Through the user's own openai client.

    Args:
        client: An `openai.AsyncOpenAI` or `openai.AsyncAzureOpenAI`.
        timeout_s: Seconds for one attempt, from its start to the last byte of the reply.
        owned: Whether the client is closed with the wire; a user's own stays open.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, timeout_s: float, *, owned: bool = False
    ) -> None:
        self.timeout_s = timeout_s
        self._owned = owned
        self._client = client.with_options(max_retries=0, timeout=timeout_s)
        # The copy asks the environment again for what the client itself was made without.
        self._client.organization, self._client.project = client.organization, client.project
        url = str(client.base_url)
        self._way = way_to(url, proxy_for(url))
        # Azure's client builds the path from the model in the body, so it wants the parsed one.
        self._parsed = isinstance(client, openai.AsyncAzureOpenAI)

    async def post(self, body: bytes) -> Response:
        """See `Wire.post`."""
        try:
            async with asyncio.timeout(self.timeout_s):
                reply = await self._send(body)
        except (TimeoutError, openai.APITimeoutError):
            raise timed_out(self.timeout_s) from None
        except openai.APIStatusError as error:
            reply = error.response
        except openai.APIConnectionError as error:
            raise broken(error.__cause__ or error, self._way) from None
        except (openai.OpenAIError, OSError, ValueError) as error:
            raise broken(error, self._way) from None
        try:
            content = reply.content
        except Exception:  # noqa: BLE001  (the error's body was not read, and is not needed)
            content = b""
        if len(content) > MAX_REPLY_BYTES:
            raise too_long()
        # Keys that are renewed are known only here.
        for secret in secrets_in(reply.request.headers):
            content = content.replace(secret, REDACTED)
        return Response(reply.status_code, reply.headers, content)

    async def _send(self, body: bytes) -> Any:
        options: Any = {"follow_redirects": False}
        if self._parsed:
            return await self._client.post(
                PATH, cast_to=httpx2.Response, body=orjson.loads(body), options=options
            )
        options["headers"] = {"Content-Type": "application/json"}
        return await self._client.post(PATH, cast_to=httpx2.Response, content=body, options=options)

    async def close(self) -> None:
        """See `Wire.close`."""
        if self._owned:
            await self._client.close()
