"""`Model`: which model answers, where it lives and how it is asked."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Protocol

from lionproc.errors import ConfigurationError, ModelError
from lionproc.model.address import checked_url, fault_of_key, fault_of_url, key_text
from lionproc.model.body_fields import fault_of_fields
from lionproc.model.body_secrets import BodySecrets
from lionproc.model.connection import Connection
from lionproc.model.credentials import Secret, looks_like_key
from lionproc.model.model_settings import ModelSettings
from lionproc.model.opening import endpoint_of, opened
from lionproc.model.prices import Price
from lionproc.model.providers import PROVIDERS, Provider, Structured, provider_named

if TYPE_CHECKING:
    import openai

    from lionproc.engine.executor import RateLimitedAPIExecutor
    from lionproc.engine.limiter import Limiter


class SecretText(Protocol):
    """A masked text, such as pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """The text."""


_TIMEOUT_S = 60.0
_FLEX_TIMEOUT_S = 900.0  # its replies may take many minutes, and what is given up is billed
_DAY_S = 86_400.0
_STRUCTURED = ("json_schema", "json_object", "prompt")


class Model(ModelSettings):
    """A model to ask.

    Args:
        provider: A provider's name (openai, azure, openrouter, groq, gemini, anthropic, ollama,
            vllm, local), or the short form `"provider/model"`. "local" is the embedded model.
        model: The model's name there, for openai gpt-4o-mini if none is given; for "local"
            the path of a GGUF file, None for the small one that is installed with it.
        base_url: Another OpenAI-compatible address. Then no key, organization or header is
            taken from the environment.
        api_key: The key, as a text or a pydantic `SecretStr`; None takes it from the provider's
            variable in the environment.
        client: Your own openai client, for Azure or not, async or not. Its settings are used
            over connections of lionproc's own; itself it stays untouched.
        executor: Send through this executor: its limits hold, its counts and lists show what is
            sent, its `pause()` and `stop()` act on it. A run over a frame keeps its own budget,
            journal and retries there. A `ProcessingService` or a pipeline of them has executors
            of its own, which keep the limits of this one.
        temperature: Sampling temperature from 0 to 2. None leaves it to the provider.
        max_tokens: The longest answer in tokens. None leaves it to the provider.
        timeout: Seconds for one attempt; 60 if it is not given, and 900 for the tier "flex".
        structured: How typed answers are asked for, "json_schema", "json_object" or "prompt",
            where the provider's usual way does not suit this model.
        endings: Further words of `finish_reason` that mean a whole answer at this server, None for
            a reply that has no such word. An answer that ends in an unknown way is an error.
        allow_http: True sends key and rows unencrypted to a host that is not this machine.
        scope: A name for whatever else decides who answers and cannot be seen from here (a
            tenant behind a gateway, a version of the weights): another scope shares no answers.
            `""` says that nothing does, where code of your own in client= only looks on, as for
            a log: answers are kept as if it were not there. With a scope, cookies that servers
            put into the http_client of client= do not count.
        price: What the model costs, where it is not in the table of prices or you pay another
            price: `lp.Price(...)` in dollars per million tokens.
        service_tier: The provider's tier, such as "flex" for half the price and slow replies. What
            a reply costs goes by the tier that the reply names. It shapes no answer: what was
            answered by another tier is not asked again.
        **params: Anything else for the request's body (`top_p`, `seed`, `reasoning_effort`). A key
            within a field, as of a search in `data_sources`, goes to the server and nowhere else.

    Raises:
        ModelError: An unknown provider, no model name, no key, or an invalid address.
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
        api_key: str | SecretText | None = None,
        client: openai.AsyncOpenAI | openai.OpenAI | None = None,
        executor: RateLimitedAPIExecutor | None = None,
        temperature: float | None = None,
        max_tokens: int | None = None,
        timeout: float | None = None,
        structured: Structured | None = None,
        endings: Sequence[str | None] = (),
        allow_http: bool = False,
        scope: str | None = None,
        price: Price | None = None,
        service_tier: str | None = None,
        **params: Any,
    ) -> None:
        # From here on no traceback that shows local variables shows the key.
        key = None if api_key is None else Secret.of(api_key)
        fields: Secret[dict[str, object]] = Secret(params)
        api_key, params = None, {}
        if _is_key(provider, model, base_url):
            provider = model = base_url = ""
            raise ModelError(
                "This looks like a key where the name of a model or an address belongs. Keys go "
                'into api_key=: Model("openai/gpt-4o-mini", api_key=...).'
            )
        if fault := fault_of_fields(fields) or (
            base_url and fault_of_url(base_url, allow_http=allow_http)
        ):
            base_url = None  # it may hold a key
            raise ModelError(fault)
        self.body_secrets = BodySecrets(fields)
        params = self.params = self.body_secrets.shown
        provider, model = _named(provider, model)
        self.settings = provider_named(provider)
        _in_range("temperature", temperature, 0, self._takes(base_url, client).temperature_max)
        _in_range("timeout", timeout, 1e-3, _DAY_S)
        _in_range("max_tokens", max_tokens, 1, math.inf, whole=True)
        by_newer_name = params.get("max_completion_tokens")
        _in_range("max_completion_tokens", by_newer_name, 1, math.inf, whole=True)
        if structured is not None and structured not in _STRUCTURED:
            raise ModelError(f"structured is one of {', '.join(_STRUCTURED)}, not {structured!r}.")
        if scope is not None and not isinstance(scope, str):
            raise ModelError(f"scope is a name such as 'tenant a', not {scope!r}.")
        if price is not None and not isinstance(price, Price):
            raise ConfigurationError(
                "price= takes lp.Price(input=..., output=...) in dollars per million tokens, "
                f"not {type(price).__name__}."
            )
        if service_tier is not None and (not isinstance(service_tier, str) or not service_tier):
            raise ConfigurationError(
                f"service_tier is a word such as 'flex', not {service_tier!r}."
            )
        given = [
            name
            for name, value in (("base_url", base_url), ("api_key", key), ("client", client))
            if value is not None
        ]
        if not self._takes(base_url, client).logprobs and _wants_logprobs(params):
            raise ModelError(f"{provider} gives no logprobs; take a provider that does.")
        if client is not None and len(given) > 1:
            raise ModelError(f"client= has its own address and key; leave {given[0]}= out.")
        if provider == "local" and given:
            raise ModelError(
                f"The embedded model takes no {given[0]}=. A server of your own is "
                'Model("openai", model=..., base_url=...).'
            )
        self.provider = provider
        self.model = str(model) if model else None
        self.base_url = checked_url(base_url, allow_http=allow_http) if base_url else None
        self.client = client
        self.executor = executor
        self.temperature = temperature
        self.max_tokens = None if max_tokens is None else int(max_tokens)
        self.price = price
        self.service_tier = service_tier
        usual_s = _FLEX_TIMEOUT_S if service_tier == "flex" else _TIMEOUT_S
        self._timeout = None if timeout is None else float(timeout)
        self.timeout = usual_s if timeout is None else float(timeout)
        self.structured = structured
        self.endings = _checked_endings(endings)
        self.allow_http = allow_http
        self.scope = scope
        self._api_key = None if key is None else _checked(key)

    def _takes(self, base_url: str | None, client: object) -> Provider:
        """What is known to be taken; of another address than the provider's own, nothing is."""
        return self.settings if base_url is None and client is None else PROVIDERS["openai"]

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
    def body_params(self) -> dict[str, object]:
        """Fields of a request's body besides model, messages and response_format."""
        fields = dict(self.params)
        if self.temperature is not None:
            fields["temperature"] = self.temperature
        if self.max_tokens is not None:
            fields["max_tokens"] = self.max_tokens
        if self.service_tier is not None:
            fields["service_tier"] = self.service_tier
        return fields

    @property
    def gives_logprobs(self) -> bool:
        """Whether it may tell how likely its tokens are, as far as its provider is known."""
        return self._takes(self.base_url, self.client).logprobs

    @property
    def limiter(self) -> Limiter:
        """The limiter this model's requests go through; its `limits` are live."""
        return self.executor.limiter if self.executor is not None else endpoint_of(self).limiter

    def connect(self) -> Connection:
        """Open a way to the model.

        Returns:
            A connection whose limiter is shared with all others to this endpoint, key and model.

        Raises:
            ModelError: No key, or the embedded model could not be started.
            MissingDependencyError: The embedded model is not installed.
        """
        return opened(self)

    def _arguments(self) -> dict[str, object]:
        return {
            "base_url": self.base_url,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "timeout": self._timeout,
            "structured": self.structured,
            "endings": self.endings,
            "allow_http": self.allow_http,
            "scope": self.scope,
            "price": self.price,
            "service_tier": self.service_tier,
            **self.params,
        }

    def __copy__(self) -> Model:
        kept: dict[str, Any] = {**self._arguments(), "api_key": self._api_key}
        kept |= {"client": self.client, "executor": self.executor}
        made = Model(self.provider, self.model, **kept)
        made.body_secrets = self.body_secrets
        return made

    def __deepcopy__(self, memo: Mapping[int, object]) -> Model:
        return copy.copy(self)  # in this process, so with its key

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles carry no key: it is taken from the environment where the pickle is opened.

        One within a field of the body is in no environment: what has lost it connects to nothing.

        Raises:
            TypeError: It has a client, which cannot travel, and without which the rows would
                go somewhere else; or an executor, whose limits would not hold there.
        """
        if self.executor is not None:
            raise TypeError(
                "A Model with executor= cannot be pickled: the executor and its limits belong to "
                "this process. Make the Model where it is used, or give limits= there."
            )
        if self.client is not None:
            raise TypeError(
                "A Model with client= cannot be pickled: the client holds a key and open "
                "connections. Make the Model where it is used, or give base_url= instead."
            )
        left = self.body_secrets.lost or tuple(self.body_secrets.sent)
        return (_restored, (self.provider, self.model, self._arguments(), left))

    def __repr__(self) -> str:
        if "_api_key" not in vars(self):
            return "<Model, half made>"  # a traceback shows it while __init__ fails
        usual = {"endings": (), "allow_http": False}
        shown = [repr(self.provider)] + ([repr(self.model)] if self.model else [])
        shown += [
            f"{name}={value!r}"
            for name, value in self._arguments().items()
            if value is not None and usual.get(name) != value
        ]
        return f"Model({', '.join(shown)})"


# How the models of a provider are called, for the example where only a model was named.
_FAMILIES = (("claude", "anthropic"), ("gemini", "gemini"))


def _is_key(*given: object) -> bool:
    """Whether a key stands where a name or an address belongs."""
    texts = [text for text in given if isinstance(text, str)]
    return any(looks_like_key(part) for text in texts for part in (text, text.partition("/")[2]))


def _named(provider: object, model: str | None) -> tuple[str, str | None]:
    """The provider and the model from the ways to write them."""
    if not isinstance(provider, str) or not provider:
        raise ModelError(f'The provider is a name such as "openai", not {type(provider).__name__}.')
    if model is None and "/" in provider:
        provider, _, model = provider.partition("/")
    if model is None and provider not in PROVIDERS:
        family = next((of for start, of in _FAMILIES if provider.startswith(start)), "")
        near = [] if family else get_close_matches(provider, PROVIDERS, n=1)
        guess = f" Did you mean {near[0]!r}?" if near else ""
        example = "" if near else f', for example "{family or "openai"}/{provider}"'
        raise ModelError(
            f'{provider!r} names no provider.{guess} Write the model as "provider/model"{example}; '
            f"providers are {', '.join(PROVIDERS)}."
        )
    if model is None:
        model = provider_named(provider).usual_model or None
    if not model and provider != "local":
        provider_named(provider)
        raise ModelError(f'Which model of {provider}? For example Model("{provider}/NAME").')
    return provider, model


def _restored(
    provider: str, model: str | None, arguments: dict[str, Any], left: tuple[str, ...] = ()
) -> Model:
    made = Model(provider, model, **arguments)
    made.body_secrets.lost = left
    return made


def _wants_logprobs(params: Mapping[str, object]) -> bool:
    return bool(params.get("logprobs") or params.get("top_logprobs"))


def _checked_endings(endings: Any) -> tuple[str | None, ...]:
    is_list = isinstance(endings, Iterable) and not isinstance(endings, str | bytes)
    if not is_list or not all(isinstance(word, str | None) for word in endings):
        raise ModelError(f'endings is a list of words, like ["done"], not {endings!r}.')
    return tuple(endings)


def _in_range(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    if value is None:
        return
    kind = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        bounds = f"from {low:g}" + (f" to {high:g}" if math.isfinite(high) else " up")
        number = "a whole number" if whole else "a number"
        raise ConfigurationError(f"{name} is {number} {bounds}, not {value!r}.")


def _checked(key: Secret[Any]) -> Secret[str]:
    """A key that can stand in a header; errors are raised where nothing holds it."""
    fault = fault_of_key(key.reveal(), "api_key")
    if fault:
        raise ModelError(fault)
    return Secret(key_text(key.reveal()))
