"""What the docstrings and pages show is true: each example is run, on a server of our own."""

import ast
import asyncio
import doctest
import importlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
import pydantic
import pytest

import lionproc as lp
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.testing import Server

PACKAGE = Path(lp.__file__).parent
ROOT = PACKAGE.parent
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")})
FENCED = re.compile(r"^( *)```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def dotted(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def blocks_of_docstrings():
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "```python" in source else ():
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                text = ast.get_docstring(node) or ""
                name = ".".join((dotted(path), getattr(node, "name", ""))).rstrip(".")
                for block in FENCED.finditer(text):
                    yield pytest.param(dotted(path), textwrap.dedent(block[2]), id=name)


def blocks_of_pages():
    for path in PAGES:
        text = path.read_text()
        for block in FENCED.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            yield pytest.param(textwrap.dedent(block[2]), id=f"{path.relative_to(ROOT)}:{line}")


@pytest.fixture(autouse=True)
def session(tmp_path, monkeypatch):
    """A folder, a journal and a session of its own; OpenAI's address is a server of ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("lionproc.model.defaults._session", {})
    with Server() as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        lp.configure(model="openai/test-model", progress=False, limits={"adapt": False})
        yield server


# Doctests


def examples(path):
    if path.is_relative_to(PACKAGE / "dask"):
        pytest.importorskip("distributed")
    return doctest.DocTestFinder().find(importlib.import_module(dotted(path)))


WITH_EXAMPLES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text()]


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=dotted)
def test_every_example_gives_what_it_shows(path):
    lp.configure(model=None, progress=None, limits=None)  # as in a session just begun
    shown = []
    runner = doctest.DocTestRunner()
    found = examples(path)
    for test in found:
        runner.run(test, out=shown.append)
    assert not runner.failures, "".join(shown)
    left_out = [e for test in found for e in test.examples if doctest.SKIP in e.options]
    assert runner.tries or left_out


def test_no_example_is_left_out_unseen():
    """`>>>` in a place where doctest does not look would be shown to people and never run."""
    for path in WITH_EXAMPLES:
        found = sum(
            example.source.count("\n") for test in examples(path) for example in test.examples
        )
        written = len(re.findall(r"^ *(?:>>>|\.\.\.) ", path.read_text(), re.MULTILINE))
        assert found == written, path.name


# Blocks of Python


class Question:
    """A call of the engine's, for examples that have one."""

    key = None
    estimate = Tokens(1, 1)

    async def send(self):
        return Reply(raw=b"1", data=1, used=Tokens(1, 1))

    def parse(self, raw):
        return int(raw)

    def read(self, data):
        return data

    def correction(self, data, error):
        return None


class Review(pydantic.BaseModel):
    """An answer type, for examples that have one."""

    mood: Literal["good", "bad"]


def frame():
    return pd.DataFrame({"review": ["A joy to use.", "Broke on day two."]})


def given(source):
    """What an example takes for granted."""
    run = {}
    if re.search(r"\b(out|job)\.", source):
        out = (
            frame()
            .llm.process("Is {review} positive?", into="ok")
            .assign(
                checked=True,
                sentiment=["positive", "negative"],
                sentiment_confidence=[0.9, 0.6],
                label=["positive", "positive"],
                country=["FR", "PT"],
            )
        )
        run = {"out": out, "job": lp.last_job()}
    return {
        **run,
        "Annotated": Annotated,
        "Literal": Literal,
        "Model": lp.Model,
        "Review": Review,
        "call": Question(),
        "df": frame(),
        "lp": lp,
        "pd": pd,
        "polars": importlib.import_module("polars"),
        "service": lp.ProcessingService(),
    }


def run(source, names):
    """Run a block as a notebook would: `await` may stand alone."""
    # The embedded model has tests of its own.
    source = source.replace('model="local"', 'model="openai/test-model"')
    code = compile(source, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, names)  # noqa: S307  (the project's own words)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(made)


@pytest.mark.parametrize(("module", "source"), list(blocks_of_docstrings()))
def test_every_block_of_a_docstring_runs(module, source, session, caplog):
    if module.startswith("lionproc.dask"):
        pytest.importorskip("distributed")
    run(source, vars(importlib.import_module(module)) | given(source))
    # A cluster's own log says when the machine is busy.
    ours = [entry for entry in caplog.records if not entry.name.startswith("distributed")]
    assert not [entry.message for entry in ours if entry.levelname == "WARNING"]


@pytest.mark.parametrize("source", list(blocks_of_pages()))
def test_every_block_of_a_page_is_python_and_names_what_there_is(source):
    tree = compile(source, "page", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name("lp"), attr=name):
                assert hasattr(lp, name), f"lp.{name}"
            case ast.Attribute(value=ast.Attribute(attr="llm"), attr=name):
                faces = (frame().llm, frame()["review"].llm)
                assert any(hasattr(face, name) for face in faces), f".llm.{name}"
            case ast.ImportFrom(module=module, names=names) if module.startswith("lionproc"):
                for alias in names:
                    assert hasattr(importlib.import_module(module), alias.name), alias.name
