"""What `df.llm` says of itself, and of a verb that it does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from lionproc.errors import did_you_mean

_OF_ANSWERS = ("errors", "report", "facts", "score", "check")


class Verbs:
    """An accessor that shows its verbs as the last line of a cell, and names the near one.

    Example:
        >>> class Accessor(Verbs):
        ...     def process(self): ...
        ...     def errors(self): ...
        >>> Accessor()
        .llm asks a model about every row: process
        of a frame that came back: errors
        help(df.llm.process) explains one.
    """

    def __repr__(self) -> str:
        known = _known(type(self))
        asked = [name for name in known if not _is_of_answers(name)]
        of_answers = [name for name in known if _is_of_answers(name)]
        return (
            f".llm asks a model about every row: {', '.join(asked)}\n"
            f"of a frame that came back: {', '.join(of_answers)}\n"
            f"help(df.llm.{asked[0]}) explains one."
        )

    if not TYPE_CHECKING:  # a type checker is to see what there is not

        def __getattr__(self, name: str) -> NoReturn:
            near = "" if name.startswith("_") else did_you_mean(name, _known(type(self)))
            # With the object, Python would add a guess of its own behind this one.
            raise AttributeError(f".llm has no verb {name!r}.{near}", name=name, obj=None)


def _is_of_answers(name: str) -> bool:
    return name in _OF_ANSWERS or name.startswith("to_")


def _known(accessor: type) -> list[str]:
    """Its verbs, in the order in which they are written."""
    parts = [part for part in accessor.__mro__ if part is not object]
    return list(dict.fromkeys(n for part in parts for n in vars(part) if not n.startswith("_")))
