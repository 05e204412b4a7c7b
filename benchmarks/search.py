"""How well a run finds a limit that nobody told it, on a virtual clock: five minutes take seconds.

    python benchmarks/search.py [--only bucket] [--seeds 7 8 9] [--trace] [--real]

The limiter is the real one; only the provider is played. Every kind is run with
several seeds by them, and once by a client that knows everything: how many requests are admitted
now, and when the next one will be. It has as many requests in flight, and nothing is ever refused
to it. With --real the hardest three run on the real clock as well, which takes five minutes.

Who does not know the limit cannot do that. What it must pay at the least, in refusals:

- One shows that there is a limit. It says little of how much: what the server had in store is in
  the count, so that 60 at once are a bucket of 3,600 a minute or a minute of 60.
- One more says how much. A bucket has to be emptied again, from empty; a window that says nothing
  has to be asked once in vain, since a bucket would be open by then, and whoever waits for the end
  of a minute without asking gets less than 0.80 of the first minute from a bucket.
- Looks: it may not miss that the limit doubles. `Searcher` knows all of the limit but how much it
  is, looks as seldom as it may if it wants 0.90 of the last four minutes whenever the limit
  doubles in them, is told by one request whether it has, and is refused each time it has not.

Where that is more than the goal of 1 % allows, as at 60 a minute, where that is three, nobody can
reach it: the least is shown beside ours ("of 7") and is the goal there. It leaves out:

- What leaves while the first refusal is on its way. Who starts at one a second has none of that,
  but misses the first minute of a faster server.
- An overrun: each look is one request, as if a bucket told at once that it holds no more.
- What kind of limit it is, which `Searcher` knows and we have to find out.
- Looks that are wanted for more than a doubling at any moment, as for a tenth more.

So it is no more than a bound: who is above it need not have been wasteful, and who is below it may
look more seldom than it does. When a limit changes depends on nothing that we do, but how much that
costs depends on when the last look was: a figure of these kinds is one of many possible ones.

Tried for 60 a minute, and worse than it was:

- To hold the round limit that is next to what was measured (1, 2, 3, 5, 6 times a power of ten a
  minute), since people make limits. Between 42 and 63 stand 50 and 60, and the wrong one is 0.82
  of the last four minutes; held above a limit of 130, it has 31 % refused. It looks no later.
- To wait twice as long for a look that is not paid for: one refusal less, and a bucket of 60 that
  doubles is seen so late that 0.39 to 0.65 are left of 0.74 to 0.83. No kind here would show that.

At 60 a minute the window is held back at first, where replies take more than 0.35 s: a rolling minute
takes 4 refusals, where it took 7 as three were on their way at 68 a second when the first came; a
fixed one 5 (6), a bucket of 60 s 6 (8). The price: a first run of an endpoint takes up to 1.6 s more
(1,000 rows of 0.6 s 13.3 s, not 11.8), and 6,000 by a bucket get 0.96 of the first minute (0.98).

Tried for 60 a minute, and no better:

- To wait for a second look as long as one took since the server was last known to be shut: as many
  refusals, and a bucket of 1 s gets 0.77 of the first minute (0.83).
- To begin at 16 or 18 a second, not 20: a fixed minute takes 5 refusals with more of the seeds, and a
  bucket of 10 s gets 0.62 of the first minute with some.
- To open the window from its beginning, not to where it stands, when a minute of 60 would be used
  up: one refusal more, and no quicker.
- To look first after the mean time between two requests where a window is known, as one of a minute
  does not open sooner: of 600 that halve 0.76 are left at worst (0.90).
- To rise more slowly between bounds, the square of their quotient made a power of 1.5 or 1: as many
  refusals fewer as by rising to the upper one alone, but wide bounds are passed as slowly, and a
  bucket of 1 s gets 0.78 or 0.72 of the first minute at worst (0.82).
- To rise from the lower bound, not the middle: no fewer refusals, and 0.65 at worst.
- To take what was measured across the fall of a limit for its upper bound: few requests measure
  badly, and where another takes half 0.88 are left at worst (0.93).

A strict limit of 120 that halves takes 15 or 16. Eight is the goal, reckoned for one that stands.
Two are the start; three or four prove that the next ones are no strays; four or five close the
bounds; three or four are taken for the fall, which might be strays too, two for the half, one for a
look. By reckoning, who knew that nothing is stray would need seven: two, two that bring the bounds
within a tenth, one for the fall, one for the half, one for a look.

Tried for a limit together with strays, where single runs still crawl:

- To let a refusal above what was known, which may be a stray, confirm nothing of those before it:
  a limit that halves takes 16 refusals to find where 15 are allowed, and "another takes half" has
  1.08 % at worst.
- To forget all that was believed: 60 with a bucket of 10 s takes 10 refusals (7), and a rolling
  minute with Retry-After gets 0.85 at worst (0.96).
- To count all refusals before the proof as stray: 600 by the second has 1.05 % (0.82 %), where the
  first ones of the limit are few; those at paces below the limit alone: hardly any are left.
- To be no surer above the limit the more strays there are: a limit that doubles beside 2 % gets
  0.56 of it (0.95), as each look ends with the first stray.
- To take the first refusal for stray once the pace was doubled unrefused: the pace that may leave
  is not what leaves, and a bucket of 6,000 is searched for again and again, 2.9 % refused.
- To go on measuring, where strays were seen, until the whole window is over: a rolling minute with
  2 % gets 0.86 (0.93).
- To take for stray what was refused before a limit rose: no different.
- To take one in a hundred for stray where none was seen (one in 200): a bucket of 600 with 2 % crawls
  half as often, but a fall takes a refusal more (1.02 % where 600 halve), and a rolling minute with
  2 % is slower (0.83, not 0.86).

Tried for strays that are taken for a limit where there is none. With 5 % refused four of 200 runs
crawled after 40 s, and stayed at 1 to 15 % of what they could; with 10 % nine did, with 20 % 141. Now
one, three and 122 do: that of 5 % for half a minute, those of 10 % for one (two) and four minutes.

- To ask for twice the limit at once where few refusals told it, and to believe each lone refusal on
  the way: strays end the look, and seven of eight with 10 % crawl as before.
- The same, where two in a row are wanted, for every limit: a bucket of 1 s takes 10 refusals (8) and
  gets 0.77 of the first minute at worst (0.83). So three in a row are enough without.
- To have it proved again after each stray: 600 that halve by a rolling minute take 29 refusals (15).
- After 2, 4, 8, 16 and so on without an end: a limit of 6,000 with 5 % is proved six times in
  25 s, and each time some of its strays might be a fall. Three proofs are enough.
- To have a limit proved that was told by a long window too: each proof uses up a window, and a
  rolling minute with 2 % gets 0.81 of its best run (0.87).
- To ask again at once where a slow refusal may be stray, and to undo it if that is taken, as F-RTO
  does: no run crawls with 5 % either, but a wait that the server names forbids it, and a strict 600
  with 5 % gets a tenth less.
- To look for more as soon as strays were seen at a pace that is taken: a bucket of 60 with 2 % has 9 %
  refused (5).

Where one in five is refused at random, runs of five minutes got 0.41 of what they could on average;
they get 0.85, and the median 0.99 (0.09), since more than a tenth may be stray and a limit that falls
within 64 requests is proved. Where a server ever shut for a long window, only the third such fall in
a row is: else a rolling minute of 6,000 gets 0.88 at worst (0.92).

What is not solved: 60 a minute with a bucket of 10 s takes one refusal more for the proof (7, not 6).
Where one in five is refused and so are all of the first four, the limit is taken for one of four a
minute, and is not looked at again for five minutes; and a pace that is refused by chance
between wide bounds narrows them, as a limit would.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import multiprocessing
import random
from collections.abc import Callable, Mapping
from statistics import median
from types import MappingProxyType
from typing import Any, NamedTuple

from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.engine.request import Reply
from lionproc.engine.tokens import Tokens
from lionproc.model.chat_completion import classify
from lionproc.model.headers import signals
from lionproc.testing import FixedWindow, RollingWindow, TokenBucket, run_virtual
from lionproc.testing.answers import error_object
from lionproc.testing.provider import Provider, Said

SECONDS = 300
FIRST, LATER, REFUSED = 0.80, 0.90, 0.01
SEEDS = 7, 8, 9
HARDEST = (
    "60 rpm, bucket of 60 s",
    "600 rpm, halves after 60 s",
    "600 rpm, another takes half now and then",
)
FEW = 15  # refusals that the goal must allow before the least is looked for
STRAY_TIME = 1.15
NOTES = """
first: rows done in the first minute over what a client that knows everything got done; later: the
same of minutes 2 to 5 together; refused: the share of all requests that got a 429. Of {seeds} seeds
each, the median and the worst. Goal: 0.80 in the first minute, 0.90 from the second on, at most 1 %
refused, or as many as are printed after "of": who does not know the limit needs as many. At 60 a
minute 1 % of five minutes is 3 refusals. One shows that there is a limit, one says how much it is,
and one more comes of each look at whether it has doubled: with 3 nobody can meet all three goals.
Where requests are refused at random, 1.15 times the time. Where headers state the limit, who knows
everything keeps it too, and leaves alone what the server has in store beyond it. The first requests
that are refused whatever is asked cost even that client a round trip each."""


class Scene(NamedTuple):
    """A provider, and what the client is told.

    Attributes:
        provider: Makes one.
        concurrency: Requests in flight.
        knows: Fewer of them, where a client that knows everything would have fewer.
        limits: What the user sets.
        keeps: The most that it sends in a minute, because the server says so.
    """

    provider: Callable[[], Provider]
    concurrency: int = 64
    knows: int | None = None
    limits: Mapping[str, Any] = MappingProxyType({})
    keeps: float | None = None


def scenes() -> dict[str, Scene]:
    """All kinds of servers."""
    made: dict[str, Scene] = {}

    def kind(name: str, limit: Any = None, *, scene: dict[str, Any] | None = None, **options: Any):
        made[name] = Scene(lambda: Provider(limit, **options), **(scene or {}))

    half_second = {"retry": "retry-after-ms", "retry_s": lambda _: 0.5}
    half_second["scene"] = silent = {"concurrency": 16}
    kind("first 4 refused, Retry-After 0.5, then free", refuse_first=4, **half_second)
    kind("first 4 refused, silent, then free", refuse_first=4, scene=silent)
    kind("first 20 refused, Retry-After 0.5, then free", refuse_first=20, **half_second)
    kind("first 20 refused, silent, then free", refuse_first=20, scene=silent)
    strict = TokenBucket(requests=60, burst_s=1)
    kind("60 rpm, bucket of 1 s, first 4 refused", strict, refuse_first=4)
    for rpm in (60, 600, 6000):
        for burst_s in (1, 10, 60):
            if rpm < 6000 or burst_s == 10:
                name = f"{rpm:,} rpm, bucket of {burst_s} s"
                kind(name, TokenBucket(requests=rpm, burst_s=burst_s))
        kind(f"{rpm:,} rpm, rolling minute", RollingWindow(requests=rpm))
        if rpm < 6000:
            kind(f"{rpm:,} rpm, fixed minute", FixedWindow(requests=rpm))
    kind("600 rpm, rolling 1 s", RollingWindow(requests=600, window_s=1))
    kind("600 rpm, fixed 1 s", FixedWindow(requests=600, window_s=1))
    kind("600 rpm, rolling 10 s", RollingWindow(requests=600, window_s=10))
    kind("600 rpm, fixed 10 s", FixedWindow(requests=600, window_s=10))
    kind("6,000 rpm, fixed 1 s", FixedWindow(requests=6000, window_s=1))
    bucket, minute = TokenBucket(requests=600), RollingWindow(requests=600)
    for limit, name in ((bucket, "bucket"), (minute, "rolling minute")):
        told = {"scene": {"keeps": 600.0}, "headers": "openai"}
        kind(f"600 rpm, {name}, headers", limit, retry="retry-after", **told)
        kind(f"600 rpm, {name}, Retry-After", limit, retry="retry-after")
        kind(f"600 rpm, {name}, Retry-After a date", limit, retry="date")
        kind(f"600 rpm, {name}, x-ratelimit-reset", limit, retry="x-ratelimit")
        kind(f"600 rpm, {name}, seconds in the message", limit, retry="message")
        short = {"retry": "retry-after-ms", "retry_s": lambda true_s: true_s / 10}
        kind(f"600 rpm, {name}, Retry-After too short", limit, **short)
    long = {"retry": "retry-after", "retry_s": lambda true_s: true_s + 9}
    kind("600 rpm, bucket, Retry-After 10 s too long", bucket, **long)
    double, half = TokenBucket(requests=1200), TokenBucket(requests=300)
    kind("600 rpm, doubles after 60 s", bucket, changes={60.0: double})
    strict, stricter = (TokenBucket(requests=rpm, burst_s=1) for rpm in (120, 60))
    kind("120 rpm, bucket of 1 s, halves after 60 s", strict, changes={60.0: stricter})
    kind("600 rpm, halves after 60 s", bucket, changes={60.0: half})
    kind("600 rpm, halves after 60 s, back after 180", bucket, changes={60.0: half, 180.0: bucket})
    kind("600 rpm, rolling, halves after 60 s", minute, changes={60.0: RollingWindow(requests=300)})
    shared = {60.0: half, 120.0: bucket, 180.0: half, 240.0: bucket}
    kind("600 rpm, another takes half now and then", bucket, changes=shared)
    shared = {at: TokenBucket(requests=10 * limit.requests) for at, limit in shared.items()}
    kind("6,000 rpm, another takes half now and then", shared[120.0], changes=shared)
    slots = {"concurrency": 128, "knows": 48}
    kind("no limit, peaks at 48 in flight", slots=48, latency_s=(0.5, 1.5), scene=slots)
    for most, latency_s in ((1, (0.2, 0.8)), (5, (0.2, 0.8)), (5, (2.0, 6.0)), (40, (2.0, 6.0))):
        crowd = {"latency_s": latency_s, "at_once": most, "scene": {"knows": most}}
        kind(f"{most} in flight, {latency_s[0]:g} to {latency_s[1]:g} s each", **crowd)
    minute_s = {"retry": "retry-after", "retry_s": lambda _: 60.0}
    crowd = {"latency_s": (2.0, 6.0), "at_once": 20, "scene": {"knows": 20}, **minute_s}
    kind("20 in flight, 2 to 6 s each, Retry-After 60", **crowd)
    kind("no limit, 5 % refused at random", stray=0.05)
    kind("no limit, 5 % refused, Retry-After 1", stray=0.05, retry="retry-after")
    own = {"scene": {"limits": {"requests_per_minute": 600}}}
    kind("600 rpm set and kept, 2 % refused", bucket, stray=0.02, **own)
    kind("600 rpm, bucket, 2 % refused at random", bucket, stray=0.02)
    kind("600 rpm, rolling minute, 2 % refused at random", minute, stray=0.02)
    kind("6,000 rpm, bucket, 5 % refused at random", TokenBucket(requests=6000), stray=0.05)
    return made


SMALL = Tokens(8, 2)


def reply(said: Said) -> Reply:
    """What the model's side makes of it."""
    if said.status == 200:
        return Reply(data=1, used=Tokens(8, 2), signals=signals(said.headers))
    body = error_object(said.message, type_="requests", code="rate_limit_exceeded")
    return classify(said.status, said.headers, body)


