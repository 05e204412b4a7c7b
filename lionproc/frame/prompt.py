"""From the cells of rows to the messages for them. How a template is written: `lionproc/template.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from lionproc.errors import CallError, PromptError, pass_on_interrupt
from lionproc.frame.assemble import MISSING, Missing
from lionproc.frame.cell import cell_text, is_missing, sound
from lionproc.frame.filling import Odd, filled
from lionproc.frame.prompt_function import (
    EMPTY,
    Message,
    Shown,
    Writer,
    failed,
    has_system,
    messages_of,
    must_be_made,
    one_argument,
    raised,
    unreadable,
    with_turns,
)
from lionproc.template import VALUE, Names, parse, placeholder

__all__ = ["MISSING", "Message", "Missing", "Prompt", "cell_text", "is_missing", "placeholder"]

Rendered: TypeAlias = list[Message] | Missing | CallError
"""What a row becomes: its messages, or why it has none."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that has been checked against the columns and can be made for any row.

    Make one with `Prompt.of`.

    Attributes:
        columns: Labels of the columns that are read, in order, each once.
        each: Whether it is made for one cell at a time (`{value}`).
        on_missing: What becomes of a row that lacks a cell the template reads.
        turns: Examples as turns of a user and an assistant, between the system prompt and the row.
    """

    columns: tuple[Hashable, ...]
    each: bool
    on_missing: Literal["skip", "send"]
    _system: Message | Writer | None
    _writer: Writer | None
    _format: str  # the template for the % operator: it makes one pass, and cells are only text
    _fields: tuple[Hashable, ...]  # what fills it: labels, or VALUE
    _may_be_empty: bool
    turns: tuple[Message, ...] = ()
    _examples: Shown | None = None

    @classmethod
    def of(
        cls,
        template: str | Writer,
        columns: Sequence[Hashable],
        *,
        system: str | Writer | None = None,
        each: bool = False,
        on_missing: Literal["skip", "send"] = "skip",
        names: Names | None = None,
    ) -> Prompt:
        """Check a prompt against the columns of a frame.

        Args:
            template: A template (see the module), or a function. The function gets a dict of
                label -> cell, with `each` the cell alone, and returns a text, a list of
                messages, or None to skip the row.
            columns: The labels of the frame, in order; they may repeat and need not be strings.
            system: A system message. A text is sent as it is; a function gets what a function
                as template gets, and returns a text, or None for no system message. It is left
                out where a function's own messages have one.
            each: The prompt is made for single cells: `{value}` is the cell, even where there
                is a column of that name.
            on_missing: `"skip"` makes no prompt where a cell it reads is missing, `"send"`
                puts an empty text there. A function over rows sees the missing cell itself.
            names: What a template may show, where that is not the columns alone. A cell that
                has none may then be a `CallError`, which says why.

        Returns:
            The prompt.

        Raises:
            PromptError: It cannot work for any row; the message shows where and why.

        Example:
            >>> prompt = Prompt.of("Review: {review}", ["id", "review"])
            >>> prompt.columns, prompt.render("Fine.")
            (('review',), [{'role': 'user', 'content': 'Review: Fine.'}])
        """
        if on_missing not in {"skip", "send"}:
            raise PromptError(f"on_missing={on_missing!r} is not known: it is 'skip' or 'send'.")
        names = names or Names(columns, each=each)
        writer: Writer | None = None
        literals: list[str] = [""]
        fields: list[Hashable] = []
        if isinstance(template, str):
            literals, fields = parse(template, names)
        elif callable(template):
            writer = one_argument(template, "prompt")
        else:
            raise PromptError(
                f"A prompt is a text or a function of a row, not {type(template).__name__}."
            )
        by_row = not each and (writer is not None or callable(system))
        if by_row:
            names.must_differ()
        read = list(columns) if by_row else [field for field in fields if field is not VALUE]
        return cls(
            columns=tuple(dict.fromkeys(read)),
            each=each,
            on_missing=on_missing,
            _system=_system(system, names),
            _writer=writer,
            _format="%s".join(literal.replace("%", "%%") for literal in literals),
            _fields=tuple(fields),
            _may_be_empty=not "".join(literals).strip(),
        )

    def replaced(self, template: str | Writer, columns: Sequence[Hashable]) -> Prompt:
        """A prompt with another template, and all else of this one.

        Args:
            template: As for `of`.
            columns: As for `of`.

        Raises:
            PromptError: As `of`; or this one shows a cell as `{value}` and the template does not.
        """
        if self.each and isinstance(template, str) and "{value}" not in template.replace(" ", ""):
            raise PromptError("The prompt shows each cell as {value}; it has none.")
        system = self._system
        told = system["content"] if isinstance(system, dict) else system
        made = Prompt.of(template, columns, system=told, each=self.each, on_missing=self.on_missing)
        made = replace(made, _system=system)
        return made if self._examples is None else made.with_examples(self._examples, template)

    def with_examples(self, examples: Shown, template: str | Writer) -> Prompt:
        """The same with examples, in the words of its own template.

        Raises:
            ConfigurationError: One of them cannot be worded.
        """
        turns = examples.shown_by(template, each=self.each)
        return replace(self, turns=turns, _examples=examples)

    def alone(self) -> Prompt:
        """The same without what is fixed: no system prompt, no examples."""
        return replace(self, _system=None, turns=(), _examples=None)

    @property
    def calls_functions(self) -> bool:
        """Whether the prompt or the system prompt is made by a function."""
        return any(each is not None for each in self.functions)

    @property
    def functions(self) -> tuple[Writer | None, Writer | None]:
        """What makes the prompt and the system prompt; None for one that is no function."""
        return self._writer, self._system if callable(self._system) else None

    @property
    def words(self) -> tuple[object, ...]:
        """What is in every question, and which fields fill it."""
        system = None if callable(self._system) else self._system
        return self._format, self._fields, system, self.turns

    @property
    def literals(self) -> list[str] | None:
        """The parts of the template that are the same in every row; None for a function."""
        if self._writer is not None:
            return None
        return (self._format % (("\0",) * len(self._fields))).split("\0")

    @property
    def shown(self) -> Counter[Hashable]:
        """How often the template shows each column, or `{value}`."""
        return Counter(self._fields)

    @property
    def fixed(self) -> int:
        """About how many characters are the same in every row."""
        system = self._system["content"] if isinstance(self._system, dict) else ""
        return len(self._format) + len(system) + sum(len(str(turn)) for turn in self.turns)

    def render(self, *cells: object, value: object = None) -> list[Message] | Missing:
        """The messages for one row.

        Args:
            *cells: One cell for each of `columns`.
            value: The cell for `{value}`, with `each`.

        Returns:
            The messages, or `MISSING` if the row is to be skipped.

        Raises:
            CallError: They cannot be made for this row (kind "prompt").
        """
        if len(cells) != len(self.columns):
            raise TypeError(f"this prompt reads {len(self.columns)} cells, {len(cells)} were given")
        row = {label: [cell] for label, cell in zip(self.columns, cells, strict=True)}
        (made,) = self.render_slice(row, 0, 1, value=[value], copied=False)
        if isinstance(made, CallError):
            raise made
        return made

    def render_slice(
        self,
        cells: Mapping[Hashable, Sequence[object]],
        start: int,
        stop: int,
        *,
        value: Sequence[object] | None = None,
        copied: bool = True,
    ) -> list[Rendered]:
        """The messages for rows `start` to `stop`, fast.

        The dicts of what is fixed are the same objects in every row: do not change them.

        Args:
            cells: For each of `columns`, its cells as a list over all rows.
            start: The first row.
            stop: The row after the last.
            value: The cells for `{value}` over all rows, with `each`.
            copied: Whether what a function gives back is copied; see `messages_of`.

        Returns:
            For each row its messages, `MISSING` to skip it, or a `CallError` of kind "prompt".
        """
        if self.each and value is None:
            raise TypeError("a prompt for each cell needs value=, the cells")
        stop = max(start, stop)
        cut = {label: cells[label][start:stop] for label in self.columns}
        values = None if value is None else value[start:stop]
        odd: Odd = {}
        made: list[Any]  # texts, or lists of messages
        subjects: list[Any] = []
        if self.calls_functions:
            subjects = self._subjects(cut, values, stop - start)
        if self._writer is None:
            made = self._fill(cut, values, odd, stop - start)
        else:
            made = self._write(self._writer, subjects, odd, copied=copied)
        systems = self._systems(subjects, odd, len(made))
        rows: list[Rendered] = []
        for text, system in zip(made, systems, strict=True):
            if type(text) is str:
                user = {"role": "user", "content": text}
                head = self.turns if system is None else (system, *self.turns)
                rows.append([*head, user])
            else:
                whole = text if system is None or has_system(text) else [system, *text]
                rows.append(with_turns(whole, self.turns))
        for position, why in odd.items():
            rows[position] = why  # type: ignore[assignment]  # never a str
        return rows

    def check(
        self,
        cells: Mapping[Hashable, Sequence[Any]],
        *,
        value: Sequence[Any] | None = None,
        at: int = 0,
    ) -> None:
        """Try the prompt on one row, so that a mistake in a function shows before the run.

        Args:
            cells: As for `render_slice`.
            value: As for `render_slice`.
            at: The row to try.

        Raises:
            PromptError: It fails there.
        """
        (made,) = self.render_slice(cells, at, at + 1, value=value)
        must_be_made(made, at)

    # Inside

    def _fill(
        self,
        cut: Mapping[Hashable, Sequence[Any]],
        values: Sequence[Any] | None,
        odd: Odd,
        count: int,
    ) -> list[str]:
        cells = {**cut, VALUE: values or ()}
        skip = self.on_missing == "skip"
        made = filled(self._format, self._fields, cells, odd, count, skip=skip)
        if self._may_be_empty:
            for position, text in enumerate(made):
                if not text or text.isspace():
                    odd.setdefault(position, failed(EMPTY))
        return made

    def _subjects(
        self,
        cut: Mapping[Hashable, Sequence[object]],
        values: Sequence[object] | None,
        count: int,
    ) -> list[Any]:
        """What a function is called with, row by row."""
        if self.each:
            return list(values or ())
        labels = self.columns
        if not labels:
            return [{} for _ in range(count)]
        return [
            dict(zip(labels, row, strict=True))
            for row in zip(*(cut[label] for label in labels), strict=True)
        ]

    def _write(
        self, writer: Writer, subjects: Sequence[object], odd: Odd, *, copied: bool
    ) -> list[Any]:
        made: list[Any] = []
        for position, subject in enumerate(subjects):
            result: Any = None
            if (why := unreadable(subject)) is not None:
                odd[position] = why
            elif not (self.each and self.on_missing == "skip" and is_missing(subject)):
                try:
                    result = writer(subject)
                except BaseException as error:  # noqa: BLE001  (the user's own code)
                    pass_on_interrupt(error)
                    odd[position] = failed(raised("prompt", error), error)
            try:
                result = messages_of(result, copied=copied)
            except PromptError as error:
                odd[position] = failed(str(error))
                result = None
            except BaseException as error:  # noqa: BLE001  (a text or message may be of any class)
                pass_on_interrupt(error)
                odd[position] = failed(f"its messages raised {type(error).__name__}", error)
                result = None
            if result is None:
                odd.setdefault(position, MISSING)
            made.append("" if result is None else result)
        return made

    def _systems(self, subjects: Sequence[object], odd: Odd, count: int) -> list[Message | None]:
        system = self._system
        if not callable(system):
            return [system] * count
        systems: list[Message | None] = []
        for position, subject in enumerate(subjects):
            text: Any = None
            if (why := unreadable(subject)) is not None:
                odd[position] = why
            elif position not in odd:
                try:
                    text = system(subject)
                except BaseException as error:  # noqa: BLE001  (the user's own code)
                    pass_on_interrupt(error)
                    odd[position] = failed(raised("system", error), error)
                if text is not None and not isinstance(text, str):
                    odd[position] = failed(
                        f"the system function returned {type(text).__name__}, not a text"
                    )
                    text = None
            systems.append({"role": "system", "content": sound(text)} if text else None)
        return systems


def _system(system: object, names: Names) -> Message | Writer | None:
    if system is None or system == "":
        return None
    if callable(system):
        return one_argument(system, "system")
    if not isinstance(system, str):
        raise PromptError(f"system= is a text or a function of a row, not {type(system).__name__}.")
    for name in names.known():
        if f"{{{name}}}" in system:
            raise PromptError(
                f"system= is sent as it is, so {{{name}}} would not be filled in. "
                "Name the column in the prompt, or give system= a function of the row."
            )
    return {"role": "system", "content": sound(system)}
