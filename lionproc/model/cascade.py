"""`lp.Cascade`: the small model first, and the next one for what it is not sure of."""

from __future__ import annotations

from collections.abc import Sequence

from lionproc.errors import ConfigurationError
from lionproc.face import faced
from lionproc.model.calibration import fewest_rows
from lionproc.model.composed import Composed, steps_of
from lionproc.model.model import Model
from lionproc.model.steps import Cascaded

__all__ = ["Cascade"]


@faced
class Cascade(Composed):
    """The small model first; rows that it is less sure of go to the next one.

    How sure an answer is, its log-probabilities say, as `confidence=True` does for the frame: so the
    answers are a choice (`Literal`, an `Enum` or `bool`). With `votes=5` it is the share of the
    majority, and works with every model and type; then each model is asked five times. A row of
    which the small one has no answer (a wrong shape, cut off, refused, too long) goes on too. One
    that is down stops the run as ever: what the large one costs is not spent for that. Put a
    `Fallback` in its place where it should be.

    Keys are those of who answered, so plain runs and cascades share what was paid for, the small
    model's with `confidence=True`. Where a larger model's answer is in the journal already, it is
    taken.

    **With `target=`** the threshold is found in the run. Of `sample` rows the large model answers
    all, and the lowest threshold is taken that they show to be good enough; all other rows wait for
    it at the small model. They are drawn by chance, by a hash of what the rows say: the same ones
    in a rerun, also where the rows come in another order. On Dask each partition is a run with a
    sample of its own: partitions of many times `sample` rows, or `below=`, save more.

    What is proven: with probability `certainty` the answers of the frame are those of the large
    model in at least `target` of the rows, whatever the two models are like and however badly the
    small one's confidence is calibrated. Each candidate, from the strictest on, passes an exact
    binomial test at that level, and the first that fails ends the search; as the error can only
    grow from one to the next, nothing is lost to their number (see `calibration.py`). What is
    assumed: that the rows of the sample are drawn from the very rows of the run, which they are, and
    that the large model says the same when it is asked again. It says nothing of how right the
    large model is: `score` does. What cannot be shown is refused: before the run where the sample
    is too small for the target (59 rows for 95 %, 299 for 99 %), and in it where even the surest
    rows differ too often; then nothing more is sent and all that was paid for is kept.

    Args:
        models: Two models or more, the smallest first, of any kind.
        below: Answers of less confidence than this go to the next model, from 0 to 1.
        target: In place of `below`: the share of rows, such as 0.95, whose answer is to be that of
            the large model. It takes two models, and the frame of a run: services have no sample.
        sample: Rows that the large model answers to find the threshold.
        certainty: The probability with which the target is kept.
        gold: With `target`: a column of the frame in which some rows, drawn by chance, have the right
            answer. They are the sample then, and the large model is not asked for it: what is shown
            is that small answers which stand are wrong in at most `1 - target` of all rows.

    Raises:
        ConfigurationError: Neither or both of `below` and `target` are given, a number is out of
            range, or the sample is too small to show the target.
        ModelError: It is no list of models, or one of them cannot be.

    Example:
        ```python
        model = lp.Cascade(["openai/gpt-4o-mini", "openai/gpt-4o"], below=0.8)
        df.llm.process("Is {review} positive?", into="ok", schema=bool, model=model)
        ```
    """

    def __init__(
        self,
        models: Sequence[Model | str],
        *,
        below: float | None = None,
        target: float | None = None,
        sample: int = 200,
        certainty: float = 0.95,
        gold: str | None = None,
    ) -> None:
        if (below is None) == (target is None):
            raise ConfigurationError(
                "Cascade takes below= (a confidence, such as 0.8), or target= (the share of answers "
                "that are to be the large model's, such as 0.95), and one of them."
            )
        if gold is not None and target is None:
            raise ConfigurationError("gold= is what target= is shown with; give that too.")
        for name, value in (("below", below), ("target", target), ("certainty", certainty)):
            _checked(name, value)
        if isinstance(sample, bool) or not isinstance(sample, int) or sample < 1:
            raise ConfigurationError(f"sample is a number of rows from 1 on, not {sample!r}.")
        if target is not None:
            fewest = fewest_rows(target, certainty)
            if sample < fewest:
                raise ConfigurationError(
                    f"A sample of {sample:,} rows cannot show a target of {target:g} with "
                    f"certainty {certainty:g}, even if no row differs: that takes {fewest:,}. Raise "
                    "sample=, or lower target=."
                )
        self._compose(models)
        if target is not None and len(self.members) != 2:
            raise ConfigurationError(
                f"target= finds one threshold, between two models, and these are "
                f"{len(self.members)}: give below=, or two."
            )
        self.below, self.target = below, target
        self.sample, self.certainty, self.gold = sample, certainty, gold
        threshold = None if below is None else float(below)  # as it is read from what is noted
        self.steps = Cascaded([steps_of(member) for member in self.members], threshold)

    def _named(self) -> dict[str, object]:
        if self.target is None:
            return {"below": self.below}
        named = {"target": self.target, "sample": self.sample, "certainty": self.certainty}
        return {**named, "gold": self.gold}


def _checked(name: str, value: float | None) -> None:
    if value is None:
        return
    inside = not isinstance(value, bool) and isinstance(value, (int, float)) and 0 < value <= 1
    if not inside or (name != "below" and value == 1):
        bounds = "above 0, and at most 1" if name == "below" else "between 0 and 1"
        raise ConfigurationError(f"{name} is a number {bounds}, not {value!r}.")
