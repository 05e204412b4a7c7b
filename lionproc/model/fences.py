"""The code fence around JSON, which models write whether one asks for it or not."""

from __future__ import annotations

__all__ = ["unfenced"]

_FENCE = "```"


def unfenced(body: str) -> str:
    r"""What is inside the code fence that is the whole of a reply.

    Args:
        body: A reply without outer whitespace that is expected to be JSON.

    Returns:
        The inside, without the name of a language; a reply of another form as it is.

    Example:
        >>> unfenced('```json\n{"a": 1}\n```')
        '{"a": 1}'
    """
    if not body.startswith(_FENCE):
        return body
    # The closing one may have been forgotten; whether the JSON is whole is seen when it is read.
    end = len(body) - len(_FENCE) if body.endswith(_FENCE) else len(body)
    start = len(_FENCE)
    line = body.find("\n", start, end)
    if line >= 0:
        return body[line:end].strip()
    return body[start:end].strip().removeprefix("json").strip()
