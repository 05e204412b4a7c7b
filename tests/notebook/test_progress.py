from __future__ import annotations

import io
import subprocess
import sys

import pytest

from lionproc.engine.stats import RunStats
from lionproc.notebook import card, frontend, progress
from lionproc.notebook.panel import Panel
from lionproc.notebook.progress import Bar, Line, NotebookBar, watchers


class Shell:
    """IPython's shell as far as it is asked for."""

    def __init__(self, *, allow_stdin):
        class Events:
            def register(self, *_):
                pass

        self.events = Events()
        self.kernel = type("Kernel", (), {"_allow_stdin": allow_stdin})()
        self.published = []
        self.display_pub = self

    def publish(self, **content):
        self.published.append(content)


def shown(run, *, show=True, panel=None):
    found = watchers(run, progress=show, panel=panel, title="t", facts=dict, latest=lambda _: [])
    return [type(watcher) for watcher in found]


class Run:
    stats = RunStats(rows=10)

    @property
    def limits(self):
        from lionproc import Limits

        return Limits()


@pytest.mark.parametrize(
    ("allow_stdin", "panel", "kind"),
    [
        (True, None, Panel),
        (True, True, Panel),
        (True, False, NotebookBar),
        (False, None, Line),
        (False, True, Panel),
        (False, False, Line),
    ],
)
def test_what_is_shown_suits_the_notebook(monkeypatch, allow_stdin, panel, kind):
    shell = Shell(allow_stdin=allow_stdin)
    monkeypatch.setattr(frontend, "shell", lambda: shell)
    assert shown(Run(), panel=panel) == [kind]
    assert len(shell.published) == 1, "one output in the cell"


@pytest.mark.parametrize("panel", [None, True, False])
def test_a_terminal_has_a_bar(panel, capsys):
    assert shown(Run(), panel=panel) == [Bar]


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_nothing_is_shown_where_progress_is_off(monkeypatch, allow_stdin):
    shell = Shell(allow_stdin=allow_stdin)
    monkeypatch.setattr(frontend, "shell", lambda: shell)
    assert shown(Run(), show=False, panel=True) == []
    assert shell.published == []


def test_the_bar_of_a_log_file_is_told_rarely(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    bar = Bar(1000)
    for done in range(0, 1000, 10):
        bar.update(RunStats(rows=1000, answered=done))
    bar.close(RunStats(rows=1000, answered=990, failed=10, prompt_tokens=5))
    assert log.getvalue().count("\r") <= 4
    assert "1000/1000" in log.getvalue()
    assert "10 failed" in log.getvalue()


def test_a_line_is_replaced_now_and_then_and_at_last_by_the_card():
    class Screen(list):
        show = replace = list.append

    now, screen = [0.0], Screen()
    line = Line(Run(), dict, screen, lambda: now[0])
    for tick in range(1, 51):
        now[0] = tick / 5
        line.update(RunStats(rows=10, answered=tick // 5))
    line.close(RunStats(rows=10, answered=10, state="done"))
    assert [bundle["text/plain"] for bundle in screen[:2]] == [
        "lionproc: 0 of 10 rows",
        "lionproc: 2 of 10 rows",
    ]
    assert len(screen) == 1 + 5 + 1
    assert "text/html" in screen[-1]


def test_a_notebooks_bar_gives_way_to_the_card():
    class Screen(list):
        show = replace = list.append

    screen = Screen()
    run = Run()
    bar = NotebookBar(run, dict, screen)
    bar.update(RunStats(rows=10, answered=5))
    bar.close(RunStats(rows=10, answered=10, state="done"))
    assert "application/vnd.jupyter.widget-view+json" in screen[0]
    assert "10 of 10 answered" in screen[-1]["text/plain"]
    assert card.shown_for(run), "a warning would only repeat it"
    assert not card.shown_for(Run())


def test_numbers_behind_the_bar_only_say_something():
    assert progress.postfix(RunStats(rows=10)) == ""
    stats = RunStats(rows=10, prompt_tokens=12_345, usd=0.5, cached=3, failed=1, state="paused")
    assert progress.postfix(stats) == "12.3k tokens, $0.500, 3 cached, 1 failed, paused"


def test_importing_lionproc_loads_nothing_of_a_notebook():
    code = (
        "import sys, lionproc; "
        "heavy = {'ipywidgets', 'IPython', 'tqdm', 'nest_asyncio2'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
