"""The limits that bind now, a person's and the provider's, and what was sent under them.

Lives on the engine's loop; only the live `Limits` may be changed from anywhere.
"""

from __future__ import annotations

import logging

from lionproc.engine.lease_messages import PerMinute
from lionproc.engine.limits import Limits
from lionproc.engine.quantity_limits import QuantityLimits
from lionproc.engine.quotas import ProviderQuotas, Signals
from lionproc.engine.server_pace import Wait
from lionproc.engine.tokens import (
    INPUT,
    OUTPUT,
    QUANTITIES,
    REQUESTS,
    TOKENS,
    Amounts,
    Tokens,
    amounts_of,
)
from lionproc.errors import CallError, Kind

__all__ = ["LimitsInForce"]

log = logging.getLogger("lionproc.engine")
_FIELDS = {
    REQUESTS: "requests_per_minute",
    TOKENS: "tokens_per_minute",
    INPUT: "input_tokens_per_minute",
    OUTPUT: "output_tokens_per_minute",
}
_NAMES = tuple(_FIELDS[quantity] for quantity in QUANTITIES)


class LimitsInForce:
    """What may be sent of each quantity, and what was sent of it in the last minute.

    Args:
        limits: The live limits of a person.

    Attributes:
        limits: The same.
        quotas: What the provider says of its limits.
        sent: What was sent, against each limit.
        is_stale: Whether the limits have changed since the last `refresh`.
        ignored: A header that cannot be meant.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.quotas = ProviderQuotas()
        self.sent = QuantityLimits()
        self.is_stale = True
        self.wants_word = False  # waits for what the headers said, and later ones may say more
        self.ignored = ""

    # -- which they are ---------------------------------------------------------------------

    def own(self, quantity: str, limits: Limits | None = None) -> float | None:
        """The limit per minute that a person set."""
        own: float | None = getattr(limits or self.limits, _FIELDS[quantity])
        return own

    def effective(self, quantity: str, limits: Limits | None = None) -> float | None:
        """See `Limiter.effective`."""
        limits = limits or self.limits
        theirs = self.quotas.limits.get(quantity) if limits.adapt else None
        known = [limit for limit in (self.own(quantity, limits), theirs) if limit is not None]
        return min(known) if known else None

    def refresh(self, now: float) -> None:
        """Keep the limits as they are now."""
        self.is_stale = False
        per_minute = [self.effective(quantity) for quantity in QUANTITIES]
        self.sent.set(per_minute, self.limits.burst_seconds, now)

    # -- shared with others: what a `Lender` asks and says ------------------------------------

    def own_limits(self) -> PerMinute:
        """The limits per minute that a person set, for each quantity."""
        return tuple(self.own(quantity) for quantity in QUANTITIES)

    def take_limits(self, limits: PerMinute) -> None:
        """Make these the limits per minute: somebody else who shares them has set them."""
        self.limits.update(**dict(zip(_NAMES, limits, strict=True)))

    def taught(self) -> PerMinute:
        """What the server says that the limits are; nothing where that is not to be learned."""
        if not self.limits.adapt:
            return ()
        return tuple(self.quotas.limits.get(quantity) for quantity in QUANTITIES)

    def past(self, now: float) -> list[tuple[float, list[float]]]:
        """What was sent in the last minute."""
        return self.sent.past(now)

    # -- one request ------------------------------------------------------------------------

    def refuse(self, tokens: Tokens) -> None:
        """See `Limiter.refuse`."""
        for name, amount in zip(QUANTITIES, amounts_of(tokens), strict=True):
            limit = self.own(name)
            if limit is None or amount <= max(limit, 1.0):
                hint = self.effective(name)
                if hint is not None and amount > max(hint, 1.0):
                    self.quotas.disbelieve(name)
                    self.is_stale = True
            else:
                what = "tokens" if name == TOKENS else f"{name} tokens"
                raise CallError(
                    Kind.TOO_LARGE,
                    f"This request needs about {amount:,.0f} {what}, more than the limit of "
                    f"{limit:,.0f} a minute can ever admit. Raise the limit, shorten the prompt "
                    "or set max_tokens.",
                )

    def wait(self, amounts: Amounts, now: float) -> Wait | None:
        """Why a request with such amounts waits; None if it may leave now."""
        self.wants_word = False
        if self.sent.active:
            seconds = self.sent.wait_s(amounts, now)
            if seconds > 0:
                return Wait(seconds, "room under the limit of the last minute")
        if self.limits.adapt and self.quotas.left:
            seconds = self.quotas.wait_s(amounts, now)
            if seconds > 0:
                self.wants_word = True
                return Wait(seconds, "the server, which has no more left for now")
        return None

    def departed(self, amounts: Amounts, now: float) -> int:
        """Count what leaves now; returns the bucket, for corrections."""
        bucket = self.sent.sent(amounts, now)
        self.quotas.departed(amounts)
        return bucket

    def silent(self) -> bool:
        """A reply said nothing of limits. True if one that was told before is forgotten now."""
        forgotten = self.quotas.silent()
        self.is_stale = self.is_stale or forgotten
        return forgotten

    def learn(self, signals: Signals, mark: tuple[float, ...], now: float) -> bool:
        """Learn from headers; returns True if somebody waits for what they say.

        Args:
            signals: What they say.
            mark: How much had been sent before the request that they answer.
            now: Seconds of the loop's clock.
        """
        if signals.ignored and not self.ignored:
            self.ignored = signals.ignored
            log.warning("a header cannot be meant and is ignored: %s", signals.ignored)
        if not (signals.quotas and self.limits.adapt):
            return False
        if self.quotas.learn(signals.quotas, mark, now):
            self.is_stale = True
        return self.wants_word
