"""How many tokens a request will take, learned from the replies. No tokenizer, no download."""

from __future__ import annotations

from lionproc.engine.limiter import Tokens
from lionproc.model.usage import BYTES_PER_TOKEN

ANSWER_TOKENS = 256.0  # before the first reply: answers are bounded by their longest usual kind
MEMORY = 0.995  # what a reply still counts for after the next one


class Estimator:
    """A line through (bytes sent, tokens read), and the mean of the tokens written.

    The line has an intercept because every request carries the same schema and system prompt.
    Sums are weighted so that later replies count more.
    """

    __slots__ = ("_n", "_out", "_x", "_xx", "_xy", "_y", "intercept", "output", "slope")

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = self._out = 0.0
        self.slope = 1 / BYTES_PER_TOKEN
        self.intercept = 0.0
        self.output = ANSWER_TOKENS

    @property
    def learned(self) -> bool:
        """True once a reply has shown something."""
        return self._n > 0

    def tokens(self, sent_bytes: int, max_tokens: int | None, *, charges_max: bool) -> Tokens:
        """What a request will probably take.

        Args:
            sent_bytes: Size of its body.
            max_tokens: The bound on its answer, None for none.
            charges_max: Whether the provider counts that bound, used or not.
        """
        output = self.output
        if max_tokens is not None:
            output = max_tokens if charges_max else min(output, max_tokens)
        return Tokens(max(int(self.intercept + self.slope * sent_bytes), 1), int(output + 0.999))

    def learn(self, sent_bytes: int, used: Tokens) -> None:
        """Take in what a request of this size really took."""
        self._n = self._n * MEMORY + 1
        self._x = self._x * MEMORY + sent_bytes
        self._y = self._y * MEMORY + used.input
        self._xx = self._xx * MEMORY + sent_bytes * sent_bytes
        self._xy = self._xy * MEMORY + sent_bytes * used.input
        self._out = self._out * MEMORY + used.output
        mean_x, mean_y = self._x / self._n, self._y / self._n
        spread = self._xx / self._n - mean_x * mean_x
        if spread > 1.0:
            slope = (self._xy / self._n - mean_x * mean_y) / spread
            if 0.02 <= slope <= 2.0:
                self.slope, self.intercept = slope, mean_y - slope * mean_x
            else:
                self.slope, self.intercept = mean_y / mean_x, 0.0
        elif mean_x > 0:
            self.slope, self.intercept = mean_y / mean_x, 0.0
        self.output = self._out / self._n
