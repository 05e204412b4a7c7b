"""One event loop of our own on one background thread, and bridges to it.

Notebooks and scripts block on it or await it; it never runs in their loop. So an interrupted
cell leaves nothing running that nobody holds, and widget events reach a kernel that waits.
"""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import contextlib
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from lionproc.engine.blocking_work import Threads
from lionproc.engine.forked import in_forked_child, leave_behind
from lionproc.engine.promise import Promise
from lionproc.errors import RunError

T = TypeVar("T")
P = ParamSpec("P")

log = logging.getLogger("lionproc.engine")
_lock = threading.Lock()
_thread: threading.Thread | None = None
_started: Promise[asyncio.AbstractEventLoop] = Promise()


def get() -> asyncio.AbstractEventLoop:
    """The engine's loop, started on first use.

    It is made on its own thread, where no Ctrl-C arrives: one that came in the middle would leave
    half a loop behind. Whoever is interrupted while it starts finds it at the next call.
    """
    global _thread, _started  # noqa: PLW0603  (the one loop of the process)
    with _lock:
        if _thread is None or not _thread.is_alive():
            _started = Promise()
            _thread = threading.Thread(target=_run, args=(_started,), name="lionproc", daemon=True)
            # Called before what was registered earlier: the loop ends before the journals close.
            atexit.unregister(_stop)
            atexit.register(_stop)
            _thread.start()
        started = _started
    return started.result()


def soon(work: Callable[[], object]) -> None:
    """Have something done on the engine's loop if there is one. Takes no lock, as befits a finalizer.

    Args:
        work: What to do; nobody hears what comes of it.

    Raises:
        RuntimeError: The loop has ended.
    """
    started = _started
    if _thread is not None and started.done():
        started.result().call_soon_threadsafe(work)


def _run(started: Promise[asyncio.AbstractEventLoop]) -> None:
    try:
        loop = _made()
    except BaseException as error:  # noqa: BLE001  (no file descriptor is left, or no memory)
        started.settle(error=error)
        return
    loop.set_default_executor(Threads(thread_name_prefix="asyncio"))
    loop.call_soon(started.settle, loop)
    while True:
        try:
            loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            # Code of a person's raised it on this thread. Whoever waits for that work hears of it;
            # the loop has been left in the middle, and everything else in it goes on.
            log.debug("the engine's loop goes on", exc_info=True)
        else:
            return


def _made() -> asyncio.AbstractEventLoop:
    """A loop as the policy of the process makes them, or a plain one.

    A policy may be anybody's; that of a graphical interface makes loops on the main thread alone.
    """
    try:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
    except OSError:
        raise
    except Exception:
        log.debug("the policy makes no loop on this thread", exc_info=True)
        return asyncio.SelectorEventLoop()
    return loop


def here() -> bool:
    """True on the engine's thread."""
    return threading.current_thread() is _thread


def refuse_to_wait_here() -> None:
    """Refuse to wait on the engine's thread for what happens there: it would stand still for ever.

    Raises:
        RunError: This is that thread.
    """
    if here():
        raise RunError(
            "A run is not waited for on the thread that sends, where validators of an answer type "
            "are called: nothing would ever come back. Ask before or after the run, in a prompt "
            "function, or in another stage of df.llm.pipeline."
        )


def cancellations() -> int:
    """How often the task was cancelled that runs on this thread; 0 where none does.

    While somebody blocks in it, only a Ctrl-C can add one: of the first, `asyncio.run` makes this
    and no `KeyboardInterrupt`.
    """
    try:
        task = asyncio.current_task()
    except RuntimeError:  # no loop runs here
        return 0
    return 0 if task is None else task.cancelling()


def submit(work: Coroutine[Any, Any, T]) -> Promise[T]:
    """Run a coroutine on the engine's loop from any other thread."""
    loop = get()
    promise: Promise[T] = Promise(loop)

    def begin() -> None:
        try:
            promise.follow(loop.create_task(work))
        except Exception as error:  # noqa: BLE001  (a task factory may be anybody's)
            promise.settle(error=error)

    loop.call_soon_threadsafe(begin)
    return promise


async def in_thread(work: Callable[[], None]) -> None:
    """Do blocking work beside the loop that this is awaited in."""
    try:
        done = asyncio.get_running_loop().run_in_executor(None, work)
    except RuntimeError:  # the interpreter ends and starts no more threads
        work()
    else:
        await done


def call(function: Callable[[], T]) -> T:
    """Run a plain function on the engine's loop and wait for what it returns."""
    if here():
        return function()

    async def work() -> T:
        return function()

    return submit(work()).result()


async def bridge(work: Coroutine[Any, Any, T]) -> T:
    """Await a coroutine that runs on the engine's loop, from whatever loop this is.

    Cancelling the await cancels the work.
    """
    if here():
        return await work
    promise = submit(work)
    try:
        await promise.arrival()
    except asyncio.CancelledError:
        promise.cancel()
        raise
    try:
        return promise.result()
    except concurrent.futures.CancelledError:
        raise asyncio.CancelledError from None


def on_engine(
    method: Callable[P, Coroutine[Any, Any, T]],
) -> Callable[P, Awaitable[T]]:
    """Make a coroutine method run on the engine's loop wherever it is awaited."""

    @functools.wraps(method)
    async def bridged(*args: P.args, **kwargs: P.kwargs) -> T:
        return await bridge(method(*args, **kwargs))

    return bridged


def _stop() -> None:
    """At exit: let the loop end its tasks, then stop."""
    thread = _thread
    if thread is None or not thread.is_alive():
        return
    try:
        loop = _started.result()
    except BaseException:  # noqa: BLE001  (there was none, and its thread is just ending)
        return

    async def end() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2.0)

    with contextlib.suppress(Exception):
        submit(end()).result(3.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(2.0)
    if not thread.is_alive():
        loop.close()


@in_forked_child
def _forget() -> None:
    """In a forked child: the thread did not come along, so neither does the loop."""
    global _thread, _lock  # noqa: PLW0603
    if _thread is not None:
        leave_behind(_started)
    _thread = None
    _lock = threading.Lock()
