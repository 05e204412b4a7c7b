"""A result as its type has it, out of a record, which has it as JSON.

JSON does not say all of a value: a field may be left out of it (`exclude=True`), or be read under
another name than it is written under (`serialization_alias`). So it is tried while the value is at
hand, and noted in the record, what the type makes of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

from lionproc.engine.request import Event
from lionproc.errors import pass_on_interrupt
from lionproc.model.answer import Answer
from lionproc.model.as_json import plain
from lionproc.model.same_value import same_value
from lionproc.model.written_whole import is_written_whole
from lionproc.service.record_types import RequestRecord
from lionproc.service.recorded_type import RecordedType

__all__ = ["note_reading", "typed_result"]

T = TypeVar("T")
_PARTED: Final = frozenset((dict, list))
_LONG: Final = 1000  # characters of a value


def note_reading(record: RequestRecord, event: Event) -> None:
    """Note in a record whether its result is read as the value that it was made of.

    Where it is not, the answer in the form that was asked for may be, and then is noted as well.

    Args:
        record: The record, with its `result`.
        event: What has answered. A text or what has a JSON Schema is JSON: nothing is noted of it.
    """
    record.pop("reads_back", None)
    record.pop("reply", None)
    call: Any = event.call
    answer: Answer = call.answer
    if answer.plain or answer.is_json_schema:
        return

    def reads_back() -> bool:
        return same_value(answer.read_json(record["result"]), event.value)

    def reply() -> str | None:
        written = answer.written(call.cell)
        return written if same_value(answer.read(written), event.value) else None

    record["reads_back"] = _tried(reads_back, otherwise=False)
    if not record["reads_back"] and (read := _tried(reply, otherwise=None)) is not None:
        record["reads_back"], record["reply"] = True, read


def typed_result(record: RequestRecord, schema: object) -> object:
    """The result in a record as an instance of its type, where it surely is what was answered.

    It is where it reads as it was noted to, and is written as it stands there. In records of before,
    which have no note, the type alone has to say that nothing of it was lost.

    Args:
        record: Of a request that is completed.
        schema: The type that it was made with, None to leave the result as JSON.

    Returns:
        The instance, else the JSON.

    Raises:
        SchemaError: This is not an answer type.
    """
    result, reply = record.get("result"), record.get("reply")
    if schema is None or schema is str or isinstance(schema, (Mapping, RecordedType)):
        return result
    known = _of_type(_Type(schema))
    if record.get("reads_back", known.is_written_whole) is not True:
        return result

    def instance() -> object:
        answer = known.answer
        value = answer.read(reply) if isinstance(reply, str) else answer.read_json(result)
        return value if _is_same(plain(value), result) else result

    return _tried(instance, otherwise=result)


def _tried(make: Callable[[], T], *, otherwise: T) -> T:
    """What is made of a value; where code of its type raises, whatever that is, something else."""
    try:
        return make()
    except BaseException as error:  # noqa: BLE001  (of any class)
        pass_on_interrupt(error)
        return otherwise


def _is_same(one: object, other: object) -> bool:
    """Whether two values of JSON are one, where what was a set has another order in each process."""
    return one == other or _in_order(one) == _in_order(other)


def _in_order(value: object) -> str:
    """A text that is the same for the same values, in whatever order lists have them."""
    if isinstance(value, dict):
        text = (
            f"{{{','.join(sorted(f'{name!r}:{_in_order(each)}' for name, each in value.items()))}}}"
        )
    elif isinstance(value, list):
        nested = not _PARTED.isdisjoint(map(type, value))
        text = f"[{','.join(sorted(map(_in_order if nested else repr, value)))}]"
    else:
        return repr(value)
    # What stands within others is not gone over again with each of them.
    return text if len(text) <= _LONG else blake2b(text.encode(errors="surrogatepass")).hexdigest()


class _Known(NamedTuple):
    """What is to be known of a type."""

    answer: Answer
    is_written_whole: bool


class _Type:
    """A type by which object it is: `int | str` reads otherwise than the equal `str | int`."""

    def __init__(self, schema: object) -> None:
        self.schema = schema

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Type) and self.schema is other.schema

    def __hash__(self) -> int:
        return id(self.schema)


@lru_cache(maxsize=64)
def _of_type(of: _Type) -> _Known:
    return _Known(Answer.of(of.schema), is_written_whole(of.schema))
