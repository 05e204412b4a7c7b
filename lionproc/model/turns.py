"""What is said next in a conversation: turns of user and assistant alternate. Pure."""

from __future__ import annotations

from typing import Any

__all__ = ["QUOTED", "ask_again", "say"]

QUOTED = 8000  # characters of an answer that will not do; ordinary ones fit
REASON = 1000  # characters of why it will not do
_CUT = "Only the beginning of your answer is shown here."


def ask_again(messages: list[dict[str, Any]], said: str, reason: str) -> None:
    """Quote an answer that will not do, say why, and ask again.

    Of a long answer the beginning is quoted: a whole one would be paid for as often as it is sent.

    Args:
        messages: The conversation, which is changed.
        said: The answer; empty for none.
        reason: Why it will not do, as a sentence.
    """
    is_long = len(said) > QUOTED
    if said:
        quoted = said[:QUOTED] + " [...]" if is_long else said
        say(messages, "assistant", quoted, between="")
    words = [_shortened(reason), *([_CUT] if is_long else []), "Answer again, correctly."]
    say(messages, "user", " ".join(words), between="\n\n")


def _shortened(reason: str) -> str:
    return reason if len(reason) <= REASON else f"{reason[:REASON]}..."


def say(messages: list[dict[str, Any]], role: str, text: str, *, between: str) -> None:
    """Say something in a role; in the last message, where that is in this role already.

    Args:
        messages: The conversation, which is changed.
        role: Who says it.
        text: What.
        between: What comes between the last message and the text, where they become one.
    """
    last = messages[-1] if messages else {}
    content = last.get("content")
    if last.get("role") != role:
        messages.append({"role": role, "content": text})
    elif isinstance(content, list):
        last["content"] = [*content, {"type": "text", "text": text}]
    else:
        last["content"] = f"{content}{between}{text}" if content else text
