"""Types of columns that a file names, and that only some processes know.

Any package can have pyarrow and pandas make its own arrays of what a file has under a name, by code of
its own: `datasets` does, and so do those of maps and of units. What that takes is seen only in a
process where the package is loaded. So whoever tries a file notes which names mean nothing there, and
whoever reads it looks whether one means something here.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

import pandas as pd
import pyarrow as pa

__all__ = ["known_here", "note_dtype", "note_fields", "note_types", "unknown_types"]

Name: TypeAlias = tuple[str, str]  # of a "type" of Arrow or a "dtype" of pandas, and itself
_SCHEMA: Final = b"ARROW:schema"  # in the metadata of a file: the types that its columns had
_NAME: Final = (
    b"ARROW:extension:name"  # of a field that has such a type, and is what it is stored as
)
_MOST: Final = 1000  # different names in a file, and characters of one
_unknown: ContextVar[set[Name] | None] = ContextVar("unknown", default=None)
_registry = threading.Lock()


@contextmanager
def unknown_types() -> Iterator[set[Name]]:
    """Note the names that mean nothing in this process, as long as it lasts.

    Raises:
        ValueError: There are very many of them, or long ones.
    """
    names: set[Name] = set()
    token = _unknown.set(names)
    try:
        yield names
    finally:
        _unknown.reset(token)
    if len(names) > _MOST or any(len(name) > _MOST for _, name in names):
        raise ValueError("there are no such types")


def note_dtype(name: str) -> None:
    """Note a name of which pandas makes no dtype.

    Args:
        name: It.
    """
    names = _unknown.get()
    if names is not None:
        names.add(("dtype", name))


def note_types(metadata: dict[bytes, bytes] | None) -> None:
    """Note the types of Arrow that a parquet file names.

    Args:
        metadata: Of the file.

    Raises:
        Exception: Of any kind, where it is made up.
    """
    said = (metadata or {}).get(_SCHEMA)
    if said is not None and _unknown.get() is not None:
        note_fields(pa.ipc.read_schema(pa.py_buffer(base64.b64decode(said))))


def note_fields(fields: Iterable[pa.Field]) -> None:
    """Note the types of Arrow that have stayed what they are stored as, for nobody knows them.

    Args:
        fields: Of a schema, with those in them.
    """
    names = _unknown.get()
    if names is None:
        return
    left = list(fields)
    while left:
        field = left.pop()
        name = (field.metadata or {}).get(_NAME)
        if name is not None:
            names.add(("type", name.decode()))
        left += _within(field.type)


def _within(kind: Any) -> list[pa.Field]:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    return [kind.field(place) for place in range(kind.num_fields)]


class _Nothing(pa.ExtensionType):
    """Takes a name to see whether it is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(pa.null(), name)

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> _Nothing:
        raise ValueError("there is no such type")


def known_here(names: Iterable[Sequence[str]]) -> str | None:
    """The first of some names that means something to pyarrow or pandas in this process.

    Args:
        names: As `unknown_types` has noted them.
    """
    ways = {"type": _is_type, "dtype": _is_dtype}
    return next((name for kind, name in names if ways[kind](name)), None)


def _is_dtype(name: str) -> bool:
    try:
        pd.api.types.pandas_dtype(name)
    except (TypeError, NotImplementedError, ValueError):
        return False
    return True


def _is_type(name: str) -> bool:
    untyped: Any = pa
    with _registry:
        try:
            untyped.register_extension_type(_Nothing(name))
        except pa.ArrowKeyError:
            return True
        untyped.unregister_extension_type(name)
    return False
