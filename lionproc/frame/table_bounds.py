"""How much a table of a stranger may be made of, in proportion to what is written of it.

A table of text has as many cells as its widest row times its rows, and a file can say both in a few
bytes: one row of a million commas, a million empty ones. What reads it makes all of those cells, and
pandas some more for each column. So each reader of such a table asks here, before any of that is
made.
"""

from __future__ import annotations

from dataclasses import dataclass

from lionproc.errors import ConfigurationError

__all__ = ["LINES", "SHEET", "TableBounds"]


@dataclass(frozen=True, slots=True)
class TableBounds:
    """The bounds of tables of one kind.

    Attributes:
        whose: Who has no larger ones, for messages.
        columns: The most that one has.
        rows: The most that one has.
        spare: Cells that one may have, however little is written of it.
        times: Cells for each byte of it that is written (for each cell, where bytes are packed),
            beyond those. A full table has one at most.
    """

    whose: str
    columns: int
    rows: int
    spare: int
    times: int

    def check(self, name: str, *, columns: int, rows: int, written: int) -> None:
        """Refuse a table that would be far larger than what is written of it.

        Args:
            name: What the table is called, for the message.
            columns: Those of its widest row.
            rows: How many.
            written: Bytes, or cells where the bytes are packed.

        Raises:
            ConfigurationError: It would be.
        """
        if columns > self.columns:
            raise ConfigurationError(
                f"{name} has {columns:,} columns; {self.whose} {self.columns:,} at most. "
                "Delete the ones that are not needed, or read it with pandas."
            )
        if rows > self.rows:
            raise ConfigurationError(
                f"{name} has more than {self.rows:,} rows, and {self.whose} no more. Split it, or read "
                "it with pandas."
            )
        if columns * rows > self.spare + self.times * written:
            raise ConfigurationError(
                f"{name} has {rows:,} rows that are shorter than its {columns:,} columns: as a table "
                f"that would be {columns * rows:,} cells, nearly all of them empty. Delete the empty "
                "columns, or put what varies into one field (in JSON Lines, as an object)."
            )


SHEET = TableBounds("a spreadsheet has", columns=2**14, rows=2**20, spare=1_000_000, times=2)
# CSV and JSON Lines of the command line. pandas takes 9 KB for a column, so these take 450 MB; tables
# with a column for each gene have 20,000 to 40,000.
LINES = TableBounds("this command reads", columns=50_000, rows=2**31, spare=10_000_000, times=2)
