"""Numbers that look random and are a function of (seed, position): runs repeat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["SeededRandom", "unit"]

T = TypeVar("T")
MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def _mixed(z: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def unit(seed: int, n: int, stream: int = 0) -> float:
    """The n-th number in [0, 1) of one of a seed's streams.

    Args:
        seed: Any integer.
        n: Position, from 0.
        stream: Which of the independent sequences of this seed.

    Returns:
        A number, the same for the same arguments on every machine.

    Example:
        >>> unit(7, 3) == unit(7, 3) != unit(7, 4)
        True
    """
    start = _mixed((seed * STEP + stream) & MASK)
    return (_mixed((start + (n + 1) * STEP) & MASK) >> 11) / (1 << 53)


class SeededRandom:
    """A sequence of choices that a seed decides.

    Args:
        seed: Any integer.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & MASK

    def below(self, limit: int) -> int:
        """The next whole number from 0 to `limit` - 1."""
        self._state = (self._state + STEP) & MASK
        return _mixed(self._state) % limit if limit > 1 else 0

    def choice(self, options: Sequence[T]) -> T:
        """The next pick of `options`."""
        return options[self.below(len(options))]
