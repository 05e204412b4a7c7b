"""What can be set about a test server, while it runs too."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.seeded_random import unit
from lionproc.testing.answers import Answer, default_tokens
from lionproc.testing.billing import SPELLINGS, Spelling
from lionproc.testing.faults import FaultPlan, Faults
from lionproc.testing.headers import HEADERS, RETRIES, HeaderStyle, RetryStyle
from lionproc.testing.limits import Limit, from_json
from lionproc.testing.logprobs import Sure

__all__ = ["ChargeRule", "Latency", "Settings"]

Latency = float | tuple[float, float] | Callable[[dict[str, Any]], float]
ChargeRule = Literal["max_tokens", "actual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every knob; `Server` explains them.

    Raises:
        ConfigurationError: A value that cannot work.
    """

    latency_s: Latency = 0.0
    slow_when_busy: int | None = None
    at_once: int | None = None
    limits: Sequence[Limit] = ()
    faults: Faults | FaultPlan = None
    seed: int = 0
    answer: Answer | None = None
    confidence: Sure = 0.9
    usage: bool | Mapping[str, Any] | None = True
    count_tokens: Callable[[str], int] = default_tokens
    charge: ChargeRule = "max_tokens"
    count_refused: bool = False
    retry: RetryStyle = "retry-after"
    headers: HeaderStyle | None = None
    models: Sequence[str] = ("test-model",)
    prices: str | None = None
    spelling: Spelling = "openai"
    plan: FaultPlan = field(init=False, repr=False)

    def __post_init__(self) -> None:
        faults = self.faults
        plan = faults if isinstance(faults, FaultPlan) else FaultPlan(faults)
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "limits", _limits(self.limits))
        if not callable(self.latency_s):
            low, high = _range(self.latency_s)
            if not 0 <= low <= high < math.inf:
                raise ConfigurationError(
                    "latency_s= is seconds, (low, high) seconds, or a function of the body."
                )
        sure = self.confidence
        if not (sure is None or callable(sure) or 0 <= sure <= 1):
            raise ConfigurationError(
                "confidence= is a probability from 0 to 1, a function of the body, or None."
            )
        for name in ("slow_when_busy", "at_once"):
            most = getattr(self, name)
            if most is not None and most < 1:
                what = "slots" if name == "slow_when_busy" else "requests"
                raise ConfigurationError(f"{name}= is a number of {what}, at least 1.")
        _one_of("retry", self.retry, RETRIES)
        _one_of("headers", self.headers, HEADERS)
        _one_of("spelling", self.spelling, SPELLINGS)
        _one_of("charge", self.charge, get_args(ChargeRule))

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with some of them changed.

        Args:
            changes: New values by name.

        Returns:
            New settings.

        Raises:
            ConfigurationError: An unknown name or a value that cannot work.
        """
        known = [f.name for f in fields(self) if f.init]
        for name in changes:
            if name not in known:
                raise ConfigurationError(
                    f"The server has no setting {name!r}.{did_you_mean(name, known)}"
                )
        return replace(self, **changes)

    def confidence_of(self, body: dict[str, Any]) -> float | None:
        """How sure the server says it is of one answer, None where it does not say."""
        sure = self.confidence
        if not body.get("logprobs"):
            return None
        return sure(body) if callable(sure) else sure

    def latency_of(self, body: dict[str, Any], n: int) -> float:
        """Seconds that one request takes.

        Args:
            body: The request, parsed.
            n: Its number, which with the seed decides within a range.
        """
        latency = self.latency_s
        if callable(latency):
            return latency(body)
        if isinstance(latency, tuple | list):
            low, high = latency
            return float(low + (high - low) * unit(self.seed, n, stream=2))
        return latency


def _limits(given: object) -> tuple[Limit, ...]:
    limits = tuple(given) if isinstance(given, list | tuple) else (given,)
    for limit in limits:
        if not isinstance(limit, Limit):
            raise ConfigurationError(
                "limits= takes TokenBucket, RollingWindow or FixedWindow, such as "
                f"RollingWindow(requests=60), not {limit!r}."
            )
    return limits


def _range(latency: float | tuple[float, float]) -> tuple[float, float]:
    if isinstance(latency, tuple | list):
        if len(latency) != 2:
            raise ConfigurationError("latency_s= as a range has two ends, (low, high).")
        return latency[0], latency[1]
    return latency, latency


def _one_of(name: str, value: object, known: Sequence[object]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name}= cannot be {value!r}.{did_you_mean(value, known)}")


def changes_to_json(changes: Mapping[str, Any]) -> dict[str, object]:
    """Settings as plain JSON, for a server in another process.

    Raises:
        ConfigurationError: A function, which another process cannot be handed.
    """
    plain: dict[str, Any] = {}
    for name, value in changes.items():
        if name == "limits":
            plain[name] = [limit.to_json() for limit in _limits(value)]
        elif name == "faults":
            plan = value if isinstance(value, FaultPlan) else FaultPlan(value)
            plain[name] = plan.to_json()
        elif callable(value):
            raise ConfigurationError(
                f"{name}= is a function, which a child process cannot be handed: "
                f"give a plain value, or use Server(process=False)."
            )
        else:
            plain[name] = value
    return plain


def changes_from_json(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that `changes_to_json` wrote."""
    changes = dict(plain)
    if "limits" in changes:
        changes["limits"] = tuple(from_json(limit) for limit in changes["limits"])
    if "faults" in changes:
        changes["faults"] = FaultPlan.from_json(changes["faults"])
    return changes
