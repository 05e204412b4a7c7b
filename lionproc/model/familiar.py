"""Texts of replies that were read before are not read again, where their answers are one word.

A column of labels has a handful of answers, and each comes in the same few words a thousand times.
Reading text is checking it: for keys that occur twice, for true where a 1 was asked for, for what
pydantic says. What was found good is good the next time.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, get_origin

from lionproc.model.answer_parser import Answered, Read
from lionproc.model.reading_code import written_by_hand
from lionproc.model.shape import Boolean, Choice, Integer, Real, Shape

__all__ = ["remembering"]

LONGEST = 200  # characters of a text that is remembered
MOST = 1000  # texts; then it begins anew

_ONE_WORD = Boolean | Choice | Integer | Real
_TYPES = (bool, int, float)
_READS = ("_missing_", "__get_pydantic_core_schema__")  # methods of an Enum that read replies


def remembering(read: Read, shape: Shape, source: Any = None) -> Read:
    """The same reader, which remembers the answers of texts.

    Only where an answer cannot be changed by whoever has it, and where no code of a person reads
    it: a validator has to see every reply.

    Args:
        read: From the text of a reply to the answer, or an error; errors are not remembered.
        shape: Of the answer.
        source: The type that was asked for; None for a JSON Schema.
    """
    if not isinstance(shape, _ONE_WORD) or not (source is None or _has_no_code(source)):
        return read
    known: dict[str, Answered] = {}

    def again(text: str) -> Answered:
        found = known.get(text)
        if found is None:
            found = read(text)
            if len(text) <= LONGEST:
                if len(known) >= MOST:
                    known.clear()
                known[text] = found
        return found

    return again


def _has_no_code(source: Any) -> bool:
    if not (isinstance(source, type) and issubclass(source, Enum)):
        return get_origin(source) is Literal or any(source is kind for kind in _TYPES)
    return written_by_hand(source).isdisjoint(_READS)
