"""`.llm` on frames and series, and the dtypes of saved columns: all that an import has to do.

The rest is imported when `.llm` is first used, so that `import lionproc` stays light.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib import import_module
from typing import Any, TypeAlias

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
Kinds: TypeAlias = dict[type, tuple[Any, Any]]
"""Classes of frames and series: what puts accessors on them, and the accessor."""

_kinds: Kinds = {
    pd.DataFrame: (register_dataframe_accessor, llm),
    pd.Series: (register_series_accessor, series_llm),
}
_names: list[str] = []  # that were registered
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
    if name != NAME:
        _check_name(name, _kinds)
    register_saved_type()
    if name not in _names:
        _names.append(name)
    for kind in _kinds:
        _put(kind, name)


def register_too(kinds: Kinds) -> None:
    """Frames and series of another kind have the verbs too, under all names that pandas' have.

    Args:
        kinds: The classes.

    Warns:
        LionprocWarning: Another package had a name, which it says.
    """
    _kinds.update(kinds)
    for name in _names or [NAME]:
        for kind in kinds:
            _put(kind, name)


def _put(kind: type, name: str) -> None:
    add, accessor = _kinds[kind]
    other = kind.__dict__.get(name)
    owner = getattr(_class_of(other), "__module__", "another package")
    if other is not None and not owner.startswith("lionproc."):
        if name == NAME:
            _others[kind] = other
        warnings.warn(
            f"{_told(kind)}.{name} belonged to {owner}; now it is lionproc's. To have both, "
            f'call lp.register("lp"): then df.lp.process(...) is lionproc\'s, and .llm is '
            f"given back to {owner.partition('.')[0]}.",
            LionprocWarning,
            stacklevel=3,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pandas says the same, without names
        add(name)(accessor)
    if name != NAME and kind in _others and _class_of(kind.__dict__.get(NAME)) is accessor:
        setattr(kind, NAME, _others.pop(kind))


def _told(kind: type) -> str:
    package = kind.__module__.partition(".")[0]
    return kind.__name__ if package == "pandas" else f"{package}.{kind.__name__}"


def _class_of(descriptor: object) -> object:
    """The class of accessors that pandas keeps at a name."""
    return getattr(descriptor, "_accessor", descriptor)


def _check_name(name: str, kinds: Iterable[type]) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ConfigurationError(
            f"register() needs a name that can be an attribute, like 'lp', not {name!r}."
        )
    for kind in kinds:
        package = kind.__module__.partition(".")[0]  # pandas, or the like
        owner = getattr(_class_of(getattr(kind, name, None)), "__module__", package)
        if hasattr(kind, name) and owner.partition(".")[0] == package:
            raise ConfigurationError(
                f"{package}.{kind.__name__} has {name!r} itself. Choose another name, like 'lp'."
            )
