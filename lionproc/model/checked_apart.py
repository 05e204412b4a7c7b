"""A JSON Schema that is compiled, and answers that are held against it, in a process of its own.

What its checker takes for it is known of plain schemas. Another one may have a short text and take
minutes, or end the process that it is checked in, for the stack is full: there that is a fault of the
schema, or of the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Final

from lionproc.engine.kept_reading import kept_before
from lionproc.errors import SchemaError
from lionproc.model.matching import MORE_IF_KEPT
from lionproc.model.trial_process import ask
from lionproc.model.trial_server import Fault, Message
from lionproc.model.validate import wrong_shape

__all__ = ["CheckedApart", "refuse_again"]

TO_COMPILE_S: Final = 5.0  # of the processor; the longest patterns that are taken need three
TO_CHECK_S: Final = 2.0
TOO_MUCH: Final = "it takes too long to check, or is nested too deeply, for this schema; give less"
_SURELY: Final = 4  # what took less than such a part of the time was not refused for it before


class CheckedApart:
    """The checker of a JSON Schema, in the process of `trial_process`.

    Args:
        schema: The schema, vetted.
        options: How its patterns are run, see `trial_server.compiled`.

    Raises:
        SchemaError: It is no schema, or cannot be compiled in a moment.
        NotStartedError: There is no such process; likewise from each method.
    """

    def __init__(self, schema: Mapping[str, object], options: tuple[int, int]) -> None:
        told = {"schema": schema, "options": options}
        self._name = hashlib.sha256(json.dumps(told).encode()).hexdigest()
        self._whole = {**told, "name": self._name, "to_compile": TO_COMPILE_S}
        said = ask({**self._whole, "seconds": 0})
        if said is None:
            raise SchemaError(
                "The JSON Schema takes too long to be compiled, or is nested too deeply with its "
                "references followed. Ask for less at once."
            )
        if said["wrong"] is not None:
            where = "/".join(map(str, said["path"]))[:300]
            raise SchemaError(
                f"This is no valid JSON Schema{f', at {where!r}' if where else ''}: "
                f"{said['wrong'][:300]}."
            )

    def is_valid(self, text: str) -> bool:
        """Whether JSON text is valid.

        Raises:
            CallError: Of kind `wrong_shape`: it is too much work.
        """
        valid: bool = self._ask(text, None)["valid"]
        return valid

    def faults(self, text: str, *, of_all: bool) -> list[Fault]:
        """As `trial_server.faults_in`, of JSON text.

        Raises:
            CallError: As `is_valid`.
        """
        found: list[Fault] = self._ask(text, "all" if of_all else "first")["faults"]
        return found

    def _ask(self, text: str, tell: str | None) -> Message:
        seconds = TO_CHECK_S * (1 if kept_before() is None else MORE_IF_KEPT)
        message = {"name": self._name, "text": text, "tell": tell, "seconds": seconds}
        said = ask(message)
        if said is not None and not said["known"]:  # at once: others may have it forget this again
            said = ask({**self._whole, **message})
        if said is None or not said["known"]:
            raise wrong_shape(TOO_MUCH)
        if said["seconds"] > TO_CHECK_S / _SURELY:
            refuse_again()
        return dict(said)


def refuse_again() -> None:
    """Refuse a kept answer that was refused as too much, and the model asked again.

    Raises:
        CallError: Of kind `wrong_shape`, where that is so of what is read just now.
    """
    was_refused, too_much = kept_before(), wrong_shape(TOO_MUCH)
    if was_refused is not None and was_refused(too_much):
        raise too_much
