"""A type's core schema whose faults are short, however many choices a part of it has.

pydantic names all choices in each fault, and again in the way to it where they are one of several
kinds: 900 labels make 90 KB of a fault, so that an answer of 160 KB is told with 3.6 GB.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any, Final

from pydantic_core import core_schema

from lionproc.model.core_parts import Part, changed, outside

__all__ = ["brief"]

_MOST_NAMED: Final = 5
_MOST_SHOWN: Final = 40  # characters of each
_LONG_PATTERN: Final = 200


def brief(node: Any) -> Any:
    """The same core schema, which reads the same, and names a few of many choices.

    Args:
        node: A core schema, or any part of one.

    Example:
        >>> from typing import Literal
        >>> from pydantic import TypeAdapter
        >>> schema = brief(TypeAdapter(Literal["a", "b", "c", "d", "e", "f", "g"]).core_schema)
        >>> schema["custom_error_message"]
        "Input should be one of 7 choices: 'a', 'b', 'c', 'd', 'e', ..."
    """
    made = changed(node, brief)
    match made:
        case {"type": "literal", "expected": [*choices]}:
            return _told(made, f"Input should be {_named(choices)}")
        case {"type": "enum", "members": [*members]}:
            return _told(made, f"Input should be {_named([one.value for one in members])}")
        case {"type": "str", "pattern": pattern} if len(str(pattern)) > _LONG_PATTERN:
            return _told(
                made, f"Input should be a text that matches '{str(pattern)[:_MOST_SHOWN]}...'"
            )
        case {"type": "tagged-union", "choices": {**kinds}} if "custom_error_type" not in made:
            why = f"the tag should be {_named(list(kinds))}"
            return {**made, "custom_error_type": "tag", "custom_error_message": why}
        case {"type": "union", "choices": [*parts]}:  # the way to a fault within names its kind
            return {**made, "choices": [_called(part) for part in parts]}
    return made


def _told(node: Part, why: str) -> Part:
    inner: Any = {name: held for name, held in node.items() if name != "ref"}
    return outside(node, core_schema.custom_error_schema(inner, "choice", custom_error_message=why))


def _called(kind: Any) -> Any:
    return kind if isinstance(kind, tuple) or not isinstance(kind, dict) else (kind, kind["type"])


def _named(choices: Sequence[object]) -> str:
    shown = [_shown(each) for each in choices[:_MOST_NAMED]]
    if len(choices) <= _MOST_NAMED:
        return " or ".join(shown)
    return f"one of {len(choices)} choices: {', '.join(shown)}, ..."


def _shown(choice: object) -> str:
    plain = choice.value if isinstance(choice, Enum) else choice
    text = repr(plain) if isinstance(plain, str) else str(plain)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
