"""Threads for blocking work beside the engine's loop, for as long as anybody works.

When the main thread has come to its end, Python waits for all other threads of a person. A run that
one of them began goes on meanwhile, but `concurrent.futures` takes nothing any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["Threads"]

T = TypeVar("T")
P = ParamSpec("P")


class Threads(ThreadPoolExecutor):
    """A pool that still takes work when the main thread has ended."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do work in a thread; its own one where the pool takes no more.

        Args:
            work: What is called.
            *args: Its arguments.
            **kwargs: More of them.

        Returns:
            What comes of it.

        Raises:
            RuntimeError: The process is so far at its end that no thread can be started.
        """
        try:
            return super().submit(work, *args, **kwargs)
        except RuntimeError:
            future: Future[T] = Future()

            def run() -> None:
                if not future.set_running_or_notify_cancel():
                    return
                try:
                    future.set_result(work(*args, **kwargs))
                except BaseException as error:  # noqa: BLE001  (whoever waits gets it)
                    future.set_exception(error)

            threading.Thread(target=run, name="lionproc at the end", daemon=True).start()
            return future
