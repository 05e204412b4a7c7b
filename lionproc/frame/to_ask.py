"""What is to be asked of a model in a run that is foreseen: how many questions, and how large ones."""

from __future__ import annotations

from collections import Counter

from lionproc.frame.cacheable import MOST_SAMPLES, FixedPart, fixed_part
from lionproc.frame.plan import Plan
from lionproc.frame.seen import Reservoir
from lionproc.model.call import ModelCall, RequestBuilder

__all__ = ["ToAsk"]


class ToAsk:
    """What is to be asked of a model.

    Args:
        plan: The run.
        builder: Makes the questions.

    Attributes:
        builder: That one.
        sizes: How many questions there are, by bytes of text and tokens of media.
        kept: Some that the journal has replies to.
    """

    def __init__(self, plan: Plan, builder: RequestBuilder) -> None:
        self._plan = plan
        self.builder = builder
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.kept = Reservoir()
        self._some: list[ModelCall] = []
        self._asked: set[bytes] = set()

    def with_kept(self, kept: Reservoir) -> ToAsk:
        """The same, judged by these replies."""
        self.kept = kept
        return self

    def ask(self, call: ModelCall) -> None:
        """A question is to be sent, unless an equal one is."""
        if call.key is not None and call.key not in self._asked:
            self._asked.add(call.key)
            self.sizes[call.text_size, call.media_tokens] += 1
            if len(self._some) < MOST_SAMPLES:
                self._some.append(call)

    def fixed(self) -> FixedPart | None:
        """What is the same in all questions."""
        return fixed_part(self._some, self._plan.outputs[0].prompt.literals)
