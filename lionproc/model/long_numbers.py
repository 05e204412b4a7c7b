"""Numbers that make an answer slow to check, though it has no more values than another.

Two integers that differ by a multiple of 2**61 - 1 have one hash. A set of 30,000 of those, or a
dict with them as keys, compares each with each and holds the interpreter's lock for minutes, and
arithmetic with integers of thousands of digits takes as long. All of it wants numbers beyond 64
bits, or written with very many digits or an exponent, and very many of them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation

from lionproc.model.plain_values import LEAST, MOST

__all__ = [
    "MOST_COMPARED",
    "MOST_LONG_NUMBERS",
    "are_long_fractions",
    "has_too_many_long_numbers",
    "may_have_long_numbers",
    "texts_in",
]

MOST_LONG_NUMBERS = 1000  # beyond 64 bits; no model writes as many in one answer
MOST_COMPARED = 1_000_000  # pairs of values with one hash, each of which may be compared
MOST_BITS = 300_000  # of all of them
_BITS_OF_A_DIGIT = math.log2(10)
_SIGNS = " 0123456789+-._eE"  # of which numbers are made
_EXPONENT = 4  # digits; no fraction has a longer one
_FEW = 10_000  # characters: fewer hold no thousand of them that differ
_DIGITS = 3000
_LONGEST = 1000  # characters of one that is a text


def may_have_long_numbers(text: str) -> bool:
    """Whether there may be very many of them in the JSON text of an answer."""
    if len(text) <= _FEW:
        return False
    return not text.isascii() or sum(map(text.count, "0123456789")) > _DIGITS


def has_too_many_long_numbers(value: object, written: Iterable[str] = ()) -> bool:
    """Whether an answer has so many long numbers that checking it may take minutes.

    Args:
        value: What the text of the answer holds, parsed.
        written: Numbers in it that are read digit by digit, and not as floats.
    """
    bits = [abs(each).bit_length() for each in _long(value)]
    if len(bits) > MOST_LONG_NUMBERS or sum(bits) > MOST_BITS:
        return True
    texts = {text for text in texts_in(value) if _begins_a_number(text)}
    hashes = Counter(map(_hash, texts.union(written)))
    del hashes[None]
    return sum(count**2 for count in hashes.values()) > MOST_COMPARED


def are_long_fractions(value: object) -> bool:
    """Whether numbers that are read as fractions are too long together: 1e4299 has 4,300 digits.

    Args:
        value: What the text of the answer holds, parsed.
    """
    bits = 0.0
    for text in texts_in(value):
        _, e, exponent = text.lower().rpartition("e")
        digits = exponent.replace("_", "").strip().lstrip("+-0") if e else ""
        if digits.isdecimal() and len(digits) <= _EXPONENT:
            bits += int(digits) * _BITS_OF_A_DIGIT
    return bits > MOST_BITS


def _long(value: object) -> Iterator[int]:
    for each in _scalars(value):
        if type(each) is int and not LEAST <= each <= MOST:
            yield each


def texts_in(value: object) -> Iterator[str]:
    """The texts of an answer, keys too.

    Args:
        value: What the text of the answer holds, parsed.
    """
    for each in _scalars(value):
        if type(each) is str:
            yield each


def _scalars(value: object) -> Iterator[object]:
    """What is in it, keys too: they may be read as numbers."""
    layer = [value]
    while layer:
        below: list[object] = []
        for outer in layer:
            if isinstance(outer, dict):
                yield from outer
                below += outer.values()
            elif isinstance(outer, list):
                below += outer
            else:
                yield outer
        layer = below


def _begins_a_number(text: str) -> bool:
    first = text.lstrip()[:1]
    return first.isdecimal() or (first != "" and first in "+-.")


def _hash(text: str) -> int | None:
    """The hash that a text has once it is read as a number; None where it is none."""
    if len(text) > _LONGEST:  # as good as one hash for all of them: there are no thousand of these
        return None if text.isascii() and text.strip(_SIGNS) else 0
    try:
        return hash(Decimal(text))
    except (InvalidOperation, TypeError, ValueError):  # no number, or a signalling NaN
        return None
