"""The recipes do what they show: each page is run as a notebook, with a server of our own."""

import ast
import copy
import dataclasses
import re
from pathlib import Path

import pandas as pd
import pytest

import lionproc as lp
from lionproc.model.providers import PROVIDERS
from lionproc.testing import Fault, Server
from lionproc.testing.answers import prompt_text

RECIPES = Path(__file__).parents[1] / "docs" / "recipes"
PAGES = sorted(page for page in RECIPES.glob("*.md") if page.stem != "index")
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```)?", re.MULTILINE | re.DOTALL)
ADDRESS = re.compile(r"http://localhost:\d+/v1|https://my-resource\.openai\.azure\.com")
# A picture of one pixel, in two colours.
PNG = "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55000000{}49454e44ae426082"

# What the model says on each page, by what stands in the prompt; a list, time after time.
REPLIES = {
    "azure": {"joy": True, "Broke": False},
    "classify": {"looks good": "positive", "Broke": "negative", "Fine": "mixed"},
    "clean-names": {
        "Siemens AG": "Siemens",
        "Which": "IBM",
    },
    "compare": {
        "again? Mind irony and negation.\nA joy": "positive",
        "negation.\nNot bad": "positive",
        "negation": "negative",
        "A joy": "positive",
        "wanted": "positive",
        "Mood": "negative",
    },
    "extract": {
        "Panda": {
            "make": "Fiat",
            "year": 2019,
            "price_eur": 7900,
            "fuel": "petrol",
            "extras": ["heated seats", "roof rack"],
        },
        "Saab": {
            "make": "Saab",
            "year": None,
            "price_eur": None,
            "fuel": "unknown",
            "extras": [],
        },
    },
    "images": {"chair": "yes", "lamp": "no"},
    "judge": {
        "reset": {"reason": "It is what the manual says.", "grade": 3},
        "waterproof": {"reason": "The manual speaks of splashes, not of diving.", "grade": 1},
    },
    "match": {
        "M3)\n2: Apple MacBook Air": True,
        "ThinkPad X1 Carbon\n2: Lenovo": True,
        "same product": False,
    },
    "night-run": {"Ticket": "Does not start"},
    "providers": {"joy": True, "Broke": False},
    "scale": {"Review": "positive"},
    "sure": {
        "joy": "positive",
        "Broke": "negative",
        "lamp": ["positive", "negative", "negative", "positive", "negative"],
    },
    "translate": {
        "Oak table": "Table en chêne",
        "Seats six": "Six places assises.",
        "Floor lamp": "Lampadaire",
    },
}


@pytest.fixture
def server():
    """One of its own for each page: what others sent counts for the limits of an address."""
    with Server(key=None) as made:  # as local servers are
        yield made


@pytest.fixture
def notebook(tmp_path, monkeypatch, server):
    """Runs blocks as cells of one notebook, in a folder and a session of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("lionproc.model.defaults._session", {})
    for name, provider in PROVIDERS.items():
        if provider.base_url:
            moved = dataclasses.replace(provider, base_url=server.base_url)
            monkeypatch.setitem(PROVIDERS, name, moved)
        if provider.key_variable:
            monkeypatch.setenv(provider.key_variable, "sk-test")
    lp.configure(progress=False, limits={"adapt": False})
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_bytes(bytes.fromhex(PNG.format(name[0] * 2)))
    names = {}

    def cell(source):
        source = ADDRESS.sub(
            lambda found: server.base_url.removesuffix("/v1" if "azure" in found[0] else ""),
            source,
        )
        tree = ast.parse(source)
        if isinstance(tree.body[-1], ast.Expr):  # what a notebook shows of it
            shown = ast.parse("print(...)", mode="eval").body
            shown.args = [tree.body[-1].value]
            tree.body[-1].value = shown
        exec(compile(ast.fix_missing_locations(tree), "cell", "exec"), names)  # noqa: S102

    with pd.option_context("display.width", 100, "display.max_columns", 20):
        yield cell


def typed(body):
    """Whether a value is asked for, which goes as the field of an object."""
    asked = body.get("response_format") or {}
    return "answer" in asked.get("json_schema", {}).get("schema", {}).get("properties", {})


def test_every_recipe_has_replies_and_is_listed():
    index = (RECIPES / "index.md").read_text()
    assert {page.stem for page in PAGES} == set(REPLIES)
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", index)) == set(REPLIES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_recipe_shows_what_it_says(page, notebook, server, capsys):
    replies = copy.deepcopy(REPLIES[page.stem])

    def answer(body):
        prompt = prompt_text(body)
        said = next(said for words, said in replies.items() if words in prompt)
        said = said.pop(0) if isinstance(said, list) else said
        return said if isinstance(said, dict) else {"answer": said} if typed(body) else str(said)

    def sure(body):
        return 0.6 if "lamp" in prompt_text(body) else 0.97

    server.configure(answer=answer, confidence=sure)
    blocks = BLOCK.findall(page.read_text())
    assert any(shown for _, shown in blocks)
    for source, shown in blocks:
        notebook(source)
        said = capsys.readouterr().out
        if shown:
            assert said.rstrip() == shown.rstrip()


BUSY = Fault(  # Azure gives a wait in three ways, and -1 for limits that it does not tell
    "other",
    status=429,
    body='{"error": {"code": "429", "message": "Your requests have exceeded the token rate limit. '
    'Please retry after 45 seconds."}}',
    headers=(
        ("retry-after-ms", "20"),
        ("retry-after", "45"),
        ("x-ratelimit-reset-tokens", "45"),
        ("x-ratelimit-limit-tokens", "-1"),
        ("x-ratelimit-remaining-tokens", "-1"),
    ),
)
FILTERED = Fault(
    "other",
    body='{"error": {"message": "The response was filtered.", "type": null, "param": "prompt", '
    '"code": "content_filter", "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"'
    ', "content_filter_result": {"violence": {"filtered": true, "severity": "medium"}}}}}',
)
UNTOLD = Fault(
    "headers",
    headers=(
        *(("x-ms-region", "West Europe"), ("x-ratelimit-limit-requests", "-1")),
        *(("x-ratelimit-remaining-requests", "-1"), ("x-ratelimit-reset-requests", "0")),
        *(("x-ratelimit-limit-tokens", "-1"), ("x-ratelimit-remaining-tokens", "-1")),
    ),
)
MORE = """
more = pd.DataFrame({"review": ["A joy.", "Broke.", "Violent words.", "Violent answers."]})
out = more.llm.process("Is this good? {review}", into="good", schema=bool, model=model)
(*out["good"].isna(),), *out.llm.errors()["kind"]
"""


def test_the_azure_recipe_holds_where_azure_is_busy_filters_and_tells_no_limits(
    notebook, server, capsys
):
    said = {"Violent words": FILTERED, "Violent answers": Fault("content_filter")}

    def fault(body, n):
        found = (fault for words, fault in said.items() if words in prompt_text(body))
        return BUSY if n == 0 else next(found, UNTOLD)

    server.configure(faults=fault, answer=lambda body: {"answer": "joy" in prompt_text(body)})
    ((source, shown),) = BLOCK.findall((RECIPES / "azure.md").read_text())
    notebook(source)
    assert capsys.readouterr().out == shown
    assert server.counters.by_status == {429: 1, 200: 2}  # it came again when it was told to
    with pytest.warns(lp.errors.RowsFailedWarning, match=r"\(2 filtered\)\. Reword the prompt"):
        notebook(MORE)
    shown = capsys.readouterr().out
    assert shown == "((False, False, True, True), 'filtered', 'filtered')\n"
    assert server.counters.by_status == {429: 1, 200: 5, 400: 1}  # what is filtered is asked once
    address = "/openai/deployments/my-deployment/chat/completions?api-version=2024-10-21"
    assert {sent.path for sent in server.requests} == {address}
    assert {sent.headers["api-key"] for sent in server.requests} == {"..."}


def test_a_recipe_fits_on_a_screen():
    for page in PAGES:
        assert page.read_text().count("\n") <= 90, page.name


# Pages whose blocks need something before them, and show nothing that can be compared.
BEFORE = """
from typing import Literal
import pandas as pd, lionproc as lp
df = pd.DataFrame({"review": ["A joy.", "Broke."], "label": ["good", "bad"], "country": ["F", "P"]})
prompt = prompt_a = "Is this good or bad? {review}"
prompt_b = "Good or bad? {review}"
Mood = Literal["good", "bad"]
lp.configure(model="openai/gpt-4o-mini")
out = df.llm.process(prompt, into="mood", schema=Mood, name="first try", save="mood.parquet")
out.llm.to_review("review.csv", overwrite=True)
job = lp.last_job()
"""


@pytest.mark.parametrize("page", ["quickstart", "questions"])
def test_every_block_of_a_page_runs_in_order(page, notebook, server, tmp_path, capsys):
    def answer(body):
        said = "positive" if page == "quickstart" else "good"
        return {"answer": said} if typed(body) else said

    server.configure(answer=answer, confidence=None)
    reviews = (Path(lp.__file__).parent / "data" / "reviews.csv").read_text()
    few = reviews.splitlines()[:8]  # its limits are real ones
    (tmp_path / "reviews.csv").write_text("\n".join(few))
    if page != "quickstart":
        notebook(BEFORE)
    blocks = BLOCK.findall((RECIPES.parent / f"{page}.md").read_text())
    assert blocks
    for source, _ in blocks:
        notebook(source)
    assert "Error" not in capsys.readouterr().out
