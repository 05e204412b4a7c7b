"""Which pools of connections something holds, wherever in it they are.

Connections belong to the event loop they were opened in, so whoever copies a transport has to know
of all that are in it: also of those in a closure, an iterator or an object of the user's own.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections import deque
from types import FrameType, FunctionType, ModuleType
from typing import Final

__all__ = ["is_pool", "is_session", "pools_in"]

MOST = 20_000  # things that are looked into; what is further away is no part of a transport
# What leads to the rest of the process, and is no part of anything.
_NOT_ENTERED: Final = (
    *(type, ModuleType, FrameType, logging.Logger, threading.Thread),
    *(asyncio.AbstractEventLoop, asyncio.Future),
)


def is_session(thing: object) -> bool:
    """Whether it is a session of aiohttp."""
    aiohttp = sys.modules.get("aiohttp")
    return aiohttp is not None and issubclass(type(thing), aiohttp.ClientSession)


def is_pool(thing: object) -> bool:
    """Whether it is a pool of httpcore, for async use."""
    libraries = [sys.modules[name] for name in ("httpcore", "httpcore2") if name in sys.modules]
    return issubclass(type(thing), tuple(each.AsyncConnectionPool for each in libraries))


def pools_in(thing: object) -> dict[int, object]:
    """The pools and sessions that can be reached from something, by their ids.

    Args:
        thing: A transport, or a part of one. Nothing of it is called.
    """
    found: dict[int, object] = {}
    seen: set[int] = set()
    ahead = deque([thing])
    while ahead and len(seen) < MOST:
        each = ahead.popleft()
        if id(each) in seen or issubclass(type(each), _NOT_ENTERED):
            continue
        seen.add(id(each))
        if is_pool(each) or is_session(each):
            found[id(each)] = each
        else:
            ahead.extend(_parts(each))
    return found


def _parts(thing: object) -> list[object]:
    if type(thing) is FunctionType:  # without the module that it was written in
        return [thing.__closure__, thing.__defaults__, thing.__kwdefaults__, thing.__dict__]
    return gc.get_referents(thing)
