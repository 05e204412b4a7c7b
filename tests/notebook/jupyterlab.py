"""A real JupyterLab in a real Chromium, for tests and for the picture in the README.

Loaded by its path (`conftest.py`, `docs/panel.py`): tests are no package.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

VIEW = {"width": 1000, "height": 760}
WIDGET = "window.jupyterapp.shell.currentWidget"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
START_S = 90  # a cold server on a busy machine


def chromium() -> str | None:
    """The browser's program, None where there is none."""
    return next((path for name in CHROMIUM if (path := shutil.which(name))), None)


class JupyterLab:
    """A server of its own, with settings and notebooks in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        self._log = folder / "server.log"
        settings = folder / ".settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        self._themes = settings / "themes.jupyterlab-settings"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        environment = {
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(folder / ".config"),
            "JUPYTER_RUNTIME_DIR": str(folder / ".runtime"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(folder / ".workspaces"),
            "IPYTHONDIR": str(folder / ".ipython"),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        arguments = (
            "--no-browser",
            "--allow-root",
            "--expose-app-in-browser",
            "--JupyterNotebookApp.expose_app_in_browser=True",
            f"--port={self.url.rpartition(':')[2]}",
            "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.root_dir={folder}",
            f"--IdentityProvider.token={self.token}",
        )
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterlab", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        end = time.monotonic() + START_S
        status = f"{self.url}/api/status?token={self.token}"
        while time.monotonic() < end:
            if self._process.poll() is not None:
                break
            with (
                contextlib.suppress(urllib.error.URLError, OSError),
                urllib.request.urlopen(status, timeout=1),  # noqa: S310  (our own server)
            ):
                return
            time.sleep(0.1)
        self.close()
        raise RuntimeError(f"JupyterLab did not start:\n{self._log.read_text()[-3000:]}")

    def theme(self, name: str) -> None:
        """Light or Dark, for pages that are opened from now on."""
        self._themes.write_text(json.dumps({"theme": f"JupyterLab {name}"}))

    def write(self, name: str, *cells: str) -> None:
        """A notebook with these cells."""
        import nbformat

        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        )
        nbformat.write(notebook, self.folder / name)

    def read(self, name: str) -> Any:
        """A notebook as it was saved."""
        import nbformat

        return nbformat.read(self.folder / name, as_version=4)

    def close(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Notebook:
    """A notebook that is open in a browser's page, its kernel idle.

    Args:
        lab: The server.
        page: A page of playwright.
        name: The notebook's file.
        classic: Notebook 7 instead of JupyterLab.
    """

    def __init__(self, lab: JupyterLab, page: Any, name: str, *, classic: bool = False) -> None:
        self.page = page
        self._lab = lab
        self._name = name
        page.set_default_timeout(60_000)
        # A workspace of its own, or JupyterLab opens what was open in the last test.
        place = "notebooks" if classic else f"lab/workspaces/{name.partition('.')[0]}/tree"
        page.goto(f"{lab.url}/{place}/{name}?token={lab.token}")
        self._until(f"{WIDGET}.sessionContext.session.kernel.status === 'idle'")
        page.locator(".jp-CodeCell").first.wait_for()
        if not classic:
            page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

    def _until(self, condition: str) -> None:
        self.page.wait_for_function(
            f"() => {{ try {{ return {condition} }} catch (e) {{ return false }} }}"
        )

    def become(self, *cells: str, theme: str) -> None:
        """Hold other cells, as if it were another notebook: a page takes seconds to load."""
        kernel = f"{WIDGET}.sessionContext.session.kernel"
        self.page.evaluate(  # a test that failed half way may have left its cell running
            f"() => {kernel}.status === 'busy' && {kernel}.interrupt()"
        )
        self._until(f"{kernel}.status === 'idle'")
        self.page.set_viewport_size(VIEW)
        self.page.evaluate(
            f"""([cells, theme]) => {{
                const notebook = {WIDGET}.content.model.sharedModel;
                const empty = {{cell_type: 'code', metadata: {{}}, outputs: [], execution_count: null}};
                notebook.insertCells(0, cells.map(source => ({{...empty, source}})));
                notebook.deleteCellRange(cells.length, notebook.cells.length);
                return window.jupyterapp.commands.execute('apputils:change-theme', {{theme}});
            }}""",
            [cells, f"JupyterLab {theme}"],
        )
        self._until(f"document.querySelectorAll('.jp-CodeCell').length === {len(cells)}")

    def run(self, cell: int) -> None:
        """Start a cell. Does not wait for it."""
        self.page.evaluate(
            f"() => {{ const nb = {WIDGET}.content; nb.activeCellIndex = {cell}; nb.deselectAll();"
            " window.jupyterapp.commands.execute('notebook:run-cell') }"
        )

    def running(self, cell: int) -> bool:
        """Whether a cell has not ended."""
        return "*" in self.page.locator(".jp-CodeCell .jp-InputPrompt").nth(cell).inner_text()

    def ended(self, cell: int) -> None:
        """Wait until a cell has ended."""
        self._until(
            f"document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[{cell}]"
            ".innerText.match(/\\d/)"
        )

    def says(self, cell: int, text: str) -> None:
        """Wait until the output of a cell holds a text."""
        outputs = self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-Cell-outputWrapper")
        outputs.filter(has_text=text).wait_for()

    def has_value(self, field: Any, value: str) -> None:
        """Wait until a field holds a value."""
        from playwright.sync_api import expect

        expect(field).to_have_value(value, timeout=30_000)

    def save(self) -> None:
        """Write the notebook to its file, and wait for it."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
        self._until(f"!{WIDGET}.context.model.dirty")

    def saved(self) -> Any:
        """The notebook as it is in its file."""
        return self._lab.read(self._name)

    def __getitem__(self, selector: str | tuple[str, str]) -> Any:
        """What is found on the page, with a text in it if one is given."""
        if isinstance(selector, tuple):
            return self.page.locator(selector[0]).filter(has_text=selector[1])
        return self.page.locator(selector)
