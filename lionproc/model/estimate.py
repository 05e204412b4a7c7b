"""How many tokens a request will take, for the limiter, learned from the replies.

No tokenizer, no download. What `df.llm.estimate` makes of it is in `frame/forecast.py`.
"""

from __future__ import annotations

from lionproc.engine.tokens import Tokens
from lionproc.model.usage import BYTES_PER_TOKEN

ANSWER_TOKENS = 256.0  # before the first reply: answers are bounded by their longest usual kind
MEMORY = 0.995  # what a reply still counts for after the next one
FEW = 32
MOST_TIMES = 8  # what was expected, that one reply counts for


class Estimator:
    """A line through (bytes sent, tokens read), and the mean of the tokens written.

    The line has an intercept because every request carries the same schema and system prompt.
    Sums are weighted so that later replies count more. Pictures and other media are no part of
    the line: of them is learned by how much the provider's rule is off.
    """

    __slots__ = (
        "_media",
        "_media_expected",
        "_n",
        "_out",
        "_seen",
        "_x",
        "_xx",
        "_xy",
        "_y",
        "intercept",
        "media",
        "output",
        "slope",
    )

    def __init__(self) -> None:
        self._n = self._x = self._y = self._xx = self._xy = self._out = 0.0
        self.slope = 1 / BYTES_PER_TOKEN
        self.intercept = 0.0
        self.output = ANSWER_TOKENS
        self.media = 1.0
        self._media = self._media_expected = self._seen = 0.0

    @property
    def learned(self) -> bool:
        """True once a reply has shown something."""
        return self._seen > 0

    def tokens(
        self, sent_bytes: int, max_tokens: int | None, *, charges_max: bool, media: int = 0
    ) -> Tokens:
        """What a request will probably take.

        Args:
            sent_bytes: Size of its body, without media.
            max_tokens: The bound on its answer, None for none.
            charges_max: Whether the provider counts that bound, used or not.
            media: Tokens of its pictures, sounds and files by the provider's rule.
        """
        output = self.output
        if max_tokens is not None:
            output = max_tokens if charges_max else min(output, max_tokens)
        read = self.intercept + self.slope * sent_bytes + self.media * media
        return Tokens(max(int(read), 1), int(output + 0.999))

    def learn(self, sent_bytes: int, used: Tokens, media: int = 0) -> None:
        """Take in what a request of this size, with this much media, really took.

        A count that is far from all others may be wrong, and no row may be too large for the limits
        because one reply says that it took a billion tokens. So each counts for a few times what was
        expected at most; where replies do take that much, the next ones say so too.
        """
        expected = int(self.intercept + self.slope * sent_bytes + self.media * media)
        read = min(used.input, MOST_TIMES * max(expected, FEW))
        written = min(used.output, MOST_TIMES * max(int(self.output + 0.999), FEW))
        self._seen = self._seen * MEMORY + 1
        self._out = self._out * MEMORY + written
        self.output = self._out / self._seen
        if media:
            rest = max(read - self.intercept - self.slope * sent_bytes, 0.0)
            self._media = self._media * MEMORY + rest
            self._media_expected = self._media_expected * MEMORY + media
            self.media = min(max(self._media / self._media_expected, 0.02), 50.0)
            return
        self._n = self._n * MEMORY + 1
        self._x = self._x * MEMORY + sent_bytes
        self._y = self._y * MEMORY + read
        self._xx = self._xx * MEMORY + sent_bytes * sent_bytes
        self._xy = self._xy * MEMORY + sent_bytes * read
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
