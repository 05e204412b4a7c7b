# ruff: noqa: INP001  (a script, no package)
"""Write what is drawn in docs/architecture.md: the rooms, and where in the code things are done.

Run it when a file was renamed, or when a room imports another one for the first time:

    python docs/architecture.py

The files are found by what they define, so names of files stand nowhere but in the page.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lionproc"
PAGE = ROOT / "docs" / "architecture.md"
DOOR = {"__init__", "__main__", "pandas_accessors"}
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef

# What is defined in a file, and what to say of that file; "room:name" where several have the name.
Lines = tuple[tuple[str, str], ...]
WALK: Lines = (
    ("FrameAccessor", "`df.llm.process(...)` is called: the arguments of all verbs."),
    ("plan", "They are checked and become a plan. Nothing is sent yet."),
    ("template:parse", "The template is cut into text and names of columns."),
    ("RowRun", "Rows are taken in batches, equal ones share a request; answers gather here."),
    ("cell_text", "The row's cells become text, whatever they hold."),
    ("frame:Prompt", "Text and template become messages."),
    ("ModelCall", "Messages become a request, known by a key: a hash of what shapes it."),
    ("Journal", "Whoever has an answer in the journal is not asked again."),
    ("EventQueue", "The request waits for its turn."),
    ("Dispatcher", "A worker takes it out of the queue and sees it to its end."),
    ("Permission", "It waits for permission to send: pause, circuit breaker, budget, limits."),
    ("Limiter", "Of these the limits: rate, tokens, slots, what the server asks for."),
    (
        "engine:SlidingWindow",
        "The last 60 seconds are kept in mind, so that no window is ever over.",
    ),
    ("DirectWire", "It leaves over HTTP, and bytes come back."),
    ("classify", "Status, headers and bytes become a reply, or a typed error."),
    ("decide", "After an error: try again, give up the row, or stop the run."),
    (
        "JournalWriter",
        "A paid reply is written to the file, then flushed: only then does it count.",
    ),
    ("model:text_of", "The text is taken out of the reply."),
    ("read_either", "Text becomes a value, checked, and its cell, or a reason to ask once more."),
    ("cell_maker", "Called by the former: a cell that the column can hold exactly."),
    ("arrow_of", "Cells become Arrow arrays, a block of rows at a time."),
    ("array_of", "These become arrays with the dtype of the answer type."),
    ("frame:columns", "Fields of a model become columns of their own, a bare value becomes one."),
    ("assemble", "The columns join the frame, by position."),
    ("write_part", "With `save=`, parts and files are written, whole or not at all."),
    ("errors_table", "Rows without an answer are listed with their reasons."),
)
QUESTIONS: Lines = (
    ("decide", "Is a 500 sent again, and when?"),
    ("FailurePolicy", "What does a failed attempt mean for the row, and for the run?"),
    ("Neighbours", "Who ends a run whose rows several models answer in turn?"),
    ("Probing", "Who looks whether a server that fails is back?"),
    ("Breaker", "When does a run stop sending to a server that is down?"),
    ("QuantityLimit", "What keeps the requests of a minute under the limit, and even?"),
    ("ReplyRoom", "How much memory do long replies take together?"),
    ("Congestion", "What does a 429 change for everybody, and how is an unknown limit found?"),
    ("Reopening", "How long is a server left alone that said `Retry-After`, or nothing?"),
    ("Replay", "Where does a second run find what the first one was answered?"),
    ("JournalFile", "Where is a reply written to disk before it counts?"),
    (
        "is_of_one_machine",
        "Which disks may other machines have too, so that a journal is kept otherwise?",
    ),
    ("bring_up", "Where are the tables of the journal, and what an older file lacks?"),
    ("look_through", "What is looked at before a journal from elsewhere is believed?"),
    ("LimitControls", "How does the panel change a limit?"),
    ("ExecutorGroup", "What does an executor do for the runs and services it was given to?"),
    ("Budget", "When is a budget reached (`.reached`)?"),
    ("RunBudget", "Who stops a run at its budget?"),
    ("Outlay", "What is spent, and what is in flight, of a budget?"),
    ("signals", "Which rate-limit headers are understood, `Retry-After` too?"),
    ("Coalescing", "Who sees to it that two runs do not pay for the same question?"),
    ("model:refusal", "What does an error that a server sends mean?"),
    ("check_ending", "Which endings mean cut off, filtered or refused?"),
    (
        "Event",
        "What happens to a row whose paid reply is no answer: cut off, empty, a wrong shape?",
    ),
    ("FirstOutcomes", "Who stops a run whose first rows all fail?"),
    ("Limiter", "How many requests may be in flight (`.concurrency`)?"),
    ("LimitsInForce", "Which limit binds, mine or the provider's, and what was sent under it?"),
    ("ServerPace", "How long does everybody wait after a 429, and at what pace do they go on?"),
    ("ConcurrencyLimit", "How many at once does a server take that refuses more?"),
    ("Borrowing", "Where do limits come from that other processes share?"),
    ("endpoint_state", "Which runs share a limiter?"),
    ("Run", "How does a run start, pause, stop and end?"),
    ("Estimator", "How are tokens estimated before a reply says them, for the limiter?"),
    ("Forecast", "Where do the tokens of `df.llm.estimate` come from?"),
    ("price_of", "Which price list counts?"),
    ("TablePrice", "Where is the price of a reply computed?"),
    ("report_of", "What is a report made of?"),
    ("Timeline", "What is kept of a run's time, for its plots?"),
    ("page", "What is on the page that a report is handed on as, and what never?"),
    ("asked_again", "How does what failed get another prompt or model?"),
    ("wait_for", "What happens on Ctrl-C? (`Run.stop` ends the sending.)"),
    ("filled", "Where are the cells put into a template, and rows without one skipped?"),
    ("RequestBuilder", "Is an answer type asked for by `response_format` or by an instruction?"),
    ("ModelCall", "What is said to a model whose answer did not fit?"),
    ("Fitting", "What if a model does not take a parameter?"),
    ("RowRun", "Where do equal rows of a run share one request?"),
    ("service:Pipeline", "Where does a pipeline of a service go on after a restart?"),
    ("Arrivals", "How does a row of a pipeline come to its next stage?"),
    ("read_parquet", "Who reads a saved file back?"),
    ("try_files", "Which parquet file is not read, for what that would take?"),
    ("is_own", "Which is known as saved here, and needs no trial?"),
    ("KeptProcess", "Where is tried what may take long, or end the process that does it?"),
    ("PartWriter", "When is a part of `save=` written?"),
    ("write_part", "Who writes a part?"),
    ("check_cells", "Which names and objects would Arrow make too much of?"),
    ("known_here", "Which types of a file does only this process know?"),
    ("check_target", "Which `save=` is refused: a wrong ending, a file that would lose rows?"),
    ("RowStore", "Where do the columns of `details=True` come from?"),
    ("RunLog", "What does a journal remember of its runs, and when is one killed?"),
    ("answers_again", "How are yesterday's answers put onto today's frame?"),
    ("KeptVotes", "Where do the votes on a row stand when it is asked about again?"),
    ("in_parts", "How many rows are looked up in the journal at once?"),
    ("refuse_too_much", "What of a strange journal's questions is too much to be made?"),
    ("Unanswered", "What is said of rows without an answer?"),
    ("HINTS", "Where do the hints in the table of errors come from?"),
    ("cli:_code", "Which exit code do rows that failed, or a budget that is reached, give?"),
    ("cli:ended", "Which exit code does an error or Ctrl-C give, and in what sentence is it told?"),
    ("target_of", "Where does a command write, and what does it never overwrite?"),
    ("to_jsonl", "Who writes rows, and conversations to train a model on, as JSON Lines?"),
    ("harmless", "Where is a formula kept out of a spreadsheet?"),
    ("escaped", "Where is text escaped for the card and the panel?"),
    ("watchers", "What decides whether a panel, a bar or a line is shown?"),
    ("Run", "Who tells the panel and the bar how it stands, and how often (`_tick`)?"),
    ("Panel", "Who draws the live panel?"),
    ("Records", "How are the requests of a service kept on disk?"),
    ("room_for", "How much memory do records of requests that are resumed take together?"),
    ("service:with_answers", "Where are the answers of a pipeline's job on the disk?"),
    ("model:hidden", "How is the key kept out of the journal and of messages?"),
)
PROVIDER: Lines = (
    ("PROVIDERS", "Add an entry. A server that is like OpenAI's needs nothing more."),
    ("own_client", "Only if its client is made in another way."),
    ("signals", "Only if its rate-limit headers are spelled in a new way."),
    ("model:refusal", "Only if its errors say what happened in a new way."),
)
ANSWER: Lines = (
    ("shape_of", "Add a class for the shape, and the JSON Schema it is told by."),
    ("answer_tokens", "How long such an answer is, for an estimate before anything is seen."),
    ("read_either", "How the text of a reply becomes such a value; only if JSON does not say it."),
    ("cell_maker", "How a value becomes a cell, without losing anything."),
    ("arrow_of", "How cells become an Arrow array, and that one a column."),
    ("write_json", "How a cell becomes the text of a reply again, to train a model on."),
    ("dtype_of", "Which dtype a column of such cells has, the same for 0 rows."),
    ("read_parquet", "How it comes back from a file; only if Arrow has no such type."),
    ("instance", "How one is made up, as the test server does for its answers."),
)
VERB: Lines = (
    ("FrameAccessor", "Add the method, with the arguments and the docstring people see."),
    ("Plan", "What is asked of each row. Most verbs are a plan of their own and no more."),
    ("prepare", "Makes a job of the plan, which has limits, journal, panel and the rest."),
    ("wait_for", "Waits for it as all verbs do, so that an interrupt keeps what was paid."),
)


@cache
def tree(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text())


def modules() -> list[Path]:
    """All files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The room that a file is in; "lionproc" for the files that are in none."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return first if first in rooms() else "lionproc"


