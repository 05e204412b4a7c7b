"""JSON Schemas, each with the answers of a length that are the most work to read.

See `hard_answers`: every keyword of draft 2020-12 and of draft 7, and every format.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hard_answers import LABELS, Case, bare, many, named, one, same

_DRAFT_7 = "http://json-schema.org/draft-07/schema#"
_FORMATS = (
    *("date", "date-time", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"),
    *("ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uuid", "uri-template"),
    *("json-pointer", "relative-json-pointer", "regex"),
)
_FILLINGS = {
    "a": "a",
    "digits": "1",
    "points": "a.",
    "own letters": "\u00fc",
    "names of own letters": "\u00fcb.",
    "joined": "\u0915\u094d\u200d",
    "escapes": "%41",
    "slashes": "/~1",
    "braces": "{a}",
    "brackets": "(a|",
    "repeated": "a{9}",
    "classes": r"\p{L}",
    "colons": "::",
    "spaces": " ",
    "quoted": '"',
    "dashes": "xn--a-",
}
_STARTS = {
    "email": "a@",
    "idn-email": "a@",
    "uri": "http://",
    "iri": "http://",
    "duration": "P",
    "time": "10:00:00.",
    "date-time": "2020-01-01T00:00:00.",
}


def _formats() -> Iterator[Case]:
    for form in _FORMATS:
        start = _STARTS.get(form, "")
        for what, again in _FILLINGS.items():
            long = many(lambda _, n, a=again, s=start: s + a * (n // len(a)), 90_000)
            short = many(lambda _, n, a=again, s=start: s + a * (n // len(a)), 250)
            part = {"type": "array", "items": {"type": "string", "format": form}}
            yield Case(f"{form}, few of {what}", part, long)
            yield Case(f"{form}, many of {what}", part, short)
    for word in ("contentEncoding", "contentMediaType"):
        held = "base64" if word == "contentEncoding" else "application/json"
        for schema in (None, _DRAFT_7):
            part: dict[str, Any] = {"type": "string", word: held}
            if schema:
                part["$schema"] = schema
            yield Case(f"{word} {schema or ''}, brackets", part, one("", "[{"))
            yield Case(f"{word} {schema or ''}, letters", part, one("", "AAAA"))


def _of_items() -> Iterator[Case]:
    items: dict[str, dict[str, Any]] = {
        "items": {"items": {"type": "integer"}},
        "prefixItems": {"prefixItems": [{"type": "integer"}] * 200, "items": {"type": "integer"}},
        "contains": {"contains": {"type": "integer"}},
        "minContains": {"contains": {"type": "integer"}, "minContains": 50_000},
        "maxContains": {"contains": {"const": 1}, "maxContains": 5, "minContains": 0},
        "uniqueItems": {"uniqueItems": True},
        "unevaluatedItems": {"contains": {"type": "integer"}, "unevaluatedItems": False},
        "unevaluatedItems beside": {
            "allOf": [{"prefixItems": [{}]}, {"contains": {"type": "string"}}],
            "unevaluatedItems": {"type": "integer"},
        },
        "maxItems": {"maxItems": 5},
        "minimum": {"items": {"minimum": 2}},
        "multipleOf": {"items": {"multipleOf": 0.1}},
        "not": {"items": {"not": {"type": "integer"}}},
        "if": {"items": {"if": {"type": "integer"}, "then": {"minimum": 5}, "else": False}},
        "oneOf": {"items": {"oneOf": [{"const": number} for number in range(100)]}},
        "anyOf": {"items": {"anyOf": [{"const": f"a{number}"} for number in range(100)]}},
        "allOf": {"items": {"allOf": [{"type": "integer"}] * 20}},
        "enum": {"items": {"enum": [*LABELS]}},
        "enum of objects": {"items": {"enum": [{"a": number} for number in range(1000)]}},
        "const": {"items": {"const": {"a": [1] * 1000}}},
        "$ref": {"items": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": ["integer", "null"]}}},
        "$dynamicRef": {
            "$dynamicAnchor": "node",
            "anyOf": [{"items": {"$dynamicRef": "#node"}}, {"type": ["integer", "string"]}],
        },
        "additionalItems": {
            "$schema": _DRAFT_7,
            "items": [{}],
            "additionalItems": {"type": "null"},
        },
    }
    for name, keywords in items.items():
        part: dict[str, Any] = {"type": "array", **keywords}
        if name == "$dynamicRef":
            del part["type"]
        values: dict[str, Any] = {
            "1": 1,
            "text": "a",
            "object": {"a": 1},
            "list": [1, [2]],
            "0.3": 0.3,
        }
        for what, value in values.items():
            yield Case(f"{name}, {what}", part, many(lambda _, __, v=value: v, 8))
        yield Case(f"{name}, different", part, many(lambda k, _: k, 7))
        yield Case(f"{name}, different objects", part, many(lambda k, _: {"a": k}, 14))
        yield Case(f"{name}, few objects", part, many(lambda k, n: {"a" * n: k}, 4200))
        yield Case(f"{name}, long texts", part, many(lambda k, n: "a" * n + str(k), 4200))
        yield Case(f"{name}, long choices", part, same(LABELS[-1].upper(), 50))


def _of_objects() -> Iterator[Case]:
    number = {"type": "integer"}
    objects: dict[str, dict[str, Any]] = {
        "properties": {"properties": {f"p{k}": number for k in range(500)}},
        "additionalProperties": {"additionalProperties": number},
        "patternProperties": {"patternProperties": {"^a": number, "0$": number, "a.*b": number}},
        "propertyNames": {"propertyNames": {"maxLength": 5}},
        "propertyNames, a pattern": {"propertyNames": {"pattern": "^(a|b)+$"}},
        "propertyNames, a form": {"propertyNames": {"format": "idn-hostname"}},
        "minProperties": {"minProperties": 5, "maxProperties": 10},
        "required": {"required": [f"p{k}" for k in range(500)]},
        "dependentRequired": {"dependentRequired": {"a": [f"p{k}" for k in range(500)]}},
        "dependentSchemas": {"dependentSchemas": {"a": {"additionalProperties": number}}},
        "dependencies": {
            "$schema": _DRAFT_7,
            "dependencies": {"a": ["b"], "c": {"maxProperties": 1}},
        },
        "unevaluatedProperties": {
            "anyOf": [{"properties": {"a": number}}, {"patternProperties": {"^0": number}}],
            "unevaluatedProperties": False,
        },
        "unevaluatedProperties, more": {
            "allOf": [{"properties": {f"p{k}": number}} for k in range(50)],
            "unevaluatedProperties": number,
        },
        "if": {
            "if": {"propertyNames": {"maxLength": 9}},
            "then": {"additionalProperties": number},
            "else": {"additionalProperties": False},
        },
        "oneOf": {"oneOf": [{"required": [f"p{k}"]} for k in range(50)]},
        "not": {"not": {"additionalProperties": number}},
        "const": {"const": {f"p{k}": k for k in range(1000)}},
        "anything": {},
    }
    for name, keywords in objects.items():
        part = {"type": "object", **keywords}
        yield Case(f"{name}, many", part, named(8))
        yield Case(f"{name}, texts", part, named(8, "a"))
        yield Case(f"{name}, long names", part, named(40_000))
        yield Case(f"{name}, names of 40", part, named(40, "a", "a{:0>{}}"))
        listed = {"type": "array", "items": part}
        yield Case(f"list of {name}", listed, many(lambda k, _: {"a": k}, 14))
        yield Case(f"list of empty {name}", listed, many(lambda _, __: {}, 3))


def _of_texts() -> Iterator[Case]:
    texts: dict[str, dict[str, Any]] = {
        "minLength": {"minLength": 5, "maxLength": 100},
        "minLength beyond": {"minLength": 5_000_000},
        "enum": {"enum": [*LABELS]},
        "long enum": {"enum": ["a" * 100_000 + str(number) for number in range(20)]},
        "const": {"const": "a" * 1_000_000},
        "pattern": {"pattern": "^(a+)+$"},
        "looks around": {"pattern": "^(?!.*b)(a|aa)+$"},
        "counted": {"pattern": r"^(\w+ ){5,100}$"},
        "anyOf": {"anyOf": [{"minLength": k + 9**8} for k in range(100)]},
        "not": {"not": {"minLength": 5}},
    }
    for name, keywords in texts.items():
        for what, again in {
            "a": "a",
            "wide": "\U0001f600",
            "spaces": "a ",
            "points": "\u0130",
        }.items():
            yield Case(f"{name}, {what}", {"type": "string", **keywords}, one("", again))
        escapes = bare('"', "\\u00e9", '"')
        yield Case(f"{name}, escapes", {"type": "string", **keywords}, escapes)
    for kind in ("integer", "number"):
        yield Case(f"{kind} of digits", {"type": kind}, bare("", "7"))
        yield Case(f"{kind} of a fraction", {"type": kind}, bare("0.", "1"))
        yield Case(f"{kind} of zeros", {"type": kind}, bare("1.", "0"))
        yield Case(f"{kind}, multiple", {"type": kind, "multipleOf": 0.001}, bare("", "7"))
        yield Case(f"{kind}, least", {"type": kind, "minimum": 5}, bare("-", "7"))


def schema_cases() -> list[Case]:
    """JSON Schemas."""
    made = (_formats, _of_items, _of_objects, _of_texts)
    return [case for cases in made for case in cases()]
