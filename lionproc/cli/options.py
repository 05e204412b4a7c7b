"""Options that several commands have, and what is done around a command.

Typer reads options from signatures. Those of a question are written once, in `_question`, and
`asks` puts them into the signature of a command.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lionproc.cli.ending import ended
from lionproc.cli.question import Question

__all__ = ["AsJson", "FileFormat", "JournalPath", "Quiet", "Source", "asks", "debugging", "ends"]

debugging: list[bool] = []  # whether --traceback was given

Source = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="A table: .csv, .tsv, .jsonl or .parquet; - for standard input (CSV or JSON Lines).",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
JournalPath = Annotated[
    Path | None, typer.Option(help="The journal. [default: .lionproc/journal.sqlite]")
]
FileFormat = Annotated[
    Literal["csv", "jsonl", "parquet"] | None,
    typer.Option("--from", help="What FILE is, where its name does not say so."),
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
    source_format: FileFormat = None,
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


def asks(command: Callable[..., int]) -> Callable[..., None]:
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
    return ends(made)


def ends(command: Callable[..., int]) -> Callable[..., None]:
    """A command whose errors are told, and which ends with its exit code."""

    @functools.wraps(command)
    def called(*arguments: Any, **given: Any) -> None:
        debug = debugging[-1:] == [True]
        raise typer.Exit(ended(functools.partial(command, *arguments, **given), debug=debug))

    return called
