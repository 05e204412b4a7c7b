"""Patterns of pydantic types that Python's `re` would run, run by engines that have an end.

pydantic's own engine goes over a text once (see `pattern_work`). With `regex_engine="python-re"`,
or where `pattern=` is a compiled one, it asks `re` instead: forty characters then hold `^(a+)+$` up
for hours, and nothing else in the process runs meanwhile, Ctrl-C included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from pydantic_core import PydanticCustomError, SchemaValidator, core_schema
from pydantic_core import SchemaError as CoreSchemaError

from lionproc.errors import SchemaError
from lionproc.model.core_parts import changed, outside, parts_within
from lionproc.model.pattern_work import (
    LARGEST_PATTERN,
    MOST_BACKTRACKS,
    RunPattern,
    is_possessive,
    may_be_verbose,
)
from lionproc.model.trial_server import compiled

__all__ = ["runs_of", "safe_schema", "validator_from", "validator_of"]

_FLAGS: Final = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"), (re.VERBOSE, "x"))

_END: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\Z")  # `\z` to everybody but Python


def validator_of(schema: Any, built: Any) -> Any:
    """The validator of a type, in which Python's `re` runs no pattern.

    Args:
        schema: The type's core schema.
        built: The validator that pydantic has made of it.

    Returns:
        That one, or another where there are such patterns. What looks around (`(?=...)`), which
        pydantic's own engine cannot, is run as in JSON Schema, where letters and digits are ASCII.

    Raises:
        SchemaError: No engine but Python's can run one of them.
    """
    if not isinstance(schema, dict):
        return built
    safe = safe_schema(schema)
    return built if safe is schema else validator_from(safe)


def safe_schema(schema: Any) -> Any:
    """The core schema of a type, in which Python's `re` runs no pattern.

    Raises:
        SchemaError: As for `validator_of`.
    """
    return _safe(schema, python=False)


def validator_from(schema: Any) -> SchemaValidator:
    """The validator of a core schema in which parts of a type were changed."""
    # What pydantic has made of the models within would be taken as it is.
    return SchemaValidator(schema, _use_prebuilt=False)


def _safe(node: Any, *, python: bool) -> Any:
    """The same node where it has no such pattern, else a copy without."""
    if isinstance(node, dict):
        engine = node.get("regex_engine") or (node.get("config") or {}).get("regex_engine")
        python = engine == "python-re" if engine else python
        pattern = node.get("pattern")
        if node.get("type") == "str" and pattern is not None:
            return node if isinstance(pattern, str) and not python else _checked(node)
    return changed(node, partial(_safe, python=python))


def _checked(node: Mapping[str, Any]) -> Any:
    """A text that is held against its pattern by us."""
    pattern, flags = _given(node["pattern"])
    matches = _matcher(pattern, flags)

    def check(text: str) -> str:
        if not matches(text):
            raise PydanticCustomError(
                "string_pattern_mismatch",  # pydantic's own word and sentence
                "String should match pattern '{pattern}'",
                {"pattern": pattern},
            )
        return text

    inner: Any = {key: node[key] for key in node.keys() - {"pattern", "regex_engine", "ref"}}
    made = core_schema.no_info_after_validator_function(check, inner)
    return outside(node, made)


def runs_of(schema: object, *, are_own: bool) -> dict[str, set[RunPattern]]:
    """How the patterns of a type are run, by what its JSON Schema says.

    Args:
        schema: A core schema that `safe_schema` has taken.
        are_own: Whether all of them are left to pydantic's own engine.
    """
    made: dict[str, set[RunPattern]] = {}
    for part in parts_within(schema):
        if part.get("type") == "str" and part.get("pattern") is not None:
            pattern, flags = _given(part["pattern"])
            spelled = pattern if are_own else _with_flags(pattern, flags)
            by_pydantic = are_own or _own_engine(pattern, flags) is not None
            made.setdefault(pattern, set()).add(RunPattern(spelled, by_pydantic))
    return made


def _given(pattern: Any) -> tuple[str, int]:
    """A pattern and its flags, which a compiled one has."""
    return (pattern, 0) if isinstance(pattern, str) else (pattern.pattern, pattern.flags)


def _matcher(pattern: str, flags: int) -> Callable[[str], bool]:
    own = _own_engine(pattern, flags)
    if own is not None:
        return own.isinstance_python
    try:
        checker = compiled(
            {"pattern": _with_flags(pattern, flags)}, LARGEST_PATTERN, MOST_BACKTRACKS
        )
    except ValueError:
        raise SchemaError(
            f"The pattern {pattern[:200]!r} can only be run by Python's re, which one "
            "answer can hold up for hours. Write it another way."
        ) from None
    return checker.is_valid


def _own_engine(pattern: str, flags: int) -> SchemaValidator | None:
    """The engine that pydantic has itself, with a pattern; None where it does not run it as Python would."""
    spelled = _with_flags(pattern, flags)
    if flags & re.ASCII or is_possessive(spelled, verbose=may_be_verbose(spelled)):
        return None
    own: Any = core_schema.str_schema(pattern=spelled)
    try:
        return SchemaValidator(own, {"regex_engine": "rust-regex"})
    except CoreSchemaError:
        return None


def _with_flags(pattern: str, given: int) -> str:
    flags = "".join(letter for flag, letter in _FLAGS if given & flag)
    end = "\n" if "x" in flags else ""  # of a comment
    inner = _END.sub(r"\1\\z", pattern)
    return f"(?{flags}:{inner}{end})"
