"""A digest of what a function does, as far as that can be told: another one where it was changed.

It is made of its code, its defaults, what it has from functions around it, and what it reads of its
module; of functions and classes among these in the same way, of data by what is in it. So a cell of
a notebook that is run again gives the same digest, in another process too, and one in which a word
was changed another one. What is installed counts by its name; an object of such a class by its
attributes, and others like it within by their class alone (a client, a connection, a lock). What a
function reads of files or over the network nobody sees here.
"""

from __future__ import annotations

import datetime as dt
import dis
import functools
import hashlib
import operator
import re
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from collections.abc import Set as AbstractSet
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from typing import Any, Final, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

__all__ = ["digest_of"]

_MOST: Final = 200_000  # values that are looked into; of what comes after them, only how many
_DEEPEST: Final = 60  # one within the other
_SINGLE: Final = frozenset((type(None), bool, int, float, complex, str, type(...)))
_METHODS: Final = (types.FunctionType, staticmethod, classmethod, property)
_NUMBERS: Final = (int, float, complex)
_PLAIN: Final = (*_NUMBERS, str, bytes, bytearray)
_GLOBAL: Final = frozenset(("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"))

_Parts: TypeAlias = "Iterable[object]"


def digest_of(value: object) -> str:
    """A digest of functions and data, the same for the same ones in any process.

    Args:
        value: A function, anything else that can be called, or data with such within.
    """
    return _Walk().of(value).hex()


class _Walk:
    """One look at all that a value is made of. Nothing that it finds makes it raise."""

    def __init__(self) -> None:
        self._left = _MOST
        self._around: list[int] = []  # ids of the values that the one now looked at is within
        self._within_installed = False
        self._known: dict[tuple[int, bool], tuple[object, bytes]] = {}  # values stay, so do ids

    def of(self, value: object) -> bytes:
        """The digest of a value: of its class, and of its parts."""
        if type(value) in _SINGLE:
            self._left -= 1
            told = hex(value) if type(value) is int else repr(value)  # however long it is
            return hashlib.sha256(f"{type(value).__name__} {told}".encode()).digest()
        known = self._known.get((id(value), self._within_installed))
        if known is not None:
            return known[1]
        if id(value) in self._around:
            return f"the one around it, {self._around[::-1].index(id(value))}".encode()
        made = hashlib.sha256(_name(type(value)).encode())
        for part in self._parts_of(value):
            made.update(hashlib.sha256(part).digest())
        self._known[id(value), self._within_installed] = value, made.digest()
        return made.digest()

    def _parts_of(self, value: object) -> list[bytes]:
        """What counts of a value, of other values in it their digests."""
        self._left -= 1
        if len(self._around) > _DEEPEST:
            return [b"not looked into"]
        self._around.append(id(value))
        was = self._within_installed
        made: list[bytes] = []
        try:
            for part in self._split(value):
                if self._left < 0:
                    return [*made, str(len(value) if isinstance(value, Sized) else 0).encode()]
                made.append(part if isinstance(part, bytes) else self.of(part))
        except Exception as error:  # noqa: BLE001  (attributes of anybody's may raise anything)
            made.append(f"raises {type(error).__name__}".encode())
        finally:
            self._within_installed = was
            self._around.pop()
        return made

    def _split(self, value: Any) -> _Parts:
        if isinstance(value, _PLAIN):
            return self._plain(value)
        for kind, split in _OF_KIND:
            if isinstance(value, kind):
                return split(value)
        if isinstance(value, (set, frozenset)):
            return self._in_order(value)
        if hasattr(value, "__wrapped__"):  # as of `lru_cache`
            return [value.__wrapped__]
        return self._object(value)

    def _plain(self, value: Any) -> _Parts:
        """A text or number; of a class of its own it may be more."""
        (base,) = (each for each in _PLAIN if isinstance(value, each))
        if base is str:
            yield str.encode(value, errors="surrogatepass")
        else:
            yield base.__repr__(value).encode() if base in _NUMBERS else bytes(value)
        if type(value) is not base:
            yield from self._object(value)

    def _in_order(self, value: AbstractSet[object]) -> _Parts:
        """A set has another order in each process."""
        if len(value) > self._left:
            return [str(len(value)).encode()]
        return sorted(self.of(each) for each in value)

    def _object(self, value: object) -> Iterator[object]:
        kind = type(value)
        yield kind
        if _is_installed(kind.__module__):
            if self._within_installed:
                return
            self._within_installed = True
        slots = (name for each in kind.__mro__ for name in _slots(each))
        held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
        held |= getattr(value, "__dict__", {})
        for name in sorted(held, key=str):
            yield str(name).encode()
            yield self.of(held[name])


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if not name.startswith("__"))


