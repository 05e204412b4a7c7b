"""`lionproc process`: a table in, the table with answers out, and an exit code for a script."""

import csv
import errno
import gzip
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import lionproc as lp
from lionproc.cli import csv_rows, main, reading
from lionproc.cli.reading import read
from lionproc.engine import packed as packing
from lionproc.engine.regular_file import first_hole
from lionproc.errors import ConfigurationError
from lionproc.frame.export import write_parquet
from lionproc.frame.table_bounds import LINES

ROOT = Path(lp.__file__).parents[1]


@pytest.fixture
def server(shared, tmp_path, monkeypatch):
    shared.configure(faults=None, answer=None, latency_s=0.0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    monkeypatch.delenv("LIONPROC_MODEL", raising=False)
    monkeypatch.setenv("LIONPROC_API_KEY", shared.key)
    return shared


@pytest.fixture
def ask(server, capsysbinary):
    """Run the command at the server: its code, and what it wrote to both outputs."""

    def ask(*argv, command="process"):
        code = main([command, *map(str, argv), "--base-url", server.base_url, "-m", "test-model"])
        out, err = capsysbinary.readouterr()
        return code, out.decode(), err.decode()

    return ask


def table(name="in.csv", text="id,text\n1,one\n2,two\n"):
    Path(name).write_bytes(text.encode())
    return name


def stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


# ---- in and out


def test_the_answers_stand_beside_the_input_and_a_second_time_nothing_is_sent(ask, server):
    table()
    sent = server.counters.total
    code, out, err = ask("in.csv", "-p", "Say {text}")
    assert (code, out) == (0, "")
    assert Path("in-answered.csv").read_text() == (
        "id,text,answer\n1,one,echo: Say one\n2,two,echo: Say two\n"
    )
    assert "2 rows: 2 answered; 2 requests" in err
    assert "Written to in-answered.csv." in err
    assert server.counters.total == sent + 2
    code, _, err = ask("in.csv", "-p", "Say {text}")
    assert code == 0
    assert "2 answered (2 from the journal); 0 requests" in err
    assert server.counters.total == sent + 2
    assert Path("in.csv").read_text() == "id,text\n1,one\n2,two\n"


def test_cells_of_a_csv_are_texts_as_they_stand_there_and_it_is_written_as_it_was(ask):
    """A mark of Excel, semicolons, quotes, lines in cells, numbers with zeros, NA, odd names."""
    given = '\ufeffid;"{name}";\n007;"a ""b""\nc; d";NA\n-8;=1+1;\n'
    Path("in.csv").write_bytes(given.encode())
    assert ask("in.csv", "-p", "{id}|{ {{name}} }", "--into", "a")[0] == 0
    written = Path("in-answered.csv").read_bytes().decode()
    assert written == (
        '\ufeffid;{name};;a\n007;"a ""b""\nc; d";NA;"echo: 007|a ""b""\nc; d"\n'
        "-8;=1+1;;echo: -8|=1+1\n"
    )


@pytest.mark.parametrize("to", ["csv", "jsonl"])
def test_answers_that_command_a_terminal_are_shown_to_it_as_text(ask, server, monkeypatch, to):
    table(text="text\nthe one\n")
    server.configure(answer="\x1b]52;c;cm0gLXJm\x07 \x9b2J Zoë\u202egnp")
    how = ("in.csv", "-p", "Say {text}", "--save", "-", "--to", to)
    piped = ask(*how)[1]
    assert "\x9b2J" in piped or r"\u009b2J" in piped
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = ask(*how)[1]
    assert shown.endswith("\n")
    assert "Zoë" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


def test_an_empty_cell_is_a_missing_one_whose_row_is_not_asked_unless_told(ask, server):
    table(text="id,text\n1,\n2,NA\n")
    code, _, err = ask("in.csv", "-p", "Say {text}")
    assert code == 0
    assert "1 skipped (a cell is empty)" in err
    assert pd.read_csv("in-answered.csv", dtype=str)["answer"].isna().tolist() == [True, False]
    assert ask("in.csv", "-p", "Say {text}", "--send-missing")[0] == 0
    assert pd.read_csv("in-answered.csv", dtype=str)["answer"].tolist()[0] == "echo: Say"


@pytest.mark.parametrize("save", ["out.csv", "out.tsv", "out.jsonl", "out.jsonl.gz", "out.parquet"])
def test_every_format_is_written_and_read_by_the_command_itself(ask, server, save):
    server.configure(answer=lambda body: {"answer": ["x", "y"]})
    table(text="id\tte,xt\n1\tone\n", name="in.tsv")
    code, *_ = ask("in.tsv", "-p", "{te,xt}", "--type", "list[str]", "--into", "t", "--save", save)
    assert code == 0
    code, out, _ = ask(save, "-p", "{t}", "--into", "again", "--save", "-", "--to", "jsonl", "-q")
    assert code == 0
    row = json.loads(out)
    assert (row["id"], row["te,xt"]) == ("1", "one")
    assert row["t"] == (["x", "y"] if "jsonl" in save or "parquet" in save else '["x","y"]')
    assert server.requests[-1].body["messages"][-1]["content"] == '["x","y"]'


def test_parquet_has_the_dtypes_and_the_facts_of_the_run(ask, server):
    server.configure(answer={"answer": "b"})
    table()
    assert ask("in.csv", "-p", "Say {text}", "--labels", 'a, "b"', "--save", "o.parquet")[0] == 0
    assert lp.read_parquet("o.parquet")["answer"].dtype.categories.tolist() == ["a", "b"]
    assert lp.read_facts("o.parquet")["prompt"] == "Say {text}"


def test_names_of_a_parquet_file_are_texts_and_its_named_index_is_written(ask):
    made = pd.DataFrame([["one", [1, 2]]], index=pd.Index([7], name="id"))
    write_parquet(made, "in.parquet", {})
    code, out, _ = ask("in.parquet", "-p", "{0} {1}", "--save", "-")
    assert code == 0
    assert json.loads(out) == {"id": 7, "0": "one", "1": [1, 2], "answer": "echo: one [1,2]"}
    assert ask("in.parquet", "-p", "{0} {1}", "--save", "-", "--to", "csv")[1].splitlines() == [
        "id,0,1,answer", '7,one,"[1,2]","echo: one [1,2]"'
    ]  # fmt: skip
    write_parquet(pd.DataFrame({"id": ["x"]}, index=made.index), "twice.parquet", {})
    assert "Two columns are called 'id'" in ask("twice.parquet", "-p", "{id}")[2]


def test_json_lines_keep_whole_numbers_whole_and_lists_lists(ask):
    lines = '{"n": 1, "x": [1, {"a": null}], "t": "007"}\n\n{"n": null, "big": 9007199254740993}\n'
    table("in.jsonl", lines)
    assert ask("in.jsonl", "-p", "Say {t}", "--rows", 9)[0] == 0
    made = [json.loads(line) for line in Path("in-answered.jsonl").read_text().splitlines()]
    assert made == [
        {"n": 1, "x": [1, {"a": None}], "t": "007", "big": None, "answer": "echo: Say 007"},
        {"n": None, "x": None, "t": None, "big": 9007199254740993, "answer": None},
    ]


def test_a_number_that_64_bits_do_not_hold_is_asked_and_written_as_it_is(ask):
    number = 123456789012345678901234567890
    table("in.jsonl", f'{{"t": {number}}}\n')
    assert ask("in.jsonl", "-p", "Say {t}")[0] == 0
    made = json.loads(Path("in-answered.jsonl").read_text())
    assert made == {"t": str(number), "answer": f"echo: Say {number}"}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'"cut \ud83d"', "cut \ufffd"),
        (r'["\ud83d", {"\ud83d": 1.5}]', ["\ufffd", {"\ufffd": 1.5}]),
        ("1e999", "1e999"),
        ("-" + "9" * 5000, "-" + "9" * 5000),
        ("-Infinity", "-Infinity"),
        ("NaN", None),
    ],
)
def test_one_odd_cell_that_python_writes_as_json_ends_no_command(ask, written, read):
    table("in.jsonl", f'{{"n": 1, "t": {written}}}\n{{"n": 2, "t": "plain"}}\n')
    assert ask("in.jsonl", "-p", "Say {n}")[0] == 0
    made = [json.loads(line) for line in Path("in-answered.jsonl").read_text().splitlines()]
    assert made == [
        {"n": 1, "t": read, "answer": "echo: Say 1"},
        {"n": 2, "t": "plain", "answer": "echo: Say 2"},
    ]


