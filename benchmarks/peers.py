"""What else people use for the same rows; measured by cpu.py, each where it is installed.

    python -m venv .venv-peers && .venv-peers/bin/pip install silkloom-core polar-llama
    make bench ARGS="--peers .venv-peers/bin/python"

Everybody gets the same prompts, asks for the same shape and hands back a column of labels.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from work import MODEL, SHAPE, SYSTEM, TEMPLATE, Needs, body, chat, compete

Column = Callable[[Sequence[str]], Sequence[Any]]
Ask = Callable[[str], Awaitable[Any]]


def label(content: str) -> str:
    found: str = json.loads(content)["answer"]
    return found


def gathered(ask: Ask, in_flight: int) -> Column:
    """The loop that people write by hand: a semaphore and a gather over the column."""
    runner = asyncio.Runner()

    async def column(texts: Sequence[str]) -> list[Any]:
        slots = asyncio.Semaphore(in_flight)

        async def one(text: str) -> Any:
            async with slots:
                return await ask(text)

        return await asyncio.gather(*map(one, texts))

    return lambda texts: runner.run(column(texts))


def floor(url: str, key: str, in_flight: int, shape: Any = SHAPE) -> Column:
    """A bare aiohttp + orjson loop: no limiter, no journal, no checks, no retries."""
    import aiohttp
    import orjson

    runner = asyncio.Runner()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    url += "/chat/completions"

    async def connect() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=in_flight)
        return aiohttp.ClientSession(connector=connector, headers=headers)

    session = runner.run(connect())

    async def column(texts: Sequence[str]) -> list[str]:
        todo, answers = iter(texts), []

        async def worker() -> None:
            for text in todo:
                async with session.post(url, data=orjson.dumps(body(text, shape))) as reply:
                    data = orjson.loads(await reply.read())
                    answers.append(data["choices"][0]["message"]["content"])

        await asyncio.gather(*(worker() for _ in range(in_flight)))
        return answers

    return lambda texts: runner.run(column(texts))


def openai_loop(url: str, key: str, in_flight: int, **options: Any) -> Column:
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key=key, **options)

    async def ask(text: str) -> str:
        shape: Any = SHAPE
        asked: Any = chat(text)
        reply = await client.chat.completions.create(
            model=MODEL, messages=asked, response_format=shape
        )
        return label(reply.choices[0].message.content or "")

    return gathered(ask, in_flight)


def openai_aiohttp(url: str, key: str, in_flight: int) -> Column:
    import openai

    return openai_loop(url, key, in_flight, http_client=openai.DefaultAioHttpClient())


def litellm(url: str, key: str, in_flight: int) -> Column:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # not from the network
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False

    async def ask(text: str) -> str:
        reply = await litellm.acompletion(
            model=f"openai/{MODEL}",
            messages=chat(text),
            response_format=SHAPE,
            api_base=url,
            api_key=key,
        )
        return label(reply.choices[0].message.content)

    return gathered(ask, in_flight)


def silkloom(url: str, key: str, in_flight: int) -> Column:
    import silkloom_core

    folder = tempfile.TemporaryDirectory()
    silkloom_core.configure(key, url, cache_path=Path(folder.name) / "cache.sqlite")

    def column(frame: Any) -> Sequence[Any]:
        found = frame.llm.extract(
            TEMPLATE.replace("{message}", "{{ message }}"),
            system_prompt=SYSTEM,
            model=MODEL,
            max_workers=in_flight,
            verbose=False,
            response_format=SHAPE,
        )
        return list(found["answer"])

    return column


def polar_llama(url: str, key: str, in_flight: int) -> Column:
    os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = url, key
    os.environ["POLAR_LLAMA_MAX_CONCURRENCY"] = str(in_flight)
    from typing import Literal

    import polar_llama as llama
    import polars as pl
    import pydantic

    class Label(pydantic.BaseModel):
        label: Literal["billing", "delivery", "product", "other"]

    before, after = TEMPLATE.split("{message}")

    def column(frame: Any) -> Sequence[Any]:
        question = pl.lit(before) + pl.col("message") + pl.lit(after)
        asking = frame.select(question=question, system=pl.lit(SYSTEM))
        asked = llama.combine_messages(
            llama.string_to_message(pl.col("system"), message_type="system"),
            llama.string_to_message(pl.col("question"), message_type="user"),
        )
        answered = llama.inference_messages(
            asked, provider=llama.Provider.OPENAI, model=MODEL, response_model=Label
        )
        out = asking.select(answer=answered)
        return out["answer"].struct.field("answer").to_list()

    return column


def pandas_frame(texts: Sequence[str]) -> Any:
    import pandas as pd

    return pd.DataFrame({"message": texts})


def polars_frame(texts: Sequence[str]) -> Any:
    import polars as pl

    return pl.DataFrame({"message": texts})


# How a line of the table names each, with the version of the first package it needs.
NEEDS = {
    "polar-llama": Needs("polar-llama {}", ("polar-llama", "polars", "pydantic")),
    "openai-aiohttp": Needs("openai {}, aiohttp", ("openai", "aiohttp")),
    "openai": Needs("openai {}", ("openai",)),
    "silkloom-core": Needs("silkloom-core {}", ("silkloom-core",)),
    "litellm": Needs("litellm {}", ("litellm",)),
}
SLOW = set(NEEDS) - {"polar-llama"}  # milliseconds a row

if __name__ == "__main__":
    compete(
        {
            "floor": floor,
            "openai": openai_loop,
            "openai-aiohttp": openai_aiohttp,
            "litellm": litellm,
            "silkloom-core": silkloom,
            "polar-llama": polar_llama,
        },
        {"silkloom-core": pandas_frame, "polar-llama": polars_frame},
    )
