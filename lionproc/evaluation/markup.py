"""XML that is looked through before anything is made of it: a few kilobytes may unfold to hours.

Whoever reads XML with namespaces writes the namespace of each name out in full: a long one with many
names takes the product of both, in time, and within one tag in memory. A tag or a remark is looked at
from its beginning each time that more of it comes, which takes the square of its length. Here nothing
is written out, and what no workbook has is refused.
"""

from __future__ import annotations

from typing import IO
from xml.parsers.expat import ExpatError, ParserCreate, XMLParserType

__all__ = ["check_markup"]

LONGEST = 2**18  # bytes of a tag, or of a remark between them
LONGEST_TEXT = 2**20  # bytes between two tags; a cell of Excel has 32,767 characters
MOST_NAMES = 10_000  # different ones, of tags and their attributes
MOST_ATTRIBUTES = 1000  # of a tag
LONGEST_NAMESPACE = 1000  # characters
DEEPEST = 1000  # tags, one in the other
_PIECE = 2**16


def check_markup(part: IO[bytes]) -> None:
    """Refuse XML that unfolds to far more than it is. What is not well-formed is told by its reader.

    Args:
        part: What is to be read.

    Raises:
        ValueError: It unfolds.
    """
    parser = ParserCreate()
    look = _Look(parser)
    parser.StartDoctypeDeclHandler = look.doctype
    parser.StartElementHandler = look.start
    parser.EndElementHandler = look.end
    taken = 0
    while piece := part.read(_PIECE):
        try:
            parser.Parse(piece)
        except ExpatError:
            return  # nobody reads on behind it
        taken += len(piece)
        if taken - parser.CurrentByteIndex > LONGEST:  # it waits for the end of one
            raise ValueError("it has a tag or a remark that is longer than any of a workbook")
        look.text()


class _Look:
    def __init__(self, parser: XMLParserType) -> None:
        self._parser = parser
        self._names: set[str] = set()
        self._depth = 0
        self._since = 0  # where the last tag began

    def text(self) -> None:
        """Some of the text within one, or the next tag."""
        if self._parser.CurrentByteIndex - self._since > LONGEST + LONGEST_TEXT:
            raise ValueError("it has a text that is longer than any of a cell")

    def doctype(self, *_: object) -> None:
        """What may define entities, of which a few bytes become gigabytes."""
        raise ValueError("it has a document type, which no workbook has")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._pass()
        self._depth += 1
        self._names.add(tag)
        self._names.update(attributes)
        if (
            self._depth > DEEPEST
            or len(self._names) > MOST_NAMES
            or len(attributes) > MOST_ATTRIBUTES
        ):
            raise ValueError("its tags are deeper, or have more names, than those of a workbook")
        for name, value in attributes.items():
            if name.startswith("xmlns") and len(value) > LONGEST_NAMESPACE:
                raise ValueError("it has a namespace that is longer than any of a workbook")

    def end(self, tag: str) -> None:
        del tag
        self._pass()
        self._depth -= 1

    def _pass(self) -> None:
        self.text()
        self._since = self._parser.CurrentByteIndex
