"""`.llm` on frames and series, and the dtypes of saved columns: all that an import has to do.

The rest is imported when `.llm` is first used, so that `import lionproc` stays light.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import pandas as pd
from pandas.api.extensions import register_dataframe_accessor, register_series_accessor

from lionproc.errors import ConfigurationError, LionprocWarning
from lionproc.face import face
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


NAME = "llm"
_others: dict[type, Any] = {}  # what another package had there, to be given back


@face
def register(name: str = NAME) -> None:
    """Put lionproc's verbs on frames and series, under another name too.

    Importing lionproc does it under `llm`. Where two packages want that name, the one that is
    imported last has it. `lp.register("lp")` makes `df.lp.process(...)` of it and gives `llm` back
    to whom it belonged; `lp.register()` takes it again.

    Args:
        name: The attribute of frames and series.

    Raises:
        ConfigurationError: The name cannot be an attribute, or is one of pandas' own.

    Warns:
        LionprocWarning: Another package had the name, which it says.

    Example:
        ```python
        lp.register("lp")
        df.lp.process("Is this positive? {review}", into="positive", schema=bool)
        ```
    """
    # pandas wants a class, and calls it with the frame.
    kinds: tuple[tuple[type, Any, Any], ...] = (
        (pd.DataFrame, register_dataframe_accessor, llm),
        (pd.Series, register_series_accessor, series_llm),
    )
    if name != NAME:
        _check_name(name, [kind for kind, _, _ in kinds])
    register_saved_type()
    for kind, add, accessor in kinds:
        other = kind.__dict__.get(name)
        if other is not None and _class_of(other) is not accessor:
            owner = getattr(_class_of(other), "__module__", "another package")
            if name == NAME:
                _others[kind] = other
            warnings.warn(
                f"{kind.__name__}.{name} belonged to {owner}; now it is lionproc's. To have both, "
                f'call lp.register("lp"): then df.lp.process(...) is lionproc\'s, and .llm is '
                f"given back to {owner.partition('.')[0]}.",
                LionprocWarning,
                stacklevel=2,
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # pandas says the same, without names
            add(name)(accessor)
        if name != NAME and kind in _others and _class_of(kind.__dict__.get(NAME)) is accessor:
            setattr(kind, NAME, _others.pop(kind))


def _class_of(descriptor: object) -> object:
    """The class of accessors that pandas keeps at a name."""
    return getattr(descriptor, "_accessor", descriptor)


def _check_name(name: str, kinds: Sequence[type]) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ConfigurationError(
            f"register() needs a name that can be an attribute, like 'lp', not {name!r}."
        )
    for kind in kinds:
        of_pandas = getattr(_class_of(getattr(kind, name, None)), "__module__", "pandas")
        if hasattr(kind, name) and of_pandas.partition(".")[0] == "pandas":
            raise ConfigurationError(
                f"pandas.{kind.__name__} has {name!r} itself. Choose another name, like 'lp'."
            )
