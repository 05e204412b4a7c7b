"""Mistakes of the caller, raised at the caller's own line.

A traceback of six frames of ours above the message helps nobody who misspelt a column. IPython
leaves out frames that say `__tracebackhide__`, but always shows the last one, and a terminal
shows all. So an error of ours starts anew where it leaves the package: one frame of ours is left,
below the line that has to be changed. The whole of it goes to the log "lionproc" at level DEBUG.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from lionproc.errors import ArgumentError, LionprocError

log = logging.getLogger("lionproc")
P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", bound=type)


def face(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function of the public API say what is wrong with a call, at the caller's line.

    Args:
        function: A function, a method or a coroutine function.

    Returns:
        The same with two more services: an argument that it does not have is refused with the
        near one, and an error of ours has no frames of ours but this one.

    Example:
        >>> @face
        ... def ask(question, *, model=None): ...
        >>> ask("Why?", modell="gpt")
        Traceback (most recent call last):
        lionproc.errors.ArgumentError: ask() has no argument 'modell'. Did you mean 'model'?
    """
    known = _arguments(function)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def awaited(*args: P.args, **kwargs: P.kwargs) -> Any:
            try:
                _check(function, args, kwargs, known)
                return await function(*args, **kwargs)
            except LionprocError as error:
                del args, kwargs  # there may be a key among them, and this frame is shown
                raise _told(error)  # noqa: B904  (it is the same error)

        return cast("Callable[P, T]", awaited)

    @functools.wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            _check(function, args, kwargs, known)
            return function(*args, **kwargs)
        except LionprocError as error:
            del args, kwargs  # there may be a key among them, and this frame is shown
            raise _told(error)  # noqa: B904  (it is the same error)
        except KeyboardInterrupt as stopped:
            if not stopped.args:
                raise
            del args, kwargs
            raise _told(stopped)  # noqa: B904  (ours, with the way on)

    return called


def faced(cls: C) -> C:
    """`face` for what makes instances of a class."""
    made: Any = cls
    made.__init__ = face(made.__init__)
    return cls


def _told(error: LionprocError | KeyboardInterrupt) -> BaseException:
    log.debug("raised at the caller", exc_info=error)
    return error.with_traceback(None)


class _Arguments(NamedTuple):
    names: tuple[str, ...] | None  # those that it takes, None where it takes any
    places: tuple[str, ...] | None  # those that may come without a name, None where any number may
    needed: tuple[str, ...]  # those without a default, where it can be told what came


def _arguments(function: Callable[..., Any]) -> _Arguments:
    parameters = inspect.signature(function).parameters.values()
    kinds = {parameter.kind for parameter in parameters}
    names = (p.name for p in parameters if p.kind is not p.POSITIONAL_ONLY)
    any_place = inspect.Parameter.VAR_POSITIONAL in kinds
    places = (p.name for p in parameters if p.kind in {p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD})
    needed = (p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD)
    return _Arguments(
        None if inspect.Parameter.VAR_KEYWORD in kinds else tuple(n for n in names if n != "self"),
        None if any_place else tuple(places),
        () if any_place else tuple(needed),
    )


def _check(function: Any, args: tuple[Any, ...], given: dict[str, Any], takes: _Arguments) -> None:
    known, places, needed = takes
    if places is not None and len(args) > len(places):
        named = [name for name in places if name != "self"]
        first = " and ".join(", ".join(named).rsplit(", ", 1)) or "nothing"
        raise ArgumentError(
            f"{_called(function)}() takes {first} without a name, and what else it takes as "
            f"name=...; {len(args) - (len(places) - len(named))} came without one."
        )
    for name in given:
        if known is not None and name not in known:
            raise ArgumentError.unknown(_called(function), name, known)
    came = {*given, *(places or ())[: len(args)]}
    absent = [f"{name}=" for name in needed if name not in came]
    if absent:
        raise ArgumentError(f"{_called(function)}() needs {' and '.join(absent)}.")


def _called(function: Any) -> str:
    name: str = function.__name__
    if name == "__init__":
        name = function.__qualname__.rpartition(".")[0]
    return name
