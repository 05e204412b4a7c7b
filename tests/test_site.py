"""The documentation is whole: `make docs` builds it, and this finds in a moment what would fail."""

import importlib.util
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

import lionproc as lp

ROOT = Path(lp.__file__).parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site():
    """The script that builds it, which imports the others beside it."""
    sys.path.insert(0, str(DOCS))
    try:
        spec = importlib.util.spec_from_file_location("make_site", DOCS / "make_site.py")
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        yield made
    finally:
        sys.path.remove(str(DOCS))


def anchors(text):
    """The anchors of a page's headings, as Python-Markdown makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE
    )
    plain = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading) for heading in plain}


def test_every_link_between_pages_leads_to_a_page_and_a_heading(site):
    pages = site.pages()
    made = {name: site.moved(path.read_text(), path) for path, name in pages.items()}
    found = 0
    for name, text in made.items():
        for _, address in site.LINK.findall(site.FENCE.sub("", text)):
            target, _, anchor = address.partition("#")
            if "://" in target:
                continue
            page = (
                (Path("/") / name).parent.joinpath(target).resolve() if target else Path("/", name)
            )
            page = str(page.relative_to("/"))
            assert page in made, f"{name} links to {address}"
            assert not anchor or anchor in anchors(made[page]), f"{name} links to {address}"
            found += 1
    assert found > 40


def test_a_link_that_leads_nowhere_is_refused(site):
    page = DOCS / "quickstart.md"
    assert site.moved("[a](../lionproc/errors.py)", page) == "`a`"
    assert site.moved("[a](../RELIABILITY.md#crash)", page) == "[a](promises.md#crash)"
    with pytest.raises(LookupError, match=r"quickstart.md links to nowhere\.md"):
        site.moved("[a](nowhere.md)", page)


def test_every_page_is_in_the_navigation(site):
    settings = tomllib.loads((DOCS / "zensical.toml").read_text())["project"]
    assert settings["theme"]["font"] is False  # no font is fetched

    def files(entry):
        if isinstance(entry, str):
            return [entry]
        entries = entry.values() if isinstance(entry, dict) else entry
        return [file for each in entries for file in files(each)]

    assert sorted(files(settings["nav"])) == sorted(site.pages().values())


def test_everything_public_is_in_the_reference_and_what_has_no_page_yet_at_its_end(
    site, monkeypatch
):
    named = set()
    for page in (DOCS / "reference").glob("*.md"):
        text = site.drawing.drawn(page.read_text())
        named |= set(re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE))
    wanted = {f"lionproc.{name}" for name in lp.__all__} - {"lionproc.__version__"}
    assert wanted - named == {"lionproc.Field"}  # pydantic's own
    for name in named:
        module, _, attribute = name.rpartition(".")
        owner = importlib.import_module(module)
        assert hasattr(owner, attribute) or importlib.util.find_spec(name), name
    monkeypatch.setattr(lp, "__all__", [*lp.__all__, "brand_new"])
    assert site.drawing.rest().endswith("::: lionproc.brand_new")


def test_what_a_page_fetches_from_elsewhere_is_found(site, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "SITE", tmp_path)
    (tmp_path / "a.html").write_text(
        '<script src="https://cdn.example/x.js"></script><a href="https://example.org">fine</a>'
        '<a href="b.html#there">fine</a><a href="b.html#gone">no</a><a href="c.html">no</a>'
    )
    (tmp_path / "b.html").write_text('<h2 id="there">b</h2>')
    assert sorted(site.faults()) == [
        "a.html fetches https://cdn.example/x.js",
        "a.html links to b.html#gone, which has no such anchor",
        "a.html links to c.html, which is not there",
    ]


def test_a_result_of_the_search_that_leads_nowhere_is_found(site, tmp_path, monkeypatch):
    monkeypatch.setattr(site, "SITE", tmp_path)
    monkeypatch.setattr(site, "SEARCHED", ("rate limit", "resume"))
    (tmp_path / "a.html").write_text('<h2 id="there">a</h2>')
    places = ("a.html", "a.html#there", "a.html#gone", "b.html")
    items = [{"location": place, "title": "Rate limit", "text": ""} for place in places]
    (tmp_path / "search.json").write_text(json.dumps({"items": items}))
    assert list(site.lost()) == [
        "the search does not know 'resume'",
        "the search leads to a.html#gone, which is not there",
        "the search leads to b.html, which is not there",
    ]


def test_the_drawing_of_the_rooms_has_all_of_them_and_no_circle(site):
    drawn = site.drawing.drawn("```mermaid\nflowchart TD\n```")
    assert drawn.startswith("<svg")
    for room in site.drawing.architecture.rooms():
        assert f">{room}</text>" in drawn
    assert ("frame", "engine") in site.drawing.arrows()
    assert ("frame", "reports") not in site.drawing.arrows()  # its one door
    assert "RATE" not in site.drawing.drawn("<!-- drawn: kinds -->\n")
    assert "| `groq` |" in site.drawing.drawn("<!-- drawn: providers -->\n")
