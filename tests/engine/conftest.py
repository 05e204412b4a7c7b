"""A desk that answers calls as it is told, and clocks to try them on."""

import asyncio

import pytest

from lionproc.engine import loop as engine_loop
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.errors import CallError, Kind
from lionproc.testing import run_virtual


@pytest.fixture
def on_this_loop(monkeypatch):
    """The loop of the test stands in the place of the engine's."""
    monkeypatch.setattr(engine_loop, "here", lambda: True)
    monkeypatch.setattr(engine_loop, "get", asyncio.get_running_loop)


@pytest.fixture
def virtual(on_this_loop):
    """Runs a test on a clock that jumps."""
    return run_virtual


@pytest.fixture
def real(on_this_loop):
    """Runs a test on a clock that runs, for those who wait for a disk."""
    return asyncio.run


class Desk:
    """Makes calls, answers them as told, and notes when each was sent.

    Calls take `seconds`, and longer while the desk is held. `errors` are for the next replies,
    in order, None for an answer; `always` are for the calls of these names. `corrections` tell what
    is asked instead of those whose answer has the wrong shape.
    """

    def __init__(self):
        self.seconds = 0.0
        self.sent = []
        self.times = []
        self.errors = []
        self.always = {}
        self.corrections = {}
        self._sent_one = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()

    def call(self, name):
        return Question(self, str(name))

    def hold(self):
        self._open.clear()

    def release(self):
        self._open.set()

    async def has_sent(self, count):
        while len(self.sent) < count:
            self._sent_one.clear()
            await self._sent_one.wait()


class Question:
    estimate = Tokens(1, 1)

    def __init__(self, desk, name):
        self.desk = desk
        self.name = name
        self.key = name.encode().rjust(16, b"\0")

    async def send(self):
        desk = self.desk
        desk.sent.append(self.name)
        desk.times.append(asyncio.get_running_loop().time())
        desk._sent_one.set()
        await desk._open.wait()
        await asyncio.sleep(desk.seconds)
        error = desk.errors.pop(0) if desk.errors else desk.always.get(self.name)
        if error is not None:
            return Reply(error)
        return Reply(raw=self.name.encode(), data=self.name, used=Tokens(1, 1))

    def parse(self, raw):
        return raw.decode()

    def read(self, data):
        if self.name in self.desk.corrections:
            raise CallError(Kind.WRONG_SHAPE, "no")
        return f"answer {data}"

    def correction(self, data, error):
        return self.desk.call(self.desk.corrections[self.name])


@pytest.fixture
def desk():
    return Desk()
