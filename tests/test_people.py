"""What people do to a run: interrupt it, start it twice, close the lid, leave."""

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import at_exit, replay
from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.frame import job as job_module
from lionproc.testing import RollingWindow, run_virtual

FAST = {"progress": False, "limits": {"adapt": False}}


@pytest.fixture(autouse=True)
def no_limits_afterwards(home):
    yield
    lp.configure(limits=None)


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


def wait_until(condition, timeout_s=30.0):
    tick = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return True
        tick.wait(0.005)
    return False


# Ctrl-C

INTERRUPTED = """
import asyncio, os, sys, threading, time
import pandas as pd
import lionproc as lp
from lionproc.engine import loop
from lionproc.frame import job as job_module

class Told(job_module.Job):
    def stop(self, grace_s):
        super().stop(grace_s)
        print("grace:", grace_s, flush=True)
        if slow and grace_s:
            threading.Event().wait(30)  # the second interrupt comes in here

job_module.Job = Told
if grace_s is not None:
    job_module.GRACE_S = grace_s

frame = pd.DataFrame({"text": [f"{word} {n}" for n in range(rows)]})
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
names = dict(into="a", model=model, journal="j.sqlite", progress=False, save=save,
             limits={"adapt": False})
try:
    if how == "sync":
        frame.llm.process("Say {text}", **names)
    elif how == "series":
        frame["text"].llm.process("Say {value}", model=model, journal="j.sqlite",
                                  progress=False, limits={"adapt": False})
    elif how == "in a coroutine":
        async def cell():
            frame.llm.process("Say {text}", **names)
        asyncio.run(cell())
    else:
        asyncio.run(frame.llm.aprocess("Say {text}", **names))
except KeyboardInterrupt as error:
    print("message:", error)
    try:
        job = lp.last_job()
    except lp.errors.ConfigurationError:  # it had not begun
        raise SystemExit(0)
    job.wait(5)
    print("state:", job.stats.state)
    print("answered:", job.frame().iloc[:, -1].notna().sum())
    loop.submit(asyncio.sleep(0.1)).result()
    print("tasks:", loop.call(lambda: len(asyncio.all_tasks() - {asyncio.current_task()})))
    sockets = [f for f in os.listdir("/proc/self/fd")
               if os.path.exists(f"/proc/self/fd/{f}")
               and "socket:" in os.readlink(f"/proc/self/fd/{f}")]
    files = [os.readlink(f"/proc/self/fd/{f}") for f in os.listdir("/proc/self/fd")
             if os.path.lexists(f"/proc/self/fd/{f}")]
    print("journals:", len([f for f in files if "sqlite" in f]))
    print("sockets:", len(sockets))
    print("threads:", sorted({t.name.split("_")[0] for t in threading.enumerate()}))
else:
    print("finished")
"""


def facts(output):
    return dict(line.split(": ", 1) for line in output.splitlines() if ": " in line)


def interrupted(zygote, folder, server, **more):
    names = {
        "how": "sync",
        "rows": 3000,
        "save": None,
        "word": "text",
        "grace_s": None,
        "slow": False,
    }
    names |= {**more, "base_url": server.base_url, "key": server.key}
    return zygote.start(INTERRUPTED, folder, **names)


@pytest.mark.parametrize("how", ["sync", "series", "async", "in a coroutine"])
def test_one_interrupt_ends_it_and_keeps_what_was_paid(tmp_path, zygotes, server, how):
    server.configure(latency_s=0.05)
    child = interrupted(zygotes[0], tmp_path, server, how=how)
    server.wait_for(lambda c: c.ok >= 100, 20)

    child.signal(signal.SIGINT)
    assert child.wait() == 0, child.output

    told = facts(child.output)
    assert told["state"] == "stopped"
    assert told["grace"] == "0.8"  # seconds, for what is in flight
    replied = server.counters.ok
    assert int(told["answered"]) == replied < 3000  # what was in flight came back
    if how != "async":
        assert "lp.last_job().frame()" in told["message"]
        assert "running the cell again" in told["message"]
    assert told["tasks"] == "0"
    assert told["sockets"] == "2"  # the loop's own pair
    assert told["journals"] == "0"
    assert "lionproc journal" not in told["threads"]
    sent = server.counters.total
    assert sent == replied

    again = interrupted(zygotes[0], tmp_path, server, how="sync", rows=200)
    assert again.wait() == 0, again.output
    assert "finished" in again.output
    assert server.counters.total == sent + max(200 - replied, 0)


