"""Where a run's results are looked up: which run made a frame, its errors, its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import pandas as pd

from lionproc.errors import ConfigurationError

if TYPE_CHECKING:
    from lionproc.frame.asked import Asked
    from lionproc.reports.report import Report


class Made(Protocol):
    """A run that made a frame."""

    @property
    def asked(self) -> Sequence[Asked]:
        """What it asked of every row; nothing, where that were several questions in turn."""

    def errors(self) -> pd.DataFrame:
        """The rows that failed."""

    def report(self) -> Report:
        """What the run did."""

    def facts(self) -> Mapping[str, Any]:
        """What a file with its answers says of the run."""


HOW_ASKED = "A frame that its .frame(df) makes knows how the rows were asked."
KEY = "lionproc_run"  # in a frame's `attrs`


class RunId(str):
    """The id of a run, for a frame's `attrs`, and in this process the way to the run itself.

    pandas hands `attrs` on to what is made of a frame (`head`, `copy`, a selection), copies them
    deeply, and writes them as JSON into parquet files: there, in a pickle and in another process
    this is a plain string. So nothing is kept of a run whose frames are all gone.
    """

    __slots__ = ("__dict__", "__weakref__")
    run: Made

    def __copy__(self) -> RunId:
        return self

    def __deepcopy__(self, _: object) -> RunId:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return (str, (str(self),))


def remember(frame: pd.DataFrame | pd.Series[Any], run: Made, run_id: str) -> None:
    """Let a frame, and what is made of it, know which run made it.

    Args:
        frame: The frame.
        run: The run; not more of it than shall live as long as the frame does.
        run_id: The id of the run.
    """
    known = RunId(run_id)
    known.run = run
    frame.attrs[KEY] = known


def run_of(frame: pd.DataFrame | pd.Series[Any], more: str = "") -> Made:
    """The run that made a frame, or the frame it was made of.

    Args:
        frame: The frame.
        more: What helps where the run was in another session, in a sentence.

    Raises:
        ConfigurationError: It was not made by a run of this session.
    """
    known = frame.attrs.get(KEY)
    if isinstance(known, RunId):
        return known.run
    if known is not None:
        raise _elsewhere(known, more)
    raise ConfigurationError(
        "This frame was not returned by df.llm.process or df.llm.pipeline, or what was done with "
        "it since has lost that. lp.last_job() has the errors and the report of the last "
        "df.llm.process."
    )


def _elsewhere(run: object, more: str = "") -> ConfigurationError:
    shown = repr(str(run)[:64])  # of a file that may be a stranger's
    return ConfigurationError(
        f"The run that made this frame ({shown}) was in another session or process. "
        f"lp.run({shown}) has its errors and report, as far as its journal is at hand. "
        + (
            more
            or "Running the same call again asks only for what has no answer, and lists what fails."
        )
    )


class SavedRun:
    """The run that made a file, as far as the file knows it.

    Args:
        facts: What the file says.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts

    @property
    def asked(self) -> NoReturn:
        """A file does not say how each row was asked."""
        raise _elsewhere(self._facts["run"], HOW_ASKED)

    def errors(self) -> NoReturn:
        """A file has no errors."""
        raise _elsewhere(self._facts["run"])

    def report(self) -> NoReturn:
        """A file has no report."""
        raise _elsewhere(self._facts["run"])

    def facts(self) -> Mapping[str, Any]:
        """What the file says."""
        return self._facts
