"""Models made of models: what a cascade costs and keeps, and what a pool of two keys sends.

    python benchmarks/cascade.py [--seeds 100] [--minutes 10]

The reviews are those of LIONPROC_REVIEWS, a CSV with `text` and `rating` (from -4 to 4), such as the
3,708 sentences of vaderSentiment; without it the project's own sample, repeated. Two models are
simulated: what they answer follows from the seed and the review. The pool runs on a virtual clock.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

import lionproc as lp
from lionproc.engine.limiter import Limiter
from lionproc.engine.limiter_pool import LimiterPool
from lionproc.engine.limits import Limits
from lionproc.engine.tokens import Tokens
from lionproc.model.calibration import found_threshold
from lionproc.testing import RollingWindow, Server, run_virtual

TARGETS = (0.9, 0.95)
SAMPLES = (200, 500)
PRICE = {"small": 0.15, "large": 2.50}  # dollars per million tokens read
LARGE_WRONG = 0.03
OTHER = {"positive": "negative", "negative": "positive"}


class Row(NamedTuple):
    """A review as both models see it: how sure the small one is, and what each says."""

    sure: float
    small: str
    large: str


def reviews() -> pd.DataFrame:
    """Texts, and what people think of them, from -4 to 4."""
    path = os.environ.get("LIONPROC_REVIEWS")
    if path:
        return pd.read_csv(path)[["text", "rating"]]
    own = pd.read_csv(Path(lp.__file__).parent / "data" / "reviews.csv")
    own["rating"] = own["label"].map({"positive": 2.0, "negative": -2.0}).fillna(0.3)
    many = pd.concat([own] * 30, ignore_index=True)
    many["text"] = many["review"] + many.index.map(" ({})".format)
    return many[["text", "rating"]]


def answers(ratings: list[float], seed: int, *, boastful: bool) -> list[Row]:
    """What the models say: the clearer a review, the rarer the small one's mistakes.

    Args:
        ratings: What people think.
        seed: Decides the rest.
        boastful: Whether the small one says that it is surer than it is right.
    """
    draw = random.Random(seed)
    made = []
    for rating in ratings:
        truth = "positive" if rating > 0 else "negative"
        large = truth if draw.random() >= LARGE_WRONG else OTHER[truth]
        clear = min(abs(rating) / 2.5, 1.0)
        right = 0.62 + 0.37 * clear**0.5
        noise = min(max(right + draw.gauss(0, 0.02), 0.5), 0.999)
        small = large if draw.random() < noise else OTHER[large]
        made.append(Row(noise**0.4 if boastful else noise, small, large))
    return made


def cascades(ratings: list[float], seeds: int) -> None:
    print(f"{len(ratings):,} reviews, {seeds} seeds; dollars as a share of the large model's alone")
    print(f"{'target':>6} {'sample':>6}  {'confidence':<10} {'kept in':>9} {'the same':>9} "
          f"{'to the large':>12} {'cost':>6} {'refused':>8}")  # fmt: skip
    for boastful in (False, True):
        for target in TARGETS:
            for size in SAMPLES:
                kept, same, on, refused = 0, [], [], 0
                for seed in range(seeds):
                    rows = answers(ratings, seed, boastful=boastful)
                    chosen = set(random.Random(1000 + seed).sample(range(len(rows)), size))
                    sample = [(rows[n].sure, rows[n].small == rows[n].large) for n in chosen]
                    found = found_threshold(sample, target=target, certainty=0.95)
                    if found is None:
                        refused += 1
                        continue
                    goes = [n in chosen or row.sure < found.below for n, row in enumerate(rows)]
                    alike = statistics.fmean(
                        it or row.small == row.large for it, row in zip(goes, rows, strict=True)
                    )
                    kept += alike >= target
                    same.append(alike)
                    on.append(statistics.fmean(goes))
                share = statistics.fmean(on) if on else 1.0
                cost = share + PRICE["small"] / PRICE["large"]
                how = "boastful" if boastful else "honest"
                print(
                    f"{target:>6} {size:>6}  {how:<10} {f'{kept} of {seeds - refused}':>9} "
                    f"{statistics.fmean(same or [1.0]):>9.3f} {share:>12.0%} {cost:>6.0%} {refused:>8}"
                )


def run_of_one(frame: pd.DataFrame) -> None:
    """The same through `df.llm.process`, against two servers."""
    rows = answers(frame["rating"].tolist(), 0, boastful=False)
    by_text = dict(zip(frame["text"], rows, strict=True))

    def row(body: dict) -> Row:
        return by_text[body["messages"][-1]["content"]]

    with (
        tempfile.TemporaryDirectory() as home,
        Server(
            answer=lambda body: {"answer": row(body).small},
            confidence=lambda body: row(body).sure,
        ) as small,
        Server(answer=lambda body: {"answer": row(body).large}) as large,
    ):
        models = [
            lp.Model("openai", name, base_url=server.base_url, api_key=server.key,
                     price=lp.Price(input=PRICE[name], output=4 * PRICE[name]))
            for name, server in (("small", small), ("large", large))
        ]  # fmt: skip
        shared = {
            "schema": Literal["positive", "negative"],
            "progress": False,
            "panel": False,
            "journal": Path(home) / "journal.sqlite",
        }
        cascade = lp.Cascade(models, target=0.95)
        out = frame.llm.process("{text}", into="mood", model=cascade, **shared)
        said = out["mood"].astype(str)
        alike = (said == [by_text[text].large for text in frame["text"]]).mean()
        report = out.llm.report()
        again = frame.llm.process("{text}", into="mood", model=models[1], **shared)
        whole = again.llm.report()
        alone = whole.usd + whole.usd_saved["journal"]
        members = report.members.set_index("member")
        print(
            f"\ndf.llm.process, target 0.95: {alike:.3f} the same, threshold "
            f"{report.facts['threshold']:.3f}, {members['requests'].tolist()} requests, "
            f"{report.usd / alone:.0%} of the large model's dollars"
        )


def pools(minutes: int) -> None:
    """Two keys of 600 requests a minute, as a server judges who counts every second by itself."""

    async def main() -> None:
        pool = LimiterPool([Limiter(Limits(requests_per_minute=600)) for _ in range(2)])
        meters = [RollingWindow(requests=600, window_s=1).meter() for _ in range(2)]
        loop = asyncio.get_running_loop()
        times: list[list[float]] = [[], []]
        refused = 0

        async def work() -> None:
            nonlocal refused
            tokens = Tokens(200, 20)
            while True:
                reservation = await pool.reserve(tokens)
                way = reservation.way or 0
                times[way].append(loop.time())
                refused += meters[way].take(loop.time(), 1) is not None
                await asyncio.sleep(0.05 + 0.4 * way)  # the second one is nine times as slow
                pool.settle(reservation, tokens)

        tasks = [asyncio.create_task(work()) for _ in range(64)]
        await asyncio.sleep(60 * minutes)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        sent = sum(map(len, times))
        worst = max(
            sum(start <= at < start + 60 for at in each) for each in times for start in each[::50]
        )
        print(
            f"\nPool of 2 x 600 rpm, {minutes} minutes: {sent / minutes:,.0f} a minute "
            f"({sent / (1200 * minutes):.3f} of 1,200), {refused} refused (429), "
            f"{worst} in the fullest 60 s of one key"
        )

    run_virtual(main())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=10)
    args = parser.parse_args()
    frame = reviews().drop_duplicates("text").reset_index(drop=True)
    cascades(frame["rating"].tolist(), args.seeds)
    run_of_one(frame)
    pools(args.minutes)
    print(
        "\nkept in: runs whose answers are the large model's in at least the target of the rows; the "
        "same: how\nmany are, on average; boastful: the small model is surer than it is right. The "
        "large model differs\nfrom people in 3 % of the rows, the small one from it in 4 to 38 %, by "
        "how clear the review is."
    )


if __name__ == "__main__":
    main()
