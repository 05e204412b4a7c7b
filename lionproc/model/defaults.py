"""What `lp.configure` sets for the session, and where a model comes from if none is given."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.errors import ConfigurationError, ModelError, did_you_mean
from lionproc.face import face
from lionproc.model.model import Model

MODEL_VARIABLE = "LIONPROC_MODEL"
FIELDS = ("model", "limits", "budget", "retry", "journal", "chunk_size", "progress", "panel")
_session: dict[str, Any] = {}


@face
def configure(**defaults: Any) -> None:
    """Set defaults for every run of this session. An argument of a run goes before them.

    Args:
        **defaults: `model`, `limits`, `budget`, `retry`, `journal`, `chunk_size`, `progress`
            or `panel`, as `df.llm.process` takes them. None forgets a default.

    Raises:
        ConfigurationError: There is no such default, or its value cannot be.

    Example:
        >>> configure(model="openai/gpt-4o-mini", limits={"requests_per_minute": 500})
        >>> configure(model=None, limits=None)
    """
    for name, value in defaults.items():
        if name not in FIELDS:
            raise ConfigurationError(
                f"There is no default called {name!r}.{did_you_mean(name, FIELDS)}"
            )
        if value is None:
            continue
        if name == "model":
            Model.of(value)
        elif name == "limits":
            if not isinstance(value, (Limits, Mapping)):
                raise ConfigurationError("limits= takes lp.Limits(...) or a dict of its fields.")
            defaults[name] = Limits.of(value)
        elif name == "retry" and not isinstance(value, Retry):
            raise ConfigurationError("retry= takes lp.Retry(...).")
    for name, value in defaults.items():
        if value is None:
            _session.pop(name, None)
        else:
            _session[name] = value


def default(name: str, given: Any, otherwise: Any = None) -> Any:
    """What was given, else the session's default, else the last argument."""
    if given is not None:
        return given
    return _session.get(name, otherwise)


def default_model(given: Model | str | None) -> Model:
    """The model of a run.

    Raises:
        ModelError: None was given, none is configured and none is in the environment.
    """
    chosen = default("model", given, os.environ.get(MODEL_VARIABLE, "").strip() or None)
    if chosen is None:
        raise ModelError(
            "No model is set. Three ways to set one: give model= to this call "
            '(model="openai/gpt-4o-mini"), call lp.configure(model="openai/gpt-4o-mini") once, '
            f"or set the environment variable {MODEL_VARIABLE}. "
            'Without a key, model="local" runs a small model on this machine.'
        )
    return Model.of(chosen)
