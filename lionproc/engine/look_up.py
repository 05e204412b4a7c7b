"""An event is answered from the journal, or queued, whoever waits for it."""

from __future__ import annotations

import asyncio

from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.request import Event, keys_of
from lionproc.engine.together import Together
from lionproc.errors import CallError, JournalError, Kind

__all__ = ["LookUp"]


class LookUp:
    """Brings events to where they wait or have their answer. Lives on the engine's loop.

    Each has a task of its own: equal calls may join an event while it is looked up or waits for room
    in the queue, and they must not suffer when the one who came first gives up.

    Args:
        dispatcher: Whose journal is looked into, and who queues events.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._find = Together(dispatcher.replay.find_all)
        self._tasks: set[asyncio.Task[None]] = set()  # held, so that they are not collected

    async def __call__(self, event: Event) -> None:
        """Wait until a registered event is queued or has its answer.

        Args:
            event: It. Who gives up the wait changes nothing.
        """
        dispatcher = self._dispatcher
        is_kept = dispatcher.replay.journal is not None and event.first.key is not None
        if not (is_kept or dispatcher.queue.is_full):
            await dispatcher.queue_up(event)  # at once, in the order they come
            return
        work = self._answer(event) if is_kept else dispatcher.queue_up(event)
        loop = asyncio.get_running_loop()
        task, ended = loop.create_task(work), loop.create_future()

        def end(_: object = None) -> None:
            if not ended.done():
                ended.set_result(None)

        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(end)
        event.on_done(end)  # it may be stopped while its kept reply is read
        await ended
        if task.done():
            task.result()

    async def _answer(self, event: Event) -> None:
        """Answer an event from the journal, or queue it."""
        dispatcher = self._dispatcher
        try:
            entry = await self._find(keys_of(event.first))
            if event.done:
                return
            if entry is not None and await dispatcher.is_answered_by(entry, event):
                return
        except Exception as error:  # noqa: BLE001  (whatever it is, somebody waits to hear)
            if isinstance(error, JournalError):
                dispatcher.stop_run(error)
            unread = CallError(Kind.NOT_SENT, f"The journal cannot be read: {error}")
            dispatcher.finish(event, unread)
            return
        await dispatcher.queue_up(event)
