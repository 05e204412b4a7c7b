"""The circuit breaker of a server, and who is sent to see whether it is back."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from lionproc.engine.retry import FATAL, Breaker
from lionproc.errors import CallError

if TYPE_CHECKING:
    from lionproc.engine.request import Event


class Probing:
    """Lets one request at a time see whether a server that fails is back. Lives on the engine's loop."""

    def __init__(self) -> None:
        self._probe_back, self._relief = asyncio.Event(), asyncio.Event()
        self._close()

    def _close(self) -> None:
        """As if it had never been open."""
        self._breaker = Breaker()
        self._prober: Event | None = None
        self._opened_by: CallError | None = None
        self._relief.clear()

    @property
    def is_open(self) -> bool:
        """True while the server only fails and is probed: the circuit breaker is open."""
        return self._breaker.is_open

    @property
    def _refuses_all(self) -> bool:
        return self.is_open and self._opened_by is not None and self._opened_by.kind in FATAL

    def allows(self, event: Event) -> bool:
        """Whether this event may be sent now, as far as the circuit breaker goes."""
        return not self._breaker.is_open or self._prober is event

    async def probes(self, event: Event) -> bool:
        """While the breaker is open: wait until this event may be sent to probe the server.

        Returns:
            True when it is the probe; False when another probe came back, so that the breaker
            may be closed.
        """
        if self._prober is not None and self._prober is not event and not self._prober.done:
            self._probe_back.clear()
            await self._probe_back.wait()
            return False
        self._prober = event
        until = self._breaker.opened_until
        if (
            until is not None and not self._refuses_all
        ):  # that is worth no wait: nobody else answers
            wait_s = max(until - asyncio.get_running_loop().time(), 0.0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._relief.wait(), wait_s)
                self._relief.clear()
                self._prober = None
                return False
        return True

    def _probed(self, event: Event) -> bool:
        """Something came back. True if it was the probe, and the breaker is still open."""
        if self._prober is not event:
            return False
        self._prober = None
        self._probe_back.set()
        return self._breaker.is_open

    def hear(self) -> None:
        """Somebody who is asked after this one has answered for the first time."""
        self._relief.set()
        self._probe_back.set()

    def hope(self) -> None:
        """What made it refuse all may be gone: the next requests see whether it is."""
        if self._refuses_all:
            self._close()
            self._probe_back.set()

    def refused(self, event: Event, now: float) -> CallError | None:
        """While the breaker is open and somebody else answers: why this event is not sent here.

        Returns:
            None where it may be sent, as the probe for which it is time.
        """
        if self._prober is event:
            return None
        probed = self._prober is not None and not self._prober.done
        until = self._breaker.opened_until
        error = self._opened_by
        if error is None or (not probed and (until is None or now >= until)):
            self._prober = event
            return None
        why = f"{error.message} So it was not asked for this row."
        return CallError(error.kind, why, status=error.status)
