"""Dtypes that parquet alone forgets, noted beside columns of plain Arrow types.

`pd.read_parquet` fails on columns of lists and structs that pandas itself wrote (the dtype's
name cannot be parsed), turns decimals into objects and categories that are no text into floats.
A file has such columns as what they are (lists, structs, numbers), so that Polars, DuckDB, R and
pandas alone read them with nothing in the way. What their pandas dtype was is said in the
metadata of the field, under "lionproc.dtype", and `lp.read_parquet` makes it again.

pyarrow asks an extension type for the dtype of a column, so while a file is read its columns
have one, for that moment. Files of version 0.1 have it inside; they are read as before.
"""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Collection, Hashable, Mapping
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from lionproc.engine.json_bounds import read_json
from lionproc.frame.arrow_stream import packed, unpacked
from lionproc.frame.distinct import codes_in
from lionproc.frame.dtype_names import LONGEST_NAME, is_level, is_readable
from lionproc.frame.index_levels import index_of, levels_of
from lionproc.frame.notes import DTYPE, field_noted, noted_by_pandas, whole_note
from lionproc.frame.pandas_hash import Index, has_one_place
from lionproc.frame.parquet_dictionary import are_quick
from lionproc.frame.whole_numbers import IntegerWithGaps, are_lost, dtypes_noted, to_pandas
from lionproc.model.one_hash import has_one_hash

__all__ = ["SavedDtype", "register", "to_frame", "to_table"]

# Makes periods and intervals known to pyarrow, as `pd.read_parquet` does: else they are numbers.
importlib.import_module("pandas.core.arrays.arrow.extension_types")
_NAME = "lionproc.column"
_ONE_HASH = "very many categories have one hash"  # and take hours to tell apart
Arrow: TypeAlias = Any  # an Arrow array or chunked array: stubs for these differ too much
_untyped: Any = pa


class SavedDtype(pa.ExtensionType):
    """A column whose pandas dtype is more than its Arrow type.

    Args:
        storage: Its Arrow type.
        dtype: How to make the pandas dtype again: {"kind": "arrow"}, {"kind": "integer"} (with gaps)
            or {"kind": "category"} with the categories, the dtype of their index, and whether they are
            ordered. Where JSON has no such values, "held" has the categories as Arrow writes them.
    """

    def __init__(self, storage: pa.DataType, dtype: Mapping[str, Any]) -> None:
        self.dtype = dict(dtype)
        super().__init__(storage, _NAME)

    def __arrow_ext_serialize__(self) -> bytes:
        return _note(self.dtype)

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> SavedDtype:
        return cls(storage, read_json(whole_note(serialized)))

    def __reduce__(self) -> tuple[object, ...]:
        return SavedDtype, (self.storage_type, self.dtype)

    def __hash__(self) -> int:
        """Equal types have equal hashes: pandas looks types up where `dtype_backend=` is given."""
        return hash((self.storage_type, self.__arrow_ext_serialize__()))

    def to_pandas_dtype(self) -> object:
        """What pyarrow asks for a dtype with `__from_arrow__`."""
        if self.dtype["kind"] == "arrow":
            return _Arrow(self.storage_type)
        if self.dtype["kind"] == "integer":
            return IntegerWithGaps(self.storage_type)
        return _Category(self.dtype)


class _Arrow:
    """Makes Arrow-backed pandas columns."""

    def __init__(self, storage: pa.DataType) -> None:
        self._storage = storage

    def __from_arrow__(self, array: Arrow) -> pd.arrays.ArrowExtensionArray:
        return pd.arrays.ArrowExtensionArray(_storage(array))


