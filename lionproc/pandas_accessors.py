"""`df.llm` is there as soon as both lionproc and pandas are, whichever is imported first.

Importing pandas takes most of a second. Who needs no frame (`lionproc --help`, a program that uses
the service layer) does not wait for it: the accessors are registered when pandas is imported.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.abc import Loader  # which takes longer to import than all of this

__all__ = ["register"]


def register() -> None:
    """Put `.llm` on frames and series now, or when pandas is imported."""
    if sys.modules.get("pandas") is not None:
        _register()
    elif not any(isinstance(finder, _AfterPandas) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AfterPandas())


def _register() -> None:
    from lionproc.frame.register import register as register_accessors

    register_accessors()


class _AfterPandas:
    """Finds pandas where the others do, and has something done when it is imported."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`. Who only asks whether pandas is there imports none."""
        if fullname != "pandas":
            return None
        for finder in sys.meta_path:
            if finder is not self:
                spec = finder.find_spec(fullname, path, target)
                if spec is not None and spec.loader is not None:
                    loader: Any = _Loader(spec.loader, self)
                    spec.loader = loader
                    return spec
        return None


class _Loader:
    """Loads as another one does, and registers the accessors then.

    Args:
        loader: The other one.
        finder: What found it, which is needed no more when pandas is there.
    """

    def __init__(self, loader: Loader, finder: _AfterPandas) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # what finds files and sources of pandas

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """See `importlib.abc.Loader`."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """See `importlib.abc.Loader`. If it fails, the next attempt may succeed."""
        self._loader.exec_module(module)
        with contextlib.suppress(ValueError):
            sys.meta_path.remove(self._finder)
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        _register()
