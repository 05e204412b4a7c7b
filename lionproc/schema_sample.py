"""A valid instance of a JSON Schema, chosen by a number."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from lionproc.errors import SchemaError
from lionproc.seeded_random import SeededRandom

__all__ = ["CLOCK", "NAIVE_INSTANT", "instance"]

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron")
SHALLOW = 5  # from here on the smallest choice is taken, so recursive schemas end
MOST_VALUES = 20_000  # from half of them on the smallest choice is taken
LONGEST = 100_000  # characters of a text
LETTERS = 100  # of a text, and
ENTRIES = 20  # names of an object's schema that is joined with another, take as long as a value
COMPARED = 10_000  # letters that are compared with others take as long as a value
DEEPEST = 60  # a schema that gets here requires itself for ever

# JSON Schema's formats "time" and "date-time" want an offset; these two have none.
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?$"
NAIVE_INSTANT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T" + CLOCK[1:]
PATTERNS = {
    CLOCK: lambda k: f"{k % 24:02d}:{k % 60:02d}:00",
    NAIVE_INSTANT: lambda k: f"20{k % 30:02d}-{k % 12 + 1:02d}-{k % 28 + 1:02d}T{k % 24:02d}:00:00",
}
FORMATS = {
    "date": lambda k: f"20{k % 30:02d}-{k % 12 + 1:02d}-{k % 28 + 1:02d}",
    "date-time": lambda k: f"20{k % 30:02d}-{k % 12 + 1:02d}-{k % 28 + 1:02d}T{k % 24:02d}:00:00Z",
    "time": lambda k: f"{k % 24:02d}:{k % 60:02d}:00Z",
    "duration": lambda k: f"P{k % 30 + 1}D",
    "email": lambda k: f"user{k % 1000}@example.com",
    "hostname": lambda k: f"host{k % 1000}.example.com",
    "ipv4": lambda k: f"192.0.2.{k % 256}",
    "ipv6": lambda k: f"2001:db8::{k % 65536:x}",
    "uri": lambda k: f"https://example.com/{k % 1000}",
    "uuid": lambda k: f"00000000-0000-4000-8000-{k % 16**12:012x}",
}


def instance(schema: Mapping[str, Any] | bool, seed: int, *, smallest: bool = False) -> object:
    """A value that is valid under a schema.

    Enums are spread evenly over seeds, arrays are short, recursion ends. Other patterns than
    the two above, `not` and `if` are not followed: give the server an `answer=` for those.

    Args:
        schema: A JSON Schema, with `$ref` into itself only.
        seed: Which of the valid values; equal seeds give equal values.
        smallest: Leave out what need not be there.

    Returns:
        The value, of plain JSON types.

    Raises:
        SchemaError: The schema has no finite instance, or refers outside itself.
        OverflowError: Its smallest instance is too large to be made up.

    Example:
        >>> instance({"enum": ["positive", "negative"]}, seed=1) in ("positive", "negative")
        True
    """
    return _value(schema, _Draws(seed), schema, SHALLOW if smallest else 0)


class _Draws(SeededRandom):
    """Choices, and how many values may still be made: a short schema can ask for billions."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._left = MOST_VALUES

    def one_more(self, depth: int) -> int:
        """Count a value at a depth; the depth at which it is to be made."""
        if depth > DEEPEST:
            raise SchemaError("The schema requires itself for ever, so it has no finite instance.")
        self.work(1)
        return depth if self._left > MOST_VALUES // 2 else max(depth, SHALLOW)

    def work(self, amount: int) -> None:
        """Count work that takes as long as so many values: long texts, and parts that are joined."""
        self._left -= amount
        if self._left < 0:
            raise OverflowError("The schema asks for more than is made up.")


def _value(schema: Mapping[str, Any] | bool, draws: _Draws, root: Any, depth: int) -> Any:
    depth = draws.one_more(depth)
    if isinstance(schema, bool) or not schema:
        return draws.choice(WORDS)
    schema = _flat(schema, root, draws)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draws.choice(schema["enum"])
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return _value(_chosen(schema, choice, draws, depth), draws, root, depth + 1)
    kind = _type(schema, draws, depth)
    if kind == "object":
        return _object(schema, draws, root, depth)
    if kind == "array":
        return _array(schema, draws, root, depth)
    return _plain(kind, schema, draws)


def _plain(kind: str, schema: dict[str, Any], draws: _Draws) -> Any:
    match kind:
        case "integer":
            return _integer(schema, draws)
        case "number":
            return _number(schema, draws)
        case "boolean":
            return draws.below(2) == 1
        case "null":
            return None
        case _:
            return _string(schema, draws)


def _flat(schema: Mapping[str, Any], root: Any, draws: _Draws) -> dict[str, Any]:
    """The schema with `$ref` and `allOf` merged in."""
    flat: dict[str, Any] = dict(schema)
    for _ in range(DEEPEST):
        if "$ref" in flat:
            flat = _merged(flat, dict(_referred(flat.pop("$ref"), root)), draws)
        elif "allOf" in flat:
            for part in flat.pop("allOf"):
                flat = _merged(flat, _flat(part, root, draws), draws)
                draws.work(1)
        else:
            return flat
    raise SchemaError("The schema refers to itself for ever, so it has no finite instance.")