def test_a_row_that_could_not_be_written_is_refused_before_any_is_asked(ask, server):
    before = server.counters.total
    for deep, code in ((199, 0), (200, 2), (100_000, 2)):
        table("in.jsonl", f'{{"t": "a"}}\n{{"t": {"[" * deep}{"]" * deep}}}\n')
        made = ask("in.jsonl", "-p", "Say {t}")
        assert made[0] == code, made
        assert server.counters.total == before + 2
        assert code == 0 or "Line 2 has more than 200 lists and objects" in made[2]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (b"text\none\n", "text,answer\none,echo: Say one\n"),
        (b'{"text": "one"}\n', '{"text":"one","answer":"echo: Say one"}\n'),
    ],
    ids=["csv", "jsonl"],
)
def test_a_pipe_is_read_and_written(ask, monkeypatch, given, wanted):
    stdin(monkeypatch, given)
    code, out, err = ask("-", "-p", "Say {text}")
    assert (code, out) == (0, wanted)
    assert "1 answered" in err


def test_no_line_is_lost_where_there_is_one_column_and_an_empty_one_is_no_row_elsewhere(ask):
    table("one.csv", "text\none\n\ntwo\r\nx\n")
    table("two.csv", 'text,n\n\n"one\r\nline",1\n\n')
    assert ask("one.csv", "-p", "{text}", "--save", "-")[1].splitlines() == [
        "text,answer", "one,echo: one", ",", "two,echo: two", "x,echo: x"
    ]  # fmt: skip
    assert ask("two.csv", "-p", "{n}", "--save", "-")[1] == (
        '"text","n","answer"\n"one\r\nline","1","echo: 1"\n'
    )


def test_a_table_without_rows_is_written_with_its_new_column(ask):
    table(text="id,text\n")
    assert ask("in.csv", "-p", "Say {text}")[0] == 0
    assert Path("in-answered.csv").read_text() == "id,text,answer\n"


def test_a_folder_of_parts_is_written_and_read(ask):
    table()
    assert ask("in.csv", "-p", "Say {text}", "--save", "parts/")[0] == 0
    code, out, _ = ask("parts", "-p", "{answer}", "--into", "b", "--save", "-")
    assert code == 0
    assert [json.loads(line)["b"] for line in out.splitlines()] == [
        "echo: echo: Say one",
        "echo: echo: Say two",
    ]


def test_json_is_utf_8_and_text_is_shown_wherever_the_terminal_is(ask, monkeypatch):
    """As on Windows, where the encoding of a pipe is not UTF-8."""
    table(text="text\ncafé\n")
    for argv in (["--save", "-"], ["-n", "1"], ["-n", "1", "--json"]):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
        command = "process" if "--save" in argv else "preview"
        assert ask("in.csv", "-p", "Say {text}", *argv, command=command)[0] == 0
        sys.stdout.flush()
        assert ("café".encode() in written.getvalue()) is (argv != ["-n", "1"])
        assert b"echo: Say caf" in written.getvalue()


def test_an_answer_that_begins_like_a_formula_acts_in_no_spreadsheet_unless_told(ask, server):
    server.configure(answer='=HYPERLINK("http://x")')
    table()
    ask("in.csv", "-p", "Say {text}")
    assert pd.read_csv("in-answered.csv")["answer"].str.startswith("'=HYPER").all()
    ask("in.csv", "-p", "Say {text}", "--as-is", "--save", "o.jsonl")
    ask("in.csv", "-p", "Say {text}", "--as-is")
    assert pd.read_csv("in-answered.csv")["answer"].str.startswith("=HYPER").all()
    assert json.loads(Path("o.jsonl").read_text().splitlines()[0])["answer"].startswith("=HYPER")


