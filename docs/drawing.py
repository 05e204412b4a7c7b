# ruff: noqa: INP001  (part of a script, no package)
"""What is drawn into the pages of the site from the code: pictures, tables, the command."""

from __future__ import annotations

import html
import re
import textwrap
from functools import cache

import architecture

import lionproc
from lionproc.errors import HINTS, Kind
from lionproc.model.providers import PROVIDERS
from lionproc.model.refusal import WAYS_ON

WIDTH, HIGH, ACROSS, DOWN = 190, 62, 18, 52  # of a box, and between boxes, in pixels
MERMAID = re.compile(r"```mermaid\n.*?```", re.DOTALL)
NAMED = re.compile(r"^::: lionproc\.(\w+)$", re.MULTILINE)
NOT_OURS = {"Field", "__version__"}  # pydantic's own, and a text
MARK = re.compile(r"<!-- drawn: (\w+) -->\n(?!\n?[|`])")


def drawn(text: str) -> str:
    """A page with its pictures and tables in it."""
    text = MERMAID.sub(lambda _: picture(), text)
    made = {"providers": providers, "kinds": kinds, "command": command, "rest": rest}
    return MARK.sub(lambda found: made[found[1]]() + "\n" if found[1] in made else found[0], text)


@cache
def arrows() -> dict[tuple[str, str], bool]:
    """Which room imports which, without going in a circle, and whether only where it is used.

    Where two rooms need each other, one of them has a single door to the other. Of those, what
    more files import is drawn, so the door is left out.
    """
    files: dict[tuple[str, str], int] = {}
    tops: set[tuple[str, str]] = set()
    for path in architecture.modules():
        here = architecture.room_of(path)
        for other, top in set(architecture.imports(path)):
            if other != here:
                files[here, other] = files.get((here, other), 0) + 1
                tops |= {(here, other)} if top else set()
    needs: dict[str, set[str]] = {room: set() for room in architecture.rooms()}
    for a, b in sorted(files, key=lambda pair: (-files[pair], pair)):
        if a not in below(b, needs):
            needs[a].add(b)
    return {(a, b): (a, b) not in tops for a in needs for b in needs[a]}


def below(room: str, needs: dict[str, set[str]]) -> set[str]:
    """All rooms that a room needs, by way of others too."""
    return needs[room].union(*(below(other, needs) for other in needs[room]))


def picture() -> str:
    """The rooms as a drawing of its own, which needs no script: what imports is above.

    An arrow that follows from others is left out: who needs the frame needs what the frame needs.
    """
    rooms = {name: says.replace("`", "").rstrip(".") for name, says in architecture.rooms().items()}
    drawn = arrows()
    needs: dict[str, set[str]] = {room: set() for room in rooms}
    for a, b in drawn:
        needs[a].add(b)

    def level(room: str) -> int:
        return 1 + max((level(other) for other in needs[room]), default=-1)

    shown = {
        (a, b): used
        for (a, b), used in drawn.items()
        if not any(b in below(other, needs) for other in needs[a] - {b})
    }
    rows: dict[int, list[str]] = {}
    for room in sorted(rooms):
        rows.setdefault(level(room), []).append(room)
    wide = max(len(row) for row in rows.values()) * (WIDTH + ACROSS)
    places = {}
    for high, row in rows.items():
        left = (wide - len(row) * (WIDTH + ACROSS) + ACROSS) / 2
        for n, room in enumerate(row):
            places[room] = (left + n * (WIDTH + ACROSS), (max(rows) - high) * (HIGH + DOWN) + 4)
    high = (max(rows) + 1) * (HIGH + DOWN) - DOWN + 8
    parts = [
        f'<svg class="house" viewBox="0 0 {wide} {high}" role="img" aria-label="The rooms">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" ',
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for (a, b), used in sorted(shown.items()):
        (x, y), (to_x, to_y) = places[a], places[b]
        x, y, to_x = x + WIDTH / 2, y + HIGH, to_x + WIDTH / 2
        parts.append(
            f'<path{" class=used" * used} d="M{x} {y}C{x} {y + DOWN} {to_x} {to_y - DOWN} '
            f'{to_x} {to_y - 2}" marker-end="url(#tip)"/>'
        )
    for room, (x, y) in places.items():
        parts.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HIGH}" rx="6"/>')
        parts.append(f'<text x="{x + 9}" y="{y + 18}">{room}</text>')
        lines = textwrap.wrap(rooms[room], 36, max_lines=3, placeholder=" ...")
        parts += [
            f'<text class="what" x="{x + 9}" y="{y + 32 + 12 * n}">{html.escape(line)}</text>'
            for n, line in enumerate(lines)
        ]
    return "".join([*parts, "</svg>"])


def providers() -> str:
    """The table of providers."""
    lines = ["| Provider | Address | Key in | Typed answers by |", "|---|---|---|---|"]
    for name, each in PROVIDERS.items():
        address = each.base_url or ("in this process" if name == "local" else "your resource")
        key = f"`{each.key_variable}`" if each.key_variable else "no key"
        lines.append(f"| `{name}` | {address} | {key} | `{each.structured}` |")
    return "\n".join(lines)


def kinds() -> str:
    """How a call fails, as the code says it, and what helps."""
    source = (architecture.PACKAGE / "errors.py").read_text()
    said = dict(re.findall(r'^    (\w+) = "\w+"  # (.*)$', source, re.MULTILINE))
    lines = ["| Kind | What happened | What to do |", "|---|---|---|"]
    helps = WAYS_ON | HINTS
    lines += [f"| `{kind}` | {said[kind.name]} | {helps.get(kind, '')} |" for kind in Kind]
    return "\n".join(lines)


def rest() -> str:
    """What is public and on no page of the reference yet, so that nothing is left out."""
    pages = (architecture.ROOT / "docs" / "reference").glob("*.md")
    named = {name for page in pages for name in NAMED.findall(page.read_text())}
    left = sorted({*lionproc.__all__} - named - NOT_OURS)
    return "\n\n".join(["## More" if left else "", *(f"::: lionproc.{name}" for name in left)])


def command() -> str:
    """The command, as it describes itself."""
    import typer
    from typer.cli import get_docs_for_click

    from lionproc.cli.app import app

    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="lionproc")
    text = get_docs_for_click(obj=group, ctx=context, name="lionproc")
    # Click sets what follows a \b as it is written: examples and tables.
    text = re.sub(r"^\x08\n((?:.|\n)*?)(?=\n\n|\Z)", _as_written, text, flags=re.MULTILINE)
    return text.replace("# `lionproc`", "", 1)


def _as_written(block: re.Match[str]) -> str:
    head, _, rest = block[1].partition("\n")
    if not head.endswith(":"):
        return block[1]
    return f"**{head.rstrip(':')}**:\n\n```text\n{textwrap.dedent(rest).rstrip()}\n```"