def test_one_interrupt_gives_what_hangs_a_moment_and_then_gives_it_up(tmp_path, zygotes, server):
    server.hold()
    child = interrupted(zygotes[0], tmp_path, server)
    server.wait_for(lambda c: c.in_flight == 32, 20)

    child.signal(signal.SIGINT)
    assert child.wait() == 0, child.output  # the server never lets go of them

    told = facts(child.output)
    assert (told["grace"], told["answered"]) == ("0.8", "0")
    assert server.counters.total == 32
    server.wait_for(lambda c: c.abandoned == 32)
    server.release()


@pytest.mark.parametrize("slow", [False, True], ids=["it waits", "it is just told to stop"])
def test_a_second_interrupt_ends_it_now(tmp_path, zygotes, server, slow):
    server.hold()
    child = interrupted(zygotes[0], tmp_path, server, grace_s=3600, slow=slow)
    server.wait_for(lambda c: c.in_flight == 32, 20)

    child.signal(signal.SIGINT)
    assert wait_until(lambda: "grace:" in child.output)
    child.signal(signal.SIGINT)
    assert child.wait() == 0, child.output  # long before the hour that one interrupt gives

    assert facts(child.output)["state"] == "stopped"
    server.release()


def test_what_is_interrupted_here_was_started_by_somebody_who_ignores_interrupts(zygotes):
    """As a suite inherits it that is started with `nohup make test &`, and by some servers."""
    (ignored,) = re.findall(r"SigIgn:\s*(\w+)", Path(f"/proc/{zygotes[0].pid}/status").read_text())
    assert int(ignored, 16) & 1 << (signal.SIGINT - 1)
    code = "import signal; print('raises:', signal.getsignal(signal.SIGINT).__name__)"
    assert facts(zygotes[0].run(code).output) == {"raises": "default_int_handler"}


def test_an_interrupt_at_any_moment_is_a_keyboard_interrupt_and_loses_nothing(
    tmp_path, zygotes, server
):
    """Also while arguments are read, the journal is opened or the frame is assembled."""
    server.configure(latency_s=0.001)
    # By the clock while it sets up, by what the server has seen from then on: a busy machine may
    # need longer for its first request than any delay.
    moments = [0.0, 0.02, 0.05, 0.1, 1, 60, 150, 290]
    runs = [{"rows": 300, "save": "parts/", "word": f"word {n}"} for n in range(len(moments))]
    for n, moment in enumerate(moments):
        (tmp_path / str(n)).mkdir()
        before = server.counters.total
        child = interrupted(zygotes[n % 2], tmp_path / str(n), server, **runs[n])
        if moment < 1:
            threading.Event().wait(moment)
        else:
            server.wait_for(lambda c, to=before + moment: c.total >= to, 20)
        child.signal(signal.SIGINT)
        assert child.wait() in {0, 130}, child.output
        assert "Traceback" not in child.output
    # Every reply that came is in one of the journals: running again asks for the rest alone.
    assert 0 < server.counters.total < 300 * len(runs)
    for n, run in enumerate(runs):
        child = interrupted(zygotes[n % 2], tmp_path / str(n), server, **run)
        child.wait()
        assert "finished" in child.output
    assert server.duplicates() == 0
    assert server.counters.ok == 300 * len(runs)


def test_an_interrupt_while_the_engine_starts_leaves_no_half_of_it(tmp_path, zygotes):
    """The loop is made where no interrupt arrives, and the next call finds it."""
    code = """
import asyncio, os, signal
from lionproc.engine import loop

make = asyncio.new_event_loop

def interrupted():
    made.append(None)
    os.kill(os.getpid(), signal.SIGINT)
    return make()

made = []
asyncio.new_event_loop = interrupted
try:
    loop.get()
    loop.call(lambda: None)
    for _ in range(1000):
        os.getpid()
except KeyboardInterrupt:
    print("interrupted: yes")
print("runs:", loop.call(loop.here))
print("made:", len(made))
"""
    child = zygotes[0].run(code, tmp_path)
    assert facts(child.output) == {"interrupted": "yes", "runs": "True", "made": "1"}


