"""openai clients that lionproc makes itself, with nothing in them that is meant for others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lionproc.errors import MissingDependencyError, ModelError
from lionproc.model.address import checked_key, checked_url
from lionproc.model.providers import Provider

if TYPE_CHECKING:
    import openai

__all__ = ["azure_client", "is_plain", "own_client"]


def own_client(
    provider: Provider, base_url: str | None, api_key: str | None, *, allow_http: bool
) -> openai.AsyncOpenAI:
    """A client for a provider, or for another address that speaks like it.

    Args:
        provider: Whose address and key variable count where none is given.
        base_url: Another address; nothing of the environment is sent there.
        api_key: The key, None for the environment's.
        allow_http: Whether OPENAI_BASE_URL may be unencrypted.

    Raises:
        ModelError: There is no key, or the environment holds something that cannot be.
    """
    import openai

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
    with _environment_named():
        if at_openai:
            return openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0)
        headers = _not_openai(authorization=f"Bearer {key}")
        client = openai.AsyncOpenAI(
            base_url=url, api_key=key, max_retries=0, default_headers=headers
        )
    # What the environment says of an account at OpenAI is for OpenAI alone.
    client.organization = client.project = None
    return client


def azure_client(api_key: str | None, base_url: str | None) -> openai.AsyncOpenAI:
    """A client for Azure; the environment's key goes to the environment's endpoint alone.

    Args:
        api_key: The key, None for AZURE_OPENAI_API_KEY.
        base_url: The endpoint, None for AZURE_OPENAI_ENDPOINT.

    Raises:
        ModelError: One of them is missing.
    """
    import openai

    named = os.environ.get("AZURE_OPENAI_ENDPOINT", "").strip()
    endpoint = base_url or named
    key = api_key or ""
    if not key and endpoint.rstrip("/") == named.rstrip("/"):  # the key of no other address
        key = checked_key(os.environ.get("AZURE_OPENAI_API_KEY", ""), "AZURE_OPENAI_API_KEY")
    version = os.environ.get("OPENAI_API_VERSION", "2024-10-21")
    if not endpoint or not key:
        raise ModelError(
            "Azure needs its endpoint and key: set AZURE_OPENAI_ENDPOINT and "
            "AZURE_OPENAI_API_KEY, or give Model('azure', ..., client=AsyncAzureOpenAI(...))."
        )
    with _environment_named():
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint,
            api_key=key,
            api_version=version,
            max_retries=0,
            default_headers=_not_openai(api_key=key),
        )
    client.organization = client.project = None
    return client


def is_plain(client: Any) -> bool:
    """True for a client that only carries an address, headers and a key."""
    import openai

    return (
        type(client) is openai.AsyncOpenAI
        and isinstance(client.api_key, str)
        and bool(client.api_key)  # empty where a function renews it
        and getattr(client, "workload_identity", None) is None
        and client.custom_auth is None
        and type(getattr(client, "_client", None)).__name__ == "AsyncHttpxClientWrapper"
    )


def _not_openai(**own: str) -> dict[str, Any]:
    """Takes back the headers that OPENAI_CUSTOM_HEADERS would add, for other servers.

    Args:
        **own: Headers that are the server's own, in lower case and with `_` for `-`.
    """
    import openai

    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").splitlines()
    names = [line.partition(":")[0].strip() for line in lines if ":" in line]
    return {name: own.get(name.lower().replace("-", "_"), openai.Omit()) for name in names}


@contextlib.contextmanager
def _environment_named() -> Iterator[None]:
    """The client reads the environment; what cannot be used in it is named."""
    try:
        yield
    except ImportError as error:
        if "socks" not in str(error).lower():
            raise
        raise MissingDependencyError(
            "The environment names a SOCKS proxy (ALL_PROXY or the like), which needs one more "
            'package. Run: pip install "httpx2[socks]"'
        ) from None
    except ValueError:
        raise ModelError(
            "The environment names a proxy (HTTP_PROXY, HTTPS_PROXY or ALL_PROXY) with an address "
            "that cannot be. It is such as http://proxy.example:3128."
        ) from None
    except OSError as error:
        raise ModelError(
            "The trusted certificates cannot be read "
            f"({error.strerror or type(error).__name__}): check what SSL_CERT_FILE and "
            "SSL_CERT_DIR name."
        ) from None
