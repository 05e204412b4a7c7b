"""A run that is over, asked again of its journal: nothing is sent, and only its own answers count.

It is the same engine and the same run over rows. The model in it is the one that the journal
remembers: it makes the same keys, and has no way to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import pandas as pd

from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.journal import Journal
from lionproc.engine.replay import Replay
from lionproc.engine.request import Event
from lionproc.errors import CallError, ConfigurationError, Kind, LionprocError
from lionproc.frame.job import Job
from lionproc.frame.legs import Leg
from lionproc.frame.options import Options, options_of
from lionproc.frame.plan import Plan
from lionproc.frame.plan_arguments import PromptLike, outputs_of
from lionproc.frame.recall import Recalled
from lionproc.frame.stage import Stage
from lionproc.frame.votes import Verdict
from lionproc.model.answer import Answer
from lionproc.model.call import ModelCall, RequestBuilder
from lionproc.model.composed import leaves_of
from lionproc.model.connection import Connection, EndpointState
from lionproc.model.excerpt import shown
from lionproc.model.model import Model
from lionproc.model.prices import Price
from lionproc.model.providers import PROVIDERS
from lionproc.model.schema_type import type_of_schema
from lionproc.model.steps import Outcome, steps_noted
from lionproc.model.wire import Response
from lionproc.reports.difference import Note
from lionproc.reports.proportion import refuse_too_many, refuse_too_much
from lionproc.reports.sound import sound_mark

__all__ = ["answers_again"]

FEW_VOTES = 50  # on a row of a run that is over, whatever the journal has of it


def answers_again(
    frame: pd.DataFrame,
    note: Note,
    *,
    journal: str,
    until: int | None,
    prompt: PromptLike | None = None,
    system: object = None,
    schema: object = None,
) -> pd.DataFrame:
    """The answers of a run for the rows of a frame, by what the rows say.

    Args:
        frame: The rows, in any order.
        note: What the journal remembers of the run.
        journal: Its path.
        until: The mark up to which the run's records are there; None for all.
        prompt: The prompt, where it was a function.
        system: The system prompt, where it was a function.
        schema: The type of the answers, where the one that the journal remembers will not do.

    Returns:
        The frame with the columns of the run; rows that it did not answer are NA.

    Raises:
        ConfigurationError: It cannot be asked again; the message says what is missing.
    """
    asked, ways, shapes = note.get("asked"), note.get("ways"), note.get("shapes")
    unknown = f"The journal does not say what the run {note.get('run')!r} asked."
    if not isinstance(asked, dict) or not ways or not shapes:
        raise ConfigurationError(unknown)
    try:
        refuse_too_many(note)
        models = [_model(way) for way in ways]
        if "stages" in asked:
            stages = _of_pipeline(frame, note, models)
        else:
            given = {"prompt": prompt, "system": system}
            stages = [_of_rows(frame, note, given, schema, models[0])]
        _refuse_more_votes_than_were_kept(stages, len(frame), journal)
        refuse_too_much(frame, stages, note)
        plan = Plan(frame, stages, _options(journal, note))
        job = _Again(plan, sound_mark(note.get("after")) or 0, until)
        job.begin()
        return job.result()
    except LionprocError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ConfigurationError(unknown) from error  # somebody noted what we do not


def _of_rows(
    frame: pd.DataFrame,
    note: Note,
    given: Mapping[str, Any],
    schema: object,
    model: _Model | _Composed,
) -> Stage:
    run, asked = note.get("run"), note["asked"]
    for name, value in given.items():
        if value is None and name in asked["functions"]:
            raise ConfigurationError(
                f"The {name} of the run {run!r} was a function, which a journal cannot keep. "
                f"Give it: lp.run({run!r}).frame(df, {name}=...)."
            )
    if asked["into"] is None or (asked["by_column"] and asked["columns"] is None):
        raise ConfigurationError(
            f"The run {run!r} made columns whose names are neither text nor whole numbers, and a "
            "journal cannot keep those. Run the same call again: what the journal has is not sent."
        )
    prompt, system = (asked[n] if given[n] is None else given[n] for n in ("prompt", "system"))
    outputs = outputs_of(
        frame,
        prompt,
        into=asked["into"][0],
        system=system,
        columns=asked["columns"],
        on_missing=asked["on_missing"],
        each=asked["each"],
    )
    if schema is None:
        schema = _type(note["shapes"][0], f"Give it: lp.run({run!r}).frame(df, schema=...).")
    answer = Answer.of(schema)
    how = {name: asked[name] for name in ("confidence", "votes", "tie") if name in asked}
    stage = Stage(tuple(outputs), answer, cast("Model", model), **how)
    return stage.with_turns(asked.get("examples") or [()] * len(outputs))


def _of_pipeline(
    frame: pd.DataFrame, note: Note, models: Sequence[_Model | _Composed]
) -> list[Stage]:
    from lionproc.frame.pipeline import stages_again

    asked = note["asked"]
    if asked["functions"]:
        raise ConfigurationError(
            f"The {asked['functions'][0]} of the run {note.get('run')!r} was a function, which a "
            "journal cannot keep. Run df.llm.pipeline(...) again: what the journal has is not sent."
        )
    stages: list[Mapping[str, object]] = []
    for fields, shape in zip(asked["stages"], note["shapes"], strict=True):
        given = {**fields, "schema": _type(shape, _RUN_AGAIN)}
        if "input_schema" in fields:
            given["input_schema"] = _type(fields["input_schema"], _RUN_AGAIN)
        stages.append(given)
    known = cast("list[Model]", list(models))
    return stages_again(frame, stages, known, asked["on_missing"], asked.get("examples") or ())


def _refuse_more_votes_than_were_kept(stages: Sequence[Stage], rows: int, path: str) -> None:
    """Each vote on each row is looked for, and a note says their number in a few bytes."""
    most = max((stage.votes for stage in stages), default=1)
    if any(type(stage.votes) is not int or stage.votes < 1 for stage in stages):
        raise ValueError("no number of votes")
    if most > FEW_VOTES:
        with Journal.open(path) as journal:
            records = len(journal)
        if rows * most > FEW_VOTES * rows + 10 * records:  # ten times as many rows as were asked
            raise ValueError("nobody asked as often")


def _type(shape: Note, way_on: str) -> object:
    alike = shape.get("read_alike")
    if alike == "":
        label = shown(str(shape.get("label")), 100)
        raise ConfigurationError(
            f"The answers were read by a type of yours ({label}), of which a journal keeps the JSON "
            "Schema alone. That does not say all that the type does (a validator, an alias, ...), so "
            f"answers could be shown that it refused or changed. {way_on}"
        )
    return type_of_schema(shape["schema"], bare=shape["bare"], own=shape["own"], alike=alike)


_RUN_AGAIN: Final = "Run df.llm.pipeline(...) again: what the journal has is not sent."


def _options(journal: str, note: Note) -> Options:
    usual: dict[str, Any] = dict.fromkeys(
        ("limits", "budget", "retry", "chunk_size", "save", "panel", "name")
    )
    made = options_of(
        **usual,
        own_limits=True,
        journal=journal,
        resume=True,
        deduplicate=bool(note.get("deduplicate", True)),
        errors="coerce",
        overwrite=True,
        details=False,
        progress=False,
    )
    return replace(made, budget=None, limits=None)  # the session's are for runs that send


class _Model:
    """The model of a run that is over."""

    executor = None

    def __init__(self, way: Note) -> None:
        self.body_params = cast("Mapping[str, Any]", way["fields"])
        if not isinstance(self.body_params, dict):
            raise TypeError("these are no fields of a request")
        self.told = str(way["told"])
        self._identity, self._name = str(way["identity"]), str(way["model"])
        self.others = [_Model({**way, "others": (), **each}) for each in way.get("others", ())]
        self._provider = PROVIDERS.get(str(way["provider"]), PROVIDERS["openai"])
        self._endings = frozenset(way["endings"])

    def connect(self) -> Connection:
        """A way to nobody."""
        return Connection(
            identity=self._identity,
            model=self._name,
            provider=self._provider,
            structured="json_schema",
            max_tokens_name="max_tokens",
            wire=_NoWire(),
            endpoint=EndpointState(),
            price=Price(input=0.0, output=0.0),
            endings=self._endings,
        )


class _Composed:
    """The models of a run that is over, where there were several in the place of one."""

    def __init__(self, way: Note) -> None:
        self.leaves = tuple(_Model(each) for each in way["members"])
        self.steps = steps_noted(way["steps"])
        if self.steps.count != len(self.leaves):
            raise ValueError("there are steps to models that are not there, or none to some")


def _model(way: Note) -> _Model | _Composed:
    return _Composed(way) if "members" in way else _Model(way)


class _NoWire:
    async def post(self, body: bytes) -> Response:
        del body
        raise CallError(Kind.NOT_SENT, _NO_ANSWER)

    async def close(self) -> None:
        """There is nothing to close."""


_NO_ANSWER = "The run has no answer to it."


class _Again(Job):
    """Asks the journal, and nobody else."""

    def __init__(self, plan: Plan, after: int, until: int | None) -> None:
        super().__init__(plan)
        self._since, self._until = after, until

    def _recall(
        self, leg: Leg, replay: Replay, fresh: list[tuple[int, ModelCall]]
    ) -> list[Recalled]:
        recalled = super()._recall(leg, replay, fresh)
        if leg.is_shared or not self._ballots.once:
            # What failed went to the next model, or the other votes decided without it. What was
            # never asked leaves its row open.
            replay.fail_again([each.event for each in recalled if not each.event.done])
        return recalled

    def _builder(self, stage: Stage, leaf: int, connection: Connection) -> RequestBuilder:
        kept: Any = leaves_of(stage.model)[leaf]
        sure = stage.is_asked_for_confidence(leaf)
        made, *others = (
            RequestBuilder(way, each.body_params, stage.answer, each.told, confidence=sure)
            for way, each in [(connection, kept), *((o.connect(), o) for o in kept.others)]
        )
        made.others = tuple(others)
        return made

    def _to_note(self) -> None:
        """A run that is asked again is no run of its own."""

    async def _ask(self, dispatcher: Dispatcher, event: Event) -> None:
        del dispatcher
        error = event.error or CallError(Kind.NOT_SENT, _NO_ANSWER)
        # A model that has no record of it was down and left out, or the run had ended.
        why = Kind.CONNECTION if event.error is None else error.kind
        became = self._of_vote(self._leg_of(event.tag).stage, Outcome(why))
        following = self._following(event.tag, became)
        if following is None:
            self._fail(event.tag, error, event.first)
        else:
            self._hand_on(following, (event.tag, event.first))

    def _keep_voted(self, place: int, asked: ModelCall, said: Verdict) -> None:
        """Nothing is kept of a run that is over."""

    def _tell(self) -> None:
        """Rows without an answer are no surprise here."""
