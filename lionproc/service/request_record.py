"""What can be read from a request's record: its result, whether it is finished, what it used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import orjson

from lionproc.engine.request import Event
from lionproc.engine.retry import FATAL
from lionproc.model.answer import Answer
from lionproc.service.record_types import RequestRecord, RequestResult
from lionproc.service.recorded_type import RecordedType, recorded
from lionproc.service.typed_result import typed_result


def result_of(record: RequestRecord, schema: object = None) -> RequestResult:
    """What `process_data` returned, or would have returned, for a record.

    Args:
        record: The record.
        schema: The type that the request was made with, None to leave the result as JSON.
    """
    request_id, status = record.get("id"), record.get("status")
    if status == "completed" and "result" in record:
        value = typed_result(record, schema)
        return {"status": "success", "request_id": str(request_id), "result": value}
    unfinished = (
        f"It is {status}, not completed. If nobody is at work on it, resume() goes on with it."
    )
    error = record.get("error") or unfinished
    result: RequestResult = {"status": "error", "error": error}
    if record.get("kind"):
        result["kind"] = record["kind"]
    if request_id is not None:
        result["request_id"] = request_id
    return result


def is_settled(record: RequestRecord, *, retry_failed: bool) -> bool:
    """Whether a request needs no further attempt.

    Args:
        record: Its record.
        retry_failed: Whether a failed request gets another attempt.
    """
    if record.get("status") == "failed":
        # A refused key, an unknown model or an empty account says nothing about the request.
        return not retry_failed and record.get("kind") not in FATAL
    # A completed one without its result was edited: sent again, it is read from the journal.
    return record.get("status") == "completed" and "result" in record


def is_about(record: RequestRecord, item: RequestRecord) -> bool:
    """Whether a request is about an item, as far as its record says.

    Args:
        record: Its record.
        item: What the record of a request about the item has (`data`, say), as JSON. Of what else
            it does not say (`schema`, which older ones lack) it is believed to be the same.
    """
    return "data" in record and all(
        _is_same(record.get(name, value), value) for name, value in item.items()
    )


def _is_same(one: object, other: object) -> bool:
    """Whether two values are one in JSON, where true is not 1 and 2 is not 2.0: nor in a prompt."""
    pairs: list[tuple[Any, Any]] = [(one, other)]  # as deep as a file may be
    while pairs:
        one, other = pairs.pop()
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            pairs += [(value, other[name]) for name, value in one.items()]
        elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
            pairs += zip(one, other, strict=True)
        elif repr(one) != repr(other):
            return False
    return True


def digest_of(content: Mapping[str, object]) -> str:
    """A digest for a record, as of the fields that a template could show besides the data."""
    written = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    return blake2b(written, digest_size=16).hexdigest()


def schema_finder(schemas: Sequence[object]) -> Callable[[Mapping[str, Any]], Any]:
    """A function from a record to the type that it was written for.

    Args:
        schemas: The types to choose from. Where none fits, what the record says is used.

    Raises:
        SchemaError: One of them is not an answer type.
    """
    known = []
    for schema in schemas:
        Answer.of(schema)
        known.append((recorded(schema)["schema"], schema))

    def schema_for(record: Mapping[str, Any]) -> Any:
        for written, schema in known:
            if written == record.get("schema"):
                return schema
        return RecordedType.of(record)  # which makes a type: only where none is given

    return schema_for


def request_id_of(list_id: str, position: int) -> str:
    """The id of an item's request: known beforehand, so that no item is sent twice.

    Args:
        list_id: The id of its batch or job.
        position: Its place among the items, from 0.
    """
    return f"req_{list_id.partition('_')[2]}_{position:06d}"


def occurrence_of(request_id: str) -> int:
    """A number that belongs to this request alone, so that equal data is asked about again."""
    return int.from_bytes(request_id.encode(), "big")


def add_usage(record: RequestRecord, event: Event) -> None:
    """Add what this run of a request used to what earlier runs used."""
    used: Mapping[str, Any] = record.get("usage") or {}
    record["attempts"] = _count(record.get("attempts")) + (0 if event.cached else event.attempts)
    record["cached"] = event.cached
    record["seconds"] = round(event.seconds, 4)
    record["usage"] = {
        "prompt_tokens": _count(used.get("prompt_tokens")) + event.prompt_tokens,
        "completion_tokens": _count(used.get("completion_tokens")) + event.completion_tokens,
    }


def _count(value: object) -> int:
    """A count from a record, 0 where somebody edited it into something else."""
    return value if type(value) is int and 0 <= value < 2**53 else 0
