"""What `lp.configure` sets for the session, and where a model comes from if none is given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from lionproc.engine.budget import Budget
from lionproc.engine.journal_path import anchored
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.errors import ArgumentError, ConfigurationError, ModelError, did_you_mean
from lionproc.face import face
from lionproc.model.model import Model

MODEL_VARIABLE = "LIONPROC_MODEL"
FIELDS = ("model", "limits", "budget", "retry", "journal", "chunk_size", "progress", "panel")
_session: dict[str, Any] = {}


@face
def configure(**defaults: object) -> None:
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
    for name in defaults:
        if name not in FIELDS:
            raise ArgumentError.unknown("configure", name, FIELDS)
    # All are checked before the first is set.
    checked_ones = {name: checked(name, value) for name, value in defaults.items()}
    for name, value in checked_ones.items():
        if value is None:
            _session.pop(name, None)
        else:
            _session[name] = value


def checked(name: str, given: Any) -> Any:
    """An argument that `configure` and `df.llm.process` both take, as the one thing it means.

    Args:
        name: One of `FIELDS`.
        given: What was given for it; None for nothing.

    Raises:
        ConfigurationError: It cannot be; the message says what can.
    """
    return None if given is None else _CHECKS[name](given)


def _limits(given: Any) -> Limits:
    return Limits.of(given)


def _budget(given: object) -> Budget:
    if isinstance(given, Mapping):
        names = Budget.__dataclass_fields__
        for name in given:
            if name not in names:
                raise ConfigurationError(f"budget= has no {name!r}.{did_you_mean(name, names)}")
        given = Budget(**given)
    if not isinstance(given, Budget):
        raise ConfigurationError(
            "budget= takes lp.Budget(usd=..., tokens=..., requests=...), "
            f"not {type(given).__name__}."
        )
    return given


def _retry(given: Any) -> Retry:
    if not isinstance(given, Retry):
        raise ConfigurationError(f"retry= takes lp.Retry(...), not {type(given).__name__}.")
    return given


def _journal(given: Any) -> object:
    if given is False:
        return given
    try:
        return anchored(given)
    except TypeError:
        raise ConfigurationError(
            f"journal= is the path of a file, None for the usual one, or False, not {given!r}."
        ) from None


def _chunk_size(given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise ConfigurationError(f"chunk_size is a whole number from 1 on, not {given!r}.")
    return given


def _progress(given: object) -> bool:
    if not isinstance(given, bool):
        raise ConfigurationError(f"progress is True or False, not {given!r}.")
    return given


def _panel(given: object) -> bool:
    if not isinstance(given, bool):
        raise ConfigurationError(
            f"panel is True, False, or None for where it can be used, not {given!r}."
        )
    return given


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "model": Model.of,
    "limits": _limits,
    "budget": _budget,
    "retry": _retry,
    "journal": _journal,
    "chunk_size": _chunk_size,
    "progress": _progress,
    "panel": _panel,
}


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
