"""Types that a stranger's file names, and that a package has registered in this process alone."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError
from lionproc.frame.arrow_stream import packed
from lionproc.frame.export import write_parquet
from lionproc.frame.named_types import known_here, unknown_types

TYPE, DTYPE = "a.package.array", "a_packages_numbers"


class Array(pa.ExtensionType):
    """As packages have them: what a file says about the type is in their hands."""

    made = 0

    def __init__(self):
        super().__init__(pa.int64(), TYPE)

    def __arrow_ext_serialize__(self):
        return b"anything"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage, serialized):
        cls.made += 1
        return cls()


class Numbers(pd.api.extensions.ExtensionDtype):
    """A dtype that pandas finds by its name."""

    name = DTYPE
    type = int

    @classmethod
    def construct_array_type(cls):
        raise AssertionError("nothing is made of it")


@pytest.fixture
def package():
    """One that is loaded here, and nowhere else."""
    pa.register_extension_type(Array())
    Array.made = 0
    yield
    pa.unregister_extension_type(TYPE)


FIELD = pa.field("n", pa.int64(), metadata={"ARROW:extension:name": TYPE})
ONE = pa.array([1])


def in_a_note():
    held = pa.Table.from_arrays([ONE], schema=pa.schema([FIELD]))
    note = {"kind": "category", "held": packed(held), "ordered": False}
    field = pa.field("n", pa.int64(), metadata={"lionproc.dtype": json.dumps(note)})
    return pa.Table.from_arrays([ONE], schema=pa.schema([field]))


def table(field, cells):
    return pa.Table.from_arrays([pa.array(cells, field.type)], schema=pa.schema([field]))


WITH_TYPE = {
    "a column": table(FIELD, [1]),
    "lists": table(pa.field("n", pa.list_(FIELD)), [[1]]),
    "records": table(pa.field("n", pa.struct([FIELD])), [{"n": 1}]),
    "maps": table(pa.field("n", pa.map_(pa.string(), FIELD)), [[("a", 1)]]),
    "a note": in_a_note(),
}


@pytest.mark.parametrize("where", WITH_TYPE)
@pytest.mark.parametrize("read", [lp.read_parquet, lp.read_facts])
def test_a_type_of_which_a_package_makes_something_here_alone_is_not_read(
    package, tmp_path, where, read
):
    path = tmp_path / "theirs.parquet"
    pq.write_table(WITH_TYPE[where], path)
    Array.made = 0
    if where == "a note" and read is lp.read_facts:
        return  # nobody looks into a note for the facts
    with pytest.raises(
        ConfigurationError, match=f"columns of the type '{TYPE}', of which a package"
    ):
        read(path)
    assert Array.made == 0


@pytest.mark.parametrize("where", WITH_TYPE)
def test_where_no_package_knows_the_type_the_column_is_read_as_it_is_stored(tmp_path, where):
    pq.write_table(WITH_TYPE[where], tmp_path / "theirs.parquet")
    assert len(lp.read_parquet(tmp_path / "theirs.parquet")) == 1


def test_ones_own_file_is_read_with_the_types_of_ones_packages(package, tmp_path):
    numbers = pd.arrays.ArrowExtensionArray(pa.ExtensionArray.from_storage(Array(), ONE))
    path = write_parquet(pd.DataFrame({"n": numbers}), tmp_path / "out.parquet", {})
    Array.made = 0
    assert len(lp.read_parquet(path)) == 1
    assert Array.made


def test_a_dtype_that_pandas_has_of_a_package_here_alone_is_not_read(tmp_path):
    path = tmp_path / "theirs.parquet"
    frame = pa.Table.from_pandas(pd.DataFrame({"n": [1]}))
    said = json.loads(frame.schema.metadata[b"pandas"])
    said["columns"][0]["numpy_type"] = DTYPE
    pq.write_table(frame.replace_schema_metadata({"pandas": json.dumps(said)}), path)
    assert lp.read_parquet(path)["n"].tolist() == [1]
    pd.api.extensions.register_extension_dtype(Numbers)
    with pytest.raises(
        ConfigurationError, match=f"columns of the type '{DTYPE}', of which a package"
    ):
        lp.read_parquet(path)


def test_a_file_with_very_many_types_that_nobody_knows_is_damaged(tmp_path):
    fields = [
        FIELD.with_name(str(n)).with_metadata({"ARROW:extension:name": f"x{n}"})
        for n in range(1001)
    ]
    pq.write_table(
        pa.Table.from_arrays([ONE] * 1001, schema=pa.schema(fields)), tmp_path / "a.parquet"
    )
    with pytest.raises(ConfigurationError, match="damaged"):
        lp.read_parquet(tmp_path / "a.parquet")


def test_to_look_whether_a_name_is_taken_takes_it_for_nobody():
    assert known_here([("type", TYPE), ("dtype", "none such")]) is None
    pa.register_extension_type(Array())
    assert known_here([("type", TYPE)]) == TYPE
    pa.unregister_extension_type(TYPE)
    with unknown_types() as names:
        assert not names
