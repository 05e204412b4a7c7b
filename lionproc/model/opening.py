"""From a `Model` to a connection: which address, which wire, whose key, which identity."""

from __future__ import annotations

import hashlib
import os
import warnings
import weakref
from typing import TYPE_CHECKING

from lionproc.errors import LionprocWarning, ModelError
from lionproc.model.address import checked_url, with_query
from lionproc.model.clients import azure_client, is_azure, is_plain, own_client
from lionproc.model.connection import Connection, EndpointState, endpoint_state
from lionproc.model.credentials import sealed
from lionproc.model.identity import (
    former_identity_of,
    identity_of,
    sent_headers,
    set_by_servers,
    with_scope,
)
from lionproc.model.own_code import CLIENT, within_proxies
from lionproc.model.plain_client import PlainClient
from lionproc.model.prices import price_of
from lionproc.model.providers import PROVIDERS, Provider

if TYPE_CHECKING:
    import openai

    from lionproc.model.model_settings import ModelSettings
    from lionproc.model.wire import Wire

__all__ = ["destination_of", "endpoint_of", "opened"]

_CREDENTIALS = ("authorization", "api-key", "x-api-key")
_LINE_BREAKS = frozenset("\r\n\0")
_VARIABLES = (
    *("OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY"),
)  # what decides, beside the provider's key, where a request goes and for whom


@sealed
def opened(model: ModelSettings) -> Connection:
    """Open a way to a model.

    Args:
        model: The model.

    Raises:
        ModelError: No key, a client that cannot be used, or the embedded model did not start.
        MissingDependencyError: The embedded model is not installed.
    """
    if model.provider == "local":
        return model.body_secrets.through(_local(model))
    key = None if model._api_key is None else model._api_key.reveal()
    made = _through(model, _own(model, key) if model.client is None else model.client)
    return model.body_secrets.through(made)


def destination_of(model: ModelSettings) -> str:
    """Where this process would send a model's requests, and for which account; not with which key.

    Args:
        model: A model without `client=`.

    Returns:
        The address with its parameters, and a digest of what else the environment says of it
        (`OPENAI_ORG_ID`, headers). The embedded model is wherever it is asked: its name alone.

    Raises:
        ModelError: The environment names no address, or one that cannot be.
        MissingDependencyError: What its proxy needs is not installed.
    """
    if model.provider == "local":
        return model.provider
    client = _own(model, "none")  # it may be that only the workers of a cluster have a key
    base = checked_url(str(client.base_url), allow_http=model.allow_http)
    return identity_of(with_query(base, client.default_query), client, model.scope)


def _own(model: ModelSettings, key: str | None) -> openai.AsyncOpenAI | PlainClient:
    if model.provider == "azure":
        return azure_client(key, model.base_url, str(model.model))
    return own_client(model.settings, model.base_url, key, allow_http=model.allow_http)


def endpoint_of(model: ModelSettings) -> EndpointState:
    """What is shared for the model's endpoint and key, without opening a way there each time.

    A client is made to find out which endpoint that is, which takes 20 to 100 ms.

    Args:
        model: The model.

    Raises:
        ModelError: As for `opened`.
        MissingDependencyError: As for `opened`.
    """
    if model.client is not None or model.provider == "local":  # they may go elsewhere by now
        return opened(model).endpoint
    names = (*_VARIABLES, model.settings.key_variable or "")
    now = hash((os.getpid(), *(os.environ.get(name) for name in names)))
    then, endpoint = _endpoints.get(model, (None, None))
    if endpoint is None or then != now:
        endpoint = opened(model).endpoint
        _endpoints[model] = (now, endpoint)
    return endpoint


_endpoints: weakref.WeakKeyDictionary[ModelSettings, tuple[int, EndpointState]] = (
    weakref.WeakKeyDictionary()
)


