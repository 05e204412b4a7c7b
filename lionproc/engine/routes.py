"""Where the requests of a run go: an executor for each model of each stage, steered as one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce

from lionproc.engine import last_pace
from lionproc.engine.budget import Budget
from lionproc.engine.budget_group import BudgetGroup
from lionproc.engine.counters import WayUse, told
from lionproc.engine.dispatcher import Dispatcher
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import Journal
from lionproc.engine.latencies import Latencies
from lionproc.engine.limiter import Limiter
from lionproc.engine.neighbours import introduce
from lionproc.engine.open_files import most_connections, warn_of_few
from lionproc.engine.outlay import Outlay, Verdict, verdict
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.engine.shared_file import shared_in
from lionproc.engine.stats import RunStats
from lionproc.engine.tokens import REQUESTS, TOKENS, Tokens
from lionproc.engine.usage import Price, Saved, Usage
from lionproc.errors import Kind, RunError

__all__ = ["GUESSED", "Route", "Routes", "summed"]

GUESSED = "they are estimated from the texts"


@dataclass(frozen=True, slots=True)
class Route:
    """Where the requests of one stage go.

    Attributes:
        limiter: The limiter of the endpoint, which others may use too.
        price: What replies cost there, None where nothing is known of that.
        own: A limiter that only this stage passes, in front of the other; None for none.
        executor: The one that its work is to run in, None for one of its own.
        elsewhere: The kinds of failure after which another route takes over.
        name: What people call its models of which no price is known; empty where there are none.
        before: The numbers of the routes on which its rows were asked first.
    """

    limiter: Limiter
    price: Price | None
    own: Limiter | None = None
    executor: RateLimitedAPIExecutor | None = None
    elsewhere: frozenset[Kind] = frozenset()
    name: str = ""
    before: Sequence[int] = ()

    @property
    def queue_capacity(self) -> int:
        """Events that may wait."""
        return 1000 if self.executor is None else self.executor.queue_capacity

    def usd(self, tokens: Tokens) -> float | None:
        """Dollars for a request with so many tokens, None where the price is not known."""
        return None if self.price is None else self.price.usd(Usage(tokens.input, tokens.output))


class Routes:
    """The routes of a run. What happens on one of them that stops it stops them all.

    It has more than 25 methods because a run asks everything of all its routes at once; each
    is a few lines that sum up what the routes say.

    Args:
        routes: One for each stage, in order.

    Attributes:
        limiters: The limiters of the endpoints, each once.
        executors: One for each route, once they are open.
        group: The runs that share a budget with this one.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        members = [limiter for route in routes for limiter in route.limiter.members]
        self.limiters = list(dict.fromkeys(members))
        self.executors: list[RateLimitedAPIExecutor] = []
        self.group = BudgetGroup()
        self.group.spenders.append(self)

    @property
    def dispatchers(self) -> list[Dispatcher]:
        """The cores of the executors."""
        return [executor.dispatcher for executor in self.executors]

    def open(
        self,
        *,
        journal: Journal,
        retry: Retry,
        since: int,
        until: int | None,
        known: bool,
        on_done: Callable[[Event], None],
        may_send: Callable[[int, Tokens, bool], Verdict] | None,
    ) -> None:
        """Make the executors, on the engine's loop.

        Args:
            journal: Where replies are kept.
            retry: How patient to be.
            since: Only journal records after this mark answer anything.
            until: And only those before this one; None for all.
            known: Whether the journal has answered something before.
            on_done: Called with every event when it is finished.
            may_send: See `RunBudget.may_send`.
        """
        made = []
        for number, route in enumerate(self.routes):
            executor = RateLimitedAPIExecutor(
                route.queue_capacity,
                limiter=route.own or route.limiter,
                journal=journal,
                retry=retry,
                history=0,
                since=since,
                on_done=on_done,
                may_send=None if may_send is None else partial(may_send, number),
                first_failures=retry.first_failures,
                elsewhere=route.elsewhere,
            )
            dispatcher = executor.dispatcher
            dispatcher.replay.has_answered, dispatcher.replay.until = known, until
            outlay = dispatcher.counters.outlay
            outlay.usd, outlay.news = route.usd, self.group.news  # what is back leaves room for all
            dispatcher.on_stop = self._stop_all
            made.append(executor)
        self.executors = made  # all at once, for other threads look at them
        introduce([each.policy for each in self.dispatchers], lambda n: self.routes[n].before)
        for route, dispatcher in zip(self.routes, self.dispatchers, strict=True):
            if route.executor is not None:
                route.executor.group.enter(dispatcher)

    def number(self, run: int) -> None:
        """Say which number the run has in the journal, 0 for one that is not remembered."""
        for dispatcher in self.dispatchers:
            dispatcher.replay.run = run

    def count_connections(self) -> None:
        """Find out how many connections each may open, and warn of too few."""
        for limiter in self.limiters:
            if limiter.connections is None:
                limiter.connections = most_connections()
            warn_of_few(limiter.limits.concurrency, limiter.connections)

    def recall(self, rows: int, journal: str) -> None:
        """Begin with what the last run saw of each endpoint.

        Args:
            rows: How many requests may be sent on each route.
            journal: The path of the journal, beside which it is kept.
        """
        folder = last_pace.folder_of(journal)
        for limiter in self.limiters:
            limiter.borrowing.folder = shared_in(journal)
            seen = None if folder is None else last_pace.read(folder, limiter.identity)
            limiter.begin(rows, seen)

    def remember(self, seconds: float, journal: str) -> None:
        """Keep what a run of so many seconds saw of each endpoint; see `recall`."""
        folder = last_pace.folder_of(journal)
        for limiter in self.limiters:
            seen = limiter.seen(seconds)
            if folder is not None and seen is not None:
                last_pace.write(folder, limiter.identity, seen)

    def _stop_all(self, grace_s: float) -> None:
        for dispatcher in self.dispatchers:
            dispatcher.stop_run(None, grace_s)

    async def halt(self, grace_s: float) -> None:
        """Send nothing more; what is in flight may come back for so many seconds."""
        await asyncio.gather(*(each.halt(grace_s) for each in self.dispatchers))

    def leave(self) -> None:
        """The run is over: leave its budget and the executors that its work ran in."""
        self.group.leave(self)
        for route, dispatcher in zip(self.routes, self.dispatchers, strict=False):
            if route.executor is not None:
                route.executor.group.leave(dispatcher)

    async def forward(self) -> None:
        """Wait until every event is finished."""
        for executor in self.executors:  # one feeds the next
            await executor.forward()

    def pause(self) -> None:
        """Send nothing more until `resume`."""
        for executor in self.executors:
            executor.pause()

    def resume(self) -> None:
        """Send again."""
        for executor in self.executors:
            executor.resume()

    def judge_the_end(self) -> None:
        """Everything is back: if nothing was ever reached, that is what there is to say."""
        answered = any(dispatcher.policy.answers for dispatcher in self.dispatchers)
        for dispatcher in self.dispatchers:
            dispatcher.judge_the_end(answered=answered)

    @property
    def fatal(self) -> RunError | None:
        """What no event could get past, if something stopped them all."""
        return next((each.fatal for each in self.executors if each.fatal is not None), None)

    def verdict(
        self, budget: Budget, number: int, estimate: Tokens, *, corrects: bool = False
    ) -> tuple[Verdict, str]:
        """Whether the budget allows one more request on a route; see `Outlay.verdict`."""
        return verdict(budget, self.outlays, number, estimate, self.sent_in_all, corrects=corrects)

    @property
    def unpriced(self) -> list[str]:
        """The models of which it is not known what a request costs."""
        return [route.name for route in self.routes if route.usd(Tokens(1, 1)) is None]

    @property
    def waits_for_budget(self) -> bool:
        """Whether requests wait for what is in flight, which may use up the budget."""
        return any(outlay.waiting for outlay in self.outlays)

    def look_again(self) -> None:
        """The budget was changed: whoever waits for it asks again."""
        for outlay in self.outlays:
            outlay.news.set()

    @property
    def outlays(self) -> list[Outlay]:
        """What was spent on each route, and behind them by the others of its budget."""
        first = sorted(self.group.spenders, key=lambda spender: spender is not self)
        beside = [outlay for spender in first for outlay in spender.own_outlays]
        return [*beside, self.group.over]

    @property
    def own_outlays(self) -> list[Outlay]:
        """What was spent on each route of this run."""
        return [executor.outlay for executor in self.executors]

    @property
    def sent_in_all(self) -> int:
        """The requests that were sent on all routes, and by the others of its budget."""
        return sum(spender.sent() for spender in self.group.spenders) + self.group.sent_before

    # -- what a person sees -----------------------------------------------------------------

    def used(self, number: int) -> Tokens:
        """The tokens that were used on a route."""
        if not self.executors:
            return Tokens()
        counters = self.executors[number].counters
        return Tokens(counters.prompt_tokens, counters.completion_tokens)

    def usd(self, number: int) -> float | None:
        """What was bought on a route cost, None where that is not known."""
        if self.routes[number].usd(Tokens(1, 1)) is None and not self._is_priced(number):
            return None
        if not self.executors:
            return 0.0
        outlay = self.executors[number].outlay
        return None if outlay.unpriced else outlay.spent_usd

    def ways(self, number: int) -> dict[int, WayUse]:
        """What was sent each way, where a route has several to the same model."""
        return dict(self.executors[number].counters.ways) if self.executors else {}

    def errors(self, number: int) -> dict[str, int]:
        """How many rows a route had no answer for, by kind, wherever they went then."""
        if not self.executors:
            return {}
        counted = self.executors[number].counters.errors
        return {str(kind): count for kind, count in dict(counted).items()}

    def _is_priced(self, number: int) -> bool:
        """Whether replies have told what the table does not know."""
        outlay = self.executors[number].outlay if self.executors else None
        return outlay is not None and not outlay.unpriced and outlay.spent.total > 0

    def sent(self, number: int | None = None) -> int:
        """The requests that were sent on a route, or on all of them."""
        chosen = self.executors if number is None else self.executors[number : number + 1]
        return sum(executor.counters.sent for executor in chosen)

    @property
    def failing(self) -> bool:
        """True while a server only fails and is probed."""
        return any(executor.failing for executor in self.executors)

    @property
    def guessed(self) -> int:
        """Replies whose tokens the server did not count."""
        return sum(executor.counters.guessed for executor in self.executors)

    @property
    def latencies(self) -> Latencies:
        """How long the paid replies of all routes took."""
        return Latencies.together(executor.counters.latencies for executor in self.executors)

    @property
    def retries(self) -> Counter[str]:
        """The requests that were sent again, by the kind of error that made it necessary."""
        counted = Counter[str]()
        for executor in self.executors:
            counted.update(dict(executor.counters.retries))
        return counted

    @property
    def saved(self) -> Saved | None:
        """What the replies would have cost more, None where the price of one is not known."""
        if any(executor.outlay.unpriced for executor in self.executors):
            return None
        return reduce(Saved.plus, (each.counters.saved for each in self.executors), Saved())

    def stats(self, elapsed_s: float, so_far: RunStats) -> RunStats:
        """A snapshot with what the routes know, all together.

        Args:
            elapsed_s: Seconds since the run began.
            so_far: The snapshot with what the run knows.
        """
        window_s = min(max(elapsed_s, 1.0), 60.0)
        counted = [executor.counters for executor in self.executors]
        costs = [self.usd(number) for number in range(len(self.routes))]
        estimated = sum(each.estimated for each in counted)
        limiters = self.limiters
        learned = [each.learned for each in limiters]
        return replace(
            so_far,
            elapsed_s=elapsed_s,
            sent=sum(each.sent for each in counted),
            retried=sum(each.retried for each in counted),
            throttled=sum(each.throttled for each in counted),
            in_flight=sum(executor.in_flight for executor in self.executors),
            queued=sum(executor.queued for executor in self.executors),
            prompt_tokens=sum(each.prompt_tokens for each in counted),
            completion_tokens=sum(each.completion_tokens for each in counted),
            cached_tokens=told(counted, "cached_tokens", "cached_told"),
            reasoning_tokens=told(counted, "reasoning_tokens", "reasoning_told"),
            guessed=self.guessed,
            estimate_error=(
                sum(each.estimate_off for each in counted) / estimated if estimated else 0.0
            ),
            usd=summed(costs),
            unpriced=next((each.unpriced_of for each in self.own_outlays if each.unpriced), ""),
            requests_per_minute=sum(each.per_minute(REQUESTS, window_s) for each in limiters),
            tokens_per_minute=sum(each.per_minute(TOKENS, window_s) for each in limiters),
            requests_limit=summed([each.effective(REQUESTS) for each in limiters]),
            tokens_limit=summed([each.effective(TOKENS) for each in limiters]),
            pace=summed([each.pace_per_minute for each in limiters]),
            learned_requests_per_minute=summed([each.per_minute for each in learned]),
            learned_from=learned[0].source,
            concurrency=sum(each.concurrency for each in limiters),
            holding_s=max(each.holding_s() for each in limiters),
        )

    @property
    def note(self) -> str:
        """What a person should know about why it is not faster, in one line; empty for nothing."""
        if any(each.policy.is_left_alone for each in self.dispatchers):
            return "The next model cannot answer what the one before it could not: such rows fail."
        if self.failing:
            return "The server fails; probing whether it is back."
        if self.waits_for_budget:
            return "Waiting for what is in flight: it may use up the budget."
        own = [route.own for route in self.routes if route.own is not None]
        limiters = [*self.limiters, *own]
        if any(each.executor is not None and each.executor.paused for each in self.routes):
            return "The executor of this model is paused; its resume() lets it go on."
        for say in (Limiter.hold_note, Limiter.crowded_note, _waiting_note, _ignored_note):
            for limiter in limiters:
                if said := say(limiter):
                    return said
        return f"The server does not count tokens: {GUESSED}." if self.guessed else ""


def _waiting_note(limiter: Limiter) -> str:
    waiting = limiter.waiting_for
    return f"Waiting for {waiting}." if waiting and waiting != "a free slot" else ""


def _ignored_note(limiter: Limiter) -> str:
    header = limiter.in_force.ignored
    return f"A header of the server cannot be meant and is ignored ({header})." if header else ""


def summed(amounts: Sequence[float | None]) -> float | None:
    """All of them together, None where one is not known."""
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if len(known) == len(amounts) else None
