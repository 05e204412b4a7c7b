"""The type of an answer as a record keeps it: by its JSON Schema, which may not say all it does."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import TypeAdapter

from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.annotation import label_of
from lionproc.model.as_json import plain
from lionproc.model.excerpt import shown
from lionproc.model.made_type import made_like, made_of
from lionproc.model.ordered_schema import OrderedSchema

__all__ = ["RecordedType", "recorded"]


@dataclass(frozen=True)
class RecordedType:
    """What is known of a type, where only a record of it is there. Results stay JSON.

    Attributes:
        schema: Its JSON Schema.
        kind: What the record says of it.
        made: A type made of the schema that reads all replies alike; None where there is none.
    """

    schema: object
    kind: Mapping[str, Any]
    made: object

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> object:
        """What to ask for where nobody gives the type of a record.

        Args:
            record: That of a request or a batch.

        Returns:
            The schema itself, where that is what was asked for, or nothing else is known.
        """
        schema, kind = record.get("schema"), record.get("type")
        if not isinstance(kind, Mapping) or not isinstance(schema, Mapping):
            return schema
        alike, made = str(kind.get("read_alike", "")), None
        if alike:
            with contextlib.suppress(SchemaError):  # somebody edited it
                made = made_of(schema, alike)
        return cls(schema, kind, made)

    def asked(self) -> object:
        """What is asked for.

        Raises:
            CallError: Of kind `not_sent`, where only the type itself can read an answer.
        """
        if self.made is None:
            raise CallError(
                Kind.NOT_SENT,
                f"Nothing was sent: a record keeps the JSON Schema of {shown(str(self.kind.get('label')), 100)}, which does not "
                "say all that the type does (a validator, an alias, ...). Give the type: "
                "resume(...) takes it, also for what had failed.",
            )
        return self.made


def recorded(schema: Any) -> dict[str, object]:
    """The fields of a record that say what is asked for.

    Args:
        schema: What was given.

    Returns:
        The JSON Schema as `schema`, and what is known of a type as `type`.
    """
    if schema is None or schema is str:
        return {"schema": None}
    if isinstance(schema, RecordedType):
        return {"schema": schema.schema, "type": dict(schema.kind)}
    if isinstance(schema, Mapping):
        return {"schema": plain(schema)}
    try:
        return _recorded_type(schema, repr(schema))
    except TypeError:  # it cannot be looked up
        return _recorded_type.__wrapped__(schema, "")


@lru_cache(maxsize=64)
def _recorded_type(schema: Any, spelt: str) -> dict[str, object]:  # noqa: ARG001 - for the cache
    """For types that are written anew with each request, as `list[Review]` is.

    By their spelling too: for Python `Literal["a", "b"]` is `Literal["b", "a"]`, for a model not.
    """
    written = plain(TypeAdapter(schema).json_schema(schema_generator=OrderedSchema))
    kind = {"label": label_of(schema), "read_alike": made_like(schema, written)}
    return {"schema": written, "type": kind}
