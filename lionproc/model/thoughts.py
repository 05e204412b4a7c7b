"""What a reasoning model wrote down before its answer is no part of the answer.

Servers that do not tell the two apart send `<think>...</think>` in front of the answer, or only
the closing tag, because the chat's template wrote the opening one. The raw reply keeps them.
"""

from __future__ import annotations

import re

import orjson

__all__ = ["are_quoted", "without_thoughts"]

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think")
_TAGS = (
    *((f"<{name}>", f"</{name}>") for name in _NAMES),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought", "<channel|>"),
)
# The channels of gpt-oss, where a server hands them on as they are or without their marks.
_CHANNELS = ("<|channel|>", "<|start|>assistant<|channel|>")
_FINAL, _BEGINS, _ENDS = "<|channel|>final", "<|message|>", ("<|return|>", "<|end|>")
_BARE = ("analysis", "assistantfinal")
_SPACES = re.compile(r"\s*")
MOST = 1000  # thoughts, one behind the other; what follows is taken for the answer
_CLOSINGS = (*(closing for _, closing in _TAGS), _BEGINS, _BARE[1])
_BESIDE = 32  # characters before the end of thoughts by which a quotation is known
_FEWEST = 8  # letters and digits among them


def without_thoughts(text: str) -> str:
    """The answer alone.

    Thoughts are taken off where they have one reading only: pairs of tags at the very start,
    or a closing tag without an opening one that ends its line. A tag elsewhere is a part of the
    answer, which may be about tags.

    Args:
        text: The content of a reply.

    Returns:
        What follows the thoughts; empty where they were never closed.

    Example:
        >>> without_thoughts("<think>Hm. Two?</think> 2")
        ' 2'
        >>> without_thoughts("The tag <think> opens the thoughts.")
        'The tag <think> opens the thoughts.'
    """
    # Each of the above has one of these in it, but for what has no marks.
    marked = "<" in text or "◁" in text or "THINK]" in text
    if not marked and not text.lstrip().startswith(_BARE[0]):
        return text  # as nearly all are
    channels = _of_channels(text)
    if channels is not None:
        return channels
    place, end = 0, 0
    for _ in range(MOST):
        place = _past_spaces(text, place)
        for opening, closing in _TAGS:
            if text.startswith(opening, place):
                found = text.find(closing, place + len(opening))
                if found < 0:
                    return ""
                place = end = found + len(closing)
                break
        else:
            break
    return text[end:] if end else _after_a_closing_tag(text)


def are_quoted(text: str, answer: str, asked: bytes) -> bool:
    """Whether what was taken off is no thought of the model's, but the question that it quotes.

    A row may be a text of a model itself, with its tags, that is to be corrected or cut short.

    Args:
        text: The content of a reply.
        answer: What `without_thoughts` left of it.
        asked: The messages as JSON.
    """
    for end in _ENDS if not text.endswith(answer) else ():
        text = text.rstrip().removesuffix(end)
    if not text.endswith(answer):
        return False
    taken = text[: len(text) - len(answer)].rstrip()
    closing = next((end for end in _CLOSINGS if taken.endswith(end)), None)
    if closing is None:
        return False
    before = taken[: -len(closing)][-_BESIDE:]
    try:
        said = orjson.dumps(before + closing)[1:-1]
    except TypeError:  # half a character, which no question has
        return False
    return sum(map(str.isalnum, before)) >= _FEWEST and said in asked


def _of_channels(text: str) -> str | None:
    """What stands in the last channel; None for a text without channels."""
    start = _past_spaces(text, 0)
    if text.startswith(_CHANNELS, start):
        final = text.find(_FINAL, start)
        begins = text.find(_BEGINS, final) if final >= 0 else -1
        if begins < 0:
            return ""  # it never came to an answer
        answer = text[begins + len(_BEGINS) :].rstrip()
        return next((answer.removesuffix(end) for end in _ENDS if answer.endswith(end)), answer)
    opening, closing = _BARE
    if text.startswith(opening, start) and (found := text.find(closing, start)) >= 0:
        return text[found + len(closing) :]
    return None


def _after_a_closing_tag(text: str) -> str:
    for opening, closing in _TAGS:
        found = text.find(closing)
        if found < 0 or text.find(opening, 0, found) >= 0:
            continue
        end = found + len(closing)
        # In JSON it would be followed by the end of its text, a quotation mark.
        after = _past_spaces(text, end)
        if after == len(text) or "\n" in text[end:after]:
            return text[end:]
    return text


def _past_spaces(text: str, place: int) -> int:
    found = _SPACES.match(text, place)
    return place if found is None else found.end()
