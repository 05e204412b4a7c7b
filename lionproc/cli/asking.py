"""`lionproc process`, `estimate` and `preview`: a table is read, asked about and written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lionproc.cli.ending import Exit, said, show, show_json, tell
from lionproc.cli.question import Question
from lionproc.cli.refusing import STDOUT
from lionproc.cli.writing import Target, write_failures
from lionproc.engine.paths import shown

if TYPE_CHECKING:
    import pandas as pd

    from lionproc.frame.job import Job
    from lionproc.frame.plan import Plan

__all__ = ["estimate", "preview", "process"]

MOST_SHOWN = 5  # failed rows


def process(
    frame: pd.DataFrame,
    question: Question,
    target: Target,
    *,
    overwrite: bool = False,
    details: bool = False,
    errors: str | None = None,
    quiet: bool = False,
    as_json: bool = False,
) -> int:
    """Ask about every row, and write the answers.

    Args:
        frame: The rows.
        question: What is asked.
        target: Where the answers go.
        overwrite: Whether columns and files that are there may be replaced.
        details: Whether there are columns of what each answer took.
        errors: Where the rows that failed are listed, as CSV.
        quiet: Whether nothing is shown while it runs, nor at its end.
        as_json: Whether the summary is a JSON object, on standard output where that is free.

    Returns:
        The exit code.

    Raises:
        LionprocError: It could not begin, or had to stop; nothing was written.
        KeyboardInterrupt: It was interrupted; what was answered is in the journal.
    """
    from lionproc.frame.job import prepare, wait_for
    from lionproc.frame.save_target import is_folder_target

    began = time.monotonic()
    options = {"save": target.save, "overwrite": overwrite, "details": details}
    plan = _plan(frame, question, **options, progress=not quiet, panel=False)
    answers = [str(name) for name in plan.names]
    given = [str(name) for name in (*frame.columns, *frame.index.names) if name is not None]
    columns = [*given, *answers]
    target.check(frame, columns=columns, overwrite=overwrite, journal=question.journal)
    job = prepare(plan)
    out = wait_for(job)
    if target.save is None:
        target.write(_told(out, plan) if details else out, answers)
    elif job.stats.state != "done" and not is_folder_target(target.save):
        job.save(target.save)  # the run itself saves whole frames alone, and in folders whole parts
    listed = errors if errors is not None and job.stats.failed else None
    if listed is not None:
        write_failures(job.errors(), listed)
    seconds, code = time.monotonic() - began, _code(job)
    if as_json:
        facts = {**_facts(job, target, seconds), "exit_code": int(code)}
        show_json(facts, beside=target.path == STDOUT)
    elif not quiet or code:
        tell(_summary(job, target, listed, seconds))
    return code


def estimate(frame: pd.DataFrame, question: Question, *, as_json: bool = False) -> int:
    """Say what it would cost and take. Nothing is sent.

    Args:
        frame: The rows.
        question: What would be asked.
        as_json: Whether it is a JSON object.

    Returns:
        The exit code.
    """
    from lionproc.frame.estimate import estimate as foresee

    foreseen = foresee(_plan(frame, question))
    if as_json:
        show_json(foreseen.as_dict())
    else:
        show(said(repr(foreseen)))
    return Exit.ANSWERED


def preview(
    frame: pd.DataFrame,
    question: Question,
    *,
    n: int,
    sample: Any,
    seed: int,
    as_json: bool = False,
) -> int:
    """Ask about a few rows, and show what went out and came back.

    Args:
        frame: The rows.
        question: What is asked.
        n: How many rows.
        sample: Which ones.
        seed: For those that are drawn.
        as_json: Whether it is a JSON object.

    Returns:
        The exit code.
    """
    tried = frame.llm.preview(**question.arguments(), n=n, sample=sample, seed=seed)
    if as_json:
        rows = tried.rows.reset_index(names="row").to_dict("records")
        show_json({"rows": rows, "estimate": tried.estimate.as_dict()})
    else:
        show(said(repr(tried)))
    return Exit.ROWS_FAILED if tried.rows["error"].notna().any() else Exit.ANSWERED


def _told(out: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """The frame with its errors in the words of the command."""
    from lionproc.frame.row_store import DETAILS, detail_names

    names = [detail_names(output.into)[DETAILS.index("error")] for output in plan.outputs]
    return out.assign(**{name: out[name].map(said, na_action="ignore") for name in names})


def _plan(frame: pd.DataFrame, question: Question, **more: object) -> Plan:
    from lionproc.frame.accessor import DEFAULTS, FrameAccessor

    given = {**DEFAULTS, **question.arguments(), **more}
    asked = (given.pop("prompt"), given.pop("into"), given.pop("schema"))
    options: Any = given
    return FrameAccessor(frame)._plan(*asked, options)


def _code(job: Job) -> Exit:
    stats = job.stats
    if stats.state != "done":
        return Exit.BUDGET  # nobody else stops it here
    return Exit.ROWS_FAILED if stats.failed else Exit.ANSWERED


def _facts(job: Job, target: Target, seconds: float) -> dict[str, Any]:
    """What was done, for a script."""
    said_at_length = {"slowest", "most_expensive", "over_time", "stages"}
    facts = {k: v for k, v in job.report().as_dict().items() if k not in said_at_length}
    return {
        **facts,
        "seconds": round(seconds, 3),
        "not_sent": job.stats.left,
        "saved_to": None if target.path == STDOUT else shown(target.path),
    }


def _summary(job: Job, target: Target, errors: str | None, seconds: float) -> str:
    """What was done, for a person."""
    from lionproc.notebook.formatting import dollars, duration, plural

    stats = job.stats
    rows = [f"{stats.answered:,} answered"]
    if stats.cached:
        rows[0] += f" ({stats.cached:,} from the journal)"
    rows += [
        f"{number:,} {word}"
        for number, word in (
            (stats.failed, "failed"),
            (stats.skipped, "skipped (a cell is empty)"),
            (stats.left, "not asked"),
        )
        if number
    ]
    took = [plural(stats.sent, "request"), plural(stats.tokens, "token")]
    if stats.sent:
        took.append("cost unknown" if stats.usd is None else dollars(stats.usd))
    lines = [
        f"{plural(stats.rows, 'row')}: {', '.join(rows)}; {', '.join([*took, duration(seconds)])}."
    ]
    if stats.failed:
        lines += _failures(job, errors)
    if stats.state != "done":
        lines.append(f"{said(stats.note)} The same command with a larger --budget goes on.")
    if target.path != STDOUT:
        lines.append(f"Written to {shown(target.path)}.")
    return "\n".join(lines)


def _failures(job: Job, errors: str | None) -> list[str]:
    """The first rows that failed, and where all of them are."""
    from lionproc.notebook.formatting import plain

    table = job.errors()
    lines = [
        f"  row {position:,}: {plain(said(f'{message} {hint}'), 200)}"
        for position, message, hint in zip(
            table["position"].head(MOST_SHOWN),
            table["message"].head(MOST_SHOWN),
            table["hint"].head(MOST_SHOWN).fillna(""),
            strict=True,
        )
    ]
    if len(table) > MOST_SHOWN:
        lines.append(f"  and {len(table) - MOST_SHOWN:,} more")
    if errors is not None:
        lines.append(f"All failed rows are listed in {shown(errors)}.")
    else:
        lines.append("The same command asks for them again; --errors FILE lists all of them.")
    return lines