def test_a_name_in_a_schema_that_begins_like_a_formula_acts_in_no_header_of_a_csv(ask, server):
    names = ['=HYPERLINK("http://x")', "+A1", "fine;=1+1"]
    server.configure(answer=json.dumps(dict.fromkeys(names, "yes")))
    fields = {name: {"type": "string"} for name in names}
    schema = {"type": "object", "properties": fields, "required": names}
    Path("s.json").write_text(json.dumps(schema))
    table(text="=text,id\none,1\n")
    for _ in range(2):  # it is also what a file of an earlier run is held against
        assert ask("in.csv", "-p", "Say {=text}", "--schema", "s.json")[0] == 0
        header = list(pd.read_csv("in-answered.csv"))
        assert header == ["=text", "id", '\'=HYPERLINK("http://x")', "'+A1", "fine;'=1+1"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_program_with_another_separator_finds_no_formula_in_an_answer(ask, server, ending):
    formula = '=HYPERLINK("http://x")'
    server.configure(answer=f"Fine;{formula}\n{formula}\t{formula},{formula}")
    Path(f"in.{ending}").write_text("text\nrow\n")
    ask(f"in.{ending}", "-p", "Say {text}")
    written = Path(f"in-answered.{ending}").read_text()
    for separators in (";\n", "\t\n", *([",\n"] if ending == "tsv" else [])):
        parts = re.split(f"[{separators}]", written.replace('"', ""))
        assert not any(part.startswith("=") for part in parts)


@pytest.mark.parametrize("ending", ["jsonl", "tsv"])
def test_an_answer_goes_on_with_no_number_that_stands_first_in_the_next_line(ask, server, ending):
    call = "&+cmd|' /C calc'!A0"
    server.configure(
        answer=lambda body: f"{call}\r" if "-2" in str(body["messages"]) else "fine;\r"
    )
    Path("in.jsonl").write_text('{"n": 5}\n{"n": -2}\n')
    Path("in.tsv").write_text("n\n5\n-2\n")
    ask(f"in.{ending}", "-p", "Say {n}", "--save", "out.csv")
    live = re.compile(rf"\s*-2[,\s]*{re.escape(call)}\s*")
    for separator in ",;\t":
        with Path("out.csv").open(newline="") as file:
            rows = list(csv.reader(file, delimiter=separator))
        assert not any(live.fullmatch(cell) for row in rows for cell in row), (separator, rows)


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_was_in_no_csv_before_begins_no_formula_in_one(ask, ending):
    formula, name = '=HYPERLINK("http://x")', "=1+1"
    rows = pd.DataFrame({"text": [formula, "- milk"], name: ["a", None], "n": [-1, -2]})
    if ending == "jsonl":
        rows.to_json("in.jsonl", orient="records", lines=True)
    else:
        rows.to_parquet("in.parquet")
    for _ in range(2):  # and what was written is known again
        assert ask(f"in.{ending}", "-p", "Say {text}", "--save", "o.csv")[0] == 0
    written = pd.read_csv("o.csv")
    assert written.columns.tolist() == ["text", f"'{name}", "n", "answer"]
    assert written["text"].tolist() == [f"'{formula}", "'- milk"]
    assert written["n"].tolist() == [-1, -2]
    ask(f"in.{ending}", "-p", "Say {text}", "--save", "as-is.csv", "--as-is")
    assert pd.read_csv("as-is.csv")["text"].tolist() == [formula, "- milk"]


def test_what_no_program_took_for_a_formula_in_a_csv_it_takes_for_none_in_the_new_one(ask):
    # What is quoted at the beginning of a line is held together by every program.
    table("in.csv", '"text\r=1+1",n\n"one;=1+1",1\n"two\t=1+1",2\n')
    table("in.tsv", "n\ttext\n1\tone;=1+1,=2+2\n")
    ask("in.csv", "-p", "Say {n}")
    assert (
        Path("in-answered.csv")
        .read_bytes()
        .startswith(b'"text\r=1+1","n","answer"\n"one;=1+1","1","echo: Say 1"\n"two\t=1+1","2",')
    )
    assert ask("in-answered.csv", "-p", "Say {n}", "--into", "b")[0] == 0
    ask("in.tsv", "-p", "Say {n}", "--save", "o.csv")
    assert "\t\"one;'=1+1,'=2+2\"\t" in Path("o.csv").read_text()
    ask("in.tsv", "-p", "Say {n}", "--save", "o.tsv")
    assert "\tone;=1+1,=2+2\t" in Path("o.tsv").read_text()


def test_no_answer_goes_on_with_what_was_in_the_csv_as_a_formula(ask, server):
    # To a program with other separators they can be one cell, and a comma that of a number.
    server.configure(answer="&cmd|X!A0;fine")
    table("in.csv", 'n,text\n1,"Great product;-1&"\n2,"a;=1+1"\n')
    ask("in.csv", "-p", "Say {n}")
    assert Path("in-answered.csv").read_text().splitlines()[1:] == [
        '"1","Great product;\'-1&","&cmd|X!A0;fine"', '"2","a;=1+1","&cmd|X!A0;fine"'
    ]  # fmt: skip
    server.configure(answer="5+cmd|X!A0")
    table("in.jsonl", '{"n": 3}\n{"n": -1}\n')
    ask("in.jsonl", "-p", "Say {n}", "--save", "o.csv")
    assert Path("o.csv").read_text().splitlines()[2] == '"-1","5+cmd|X!A0"'
    table("more.csv", "text;n\n=SUM(1;4\n")
    ask("more.csv", "-p", "Say {n}")
    assert Path("more-answered.csv").read_text().splitlines()[1] == '"=SUM(1";"4";"5+cmd|X!A0"'


def test_a_file_that_would_be_replaced_is_not_unpacked_to_many_times_its_length(ask, server):
    table("in.jsonl", '{"text": "a"}\n')
    table("in-answered.jsonl", '{"text": [' + ",".join(["{}"] * 5_000_000) + "]}\n")
    before = server.counters.total
    code, _, told = ask("in.jsonl", "-p", "Say {text}")
    assert code == 2
    assert "no table that could be looked at" in told
    assert server.counters.total == before


def test_what_lies_in_the_working_folder_is_no_part_of_the_program(tmp_path):
    for name in ("pandas", "typer", "orjson", "csv", "sqlite3"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('of a stranger')")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LIONPROC_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "lionproc", "runs"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, check=False, capture_output=True)
    assert (ran.returncode, b"of a stranger" in ran.stderr) == (0, False)


def test_a_bundle_that_starts_the_program_keeps_its_own_folder(tmp_path):
    start = tmp_path / "bundle" / "start.py"
    start.parent.mkdir()
    start.write_text(
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('lionproc', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        "    print(sys.path[0])\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT), "LIONPROC_HOME": str(tmp_path / "home")}
    command = [sys.executable, str(start), "runs"]
    ran = subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-1] == str(start.parent)


# ---- what is asked


def test_prompts_and_schemas_come_from_files_and_limits_from_options(ask, server):
    table()
    Path("p.txt").write_text("Say\n{text}\n")
    Path("s.txt").write_text("Be brief.")
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    Path("s.json").write_text(json.dumps(schema))
    server.configure(answer={"n": 7})
    code, *_ = ask(
        "in.csv", "--prompt-file", "p.txt", "--system-file", "s.txt", "--schema", "s.json",
        "--into", "r", "--rpm", 6000, "--tpm", 1e6, "--concurrency", 1, "--temperature", 0.5,
        "--max-tokens", 50, "--timeout", 20,
    )  # fmt: skip
    assert code == 0
    asked = server.requests[-1].body
    assert [turn["content"] for turn in asked["messages"]] == ["Be brief.", "Say\ntwo"]
    assert asked["temperature"] == 0.5
    assert asked["response_format"]["json_schema"]["schema"]["properties"] == schema["properties"]
    assert Path("in-answered.csv").read_text().splitlines() == ["id,text,r_n", "1,one,7", "2,two,7"]
    assert lp.last_job().limits.requests_per_minute == 6000


def test_an_estimate_sends_nothing_and_a_preview_asks_a_few(ask, server):
    table()
    sent = server.counters.total
    code, out, _ = ask("in.csv", "-p", "Say {text}", "--json", command="estimate")
    assert (code, json.loads(out)["requests"]) == (0, 2)
    code, out, _ = ask("in.csv", "-p", "Say {text}", command="estimate")
    assert "2 requests" in out
    assert server.counters.total == sent
    code, out, _ = ask("in.csv", "-p", "Say {text}", "-n", 1, command="preview")
    assert code == 0
    assert "echo: Say one" in out
    code, out, _ = ask("in.csv", "-p", "Say {text}", "-n", 1, "--json", command="preview")
    assert json.loads(out)["rows"][0]["answer"] == "echo: Say one"
    assert server.counters.total == sent + 1


# ---- how it ends


def test_rows_that_failed_are_code_3_and_are_listed(ask, server):
    server.configure(faults=lambda body, n: "400" if "two" in str(body) else None)
    table()
    code, out, err = ask("in.csv", "-p", "Say {text}", "--errors", "e.csv", "--json")
    assert code == 3
    said = json.loads(out)
    assert (said["answered"], said["failed"], said["errors"]) == (1, 1, {"bad_request": 1})
    assert (said["exit_code"], said["saved_to"]) == (3, "in-answered.csv")
    assert pd.read_csv("e.csv")["kind"].tolist() == ["bad_request"]
    assert pd.read_csv("in-answered.csv")["answer"].isna().tolist() == [False, True]
    code, _, err = ask("in.csv", "-p", "Say {text}", "-q")
    assert code == 3
    assert "row 1: HTTP 400" in err


def test_a_failed_row_has_one_number_and_one_advice_on_the_terminal_and_in_its_table(ask, server):
    server.configure(answer=lambda body: "" if "two" in str(body) else "1")
    table()
    err = ask("in.csv", "-p", "Say {text}", "--type", "int", "--errors", "e.csv")[2]
    (row,) = pd.read_csv("e.csv").to_dict("records")
    assert f"row {row['position']}: {row['message']} {row['hint']}" in err
    main(["report", "--errors", "again.csv"])
    (again,) = pd.read_csv("again.csv").to_dict("records")
    assert again["hint"] == row["hint"]
    assert "--max-tokens" in row["hint"]


def test_the_errors_beside_the_answers_are_in_the_words_of_the_command(ask, server):
    server.configure(answer="none of them")
    table()
    assert ask("in.csv", "-p", "Say {text}", "--labels", "a,b", "--details")[0] == 3
    error = pd.read_csv("in-answered.csv")["answer_error"][0]
    assert "--schema" in error
    assert "schema=" not in error


def test_a_table_that_could_not_be_written_names_the_way_on_of_a_terminal(ask, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    table()
    with monkeypatch.context() as disk:
        disk.setattr("lionproc.frame.place.replace_whole", full)
        code, _, err = ask("in.csv", "-p", "Say {text}", "--save", "o.csv")
    assert code == 1
    assert "could not be saved in '.': No space left on device" in err
    assert "free space or choose another path, and run the same command again" in err
    assert "in memory" not in err
    assert "0 requests" in ask("in.csv", "-p", "Say {text}", "--save", "o.csv")[2]


@pytest.mark.parametrize("save", ["o.csv", "o.parquet", "o/"])
def test_a_budget_that_is_reached_is_code_4_and_what_there_is_is_written(ask, save):
    table()
    argv = ("in.csv", "-p", "Say {text}", "--save", save, "--concurrency", 1)
    code, _, err = ask(*argv, "--budget", "1requests")
    assert code == 4
    assert "1 answered, 1 not asked" in err
    assert "larger --budget goes on" in err
    if save != "o/":  # where parts are written when they are whole
        read = pd.read_csv(save) if save == "o.csv" else lp.read_parquet(save)
        assert read["answer"].notna().sum() == 1
    assert ask(*argv, "--budget", "300000 tokens")[0] == 0


def test_a_key_that_is_refused_is_code_1_and_nothing_is_written(ask, monkeypatch):
    monkeypatch.setenv("OTHER_KEY", "sk-wrong")
    table()
    code, out, err = ask("in.csv", "-p", "Say {text}", "--key-env", "OTHER_KEY")
    assert (code, out) == (1, "")
    assert "401" in err
    assert "Traceback" not in err
    assert not Path("in-answered.csv").exists()
    assert main(["process", "in.csv", "-p", "{text}"]) == 1  # no model


REFUSED = {
    "no prompt": ([], "There is no prompt"),
    "two prompts": (["-p", "{text}", "--prompt-file", "in.csv"], "--prompt and --prompt-file both"),
    "no column": (["-p", "{txet}"], "Did you mean 'text'?"),
    "two types": (["-p", "{text}", "--type", "int", "--labels", "a,b"], "--labels and --type both"),
    "no type": (["-p", "{text}", "--type", "integer"], "There is no type 'integer'"),
    "no schema": (["-p", "{text}", "--schema", "in.csv"], "'in.csv' is no JSON"),
    "no schema's file": (
        ["-p", "{text}", "--schema", "no.json"],
        "lionproc: --schema: There is no file 'no.json'",
    ),
    "a column": (["-p", "{text}", "--into", "id"], "Choose another name with --into"),
    "the input": (["-p", "{text}", "--save", "./in.csv"], "is never overwritten"),
    "the answers as errors": (["-p", "{text}", "--save", "o.csv", "--errors", "./o.csv"], "go to"),
    "the answers as errors by another way": (
        ["-p", "{text}", "--save", "o.csv", "--errors", "no/../o.csv"],
        "The answers go to",
    ),
    "what is no encoding of text": (["-p", "{text}", "--encoding", "rot13"], "no such encoding"),
    "a folder as errors": (["-p", "{text}", "--errors", "."], "another path with --errors"),
    "an address that nothing knows": (["-p", "{text}", "--save", "no://x/o.csv"], "cannot be used"),
    "the input as errors": (["-p", "{text}", "--errors", "in.csv"], "another path with --errors"),
    "the journal that is not there yet as errors": (
        ["-p", "{text}", "--errors", ".lionproc/../.lionproc/journal.sqlite"],
        "is where this run keeps its replies. Choose another path with --errors",
    ),
    "a journal as answers": (["-p", "{text}", "--save", "j.csv", "--journal", "j.csv"], "replies"),
    "a journal as parquet": (
        ["-p", "{text}", "--save", "j.parquet", "--journal", "j.parquet"],
        "is where this run keeps its replies. Choose another path with --save",
    ),
    "the web": (["-p", "{text}", "--save", "http://127.0.0.1:9/o.csv"], "are only read"),
    "the web for parquet": (["-p", "{text}", "--save", "http://127.0.0.1:9/o.pq"], "are only read"),
    "the web for parts": (["-p", "{text}", "--save", "https://127.0.0.1:9/o/"], "are only read"),
    "the web for errors": (["-p", "{text}", "--errors", "http://127.0.0.1:9/e.csv"], "only read"),
    "a file for a folder": (["-p", "{text}", "--errors", "in.csv/e.csv"], "another path with --er"),
    "an ending": (["-p", "{text}", "--save", "out.xlsx"], "ends in '.xlsx'"),
    "a limit": (["-p", "{text}", "--rpm", "0"], "--rpm must be a number above 0, not 0"),
    "a budget": (["-p", "{text}", "--budget", "two"], "--budget is a number"),
    "no price": (["-p", "{text}", "--budget", "2"], "--price IN,OUT"),
    "no key": (["-p", "{text}", "--key-env", "NO_SUCH_KEY"], "'NO_SUCH_KEY' is not set"),
    "rows": (["-p", "{text}", "--rows", "0"], "--rows must be 1 or more"),
    "an option": (["-p", "{text}", "--lables", "a,b"], "--lables"),
    "a number": (["-p", "{text}", "--rpm", "many"], "valid number"),
}


def test_a_key_in_the_place_of_the_name_of_its_variable_is_not_shown(ask, server):
    table()
    key = "sk-proj-Abc123Def456Ghi789Jkl012"
    sent = server.counters.total
    code, out, err = ask("in.csv", "-p", "{text}", "--key-env", key)
    assert (code, server.counters.total) == (2, sent)
    assert "--key-env is the name of the environment variable" in err
    assert key not in out + err


def test_a_process_without_standard_streams_works(server, monkeypatch):
    table()
    with monkeypatch.context() as without:
        for name in ("stdin", "stdout", "stderr"):
            without.setattr(sys, name, None)
        code = main(
            ["process", "in.csv", "-p", "Say {text}", "--base-url", server.base_url, "-m", "m"]
        )
        opened = [sys.stdin, sys.stdout, sys.stderr]
    for stream in opened:
        stream.close()
    assert code == 0
    assert "echo: Say two" in Path("in-answered.csv").read_text()


@pytest.mark.parametrize("path", ["in-answered.csv", "in.csv", "in.jsonl"])
def test_a_file_of_terabytes_that_takes_no_room_is_not_read(ask, path):
    table()
    with Path(path).open("wb") as file:
        file.write(b"text\n")
        file.truncate(2**41)
        if first_hole(file.fileno()) == 2**41:
            pytest.skip("This file system does not tell of holes.")
    code, _, err = ask(path if "answered" not in path else "in.csv", "-p", "{text}")
    assert code == 2
    assert "is no table" in err


def test_answers_go_through_no_link_that_nobody_named(ask, tmp_path):
    table()
    Path("in-answered.csv").symlink_to(tmp_path / "elsewhere.csv")  # it came with the table
    code, _, err = ask("in.csv", "-p", "{text}")
    assert code == 2
    assert "is a link" in err
    assert not (tmp_path / "elsewhere.csv").exists()


def test_a_table_as_wide_as_it_is_long_is_read_or_refused(ask):
    Path("wide.csv").write_text(",".join(f"column number {n}" for n in range(5000)) + ",a,a\n")
    code, _, err = ask("wide.csv", "-p", "{a}")
    assert (code, "'a', so it is not clear" in err) == (2, True)
    names = [f"column number {n}" for n in range(5000)]
    Path("wide.csv").write_text(",".join(names) + "\n" + "," * 4999 + "\n")
    assert read("wide.csv").frame.columns.tolist() == names
    Path("sparse.jsonl").write_text("".join(f'{{"k{n}": 1}}\n' for n in range(4000)))
    code, _, err = ask("sparse.jsonl", "-p", "{k1}")
    assert (code, "16,000,000 cells" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", ",".join(f"c{n}" for n in range(50_001)) + "\n", "50,001 columns"),
        ("a.csv", "a\n" + "," * 50_000 + "\n", "50,001 columns"),
        ("a.csv", ",".join(f"c{n}" for n in range(5000)) + "\n" + "1\n" * 3000, "15,000,000 cells"),
        ("a.jsonl", json.dumps({f"c{n}": 1 for n in range(50_001)}), "50,001 columns"),
        ("a.jsonl", json.dumps({f"c{n}": 1 for n in range(5000)}) + "\n{}" * 2999, "15,000,000"),
    ],
)
def test_a_table_of_a_few_bytes_that_would_be_far_larger_is_not_made(
    tmp_path, name, content, words
):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        read(str(path))


def test_a_full_table_of_any_length_is_within_the_bounds_and_so_is_one_for_all_genes():
    LINES.check("genes", columns=40_000, rows=100, written=2 * 40_000 * 100)
    LINES.check("long", columns=1000, rows=10**7, written=1000 * 10**7)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_work_is_code_2_in_one_sentence_and_nothing_is_sent(ask, server, kind):
    table()
    sent = server.counters.total
    argv, words = REFUSED[kind]
    code, out, err = ask("in.csv", *argv)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err
    assert server.counters.total == sent
    assert {each.name for each in Path().iterdir()} <= {"in.csv", ".lionproc"}


def test_a_schema_file_that_is_nested_without_end_is_refused_in_one_sentence(ask, server):
    Path("deep.json").write_text("[" * 100_000)
    sent = server.counters.total
    code, _, err = ask(table(), "-p", "{text}", "--schema", "deep.json")
    assert (code, server.counters.total) == (2, sent)
    assert "'deep.json' is nested too deeply" in err


PACKED = gzip.compress(b"".join(b'{"a": "secret %d"}\n' % (n * n) for n in range(99)), mtime=0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("latin.csv", "text\ncafé\n".encode("latin-1"), "--encoding cp1252"),
        ("ragged.csv", b"a,b\nsecret,1\nx,2,3\n", "cannot be read as a table"),
        ("long.csv", b"a,b\nsecret,1,2\nx,2,3\n", "cannot be read as a table"),
        ("twice.csv", b"a,a\n1,2\n", "Two columns are called 'a'"),
        ("empty.csv", b"", "cannot be read as a table"),
        ("odd.jsonl", b'{"a": 1}\n["secret"]\n', "Line 2 is no JSON object"),
        ("met.jsonl", b'{"a": 1}\n{"\\ud800": 1, "\\ufffd": 2}\n', "Line 2 has several keys"),
        ("raw.jsonl", b'{"a": {"\xed\xa0\x80": 1, "\\ufffd": 2}}\n', "Line 1 has several keys"),
        ("latin.jsonl", b'{"a": 1}\n{"secret": "caf\xe9"}\n', "Line 2 is not written in UTF-8"),
        ("torn.parquet", b"PAR1 secret", "cannot be read"),
        (
            "torn.csv.gz",
            gzip.compress(b"a\nsecret\n", mtime=0)[:-9],
            "it is damaged, or not all of it",
        ),
        ("bad.jsonl.gz", PACKED[:20] + b"\xff" * 20 + PACKED[40:], "it is damaged, or not all"),
        ("book.xlsx", b"PK", "Save the sheet as CSV"),
        ("table.dat", b"a", ".csv, .tsv, .jsonl and .parquet. --from says"),
    ],
)
def test_a_file_that_is_no_table_is_refused_without_showing_its_content(ask, name, content, words):
    Path(name).write_bytes(content)
    code, out, err = ask(name, "-p", "{a}")
    assert (code, out) == (2, "")
    assert words in err
    assert "secret" not in err


@pytest.mark.parametrize(("ending", "line"), [("csv", b"0\n"), ("jsonl", b'{"a": 0}\n')])
def test_a_packed_table_that_unpacks_to_far_more_than_it_is_is_not_read(
    tmp_path, monkeypatch, ending, line
):
    monkeypatch.setattr(packing, "_FREE", 100_000)
    path = tmp_path / f"a.{ending}.gz"
    packed = gzip.compress(line * 300_000)
    path.write_bytes(packed)
    if os.name == "posix":  # zeros may stand at its end, and a hole is none of its bytes
        os.truncate(path, 2**30)
    with pytest.raises(ConfigurationError, match=r"unpacks to more than 100 times.*gunzip"):
        read(str(path))
    path.write_bytes(packed)
    monkeypatch.setattr(packing, "_FREE", 10_000_000)
    assert len(read(str(path)).frame) == (300_000 if ending == "jsonl" else 299_999)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_packed_table_that_takes_far_more_memory_than_it_is_and_than_there_is_is_not_read(
    tmp_path, monkeypatch, ending
):
    monkeypatch.setattr(packing, "_FREE", 100_000)
    monkeypatch.setattr(reading, "spare_memory", lambda: 10_000_000)
    row = {"csv": b",".join([b"1"] * 50), "jsonl": b'{"a":[%b]}' % b",".join([b'"a"'] * 50)}[ending]
    words = "".join(f"{'abcdefgh'[n % 8]}{n * n:x}" for n in range(20_000)).encode()  # packed badly
    other = {"csv": words + b"," * 49, "jsonl": b'{"a":"%b"}' % words}[ending]
    name = b",".join(b"c%d" % n for n in range(50)) if ending == "csv" else b""
    path = tmp_path / f"a.{ending}.gz"
    for rows, is_read in ((2_000, True), (60_000, False)):
        path.write_bytes(gzip.compress(b"\n".join([name, other, *[row] * rows]), mtime=0))
        with nullcontext() if is_read else pytest.raises(ConfigurationError, match="GB of memory"):
            assert len(read(str(path)).frame) == rows + 1
    assert len(gzip.decompress(path.read_bytes())) < 100 * path.stat().st_size
    monkeypatch.setattr(reading, "spare_memory", lambda: 10**9)
    assert len(read(str(path)).frame) == 60_001


def test_texts_of_a_csv_go_through_no_table_whose_places_they_can_foresee(tmp_path, monkeypatch):
    """In that of pandas "Aa" and "BB" have one hash, and so have all texts that are made of them."""
    path = tmp_path / "many.csv"
    texts = ["".join(parts) for parts in itertools.product(["Aa", "BB"], repeat=14)]
    path.write_text("\n".join(["text", *texts]))
    for name in ("read_csv", "factorize", "unique"):
        monkeypatch.setattr(pd, name, None)
    assert read(str(path)).frame["text"].tolist() == texts
    assert read(str(path), rows=12_000).frame["text"].tolist() == texts[:12_000]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("a,b\n1,2,\n3,4\n", [["1", "2"], ["3", "4"]]),  # a delimiter at the end of a line
        ("a,b\n1\n \n\t\n\n3,\n", [["1", None], ["3", None]]),  # lines of nothing are no rows
        ('a,b\n" "\n"\n "\n""\n\n3,4\n', [[" ", None], ["\n ", None], [None, None], ["3", "4"]]),
        ('a,b\n"1\r\n2","3 ""4"""\n', [["1\r\n2", '3 "4"']]),
        ('a\n""\n\nNA\n', [[None], [None], ["NA"]]),  # of one column they are empty cells
        ("a,b\n", []),
    ],
)
def test_cells_of_a_csv_are_texts_as_they_stand_there(content, rows, tmp_path):
    path = tmp_path / "cells.csv"
    path.write_bytes(content.encode())
    frame = read(str(path)).frame
    cells = [[None if pd.isna(cell) else cell for cell in row] for row in frame.to_numpy().tolist()]
    assert cells == rows


