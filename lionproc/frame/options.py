"""The arguments of a run that do not shape its answers."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.engine.paths import absolute
from lionproc.engine.retry import Retry
from lionproc.errors import ConfigurationError
from lionproc.frame.asked_since import AskedSince
from lionproc.frame.cell import sound
from lionproc.model.defaults import checked, default

__all__ = ["Options", "options_of"]


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a run that do not shape its answers, checked.

    `since` is no argument: see `asked_since.py`.
    """

    limits: Limits | None
    budget: Budget | None
    retry: Retry
    journal: Any
    chunk_size: int
    save: str | None
    resume: bool
    deduplicate: bool
    errors: Literal["coerce", "raise"]
    overwrite: bool
    details: bool
    progress: bool
    panel: bool | None
    name: str | None
    since: AskedSince | None = None


def options_of(*, own_limits: bool, **given: Any) -> Options:
    """Check the arguments, and fill in what the session has for those that were not given.

    Args:
        own_limits: Whether the model sends through an executor with limits of its own.
        **given: The fields of `Options`.

    Raises:
        ConfigurationError: One of them cannot work.
    """
    if given["errors"] not in {"coerce", "raise"}:
        raise ConfigurationError(f"errors is 'coerce' or 'raise', not {given['errors']!r}.")
    for name in ("resume", "deduplicate", "overwrite", "details"):
        if not isinstance(given[name], bool):
            raise ConfigurationError(f"{name} is True or False, not {given[name]!r}.")

    def usual(name: str, otherwise: Any = None) -> Any:
        return checked(name, default(name, given[name], otherwise))

    # An executor that was given has limits of its own; the session's are for those without.
    limits = given["limits"] if own_limits else default("limits", given["limits"])
    return Options(
        limits=checked("limits", limits),
        budget=usual("budget"),
        retry=usual("retry", Retry()),
        journal=usual("journal"),
        chunk_size=usual("chunk_size", 1000),
        save=_save(given["save"]),
        resume=given["resume"],
        deduplicate=given["deduplicate"],
        errors=given["errors"],
        overwrite=given["overwrite"],
        details=given["details"],
        progress=usual("progress", True),
        panel=usual("panel"),
        name=_name(given["name"]),
    )


def _name(given: object) -> str | None:
    if given is not None and (not isinstance(given, str) or not given.strip()):
        raise ConfigurationError(f"name= is what lp.runs() calls the run, a text, not {given!r}.")
    return None if given is None else sound(given)


def _save(given: Any) -> str | None:
    if given is None:
        return None
    try:
        path = os.fspath(given)
    except TypeError:
        raise ConfigurationError(f"save= is a path, not {type(given).__name__}.") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"save= is a path such as 'out.parquet', not {path!r}.")
    return absolute(path)
