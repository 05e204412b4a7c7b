from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import os
import pty
import struct
import sys
import termios

import pytest

from lionproc.engine.limits import Limits
from lionproc.engine.stats import RunStats
from lionproc.notebook import card, frontend, progress
from lionproc.notebook.panel import Panel
from lionproc.notebook.progress import Bar, NotebookBar, PrintedLine, watchers


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
    def __init__(self, rows=10):
        self.stats = RunStats(rows=rows)

        self.limits = Limits()


@pytest.mark.parametrize(
    ("allow_stdin", "panel", "kind"),
    [
        (True, None, Panel),
        (True, True, Panel),
        (True, False, NotebookBar),
        (False, None, PrintedLine),
        (False, True, Panel),
        (False, False, PrintedLine),
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


def test_a_program_without_standard_error_shows_nothing(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert shown(Run()) == []


@pytest.mark.parametrize("allow_stdin", [True, False])
def test_nothing_is_shown_where_progress_is_off(monkeypatch, allow_stdin):
    shell = Shell(allow_stdin=allow_stdin)
    monkeypatch.setattr(frontend, "shell", lambda: shell)
    assert shown(Run(), show=False, panel=True) == []
    assert shell.published == []


def test_the_bar_of_a_log_file_is_told_rarely(monkeypatch):
    log = io.StringIO()
    monkeypatch.setattr(sys, "stderr", log)
    bar = Bar(Run(1000))
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
    line = PrintedLine(Run(), dict, screen, lambda: now[0])
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
    assert progress.parts_of(RunStats(rows=10)) == []
    stats = RunStats(
        rows=10, prompt_tokens=12_345, usd=0.5, cached=3, failed=1, retried=2, state="paused"
    )
    assert progress.parts_of(stats) == [
        "paused", "1 failed", "$0.500", "12.3k tokens", "3 cached", "2 retries",
    ]  # fmt: skip


def test_what_the_server_takes_is_said_behind_the_bar():
    stats = RunStats(learned_requests_per_minute=148.2, learned_from="refusals")
    assert "server takes ~150/min" in progress.parts_of(stats)
    by_headers = dataclasses.replace(stats, learned_from="headers")
    assert progress.parts_of(by_headers) == [], "that is a limit as any other"
    held_more = dataclasses.replace(stats, requests_limit=100)
    assert progress.parts_of(held_more) == [], "the limit is what holds the run"


def test_limits_of_an_earlier_run_are_said_at_the_start():
    run = Run()
    run.limits.update(requests_per_minute=60)
    behind = progress.Behind(run)
    assert behind.said(RunStats(rows=10, limits_inherited=True, elapsed_s=0.2)) == (
        "60 requests/min, set by an earlier run"
    )
    assert behind.said(RunStats(rows=10, limits_inherited=True, elapsed_s=20.0)) == ""
    assert progress.Behind(run).said(RunStats(rows=10, elapsed_s=0.2)) == ""


@pytest.mark.parametrize("columns", [80, 100])
def test_the_bar_stays_a_bar_however_much_there_is_to_say(monkeypatch, columns):
    busy = RunStats(
        rows=1200, answered=600, cached=40, failed=23, retried=51, skipped=9, sent=700,
        prompt_tokens=123_456, usd=0.0123, elapsed_s=42.0, learned_requests_per_minute=300.0,
        learned_from="refusals", note="The server asked everybody to wait, 12 s more.",
    )  # fmt: skip
    text, (ours, its) = "", pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(its, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        bar = Bar(Run(1200))
        bar.update(busy)
        bar._bar.refresh()
        bar.close(busy)
    with os.fdopen(ours, "rb", buffering=0) as screen, contextlib.suppress(OSError):
        while part := screen.read(4096):  # an error is how Linux says that nobody writes any more
            text += part.decode(errors="replace")
    last = [line for line in text.replace("\r", "\n").splitlines() if line.strip()][-1]
    assert len(last) <= columns
    assert last.count("█") >= 5, "half of a bar of at least ten"
    assert last.rstrip().endswith("]"), "nothing is cut off"
    assert "23 failed" in last
    assert "server takes ~300/min" in last
