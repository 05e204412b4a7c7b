"""What is said at the end is said in the words of the command."""

import pytest

from lionproc.cli import main
from lionproc.cli.ending import said


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("Choose another name with into=, or say overwrite=True.", "Choose another name with --into, or say --overwrite."),
        ("into='x' is the start", "--into 'x' is the start"),
        ("Give it as Model(..., price=lp.Price(input=..., output=...)).", "Give it as --price IN,OUT."),
        ("check api_key= or base_url=.", "check --key-env or --base-url."),
        ("lp.run('2026-a').errors() lists the errors", "`lionproc report 2026-a --errors FILE` lists the errors"),
        ("a=b stays, and savepoint=1 too", "a=b stays, and savepoint=1 too"),
    ],
)  # fmt: skip
def test_arguments_of_python_are_options_here(there, here):
    assert said(there) == here


def test_a_shell_completes_commands_and_options(monkeypatch, capsys):
    monkeypatch.setenv("_LIONPROC_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("COMP_WORDS", "lionproc process --lab")
    assert main([]) == 0
    assert capsys.readouterr().out.split() == ["--labels"]
