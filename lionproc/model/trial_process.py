"""The process in which patterns and JSON Schemas are tried that may take long."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

from lionproc.engine.apart import asked
from lionproc.engine.kept_process import KeptProcess
from lionproc.engine.kept_server import Message

__all__ = ["PROCESS", "ask"]

MOST_MEMORY: Final = 2**30  # bytes; what is expected is a quarter of it, see `MOST_COMPILED`
PROCESS: Final = KeptProcess(
    Path(__file__).with_name("trial_server.py"),
    ("jsonschema_rs", "pydantic_core", "typing_extensions"),
    memory=MOST_MEMORY,
)


def ask(message: Message) -> Any:
    """What the process says to a message, see `trial_server`.

    Args:
        message: With the `seconds` of the processor that there are for it, and those `to_compile` what
            is in it.

    Returns:
        What it says; None where that took longer, or ended each process that it was asked of.

    Raises:
        NotStartedError: There is no process that could be asked.
    """
    seconds = message["seconds"] + message.get("to_compile", 0)
    soon = partial(PROCESS.ask_soon, message, seconds)
    return asked(message, partial(PROCESS.ask, message, seconds), soon)
