"""The type of an answer as a record keeps it: by its JSON Schema, which may not say all it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lionproc.errors import CallError, Kind, SchemaError
from lionproc.model.annotation import label_of
from lionproc.model.as_json import plain
from lionproc.model.made_type import made_of, reads_like

__all__ = ["RecordedType", "recorded"]


@dataclass(frozen=True)
class RecordedType:
    """What is known of a type, where only a record of it is there. Results stay JSON.

    Attributes:
        schema: Its JSON Schema.
        label: What to call it.
        made: A type made of the schema that reads all replies alike; None where there is none.
    """

    schema: object
    label: str
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
        made = None
        if kind.get("read_alike") is True:
            try:
                made = made_of(schema)
            except SchemaError:
                made = None  # somebody edited it
        return cls(schema, str(kind.get("label", ""))[:100], made)

    def asked(self) -> object:
        """What is asked for.

        Raises:
            CallError: Of kind `not_sent`, where only the type itself can read an answer.
        """
        if self.made is None:
            raise CallError(
                Kind.NOT_SENT,
                f"Nothing was sent: a record keeps the JSON Schema of {self.label}, which does not "
                "say all that the type does (a validator, an alias, ...). Give the type: "
                "resume(...) and retry_failed(...) take it.",
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
        kind = {"label": schema.label, "read_alike": schema.made is not None}
        return {"schema": schema.schema, "type": kind}
    if isinstance(schema, Mapping):
        return {"schema": plain(schema)}
    from pydantic import TypeAdapter

    written = plain(TypeAdapter(schema).json_schema())
    kind = {"label": label_of(schema), "read_alike": reads_like(schema, written)}
    return {"schema": written, "type": kind}
