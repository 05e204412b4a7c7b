"""`Form` and `Field`: settings that pydantic validates."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic gives it no public name

__all__ = ["Field", "Form", "what_is_wrong"]


class _AnyFieldName(ModelMetaclass):
    """Allows fields like `schema`, a name that an older method of pydantic's models has."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **more: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*shadows an attribute in parent", UserWarning)
            return super().__new__(mcs, name, bases, space, **more)


class Form(BaseModel, metaclass=_AnyFieldName):
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
