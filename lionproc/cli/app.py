"""The commands and their options. Nothing heavy is imported before one of them runs.

What a question is asked with is in `options.py`, what is done in the modules beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lionproc.cli import help_text
from lionproc.cli.ending import open_streams
from lionproc.cli.options import (
    AsJson,
    FileFormat,
    JournalPath,
    Quiet,
    Source,
    asks,
    debugging,
    ends,
)
from lionproc.cli.question import Question

__all__ = ["app", "run"]

app = typer.Typer(
    name="lionproc",
    help=help_text.MAIN,
    epilog=help_text.EXAMPLES,
    rich_markup_mode=None,  # plain text: Rich takes as long to import as all the rest
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `lionproc.cli.main`."""
    open_streams()
    try:
        app(args=None if argv is None else list(argv), prog_name="lionproc")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _version(wanted: bool) -> None:
    if wanted:
        from lionproc import __version__

        typer.echo(f"lionproc {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _lionproc(
    context: typer.Context,
    *,
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where in the code an error arose.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    del version
    debugging[:] = [traceback]
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


# -- the commands -------------------------------------------------------------------------------


@app.command(help=help_text.PROCESS, epilog=help_text.PROCESS_EXAMPLES)
@asks
def process(
    file: Source,
    *,
    question: Question,
    reading: dict[str, Any],
    save: Annotated[
        str | None,
        typer.Option(
            help="Where the answers go: .csv, .tsv, .jsonl, .parquet, a folder/ of parquet parts, "
            "or - for standard output. [default: beside FILE]",
        ),
    ] = None,
    target_format: Annotated[
        Literal["csv", "jsonl"] | None,
        typer.Option("--to", help="What is written to standard output. [default: as FILE is]"),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace columns, and files with more in them."),
    ] = False,
    details: Annotated[
        bool,
        typer.Option("--details", help="Add what each answer took: status, tokens, dollars, ..."),
    ] = False,
    errors: Annotated[
        str | None, typer.Option(help="A CSV file for the rows that failed, and why.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="In CSV, leave text that begins like a formula.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, and no summary if all is well.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="The summary as JSON, on standard output where no answers go there."
        ),
    ] = False,
) -> int:
    """Ask about every row, and write the table with the answers."""
    from lionproc.cli import asking
    from lionproc.cli.reading import read
    from lionproc.cli.refusing import (
        LIST_OF_FAILURES,
        refuse_another,
        refuse_the_answers,
        refuse_the_input,
        refuse_unwritable,
    )
    from lionproc.cli.writing import target_of

    if errors is not None:
        refuse_the_input(errors, file, "--errors")
    table = read(file, **reading)
    target = target_of(save, file, table, target_format, as_is=as_is)
    if errors is not None:
        refuse_the_answers(errors, target.path)
        refuse_unwritable(errors, "--errors", question.journal)
        if not overwrite:
            refuse_another(errors, "--errors", *LIST_OF_FAILURES)
    return asking.process(
        table.frame,
        question,
        target,
        overwrite=overwrite,
        details=details,
        errors=errors,
        quiet=quiet,
        as_json=as_json,
    )


@app.command(help=help_text.ESTIMATE)
@asks
def estimate(
    file: Source, *, question: Question, reading: dict[str, Any], as_json: AsJson = False
) -> int:
    """Say what `process` would cost and take."""
    from lionproc.cli import asking
    from lionproc.cli.reading import read

    return asking.estimate(read(file, **reading).frame, question, as_json=as_json)


@app.command(help=help_text.PREVIEW, epilog=help_text.PREVIEW_EXAMPLES)
@asks
def preview(
    file: Source,
    *,
    question: Question,
    reading: dict[str, Any],
    n: Annotated[int, typer.Option("-n", help="How many rows.")] = 3,
    sample: Annotated[
        Literal["head", "random", "longest"], typer.Option(help="Which ones.")
    ] = "head",
    seed: Annotated[int, typer.Option(help="For random ones.")] = 0,
    as_json: AsJson = False,
) -> int:
    """Ask about a few rows."""
    from lionproc.cli import asking
    from lionproc.cli.reading import read

    frame = read(file, **reading).frame
    return asking.preview(frame, question, n=n, sample=sample, seed=seed, as_json=as_json)


@app.command()
@ends
def runs(*, journal: JournalPath = None, as_json: AsJson = False) -> int:
    """List the runs that the journal remembers: when, what, how many rows, what they cost."""
    from lionproc.cli import looking_back

    return looking_back.runs(journal, as_json=as_json)


@app.command(epilog=help_text.REPORT_EXAMPLES)
@ends
def report(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Its id, the beginning of it, or its name. [default: the newest]",
            show_default=False,
        ),
    ] = None,
    *,
    html: Annotated[
        Path | None, typer.Option(help="Write it as one page, to be mailed: no cells in it.")
    ] = None,
    prompt: Annotated[bool, typer.Option("--prompt", help="The page has the prompt too.")] = False,
    cells: Annotated[
        bool, typer.Option("--cells", help="The page has texts of rows too: labels, replies.")
    ] = False,
    errors: Annotated[
        str | None, typer.Option(help="A CSV file for the rows that failed, and why.")
    ] = None,
    journal: JournalPath = None,
    as_json: AsJson = False,
) -> int:
    """Say what a run did: rows, tokens, dollars, time, errors."""
    from lionproc.cli import looking_back

    return looking_back.report(
        run, journal, html=html, prompt=prompt, cells=cells, errors=errors, as_json=as_json
    )


