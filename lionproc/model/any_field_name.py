"""Models of pydantic whose fields may have any name."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass
else:
    ModelMetaclass = type(BaseModel)  # pydantic gives it no public name

__all__ = ["AnyFieldName"]


class AnyFieldName(ModelMetaclass):
    """Allows fields like `schema`, a name that an older method of pydantic's models has."""

    def __new__(mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], **more: Any) -> Any:
        """Make a class, without the warning."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*shadows an attribute in parent", UserWarning)
            return super().__new__(mcs, name, bases, space, **more)