class _Category:
    """Makes categories from stored values."""

    def __init__(self, dtype: Mapping[str, Any]) -> None:
        self._dtype = dtype

    def __from_arrow__(self, array: Arrow) -> pd.Categorical[Any]:
        if "held" in self._dtype:
            held = _noted(unpacked(self._dtype["held"]))
            values = held.to_pandas().iloc[:, 0]
            index: Index = pd.Index(values, tupleize_cols=False)
            if has_one_place(index):
                raise ValueError(_ONE_HASH)
            place_of = {value: place for place, value in enumerate(_shown(held, index))}
            return pd.Categorical.from_codes(
                codes_in(_storage(array), place_of),
                categories=index.rename(None),
                ordered=self._dtype["ordered"],
            )
        members = self._dtype["categories"]
        kind = self._dtype["index"]
        if not isinstance(kind, str) or (kind != "str" and np.dtype(kind).kind not in _PLAIN):
            raise ValueError("there is no such dtype")
        if has_one_hash(members):
            raise ValueError(_ONE_HASH)
        categories: Index = pd.Index(members, dtype=kind, tupleize_cols=False)
        if has_one_place(categories):
            raise ValueError(_ONE_HASH)
        code = {_stored(member, self._dtype): place for place, member in enumerate(members)}
        return pd.Categorical.from_codes(
            codes_in(_storage(array), code), categories=categories, ordered=self._dtype["ordered"]
        )


def register() -> None:
    """Make the type of old files known to pyarrow, once for a process."""
    with contextlib.suppress(pa.ArrowKeyError):  # it is already
        _untyped.register_extension_type(SavedDtype(pa.null(), {"kind": "arrow"}))


def to_table(frame: pd.DataFrame, like: pa.Schema | None = None) -> pa.Table:
    """A frame as a table of plain Arrow types, which `to_frame` and plain pandas read back.

    Args:
        frame: With unique column names that are all text, or a MultiIndex of columns.
        like: The schema of a larger frame that this is a part of. Its columns that are here too
            get the types, and the descriptions, that they have there.

    Returns:
        The table, with pandas' metadata and without the frame's attrs.

    Raises:
        pyarrow.ArrowException: A column cannot be converted.
    """
    bare = pd.DataFrame(frame, copy=False)  # shares the data; attrs may hold anything, so not them
    bare.attrs = {}
    kept = {}
    for place in range(frame.shape[1]):
        category = _kept_category(bare.iloc[:, place])
        if category is not None:
            kept[place] = category
            # Arrow cannot even convert categories that mix text and numbers: stand in for them
            bare.isetitem(place, np.zeros(len(bare), dtype="int8"))
    table = pa.Table.from_pandas(bare)
    for place, dtype in enumerate(bare.dtypes):
        nested = _kept_arrow(dtype, table.column(place))
        if nested is not None:
            kept[place] = nested
    metadata = read_json(table.schema.metadata[b"pandas"])
    names = table.schema.names
    table = _replaced(table, {at: (c.field(names[at]), c.arrow) for at, c in kept.items()})
    for place, column in kept.items():
        metadata["columns"][place].update(column.described)
    if like is not None:
        table = _alike(table, metadata["columns"], like)
    for column in metadata["columns"]:
        if not is_readable(column["numpy_type"]):
            column["numpy_type"] = "object"
    return table.replace_schema_metadata({b"pandas": json.dumps(metadata).encode()})


def to_frame(table: pa.Table, *, beside_others: bool = False) -> pd.DataFrame:
    """The frame that a table was made of, with its dtypes.

    Args:
        table: Of `to_table`, or of anybody's: also of pandas' own `to_parquet`, which names dtypes
            that it cannot read itself.
        beside_others: See `are_lost`.

    Raises:
        Exception: Of any kind, where the metadata is made up.
    """
    table = _noted(table)
    typed: dict[int, tuple[pa.Field, Arrow]] = {}
    dtypes = dtypes_noted(noted_by_pandas(table.schema))
    for place, field in enumerate(table.schema):
        note = (field.metadata or {}).get(DTYPE)
        noted, column = dtypes.get(field.name), table.column(place)
        if note is None and are_lost(column, noted, beside_others=beside_others):
            note = _note({"kind": "integer"})
        if note is not None:
            saved = SavedDtype.__arrow_ext_deserialize__(field.type, note)
            chunks = [pa.ExtensionArray.from_storage(saved, chunk) for chunk in column.chunks]
            made = _untyped.chunked_array(chunks, type=saved)
            typed[place] = pa.field(field.name, saved), made
    table, levels = levels_of(_replaced(table, typed))
    frame = to_pandas(table)
    if levels:
        frame.index = index_of(levels)
    return frame


