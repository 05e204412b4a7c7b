"""Notebooks that a program runs: saved clean, without the frame of a dead widget."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import threading

import pytest

from lionproc.testing import Server

RUN = """
import pandas as pd, lionproc as lp
model = lp.Model("openai", model="m", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"text": [f"line {{i}}" for i in range(30)]}})
out = df.llm.process("Say {{text}}", into="out", model=model, journal=False, save="out.parquet")
"""
SLOW = "import lionproc.notebook.progress as p; p.PRINT_S = 0.1" + RUN.replace(
    "journal=False", "journal=False, limits={{'concurrency': 1}}"
)
TOOLS = {
    "nbconvert": "nbconvert --to notebook --execute in.ipynb --output out.ipynb",
    "papermill": "papermill in.ipynb out.ipynb --no-progress-bar --log-output",
}


class Executed:
    """One notebook with every kind of run in it, run by a program, as it was saved.

    A program and a kernel take seconds to start, and a cell knows nothing of the others.
    """

    def __init__(self, tool, folder):
        import nbformat

        with contextlib.ExitStack() as stack:
            self.fine, failing, held, slow = (
                stack.enter_context(Server(answer="yes", **options))
                for options in ({}, {"faults": ["400", "400"]}, {}, {"latency_s": 0.05})
            )
            cells = {
                "fine": RUN.format(url=self.fine.base_url, key=self.fine.key),
                "failing": RUN.format(url=failing.base_url, key=failing.key),
                "started": RUN.replace("llm.process", "llm.start").format(
                    url=held.base_url, key=held.key
                ),
                "its result": "open('waits', 'w').close(); out = out.result()",
                "slow": SLOW.format(url=slow.base_url, key=slow.key),
            }
            notebook = nbformat.v4.new_notebook(
                cells=[nbformat.v4.new_code_cell(cell) for cell in cells.values()],
                metadata={
                    "kernelspec": {
                        "name": "python3",
                        "display_name": "Python 3",
                        "language": "python",
                    }
                },
            )
            nbformat.write(notebook, folder / "in.ipynb")
            held.hold()
            with (folder / "log").open("w") as log:
                command = [sys.executable, "-m", *TOOLS[tool].split()]
                running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
            stack.callback(running.kill)
            # These programs take what a cell shows while one runs: so this ends within the next.
            wait_until((folder / "waits").exists, running)
            held.release()
            status = running.wait(40)
        self.log = (folder / "log").read_text()
        assert status == 0, self.log
        saved = nbformat.read(folder / "out.ipynb", as_version=4)
        self.metadata = saved.metadata
        self.outputs = dict(zip(cells, (cell.outputs for cell in saved.cells), strict=True))


def wait_until(condition, running):
    tick = threading.Event()  # never set
    while not condition() and running.poll() is None:
        tick.wait(0.01)


@pytest.fixture(scope="module", params=TOOLS)
def executed(request, tmp_path_factory):
    return Executed(request.param, tmp_path_factory.mktemp(request.param))


def test_a_notebook_run_by_a_program_holds_the_card_and_nothing_else(executed):
    assert "widgets" not in executed.metadata
    (output,) = executed.outputs["fine"]
    assert output.output_type == "display_data"
    assert set(output.data) == {"text/html", "text/plain"}
    assert "30 of 30 answered" in output.data["text/plain"]
    assert "out.parquet" in output.data["text/html"]
    assert executed.fine.key not in str(executed.outputs)


def test_rows_that_failed_are_said_by_the_card_and_by_no_warning_beside_it(executed):
    (output,) = executed.outputs["failing"]
    assert output.output_type == "display_data"
    assert "2 rows without an answer" in output.data["text/plain"]
    assert "bad request" in output.data["text/plain"]


def test_a_started_job_leaves_its_card_where_it_began(executed):
    (output,) = executed.outputs["started"]
    assert "30 of 30 answered" in output.data["text/plain"]
    assert executed.outputs["its result"] == []


def test_a_job_that_ends_between_two_cells_leaves_its_card_too(tmp_path):
    """When a program that runs a notebook hears nothing: it listens while a cell runs."""
    import nbclient
    import nbformat

    ended = tmp_path / "ended"
    told = f"import threading; threading.Thread(target=lambda: (out.wait(), open({str(ended)!r}, 'w'))).start()"

    def between(cell_index, **_):
        if cell_index == 0:
            server.release()
            tick = threading.Event()  # never set
            while not ended.exists():
                assert not tick.wait(0.01)

    with Server(answer="yes") as server:
        server.hold()
        start = RUN.replace("llm.process", "llm.start").format(url=server.base_url, key=server.key)
        cells = [nbformat.v4.new_code_cell(cell) for cell in (start + told, "pass")]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbclient.NotebookClient(
            notebook,
            timeout=40,
            kernel_name="python3",
            resources={"metadata": {"path": str(tmp_path)}},
            on_cell_executed=between,
        ).execute()
    (output,) = notebook.cells[0].outputs
    assert "30 of 30 answered" in output.data["text/plain"]
    assert notebook.cells[1].outputs == []


def test_the_log_of_a_program_that_runs_a_notebook_moves(executed):
    """What papermill writes to its log is what a cell prints, not what is replaced there."""
    printed = "".join(output.get("text", "") for output in executed.outputs["slow"])
    for text in (printed, executed.log) if "papermill" in executed.log else (printed,):
        assert len(set(re.findall(r"lionproc: (\d+) of 30 rows", text))) > 2
    (card, *_) = [output for output in executed.outputs["slow"] if "data" in output]
    assert "30 of 30 answered" in card.data["text/plain"]
