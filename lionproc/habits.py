"""What people write out of habit where an argument is called otherwise, or lives elsewhere.

The near name of `did_you_mean` helps against slips of the keyboard. These are no slips: they are
the words of other packages, and arguments given to the verb instead of to what it is given.
"""

from __future__ import annotations

from collections.abc import Collection

# An argument that takes an object, how that is written, and its fields by the words for them.
FIELDS: dict[str, tuple[str, dict[str, str]]] = {
    "limits": (
        "lp.Limits({}=...)",
        {
            "requests_per_minute": "requests_per_minute",
            "rpm": "requests_per_minute",
            "rate_limit": "requests_per_minute",
            "tokens_per_minute": "tokens_per_minute",
            "tpm": "tokens_per_minute",
            "concurrency": "concurrency",
            "max_concurrency": "concurrency",
            "max_workers": "concurrency",
            "n_jobs": "concurrency",
            "workers": "concurrency",
            "shared": "shared",
            "adapt": "adapt",
        },
    ),
    "model": (
        "lp.Model(..., {}=...)",
        {
            name: name
            for name in (
                *("temperature", "max_tokens", "timeout", "base_url", "api_key", "client"),
                *("service_tier", "structured", "price", "top_p", "seed", "reasoning_effort"),
            )
        },
    ),
    "budget": ("lp.Budget({}=...)", {"usd": "usd", "max_usd": "usd", "max_cost": "usd"}),
    "retry": (
        "lp.Retry({}=...)",
        dict.fromkeys(("max_attempts", "attempts", "retries", "max_retries"), "max_attempts"),
    ),
}
# Other words for an argument of the same call: the argument, how it is written, and the words.
WORDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "schema",
        'schema=Literal["a", "b"]',
        ("labels", "classes", "categories", "choices", "options"),
    ),
    ("schema", "schema=...", ("response_format", "response_model", "output_type", "dtype")),
    ("into", "into=...", ("output", "output_column", "target", "output_col")),
    ("system", "system=...", ("system_prompt", "system_message", "instructions")),
    ("save", "save=...", ("path", "output_path", "save_path", "filename")),
    ("chunk_size", "chunk_size=...", ("batch_size",)),
    ("gold", "gold=...", ("truth", "reference", "y_true", "expected")),
)


def meant(name: str, known: Collection[str]) -> str:
    """What is written for a word in a call that has other arguments.

    Args:
        name: The word.
        known: The arguments of the call.

    Returns:
        A sentence for the end of a message, "" where nothing is known of the word.

    Example:
        >>> meant("temperature", {"prompt", "model"})
        ' Write model=lp.Model(..., temperature=...).'
        >>> meant("labels", {"schema"})
        ' Write schema=Literal["a", "b"].'
    """
    for argument, (written, fields) in FIELDS.items():
        if argument in known and name in fields:
            return f" Write {argument}={written.format(fields[name])}."
    for argument, written, words in WORDS:
        if argument in known and name in words:
            return f" Write {written}."
    return ""
