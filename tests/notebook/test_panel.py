from __future__ import annotations

import dataclasses

import ipywidgets
import pytest

from lionproc.engine.stats import RunStats
from lionproc.notebook import frontend
from lionproc.notebook.panel import Panel
from lionproc.notebook.panel_html import FailureRow


def test_a_slider_moved_by_a_person_sets_the_live_limit(watch, server, move, until):
    server.hold()
    watched = watch(limits={"requests_per_minute": 600})
    row = watched.row("requests_per_minute")
    place = row.slider.options.index("1,200")
    move(row.slider, index=place)
    until(lambda: watched.job.limits.requests_per_minute == 1200)
    until(lambda: row.field.value == "1,200", what="the number field follows")


def test_the_end_of_a_slider_is_no_limit(watch, server, move, until):
    server.hold()
    watched = watch(limits={"requests_per_minute": 600})
    row = watched.row("requests_per_minute")
    assert row.slider.options[-1] == "no limit"
    move(row.slider, index=len(row.slider.options) - 1)
    until(lambda: watched.job.limits.requests_per_minute is None)
    until(lambda: row.field.value == "no limit")


@pytest.mark.parametrize(
    "case",
    [
        ("requests_per_minute", "437", 437),
        ("requests_per_minute", "no limit", None),
        ("requests_per_minute", "", None),
        ("tokens_per_minute", "30k", 30_000),
        ("tokens_per_minute", "1,250,000", 1_250_000),
        ("concurrency", "7", 7),
    ],
)
def test_a_typed_number_sets_the_live_limit(watch, server, move, until, case):
    field, typed, limit = case
    server.hold()
    watched = watch(limits={"requests_per_minute": 600, "tokens_per_minute": 9000})
    row = watched.row(field)
    move(row.field, value=typed)
    until(lambda: getattr(watched.job.limits, field) == limit)
    until(lambda: row.slider.index == row._scale.position(limit), what="the slider follows")


@pytest.mark.parametrize(
    "case",
    [
        ("requests_per_minute", "many"),
        ("requests_per_minute", "0"),
        ("requests_per_minute", "-5"),
        ("concurrency", "no limit"),
    ],
)
def test_what_is_no_limit_changes_nothing_and_is_said(watch, server, move, until, case):
    field, typed = case
    server.hold()
    watched = watch(limits={"requests_per_minute": 600, "concurrency": 5})
    row = watched.row(field)
    before = row.field.value
    move(row.field, value=typed)
    until(lambda: "stays as it was" in watched.panel._note.value)
    assert row.field.value == before
    assert watched.job.limits.requests_per_minute == 600
    assert watched.job.limits.concurrency == 5
    move(row.field, value="9")
    until(lambda: "stays as it was" not in watched.panel._note.value, what="the next one clears it")


def test_a_limit_changed_elsewhere_is_shown(watch, server, until):
    server.hold()
    watched = watch(limits={"requests_per_minute": 600})
    row = watched.row("requests_per_minute")
    watched.job.limits.requests_per_minute = 437
    until(lambda: row.field.value == "437")
    until(lambda: row.slider.options[row.slider.index] == "437")
    assert watched.job.limits.requests_per_minute == 437


def test_limits_that_were_replaced_by_another_object_are_the_ones_steered(
    watch, server, move, until
):
    server.hold()
    first = watch(limits={"requests_per_minute": 600})
    second = watch(limits={"requests_per_minute": 900})
    row = first.row("requests_per_minute")
    until(lambda: row.field.value == "900")
    move(row.field, value="1200")
    until(lambda: second.job.limits.requests_per_minute == 1200)


def test_limits_of_an_earlier_run_are_said_until_somebody_moves_them(watch, server, move, until):
    server.hold()
    first = watch(limits={"requests_per_minute": 60})
    second = watch()
    until(lambda: "60 requests/min, set by an earlier run" in second.panel._heading.value)
    assert "earlier run" not in first.panel._heading.value
    move(second.row("requests_per_minute").field, value="90")
    until(lambda: "earlier run" not in second.panel._heading.value)


