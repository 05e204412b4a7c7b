"""Functions that people give for a prompt: what they may return, and what is said when they raise."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from lionproc.errors import CallError, Kind, PromptError
from lionproc.frame.cell import sound

Message: TypeAlias = dict[str, Any]
"""One message as the chat API takes it: `{"role": ..., "content": ...}`."""
Writer: TypeAlias = Callable[[Any], Any]
"""A function of a row (a dict of label -> cell), or of a cell where `each` is set."""


SYSTEM_ROLES = frozenset({"system", "developer"})


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


def messages_of(result: object) -> str | list[Message] | None:
    """What a function returned, checked; None to skip the row."""
    if result is None:
        return None
    if isinstance(result, str):
        if not result.strip():
            raise PromptError("the prompt is empty for this row")
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
        messages.append(
            {**message, "content": sound(content)} if isinstance(content, str) else dict(message)
        )
    return messages


def has_system(messages: list[Message]) -> bool:
    """Whether the messages say themselves what the model is."""
    return any(message["role"] in SYSTEM_ROLES for message in messages)


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
