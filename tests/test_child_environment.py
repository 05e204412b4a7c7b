import os

import pytest

from lionproc.child_environment import environment
from lionproc.model import local


@pytest.mark.parametrize(
    "name",
    [
        *(
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "HF_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "LLAMA_API_KEY",
        ),
        *(
            "LLAMA_ARG_HOST",
            "OPENAI_BASE_URL",
            "MY_THING",
            "CUDA_AUTH_TOKEN",
            "PGPASSWORD",
            "LD_PRELOAD",
        ),
    ],
)
def test_a_variable_that_the_model_does_not_need_is_not_passed_on(monkeypatch, name):
    monkeypatch.setenv(name, "SECRET")
    assert name not in environment()


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS"]
)
def test_what_it_needs_is(monkeypatch, name):
    monkeypatch.setenv(name, "value")
    assert environment()[name] == "value"


def test_the_process_of_the_model_gets_that_and_nothing_more(monkeypatch, tmp_path):
    told = tmp_path / "told"
    stand_in = tmp_path / "server.py"
    stand_in.write_text(f"import os; open({str(told)!r}, 'w').write(repr(dict(os.environ)))")
    weights = tmp_path / "x.gguf"
    weights.write_bytes(b"GGUF" + bytes(1000))
    monkeypatch.setattr(local, "SERVER", stand_in)
    monkeypatch.setattr(local, "_packages", lambda **_: tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-SECRET")
    with pytest.raises(local.ModelError):
        local.start(weights)
    shown = told.read_text()
    assert "SECRET" not in shown
    assert os.environ["PATH"] in shown
