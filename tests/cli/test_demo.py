"""`lionproc demo`: what it accepts, what it refuses, and that it works."""

from __future__ import annotations

import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import lionproc
from lionproc.cli import main
from lionproc.cli.demo import _command
from lionproc.cli.reading import read
from lionproc.cli.table import sample_reviews, show, text_column
from lionproc.errors import ConfigurationError, ParameterWarning


def refused(capsys, *argv):
    """What the command says when it refuses its arguments."""
    assert main(["demo", *map(str, argv)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    return err


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("id,title,body\n1,Broken,It broke on the first day\n2,Fine,All is well here\n")
    return path


# ---- the command


def test_python_dash_m_is_the_command():
    root = Path(lionproc.__file__).parents[1]
    shown = subprocess.run(
        [sys.executable, "-m", "lionproc", "--version"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.startswith("lionproc ")
    assert shown.stderr == ""


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_the_help_of_the_demo_names_every_option_and_gives_examples(capsys):
    assert main(["demo", "--help"]) == 0
    out = capsys.readouterr().out
    options = ("file", "column", "prompt", "labels", "into", "rows", "model", "base-url", "out")
    assert [o for o in options if f"--{o}" not in out] == []
    assert "lionproc demo --file my.csv" in out
    assert max(map(len, out.splitlines())) <= 100


# ---- arguments that cannot work


def test_a_missing_file_is_named_with_what_is_near(capsys, table):
    err = refused(capsys, "--file", table.with_name("ticket.csv"))
    assert "no file 'ticket.csv'" in err
    assert "Did you mean 'tickets.csv'?" in err


def test_a_missing_folder_and_a_folder_in_place_of_a_file_are_told_apart(capsys, tmp_path):
    assert "no folder" in refused(capsys, "--file", tmp_path / "none" / "a.csv")
    assert "is a folder" in refused(capsys, "--file", tmp_path)


def test_a_missing_column_is_named_with_what_is_near(capsys, table):
    err = refused(capsys, "--file", table, "--column", "bdy")
    assert "no column 'bdy'" in err
    assert "Did you mean 'body'?" in err


def test_an_ending_that_is_not_read_is_refused_with_those_that_are(capsys, tmp_path):
    path = tmp_path / "book.xlsx"
    path.write_bytes(b"PK")
    assert ".csv, .tsv, .jsonl and .parquet" in refused(capsys, "--file", path)
    other = tmp_path / "table.dump"
    other.write_text("n\n1\n")
    assert "--from says which" in refused(capsys, "--file", other)
    assert "No column holds text" in refused(capsys, "--file", other, "--from", "csv")


def test_a_table_without_rows_is_refused(capsys, tmp_path):
    path = tmp_path / "none.csv"
    path.write_text("text\n")
    assert "has no rows" in refused(capsys, "--file", path)


def test_a_table_without_text_asks_for_a_column(capsys, tmp_path):
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n1,2\n")
    assert "--column" in refused(capsys, "--file", path)


def test_one_label_is_no_choice(capsys):
    assert "at least two" in refused(capsys, "--labels", "yes, ,yes")
    assert "at least two" in refused(capsys, "--labels", "\r\n")
    assert "one line" in refused(capsys, "--labels", "yes,n\ro")


def test_rows_must_be_one_or_more(capsys):
    assert "--rows must be 1 or more" in refused(capsys, "--rows", "0")


def test_an_address_needs_the_name_of_a_model(capsys):
    assert "--base-url needs --model" in refused(capsys, "--base-url", "http://127.0.0.1:9/v1")


def test_a_folder_that_cannot_be_made_is_named(capsys, table):
    # a file is in the way
    assert "--out" in refused(capsys, "--file", table, "--out", table / "out")


# ---- tables


def test_the_sample_is_60_reviews_half_of_them_positive():
    sample = sample_reviews()
    assert list(sample.columns) == ["id", "review", "label"]
    assert sample["id"].is_unique
    assert sample["review"].is_unique
    assert sample["label"].value_counts().to_dict() == {"positive": 30, "negative": 30}
    assert sample["review"].str.len().max() <= 100
    assert text_column(sample) == "review"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".CSV"])
def test_the_same_table_is_read_from_every_format(tmp_path, ending):
    frame = pd.DataFrame({"n": [1, 2], "text": ["one, two", 'th"ree']})
    path = tmp_path / f"table{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ",")
    made = read(str(path)).frame
    assert made["text"].tolist() == ["one, two", 'th"ree']
    assert made["n"].astype(int).tolist() == [1, 2]


def test_the_column_with_the_longest_texts_is_asked_about(table):
    assert text_column(read(str(table)).frame) == "body"
    assert text_column(read(str(table)).frame, "title") == "title"
    with pytest.raises(ConfigurationError, match="no column"):
        text_column(read(str(table)).frame, "Title")


def test_a_shown_table_fits_the_terminal_and_holds_no_control_characters():
    red = "\x1b[31mred\x1b[0m\nalert "
    frame = pd.DataFrame({"text\x1b": [red + "long " * 40] * 20, "answer": ["yes"] * 20})
    shown = show(frame, ["text\x1b", "answer"], width=60)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 60
    assert "\x1b" not in shown
    assert lines[0].split() == ["text", "answer"]
    assert lines[2].endswith("yes")
    assert lines[-1] == "... and 8 more"
    skipped = pd.DataFrame({"text": [None], "answer": pd.array([None], dtype="string")})
    assert show(skipped, ["text", "answer"], width=60).splitlines()[-1].split() == ["–", "–"]  # noqa: RUF001


# ---- the demo, for real


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("xllamacpp", reason="needs: pip install 'lionproc[local]'")
    from lionproc.model import local

    try:
        return local.find_weights()
    except ConfigurationError as missing:
        pytest.skip(str(missing))


@pytest.mark.local_model
def test_the_demo_answers_saves_and_sends_nothing_the_second_time(capsys, tmp_path, model):
    assert main(["demo", "--rows", "3", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "3 rows answered" in out
    assert "nothing sent" in out
    assert "of 3 agree" in out
    assert "tiny" in out
    saved = pd.read_parquet(tmp_path / "reviews-answered.parquet")
    assert saved["sentiment"].isin(["positive", "negative"]).all()
    assert saved["id"].tolist() == [1, 2, 3]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reviews-answered.parquet"]


@pytest.mark.local_model
def test_a_table_of_ones_own_keeps_its_journal_for_the_next_time(capsys, tmp_path, table, model):
    out = tmp_path / "out"
    argv = ["demo", "--file", str(table), "--labels", "bug,praise", "--out", str(out)]
    assert main(argv) == 0
    bought, *_ = [x for x in capsys.readouterr().out.splitlines() if "rows answered" in x]
    assert "nothing sent" not in bought
    assert main(argv) == 0
    first, again = [x for x in capsys.readouterr().out.splitlines() if "rows answered" in x]
    assert "nothing sent" in first
    assert "nothing sent" in again
    assert pd.read_parquet(out / "tickets-answered.parquet")["answer"].isin(["bug", "praise"]).all()


@pytest.mark.local_model
def test_before_many_rows_of_the_embedded_model_it_is_said_how_long_they_take(
    capsys, tmp_path, model, monkeypatch
):
    monkeypatch.setattr("lionproc.cli.demo.MANY", 3)
    monkeypatch.setattr("lionproc.cli.demo.TRIED", 2)
    path = tmp_path / "four.csv"
    pd.DataFrame({"text": [f"It is number {n}." for n in range(4)]}).to_csv(path, index=False)
    assert main(["demo", "--file", str(path), "--out", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    said = " ".join(out[: out.index("rows answered in")].split())
    assert "By the first 2 rows, the embedded model takes about" in said
    assert "for 4 rows here" in said
    assert "--rows 100 takes about" in said
    assert "4 rows answered" in out  # nothing is left out for it


def test_the_command_that_is_named_for_ones_own_table_runs():
    shown = subprocess.run(
        [*shlex.split(_command()), "--help"], capture_output=True, text=True, check=True
    )
    assert "--column" in shown.stdout


def test_without_the_script_on_the_path_the_command_goes_by_way_of_python(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _command().endswith(" -m lionproc demo")
    subprocess.run([*shlex.split(_command()), "--help"], capture_output=True, check=True)


def test_our_warnings_are_sentences_without_a_place_in_the_code(capsys, monkeypatch):
    def warned(args):
        warnings.warn(ParameterWarning("asked without temperature="), stacklevel=1)
        return 0

    monkeypatch.setattr("lionproc.cli.demo.demo", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert main(["demo"]) == 0
    assert capsys.readouterr().err == "lionproc: asked without temperature=\n"


def test_an_interrupt_ends_with_130_and_without_a_traceback(capsys, monkeypatch):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("lionproc.cli.demo.demo", interrupted)
    assert main(["demo"]) == 130
    assert "is kept" in capsys.readouterr().err
