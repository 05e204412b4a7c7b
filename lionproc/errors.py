"""Everything lionproc raises or warns of.

LionprocError
├── ConfigurationError (also ValueError)   wrong arguments, found before anything is sent
│   ├── ArgumentError (also TypeError)     an argument that does not exist or is missing
│   ├── PromptError                        a template or a callable that cannot work
│   ├── SchemaError                        an answer type that cannot be asked for
│   ├── LimitsError                        a limit that is no limit
│   ├── ColumnError                        columns that are missing or in the way
│   ├── ModelError                         no model, an unknown provider, a missing key
│   └── MissingDependencyError             an extra that is not installed
├── CallError                              one call failed; says how, in `kind`
├── RunError                               the whole run had to stop; what was paid for is kept
│   ├── AccessError                        the server refuses the key, the model or an empty account
│   ├── FirstRowsFailedError               the first rows all failed in one way, none was answered
│   ├── NoLogprobsError                    the model does not tell what confidence=True is made of
│   ├── JournalError                       replies cannot be kept, so none are bought
│   ├── TargetError                        no threshold of a cascade can keep what it was to keep
│   └── ServiceDownError                   the server fails faster than retrying is worth
├── SaveError (also OSError)               a file could not be written
├── RecordError                            a record of a service cannot be written or read
└── RowsFailedError                        `errors="raise"` and at least one row failed

LionprocWarning (UserWarning)
├── RowsFailedWarning                      some rows came back as NA
├── ParameterWarning                       the model was asked without something it does not take
├── BudgetWarning                          a budget was reached, the frame is partial
├── ConfidenceWarning                      answers without a confidence, votes that cannot differ
├── MixedModelsWarning                     the answers of a run come from more than one model
└── StoppedWarning                         somebody stopped the run that a cell waited for

Errors carry ids, positions and kinds, never the text of a cell and never a key. One shows a reply:
`FirstRowsFailedError`, cut short, because nothing else says as much.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum

from lionproc.habits import meant

__all__ = [
    "AccessError",
    "ArgumentError",
    "BudgetWarning",
    "CallError",
    "ColumnError",
    "ConfidenceWarning",
    "ConfigurationError",
    "FirstRowsFailedError",
    "JournalError",
    "Kind",
    "LimitsError",
    "LionprocError",
    "LionprocWarning",
    "MissingDependencyError",
    "MixedModelsWarning",
    "ModelError",
    "NoLogprobsError",
    "ParameterWarning",
    "PromptError",
    "RecordError",
    "RowsFailedError",
    "RowsFailedWarning",
    "RunError",
    "SaveError",
    "SchemaError",
    "ServiceDownError",
    "StoppedWarning",
    "TargetError",
    "did_you_mean",
    "let_go",
    "pass_on_interrupt",
    "words_of",
]


class Kind(StrEnum):
    """How a call failed. The words appear in reports, logs and `errors()` tables."""

    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    NO_CAPACITY = "no_capacity"  # 429 of a cheaper tier that has no room now: no rate limit
    SERVER_ERROR = "server_error"  # any other 5xx, and 408/409
    TIMEOUT = "timeout"  # no whole reply within the timeout
    CONNECTION = "connection"  # refused, reset, closed half way
    BAD_REPLY = "bad_reply"  # HTML, broken JSON, or an error object with status 200
    ACCESS = "access"  # 401, 403
    QUOTA = "quota"  # 402, no credit, or the quota of the day is used up: waiting does not help
    FORBIDDEN = "forbidden"  # 403 or 404 for this row, where the same key and model have answered
    NOT_FOUND = "not_found"  # 404: the model or the path
    BAD_REQUEST = "bad_request"  # 400, 422 and the other 4xx
    UNSUPPORTED = "unsupported"  # 400 for a parameter that the next attempt leaves out
    CONTEXT_LENGTH = "context_length"  # the prompt is longer than the model reads
    REDIRECT = "redirect"  # 3xx: never followed
    TOO_LARGE = "too_large"  # more tokens than the limit can ever admit
    UNREADABLE = "unreadable"  # a reply that was paid for and that nobody can read
    UNKNOWN_ENDING = "unknown_ending"  # a finish_reason that is not known to be good
    TRUNCATED = "truncated"  # finish_reason "length"
    FILTERED = "filtered"  # finish_reason "content_filter"
    REFUSED = "refused"  # the model declined
    EMPTY = "empty"  # no choice, or no text in it
    TOOL_CALL = "tool_call"  # a tool call where text was expected
    WRONG_SHAPE = "wrong_shape"  # text that is not what the schema asks for
    NO_LOGPROBS = "no_logprobs"  # confidence=True was asked for, and the model does not tell it
    PROMPT = "prompt"  # the prompt could not be made for this row
    NOT_SENT = "not_sent"  # the run stopped before this one was sent
    CANCELLED = "cancelled"  # given up while waiting or in flight
    DEADLINE = "deadline"  # waited in the queue for longer than allowed
    UNEXPECTED = "unexpected"  # a fault of ours or of a custom call


class LionprocError(Exception):
    """The root of every error that lionproc raises."""


class ConfigurationError(LionprocError, ValueError):
    """An argument cannot work. Raised before anything is sent."""


class ArgumentError(ConfigurationError, TypeError):
    """An argument that does not exist (the message names the near one) or is missing."""

    @classmethod
    def unknown(cls, called: str, name: object, known: Iterable[object]) -> ArgumentError:
        """The error for one that a call does not have.

        Args:
            called: The function or class.
            name: What was written.
            known: What there is.
        """
        names = list(map(str, known))
        way_on = meant(str(name), names) or did_you_mean(name, names)
        return cls(f"{called}() has no argument {name!r}.{way_on}")


class PromptError(ConfigurationError):
    """A prompt template or callable that cannot make messages."""


class SchemaError(ConfigurationError):
    """An answer type that cannot be asked for, checked or put into a column."""


class LimitsError(ConfigurationError):
    """A limit that is zero, negative, not a number or contradicts another."""


class ColumnError(ConfigurationError):
    """A column that is missing, ambiguous or already there."""


class ModelError(ConfigurationError):
    """No model configured, an unknown provider, or no key for it."""


class MissingDependencyError(ConfigurationError, ImportError):
    """A part of lionproc needs a package that is not installed; the message has the command."""


# What helps, by how it failed: advice that a person can act on.
HINTS = {
    Kind.RATE_LIMITED: "Lower limits=, share them (`Limits(shared=True)`), or run it again later.",
    Kind.OVERLOADED: "Run the cell again later.",
    Kind.NO_CAPACITY: "Run the cell again later, or without service_tier=.",
    Kind.SERVER_ERROR: "Run the cell again later.",
    Kind.TIMEOUT: "Raise timeout= of the model, or run the cell again later.",
    Kind.CONNECTION: "Check the network, the proxy and base_url=.",
    Kind.BAD_REPLY: "Check that base_url= is an OpenAI-compatible address.",
    Kind.BAD_REQUEST: "Change what the server refuses: a parameter of the model, or the prompt.",
    Kind.CONTEXT_LENGTH: "Shorten the prompt, or name a model that reads more.",
    Kind.REDIRECT: "Write the address that it leads to as base_url=.",
    Kind.TOO_LARGE: "Shorten the prompt, lower max_tokens=, or raise the limit.",
    Kind.UNREADABLE: "Run the cell again with resume=False; leave out what stays so.",
    Kind.TRUNCATED: "Raise max_tokens=, or ask for a shorter answer.",
    Kind.FILTERED: "Reword the prompt, or leave out what the filter stops.",
    Kind.REFUSED: "Reword the prompt, or name another model.",
    Kind.EMPTY: "Run the cell again; if it stays empty, raise max_tokens= or reword the prompt.",
    Kind.TOOL_CALL: "Take tools out of the model's parameters, or say that text is wanted.",
    Kind.WRONG_SHAPE: "Name the allowed answers in the prompt, widen schema=, or name another model.",
    Kind.PROMPT: "Mend the prompt, or the function that makes it.",
    Kind.CANCELLED: "Run the cell again; it may be billed twice.",
}


class CallError(LionprocError):
    """One call failed.

    Where a reply is no answer, `raw` has its beginning as it came, of the first rows of very many.

    Args:
        kind: How it failed.
        message: What happened, without keys or the text of a cell.
        status: The HTTP status, if there was one.
        retry_after_s: Seconds the server asked everybody to wait, if it did.
        hint: What to do about it; where none is given, what helps against its kind.
        reply: What the model said, cut and printable, where it said anything. It is the
            model's: for tables and panels, and no part of the error as a text.
        arrived: False where the server surely never had the request, so that it was not billed.
        at_once: Whether the server refused it because too many were in flight at once.
        may_be_of_row: Whether a refusal of all may be one of this row, as nothing was answered yet.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        hint: str | None = None,
        reply: str = "",
        arrived: bool = True,
        at_once: bool = False,
        may_be_of_row: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.status = status
        self.retry_after_s = retry_after_s
        self.hint = HINTS.get(kind, "") if hint is None else hint
        self.reply = reply
        self.raw = b""
        self.arrived = arrived
        self.at_once = at_once
        self.may_be_of_row = may_be_of_row

    def __str__(self) -> str:
        stop = "." if self.hint and self.message[-1:] not in ".!?…" else ""
        return f"{self.message}{stop} {self.hint}".strip()

    def __reduce__(self) -> tuple[object, ...]:
        return (_call_error, (self.kind, self.message, dict(self.__dict__)))


