"""Runs some rows for real, shows what went out and came back, and what the rest will take."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import orjson
import pandas as pd

from lionproc.engine.request import Event, keys_of
from lionproc.engine.usage import plus
from lionproc.errors import CallError, ConfigurationError, JournalError, pass_on_interrupt
from lionproc.frame.assemble import Missing
from lionproc.frame.cell import label_text
from lionproc.frame.estimate import Estimate, estimate, must_be_foreseeable
from lionproc.frame.job import Job, prepare, trial, wait_for
from lionproc.frame.plan import Plan
from lionproc.frame.row_store import SKIPPED
from lionproc.frame.seen import Sample
from lionproc.frame.votes import Verdict
from lionproc.model.as_json import plain
from lionproc.model.body import parsed
from lionproc.model.call import ModelCall

if TYPE_CHECKING:
    from lionproc.notebook.preview_card import TriedRow

__all__ = ["Preview", "Sampling", "preview"]

Sampling: TypeAlias = Literal["head", "random", "longest"]
_WAYS = ("head", "random", "longest")


@dataclass(frozen=True, slots=True)
class Preview:
    """Rows that were tried, and the rest foreseen. The last line of a cell shows it.

    Attributes:
        frame: The rows that were tried, with their answers, as `process` returns them.
        rows: The same row by row: prompt, reply, answer, tokens, usd (dollars when it was
            bought), seconds, error.
        estimate: What the rows that are not answered yet will take, by what was seen.

    Example:
        ```python
        tried = df.llm.preview("Is {review} positive?", into="ok", schema=bool, sample="random")
        tried.rows["error"].notna().sum(), tried.estimate.usd
        ```
    """

    frame: pd.DataFrame | pd.Series[Any]
    rows: pd.DataFrame
    estimate: Estimate
    _tried: tuple[TriedRow, ...] = field(default=(), repr=False)

    @property
    def _headline(self) -> str:
        tried = [row for row in self._tried if row.note != _SKIPPED]
        failed = [row for row in tried if row.error]
        many = f"{len(tried):,} {'row' if len(tried) == 1 else 'rows'}"
        if not tried:
            return f"Preview: none of {len(self._tried):,} rows can be asked, all were skipped"
        if len(failed) == len(tried):
            return f"Preview: no answer to any of {many} ({failed[0].error_kind})"
        without = f", {len(failed):,} without an answer" if failed else ", all answered"
        return f"Preview: {many} tried{without}"

    def __repr__(self) -> str:
        from lionproc.notebook.preview_card import preview_text

        return preview_text(self._headline, self._tried, repr(self.estimate))

    def _repr_html_(self) -> str:
        from lionproc.notebook.preview_card import preview_html

        return preview_html(self._headline, self._tried, self.estimate._repr_html_())


_SYSTEM = frozenset({"system", "developer"})
_SKIPPED = "skipped: a cell is missing"


def preview(
    whole: Plan,
    few: Callable[[list[int]], Plan],
    unwrapped: Callable[[pd.DataFrame, Job], Any],
    *,
    n: int,
    sample: Sampling,
    seed: int,
    foresee: Callable[[Plan, Mapping[bytes, Sample]], Estimate] = estimate,
) -> Preview:
    """Run some rows for real.

    Args:
        whole: The run that is tried out.
        few: The same run over the rows at these positions.
        unwrapped: What `process` returns, of the frame of a job.
        n: How many rows.
        sample: Which ones.
        seed: For "random".
        foresee: Says what the rest will take, by what these rows took.

    Raises:
        ConfigurationError: An argument cannot work; nothing was sent.
        RunError: As the run.
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ConfigurationError(f"n is how many rows to run, at least 1, not {n!r}.")
    if sample not in _WAYS:
        raise ConfigurationError(f"sample is 'head', 'random' or 'longest', not {sample!r}.")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed is a whole number from 0 on, not {seed!r}.")
    must_be_foreseeable(whole)
    plan = few(_chosen(whole, n, sample, seed))
    with trial():
        job = prepare(plan, job_type=_Trial)
        out = wait_for(job)
    assert isinstance(job, _Trial)  # noqa: S101  (for the type checker)
    tried = tuple(job.tried())
    foreseen = foresee(whole, job.samples())
    return Preview(unwrapped(out, job), _table(tried, plan), foreseen, tried)


def _chosen(plan: Plan, n: int, sample: Sampling, seed: int) -> list[int]:
    """The positions of the rows to run, in their order."""
    if sample == "head" or plan.rows <= n:
        return list(range(min(n, plan.rows)))
    connection = plan.model.connect()
    builder = plan.stages[0].builder(connection)
    if sample == "random":
        chosen: list[int] = []
        for row in map(int, np.random.default_rng(seed).permutation(plan.rows)):
            made = plan.calls(builder, row, row + 1)
            if not all(isinstance(call, Missing) for _, call in made):
                chosen.append(row)
                if len(chosen) == n:
                    break
    else:
        sizes = (
            (call.text_size + call.media_tokens, -(place % plan.rows))
            for made in plan.first_calls(builder)
            for place, call in made
            if isinstance(call, ModelCall)
        )
        longest: dict[int, int] = {}
        for size, row in heapq.nlargest(n * len(plan.outputs), sizes):
            longest.setdefault(-row, size)
        chosen = list(longest)[:n]
    plan.forget_occurrences()
    return sorted(chosen)


