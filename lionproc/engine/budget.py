"""What a run may spend at most, and when that is reached."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.face import faced

_BOUNDS = ("usd", "tokens", "requests")
WARN_AT = 0.8  # of a bound


@faced
@dataclass(slots=True)
class Budget:
    """Bounds for one run. Reaching one stops the run and returns what there is.

    What is in flight counts with its estimate, from the first request on, and so does what came
    to nothing and may have been billed all the same (a timeout, a connection that broke). So a
    bound on dollars or tokens is passed by no more than one request and the error of the
    estimates; the bound on requests is exact. Dollars are those of the replies: cached tokens
    and the tier that served them count at their price.

    A run has a budget of its own, `job.budget`: assigning one of its fields acts while it runs.

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

    def __setattr__(self, name: str, bound: object) -> None:
        if name not in _BOUNDS:
            raise ConfigurationError(f"A budget has no {name!r}.{did_you_mean(name, _BOUNDS)}")
        if bound is not None:
            if isinstance(bound, bool) or not isinstance(bound, (int, float)):
                raise ConfigurationError(f"Budget({name}=...) is a number, not {bound!r}.")
            if not (math.isfinite(bound) and bound >= 0):
                raise ConfigurationError(f"Budget({name}=...) is 0 or more, not {bound!r}.")
        object.__setattr__(self, name, bound)

    @property
    def is_set(self) -> bool:
        """Whether there is a bound at all."""
        return self.usd is not None or self.tokens is not None or self.requests is not None

    def used(self, *, usd: float, tokens: int, requests: int) -> tuple[str, float | None]:
        """The bound that is used most, in words, and the share of it; none where there is none.

        Args:
            usd: Dollars spent.
            tokens: Tokens used.
            requests: Requests sent.
        """
        spent = {"usd": usd, "tokens": tokens, "requests": requests}
        bounds = {name: bound for name in _BOUNDS if (bound := getattr(self, name)) is not None}
        if not bounds:
            return "", None
        shares = {name: spent[name] / bound if bound else 1.0 for name, bound in bounds.items()}
        most = max(shares, key=lambda name: shares[name])
        said = dollars(bounds["usd"]) if most == "usd" else f"{bounds[most]:,} {most}"
        return said, shares[most]

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