def _call_error(kind: Kind, message: str, more: dict[str, object]) -> CallError:
    error = CallError(kind, message)
    error.__dict__.update(more)
    return error


class RunError(LionprocError):
    """The run had to stop. What was answered is journaled and in `lp.last_job().frame()`."""


class AccessError(RunError):
    """The server refuses the key, does not know the model or path, or the account is used up."""


class NoLogprobsError(RunError):
    """The model does not tell how likely its tokens are, which `confidence=True` is made of."""


class TargetError(RunError):
    """The sample of a cascade cannot show that its target is kept."""


class FirstRowsFailedError(RunError):
    """The first requests of a run all failed in one way; the message has a reply and a way on."""


class JournalError(RunError):
    """The journal cannot be read or written, so nothing more is bought."""


class ServiceDownError(RunError):
    """The server kept failing until the retry budget was spent, or was never reached."""


class SaveError(LionprocError, OSError):
    """A file could not be written. The frame is still in memory."""


class RecordError(LionprocError):
    """A record of a service cannot be written or read; the message names the file and why."""


class RowsFailedError(LionprocError):
    """Some rows failed and `errors="raise"` was asked for. Everything else is journaled."""


class LionprocWarning(UserWarning):
    """The root of lionproc's warnings."""


class RowsFailedWarning(LionprocWarning):
    """Some rows have no answer; the message says how many and where to look."""