@pytest.mark.parametrize(("fault", "said"), [("ValueError", "a loop"), ("OSError", "OSError")])
def test_a_policy_that_makes_no_loop_on_another_thread_holds_nobody_up(
    tmp_path, zygotes, fault, said
):
    code = f"""
import asyncio, threading
from lionproc.engine import loop

class OnMainThread(asyncio.DefaultEventLoopPolicy):
    def new_event_loop(self):
        raise {fault}

asyncio.set_event_loop_policy(OnMainThread())
try:
    loop.call(lambda: None)
    print("it has: a loop")
except OSError:
    print("it has: OSError")
"""
    child = zygotes[0].run(code, tmp_path)
    assert facts(child.output) == {"it has": said}


def test_a_run_interrupted_before_it_began_has_ended(server, model, monkeypatch):
    def interrupt(run):
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(at_exit, "began", interrupt)
    with pytest.raises(KeyboardInterrupt, match="Stopped after 0 of 3 rows"):
        texts(3).llm.process("Say {text}", into="a", model=model, **FAST)
    job = lp.last_job()
    assert (job.done, job.stats.state) == (True, "stopped")
    assert server.counters.total == 0
    assert job.retry_failed().result()["a"].notna().all()


def test_after_a_cancelled_cell_nothing_is_left_running(server, model):
    """In one process, as a kernel has it: threads, tasks, sockets and files are given back."""
    texts(3).llm.process("Warm {text}", into="a", model=model, **FAST)
    settle()
    before = left_open()

    async def cell():
        task = asyncio.ensure_future(
            texts(3000).llm.aprocess("Say {text}", into="a", model=model, **FAST)
        )
        await asyncio.to_thread(server.wait_for, lambda c: c.ok >= 100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    for _ in range(3):
        server.configure(latency_s=0.01)
        asyncio.run(cell())
        assert lp.last_job().wait(5)
    sent = server.counters.total
    settle()
    sockets, *others = left_open()
    assert sockets <= before[0]  # those of servers that are gone may be closed meanwhile
    assert others == list(before[1:])
    assert server.counters.total == sent  # nobody goes on spending


def settle():
    """Idle workers of the engine leave within two seconds."""
    assert wait_until(lambda: left_open()[1] == 0, 5)


def left_open():
    tasks = engine_loop.call(lambda: len(asyncio.all_tasks() - {asyncio.current_task()}))
    files = []
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            files.append(str(handle.readlink()))
    sockets = sum("socket:" in f for f in files)
    journals = sum("sqlite" in f for f in files)
    names = {t.name for t in threading.enumerate() if not t.name.startswith("asyncio_")}
    return sockets, tasks, journals, frozenset(names)


class TimeIsOverError(Exception):
    """As task queues raise it in the task whose time is over: from a signal."""


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="signals of Unix")
@pytest.mark.parametrize("verb", ["process", "preview", "compare"])
def test_whatever_is_raised_where_a_run_is_waited_for_ends_it_as_ctrl_c_does(
    server, model, monkeypatch, verb
):
    monkeypatch.setattr(job_module, "GRACE_S", 0.02)  # for what is in flight and hangs

    def time_is_over(number, frame):
        raise TimeIsOverError

    def give_up():
        server.wait_for(lambda c: c.in_flight == 2)
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, time_is_over)
    limits = {"concurrency": 2, "adapt": False}
    given = {"model": model, "limits": limits}
    ask = {
        "process": lambda llm: llm.process("Say {text}", progress=False, **given),
        "preview": lambda llm: llm.preview("Say {text}", n=100, **given),
        "compare": lambda llm: llm.compare(["Say {text}", "{text}!"], progress=False, **given),
    }[verb]
    server.hold()
    thread = threading.Thread(target=give_up)
    thread.start()
    try:
        with pytest.raises(TimeIsOverError):
            ask(texts(100).llm)
    finally:
        thread.join()
        signal.signal(signal.SIGUSR1, before)
    assert lp.last_job().done
    assert lp.last_job().stats.state == "stopped"
    assert server.counters.total <= 4  # what was in flight


# Twice at once

RUN = """
import pandas as pd, lionproc as lp
frame = pd.DataFrame({"text": [f"text {n}" for n in range(first, last)]})
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
out = frame.llm.process("Say {text}", into="a", model=model, journal="j.sqlite", progress=False,
                        limits=limits)
assert out["a"].tolist() == [f"echo: Say text {n}" for n in range(first, last)]
print("sent:", lp.last_job().stats.sent)
"""


def in_two_processes(zygotes, folder, server, ranges, limits):
    children = [
        zygote.start(
            RUN, folder, first=first, last=last, base_url=server.base_url, key=server.key,
            limits=limits,
        )
        for zygote, (first, last) in zip(zygotes, ranges, strict=True)
    ]  # fmt: skip
    for child in children:
        assert child.wait() == 0, child.output
    return [int(facts(child.output)["sent"]) for child in children]


