"""`python -m lionproc.testing`: the test server by itself; it ends when stdin closes."""

from __future__ import annotations

import argparse
import secrets
import sys
from contextlib import suppress

import orjson

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.testing.child import run_until_closed
from lionproc.testing.faults import FaultPlan
from lionproc.testing.headers import RETRIES
from lionproc.testing.limits import FixedWindow, Limit, RollingWindow, TokenBucket
from lionproc.testing.settings import changes_to_json

LIMITS: dict[str, type[Limit]] = {
    "bucket": TokenBucket,
    "rolling": RollingWindow,
    "fixed": FixedWindow,
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="python -m lionproc.testing",
        description="An OpenAI-compatible server that fails when told to. Prints its URL and key "
        "as a JSON line, and ends when stdin closes.",
    )
    made.add_argument("--port", type=int, default=0, help="0 for a free one")
    made.add_argument("--key", default="random", help='"none" accepts everybody')
    made.add_argument("--latency", default="0", metavar="S[-S]", help="seconds, or a range")
    made.add_argument("--slow-when-busy", type=int, metavar="SLOTS")
    made.add_argument("--at-once", type=int, metavar="REQUESTS")
    made.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="KIND:WHAT=N[:NAME=S]",
        help="bucket:requests=600:burst_s=10, rolling:tokens=120000, fixed:requests=60:window_s=1",
    )
    made.add_argument("--fault", action="append", default=[], metavar="NAME=RATE")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--answer", help="what to say")
    made.add_argument("--retry", choices=RETRIES, default="retry-after")
    made.add_argument("--headers", choices=("openai", "anthropic"))
    made.add_argument("--record", type=int, default=0, help="requests kept whole")
    made.add_argument("--stdin", action="store_true", help=argparse.SUPPRESS)
    return made


def limit(text: str) -> Limit:
    """A limit from the command line, `kind:what=n:name=seconds`.

    Raises:
        ConfigurationError: It is none.
    """
    kind, *parts = text.split(":")
    if kind not in LIMITS:
        raise ConfigurationError(
            f"--limit {text}: there is no limit {kind!r}.{did_you_mean(kind, LIMITS)} "
            "For example: --limit rolling:requests=600"
        )
    try:
        return LIMITS[kind](**{name: float(n) for name, _, n in (p.partition("=") for p in parts)})
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"--limit {text}: {error}") from None


def start_of(arguments: argparse.Namespace) -> dict[str, object]:
    """What `run_until_closed` needs, from the command line.

    Raises:
        ConfigurationError: A limit, fault or latency that is none.
    """
    low, dash, high = arguments.latency.partition("-")
    try:
        latency = (float(low), float(high)) if dash else float(low)
    except ValueError:
        raise ConfigurationError(
            f"--latency is seconds, 0.05 or 0.05-0.2, not {arguments.latency!r}."
        ) from None
    rates = {}
    for fault in arguments.fault:
        name, _, rate = fault.partition("=")
        try:
            rates[name] = float(rate)
        except ValueError:
            raise ConfigurationError(
                f"--fault is a name and its share of the requests, 429=0.02, not {fault!r}."
            ) from None
    settings = {
        "latency_s": latency,
        "slow_when_busy": arguments.slow_when_busy,
        "at_once": arguments.at_once,
        "limits": [limit(text) for text in arguments.limit],
        "faults": FaultPlan(rates),
        "seed": arguments.seed,
        "answer": arguments.answer,
        "retry": arguments.retry,
        "headers": arguments.headers,
    }
    keys = {"none": None, "random": f"sk-test-{secrets.token_urlsafe(24)}"}
    return {
        "settings": changes_to_json(settings),
        "key": keys.get(arguments.key, arguments.key),
        "port": arguments.port,
        "record": arguments.record,
        "control": None,
    }


def main() -> None:
    """Serve until stdin closes or Ctrl-C."""
    made = parser()
    arguments = made.parse_args()
    try:
        if arguments.stdin:
            start = orjson.loads(sys.stdin.buffer.readline())
        else:
            start = start_of(arguments)
        with suppress(KeyboardInterrupt):
            run_until_closed(start, sys.stdin.buffer, sys.stdout)
    except (ConfigurationError, OSError) as error:
        made.error(str(error))


if __name__ == "__main__":
    main()
