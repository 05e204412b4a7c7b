"""What goes into a prompt besides its template: functions that people give, messages, examples."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from lionproc.errors import CallError, Kind, PromptError
from lionproc.frame.cell import sound
from lionproc.model.own_copy import own_copy

Message: TypeAlias = dict[str, Any]
"""One message as the chat API takes it: `{"role": ..., "content": ...}`."""
Writer: TypeAlias = Callable[[Any], Any]
"""A function of a row (a dict of label -> cell), or of a cell where `each` is set."""


class Shown(Protocol):
    """Examples that can be worded by any template."""

    def shown_by(self, template: str | Writer, *, each: bool) -> tuple[Message, ...]:
        """The turns of a user and an assistant."""


SYSTEM_ROLES = frozenset({"system", "developer"})
EMPTY = "the prompt is empty for this row"


def one_argument(function: Writer, role: str) -> Writer:
    """The function, if it can be called with a row.

    Raises:
        PromptError: It cannot.
    """
    if inspect.iscoroutinefunction(function):
        raise PromptError(f"The {role} function is async; give an ordinary one.")
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        raise PromptError(
            f"The {role} function must take one argument, the row: lambda row: ..."
        ) from None
    except ValueError:
        pass  # a builtin that does not tell
    return function


def messages_of(result: object, *, copied: bool = True) -> str | list[Message] | None:
    """What a function returned, checked; None to skip the row.

    Args:
        result: What it returned.
        copied: Whether the parts of messages are copied too. The function may write into them when
            it is called for the next row.
    """
    if result is None:
        return None
    if isinstance(result, str):
        if not result.strip():
            raise PromptError(EMPTY)
        return sound(str.__str__(result))
    if not isinstance(result, (list, tuple)):
        raise PromptError(
            f"the prompt function returned {type(result).__name__}, not a text or messages"
        )
    if not result:
        raise PromptError("the prompt function returned no messages")
    messages = []
    for message in result:
        if not (
            isinstance(message, Mapping)
            and isinstance(message.get("role"), str)
            and "content" in message
        ):
            raise PromptError("a message that the prompt function returned lacks role or content")
        content = message["content"]
        own = own_copy(message) if copied else dict(message)
        messages.append({**own, "content": sound(content)} if isinstance(content, str) else own)
    return messages


def has_system(messages: list[Message]) -> bool:
    """Whether the messages say themselves what the model is."""
    return any(message["role"] in SYSTEM_ROLES for message in messages)


def with_turns(messages: list[Message], turns: tuple[Message, ...]) -> list[Message]:
    """Messages with examples behind the system prompt, wherever that comes from."""
    if not turns:
        return messages
    roles = [message["role"] for message in messages]
    start = next((n for n, role in enumerate(roles) if role not in SYSTEM_ROLES), len(roles))
    return [*messages[:start], *turns, *messages[start:]]


def unreadable(subject: Any) -> CallError | None:
    """Why what a function would be called with, a cell or a row, cannot be read; None if it can."""
    cells = subject.values() if type(subject) is dict else (subject,)
    return next((cell for cell in cells if issubclass(type(cell), CallError)), None)


def raised(role: str, error: BaseException) -> str:
    """What a function of the user's did, with the name it stumbled over: never with a cell.

    A name is shown if it stands in the code that ran; what comes from the row does not.
    """
    text = f"the {role} function raised {type(error).__name__}"
    name: object = None
    with contextlib.suppress(Exception):  # an error of the user's may have attributes that raise
        name = error.args[0] if isinstance(error, KeyError) and error.args else None
        if isinstance(error, (NameError, AttributeError)):
            name = error.name
    if type(name) is not str:
        return text
    traceback = error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if name in code.co_names or name in code.co_consts:
            return f"{text}: {name!r}"
        traceback = traceback.tb_next
    return text


def failed(message: str, cause: BaseException | None = None) -> CallError:
    """The failure of a row whose prompt cannot be made."""
    error = CallError(Kind.PROMPT, message)
    error.__cause__ = cause
    return error


def is_of_the_row(made: CallError) -> bool:
    """Whether it says nothing of the prompt: a cell is empty, and the prompt is nothing but that."""
    return made.message == EMPTY


def must_be_made(made: object, at: int) -> None:
    """Refuse a prompt that fails where it was tried, so that it shows before the run.

    Args:
        made: What the row became.
        at: The row.

    Raises:
        PromptError: It failed.
    """
    if isinstance(made, CallError):
        raise PromptError(
            f"Tried on row {at}, the prompt fails: {made.message}. "
            "Correct it before the run, or give the row what it needs."
        ) from made.__cause__
