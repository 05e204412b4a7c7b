"""A server with a model at it, and processes to be killed, interrupted and starved by tests."""

import contextlib
import functools
import gc
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import lionproc as lp
from lionproc.model.call import ModelCall
from lionproc.testing import Server
from lionproc.testing.recorder import worst_window

# Kept, whatever the shell says: a suite, and the hundreds of processes that it starts, compile what
# they import once and not each time.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How fast a machine draws and runs examples is nothing a test should fail for. The suite draws the
# same ones each time, so that what it says is about the change it is run for; `make fuzz` draws
# others, and more.
_ANY_PACE = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("lionproc", **_ANY_PACE, derandomize=True)
settings.register_profile("fuzz", **_ANY_PACE, max_examples=2000, print_blob=True)
settings.load_profile("lionproc")

# Everything heavy is imported once, and a child is a fork of that: so 50 kills cost seconds. Of as
# many processes as there are pairs of pipes, forks of one too, each has one child at a time.
ZYGOTE = """
import atexit, gc, json, os, signal, sys, traceback
import aiohttp, aiolimiter, jsonschema_rs, openai, orjson, pandas, pyarrow.parquet, pydantic, tqdm
import filelock, genai_prices.data, pyarrow.dataset, pyarrow.pandas_compat, pyarrow.vendored.version
import lionproc.frame.accessor, lionproc.frame.estimate, lionproc.frame.job
import lionproc.frame.preview, lionproc.frame.reporting, lionproc.frame.seen
import lionproc.frame.shared_limits, lionproc.model.client_wire, lionproc.model.direct_wire
import lionproc.model.twin, lionproc.notebook.notes, lionproc.notebook.progress
import lionproc.reports.kept_report

openai.AsyncOpenAI(api_key="none")  # what it imports when it is first made
gc.collect()
gc.freeze()  # or the first collection of each child would write to, and so copy, all it shares
mine, *others = [each.split(",") for each in sys.argv[1:]]
for other in others:
    if os.fork() == 0:
        mine, others = other, []
        break
tasks, told = os.fdopen(int(mine[0])), os.fdopen(int(mine[1]), "w", buffering=1)
print(os.getpid(), file=told)
for line in tasks:
    task = json.loads(line)
    pid = os.fork()
    if pid == 0:
        output = os.open(task["output"], os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        status = 0
        try:
            # Whoever starts a suite in the background ignores SIGINT, and children inherit that.
            # From here on one may come, in the middle of this call too.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.chdir(task["folder"])
            os.environ["LIONPROC_HOME"] = task["home"]
            exec(compile(task["code"], "child", "exec"), {"__name__": "__main__", **task["names"]})
        except KeyboardInterrupt as error:
            print("KeyboardInterrupt:", error)
            status = 130
        except SystemExit as error:
            status = error.code
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            status = 1
        atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(status)
    print(pid, file=told)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=told)
for _ in others:
    os.wait()
"""

# So that every interrupt is tried as where the suite is started with `nohup make test &`.
IGNORING = """trap "" INT; exec "$0" "$@" """


class Child:
    """A process that runs some code."""

    def __init__(self, pid, output, ended):
        self.pid = pid
        self._output = output
        self._ended = ended
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self.status = None
        self._thread.start()

    def _wait(self):
        self.status = int(self._ended())

    @property
    def running(self):
        return self._thread.is_alive()

    @property
    def output(self):
        return self._output.read_text()

    def signal(self, number):
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self):
        self.signal(signal.SIGKILL)
        return self.wait()

    def wait(self, timeout_s=30):
        self._thread.join(timeout_s)
        assert not self.running, f"The child still runs after {timeout_s} s: {self.output[-2000:]}"
        return self.status


class Zygote:
    """Starts children, one at a time."""

    def __init__(self, folder, tasks, told):
        self._folder = folder
        self._count = 0
        self._child = None
        self._tasks = os.fdopen(tasks, "w")
        self._told = os.fdopen(told)
        self.home = folder / "home"
        self.pid = int(self._told.readline())

    def start(self, code, folder=None, **names):
        self._end()
        self._count += 1
        output = self._folder / f"output-{self._count}"
        output.touch()
        task = {
            "code": code,
            "folder": str(folder or self._folder),
            "home": str(self.home),
            "names": names,
            "output": str(output),
        }
        print(json.dumps(task), file=self._tasks, flush=True)
        self._child = Child(int(self._told.readline()), output, self._told.readline)
        return self._child

    def run(self, code, folder=None, **names):
        child = self.start(code, folder, **names)
        child.wait()
        return child

    def _end(self):
        if self._child is not None and self._child.running:
            self._child.kill()  # of a test that failed

    def close(self):
        self._end()
        self._tasks.close()
        self._told.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Of a certificate authority of our own: itself, and the path of its file."""
    import trustme

    made = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "authority.pem"
    made.cert_pem.write_to_path(str(path))
    return made, str(path)


@pytest.fixture(scope="session", autouse=True)
def few_authorities(authority):
    """Every client reads the trusted ones when it is made; those of the system take 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", authority[1])
        yield


