"""Dask tests functions on rows that it made up: nothing is sent for those."""

from __future__ import annotations

import sys

from lionproc.errors import ConfigurationError

__all__ = ["refuse_made_up_rows"]

_GUESSING = ("emulate", "_emulate", "_meta", "_get_meta")


def refuse_made_up_rows() -> None:
    """Refuse to work where Dask only wants to know the columns.

    Raises:
        ConfigurationError: The frame at hand is one that Dask made up.
    """
    if "dask" not in sys.modules:
        return
    frame = sys._getframe(1)
    while (caller := frame.f_back) is not None:
        frame = caller
        module = frame.f_globals.get("__name__", "")
        if module.startswith(("dask.dataframe", "dask_expr")) and frame.f_code.co_name.startswith(
            _GUESSING
        ):
            raise ConfigurationError(
                "Dask calls this function on rows that it made up, to learn the columns, and each "
                "would be paid for. Tell it the columns: "
                'frame.map_partitions(function, meta=frame._meta.assign(answer="")).'
            )