def test_pause_keeps_requests_back_and_resume_lets_them_go(watch, server, click, until):
    server.configure(latency_s=0.02)
    watched = watch(rows=400, limits={"requests_per_minute": 3000, "concurrency": 4})
    server.wait_for(lambda counters: counters.total >= 5)
    click(watched.panel.pause)
    until(lambda: watched.panel.pause.description == "Resume")
    until(lambda: watched.job.stats.in_flight == 0)
    before = server.counters.total
    until(lambda: "Paused" in watched.html())
    assert server.counters.total == before
    click(watched.panel.pause)
    server.wait_for(lambda counters: counters.total > before)
    until(lambda: watched.panel.pause.description == "Pause")


def test_stop_keeps_what_there_is_and_the_card_takes_the_panels_place(
    watch, server, click, tmp_path
):
    target = tmp_path / "out.parquet"
    watched = watch(rows=400, limits={"requests_per_minute": 1200}, save=str(target))
    server.wait_for(lambda counters: counters.ok >= 5)
    click(watched.panel.stop)
    assert watched.job.wait(10)
    out = watched.job.frame()
    assert len(out) == 400
    assert 5 <= out["out"].notna().sum() < 400
    last = watched.screen.shown[-1]
    assert "lionproc: stopped" in last["text/plain"]
    assert "not sent" in last["text/html"]
    assert not target.exists()
    assert "nothing saved; lp.last_job().save(path)" in last["text/plain"]
    assert "Say {text}" in last["text/plain"], "the prompt"
    assert "application/vnd.jupyter.widget-view+json" in watched.screen.shown[0]
    assert "application/vnd.jupyter.widget-view+json" not in last


def test_the_latest_errors_are_there_when_asked_for(watch, server, move, until):
    server.configure(faults={"400": 1.0})
    server.hold()
    watched = watch(limits={"concurrency": 6})
    server.wait_for(lambda counters: counters.in_flight == 6)
    assert watched.panel._list.value == ""
    move(watched.panel.errors, value=True)
    until(lambda: "No errors so far" in watched.panel._list.value)
    watched.job.pause()
    until(lambda: watched.job.stats.state == "paused")
    server.release()
    until(lambda: watched.panel.errors.description == "Errors (6)")
    until(lambda: watched.panel._list.value.count("bad request") == 6)
    move(watched.panel.errors, value=False)
    until(lambda: watched.panel._list.value == "")


def test_nothing_untrusted_becomes_html(watch, server, until):
    server.hold()
    hostile = "<img src=x onerror=alert(1)>'\""
    watched = watch(into=hostile)
    watched.panel._latest = lambda most: [FailureRow(hostile, "bad_request", *[hostile] * 4)] * most
    watched.panel.errors.value = True
    until(lambda: "bad request" in watched.panel._list.value)
    watched.panel._say(hostile)
    text = watched.html()
    assert "&lt;img src=x" in text
    assert "<img" not in text
    watched.job.stop(0.0)
    watched.job.wait(10)
    assert "<img" not in watched.screen.shown[-1]["text/html"]


def test_an_error_is_listed_with_what_the_model_said_and_what_the_row_says(watch, server, until):
    server.hold()
    watched = watch()
    failure = FailureRow(
        "7", "wrong_shape", "Not a mood.", "Ask for one word.", "Well, " * 99, "so so"
    )
    others = [
        FailureRow("6", "wrong_shape", "No.", "Ask for one word."),
        FailureRow("8", "timeout", ""),
    ]
    watched.panel._latest = lambda _: [failure, *others]
    watched.panel.errors.value = True
    until(lambda: "Not a mood." in watched.panel._list.value)
    text = watched.panel._list.value
    assert text.count("<span>hint</span><span>Ask for one word.</span>") == 1, "not for each row"
    assert "<span>row</span><span>so so</span>" in text
    assert "Well, Well" in text
    assert text.count("Well") < 60, "a long reply is cut"
    assert text.count("<span>model said</span>") == 1, "what is not known is left out"


class StillRun:
    """A run that stands still, for drawing alone."""

    def __init__(self, limits) -> None:
        self.limits = limits
        self.stats = RunStats(rows=10_000)


@pytest.fixture
def still(monkeypatch):
    """A panel whose snapshots a test makes up; counts the messages to the frontend."""
    from lionproc import Limits

    now = [0.0]
    sent: list[object] = []

    class Screen:
        shown: list[object]

        def show(self, bundle):
            self.shown = [bundle]

        def replace(self, bundle):
            self.shown.append(bundle)

    run = StillRun(Limits(requests_per_minute=600, tokens_per_minute=60_000))
    panel = Panel(
        run, title="t", facts=dict, latest=lambda _: [], screen=Screen(), clock=lambda: now[0]
    )
    for widget in [*panel._widgets(), panel.box]:
        monkeypatch.setattr(
            type(widget), "_send", lambda self, *args, **kwargs: sent.append((self, args))
        )
    yield panel, run, now, sent
    panel._delivery.close()