def test_of_a_wide_csv_few_rows_are_texts_of_python_at_a_time(tmp_path, monkeypatch):
    path = tmp_path / "wide.csv"
    names = [f"c{number}" for number in range(500)]
    path.write_text("\n".join([",".join(names), *[",".join(["ab"] * 500)] * 100]))
    together = []
    inner = pa.array
    monkeypatch.setattr(csv_rows, "_CELLS", 2_000)

    def spy(cells, *of, **more):
        together.extend([len(cells)] if pa.large_string() in of else [])
        return inner(cells, *of, **more)

    monkeypatch.setattr(pa, "array", spy)
    assert read(str(path)).frame.shape == (100, 500)
    assert set(together) == {4}


@pytest.mark.parametrize("content", ['a,b\n1,"2\n3,4\n', 'a,"b\n1,2\n', 'a\n"'])
def test_a_cell_that_has_no_end_is_told(content, tmp_path):
    path = tmp_path / "open.csv"
    path.write_text(content)
    with pytest.raises(ConfigurationError, match="begins with a quote and has no end"):
        read(str(path))


@pytest.mark.parametrize("content", ["\n\ntext\none\n\n", "\r\n\r\ntext,n\r\none,1\r\n"])
def test_blank_lines_before_the_names_are_passed_over(content, tmp_path):
    path = tmp_path / "blank.csv"
    path.write_bytes(content.encode())
    frame = read(str(path)).frame
    assert frame.columns.tolist() == content.split()[0].split(",")
    assert frame["text"].dropna().tolist() == ["one"]
    assert len(frame) == (2 if frame.shape[1] == 1 else 1)  # an empty cell, where one is a line


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of Unix")
@pytest.mark.parametrize(
    "options", [["--prompt-file"], ["-p", "{text}", "--schema"], ["-p", "{text}", "--system-file"]]
)
def test_a_prompt_that_never_ends_is_refused(ask, monkeypatch, options):
    monkeypatch.setattr("lionproc.cli.question._LONGEST_TEXT", 1000)
    table()
    code, _, err = ask("in.csv", *options, "/dev/zero")
    assert code == 2
    assert f"{options[-1]}: '/dev/zero' has more than 1,000 characters" in err


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="devices of Unix")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_device_is_no_table(ask, kind):
    code, _, err = ask("/dev/zero", "--from", kind, "-p", "{text}")
    assert code == 2
    assert "'/dev/zero'" in err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
