"""A run with a panel, a real kernel, and a real JupyterLab in a real browser."""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import lionproc as lp
from lionproc.notebook.panel import Panel
from lionproc.testing import Server


def _load(name: str) -> Any:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"lionproc_tests_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def wait_until(condition, timeout_s: float = 30.0, what: str = "the condition"):
    """Wait for a condition and give what it gave."""
    end = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"Not within {timeout_s} s: {what}"
        time.sleep(0.01)


@pytest.fixture
def until():
    return wait_until


class FakeScreen:
    """An output that remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def show(self, bundle) -> None:
        self.shown.append(bundle)

    def replace(self, bundle) -> None:
        self.shown.append(bundle)


class Watched:
    """A run against a test server, and its panel, as a frontend would see them."""

    def __init__(self, server: Server, rows: int = 60, into: str = "out", **arguments: Any) -> None:
        self.server = server
        self.model = lp.Model("openai", model="m", base_url=server.base_url, api_key=server.key)
        frame = pd.DataFrame({"text": [f"line {i}" for i in range(rows)]})
        arguments = {"journal": False, "model": self.model, "progress": False, **arguments}
        self.job = frame.llm.start("Say {text}", into=into, **arguments)
        self.screen = FakeScreen()
        self.panel = Panel(
            self.job,
            title=self.job.title,
            facts=lambda: self.job.report().facts,
            latest=self.job.latest_errors,
            screen=self.screen,
        )
        self.job.watch(self.panel)

    def row(self, field: str) -> Any:
        """The slider and number field of a limit."""
        return next(row for row in self.panel.wheel.rows if row.knob.field == field)

    def html(self) -> str:
        """All that the panel says."""
        panel = self.panel
        parts = (panel._head, panel._tiles, panel._plot, panel._note, panel._list)
        return "".join(part.value for part in parts)


def send(widget: Any, data: dict[str, Any]) -> None:
    """A message from a frontend, on a thread of the kernel."""
    message = {"buffers": [], "content": {"data": data}}
    thread = threading.Thread(target=widget.comm.handle_msg, args=(message,))
    thread.start()
    thread.join()


@pytest.fixture
def move():
    """Set a trait of a widget as a frontend does."""

    def act(widget: Any, **state: Any) -> None:
        send(widget, {"method": "update", "state": state, "buffer_paths": []})

    return act


@pytest.fixture
def click():
    """Click a button as a frontend does."""

    def act(button: Any) -> None:
        send(button, {"method": "custom", "content": {"event": "click"}})

    return act


@pytest.fixture
def server():
    with Server(answer="yes") as made:
        yield made


@pytest.fixture
def watch(server):
    """Start runs that have a panel; they are ended with the test."""
    made: list[Watched] = []

    def start(rows: int = 60, **arguments: Any) -> Watched:
        made.append(Watched(server, rows, **arguments))
        return made[-1]

    yield start
    server.release()
    for watched in made:
        watched.job.stop(0.0)
        assert watched.job.wait(30)


@pytest.fixture(scope="session")
def kernels():
    """Real kernels; see `kernel.py`."""
    return _load("kernel")


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A JupyterLab of its own, for all tests with a browser."""
    rig = _load("jupyterlab")
    lab = rig.JupyterLab(tmp_path_factory.mktemp("lab"))
    yield lab
    lab.close()


@pytest.fixture(scope="module")  # playwright keeps a loop in this thread as long as it is open
def chromium():
    """A real browser, with one cache for all its pages: JupyterLab is megabytes of script."""
    rig = _load("jupyterlab")
    program = rig.chromium()
    if program is None:
        pytest.skip("Chromium is not installed, so the panel was not tested in a browser.")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed.")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser.new_context(viewport=rig.VIEW, device_scale_factor=1.5)
        browser.close()


@pytest.fixture(scope="module")
def in_lab(chromium, lab):
    """One notebook, in a page of JupyterLab that is loaded once."""
    lab.write("notebook.ipynb", "")
    page = chromium.new_page()
    yield sys.modules["lionproc_tests_jupyterlab"].Notebook(lab, page, "notebook.ipynb")
    page.close()


@pytest.fixture
def notebook_of(in_lab):
    """A notebook with these cells in JupyterLab."""

    def act(*cells: str, theme: str = "Light") -> Any:
        in_lab.become(*cells, theme=theme)
        return in_lab

    return act


@pytest.fixture
def classic_notebook_of(chromium, lab):
    """The same in Notebook 7."""
    page = chromium.new_page()

    def act(*cells: str) -> Any:
        lab.write("classic.ipynb", *cells)
        rig = sys.modules["lionproc_tests_jupyterlab"]
        return rig.Notebook(lab, page, "classic.ipynb", classic=True)

    yield act
    page.close()
