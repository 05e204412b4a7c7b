"""The limits a person sets, and may change while a run uses them."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping
from typing import Any, SupportsFloat

from lionproc.engine.listeners import Listeners
from lionproc.errors import LimitsError, did_you_mean
from lionproc.face import faced

_RATES = (
    "requests_per_minute",
    "tokens_per_minute",
    "input_tokens_per_minute",
    "output_tokens_per_minute",
)
_FIELDS = (*_RATES, "concurrency", "burst_seconds", "adapt", "shared")
LEAST_RATE = 1e-6  # one in two years: what is computed with less is no number any more
MOST = 1e12  # more than anybody sends, and all that the account of a shared budget takes


@faced
class Limits:
    """What may leave in a minute, and how much at once.

    Assigning a field acts on every run that uses this object within 100 ms, from any thread.
    In any 60 seconds at most the set amounts leave, also across a change: after a limit is
    lowered, nothing leaves until the last 60 seconds fit the new one.

    Args:
        requests_per_minute: Requests in any 60 s, retries included. None for no limit.
        tokens_per_minute: Tokens in any 60 s, read and written together. None for no limit.
        input_tokens_per_minute: Tokens read by the model in any 60 s. None for no limit.
        output_tokens_per_minute: Tokens written by the model in any 60 s. None for no limit.
        concurrency: Requests in flight at once, at least 1.
        burst_seconds: How many seconds' worth may leave at once, above 0 and at most 60.
            Some servers judge a minute's limit by the second; 1.0 suits them.
        adapt: Learn from the server: its rate-limit headers, 429s and growing latency.
            False keeps exactly to the numbers above (a `Retry-After` is honoured anyway).
        shared: True keeps one budget for all processes that use the same journal folder, the same
            endpoint, key and model, and say so too: together they send what is set, the latest
            assignment counts for all, and a 429 slows all. `concurrency` stays each one's own.

    Raises:
        LimitsError: A value is not a number, not above zero, beyond what can be kept (a limit of
            less than 0.000001 a minute, or more than 1e12), or not a field.

    Example:
        >>> limits = Limits(requests_per_minute=600, tokens_per_minute=120_000)
        >>> limits.requests_per_minute = 300
        >>> limits
        Limits(requests_per_minute=300, tokens_per_minute=120000, concurrency=32)
    """

    __slots__ = (*_FIELDS, "__weakref__", "_listeners", "_lock")

    requests_per_minute: float | None
    tokens_per_minute: float | None
    input_tokens_per_minute: float | None
    output_tokens_per_minute: float | None
    concurrency: int
    burst_seconds: float
    adapt: bool
    shared: bool
    _lock: threading.Lock
    _listeners: Listeners

    def __init__(  # noqa: PLR0917  (the order is the contract's)
        self,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        input_tokens_per_minute: float | None = None,
        output_tokens_per_minute: float | None = None,
        concurrency: int = 32,
        burst_seconds: float = 1.0,
        adapt: bool = True,
        shared: bool = False,
    ) -> None:
        object.__setattr__(self, "_lock", threading.Lock())
        object.__setattr__(self, "_listeners", Listeners())
        self.update(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            input_tokens_per_minute=input_tokens_per_minute,
            output_tokens_per_minute=output_tokens_per_minute,
            concurrency=concurrency,
            burst_seconds=burst_seconds,
            adapt=adapt,
            shared=shared,
        )

    @classmethod
    def of(cls, limits: Limits | Mapping[str, Any] | None) -> Limits:
        """The limits meant by an argument: themselves, a mapping of fields, or the defaults.

        Raises:
            LimitsError: It is none of these.
        """
        if limits is None:
            return cls()
        if isinstance(limits, Limits):
            return limits
        if isinstance(limits, Mapping):
            fresh = cls()
            fresh.update(**limits)
            return fresh
        raise LimitsError(
            f"limits= takes lp.Limits(...) or a dict of its fields, not {type(limits).__name__}. "
            "For example: limits=lp.Limits(requests_per_minute=600)."
        )

    def update(self, **fields: Any) -> None:
        """Set several fields as one change.

        Args:
            **fields: Fields by name, as the constructor takes them.

        Raises:
            LimitsError: As the constructor; nothing is changed then.
        """
        checked = {name: _checked(name, value) for name, value in fields.items()}
        with self._lock:
            for name, value in checked.items():
                object.__setattr__(self, name, value)
        self._listeners.tell()

    def __setattr__(self, name: str, value: object) -> None:
        self.update(**{name: value})

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return {name: getattr(self, name) for name in _FIELDS}

    def copy(self) -> Limits:
        """Equal limits that change on their own."""
        return Limits(**self.as_dict())

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call a bound method after every change, from the thread that made it.

        The method's object is held weakly, so listening keeps nothing alive.
        """
        self._listeners.add(listener)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and self.as_dict() == other.as_dict()

    __hash__ = None  # type: ignore[assignment]  # equal by value, and the values change

    def __repr__(self) -> str:
        usual = Limits().as_dict()
        shown = [
            f"{name}={value!r}"
            for name, value in self.as_dict().items()
            if value != usual[name] or name == "concurrency"
        ]
        return f"Limits({', '.join(shown)})"

    def __reduce__(self) -> tuple[object, ...]:
        return (Limits, tuple(self.as_dict().values()))


def _checked(name: str, value: object) -> Any:
    if name in _RATES:
        if value is None:
            return None
        number = _above_zero(name, value, "None for no limit")
        if number < LEAST_RATE:
            raise LimitsError(
                f"{name} is at least {LEAST_RATE:g}, not {value!r}. pause() stops a run."
            )
        return number
    if name == "concurrency":
        number = _above_zero(name, value, "1 sends one request after the other")
        if number != int(number):
            raise LimitsError(f"concurrency counts requests: a whole number, not {value!r}.")
        return int(number)
    if name == "burst_seconds":
        number = _above_zero(name, value, "1.0 is the default")
        if number > 60:
            raise LimitsError(
                f"burst_seconds is at most 60, the window of the limit; got {value!r}."
            )
        return number
    if name in {"adapt", "shared"}:
        if not isinstance(value, bool):
            raise LimitsError(f"{name} is True or False, not {value!r}.")
        return value
    raise LimitsError(f"There is no limit called {name!r}.{did_you_mean(name, _FIELDS)}")


def _above_zero(name: str, value: object, otherwise: str) -> float:
    number = math.nan
    if isinstance(value, SupportsFloat) and not isinstance(value, bool):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            number = float(value)
    if not math.isfinite(number) or number <= 0:
        raise LimitsError(f"{name} must be a number above 0 ({otherwise}), not {value!r}.")
    if number > MOST:
        raise LimitsError(f"{name} is at most {MOST:g} ({otherwise}), not {number:g}.")
    return int(number) if number == int(number) else number
