"""What was said of a model: where it lives, who sends, and how it is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openai

    from lionproc.engine.executor import RateLimitedAPIExecutor
    from lionproc.model.body_secrets import BodySecrets
    from lionproc.model.credentials import Secret
    from lionproc.model.prices import Price
    from lionproc.model.providers import Provider, Structured

__all__ = ["ModelSettings"]


class ModelSettings:
    """The checked arguments of a `Model`, which says what each of them means.

    Attributes:
        settings: What is known of the provider.
        timeout: Seconds for one attempt.
        body_secrets: The keys within the other fields of a body.
    """

    settings: Provider
    provider: str
    model: str | None
    base_url: str | None
    client: openai.AsyncOpenAI | openai.OpenAI | None
    executor: RateLimitedAPIExecutor | None
    temperature: float | None
    max_tokens: int | None
    timeout: float
    structured: Structured | None
    endings: tuple[str | None, ...]
    allow_http: bool
    scope: str | None
    price: Price | None
    service_tier: str | None
    body_secrets: BodySecrets
    _api_key: Secret[str] | None