class _Trial(Job):
    """A run that remembers what went out and came back."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._events: dict[int, Event] = {}
        self._said: dict[int, Event | Verdict] = {}
        self._sharing: set[int] = set()
        self._raw: dict[bytes, bytes] = {}

    def _took(self, event: Event) -> None:
        sharing = self._followers.get(event.tag, ())
        self._events.update(dict.fromkeys((event.tag, *sharing), event))
        self._sharing.update(sharing)
        super()._took(event)

    def _fill_row(self, place: int, event: Event | Verdict, *, bears: bool) -> None:
        self._said[place] = event
        super()._fill_row(place, event, bears=bears)

    async def _close(self) -> None:
        try:
            await asyncio.to_thread(self._read_replies)
        finally:
            await super()._close()

    def _read_replies(self) -> None:
        """As they were kept, before a journal in memory is closed."""
        keys = [
            key for event in self._events.values() for key in (*keys_of(event.first), *event.keys)
        ]
        try:
            self._journal.flush()
            self._raw = {key: entry.reply for key, entry in self._journal.find(keys).items()}
        except JournalError:
            self._raw = {}  # the run says so; the rows are shown without their replies

    def samples(self) -> dict[bytes, Sample]:
        """What each question took that was paid for, by its key."""
        return {
            event.first.key: Sample.of(event.first, event)
            for event in self._events.values()
            if isinstance(event.first, ModelCall)
            and event.first.key is not None
            and event.prompt_tokens
        }

    def tried(self) -> Iterator[TriedRow]:
        """What became of each row, in the order of the frame."""
        from lionproc.notebook.preview_card import TriedRow

        plan = self._plan
        for row in range(plan.rows):
            for number, output in enumerate(plan.outputs):
                place = number * plan.rows + row
                label, into = label_text(plan.frame.index[row]), str(output.into or "")
                tags = [tag for tag in self._ballots.tags(place) if tag in self._events]
                error = self._store.failures.at(place)
                said = None if error is None else _why(error)
                if not tags:
                    note = _SKIPPED if self._store.status(place) == SKIPPED else "not sent"
                    yield TriedRow(label, "", None, None, None, None, None, said, into, note)
                    continue
                events = [self._events[tag] for tag in tags]
                own = [self._events[tag] for tag in tags if tag not in self._sharing]
                whole, system, asked = _asked(events[0])
                replies = [reply for reply in map(self._reply, events) if reply is not None]
                yield TriedRow(
                    label,
                    whole,
                    "\n".join(replies) if replies else None,
                    _answered(self._said.get(place)),
                    sum(event.usage.total for event in own) or (None if own else 0),
                    _usd(own),
                    sum(event.seconds for event in events),
                    said,
                    into,
                    "" if own else "shares the request of an equal row",
                    system,
                    asked,
                    sum(event.attempts for event in events),
                )

    def _reply(self, event: Event) -> str | None:
        """What the model wrote last."""
        for key in (*reversed(event.keys), *keys_of(event.first)):
            if key in self._raw:
                return _written(self._raw[key])
        return event.error.reply or None if event.error is not None else None


def _usd(events: Sequence[Event]) -> float | None:
    """What they cost together, None where that of one is not known."""
    usd: float | None = 0.0
    for event in events:
        usd = plus(usd, event.usd)
    return usd


def _answered(event: Event | Verdict | None) -> Any:
    """The answer as JSON has it, or else as its column does."""
    if event is None or event.error is not None:
        return None
    try:
        return plain(event.value)
    except BaseException as error:  # noqa: BLE001  (of the user's type, of any class)
        pass_on_interrupt(error)
        call: Any = event.call
        return call.cell


def _why(error: CallError) -> str:
    """What went wrong and what to do about it."""
    message = error.message.rstrip(".")
    return " ".join(filter(None, [f"{error.kind.value.replace('_', ' ')}: {message}.", error.hint]))


def _written(raw: bytes) -> str:
    """The text in a reply; the whole of it where there is none."""
    try:
        said = parsed(raw)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError):
        said = None
    return said if isinstance(said, str) else raw.decode("utf-8", "replace")


def _asked(event: Event) -> tuple[str, str, str]:
    """A question as a person reads it: all of it, the system prompt at its start, and the rest."""
    call: Any = event.first
    messages = orjson.loads(call.body)["messages"]
    texts = [(message.get("role"), _shown(message.get("content"))) for message in messages]
    whole = _together(texts)
    system = texts.pop(0)[1] if len(texts) > 1 and texts[0][0] in _SYSTEM else ""
    return whole, system, _together(texts)


def _together(texts: Sequence[tuple[object, str]]) -> str:
    if len(texts) == 1:
        return texts[0][1]
    return "\n".join(f"{role}: {text}" for role, text in texts)


def _shown(content: Any) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return "" if content is None else str(content)
    parts = [part if isinstance(part, dict) else {} for part in content]
    return "\n".join(
        str(part["text"]) if "text" in part else f"[{part.get('type', 'part')}]" for part in parts
    )


def _table(tried: Sequence[TriedRow], plan: Plan) -> pd.DataFrame:
    """The rows as a frame, with the labels of those that were tried."""
    index = plan.frame.index.repeat(len(plan.outputs))
    columns: dict[str, Any] = {}
    if len(plan.outputs) > 1:
        columns["into"] = pd.array([row.into for row in tried], dtype="string")
    columns |= {
        "prompt": pd.array([row.prompt or None for row in tried], dtype="string"),
        "reply": pd.array([row.reply for row in tried], dtype="string"),
        "answer": pd.Series([row.answer for row in tried], dtype=object, index=index),
        "tokens": pd.array([row.tokens for row in tried], dtype="Int64"),
        "usd": pd.array([row.usd for row in tried], dtype="Float64"),
        "seconds": pd.array([row.seconds for row in tried], dtype="Float64"),
        "error": pd.array([row.error for row in tried], dtype="string"),
    }
    return pd.DataFrame(columns, index=index)
