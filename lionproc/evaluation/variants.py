"""What is compared: prompts times models, each with a name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lionproc.errors import ConfigurationError, did_you_mean
from lionproc.frame.changed_lines import changed_lines
from lionproc.notebook.formatting import escaped, printable

__all__ = ["Diff", "Variant", "difference", "variants_of"]

# What shapes an answer besides the prompt, and so may differ between the prompts.
OF_A_PROMPT = frozenset({"prompt", "system", "examples", "confidence", "votes", "tie"})
MOST = 40  # variants: each is asked about every row of the sample


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to ask.

    Attributes:
        name: What it is called, in the table and as a column.
        prompt_name: What its prompt is called.
        model_name: What its model is called.
        prompt: As for `process`.
        model: As for `process`.
        more: Further arguments of `process` that belong to the prompt.
    """

    name: str
    prompt_name: str
    model_name: str
    prompt: Any
    model: Any
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """What is asked, as text; of a function its name."""
        parts = [f"{name}: {_told(value)}" for name, value in self.more.items()]
        return "\n".join([*parts, _told(self.prompt)])


def _told(given: Any) -> str:
    if isinstance(given, (bool, int, str)) or given is None:
        return str(given)
    if callable(given):
        return getattr(given, "__qualname__", "a function")
    return f"{len(given):,} rows"  # examples


def _same(a: object, b: object) -> bool:
    return a is b or (isinstance(a, (bool, int, str)) and a == b)


def variants_of(prompts: object, models: object, usual: object) -> list[Variant]:
    """Every prompt with every model.

    Args:
        prompts: By name; or a list of them, or one.
        models: By name; or a list of them, or one; None for the usual one.
        usual: The model where no others are named.

    Raises:
        ConfigurationError: There is none, or two are the same.
    """
    asked = _prompts(prompts)
    who = _models(usual if models is None else models)
    if not asked or not who:
        raise ConfigurationError("There is nothing to compare: name a prompt and a model at least.")
    if len(asked) * len(who) > MOST:
        raise ConfigurationError(
            f"{len(asked)} prompts times {len(who)} models are {len(asked) * len(who)} variants, and "
            f"each is asked about every row of the sample; at most {MOST} are compared at once."
        )
    # Beside the name of a prompt the model alone will do, where it has one provider.
    short = {name: name.rpartition("/")[2] for name in who}
    told = Counter(short.values())
    made = []
    for prompt_name, (prompt, more) in asked.items():
        for model_name, model in who.items():
            short_name = short[model_name] if told[short[model_name]] == 1 else model_name
            name = f"{prompt_name} with {short_name}"
            name = prompt_name if len(who) == 1 else model_name if len(asked) == 1 else name
            made.append(Variant(name, prompt_name, model_name, prompt, model, more))
    return made


def _prompts(given: object) -> dict[str, tuple[object, dict[str, object]]]:
    if isinstance(given, Mapping):
        named = {_name(name, "prompt"): prompt for name, prompt in given.items()}
    elif isinstance(given, (list, tuple)):
        named = {f"prompt {number}": prompt for number, prompt in enumerate(given, 1)}
    else:
        named = {"prompt 1": given}
    made: dict[str, tuple[object, dict[str, object]]] = {}
    for name, prompt in named.items():
        more: dict[str, object] = {}
        if isinstance(prompt, Mapping):
            strange = [key for key in prompt if key not in OF_A_PROMPT]
            if strange or "prompt" not in prompt:
                wrong = f"has {strange[0]!r}" if strange else "has no 'prompt'"
                raise ConfigurationError(
                    f"The prompt {name!r} {wrong}: it is a text, a function, or a dict of "
                    f"{', '.join(sorted(OF_A_PROMPT))}."
                    f"{did_you_mean(strange[0], OF_A_PROMPT) if strange else ''}"
                )
            more = {str(key): value for key, value in prompt.items() if key != "prompt"}
            prompt = prompt["prompt"]  # noqa: PLW2901  (the one in it)
        if isinstance(prompt, (list, tuple)):
            raise ConfigurationError(
                f"The prompt {name!r} is a list: compare takes prompts of one question each."
            )
        for other, (text, beside) in made.items():
            alike = beside.keys() == more.keys() and all(_same(beside[k], more[k]) for k in more)
            if alike and _same(text, prompt):
                raise ConfigurationError(
                    f"The prompts {other!r} and {name!r} are the same, so they have the same "
                    "answers: equal questions are asked once."
                )
        made[name] = (prompt, more)
    return made


def _models(given: object) -> dict[str, object]:
    if isinstance(given, Mapping):
        return {_name(name, "model"): model for name, model in given.items()}
    all_of_them = list(given) if isinstance(given, (list, tuple)) else [given]
    names = [_model_name(model) for model in all_of_them]
    made: dict[str, object] = {}
    seen: Counter[str] = Counter()
    for name, model in zip(names, all_of_them, strict=True):
        seen[name] += 1
        if isinstance(model, str) and seen[name] > 1:
            raise ConfigurationError(f"models= has {name!r} twice.")
        made[name if seen[name] == 1 else f"{name} ({seen[name]})"] = model
    return made


def _model_name(model: object) -> str:
    if model is None:
        return "the usual model"
    if isinstance(model, str):
        return model
    if members := getattr(model, "members", None):  # a model that is made of models
        inner = (_model_name(member).rpartition("/")[2] for member in members)
        return f"{type(model).__name__}({', '.join(inner)})"
    provider, name = getattr(model, "provider", None), getattr(model, "model", None)
    if isinstance(provider, str) and isinstance(name, str):
        return f"{provider}/{name}"
    return str(model)


def _name(given: Hashable, of: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise ConfigurationError(f"A {of} has a text for a name, not {given!r}.")
    return given


class Diff(str):
    """What differs between two prompts, line by line: a text that prints itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        colors = {"+": "rgba(46,158,91,.18)", "-": "rgba(214,69,69,.18)"}
        rows = "".join(
            f"<div style='background:{colors.get(line[:1], 'none')};padding:0 6px'>"
            f"{escaped(line) or '&nbsp;'}</div>"
            for line in self.splitlines()
        )
        return (
            "<div class='mathjax_ignore tex2jax_ignore' style='max-width:760px;margin:4px 0;"
            f"font-family:monospace;white-space:pre-wrap'>{rows}</div>"
        )


def difference(a: Variant, b: Variant) -> Diff:
    """What two variants are asked differently, and of whom."""
    lines = []
    if a.model_name != b.model_name:
        lines += [f"- model: {a.model_name}", f"+ model: {b.model_name}"]
    if a.told == b.told:
        lines.append("The prompt is the same.")
        return Diff("\n".join(map(printable, lines)))
    names = (a.prompt_name, b.prompt_name)
    changes = changed_lines(a.told, b.told, around=2, names=names)
    return Diff("\n".join(printable(line.expandtabs(4)) for line in [*lines, *changes]))
