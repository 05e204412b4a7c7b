"""What is asked of every partition: checked here, and carried to wherever the partitions are.

It travels in the graph of the tasks, which schedulers show, log and write down. So no key is in it
(see `keys.py`), and nothing of it is shown.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypeAlias

import pandas as pd
from dask.base import is_dask_collection
from dask.dataframe.utils import check_meta

from lionproc.dask.computing import look_out
from lionproc.dask.destination import check_destinations, destinations_of
from lionproc.dask.keys import keep, send, with_keys
from lionproc.dask.place import Home, machine
from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.errors import ConfigurationError
from lionproc.frame.accessor import DEFAULTS, FrameAccessor
from lionproc.frame.asked_since import AskedSince, asked_now
from lionproc.frame.place import place_of
from lionproc.frame.plan import Plan, some_of_the_rows
from lionproc.frame.save_target import (
    check_folder,
    is_folder_target,
    refuse_parts_of_git,
    refused_place,
)
from lionproc.frame.series_accessor import SeriesAccessor
from lionproc.frame.with_answers import columns_before
from lionproc.model.composed import singles_of
from lionproc.model.defaults import default_model
from lionproc.model.model import Model

__all__ = ["Asked", "DaskRows", "Question", "Rows", "plan_of", "question_of"]

Rows: TypeAlias = Any
"""A frame or a series of pandas."""
DaskRows: TypeAlias = Any
"""A frame or a series of Dask, which has no types."""

Kind = Literal["frame", "series"]
_HERE = ("limits", "budget", "save", "errors", "progress", "panel", "journal")
"""What acts on the whole of the work, and is no argument of a partition's own run."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a call, as they were given.

    Attributes:
        kind: Whether a frame is asked about, or a series.
        prompt: As for `process`.
        into: As for `process`.
        schema: As for `process`.
        options: All others.
    """

    kind: Kind
    prompt: Any
    into: Any
    schema: Any
    options: Mapping[str, Any]

    def shaped(self, part: Rows, out: pd.DataFrame, has_fields: bool) -> Rows:
        """What `process` returns for some rows: a frame, or for a series what it gives."""
        if self.kind == "frame":
            return out
        return SeriesAccessor(part)._unwrapped(out, self.into, has_fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One call of `process`, for all partitions.

    Attributes:
        asked: Its arguments; of the options those that a partition's run takes as they are.
        model: Who answers.
        destinations: Where each single model in it is asked, see `destination.py`.
        keys: Where the keys of the model are found, see `keys.py`.
        meta: What is asked about, without its rows.
        limits: Those of all partitions together; None leaves what there is.
        budget: That of all partitions together; None for none.
        journal: Where replies are kept, on the machine of each worker; None for the usual place.
        home: Where that is.
        save: The folder of the parts, None for none.
        partitions: How many there are.
        progress: Whether a person sees how it gets on.
        panel: Whether that is the panel.
        watched: Whether a job in the notebook says at its end what went wrong.
        since: Where the notebook's journal stood, if all is asked anew.
        token: Tells it from every other.
    """

    asked: Asked
    model: Model
    destinations: tuple[str, ...]
    keys: tuple[str | None, ...]
    meta: Rows
    limits: Limits | None
    budget: Budget | None
    journal: Any
    home: Home
    save: str | None
    partitions: int
    progress: bool
    panel: bool | None
    watched: bool
    since: AskedSince | None
    token: str = field(default_factory=lambda: hashlib.sha256(os.urandom(32)).hexdigest()[:24])

    def check(self, part: Rows, number: int) -> None:
        """Refuse a partition that Dask would refuse with its answers, when they are paid for.

        And one whose rows would go from here to another place than was said.

        Args:
            part: Its rows.
            number: Which partition it is.

        Raises:
            ConfigurationError: Its columns are not those that it was said to have.
            ModelError: This process would ask another address, or for another account.
        """
        check_destinations(self.model, self.destinations)
        try:
            if type(part) is not type(self.meta) or part.ndim > 1:
                check_meta(part, self.meta)  # type: ignore[no-untyped-call]
        except ValueError as error:
            raise ConfigurationError(
                f"Partition {number} is not what Dask was told that it is (meta=), so its answers "
                f"would not be taken: nothing was sent for it. {error}\nGive from_map, "
                "from_delayed or map_partitions a meta= that is true, or make all partitions alike."
            ) from None

    def plan(self, part: Rows, *, limits: Limits | None = None) -> Plan:
        """The run over one partition.

        Args:
            part: Its rows.
            limits: Those of the run.
        """
        given = {
            **self.asked.options,
            "model": with_keys(self.model, self.keys),
            "limits": limits,
            "budget": self.budget,
            "journal": self.home.journal() if self.journal is None else self.journal,
            "progress": False,
            "panel": False,
        }
        with some_of_the_rows():
            made = _plan(self.asked, part, given)
        if self.since is not None and self.home.machine == machine():
            made.options = replace(made.options, since=self.since)
        return made

    def shaped(self, part: Rows, out: pd.DataFrame, plan: Plan) -> Rows:
        """What `process` returns for a partition: a frame, or for a series what it gives."""
        return self.asked.shaped(part, out, plan.answer.fields is not None)

    def __dask_tokenize__(self) -> str:
        """What Dask knows it by."""
        return self.token

    def __reduce__(self) -> tuple[object, ...]:
        """On its way: its keys are sent beside it."""
        send(self.keys)
        return (_restored, ({each.name: getattr(self, each.name) for each in fields(self)},))

    def __repr__(self) -> str:
        return f"<Question {self.token}>"