def _noted(table: pa.Table) -> pa.Table:
    """The table with a note for each dtype that pandas has named and cannot read.

    Raises:
        ValueError: Periods have a frequency that is too long for any; pandas takes the square of it.
            Or the names of the columns have a dtype that says how wide each of them is.
    """
    if any(len(getattr(field.type, "freq", "")) > LONGEST_NAME for field in table.schema):
        raise ValueError("there is no such frequency")
    levels = noted_by_pandas(table.schema, "column_indexes")
    if not all(is_level(level["pandas_type"]) for level in levels):
        raise ValueError("there is no such dtype")
    numbers = {field.name for field in table.schema if _is_number(field.type)}
    if all(is_readable(level["numpy_type"]) for level in levels) and all(
        is_readable(column["numpy_type"], is_text=_is_text(column, numbers))
        for column in noted_by_pandas(table.schema)
    ):
        return table
    metadata = read_json(table.schema.metadata[b"pandas"])
    for level in metadata.get("column_indexes", []):
        if not is_readable(level["numpy_type"]):
            level["numpy_type"] = "object"
    schema = table.schema
    noted: dict[int, tuple[pa.Field, Arrow]] = {}
    for column in metadata["columns"]:
        place = schema.get_field_index(column.get("field_name") or column["name"])
        if is_readable(column["numpy_type"], is_text=_is_text(column, numbers)):
            continue
        column["numpy_type"] = "object"
        field = schema.field(place)
        if not pa.types.is_dictionary(field.type):
            noted[place] = (
                field.with_metadata({DTYPE: _note({"kind": "arrow"})}),
                table.column(place),
            )
    kept = {**schema.metadata, b"pandas": json.dumps(metadata).encode()}
    return _replaced(table, noted).replace_schema_metadata(kept)


def _is_number(kind: pa.DataType) -> bool:
    """Whether each value takes the same few bytes."""
    types: Any = pa.types
    made: bool = (
        types.is_primitive(kind) or types.is_decimal(kind) or types.is_fixed_size_binary(kind)
    )
    return made


def _is_text(column: Mapping[str, object], numbers: Collection[object]) -> bool:
    """Whether a column that pandas has described may be one of texts."""
    return field_noted(column) not in numbers


def _replaced(table: pa.Table, columns: Mapping[int, tuple[pa.Field, Arrow]]) -> pa.Table:
    """The table with other columns in some places. Made at once: one by one takes their square."""
    if not columns:
        return table
    fields, arrays = list(table.schema), list(table.columns)
    for place, (field, array) in columns.items():
        fields[place], arrays[place] = field, array
    schema = pa.schema(fields, metadata=table.schema.metadata)
    return pa.Table.from_arrays(arrays, schema=schema)


class _Column(NamedTuple):
    """A column as it goes into a table.

    Attributes:
        arrow: Its values.
        dtype: How to make its dtype again, as `SavedDtype` has it.
        described: What pandas without lionproc is told about it.
    """

    arrow: Arrow
    dtype: Mapping[str, Any]
    described: Mapping[str, object]

    def field(self, name: str) -> pa.Field:
        """The field of the column, with its note."""
        return pa.field(name, self.arrow.type, metadata={DTYPE: _note(self.dtype)})


def _note(dtype: Mapping[str, object]) -> bytes:
    return json.dumps(dtype, sort_keys=True).encode()


def _alike(table: pa.Table, described: list[dict[str, Any]], like: pa.Schema) -> pa.Table:
    """The table with the types of another one, where a column is in both and its type is not."""
    there = {column["field_name"]: column for column in noted_by_pandas(like)}
    alike: dict[int, tuple[pa.Field, Arrow]] = {}
    for place, field in enumerate(table.schema):
        whole = like.get_field_index(field.name)
        if whole >= 0 and like.field(whole).type != field.type:
            alike[place] = like.field(whole), table.column(place).cast(like.field(whole).type)
            described[place] = there[field.name]
    return _replaced(table, alike)


