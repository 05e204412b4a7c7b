"""Texts that might be much work for patterns are tried in a process of their own first."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import pandas as pd
import pydantic
import pytest

import lionproc as lp
from lionproc.engine import kept_process
from lionproc.errors import CallError, Kind
from lionproc.model import matching, trial_process
from lionproc.model.answer import Answer
from lionproc.model.pattern_work import RunPattern, size_of, steps_of

posix = pytest.mark.skipif(os.name != "posix", reason="kills and forks of POSIX")
ROOT = Path(trial_process.__file__).parents[2]
TOO_LONG = "too long, or too many, for the patterns"


def of_schema(pattern):
    return {"type": "array", "items": {"type": "string", "pattern": pattern}}


def of_type(pattern):
    return list[Annotated[str, pydantic.Field(pattern=re.compile(pattern))]]


BOTH = pytest.mark.parametrize("kind", [of_schema, of_type])

URL = r"^https?://\S{1,2000}$"
URLS = [f"https://example.com/some/long/path/{n}/page.html?x=1&y=2" for n in range(1000)]
NOT_BLANK = r"^(?!\s*$).+"
PARAGRAPHS = ["The quick brown fox jumps over the lazy dog, and then it rests for a while."] * 2000
DATE = r"^(?!0000)\d{4}-\d{2}-\d{2}$"
DATES = ["2026-11-29"] * 10_000

# Of each character it looks ahead to the end, and there are hundreds of places at which it may be.
AHEAD = r"^(?:(?=[ab]*(?:a[ab]{120}|b[ab]{119}|a[ab]{118}|b[ab]{117})z)[abz])*"


def hard(length=8000):
    letters = random.Random(1).choices("ab", k=length)
    return ["".join(letters) + "a" + "b" * 120 + "z"]


def read(schema, said):
    return Answer.of(schema).read(json.dumps({"answer": said}))


def pid():
    process = trial_process.PROCESS.process
    return None if process is None else process.pid


@pytest.fixture(autouse=True)
def none_yet_and_none_left():
    trial_process.PROCESS.stop()
    yield
    trial_process.PROCESS.stop()  # and nothing is known of one that did not begin


@BOTH
@pytest.mark.parametrize(
    ("pattern", "texts"),
    [(URL, URLS), (NOT_BLANK, PARAGRAPHS), (DATE, DATES)],
    ids=["addresses", "paragraphs", "dates"],
)
def test_many_texts_for_an_ordinary_pattern_are_read(kind, pattern, texts):
    assert read(kind(pattern), texts) == texts


@BOTH
@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"^[a-zA-Z0-9._%+-]{1,64}@[a-zA-Z0-9.-]{1,255}\.[a-zA-Z]{2,63}$", "some.one@example.com"),
        (r"^(?=.*[A-Z])(?=.*\d)(?=.*[^\w]).{8,64}$", "Abcdefg1!" * 7),
        (URL, URLS[0]),
        (NOT_BLANK, PARAGRAPHS[0]),
        (DATE, DATES[0]),
        (r"^([a-z0-9]+-?)+(?<!-)$", "machine-learning-and-more"),
    ],
)
def test_for_an_answer_of_usual_size_no_process_is_started(kind, pattern, text):
    assert read(kind(pattern), [text] * 3) == [text] * 3
    assert pid() is None


@BOTH
def test_a_text_that_takes_a_pattern_long_is_a_wrong_shape_and_is_not_held_against_it_here(kind):
    before = time.process_time()
    with pytest.raises(CallError, match=TOO_LONG):
        read(kind(AHEAD), hard())
    assert time.process_time() - before < 2  # here it takes forty seconds
    short = hard(200)
    assert read(kind(AHEAD), short) == short


def test_a_pattern_is_tried_as_its_type_has_it():
    commented = Annotated[str, pydantic.Field(pattern=r"(?x)^ \S{1,5000} $  # one word")]
    words = ["a" * 3000] * 100
    assert read(list[commented], words) == words
    assert pid() is not None
    shouted = Annotated[str, pydantic.Field(pattern=re.compile(NOT_BLANK + "THE", re.IGNORECASE))]
    said = [f"{each} Lo, the" for each in PARAGRAPHS]
    assert read(list[shouted], said) == said


def test_half_a_character_is_told_as_such_however_many_texts_there_are():
    with pytest.raises(CallError, match="half a character"):
        Answer.of(of_schema(NOT_BLANK)).read(
            json.dumps({"answer": [*PARAGRAPHS, "x"]}).replace('"x"', r'"\ud800"')
        )
    assert trial_process.PROCESS.process.poll() is None


def test_letters_of_four_bytes_count_as_four():
    pattern = r"(?:\p{L}*[𐐀-𐐘]\p{L}{60}){2}[^\p{L}]"
    letters = random.Random(1).choices([chr(0x10400 + n) for n in range(40)], k=300_000)
    with pytest.raises(CallError, match=TOO_LONG):
        read(of_schema(pattern), ["".join(letters)])
    trial_process.PROCESS.stop()
    with pytest.raises(CallError, match="does not match"):
        read(of_schema(pattern), ["a" * 60_000])
    assert pid() is None
    with pytest.raises(CallError):
        read(of_schema(pattern), ["".join(letters[:60_000])])
    assert pid() is not None


def test_a_pattern_that_a_type_has_and_does_not_show_is_tried_with_every_text():
    hidden = pydantic.WithJsonSchema({"type": "string"})
    inner = Annotated[str, pydantic.Field(pattern=re.compile(AHEAD)), hidden]
    for schema, said in ((list[inner], hard()), (dict[inner, int], dict.fromkeys(hard(), 1))):
        with pytest.raises(CallError, match=TOO_LONG):
            read(schema, said)
        assert read(schema, type(said)()) == type(said)()


def test_a_type_is_tried_out_on_no_text_that_takes_its_pattern_long():
    """As where it is made of a record: nobody vouches for that."""
    ahead = re.compile("^(?:(?=[a-z ]*[a-m][a-z ]{120})[a-z ])*")  # of whatever is made up
    long = Annotated[str, pydantic.Field(pattern=ahead, min_length=20_000)]
    before = time.process_time()
    Answer.of(pydantic.create_model("Long", text=(long, ...)))
    assert time.process_time() - before < 2


# ---- how much work it may be


@pytest.mark.parametrize("inner", [r"\S", "[^a]", "ab?", "(?:a|b)", r"(\w+ )", "a{2,3}"])
def test_a_repetition_is_no_more_work_than_copies_that_a_text_can_reach(inner):
    few, many = (RunPattern(f"^(?:{inner}){{1,{most}}}$", by_pydantic=True) for most in (20, 2000))
    assert steps_of(few, 4) == steps_of(many, 4)
    assert steps_of(few, 11) < steps_of(many, 11)


@pytest.mark.parametrize(
    "inner",
    [
        "a?b?",
        r"\b",
        r"\b{start}",
        r"(?=a)b?",
        "a|",
        "(?:)",
        "(?x: )",
        "(?x) b?",
        "a{0,2}",
        "^",
        r"\<",
    ],
)
def test_of_what_may_be_empty_all_copies_count(inner):
    few, many = (RunPattern(f"(?:{inner}){{1,{most}}}", by_pydantic=True) for most in (20, 2000))
    assert 50 * steps_of(few, 4) < steps_of(many, 4)


@pytest.mark.parametrize(
    ("less", "more"),
    [
        ("(?=a)b", "(?:(?=a)b)*"),
        ("(?:(?=a)b)*", "(?:(?=(?:(?=a)b)*)b)*"),
        ("(?=a)(?:bc)*", "(?=a)(?:b|c)*"),
        (r"(?=a)(?:bc)*", r"(a)(?:b\1)*"),
    ],
)
def test_a_choice_that_is_repeated_is_more_work_than_one_that_is_not(less, more):
    assert 8 * steps_of(RunPattern(less), 4) < steps_of(RunPattern(more), 4)


def test_a_letter_beyond_ascii_is_more_work_than_its_bytes_however_it_is_written():
    assert size_of("é") == size_of(r"\u00e9") / 3 == 3 * size_of("ee")
    assert size_of("é" + "e" * 98) == 3 * size_of("e" * 100)


def test_a_text_of_twice_the_length_is_more_than_twice_the_work_where_a_pattern_looks_around_again():
    assert steps_of(RunPattern(AHEAD), 11) > 3 * steps_of(RunPattern(AHEAD), 10)


# ---- the process


@posix
def test_a_process_that_was_killed_between_two_answers_is_replaced():
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS
    first = trial_process.PROCESS.process
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS
    assert pid() != first.pid
    second = pid()
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS
    assert pid() == second


STAND_IN = """
import os, runpy, signal, sys
from pathlib import Path
mark = Path({mark!r})
if not mark.exists():
    mark.touch()
    asked = sys.stdin.buffer
    asked.read(int.from_bytes(asked.read(8), "big"))
    sys.stdout.buffer.write((9).to_bytes(8, "big") + b"[1, true]")
    sys.stdout.flush()
    asked.read(8)
    {happens}
