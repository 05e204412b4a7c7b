"""Programs written as a user of another library would write them, on lionproc's names alone."""

import asyncio
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lionproc

OWN_CLASSES = """
from lionproc import Branch, Model, RateLimitedAPIExecutor, types, Form, Field
from typing import Any, Dict
import asyncio

class Service:
    def __init__(self, rate):
        self.executor = RateLimitedAPIExecutor(
            queue_capacity=1000, capacity_refresh_time=60,
            limit_requests=rate, limit_tokens=100000,
        )
        self.branch = Branch(name="Own", system="Work on data.")
        self.model = Model(
            provider="openai", model="gpt-3.5-turbo", temperature=0.3, executor=self.executor
        )
        self.branch.add_model(self.model)

    async def work(self, data, schema=None):
        try:
            answer = await self.branch.chat(f"Data: {data} Schema: {schema}")
            return {"status": "success", "result": answer}
        except Exception as error:
            return {"status": "error", "error": str(error)}

class Stage(Form):
    name: str = Field(description="Stage name")
    type: str = Field(description="Type", pattern="^(text|numeric|mixed)$")
    options: Dict[str, Any] = Field(description="Options")
    schema: Dict[str, Any] = Field(description="Output schema")
    rate_limit: int = Field(description="Requests per minute", ge=1)
"""

ONE_BY_ONE = (
    OWN_CLASSES
    + """
async def main():
    service = Service(600)
    for item in ({"text": "a"}, {"numbers": [1, 2]}):
        print((await service.work(item))["status"])

asyncio.run(main())
"""
)

IN_CHUNKS = (
    OWN_CLASSES
    + """
async def main():
    service = Service(1200)
    for start in range(0, 20, 5):
        told = await asyncio.gather(*[service.work({"n": n}) for n in range(start, start + 5)])
        print(*[each["status"] for each in told])

asyncio.run(main())
"""
)

STAGES = (
    OWN_CLASSES
    + """
async def main():
    data = [{"text": "a"}, {"text": "b"}]
    for name, rate in (("Text", 60), ("Enrich", 30)):
        stage = Stage(name=name, type="text", options={}, schema={"type": "object"}, rate_limit=rate)
        dumped = stage.model_dump()
        told = await Service(dumped["rate_limit"]).work(data, dumped["schema"])
        data = told["result"]
        print(told["status"])
    try:
        Stage(name="Bad", type="poetry", options={}, schema={}, rate_limit=0)
    except Exception:
        print("refused")

asyncio.run(main())
"""
)

READY = """
from lionproc import BatchProcessor, Pipeline, ProcessingService
import asyncio

SCHEMA = {"type": "object", "properties": {"processed": {"type": "string"}}}

async def main():
    service = ProcessingService(name="S", save_dir="s", requests_per_minute=600, max_tokens=100000)
    told = await service.process_data(data={"text": "a"}, schema=SCHEMA)
    print(told["status"], service.get_request(told["request_id"])["status"])
    batches = BatchProcessor(name="B", save_dir="b", batch_size=5, requests_per_minute=6000)
    batch = await batches.process_batch(items=[{"n": n} for n in range(20)], schema=SCHEMA)
    print(batch["status"], len(batch["results"]), batches.get_batch(batch["batch_id"])["status"])
    pipeline = Pipeline(name="P", save_dir="p")
    for name in ("One", "Two"):
        print((await pipeline.add_stage({
            "name": name, "type": "text", "options": {"format": "json"},
            "schema": SCHEMA, "rate_limit": 600,
        }))["stage_id"])
    job = await pipeline.process_data([{"text": "a"}, {"text": "b"}])
    print(job["status"], pipeline.get_results(job["job_id"])["status"])

asyncio.run(main())
"""


KEPT_TO_THE_END = """
import atexit, gc
atexit.register(lambda: (globals().pop("service"), gc.collect()))  # called last
from lionproc import ProcessingService
import asyncio

async def main():
    print((await service.process_data({"n": 1}))["status"])

service = ProcessingService(name="S", save_dir="s")
asyncio.run(main())
"""


PROGRAMS = [
    (ONE_BY_ONE, "success success"),
    (IN_CHUNKS, " ".join(["success"] * 20)),
    (STAGES, "success success refused"),
    (READY, "success completed success 20 completed stage_0 stage_1 success completed"),
]
GIVEN = """
import os, warnings
os.environ |= openai
os.environ.pop("LIONPROC_HOME")
warnings.simplefilter("error")
"""


