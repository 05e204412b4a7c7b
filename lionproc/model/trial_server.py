"""The process in which is tried what may take long. `lionproc.model.trial_process` starts it.

It is run by its path and imports neither lionproc nor pydantic, so that it is ready sooner. Each
message on stdin is JSON behind its length, and so is each answer on stdout. Where an engine takes
more of the processor's time than was given, the system ends this process, whatever code it is in the
middle of; so it does where the memory or the stack is full. The end of stdin is the end of the process.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

__all__ = ["LENGTH_BYTES", "MOST_FAULTS", "Fault", "Message", "compiled", "faults_in"]

Matches: TypeAlias = "Callable[[str], bool]"
Message: TypeAlias = "Mapping[str, Any]"
Fault: TypeAlias = "tuple[list[str | int], list[str | int], str, str]"
"""Where it is, in which part of the schema, of what kind, and why."""

LENGTH_BYTES: Final = 8
MOST_FAULTS: Final = 100
MOST_KEPT: Final = 16  # schemas
MOST_MEMORY: Final = 2**30  # bytes; what is expected is a quarter of it, see `MOST_COMPILED`
LONGEST: Final = 10_000  # characters of a sentence on what is wrong; 200 are shown


def main() -> None:
    """Try what is asked for, one after the other, until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # which is for the parent
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGPROF])
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # there is an end by the clock
    _bound_memory()
    asked, said, server = sys.stdin.buffer, sys.stdout.buffer, _Server()
    while (message := _next(asked)) is not None:
        sys.path.extend(message.get("folders", ()))
        text = json.dumps([message["number"], server.answer(message)]).encode()
        said.write(len(text).to_bytes(LENGTH_BYTES, "big") + text)
        said.flush()


class _Server:
    """Does what a message asks for, within the time that it gives."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[Any, ...], Matches] = {}
        self._schemas: dict[str, Validator] = {}

    def answer(self, message: Message) -> Any:
        """What is said to a message; never None."""
        if "held" in message:
            return self._match(message)
        said: Message = {}
        if "schema" in message:
            said = self._within(message["to_compile"], self._compile, message)
        if "text" in message:
            said = self._within(message["seconds"], self._check, message)
        return said

    def _within(self, seconds: float, work: Callable[[Message], Any], message: Message) -> Any:
        _limit(seconds)
        try:
            return work(message)
        finally:
            _limit(0)

    def _match(self, message: Message) -> bool:
        """Hold texts against patterns, as often as it was said."""
        wanted = [tuple(run) for run in message["runs"]]
        known = self._patterns
        known = {run: known.get(run) or _matcher(*run) for run in dict.fromkeys(wanted)}
        self._patterns = known
        matchers = [known[run] for run in wanted]  # which had time of their own to be made
        self._within(message["seconds"], lambda asked: _hold(matchers, asked["held"]), message)
        return True

    def _compile(self, message: Message) -> Message:
        """Keep a schema; or what is wrong with it, and where."""
        try:
            made = compiled(message["schema"], *message["options"])
        except ValueError as error:  # also those of the checker
            path = list(getattr(error, "instance_path", ()))
            return {"wrong": str(getattr(error, "message", error))[:LONGEST], "path": path}
        while len(self._schemas) >= MOST_KEPT:
            del self._schemas[next(iter(self._schemas))]
        self._schemas[message["name"]] = made
        return {"wrong": None}

    def _check(self, message: Message) -> Message:
        """Whether JSON text is valid, or the faults that were asked for."""
        validator = self._schemas.pop(message["name"], None)
        if validator is None:
            return {"known": False}
        self._schemas[message["name"]] = validator  # the last is the newest
        begun = time.process_time()
        value, tell = json.loads(message["text"]), message["tell"]
        if tell is None:
            said: Message = {"valid": validator.is_valid(value)}
        else:
            said = {"faults": faults_in(validator, value, of_all=tell == "all")}
        return {"known": True, "seconds": time.process_time() - begun, **said}


def _next(asked: BinaryIO) -> Message | None:
    length = asked.read(LENGTH_BYTES)
    if len(length) < LENGTH_BYTES:
        return None
    text = asked.read(int.from_bytes(length, "big"))
    made: Message = json.loads(text)
    return made


def _limit(seconds: float) -> None:
    """Have the system end this process after so much time of the processor; 0: no more."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _bound_memory() -> None:
    """Have the system refuse this process more memory than is reasonable, and keep no image of it."""
    try:
        import resource
    except ImportError:  # a system without
        return
    for kind, wanted in ((resource.RLIMIT_DATA, MOST_MEMORY), (resource.RLIMIT_CORE, 0)):
        most = resource.getrlimit(kind)[1]
        least = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        try:
            resource.setrlimit(kind, (least, most))
        except (OSError, ValueError):  # one that has no such limit
            continue


def _matcher(pattern: str, by_pydantic: bool, room: int, backtracks: int) -> Matches:
    """What holds a text against a pattern, by the engine that the parent has for it."""
    if by_pydantic:
        from pydantic_core import SchemaValidator

        schema: Any = {"type": "str", "pattern": pattern}
        return SchemaValidator(schema, {"regex_engine": "rust-regex"}).isinstance_python
    return compiled({"pattern": pattern}, room, backtracks).is_valid


def _hold(matchers: Sequence[Matches], held: Sequence[Any]) -> None:
    for runs, texts in held:
        for number, times in runs:
            matches = matchers[number]
            for _ in range(times):
                for text in texts:
                    matches(text)


def compiled(schema: Mapping[str, object], room: int, backtracks: int) -> Validator:
    """The checker of a JSON Schema, the same in this process and in the one that starts it.

    Args:
        schema: A schema, vetted.
        room: Bytes that each of its patterns may take.
        backtracks: Ways that one that looks around may be tried in, with one text.

    Raises:
        ValueError: It is none; its patterns are too large, or wrong.
    """
    import jsonschema_rs

    return jsonschema_rs.validator_for(
        dict(schema),
        mask="the value",
        retriever=_fetch_nothing,
        validate_formats=True,
        pattern_options=jsonschema_rs.FancyRegexOptions(
            size_limit=room, backtrack_limit=backtracks
        ),
    )


def faults_in(validator: Validator, value: object, *, of_all: bool) -> list[Fault]:
    """What is wrong with a value.

    Args:
        validator: Says so.
        value: Is not valid.
        of_all: Whether all faults are told, up to `MOST_FAULTS`; else the first.
    """
    import jsonschema_rs

    found: Iterable[ValidationError] = ()
    if of_all:  # behind one "anyOf" there may be thousands
        found = islice(validator.iter_errors(value), MOST_FAULTS)
    else:
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            found = (error,)
    return [
        (
            list(fault.instance_path),
            list(fault.schema_path),
            type(fault.kind).__name__,
            str(fault.message)[:LONGEST],
        )
        for fault in found
    ]


def _fetch_nothing(uri: str) -> Any:
    raise LookupError(f"nothing is fetched for a schema, and it refers to {uri}")


if __name__ == "__main__":
    main()
