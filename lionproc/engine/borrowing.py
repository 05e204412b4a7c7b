"""What a limiter borrows for its requests where others use the same budget, and from whom."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Self

from lionproc.engine.lender import Borrower, Lender, Office
from lionproc.engine.reservation import Reservation
from lionproc.engine.tokens import Amounts, amounts_of

__all__ = ["Borrowing", "Loan"]


class Borrowing:
    """Whom one limiter borrows from, if from anybody.

    Args:
        limits: Those of the limiter.

    Attributes:
        lender: Whom; None where the limits are the limiter's alone.
        folder: Where the budget is kept for limits that are shared; None for the usual place.
    """

    def __init__(self, limits: Borrower) -> None:
        self._limits = limits
        self._is_placed = False  # put here, and not for shared limits
        self.lender: Lender | None = None
        self.folder: Path | None = None

    def place(self, office: Office | None, *, place: str = "", own: bool = False) -> Lender | None:
        """See `Limiter.borrow`."""
        self._is_placed = office is not None
        self.lender = None
        if office is not None:
            self.lender = Lender(self._limits, office, own=own, place=place)
        return self.lender

    def place_again(self, lender: Lender, *, knows_all: bool) -> None:
        """See `Limiter.borrow_again`."""
        lender.again(knows_all=knows_all)
        self._is_placed, self.lender = True, lender

    def heed(self, identity: str, *, shared: bool) -> None:
        """Have a lender where the limits are shared, and none where they are not any more.

        Args:
            identity: Of the endpoint; nothing is shared without one.
            shared: Whether a person wants that.
        """
        shared = shared and bool(identity)
        if self._is_placed or shared == (self.lender is not None):
            return
        if not shared:
            self.lender = None
            return
        from lionproc.engine.home import home
        from lionproc.engine.shared_file import SharedFile

        self.lender = Lender(self._limits, SharedFile(self.folder or home(), identity))

    def refused(self, hold_s: float) -> None:
        """The server wants nothing more for so long; all others are to hear of it at once."""
        if self.lender is not None:
            self.lender.refused(hold_s)

    def correct(self, reservation: Reservation, deltas: tuple[float, ...]) -> None:
        """A request took so much more, or less, than it was expected to."""
        if reservation.lent and self.lender is not None:
            self.lender.correct(reservation.at, deltas)

    def redate(self, reservation: Reservation, now: float) -> None:
        """A request is sent only now: it counts from here, and not from when it had permission."""
        if reservation.lent and self.lender is not None:
            amounts = amounts_of(reservation.tokens)
            self.lender.correct(now, amounts)
            self.lender.give_back(reservation.at, amounts)

    def give_back(self, reservation: Reservation) -> None:
        """A request was not sent."""
        if reservation.lent and self.lender is not None:
            self.lender.give_back(reservation.at, amounts_of(reservation.tokens))


class Loan:
    """Permission for one request, as a context: what is not used is given back at its end.

    Args:
        amounts: What the request is expected to take.
    """

    def __init__(self, amounts: Amounts) -> None:
        self._amounts = amounts
        self._from: Lender | None = None
        self._at = 0.0
        self.waiting_for = ""

    async def wait_s(self, lender: Lender | None) -> float | None:
        """Get permission, where that is needed and not there yet.

        Args:
            lender: Who lends it; None where nobody has to.

        Returns:
            None if nothing is needed; else the seconds after which to look again at everything.
        """
        if lender is None or self._from is not None:
            return None
        wait_s = await lender.take(self._amounts)
        self.waiting_for = lender.waiting_for
        if wait_s == 0:
            self._from, self._at = lender, asyncio.get_running_loop().time()
        return wait_s

    def use(self) -> bool:
        """The request is sent. Returns whether its permission was lent."""
        used, self._from = self._from, None
        return used is not None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._from is not None:
            self._from.give_back(self._at, self._amounts)
