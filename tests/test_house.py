"""The order of the house: which room may import which, what is public, and what stays unread."""

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lionproc

PACKAGE = Path(lionproc.__file__).parent
ROOT = PACKAGE.parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each room may import from the package, besides itself. See the design: one direction.
MAY_IMPORT = {
    "habits": set(),
    "errors": {"habits"},
    "seeded_random": set(),
    "face": {"errors"},
    "template": {"errors"},
    "schema_sample": {"errors", "seeded_random"},
    "engine": {"errors", "face"},
    "model": {"errors", "face", "engine", "schema_sample"},
    "notebook": {"errors", "face", "engine"},
    "frame": {
        "errors",
        "face",
        "template",
        "engine",
        "model",
        "notebook",
        "service",
        "reports",
        "evaluation",
    },
    "service": {"errors", "face", "template", "engine", "model"},
    "reports": {"errors", "face", "engine", "model", "notebook", "frame"},
    "evaluation": {"errors", "face", "engine", "model", "frame", "notebook"},
    "cli": {"errors", "template", "engine", "model", "frame", "notebook", "reports", "data"},
    "data": set(),
    "testing": {"errors", "face", "seeded_random", "schema_sample"},
    "dask": {"errors", "face", "engine", "model", "frame", "notebook"},
}
# A frame shows itself through the notebook's room, one module of it is the door to the service's
# pipeline, one to the reports and one to the evaluation. All are imported where they are used, so that none is needed.
ONLY_WHERE_USED = {("frame", "notebook"), ("frame", "service"), ("frame", "reports")}
DOORS = {
    ("frame", "service"): "frame/pipeline.py",
    ("frame", "reports"): "frame/reporting.py",
    ("frame", "evaluation"): "frame/scoring.py",
}
HEAVY = (
    "openai", "aiohttp", "ipywidgets", "IPython", "jsonschema_rs", "genai_prices", "dask",
    "distributed", "httpx2", "matplotlib", "nest_asyncio2", "sklearn", "xllamacpp", "tqdm",
)  # fmt: skip


def room_of(module):
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name_of(module):
    return str(module.relative_to(PACKAGE))


@functools.cache
def tree_of(module):
    """Read once: most tests here look at the whole package, which takes seconds to parse."""
    return ast.parse(module.read_text())


@pytest.fixture(scope="module", autouse=True)
def forgotten_afterwards():
    yield
    tree_of.cache_clear()


