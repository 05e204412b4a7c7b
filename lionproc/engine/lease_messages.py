"""What a holder of permissions and the budget that lends them say to each other.

All ages are seconds before the message was sent, so no two clocks are compared: what is late on its
way counts as sent later than it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from lionproc.engine.tokens import QUANTITIES

__all__ = ["LEASE_S", "NONE", "SAFE_S", "Ask", "Entry", "Grant", "PerMinute"]

PerMinute: TypeAlias = tuple[float | None, ...]
"""A limit for each of `QUANTITIES`, None for no limit."""
Entry: TypeAlias = tuple[float, Sequence[float]]
"""Seconds ago, and the amounts of each quantity."""

LEASE_S = 5.0  # for which a lease holds
SAFE_S = 1.0  # before its end it is not used any more
NONE: tuple[float, ...] = (0.0,) * len(QUANTITIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a holder says, and asks for.

    Attributes:
        holder: Who it is.
        amounts: What its next request takes of each quantity; None if it wants nothing.
        lease: The lease that it gives back, 0 for none.
        used: What it has used of that lease.
        corrections: What was used turned out to be so much more, or less.
        knows: The id of the budget that knows what it has sent before.
        past: What it has sent in the last minute, for a budget that does not; None for one that
            does.
        limits: What a person wants the limits to be; or, told with its past, what they were.
        assigned: The name of that wish; each is heeded once. Empty for no wish: then a budget
            that has no limits of its own takes those that were.
        taught: What the server says that the limits are.
        hold_s: Seconds for which the server wants nothing more, from a refusal.
    """

    holder: str
    amounts: Sequence[float] | None = None
    lease: int = 0
    used: Sequence[Entry] = ()
    corrections: Sequence[Entry] = ()
    knows: str = ""
    past: Sequence[Entry] | None = None
    limits: Sequence[float | None] = ()
    assigned: str = ""
    taught: Sequence[float | None] = ()
    hold_s: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the way to another process; `Ask(**...)` makes it again."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a budget answers.

    Attributes:
        budget: Its id. A holder that it does not know yet has to tell its past first.
        lease: The number of the lease, 0 for none.
        permissions: How many requests may be sent.
        amounts: What they may take of each quantity together.
        use_s: Seconds for which they may be used, from when they were asked for.
        wait_s: Seconds after which to ask again, where there is no lease.
        limits: What the limits are.
    """

    budget: str
    lease: int = 0
    permissions: int = 0
    amounts: Sequence[float] = NONE
    use_s: float = LEASE_S - SAFE_S
    wait_s: float = 0.0
    limits: Sequence[float | None] = ()

    def as_dict(self) -> dict[str, Any]:
        """For the way to another process; `Grant(**...)` makes it again."""
        return asdict(self)
