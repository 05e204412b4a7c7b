import json
import os
import select
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from lionproc.errors import ConfigurationError
from lionproc.testing import Fault, RollingWindow, Server

# one child for all, because starting one imports the package


@pytest.fixture(scope="module")
def shared():
    with Server(process=True) as server:
        yield server


def test_a_child_process_has_the_same_face(shared, ask, chat):
    before, began = shared.counters, time.monotonic()
    shared.configure(
        limits=RollingWindow(requests=1000),
        faults=[None, Fault("429", retry_after_s=3)],
        latency_s=(0.01, 0.02),
        answer={"a": 1},
    )
    replies = [ask(shared, chat("one")) for _ in range(3)]
    assert [r.status for r in replies] == [200, 429, 200]
    assert replies[0].text == '{"a":1}'
    assert replies[1].headers["retry-after"] == "3"
    counters = shared.counters
    assert counters.total - before.total == 3
    assert counters.by_status[200] >= 2
    assert counters.connections - before.connections == 3  # its own control is not counted
    assert shared.worst_window(60) == counters.admitted
    assert shared.duplicates() == 2
    last = shared.requests[-1]
    assert last.body["messages"][0]["content"] == "one"
    assert last.headers["authorization"] == f"Bearer {shared.key}"
    assert began <= last.arrived_s <= time.monotonic()  # by the clock of this process
    shared.configure(latency_s=0, faults=None, limits=(), answer=None)


def test_a_child_process_holds_releases_and_waits_on_conditions(shared, ask):
    shared.hold()
    with ThreadPoolExecutor(3) as pool:
        replies = [pool.submit(ask, shared) for _ in range(3)]
        assert shared.wait_for(lambda c: c.in_flight == 3).ok == shared.counters.ok
        shared.release()
        assert [r.result().status for r in replies] == [200] * 3
    with pytest.raises(TimeoutError):
        shared.wait_for(lambda c: c.in_flight == 9, timeout_s=0.05)


def test_control_needs_the_token(shared, ask):
    for headers in ({}, {"x-control-token": "guess"}, {"authorization": f"Bearer {shared.key}"}):
        reply = ask(shared, path="/../_control/hold", headers=headers)
        assert reply.status in {401, 404}
        request = urllib.request.Request(  # noqa: S310 - loopback
            shared.base_url.replace("/v1", "/_control/hold"), b"{}", headers
        )
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)  # noqa: S310
        assert caught.value.code == 403
        caught.value.close()
    assert ask(shared).status == 200


def test_a_server_in_this_process_has_no_control(ask):
    with Server() as server:
        url = server.base_url.replace("/v1", "/_control/hold")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(url, b"{}")  # noqa: S310
        assert caught.value.code == 401
        caught.value.close()


@pytest.mark.parametrize(
    "setting",
    [
        {"answer": lambda body: "x"},
        {"faults": lambda body, n: None},
        {"latency_s": lambda body: 0},
        {"count_tokens": len},
    ],
)
def test_functions_cannot_be_handed_to_a_child_process(shared, setting):
    with pytest.raises(ConfigurationError, match="process=False"):
        Server(process=True, **setting)
    with pytest.raises(ConfigurationError, match="process=False"):
        shared.configure(**setting)


def test_settings_a_child_refuses_are_an_error_here(shared):
    with pytest.raises(ConfigurationError, match="retry"):
        shared.configure(retry="soon")
    with pytest.raises(ConfigurationError, match="TokenBucket"):
        shared.configure(limits=60)


def run_alone(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "lionproc.testing", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_the_command_line_serves_until_stdin_closes(ask):
    child = run_alone(
        "--latency", "0.01-0.02", "--limit", "rolling:requests=2", "--fault", "500=0",
        "--answer", "Hi", "--headers", "openai",
    )  # fmt: skip
    with child:
        told = json.loads(child.stdout.readline())
        server = SimpleNamespace(**told)
        replies = [ask(server) for _ in range(3)]
        assert [r.status for r in replies] == [200, 200, 429]
        assert replies[0].text == "Hi"
        assert replies[0].headers["x-ratelimit-limit-requests"] == "2"
        child.stdin.close()
        assert child.wait(10) == 0


def test_the_command_line_explains_what_is_wrong():
    for wrong in (["--fault", "5000=0.1"], ["--limit", "sieve:requests=1"], ["--latency", "long"]):
        done = subprocess.run(
            [sys.executable, "-m", "lionproc.testing", *wrong],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert "error:" in done.stderr


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits on a process of another parent")
def test_a_child_ends_when_its_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys\nfrom lionproc.testing import Server\n"
        "server = Server(process=True)\n"
        "print(server._backend._child.pid, flush=True)\nsys.stdin.read()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        child = int(parent.stdout.readline())
        ended = os.pidfd_open(child)  # readable as soon as that process ends
        try:
            assert not select.select([ended], [], [], 0)[0]
            parent.kill()
            readable, _, _ = select.select([ended], [], [], 10)
        finally:
            os.close(ended)
    assert readable, "the server outlived its parent"


@pytest.mark.skipif(os.name != "posix", reason="there, a closed pipe is what ends it")
def test_a_child_ends_with_its_parent_though_something_else_holds_its_input_open():
    code = (
        "import subprocess, sys, time\n"
        "from lionproc.testing import Server\n"
        "child = Server(process=True)._backend._child\n"
        "sleeper = subprocess.Popen(['sleep', '60'], pass_fds=[child.stdin.fileno()],\n"
        "    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "print(child.pid, sleeper.pid, flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        pid, sleeper = map(int, parent.stdout.readline().split())
        try:
            parent.kill()
            parent.wait()
            gone_by = time.monotonic() + 20
            while is_running(pid) and time.monotonic() < gone_by:
                select.select([], [], [], 0.05)
            assert not is_running(pid)
            assert is_running(sleeper)
        finally:
            os.kill(sleeper, 9)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_has_no_key_of_a_provider_in_its_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SECRET")
    monkeypatch.setenv("HF_TOKEN", "hf-SECRET")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "Authorization: Bearer SECRET")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:SECRET@proxy:3128")
    monkeypatch.setenv("DB_DSN", "postgres://me:SECRET@db")
    with Server(process=True) as server:
        told = f"/proc/{server._backend._child.pid}/environ"
        if not os.path.exists(told):  # noqa: PTH110
            pytest.skip("needs /proc")
        with open(told, "rb") as file:  # noqa: PTH123
            assert b"SECRET" not in file.read()
