"""Notebooks that a program runs: saved clean, without the frame of a dead widget."""

from __future__ import annotations

import re
import subprocess
import sys

import nbformat
import pytest

CELL = """
import pandas as pd, lionproc as lp
model = lp.Model("openai", model="m", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"text": [f"line {{i}}" for i in range(30)]}})
out = df.llm.process("Say {{text}}", into="out", model=model, journal=False, save="out.parquet")
"""
START = CELL.replace("llm.process", "llm.start")
TOOLS = {
    "nbconvert": [
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "in.ipynb",
        "--output",
        "out.ipynb",
    ],
    "papermill": ["papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"],
}


def executed(folder, *cells, tool="nbconvert"):
    """A notebook of these cells, run by a program, as it was saved."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(notebook, folder / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", *TOOLS[tool]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return nbformat.read(folder / "out.ipynb", as_version=4)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_notebook_run_by_a_program_holds_the_card_and_nothing_else(tool, tmp_path, server):
    saved = executed(tmp_path, CELL.format(url=server.base_url, key=server.key), tool=tool)
    assert "widgets" not in saved.metadata
    (output,) = saved.cells[-1].outputs
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/plain"}
    assert "30 of 30 answered" in output.data["text/plain"]
    assert "out.parquet" in output.data["text/html"]
    assert server.key not in str(saved.cells[-1].outputs)


def test_rows_that_failed_are_said_by_the_card_and_by_no_warning_beside_it(tmp_path, server):
    server.configure(faults=["400", "400"])
    saved = executed(tmp_path, CELL.format(url=server.base_url, key=server.key))
    (output,) = saved.cells[0].outputs
    assert output.output_type == "display_data"
    assert "2 rows without an answer" in output.data["text/plain"]
    assert "bad request" in output.data["text/plain"]


def test_a_started_job_leaves_its_card_where_it_began(tmp_path, server):
    cells = (START.format(url=server.base_url, key=server.key), "out = out.result()")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    server.hold()
    with subprocess.Popen([sys.executable, "-m", *TOOLS["nbconvert"]], cwd=tmp_path) as running:
        server.wait_for(lambda counters: counters.in_flight == 30, timeout_s=40)
        server.release()
        assert running.wait(40) == 0
    saved = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    (output,) = saved.cells[0].outputs
    assert "30 of 30 answered" in output.data["text/plain"]
    assert saved.cells[1].outputs == []


def test_the_log_of_a_program_that_runs_a_notebook_moves(tmp_path, server):
    """What papermill writes to its log is what a cell prints, not what is replaced there."""
    server.configure(latency_s=0.05)
    slow = "import lionproc.notebook.progress as p; p.PRINT_S = 0.1" + CELL.replace(
        "journal=False", "journal=False, limits={{'concurrency': 1}}"
    )
    code = slow.format(url=server.base_url, key=server.key)
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(code)],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
    )
    nbformat.write(notebook, tmp_path / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", *TOOLS["papermill"], "--log-output"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    moved = set(re.findall(r"lionproc: (\d+) of 30 rows", done.stdout + done.stderr))
    assert len(moved) > 2
    (card, *_) = [
        o for o in nbformat.read(tmp_path / "out.ipynb", 4).cells[-1].outputs if "data" in o
    ]
    assert "30 of 30 answered" in card.data["text/plain"]
