"""What is done in the process of `trial_process`: it holds texts against patterns and JSON Schemas.

It imports neither lionproc nor pydantic, so that it is ready sooner.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

__all__ = ["MOST_FAULTS", "Fault", "Message", "compiled", "faults_in", "serve"]

Matches: TypeAlias = "Callable[[str], bool]"
Message: TypeAlias = "Mapping[str, Any]"
Within: TypeAlias = "Callable[[float], AbstractContextManager[None]]"
Fault: TypeAlias = "tuple[list[str | int], list[str | int], str, str]"
"""Where it is, in which part of the schema, of what kind, and why."""

MOST_FAULTS: Final = 100
MOST_KEPT: Final = 16  # schemas
LONGEST: Final = 10_000  # characters of a sentence on what is wrong; 200 are shown


class _Server:
    """Does what a message asks for, within the time that it gives."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[Any, ...], Matches] = {}
        self._schemas: dict[str, Validator] = {}

    def answer(self, message: Message, within: Within) -> Any:
        """What is said to a message, see `serve`."""
        if "held" in message:
            return self._match(message, within)
        said: Message = {}
        if "schema" in message:
            with within(message["to_compile"]):
                said = self._compile(message)
        if "text" in message:
            with within(message["seconds"]):
                said = self._check(message)
        return said

    def _match(self, message: Message, within: Within) -> bool:
        """Hold texts against patterns, as often as it was said."""
        wanted = [tuple(run) for run in message["runs"]]
        known = self._patterns
        known = {run: known.get(run) or _matcher(*run) for run in dict.fromkeys(wanted)}
        self._patterns = known
        matchers = [known[run] for run in wanted]  # which had time of their own to be made
        with within(message["seconds"]):
            _hold(matchers, message["held"])
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


_SERVER: Final = _Server()


def serve(message: Message, within: Within) -> Any:
    """What is said to a message; never None.

    Args:
        message: With texts that are `held` against patterns, a `schema` to be kept, or a `text` to be
            held against one.
        within: Gives a block some seconds of the processor.
    """
    return _SERVER.answer(message, within)


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
