"""Two versions, and where it fits the bare loop, by turns in one run: made for a busy machine.

    git worktree add FOLDER COMMIT

    python benchmarks/compare.py --before FOLDER [--rows 3000] [--rounds 7] [--write]

A version is a folder with the package in it, such as `git worktree add` makes. Each contestant is
a process of its own that waits while the others work; each round all do as many rows, one after
the other, within seconds. So what the neighbours of a machine do to one they do to all, and the
ratios within a round are worth something where times are not. 0 ms and 50 ms are rows of `cpu.py`,
"60 fields" those of `shapes.py wide`, at 20 ms. What follows is measured as `slots.py` and
`shapes.py` do it: each round a new process of each version.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import peers
import results
import shapes
import slots
import work
from referee import begin, measured

HERE = Path(__file__).resolve().parent
IN_FLIGHT = 64
TITLE = "Before and after"
FIELDS = 60
ROUNDS = 3  # at most, of what takes a new process each


def whole(texts: Sequence[str], folder: str) -> None:
    """Rows as cpu.py has them."""
    import pandas as pd

    import lionproc as lp

    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    out = pd.DataFrame({"message": texts}).llm.process(
        work.TEMPLATE,
        into="label",
        schema=Literal["billing", "delivery", "product", "other"],
        system=work.SYSTEM,
        model=lp.Model("openai", model=work.MODEL, base_url=url, api_key=key),
        journal=f"{folder}/journal.sqlite",
        limits=lp.Limits(concurrency=IN_FLIGHT),
        progress=False,
    )
    assert out["label"].notna().all()


def wide(texts: Sequence[str], folder: str) -> None:
    """Rows as shapes.py has them."""
    import pandas as pd

    frame, path = pd.DataFrame({"x": [text[:40] for text in texts]}), f"{folder}/journal.sqlite"
    schema = shapes.schema(FIELDS)
    out = shapes.run(frame, "Say {x}", schema, journal=path, in_flight=IN_FLIGHT).result()
    assert out.iloc[:, -1].notna().all()


KINDS = {"whole": whole, "wide": wide}
FLOORS = {"whole": "floor", "wide": "wide floor"}


def wide_floor() -> Callable[[Sequence[str]], object]:
    """The bare loop with what 60 fields take at least: their schema, pydantic, and a frame."""
    import pandas as pd
    from pydantic import TypeAdapter

    from lionproc.model.answer import Answer

    schema = shapes.schema(FIELDS)
    adapter, shape = TypeAdapter(schema), Answer.of(schema).response_format()
    ask = peers.floor(os.environ["BENCH_URL"], os.environ["BENCH_KEY"], IN_FLIGHT, shape)

    def call(texts: Sequence[str]) -> None:
        answers = [
            adapter.validate_json(text, strict=True) for text in ask([text[:40] for text in texts])
        ]
        pd.DataFrame([answer.__dict__ for answer in answers]).convert_dtypes()

    return call


def contestant(kind: str) -> None:
    """Work when a number of rows comes in; tell the microseconds of each, and rows a second."""
    call: Callable[[Sequence[str]], object]
    if kind == "floor":
        call = peers.floor(os.environ["BENCH_URL"], os.environ["BENCH_KEY"], IN_FLIGHT)
    elif kind == "wide floor":
        call = wide_floor()
    else:

        def call(texts: Sequence[str]) -> None:
            KINDS[kind](texts, tempfile.mkdtemp())  # in one that `play` removes

    call(work.messages(work.WARM_UP, "Warm up"))
    print("ready", flush=True)
    for number, line in enumerate(sys.stdin):
        texts = work.messages(int(line), f"Round {number}")
        with work.Meter() as meter:
            call(texts)
        print(meter.cpu_s / len(texts) * 1e6, len(texts) / meter.wall_s, flush=True)


def play(
    kind: str, versions: Mapping[str, str], latency_s: float, answer: str, size: tuple[int, int]
) -> dict[str, list[tuple[float, float]]]:
    """What each contestant told in each round: CPU us a row, rows a second. A size is both counts."""
    from lionproc.testing import Server

    with (
        Server(process=True, latency_s=latency_s, record=0, answer=answer) as server,
        tempfile.TemporaryDirectory() as made,
    ):
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        env["TMPDIR"] = made  # ext4 makes files slowly for minutes after many were removed
        playing: dict[str, Any] = {}
        if kind in FLOORS:
            playing["floor"] = begin(Path(__file__).name, "--one", FLOORS[kind], **env)
        for name, folder in versions.items():
            playing[name] = begin(Path(__file__).name, "--one", kind, **env, PYTHONPATH=folder)
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in playing}
        for name, process in playing.items():
            assert process.stdout.readline() == "ready\n", f"{name}: {process.stderr.read()}"
        rows, rounds = size
        for _ in range(rounds):
            for name, process in playing.items():
                process.stdin.write(f"{rows}\n")
                process.stdin.flush()
                cpu_us, per_s = map(float, process.stdout.readline().split())
                took[name].append((cpu_us, per_s))
        for process in playing.values():
            process.communicate()
    return took


def told(title: str, took: Mapping[str, Sequence[tuple[float, float]]]) -> list[str]:
    """Lines of a table: of each the median, and the median of how many times another it is."""
    others = [name for name in ("floor", "before") if name in took]
    heads = ["CPU us/row", "rows/s", *(f"x {name}" for name in others)]
    lines = [f"{title:<24}" + "".join(f"{head:>12}" for head in heads)]
    for name, each in took.items():
        cpu_us, per_s = map(statistics.median, zip(*each, strict=True))
        line = f"{name:<24}{cpu_us:>12.0f}{per_s:>12,.0f}"
        for other in others:
            pairs = zip(each, took[other], strict=True)
            line += f"{statistics.median(a[0] / b[0] for a, b in pairs):>12.2f}"
        lines.append(line)
    return lines


class Goal(NamedTuple):
    """One figure of a version, and what it should be.

    Attributes:
        kind: What has to be measured for it.
        name: Of the figure there.
        label: For the table, with its unit.
        goal: What it should be, in words.
        form: How it is printed.
    """

    kind: str
    name: str
    label: str
    goal: str
    form: str = ",.0f"


GOALS = (
    Goal("slots", "busy", f"slots busy at 100 ms, {IN_FLIGHT} in flight", "95 % or more", ".1%"),
    Goal("large", "new_mb", "150 prompts of 5 MB, MB above the frame", "below 250"),
    Goal("small", "start_ms", "ms in which a run starts", "below 6", ".1f"),
    Goal("small", "items_per_s", "items of a batch a second", "1,010 or more"),
)


def figures(kind: str, folder: str) -> Mapping[str, float]:
    """What a version gets of one kind, in a new process."""
    from lionproc.testing import Server

    if kind == "slots":
        share, _ = slots.busy(slots.EVEN_ROWS, IN_FLIGHT, 0.1, journal=True, PYTHONPATH=folder)
        return {"busy": share}
    with (
        Server(process=True, latency_s=0.02, record=0, answer="fine") as server,
        tempfile.TemporaryDirectory() as made,
    ):
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key), "TMPDIR": made}
        rows = shapes.ROWS[kind]
        return measured("shapes.py", kind, "--one", "--rows", rows, **env, PYTHONPATH=folder)


def goals(versions: Mapping[str, str], rounds: int) -> list[str]:
    """Lines of a table: medians of each version's figures, side by side."""
    lines = [f"{'':<44}" + "".join(f"{head:>12}" for head in versions) + "  goal"]
    for kind in dict.fromkeys(goal.kind for goal in GOALS):
        got: dict[str, list[Mapping[str, float]]] = {name: [] for name in versions}
        for _ in range(rounds):
            for name, folder in versions.items():
                got[name].append(figures(kind, folder))
        for goal in (goal for goal in GOALS if goal.kind == kind):
            line = f"{goal.label:<44}"
            for each in got.values():
                median = statistics.median(one[goal.name] for one in each)
                line += f"{format(median, goal.form):>12}"
            lines.append(f"{line}  {goal.goal}")
    return lines


