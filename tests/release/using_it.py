"""The API as a user types it. Not run: mypy reads it, see `test_release.py`."""

from enum import Enum
from typing import Literal, assert_type

import pandas as pd
from pydantic import BaseModel

import lionproc as lp
from lionproc.errors import CallError, Kind, LionprocError
from lionproc.frame.accessor import FrameAccessor
from lionproc.frame.series_accessor import SeriesAccessor


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Review(BaseModel):
    mood: Mood
    words: list[str]


def frames(frame: pd.DataFrame) -> None:
    llm = FrameAccessor(frame)
    out = llm.process(
        "Is {review} positive?",
        into="mood",
        schema=Literal["good", "bad"],
        model="openai/gpt-4o-mini",
        limits=lp.Limits(requests_per_minute=500, tokens_per_minute=90_000, concurrency=16),
        budget=lp.Budget(usd=2.5),
        retry=lp.Retry(max_attempts=4),
        chunk_size=500,
        save="out.parquet",
        errors="raise",
        on_missing="send",
        details=True,
        progress=False,
    )
    assert_type(out, pd.DataFrame)
    assert_type(llm.errors(), pd.DataFrame)
    assert_type(llm.report(), lp.Report)
    score = llm.score("mood", gold="label", by="country")
    assert_type(score, lp.Score)
    assert_type(score.interval, tuple[float, float] | None)
    llm.process(lambda row: f"About {row['title']}", schema=Review, into=None)
    llm.process("French: {value}", columns=["title", "body"], into="{column}_fr")
    llm.process("{review}", limits={"requests_per_minute": 60})


def jobs(frame: pd.DataFrame) -> None:
    job = FrameAccessor(frame).start("Is {review} positive?", into="mood", schema=bool)
    assert_type(job, lp.Job)
    job.limits.requests_per_minute = 300
    job.limits.concurrency = 8
    job.pause()
    job.resume()
    job.stop(2.0)
    assert_type(job.done, bool)
    assert_type(job.stats, lp.RunStats)
    assert_type(job.stats.eta_s, float | None)
    assert_type(job.frame(), pd.DataFrame)
    assert_type(job.result(timeout=10), pd.DataFrame)
    assert_type(job.errors(), pd.DataFrame)
    assert_type(job.retry_failed(), lp.Job)
    assert_type(job.save("now.parquet"), str)
    assert_type(lp.last_job(), lp.Job)


async def awaiting(frame: pd.DataFrame) -> None:
    llm = FrameAccessor(frame)
    assert_type(await llm.aprocess("Is {review} positive?", "mood", bool), pd.DataFrame)
    assert_type(await llm.start("Is {review} positive?", "mood", bool), pd.DataFrame)


def a_series(series: "pd.Series[str]") -> None:
    llm = SeriesAccessor(series)
    llm.process("Five words: {value}", into="summary", model=lp.Model("local"))


def options(frame: pd.DataFrame, series: "pd.Series[str]") -> None:
    llm, of_series = FrameAccessor(frame), SeriesAccessor(series)
    job: lp.Job = llm.start("{x}", "y", bool, budget=lp.Budget(usd=1), journal=False, panel=False)
    job = of_series.start("{value}", into="y", limits={"requests_per_minute": 60}, resume=False)
    foreseen: lp.Estimate = llm.estimate("{x}", columns=["a"], into="{column}_b", chunk_size=10)
    foreseen = of_series.estimate("{value}", model="local", system="Be brief.")
    report: lp.Report = job.report()
    assert_type(llm.preview("{x}", n=5, sample="random", on_missing="send"), lp.Preview)
    assert_type(of_series.preview("{value}", n=5), lp.Preview)
    llm.pipeline([{"name": "mood", "prompt": "{x}"}], errors="raise", save="out.parquet")
    assert_type(foreseen.minutes, float | None)
    assert_type(report.stats, lp.RunStats)


def health(service: lp.ProcessingService, panel: lp.LimitsPanel) -> None:
    assert_type(service.health(), lp.Health)
    panel.limits.requests_per_minute = 60
    panel = FrameAccessor(pd.DataFrame()).limits()


def models() -> None:
    model = lp.Model("openai", "gpt-4o-mini", temperature=0, max_tokens=50, timeout=30, seed=7)
    lp.configure(model=model, limits=lp.Limits(concurrency=8), chunk_size=100)
    lp.RateLimitedAPIExecutor(limit_requests=600, limit_tokens=90_000, concurrency_limit=8)


def failures(error: LionprocError) -> str:
    if isinstance(error, CallError):
        assert_type(error.kind, Kind)
        assert_type(error.status, int | None)
        return error.message
    return str(error)


def wrong_ones(frame: pd.DataFrame) -> None:
    FrameAccessor(frame).process("{x}", errors="ignore")  # type: ignore[arg-type]
    FrameAccessor(frame).process("{x}", chunk_size="many")  # type: ignore[arg-type]
    FrameAccessor(frame).start("{x}", chunk_size="many")  # type: ignore[arg-type]
    FrameAccessor(frame).start("{x}", chunksize=5)  # type: ignore[call-arg]
    FrameAccessor(frame).estimate("{x}", limits=60)  # type: ignore[arg-type]
    FrameAccessor(frame).preview("{x}", n="few")  # type: ignore[arg-type]
    FrameAccessor(frame).pipeline([], system="Be brief.")  # type: ignore[call-arg]
    SeriesAccessor(frame["x"]).start("{value}", columns=["x"])  # type: ignore[call-arg]
    SeriesAccessor(frame["x"]).estimate("{value}", errors="ignore")  # type: ignore[arg-type]
    SeriesAccessor(frame["x"]).preview("{value}", resume="no")  # type: ignore[arg-type]
    lp.Limits(requests_per_minute="many")  # type: ignore[arg-type]
    lp.Budget(usd="much")  # type: ignore[arg-type]
