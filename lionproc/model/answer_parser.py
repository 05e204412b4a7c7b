"""The text of a reply becomes a value, or a short reason why it is none.

The rule is that nothing wrong looks right. pydantic reads in its strict JSON mode, so "7" and
true are no integers and 1 is no boolean. On top of it are refused, because a parser would pick
one reading in silence: keys that occur twice, NaN and Infinity, true for the choice 1 and 1 for
the choice true, and digits where a date belongs. Forgiven is what has one reading only: a single
code fence, 3.0 for an integer, and a choice that differs in case or outer whitespace. Behind validators
of the user's more is, for they may hide that something was wrong; see `forgiving`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import orjson

from lionproc.errors import CallError, Kind, pass_on_interrupt
from lionproc.model.coerce import Cell, MisfitError, cell_maker
from lionproc.model.effort import refuse_very_many
from lionproc.model.exact_numbers import (
    dumped,
    has_exact_numbers,
    loaded,
    may_be_inexact,
    with_exact_numbers,
)
from lionproc.model.fences import unfenced
from lionproc.model.forgiving import folded, texts_meant
from lionproc.model.one_reading import (
    DIGITS,
    NOT_AS_NUMBER,
    kinds_of_number,
    may_be_flags,
    may_be_numbers,
    may_be_times,
)
from lionproc.model.shape import (
    Boolean,
    Choice,
    Date,
    DecimalNumber,
    Duration,
    Instant,
    Integer,
    List,
    Map,
    Record,
    Shape,
    Time,
    inside,
    walk,
)
from lionproc.model.validate import (
    HALF,
    NOT_PARSED,
    Check,
    Path,
    WrongError,
    has_each_key_once,
    is_whole,
    parse,
    wrong_shape,
)

__all__ = ["Answered", "Form", "Read", "read_either", "read_text"]


class Answered(NamedTuple):
    """An answer in both of its forms, made together when its reply arrives.

    Attributes:
        value: As its type says: a model, a member of an enum, a number.
        cell: As its column holds it; see `coerce.cell_maker`.
        mended: Whether the reply had another form, with one reading: a code fence around it, the
            value without the object that was asked for, another case, 3.0 for 3.
    """

    value: Any
    cell: Any
    mended: bool = False


Read: TypeAlias = Callable[[str], Answered]

_TEMPORAL = Date | Instant | Time | Duration
_REASONS = 3  # as many as a model can act on at once
_REASON_LENGTH = 200  # characters of each


def _present(text: str) -> str:
    body = text.strip()
    if not body:
        raise CallError(Kind.EMPTY, "the reply has no text")
    if not is_whole(body):
        raise wrong_shape(HALF)
    return body


def read_text(text: str) -> Answered:
    """The reply itself, without outer whitespace.

    Raises:
        CallError: Nothing is left, or it is no valid Unicode.
    """
    body = _present(text)
    return Answered(body, body)


class Form:
    """One form a reply may have: how it is validated, and what needs a second look.

    Args:
        check: Validates JSON text.
        shape: The shape of the JSON, with the names used in it.
        unwrap: Takes the value out of what was validated.
    """

    def __init__(
        self, check: Check, shape: Shape, *, unwrap: Callable[[Any], Any] | None = None
    ) -> None:
        parts = list(walk(shape))
        names = [n for part in parts if isinstance(part, Record) for n, _ in part.fields]
        self._check = check
        self._looks_at_raw = getattr(check, "looks_at_raw", True)
        self._makes_python = getattr(check, "makes_python", False)
        self._shape = shape
        self._unwrap = unwrap
        self._names = frozenset(names)
        self._kinds = kinds_of_number(
            member for part in parts if isinstance(part, Choice) for member in part.members
        )
        # What a validator of the user's is shown is a number where the reply has one.
        self._exact = has_exact_numbers(shape) and not self._makes_python
        self._temporal = any(isinstance(part, _TEMPORAL) for part in parts)

    def read(self, body: str) -> tuple[Any, bool]:
        """The value of JSON text, and whether it was mended; or a `CallError` of kind wrong_shape."""
        refuse_very_many(body)
        raw: Any = NOT_PARSED
        disguised = self._may_be_disguised(body)
        if disguised or self._looks_at_raw or not has_each_key_once(body):
            try:
                raw = parse(body)
            except ValueError:
                disguised = False  # no JSON: the check will say so
            if disguised:
                for path, reason in self._disguised(self._shape, raw, ()):
                    raise wrong_shape(self._reason([(path, reason)]))
        mended = False
        if self._exact and (exact := with_exact_numbers(body, self._shape)) != body:
            body, raw = exact, NOT_PARSED
        try:
            value = self._check(body, raw)
        except WrongError as wrong:
            value, mended = self._forgive(body, wrong), True
        return value if self._unwrap is None else self._unwrap(value), mended

    def _may_be_disguised(self, body: str) -> bool:
        """Whether pydantic alone might read something into this text. Errs on the safe side.

        Where a validator of the user's comes before, nobody knows as yet what is to be read.
        """
        return not self._makes_python and (
            may_be_flags(self._kinds, body)
            or may_be_numbers(self._kinds, body)
            or (self._temporal and may_be_times(body))
        )

    def _disguised(
        self, shape: Shape | None, raw: object, path: Path
    ) -> Iterator[tuple[Path, str]]:
        """Where pydantic's strict mode takes one thing for another."""
        match shape:
            case Choice(members=members) if isinstance(raw, (int, float)):
                is_flag = isinstance(raw, bool)
                if is_flag is not (raw in self._flags[id(shape)]):
                    one_of = ", ".join(json.dumps(each, ensure_ascii=False) for each in members)
                    what = "true or false" if is_flag else "a number"
                    yield path, f"should be one of {one_of}, not {what}"
            case Date() | Instant() | Time() | Duration() if isinstance(raw, str):
                if DIGITS.fullmatch(raw.strip()):  # "12" would be read as twelve seconds after 1970
                    yield path, NOT_AS_NUMBER
            case List() if isinstance(raw, list):
                for place, inner in enumerate(raw):
                    yield from self._disguised(shape.item, inner, (*path, place))
            case Record() | Map() if isinstance(raw, dict):
                for key, inner in raw.items():
                    yield from self._disguised(inside(shape, key), inner, (*path, key))
            case _:
                pass

    @cached_property
    def _flags(self) -> Mapping[int, frozenset[bool]]:
        """Of each choice in the shape, which of true and false are members: not the 1 that equals one."""
        return {
            id(part): frozenset(each for each in part.members if isinstance(each, bool))
            for part in walk(self._shape)
            if isinstance(part, Choice)
        }

    def _forgive(self, body: str, wrong: WrongError) -> Any:
        """Mend what has one reading only and validate again, or raise with the reasons."""
        try:
            raw = parse(body)
            if may_be_inexact(body):
                raw = loaded(body)
        except ValueError:
            raise wrong_shape(self._reason(wrong.faults)) from None
        holder = [raw]
        for path, _ in wrong.faults:
            if not self._mend(holder, path):
                raise wrong_shape(self._reason(wrong.faults)) from None
        try:
            return self._check(dumped(holder[0]))
        except TypeError:
            raise wrong_shape(HALF) from None
        except WrongError as still_wrong:
            raise wrong_shape(self._reason(still_wrong.faults)) from None

    def _mend(self, holder: Any, path: Path) -> bool:
        """Replace the value at `path` below `holder[0]` if there is one reading of it."""
        shape: Shape | None = self._shape
        key: str | int = 0
        try:
            for step in path:
                holder, key = holder[key], step
                shape = inside(shape, step)
            value = holder[key]
        except (LookupError, TypeError):
            return False
        if isinstance(holder, str):  # of which a validator made items
            return False
        if isinstance(value, float) and value.is_integer():
            holder[key] = int(value)
            return isinstance(shape, Integer) or (
                isinstance(shape, Choice) and int(value) in shape.members
            )
        if isinstance(shape, Choice) and isinstance(value, str):
            meant = self._meant[id(shape)].get(folded(value))
            if meant is not None and meant != value:
                holder[key] = meant
                return True
        return False

    @cached_property
    def _meant(self) -> Mapping[int, Mapping[str, str | None]]:
        """Of each choice in the shape, what a text without case and outer whitespace means."""
        return {
            id(part): texts_meant(part.members)
            for part in walk(self._shape)
            if isinstance(part, Choice)
        }

    def _reason(self, faults: Sequence[tuple[Path, str]]) -> str:
        """Where and what was expected, without the text of the reply."""
        lines = []
        for path, message in faults[:_REASONS]:
            steps = [
                str(step) if isinstance(step, int) or step in self._names else "(a key)"
                for step in path
            ]
            where = ".".join(steps)
            lines.append((f"{where}: " if where else "") + message[:_REASON_LENGTH])
        more = len(faults) - _REASONS
        return "; ".join(lines) + (f"; and {more} more" if more > 0 else "")


