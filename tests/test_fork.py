"""A process is forked while something is under way or open: a web server's workers, multiprocessing."""

import os

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

START = """
import asyncio, atexit, os, sys, traceback
import pandas as pd, lionproc as lp
from lionproc.errors import RunError

model = lp.Model("openai", "m", base_url=base_url, api_key=key, timeout=4)

def forked(work):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    status = 1
    try:
        asyncio.run(asyncio.wait_for(work(), 20))
        atexit._run_exitfuncs()  # as in a child that ends by itself
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)
"""


def test_what_a_parent_has_open_is_neither_used_nor_closed_in_a_forked_child(
    tmp_path, zygotes, server
):
    code = f"""{START}
branch = lp.Branch("b", system="Talk.")
branch.add_model(model)
executor = lp.RateLimitedAPIExecutor(concurrency_limit=2)
own = lp.Model("openai", "m", base_url=base_url, api_key=key, timeout=4, executor=executor)
frame = pd.DataFrame({{"text": ["one", "two", "three"]}})
service = lp.ProcessingService("s", save_dir="s", model=model)

async def talk(name):
    await executor.start()
    await executor.forward()
    out = await frame.llm.aprocess(name + " {{text}}", into="a", model=own, progress=False)
    assert out["a"].tolist() == [f"echo: {{name}} {{text}}" for text in frame["text"]]
    assert await branch.chat(name) == "echo: " + name
    assert executor.in_flight == 0

async def child():
    await talk("child")
    told = await service.process_data({{"x": 2}}, {{"type": "object"}})
    assert "used before its process was forked" in told["error"], told

asyncio.run(talk("first"))
assert asyncio.run(service.process_data({{"x": 1}}, {{"type": "object"}}))["status"] == "success"
executor.limiter.in_flight = 2  # as in the middle of a run
assert forked(child) == 0
executor.limiter.in_flight = 0
asyncio.run(talk("second"))
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")
    assert server.counters.total == 4 * 3 + 1  # and nothing twice, after a reply nobody heard of


def test_a_service_that_was_closed_before_a_fork_is_seen_by_its_executor_in_the_child(
    tmp_path, zygotes, server
):
    code = f"""{START}
executor = lp.RateLimitedAPIExecutor()
service = lp.ProcessingService("s", save_dir="s", model=model, executor=executor)

async def ask(number):
    told = await service.process_data({{"x": number}})
    assert told["status"] == "success", told
    assert executor.counters.sent == executor.status_counts()["completed"] == 1
    await service.close()

asyncio.run(ask(1))
assert forked(lambda: ask(2)) == 0
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")
    assert server.counters.total == 2


def test_a_run_that_goes_on_in_the_parent_is_not_waited_for_in_a_forked_child(
    tmp_path, zygotes, server
):
    code = f"""{START}
frame = pd.DataFrame({{"text": [str(number) for number in range(40)]}})
job = frame.llm.start("Say {{text}}", into="a", model=model, progress=False)
job.pause()

async def child():
    job.stop()
    assert job.wait() and job.done
    try:
        await job
    except RunError as error:
        assert "in the process that started it" in str(error), error
    else:
        raise AssertionError("it was waited for")

assert forked(child) == 0
job.resume()
assert job.result()["a"].notna().all()
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")
    assert server.counters.total == 40


def test_what_the_parent_has_in_hand_is_not_resumed_by_a_child_that_has_the_same_service(
    tmp_path, zygotes, server
):
    code = f"""{START}
import json
from pathlib import Path

pipeline = lp.Pipeline("p", "jobs", model=model)
asyncio.run(pipeline.add_stage({{"name": "Mood"}}))
services = {{
    "req": lp.ProcessingService("s", "requests", model=model),
    "batch": lp.BatchProcessor("b", "batches", model=model),
    "job": pipeline,
}}
leases = {{name: getattr(each._store, "lease", None) or each._store._lease
          for name, each in services.items()}}
for name, lease in leases.items():
    record = {{"id": name + "_1", "status": "processing", "data": ["x"], "items": ["x"],
              "schema": None, "stages": [{{"stage": "Mood"}}], "owner": lease.claim()}}
    file = services[name].save_dir if hasattr(services[name], "save_dir") else Path("batches")
    Path(file, name + "_1.json").write_text(json.dumps(record))

async def child():
    for each in services.values():
        assert await each.resume() == []
        await each.close()  # and what the parent holds stays held

for _ in range(2):
    assert forked(child) == 0
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url=server.base_url, key=server.key)
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")
    assert server.counters.total == 0


def test_a_fork_waits_for_what_another_thread_is_in_the_middle_of_importing(tmp_path, zygotes):
    """As runs do on their own threads: in the child that module would stay half made for ever."""
    (tmp_path / "gates.py").write_text(
        "import threading\nbegun = threading.Event()\ngo_on = threading.Event()\n"
    )
    (tmp_path / "half_made.py").write_text(
        "import gates\ngates.begun.set()\ngates.go_on.wait()\nwhole = sum(range(3_000_000)) > 0\n"
    )
    code = f"""
import importlib, signal, sys, threading
sys.path.insert(0, "")
import gates
{START}
threading.Thread(target=importlib.import_module, args=["half_made"]).start()
gates.begun.wait()
os.register_at_fork(before=gates.go_on.set)

async def child():
    signal.alarm(10)
    import half_made
    assert half_made.whole

assert forked(child) == 0
print("fine")
"""
    child = zygotes[0].run(code, tmp_path, base_url="http://127.0.0.1:9/v1", key="none")
    assert child.status == 0, child.output
    assert child.output.endswith("fine\n")


@pytest.mark.parametrize("kind", ["requests", "batch", "job"])
def test_a_child_ends_with_a_service_that_its_parent_is_in_the_middle_of(
    tmp_path, zygotes, server, kind
):
    code = f"""{START}
import threading, time
from pathlib import Path

def ask(service):
    async def work():
        if {kind!r} == "requests":
            await asyncio.gather(*(service.process_data({{"x": n}}) for n in range(3)))
        elif {kind!r} == "batch":
            await service.process_batch(["a", "b", "c"])
        else:
            await service.add_stage({{"name": "Mood"}})
            await service.process_data(["a", "b", "c"])
    asyncio.run(work())

made = {{
    "requests": lambda: lp.ProcessingService("s", "s", model=model, queue_capacity=3),
    "batch": lambda: lp.BatchProcessor("b", "b", 3, model=model),
    "job": lambda: lp.Pipeline("p", "p", model=model),
}}
service = made[{kind!r}]()
asking = threading.Thread(target=ask, args=[service])
asking.start()
while not Path("all are in flight").exists():
    time.sleep(0.01)

async def child():
    if {kind!r} == "requests":
        await service.drain()
        request_id = await service.submit({{"x": 9}})  # though the parent has no room
        error = (await service.wait(request_id))["error"]
        assert "was forked" in error or "received, not completed" in error  # had it ended before
    assert not [each for each in await service.resume() if each["status"] != "error"]
    await service.close()

assert forked(child) == 0
print("forked", flush=True)
asking.join()
asyncio.run(service.close())
print("fine")
"""
    server.hold()
    child = zygotes[0].start(code, tmp_path, base_url=server.base_url, key=server.key)
    server.wait_for(lambda counters: counters.in_flight == 3)
    (tmp_path / "all are in flight").touch()
    while "forked" not in child.output and child.running:
        pass
    server.release()
    assert child.wait() == 0, child.output
    assert child.output.endswith("fine\n")
    assert server.counters.total == 3