def statements(node):
    """Those directly below a node, in each of its blocks."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, block, ())


def all_statements(node):
    for each in statements(node):
        yield each
        yield from all_statements(each)


@functools.cache
def imports(module):
    """(name, whether it is at the top, whether for types only) of each import of lionproc."""
    found = []

    def walk(node, top, types):
        for child in statements(node):
            inside = top and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            typing = types or (
                isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            )
            if isinstance(child, ast.Import):
                found.extend((alias.name, top, types) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: imports are written in full"
                found.append((child.module, top, types))
                found.extend((f"{child.module}.{alias.name}", top, types) for alias in child.names)
            walk(child, inside, typing)

    walk(tree_of(module), top=True, types=False)
    return [entry for entry in found if entry[0].split(".")[0] == "lionproc"]


def test_imports_run_one_way():
    wrong = []
    for module in MODULES:
        room, name = room_of(module), name_of(module)
        if room not in MAY_IMPORT:
            assert module.parent == PACKAGE, f"{room} has no place in the house yet"
            continue  # the door, the command line
        for imported, top, types in imports(module):
            other = [*imported.split("."), ""][1]
            if other in {"", room} or other not in MAY_IMPORT or types:
                continue
            if other not in MAY_IMPORT[room]:
                wrong.append(f"{name}: {room} must not import {other}")
            elif (room, other) in DOORS and name != DOORS[room, other]:
                wrong.append(f"{name} imports {other}: {DOORS[room, other]} is the door")
            elif top and (room, other) in ONLY_WHERE_USED and (room, other) not in DOORS:
                wrong.append(f"{name} imports {other} at its top")
    assert not wrong


def dotted(module):
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circles(needs):
    """The groups of modules that need each other (Tarjan's strongly connected components)."""
    order, lowest, path, found = {}, {}, [], []

    def visit(name):
        order[name] = lowest[name] = len(order)
        path.append(name)
        for other in needs[name]:
            if other not in order:
                visit(other)
            if other in path:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            group = path[path.index(name) :]
            del path[-len(group) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in needs:
        if name not in order:
            visit(name)
    return found


def test_a_circle_of_imports_is_found():
    needs = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(needs) == [["b", "c"]]


@pytest.mark.parametrize("types_too", [False, True])
def test_no_modules_import_each_other(types_too):
    """Neither at their tops, nor where something is first used, nor for the type checker alone."""
    names = {dotted(module) for module in MODULES}
    needs = {}
    for module in MODULES:
        found = {name for name, _, types in imports(module) if types_too or not types}
        found = names & found - {dotted(module)}
        # `from lionproc.engine import loop` needs the module, not what its room exports.
        rooms = {name for name in found if any(each.startswith(f"{name}.") for each in found)}
        needs[dotted(module)] = found - rooms
    assert circles(needs) == []


MOST_LINES = 400
MOST_METHODS = 25


def test_what_is_large_says_why():
    """`More than 400 lines because ...` and `more than 25 methods because ...`, in its docstring."""
    silent = []
    for module in MODULES:
        tree = tree_of(module)
        why = f"More than {MOST_LINES} lines"
        if module.read_text().count("\n") > MOST_LINES and why not in docstring_of(tree):
            silent.append(name_of(module))
        for each in all_statements(tree):
            if isinstance(each, ast.ClassDef):
                methods = {
                    part.name
                    for part in each.body
                    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef)
                    and not (part.name.startswith("__") and part.name.endswith("__"))
                }
                why = f"more than {MOST_METHODS} methods because"
                if len(methods) > MOST_METHODS and why not in docstring_of(each):
                    silent.append(f"{each.name} of {name_of(module)}")
    assert not silent


def docstring_of(node):
    return ast.get_docstring(node) or ""


MOST_ANY = 0.082  # of the annotations of parameters and results


def test_few_signatures_say_any():
    """`Any` switches the type checker off; what may be anything is an `object`."""
    said = []
    for module in MODULES:
        for node in all_statements(tree_of(module)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                taken = [each for each in ast.walk(node.args) if isinstance(each, ast.arg)]
                said += [each.annotation for each in taken if each.annotation]
                said += [node.returns] if node.returns else []
    anything = [each for each in said if re.search(r"\bAny\b", ast.unparse(each))]
    assert len(anything) <= MOST_ANY * len(said), f"{len(anything)} of {len(said)}"


def test_every_room_is_known():
    rooms = {room_of(module) for module in MODULES if module.parent != PACKAGE}
    assert rooms <= set(MAY_IMPORT)


def test_what_is_exported_is_listed_and_what_is_listed_is_exported():
    for name in lionproc.__all__:
        assert getattr(lionproc, name) is not None
    assert list(lionproc.__all__) == sorted(lionproc.__all__)
    public = {
        name
        for name, value in vars(lionproc).items()
        if not name.startswith("_") and not isinstance(value, type(sys))
    }
    assert public <= set(lionproc.__all__)


@pytest.mark.parametrize("room", sorted({room_of(module) for module in MODULES}))
def test_every_list_of_names_is_true(room):
    if room == "dask":
        pytest.importorskip("distributed")
    for module in MODULES:
        if room_of(module) != room or module.name == "__main__.py":
            continue
        loaded = importlib.import_module(dotted(module))
        missing = [name for name in getattr(loaded, "__all__", ()) if not hasattr(loaded, name)]
        assert not missing, f"{dotted(module)}.__all__ lists {missing}, which is not there"


# What only an extra brings, and the modules that may import it, where it is used.
OF_AN_EXTRA = {
    "xllamacpp": ("local", ("model/local",)),
    "fsspec": ("remote", ("frame/place.py",)),
    "matplotlib": (
        "plot",
        (
            "notebook/figure.py",
            "reports/plot.py",
            "evaluation/plot.py",
            "evaluation/comparison_plot.py",
        ),
    ),
    "sklearn": ("evaluate", ("evaluation/labels.py",)),
    "dask": ("dask", ("dask/", "frame/dask_meta.py")),
    "distributed": ("dask", ("dask/",)),
    "datasets": ("datasets", ("frame/as_arrow.py",)),
}


def distributions(requirements):
    """The names that are imported from what these requirements install."""
    names = {re.match(r"[\w-]+", each)[0].lower().replace("-", "_") for each in requirements}
    imported = {"ipython": "IPython", "scikit_learn": "sklearn"}
    return {imported.get(name, name) for name in names}


def third_party(module):
    """(name, whether it is needed to import the module) of each package that is not ours."""
    found = set()

    def walk(node, needed):
        for child in statements(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                found.update((alias.name.split(".")[0], needed) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                found.add((child.module.split(".")[0], needed))
            walk(child, needed and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    walk(tree_of(module), needed=True)
    return {each for each in found if each[0] not in {*sys.stdlib_module_names, "lionproc"}}


def test_everything_that_is_imported_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = distributions(project["dependencies"])
    extras = project["optional-dependencies"]
    for module in MODULES:
        path = str(module.relative_to(PACKAGE))
        for name, needed in third_party(module):
            if name in base:
                continue
            assert name in OF_AN_EXTRA, f"{path} imports {name}, which pyproject.toml lacks"
            extra, places = OF_AN_EXTRA[name]
            assert name in distributions(extras[extra])
            assert path.startswith(places), f"{path} imports {name}, of the extra [{extra}]"
            assert not needed or path.startswith("dask/"), f"{path} cannot do without {name}"


def run(code):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout


def test_importing_it_reads_nothing_heavy_and_registers_the_accessors():
    code = (
        "import json, sys, pandas\nbefore = set(sys.modules)\nimport lionproc\n"
        "print(json.dumps([sorted(set(sys.modules) - before), hasattr(pandas.DataFrame, 'llm'),"
        " hasattr(pandas.Series, 'llm')]))"
    )
    loaded, frames, series = json.loads(run(code))
    tops = {name.split(".")[0] for name in loaded}
    assert frames
    assert series
    assert not tops & set(HEAVY)
    assert not [name for name in loaded if name.startswith("lionproc.service.")]


def test_pandas_is_imported_when_somebody_wants_it_and_has_the_accessors_then():
    code = (
        "import sys, lionproc, importlib.util\nimportlib.util.find_spec('pandas')\n"
        "print('pandas' in sys.modules)\nimport lionproc.errors, pandas as pd\n"
        "print(type(pd.DataFrame.llm).__name__, type(pd.Series.llm).__name__)\n"
        "import importlib.resources\nprint((importlib.resources.files('pandas') / '__init__.py').is_file())\n"
        "import pyarrow, inspect\nprint(len(inspect.getsource(pd)) > 0, len(sys.meta_path))\n"
        "import importlib\nimportlib.reload(lionproc)\nprint(len(sys.meta_path))"
    )
    asked, kinds, found, read, again = run(code).splitlines()
    assert (asked, kinds, found) == ("False", "Later Later", "True")
    assert read == f"True {again}"


@pytest.mark.parametrize(
    "name", ["register", "read_parquet", "read_review", "Job", "runs", "types"]
)
def test_any_name_can_be_the_first_that_is_used_before_anybody_imports_pandas(name):
    code = (
        f"import lionproc\nlionproc.{name}\nimport pandas\nprint(pandas.DataFrame.llm is not None)"
    )
    assert run(code) == "True\n"


def test_an_import_of_pandas_that_failed_may_succeed_the_next_time(tmp_path):
    """As in a notebook: it is not installed, or broken, and mended while the kernel lives."""
    (tmp_path / "pandas.py").write_text("raise RuntimeError('broken')")
    code = (
        f"import sys, importlib, lionproc\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "for _ in range(2):\n"
        "    try:\n        import pandas\n    except RuntimeError as error:\n        print(error)\n"
        f"sys.path.remove({str(tmp_path)!r})\nimportlib.invalidate_caches()\n"
        "import pandas\nprint(pandas.DataFrame.llm is not None)"
    )
    assert run(code).splitlines() == ["broken", "broken", "True"]


def test_importing_it_starts_no_thread_and_writes_no_file(tmp_path):
    code = (
        f"import os, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, {str(ROOT)!r})\n"
        "import threading, lionproc\nprint(threading.active_count(), os.listdir('.'))"
    )
    assert run(code).strip() == "1 []"


# The page of promises


LINK = re.compile(r"\[`?([^`\]]+)`?\]\((tests/[^)#]+\.py)\)")


def promises():
    page = ROOT / "RELIABILITY.md"
    return LINK.findall(page.read_text())


def test_every_test_that_reliability_names_exists():
    named = promises()
    assert len(named) > 40
    for test, file in named:
        path = ROOT / file
        assert path.exists(), f"RELIABILITY.md links to {file}, which is not there"
        source = path.read_text()
        assert re.search(rf"def {re.escape(test)}\(", source), f"{file} has no {test}"


def test_every_promise_has_a_test():
    page = (ROOT / "RELIABILITY.md").read_text()
    promised = [
        line
        for line in page[page.index("## Crash") :].splitlines()
        if line.startswith("| ") and not line.startswith("| What happens |")
    ]
    assert len(promised) > 50
    for line in promised:
        assert LINK.search(line), f"without a test: {line}"


# Where Python's own reader of JSON is used, and not `read_json`, which bounds what a stranger wrote.
READ_AS_THEY_ARE = {
    "engine/json_bounds.py": "it is `read_json`",
    "model/as_json.py": "what was written a moment before",
    "model/body.py": "bounded, and read up to where the JSON ends",
    "model/confidence.py": "bounded, and read value by value",
    "model/local.py": "a line of the child process",
    "model/local_server.py": "a line of the parent process",
    "engine/kept_process.py": "what a child process says",
    "engine/kept_server.py": "within a child process, which may end",
    "model/trial_server.py": "within a child process, which may end",
    "testing/logprobs.py": "answers of the test server",
}


def test_json_of_strangers_is_read_within_bounds():
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if name in {"json.loads", "json.load", "json.JSONDecoder"}:
                found.add(path.relative_to(PACKAGE).as_posix())
    assert found == set(READ_AS_THEY_ARE)


# The tests


def test_no_test_compares_in_the_message_of_an_assertion():
    """`assert a, b == c` looks like a comparison and holds whatever b is."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in all_statements(ast.parse(path.read_text())):
            if isinstance(node, ast.Assert) and isinstance(node.msg, ast.Compare | ast.BoolOp):
                pytest.fail(f"{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)}")


def test_the_top_of_the_repository_has_what_belongs_there():
    """What a trial leaves in the working folder is committed with everything else in it."""
    told = subprocess.run(
        ["git", "ls-files"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    files = {name for name in told.stdout.splitlines() if "/" not in name}
    assert files <= {
        ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "RELIABILITY.md",
        "pyproject.toml",
    }  # fmt: skip
