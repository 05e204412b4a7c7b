"""A process that is asked for a moment, and heard later if that takes longer."""

import os
import signal
import threading

import pytest

from lionproc.engine.kept_process import KeptProcess

pytestmark = pytest.mark.skipif(os.name == "nt", reason="it is asked in threads alone")

SERVE = """
import os, time

def serve(message, within):
    while not os.path.exists(message["gate"]):
        time.sleep(0.01)
    return [message["text"], os.getpid()]
"""


@pytest.fixture
def gate(tmp_path):
    made = tmp_path / "gate"
    yield made
    made.touch()


@pytest.fixture
def process(tmp_path):
    serves = tmp_path / "serves.py"
    serves.write_text(SERVE)
    made = KeptProcess(serves, ())
    yield made
    made.stop()


def message(gate, text="a"):
    return {"gate": str(gate), "text": text}


def test_what_is_said_in_a_moment_is_there(process, gate):
    gate.touch()
    process.ask(message(gate), 2)
    assert process.ask_soon(message(gate, "b"), 2, 30)[0][0] == "b"


def test_nothing_is_asked_before_it_has_begun(process, gate):
    assert process.ask_soon(message(gate), 2, 30) is None
    assert process.process is None


def test_nothing_is_asked_that_the_pipe_may_not_take_at_once(process, gate):
    gate.touch()
    process.ask(message(gate), 2)
    assert process.ask_soon(message(gate, "x" * 10**6), 2, 0) is None
    assert process.ask(message(gate, "b"), 2)[0] == "b"


def test_what_takes_longer_is_heard_later_and_others_wait_for_it(process, gate):
    gate.touch()
    first = process.ask(message(gate), 2)
    gate.unlink()
    rest = process.ask_soon(message(gate, "b"), 2, 0)
    assert process.ask_soon(message(gate, "c"), 2, 30) is None
    heard = []
    others = threading.Thread(target=lambda: heard.append(process.ask(message(gate, "d"), 2)))
    others.start()
    later = threading.Thread(target=lambda: heard.append(rest()))  # not the thread that asked
    later.start()
    gate.touch()
    later.join()
    others.join()
    assert heard == [["b", first[1]], ["d", first[1]]]
    assert process.ask_soon(message(gate, "e"), 2, 30) == (["e", first[1]],)


def test_what_is_killed_before_it_is_heard_is_asked_again(process, gate):
    gate.touch()
    first = process.ask(message(gate), 2)
    gate.unlink()
    rest = process.ask_soon(message(gate, "b"), 2, 0)
    os.kill(first[1], signal.SIGKILL)
    gate.touch()
    said, number = rest()
    assert said == "b"
    assert number != first[1]
    assert process.ask_soon(message(gate, "c"), 2, 30) == (["c", number],)


def test_one_that_was_killed_is_asked_by_whoever_may_wait(process, gate):
    gate.touch()
    first = process.ask(message(gate), 2)
    os.kill(first[1], signal.SIGKILL)
    process.process.wait()
    assert process.ask_soon(message(gate), 2, 30) is None
    assert process.ask(message(gate), 2)[1] != first[1]
