"""What a journal remembers of a run, as far as it is of the types that were put there.

The note of a run is JSON that another version of lionproc may have written, and that others could
edit where the journal's folder is shared. What is of another type is left out: one odd number must
not hide all the other runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any, Final, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from lionproc.engine.stats import RunStats
from lionproc.reports.report import SAVED, Row

__all__ = ["sound_errors", "sound_facts", "sound_mark", "sound_report", "sound_stats"]

_MOST: Final = 1e11
"""No count, sum or time of a run is larger; a date of more seconds is in the year 5138."""
_LISTS: Final = frozenset(("answers", "columns"))
_STAGE: Final = ("answered", "cached", "skipped", "failed", "requests")
_MEMBER: Final = ("answered", "requests", "prompt_tokens", "completion_tokens")
_POINT: Final = ("seconds", "requests_per_minute", "input_tokens_per_minute",
                 "output_tokens_per_minute", "refused", "retries", "failed")  # fmt: skip
_POINT_OR_NONE: Final = ("requests_limit", "tokens_limit", "latency_p50", "latency_p95")


def sound_stats(noted: object) -> dict[str, Any]:
    """The numbers of a run."""
    return _fields(RunStats, noted)


def sound_facts(noted: object) -> dict[str, Any]:
    """What else its report is made of."""
    made: dict[str, Any] = {}
    for name, value in noted.items() if isinstance(noted, dict) else ():
        if name == "stages":
            made[name] = [each for each in _dicts(value) if _has_numbers(each, _STAGE)]
        elif name == "members":
            made[name] = [
                {**each, "errors": _numbers(each.get("errors"))}
                for each in _dicts(value)
                if _has_numbers(each, _MEMBER) and isinstance(each.get("member"), str)
                and (each.get("usd") is None or _is_number(each["usd"]))
            ]  # fmt: skip
        elif name in _LISTS:
            made[name] = [str(each) for each in value] if isinstance(value, list) else []
        elif value is None or isinstance(value, str) or _is_number(value):
            made[name] = value
    return made


def sound_report(noted: object) -> dict[str, Any]:
    """What a report has besides the stats and the facts."""
    given = noted if isinstance(noted, dict) else {}
    rows = {
        name: [Row(**row) for row in (_fields(Row, each) for each in _dicts(given.get(name)))
               if len(row) == len(fields(Row))]
        for name in ("slowest", "dearest")
    }  # fmt: skip
    points = [
        {name: each.get(name) for name in (*_POINT, *_POINT_OR_NONE)}
        for each in _dicts(given.get("over_time"))
        if _has_numbers(each, _POINT)
        and all(each.get(n) is None or _is_number(each[n]) for n in _POINT_OR_NONE)
    ]
    saved = _numbers(given.get("usd_saved"))
    return {
        "latency": _numbers(given.get("latency")),
        "retried_for": {n: int(v) for n, v in _numbers(given.get("retried_for")).items() if v},
        "usd_saved": {name: usd for name, usd in saved.items() if name in SAVED},
        "over_time": points,
        **rows,
    }


def sound_errors(noted: object) -> list[dict[str, Any]]:
    """The rows that failed."""
    counts, texts = ("position", "attempts"), ("index", "where", "kind", "message", "hint")
    return [
        {name: each[name] for name in (*counts, *texts)}
        for each in _dicts(noted)
        if all(type(each.get(name)) is int and _is_number(each[name]) for name in counts)
        and all(isinstance(each.get(name), str) for name in texts)
    ]


def sound_mark(noted: object) -> int | None:
    """A mark in the journal; None where it is none."""
    return noted if type(noted) is int and 0 <= noted < 2**63 else None


def _fields(kind: type, noted: object) -> dict[str, Any]:
    """What is noted of the fields of a dataclass and of their types."""
    made = {}
    for name, adapter in _adapters(kind).items():
        if isinstance(noted, dict) and name in noted:
            try:
                value = adapter.validate_python(noted[name])
            except ValidationError:
                continue
            inner = value.values() if isinstance(value, Mapping) else (value,)
            if all(each is None or isinstance(each, str | bool) or _is_number(each, 0)
                   for each in inner):  # fmt: skip
                made[name] = value
    return made


@cache
def _adapters(kind: type) -> dict[str, TypeAdapter[Any]]:
    strict = ConfigDict(strict=True)
    hints = get_type_hints(kind)
    return {each.name: TypeAdapter(hints[each.name], config=strict) for each in fields(kind)}


def _is_number(value: object, least: float = -_MOST) -> bool:
    return isinstance(value, int | float) and least <= value <= _MOST  # never NaN


def _has_numbers(noted: Mapping[str, object], names: tuple[str, ...]) -> bool:
    return all(_is_number(noted.get(name)) for name in names)


def _numbers(noted: object) -> dict[str, float | None]:
    """Numbers by name."""
    given = noted.items() if isinstance(noted, dict) else ()
    return {name: value for name, value in given if value is None or _is_number(value)}


def _dicts(noted: object) -> list[dict[str, Any]]:
    return [each for each in noted if isinstance(each, dict)] if isinstance(noted, list) else []
