"""What is said about money, beside the bill of a server that prices as a known model does.

    python benchmarks/money.py [--rows 3000] [--reviews CSV]

A system prompt of 2,000 tokens, which the server caches as OpenAI does. The reviews are those of
the package, numbered; or the column `text` of a CSV.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import pandas as pd

import lionproc as lp
from lionproc.errors import BudgetWarning
from lionproc.testing import Server

SYSTEM = (
    "You judge sentences of product reviews. Consider tone, irony and comparisons with other "
    "products. Answer positive, negative or mixed. "
) * 68
PROMPT = "Is this review positive, negative or mixed?\nReview: {text}"


def reviews(rows: int, csv: str | None) -> pd.DataFrame:
    """The frame that is asked about."""
    if csv is not None:
        return pd.read_csv(csv)
    sample = pd.read_csv(Path(lp.__file__).parent / "data" / "reviews.csv")["review"]
    return pd.DataFrame({"text": [f"{n}: {sample[n % len(sample)]}" for n in range(rows)]})


def measure(frame: pd.DataFrame, tier: str | None) -> None:
    """Preview, run and a budget of half the bill, at one tier."""
    with Server(prices="openai", latency_s=0.02) as server, tempfile.TemporaryDirectory() as folder:
        model = lp.Model(
            "openai/gpt-5-mini", base_url=server.base_url, api_key=server.key, service_tier=tier
        )
        asked = {
            "into": "mood", "schema": Literal["positive", "negative", "mixed"], "system": SYSTEM,
            "model": model, "limits": lp.Limits(concurrency=64), "journal": f"{folder}/a.sqlite",
        }  # fmt: skip
        foreseen = frame.llm.preview(PROMPT, n=20, sample="random", **asked).estimate.usd
        tried = float(server.bill.usd)
        report = frame.llm.process(PROMPT, progress=False, **asked).llm.report()
        bill, requests = float(server.bill.usd), server.bill.requests
        said = report.usd + tried
        print(
            f"{tier or 'default'}: {requests:,} requests; bill ${bill:.8f}, said ${said:.8f}\n"
            f"  estimate of the rest after a preview of 20 rows: {foreseen / report.usd - 1:+.2%}\n"
            f"  saved by the prompt cache ${report.usd_saved['prompt_cache']:.4f}, "
            f"by the tier ${report.usd_saved['tier']:.4f}"
        )
        asked["journal"] = f"{folder}/b.sqlite"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BudgetWarning)
            frame.llm.process(PROMPT, progress=False, budget=lp.Budget(usd=bill / 2), **asked)
        over = (float(server.bill.usd) - 1.5 * bill) / (bill / requests)
        print(f"  a budget of half the bill is passed by {over:.2f} of a request")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--reviews", metavar="CSV", default=None)
    args = parser.parse_args()
    frame = reviews(args.rows, args.reviews)
    for tier in (None, "flex"):
        measure(frame, tier)


if __name__ == "__main__":
    main()
