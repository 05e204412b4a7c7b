"""Templates: text with names in braces, like `"Review: {review}"`. One language for all prompts.

* `{name}` is the cell of that column, whatever the name is made of. `{ name }` is the same.
  A label that is not a string is written as it prints (`{0}`), one of a MultiIndex with commas
  (`{a, b}`). A string label goes before another that prints alike.
* `{{` and `}}` are braces. In a name they are too: the column `a{b` is `{a{{b}`. A name that
  begins with a brace wants a space before it: the column `{x}` is `{ {{x}} }`.
* Names are all there is: no attributes, no indexes, no formats. A cell is text and never
  looked into, so nothing in it can act on the template.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Sequence
from enum import Enum
from typing import Final

from lionproc.errors import PromptError, did_you_mean

__all__ = ["VALUE", "AnyName", "Names", "could_be_a_name", "parse", "placeholder"]


class _Value(Enum):
    """The type of `VALUE`, which stands for `{value}` among the columns."""

    VALUE = "value"

    def __repr__(self) -> str:
        return "{value}"


VALUE: Final = _Value.VALUE
_BRACE: Final = re.compile(r"[{}]")
_ESCAPED: Final = re.compile(r"(?:[^{}]|\{\{|\}\})*")


def placeholder(label: Hashable) -> str:
    """How a template names a column.

    Args:
        label: The label of the column.

    Example:
        >>> placeholder("review"), placeholder("{x}"), placeholder(("a", "b"))
        ('{review}', '{ {{x}} }', '{a, b}')
    """
    name = _name(label).replace("{", "{{").replace("}", "}}")
    return f"{{ {name} }}" if name.startswith(("{", "}")) or name.endswith("}") else f"{{{name}}}"


def _name(label: Hashable) -> str:
    if isinstance(label, tuple):
        return ", ".join(map(str, label))
    return label if isinstance(label, str) else str(label)


class Names:
    """Which text in braces means which column.

    Args:
        columns: The labels of the columns.
        each: Whether `{value}` is a name too; it goes before a column called so.

    Attributes:
        required: Whether a template has to have a name in it.
        longest: Characters of the longest name.
    """

    required = True

    def __init__(self, columns: Sequence[Hashable], *, each: bool) -> None:
        self.each = each
        self._by_name: dict[str, list[Hashable]] = {}
        texts = {label for label in columns if isinstance(label, str)}
        for label in columns:
            if isinstance(label, str) or _name(label) not in texts:
                self._by_name.setdefault(_name(label), []).append(label)
        if each:
            self._by_name["value"] = [VALUE]
        self.longest = max(map(len, self._by_name), default=0)

    @staticmethod
    def text(label: Hashable) -> str:
        """How a label is written between braces, without what a brace in it needs."""
        return _name(label)

    def known(self) -> list[str]:
        """All names, in the order of the columns."""
        return list(self._by_name)

    def find(self, text: str) -> list[Hashable]:
        """The columns that a text in braces may mean; none if it is no name."""
        for name in (text, text[1:-1] if text[:1] == text[-1:] == " " else text, text.strip()):
            found = self.called(name)
            if found:
                return found
        return []

    def called(self, name: str) -> list[Hashable]:
        """The columns of exactly this name."""
        return self._by_name.get(name, [])

    def unknown(self, name: str) -> str:
        """How to say that nothing is called so."""
        return f"There is no column {name!r}"

    def must_differ(self) -> None:
        """Refuse columns that a dict could not tell apart.

        Raises:
            PromptError: Two of them are called the same.
        """
        twice = [name for name, labels in self._by_name.items() if len(labels) > 1]
        if twice:
            raise PromptError(
                f"More than one column is called {twice[0]!r}, so a row cannot be a dict of them. "
                "Rename them, or leave out the others: df[[...]]."
            )


class AnyName(Names):
    """Every text in braces is a name; what it means shows when there is data."""

    required = False

    def __init__(self) -> None:
        super().__init__((), each=False)
        self.longest = 1000

    def called(self, name: str) -> list[Hashable]:
        """The name itself."""
        return [name] if could_be_a_name(name) else []

    def unknown(self, name: str) -> str:
        """See `Names.unknown`."""
        return f"A brace without a name, {{{name}}}"


def could_be_a_name(text: str) -> bool:
    """Whether a text may be a name that nothing is known of: its braces come in pairs."""
    return bool(text) and text == text.strip() and text.count("{") == text.count("}")


def parse(template: str, names: Names) -> tuple[list[str], list[Hashable]]:
    """Cut a template into literals and, between them, columns."""
    if not template.strip():
        raise PromptError("The prompt is empty.")
    literals, fields = list[str](), list[Hashable]()
    pieces: list[str] = []  # of the literal that is not at its end
    at = 0
    while at < len(template):
        found = _BRACE.search(template, at)
        if found is None:
            pieces.append(template[at:])
            break
        brace = found.start()
        pieces.append(template[at:brace])
        if template[brace : brace + 2] in {"{{", "}}"}:
            pieces.append(template[brace])
            at = brace + 2
            continue
        if template[brace] == "}":
            raise PromptError(
                f"A closing brace without an opening one{_where(template, brace)}\n"
                "Write }} for a brace that belongs to the text."
            )
        label, at = _field(template, brace, names)
        fields.append(label)
        literals.append("".join(pieces))
        pieces.clear()
    literals.append("".join(pieces))
    if names.each and VALUE not in fields:
        raise PromptError("The prompt does not say where the cell goes. Put {value} there.")
    if names.required and not fields:
        raise PromptError(
            "The prompt names no column, so every row would ask the same."
            f" Put a column in braces, like {{{(names.known() or ['review'])[0]}}}."
            f"{did_you_mean('', names.known())}"
        )
    return literals, fields


def _field(template: str, start: int, names: Names) -> tuple[Hashable, int]:
    """The column named at `start`, an opening brace, and where the text goes on."""
    end = template.find("}", start)
    if end < 0:
        raise PromptError(
            f"An opening brace without a closing one{_where(template, start)}\n"
            "Write {{ for a brace that belongs to the text."
        )
    # The shortest reading that names a column holds, so {name}}} is a cell and a brace.
    for name, after in _readings(template, start + 1, 2 * names.longest + 64):
        found = names.find(name)
        if len(found) > 1:
            raise PromptError(
                f"More than one column is called {name.strip()!r}{_where(template, start)}\n"
                "Rename them first, so that it is clear which is meant."
            )
        if found:
            return found[0], after
    raise _unknown(template, start, template[start + 1 : end], names)


def _readings(template: str, start: int, longest: int) -> Iterator[tuple[str, int]]:
    """Each name, with its doubled braces made single, that a placeholder could end with."""
    end = template.find("}", start)
    while 0 <= end <= start + longest:
        raw = template[start:end]
        if _ESCAPED.fullmatch(raw):
            yield raw.replace("{{", "{").replace("}}", "}"), end + 1
        end = template.find("}", end + 1)


def _unknown(template: str, start: int, name: str, names: Names) -> PromptError:
    where = _where(template, start)
    head = name
    for mark in ".[!:":
        head = head.split(mark, 1)[0]
    if head != name and names.find(head):
        return PromptError(
            f"{{{name}}} is more than a column name{where}\nOnly bare names are allowed, like "
            f"{{{head.strip()}}}: no attributes, indexes, conversions or formats. Format the "
            "column first, or give a function of the row. Braces of the text itself, as in JSON, "
            "are doubled: {{ and }}."
        )
    if not name.strip() and names.required:
        return PromptError(
            f"Nothing stands between these braces{where}\nPut the name of a column there, like "
            f"{{{(names.known() or ['review'])[0]}}}. Braces of the text itself, as in JSON, are "
            "doubled: {{ and }}."
        )
    if name == "value":
        hint = " {value} is the cell of columns=[...], and of a Series."
    elif any(mark in name for mark in "\"'\n{:,"):
        hint = " Braces of the text itself, as in JSON, are doubled: {{ and }}."
    elif names.each:
        hint = " The prompt of a Series, or of columns=[...], shows the cell as {value}."
    elif not names.known() and names.required:
        hint = "The frame has no columns."
    else:
        hint = ""
    shown = name if len(name) <= 40 else name[:37] + "..."
    return PromptError(
        f"{names.unknown(shown)}{where}\n{did_you_mean(name, names.known()).strip()}{hint}"
    )


def _where(template: str, at: int) -> str:
    """The place in the template, with its line and a caret below."""
    line = template.count("\n", 0, at) + 1
    begin = template.rfind("\n", 0, at) + 1
    end = template.find("\n", at)
    left = max(begin, at - 30)
    right = min(len(template) if end < 0 else end, at + 30)
    shown = template[left:right].replace("\t", " ")
    return f" (line {line}, position {at - begin + 1}):\n  {shown}\n  {' ' * (at - left)}^"