@pytest.mark.parametrize("option", ["--schema", "--prompt-file", "--system-file"])
def test_a_pipe_that_lies_among_files_is_not_waited_for_as_a_question(ask, server, option):
    os.mkfifo("pipe.json")
    table()
    more = () if option == "--prompt-file" else ("-p", "Say {text}")
    before = server.counters.total
    code, _, err = ask("in.csv", option, "pipe.json", *more)
    assert (code, server.counters.total) == (2, before)
    assert f"{option}: 'pipe.json' is a pipe and no file" in err
    ours, theirs = os.pipe()  # as `<(...)` of a shell gives one
    os.write(theirs, b"Say {text}")
    os.close(theirs)
    assert ask("in.csv", "--prompt-file", f"/dev/fd/{ours}")[0] == 0
    os.close(ours)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of Unix")
def test_a_pipe_is_read_as_the_shell_gives_it(ask):
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(b"text\none\n",))
    writer.start()
    code, out, _ = ask("pipe", "--from", "csv", "-p", "Say {text}", "--save", "-")
    writer.join()
    assert (code, out) == (0, "text,answer\none,echo: Say one\n")


def test_other_encodings_are_read_when_they_are_named_or_marked(ask):
    Path("a.csv").write_bytes("text\ncafé\n".encode("cp1252"))
    Path("b.csv").write_bytes("text;n\ncafé;1\n".encode("utf-16"))
    assert ask("a.csv", "-p", "{text}", "--encoding", "cp1252")[0] == 0
    Path("c.csv").write_bytes("text,n\ncafé,1\n".encode("utf-32"))
    Path("d.jsonl").write_bytes('{"text": "café"}\r\n'.encode("utf-16"))  # as PowerShell's > does
    assert ask("d.jsonl", "-p", "{text}")[0] == 0
    answered = pd.read_json("d-answered.jsonl", lines=True)
    assert answered.to_dict("records") == [{"text": "café", "answer": "echo: café"}]
    assert ask("b.csv", "-p", "{text}")[0] == 0
    assert ask("c.csv", "-p", "{text}")[0] == 0
    assert Path("c-answered.csv").read_text("utf-8-sig") == "text,n,answer\ncafé,1,echo: café\n"
    assert Path("a-answered.csv").read_text("utf-8") == "text,answer\ncafé,echo: café\n"
    assert Path("b-answered.csv").read_text("utf-8-sig") == "text;n;answer\ncafé;1;echo: café\n"


