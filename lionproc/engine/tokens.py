"""What is counted of a request: itself, and the tokens that it reads and writes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

QUANTITIES = REQUESTS, TOKENS, INPUT, OUTPUT = ("requests", "tokens", "input", "output")
Amounts: TypeAlias = tuple[float, float, float, float]  # one for each of QUANTITIES


class Tokens(NamedTuple):
    """Tokens read and written by the model."""

    input: int = 0
    output: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output


def amounts_of(tokens: Tokens, requests: float = 1.0) -> Amounts:
    """What one request with these tokens, or so many, takes of each quantity."""
    read, written = tokens
    return requests, float(read + written), float(read), float(written)
