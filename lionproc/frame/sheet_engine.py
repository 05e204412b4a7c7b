"""What writes the file of a spreadsheet program: by the ending of its name, or as it is named."""

from __future__ import annotations

import importlib.util
import os
from pathlib import PurePath
from typing import Any

from lionproc.engine.paths import is_url, local_path
from lionproc.errors import ConfigurationError, MissingDependencyError

__all__ = ["ENGINES", "choose_engine"]

# What writes, and what it has to be told so that text stays text: xlsxwriter makes formulas of
# `{=...}`, and links of addresses.
ENGINES: dict[str, dict[str, bool]] = {
    "openpyxl": {},
    "xlsxwriter": dict.fromkeys(
        ("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False
    ),
    "odf": {},
}
_ENDINGS = {"odf": ".ods"}  # of what does not write .xlsx
_PACKAGES = {"odf": "odfpy"}  # where one is not called like its engine


def choose_engine(path: str | os.PathLike[str], options: dict[str, Any]) -> None:
    """Name the engine among the options of `DataFrame.to_excel`, and have it take no text for more.

    Args:
        path: The file or its address. A program that opens it goes by its ending.
        options: With or without an `engine`; changed in place.

    Raises:
        ConfigurationError: It is not known what the engine makes of text, or it writes no such file.
        MissingDependencyError: It is not installed.

    Example:
        >>> options = {}
        >>> choose_engine("out.xlsx", options)
        >>> options["engine"]
        'openpyxl'
    """
    ending = _ending(path)
    engine = options.get("engine") or ("odf" if ending == _ENDINGS["odf"] else "openpyxl")
    if engine not in ENGINES:
        raise ConfigurationError(
            f"engine is one of {', '.join(map(repr, ENGINES))}, not {engine!r}: what others make "
            "of text is not known."
        )
    written = _ENDINGS.get(engine, ".xlsx")
    if ending != written:
        raise ConfigurationError(
            f"{engine} writes {written} files, and what opens this one would take it for "
            f"{ending or 'none of them'}: end its name in {written}."
        )
    if importlib.util.find_spec(engine) is None:
        package = _PACKAGES.get(engine, engine)
        raise MissingDependencyError(f"This file needs {package}. Run: pip install {package}")
    options["engine"] = engine
    if told := ENGINES[engine]:
        given = dict(options.get("engine_kwargs") or {})
        options["engine_kwargs"] = {**given, "options": {**given.get("options", {}), **told}}


def _ending(path: str | os.PathLike[str]) -> str:
    if not is_url(path):
        return local_path(path).suffix.lower()
    address = os.fspath(path).partition("::")[0].partition("?")[0]  # what is in an archive is first
    return PurePath(address).suffix.lower()
