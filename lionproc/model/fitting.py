"""What a model turned out not to take, and how it is asked instead.

Providers differ in what they take, and so do the models of one provider: GPT-5 wants
`max_completion_tokens` and no `temperature`, older servers the opposite, some models no JSON
Schema or no system role. A 400 that names the parameter is learned from, once for all runs of the
process to this model: the rest goes without it, and each run that did says so at its end.

Only what is known to be harmless is left out. The bound on the answer is renamed and never
dropped, because it bounds the bill. An answer is kept under the question as it was asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from lionproc.model.quotation import Asked, texts_of
from lionproc.model.told import faults_in, told

__all__ = ["Fitting", "instructed", "speaks_of"]

_BOUND = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_SAMPLING = frozenset(
    ("temperature", "top_p", "top_k", "min_p", "presence_penalty", "frequency_penalty")
)
_OPTIONAL = _SAMPLING | {
    "logit_bias",
    "logprobs",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning_effort",
    "repetition_penalty",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "top_logprobs",
    "user",
    "verbosity",
}
_MOST_LOOKED_AT = 16_000
_FORMATS = ("json_schema", "json_object", "prompt")  # each asks for less than the one before
_REFUSED_CODES = frozenset(("unsupportedparameter", "unknownparameter", "unsupportedvalue"))
_EXTRA = frozenset(("extra_forbidden", "value_error.extra"))
_SAYS = re.compile(
    r"unsupported|not (?:yet )?support|n't support|no support|unrecognized|unknown|"
    r"not permitted|not allowed|deprecated|unavailable|not available|unexpected",
    re.IGNORECASE,
)
_TOO_MUCH = re.compile(
    r"logprobs.*\b(?:less|greater|more|most|max\w*|between|exceed\w*|range|up to|limit\w*)\b",
    re.IGNORECASE | re.DOTALL,
)
_NUMBER = re.compile(r"(?<![\w.])\d{1,6}(?![\w]|\.\d)")
_VALUE = re.compile(r"unsupported ?value", re.IGNORECASE)
_ROLE = re.compile(r"\brole", re.IGNORECASE)
_FORMAT = re.compile(
    r"\bresponse[_ ]?format\b|\bjson[_ ]?schema\b|\bjson[_ ]?object\b", re.IGNORECASE
)


class Fitting:
    """What one model does not take. Lives on the engine's loop."""

    def __init__(self) -> None:
        self._fields: dict[str, str | None] = {}  # another name, or None for left out
        self._most: dict[str, int] = {}  # of a number the most that it takes
        self._format = 0  # which of _FORMATS is the most that it takes
        self._roles: dict[str, str] = {}

    def know_no_role(self, role: str, other: str) -> None:
        """Say beforehand that the provider takes another role for this one."""
        self._roles.setdefault(role, other)

    def leaves_out(self, *names: str) -> bool:
        """Whether one of these fields of a body is known not to be taken."""
        return any(name in self._fields for name in names)

    def fit(self, body: bytes, instruction: str) -> tuple[bytes, list[str]]:
        """The body as this model takes it.

        Args:
            body: The question as it was asked.
            instruction: What says in words how to answer, where no format can; empty if the
                format in the body is not ours to change.

        Returns:
            The body to send, and a sentence for each thing that is not as it was asked.
        """
        roles = self._roles and any(role.encode() in body for role in self._roles)
        if not (self._fields or self._most or self._format or roles):
            return body, []
        asked = orjson.loads(body)
        changed = [*self._fit_fields(asked), *self._fit_numbers(asked), *self._fit_roles(asked)]
        if instruction and self._format:
            changed += self._fit_format(asked, instruction)
        return (orjson.dumps(asked), changed) if changed else (body, [])

    def _fit_fields(self, asked: dict[str, Any]) -> Iterator[str]:
        for name, other in self._fields.items():
            if name not in asked:
                continue
            value = asked.pop(name)
            if name == "prompt_cache_key":  # changes no answer, and nobody but us may have set it
                yield ""
            elif other is None:
                shown = f"={value!r}" if isinstance(value, (int, float)) else ""
                yield f"The model does not take {name}{shown}, so it was asked without it."
            elif other not in asked:
                asked[other] = value
                yield ""

    def _fit_numbers(self, asked: dict[str, Any]) -> Iterator[str]:
        for name, most in self._most.items():
            value = asked.get(name)
            if isinstance(value, int) and value > most:
                asked[name] = most
                yield f"The model takes {name} of {most} at the most, so {value} were not asked for."

    def _fit_roles(self, asked: dict[str, Any]) -> Iterator[str]:
        for role, other in self._roles.items():
            if any(message.get("role") == role for message in asked["messages"]):
                asked["messages"] = _with_role(asked["messages"], role, other)
                # To a provider, developer and system are two words for one thing.
                told = f"The model has no {role} role, so that prompt was sent as {other}."
                yield told if other == "user" else ""

    def _fit_format(self, asked: dict[str, Any], instruction: str) -> Iterator[str]:
        given = (asked.get("response_format") or {}).get("type")
        if given not in _FORMATS or _FORMATS.index(given) >= self._format:
            return
        if given == "json_schema":  # the others come with the instruction
            asked["messages"] = instructed(asked["messages"], instruction)
        if _FORMATS[self._format] == "prompt":
            del asked["response_format"]
        else:
            asked["response_format"] = {"type": _FORMATS[self._format]}
        yield (
            f"The model does not take a response_format of type {given}, so the shape of the "
            f"answers was asked for in words (structured={_FORMATS[self._format]!r})."
        )

    def learn_most(self, name: str, reply: bytes, sent: bytes) -> bool:
        """Look whether a 400 says how large a number may be; see `learn`."""
        said, value = told(reply).text, orjson.loads(sent).get(name)
        if not isinstance(value, int) or not _TOO_MUCH.search(said):
            return False
        less = [n for n in map(int, _NUMBER.findall(said)) if 0 < n < value]
        if not less:
            return False
        self._most[name] = max(less)
        return True

    def learn(self, reply: bytes, sent: bytes, *, own_format: bool) -> bool:
        """Look whether a 400 names something that can be left out or said in another way.

        Args:
            reply: The body of the 400.
            sent: The body that was refused.
            own_format: Whether the format in it is ours to change.

        Returns:
            True if the next attempt is another one.
        """
        said = told(reply)
        asked = orjson.loads(sent)
        question = Asked(asked)
        refused = said.words & _REFUSED_CODES or _extra(reply)
        if not refused and question.place(_SAYS, said.text) is None:
            return False
        name = _named(reply, said.text, question)
        if name == "role":
            return self._learn_role(said.text, asked)
        if name == "response_format":
            given = (asked.get(name) or {}).get("type")
            if not own_format or given not in _FORMATS:
                return False
            self._format = max(self._format, _FORMATS.index(given) + 1)
            return True
        if name in _BOUND:
            other = _BOUND[name]
            if other in self._fields or other in asked:
                return False  # it takes neither, and without a bound nothing is sent
            self._fields[name] = other
            return True
        by_value = "unsupportedvalue" in said.words or _VALUE.search(said.text)
        if name not in (_SAMPLING if by_value else _OPTIONAL):
            return False
        self._fields[str(name)] = None
        return True

    def _learn_role(self, text: str, asked: dict[str, Any]) -> bool:
        used = {message.get("role") for message in asked["messages"]}
        for role, other in (("developer", "system"), ("system", "user")):
            if role in used and role in text.lower() and role not in self._roles:
                self._roles[role] = other
                return True
        return False


