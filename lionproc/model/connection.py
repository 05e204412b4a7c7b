"""The way to one model, shared by every run that goes there: wire, limiter, estimates, price."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.forked import in_forked_child
from lionproc.engine.limiter import Limiter
from lionproc.engine.limits import Limits
from lionproc.model.estimate import Estimator
from lionproc.model.fitting import Fitting
from lionproc.model.logprobs import SeenLogprobs
from lionproc.model.prices import Price, TablePrice
from lionproc.model.providers import Provider, Structured
from lionproc.model.wire import Wire


@dataclass(slots=True, repr=False)  # a traceback with locals may show one that is half made
class EndpointState:
    """What runs with the same endpoint, key and model share as long as the process lives.

    Attributes:
        limiter: What all requests go through, whoever answers them.
        estimator: What is known of its tokens.
        proven: Whether an answer ever came, so that the key and the model's name are right.
        logprobs: Whether its replies have the log-probabilities that were asked for.
    """

    limiter: Limiter = field(default_factory=Limiter)
    estimator: Estimator = field(default_factory=Estimator)
    fitting: Fitting = field(default_factory=Fitting)
    proven: bool = False
    logprobs: SeenLogprobs = field(default_factory=SeenLogprobs)


_limiters: dict[tuple[str, ...], Limiter] = {}
_states: dict[tuple[str, ...], EndpointState] = {}
_lock = threading.Lock()


def endpoint_state(
    *account: str, identity: str = "", concurrency: int | None = None
) -> EndpointState:
    """What is shared for an endpoint, key and model; made on first use.

    Args:
        *account: What tells its limits from those of others.
        identity: What else decides who answers, as a header that routes: what one refuses, another
            may take. They have the limiter alone in common.
        concurrency: How many requests at once suit this endpoint, if that is known. Limits
            that a person sets later go before it.
    """
    with _lock:
        limiter = _limiters.get(account)
        if limiter is None:
            limits = Limits() if concurrency is None else Limits(concurrency=concurrency)
            limiter = _limiters[account] = Limiter(limits)
            limiter.identity = "\n".join(account)
        return _states.setdefault((*account, identity), EndpointState(limiter))


@in_forked_child
def _forget() -> None:
    """In a forked child: the limiters belong to a loop that did not come along."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    _limiters.clear()
    _states.clear()


def _always() -> bool:
    return True


@dataclass(slots=True, kw_only=True)
class Connection:
    """An open way to one model.

    Attributes:
        identity: The endpoint as far as it shapes answers; no key, no passing port.
        former_identity: The one that it had in journals of before, where that is another one.
        model: The model's name on the wire.
        provider: What is special about its provider.
        structured: How typed answers are asked for.
        max_tokens_name: What the bound on the answer is called.
        wire: Sends and receives.
        endpoint: The limiter and the estimates that are shared.
        executor: The one that the model was given, None if it was given none.
        usual: Fields of a request's body that this model wants where the user sets none.
        free_levels: How deep an answer may nest where its schema leaves that open, None for any
            depth; see `schema.shallow`.
        price: What replies cost; its `usd` is None where that is not known.
        takes_cache_key: Whether `prompt_cache_key` may be sent there.
        endings: Further words of `finish_reason` that mean a whole answer at this server, None
            for one that says none; see `endings.GOOD`.
        top_logprobs: How many of the likeliest tokens it is asked for, where they are wanted.
        ways: Where it stands for several ways to one model: all of them, in the order of the ways of
            its limiter, which is a `LimiterPool`.
        marked: Fields with a key in them, as its wire is given them; see `BodySecrets`.
        is_as_it_was: Whether a client of the user's own would still be identified so: its headers,
            parameters and address can be changed while it is in use.
        is_closed: Whether nothing may be sent over it any more, as whoever opened it closes it.
    """

    identity: str
    model: str
    provider: Provider
    structured: Structured
    max_tokens_name: str
    wire: Wire
    endpoint: EndpointState
    executor: RateLimitedAPIExecutor | None = None
    usual: Mapping[str, Any] = field(default_factory=dict)
    free_levels: int | None = None
    price: Price | TablePrice
    takes_cache_key: bool = False
    endings: frozenset[str | None] = frozenset()
    former_identity: str = ""
    top_logprobs: int = 20  # as many as OpenAI gives, and vLLM unless it is told otherwise
    ways: tuple[Connection, ...] = ()
    marked: Mapping[str, object] = field(default_factory=dict, repr=False)
    is_as_it_was: Callable[[], bool] = field(default=_always, repr=False)
    is_closed: bool = False

    def marked_in(self, fields: Mapping[str, object]) -> Mapping[str, object]:
        """Fields of a body as its wire is given them."""
        return {**fields, **{name: self.marked[name] for name in self.marked if name in fields}}

    @property
    def before(self) -> tuple[Connection, ...]:
        """The same way as journals of before name it, where that is another name."""
        if self.former_identity in {"", self.identity}:
            return ()
        return (replace(self, identity=self.former_identity, former_identity="", ways=()),)

    @property
    def limiter(self) -> Limiter:
        """The limiter that all runs to this model go through, whose limits a person sets."""
        return self.endpoint.limiter if self.executor is None else self.executor.limiter

    @property
    def estimator(self) -> Estimator:
        """What is known of its tokens."""
        return self.endpoint.estimator
