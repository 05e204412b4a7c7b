"""Which fields a user may give for a request's body, and what is told of the others."""

from __future__ import annotations

import json
from difflib import get_close_matches

import orjson

from lionproc.model.credentials import (
    Secret,
    has_prefix_of_key,
    sealed,
)
from lionproc.model.sent_secrets import secrets_in

__all__ = ["fault_of_fields"]

# What is meant where something very near is written: a misspelt name would go into the request's
# body, where most servers ignore what they do not know, and a key there would be in the open.
_OURS = (
    *("provider", "model", "base_url", "api_key", "client", "executor", "temperature"),
    *("max_tokens", "timeout", "structured", "allow_http", "scope", "price", "service_tier"),
)
_BODY = (
    *("top_p", "top_k", "min_p", "seed", "stop", "logit_bias", "reasoning_effort", "verbosity"),
    *("frequency_penalty", "presence_penalty", "repetition_penalty"),
    *("max_completion_tokens", "max_new_tokens", "min_tokens", "parallel_tool_calls"),
)
_RESERVED = {"messages", "stream", "n", "stream_options"}
_OF_THE_CLIENT = {
    **dict.fromkeys(("extra_headers", "default_headers", "headers"), "default_headers"),
    **dict.fromkeys(("extra_query", "default_query", "query"), "default_query"),
    "http_client": "http_client",
    "organization": "organization",
    "project": "project",
}
# Documented fields whose values are names, hashes and ids, and look like keys or are called so.
_IDS = {
    # platform.openai.com, "Create chat completion"
    *("prompt_cache_key", "safety_identifier", "user"),
    "session_id",  # openrouter.ai/docs, "API Reference", "Parameters"
    "cached_content",  # ai.google.dev, "OpenAI compatibility"
    "prompt_cache_isolation_key",  # docs.fireworks.ai, "Create Chat Completion"
    "cache_salt",  # docs.vllm.ai, "Automatic Prefix Caching"
}


@sealed
def fault_of_fields(given: Secret[dict[str, object]]) -> str:
    """What is no field of a body; the message never has a value, it may be a secret.

    Args:
        given: The fields, by name.
    """
    reserved = sorted(_RESERVED & given.reveal().keys())
    if reserved:
        return f"lionproc sets {', '.join(reserved)} itself; leave it out."
    return next(filter(None, (_fault(*field) for field in given.reveal().items())), "")


def _fault(name: str, value: object) -> str:
    if name in _OF_THE_CLIENT:
        return (
            f"{name} is no field of a request's body. Give it to a client: Model(..., "
            f"client=openai.AsyncOpenAI({_OF_THE_CLIENT[name]}=...))."
        )
    near = (
        []
        if name in _BODY or name in _IDS
        else get_close_matches(name, (*_OURS, *_BODY), n=1, cutoff=0.85)
    )
    if near:
        return (
            f"Model() has no argument {name!r}, and no server takes it. Did you mean {near[0]!r}?"
        )
    if name == "extra_body":
        return "Give the fields of extra_body to Model(...) directly, by their names."
    if isinstance(value, str) and _is_key(name, value):
        return f"Model({name}=...) goes into the request's body, and this is a key: use api_key=."
    try:
        json.dumps(value, allow_nan=False)
        orjson.dumps(value)  # which has no other keys than texts, and 64 bits
    except (TypeError, ValueError, RecursionError):
        return (
            f"Model({name}=...) goes into the request's body, and this "
            f"{type(value).__name__} cannot be written as JSON."
        )
    return ""


def _is_key(name: str, value: str) -> bool:
    if name in _IDS:
        return has_prefix_of_key(value)
    return bool(secrets_in({name: value}))
