"""What the names in the prompts of a pipeline over a frame mean.

A name means what is called so in the frame that comes out: a column of the input, or a column
that an earlier stage makes (`topic`; `facts_length` for a field). `{facts}` is the whole answer
of a stage with fields, and `{length}` a field by its bare name, where nothing else is called so.
What could mean two things is refused before anything is sent, as in `df.llm.process`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from lionproc.errors import CallError, ColumnError, Kind, PromptError
from lionproc.model.answer import Answer
from lionproc.model.shape import Json, Map
from lionproc.template import Names, could_be_a_name

__all__ = ["Answered", "AnsweredByAny", "Known", "OfPrompt", "StageNames"]

Answers: TypeAlias = Callable[[int, str | None], Any]
"""What each stage answered for a row, as JSON has it: by the number of the stage, one field or all."""
_WITH_ANY_FIELDS = (Json, Map)


class OfPrompt(Enum):
    """Names that belong to the prompt itself."""

    DATA = "data"
    OPTIONS = "options"


_OF_PROMPT = tuple(each.value for each in OfPrompt)


@dataclass(frozen=True, slots=True, repr=False)
class Answered:
    """A name of what an earlier stage answers.

    Attributes:
        name: The name.
        stage: The number of the stage.
        field: Which field of its answer, by its name in Python; None for all of it.
    """

    name: str
    stage: int
    field: str | None = None

    def value(self, answers: Answers) -> Any:
        """What it is for a row."""
        return answers(self.stage, self.field)

    def __repr__(self) -> str:
        return repr(self.name)


@dataclass(frozen=True, slots=True, repr=False)
class AnsweredByAny:
    """A name of what some earlier stage may answer, whose fields are not known before.

    Attributes:
        name: The name.
        stages: The numbers and names of those stages.
    """

    name: str
    stages: tuple[tuple[int, str], ...]

    def value(self, answers: Answers) -> Any:
        """What it is for a row, or why nothing is."""
        found = []
        for number, stage in self.stages:
            answer = answers(number, None)
            if isinstance(answer, Mapping) and self.name in answer:
                found.append((stage, answer[self.name]))
        if len(found) == 1:
            return found[0][1]
        both = f"which {_listed([stage for stage, _ in found])} have both"
        what = both if found else "which no answer has"
        return CallError(Kind.PROMPT, f"The prompt shows {{{self.name}}}, {what}.")

    def __repr__(self) -> str:
        return repr(self.name)


class Known:
    """What is known of a row when a stage is asked: the columns, and the stages before it.

    Args:
        columns: The labels of the frame.

    Attributes:
        columns: The labels of the frame.
        replaced: Columns that fields of an answer take the place of.
        stages: The names of the stages so far.
    """

    def __init__(self, columns: Sequence[Hashable]) -> None:
        self.columns = list(columns)
        self._labels = Counter(map(Names.text, columns))
        self._visible: dict[str, Hashable] = {}
        for label in sorted(columns, key=lambda label: isinstance(label, str)):
            self._visible[Names.text(label)] = label  # a text goes before what prints alike
        self._fields: dict[str, list[Answered]] = {}
        self._open: tuple[tuple[int, str], ...] = ()
        self.replaced: frozenset[str] = frozenset()
        self.stages: tuple[str, ...] = ()

    def candidates(self, name: str) -> list[Hashable]:
        """What a name may mean.

        Raises:
            PromptError: It is the name of more than one column.
        """
        self.one(name)
        if name in self._visible:
            return [self._visible[name]]
        if name in self._fields:
            return list(self._fields[name])
        if name in _OF_PROMPT:
            return [OfPrompt(name)]
        if self._open and could_be_a_name(name):
            return [AnsweredByAny(name, self._open)]
        return []

    def names(self) -> list[str]:
        """Every name there is."""
        return [*self._visible, *self._fields, *_OF_PROMPT]

    def one(self, name: str) -> None:
        """Refuse the name of more than one column.

        Raises:
            PromptError: It is.
        """
        if self._labels[name] > 1:
            raise PromptError(
                f"More than one column is called {name!r}, and the stage would see only one of "
                "them. Rename them, or leave out the others: df[[...]]."
            )

    def all_differ(self) -> None:
        """Refuse columns that a stage which sees the whole row could not tell apart.

        Raises:
            PromptError: Two are called the same.
        """
        for name in self._labels:
            self.one(name)

    def add(self, stage: str, answer: Answer, *, last: bool) -> None:
        """From here on a stage has answered.

        Args:
            stage: Its name.
            answer: The type of its answer.
            last: Whether nothing comes after it.

        Raises:
            ColumnError: It is called as a column that later stages see.
        """
        number, fields = len(self.stages), answer.fields or ()
        # An answer in one column may replace that very column (overwrite=True), and nothing else.
        replaces = answer.fields is None and stage in self.columns
        if self._labels[stage] and not replaces and not last:
            raise ColumnError(
                f"The frame has a column {stage!r}, and a stage is called so: the prompts "
                "after it could mean either. Give the stage another name."
            )
        made = {f"{stage}_{field.name}": Answered(f"{stage}_{field.name}", number, field.name)
                for field in fields}  # fmt: skip
        self.replaced |= made.keys() & self._labels.keys()
        self._visible |= {stage: Answered(stage, number), **made}
        self._labels[stage] = 1
        for field in fields:
            self._fields.setdefault(field.name, []).append(Answered(field.name, number, field.name))
        if answer.fields is None and isinstance(answer.shape, _WITH_ANY_FIELDS):
            self._open += ((number, stage),)
        self.stages += (stage,)


class StageNames(Names):
    """Which text in the braces of a stage's template means what.

    Args:
        known: What is known when the stage is asked.
    """

    required = False

    def __init__(self, known: Known) -> None:
        super().__init__((), each=False)
        self._known = known
        self.longest = max(map(len, known.names()))

    def known(self) -> list[str]:
        """See `Names.known`."""
        return self._known.names()

    def called(self, name: str) -> list[Hashable]:
        """See `Names.called`.

        Raises:
            PromptError: More than one thing is called so.
        """
        found = self._known.candidates(name)
        if len(found) > 1:
            owners = [each.stage for each in found if isinstance(each, Answered)]
            stages = [self._known.stages[owner] for owner in owners]
            ways = " or ".join(f"{{{stage}_{name}}}" for stage in stages)
            raise PromptError(f"It shows {{{name}}}, a field of {_listed(stages)}. Say {ways}.")
        return found

    def unknown(self, name: str) -> str:
        """See `Names.unknown`."""
        return f"Neither a column nor a stage before it is called {name!r}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
