"""What is said next in a conversation: turns of user and assistant alternate."""

from __future__ import annotations

from typing import Any

__all__ = ["say"]


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
