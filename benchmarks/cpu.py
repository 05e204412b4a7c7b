"""CPU per row: the whole path of lionproc against a bare aiohttp + orjson loop, in one run.

    python benchmarks/cpu.py [--rows 20000] [--in-flight 64] [--latency 0.05 0] [--rounds 3]
                             [--no-peers] [--peers PYTHON ...]

All send the same prompts to the same server in another process, one after the other. Figures are
user + system time of the one process from the first request to the last row, after a warm-up;
ratios are to the floor of the same round. Peers (see peers.py) run where they are installed: on
this interpreter or on those named.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import peers
import work
from behind_tls import tls
from referee import Contest, Entry, entries

NOTES = """
floor: a bare aiohttp + orjson loop, without limiter, journal, checks or retries. whole:
df.llm.process with the journal, the limiter and a typed column. adapt off: the same with
limits={"adapt": False}. TLS: the same through TLS, which another process ends. warm: whole once more, every answer
from the journal. openai, litellm: a semaphore and a gather around their create, retries as they
come. polar-llama, silkloom-core: their own call for a column, with the same shape of answer.
Nothing else is in the floor's process, and there glibc maps 256 kB of memory for each read and gives
them back: 0.01 ms a row. Where pandas was imported it does not, as in the next section's floor."""


def whole(rows: int, in_flight: int, *, warm: bool = False) -> None:
    """Be measured: `df.llm.process`, with an empty journal or with one that has every answer."""
    import pandas as pd

    import lionproc as lp
    from lionproc.model.answer import Answer

    label = Literal["billing", "delivery", "product", "other"]
    asked = Answer.of(label).response_format()
    assert asked == work.SHAPE, asked  # or the others would do other work
    url, key = os.environ["BENCH_URL"], os.environ["BENCH_KEY"]
    model = lp.Model("openai", model=work.MODEL, base_url=url, api_key=key)
    adapt = os.environ.get("BENCH_ADAPT", "1") == "1"

    def run(frame: pd.DataFrame) -> pd.DataFrame:
        out: pd.DataFrame = frame.llm.process(
            work.TEMPLATE,
            into="label",
            schema=label,
            system=work.SYSTEM,
            model=model,
            journal=os.environ["BENCH_JOURNAL"],
            limits=lp.Limits(concurrency=in_flight, adapt=adapt),
        )
        return out

    run(peers.pandas_frame(work.messages(work.WARM_UP, "Warm up")))
    frame = peers.pandas_frame(work.messages(rows))
    with work.Meter() as meter:
        out = run(frame)
    assert len(out) == rows
    assert out["label"].notna().all()
    assert (lp.last_job().stats.sent == 0) == warm, lp.last_job().stats
    work.tell(meter.result(rows))


def play(
    rows: int, in_flight: int, latency_s: float, rounds: int, found: Iterable[Entry]
) -> Contest:
    """Run the rounds.

    Args:
        rows: Rows of each run; slow peers get a twentieth, 500 at least.
        in_flight: Requests at once.
        latency_s: Of the server.
        rounds: How often everything is measured.
        found: The peers.
    """
    from lionproc.testing import Server

    contest = Contest("floor")
    size = ("--rows", rows, "--in-flight", in_flight)
    few = ("--rows", max(rows // 20, min(rows, 500)), "--in-flight", in_flight)
    with Server(process=True, latency_s=latency_s, record=1, answer=work.ANSWER) as server:
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}

        def measure(entry: Entry, *command: object, **more: str) -> None:
            if contest.measure(entry, *command, **{**env, **more}):
                assert work.same(server.requests[-1].body), f"{entry.label} asks something else"

        for _ in range(rounds):
            measure(Entry("floor", "floor"), "peers.py", "floor", *size)
            with tempfile.TemporaryDirectory() as folder:
                journal = str(Path(folder) / "journal.sqlite")
                for kind in ("whole", "warm"):
                    measure(
                        Entry(kind, kind), "cpu.py", "--one", kind, *size, BENCH_JOURNAL=journal
                    )
                again = ("cpu.py", "--one", "whole", *size)
                other = str(Path(folder) / "adapt.sqlite")
                off = Entry("whole", "whole, adapt off")
                measure(off, *again, BENCH_JOURNAL=other, BENCH_ADAPT="0")
                with tls(server.base_url, folder) as (url, authority):
                    other = str(Path(folder) / "tls.sqlite")
                    through = {"BENCH_URL": url, "SSL_CERT_FILE": authority}
                    measure(Entry("whole", "whole, TLS"), *again, BENCH_JOURNAL=other, **through)
            for peer in found:
                measure(peer, "peers.py", peer.name, *(few if peer.name in peers.SLOW else size))
    return contest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.05, 0.0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peers", action="store_true", help="only floor, whole and warm")
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON")
    parser.add_argument("--one", choices=["whole", "warm"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        whole(args.rows, args.in_flight, warm=args.one == "warm")
        return
    found = [] if args.no_peers else entries(peers.NEEDS, args.peers)
    for number, latency in enumerate(args.latency):
        # The peers once: without latency only our own work is of interest.
        contest = play(args.rows, args.in_flight, latency, args.rounds, () if number else found)
        print(
            f"{args.rows:,} rows, {args.in_flight} in flight, server latency {latency * 1000:g} ms"
        )
        contest.show()
    print(NOTES)


if __name__ == "__main__":
    main()
