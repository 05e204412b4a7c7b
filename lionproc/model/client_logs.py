"""What clients log of the requests that are made through them.

httpx logs the address of every request at level INFO, with its parameters; `?key=` and `?code=` of
some gateways are passwords, and a notebook with logging keeps what was logged.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

__all__ = ["without_parameters"]

_LOGGERS: Final = ("httpx", "httpx2", "openai._base_client")
_ours: ContextVar[bool] = ContextVar("ours", default=False)


@contextlib.contextmanager
def without_parameters() -> Iterator[None]:
    """Have the addresses of the requests within logged without their parameters.

    What else the process logs, the user's own requests through the same client too, stays as it is.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_bare)  # the same one is added once
    before = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(before)


def _bare(record: logging.LogRecord) -> bool:
    if _ours.get() and isinstance(record.args, tuple):
        record.args = tuple(map(_without, record.args))
    return True


def _without(arg: object) -> object:
    """An address up to its parameters; anything else as it is."""
    if type(arg).__name__ == "URL" or (isinstance(arg, str) and "://" in arg):
        return str(arg).partition("?")[0]
    return arg