def _kept_arrow(dtype: object, arrow: Arrow) -> _Column | None:
    if not isinstance(dtype, pd.ArrowDtype) or pa.types.is_dictionary(dtype.pyarrow_dtype):
        return None
    if is_readable(str(dtype)):
        return None
    return _Column(arrow, {"kind": "arrow"}, {"pandas_type": "object", "numpy_type": "object"})


_PLAIN: Mapping[str, tuple[Any, str, str]] = {
    "i": (pa.int64(), "int64", "Int64"),
    "f": (pa.float64(), "float64", "Float64"),
    "b": (pa.bool_(), "bool", "boolean"),
    "O": (pa.string(), "unicode", "string"),
}


def _kept_category(column: pd.Series[Any]) -> _Column | None:
    dtype = column.dtype
    if not isinstance(dtype, pd.CategoricalDtype):
        return None
    categories = dtype.categories
    members = categories.tolist()
    text = all(isinstance(member, str) for member in members)
    quick = text and are_quick({each.encode(errors="surrogatepass") for each in members})
    if quick and len(column) and members:
        return None  # a dictionary of text is what parquet keeps by itself, if there is a row
    plain = all(isinstance(member, str | int | float) for member in members)
    index = categories.dtype if isinstance(categories.dtype, np.dtype) else "str"
    kind = index.kind if isinstance(index, np.dtype) else "O"
    if not plain or kind not in _PLAIN or not (text or isinstance(index, np.dtype)):
        return _held_category(column)
    how: dict[str, Any] = {
        "kind": "category",
        "categories": members,
        "index": str(index),
        "ordered": bool(dtype.ordered),
    }
    storage, pandas_type, numpy_type = _PLAIN[kind]
    stored: list[Any] = [_stored(member, how) for member in members]
    if len(set(stored)) < len(stored):  # 1 and "1"
        how["quoted"] = True
        stored = [_stored(member, how) for member in members]
    stored.append(None)  # code -1
    values = _untyped.array([stored[code] for code in column.cat.codes], type=storage)
    described = {"pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": None}
    return _Column(_untyped.chunked_array([values]), how, described)


def _held_category(column: pd.Series[Any]) -> _Column | None:
    """A category of dates, intervals and whatever else Arrow knows; None if it does not.

    What parquet can have by itself is in the file as it is, the rest as text.
    """
    categories = column.cat.categories
    try:
        frame = pd.DataFrame({"categories": categories}, copy=False)
        held = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError):
        return None
    if pa.types.is_nested(held.schema.field(0).type):
        return None  # tuples would come back as lists, which can be no categories
    stored = _shown(held, categories)
    if len(set(stored)) != len(stored):
        return None
    type_ = held.schema.field(0).type if _is_plain(held) else pa.string()
    how = {"kind": "category", "held": packed(held), "ordered": bool(column.cat.ordered)}
    stored.append(None)  # code -1
    values = _untyped.array([stored[code] for code in column.cat.codes], type=type_)
    described = {"pandas_type": "object", "numpy_type": "object", "metadata": None}
    return _Column(_untyped.chunked_array([values]), how, described)


def _is_plain(held: pa.Table) -> bool:
    return not isinstance(held.schema.field(0).type, pa.BaseExtensionType)


def _shown(held: pa.Table, categories: pd.Index[Any]) -> list[Any]:
    """What stands in the file for each of the categories."""
    if _is_plain(held):
        return list(held.column(0).to_pylist())
    return [str(member) for member in categories.tolist()]


def _stored(member: Hashable, how: Mapping[str, Any]) -> Any:
    """A category as it is in the file: itself, or as text where numbers and text are mixed."""
    if how.get("quoted"):
        return json.dumps(member)
    if how["index"] not in {"object", "str"} or isinstance(member, str):
        return member
    return json.dumps(member)


def _storage(array: Arrow) -> Arrow:
    if hasattr(array, "chunks"):
        return _untyped.chunked_array(
            [chunk.storage for chunk in array.chunks], type=array.type.storage_type
        )
    return array.storage
