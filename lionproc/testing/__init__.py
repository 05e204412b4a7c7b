"""Test your own code that calls an LLM: a server that fails on command, and a clock that jumps.

No network, no key, no cost; real sockets, so whatever client you use is tested as it is.

    from lionproc.testing import RollingWindow, Server

    def test_my_labels_survive_a_bad_day():
        with Server(
            answer={"label": "positive"},
            latency_s=(0.01, 0.05),
            limits=[RollingWindow(requests=600, window_s=1)],
            faults={"500": 0.05, "reset": 0.02, "half": 0.02},
            seed=7,
        ) as server:
            client = openai.AsyncOpenAI(base_url=server.base_url, api_key=server.key)
            labels = label_my_reviews(client, reviews)

        assert len(labels) == len(reviews)
        assert server.duplicates() == 0                  # nothing was paid twice
        assert server.worst_window(1.0) <= 10            # requests in any second
        assert server.counters.peak_in_flight <= 8

What must happen while requests are in flight is tested without guessing at times: `hold` keeps the
replies back, `wait_for` waits for a condition, `release` lets go.

    with Server() as server:
        server.hold()
        job = df.llm.start("Translate: {text}", into="fr", model=...)
        server.wait_for(lambda counters: counters.in_flight == 8)
        job.stop()
        server.release()

Code that waits is tested on `run_virtual`, where an hour of `asyncio.sleep` takes milliseconds, is
the same in every run, and a deadlock is an error instead of a hang.

    async def test():
        limiter = MyLimiter(per_minute=600)
        for _ in range(6000):
            await limiter.acquire()
        return asyncio.get_running_loop().time()

    assert 540 <= run_virtual(test()) <= 600

From a shell, `python -m lionproc.testing --latency 0.05 --fault 429=0.02` prints the address and
key of a server that runs until its stdin closes.
"""

from __future__ import annotations

from lionproc.schema_sample import instance
from lionproc.testing.clock import DeadlockError, VirtualTimeLoop, run_virtual
from lionproc.testing.faults import FAULTS, Fault
from lionproc.testing.limits import FixedWindow, RollingWindow, TokenBucket
from lionproc.testing.recorder import Counters, Recorded
from lionproc.testing.server import Server

__all__ = [
    "FAULTS",
    "Counters",
    "DeadlockError",
    "Fault",
    "FixedWindow",
    "Recorded",
    "RollingWindow",
    "Server",
    "TokenBucket",
    "VirtualTimeLoop",
    "instance",
    "run_virtual",
]