@pytest.fixture(scope="session", autouse=True)
def secret_of_the_session(tmp_path_factory):
    """What marks saved files is none of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module", autouse=True)
def home_of_the_module(tmp_path_factory):
    """Answers of other tests, or of an earlier day, are none of a server with the same port."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIONPROC_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where lionproc keeps its files, beside a working folder that is new and empty."""
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def no_slow_start(home):
    """Runs that go at once; else every one begins slowly, to feel its way."""
    lp.configure(limits={"adapt": False})
    yield
    lp.configure(limits=None)


@pytest.fixture(scope="module")
def shared():
    """A server for all tests of a file, each of which tells it how it answers."""
    with Server() as made:
        yield made


@pytest.fixture
def server():
    """A server that answers at once and well, unless a test tells it otherwise."""
    with Server() as made:
        yield made


@pytest.fixture
def model(server):
    """A model at that server."""
    return lp.Model("openai", "test-model", base_url=server.base_url, api_key=server.key)


class Departures:
    """When requests were handed to the wire, one after the other."""

    def __init__(self):
        self._times = array("d")

    def note(self):
        self._times.append(time.monotonic())

    def worst_window(self, window_s):
        """The most in any window. A server that has little of a busy machine's time sees more:
        it is late for some, and takes them together with the next."""
        assert self._times, "Nothing left this process."
        return worst_window(self._times, [1] * len(self._times), window_s)


@pytest.fixture
def departures(monkeypatch):
    """When the requests of this process leave."""
    seen, send = Departures(), ModelCall.send

    async def noted(call):
        seen.note()
        return await send(call)

    monkeypatch.setattr(ModelCall, "send", noted)
    return seen


@pytest.fixture(scope="session")
def zygotes(tmp_path_factory):
    """Two that start children at once."""
    tasks, told = [os.pipe() for _ in range(2)], [os.pipe() for _ in range(2)]
    theirs = [(to[0], back[1]) for to, back in zip(tasks, told, strict=True)]
    handles = list(itertools.chain(*theirs))
    command = ["sh", "-c", IGNORING, sys.executable, "-c", ZYGOTE, *(f"{a},{b}" for a, b in theirs)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, pass_fds=handles)
    for each in handles:
        os.close(each)
    made = [
        Zygote(Path(tmp_path_factory.mktemp("zygote")), to[1], back[0])
        for to, back in zip(tasks, told, strict=True)
    ]
    yield made
    for zygote in made:
        zygote.close()
    process.wait(30)


@pytest.fixture
def calls_of():
    """Counts the calls, of Python and of C, that some work makes.

    What it costs, then, wherever it runs and whatever else runs there.
    """

    def count(work):
        made = 0

        def note(_frame, event, _argument):
            nonlocal made
            made += event in {"call", "c_call"}

        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
        return made

    return count


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """More than there are cores: a third of its time a worker waits for kernels, pages and kills."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return cores + 2


# Files that wait for kernels, browsers, compilers and kills. Of few tests, so last by themselves.
LONG = (
    "notebook",
    "release",
    "test_crash.py",
    "dask",
    "model/test_local.py",
    "test_people.py",
    "test_secrets.py",
)


def pytest_collection_modifyitems(items):
    """Long files first: with several workers none of them is what all wait for at the end."""
    here = Path(__file__).parent
    places = [here / name for name in LONG]

    @functools.cache
    def is_short(path):
        return not any(path.is_relative_to(place) for place in places)

    items.sort(key=lambda item: is_short(item.path))


def pytest_collection_finish(session):
    """What was imported and collected stays to the end: no collection of garbage walks it again."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(config, val, argname):
    """Names that are the same in every process, so that tests can be shared among several."""
    text = repr(val)
    return argname if " at 0x" in text else None
