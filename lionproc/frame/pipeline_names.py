"""What the names in the prompts of a pipeline over a frame mean.

A name means what is called so in the frame that comes out: a column of the input, or a column
that an earlier stage makes (`topic`; `facts_length` for a field). `{facts}` is the whole answer
of a stage with fields, and `{length}` a field by its bare name, where nothing else is called so.
What could mean two things is refused before anything is sent, as in `df.llm.process`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from lionproc.errors import CallError, ColumnError, Kind, PromptError, did_you_mean
from lionproc.frame.template import Names
from lionproc.model.answer import Answer
from lionproc.model.shape import Json, Map

if TYPE_CHECKING:
    from lionproc.service.stage import ProcessingStage

__all__ = ["Seen", "labels_of", "seen_by"]

Source: TypeAlias = "tuple[str, ...]"
"""Where a value is: a column or stage, and a field of its answer where it is one."""
_WITH_ANY_FIELDS = (Json, Map)
_OF_THE_PROMPT = ("data", "options")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a stage sees of a row and of the answers so far.

    Attributes:
        sources: Where the value of each name in its template is.
        open: Earlier stages whose fields are not known before they answer.
        replaced: Columns of the input that fields of its answer take the place of.
        whole: Whether it sees the whole row, for it has no template.
    """

    sources: Mapping[str, Source]
    open: tuple[str, ...]
    replaced: frozenset[str]
    whole: bool

    def values(self, context: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
        """The value of each name in a template; those of the prompt itself are left out.

        Args:
            context: The row, and the answers so far by stage.
            names: What the template shows.

        Raises:
            CallError: Of kind `prompt`: no answer has such a field, or more than one.
        """
        made = {}
        for name in names:
            source = self.sources.get(name)
            if source is None and name not in _OF_THE_PROMPT:
                source = self._of_an_open_stage(context, name)
            if source is not None:
                made[name] = _value(context, source)
        return made

    def _of_an_open_stage(self, context: Mapping[str, Any], name: str) -> Source:
        found = [stage for stage in self.open if name in (_fields(context.get(stage)) or ())]
        if len(found) != 1:
            what = "which no answer has" if not found else f"which {_listed(found)} have both"
            raise CallError(Kind.PROMPT, f"The prompt shows {{{name}}}, {what}.")
        return found[0], name


def labels_of(columns: Sequence[Hashable]) -> list[str]:
    """What each column is called in templates and in the data that a stage sees."""
    return [Names.text(label) for label in columns]


def seen_by(
    columns: Sequence[Hashable], stages: Sequence[ProcessingStage], answers: Sequence[Answer]
) -> list[Seen]:
    """What each stage sees, checked before anything is paid for.

    Args:
        columns: The labels of the frame.
        stages: The stages in order.
        answers: The answer type of each.

    Raises:
        PromptError: A template shows what no row has, or what could mean two things.
        ColumnError: A stage is called as a column that later stages see.
    """
    labels = Counter(labels_of(columns))
    visible: dict[str, Source] = {label: (label,) for label in labels}
    fields: dict[str, list[Source]] = {}
    open_stages: tuple[str, ...] = ()
    made = []
    for number, (stage, answer) in enumerate(zip(stages, answers, strict=True)):
        shown = stage.prompt_maker().fields
        whole = stage.input == "all" or number == 0
        whole &= not isinstance(stage.prompt, str) or "data" in shown or bool(stage.input_schema)
        twice = [name for name in (labels if whole else shown) if labels[name] > 1]
        if twice:
            raise PromptError(
                f"More than one column is called {twice[0]!r}, and stage {stage.name!r} would "
                "see only one of them. Rename them, or leave out the others: df[[...]]."
            )
        # An answer in one column may replace that very column (overwrite=True), and nothing else.
        replaces = answer.fields is None and stage.name in columns
        if labels[stage.name] and not replaces and number + 1 < len(stages):
            raise ColumnError(
                f"The frame has a column {stage.name!r}, and a stage is called so: the prompts "
                "after it could mean either. Give the stage another name."
            )
        known = _sources(stage, shown, visible, fields, open=bool(open_stages))
        columns_made = {f"{stage.name}_{field.name}" for field in answer.fields or ()}
        made.append(Seen(known, open_stages, frozenset(columns_made & labels.keys()), whole))
        labels[stage.name] = 1
        visible[stage.name] = (stage.name,)
        for field in answer.fields or ():
            visible[f"{stage.name}_{field.name}"] = (stage.name, field.name)
            fields.setdefault(field.name, []).append((stage.name, field.name))
        if answer.fields is None and isinstance(answer.shape, _WITH_ANY_FIELDS):
            open_stages += (stage.name,)
    return made


def _sources(
    stage: ProcessingStage,
    shown: Sequence[str],
    visible: Mapping[str, Source],
    fields: Mapping[str, list[Source]],
    *,
    open: bool,  # noqa: A002
) -> dict[str, Source]:
    known: dict[str, Source] = {}
    for name in shown:
        candidates = [visible[name]] if name in visible else fields.get(name, [])
        if len(candidates) > 1:
            ways = " or ".join(f"{{{stage}_{field}}}" for stage, field in candidates)
            raise PromptError(
                f"The prompt of stage {stage.name!r} shows {{{name}}}, a field of "
                f"{_listed([source[0] for source in candidates])}. Say {ways}."
            )
        if candidates:
            known[name] = candidates[0]
        elif name not in _OF_THE_PROMPT and not open:
            every = [*visible, *fields, *_OF_THE_PROMPT]
            raise PromptError(
                f"The prompt of stage {stage.name!r} shows {{{name}}}, which is neither a "
                f"column nor from a stage before.{did_you_mean(name, every)}"
            )
    return known


def _value(context: Mapping[str, Any], source: Source) -> Any:
    value = context.get(source[0])
    return value if len(source) == 1 else (_fields(value) or {}).get(source[1])


def _fields(answer: Any) -> Mapping[str, Any] | None:
    return answer if isinstance(answer, Mapping) else None


def _listed(names: Sequence[str]) -> str:
    return " and ".join(map(repr, names))
