"""What a record says of a request: its result, as the type it was made with, and what it took."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lionproc.engine.request import Event
from lionproc.engine.retry import FATAL
from lionproc.errors import CallError
from lionproc.model.answer import Answer
from lionproc.service.records import Record, plain, to_json


def told_of(record: Record, schema: Any = None) -> dict[str, Any]:
    """What `process_data` returns for a record."""
    request_id, status = record.get("id"), record.get("status")
    if status == "completed" and "result" in record:
        result = typed(record.get("result"), schema)
        return {"status": "success", "request_id": request_id, "result": result}
    told = {"status": "error", "error": record.get("error") or f"It is {status}, not completed."}
    if record.get("kind"):
        told["kind"] = record["kind"]
    return told if request_id is None else {**told, "request_id": request_id}


def is_settled(record: Record, *, again: bool) -> bool:
    """Whether a request is not to be asked any more, failures counting unless `again`."""
    if record.get("status") == "failed":
        # A refused key, an unknown model or an empty account says nothing about the request.
        return not again and record.get("kind") not in FATAL
    # One without its result was edited: asked again, it comes from the journal.
    return record.get("status") == "completed" and "result" in record


def as_json(schema: Any) -> Any:
    """A schema as it is kept: itself if it is JSON, or the JSON Schema of a type."""
    if schema is None or schema is str:
        return None
    if isinstance(schema, Mapping):
        return plain(schema)
    from pydantic import TypeAdapter

    return plain(TypeAdapter(schema).json_schema())


def meant(schemas: Sequence[Any]) -> Callable[[Any], Any]:
    """What finds the type, among some, that a kept schema was written for; else that schema.

    Raises:
        SchemaError: One of them is no answer type.
    """
    known = []
    for schema in schemas:
        Answer.of(schema)
        known.append((as_json(schema), schema))
    return lambda kept: next((schema for wanted, schema in known if wanted == kept), kept)


def typed(result: Any, schema: Any) -> Any:
    """A result from a record as the type it was made with, where it fits that type."""
    if schema is None or schema is str or isinstance(schema, Mapping):
        return result
    answer = Answer.of(schema)
    with contextlib.suppress(CallError):
        return answer.read(to_json(result).decode())
    return result


def number_of(request_id: str) -> int:
    """A number that is this request's alone."""
    return int.from_bytes(request_id.encode(), "big")


def count_in(record: Record, event: Event) -> None:
    """Add what this run of a request took to what earlier ones did."""
    used = record.get("usage") or {}
    record["attempts"] = _count(record.get("attempts")) + (0 if event.cached else event.attempts)
    record["cached"] = event.cached
    record["seconds"] = round(event.seconds, 4)
    record["usage"] = {
        "prompt_tokens": _count(used.get("prompt_tokens")) + event.prompt_tokens,
        "completion_tokens": _count(used.get("completion_tokens")) + event.completion_tokens,
    }


def _count(value: Any) -> int:
    """A number from a record, which somebody may have edited."""
    return value if type(value) is int and 0 <= value < 2**53 else 0
