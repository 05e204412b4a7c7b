"""openai clients made by lionproc, without settings that are meant for other servers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from lionproc.errors import MissingDependencyError, ModelError
from lionproc.model.address import checked_key, checked_url
from lionproc.model.environment import NO_PROXY_ADDRESS, certificates, client_for
from lionproc.model.own_code import own_code_in
from lionproc.model.plain_client import PlainClient, adds_nothing, plain_client
from lionproc.model.providers import Provider
from lionproc.model.unwrapping import is_made_by_openai

if TYPE_CHECKING:
    import openai

__all__ = ["azure_client", "is_azure", "is_plain", "own_client"]

AZURE_VERSION = "2024-10-21"


def own_client(
    provider: Provider, base_url: str | None, api_key: str | None, *, allow_http: bool
) -> openai.AsyncOpenAI | PlainClient:
    """A client for a provider, or for another address that speaks like it.

    Args:
        provider: Whose address and key variable count where none is given.
        base_url: Another address; nothing of the environment is sent there.
        api_key: The key, None for the environment's.
        allow_http: Whether OPENAI_BASE_URL may be unencrypted.

    Raises:
        ModelError: There is no key, or the environment holds something that cannot be.
    """
    at_openai = provider.name == "openai" and base_url is None
    url: str | None = base_url or provider.base_url
    if at_openai:
        url = os.environ.get("OPENAI_BASE_URL", "").strip() or url
        url = checked_url(str(url), allow_http=allow_http)
    key = api_key
    if key is None and base_url is None and provider.key_variable:
        key = checked_key(os.environ.get(provider.key_variable, ""), provider.key_variable)
        if not key:
            raise ModelError(
                f"There is no key for {provider.name}: set the environment variable "
                f"{provider.key_variable}, or give Model(..., api_key=...). "
                'Without any key, model="local" runs a small model on this machine.'
            )
    key = key or "none"
    if at_openai and not adds_nothing():
        import openai

        with _environment_named(str(url)):
            return openai.AsyncOpenAI(
                base_url=url, api_key=key, max_retries=0, http_client=client_for(str(url))
            )
    return _bare(str(url), key, {"authorization": f"Bearer {key}"}, {})


def azure_client(
    api_key: str | None, base_url: str | None, deployment: str
) -> openai.AsyncOpenAI | PlainClient:
    """A client for Azure; the environment's key goes to the environment's endpoint alone.

    It is no `AsyncAzureOpenAI`: versions of that before 3.4 send AZURE_OPENAI_AD_TOKEN wherever
    they are pointed, whatever key they are given.

    Args:
        api_key: The key, None for AZURE_OPENAI_API_KEY.
        base_url: The endpoint, None for AZURE_OPENAI_ENDPOINT. It may go on with `/openai/v1`.
        deployment: The name that the model has there.

    Raises:
        ModelError: One of them is missing.
    """
    named = os.environ.get("AZURE_OPENAI_ENDPOINT", "").strip()
    endpoint = base_url or named
    of_environment = os.environ.get("AZURE_OPENAI_API_KEY", "").strip()
    key = api_key or ""
    if not key and urlsplit(endpoint)[:2] == urlsplit(named)[:2]:  # the key of no other address
        key = checked_key(of_environment, "AZURE_OPENAI_API_KEY")
    if endpoint and not key and of_environment:
        raise ModelError(
            "The key in AZURE_OPENAI_API_KEY goes to the address in AZURE_OPENAI_ENDPOINT alone, "
            f"{'and base_url= is another one' if named else 'which is not set'}: set it to the "
            "address of your resource, or give api_key=."
        )
    if not endpoint or not key:
        raise ModelError(
            "Azure needs its endpoint and key: set AZURE_OPENAI_ENDPOINT and "
            "AZURE_OPENAI_API_KEY, or give Model('azure', ..., base_url=..., api_key=...) or "
            "Model('azure', ..., client=AsyncAzureOpenAI(...))."
        )
    address, query = _azure_address(endpoint, deployment)
    return _bare(address, key, {"api-key": key}, query)


def _azure_address(endpoint: str, deployment: str) -> tuple[str, dict[str, str]]:
    """Where a deployment is asked, and with which parameters."""
    url = endpoint.rstrip("/")
    if url.endswith("/openai/v1"):  # the newer address, where everything is as at OpenAI
        return url, {}
    query = {"api-version": os.environ.get("OPENAI_API_VERSION", "").strip() or AZURE_VERSION}
    if "/openai/deployments/" in url:
        return url.removesuffix("/chat/completions"), query
    url = url.removesuffix("/openai")
    return f"{url}/openai/deployments/{quote(deployment, safe='')}", query


def _bare(
    url: str, key: str, own: dict[str, str], query: dict[str, str]
) -> openai.AsyncOpenAI | PlainClient:
    """A client that sends its key and nothing that the environment says.

    Args:
        url: Where to.
        key: The key.
        own: The header with the key, in lower case.
        query: Parameters of the address.
    """
    if adds_nothing():
        with _environment_named(url):
            certificates(url)  # now, so that a file that cannot be read is told at once
            return plain_client(url, key, own, query)
    import openai

    # What the environment adds (OPENAI_CUSTOM_HEADERS) is taken back by its own name.
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    names = {line.partition(":")[0].strip() for line in lines if ":" in line}
    headers: dict[str, Any] = dict.fromkeys(
        (name for name in names if name.lower() not in own), openai.Omit()
    )
    headers |= {name: own[name.lower()] for name in names if name.lower() in own}
    if "authorization" not in own:
        headers |= {"Authorization": openai.Omit(), **own}
    with _environment_named(url):
        client = openai.AsyncOpenAI(
            base_url=url,
            api_key=key,
            max_retries=0,
            default_headers=headers,
            default_query=query,
            http_client=client_for(url),
        )
    # What the environment says of an account at OpenAI is for OpenAI alone.
    client.organization = client.project = None
    return client


def is_azure(client: Any) -> bool:
    """True for a client made for Azure, or one that goes there."""
    host = client.base_url.host
    if host.endswith(
        (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
    ):
        return True
    if isinstance(client, PlainClient):
        return False
    import openai

    return isinstance(client, (openai.AsyncAzureOpenAI, openai.AzureOpenAI))


def is_plain(client: Any) -> bool:
    """True for a client of the user's that only carries an address, headers and a key."""
    import openai

    return (
        type(client) in {openai.AsyncOpenAI, openai.OpenAI}
        and isinstance(client.api_key, str)
        and bool(client.api_key)  # empty where a function renews it
        and getattr(client, "_api_key_provider", None) is None
        and getattr(client, "workload_identity", None) is None
        and client.custom_auth is None
        and all(type(value) in {str, int, float} for value in client.default_query.values())
        and is_made_by_openai(getattr(client, "_client", None))
        and not own_code_in(client)
    )


@contextlib.contextmanager
def _environment_named(url: str) -> Iterator[None]:
    """The client reads the environment; what cannot be used in it is named.

    Args:
        url: Where the client goes.
    """
    import httpx2

    try:
        httpx2.URL(url)
    except httpx2.InvalidURL:
        raise ModelError(
            "base_url= is no valid address. Give one such as https://host/v1."
        ) from None
    try:
        yield
    except ImportError as error:
        if "socks" not in str(error).lower():
            raise
        raise MissingDependencyError(
            "The environment names a SOCKS proxy (ALL_PROXY or the like), which needs one more "
            'package. Run: pip install "httpx2[socks]"'
        ) from None
    except (ValueError, httpx2.InvalidURL):  # whose words show what it holds
        raise ModelError(NO_PROXY_ADDRESS) from None
    except OSError as error:
        raise ModelError(
            "The trusted certificates cannot be read "
            f"({error.strerror or type(error).__name__}): check what SSL_CERT_FILE and "
            "SSL_CERT_DIR name."
        ) from None
