"""A test server that answers like an OpenAI-compatible API, and fails when it is told to."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from lionproc.errors import LionprocError
from lionproc.face import faced
from lionproc.testing.answers import Answer
from lionproc.testing.backends import Backend, ThreadBackend
from lionproc.testing.billing import Bill, Spelling
from lionproc.testing.faults import Faults
from lionproc.testing.headers import HeaderStyle, RetryStyle
from lionproc.testing.limits import Limit, What
from lionproc.testing.logprobs import Sure
from lionproc.testing.recorder import Counters, Recorded, Which
from lionproc.testing.settings import ChargeRule, Latency, Settings

__all__ = ["Server"]


@faced
class Server:
    """An OpenAI-compatible server on loopback with limits, faults and counters.

    It runs from its making until `close`, or as a context manager. All methods may be called from
    any thread. They wait for the server's thread, so from a coroutine use
    `await asyncio.to_thread(server.wait_for, ...)` where the coroutine's own loop must go on.

    Args:
        latency_s: Seconds before a reply: a number, a (low, high) range drawn from the seed, or a
            function of the parsed body.
        slow_when_busy: Slots of a self-hosted model: `latency_s` is the time of service, and what
            comes beyond the slots queues without a 429. None for no such bound.
        at_once: Requests that may be under way at the same time; one more is refused with a 429
            that says so, as of providers with a limit of concurrency. None for no such limit.
        limits: Limits to enforce, all at once: `TokenBucket`, `RollingWindow`, `FixedWindow`.
        faults: What goes wrong: rates by name (`{"429": 0.02}`), a script for the first requests
            (`[None, "500"]`), or a function of (parsed body, number of the request since the
            faults were set). `FAULTS` has the names, `Fault` the details.
        seed: Decides rates and ranges: the n-th request gets the same in every run.
        answer: What to say: text, a dict (becomes JSON) or a function of the parsed body. By
            default an instance of the schema in `response_format`, or an echo.
        confidence: What log-probabilities say where a request asks for them: the probability of
            each choice in the answer, a number from 0 to 1 or a function of the parsed body; None
            leaves them out, as servers do that have none.
        usage: Whether replies tell their tokens; a dict, or None for null, is told as it is.
        count_tokens: Tokens of a text; a quarter of its characters by default.
        charge: What a token limit counts: "max_tokens" as OpenAI does (prompt and `max_tokens`,
            or the true answer where that is not given) or "actual".
        count_refused: Whether a refused request counts against the request limits.
        retry: How a 429 says when to come again: "retry-after", "retry-after-ms", "x-ratelimit",
            "llm_provider", "date" or "none".
        headers: Rate-limit headers on every reply: "openai", "anthropic" or None.
        models: What GET /v1/models lists.
        prices: Whose prices to charge, by the name in genai-prices ("openai"): then replies tell
            cached tokens (a repeated beginning of 1,024 tokens and more, in steps of 128) and the
            tier, and `bill` adds up what they cost. None charges nothing.
        spelling: How replies tell their usage then: as "openai", "openrouter", "anthropic",
            "deepseek" or "moonshot" do.
        key: The key to demand; "random" makes one, None accepts everybody.
        port: Port, 0 for a free one.
        record: How many of the last requests are kept in `requests`.
        process: Run in a child process, for benchmarks; functions cannot be given then.

    Raises:
        ConfigurationError: An argument cannot work.
        OSError: The port is taken.

    Example:
        >>> with Server(answer="Bonjour", faults=["500"]) as server:
        ...     server.base_url.startswith("http://127.0.0.1:"), server.counters.total
        (True, 0)
    """

    def __init__(
        self,
        *,
        latency_s: Latency = 0.0,
        slow_when_busy: int | None = None,
        at_once: int | None = None,
        limits: Sequence[Limit] | Limit = (),
        faults: Faults = None,
        seed: int = 0,
        answer: Answer | None = None,
        confidence: Sure = 0.9,
        usage: bool | Mapping[str, Any] | None = True,
        count_tokens: Callable[[str], int] | None = None,
        charge: ChargeRule = "max_tokens",
        count_refused: bool = False,
        retry: RetryStyle = "retry-after",
        headers: HeaderStyle | None = None,
        models: Sequence[str] = ("test-model",),
        prices: str | None = None,
        spelling: Spelling = "openai",
        key: str | None = "random",
        port: int = 0,
        record: int = 10_000,
        process: bool = False,
    ) -> None:
        changes: dict[str, Any] = {
            "latency_s": latency_s,
            "slow_when_busy": slow_when_busy,
            "at_once": at_once,
            "limits": limits,
            "faults": faults,
            "seed": seed,
            "answer": answer,
            "confidence": confidence,
            "usage": usage,
            "charge": charge,
            "count_refused": count_refused,
            "retry": retry,
            "headers": headers,
            "models": models,
            "prices": prices,
            "spelling": spelling,
        }
        if count_tokens is not None:
            changes["count_tokens"] = count_tokens
        settings = Settings(**changes)
        self.key = f"sk-test-{secrets.token_urlsafe(24)}" if key == "random" else key
        self._backend: Backend
        if process:
            from lionproc.testing.child import ChildBackend

            self._backend = ChildBackend(changes, self.key, port, record)
        else:
            self._backend = ThreadBackend(settings, self.key, port, record)
        self.base_url = f"http://127.0.0.1:{self._backend.port}/v1"

    def __repr__(self) -> str:
        if "base_url" not in vars(self):
            return "<lionproc.testing.Server, half made>"  # as tracebacks show it
        return f"<lionproc.testing.Server at {self.base_url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        raised = getattr(self._backend, "callable_error", None)
        if error is None and raised is not None:
            raise LionprocError(
                f"A function given to the test server raised {type(raised).__name__}; "
                f"its clients got status 500."
            ) from raised

    def close(self) -> None:
        """End the server. Open connections are cut; the counters stay readable."""
        self._backend.close()

    def configure(self, **settings: object) -> None:
        """Change settings from the next request on; returns when they are in force.

        New limits know what was admitted before. A script of faults starts over.

        Args:
            settings: Any of `latency_s`, `slow_when_busy`, `at_once`, `limits`, `faults`, `seed`,
                `answer`, `usage`, `count_tokens`, `charge`, `count_refused`, `retry`, `headers`,
                `models`, `prices`, `spelling`.

        Raises:
            ConfigurationError: An unknown setting or a value that cannot work; nothing changed.
        """
        self._backend.configure(settings)

    @property
    def counters(self) -> Counters:
        """A snapshot of what happened so far."""
        return self._backend.snapshot()[1]

    @property
    def bill(self) -> Bill:
        """What was charged so far; every answer that was made is, whether it arrived or not."""
        return self._backend.bill()

    @property
    def requests(self) -> list[Recorded]:
        """The last requests, oldest first, as many as `record` allows."""
        return self._backend.requests()

    def duplicates(self) -> int:
        """How often a body came again after it had got a good reply with status 200.

        A reply counts as good if no fault spoilt it; a client that left before its reply has
        not got one.
        """
        return self.counters.duplicates

    def worst_window(
        self, window_s: float = 60.0, what: What = "requests", which: Which = "admitted"
    ) -> int:
        """The most that came in any window of a length, wherever the window starts.

        Args:
            window_s: Length in seconds, its end excluded.
            what: "requests", or tokens as the limits charge them: "tokens", "input_tokens",
                "output_tokens".
            which: "admitted" by key and limits, or all that "arrived".

        Returns:
            The largest sum of any window. Times are those of arrival here: a client that sends
            exactly at its limit can be seen a little closer together by way of the network.
        """
        return self._backend.worst_window(window_s, what, which)

    def wait_for(
        self, condition: Callable[[Counters], object], timeout_s: float = 30.0
    ) -> Counters:
        """Wait until the counters are as they should be.

        Args:
            condition: Asked again whenever something changed.
            timeout_s: The most seconds to wait.

        Returns:
            The counters that met the condition.

        Raises:
            TimeoutError: They did not in time; the message has the last counters.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            version, counters = self._backend.snapshot()
            if condition(counters):
                return counters
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"Not within {timeout_s} s; the server saw {counters}.")
            self._backend.wait_change(version, left)

    def hold(self) -> None:
        """Keep every reply back until `release`; requests still come in and are counted."""
        self._backend.hold()

    def release(self) -> None:
        """Send the replies kept back, in the order they were due."""
        self._backend.release()
