"""`.llm` on frames and series, and the dtypes of saved columns: all that an import has to do.

The rest is imported when `.llm` is first used, so that `import lionproc` stays light.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import pandas as pd
from pandas.api.extensions import register_dataframe_accessor, register_series_accessor

from lionproc.errors import LionprocWarning
from lionproc.frame.arrow_extension import register as register_saved_type
from lionproc.frame.dask_meta import refuse_made_up_rows


class Later:
    """Stands for a class of accessors until it is first used, and is imported then.

    pandas calls it with a frame, and hands it out itself on `pandas.DataFrame.llm`: so help and
    completion find there what they find on a frame.
    """

    def __init__(self, module: str, name: str, doc: str) -> None:
        self._name = name
        self.__doc__ = doc
        self.__module__ = f"lionproc.frame.{module}"

    def _load(self) -> Any:
        return getattr(import_module(self.__module__), self._name)

    def __call__(self, data: Any) -> Any:
        """The accessor of a frame or a series."""
        accessor = self._load()
        refuse_made_up_rows()
        return accessor(data)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._load(), name)

    def __dir__(self) -> list[str]:
        return dir(self._load())


llm = Later(
    "accessor",
    "FrameAccessor",
    "An LLM for the columns of a frame: `df.llm.process(...)` and more.",
)
series_llm = Later(
    "series_accessor",
    "SeriesAccessor",
    "An LLM for the cells of a series: `series.llm.process(...)` and more.",
)


def register() -> None:
    """Put `.llm` on frames and series; warns, and says whose it was, if somebody had it."""
    register_saved_type()
    # pandas wants a class, and calls it with the frame.
    kinds: tuple[tuple[type, Any, Any], ...] = (
        (pd.DataFrame, register_dataframe_accessor, llm),
        (pd.Series, register_series_accessor, series_llm),
    )
    for kind, add, accessor in kinds:
        other = kind.__dict__.get("llm")
        if other is not None and getattr(other, "_accessor", None) is not accessor:
            owner = getattr(getattr(other, "_accessor", other), "__module__", "another package")
            warnings.warn(
                f"{kind.__name__}.llm belonged to {owner}; now it is lionproc's. "
                f"Import {owner.partition('.')[0]} after lionproc to have it the other way.",
                LionprocWarning,
                stacklevel=2,
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas says the same, without names
            add("llm")(accessor)
