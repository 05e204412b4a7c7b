"""What a run may spend at most."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lionproc.errors import ConfigurationError
from lionproc.face import faced


@faced
@dataclass(frozen=True, slots=True)
class Budget:
    """Bounds for one run. Reaching one stops the run and returns what there is.

    What is in flight counts with its estimate, from the first request on, and so does what came
    to nothing and may have been billed all the same (a timeout, a connection that broke). So a
    bound on dollars or tokens is passed by no more than one request and the error of the
    estimates; the bound on requests is exact.

    Args:
        usd: Dollars, for models whose price is known.
        tokens: Tokens read and written.
        requests: Requests, retries included.

    Raises:
        ConfigurationError: A bound is negative or not a number.

    Example:
        >>> Budget(usd=2.5)
        Budget(usd=2.5, tokens=None, requests=None)
    """

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "requests"):
            bound = getattr(self, name)
            if bound is None:
                continue
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise ConfigurationError(f"Budget({name}=...) is a number, not {bound!r}.")
            if not (math.isfinite(bound) and bound >= 0):
                raise ConfigurationError(f"Budget({name}=...) is 0 or more, not {bound!r}.")

    def reached(self, *, usd: float | None, tokens: int, requests: int) -> str:
        """Which bound is reached, in words; empty while none is.

        Args:
            usd: Dollars spent and under way, None where the price is not known.
            tokens: Tokens used and under way.
            requests: Requests sent.
        """
        if self.requests is not None and requests >= self.requests:
            return f"{self.requests:,} requests"
        if self.tokens is not None and tokens >= self.tokens:
            return f"{self.tokens:,} tokens"
        if self.usd is not None and usd is not None and usd >= self.usd:
            return dollars(self.usd)
        return ""

    def passed(self, *, usd: float | None, tokens: int) -> bool:
        """Whether so much is more than was given.

        Args:
            usd: Dollars, None where the price is not known.
            tokens: Tokens.
        """
        return (self.tokens is not None and tokens > self.tokens) or (
            self.usd is not None and usd is not None and usd > self.usd
        )


def dollars(usd: float) -> str:
    """A bound in dollars as it was given: $5.00, $1,250.00, $0.0005.

    Example:
        >>> dollars(5), dollars(0.0005), dollars(1250)
        ('$5.00', '$0.0005', '$1,250.00')
    """
    exact = f"{usd:,.10f}".rstrip("0")
    whole, _, part = exact.partition(".")
    return f"${whole}.{part:0<2}"
