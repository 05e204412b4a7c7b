"""What spreadsheet programs take for formulas, at the beginning of a cell and within a CSV.

A program that expects semicolons or tabs splits a CSV with commas at those in its texts. A
quotation mark behind one stands within a cell for it and quotes nothing, so it reads on, over the
end of the text and into the next ones, until it finds its separator again: two texts that are
harmless alone can be one formula.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = ["NUMBER", "NUMBERS", "Splitting", "number_of", "sign_of"]

NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)*%?")
# Of these alone it is known what they print: a class that is made of one prints what it likes.
NUMBERS = frozenset(
    {bool, int, float, complex, Decimal, Fraction}
    | {kind for kind in np.sctypeDict.values() if issubclass(kind, np.number | np.bool_)}
)
_SIGNS = frozenset("=+-@")
_LOOK_ALIKE = frozenset("\u2212\u2010")  # a minus and a hyphen that NFKC leaves as they are
# Spaces, controls, formats, marks that stand on nothing, what is not assigned: none can be seen.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"})
_UNSEEN_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800\ufffd")  # fillers, and no character
_CALLS = frozenset("(|!")  # of a function, of a program, of another sheet
_OPERANDS = frozenset("_.?%)!")  # with letters and digits, ends of what no text may follow
_BETWEEN = ' "\t\r\n\u00a0'  # at the end of a piece: spaces, or the beginning of that text


def sign_of(text: str) -> str:
    """The sign of a formula with which a text begins, as far as it can be seen; empty for none."""
    for character in text:
        if character in _UNSEEN_LETTERS or unicodedata.category(character) in _UNSEEN:
            continue
        begins = unicodedata.normalize("NFKC", character)[:1]
        return begins if begins in _SIGNS or begins in _LOOK_ALIKE else ""
    return ""


def number_of(value: Any) -> object:
    """The number that one of a class made of `NUMBERS` is, as one of these.

    Args:
        value: Anything.

    Returns:
        None where it is no number.
    """
    kinds: tuple[Any, ...] = (int, float, complex)
    for kind in kinds:
        if isinstance(value, kind):
            return kind.__pos__(value)
    if isinstance(value, np.number):
        number: object = np.number.item(value)
        return number if type(number) in NUMBERS else None
    return Decimal(Decimal.__str__(value)) if isinstance(value, Decimal) else None


class Splitting:
    """How programs that expect other separators may split the texts of a CSV.

    Args:
        commas: Whether one may do so at commas. Where they separate, it reads texts as written.
        quoted: Whether each text is written between quotation marks, with those in it doubled.
    """

    def __init__(self, *, commas: bool, quoted: bool) -> None:
        self._separators = ",;\t" if commas else ";\t"
        self._breaks = re.compile(f"[{self._separators}\r\n]")
        self._quoted = quoted

    def defused(self, text: str, *, only_end: bool = False) -> str:
        """A text of which no such program makes a formula, whatever is written behind it.

        Args:
            text: Of a cell; the beginning of it is harmless.
            only_end: Whether to look only at what would be one with that which is behind it.

        Returns:
            The text, with an apostrophe before each piece that would begin one.
        """
        while found := sorted(self._beginnings(text, only_end)):
            ends = [0, *found, len(text)]
            text = "'".join(text[a:b] for a, b in pairwise(ends))
            # An apostrophe may open the name of a sheet, so it is looked at again.
        return text

    def _beginnings(self, text: str, only_end: bool) -> Iterator[int]:
        """Where formulas begin, from the last to the first."""
        places = [found.start() for found in self._breaks.finditer(text)]
        after = dict.fromkeys(f"{self._separators}\r\n", len(text))
        for place in reversed(places):
            sign = text[place]
            if sign in self._separators:
                end = min(after[sign], after["\n"])
            else:  # it may end at any of them: at the last that one program can have
                line = after["\n"] if sign == "\n" else min(after["\n"], after["\r"])
                end = min(line, max(after[each] for each in self._separators))
            if self._acts(text[place + 1 : end], is_open=end == len(text), only_end=only_end):
                yield place + 1
            after[sign] = place

    def _acts(self, piece: str, *, is_open: bool, only_end: bool) -> bool:
        """Whether a piece would be a formula, alone or with what is written behind it.

        A minus is a bullet or a number, unless something is called. If the piece is open, the call
        may follow; but first comes a quotation mark, and so a text.
        """
        piece = piece.lstrip('"')
        sign = sign_of(piece)
        if not sign:
            return False
        if is_open and not self._quoted:
            return True
        if NUMBER.fullmatch(piece.strip().rstrip("]")):  # the last one of a list
            return False
        if is_open and _may_go_on(piece):
            return True
        return not only_end and (sign in "=@" or not _CALLS.isdisjoint(piece))


def _may_go_on(piece: str) -> bool:
    """Whether a text may follow in a formula, or is a part of the name of a sheet or a file.

    What ends in an operand is none with a text behind it.
    """
    end = piece.rstrip(_BETWEEN)[-1:]
    if not (end.isalnum() or end in _OPERANDS):
        return True
    quote = piece.rfind("'")
    opens_a_name = quote >= 0 and not piece[quote - 1].isalnum()  # not as in "don't"
    return opens_a_name or piece.count("[") > piece.count("]")