@cache
def rooms() -> dict[str, str]:
    """The rooms, and the first line of what each says of itself."""
    found = {path.parent.name: path for path in PACKAGE.glob("*/__init__.py")}
    found |= {path.stem: path for path in PACKAGE.glob("*.py") if path.stem not in DOOR}
    found["lionproc"] = PACKAGE / "__init__.py"
    lines = {
        name: (ast.get_docstring(tree(path)) or "").splitlines()[0]
        for name, path in sorted(found.items())
    }
    lines["lionproc"] = "The package itself, and its place on frames."
    return lines


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Those directly below a node, in each of its blocks."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, block, ())


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The rooms that a file imports when it runs, and whether at its top."""

    def walk(node: ast.AST, *, top: bool) -> Iterator[tuple[str, bool]]:
        for child in statements(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            names = []
            if isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            elif isinstance(child, ast.ImportFrom):
                names = [f"{child.module}.{alias.name}" for alias in child.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "lionproc" and len(parts) > 1 and parts[1] in rooms():
                    yield parts[1], top
            yield from walk(child, top=top and not isinstance(child, FUNCTION))

    yield from walk(tree(path), top=True)


def picture() -> str:
    """Rooms and arrows, in the language that GitHub and Jupyter draw."""
    arrows: dict[tuple[str, str], bool] = {}
    for path in modules():
        for other, top in imports(path):
            pair = (room_of(path), other)
            if pair[0] != other:
                arrows[pair] = arrows.get(pair, False) or top
    lines = ["```mermaid", "flowchart TD"]
    for name, says in rooms().items():
        text = says.replace("`", "").replace('"', "'").rstrip(".")
        lines.append(f'  {name}["{name}<br/>{text}"]')
    for (room, other), top in sorted(arrows.items()):
        lines.append(f"  {room} {'-->' if top else '-.->'} {other}")
    return "\n".join([*lines, "```"])


def defined(path: Path) -> Iterator[str]:
    """The names that a file defines at its top."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | FUNCTION):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@cache
