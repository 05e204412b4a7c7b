"""The arguments that all verbs of `df.llm` and `series.llm` share, for type checkers and help.

`process` writes them out, with their defaults. The other verbs take them as
`**options: Unpack[RunOptions]`; `shows` puts what stands at `process` into their signature and help.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any, Literal, ParamSpec, TypedDict, TypeVar

from lionproc.engine.budget import Budget
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.model.model import Model

P = ParamSpec("P")
T = TypeVar("T")

# An argument and what is said of it, in the Args of a docstring, at any indentation.
_ENTRY = re.compile(r"^([ \t]*)(\*{0,2}\w+): .*\n(?:\1[ \t]+.*\n)*", re.MULTILINE)
_REFERS = re.compile(r": As for `(?:df\.llm\.)?process`\.\n\Z")


class PipelineOptions(TypedDict, total=False):
    """What a run through stages takes besides them."""

    model: Model | str | None
    """"provider/model", or an `lp.Model`. None for that of `lp.configure`."""

    limits: Limits | Mapping[str, Any] | None
    """`lp.Limits(requests_per_minute=500)`, which become the live limits of everything that goes to
    this endpoint, key and model, runs that are under way included. None leaves them as they are.
    """

    budget: Budget | None
    """`lp.Budget(usd=5)`; reaching it stops the run and returns what there is. None for no bound."""

    retry: Retry | None
    """`lp.Retry`: how often, and how long, what failed is tried again. None for its defaults."""

    chunk_size: int | None
    """Rows per saved part and checkpoint, 1000 if not set."""

    save: Any
    """"out.parquet" for a file, "folder/" for a file per chunk, each as soon as its last row is
    there; or the address of either, such as "s3://...".
    """

    journal: Any
    """Where replies are kept: a path, None for `.lionproc/journal.sqlite`, False for nowhere on
    disk.
    """

    resume: bool
    """False asks again even what the journal has, and on Dask what is there at `save=`."""

    deduplicate: bool
    """False asks equal rows one by one."""

    name: str | None
    """What `lp.runs()` calls this run."""

    on_missing: Literal["skip", "send"]
    """"skip" leaves rows with a missing cell in the prompt NA without asking, "send" asks with
    an empty text there.
    """

    errors: Literal["coerce", "raise"]
    """"coerce" makes failed rows NA and warns once; "raise" raises after all others are done
    and kept.
    """

    overwrite: bool
    """Replace columns that are there, and a file at `save=` that would lose rows or columns or is
    no parquet.
    """

    details: bool
    """Add columns with each row's status, error, attempts, tokens (all, input, cached and output),
    dollars, seconds, the model that answered, as its reply says, the run, and a note where an
    answer was asked again for its shape or repaired. What is not known is NA. Of equal rows, which
    share a request, the first bears the dollars, so that they add up to what was paid.
    """

    progress: bool | None
    """False shows neither bar nor panel nor card."""

    panel: bool | None
    """True shows the live panel, False a bar; None the panel in a notebook that a person looks at,
    else the bar.
    """


class SeriesOptions(PipelineOptions, total=False):
    """What a run over one column takes besides its prompt."""

    system: Any
    """A system prompt: a text, or a function of the row."""

    examples: object
    """Rows with their answers, shown to the model before each question: a frame with the columns
    that the prompt shows and those of the answer (`into`), or a list of pairs like
    `({"review": "Fine."}, "positive")`. `score` leaves such rows out.
    """

    confidence: bool
    """Add `{into}_confidence`, from 0 to 1: the probability of the answer among those allowed, from
    the log-probabilities of its tokens. For Literal, Enum and bool; of a pydantic model a column
    for each such field. Where the model does not tell them: `votes=`.
    """

    votes: int
    """Ask each row so many times; the answer is that of the majority and `{into}_confidence` its
    share. Each vote is a request; `votes=5` after `votes=3` buys two more. One that failed is asked
    again only if its row has no answer.
    """

    tie: Literal["na", "first"]
    """Where several answers have the most votes: "na" leaves the row without one, "first" takes
    the one that was given first.
    """


class RunOptions(SeriesOptions, total=False):
    """What a run over a frame takes besides its prompt."""

    columns: Sequence[Hashable] | None
    """Ask the same about each of these columns; the prompt shows the cell as `{value}`."""


def defaults_of(process: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of `process` that may be left out, and what they are then."""
    parameters = inspect.signature(process).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def shows(
    options: type[Any], process: Callable[..., Any], without: Collection[str] = ()
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Show the options of a function, in its signature and its help, as they are at `process`.

    A type checker reads `Unpack`; what completes and explains in a notebook reads the signature.

    Args:
        options: The `TypedDict` that the function's `**options` are.
        process: Has the defaults and the words of each.
        without: Names of those that the function does not take.
    """

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        at_process = inspect.signature(process).parameters
        taken = set(options.__annotations__) - set(without)
        shared = [at_process[name] for name in at_process if name in taken]
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        shown: Any = function
        shown.__signature__ = signature.replace(parameters=[*own, *shared])
        if function.__doc__ and process.__doc__:  # python -OO has none
            names = [p.name for p in shared]
            function.__doc__ = _in_full(
                inspect.cleandoc(function.__doc__), words_of(process), names
            )
        return function

    return decorate


def words_of(function: Callable[..., Any]) -> dict[str, str]:
    """What the docstring of a function says of each argument: the entries of its Args."""
    listed = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")[2]
    return {found[2]: found[0] for found in _ENTRY.finditer(listed.partition("\n\n")[0] + "\n")}


def _in_full(doc: str, words: dict[str, str], names: list[str]) -> str:
    """A docstring with the words of `process` where it refers to them.

    That is at `**options`, and at arguments that are only "As for `process`".
    """
    own = {found[2] for found in _ENTRY.finditer(doc)}
    options = "".join(words[name] for name in names if name not in own)

    def full(found: re.Match[str]) -> str:
        if found[2] == "**options":
            return options
        refers = _REFERS.search(found[0]) and found[2] in words
        return words[found[2]] if refers else found[0]

    return _ENTRY.sub(full, doc)
