"""`lionproc runs`, `report` and `journal`: yesterday's run in the terminal."""

import json
from pathlib import Path

import pandas as pd
import pytest

from lionproc.cli import main
from lionproc.testing import Server

ASK = ("process", "in.csv", "-p", "Say {text}", "-m", "test-model", "-q")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder whose journal has two runs: one with a row that failed, and one that is called so."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch, Server() as server:
        patch.chdir(folder)
        patch.delenv("LIONPROC_HOME", raising=False)
        patch.setenv("LIONPROC_API_KEY", server.key)
        Path("in.csv").write_text("text\none\ntwo\n")
        server.configure(faults=lambda body, n: "400" if "two" in str(body) else None)
        assert main([*ASK, "--base-url", server.base_url, "--name", "first try"]) == 3
        server.configure(faults=None)
        assert main([*ASK, "--base-url", server.base_url]) == 0
    return folder


@pytest.fixture
def told(home, monkeypatch, capsys):
    """Run a command there: its code, and what it wrote to both outputs."""
    monkeypatch.chdir(home)
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    capsys.readouterr()

    def told(*argv):
        code = main([str(each) for each in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return told


def test_runs_are_listed_for_a_person_and_for_a_script(told):
    code, out, _ = told("runs")
    head, first, second = out.splitlines()
    assert code == 0
    assert head.split()[:4] == ["run", "name", "started", "state"]
    assert "first try" in first
    assert "Say {text}" in second
    listed = json.loads(told("runs", "--json")[1])
    assert [(run["failed"], run["cached"]) for run in listed] == [(1, 0), (0, 1)]
    assert first.split()[0] == listed[0]["run"]


def test_a_report_is_of_the_newest_run_or_of_the_one_that_is_named(told):
    assert "2 of 2 answered" in told("report")[1]
    code, out, _ = told("report", "first try")
    assert code == 0
    assert "1 failed" in out
    assert "lionproc report" in out
    assert "lp." not in out
    assert json.loads(told("report", "first try", "--json")[1])["errors"] == {"bad_request": 1}
    code, _, err = told("report", "first tyr")
    assert code == 2
    assert "Did you mean 'first try'?" in err


def test_a_report_is_a_page_to_be_mailed_and_its_failed_rows_are_a_table(told, tmp_path):
    page, errors = tmp_path / "r.html", tmp_path / "e.csv"
    code, out, _ = told("report", "first try", "--html", page, "--errors", errors)
    assert (code, out) == (0, "")
    assert "Say {text}" not in page.read_text()
    assert pd.read_csv(errors)["kind"].tolist() == ["bad_request"]
    told("report", "first try", "--html", page, "--prompt")
    assert "Say {text}" in page.read_text()


def test_the_journal_is_looked_at_exported_and_verified(told, tmp_path):
    facts = json.loads(told("journal", "info", "--json")[1])
    assert facts["runs"] == 2
    assert facts["records"] >= 2
    assert "records" in told("journal", "info")[1]
    assert told("journal", "export", tmp_path / "x.jsonl", "-q")[0] == 0
    assert len(pd.read_json(tmp_path / "x.jsonl", lines=True)) == facts["records"]
    assert told("journal", "verify", "-q")[:2] == (0, f"{facts['records']} records, 0 damaged\n")


@pytest.mark.parametrize("option", ["--html", "--errors"])
def test_a_report_replaces_what_it_has_written_and_no_other_file(told, home, option):
    before = (home / "in.csv").read_bytes()
    code, _, err = told("report", option, "in.csv")
    assert (code, (home / "in.csv").read_bytes()) == (2, before)
    assert option in err
    (home / "index.html").write_text("<!doctype html><html><head><title>Mine</title>")
    assert told("report", option, "index.html")[0] == 2
    own = f"own{option}"
    assert [told("report", "first try", option, own)[0] for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zip"])
def test_a_packed_list_of_failures_replaces_one_like_it_and_no_other_file(told, home, ending):
    path = home / f"failed.csv{ending}"
    pd.DataFrame({"a": [1]}).to_csv(path)
    before = path.read_bytes()
    code, _, err = told("report", "first try", "--errors", path.name)
    assert (code, path.read_bytes()) == (2, before)
    assert "--errors" in err
    path.unlink()
    codes = [told("report", "first try", "--errors", path.name)[0] for _ in range(2)]
    assert codes == [0, 2 if ending == ".zip" else 0]
    path.write_bytes(b"not packed at all")
    assert told("report", "first try", "--errors", path.name)[0] == 2


def test_what_is_removed_has_to_be_said(told):
    code, _, err = told("journal", "prune")
    assert code == 2
    assert "--older-than 30d, or --run RUN" in err
    assert told("journal", "prune", "--older-than", "soon")[0] == 2
    assert "0 records removed" in told("journal", "prune", "--older-than", "30d")[2]
    assert "2 records removed" in told("journal", "prune", "--run", "first try", "--yes")[2]
    assert "first try" not in told("runs")[1]


def test_where_there_is_no_journal_none_is_made(told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told("runs")[:2] == (0, "")
    assert told("report")[0] == 2
    assert told("journal", "info")[0] == 0
    assert list(tmp_path.iterdir()) == []
