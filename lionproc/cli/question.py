"""What is asked, of whom and how fast: the options of the command as arguments of `process`."""

from __future__ import annotations

import csv
import datetime as dt
import os
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lionproc.engine.paths import local_path, missing_file
from lionproc.errors import ConfigurationError, ModelError, did_you_mean

if TYPE_CHECKING:
    from lionproc.model.model import Model

__all__ = ["KEY_VARIABLE", "Question", "labels_of", "model_of"]

KEY_VARIABLE = "LIONPROC_API_KEY"  # for servers of one's own
_LONGEST_TEXT = 10_000_000  # characters of a prompt or a schema
_TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": dt.date,
    "datetime": dt.datetime,
    "time": dt.time,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """The options that `process`, `estimate` and `preview` share. None is not given.

    Attributes:
        prompt: The template; `{column}` is a cell.
        prompt_file: A file with it.
        into: The new column, or the prefix of new columns.
        labels: The allowed answers, by commas.
        schema: A file with a JSON Schema.
        type: The name of a type.
        system: A system prompt.
        system_file: A file with it.
        model: "provider/model"; with `base_url` the name at that server.
        base_url: The address of an OpenAI-compatible server.
        key_env: The environment variable that has the key.
        temperature: For the model.
        max_tokens: For the model.
        timeout: Seconds for one attempt.
        price: Dollars per million tokens, "input,output".
        rpm: Requests per minute.
        tpm: Tokens per minute.
        concurrency: Requests at once.
        budget: Dollars, or a number of "tokens" or "requests".
        journal: Where replies are kept.
        name: What the run is called.
        send_missing: Whether rows with a missing cell are asked too.
        no_resume: Whether everything is asked again.
    """

    prompt: str | None = None
    prompt_file: Path | None = None
    into: str | None = None
    labels: str | None = None
    schema: Path | None = None
    type: str | None = None
    system: str | None = None
    system_file: Path | None = None
    model: str | None = None
    base_url: str | None = None
    key_env: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    price: str | None = None
    rpm: float | None = None
    tpm: float | None = None
    concurrency: int | None = None
    budget: str | None = None
    journal: Path | None = None
    name: str | None = None
    send_missing: bool = False
    no_resume: bool = False

    @classmethod
    def of(cls, given: dict[str, Any]) -> Question:
        """The question in the options of a command; others are left alone."""
        return cls(**{each.name: given[each.name] for each in fields(cls) if each.name in given})

    def arguments(self) -> dict[str, Any]:
        """The arguments of `df.llm.process`; what is not given is left out.

        Raises:
            ConfigurationError: One of them cannot work.
        """
        from lionproc.engine.limits import Limits

        prompt = _text("prompt", self.prompt, self.prompt_file)
        if prompt is None:
            raise ConfigurationError(
                'There is no prompt: --prompt "Is this positive? {review}", with columns of the '
                "table in braces, or --prompt-file."
            )
        limits = {
            "requests_per_minute": self.rpm,
            "tokens_per_minute": self.tpm,
            "concurrency": self.concurrency,
        }
        limits = {name: value for name, value in limits.items() if value is not None}
        given = {
            "prompt": prompt,
            "into": self.into,
            "schema": self._schema(),
            "system": _text("system", self.system, self.system_file),
            "model": self._model(),
            "limits": Limits(**limits) if limits else None,  # type: ignore[arg-type]
            "budget": None if self.budget is None else _budget(self.budget),
            "journal": self.journal,
            "name": self.name,
            "on_missing": "send" if self.send_missing else None,
            "resume": False if self.no_resume else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def _schema(self) -> Any:
        said = [f"--{name}" for name in ("labels", "schema", "type") if getattr(self, name)]
        if len(said) > 1:
            raise ConfigurationError(f"{' and '.join(said)} both say what an answer is: give one.")
        if self.labels is not None:
            return Literal[labels_of(self.labels)]
        if self.schema is not None:
            return _json(self.schema)
        return None if self.type is None else _type(self.type)

    def _model(self) -> Model:
        from lionproc.model.defaults import MODEL_VARIABLE

        settings = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "timeout": self.timeout,
            "price": None if self.price is None else _price(self.price),
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        name = self.model or os.environ.get(MODEL_VARIABLE, "").strip() or None
        return model_of(name, self.base_url, self.key_env, **settings)


def model_of(
    name: str | None, base_url: str | None = None, key_env: str | None = None, **settings: Any
) -> Model:
    """The model that is meant. A key is read from the environment alone.

    Args:
        name: "provider/model"; with `base_url` the name at that server.
        base_url: The address of an OpenAI-compatible server.
        key_env: The variable that has the key; None for the provider's own, or for a server of
            one's own LIONPROC_API_KEY.
        **settings: Of the model.

    Raises:
        ModelError: There is no name.
        ConfigurationError: There is no such variable.
    """
    from lionproc.model.defaults import MODEL_VARIABLE
    from lionproc.model.model import Model

    if name is None:
        raise ModelError(
            "No model is set: give --model openai/gpt-5-mini (with --base-url the name that its "
            f"server knows), or set the environment variable {MODEL_VARIABLE}. Without a key, "
            "--model local runs a small model on this machine."
        )
    key = os.environ.get(key_env or KEY_VARIABLE) if key_env or base_url is not None else None
    if key_env and not key:
        from lionproc.model.credentials import looks_like_key

        is_name = key_env.isupper() and "_" in key_env  # AZURE_KEY_2
        if any(map(looks_like_key, key_env.split())) and not is_name:
            # It is not quoted: logs of schedulers keep what is said here.
            raise ConfigurationError(
                "This looks like a key, and --key-env is the name of the environment variable "
                f"that has it: export {KEY_VARIABLE}=..., and --key-env {KEY_VARIABLE}."
            )
        raise ConfigurationError(
            f"--key-env names the environment variable that has the key, and {key_env!r} is not "
            f"set: export {key_env}=..."
        )
    if base_url is not None:
        return Model("openai", name, base_url=base_url, api_key=key, **settings)
    return Model(name, api_key=key, **settings)


def labels_of(text: str) -> tuple[str, ...]:
    """The allowed answers: by commas; one with a comma in it is quoted, as in CSV.

    Raises:
        ConfigurationError: They are fewer than two, or more than one line.
    """
    if len(text.splitlines()) > 1:
        raise ConfigurationError('--labels is one line of answers: --labels "yes,no".')
    (parts,) = csv.reader([text.strip()], skipinitialspace=True) if text.strip() else [[]]
    labels = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if len(labels) < 2:
        raise ConfigurationError('--labels needs at least two answers: --labels "yes,no".')
    return labels


def _text(option: str, text: str | None, file: Path | None) -> str | None:
    if file is None:
        return text
    if text is not None:
        raise ConfigurationError(f"--{option} and --{option}-file both say it: give one.")
    return _contents(file, f"--{option}-file").rstrip("\n")


def _contents(file: Path, option: str, endings: tuple[str, ...] = (".txt", ".md")) -> str:
    try:
        _refuse_named_pipe(file, option)
        with local_path(file).open(encoding="utf-8-sig") as opened:
            text = opened.read(_LONGEST_TEXT + 1)
    except UnicodeError:
        raise ConfigurationError(
            f"{option}: {str(file)!r} is not written in UTF-8. Save it as UTF-8."
        ) from None
    except FileNotFoundError:
        raise ConfigurationError(f"{option}: {missing_file(local_path(file), endings)}") from None
    except OSError as error:
        raise ConfigurationError(
            f"{option}: {str(file)!r} cannot be read: {error.strerror}."
        ) from None
    if len(text) > _LONGEST_TEXT:  # or a device that never ends
        raise ConfigurationError(
            f"{option}: {str(file)!r} has more than {_LONGEST_TEXT:,} characters, which no model "
            "reads. Name another file."
        )
    return text


def _refuse_named_pipe(file: Path, option: str) -> None:
    """A pipe that lies among files may be anybody's, and nobody may ever write into it.

    Raises:
        ConfigurationError: It is one, and none that a shell makes, as for `<(...)`.
    """
    place = local_path(file)
    if place.is_fifo() and not place.is_relative_to("/dev") and not place.is_relative_to("/proc"):
        raise ConfigurationError(
            f"{option}: {str(file)!r} is a pipe and no file. Give a file, or /dev/stdin for what "
            "another command writes."
        )


def _json(file: Path) -> dict[str, Any]:
    from lionproc.engine.json_bounds import read_json

    text = _contents(file, "--schema", (".json",))
    try:
        schema = read_json(text)
    except ValueError as error:
        raise ConfigurationError(f"--schema: {str(file)!r} is no JSON: {error}.") from None
    except RecursionError:
        raise ConfigurationError(f"--schema: {str(file)!r} is nested too deeply.") from None
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f"--schema: {str(file)!r} is no JSON Schema: that is an object, as "
            '{"type": "object", "properties": {...}}.'
        )
    return schema


