"""`lionproc demo`: answers a question about a table, yours or ours, and shows how it is done.

It is written the way a notebook would be: everything goes through the public `df.llm.process`.
"""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lionproc.cli.help_text import TINY
from lionproc.cli.question import labels_of, model_of
from lionproc.cli.reading import Format, read
from lionproc.cli.table import sample_reviews, show, text_column
from lionproc.engine.trust import check_found
from lionproc.errors import ConfigurationError
from lionproc.template import placeholder

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Demo", "demo"]

MANY = 200  # rows of the embedded model that nobody should start without a word about the time
TRIED = 8
LABELS = ("positive", "negative")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """The options of the demo; None is not given.

    Attributes:
        file: The table; None for the sample reviews.
        column: The column to ask about.
        prompt: The template.
        labels: The allowed answers, by commas.
        into: The column for the answers.
        rows: Only the first rows.
        format: What the file is, where its name does not say so.
        encoding: Of CSV.
        model: "provider/model", or "local".
        base_url: The address of a server.
        out: The folder for results.
    """

    file: Path | None = None
    column: str | None = None
    prompt: str | None = None
    labels: str | None = None
    into: str | None = None
    rows: int | None = None
    format: Format | None = None
    encoding: str | None = None
    model: str = "local"
    base_url: str | None = None
    out: Path = Path("demo")


def demo(args: Demo) -> int:
    """Ask, show, save, and ask again.

    Returns:
        The exit code.

    Raises:
        LionprocError: An option cannot work, or the run cannot go on.
    """
    import lionproc as lp

    sample = args.file is None
    frame = _table(args)
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
    settings: dict[str, Any] = {"temperature": 0.0} if embedded else {}
    model = model_of(args.model, args.base_url, **settings)
    saved = out / f"{'reviews' if args.file is None else args.file.stem}-answered.parquet"

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
    print(f"Saved to {saved}; read it with lionproc.read_parquet({str(saved)!r}).")
    if sample:
        print(f"Now yours:       {_command()} --file my.csv --column text --labels bug,praise")
    return 0


def _table(args: Demo) -> pd.DataFrame:
    if args.file is None:
        return sample_reviews()
    frame = read(str(args.file), format=args.format, encoding=args.encoding).frame
    frame.columns = frame.columns.map(str)
    if frame.empty:
        raise ConfigurationError(
            f"{str(args.file)!r} has no rows to ask about: give another --file."
        )
    return frame


def _question(args: Demo, column: str, *, sample: bool) -> Question:
    labels = () if args.labels is None else labels_of(args.labels)
    if not labels and args.prompt is None:
        labels = LABELS
    prompt = args.prompt
    if prompt is None:
        # Asked first: a small model keeps the question in mind better, and the common
        # beginning of all prompts is computed once.
        task = "the sentiment of " * (labels == LABELS) + ("this review" if sample else "this text")
        choice = f"{', '.join(labels[:-1])} or {labels[-1]}"
        prompt = f"Classify {task} as {choice}: {placeholder(column)}"
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