def _merged(one: dict[str, Any], other: dict[str, Any], draws: _Draws) -> dict[str, Any]:
    both = {**other, **one}
    if "properties" in one and "properties" in other:
        known, more = one["properties"], other["properties"]
        both["properties"] = {**known, **more} | {
            name: {"allOf": [known[name], more[name]]}
            for name in known.keys() & more.keys()
            if isinstance(known[name], Mapping) and isinstance(more[name], Mapping)
        }
    if "required" in one and "required" in other:
        both["required"] = list(dict.fromkeys((*one["required"], *other["required"])))
    draws.work(sum(len(both.get(names, ())) for names in ("properties", "required")) // ENTRIES)
    return both


def _referred(reference: str, root: Any) -> dict[str, object]:
    if not reference.startswith("#"):
        raise SchemaError(f"The schema refers to {reference!r}, outside itself.")
    found = root
    for step in unquote(reference[1:]).split("/")[1:]:
        try:
            found = found[step.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError):
            raise SchemaError(f"The schema has nothing at {reference!r}.") from None
    return dict(found)


def _chosen(schema: dict[str, Any], choice: str, draws: _Draws, depth: int) -> dict[str, Any]:
    options = schema[choice]
    if depth >= SHALLOW:  # null and plain types end a recursion, references continue it
        options = sorted(options, key=_weight)[:1]
    rest = {k: v for k, v in schema.items() if k not in {choice, "default", "title"}}
    return _merged(rest, dict(draws.choice(options)), draws)


def _weight(option: object) -> int:
    if option == {"type": "null"}:
        return 0
    return 2 if isinstance(option, Mapping) and {"$ref", "properties"} & option.keys() else 1


def _type(schema: Mapping[str, object], draws: _Draws, depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        return "null" if depth >= SHALLOW and "null" in kind else str(draws.choice(kind))
    if kind is None:
        if "properties" in schema or "required" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
        return "number" if {"minimum", "maximum"} & schema.keys() else "string"
    return str(kind)


def _object(schema: dict[str, Any], draws: _Draws, root: Any, depth: int) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = dict.fromkeys(schema.get("required", ()))
    names = [name for name in properties if depth < SHALLOW or name in required]
    value = {name: _value(properties[name], draws, root, depth + 1) for name in names}
    extra = schema.get("additionalProperties", True)
    for name in required:
        if name not in value:
            value[name] = _value(extra, draws, root, depth + 1)
    at_least = schema.get("minProperties", 0)
    if not properties and isinstance(extra, Mapping) and depth < SHALLOW:
        at_least = max(at_least, min(1, schema.get("maxProperties", 1)))
    for number in range(at_least - len(value)):
        key = f"{WORDS[number % len(WORDS)]}{number or ''}"
        value[key] = _value(extra, draws, root, depth + 1)
    return value


def _array(schema: dict[str, Any], draws: _Draws, root: Any, depth: int) -> list[Any]:
    least = schema.get("minItems", 0)
    most = schema.get("maxItems", least + 2)
    length = least if depth >= SHALLOW else least + draws.below(min(most - least, 2) + 1)
    first = schema.get("prefixItems", [])
    items = schema.get("items", {})
    if items is False:
        length = min(length, len(first))
    value = [_value(part, draws, root, depth + 1) for part in first[:length]]
    unique = schema.get("uniqueItems", False)
    for _ in range(max(2 * length, 1000)):
        if len(value) >= length:
            return value
        item = _value(items, draws, root, depth + 1)
        if unique and isinstance(item, (list, dict, str)):  # each letter may be compared with each
            draws.work(len(value) * len(json.dumps(item)) // COMPARED)
        if not (unique and item in value):
            value.append(item)
    if len(value) < least:
        raise SchemaError(f"The schema asks for {least} different items where there are too few.")
    return value


def _bounds(schema: dict[str, Any], span: float) -> tuple[float, float]:
    low, high = schema.get("minimum"), schema.get("maximum")
    low = -math.inf if low is None else low
    high = math.inf if high is None else high
    low = max(low, schema.get("exclusiveMinimum", -math.inf))
    high = min(high, schema.get("exclusiveMaximum", math.inf))
    # Next to a very large number a small one is nothing: 1e20 + 100 is 1e20.
    span = max(span, *(abs(end) / 1e6 for end in (low, high) if math.isfinite(end)), 0)
    if math.isinf(low):
        low = min(0, high - span) if math.isfinite(high) else 0
    return low, high if math.isfinite(high) else low + span


def _integer(schema: dict[str, Any], draws: _Draws) -> int:
    low, high = _bounds(schema, 100)
    first, last = math.ceil(low), math.floor(high)
    first += first == schema.get("exclusiveMinimum")
    last -= last == schema.get("exclusiveMaximum")
    step = max(int(schema.get("multipleOf", 1)), 1)
    first, last = -(-first // step), last // step
    return step * (first + draws.below(max(last - first, 0) + 1))


def _number(schema: dict[str, Any], draws: _Draws) -> float:
    low, high = _bounds(schema, 100.0)
    if step := schema.get("multipleOf"):
        first, last = math.ceil(low / step), math.floor(high / step)
        return float(step * (first + draws.below(max(last - first, 0) + 1)))
    # strictly inside, so an exclusive bound is kept too; 1/100 steps keep the text short
    return low if low == high else low + (high - low) * (1 + draws.below(98)) / 100


def _string(schema: dict[str, Any], draws: _Draws) -> str:
    made = FORMATS.get(schema.get("format", "")) or PATTERNS.get(schema.get("pattern", ""))
    if made:
        return made(draws.below(2**32))
    text = f"{draws.choice(WORDS)} {draws.choice(WORDS)}"
    least = schema.get("minLength", 0)
    if least > LONGEST:
        raise OverflowError("The schema asks for a longer text than is made up.")
    draws.work(least // LETTERS)
    while len(text) < least:
        text += f" {draws.choice(WORDS)}"
    most = schema.get("maxLength")
    return text if most is None else text[: max(most, 0)]
