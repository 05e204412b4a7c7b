"""How long an answer may be that a type reads.

A text is kept as it is, however long its reply was. What is typed is parsed, gone over with every
part of the type, and made into values, which takes time and memory by its length at the least.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from lionproc.engine.json_bounds import has_long_number
from lionproc.engine.kept_reading import kept_before
from lionproc.errors import CallError, Kind
from lionproc.model.validate import wrong_shape
from lionproc.model.wire import MAX_REPLY_BYTES

__all__ = ["LONGEST_TYPED", "refuse_very_long"]

# The largest outputs that providers publish are 128,000 to 400,000 tokens: less than 2 MB of text.
LONGEST_TYPED: Final = 4 * 2**20  # bytes
# A kept one was paid for, and was an answer: what failed is not read again, see `Journal.find`.
LONGEST_KEPT: Final = MAX_REPLY_BYTES


def refuse_very_long(said: str) -> None:
    """Refuse the text of a reply that is longer than any typed answer, before anything reads it.

    One that was read before is read again, as far as a reply could be kept at all.

    Raises:
        CallError: Of kind `unreadable`: to ask for it again would cost the same, and more. Or of kind
            `wrong_shape`, where Python was told to read numbers of any length.
    """
    if has_long_number(said):
        raise wrong_shape("a number in it is longer than any that Python reads by itself")
    most = LONGEST_TYPED if kept_before() is None else LONGEST_KEPT
    if len(said) * 4 <= most:  # no character has more bytes
        return
    size = len(said) if said.isascii() else len(said.encode(errors="surrogatepass"))
    if size > most:
        raise CallError(
            Kind.UNREADABLE,
            f"the answer has {ceil(10 * size / 2**20) / 10} MiB; a typed one may have {most // 2**20}",
            hint="Ask for text (schema=str), which may be longer, or for less in one row.",
        )