async def ours(scene: Scene, seed: int, trace: bool = False) -> dict[str, Any]:
    """Five minutes of the real limiter, with always something to send."""
    provider = scene.provider()
    provider.seed = seed
    began = asyncio.get_running_loop().time()
    provider.changes = {began + at: limit for at, limit in provider.changes.items()}
    provider.__post_init__()
    limiter = Limiter(Limits(concurrency=scene.concurrency, **scene.limits))

    async def work() -> None:
        while True:
            reservation = await limiter.reserve(SMALL)
            got = reply(await provider.ask())
            if got.error is None:
                limiter.settle(reservation, SMALL, got.signals)
            else:
                limiter.throttled(reservation, got.signals)

    async def watch() -> None:
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            done = sum(1 for at in provider.answered_at[-400:] if at > now - 1)
            print(
                f"{now:6.1f} s  asked {provider.asked:6} refused {provider.refused:4} done {done:4}"
                f"  in flight {limiter.in_flight:3} {limiter!r} {limiter.waiting_for}"
            )

    tasks = [asyncio.ensure_future(work()) for _ in range(scene.concurrency)]
    if trace:
        tasks.append(asyncio.ensure_future(watch()))
    await asyncio.sleep(SECONDS)
    for task in tasks:
        task.cancel()
    for end in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(end, asyncio.CancelledError), end
    return {
        "minutes": by_minute([at - began for at in provider.answered_at]),
        "asked": provider.asked,
        "refused": provider.refused,
    }


