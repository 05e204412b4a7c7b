"""Verbs that a Dask frame does not have, and the way on of each.

Whoever changes `pandas` to `dask.dataframe` and nothing else finds every verb: what cannot be done
partition by partition says what can be done in place of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from lionproc.errors import ConfigurationError
from lionproc.face import face

__all__ = ["ERRORS", "REPORT", "refused"]

ERRORS = (
    "job = ddf.llm.start(...) has job.errors(); and with details=True the frame has a column of "
    'errors: out[out["mood_status"] == "failed"].compute().'
)
REPORT = (
    "Each partition is a run of its own: lp.runs() lists them where the workers' journal is this "
    "process's. job = ddf.llm.start(...) has job.stats, the sums of all."
)


def refused(verb: str, instead: str) -> Callable[..., NoReturn]:
    """A verb that says what to do in place of it.

    Args:
        verb: As it is called.
        instead: The way on, as a sentence or two.
    """

    def refuse(self: object, *arguments: Any, **options: Any) -> NoReturn:
        del self, arguments, options
        raise ConfigurationError(f"On Dask there is no {verb}(). {instead}")

    refuse.__name__ = verb
    refuse.__qualname__ = verb
    refuse.__doc__ = f"Not on Dask. {instead}\n\nRaises:\n    ConfigurationError: Always."
    return face(refuse)