def commit_of(folder: str) -> str:
    """The commit that is checked out in a folder."""
    command = ["git", "-C", folder, "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", help="a folder with the older package in it")
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md")
    parser.add_argument("--one", choices=[*FLOORS.values(), *KINDS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        contestant(args.one)
        return
    versions = {"before": str(Path(args.before).resolve()), "now": str(HERE.parent)}
    sizes = f"{args.rows:,} rows a round, {args.rounds} rounds by turns, {IN_FLIGHT} in flight"
    lines = [f"{sizes}; before is commit {commit_of(versions['before'])}"]
    rounds = (
        ("server latency 0 ms", "whole", 0.0, work.ANSWER),
        ("server latency 50 ms", "whole", 0.05, work.ANSWER),
        (f"{FIELDS} fields, 20 ms", "wide", 0.02, json.dumps(shapes.fields(FIELDS))),
    )
    for title, kind, latency_s, answer in rounds:
        if args.only not in {None, kind}:
            continue
        took = play(kind, versions, latency_s, answer, (args.rows, args.rounds))
        lines += told(title, took)
        print("\n".join(lines[-len(took) - 1 :]), flush=True)
    if args.only is None:
        more = goals(versions, min(args.rounds, ROUNDS))
        print("\n".join(more), flush=True)
        lines += ["", *more]
    if args.write:
        results.write("compare.py", {TITLE: ("compare.py --before FOLDER", "\n".join(lines))})


if __name__ == "__main__":
    main()
