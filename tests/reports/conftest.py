"""A home of its own for each test of what a journal remembers."""

import pytest

import lionproc as lp


@pytest.fixture
def quiet_home(tmp_path, monkeypatch):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    lp.configure(progress=False)
    yield
    lp.configure(progress=None)
