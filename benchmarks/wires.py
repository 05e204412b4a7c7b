"""Bare wires: bytes out, bytes in, nothing else. What would another HTTP client save?

    python benchmarks/wires.py [--rows 6000] [--in-flight 64] [--latency 0.02] [--rounds 3]
                               [--peers PYTHON ...]

Ratios are to aiohttp, lionproc's wire, in the same round. Others run where they are installed: on
this interpreter or on those named (`pip install uvloop pyreqwest wreq`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

import work
from referee import Contest, entries
from work import Needs, body, compete

Post = Callable[[bytes], Awaitable[bytes]]
Column = Callable[[Sequence[str]], Sequence[Any]]
NEEDS = {
    "aiohttp": Needs("aiohttp {}", ("aiohttp",)),
    "aiohttp-uvloop": Needs("aiohttp, uvloop {}", ("uvloop", "aiohttp")),
    "pyreqwest": Needs("pyreqwest {}", ("pyreqwest",)),
    "wreq": Needs("wreq {}", ("wreq",)),
}
NOTES = """
The ratio to beat: a row has more than a wire, and another one is worth its risks only if the
whole row gets at least 30 % cheaper."""


def workers(make: Callable[[], Awaitable[Post]], in_flight: int, **runner_options: Any) -> Column:
    """So many workers that post one body after the other."""
    runner = asyncio.Runner(**runner_options)

    async def first() -> Post:
        return await make()

    post = runner.run(first())

    async def column(bodies: Sequence[bytes]) -> list[bytes]:
        todo, replies = iter(bodies), list[bytes]()

        async def worker() -> None:
            replies.extend([await post(data) for data in todo])

        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return replies

    def posted(texts: Sequence[str]) -> list[bytes]:
        return runner.run(column([json.dumps(body(text)).encode() for text in texts]))

    return posted


def headers(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def aiohttp(url: str, key: str, in_flight: int, **runner_options: Any) -> Column:
    import aiohttp

    async def make() -> Post:
        connector = aiohttp.TCPConnector(limit=in_flight)
        session = aiohttp.ClientSession(connector=connector, headers=headers(key))

        async def post(data: bytes) -> bytes:
            async with session.post(url + "/chat/completions", data=data) as reply:
                return await reply.read()

        return post

    return workers(make, in_flight, **runner_options)


def aiohttp_uvloop(url: str, key: str, in_flight: int) -> Column:
    import uvloop

    return aiohttp(url, key, in_flight, loop_factory=uvloop.new_event_loop)


def pyreqwest(url: str, key: str, in_flight: int) -> Column:
    from pyreqwest.client import ClientBuilder

    async def make() -> Post:
        builder = ClientBuilder().default_headers(headers(key)).max_connections(in_flight)
        client = builder.no_proxy().follow_redirects(False).build()

        async def post(data: bytes) -> bytes:
            asked = client.post(url + "/chat/completions").body_bytes(data)
            reply = await asked.build().send()
            return bytes(await reply.bytes())

        return post

    return workers(make, in_flight)


def wreq(url: str, key: str, in_flight: int) -> Column:
    import wreq

    async def make() -> Post:
        client = wreq.Client(headers=headers(key), no_proxy=True)

        async def post(data: bytes) -> bytes:
            reply = await client.post(url + "/chat/completions", body=data)
            return bytes(await reply.bytes())

        return post

    return workers(make, in_flight)


def play(
    rows: int, in_flight: int, latency_s: float, rounds: int, pythons: Iterable[str]
) -> Contest:
    from lionproc.testing import Server

    found = entries(NEEDS, pythons)
    contest = Contest(found[0].label)
    with Server(process=True, latency_s=latency_s, record=0, answer=work.ANSWER) as server:
        env = {"BENCH_URL": server.base_url, "BENCH_KEY": str(server.key)}
        for _ in range(rounds):
            for wire in found:
                size = ("--rows", rows, "--in-flight", in_flight)
                contest.measure(wire, "wires.py", "--one", wire.name, *size, **env)
    return contest


def main() -> None:
    if "--one" in sys.argv:
        sys.argv.remove("--one")
        compete(
            {
                "aiohttp": aiohttp,
                "aiohttp-uvloop": aiohttp_uvloop,
                "pyreqwest": pyreqwest,
                "wreq": wreq,
            }
        )
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=6_000)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", nargs="+", default=[], metavar="PYTHON")
    args = parser.parse_args()
    contest = play(args.rows, args.in_flight, args.latency, args.rounds, args.peers)
    print(
        f"{args.rows:,} requests, {args.in_flight} in flight, server latency "
        f"{args.latency * 1000:g} ms"
    )
    contest.show()
    print(NOTES)
    for label, results in contest.results.items():
        for code in {result["exit"] for result in results} - {0}:
            print(f"{label}: its process ended with code {code}.")


if __name__ == "__main__":
    main()
