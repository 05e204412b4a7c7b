"""How a command ends: what went wrong in a sentence on standard error, and the exit code of that.

What a run says by its exit code (all answered, rows failed, a budget reached) is in `asking.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, NoReturn, TextIO

from lionproc.engine.paths import shown
from lionproc.errors import (
    BudgetWarning,
    ConfigurationError,
    LionprocError,
    LionprocWarning,
    MissingDependencyError,
    ModelError,
    RowsFailedWarning,
    StoppedWarning,
)

__all__ = ["DEBUG", "Exit", "ended", "open_streams", "said", "show", "show_json", "tell"]

DEBUG = "LIONPROC_DEBUG"
# Options of Python as an error names them, and what they are called here.
_OPTION = re.compile(
    r"\b(into|save|model|base_url|budget|schema|system|journal|name|max_tokens|timeout"
    r"|overwrite)=(?:True\b|\(\.\.\.\)|\.\.\.)?(?=(['\"{])?)"
)
_PAST_ERRORS = re.compile(r"lp\.run\('([^']+)'\)\.errors\(\)")
_CELL = re.compile(r"\b(run|running) (?:the same|the) cell again", re.IGNORECASE)
_FRAME = re.compile(r"lp\.(?:last_job\(\)\.frame\(\)|run\('[^']+'\)\.frame\(df\)) has [\w ]+; ")
_WORDS = (
    ('Model("openai", model=..., base_url=...)', "--base-url URL --model NAME"),
    ("Model(..., price=lp.Price(input=..., output=...))", "--price IN,OUT"),
    ("Model(..., api_key=...)", "--key-env NAME"),
    ("Model(..., price=lp.Price(...))", "--price IN,OUT"),
    ("lp.Price(...)", "--price"),
    ("lp.runs()", "`lionproc runs`"),
    ("Budget(tokens=...)", "--budget 300000tokens"),
    ("Budget(requests=...)", "--budget 500requests"),
    ("api_key=", "--key-env"),
    ("requests_per_minute must", "--rpm must"),
    ("tokens_per_minute must", "--tpm must"),
    ("concurrency must", "--concurrency must"),
    (" (None for no limit)", ""),
    ("Nothing is lost, the frame is still in memory: ", "What was answered is kept: "),
    (", and save it again.", ", and run the same command again: the journal answers it."),
)
_OURS = (  # the summary says it in other words
    RowsFailedWarning,
    BudgetWarning,
    StoppedWarning,
)


class Exit(IntEnum):
    """Exit codes. Of 0, 3 and 4 there is an output."""

    ANSWERED = 0
    FAILED = 1
    USAGE = 2
    ROWS_FAILED = 3
    BUDGET = 4
    HUNG_UP = 129  # 128 and the number of the signal
    INTERRUPTED = 130
    PIPE = 141
    TERMINATED = 143


def ended(command: Callable[[], int], *, debug: bool) -> int:
    """Run a command, and turn whatever ends it into an exit code and a sentence.

    Args:
        command: Returns its exit code.
        debug: Show where in the code it went wrong.

    Returns:
        The exit code.
    """
    debug = debug or bool(os.environ.get(DEBUG))
    stopped_by: list[int] = []
    try:
        with _quiet(), _terminated(stopped_by):
            return command()
    except BrokenPipeError:
        # Whoever read has seen enough (`| head`). Python must not find the same at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.PIPE
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        tell("\nStopped. What was answered is kept: the same command goes on from there.")
        return Exit(128 + stopped_by[0]) if stopped_by else Exit.INTERRUPTED
    except LionprocError as error:
        if debug:
            traceback.print_exc()
        tell(f"lionproc: {said(str(error))}")
        usage = isinstance(error, ConfigurationError) and not isinstance(
            error, ModelError | MissingDependencyError
        )
        return Exit.USAGE if usage else Exit.FAILED
    except OSError as error:  # of the system: a full disk behind `>`, a name that is too long
        if debug:
            raise
        where = "" if error.filename is None else f" ({shown(str(error.filename))!r})"
        tell(
            f"lionproc: {error.strerror or type(error).__name__}{where}. What was answered is kept: "
            "the same command goes on from there."
        )
        return Exit.FAILED
    except Exception as error:
        if debug:
            raise
        tell(f"lionproc: {_unforeseen(error)}")
        return Exit.FAILED


def _unforeseen(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return (
            "There is not enough memory for what is read or was answered. What was answered is "
            "kept. Give the table in parts."
        )
    return (
        f"{type(error).__name__}: {error}\nThis is a fault of lionproc. "
        f"--traceback, or {DEBUG}=1 in the environment, shows where it is."
    )


def open_streams() -> None:
    """Give a process what it was started without (`2>&-`, some schedulers): nobody reads it.

    A file that is opened later would else get the number of standard error, and what the system
    writes there would be written into it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(nowhere, mode, encoding="utf-8"))