def _type(name: str) -> Any:
    inner = name.removeprefix("list[").removesuffix("]") if name.startswith("list[") else name
    if inner not in _TYPES:
        known = [*_TYPES, *(f"list[{each}]" for each in _TYPES)]
        raise ConfigurationError(f"There is no type {name!r}.{did_you_mean(name, known)}")
    many: Any = list
    return _TYPES[inner] if inner == name else many[_TYPES[inner]]


def _budget(text: str) -> Any:
    from lionproc.engine.budget import Budget

    found = re.fullmatch(r"\s*\$?([0-9_.]+)\s*(usd|tokens|requests)?\s*", text, re.IGNORECASE)
    try:
        number = float(found[1] if found else "")
    except ValueError:
        raise ConfigurationError(
            "--budget is a number of dollars, or of tokens or requests: --budget 2.5, "
            f"--budget 300000tokens or --budget 500requests, not {text!r}."
        ) from None
    unit = ((found and found[2]) or "usd").lower()
    bounds: dict[str, Any] = {unit: number if unit == "usd" else int(number)}
    return Budget(**bounds)


def _price(text: str) -> Any:
    from lionproc.model.prices import Price

    try:
        read, written = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigurationError(
            "--price is two numbers, dollars per million tokens read and written: --price 0.15,0.60"
        ) from None
    return Price(input=read, output=written)
