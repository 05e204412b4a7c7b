"""`Model`: which model answers, where it lives and how it is asked."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from lionproc.errors import ConfigurationError, ModelError
from lionproc.model.connection import Connection, gate
from lionproc.model.prices import price_of
from lionproc.model.providers import PROVIDERS, Provider, Structured, provider_named

if TYPE_CHECKING:
    import openai

    from lionproc.engine.executor import RateLimitedAPIExecutor
    from lionproc.engine.limiter import Limiter
    from lionproc.model.wire import Wire

_RESERVED = {"messages", "stream", "n", "stream_options"}
_STRUCTURED = ("json_schema", "json_object", "prompt")


class Model:
    """A model to ask.

    Args:
        provider: A provider's name (openai, azure, openrouter, groq, gemini, anthropic, ollama,
            vllm, local), or the short form `"provider/model"`. "local" is the embedded model.
        model: The model's name there; for "local" the path of a GGUF file, None for the
            small one that is installed with it.
        base_url: Another OpenAI-compatible address. Then no key is taken from the environment.
        api_key: The key; None takes it from the provider's variable in the environment.
        client: Your own `openai.AsyncOpenAI` or `openai.AsyncAzureOpenAI`, used as it is.
        executor: Send through this executor, and so share its limits with others.
        temperature: Sampling temperature from 0 to 2. None leaves it to the provider.
        max_tokens: The longest answer in tokens. None leaves it to the provider.
        timeout: Seconds for one attempt.
        structured: How typed answers are asked for, "json_schema", "json_object" or "prompt",
            where the provider's usual way does not suit this model.
        allow_http: True sends key and rows unencrypted to a host that is not this machine.
        **params: Anything else for the request's body (`top_p`, `seed`, `reasoning_effort`).

    Raises:
        ModelError: An unknown provider, no model name, no key, or an address that cannot be.
        ConfigurationError: A number is out of range.

    Example:
        >>> Model("openai/gpt-4o-mini", api_key="sk-...", temperature=0)
        Model('openai', 'gpt-4o-mini', temperature=0)
        >>> Model("openai", model="qwen", base_url="http://localhost:9000/v1").model
        'qwen'
    """

    def __init__(
        self,
        provider: str = "openai",
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        client: openai.AsyncOpenAI | None = None,
        executor: RateLimitedAPIExecutor | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float = 60.0,
        structured: Structured | None = None,
        allow_http: bool = False,
        **params: Any,
    ) -> None:
        if not isinstance(provider, str) or not provider:
            raise ModelError(
                f'The provider is a name such as "openai", not {type(provider).__name__}.'
            )
        if model is None and "/" in provider:
            provider, _, model = provider.partition("/")
        if model is None and provider not in PROVIDERS:
            raise ModelError(
                f'{provider!r} names no provider. Write the model as "provider/model", '
                f'for example "openai/{provider}"; providers are {", ".join(PROVIDERS)}.'
            )
        self.settings: Provider = provider_named(provider)
        if not model and provider != "local":
            raise ModelError(f'Which model of {provider}? For example Model("{provider}/NAME").')
        _in_range("temperature", temperature, 0, 2)
        _in_range("timeout", timeout, 1e-3, math.inf)
        _in_range("max_tokens", max_tokens, 1, math.inf)
        if structured is not None and structured not in _STRUCTURED:
            raise ModelError(f"structured is one of {', '.join(_STRUCTURED)}, not {structured!r}.")
        reserved = sorted(_RESERVED & params.keys())
        if reserved:
            raise ModelError(f"lionproc sets {', '.join(reserved)} itself; leave it out.")
        self.provider = provider
        self.model = str(model) if model else None
        self.base_url = _checked_url(base_url, allow_http=allow_http) if base_url else None
        self.client = client
        self.executor = executor
        self.temperature = temperature
        self.max_tokens = None if max_tokens is None else int(max_tokens)
        self.timeout = float(timeout)
        self.structured = structured
        self.allow_http = allow_http
        self.params = params
        self._api_key = api_key

    @classmethod
    def of(cls, model: Model | str) -> Model:
        """The model meant by an argument: itself, or a short form such as "openai/gpt-4o-mini".

        Raises:
            ModelError: It is neither.
        """
        if isinstance(model, Model):
            return model
        if isinstance(model, str):
            return cls(model)
        raise ModelError(
            f'model= takes lp.Model(...) or "provider/model", not {type(model).__name__}.'
        )

    @property
    def body_params(self) -> dict[str, Any]:
        """Fields of a request's body besides model, messages and response_format."""
        fields = dict(self.params)
        if self.temperature is not None:
            fields["temperature"] = self.temperature
        if self.max_tokens is not None:
            fields["max_tokens"] = self.max_tokens
        return fields

    def with_limits_of(self, executor: RateLimitedAPIExecutor) -> Model:
        """The same model, sent through an executor."""
        return self._changed(executor=executor)

    @property
    def limiter(self) -> Limiter:
        """The gate this model's requests go through; its `limits` are live."""
        return self.connect().limiter

    def connect(self) -> Connection:
        """Open a way to the model.

        Returns:
            A connection whose limiter is shared with all others to this endpoint, key and model.

        Raises:
            ModelError: No key, or the embedded model could not be started.
            MissingDependencyError: The embedded model is not installed.
        """
        if self.provider == "local":
            return self._connect_local()
        if self.provider == "azure" and self.client is None:
            return self._connect_through(_azure_client(self._api_key, self.base_url))
        if self.client is not None:
            return self._connect_through(self.client)
        return self._connect_through(self._own_client())

    def _own_client(self) -> openai.AsyncOpenAI:
        import openai

        settings = self.settings
        key = self._api_key
        if key is None and self.base_url is None and settings.key_variable:
            key = os.environ.get(settings.key_variable, "").strip() or None
            if key is None:
                raise ModelError(
                    f"There is no key for {self.provider}: set the environment variable "
                    f"{settings.key_variable}, or give Model(..., api_key=...). "
                    'Without any key, model="local" runs a small model on this machine.'
                )
        url: str | None = self.base_url or settings.base_url
        if self.provider == "openai" and self.base_url is None:
            url = os.environ.get("OPENAI_BASE_URL", "").strip() or url
            url = _checked_url(str(url), allow_http=self.allow_http)
        return openai.AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=0)

    def _connect_through(self, client: openai.AsyncOpenAI) -> Connection:
        from lionproc.model.wire import PATH, ClientWire, DirectWire, proxy_for

        for need in ("post", "with_options", "base_url"):
            if not hasattr(client, need):
                raise ModelError(
                    "client= takes an openai.AsyncOpenAI or openai.AsyncAzureOpenAI, "
                    f"not {type(client).__name__}."
                )
        if not hasattr(client, "auth_headers") or "Async" not in type(client).__name__:
            raise ModelError(
                f"client= takes the async client (openai.AsyncOpenAI), not {type(client).__name__}."
            )
        base = _checked_url(str(client.base_url), allow_http=self.allow_http)
        key = client.api_key if isinstance(client.api_key, str) else ""
        url = base + PATH
        wire: Wire
        if _is_plain(client) and not (proxy_for(url) or "").startswith("socks"):
            headers = {
                name: value
                for name, value in client.default_headers.items()
                if isinstance(value, str) and not name.startswith("X-Stainless")
            }
            headers.update(client.auth_headers)
            headers["User-Agent"] = "lionproc"
            wire = DirectWire(_with_query(url, client.default_query), headers, self.timeout)
        else:
            wire = ClientWire(client, self.timeout)
        # What is asked for another tenant or project is answered for another one.
        scope = f"{base} {getattr(client, 'organization', None) or ''} {getattr(client, 'project', None) or ''}"
        return self._connection(wire, base, scope.strip(), str(self.model), key)

    def _connect_local(self) -> Connection:
        from lionproc.model import local
        from lionproc.model.wire import PATH, DirectWire

        endpoint = local.start(self.model)
        headers = {"Authorization": f"Bearer {endpoint.key}", "Content-Type": "application/json"}
        wire = DirectWire(endpoint.base_url + PATH, headers, self.timeout)
        identity = f"local {endpoint.identity}"
        return self._connection(
            wire, identity, identity, endpoint.model, endpoint.key, endpoint.slots
        )

    def _connection(  # noqa: PLR0917  (private, and called with all of them)
        self,
        wire: Wire,
        base: str,
        identity: str,
        model: str,
        key: str,
        concurrency: int | None = None,
    ) -> Connection:
        settings = self.settings
        official = self.base_url is None and self.client is None
        digest = hashlib.sha256(key.encode()).hexdigest()
        return Connection(
            identity=identity,
            model=model,
            provider=settings,
            structured=self.structured or settings.structured,
            max_tokens_name=settings.max_tokens_name if official else "max_tokens",
            wire=wire,
            gate=gate(base, digest, model, concurrency=concurrency),
            price=price_of(model, settings.prices),
            secrets=(key.encode(),) if len(key) >= 8 else (),
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "timeout": self.timeout,
            "structured": self.structured,
            "allow_http": self.allow_http,
            **self.params,
        }

    def _changed(self, **changes: Any) -> Model:
        kept = {"api_key": self._api_key, "client": self.client, "executor": self.executor}
        return Model(self.provider, self.model, **{**self._arguments(), **kept, **changes})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles carry no key and no client: they are taken anew where the pickle is opened."""
        return (_restored, (self.provider, self.model, self._arguments()))

    def __repr__(self) -> str:
        usual = {"timeout": 60.0, "allow_http": False}
        shown = [repr(self.provider)] + ([repr(self.model)] if self.model else [])
        shown += [
            f"{name}={value!r}"
            for name, value in self._arguments().items()
            if value is not None and usual.get(name) != value
        ]
        return f"Model({', '.join(shown)})"


def _restored(provider: str, model: str | None, arguments: dict[str, Any]) -> Model:
    return Model(provider, model, **arguments)


def _in_range(name: str, value: Any, low: float, high: float) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bounds = f"from {low:g}" + (f" to {high:g}" if math.isfinite(high) else " up")
        raise ConfigurationError(f"{name} is a number {bounds}, not {value!r}.")


def _checked_url(url: str, *, allow_http: bool) -> str:
    """An address that a key may be sent to."""
    try:
        parts = urlsplit(str(url))
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if host is None or parts.scheme not in {"http", "https"}:
        raise ModelError(f"base_url is an address such as https://host/v1, not {url!r}.")
    if parts.username or parts.password:
        raise ModelError("base_url must not hold a user name or password; use api_key=.")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ModelError(
            f"base_url would send the key and the rows to {host} unencrypted. Use https, or say "
            "Model(..., allow_http=True) if that network is yours."
        )
    return urlunsplit(parts._replace(path=parts.path.rstrip("/"), fragment=""))


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _with_query(url: str, query: Mapping[str, object]) -> str:
    from urllib.parse import urlencode

    return f"{url}?{urlencode(dict(query))}" if query else url


def _is_plain(client: Any) -> bool:
    """True for a client that only carries an address, headers and a key."""
    import openai

    return (
        type(client) is openai.AsyncOpenAI
        and isinstance(client.api_key, str)
        and getattr(client, "workload_identity", None) is None
        and client.custom_auth is None
        and type(getattr(client, "_client", None)).__name__ == "AsyncHttpxClientWrapper"
    )


def _azure_client(api_key: str | None, base_url: str | None) -> openai.AsyncOpenAI:
    import openai

    endpoint = base_url or os.environ.get("AZURE_OPENAI_ENDPOINT", "")
    key = api_key or os.environ.get("AZURE_OPENAI_API_KEY", "")
    version = os.environ.get("OPENAI_API_VERSION", "2024-10-21")
    if not endpoint or not key:
        raise ModelError(
            "Azure needs its endpoint and key: set AZURE_OPENAI_ENDPOINT and "
            "AZURE_OPENAI_API_KEY, or give Model('azure', ..., client=AsyncAzureOpenAI(...))."
        )
    return openai.AsyncAzureOpenAI(
        azure_endpoint=endpoint, api_key=key, api_version=version, max_retries=0
    )
