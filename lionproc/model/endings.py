"""Why an answer ended: the words of all servers are good, known to be bad, or unknown.

An allow-list: only an ending that is known to be good makes an answer. "Dear Sir, we are writing
to" looks like one, and only the ending tells that the server ran out of resources there. Such a row
fails; it is not asked again with a correction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lionproc.errors import CallError, Kind

__all__ = ["GOOD", "WHY_NOT", "broken_off", "check_ending"]

_LONGEST = 64  # characters of an ending: it is a word, and is shown
GOOD = frozenset(
    (
        *("stop", "stop_sequence", "end_turn", "eos", "eos_token"),  # OpenAI, Anthropic, TGI
        *("complete", "endoftext"),  # Cohere, AI21
    )
)
_BAD = {
    "length": Kind.TRUNCATED,
    "max_tokens": Kind.TRUNCATED,
    "max_output_tokens": Kind.TRUNCATED,
    "max_completion_tokens": Kind.TRUNCATED,
    "max_length": Kind.TRUNCATED,
    "model_length": Kind.TRUNCATED,
    "token_limit": Kind.TRUNCATED,
    "model_context_window_exceeded": Kind.TRUNCATED,
    "content_filter": Kind.FILTERED,
    "content_filtered": Kind.FILTERED,
    "guardrail_intervened": Kind.FILTERED,
    "safety": Kind.FILTERED,
    "recitation": Kind.FILTERED,
    "blocklist": Kind.FILTERED,
    "prohibited_content": Kind.FILTERED,
    "spii": Kind.FILTERED,
    "sensitive": Kind.FILTERED,
    "error_toxic": Kind.FILTERED,
    "refusal": Kind.REFUSED,
    "tool_calls": Kind.TOOL_CALL,
    "tool_call": Kind.TOOL_CALL,
    "tool_use": Kind.TOOL_CALL,
    "function_call": Kind.TOOL_CALL,
    "malformed_function_call": Kind.TOOL_CALL,
    "unexpected_tool_call": Kind.TOOL_CALL,
    "error": Kind.BAD_REPLY,
    "abort": Kind.BAD_REPLY,
    "cancelled": Kind.BAD_REPLY,
    "network_error": Kind.BAD_REPLY,
    "insufficient_system_resource": Kind.BAD_REPLY,
}
WHY_NOT = {
    Kind.TRUNCATED: "The answer was cut off at the token limit.",
    Kind.FILTERED: "The provider's content filter held the answer back.",
    Kind.REFUSED: "The model declined to answer.",
    Kind.TOOL_CALL: "The model called a tool instead of answering.",
}


def check_ending(choice: Mapping[str, object], also_good: Collection[str | None] = ()) -> None:
    """Refuse a choice that did not end well.

    Args:
        choice: A choice of a reply.
        also_good: Endings that are good at this server; None for one that is not said.

    Raises:
        CallError: It was cut off, filtered, refused, broken off or a tool call, or nobody knows
            what its ending means.
    """
    if _ends_well(choice):
        return
    said = _ending(choice)
    word = None if said is None else _plain(said)
    if word in GOOD or said in also_good or word in also_good:
        return
    kind = _bad(word)
    if kind is Kind.BAD_REPLY:
        raise CallError(kind, f"The server broke the answer off ({_shown(said or '')!r}).")
    if kind is not None:
        raise CallError(kind, WHY_NOT[kind])
    if said is None:
        raise CallError(
            Kind.UNKNOWN_ENDING,
            "The reply does not say how the answer ended (finish_reason): it may not be whole.",
            hint="Where a server never says it, Model(..., endings=[None]) takes its answers.",
        )
    raise CallError(
        Kind.UNKNOWN_ENDING,
        f"The answer ended with {_shown(said)!r}, a finish_reason that is not known to be good: it "
        "may not be whole.",
        hint="Where it is whole, Model(..., endings=[...]) with this word takes it.",
    )


def broken_off(choice: Mapping[str, object]) -> str | None:
    """The ending of a choice that the server broke off, which it may finish another time."""
    if _ends_well(choice):
        return None
    said = _ending(choice)
    return said if said is not None and _bad(_plain(said)) is Kind.BAD_REPLY else None


def _ends_well(choice: Mapping[str, object]) -> bool:
    """Whether it ends as nearly all do, which is told without a closer look."""
    said = choice.get("finish_reason")
    return type(said) is str and said in GOOD


def _bad(word: str | None) -> Kind | None:
    """What a word of a bad ending means; some say more after a colon (Gemini's content_filter)."""
    return _BAD.get((word or "").partition(":")[0].strip())


def _ending(choice: Mapping[str, object]) -> str | None:
    """What the choice says of its ending: a router may leave only the model's own word."""
    for name in ("finish_reason", "native_finish_reason"):
        said = choice.get(name)
        if said is not None and said != "":
            return said[:_LONGEST] if isinstance(said, str) else str(said)[:40]
    return None


def _plain(word: str) -> str:
    return word.strip().lower().replace("-", "_")


def _shown(word: str) -> str:
    return "".join(letter for letter in word[:40] if letter.isprintable())
