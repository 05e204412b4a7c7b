"""What can go wrong with a reply, by name, and when it does."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any

import orjson

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.seeded_random import unit
from lionproc.testing.answers import Completion, error_object
from lionproc.testing.connection import Reply
from lionproc.testing.forms import FORMS, reshaped

__all__ = ["FAULTS", "Fault", "FaultPlan", "Faults"]

REFUSALS: dict[str, tuple[int, str, str | None, str]] = {
    "400": (400, "invalid_request_error", None, "The request is wrong."),
    "401": (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    "403": (403, "invalid_request_error", "unsupported_country_region_territory", "Forbidden."),
    "404": (404, "invalid_request_error", "model_not_found", "The model does not exist."),
    "408": (408, "timeout_error", None, "The request took too long to arrive."),
    "409": (409, "conflict_error", None, "Another request holds the resource."),
    "422": (422, "invalid_request_error", None, "The request cannot be processed."),
    "429": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "429_no_header": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "429_absurd": (429, "requests", "rate_limit_exceeded", "Rate limit reached for requests."),
    "429_no_capacity": (429, "tier", "resource_unavailable", "Resource unavailable: no capacity."),
    "500": (500, "server_error", None, "The server had an error."),
    "503": (503, "server_error", None, "The server is overloaded."),
    "529": (529, "overloaded_error", None, "Overloaded."),
    "context_length": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is 8192 tokens. Your messages have more.",
    ),
}
SPOILT = (
    "no_choices",
    "empty",
    "null",
    "length",
    "content_filter",
    "tool_calls",
    "refusal",
    "wrong_shape",
    "not_json",
    "fenced",
    "thoughts",
    "closing_tag",
    "unclosed_thoughts",
    "all_reasoning",
    "ending",
    "no_ending",
)
DELIVERIES = ("reset", "close", "half", "trickle", "hang", "huge", "gzip", "chunked")
OTHERS = (
    "502_html",
    "redirect",
    "html200",
    "error200",
    "bad_json",
    "wrong_encoding",
    "echo_key",
    "slow",
    "headers",
    "other",
    "other_model",
    "json_validate_failed",
)
FAULTS: frozenset[str] = frozenset({*REFUSALS, *SPOILT, *DELIVERIES, *FORMS, *OTHERS})
REFUSING = frozenset({*REFUSALS, "502_html", "echo_key", "other"})
# What stands around the content, or in its place.
AROUND = {
    "wrong_shape": '{{"unexpected":["shape",{{"of":42}}]}}',
    "not_json": "Sure! Here is what I think of it, in my own words.",
    "fenced": "```json\n{}\n```",
    "thoughts": "<think>\nIs it {{this}}?\n</think>\n\n{}",
    "closing_tag": "Is it {{this}}?\n</think>\n\n{}",
    "unclosed_thoughts": "<think>\nIs it {{this}}? Or rather",
}
HARMLESS: frozenset[str | None] = frozenset(
    (
        *(
            None,
            "slow",
            "trickle",
            "gzip",
            "chunked",
            "headers",
            "other_model",
            "thoughts",
            "closing_tag",
        ),
        *("comments", "end_mark", "event", "stream"),
    )
)
ABSURD = ("banana", "-5", "1e9")
HTML = b"<html><head><title>502</title></head><body><h1>Bad gateway</h1></body></html>"
PLAIN_TEXT = (("content-type", "text/html; charset=utf-8"),)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault with its details.

    Args:
        name: One of `FAULTS`.
        retry_after_s: Seconds a "429", "503" or "529" asks to wait; a "429" says 1 when not told.
        retry_after: The header as written, for "429_absurd"; banana, -5 and 1e9 by turns.
        latency_s: Seconds before the reply, in place of the server's latency.
        location: Where "redirect" leads; by default to this server by its other name, localhost,
            which is another origin and is counted as `redirects_followed`.
        interval_s: Seconds between the bytes of "trickle".
        size_bytes: Size of "huge", 64 MiB.
        text: The word of "ending" ("insufficient_system_resource"), the name that "other_model"
            gives itself, what the model wrote that "json_validate_failed" refuses.
        status: Status of "other", a refusal in words of your own.
        body: Body of "other", as it is sent.
        headers: Names and values to send with "other", or with the good reply of "headers".

    Raises:
        ConfigurationError: There is no fault of that name.

    Example:
        >>> Fault("429", retry_after_s=2).name
        '429'
    """

    name: str
    _: KW_ONLY
    retry_after_s: float | None = None
    retry_after: str | None = None
    latency_s: float | None = None
    location: str | None = None
    interval_s: float = 0.2
    size_bytes: int = 64 * 2**20
    text: str | None = None
    status: int = 400
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", tuple((name, value) for name, value in self.headers))
        if self.name not in FAULTS:
            raise ConfigurationError(
                f"There is no fault {self.name!r}.{did_you_mean(self.name, sorted(FAULTS))}"
            )


