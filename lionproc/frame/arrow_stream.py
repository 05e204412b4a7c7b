"""A small table in the note of a file, which a stranger may have written, read without unfolding.

In an Arrow stream a few bytes may say that they are a billion rows, or hold them compressed. So what
each message says of itself is looked at before pyarrow reads it (the format: arrow.apache.org, "Arrow
Columnar Format", "Encapsulated message format"; its flatbuffers: "Message.fbs").
"""

from __future__ import annotations

import base64
import struct
from typing import Final

import pyarrow as pa

from lionproc.frame.named_types import note_fields
from lionproc.frame.notes import check_schema

__all__ = ["packed", "unpacked"]

_A_BYTE: Final = 8  # values in it, where they are true or false
_FEW: Final = 1000  # that may take none
_UNFOLDED: Final = (
    "view",
    "run_end_encoded",
    "dictionary",
    "fixed_size_list",
)  # by what is once there


def packed(table: pa.Table) -> str:
    """A table as text.

    Args:
        table: A small one.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return base64.b64encode(sink.getvalue().to_pybytes()).decode()


def unpacked(text: str) -> pa.Table:
    """What `packed` made of a table.

    Raises:
        ValueError: It is none, or would be far larger than the text.
    """
    content = base64.b64decode(text)
    try:
        for message in pa.ipc.MessageReader.open_stream(content):
            _check(message)
    except (struct.error, IndexError):
        raise ValueError("a message says nothing of itself") from None
    with pa.ipc.open_stream(content) as stream:
        if any(word in str(field.type) for field in stream.schema for word in _UNFOLDED):
            raise ValueError("its values are not there one by one")
        note_fields(stream.schema)
        check_schema(stream.schema)
        held = stream.read_all()
    held.validate(full=True)  # a stranger's offsets would be followed out of the memory
    return held


def _check(message: pa.ipc.Message) -> None:
    if message.type == "schema":
        return
    if message.type != "record batch":
        raise ValueError("it has more than rows")
    said = memoryview(message.metadata)
    batch = _at(said, *_field(said, struct.unpack_from("<I", said)[0], 2))
    _, compression = _field(said, batch, 3)
    if compression:
        raise ValueError("its rows are compressed")
    most = _A_BYTE * message.body.size + _FEW
    place, offset = _field(said, batch, 0)
    lengths = [struct.unpack_from("<q", said, place + offset)[0]] if offset else []
    place, offset = _field(said, batch, 1)
    if offset:
        nodes = _at(said, place, offset)
        (count,) = struct.unpack_from("<I", said, nodes)
        lengths += [struct.unpack_from("<q", said, nodes + 4 + 16 * n)[0] for n in range(count)]
    if any(not 0 <= length <= most for length in lengths):
        raise ValueError("it says that it has more rows than there are")


def _field(said: memoryview, table: int, number: int) -> tuple[int, int]:
    """Where a table of flatbuffers is, and a field within it; 0 where it has none."""
    places = table - struct.unpack_from("<i", said, table)[0]
    (size,) = struct.unpack_from("<H", said, places)
    place = 4 + 2 * number
    return table, struct.unpack_from("<H", said, places + place)[0] if place < size else 0


def _at(said: memoryview, table: int, offset: int) -> int:
    """Where a field leads."""
    return int(table + offset + struct.unpack_from("<I", said, table + offset)[0])
