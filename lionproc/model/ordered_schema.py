"""The JSON Schema of a type, the same in every process."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from lionproc.model.set_order import in_order

__all__ = ["OrderedSchema"]


class OrderedSchema(GenerateJsonSchema):
    """pydantic's JSON Schema, with the sets in defaults and examples in order.

    A process has them in an order of its own, so that the same question would be another one in the
    next, and a record would be of another type.
    """

    def encode_default(self, dft: Any) -> Any:
        """A default, with its sets in order."""
        return in_order(dft, super().encode_default(dft))

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        """A model, with the sets in the examples of its fields in order."""
        return _with_examples(super().model_schema(schema), schema["cls"])

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        """As a model."""
        return _with_examples(super().dataclass_schema(schema), schema["cls"])


def _with_examples(said: JsonSchemaValue, kind: type) -> JsonSchemaValue:
    parts = said.get("properties", {})
    for name, known in getattr(kind, "__pydantic_fields__", {}).items():
        names = [
            each for each in (name, known.alias, known.validation_alias) if isinstance(each, str)
        ]
        part: JsonSchemaValue = next((parts[each] for each in names if each in parts), {})
        if known.examples and "examples" in part:
            part["examples"] = in_order(known.examples, part["examples"])
    return said
