# ruff: noqa: INP001, T201  (a script that says what it does, no package)
"""Build the documentation: `make docs`, or `python docs/make_site.py`.

Zensical makes pages of Markdown, and mkdocstrings the reference of the docstrings, both without a
network. This puts together what they are made of, in build/, and then checks every link, anchor and
result of the search in what came out. A warning of theirs is an error.

Pages read well where they lie, so their links go to files of the repository. Here a link to
another page stays one, and one to a file that is no page becomes its name.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import drawing

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
SITE = BUILD / "site"
# Files of the repository that are pages too, and where; the front page says what README says.
ELSEWHERE = {
    ROOT / "RELIABILITY.md": "promises.md",
    ROOT / "CHANGELOG.md": "changelog.md",
    ROOT / "README.md": "index.md",
}
LINK = re.compile(r"(?<!!)\[([^\]\n]+)\]\(([^)\s]+)\)")
# What a person looks for in the first week.
SEARCHED = ("rate limit", "resume", "budget", "price", "azure", "429")
FENCE = re.compile(r"(^ *```.*?^ *```\n?)", re.MULTILINE | re.DOTALL)


def pages() -> dict[Path, str]:
    """The files that pages are made of, and the names of the pages."""
    found = {path: path.relative_to(DOCS).as_posix() for path in sorted(DOCS.rglob("*.md"))}
    return found | {path: name for path, name in ELSEWHERE.items() if name not in found.values()}


def moved(text: str, path: Path) -> str:
    """The text of a page with its links as the site needs them.

    Args:
        text: Markdown.
        path: The file it is from.

    Raises:
        LookupError: A link leads nowhere.
    """
    known = pages() | ELSEWHERE
    here = Path(known[path]).parent

    def link(found: re.Match[str]) -> str:
        label, address = found[1], urlsplit(found[2])
        if address.scheme or not address.path:
            return found[0]
        target = (path.parent / unquote(address.path)).resolve()
        if not target.exists():
            raise LookupError(f"{path.relative_to(ROOT)} links to {found[2]}, which is not there.")
        if target in known:
            page = Path(os.path.relpath(known[target], here)).as_posix()
            return f"[{label}]({page}{address.fragment and '#' + address.fragment})"
        return label if label.startswith("`") else f"`{label}`"

    parts = FENCE.split(text)
    return "".join(part if FENCE.match(part) else LINK.sub(link, part) for part in parts)


def gather() -> None:
    """Put all that the site is made of into build/."""
    into = BUILD / "pages"
    shutil.rmtree(BUILD / "site", ignore_errors=True)
    shutil.rmtree(into, ignore_errors=True)
    for path, name in pages().items():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        (into / name).write_text(drawing.drawn(moved(path.read_text(), path)))
    for path in (*DOCS.glob("*.png"), DOCS / "site.css"):
        shutil.copy(path, into)
    shutil.copy(DOCS / "zensical.toml", BUILD)


class Page(HTMLParser):
    """What a page that was made has: anchors, links, and what a browser fetches by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors = {"", "__skip"}
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """See `HTMLParser`."""
        given = {name: value for name, value in attributes if value is not None}
        self.anchors.update(given[name] for name in ("id", "name") if name in given)
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and "href" in given:
            self.fetched.append(given["href"])
        elif "src" in given:
            self.fetched.append(given["src"])


def faults() -> Iterator[str]:
    """What is wrong with the site: dead links and anchors, and anything fetched from elsewhere."""
    made = {path: Page(path.read_text()) for path in SITE.rglob("*.html")}
    for path, page in made.items():
        for address in (*page.links, *page.fetched):
            parts = urlsplit(address)
            if parts.scheme in {"http", "https", "mailto"} or address.startswith("//"):
                if address in page.fetched:
                    yield f"{path.name} fetches {address}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if path.name == "404.html" or parts.scheme == "data":
                continue  # its links are those of the place where it is served
            if not target.exists():
                yield f"{path.name} links to {address}, which is not there"
            elif unquote(parts.fragment) not in (made[target].anchors if target in made else ""):
                yield f"{path.name} links to {address}, which has no such anchor"


def lost() -> Iterator[str]:
    """What is wrong with the search: results that lead nowhere, and words that it must know."""
    found = json.loads((SITE / "search.json").read_text())["items"]
    texts = [f"{item['title']} {item['text']}".lower() for item in found]
    for words in SEARCHED:
        if not any(words in text for text in texts):
            yield f"the search does not know {words!r}"
    anchors = {path: Page(path.read_text()).anchors for path in SITE.rglob("*.html")}
    for item in found:
        address, _, anchor = item["location"].partition("#")
        if unquote(anchor) not in anchors.get(SITE / unquote(address), ()):
            yield f"the search leads to {item['location']}, which is not there"


def main() -> int:
    """Build and check; 0 if all is well."""
    gather()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    place = {**os.environ, "PYTHONPATH": str(ROOT)}  # the checkout that this is, and no other
    done = subprocess.run(  # noqa: S603
        command, cwd=BUILD, env=place, capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    wrong = [*faults(), *lost()] if done.returncode == 0 else []
    if done.returncode != 0 or wrong or re.search(r"warning|griffe", said, re.IGNORECASE):
        print(said, *wrong, sep="\n")
        return 1
    print(f"{len([*SITE.rglob('*.html')])} pages: {SITE / 'index.html'}")
    print(f"To search in it, serve it: {sys.executable} -m http.server -d {SITE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
