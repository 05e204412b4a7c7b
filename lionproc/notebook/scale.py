"""The positions of a slider over limits: round numbers on a log scale, the last one "no limit"."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from lionproc.notebook.formatting import count, exact

# Ten steps a decade, near to the series of preferred numbers R10 (ISO 3), rounder to the eye.
_STEPS = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
_NOTHING = {"", "none", "no", "off", "no limit", "nolimit", "unlimited", "inf", "infinite", "∞"}
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([kmg]?)")
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
NO_LIMIT = "no limit"


@dataclass(frozen=True)
class Scale:
    """What a slider can be set to.

    Attributes:
        values: From the lowest to the highest; None, if it is there, comes last.
    """

    values: tuple[float | None, ...]

    @classmethod
    def around(
        cls, value: float | None, *, usual: float, lowest: float, can_be_off: bool, whole: bool
    ) -> Scale:
        """A scale of three decades with a value in its middle, and exactly on it.

        Args:
            value: The limit as it is, None for none.
            usual: The middle if there is no limit.
            lowest: Where the scale begins at the lowest.
            can_be_off: Whether the last position is no limit.
            whole: Whether only whole numbers count.

        Example:
            >>> Scale.around(6, usual=32, lowest=1, can_be_off=False, whole=True).values[:5]
            (1, 2, 3, 4, 5)
        """
        middle = value or usual
        low, high = max(lowest, middle / 30), middle * 30
        if value is not None:
            low = min(low, value)
        steps = {
            round(step * 10.0**decade, 6)
            for decade in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for step in _STEPS
        }
        steps = {step for step in steps if low <= step <= high and (not whole or step % 1 == 0)}
        if value is not None:
            steps.add(value)
        values: list[float | None] = [int(s) if s == int(s) else s for s in sorted(steps)]
        return cls((*values, None) if can_be_off else tuple(values))

    def position(self, value: float | None) -> int | None:
        """Where a value is, None if it is not on this scale."""
        return self.values.index(value) if value in self.values else None

    def labels(self) -> tuple[str, ...]:
        """The positions in words, all different."""
        words = [NO_LIMIT if value is None else count(value) for value in self.values]
        return tuple(
            word if words.count(word) == 1 or value is None else exact(value)
            for word, value in zip(words, self.values, strict=True)
        )


def shown(value: float | None) -> str:
    """A limit as its number field shows it."""
    return NO_LIMIT if value is None else exact(value)


def read(text: str) -> float | None:
    """The limit that a person typed: 600, 1,200, 30k, 1.5M, or "no limit" (or nothing).

    Raises:
        ValueError: It is neither.

    Example:
        >>> read("1,200"), read("30k"), read("no limit")
        (1200.0, 30000.0, None)
    """
    word = " ".join(text.lower().replace(",", "").replace("_", "").split())
    if word in _NOTHING:
        return None
    found = _NUMBER.fullmatch(word)
    if found is None:
        raise ValueError(text)
    number = float(found[1]) * _FACTORS[found[2]]
    if math.isinf(number):  # of very many digits
        raise ValueError(text)
    return number
