"""Votes: a row asked several times, and what the majority of its answers says.

Each vote is a request of its own, with a key of its own, so that votes never share an answer and
more of them buy only what is new. The places of the votes follow one another: that of vote `v` of
an answer is `v * places + place`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from lionproc.engine.json_bounds import read_json
from lionproc.engine.request import Event
from lionproc.engine.usage import plus
from lionproc.errors import CallError, Kind
from lionproc.frame.assemble import Missing
from lionproc.frame.stage import Stage
from lionproc.model.as_json import exact
from lionproc.model.call import ModelCall
from lionproc.model.canonical import canonical
from lionproc.model.shape import Json, List, Map, Record, Shape
from lionproc.model.steps import Outcome

__all__ = ["Ballots", "Cast", "Verdict", "answer_of", "ballots_of", "counted", "written"]

Rendered: TypeAlias = ModelCall | Missing | CallError
_STILL_TO_ASK = frozenset({Kind.NOT_SENT, Kind.CANCELLED})


def ballots_of(call: ModelCall, votes: int) -> Iterator[ModelCall]:
    """The calls that ask a question several times; the first one is the question asked once."""
    yield call
    for vote in range(1, votes):
        yield call.as_vote(vote)


class Cast(NamedTuple):
    """One vote.

    Attributes:
        event: What came.
        bears: Whether its row bears what it cost.
    """

    event: Event
    bears: bool


@dataclass(slots=True, kw_only=True)
class Verdict:
    """What the votes on a row say together. It is told as an event is.

    Attributes:
        error: Why there is no answer.
        value: The answer of the majority, None where nobody has it.
        cell: The same as its column holds it.
        confidences: The share of the majority.
        length: How many characters the reply had that it was read from.
        mended: Whether the reply had another form than was asked for.
        cached: Whether all votes came from the journal.
        tied: Whether several answers have as many votes, so that there is none.
        came: How each vote failed, or when its answer came, in Unix seconds.
    """

    error: CallError | None = None
    value: Any = None
    cell: Any = None
    confidences: tuple[float | None, ...] = ()
    length: int = 0
    mended: bool = False
    cached: bool = False
    tied: bool = False
    came: tuple[Kind | float, ...] = ()
    attempts: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    corrections: int = 0
    model: str = ""

    @property
    def outcome(self) -> Outcome:
        """What became of the row, for the steps of a model that is made of several."""
        error = None if self.error is None else self.error.kind
        return Outcome(error, 0.0 if self.tied else next(iter(self.confidences), None))

    @property
    def call(self) -> Verdict:
        """What has the cell and how sure it is: of an event its call, here itself."""
        return self

    def _add(self, cast: Cast) -> None:
        """Add what a vote took."""
        event = cast.event
        self.attempts += event.attempts
        self.prompt_tokens += event.prompt_tokens
        self.completion_tokens += event.completion_tokens
        cached, known = event.cached_tokens, self.cached_tokens
        self.cached_tokens = None if cached is None or known is None else known + cached
        self.usd = plus(self.usd, event.usd if cast.bears else 0.0)
        self.seconds += event.seconds
        self.corrections += event.corrections


class Ballots:
    """The votes of a run that are not counted yet. Lives on the engine's loop.

    Args:
        stages: What is asked.
        stage_of: The number of the stage of each output.
        rows: How many rows there are.

    Attributes:
        once: Whether each row is asked once, so that the place of a vote is that of its answer.
        ties: How many votes ended in a tie.
    """

    def __init__(self, stages: Sequence[Stage], stage_of: Sequence[int], rows: int) -> None:
        self._stages = stages
        self._stage_of = stage_of
        self._rows = rows
        self._places = max(rows * len(stage_of), 1)
        self._cast: dict[int, list[Cast | CallError | None]] = {}
        self.once = all(stage.votes == 1 for stage in stages)
        self.ties = 0

    def place_of(self, tag: int) -> int:
        """The place of the answer that a vote is on."""
        return tag % self._places

    def tags(self, place: int) -> range:
        """The places of the votes on an answer."""
        return range(place, place + self._stage(place).votes * self._places, self._places)

    def each(self, calls: Iterable[tuple[int, Rendered]]) -> Iterator[tuple[int, Rendered]]:
        """The calls of all votes on some answers, with their places."""
        if self.once:
            yield from calls
            return
        for place, call in calls:
            votes = self._stage(place).votes
            if votes == 1 or not isinstance(call, ModelCall):
                yield place, call
            else:
                yield from zip(self.tags(place), ballots_of(call, votes), strict=True)

    def cast(self, tag: int, came: Event | CallError, *, bears: bool) -> Event | Verdict | None:
        """A vote has come.

        Args:
            tag: Its place.
            came: What came, or why nothing was asked.
            bears: Whether its row bears what it cost.

        Returns:
            What they all say, once they are all there; of a row that is asked once what came.
        """
        if self.once:
            return came if isinstance(came, Event) else Verdict(error=came)
        place = tag % self._places
        stage = self._stage(place)
        if stage.votes == 1:
            return came if isinstance(came, Event) else Verdict(error=came)
        box = self._cast.setdefault(place, [None] * stage.votes)
        box[tag // self._places] = Cast(came, bears) if isinstance(came, Event) else came
        votes = [each for each in box if each is not None]
        if len(votes) < stage.votes:
            return None
        del self._cast[place]
        verdict = counted(votes, first_of_equals=stage.tie == "first")
        self.ties += verdict.tied
        return verdict

    def _stage(self, place: int) -> Stage:
        return self._stages[self._stage_of[place // self._rows]]


def counted(votes: Sequence[Cast | CallError], *, first_of_equals: bool) -> Verdict:
    """What votes say; in the order in which they were asked, whatever came first."""
    verdict = Verdict(cached=True, came=tuple(map(_came, votes)))
    heaps: dict[bytes, list[Any]] = {}
    errors: list[CallError] = []
    for vote in votes:
        if isinstance(vote, CallError):
            errors.append(vote)
            continue
        verdict._add(vote)
        if vote.event.error is not None:
            errors.append(vote.event.error)
            continue
        verdict.cached = verdict.cached and vote.event.cached
        heaps.setdefault(answer_of(vote.event), []).append(vote.event)
    open_ = [error for error in errors if error.kind in _STILL_TO_ASK]
    if open_ or not heaps:
        verdict.error = (open_ or errors)[0]
        return verdict
    ranked = sorted(heaps.values(), key=len, reverse=True)  # of equal ones the first that was asked
    first, second = len(ranked[0]), len(ranked[1]) if len(ranked) > 1 else 0
    if errors and first - second <= len(errors):
        verdict.error = errors[0]  # with their votes it might be another answer
        return verdict
    verdict.confidences = (first / len(votes),)
    event = ranked[0][0]
    verdict.model = event.model
    if first == second and not first_of_equals:
        verdict.tied = True
        return verdict
    verdict.value, verdict.cell = event.value, event.call.cell
    verdict.length, verdict.mended = event.call.length, event.call.mended
    return verdict


def _came(vote: Cast | CallError) -> Kind | float:
    if isinstance(vote, CallError):
        return vote.kind
    return vote.event.kept_at if vote.event.error is None else vote.event.error.kind


def answer_of(event: Event) -> bytes:
    """Equal for equal answers, however they were written."""
    call: Any = event.call
    try:
        return written(_as_json(call.answer.shape, call.cell))
    except Exception:  # noqa: BLE001  (a cell of any type that a column can hold)
        return repr(call.cell).encode("utf-8", "replace")


def written(value: object) -> bytes:
    """A value as `answer_of` writes it: equal for 3 and 3.0, whatever type holds it.

    Raises:
        TypeError: It has no form in JSON, or none that says what it is (infinity is null there).
    """
    made = canonical(exact(value))
    if made is None and value is not None:
        raise TypeError(f"not JSON serializable: an infinite {type(value).__name__}")
    return json.dumps(made, sort_keys=True).encode()  # orjson has whole numbers of 64 bits only


def _as_json(shape: Shape | None, cell: Any) -> Any:
    """A cell with the objects of its JSON, of which a column has pairs, or the text."""
    if cell is None:
        return None
    match shape:
        case List(item=item):
            return [_as_json(item, each) for each in cell]
        case Record(by_name=shapes):
            return {name: _as_json(shapes.get(name), each) for name, each in cell.items()}
        case Map(value=value):
            return {name: _as_json(value, each) for name, each in cell}
        case Json():
            return read_json(cell)
        case _:
            return cell