runpy.run_path({server!r}, run_name="__main__")
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """The process, to which something happens in the middle of the first answer."""

    def put(happens):
        file = tmp_path / "stand_in.py"
        server = str(kept_process.SERVER)
        mark = tmp_path / "mark"
        mark.unlink(missing_ok=True)
        file.write_text(STAND_IN.format(mark=str(mark), happens=happens, server=server))
        monkeypatch.setattr(kept_process, "SERVER", file)

    return put


@posix
def test_one_that_is_killed_in_the_middle_of_an_answer_is_replaced_and_the_answer_is_read(stand_in):
    stand_in("os.kill(os.getpid(), signal.SIGKILL)")
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS
    assert pid() is not None


@posix
def test_one_that_says_nothing_is_ended(stand_in, monkeypatch):
    monkeypatch.setattr(kept_process, "WAIT_S", 0.1)
    for length in (3000, 100_000):  # what a pipe takes at once, and more
        stand_in("while True: signal.pause()")
        with pytest.raises(CallError, match=TOO_LONG):
            read(of_schema(AHEAD), hard(length))
        assert trial_process.PROCESS.process.returncode == -signal.SIGKILL


@posix
def test_an_interrupt_in_the_middle_of_an_answer_is_passed_on_and_the_next_is_read(stand_in):
    stand_in("os.kill(os.getppid(), signal.SIGINT); asked.read()")
    with pytest.raises(KeyboardInterrupt):
        read(of_schema(NOT_BLANK), PARAGRAPHS)
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS


@posix
def test_another_job_goes_on_while_an_answer_is_tried_in_the_process_of_its_own(
    server, stand_in, tmp_path
):
    stand_in(f"while not os.path.exists({str(tmp_path / 'over')!r}): signal.sigtimedwait([], 0.01)")
    said = {"answer": PARAGRAPHS}
    server.configure(
        answer=lambda body: json.dumps(said) if "json_schema" in json.dumps(body) else "yes"
    )
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)
    split = of_schema(NOT_BLANK)
    held = pd.DataFrame({"t": ["a"]}).llm.start("{t}", into="o", schema=split, model=model)
    while not (tmp_path / "mark").exists():
        time.sleep(0.01)
    out = pd.DataFrame({"t": ["a", "b"]}).llm.process("{t}", into="o", model=model, progress=False)
    assert out["o"].tolist() == ["yes", "yes"]
    assert not held.done
    (tmp_path / "over").touch()
    assert held.result()["o"].tolist() == [said["answer"]]


@pytest.mark.parametrize("program", ["", None, "/nowhere/python", "/usr/bin/uwsgi"])
def test_a_program_that_has_a_python_within_it_finds_one_of_its_own(monkeypatch, program):
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(sys, "_base_executable", program, raising=False)
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS


def test_where_no_process_can_be_started_the_model_is_not_told_that_it_is_wrong(monkeypatch):
    monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    with pytest.raises(CallError, match=TOO_LONG) as caught:
        read(of_schema(NOT_BLANK), PARAGRAPHS)
    assert caught.value.kind == Kind.UNREADABLE  # which is not asked again with the reason
    assert "none could be started" in caught.value.hint
    assert read(of_schema(NOT_BLANK), PARAGRAPHS[:3]) == PARAGRAPHS[:3]


def test_it_is_told_no_key(monkeypatch, tmp_path):
    told = tmp_path / "told"
    file = tmp_path / "server.py"
    file.write_text(f"import os; open({str(told)!r}, 'w').write(repr(dict(os.environ)))")
    monkeypatch.setattr(kept_process, "SERVER", file)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SECRET")
    with pytest.raises(CallError, match=TOO_LONG):
        read(of_schema(NOT_BLANK), PARAGRAPHS)
    assert "SECRET" not in told.read_text()


SCRIPT = f"""
import json, os, sys
sys.path[:0] = {[str(ROOT), *sys.path]!r}
from lionproc.model import trial_process, matching
from lionproc.model.answer import Answer
answer = Answer.of({of_schema(NOT_BLANK)!r})
said = json.dumps({{"answer": {PARAGRAPHS[:1]!r} * 2000}})

def pid():
    answer.read(said)
    return trial_process.PROCESS.process.pid
"""


def script(code):
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{number}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def until_gone(number):
    while is_alive(number):  # a test that hangs is ended from outside
        os.sched_yield()


@posix
def test_it_is_gone_after_kill_9_of_its_parent():
    parent = script("print(pid(), flush=True)\nsys.stdin.read()")
    number = int(parent.stdout.readline())
    assert is_alive(number)
    parent.kill()
    parent.communicate()
    until_gone(number)