def tell(text: str) -> None:
    """Say something to a person, who may not listen any more."""
    with contextlib.suppress(OSError, ValueError):
        print(_harmless(text), file=sys.stderr, flush=True)


def show(text: str) -> None:
    """Write what was asked for to standard output, for a person.

    Raises:
        BrokenPipeError: Nobody reads it any more.
    """
    encoding = sys.stdout.encoding or "utf-8"
    print(_harmless(text).encode(encoding, "replace").decode(encoding), flush=True)


def _harmless(text: str) -> str:
    """Without what commands a terminal: a name that is quoted may be from a stranger's file."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else " " for sign in text)


def show_json(value: object, *, beside: bool = False) -> None:
    """Write JSON, which is UTF-8 whatever a terminal shows; what commands one is escaped.

    Args:
        value: What `to_json` takes.
        beside: To standard error, for answers are on standard output.

    Raises:
        BrokenPipeError: Nobody reads it any more.
    """
    from lionproc.model.as_json import to_json

    stream = sys.stderr if beside else sys.stdout
    written = to_json(value).decode()
    text = "".join(sign if sign.isprintable() else json.dumps(sign)[1:-1] for sign in written)
    stream.flush()
    stream.buffer.write(f"{text}\n".encode())
    stream.flush()


def said(text: str) -> str:
    """A message of the library in the words of the command: `save=` is `--save` here."""

    def option(found: re.Match[str]) -> str:
        return f"--{found[1].replace('_', '-')}{' ' if found[2] else ''}"

    for there, here in _WORDS:
        text = text.replace(there, here)
    text = _FRAME.sub("", text)  # the output has what was answered
    text = _CELL.sub(r"\1 the same command again", text)
    text = _PAST_ERRORS.sub(r"`lionproc report \1 --errors FILE`", text)
    return _OPTION.sub(option, text)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Our warnings as sentences: where in the code they arose is of no use to a person here."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", LionprocWarning)
        warnings.showwarning = _show_warning
        yield


def _show_warning(  # noqa: PLR0917 - the signature of warnings.showwarning
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, _OURS):
        return
    if issubclass(category, LionprocWarning):
        tell(f"lionproc: {said(str(message))}")
    else:
        shown = warnings.formatwarning(message, category, filename, lineno, line)
        del file
        tell(shown.rstrip())


@contextlib.contextmanager
def _terminated(stopped_by: list[int]) -> Iterator[None]:
    """SIGTERM, with which schedulers and containers end a process, stops it as Ctrl-C does.

    So does SIGHUP, which a closed terminal sends, unless `nohup` has it ignored. The shell may send
    it once more: that is nobody who asks a second time.
    """
    hangup = getattr(signal, "SIGHUP", None)  # Windows has none

    def stop(number: int, frame: object) -> NoReturn:
        del frame
        stopped_by.append(number)
        if number == hangup:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before: dict[int, Any] = {}
    try:
        before[signal.SIGTERM] = signal.signal(signal.SIGTERM, stop)
        if hangup is not None and signal.getsignal(hangup) is signal.SIG_DFL:
            before[hangup] = signal.signal(hangup, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
