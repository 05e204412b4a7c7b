"""The command `lionproc`: a demo that answers questions about a table, yours or ours.

It is written the way a notebook would be: everything goes through the public `df.llm.process`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import shlex
import shutil
import sys
import tempfile
import textwrap
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from lionproc.data.table import read_table, show, text_column
from lionproc.engine.trust import check_found
from lionproc.errors import ConfigurationError, LionprocError, LionprocWarning

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["main"]

MANY = 200  # rows of the embedded model that nobody should start without a word about the time
TRIED = 8
LABELS = ("positive", "negative")
TINY = (
    "The embedded model is tiny (135 million parameters). It shows how the work is done, "
    "not how good answers can be: for those, name a model with --model."
)
EXAMPLES = """\
examples:
  lionproc demo                                      60 reviews, the embedded model
  lionproc demo --file my.csv                        is each text positive or negative?
  lionproc demo --file my.csv --column text --labels bug,praise,question
  lionproc demo --file my.parquet --prompt "Summarise in five words: {text}"
  lionproc demo --file my.csv --model openai/gpt-5-mini --rows 20
  lionproc demo --file my.csv --model qwen3 --base-url http://localhost:8000/v1

Keys are read from the environment (OPENAI_API_KEY and the like), never from the command line.
"""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every row.

    Attributes:
        prompt: The template.
        into: The column for the answers.
        labels: The allowed answers; empty for free text.
    """

    prompt: str
    into: str
    labels: tuple[str, ...]

    @property
    def schema(self) -> Any:
        """The type of an answer, as `process` takes it."""
        return Literal[self.labels] if self.labels else str


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments, without the program's name; None for those of the process.

    Returns:
        The exit code: 0, 1 if the work failed, 2 if the arguments cannot work, 130 if interrupted.
    """
    parser = _parser()
    args = parser.parse_args(argv)
    if args.command is None:
        parser.print_help()
        return 0
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _demo(args)
        except ConfigurationError as error:
            return _fail(error, 2)
        except LionprocError as error:
            return _fail(error, 1)
        except KeyboardInterrupt:
            print("\nStopped. What was answered is kept.", file=sys.stderr)
            return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lionproc",
        description="Put an LLM to work on the columns of a DataFrame. This command shows how; "
        "the work itself is done in Python, with df.llm.process(...).",
    )
    parser.add_argument("--version", action="version", version=f"lionproc {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    demo = commands.add_parser(
        "demo",
        help="answer a question about every row of a table, with no key and no account",
        description=textwrap.fill(
            "Answer a question about every row of a table, show and save the result, then run it "
            "again: nothing is asked twice. " + TINY,
            79,
        ),
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = demo.add_argument
    add("--file", type=Path, help="a CSV, TSV or parquet file (default: 60 sample reviews)")
    add("--column", help="the column to ask about (default: the one with the most text)")
    add("--prompt", help='the question, with columns in braces: "Is this angry? {text}"')
    add("--labels", help=f"the allowed answers (default: {','.join(LABELS)})")
    add("--into", help="the name of the new column (default: sentiment, or answer)")
    add("--rows", type=int, help="only the first ROWS rows")
    add("--model", default="local", help='"provider/model", or "local", the embedded one (default)')
    add("--base-url", help="the address of any other OpenAI-compatible server")
    add("--out", type=Path, default=Path("demo"), help="the folder for results (default: demo)")
    return parser


def _version() -> str:
    try:
        return importlib.metadata.version("lionproc")
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _demo(args: argparse.Namespace) -> None:
    import lionproc as lp

    sample = args.file is None
    frame = read_table(args.file)
    column = text_column(frame, args.column)
    if args.rows is not None:
        if args.rows < 1:
            raise ConfigurationError(f"--rows must be 1 or more, not {args.rows}.")
        frame = frame.head(args.rows)
    question = _question(args, column, sample=sample)
    embedded = args.model == "local"
    if embedded and args.base_url is not None:
        raise ConfigurationError("--base-url needs --model, the name its server knows.")
    out = _folder(args.out)
    model: Any = args.model
    if embedded:
        model = lp.Model("local", temperature=0.0)
    elif args.base_url is not None:
        model = lp.Model("openai", args.model, base_url=args.base_url)
    saved = out / f"{'reviews' if sample else args.file.stem}-answered.parquet"

    _introduce(frame, question, embedded=embedded)
    with tempfile.TemporaryDirectory(
        prefix="journal-", dir=out, ignore_cleanup_errors=True
    ) as fresh:
        # The sample's first run shall be a first run every time. Anybody's own rows may be many
        # and may cost money: their journal stays, and a second call of the command is free.
        journal = (Path(fresh) if sample and embedded else out) / "journal.sqlite"
        check_found(str(journal))

        def run(*, progress: bool, rows: int | None = None) -> tuple[pd.DataFrame, float]:
            began = time.perf_counter()
            answered = frame.head(len(frame) if rows is None else rows).llm.process(
                question.prompt,
                into=question.into,
                schema=question.schema,
                model=model,
                limits=lp.Limits(concurrency=4) if embedded else None,
                save=saved if rows is None else None,
                journal=journal,
                progress=progress,
            )
            return answered, time.perf_counter() - began

        if embedded and len(frame) > MANY:
            run(progress=False, rows=1)  # the model is loaded once
            _, tried_s = run(progress=False, rows=1 + TRIED)
            asked = lp.last_job().stats.sent
            print(_how_long(len(frame), tried_s / asked if asked else 0.0), end="\n\n", flush=True)
        answered, first_s = run(progress=True)
        first = lp.last_job().stats
        _, second_s = run(progress=False)
        second = lp.last_job().stats

    print()
    print(show(answered, [column, question.into, *["label"] * sample], width=_width()))
    print()
    if sample and question.labels == LABELS:
        agree = int((answered[question.into] == answered["label"]).sum())
        print(f"{agree} of {len(answered)} agree with the labels in the file.")
    print(f"First run:       {_facts(first, first_s)}")
    print(f"The same again:  {_facts(second, second_s)}")
    print(f"Saved to {saved}; read it with pandas.read_parquet({str(saved)!r}).")
    if sample:
        print(f"Now yours:       {_command()} --file my.csv --column text --labels bug,praise")


def _question(args: argparse.Namespace, column: str, *, sample: bool) -> Question:
    labels = tuple(dict.fromkeys(t.strip() for t in (args.labels or "").split(",") if t.strip()))
    if args.labels is not None and len(labels) < 2:
        raise ConfigurationError('--labels needs at least two answers: --labels "yes,no".')
    if not labels and args.prompt is None:
        labels = LABELS
    prompt = args.prompt
    if prompt is None:
        # Asked first: a small model keeps the question in mind better, and the common
        # beginning of all prompts is computed once.
        task = "the sentiment of " * (labels == LABELS) + ("this review" if sample else "this text")
        choice = f"{', '.join(labels[:-1])} or {labels[-1]}"
        name = column.replace("{", "{{").replace("}", "}}")
        prompt = f"Classify {task} as {choice}: {{{name}}}"
    into = args.into or ("sentiment" if labels == LABELS else "answer")
    return Question(prompt, into, labels)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The folder {str(path)!r} cannot be made: {error.strerror}. Name another with --out."
        ) from error
    return path


def _introduce(frame: pd.DataFrame, question: Question, *, embedded: bool) -> None:
    schema = f"Literal{list(question.labels)}" if question.labels else "str"
    print(f"{len(frame):,} rows. What is run, as in a notebook:\n")
    print(f"    df.llm.process({question.prompt!r},")
    print(f"                   into={question.into!r}, schema={schema})\n")
    if embedded:
        print(textwrap.fill(TINY, _width()), end="\n\n")
    sys.stdout.flush()  # the progress bar goes to stderr and shall come after


def _how_long(rows: int, row_s: float) -> str:
    """How long the embedded model takes, by the first rows on this very machine."""
    from lionproc.notebook.formatting import left

    if not row_s:
        return f"The first {TRIED} rows are in the journal; of the others nothing is known yet."
    return textwrap.fill(
        f"By the first {TRIED} rows, the embedded model takes about {left(rows * row_s)} for "
        f"{rows:,} rows here. --rows 100 takes about {left(100 * row_s)}. Ctrl-C stops; what was "
        "answered is kept, and the same command goes on from there.",
        _width(),
    )


def _command() -> str:
    """What a person writes to run this again, from where they are."""
    beside = Path(sys.executable).with_name("lionproc")
    found = shutil.which("lionproc")
    if found is not None and Path(found).absolute() == beside.absolute():
        return "lionproc demo"
    python = Path(sys.executable)
    if python.is_relative_to(Path.cwd()):
        python = python.relative_to(Path.cwd())
    return f"{shlex.quote(str(python))} -m lionproc demo"


def _facts(stats: Any, seconds: float) -> str:
    rows = f"{stats.answered:,} rows answered in {seconds:.2f} s"
    if not stats.sent:
        return f"{rows}, nothing sent: every answer was in the journal."
    from_journal = f", {stats.cached:,} from the journal" if stats.cached else ""
    failed = f", {stats.failed:,} failed" if stats.failed else ""
    return f"{rows}{from_journal}{failed}; {stats.sent:,} requests, {stats.tokens:,} tokens."


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 120)


def _show_warning(  # noqa: PLR0917 - the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Ours are sentences for a person; where in the code they arose is of no use to them."""
    if issubclass(category, LionprocWarning):
        print(f"lionproc: {message}", file=sys.stderr)
    else:
        print(
            warnings.formatwarning(message, category, filename, lineno, line),
            file=file or sys.stderr,
        )


def _fail(error: LionprocError, code: int) -> int:
    print(f"lionproc: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
