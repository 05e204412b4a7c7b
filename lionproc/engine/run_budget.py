"""The live budget of a run: what it allows, how much of it is used, and what is said of that."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import reduce

from lionproc.engine import loop as engine_loop
from lionproc.engine.budget import WARN_AT, Budget
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.outlay import Outlay, Spending, Verdict, gone, unkept
from lionproc.engine.routes import Routes
from lionproc.engine.tokens import Tokens
from lionproc.errors import ConfigurationError


class RunBudget:
    """One budget for all routes of a run. Set from any thread, asked on the engine's loop.

    Args:
        routes: Where the requests go; they know what was spent.
        bounds: What may be spent; None for all there is.
        group: The runs whose budget it is too; `bounds` are no matter where there are some.

    Attributes:
        reached: The bound that stopped the run, in words; empty while none did.

    Raises:
        ConfigurationError: It cannot be kept.
    """

    def __init__(
        self, routes: Routes, bounds: Budget | None, group: BudgetGroup | None = None
    ) -> None:
        self.reached = ""
        self._routes = routes
        self._is_told = False  # what was spent, to those who divide the rest
        self._for_others = 0  # of the requests that may be sent, those of other processes
        if group is not None:
            bounds = bounds if group.is_new else group.bounds
            routes.group = group
        self.set(Budget() if bounds is None else bounds)
        if group is not None:
            group.spenders.append(routes)
        self._heeded = replace(self.bounds)

    @property
    def bounds(self) -> Budget:
        """What may be spent."""
        return self._routes.group.bounds

    def set(self, bounds: Budget) -> None:
        """Put others in place of the bounds.

        Raises:
            ConfigurationError: They cannot be kept.
        """
        if not isinstance(bounds, Budget):
            raise ConfigurationError(
                f"budget takes lp.Budget(usd=..., ...), not {type(bounds).__name__}."
            )
        spenders = [self._routes, *self._routes.group.spenders]
        unpriced = [name for each in spenders for name in each.unpriced]
        if bounds.usd is not None and unpriced:
            names = ", ".join(dict.fromkeys(filter(None, unpriced)))
            raise ConfigurationError(
                f"The price of {names or 'this model'} is not known, so a budget in dollars cannot be "
                "kept. Give it as Model(..., price=lp.Price(input=..., output=...)) in dollars per "
                "million tokens, or use Budget(tokens=...) or Budget(requests=...)."
            )
        if bounds is not self.bounds:
            self._routes.group.bounds = replace(bounds)  # no other's; its fields can be assigned to

    def heed(self) -> None:
        """Let those who wait for the budget ask again, if it was changed."""
        if self._heeded != self.bounds:
            self._heeded = replace(self.bounds)
            self._routes.look_again()

    def tell(self, *, shared: bool) -> Spending:
        """What this run has spent and has under way, to be told to other processes.

        On the engine's loop, or before the run begins.

        Args:
            shared: Whether nothing more leaves until `heard`, for what others leave of the budget
                is divided anew meanwhile.
        """
        self._is_told = shared
        own = (outlay.spending for outlay in self._routes.own_outlays)
        return reduce(Spending.plus, own, Spending(sent=self._routes.sent()))

    def heard(self, elsewhere: Spending) -> None:
        """Other processes have told what they have spent of the same budget; from any thread.

        Args:
            elsewhere: What all of them have told by now, and what is theirs of the rest.
        """

        def heed() -> None:
            group = self._routes.group
            group.over = Outlay.of(elsewhere, self._routes.routes[0].usd)
            group.sent_before = elsewhere.sent
            self._for_others = elsewhere.pledged_requests
            self._is_told = False
            self._routes.look_again()

        engine_loop.get().call_soon_threadsafe(heed)

    def may_send(self, number: int, estimate: Tokens, corrects: bool) -> Verdict:
        """Whether one more request may leave.

        Args:
            number: Of its route.
            estimate: What it will probably take.
            corrects: Whether it asks again for an answer that would not do.
        """
        if self.reached:
            return "stop"
        if not self.bounds.is_set:
            return "send"
        verdict, self.reached = self._routes.verdict(
            self.bounds, number, estimate, corrects=corrects
        )
        if verdict == "send" and (self._is_told or self._is_theirs):
            return "wait"
        return verdict

    @property
    def _is_theirs(self) -> bool:
        """Whether the next request is for another process to send."""
        most, theirs = self.bounds.requests, self._for_others
        return most is not None and theirs > 0 and self._routes.sent_in_all + theirs >= most

    def used(self) -> tuple[str, float | None]:
        """The bound that is used most, in words, and the share of it; None without a bound."""
        if not self.bounds.is_set:
            return "", None
        usd, tokens = gone(self._routes.outlays)
        return self.bounds.used(usd=usd, tokens=tokens, requests=self._routes.sent_in_all)

    @property
    def used_up(self) -> str:
        """The bound that is reached as the bounds are now, in words; empty while none is."""
        outlays = self._routes.outlays
        usd, tokens = gone(outlays)
        reached = self.bounds.reached(usd=usd, tokens=tokens, requests=self._routes.sent_in_all)
        return reached or unkept(self.bounds, outlays)

    @property
    def note(self) -> str:
        """What a person should know of it while the run goes on; empty for nothing."""
        bound, used = self.used()
        if used is None or used < WARN_AT or self._routes.waits_for_budget:
            return ""
        return (
            f"{math.floor(100 * used)} % of the budget of {bound} is used; "
            "lp.last_job().budget raises it."
        )