def _through(
    model: ModelSettings, client: openai.AsyncOpenAI | openai.OpenAI | PlainClient
) -> Connection:
    from lionproc.model.direct_wire import DirectWire
    from lionproc.model.environment import proxy_for
    from lionproc.model.wire import PATH

    if not isinstance(client, PlainClient):
        import openai

        client = within_proxies(CLIENT, client)
        if not issubclass(type(client), (openai.AsyncOpenAI, openai.OpenAI)):
            raise ModelError(
                "client= takes an openai client (openai.AsyncOpenAI, openai.AsyncAzureOpenAI), "
                f"not {type(client).__name__}."
            )
    base = checked_url(str(client.base_url), allow_http=model.allow_http)
    headers = sent_headers(client)
    for name, value in headers.items():
        if not _LINE_BREAKS.isdisjoint(name + value):
            raise ModelError(
                f"The header {name[:60]!r} of client= has a line break in it, and no header can: "
                "what follows would be another one. Take it out."
            )
        if any("\ud800" <= letter <= "\udfff" for letter in name + value):
            raise ModelError(
                f"The header {name[:60]!r} of client= has half a character in it, as where a "
                "variable of the environment is no UTF-8, and cannot be sent. Give it anew, whole."
            )
    wire: Wire
    plain = model.client is None or is_plain(client)
    if isinstance(client, PlainClient) or (
        plain and not (proxy_for(base) or "").startswith("socks")
    ):
        headers["User-Agent"] = "lionproc"
        url = with_query(base + PATH, client.default_query)
        wire = DirectWire(url, headers, model.timeout)
    else:
        from lionproc.model.client_wire import ClientWire

        wire = ClientWire(client, model.timeout)
    settings = PROVIDERS["azure"] if is_azure(client) else model.settings
    official = settings.name == "azure" or base == settings.base_url
    keys = "\n".join(
        value
        for name, value in headers.items()
        if name.lower() in _CREDENTIALS
        and not (name.lower() == "authorization" and _renews(client))
    )
    identity = identity_of(base, client, model.scope)
    if model.scope is None and (cookies := sorted(set_by_servers(client))):
        warnings.warn(
            f"A server put the cookie {cookies[0][:40]!r} into the http_client of client=. It may "
            "say for whom is answered, so answers are kept for this cookie alone, and asked anew "
            'with the next one. Name the account, lp.Model(..., scope="tenant a"), and what servers '
            "put there does not count.",
            LionprocWarning,
            stacklevel=2,
        )

    def is_as_it_was() -> bool:
        base = checked_url(str(client.base_url), allow_http=model.allow_http)
        return identity_of(base, client, model.scope) == identity

    shared = endpoint_state(
        base, hashlib.sha256(keys.encode()).hexdigest(), str(model.model), identity=identity
    )
    if base == settings.base_url and not settings.developer_role:
        shared.fitting.know_no_role("developer", "system")
    return Connection(
        identity=identity,
        former_identity=former_identity_of(base, client, model.scope),
        model=str(model.model),
        provider=settings,
        structured=model.structured or settings.structured,
        max_tokens_name=settings.max_tokens_name if official else "max_tokens",
        wire=wire,
        endpoint=shared,
        executor=model.executor,
        price=price_of(
            str(model.model), settings, model.price, model.service_tier or "", official=official
        ),
        takes_cache_key=settings.takes_cache_key and _is_newest(settings, base),
        endings=frozenset((*settings.endings, *model.endings)),
        is_as_it_was=is_as_it_was,
    )


def _renews(client: object) -> bool:
    """Whether a function gives its key, anew for each call: the account is not what it gave last."""
    return getattr(client, "_api_key_provider", None) is not None


def _is_newest(settings: Provider, base: str) -> bool:
    """Whether it is the provider's own address; of Azure the newer one, with all that OpenAI has."""
    if settings.name == "azure":
        return base.rstrip("/").endswith("/openai/v1")
    return base == settings.base_url


def _local(model: ModelSettings) -> Connection:
    from lionproc.model import local
    from lionproc.model.direct_wire import DirectWire
    from lionproc.model.wire import PATH

    endpoint = local.start(model.model)
    headers = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}
    # It is a child of this process: no proxy has any business between the two.
    wire = DirectWire(endpoint.base_url + PATH, headers, model.timeout, proxies=False)
    identity = with_scope(f"local {endpoint.identity}", model.scope)
    digest = hashlib.sha256(endpoint.key.encode()).hexdigest()
    connection = Connection(
        identity=identity,
        model=endpoint.model,
        provider=model.settings,
        structured=model.structured or model.settings.structured,
        max_tokens_name=model.settings.max_tokens_name,
        wire=wire,
        endpoint=endpoint_state(
            f"local {endpoint.identity}", digest, endpoint.model, concurrency=endpoint.slots
        ),
        executor=model.executor,
        price=price_of(endpoint.model, model.settings, model.price, "", official=True),
        endings=frozenset((*model.settings.endings, *model.endings)),
        top_logprobs=local.TOP_LOGPROBS,
    )
    if model.model is None:  # the small one; a file of one's own is taken for a better one
        connection.usual, connection.free_levels = local.USUAL, local.FREE_LEVELS
    return connection
