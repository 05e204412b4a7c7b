"""A timeout is the server's time: what the process itself stood still is not taken from it."""

import asyncio
import socket
import threading
import time

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import loop as engine_loop
from lionproc.model.patience import Patience
from lionproc.testing import Server, run_virtual


def stand_still(seconds):
    threading.Event().wait(seconds)


def test_what_came_while_the_loop_stood_still_is_read():
    async def main():
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            loop = asyncio.get_running_loop()

            def reply():
                there.send(b"paid")
                stand_still(0.2)

            loop.call_later(0.01, reply)
            with Patience(0.1).attempt():
                return await loop.sock_recv(here, 9)

    assert asyncio.run(main()) == b"paid"


def test_what_takes_longer_ends_in_time():
    async def main():
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError), Patience(3.0).attempt():
            await asyncio.sleep(9)
        return loop.time()

    assert run_virtual(main()) == pytest.approx(3.0, abs=0.01)


def test_a_loop_that_stands_still_again_and_again_is_given_its_time_once():
    async def main():
        loop = asyncio.get_running_loop()
        started = loop.time()
        with pytest.raises(TimeoutError), Patience(3.0).attempt():
            await asyncio.sleep(90)
        return loop.time() - started

    assert run_virtual(main(), lateness=lambda: 1.0) == pytest.approx(6.0, abs=1.5)


def test_an_end_from_outside_is_no_timeout():
    async def main():
        async def wait():
            with Patience(3.0).attempt():
                await asyncio.sleep(90)

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())


@pytest.mark.parametrize("kind", ["direct", "client"])
def test_a_reply_that_came_while_the_process_stood_still_is_not_bought_again(kind, tmp_path):
    import openai

    with Server(answer="fine") as server:
        own = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key)
        way = {"base_url": server.base_url, "api_key": server.key}
        model = lp.Model(
            "openai", "m", timeout=1.0, **(way if kind == "direct" else {"client": own})
        )
        server.hold()
        job = pd.DataFrame({"text": ["a"]}).llm.start(
            "Say {text}", into="a", model=model, journal=tmp_path / "j", progress=False
        )
        server.wait_for(lambda counters: counters.in_flight == 1)
        since = time.monotonic()

        def stall():
            server.release()
            server.wait_for(lambda counters: counters.ok == 1)
            stand_still(since + 1.2 - time.monotonic())

        engine_loop.get().call_soon_threadsafe(stall)
        assert job.result()["a"].tolist() == ["fine"]
        assert server.counters.total == 1