def _minute(panel, now, seconds=60.0):
    """Snapshots of a busy run, five a second, as the engine makes them."""
    made = []
    for tick in range(1, int(seconds * 5) + 1):
        now[0] = tick / 5
        made.append(
            RunStats(
                rows=10_000,
                answered=tick * 3,
                sent=tick * 3,
                failed=tick // 50,
                prompt_tokens=tick * 100,
                usd=tick * 1e-4,
                in_flight=tick % 7,
                concurrency=32,
                elapsed_s=tick / 5,
                requests_per_minute=590 + tick % 10,
                requests_limit=600,
                tokens_per_minute=3000.0,
                tokens_limit=60_000,
            )
        )
        panel.update(made[-1])
    return made


def test_a_busy_run_redraws_at_most_four_times_a_second(still):
    panel, _, now, sent = still
    _minute(panel, now)
    heads = [args for widget, args in sent if widget is panel._head]
    plots = [args for widget, args in sent if widget is panel._plot]
    assert 60 <= len(heads) <= 4 * 60
    assert 55 <= len(plots) <= 60
    assert len(sent) <= 10 * 60, "all messages of all widgets"


def test_what_does_not_change_is_not_sent_again(still):
    panel, _, now, sent = still
    last = _minute(panel, now, 2)[-1]
    for tick in range(50):
        now[0] += 0.5
        panel.update(dataclasses.replace(last, elapsed_s=last.elapsed_s))
        if tick == 1:
            sent.clear()
    assert sent == []


def test_drawing_takes_few_calls_a_second(still, calls_of):
    panel, _, now, _ = still
    assert calls_of(lambda: _minute(panel, now)) < 60 * 3000


class FakeEvents:
    def __init__(self) -> None:
        self.callbacks = {"pre_run_cell": [], "post_run_cell": []}

    def register(self, event, callback):
        self.callbacks[event].append(callback)

    def unregister(self, event, callback):
        self.callbacks[event].remove(callback)


class FakeShell:
    """A kernel's shell whose frontend opens no subshell."""

    def __init__(self) -> None:
        self.events = FakeEvents()
        self.kernel = None


def test_where_moves_cannot_arrive_the_panel_says_so_and_names_start(
    watch, server, until, monkeypatch
):
    shell = FakeShell()
    monkeypatch.setattr(frontend, "shell", lambda: shell)
    monkeypatch.setattr(frontend, "SUBSHELL_WAIT_S", 0.2)
    server.hold()
    watched = watch(rows=3)
    until(lambda: "df.llm.start(...)" in watched.panel._note.value)
    row = watched.row("requests_per_minute")
    assert row.slider.disabled
    assert row.field.disabled
    assert watched.panel.pause.disabled
    assert watched.panel.stop.disabled
    for callback in list(shell.events.callbacks["post_run_cell"]):
        callback(None)
    until(lambda: not row.slider.disabled, what="between cells it can be moved")
    until(lambda: not watched.panel.pause.disabled)
    until(lambda: "start(...)" not in watched.panel._note.value)  # the last to be drawn
    watched.job.stop(0.0)
    watched.job.wait(10)
    assert not any(shell.events.callbacks.values()), "nothing listens after the end"


def test_a_run_that_ended_leaves_no_widgets_but_its_card(watch, server, until):
    from ipywidgets.widgets.widget import _instances

    before = len(_instances)
    server.hold()  # until it is watched: three rows are quick
    watched = watch(rows=3)
    server.release()
    assert watched.job.wait(10)
    # The box, the card's HTML, and the layout and style of each.
    until(lambda: len(_instances) - before <= 6, what="the other widgets are closed")
    assert isinstance(watched.panel.box.children[0], ipywidgets.HTML)


def test_events_are_let_through_whatever_a_kernel_remembers():
    class Comm:
        def _reply_subshell_for(self, data, default):
            return "the shell that published last"

    class Widget:
        comm = Comm()

    widget = Widget()
    frontend.let_events_through([widget])
    assert widget.comm._reply_subshell_for({}, "as sent") == "as sent"
