"""The process in which long matching is tried. `lionproc.model.match_process` starts it.

It is run by its path and imports neither lionproc nor pydantic, so that it is ready sooner. Each
message on stdin is JSON behind its length; each is answered with a line on stdout. Where an engine
takes more of the processor's time than was given, the system ends this process, whatever code it is
in the middle of. The end of stdin is the end of the process.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, TypeAlias

Matches: TypeAlias = "Callable[[str], bool]"
LENGTH_BYTES = 8


def main() -> None:
    """Try what is asked for, one after the other, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the parent
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    asked, said = sys.stdin.buffer, sys.stdout.buffer
    known: dict[tuple[Any, ...], Matches] = {}
    while (message := _next(asked)) is not None:
        sys.path.extend(message.get("folders", ()))
        wanted = [tuple(run) for run in message["runs"]]
        known = {run: known.get(run) or _matcher(*run) for run in dict.fromkeys(wanted)}
        _limit(message["seconds"])
        _hold([known[run] for run in wanted], message["held"])
        _limit(0)
        said.write(b"done\n")
        said.flush()


def _next(asked: BinaryIO) -> Mapping[str, Any] | None:
    length = asked.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    text = asked.read(int.from_bytes(length, "big"))
    made: Mapping[str, Any] = json.loads(text)
    return made


def _limit(seconds: float) -> None:
    """Have the system end this process after so much time of the processor; 0: no more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _matcher(pattern: str, by_pydantic: bool, room: int, backtracks: int) -> Matches:
    """What holds a text against a pattern, by the engine that the parent has for it."""
    if by_pydantic:
        from pydantic_core import SchemaValidator

        schema: Any = {"type": "str", "pattern": pattern}
        return SchemaValidator(schema, {"regex_engine": "rust-regex"}).isinstance_python
    import jsonschema_rs

    options = jsonschema_rs.FancyRegexOptions(size_limit=room, backtrack_limit=backtracks)
    return jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options).is_valid


def _hold(matchers: Sequence[Matches], held: Sequence[Any]) -> None:
    """Hold texts against patterns, as often as it was said."""
    for runs, texts in held:
        for number, times in runs:
            matches = matchers[number]
            for _ in range(times):
                for text in texts:
                    matches(text)


if __name__ == "__main__":
    main()
