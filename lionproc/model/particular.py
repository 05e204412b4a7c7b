"""What an answer has little of: long texts in a form of their own, and values that have to differ."""

from __future__ import annotations

from typing import Any

from lionproc.model.applied import Tried
from lionproc.model.validate import wrong_shape

__all__ = ["LONG", "check_differing", "check_particular", "differing_in"]

LAST_EXACT = 2**53  # beyond it a float stands for several whole numbers, which then have one hash
MOST_LARGE = 10_000  # of those in a set
MOST_DIFFERING = 20_000_000  # values of lists or objects in sets, each with all of its set
MOST_UNIQUE = 1000  # lists or objects in a set: their hashes can be made equal
LONG = 100_000  # characters of one text


def check_particular(value: Any, tried: Tried) -> None:
    """Refuse a long text in a form of its own, and very much that has to differ and has one hash."""
    if isinstance(value, str):
        if len(value) > LONG and tried.form:
            raise wrong_shape(
                f"a text is longer than {LONG:,} characters where a certain form is asked for"
            )
    elif isinstance(value, list) and len(value) > MOST_UNIQUE and tried.unique:
        if any(each for each in value if isinstance(each, dict | list)):
            raise wrong_shape(
                f"more than {MOST_UNIQUE:,} lists or objects that have to differ; give fewer"
            )
        if sum(type(each) is int and abs(each) > LAST_EXACT for each in value) > MOST_LARGE:
            raise wrong_shape(
                f"more than {MOST_LARGE:,} numbers of 16 digits that have to differ; give fewer"
            )


def differing_in(value: object, tried: Tried) -> int:
    """The values of lists or objects in a set, as often as each may be compared with another one."""
    if not isinstance(value, list) or not tried.unique:
        return 0
    listed = [each for each in value if isinstance(each, (list, dict)) and each]
    return len(listed) * sum(map(_size_of, listed))


def check_differing(differing: int) -> None:
    """Refuse more of `differing_in` than is compared in a moment."""
    if differing > MOST_DIFFERING:
        raise wrong_shape("too many lists or objects that have to differ; give fewer")


def _size_of(value: object) -> int:
    """How many values there are in one, itself among them."""
    layer, size = [value], 1
    while layer:
        inner: list[object] = []
        for outer in layer:
            if isinstance(outer, (list, dict)):
                inner += outer if isinstance(outer, list) else outer.values()
        size += len(inner)
        layer = inner
    return size
