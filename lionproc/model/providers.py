"""Where models live: a small table. Any other OpenAI-compatible server goes by `base_url`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from lionproc.errors import ModelError, did_you_mean

Structured: TypeAlias = Literal["json_schema", "json_object", "prompt"]


@dataclass(frozen=True, slots=True)
class Provider:
    """What is special about a provider.

    Attributes:
        name: Its name in `Model(...)`, also genai-prices' name unless `prices` says otherwise.
        base_url: Its OpenAI-compatible address.
        key_variable: The environment variable with its key; empty where it wants none.
        structured: How it is asked for typed answers. "json_schema" and "json_object" are its
            `response_format`, "prompt" an instruction; answers are checked in any case.
        max_tokens_name: What it calls the bound on the answer.
        temperature_max: The highest temperature that it takes.
        logprobs: Whether it gives the probabilities of tokens.
        developer_role: Whether it knows that role; where not, the prompt is sent as system.
        charges_max_tokens: True where `max_tokens` counts against the limit, used or not.
        prices: Its name in genai-prices; empty where nothing is charged.
        tells_cost: Whether its replies say in dollars what they cost.
        usual_model: The model meant where none is named; empty where one must be.
        takes_cache_key: Whether it takes `prompt_cache_key` for what OpenAI means by it. Sent to an
            address that is not its own, or to an older one of Azure, it may be a 400.
        caches_from: Tokens at the start of a prompt from which on it keeps them for the next
            request, without being asked and at a lower price; 0 where it is not known to.
        endings: Words of `finish_reason` that mean a whole answer there, besides those known
            everywhere; None where it is known to leave the word out.
    """

    name: str
    base_url: str
    key_variable: str
    structured: Structured = "json_schema"
    max_tokens_name: str = "max_tokens"
    temperature_max: float = 2.0
    logprobs: bool = True
    developer_role: bool = False
    charges_max_tokens: bool = False
    prices: str = ""
    tells_cost: bool = False
    usual_model: str = ""
    takes_cache_key: bool = False
    caches_from: int = 0
    endings: tuple[str | None, ...] = ()


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider(
            "openai",
            "https://api.openai.com/v1",
            "OPENAI_API_KEY",
            max_tokens_name="max_completion_tokens",
            developer_role=True,
            charges_max_tokens=True,
            prices="openai",
            usual_model="gpt-4o-mini",
            takes_cache_key=True,
            caches_from=1024,
        ),
        Provider(
            "azure",
            "",
            "AZURE_OPENAI_API_KEY",
            max_tokens_name="max_completion_tokens",
            developer_role=True,
            charges_max_tokens=True,
            prices="azure",
            takes_cache_key=True,
            caches_from=1024,
        ),
        Provider(
            "openrouter",
            "https://openrouter.ai/api/v1",
            "OPENROUTER_API_KEY",
            developer_role=True,
            prices="openrouter",
            tells_cost=True,
        ),
        Provider(
            "groq",
            "https://api.groq.com/openai/v1",
            "GROQ_API_KEY",
            "json_object",
            logprobs=False,
            prices="groq",
        ),
        Provider(
            "gemini",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "GEMINI_API_KEY",
            prices="google",
            caches_from=4096,  # of its newer models; the older ones take half of that
        ),
        Provider(
            "anthropic",
            "https://api.anthropic.com/v1",
            "ANTHROPIC_API_KEY",
            "prompt",
            temperature_max=1.0,
            logprobs=False,
            developer_role=True,
            prices="anthropic",
        ),
        # Versions of it leave the word out where a model simply ended.
        Provider("ollama", "http://localhost:11434/v1", "", endings=(None,)),
        Provider("vllm", "http://localhost:8000/v1", ""),
        Provider("local", "", ""),
    )
}


def provider_named(name: str) -> Provider:
    """The provider with this name.

    Raises:
        ModelError: There is none; the message names those there are.
    """
    try:
        return PROVIDERS[name]
    except KeyError:
        if "://" in name:  # which may have a key in it
            raise ModelError(
                'The provider is a name, such as "openai". An address is given as '
                'Model("openai", model=..., base_url=...).'
            ) from None
        raise ModelError(
            f"There is no provider {name!r}.{did_you_mean(name, PROVIDERS)} Any other "
            'OpenAI-compatible server works with Model("openai", model=..., base_url=...).'
        ) from None