def _restored(kept: dict[str, Any]) -> Question:
    return Question(**kept)


def question_of(asked: Asked, rows: DaskRows, *, watched: bool = False) -> tuple[Question, Rows]:
    """Check the arguments of a call, as far as that is possible without a row.

    Args:
        asked: The arguments.
        rows: What is asked about.
        watched: Whether a job watches it.

    Returns:
        The question, and what comes out without its rows.

    Raises:
        ConfigurationError: An argument cannot work; nothing was sent.
    """
    look_out()
    given = {**DEFAULTS, **asked.options}
    if is_dask_collection(given["examples"]):
        raise ConfigurationError(
            "examples= go with every question, so they have to be here: examples=gold.head(8), or "
            "gold.compute()."
        )
    model = _model_of(given["model"])
    plan = _plan(asked, rows._meta, {**asked.options, "model": model})
    _refuse_stages_of_their_own(plan, model)
    usual = plan.options  # the session's defaults are those of this process
    kept = {name: given[name] for name in asked.options if name not in {*_HERE, "model"}}
    question = Question(
        asked=replace(asked, options={**kept, "retry": usual.retry}),
        model=model,
        destinations=destinations_of(model),
        keys=keep(model),
        meta=rows._meta,
        limits=usual.limits,
        budget=usual.budget,
        journal=usual.journal,
        home=Home.here(),
        save=_folder_of(usual.save),
        partitions=rows.npartitions,
        progress=usual.progress,
        panel=usual.panel,
        watched=watched,
        since=asked_now(usual.journal, resume=usual.resume),
    )
    return question, question.shaped(rows._meta, columns_before(plan), plan)


def plan_of(asked: Asked, rows: Rows, more: Mapping[str, Any] | None = None) -> Plan:
    """A run over rows that are here.

    Args:
        asked: The arguments of a call.
        rows: A frame or a series of pandas.
        more: Options that take the place of those.

    Raises:
        ConfigurationError: An argument cannot work on Dask; nothing was sent.
    """
    given = {**asked.options, **(more or {})}
    return _plan(asked, rows, {**given, "model": _model_of(given.get("model"))})


def _plan(asked: Asked, rows: Rows, options: Mapping[str, Any]) -> Plan:
    given: Any = options
    accessor: Any = FrameAccessor if asked.kind == "frame" else SeriesAccessor
    made: Plan = accessor(rows)._plan(asked.prompt, asked.into, asked.schema, given)
    return made


def _model_of(given: Model | str | None) -> Model:
    model = default_model(given)
    if any(each.executor is not None for each in singles_of(model)):
        raise ConfigurationError(
            "A model with executor= sends through one process, and this is done by many. Leave "
            "executor= out and give limits=, which hold for all of them together."
        )
    if any(each.client is not None for each in singles_of(model)):
        raise ConfigurationError(
            "A model with client= cannot travel to other processes: the client holds a key and "
            "open connections. Give base_url= and api_key= in place of it."
        )
    return model


def _refuse_stages_of_their_own(plan: Plan, model: Model) -> None:
    """Stages share what the workers share."""
    for stage in plan.stages:
        if stage.model is not model or stage.limits is not None:
            raise ConfigurationError(
                f"Stage {stage.name!r} has a model or limits of its own, and workers keep those of "
                "the call together: give it model= and limits=. What another model is to answer is "
                "asked of the frame that comes back: out.llm.process(..., model=...)."
            )


def _folder_of(save: str | None) -> str | None:
    if save is None:
        return None
    if not is_folder_target(save):
        raise ConfigurationError(
            f"A Dask frame is saved in parts, one for each partition: save= is a folder, such as "
            f"{save.rpartition('.')[0] + '/'!r}, not {save!r}."
        )
    target = place_of(save)
    with refused_place(save, target, "save="):
        check_folder(target)
        refuse_parts_of_git(target)
    return save
