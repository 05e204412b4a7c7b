"""The commands and their options. Nothing heavy is imported before one of them runs.

Typer reads options from signatures, so each stands here with its help; what is done with them is
in the modules beside.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer

from lionproc.cli import help_text
from lionproc.cli.ending import ended
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
FormatName: TypeAlias = Literal["csv", "jsonl", "parquet"]
_debugging: list[bool] = []  # whether --traceback was given


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `lionproc.cli.main`."""
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
    _debugging[:] = [traceback]
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


# -- what several commands have -----------------------------------------------------------------

Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A table: .csv, .tsv, .jsonl or .parquet; - for standard input (CSV or JSON Lines).",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON, for scripts.")]


def _question(
    *,
    prompt: Annotated[
        str | None,
        typer.Option("--prompt", "-p", help='The question: "Is this angry? {text}".'),
    ] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="A file with it.")] = None,
    into: Annotated[
        str | None,
        typer.Option(
            help="The new column, or with fields in the schema the start of their names. "
            "[default: answer, or the names of the fields]"
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help='The allowed answers: "bug,praise,question".')
    ] = None,
    schema: Annotated[
        Path | None, typer.Option(help="A file with the JSON Schema of an answer.")
    ] = None,
    type: Annotated[  # noqa: A002 - what it is called on the command line
        str | None,
        typer.Option(
            help="The type of an answer: str, int, float, bool, date, datetime, time, or a list "
            "of one of them: list[str]. [default: str]"
        ),
    ] = None,
    system: Annotated[str | None, typer.Option(help="A system prompt.")] = None,
    system_file: Annotated[Path | None, typer.Option(help="A file with it.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Who answers: openai/gpt-5-mini, or local, the embedded one; with --base-url the "
            "name that its server knows. [default: LIONPROC_MODEL]",
        ),
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="The address of any other OpenAI-compatible server.")
    ] = None,
    key_env: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The environment variable that has the key. [default: the provider's; "
            "LIONPROC_API_KEY with --base-url]",
        ),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="For the model.")] = None,
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer.")] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds for one attempt. [default: 60]")
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            metavar="IN,OUT",
            help="Dollars per million tokens read and written, where they are not known: "
            "0.15,0.60.",
        ),
    ] = None,
    rpm: Annotated[float | None, typer.Option(help="Requests per minute, at most.")] = None,
    tpm: Annotated[float | None, typer.Option(help="Tokens per minute, at most.")] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Requests at once, at most. [default: 32]")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Dollars, at most: 2.5; or 300000tokens, or 500requests."),
    ] = None,
    journal: Annotated[
        Path | None,
        typer.Option(help="Where answers are kept. [default: .lionproc/journal.sqlite]"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="What `lionproc runs` calls it.")] = None,
    send_missing: Annotated[
        bool, typer.Option("--send-missing", help="Ask about rows with an empty cell too.")
    ] = False,
    no_resume: Annotated[
        bool, typer.Option("--no-resume", help="Ask again what is answered already.")
    ] = False,
    source_format: Annotated[
        FormatName | None,
        typer.Option("--from", help="What FILE is, where its name does not say so."),
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(help="Between the cells of CSV. [default: as its first line has]")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of CSV, such as cp1252. [default: UTF-8]")
    ] = None,
    rows: Annotated[int | None, typer.Option(help="Only the first ROWS rows.")] = None,
) -> None:
    """The options that `process`, `estimate` and `preview` share: never called."""


_READING = {
    "format": "source_format",
    "delimiter": "delimiter",
    "encoding": "encoding",
    "rows": "rows",
}


def _asks(command: Callable[..., int]) -> Callable[..., None]:
    """A command with the options of `_question` before its own.

    It is called with `question` and `reading` (how FILE is read) in place of them.
    """
    shared = inspect.signature(_question, eval_str=True).parameters
    own = [
        each
        for each in inspect.signature(command, eval_str=True).parameters.values()
        if each.name not in {"question", "reading"}
    ]

    @functools.wraps(command)
    def called(**given: Any) -> int:
        question = Question.of(given)
        reading = {name: given[option] for name, option in _READING.items()}
        rest = {name: value for name, value in given.items() if name not in shared}
        return command(question=question, reading=reading, **rest)

    first = [each for each in own if each.kind is each.POSITIONAL_OR_KEYWORD]
    last = [each for each in own if each.kind is each.KEYWORD_ONLY]
    made: Any = called
    parameters = [*first, *shared.values(), *last]
    made.__signature__ = inspect.Signature(parameters)
    made.__annotations__ = {each.name: each.annotation for each in parameters}
    return _ends(made)


def _ends(command: Callable[..., int]) -> Callable[..., None]:
    """A command whose errors are told, and which ends with its exit code."""

    @functools.wraps(command)
    def called(*arguments: Any, **given: Any) -> None:
        debug = _debugging[-1:] == [True]
        raise typer.Exit(ended(functools.partial(command, *arguments, **given), debug=debug))

    return called


# -- the commands -------------------------------------------------------------------------------


@app.command(help=help_text.PROCESS, epilog=help_text.PROCESS_EXAMPLES)
@_asks
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
        Path | None, typer.Option(help="A CSV file for the rows that failed, and why.")
    ] = None,
    as_is: Annotated[
        bool, typer.Option("--as-is", help="In CSV, leave answers that begin like a formula.")
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
    from lionproc.cli.writing import target_of

    table = read(file, **reading)
    target = target_of(save, file, table, target_format, as_is=as_is)
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
@_asks
def estimate(
    file: Source, *, question: Question, reading: dict[str, Any], as_json: AsJson = False
) -> int:
    """Say what `process` would cost and take."""
    from lionproc.cli import asking
    from lionproc.cli.reading import read

    return asking.estimate(read(file, **reading).frame, question, as_json=as_json)


@app.command(help=help_text.PREVIEW, epilog=help_text.PREVIEW_EXAMPLES)
@_asks
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


@app.command(help=help_text.DEMO, epilog=help_text.DEMO_EXAMPLES)
@_ends
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
            encoding=encoding,
            model=model,
            base_url=base_url,
            out=out,
        )
    )