class ParameterWarning(LionprocWarning):
    """The model does not take a parameter, so it was asked without; the message names it."""


class BudgetWarning(LionprocWarning):
    """A budget was reached and the frame is partial."""


class MixedModelsWarning(LionprocWarning):
    """The answers of a run come from more than one model, as their replies say."""


class ConfidenceWarning(LionprocWarning):
    """Some answers have no confidence, or votes that cannot differ; the message says why."""


class StoppedWarning(LionprocWarning):
    """Somebody stopped the run while a cell waited for it, and the frame is partial."""


_LONG_NAME = 200  # characters
_WORK = 2_000_000  # pairs of characters that are held against each other: 0.4 seconds
_MOST_NAMES = 1500  # characters


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """A sentence naming what is near to a misspelt word, for the end of a message.

    Args:
        word: What was written.
        known: What would have been right.

    Returns:
        `" Did you mean 'review'?"`, or the known words if none is near.

    Example:
        >>> did_you_mean("revew", ["review", "rating"])
        " Did you mean 'review'?"
        >>> did_you_mean("rpm", ["requests_per_minute", "concurrency"])
        " Did you mean 'requests_per_minute'?"
    """
    words = [str(k) for k in known]
    # Of very many, or very long ones, a search takes long, and a stranger may have chosen them.
    written, short = str(word)[:_LONG_NAME], [w for w in words if len(w) <= _LONG_NAME]
    near = get_close_matches(written, short[: _WORK // (_LONG_NAME * (len(written) + 1))], 3, 0.6)
    near = near or [w for w in words if "_" in w and str(word).lower() == _initials(w)]
    if near:
        return f" Did you mean {' or '.join(map(repr, near))}?"
    # All of them where that is a paragraph: what is cut off is what somebody looks for.
    shown, more = ", ".join(map(repr, words)), ""
    if len(shown) > _MOST_NAMES:
        shown, _, _ = shown[:_MOST_NAMES].rpartition(", ")
        more = f", ... ({len(words):,} in all)"
    return f" There are: {shown}{more}." if words else ""


def _initials(word: str) -> str:
    return "".join(part[:1] for part in word.split("_"))


def pass_on_interrupt(error: BaseException) -> None:
    """Raise Ctrl-C again. Whatever else code of the user's raises is the failure of one row.

    Some of it is no `Exception`: a panic of a library in Rust, the cancelling of a task, a group.
    Ctrl-C comes to the main thread alone: elsewhere the code itself raised a `KeyboardInterrupt`.

    Args:
        error: What was caught.

    Raises:
        KeyboardInterrupt: It is one, and this is the main thread.
    """
    if isinstance(error, KeyboardInterrupt) and _is_main_thread():
        raise error


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def let_go(error: BaseException) -> None:
    """Forget what was under way when an error was raised, before it is kept.

    The frames of its traceback hold rows and replies of megabytes, for as long as the error lives.

    Args:
        error: What is kept.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None


def words_of(error: BaseException) -> str:
    """The type and the text of an error of any class; its text may itself be one.

    Args:
        error: What was caught.

    Example:
        >>> words_of(ValueError("no such day"))
        'ValueError: no such day'
    """
    try:
        return f"{type(error).__name__}: {error}"
    except BaseException as another:  # noqa: BLE001  (of any class)
        pass_on_interrupt(another)
        return type(error).__name__