def test_two_processes_share_a_journal_on_different_rows(tmp_path, zygotes, server):
    server.configure(latency_s=(0.0, 0.01))
    limits = {"adapt": False}

    assert in_two_processes(zygotes, tmp_path, server, [(0, 300), (300, 600)], limits) == [300, 300]
    assert server.counters.total == 600
    assert in_two_processes(zygotes, tmp_path, server, [(0, 600), (0, 600)], limits) == [0, 0]


def test_two_processes_on_the_same_rows_both_get_them_all(tmp_path, zygotes, server):
    server.configure(latency_s=(0.0, 0.01))
    in_two_processes(zygotes, tmp_path, server, [(0, 400), (0, 400)], {"adapt": False})
    assert 400 <= server.counters.total <= 800  # asking at the same moment, both may pay
    again = in_two_processes(zygotes, tmp_path, server, [(0, 400), (0, 400)], {"adapt": False})
    assert again == [0, 0]


def test_the_same_run_twice_at_once_in_one_process_pays_once(server, model):
    server.configure(latency_s=(0.0, 0.01))
    outs = []

    def run():
        outs.append(texts(300).llm.process("Say {text}", into="a", model=model, **FAST))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert [out["a"].tolist() for out in outs] == [[f"echo: Say text {n}" for n in range(300)]] * 2
    assert server.counters.total == 300


def test_what_another_process_answered_meanwhile_is_not_asked_again(
    tmp_path, zygotes, server, monkeypatch
):
    monkeypatch.setattr(replay, "STALE_S", 0.2)
    model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
    limits = lp.Limits(requests_per_minute=60, adapt=False)  # the others wait, already looked up
    job = texts(100).llm.start(
        "Say {text}", into="a", model=model, journal="j.sqlite", limits=limits, progress=False
    )
    server.wait_for(lambda c: c.ok == 1)
    assert wait_until(lambda: job.stats.queued > 50)

    names = {"first": 0, "last": 100, "limits": {"adapt": False}}
    other = zygotes[0].run(RUN, tmp_path, base_url=server.base_url, key=server.key, **names)
    assert other.status == 0, other.output
    sent = server.counters.total
    assert sent <= 102
    threading.Event().wait(0.2)
    job.limits.requests_per_minute = None

    assert job.result(10)["a"].notna().all()
    assert server.counters.total <= sent + 1
    assert job.stats.cached >= 97


# A laptop asleep


def test_a_wall_clock_that_jumps_both_ways_changes_nothing(server, model, monkeypatch):
    """Only `time.time` may jump; everything that waits goes by monotonic clocks."""
    real = time.time
    jumps = iter(range(10**9))

    def jumping():
        return real() + (3600 if next(jumps) % 2 else -7200)

    monkeypatch.setattr(time, "time", jumping)
    server.configure(
        limits=RollingWindow(requests=1200, window_s=1), faults={"500": 0.1}, latency_s=0.002
    )
    # Less than the server takes: that requests arrive unevenly at a busy machine is no burst.
    limits = lp.Limits(requests_per_minute=900, adapt=False)
    retry = lp.Retry(base_s=0.01, cap_s=0.05)

    out = texts(60).llm.process(
        "Say {text}", into="a", model=model, limits=limits, retry=retry, progress=False
    )

    assert out["a"].notna().all()
    assert server.counters.refused == 0  # no burst
    assert 0 <= lp.last_job().stats.elapsed_s < 1800  # no jump is in it


def test_an_hour_of_sleep_makes_no_burst():
    """The loop's own clock jumps an hour: what was not used is not made up for."""

    async def main():
        loop = asyncio.get_running_loop()
        limiter = Limiter(Limits(requests_per_minute=600, concurrency=1000, adapt=False))
        left = []

        async def send(count):
            for _ in range(count):
                leave = await limiter.reserve(Tokens(1, 1))
                left.append(loop.time())
                limiter.settle(leave, Tokens(1, 1))

        await send(100)
        await asyncio.sleep(3600)
        await send(300)
        return left

    left = run_virtual(main())
    after = [moment for moment in left if moment >= left[99] + 3600]
    assert len(after) == 300
    for moment in after:
        window = [other for other in after if moment <= other < moment + 1.0]
        assert len(window) <= 11
    assert 28 <= after[-1] - after[0] <= 32