def _function(function: types.FunctionType) -> Iterator[object]:
    code = function.__code__
    names, attributes = _read_by(code)
    yield from (function.__defaults__, function.__kwdefaults__)
    for cell in function.__closure__ or ():
        try:
            yield from _named(cell.cell_contents, attributes)
        except ValueError:
            yield b"nothing yet"
    if _is_installed(function.__module__):
        yield f"{function.__module__}.{function.__qualname__}".encode()
        return
    yield code
    yield vars(function)
    for name in sorted(names & function.__globals__.keys()):
        yield name.encode()
        yield from _named(function.__globals__[name], attributes)


def _named(value: object, attributes: AbstractSet[str]) -> Iterator[object]:
    """What a function reads by a name: of a module of the user's what it may read there."""
    yield value
    if isinstance(value, types.ModuleType) and not _is_installed(value.__name__):
        for name in sorted(attributes & vars(value).keys()):
            yield name.encode()
            yield from _named(vars(value)[name], attributes - {name})


def _code(code: types.CodeType) -> _Parts:
    """What code does. Where it stands in its file is no part of that, nor are the names in it."""
    parts = (code.co_code, code.co_names, code.co_consts, code.co_argcount, code.co_kwonlyargcount)
    return [*parts, code.co_flags, getattr(code, "co_exceptiontable", b"")]


def _read_by(code: types.CodeType) -> tuple[set[str], set[str]]:
    """The names that code reads of its module, and all others that it reads of something."""
    names = {each.argval for each in dis.get_instructions(code) if each.opname in _GLOBAL}
    attributes = set(code.co_names)
    for const in code.co_consts:
        if isinstance(const, types.CodeType):
            more, of_them = _read_by(const)
            names |= more
            attributes |= of_them
    return names, attributes


def _class(kind: type) -> Iterator[object]:
    yield _name(kind).encode()
    if _is_installed(kind.__module__):
        return
    yield kind.__bases__
    for name, value in sorted(vars(kind).items()):
        # Others that Python or a metaclass has put there say nothing that the rest does not.
        if not name.startswith("__") or isinstance(value, _METHODS):
            yield name.encode()
            yield value


def _array(array: Any) -> _Parts:
    cells = array.tolist() if array.dtype.hasobject else array.tobytes()
    return [str(array.dtype).encode(), array.shape, cells]


def _table(table: Any) -> _Parts:
    cells = pd.util.hash_pandas_object(table, index=True).to_numpy().tobytes()
    names = table.columns.tolist() if isinstance(table, pd.DataFrame) else [table.name]
    return [cells, names]


def _shown(value: object) -> _Parts:
    return [repr(value).encode()]


@functools.cache
def _is_installed(module: str | None) -> bool:
    """Whether a module is Python's or of a package, and not the user's own."""
    if module is None or module == "__main__":  # of a notebook, whoever started it
        return False
    if module.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


_OF_KIND: Final[Sequence[tuple[Any, Callable[[Any], _Parts]]]] = (
    (types.CodeType, _code),
    (types.FunctionType, _function),
    (types.MethodType, lambda method: [method.__func__, method.__self__]),
    (types.ModuleType, lambda module: [module.__name__.encode()]),
    (type, _class),
    (
        (types.BuiltinFunctionType, types.MethodWrapperType),
        lambda method: [method.__qualname__.encode(), method.__self__],
    ),
    (functools.partial, lambda partial: [partial.func, partial.args, partial.keywords]),
    ((staticmethod, classmethod), lambda method: [method.__func__]),
    (property, lambda made: [made.fget]),
    (functools.cached_property, lambda made: [made.func]),
    ((dt.date, dt.time, dt.timedelta, dt.timezone, ZoneInfo), _shown),
    ((Decimal, Fraction, PurePath, UUID, range, slice), _shown),
    (re.Pattern, lambda pattern: [pattern.pattern, pattern.flags]),
    (
        (operator.itemgetter, operator.attrgetter, operator.methodcaller),
        lambda getter: getter.__reduce__(),
    ),
    ((pd.DataFrame, pd.Series, pd.Index), _table),
    ((np.ndarray, np.generic), _array),
    ((dict, types.MappingProxyType), lambda held: [each for pair in held.items() for each in pair]),
    ((list, tuple, deque), iter),
)
"""What counts of a value, by its kind: bytes as they are, and other values."""
