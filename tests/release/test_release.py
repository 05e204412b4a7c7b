"""What is handed out: wheel and sdist, built, installed into a clean environment and used there."""

import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

import lionproc as lp

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def run(*command, cwd=None):
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@dataclass
class Built:
    folder: Path
    wheel: Path
    sdist: Path

    @property
    def files(self):
        with zipfile.ZipFile(self.wheel) as packed:
            return packed.namelist()

    @property
    def metadata(self) -> Message:
        with zipfile.ZipFile(self.wheel) as packed:
            (name,) = [each for each in packed.namelist() if each.endswith("/METADATA")]
            return message_from_bytes(packed.read(name))

    @property
    def python(self):
        return self.folder / "venv" / "bin" / "python"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Wheel and sdist of the checkout, and the first installed where nothing else is.

    Its dependencies are those of the tests' own environment, which comes after it on the path,
    as a plain folder: what is installed there to be edited is not found by way of it.
    """
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("release")
    run(sys.executable, "-m", "hatchling", "build", "-d", folder, cwd=ROOT)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    made = Built(folder, wheel, sdist)
    venv.create(folder / "venv", symlinks=True)
    quiet = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    run(sys.executable, "-m", "pip", "--python", made.python, "install", *quiet, wheel)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    others = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "dependencies.pth").write_text("\n".join(others))
    return made


def test_the_wheel_has_the_package_its_licence_and_nothing_else(built):
    ours = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "lionproc").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and ".lionproc" not in path.parts
    }
    packed = {name for name in built.files if ".dist-info/" not in name}
    assert packed == ours
    assert {"lionproc/py.typed", "lionproc/data/reviews.csv"} <= packed
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in built.files)


def test_the_sdist_has_what_a_distributor_needs_and_makes_the_same_wheel(built):
    with tarfile.open(built.sdist) as packed:
        packed.extractall(built.folder / "sdist", filter="data")
    (source,) = (built.folder / "sdist").iterdir()
    names = {str(path.relative_to(source)) for path in source.rglob("*")}
    assert {"LICENSE", "README.md", "CHANGELOG.md", "RELIABILITY.md"} <= names
    assert {"tests/conftest.py", "notebooks/01_quickstart.ipynb", "docs/panel.png"} <= names
    assert not [name for name in names if re.search(r"\.lionproc|__pycache__|\.parquet$", name)]
    assert f"\n## {lp.__version__}\n" in (source / "CHANGELOG.md").read_text()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", source / "out", cwd=source)
    (again,) = (source / "out").iterdir()
    assert again.read_bytes() == built.wheel.read_bytes()


def test_the_metadata_says_what_holds(built):
    said = built.metadata
    assert (said["Name"], said["Version"]) == ("lionproc", lp.__version__)
    assert said["License-Expression"] == "MIT"
    assert said["Description-Content-Type"] == "text/markdown"
    tested = re.search(r"^VERSIONS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(said.get_all("Classifier")))
    assert classified == tested.split()
    assert said["Requires-Python"] == f">={classified[0]}"
    assert "Typing :: Typed" in said.get_all("Classifier")
    assert set(said.get_all("Provides-Extra")) == set(PROJECT["optional-dependencies"])


def test_every_extra_that_people_are_told_of_is_there():
    told = {"README.md", "RELIABILITY.md"} | {
        str(path.relative_to(ROOT))
        for folder in ("lionproc", "docs")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".md"}
    }
    named = {
        extra
        for path in told
        for extras in re.findall(r"(?:lionproc|\.)\[([a-z,]+)\]", (ROOT / path).read_text())
        for extra in extras.split(",")
    }
    assert named
    assert named <= set(PROJECT["optional-dependencies"])


# Installed

PROGRAM = """
import sys
BLOCKED = {blocked}
sys.modules.update(dict.fromkeys(BLOCKED))  # importing one of them fails
import pandas as pd
import lionproc as lp
from lionproc.testing import Server
before = set(sys.modules)
with Server(answer="positive") as server:
    lp.configure(model=lp.Model("openai", "m", base_url=server.base_url, api_key=server.key))
    df = pd.DataFrame({{"review": ["A joy.", "Broke."]}})
    out = df.llm.process("Is {{review}} positive?", into="mood", save="out.parquet")
print(list(out["mood"]), lp.read_facts("out.parquet")["rows"], repr(out.llm.report())[:9])
print(lp.__file__)
print({{name.partition(".")[0] for name in set(sys.modules) - before}} & set(NEVER))
"""
# What no run needs, only a notebook, a plot, a score, a command or a cluster.
NEVER = (
    "IPython", "dask", "datasets", "distributed", "fsspec", "ipywidgets", "matplotlib",
    "nest_asyncio2", "scipy", "sklearn", "traitlets", "typer", "xllamacpp",
)  # fmt: skip


def used(built, tmp_path, *interpreter, blocked=()):
    program = tmp_path / "program.py"
    program.write_text(f"NEVER = {NEVER!r}" + PROGRAM.format(blocked=list(blocked)))
    done = run(built.python, *interpreter, program, cwd=tmp_path)
    assert "Warning" not in done.stderr
    answers, place, loaded = done.stdout.splitlines()[-3:]
    assert answers.startswith("['positive', 'positive'] 2 ")
    assert Path(place).is_relative_to(built.folder)
    return loaded


def test_it_is_imported_without_a_warning_and_with_nothing_but_itself(built, tmp_path):
    code = (
        "import sys\nbefore = set(sys.modules)\nimport lionproc\n"
        "print({name.partition('.')[0] for name in set(sys.modules) - before}"
        " - sys.stdlib_module_names)"
    )
    done = run(built.python, "-W", "error", "-c", code, cwd=tmp_path)
    assert done.stdout == "{'lionproc'}\n"
    assert not list(tmp_path.iterdir())


def test_a_run_in_plain_python_needs_no_notebook_and_loads_nothing_it_does_not_use(built, tmp_path):
    loaded = used(built, tmp_path, "-W", "error", blocked=("ipywidgets", "IPython"))
    assert loaded == "set()"


def test_a_run_in_a_terminal_of_ipython_needs_no_widgets(built, tmp_path):
    used(built, tmp_path, "-m", "IPython", "--quick", blocked=("ipywidgets",))


def test_the_command_is_installed(built, tmp_path):
    done = run(built.python.with_name("lionproc"), "--version", cwd=tmp_path)
    assert lp.__version__ in done.stdout


# What is skipped is of no kind in the program; all of it takes half a minute to read.
SETTINGS = """
[mypy]
strict = true
disallow_subclassing_any = false
[mypy-{skipped}]
follow_imports = skip
follow_imports_for_stubs = true
"""


def test_a_program_that_uses_the_api_as_documented_passes_the_type_checker(built, tmp_path):
    pytest.importorskip("mypy")
    needed = {re.match(r"[\w-]+", each)[0] for each in PROJECT["dependencies"]} - {"pandas"}
    needed |= {"IPython", "PIL", "jinja2", "matplotlib", "pydantic_core", "pyparsing"}
    skipped = [name.replace("-", "_") + ".*" for name in needed]
    (tmp_path / "mypy.ini").write_text(SETTINGS.format(skipped=",".join(sorted(skipped))))
    (tmp_path / "using_it.py").write_text((HERE / "using_it.py").read_text())
    done = run(
        sys.executable,
        *("-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "/dev/null"),
        *("--python-executable", built.python, "using_it.py"),
        cwd=tmp_path,
    )
    assert "Success: no issues found in 1 source file" in done.stdout