async def theirs(scene: Scene) -> list[int]:
    """Five minutes of a client that knows everything."""
    provider = scene.provider()
    free = provider.refuse_first
    provider.stray = 0.0
    provider.refuse_first = 0
    if free:  # it has to pay the refusals, at once
        await asyncio.sleep(provider.arrival_s[1] + provider.refusal_s[1])
    loop = asyncio.get_running_loop()
    slots = asyncio.Semaphore(scene.knows or scene.concurrency)
    keeps = scene.keeps or scene.limits.get("requests_per_minute")
    mine = RollingWindow(requests=keeps).meter() if keeps else None
    tasks = set()

    async def ask() -> None:
        await provider.ask()
        slots.release()

    async def work() -> None:
        provider.arrival_s = (0.0, 0.0)
        while True:
            await slots.acquire()
            now = loop.time()
            while wait_s := max(provider.wait_s(now), mine.wait_s(now, 1) if mine else 0.0):
                await asyncio.sleep(wait_s + 1e-6)
                now = loop.time()
            if mine:
                mine.take(now, 1)
            task = asyncio.ensure_future(ask())
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    worker = asyncio.ensure_future(work())
    await asyncio.sleep(SECONDS - loop.time())
    for task in (worker, *tasks):
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await worker
    assert provider.refused < 0.01 * provider.asked, "It knows when to ask."
    return by_minute(provider.answered_at)


