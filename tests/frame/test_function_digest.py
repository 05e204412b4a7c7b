"""The digest of a function is another one where it does something else, and only there."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import textwrap
import types

import pandas as pd
import pytest

from lionproc.frame.function_digest import digest_of

my_words = types.ModuleType("my_words")
my_words.prompts = types.ModuleType("my_words.prompts")
CELL = """
import dataclasses, datetime, enum, functools, operator, re, string, threading
import numpy as np, pandas as pd

WORD = "red"
NAMES = {"b", "a", "c", ("x", frozenset({"y", "z"}))}
TABLE = pd.DataFrame({"k": ["a", "b"], "v": ["red", "blue"]})
NUMBERS, LOCK = np.arange(5), threading.Lock()

class Colour(str, enum.Enum):
    RED = "red"

@dataclasses.dataclass
class Way:
    word: str
    @property
    def loud(self):
        return self.word.upper() + self.more()
    def more(self):
        return "!"
    def ask(self, row):
        return f"{self.loud} {row}"
    def __call__(self, row):
        return self.ask(row)

class Slotted:
    __slots__ = ("word",)
    def __init__(self, word):
        self.word = word

def helper(row):
    return WORD + " of " + row["a"]

def made(word):
    def ask(row, *, mark="?"):
        return [f"{word} {each} {mark}" for each in row]
    return ask

def decorated(function):
    @functools.wraps(function)
    def called(row):
        return "red " + function(row)
    return called

@decorated
def wrapped(row):
    return row["a"]

@functools.lru_cache
def remembered(row):
    return f"red {row}"

def looks_up(row):
    return TABLE.set_index("k").loc[row["a"], "v"]

def of_sets(row):
    return row["a"] in {"red", "green"} and NAMES and LOCK

def of_numbers(row):
    return NUMBERS[3] + 7 if isinstance(row, dict) else Colour.RED

def recursive(row):
    return recursive(row[1:]) if row else "red"

holder, slotted = Way("red"), Slotted("red")
template, pattern = string.Template("red $a"), re.compile("red", re.I)
day = datetime.datetime(2024, 1, 2)

ASKING = [
    lambda row: f"red {row['a']}",
    lambda row: helper(row),
    lambda row: template.substitute(row),
    lambda row: pattern.sub("x", row["a"]),
    lambda row: slotted.word + str(day),
    made("red"), wrapped, remembered, looks_up, of_sets, of_numbers, recursive,
    functools.partial(helper, ("red",), key=("red", 1)),
    Way("red"), holder.ask, "red {a}".format_map, operator.itemgetter("red"),
]
"""
CHANGES = [
    ('f"red {row[', 'f"blue {row[', [0]),
    ('WORD = "red"', 'WORD = "blue"', [1, 12]),
    ('" of "', '" for "', [1, 12]),
    ('Template("red', 'Template("blue', [2]),
    ('compile("red", re.I)', 'compile("red")', [3]),
    ('Slotted("red")', 'Slotted("blue")', [4]),
    ("2024, 1, 2", "2024, 1, 3", [4]),
    ('made("red")', 'made("blue")', [5]),
    ('mark="?"', 'mark="!"', [5]),
    ('return "red " + function', 'return "blue " + function', [6]),
    ('def wrapped(row):\n    return row["a"]', 'def wrapped(row):\n    return row["b"]', [6]),
    ('return f"red {row}"', 'return f"blue {row}"', [7]),
    ('"v": ["red", "blue"]', '"v": ["blue", "red"]', [8]),
    ('in {"red", "green"}', 'in {"red", "blue"}', [9]),
    ('frozenset({"y", "z"})', 'frozenset({"y", "w"})', [9]),
    ("np.arange(5)", "np.arange(6)", [10]),
    ("+ 7", "+ 8", [10]),
    ('RED = "red"', 'RED = "dark"', [10]),
    ('else "red"', 'else "blue"', [11]),
    ('helper, ("red",)', 'helper, ("blue",)', [12]),
    ('("red", 1)', '("red", True)', [12]),
    ('return "!"', 'return "?"', [13, 14]),
    ('    Way("red"), holder', '    Way("blue"), holder', [13]),
    ('holder, slotted = Way("red")', 'holder, slotted = Way("blue")', [14]),
    ('"red {a}".format_map', '"blue {a}".format_map', [15]),
    ('itemgetter("red")', 'itemgetter("blue")', [16]),
]


def digests(cell):
    space = {"__name__": "__main__"}
    exec(compile(cell, "<cell>", "exec"), space)  # noqa: S102  (as a notebook does)
    return [digest_of(each) for each in space["ASKING"]]


@pytest.mark.parametrize(("was", "now", "others"), CHANGES, ids=[now for _, now, _ in CHANGES])
def test_a_change_in_what_a_function_does_is_seen_and_in_nothing_else(was, now, others):
    assert was in CELL
    before, after = digests(CELL), digests(CELL.replace(was, now))
    assert [n for n, one in enumerate(before) if one != after[n]] == others


def test_a_cell_that_is_run_again_elsewhere_in_its_notebook_gives_the_same():
    assert digests(CELL) == digests(f"'A comment'\nunused = 1\n\n# moved\n{CELL}")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_gives_the_same(seed, tmp_path):
    (tmp_path / "cell.py").write_text(CELL)
    program = """
        import json, pathlib
        from lionproc.frame.function_digest import digest_of
        exec(compile(pathlib.Path("cell.py").read_text(), "elsewhere", "exec"), globals())
        print(json.dumps([digest_of(each) for each in ASKING]))
    """
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    ).stdout
    assert json.loads(told) == digests(CELL)


def test_what_a_function_reads_of_a_module_of_the_users_counts():
    words = my_words
    ways = (lambda row: words.prompts.WORD + row, lambda row: my_words.prompts.WORD + row)
    for ask in ways:
        made = []
        for words.prompts.WORD, words.other in (("red", 1), ("blue", 1), ("red", 2)):
            made.append(digest_of(ask))
        assert made[0] == made[2] != made[1]


def test_nothing_that_it_meets_makes_it_raise():
    class Odd:
        __slots__ = ("here", "there")

        def __getattr__(self, name):
            raise RuntimeError(name)

    ring = []
    ring.append({"ring": ring})
    deep = []
    for _ in range(5000):
        deep = [deep]
    frame = pd.DataFrame({"a": [[1], {}]})
    unread = [
        Odd(),
        ring,
        deep,
        frame,
        frame["a"],
        contextlib.nullcontext(),
        "\ud800",
        print,
        sys,
        10**5000,
    ]
    assert len({digest_of(each) for each in unread}) == len(unread)
    assert digest_of(lambda row: (row, unread))
    assert digest_of(functools.partial(lambda row: row, unread))


def test_of_very_many_values_only_the_first_are_looked_into(monkeypatch):
    monkeypatch.setattr("lionproc.frame.function_digest._MOST", 50)
    assert digest_of(list(range(500))) == digest_of([*range(499), 777])
    assert digest_of(list(range(500))) != digest_of(list(range(501)))
    assert digest_of(list(range(500))) != digest_of([777, *range(1, 500)])
    assert digest_of(set(range(500))) == digest_of({*range(499), 777})