def _named(reply: bytes, text: str, question: Asked) -> str | None:
    """Which field of the question a refusal names; the first in its words, if more than one."""
    asked = question.fields
    for given in (_param(reply), *_extra(reply)):
        if given in asked and given != "messages":
            return given
        if given.startswith("messages") and _ROLE.search(given):
            return "role"
    words = {
        name: re.compile(rf"(?<![\w.])(?:{name}|{_camel(name)})(?!\w)")
        for name in asked
        if name in _OPTIONAL or name in _BOUND
    }
    if "response_format" in asked:
        words["response_format"] = _FORMAT
    places = {
        name: place
        for name, word in words.items()
        if (place := question.place(word, text)) is not None
    }
    if places:
        return min(places, key=lambda name: places[name])
    return "role" if question.place(_ROLE, text) is not None else None


def speaks_of(word: str, refusal: bytes, sent: bytes) -> bool:
    """Whether a refusal itself has a word, in any case, that no message which was sent has."""
    said, asked = refusal[:_MOST_LOOKED_AT].decode("utf-8", "replace").lower(), orjson.loads(sent)
    if word not in said or word in "\n".join(texts_of(asked.get("messages", ()))).lower():
        return False
    return Asked(asked).place(re.compile(re.escape(word)), said) is not None


def _param(reply: bytes) -> str:
    data = _loaded(reply)
    error = data.get("error") if isinstance(data, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return param if isinstance(param, str) else ""


def _extra(reply: bytes) -> list[str]:
    """Fields that a server made with pydantic calls superfluous."""
    return [
        str(fault["loc"][-1])
        for fault in faults_in(_loaded(reply))
        if str(fault.get("type")) in _EXTRA and isinstance(fault.get("loc"), list) and fault["loc"]
    ]


def _loaded(reply: bytes) -> Any:
    try:
        return orjson.loads(reply)
    except ValueError:
        return None


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)


def instructed(messages: Sequence[Mapping[str, Any]], instruction: str) -> list[Any]:
    """The messages with an instruction at the end of the system prompt."""
    first = messages[0] if messages else {}
    if first.get("role") == "system" and isinstance(first.get("content"), str):
        return [{**first, "content": f"{first['content']}\n\n{instruction}"}, *messages[1:]]
    return [{"role": "system", "content": instruction}, *messages]


def _with_role(
    messages: Sequence[dict[str, Any]], role: str, other: str
) -> list[dict[str, object]]:
    """The messages with another role; two of one role in a row become one, where they are texts."""
    made: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") == role:
            message = {**message, "role": other}  # noqa: PLW2901
        last = made[-1] if made else {}
        texts = isinstance(message.get("content"), str) and isinstance(last.get("content"), str)
        if other == "user" and texts and last.get("role") == message.get("role") == other:
            made[-1] = {**last, "content": f"{last['content']}\n\n{message['content']}"}
        else:
            made.append(message)
    return made