@pytest.mark.parametrize("to", ["csv", "jsonl"])
def test_cells_that_the_output_cannot_have_are_refused_before_anything_is_sent(ask, server, to):
    frame = pd.DataFrame({"text": ["a", "b"], "raw": [b"fine", b"\xff\x00"]})
    frame.to_parquet("in.parquet")
    before = server.counters.total
    for where in (["--save", f"out.{to}"], ["--save", "-", "--to", to]):
        code, out, err = ask("in.parquet", "-p", "Say {text}", *where)
        assert (code, out, server.counters.total) == (2, "", before)
        assert "Column 'raw'" in err
    assert ask("in.parquet", "-p", "Say {text}", "--save", "out.parquet")[0] == 0
    frame.drop(columns="raw").to_parquet("in.parquet")
    assert ask("in.parquet", "-p", "Say {text}", "--save", f"out.{to}")[0] == 0


def test_a_file_with_more_in_it_is_replaced_only_when_told(ask, server):
    table()
    assert ask("in.csv", "-p", "Say {text}")[0] == 0
    before, sent = Path("in-answered.csv").read_bytes(), server.counters.total
    for argv in (["--rows", 1], ["--into", "other"]):
        code, _, err = ask("in.csv", "-p", "Say {text}", *argv)
        assert code == 2
        assert "--overwrite" in err
    assert (Path("in-answered.csv").read_bytes(), server.counters.total) == (before, sent)
    assert ask("in.csv", "-p", "Say {text}", "--rows", 1, "--overwrite")[0] == 0
    assert len(pd.read_csv("in-answered.csv")) == 1


