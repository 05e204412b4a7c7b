"""`lionproc runs`, `report` and `journal`: what a journal remembers, and what is done with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lionproc.cli.ending import Exit, said, show, show_json, tell
from lionproc.cli.refusing import LIST_OF_FAILURES, refuse_another
from lionproc.cli.writing import write_failures
from lionproc.engine.paths import shown
from lionproc.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["export", "info", "prune", "report", "runs", "verify"]

SHOWN = ("run", "name", "started", "state", "model", "rows", "answered", "failed", "usd", "prompt")
NONE = (
    "No run is remembered here yet. Go to the folder where it was made, or name its journal with "
    "--journal."
)
_PAGE = b"<!doctype html><html lang='en'><head><meta charset='utf-8'>"  # how what is written here begins
WIDEST = 40  # characters of a cell


def runs(journal: Path | None, *, as_json: bool) -> int:
    """List the runs that a journal remembers, the newest last.

    Args:
        journal: Its path; None for the usual one.
        as_json: Whether it is a JSON array.

    Returns:
        The exit code.
    """
    import lionproc as lp
    from lionproc.notebook.formatting import dollars, plain

    table = lp.runs(journal)
    if as_json:
        show_json(table.to_dict("records"))
    elif table.empty:
        tell(NONE)
    else:
        shown = table[list(SHOWN)].astype(object)
        shown["started"] = table["started"].map(_started, na_action="ignore")
        shown["usd"] = table["usd"].map(dollars, na_action="ignore").astype(object)
        for name in SHOWN:
            cells = shown[name].where(shown[name].notna(), "")
            shown[name] = [plain(cell, WIDEST) for cell in cells]
        show(shown.to_string(index=False, justify="left"))
    return Exit.ANSWERED


def _started(at: pd.Timestamp) -> str:
    from lionproc.notebook.formatting import on_the_wall

    return f"{on_the_wall(at.timestamp()):%Y-%m-%d %H:%M}"


def report(
    run: str | None,
    journal: Path | None,
    *,
    html: Path | None,
    prompt: bool,
    cells: bool,
    errors: str | None,
    as_json: bool,
) -> int:
    """Say what a run did.

    Args:
        run: Its id, the beginning of one, or its name; None for the newest.
        journal: The path of the journal; None for the usual one.
        html: Where a page of it is written.
        prompt: Whether the prompt is on that page.
        cells: Whether texts of rows are on it.
        errors: Where the rows that failed are listed, as CSV.
        as_json: Whether it is a JSON object.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: There is no such run, or another file would be replaced.
    """
    import lionproc as lp

    if html is not None:
        refuse_another(str(html), "--html", _PAGE, "a page of a report")
    if errors is not None:
        refuse_another(errors, "--errors", *LIST_OF_FAILURES)
    if run is None:
        known = lp.runs(journal)
        if known.empty:
            raise ConfigurationError(NONE)
        run = str(known["run"].iloc[-1])
    past = lp.run(run, journal)
    made = past.report()
    if errors is not None:
        write_failures(past.errors(), errors)
        tell(f"The rows that failed are listed in {shown(errors)}.")
    if html is not None:
        made.to_html(html, prompt=prompt, cells=cells)
        tell(f"Written to {html}.")
    if as_json:
        show_json(made.as_dict())
    elif html is None:
        show(said(repr(made)))
    return Exit.ANSWERED


def info(journal: Path | None, *, as_json: bool) -> int:
    """Say where a journal is, and how much is in it.

    Args:
        journal: Its path; None for the usual one.
        as_json: Whether it is a JSON object.

    Returns:
        The exit code.
    """
    import lionproc as lp

    care = lp.journal(journal)
    facts = {
        "path": care.path,
        "size": care.size,
        "records": care.records,
        "runs": len(lp.runs(journal)),
    }
    if as_json:
        show_json(facts)
    else:
        show(f"journal  {facts['path']}")
        show(f"size     {care.size / 2**20:,.1f} MB")
        show(f"records  {care.records:,}")
        show(f"runs     {facts['runs']:,}")
    return Exit.ANSWERED


def prune(journal: Path | None, *, older_than: str | None, run: str | None, sure: bool) -> int:
    """Remove records for good.

    Args:
        journal: The path of the journal; None for the usual one.
        older_than: An age such as "30d".
        run: The id or name of a run.
        sure: Whether nobody is asked first.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: Neither is given, or it cannot be.
    """
    import lionproc as lp
    from lionproc.notebook.formatting import plural

    if older_than is None and run is None:
        raise ConfigurationError("Say what is to be removed: --older-than 30d, or --run RUN.")
    care = lp.journal(journal)
    if not sure and sys.stdin is not None and sys.stdin.isatty():
        import typer

        typer.confirm(
            f"What is removed from {care.path} is paid for again when it is asked again. Go on?",
            abort=True,
            err=True,
        )
    before = care.size
    removed = care.prune(older_than=older_than, run=run)
    freed = max(before - care.size, 0) / 2**20
    tell(f"{plural(removed, 'record')} removed, {freed:,.1f} MB given back.")
    return Exit.ANSWERED


def export(journal: Path | None, path: str, *, quiet: bool) -> int:
    """Write all records of a journal to a file.

    Args:
        journal: Its path; None for the usual one.
        path: A file that ends in .parquet or .jsonl.
        quiet: Whether nothing is shown meanwhile.

    Returns:
        The exit code.
    """
    import lionproc as lp

    tell(f"Written to {lp.journal(journal).export(path, progress=not quiet)}.")
    return Exit.ANSWERED


def verify(journal: Path | None, *, quiet: bool) -> int:
    """Read every record of a journal and compare it with its checksum.

    Args:
        journal: Its path; None for the usual one.
        quiet: Whether nothing is shown meanwhile.

    Returns:
        The exit code: 1 where a record is damaged.
    """
    import lionproc as lp

    found = lp.journal(journal).verify(progress=not quiet)
    show(f"{found.records:,} records, {found.damaged:,} damaged")
    return Exit.ANSWERED if found else Exit.FAILED
