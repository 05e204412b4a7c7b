"""What the schema of a stranger's file says besides its types, before anything is made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa

from lionproc.engine.json_bounds import bounded, read_json
from lionproc.engine.unfolding import unfolds
from lionproc.frame.dtype_names import has_plain_zones

__all__ = [
    "DTYPE",
    "FACTS",
    "SPARE",
    "check_schema",
    "field_noted",
    "noted_by_pandas",
    "whole_note",
]

DTYPE: Final = b"lionproc.dtype"  # of a field: what its dtype is, where Arrow has no such one
FACTS: Final = b"lionproc"  # facts of the run: those that unfold are none, and spoil no answers
_JSON: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]*[\[{\"\-\d]")  # how it begins
SPARE: Final = 2**26  # bytes of memory for a note, beyond those in proportion to its length


def whole_note(said: bytes) -> bytes:
    """A note, if it takes no more memory than is usual for its length.

    Args:
        said: JSON, as a rule.

    Raises:
        ValueError: It takes far more.
        RecursionError: It is nested too deeply.
    """
    if unfolds(bounded(said), SPARE):
        raise ValueError("a note takes far more memory than it has bytes")
    return said


def check_schema(schema: pa.Schema) -> None:
    """Look through all notes that pyarrow, pandas or we read of a table, and its time zones.

    Args:
        schema: Of the table.

    Raises:
        ValueError: A note takes far more memory than it has bytes, or a number in it is too long. Or
            a time zone is the name of a file.
        RecursionError: A note is nested too deeply.
    """
    if not all(has_plain_zones(field.type) for field in schema):
        raise ValueError("there is no such time zone")
    for field in (schema, *schema):
        for name, said in (field.metadata or {}).items():
            if not _JSON.match(said):  # of other programs, and no reader of JSON goes on
                continue
            if name == FACTS:
                bounded(said)
            else:
                whole_note(said)


def noted_by_pandas(schema: pa.Schema, what: str = "columns") -> list[dict[str, Any]]:
    """What pandas has noted of the columns.

    Args:
        schema: Of a table.
        what: "columns", or "column_indexes": the levels of their labels.

    Raises:
        Exception: Of any kind, where the metadata is made up.
    """
    metadata = read_json((schema.metadata or {}).get(b"pandas", b"{}"))
    found: list[dict[str, Any]] = metadata.get(what, [])
    return found


def field_noted(column: Mapping[str, object]) -> object:
    """The name of the field that pandas has described, as pyarrow finds it.

    Args:
        column: One of `noted_by_pandas`.
    """
    return column["field_name"] if "field_name" in column else column["name"]