def test_an_hour_of_sleep_while_requests_wait_hangs_nothing():
    async def main():
        sent = []

        class Call:
            key = None
            estimate = Tokens(1, 1)

            async def send(self):
                sent.append(asyncio.get_running_loop().time())
                await asyncio.sleep(3600 if len(sent) == 3 else 0.1)
                return Reply(raw=b"x", data="x", used=Tokens(1, 1))

            def read(self, data):
                return data

        engine_loop_of_test(asyncio.get_running_loop())
        executor = RateLimitedAPIExecutor(limit_requests=60, concurrency_limit=2)
        events = [await executor.append(Call()) for _ in range(10)]
        await executor.forward()
        await executor.stop()
        return [event.state for event in events], sent

    states, sent = run_virtual(main())
    assert states == ["completed"] * 10
    assert len(sent) == 10


def engine_loop_of_test(loop):
    """Let the engine run on the virtual loop of this test."""
    started = Future()
    started.set_result(loop)
    engine_loop._started, engine_loop._thread = started, threading.current_thread()


@pytest.fixture(autouse=True)
def own_engine_loop():
    before = engine_loop._started, engine_loop._thread
    yield
    engine_loop._started, engine_loop._thread = before


# A fork


def test_a_forked_child_runs_on_its_own(tmp_path, zygotes, server):
    code = """
import os, pandas as pd, lionproc as lp
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
frame = pd.DataFrame({"text": [f"text {n}" for n in range(40)]})
names = dict(into="a", model=model, journal="j.sqlite", progress=False, limits={"adapt": False})
frame.llm.process("Say {text}", **names)
pid = os.fork()
if pid == 0:
    status = 1
    try:
        out = frame.llm.process("Tell {text}", **names)
        status = 0 if out["a"].notna().all() else 2
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
out = frame.llm.process("Tell {text}", **names)
assert lp.last_job().stats.sent == 0
print("fine:", len(out))
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert "fine: 40" in child.output
    assert server.counters.total == 80
    assert Path(tmp_path / "j.sqlite").exists()


def test_a_validator_that_asks_and_waits_fails_its_rows_and_nothing_stands_still(
    tmp_path, zygotes, server
):
    code = """
import pandas as pd, pydantic, lionproc as lp
model = lp.Model("openai", "m", base_url=base_url, api_key=key)
frame = pd.DataFrame({"text": ["one", "two"]})
names = dict(into="a", model=model, progress=False)
other = frame.llm.start("Wait for {text}", **names)

class Checked(pydantic.BaseModel):
    x: str

    @pydantic.field_validator("x")
    @classmethod
    def asks(cls, x):
        return other.result()["a"][0] if x == "waits" else frame.llm.process("Is it {text}?", **names)["a"][0]

out = frame.llm.process("Say {text}", schema=Checked, **names)
told = out.llm.errors()["message"]
assert len(told) == 2 and told.str.contains("on the thread that sends").all(), list(told)
assert other.result()["a"].notna().all()
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")


def test_more_prompt_functions_that_ask_a_model_than_there_are_threads_wait_for_none_of_each_other(
    server, model
):
    many = min(32, (os.cpu_count() or 1) + 4) + 1  # the pool of the engine has one thread less
    all_in = threading.Barrier(many)

    def asks(row):
        if row["n"] == 1:  # some of the others are looked at before the run
            all_in.wait(20)
            other = pd.DataFrame({"text": [f"{row['name']} {n}" for n in range(2)]})
            return other.llm.process("Say {text}", into="a", model=model, progress=False)["a"][1]
        return "First"

    frames = [pd.DataFrame({"n": range(5), "name": f"job {n}"}) for n in range(many)]
    jobs = [frame.llm.start(asks, into="a", model=model, progress=False) for frame in frames]
    answers = [job.result(30)["a"][1] for job in jobs]
    assert answers == [f"echo: echo: Say job {n} 1" for n in range(many)]


@pytest.mark.parametrize("way", [SystemExit, KeyboardInterrupt])
def test_code_that_wants_to_end_the_process_on_the_engines_thread_ends_no_other_work_there(way):
    began = Future()

    async def waits():
        end = asyncio.get_running_loop().create_future()
        began.set_result(end)
        return await end

    async def ends():
        raise way

    other = engine_loop.submit(waits())
    end = began.result(10)
    with pytest.raises(way):
        engine_loop.submit(ends()).result(10)
    end.get_loop().call_soon_threadsafe(end.set_result, "done")
    assert other.result(10) == "done"
