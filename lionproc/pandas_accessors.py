"""`df.llm` is there as soon as both lionproc and pandas are, whichever is imported first.

Importing pandas takes most of a second. Who needs no frame (`lionproc --help`, a program that uses
the service layer) does not wait for it: the accessors are registered when pandas is imported.
"""

from __future__ import annotations

import importlib.util  # importlib.abc would take longer to import than all of this
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader

__all__ = ["register"]


def register() -> None:
    """Put `.llm` on frames and series now, or when pandas is imported."""
    if "pandas" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AfterPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPandas())


def _register() -> None:
    from lionproc.frame.register import register as register_accessors

    register_accessors()


class _AfterPandas:
    """Finds pandas where the others do, once, and has something done when it is imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        del path, target
        if fullname != "pandas":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            sys.meta_path.insert(0, self)  # it may be installed later, as in a notebook
            return spec
        loader: Any = _Loader(spec.loader)
        spec.loader = loader
        return spec


class _Loader:
    """Loads as another one does, and registers the accessors then.

    Args:
        loader: The other one.
    """

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # what finds files and sources of pandas

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`."""
        try:
            self._loader.exec_module(module)
        except BaseException:
            sys.meta_path.insert(0, _AfterPandas())  # the next attempt may succeed
            raise
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        _register()