def read_either(wrapped: Form, bare: Form | None, shape: Shape) -> Read:
    """The reader of JSON replies.

    Args:
        wrapped: The form that was asked for, an object.
        bare: The form of the value alone, for answers that were asked for inside an object.
        shape: The shape of the value, which decides what the value alone may look like and
            whether it fits a column.

    Returns:
        A function from the text of a reply to the answer. It raises `CallError` of kind empty or
        wrong_shape; the message is fit to be sent back to the model.
    """
    cell = cell_maker(shape)
    words = isinstance(shape, _TEMPORAL | DecimalNumber) or (
        isinstance(shape, Choice) and any(isinstance(m, str) for m in shape.members)
    )

    def read(text: str) -> Answered:
        whole = _present(text)
        body = _present(unfenced(whole))
        if bare is None or body.startswith("{"):
            value, mended = wrapped.read(body)
            mended = mended or len(body) != len(whole)
        else:
            value, mended = _read_bare(bare, body), True
        return Answered(value, _fit(cell, value), mended)

    def _read_bare(form: Form, body: str) -> Any:
        if isinstance(shape, Boolean):
            body = {"true": "true", "false": "false"}.get(body.lower(), body)
        try:
            return form.read(body)[0]
        except CallError:
            if not words or body.startswith(('"', "[")):
                raise
        return form.read(orjson.dumps(body).decode())[0]

    return read


def _fit(cell: Cell, value: object) -> Any:
    """The value as its column holds it, or a `CallError` of kind wrong_shape."""
    try:
        return cell(value)
    except MisfitError as misfit:
        where = ".".join(misfit.path)
        raise wrong_shape((f"{where}: " if where else "") + f"expected {misfit.wanted}") from None
    except BaseException as error:  # noqa: BLE001 - a property of the user's model may raise anything
        pass_on_interrupt(error)
        raise wrong_shape(f"the answer cannot be kept ({type(error).__name__})") from None