def by_minute(moments: list[float]) -> list[int]:
    minutes = [0] * (SECONDS // 60)
    for at in moments:
        if at < SECONDS:
            minutes[int(at // 60)] += 1
    return minutes


class Searcher:
    """Knows all of a limit but how much it is, and may not miss that it doubles."""

    def __init__(self, limit: Any) -> None:
        self.limit = limit

    def least(self) -> int:
        """The refusals that it needs: two for the limit, and one each look that is in vain."""
        looks: list[float] = []
        since = 60.0
        while self.share(looks, since) < LATER:
            soon, late = since, float(SECONDS)
            while late - soon > 1:
                at = (soon + late) / 2
                if self.share([*looks, at], since) < LATER:
                    late = at
                else:
                    soon = at
            looks.append(soon)
            since = soon + 0.1
        return 2 + len(looks)

    def share(self, looks: list[float], doubles_at: float) -> float:
        """What it gets of the last four minutes, if the limit doubles then."""
        got, best = self.done(looks, doubles_at), self.done(None, doubles_at)
        return sum(got[1:]) / sum(best[1:])

    def done(self, looks: list[float] | None, doubles_at: float) -> list[int]:
        """Admitted in each minute; without looks it knows everything."""
        double = dataclasses.replace(self.limit, requests=2 * self.limit.requests)
        true = Provider(self.limit, changes={doubles_at: double})
        known = Provider(self.limit) if looks is not None else true
        left, done, now = list(looks or ()), [], 0.0
        while now < SECONDS:
            wait_s = known.wait_s(now)
            if wait_s and left and now >= left[0]:
                left.pop(0)
                if not true.wait_s(now):
                    known = true
            elif wait_s:
                now += min(wait_s + 1e-6, left[0] - now if left else wait_s + 1e-6)
            else:
                for provider in {id(known): known, id(true): true}.values():
                    provider.wait_s(now)
                    provider.take(now)
                done.append(now)
        return by_minute(done)


def least_at_once() -> int:
    """The refusals that are needed where the requests in flight are limited.

    The first shows how many are taken, for they can be counted; and one each look that is in vain, as
    many as of a `Searcher`: half is missed from the doubling to the next look.
    """
    looks, since = 0, 60.0
    while (since := since + (1 - LATER) * (2 * SECONDS - 60 - since)) < SECONDS:
        looks += 1
    return 1 + looks


class Result(NamedTuple):
    """Five minutes: shares of what could be done in the first and the others, and refusals."""

    first: float
    later: float
    whole: float
    refused: float
    times: int


def best_of(name: str) -> tuple[list[int], int | None]:
    """What can be done: in each minute, and the refusals that it takes, where they are many."""
    scene = scenes()[name]
    random.seed(SEEDS[0])
    best = run_virtual(theirs(scene))
    provider, goal = scene.provider(), REFUSED * sum(best)
    if provider.at_once is not None:
        least = least_at_once()
        return best, least if least > goal else None
    few = provider.limit is not None and goal < FEW / 3
    free = provider.refuse_first  # refused whatever is asked
    return best, Searcher(provider.limit).least() + free if few else None


def measure(task: tuple[str, int | None] | tuple[str, int, bool]) -> Any:
    """One seed of a kind, or without a seed the best that can be done."""
    name, seed, *real = task
    if seed is None:
        return best_of(name)
    random.seed(seed)
    return (asyncio.run if real else run_virtual)(ours(scenes()[name], seed))


def result(got: dict[str, Any], best: list[int]) -> Result:
    minutes = got["minutes"]
    return Result(
        minutes[0] / max(best[0], 1),
        sum(minutes[1:]) / max(sum(best[1:]), 1),
        sum(minutes) / sum(best),
        got["refused"] / got["asked"],
        got["refused"],
    )


def misses(scene: Scene, results: list[Result], pick: Callable[..., float], fewest: int) -> str:
    """Which goals are missed, in the median or in the worst."""
    if scene.provider().stray:
        return "" if pick([r.whole for r in results]) >= 1 / STRAY_TIME else "too slow"
    first, later = pick([r.first for r in results]), pick([r.later for r in results])
    # Shares and counts come in the same order, but for the few requests by which runs differ.
    refused, times = -pick([-r.refused for r in results]), -pick([-r.times for r in results])
    slow = "" if first >= FIRST and later >= LATER else "too slow"
    many = "" if refused <= REFUSED or times <= fewest else "too many refused"
    return ", ".join(filter(None, (slow, many)))


def in_real_time(made: Any) -> None:
    """The hardest kinds, at once."""
    print("on the real clock, one seed")
    for name, got in zip(HARDEST, made.get(), strict=True):
        took = result(got, best_of(name)[0])
        print(f"{name:48}{took.first:6.2f}{took.later:11.2f}{took.refused:13.2%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--real", action="store_true", help="the hardest on the real clock too")
    parser.add_argument("--trace", action="store_true", help="every second of it")
    args = parser.parse_args()
    names = [name for name in scenes() if args.only in name]
    if args.trace:
        for name in names:
            print(name)
            random.seed(args.seeds[0])
            print(run_virtual(ours(scenes()[name], args.seeds[0], trace=True)))
        return
    context = multiprocessing.get_context("spawn")
    if args.real:  # they take five minutes and hardly any work
        workers = context.Pool(len(HARDEST))
        real = workers.map_async(measure, [(name, args.seeds[0], True) for name in HARDEST])
    print(f"{'server':48}{'first':>11}{'later':>11}{'refused':>15}{'times':>6}  (median, worst)")
    tasks = [(name, seed) for name in names for seed in (None, *args.seeds)]
    met = {median: 0, min: 0}
    with context.Pool(2) as pool:
        made = pool.imap(measure, tasks)
        for name in names:
            best, fewest = next(made)
            results = [result(next(made), best) for _ in args.seeds]
            fewest = fewest if fewest and fewest > REFUSED * sum(best) else 0
            line = f"{name:48}"
            for field in ("first", "later"):
                values = [getattr(r, field) for r in results]
                line += f"{median(values):6.2f}{min(values):5.2f}"
            values = [r.refused for r in results]
            line += f"{median(values):8.2%}{max(values):7.2%}"
            line += f"{median(r.times for r in results):6.0f}" + (f" of {fewest}" if fewest else "")
            missed = [misses(scenes()[name], results, pick, fewest) for pick in met]
            for pick, wrong in zip(met, missed, strict=True):
                met[pick] += not wrong
            line = f"{line:<100}" + (missed[0] or (f"{missed[1]} at worst" if missed[1] else "met"))
            print(line, flush=True)
    print(f"of {len(names)} kinds {met[median]} at their goal, {met[min]} with every seed")
    if args.real:
        in_real_time(real)
    print(NOTES.format(seeds=len(args.seeds)))


if __name__ == "__main__":
    main()
