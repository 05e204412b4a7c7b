"""The replies of one executor whose reading waits for a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from lionproc.engine.apart import Reading
from lionproc.engine.reply_room import reply_room

__all__ = ["Readings"]

T = TypeVar("T")


class Readings:
    """Reads on the engine's loop, which goes on while a reading waits.

    One question at a time: all executors ask the same process, and each has its turn.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()

    @property
    def are_behind(self) -> bool:
        """Whether replies wait to be read whose slots have gone on."""
        return bool(self._later)

    async def read(self, reading: Reading[T], size: int = 0) -> T:
        """Go on with a reading to its end.

        Args:
            reading: It.
            size: Bytes of the reply that are held meanwhile.

        Returns:
            What it comes to.
        """
        if not reading.goes_on():
            with reply_room().kept(size):
                while True:
                    async with self._turn:
                        await reading.ask()
                    if reading.goes_on():
                        break
        return reading.value

    def begin(
        self,
        reading: Reading[T],
        size: int,
        then: Callable[[T], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Go on with a reading that nobody waits for: at once, if nothing is to be asked.

        Args:
            reading: It.
            size: As for `read`.
            then: Called with what it comes to.
            failed: Called with what either raised; with a `CancelledError` at the end.
        """
        try:
            if reading.goes_on():
                then(reading.value)
                return
        except Exception as fault:  # noqa: BLE001  (whatever it is)
            failed(fault)
            return

        async def later() -> None:
            try:
                then(await self.read(reading, size))
            except asyncio.CancelledError as over:
                failed(over)
                raise
            except Exception as fault:  # noqa: BLE001  (whatever it is)
                failed(fault)

        task = asyncio.get_running_loop().create_task(later())
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def end(self, seconds: float | None) -> None:
        """Wait until all that nobody waits for is read.

        Args:
            seconds: After which the others are cancelled; None for as long as they take.
        """
        if self._later:
            _, late = await asyncio.wait(self._later, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