Faults = (
    Mapping[str | Fault, float]
    | Mapping[str, float]
    | Mapping[Fault, float]
    | Sequence[str | Fault | None]
    | Callable[[dict[str, Any], int], str | Fault | None]
    | None
)


def as_fault(fault: str | Fault | None) -> Fault | None:
    """A fault given by name or whole."""
    return Fault(fault) if isinstance(fault, str) else fault


class FaultPlan:
    """Which request gets which fault.

    Args:
        faults: Rates by name (their sum at most 1), a script for the first requests, or a
            callable of (body, n).

    Raises:
        ConfigurationError: Unknown names, or rates that are no probabilities.
    """

    def __init__(self, faults: Faults) -> None:
        self.choose: Callable[[dict[str, Any], int], str | Fault | None] | None = None
        self.script: tuple[Fault | None, ...] = ()
        self.rates: tuple[tuple[Fault, float], ...] = ()
        if callable(faults):
            self.choose = faults
        elif isinstance(faults, Mapping):
            rates = [(as_fault(fault), rate) for fault, rate in faults.items()]
            self.rates = tuple((fault, rate) for fault, rate in rates if fault)
            if any(not 0 <= r <= 1 for _, r in self.rates) or self.total > 1 + 1e-9:
                raise ConfigurationError(
                    "Fault rates are shares of the requests, and their sum is at most 1: "
                    'faults={"429": 0.02, "reset": 0.01}.'
                )
        elif isinstance(faults, str):
            raise ConfigurationError(f"Give faults as a list, [{faults!r}], or as rates.")
        elif faults is not None:
            self.script = tuple(as_fault(fault) for fault in faults)

    @property
    def total(self) -> float:
        """The rate of all faults together."""
        return sum(rate for _, rate in self.rates)

    def pick(self, seed: int, n: int, body: dict[str, Any]) -> Fault | None:
        """The fault of one request, None for none.

        Args:
            seed: The server's seed.
            n: Number of the request since the faults were set, from 0.
            body: The request, parsed.

        Returns:
            For rates and scripts a function of (seed, n) alone.
        """
        if self.choose is not None:
            return as_fault(self.choose(body, n))
        if n < len(self.script):
            return self.script[n]
        if not self.rates:
            return None
        point = unit(seed, n, stream=1)
        for fault, rate in self.rates:
            point -= rate
            if point < 0:
                return fault
        return None

    def to_json(self) -> dict[str, object]:
        """The plan as plain JSON, read back by `from_json`.

        Raises:
            ConfigurationError: A callable, which another process cannot be handed.
        """
        if self.choose is not None:
            raise ConfigurationError(
                "faults= is a function, which a child process cannot be handed: "
                "use rates or a script, or Server(process=False)."
            )
        return {
            "script": [fault and asdict(fault) for fault in self.script],
            "rates": [(asdict(fault), rate) for fault, rate in self.rates],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FaultPlan:
        """The plan that `to_json` wrote."""
        plan = cls(None)
        plan.script = tuple(fault and Fault(**fault) for fault in data["script"])
        plan.rates = tuple((Fault(**fault), rate) for fault, rate in data["rates"])
        return plan


def refusal(
    fault: Fault, n: int, authorization: str, retry: Callable[[float], tuple[tuple[str, str], ...]]
) -> Reply:
    """The reply of a fault that refuses the request with a status of its own.

    Args:
        fault: A fault of `REFUSALS`, or "502_html", "echo_key", "other".
        n: Number of the request.
        authorization: What the client sent, for "echo_key".
        retry: Makes the headers that ask to wait some seconds.

    Returns:
        The reply.
    """
    if fault.name == "other":
        return Reply(fault.status, fault.body.encode(), fault.headers)
    if fault.name == "502_html":
        return Reply(502, HTML, PLAIN_TEXT)
    if fault.name == "echo_key":
        return Reply(400, error_object(f"Could not parse the header {authorization!r}."))
    status, type_, code, message = REFUSALS[fault.name]
    headers: tuple[tuple[str, str], ...] = ()
    if fault.name == "429_absurd":
        headers = (("retry-after", fault.retry_after or ABSURD[n % 3]),)
    elif fault.name == "429":
        headers = retry(1.0 if fault.retry_after_s is None else fault.retry_after_s)
    elif fault.retry_after_s is not None:
        headers = retry(fault.retry_after_s)
    return Reply(status, error_object(message, type_=type_, code=code), headers)


def spoil(fault: Fault, completion: Completion) -> None:
    """Turn a good completion into one that must not pass for an answer.

    Args:
        fault: A fault of `SPOILT`; others change nothing here.
        completion: The completion, changed in place.
    """
    message = completion.message
    content = message["content"]
    if fault.name in AROUND:
        message["content"] = AROUND[fault.name].format(content)
    if fault.name in {"ending", "no_ending"}:
        told = fault.text or "insufficient_system_resource"
        completion.finish_reason = told if fault.name == "ending" else None
    match fault.name:
        case "empty":
            message["content"] = ""
        case "null":
            message["content"] = None
        case "length":
            message["content"], completion.finish_reason = content[: len(content) // 2], "length"
        case "content_filter":
            message["content"], completion.finish_reason = "", "content_filter"
        case "refusal":
            message["content"], message["refusal"] = None, "I'm sorry, I can't assist with that."
        case "all_reasoning":
            message["content"], message["reasoning_content"] = "", "Is it this? Or rather"
        case "tool_calls":
            call = {"name": "look_up", "arguments": '{"query":"x"}'}
            message["content"], completion.finish_reason = None, "tool_calls"
            message["tool_calls"] = [{"id": "call_0", "type": "function", "function": call}]


def deliver(fault: Fault, body: bytes, location: str) -> Reply:
    """The reply of a fault that lies in the bytes or in how they travel.

    Args:
        fault: The fault.
        body: The encoded completion.
        location: Where "redirect" leads if the fault does not say.

    Returns:
        The reply.
    """
    if fault.name in FORMS:
        shaped, kind = reshaped(fault.name, body)
        return Reply(200, shaped, (("content-type", kind),))
    if fault.name in DELIVERIES:
        return _travelling(fault, body)
    match fault.name:
        case "other_model":
            return Reply(200, _renamed(body, fault.text or "another-model"))
        case "json_validate_failed":
            return Reply(400, _refused_by_shape(body, fault.text))
        case "redirect":
            return Reply(307, b"", (("location", fault.location or location),))
        case "html200":
            return Reply(200, HTML, PLAIN_TEXT)
        case "error200":
            return Reply(200, error_object("The server had an error.", type_="server_error"))
        case "bad_json":
            return Reply(200, body[:-3])
        case "wrong_encoding":
            return Reply(200, body.replace(b'"content":"', b'"content":"\xff\xfe\xc3', 1))
        case _:
            return Reply(200, body, fault.headers)


def _travelling(fault: Fault, body: bytes) -> Reply:
    """The reply of a fault that lies in how the bytes travel."""
    match fault.name:
        case "gzip":
            return Reply(200, gzip.compress(body, 1), (("content-encoding", "gzip"),))
        case "huge":
            head, tail = orjson.dumps({"choices": [{"message": {"content": "?"}}]}).split(b"?")
            return Reply(200, head, delivery="huge", size=fault.size_bytes, tail=tail)
        case "trickle":
            return Reply(200, body, delivery="trickle", interval_s=fault.interval_s)
        case name:
            return Reply(200, body, delivery=name)


def _renamed(body: bytes, model: str) -> bytes:
    return orjson.dumps({**orjson.loads(body), "model": model})


def _refused_by_shape(body: bytes, text: str | None) -> bytes:
    """As Groq refuses what the model wrote: with the text in the error."""
    if text is None:
        text = orjson.loads(body)["choices"][0]["message"]["content"][:-1]
    error = {
        "message": "Failed to generate JSON. See 'failed_generation' for more details.",
        "type": "invalid_request_error",
        "code": "json_validate_failed",
        "failed_generation": text,
    }
    return orjson.dumps({"error": error})