journals = typer.Typer(
    help="Look at the journal, where answers are kept, and tidy it up.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(journals, name="journal")


@journals.command()
@ends
def info(*, journal: JournalPath = None, as_json: AsJson = False) -> int:
    """Say where it is, and how much is in it."""
    from lionproc.cli import looking_back

    return looking_back.info(journal, as_json=as_json)


@journals.command()
@ends
def prune(
    *,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="What is older goes: 30d, 12h, 8w.")
    ] = None,
    run: Annotated[
        str | None, typer.Option(help="What this run bought goes: its id, or its name.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")] = False,
    journal: JournalPath = None,
) -> int:
    """Remove records for good. They are paid for again when they are asked again."""
    from lionproc.cli import looking_back

    return looking_back.prune(journal, older_than=older_than, run=run, sure=yes)


@journals.command()
@ends
def export(
    path: Annotated[str, typer.Argument(metavar="FILE", help="It ends in .parquet or .jsonl.")],
    *,
    journal: JournalPath = None,
    quiet: Quiet = False,
) -> int:
    """Write all records to one file that any program reads."""
    from lionproc.cli import looking_back

    return looking_back.export(journal, path, quiet=quiet)


@journals.command()
@ends
def verify(*, journal: JournalPath = None, quiet: Quiet = False) -> int:
    """Compare every record with its checksum. The exit code is 1 where one is damaged."""
    from lionproc.cli import looking_back

    return looking_back.verify(journal, quiet=quiet)


@app.command(help=help_text.DEMO, epilog=help_text.DEMO_EXAMPLES)
@ends
def demo(
    *,
    file: Annotated[
        Path | None,
        typer.Option(help="A CSV, TSV, JSONL or parquet file. [default: 60 sample reviews]"),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(help="The column to ask about. [default: the one with the most text]"),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help='The question, with columns in braces: "Is this angry? {text}".'),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="The allowed answers. [default: positive,negative]")
    ] = None,
    into: Annotated[
        str | None, typer.Option(help="The new column. [default: sentiment, or answer]")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Only the first ROWS rows.")] = None,
    source_format: FileFormat = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of CSV, such as cp1252. [default: UTF-8]")
    ] = None,
    model: Annotated[
        str, typer.Option(help='"provider/model", or "local", the embedded one.')
    ] = "local",
    base_url: Annotated[
        str | None, typer.Option(help="The address of any other OpenAI-compatible server.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for results.")] = Path("demo"),
) -> int:
    """Answer a question about every row of a table, with no key and no account."""
    from lionproc.cli.demo import Demo
    from lionproc.cli.demo import demo as show

    return show(
        Demo(
            file=file,
            column=column,
            prompt=prompt,
            labels=labels,
            into=into,
            rows=rows,
            format=source_format,
            encoding=encoding,
            model=model,
            base_url=base_url,
            out=out,
        )
    )