def test_a_fault_of_ours_is_a_sentence_and_a_traceback_only_when_asked_for(ask, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("lionproc.cli.asking.process", broken)
    table()
    code, _, err = ask("in.csv", "-p", "{text}")
    assert code == 1
    assert "ZeroDivisionError: oh" in err
    assert "Traceback" not in err
    monkeypatch.setenv("LIONPROC_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        ask("in.csv", "-p", "{text}")


# ---- as a process

MANY = 40


def command(server, *more, prompt="Say {text}"):
    return ["process", "in.csv", "-p", prompt, "--base-url", server.base_url, "-m",
            "test-model", "--concurrency", "2", *more]  # fmt: skip


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str
)
def test_what_was_answered_before_it_is_stopped_is_not_paid_again(server, zygotes, number):
    def latency_s(body):  # the first ten are answered, and no other before it is stopped
        return 30.0 if int(body["messages"][-1]["content"].split()[-1]) >= 10 else 0.0

    table(text="text\n" + "".join(f"row {n}\n" for n in range(MANY)))
    server.configure(latency_s=latency_s)
    before = server.counters
    argv = command(server, prompt=f"{number} {{text}}")
    code = (
        f"import os, signal\nos.environ['LIONPROC_API_KEY'] = {server.key!r}\n"
        f"os.environ['LIONPROC_HOME'] = '.lionproc'\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the suite may run under nohup\n"
        f"from lionproc.cli import main\nraise SystemExit(main({argv!r}))"
    )
    child = zygotes[0].start(code, folder=Path.cwd())
    server.wait_for(lambda c: c.ok >= before.ok + 10 and c.in_flight == 2, timeout_s=30)
    child.signal(number)
    ended = child.wait()
    assert ended == (-9 if number == signal.SIGKILL else 128 + number)
    assert not Path("in-answered.csv").exists()
    if number != signal.SIGKILL:
        assert "the same command goes on" in child.output
        assert "Traceback" not in child.output
    server.configure(latency_s=0.0)
    sent = server.counters.total
    assert main([*argv, "-q"]) == 0
    assert len(pd.read_csv("in-answered.csv").dropna()) == MANY
    assert server.counters.total == sent + MANY - 10


def test_in_a_pipe_that_closes_nothing_is_said_of_it(server):
    """The real command, as a shell runs it: `lionproc process ... --save - | head -1`."""
    table(text="text\n" + "".join(f"row {n} {'x' * 3000}\n" for n in range(MANY)))
    argv = [sys.executable, "-m", "lionproc", *command(server, "--save", "-", "-q")]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b"text,answer\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 141


def test_whoever_reads_the_progress_may_go_and_the_work_is_done(server):
    """`lionproc process ... 2>&1 >&- | head`, or a session that ends: the run does not hang."""
    table(text="text\n" + "".join(f"row {n}\n" for n in range(MANY)))
    server.configure(latency_s=0.05)
    argv = [sys.executable, "-m", "lionproc", *command(server, prompt="Slowly {text}")]
    with subprocess.Popen(
        argv, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        process.stderr.read(1)
        process.stderr.close()
        try:
            assert process.wait(40) == 0
        finally:
            process.kill()
    assert len(pd.read_csv("in-answered.csv").dropna()) == MANY


def test_its_key_is_in_no_argument_and_no_output(ask, server):
    table()
    _, out, err = ask("in.csv", "-p", "Say {text}", "--json")
    assert server.key not in out + err
    for command_name in ("process", "estimate", "preview", "demo"):
        assert main([command_name, "--help"]) == 0


def test_its_help_comes_without_pandas(server):
    code = (
        "import sys; from lionproc.cli import main\n"
        "assert main(['process', '--help']) == 0\n"
        "heavy = {'pandas', 'numpy', 'pyarrow', 'openai', 'aiohttp', 'tqdm', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout
    assert shown.splitlines()[-1] == "[]"
    for said in ("Exit codes:", "130", "Examples:", "--labels", "007"):
        assert said in shown


def test_lines_of_empty_lists_and_objects_fill_no_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "_SPARE_BYTES", 2**19)
    path = tmp_path / "in.jsonl"
    for cell in ("[]", "{}", '{"a":1}'):
        path.write_text('{"t":["a",{"b":"a text"}]}\n' * 2000)
        assert len(read(str(path)).frame) == 2000
        with path.open("a") as file:
            file.write('{"t":[' + ",".join([cell] * 20_000) + "]}")
        with pytest.raises(ConfigurationError, match="more memory than the file has bytes"):
            read(str(path))


def test_cells_of_many_brackets_are_read_as_any_text(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "_SPARE_BYTES", 2**19)
    path = tmp_path / "in.jsonl"
    texts = ["{" * 10_000, "[" * 10_000, '"{' * 10_000, "short"]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert read(str(path)).frame["text"].tolist() == texts
