"""What a run did, by name: for its report, its card and the files it writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from lionproc.engine.routes import Routes, summed
from lionproc.engine.stats import MemberUse, RunStats
from lionproc.errors import Kind
from lionproc.frame.legs import Leg
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import ANSWERED, CACHED, FAILED, SKIPPED, RowStore
from lionproc.model.connection import Connection

__all__ = ["facts_of", "failed_words", "member_facts", "model_names", "stage_facts", "title_of"]


def facts_of(
    plan: Plan, stats: RunStats, connections: Sequence[Connection], run: str
) -> dict[str, object]:
    """What a run did, as a whole.

    Args:
        plan: The run.
        stats: Its numbers.
        connections: The ways to all models of its stages.
        run: Its id.
    """
    what = {"model": ", ".join(model_names(connections))}
    if not plan.staged:
        if len(connections) == 1:
            what = {"model": connections[0].model, "provider": connections[0].provider.name}
        what["schema"] = plan.answer.label
    return {
        **what,
        "columns": [str(name) for name in plan.names],
        "run": run,
        "rows": stats.rows,
        "answered": stats.answered,
        "cached": stats.cached,
        "skipped": stats.skipped,
        "failed": stats.failed,
        "requests": stats.sent,
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.completion_tokens,
        "replies_with_estimated_tokens": stats.guessed,
        "cached_tokens": stats.cached_tokens,
        "reasoning_tokens": stats.reasoning_tokens,
        "usd": stats.usd_of_answers,
        "usd_run": stats.usd,
        "when": _when(stats),
        **plan.about,
    }


def _when(stats: RunStats) -> str | None:
    if stats.began_at is None:
        return None
    return datetime.fromtimestamp(stats.began_at, UTC).isoformat(timespec="seconds")


def stage_facts(
    plan: Plan,
    store: RowStore,
    routes: Routes,
    legs: Sequence[Leg],
    connections: Sequence[Connection],
) -> list[dict[str, object]]:
    """What each stage of a pipeline did, all of its models together."""
    made = []
    for number, stage in enumerate(plan.stages):
        first = plan.first_place(number)
        places = (first, first + plan.rows)
        cached = store.count(CACHED, *places)
        asked = [leg.number for leg in legs if leg.stage == number]
        used = [routes.used(leg) for leg in asked]
        made.append(
            {
                "stage": stage.name,
                "model": ", ".join(model_names([connections[leg] for leg in asked])),
                "answered": store.count(ANSWERED, *places) + cached,
                "cached": cached,
                "skipped": store.count(SKIPPED, *places),
                "failed": store.count(FAILED, *places),
                "requests": sum(routes.sent(leg) for leg in asked),
                "prompt_tokens": sum(tokens.input for tokens in used),
                "completion_tokens": sum(tokens.output for tokens in used),
                "usd": summed([routes.usd(leg) for leg in asked]),
            }
        )
    return made


def member_facts(members: Sequence[MemberUse]) -> list[dict[str, object]]:
    """What each member of models that are made of several did, in JSON's types."""
    return [
        {
            name: value
            for name, value in member._asdict().items()
            if value is not None or name == "usd"
            if name != "stage" or value
        }
        for member in members
    ]


def failed_words(plan: Plan, store: RowStore, errors: Mapping[str, int]) -> Mapping[str, int]:
    """How many rows failed, by what happened; and at which stage, where there are several.

    Args:
        plan: The run.
        store: Its answers.
        errors: How many rows failed of each kind.
    """
    if not plan.staged:
        return errors
    return Counter(
        f"{error.kind} at {plan.stages[plan.stage_at(place)].name!r}"
        for place, error in store.failures
        if error.kind not in {Kind.NOT_SENT, Kind.CANCELLED}
    )


def model_names(connections: Sequence[Connection]) -> list[str]:
    """The models behind some connections, each once."""
    names = [f"{each.provider.name}/{each.model}" for each in connections]
    return list(dict.fromkeys(names))


def title_of(plan: Plan, connections: Sequence[Connection]) -> str:
    """What is made with which model, in a few words."""
    made = [str(output.into) for output in plan.outputs if output.into is not None]
    columns = ", ".join(made[:3]) + ", ..." * (len(made) > 3)
    models = ", ".join(model_names(connections))
    return f"{columns} with {models}" if columns else models
