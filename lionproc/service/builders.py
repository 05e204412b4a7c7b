"""What builds the requests of a session is remembered for each answer type, by what that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Final

from lionproc.model.call import RequestBuilder

__all__ = ["LONG_SCHEMA", "Builders", "made_meanwhile"]

MOST: Final = 256  # answer types
MOST_LENGTH: Final = 2**21  # characters of their schemas, each of which takes some twenty bytes
LONG_SCHEMA: Final = 2**16  # characters, which take a tenth of a second


class Builders:
    """Request builders by their answer types; the oldest are forgotten."""

    def __init__(self) -> None:
        self._all: dict[Hashable, tuple[RequestBuilder, int]] = {}
        self._length = 0

    def get(self, key: Hashable) -> RequestBuilder | None:
        """The one of a type, if it is remembered.

        Raises:
            TypeError: The type has no hash.
        """
        found = self._all.get(key)
        return None if found is None else found[0]

    def keep(self, key: Hashable, builder: RequestBuilder, length: int) -> None:
        """Remember one; the last one in any case.

        Args:
            key: Its type.
            builder: It.
            length: The characters of its schema.
        """
        _, was = self._all.pop(key, (None, 0))
        self._length += length - was
        while self._all and (len(self._all) >= MOST or self._length > MOST_LENGTH):
            _, gone = self._all.pop(next(iter(self._all)))
            self._length -= gone
        self._all[key] = builder, length

    def clear(self) -> None:
        """Forget all."""
        self._all.clear()
        self._length = 0


async def made_meanwhile(length: int, make: Callable[[], RequestBuilder]) -> RequestBuilder:
    """A request builder, made beside the loop where that takes long: the others go on.

    Args:
        length: The characters of its schema.
        make: Makes it.
    """
    return await asyncio.to_thread(make) if length > LONG_SCHEMA else make()
