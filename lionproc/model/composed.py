"""Models that are made of models, and are taken wherever a model is: `lp.Fallback`.

What shapes an answer is that of the member which gives it, and so is the key under which the
journal keeps it: whatever a member has answered by itself is not asked again, and the other way
round. Which member a row goes to is decided in `steps.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

from lionproc.errors import ModelError
from lionproc.face import faced
from lionproc.model.model import Model
from lionproc.model.steps import ONE, InTurn, Steps

__all__ = ["Composed", "Fallback", "leaves_of", "singles_of", "steps_of"]


class Composed(Model):
    """Several models in the place of one.

    Whoever reads the settings of a model (a limit of tokens, a temperature) reads those of the
    first one.

    Attributes:
        members: The models, as they were given.
        leaves: The single models in it, in the order in which they are asked.
        steps: Which of them a row goes to.
    """

    members: tuple[Model, ...]
    leaves: tuple[Model, ...]
    steps: Steps

    def _compose(self, members: object) -> None:
        name = type(self).__name__
        if isinstance(members, (str, Model, Mapping)) or not isinstance(members, Sequence):
            raise ModelError(
                f'{name} takes a list of models, like ["openai/a", "openrouter/a"], '
                f"not {type(members).__name__}."
            )
        if len(members) < 2:
            raise ModelError(f"{name} takes two models or more; this list has {len(members)}.")
        made = tuple(Model.of(member) for member in members)
        if len(set(map(id, made))) < len(made):
            raise ModelError(f"{name} has the same lp.Model twice; each is asked once.")
        if any(getattr(member, "target", None) is not None for member in made):
            raise ModelError(
                f"A Cascade with target= is no member of a {name}: it finds its threshold in a run "
                "of its own. Give it below=."
            )
        leaves = tuple(leaf for member in made for leaf in leaves_of(member))
        self.__dict__.update(leaves[0].__dict__)
        self.members, self.leaves = made, leaves

    def _named(self) -> dict[str, object]:
        """The arguments besides the members."""
        return {}

    def __copy__(self) -> Model:
        made: Any = type(self)
        copied: Model = made(list(self.members), **self._named())
        return copied

    def __reduce__(self) -> tuple[object, ...]:
        """As for `Model`: pickles carry no key."""
        return (_restored, (type(self), list(self.members), self._named()))

    def __repr__(self) -> str:
        if "members" not in vars(self):
            return f"<{type(self).__name__}, half made>"
        named = "".join(
            f", {name}={value!r}" for name, value in self._named().items() if value is not None
        )
        return f"{type(self).__name__}([{', '.join(map(repr, self.members))}]{named})"


def _restored(made: Any, members: list[Model], named: dict[str, object]) -> Model:
    restored: Model = made(members, **named)
    return restored


def leaves_of(model: Model) -> tuple[Model, ...]:
    """The single models that a model is made of, in the order in which they are asked."""
    return getattr(model, "leaves", (model,))


def singles_of(model: Model) -> tuple[Model, ...]:
    """As `leaves_of`, with the members of a Pool one by one: each has a key and limits of its own."""
    return tuple(one for leaf in leaves_of(model) for one in getattr(leaf, "members", (leaf,)))


def steps_of(model: Model) -> Steps:
    """Which of the leaves a row goes to."""
    return copy(getattr(model, "steps", ONE))  # what a run finds out is its own


@faced
class Fallback(Composed):
    """Another model for what the first cannot answer.

    A row goes to the next one where this one is down, times out, has no room or no quota, refuses
    the key, does not know the model, reads no prompt as long, or lets a filter refuse: after the
    retries that the run would make in any case. While one fails for all it is left out: rows go
    straight to the next, and one request now and then finds out whether it is back. The same for
    the last one while those before it answer: the rows that need it fail, with its reason, and the
    run goes on. It ends where none of them answers.

    It never hides a bad answer. What a model answers in a wrong shape, empty or cut is that row's
    failure, as without a fallback, and so is a request that is wrong by itself (400).

    Answers that the journal has go before requests, those of the first model before those of the
    next. With `details=True` the column `{into}_model` says who answered; the report counts rows,
    dollars and errors by member.

    Args:
        models: Two models or more, of any kind: "provider/model", `lp.Model`, or others that are
            composed.

    Raises:
        ModelError: It is no list of models, or one of them cannot be.

    Example:
        ```python
        model = lp.Fallback(["openai/gpt-4o-mini", "local"])
        df.llm.process("Is {review} positive?", into="ok", schema=bool, model=model)
        ```
    """

    def __init__(self, models: Sequence[Model | str]) -> None:
        self._compose(models)
        self.steps = InTurn([steps_of(member) for member in self.members])
