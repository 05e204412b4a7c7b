"""`Form` and `Field`: settings that pydantic validates."""

from __future__ import annotations

from pydantic import BaseModel, Field, ValidationError

from lionproc.model.any_field_name import AnyFieldName

__all__ = ["Field", "Form", "what_is_wrong"]


class Form(BaseModel, metaclass=AnyFieldName):
    """A pydantic model whose fields may have any name.

    Example:
        >>> class Request(Form):
        ...     schema: dict[str, str] = Field(description="The type of the answer")
        >>> Request(schema={"a": "b"}).model_dump()
        {'schema': {'a': 'b'}}
    """


def what_is_wrong(error: ValidationError) -> str:
    """A validation error in one line: each field and what is wrong with it."""
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'it'}: {fault['msg'].removeprefix('Value error, ').rstrip('.')}"
        for fault in error.errors(include_url=False, include_input=False, include_context=False)
    )
