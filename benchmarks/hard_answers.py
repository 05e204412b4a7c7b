"""Answer types, each with the answers of a length that are the most work to read.

A case is a type and a way to write the JSON of one value for it with so many characters. The value
stands beside a choice in another case, which is forgiven: so what can be read is gone over twice.
Whoever knows a harder one adds it here.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import fractions
import importlib.util
import ipaddress
import json
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import pydantic
from pydantic import Field, conlist, constr
from typing_extensions import TypedDict

Text = Callable[[int], str]
MOST = 99_000  # values, which is all that an answer may have but for a few


class Case(NamedTuple):
    """A type and the JSON of a value for it.

    Attributes:
        name: What is hard in it.
        kind: The type, or a JSON Schema.
        text: JSON of so many characters, or about as many.
    """

    name: str
    kind: Any
    text: Text


def one(start: str, again: str, end: str = "") -> Text:
    """One text, which is filled with what is said again and again."""
    size = len(start) + len(end) + 2
    return lambda n: json.dumps(
        start + again * ((n - size) // len(again)) + end, ensure_ascii=False
    )


def bare(start: str, again: str, end: str = "") -> Text:
    """The same without quotation marks: a number."""
    return lambda n: start + again * ((n - len(start) - len(end)) // len(again)) + end


def many(item: Callable[[int, int], Any], size: int) -> Text:
    """A list of texts or whatever else, each of which is made of its number and its length.

    Args:
        item: Makes one.
        size: Characters that it has at the least; longer where there would be too many.
    """

    def text(n: int) -> str:
        each = max(size, n // MOST)
        count = min(n // (each + 4), MOST // _values_in(item(0, each)))
        items = (item(number, each) for number in range(count))
        return json.dumps(list(items), ensure_ascii=False, separators=(",", ":"))

    return text


def _values_in(item: Any) -> int:
    held = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return 1 + sum(map(_values_in, held))


def same(item: str, size: int) -> Text:
    """A list of the same text."""
    return many(lambda _, each: (item * each)[: max(each, len(item))], size)


def named(size: int, value: Any = 1, name: str = "{:0>{}}") -> Text:
    """An object of so many names."""

    def text(n: int) -> str:
        each = max(size, n // MOST - 4)
        made = {name.format(number, each): value for number in range(n // (each + 6))}
        return json.dumps(made, separators=(",", ":"))

    return text


class Color(enum.StrEnum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    x: int
    y: str


class Typed(TypedDict, total=False):
    x: int
    y: str


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    name: str = ""


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str = ""


class Open(pydantic.BaseModel, extra="allow"):
    x: int = 0


class Node(pydantic.BaseModel):
    inner: list[Node] = []


class Lowered(pydantic.BaseModel, str_to_lower=True, str_strip_whitespace=True):
    x: str


class Either(pydantic.BaseModel):
    x: int = Field(0, validation_alias=pydantic.AliasChoices("x", "ex", "X"))


Node.model_rebuild()
LABELS = tuple(f"label {number} {'x' * 40}" for number in range(2000))
TEN = " | ".join(f"Literal['{'x' * 20}{number}']" for number in range(50))


def _urls() -> Iterator[Case]:
    kinds = ("AnyUrl", "HttpUrl", "FileUrl", "FtpUrl", "WebsocketUrl", "PostgresDsn", "MongoDsn")
    kinds += (
        "CockroachDsn",
        "AmqpDsn",
        "RedisDsn",
        "KafkaDsn",
        "NatsDsn",
        "MySQLDsn",
        "MariaDBDsn",
    )
    kinds += ("ClickHouseDsn", "SnowflakeDsn")
    starts = {"AnyUrl": "http", "HttpUrl": "http", "FileUrl": "file", "FtpUrl": "ftp"}
    starts |= {"WebsocketUrl": "ws", "PostgresDsn": "postgres", "MongoDsn": "mongodb"}
    starts |= {"MySQLDsn": "mysql", "MariaDBDsn": "mariadb", "CockroachDsn": "cockroachdb"}
    starts |= {"ClickHouseDsn": "clickhouse+native", "AmqpDsn": "amqp", "RedisDsn": "redis"}
    starts |= {"KafkaDsn": "kafka", "NatsDsn": "nats", "SnowflakeDsn": "snowflake"}
    for kind in kinds:
        begin = f"{starts[kind]}://"
        for what, again in {
            "a host": "a",
            "names": "a.",
            "names of their own letters": "\u00fcb.",
            "escapes": "%41",
            "users": "u:p@",
            "hosts": "a:1,",
        }.items():
            # As long as a form may be, and in as many values as there may be of these.
            text = many(lambda _, n, a=again, b=begin: b + a * ((n - 9) // len(a)), 90_000)
            short = many(lambda _, n, a=again, b=begin: b + a * ((n - 9) // len(a)), 400)
            if kind in ("AnyUrl", "HttpUrl", "PostgresDsn", "MongoDsn", "KafkaDsn", "NatsDsn"):
                yield Case(f"{kind}, few of {what}", list[getattr(pydantic, kind)], text)
                yield Case(f"{kind}, many of {what}", list[getattr(pydantic, kind)], short)
            elif again == "a:1,":
                yield Case(f"{kind}, few of {what}", list[getattr(pydantic, kind)], text)
    for what, again in {
        "folders": "a/",
        "ways up": "../",
        "spaces": " ",
        "questions": "a?",
    }.items():
        text = many(lambda _, n, a=again: "http://a/" + a * (n // len(a)), 90_000)
        yield Case(f"AnyUrl, few of {what}", list[pydantic.AnyUrl], text)
    digits = many(lambda _, n: f"http://{'1.' * 4}{'9' * (n - 20)}:{'0' * 5}80/", 90_000)
    yield Case("AnyUrl, numbers as host", list[pydantic.AnyUrl], digits)


def _times() -> Iterator[Case]:
    for kind in (dt.date, dt.datetime, dt.time, dt.timedelta, pydantic.AwareDatetime):
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        yield Case(f"{name}, digits", kind, one("", "1"))
        yield Case(f"{name}, many", list[kind], many(lambda k, n: f"{k:0>{n}}", 30))
        yield Case(f"{name} or str, digits", list[kind | str], many(lambda k, n: f" {k:0>{n}}", 30))
    yield Case("timedelta, days", dt.timedelta, one("P", "1D"))
    yield Case("timedelta, hours", dt.timedelta, one("PT", "1H"))
    yield Case("datetime, a fraction", dt.datetime, one("2020-01-01T00:00:00.", "1", "Z"))
    yield Case("datetime, many right", list[dt.datetime], same("2020-01-01T00:00:00Z", 20))
    yield Case("time zone", zoneinfo.ZoneInfo, one("", "a/"))
    yield Case("time zones", list[zoneinfo.ZoneInfo], many(lambda k, n: f"{k:a>{n}}", 10))


def _numbers() -> Iterator[Case]:
    kinds = {"int": int, "float": float, "Decimal": decimal.Decimal, "complex": complex}
    kinds |= {"Fraction": fractions.Fraction, "ByteSize": pydantic.ByteSize}
    kinds["condecimal"] = Annotated[decimal.Decimal, Field(max_digits=40, decimal_places=9)]
    kinds["multiple"] = Annotated[int, Field(multiple_of=3)]
    kinds["multiple float"] = Annotated[float, Field(multiple_of=0.1)]
    kinds["multiple Decimal"] = Annotated[
        decimal.Decimal, Field(multiple_of=decimal.Decimal("0.1"))
    ]
    kinds |= {"int or str": int | str, "IntEnum": Level, "Decimal or str": decimal.Decimal | str}
    for name, kind in kinds.items():
        yield Case(f"{name}, digits", kind, bare("", "7"))
        yield Case(f"{name}, a fraction", kind, bare("0.", "1"))
        yield Case(f"{name}, zeros", kind, bare("1.", "0"))
        yield Case(f"{name}, digits as text", kind, one("", "7"))
        yield Case(f"{name}, many as text", list[kind], many(lambda k, n: f"{k:7>{n}}", 30))
        yield Case(f"{name}, exponents as text", list[kind], many(lambda k, _: f"1e{k % 4000}", 8))
        numbers = many(lambda k, n: int(f"{k + 1:1<{min(n, 4000)}}"), 18)
        yield Case(f"{name}, many", list[kind], numbers)
        yield Case(f"{name}, many of 40 digits", list[kind], many(lambda k, n: 10**n + k, 40))
        yield Case(f"{name}, floats", list[kind], many(lambda k, _: k / 7, 20))
        yield Case(f"{name} as keys", dict[kind, int], named(12, name="1{:0>{}}"))
        yield Case(f"{name} in a set", set[kind], many(lambda k, n: f"{k:7>{n}}", 30))
    yield Case("complex, a long one", complex, one("1+", "1", "j"))
    yield Case("Fraction, a long one", fractions.Fraction, one("1/", "7"))
    yield Case("Fraction, many long", list[fractions.Fraction], many(lambda _, n: "7" * n, 4000))


def _others() -> Iterator[Case]:
    addresses = (ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network)
    addresses += (ipaddress.IPv6Network, ipaddress.IPv6Interface, pydantic.IPvAnyAddress)
    for kind in addresses:
        for what, again in {"digits": "0", "points": "1.", "colons": ":", "slashes": "1/"}.items():
            yield Case(f"{kind.__name__}, {what}", kind, one("", again))
        yield Case(f"{kind.__name__}, a zone", kind, one("::1%", "a"))
        yield Case(f"{kind.__name__}, many", list[kind], many(lambda k, _: f"::{k:x}", 12))
        zones = many(lambda k, n: f"::1%{k:a>{n}}", 60)
        yield Case(f"{kind.__name__}, zones in a set", set[kind], zones)
    for kind in (uuid.UUID, pydantic.UUID4):
        name = "UUID" if kind is uuid.UUID else "UUID4"
        yield Case(f"{name}, a long one", kind, one("", "0"))
        yield Case(f"{name}, braces", kind, one("", "{-"))
        made = many(lambda k, _: str(uuid.UUID(int=k, version=4)), 36)
        yield Case(f"{name}, many", list[kind], made)
        yield Case(f"{name}, a set", set[kind], made)
    for kind in (pathlib.Path, pathlib.PurePosixPath, pathlib.PureWindowsPath):
        yield Case(f"{kind.__name__}, folders", kind, one("", "a/"))
        yield Case(f"{kind.__name__}, ways up", kind, one("", "../"))
        yield Case(f"{kind.__name__}, many", list[kind], many(lambda k, n: f"{k}/{'a/' * n}", 20))
        paths = many(lambda k, n: "a/" * n + str(k), 20)
        yield Case(f"{kind.__name__}, a set", set[kind], paths)
    for kind in (bytes, pydantic.Base64Bytes, pydantic.Base64Str, pydantic.Base64UrlBytes):
        name = kind.__name__ if isinstance(kind, type) else str(kind)[-60:]
        yield Case(f"{name}, A", kind, one("", "AAAA"))
        yield Case(f"{name}, no base", kind, one("", "="))
        yield Case(f"{name}, many", list[kind], same("AAAA", 12))
    if importlib.util.find_spec("email_validator") is not None:
        for kind in (pydantic.EmailStr, pydantic.NameEmail):
            for what, again in {
                "spaces": " ",
                "a": "a",
                "points": "a.",
                "letters": "\u00fc.",
            }.items():
                yield Case(f"{kind.__name__}, {what}", kind, one("a@", again))
                text = many(lambda _, n, a=again: "a@" + a * (n // len(a)), 2000)
                yield Case(f"{kind.__name__}, many of {what}", list[kind], text)
    yield Case("card number", pydantic.types.PaymentCardNumber, one("", "4"))


def _texts() -> Iterator[Case]:
    for what, again in {
        "letters": "a",
        "wide": "\U0001f600",
        "sharp s": "\u00df",
        "spaces": " ",
        "digits": "1 ",
        "true": "true",
        "commas": ",",
        "braces": "{[",
        "half": "\\",
        "quotes": '"',
        "fences": "```json\n",
        "signs of a date": '"1" ',
        "points": "\u0130",
    }.items():
        yield Case(f"str of {what}", str, one("", again))
        yield Case(
            f"stripped, {what}", constr(strip_whitespace=True, to_lower=True), one("", again)
        )
        yield Case(f"lowered, {what}", Lowered, lambda n, a=again: f'{{"x":{one("", a)(n)}}}')
        yield Case(f"short, {what}", constr(max_length=10), one("", again))
        yield Case(f"pattern, {what}", constr(pattern=r"^(a+)+$"), one("", again, "!"))
        yield Case(f"a choice, {what}", Literal[LABELS], one("", again))
        yield Case(f"an enum, {what}", Color, one("", again))
        yield Case(f"a union of choices, {what}", Color | Literal["x"] | bool, one("", again))
        yield Case(f"anything, {what}", Any, one("", again))
        yield Case(f"bool or 1, {what}", Literal[True, 1, "x"], one("", again))
    yield Case("escapes", str, lambda n: '"' + "\\u00e9" * (n // 6) + '"')
    yield Case("escaped halves", str, lambda n: '"' + "\\ud83d\\ude00" * (n // 12) + '"')
    yield Case("a literal, many", list[Literal[LABELS]], same(LABELS[-1].upper(), 50))
    yield Case("an enum, many in another case", list[Color], same("RED", 3))
    yield Case("an enum, many wrong", list[Color], same("blue", 4))
    yield Case("flags, many", list[Literal[True, 1, 2]], many(lambda k, _: k % 2 == 0, 5))


def _several() -> Iterator[Case]:
    lists = {"list": list[int], "tuple": tuple[int, ...], "deque": deque[int], "set": set[int]}
    lists |= {"frozenset": frozenset[int], "Sequence": Sequence[int], "floats": list[float]}
    lists |= {"conlist": conlist(int, min_length=1), "union": list[int | str | None]}
    lists |= {"fail fast": Annotated[list[int], pydantic.FailFast()], "bools": list[bool]}
    lists |= {"errors left out": list[pydantic.OnErrorOmit[int]], "anything": list[Any]}
    lists |= {"JSON": list[pydantic.JsonValue], "dates": list[dt.date], "lists": list[list[int]]}
    lists |= {
        "tagged": list[Annotated[Cat | Dog, Field(discriminator="kind")]],
        "models": list[Cat],
    }
    lists |= {"models or": list[Cat | Dog], "dataclasses": list[Point], "pairs": list[Pair]}
    lists |= {"typed dicts": list[Typed], "sets of sets": set[frozenset[int]], "open": list[Open]}
    lists |= {"tuples in a set": set[tuple[int, str]], "nodes": list[Node], "names": list[Either]}
    values: dict[str, Any] = {
        "int": 1,
        "float": 2.5,
        "text": "a",
        "null": None,
        "list": [1],
        "two": [],
    }
    values |= {"object": {}, "cat": {"kind": "cat"}, "cow": {"kind": "cow"}, "node": {"inner": []}}
    values |= {"pair": [1, "a"], "x": {"x": 1}, "bad x": {"x": "1"}, "ex": {"ex": 1, "X": 2}}
    for name, kind in lists.items():
        for what, value in values.items():
            item = many(lambda _, __, v=value: v, 2 * len(json.dumps(value)))
            yield Case(f"{name} of {what}", kind, item)
        if "set" in name or name in ("list", "union"):
            yield Case(f"{name} of different", kind, many(lambda k, _: k, 7))
            yield Case(f"{name} of large", kind, many(lambda k, _: (k + 1) * (2**61 - 1), 22))
    dicts = {"dict": dict[str, int], "numbers as keys": dict[int, int], "OrderedDict": OrderedDict}
    dicts |= {"dates as keys": dict[dt.date, int], "Decimals as keys": dict[decimal.Decimal, int]}
    dicts |= {"defaultdict": defaultdict[str, int], "open": Open, "typed": Typed, "point": Point}
    dicts |= {"several names": Either, "floats as keys": dict[float, int], "model": Cat}
    dicts |= {
        "dict of dicts": dict[str, dict[str, int]],
        "patterned keys": dict[constr(min_length=1), int],
    }
    dicts |= {
        "lowered keys": dict[constr(to_lower=True), int],
        "UUIDs as keys": dict[uuid.UUID, int],
    }
    for name, kind in dicts.items():
        yield Case(f"{name} of many", kind, named(8))
        yield Case(f"{name} of dates", kind, named(10, name="2020-01-{:0>{}}"))
        yield Case(f"{name} of long names", kind, named(40_000))
        yield Case(f"{name} of texts", kind, named(8, "a"))
    yield Case("dict of dicts of many", dict[str, dict[int, int]], named(8, {"1": 1, "01": 2}))
    yield Case("root model", pydantic.RootModel[list[int]], many(lambda _, __: "a", 3))


def _nested() -> Iterator[Case]:
    deep = ("[", "]"), ('{"a":', "}")
    for opened, closed in deep:
        name = "lists" if opened == "[" else "objects"
        text = lambda n, o=opened, c=closed: o * 120 + '"' + "a" * n + '"' + c * 120  # noqa: E731
        yield Case(f"deep {name}", Any, text)
        yield Case(f"deep JSON {name}", pydantic.JsonValue, text)
        yield Case(
            f"very deep {name}",
            Any,
            lambda n, o=opened, c=closed: o * (n // 6) + "1" + c * (n // 6),
        )
    nodes = many(lambda _, __: {"inner": []}, 12)
    yield Case("wide and deep", Node, lambda n: f'{{"inner":{nodes(n)}}}')


def pydantic_cases() -> list[Case]:
    """Types that pydantic reads."""
    made = (_urls, _times, _numbers, _others, _texts, _several, _nested)
    return [case for cases in made for case in cases()]