def homes() -> dict[str, list[Path]]:
    """The files that define a name at their top."""
    found: dict[str, list[Path]] = {}
    for path in modules():
        for name in set(defined(path)):
            found.setdefault(name, []).append(path)
    return found


def home_of(what: str) -> Path:
    """The one file that defines a name.

    Args:
        what: The name; after the room and a colon where several rooms have it.

    Raises:
        LookupError: No file does, or several do.
    """
    *room, name = what.split(":")
    found = [path for path in homes().get(name, ()) if not room or room_of(path) == room[0]]
    if len(found) != 1:
        raise LookupError(f"{what} is defined in {len(found)} files; mend {Path(__file__).name}.")
    return found[0]


def table(lines: Lines, head: str, *, numbered: bool = False) -> str:
    """Lines of the page with the files they are about."""
    rows = [f"| {'| ' * numbered}{head} | File | Name |", f"|{'---|' * (3 + numbered)}"]
    for number, (what, says) in enumerate(lines, 1):
        path = home_of(what)
        shown, link = path.relative_to(PACKAGE), path.relative_to(ROOT)
        name = what.split(":")[-1]
        rows.append(f"| {f'{number} | ' * numbered}{says} | [{shown}](../{link}) | `{name}` |")
    return "\n".join(rows)


def page(text: str) -> str:
    """The page with everything drawn anew between its marks."""
    drawn = {
        "picture": picture(),
        "walk": table(WALK, "What happens", numbered=True),
        "questions": table(QUESTIONS, "Question"),
        "provider": table(PROVIDER, "What to do"),
        "answer": table(ANSWER, "What to do"),
        "verb": table(VERB, "What to do"),
    }
    for name, made in drawn.items():
        marks = re.compile(f"(<!-- drawn: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text, count = marks.subn(lambda found, made=made: f"{found[1]}\n{made}\n\n{found[2]}", text)
        if count != 1:
            raise LookupError(f"{PAGE} has {count} places for {name}.")
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
