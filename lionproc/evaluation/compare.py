"""Runs every prompt with every model over one sample, all at the same time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import pandas as pd

from lionproc.engine.told import warn
from lionproc.errors import (
    BudgetWarning,
    ColumnError,
    ConfigurationError,
    LionprocError,
    did_you_mean,
)
from lionproc.evaluation.columns import (
    Column,
    Measure,
    check_labels,
    column,
    measure_of,
    one_column,
)
from lionproc.evaluation.comparison import Comparison
from lionproc.evaluation.draw import checked_number, drawn, strata_of
from lionproc.evaluation.part import Mask, Places
from lionproc.evaluation.sheet import Answers, Sheet
from lionproc.evaluation.tallies import Tally
from lionproc.evaluation.variants import Variant, variants_of
from lionproc.frame.asked import Asked
from lionproc.frame.assemble import MISSING, column_names, columns
from lionproc.frame.cell import is_missing
from lionproc.frame.example_rows import rows_shown
from lionproc.frame.job import Job
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import detail_names
from lionproc.frame.side_by_side import SideBySide
from lionproc.notebook.formatting import plural

__all__ = ["Asks", "WayToDraw", "compare"]

WayToDraw: TypeAlias = Literal["random", "head"]
Asks: TypeAlias = Callable[[pd.DataFrame, Any, Any, "dict[str, Any]"], Plan]
"""Plans a run: of a frame, a prompt, the name of the new column, and the other arguments."""

_TOOK = ("status", "seconds", "usd", "input_tokens", "output_tokens")


def compare(
    frame: pd.DataFrame,
    prompts: object,
    asks: Asks,
    *,
    into: object,
    models: object,
    n: int | None,
    sample: WayToDraw,
    gold: Hashable | None,
    seed: int,
    options: dict[str, Any],
) -> Comparison:
    """Compare prompts and models; see `df.llm.compare`.

    Args:
        frame: All rows.
        prompts: By name, as a list, or one.
        asks: Plans a run.
        into: As for `process`; what the answers are called.
        models: By name, as a list, or one; None for the usual one.
        n: How many rows; None for all.
        sample: How they are chosen.
        gold: The column of what is right, if there is one.
        seed: The same one draws the same rows.
        options: The other arguments of `process`.
    """
    usual = options.pop("model", None)
    if usual is not None and models is not None:
        raise ConfigurationError("model= and models= were both given; models= has them all.")
    variants = variants_of(prompts, models, usual)
    label = options.pop("name", None)
    progress, panel = options.pop("progress", None), options.pop("panel", None)
    details = options.get("details", False)
    quiet = {**options, "details": True, "overwrite": True, "progress": False, "panel": False}

    def planned(rows: pd.DataFrame, variant: Variant) -> Plan:
        name = f"{label or 'compare'}: {variant.name}"
        more = {**quiet, **variant.more, "model": variant.model, "name": name}
        return asks(rows, variant.prompt, into, more)

    # Each is checked on no rows: what is wrong with one is said before a row is drawn.
    blank = frame.iloc[:0]
    checked = [planned(blank, variant) for variant in variants]
    _check_columns(frame, variants, checked, details=details)
    measure = None if gold is None else _measure(frame, gold, checked[0], variants[0])
    rows = _rows(frame, checked, variants, n=n, sample=sample, gold=gold, seed=seed)
    chosen = frame.iloc[rows]
    plans = {variant.name: planned(chosen, variant) for variant in variants}
    called = ", ".join(str(name) for name in checked[0].answer_names[:3])
    together = SideBySide(
        plans,
        progress=_shows(asks, blank, variants[0], into, progress),
        panel=panel,
        title=f"{called}, {len(variants)} variants compared" if called else "variants compared",
    )
    together.wait()
    made, answers, tallies = _collected(chosen, variants, together, plans, details=details)
    sheet = Sheet(made, answers, gold, measure)
    stats = together.stats
    if stats.state == "stopped" and stats.left:
        warn(
            f"The comparison has stopped early: {stats.left:,} of {stats.rows:,} answers are missing. "
            f"{stats.note}".rstrip(),
            BudgetWarning,
        )

    def whole(variant: Variant, more: dict[str, Any]) -> Any:
        given = {**options, "details": details, **variant.more, "model": variant.model, **more}
        return asks(frame, variant.prompt, given.pop("into", into), given)

    return Comparison(
        variants,
        sheet,
        tallies,
        rows_of=len(frame),
        drawn=_how(n, len(frame), len(rows), sample=sample, gold=gold, seed=seed),
        stats=stats,
        whole=whole,
        read=_read(plans[variants[0].name]),
        called=called,
    )


def _collected(
    rows: pd.DataFrame,
    variants: Sequence[Variant],
    together: SideBySide,
    plans: Mapping[str, Plan],
    *,
    details: bool,
) -> tuple[pd.DataFrame, list[Answers], list[Tally]]:
    """The rows with what each variant answered, and what that took.

    Raises:
        RunError: None of them could go on.
    """
    made = rows.copy()
    answers: list[Answers] = []
    tallies: list[Tally] = []
    for variant in variants:
        job, plan = together.jobs[variant.name], plans[variant.name]
        error, told = _error(job), job.frame()
        (output, *_) = plan.outputs
        names = dict(zip(detail_names(output.into), _details(), strict=True))
        took = told[list(names)].rename(columns=names)
        for name, called in _columns(variant, plan, details=details).items():
            made[called] = told[name].array
        own = [_called(name, output.into, variant) for name in plan.answer_names]
        answers.append(Answers(variant.name, own, took[list(_TOOK)]))
        tallies.append(Tally.of(job, took, error))
    fatal = [tally.fatal for tally in tallies if tally.fatal is not None]
    if len(fatal) == len(tallies):
        raise fatal[0]
    return made, answers, tallies


def _shows(
    asks: Asks, blank: pd.DataFrame, variant: Variant, into: object, progress: bool | None
) -> bool:
    """Whether a display is wanted: as given, or as the session has it."""
    more = {"overwrite": True, "progress": progress, "model": variant.model}
    return asks(blank, variant.prompt, into, more).options.progress


def _columns(variant: Variant, plan: Plan, *, details: bool) -> dict[Hashable, Hashable]:
    """The columns of a run that are kept, and what they are called beside those of the others."""
    (output, *_) = plan.outputs
    left_out = () if details else detail_names(output.into)
    return {
        name: _called(name, output.into, variant) for name in plan.names if name not in left_out
    }


def _check_columns(
    frame: pd.DataFrame, variants: Sequence[Variant], checked: Sequence[Plan], *, details: bool
) -> None:
    """Refuse, before anything is sent, a column that would take the place of another.

    Raises:
        ColumnError: The frame has one that a variant makes (it may be the gold), or two variants
            make the same.
    """
    taken: dict[Hashable, str] = dict.fromkeys(frame.columns, "the frame")
    for variant, plan in zip(variants, checked, strict=True):
        own = {variant.name, *_columns(variant, plan, details=details).values()}
        for name in own & taken.keys():
            what = "a variant" if name == variant.name else f"a column of {variant.name!r}"
            raise ColumnError(
                f"{name!r} is the name of {what} and of a column of {taken[name]}; give the "
                "prompt or the model another name."
            )
        taken |= dict.fromkeys(own, repr(variant.name))


def _called(name: Hashable, into: Hashable | None, variant: Variant) -> Hashable:
    """What a column of a run is called beside those of the other variants."""
    if name == into:
        return variant.name
    prefix = f"{'llm' if into is None else into}_"
    return f"{variant.name}_{str(name).removeprefix(prefix)}"


def _details() -> list[str]:
    return [name.removeprefix("llm_") for name in detail_names(None)]


def _error(job: Job) -> LionprocError | None:
    """What ended a run, if something did; what else there is to say of it is said."""
    try:
        job.raise_faults()
    except LionprocError as error:
        return error
    job.tell_of_models()
    return None


def _read(plan: Plan) -> list[Hashable]:
    """The columns that the first prompt shows, for the rows of the card."""
    (output, *_) = plan.outputs
    return [plan.frame.columns[place] for place in sorted(output.reads(plan.frame))]


# -- before anything is sent ------------------------------------------------------------------


def _measure(frame: pd.DataFrame, gold: Hashable, plan: Plan, first: Variant) -> Measure:
    """How answers will be compared with the gold.

    Raises:
        ConfigurationError: They cannot be.
    """
    right = column(frame, gold, "gold")
    (output, *_) = plan.outputs
    names = column_names(plan.answer, output.into)
    if len(names) > 1 or plan.answer.fields is not None:
        raise ConfigurationError(
            "The answers have several fields, and gold= is one column. Compare without gold=, then "
            f"score them one by one: c.frame.llm.score({_called(names[0], output.into, first)!r}, "
            "gold=...)."
        )
    empty = pd.Series(columns(plan.answer, [MISSING], names[0])[names[0]])
    answers = Column(names[0], [None], _kinds_of(empty.dtype), _categories(empty.dtype))
    measure = measure_of(answers, right)
    check_labels(answers, right)
    return measure


def _categories(dtype: object) -> tuple[object, ...] | None:
    if isinstance(dtype, pd.CategoricalDtype):
        return tuple(dtype.categories.tolist())
    return None


def _kinds_of(dtype: Any) -> frozenset[str]:
    types = pd.api.types
    if types.is_bool_dtype(dtype):
        return frozenset({"true and false"})
    if types.is_numeric_dtype(dtype):
        return frozenset({"numbers"})
    if isinstance(dtype, pd.StringDtype):
        return frozenset({"text"})
    lists = isinstance(dtype, pd.ArrowDtype) and str(dtype).startswith("list")
    return frozenset({"lists"}) if lists else frozenset({f"{dtype} values"})


def _rows(
    frame: pd.DataFrame,
    plans: Sequence[Plan],
    variants: Sequence[Variant],
    *,
    n: int | None,
    sample: WayToDraw,
    gold: Hashable | None,
    seed: int,
) -> Places:
    """The positions of the rows that are asked: with gold, and with all that a template shows."""
    n = len(frame) if n is None else checked_number("n", n, 1)
    seed = checked_number("seed", seed, 0)
    if sample not in {"random", "head"}:
        raise ConfigurationError(
            f"sample is 'random' or 'head', not {sample!r}.{did_you_mean(sample, ['random', 'head'])}"
        )
    fit = _fit(frame, plans, variants, gold)
    places = np.flatnonzero(fit)
    if gold is not None:
        there = ~one_column(frame, gold, "gold").map(is_missing).to_numpy(dtype=bool)
        places = np.flatnonzero(fit & there)
    if not len(places):
        raise ConfigurationError(
            "There is no row to compare on: each lacks a cell of a prompt, or is one of examples="
            + (f", or has no gold in {gold!r}." if gold is not None else ".")
        )
    if sample == "head":
        return places[:n]
    strata = np.zeros(len(places), dtype=np.intp)
    if gold is not None:
        strata = strata_of(one_column(frame, gold, "gold").iloc[places])
    found, _ = drawn(strata, n, seed)
    return places[found]


def _fit(
    frame: pd.DataFrame, plans: Sequence[Plan], variants: Sequence[Variant], gold: Hashable | None
) -> Mask:
    """The rows that have all that the templates show, and are no examples."""
    fit = np.ones(len(frame), dtype=bool)
    for plan, variant in zip(plans, variants, strict=True):
        (output, *_) = plan.outputs
        template = output.prompt.literals is not None  # a function sees all of a row
        if template and gold is not None and gold in output.prompt.columns:
            raise ConfigurationError(
                f"The prompt {variant.prompt_name!r} shows the column {gold!r}, which is the gold: "
                "any model can copy it."
            )
        if output.prompt.turns:  # what a model was shown with the answer says nothing of it
            shown = rows_shown(frame, Asked(output.prompt, plan.answer, output.into))
            fit &= True if shown is None else ~shown
        if template and output.prompt.on_missing == "skip":
            for name in output.prompt.columns:
                fit &= ~one_column(frame, name, "prompt").map(is_missing).to_numpy(dtype=bool)
    return fit


def _how(
    n: int | None, all_rows: int, rows: int, *, sample: str, gold: Hashable | None, seed: int
) -> str:
    """How the rows were drawn, in words."""
    said = plural(rows, "row")
    if n is None or rows < n or rows == all_rows:
        some = "that can be asked" if rows < all_rows else "there are"
        return f"{said}: all {'with gold' if gold is not None else some}"
    if sample == "head":
        return f"the first {said}" + (" with gold" if gold is not None else "")
    spread = f", spread over the values of {gold!r} as they are" if gold is not None else ""
    return f"{rows:,} of {all_rows:,} rows, drawn at random (seed {seed}){spread}"