@pytest.mark.parametrize(
    ("program", "says"), PROGRAMS, ids=["one_by_one", "in_chunks", "stages", "ready"]
)
def test_a_script_runs_with_nothing_but_the_openai_variables(
    server, tmp_path, zygotes, program, says
):
    openai = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.key}
    done = zygotes[0].run(GIVEN + program, tmp_path, openai=openai)
    assert done.output.split() == says.split()  # and not one warning
    assert done.status == 0
    kept_without(server.key, tmp_path)


def test_a_script_whose_service_lives_to_the_very_end_says_nothing_at_it(server, tmp_path):
    """In a Python of its own, which takes itself apart."""
    (tmp_path / "program.py").write_text(KEPT_TO_THE_END)
    openai = {"OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.key}
    done = subprocess.run(
        [sys.executable, "-W", "error", "program.py"],
        env={**os.environ, **openai},
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.stdout.split() == ["success"], done.stderr
    assert done.stderr == ""
    kept_without(server.key, tmp_path)


def kept_without(key, folder):
    assert key not in "".join(path.read_text() for path in folder.rglob("*.json"))


PAGE = os.environ.get("LIONPROC_CHAPTER", "")
IMPORTED = "from lionagi import Branch, Model, RateLimitedAPIExecutor, types"
OWN = "from lionproc import Branch, Model, RateLimitedAPIExecutor, types, Form, Field"
READY_MADE = "import asyncio\nfrom lionproc import ProcessingService, BatchProcessor, Pipeline\n"


def programs_of(page):
    """The page's programs, with its own classes and with ours; only import lines are changed."""
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)[:3]
    blocks = [block.replace(IMPORTED, OWN) for block in blocks]
    classes, usages = zip(*(block.split("# Usage\n") for block in blocks), strict=True)
    own = [(classes[0] + (classes[n] if n else "") + usages[n]) for n in range(3)]
    return own + [READY_MADE + usage for usage in usages]


if PAGE:  # the page's text is not ours to ship; LIONPROC_CHAPTER says where it is

    @pytest.mark.parametrize("number", range(6))
    def test_the_chapters_own_programs_run_with_only_their_imports_changed(
        server, tmp_path, number
    ):
        program = programs_of(Path(PAGE).read_text(encoding="utf-8"))[number]
        (tmp_path / "program.py").write_text(program)
        done = subprocess.run(
            [sys.executable, "-W", "error", "program.py"],
            env={**os.environ, "OPENAI_BASE_URL": server.base_url, "OPENAI_API_KEY": server.key},
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert "'status': 'success'" in done.stdout
        assert "'error'" not in done.stdout
        assert server.counters.total >= (2, 20, 2, 2, 20, 4)[number]


def test_all_names_of_the_service_layer_are_where_people_look_for_them():
    """Also though importing lionproc does not import it: see tests/test_house.py."""
    assert lionproc.Branch.__name__ in dir(lionproc)
    assert lionproc.types.Form is lionproc.Form
    names = {}
    exec("from lionproc import *", names)  # noqa: S102
    assert names["ProcessingStage"] is lionproc.ProcessingStage


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Brunch"):
        lionproc.Brunch  # noqa: B018


def test_the_service_layer_knows_no_frames():
    for path in Path(lionproc.__file__).parent.joinpath("service").glob("*.py"):
        text = path.read_text()
        for other in ("lionproc.frame", "lionproc.dask", "lionproc.notebook", "import pandas"):
            assert other not in text, path.name


async def test_the_quick_reference_runs(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    executor = lionproc.RateLimitedAPIExecutor(
        queue_capacity=1000, capacity_refresh_time=60, limit_requests=60, limit_tokens=100000
    )
    model = lionproc.Model(provider="openai", executor=executor)
    processor = lionproc.Branch(name="Processor")
    processor.add_model(model)
    assert await asyncio.wait_for(processor.chat("Process data"), 10) == "echo: Process data"
    assert json.loads(server.requests[0].raw_body)["model"] == "gpt-4o-mini"


def test_every_test_that_the_chapters_page_names_is_there():
    root = Path(__file__).parents[2]
    page = (root / "docs" / "chapter.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name
        for path in (root / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    assert len(named) > 15
    assert named <= there