@posix
def test_it_ends_with_its_parent():
    parent = script("print(pid(), flush=True)")
    number = int(parent.communicate()[0])
    assert parent.returncode == 0
    until_gone(number)


@posix
def test_a_forked_process_has_one_of_its_own_and_leaves_its_parents_alone():
    parent = script("""
mine = pid()
trial_process.PROCESS._lock.acquire()  # as if another thread were in the middle of an answer
if os.fork() == 0:
    theirs = pid()
    print(mine, theirs, flush=True)
    sys.exit()  # runs atexit, as a fork that ends by itself does
assert os.wait()[1] == 0
trial_process.PROCESS._lock.release()
print(pid(), flush=True)
""")
    mine, theirs, again = map(int, parent.communicate()[0].split())
    assert parent.returncode == 0
    assert mine == again != theirs
    until_gone(theirs)


@posix
def test_after_kill_9_of_its_parent_it_is_gone_though_a_forked_process_lives():
    parent = script("""
mine = pid()
if os.fork() == 0:
    print(mine, os.getpid(), flush=True)
    sys.stdin.read()
    sys.exit()
os.wait()
""")
    mine, forked = map(int, parent.stdout.readline().split())
    parent.kill()
    until_gone(mine)
    assert is_alive(forked)
    parent.communicate()


def test_what_was_an_answer_before_has_more_time_to_be_one_again(server, monkeypatch):
    given, try_them = [], matching.takes_a_moment
    monkeypatch.setattr(
        matching,
        "takes_a_moment",
        lambda held, seconds: given.append(seconds) or try_them(held, seconds),
    )
    server.configure(answer=json.dumps({"answer": PARAGRAPHS}))
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)

    def seconds_given():
        given.clear()
        out = pd.DataFrame({"text": ["a"]}).llm.process(
            "Split {text}", into="a", schema=of_schema(NOT_BLANK), model=model, progress=False
        )
        assert out.notna().all(axis=None)
        return set(given)

    assert {2 * seconds for seconds in seconds_given()} == seconds_given()
    assert server.counters.total == 1


def test_a_kept_answer_is_one_where_it_cannot_be_tried_again(server, monkeypatch):
    server.configure(answer=json.dumps({"answer": PARAGRAPHS}))
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)

    def ask():
        df = pd.DataFrame({"text": ["a", "b"]})
        return df.llm.process(
            "Split {text}", into="a", schema=of_schema(NOT_BLANK), model=model, progress=False
        )

    assert ask()["a"].notna().all()
    trial_process.PROCESS.stop()
    monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    assert ask()["a"].notna().all()
    assert server.counters.total == 2


@pytest.mark.parametrize("again", ["with more time", "without a process"])
def test_a_kept_answer_that_was_refused_is_refused_again(server, monkeypatch, again):
    said = iter([PARAGRAPHS, ["short"]])
    server.configure(answer=lambda body: json.dumps({"answer": next(said)}))
    model = lp.Model("openai/m", base_url=server.base_url, api_key=server.key)

    def ask():
        return pd.DataFrame({"text": ["a"]}).llm.process(
            "Split {text}", into="a", schema=of_schema(NOT_BLANK), model=model, progress=False
        )

    with monkeypatch.context() as slow:
        slow.setattr(matching, "takes_a_moment", lambda held, seconds: False)
        first = ask()
    assert first["a"].tolist() == [["short"]]
    trial_process.PROCESS.stop()
    if again == "without a process":
        monkeypatch.setattr(kept_process, "_interpreter", lambda: None)
    assert ask().equals(first)
    assert server.counters.total == 2


def test_one_that_cannot_be_made_for_a_moment_is_tried_for_each_answer(monkeypatch):
    tried = []
    with monkeypatch.context() as full:
        full.setattr(kept_process, "_interpreter", lambda: tried.append(1))
        for _ in range(3):
            with pytest.raises(CallError, match=TOO_LONG):
                read(of_schema(NOT_BLANK), PARAGRAPHS)
    assert len(tried) == 3
    assert read(of_schema(NOT_BLANK), PARAGRAPHS) == PARAGRAPHS


def test_one_that_did_not_begin_is_not_waited_for_again_at_once(monkeypatch, tmp_path):
    begun = tmp_path / "begun"
    file = tmp_path / "server.py"
    file.write_text(f"open({str(begun)!r}, 'a').write('x')")  # and ends
    monkeypatch.setattr(kept_process, "SERVER", file)
    for _ in range(3):
        with pytest.raises(CallError, match=TOO_LONG):
            read(of_schema(NOT_BLANK), PARAGRAPHS)
    assert begun.read_text() == "x"
