"""What is said at the end is said in the words of the command."""

import json

import pytest
import typer

from lionproc.cli import main
from lionproc.cli.app import app
from lionproc.cli.ending import ended, said, show_json


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("Choose another name with into=, or say overwrite=True.", "Choose another name with --into, or say --overwrite."),
        ("into='x' is the start", "--into 'x' is the start"),
        ("Give it as Model(..., price=lp.Price(input=..., output=...)).", "Give it as --price IN,OUT."),
        ('works with Model("openai", model=..., base_url=...).', "works with --base-url URL --model NAME."),
        ("(as save=...), or schema=(...)", "(as --save), or --schema"),
        ("check api_key= or base_url=.", "check --key-env or --base-url."),
        ("lp.run('2026-a').errors() lists the errors", "`lionproc report 2026-a --errors FILE` lists the errors"),
        ("add credit, then run the same cell again.", "add credit, then run the same command again."),
        ("Running the cell again asks for the rest.", "Running the same command again asks for the rest."),
        ("lp.run('2026-a').frame(df) has what was answered; x", "x"),
        ("requests_per_minute must be above 0 (None for no limit), not 0", "--rpm must be above 0, not 0"),
        ("an error. Nothing is lost, the frame is still in memory: choose another path, and save it again.", "an error. What was answered is kept: choose another path, and run the same command again: the journal answers it."),
        ("a=b stays, and savepoint=1 too", "a=b stays, and savepoint=1 too"),
    ],
)  # fmt: skip
def test_arguments_of_python_are_options_here(there, here):
    assert said(there) == here


def test_a_name_of_a_stranger_commands_no_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("t\x1b]52;c;eA==\x07\x9b\u202e\nx\n")
    assert main(["process", "in.csv", "-p", "the same", "-m", "openai/m", "--delimiter", ","]) == 2
    told = capsys.readouterr().err
    assert "names no column" in told
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(told)


@pytest.mark.parametrize("beside", [False, True])
def test_json_commands_no_terminal_and_letters_of_any_language_are_readable(capfdbinary, beside):
    name = "\x1b\x7f\x9b\u202e\u2028\ufeff\U000e0001 naïve 日本語 עברית 🦁"
    show_json({"name": name}, beside=beside)
    told = capfdbinary.readouterr()[beside].decode()
    assert json.loads(told) == {"name": name}
    assert told.endswith('\\udc01 naïve 日本語 עברית 🦁"}\n')
    assert told[:-1].isprintable()


def test_an_error_of_the_system_is_no_fault_of_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    name = f"{'n' * 251}.csv"  # there is room for it, and none for -answered behind it
    (tmp_path / name).write_text("t\nx\n")
    assert main(["process", name, "-p", "{t}", "-m", "openai/m"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("lionproc: File name too long")
    assert "fault" not in told


def test_too_little_memory_is_no_fault_of_ours(capsys):
    def giant():
        raise MemoryError

    assert ended(giant, debug=False) == 1
    told = capsys.readouterr().err
    assert "There is not enough memory" in told
    assert "fault" not in told


def test_a_shell_completes_commands_and_options(monkeypatch, capsys):
    monkeypatch.setenv("_LIONPROC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("COMP_WORDS", "lionproc process --lab")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["--labels"]


def commands(group, path=()):
    for name, each in group.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


def test_every_command_and_every_option_has_help(capsys):
    found = dict(commands(typer.main.get_command(app)))
    assert {("process",), ("estimate",), ("preview",), ("runs",), ("report",), ("demo",)} < set(
        found
    )
    assert {path[1] for path in found if path[0] == "journal"} == {
        "info",
        "prune",
        "export",
        "verify",
    }
    for path, command in found.items():
        assert command.help, path
        assert [each.name for each in command.params if not each.help] == [], path
        assert main([*path, "--help"]) == 0
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 100, path
