# ruff: noqa: INP001  (an extension of griffe's, no package)
"""Show griffe, which reads the code without running it, docstrings as they are meant.

What `shows` does to a verb: the arguments of `process` in its signature, their words in its help.
An example and a tree are set as such, and why a class is large is left to those who read the code.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import griffe

SIZE = re.compile(
    r"^.*more than \d+ methods because(?:.|\n)*?(?:\n\n|\Z)", re.MULTILINE | re.IGNORECASE
)
TREE = re.compile(r"(?:^\S.*\n)(?:^[├└│].*\n)+", re.MULTILINE)
PROCESS = "frame.accessor.FrameAccessor.process"


class Shown(griffe.Extension):
    """Gives the verbs that are decorated with `shows` the arguments and words they have in help."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring is not None:
            obj.docstring.value = _as_meant(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """See `griffe.Extension`."""
        if pkg.name == "lionproc":
            self._at = {parameter.name: parameter for parameter in pkg[PROCESS].parameters}
            for place in (
                "frame.accessor",
                "frame.series_accessor",
                "dask.accessor",
                "dask.series_accessor",
            ):
                self._in(pkg[place])

    def _in(self, module: griffe.Module) -> None:
        for cls in (each for each in module.classes.values() if not each.is_alias):
            for function in cls.functions.values():
                if any("shows(" in str(each.value) for each in function.decorators):
                    real = getattr(getattr(import_module(module.path), cls.name), function.name)
                    self._show(function, real)

    def _show(self, function: griffe.Function, real: object) -> None:
        own = {parameter.name: parameter for parameter in function.parameters}
        names = ["self", *[n for n in inspect.signature(real).parameters if n != "self"]]  # type: ignore[arg-type]
        function.parameters = griffe.Parameters(
            *(own[name] if name in own else self._at[name] for name in names)
        )
        if function.docstring is not None:
            function.docstring.value = _as_meant(inspect.getdoc(real) or "")


def _as_meant(doc: str) -> str:
    doc = TREE.sub(lambda found: f"```text\n{found[0]}```\n", doc)
    return re.sub(r"^Example:$", "Examples:", SIZE.sub("", doc), flags=re.MULTILINE)
