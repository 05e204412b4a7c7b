"""A reply whose reading asks a process of its own, on a loop that goes on meanwhile.

What such a process is asked may take it seconds, and the loop is shared by all runs. So a reading on
the loop does not wait: it ends with the question, and begins anew when a thread has the answer, which
is then at hand. It has changed nothing before, and asks the same again.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeAlias, TypeVar

from lionproc.engine.blocking_work import begun
from lionproc.engine.kept_process import Soon

__all__ = ["NotYetAskedError", "Question", "Reading", "Steps", "asked", "step"]

SOON_S: Final = 0.02  # what is asked of most answers takes a fifth of a millisecond

T = TypeVar("T")


class Question:
    """What is asked once, in a thread.

    Args:
        key: An equal one asks the same.
        ask: Asks, and waits for the answer.
    """

    def __init__(self, key: str, ask: Callable[[], Any]) -> None:
        self.key = key
        self._ask = ask
        self._said: Future[tuple[Any, Exception | None]] | None = None

    def begin(self) -> Future[tuple[Any, Exception | None]]:
        """Ask, unless it was begun before: at once, if no thread can be started."""
        if self._said is None:
            try:
                self._said = begun(self._outcome)
            except RuntimeError:
                self._said = Future()
                self._said.set_result(self._outcome())
        return self._said

    def answer(self) -> Any:
        """What was said, or raised; it has come."""
        said, error = self.begin().result(0)
        if error is not None:
            raise error
        return said

    def _outcome(self) -> tuple[Any, Exception | None]:
        try:
            return self._ask(), None
        except Exception as error:  # noqa: BLE001  (whoever reads gets it)
            return None, error


class NotYetAskedError(BaseException):
    """A reading on the loop asks what was not asked before. No error of anything: `step` takes it."""

    def __init__(self, question: Question) -> None:
        super().__init__()
        self.question = question


Steps: TypeAlias = Generator[Question, None, T]


class _Turn:
    """A reading that goes on in this thread, until `is_over`.

    Whatever a validator of the user's starts has a copy of the context, and may keep it for ever.
    """

    def __init__(self, questions: dict[str, Question]) -> None:
        self.questions = questions
        self.is_over = False
        self._thread = threading.get_ident()

    def is_of_this(self) -> bool:
        return not self.is_over and self._thread == threading.get_ident()


# Of what is read just now on the loop; None where a reading may wait.
_TURN: Final[ContextVar[_Turn | None]] = ContextVar("lionproc_turn", default=None)


def asked(message: object, ask: Callable[[], Any], ask_soon: Callable[[float], Soon]) -> Any:
    """What is said to a question: asked now, or before if this is read on the loop.

    Args:
        message: Of plain JSON types; an equal one asks the same.
        ask: Asks, and waits for the answer.
        ask_soon: Asks, and waits for a moment, of so many seconds; see `KeptProcess.ask_soon`. To leave
            the loop and to come back would take several times as long as most answers do.

    Raises:
        NotYetAskedError: It is read on the loop, and this has no answer yet.
    """
    turn = _TURN.get()
    if turn is None or not turn.is_of_this():
        return ask()
    key, before = json.dumps(message), turn.questions
    if key not in before:
        soon = ask_soon(SOON_S)
        if isinstance(soon, tuple):
            return soon[0]
        question = Question(key, ask if soon is None else soon)
        if soon is not None:  # it is asked already, and somebody has to hear the answer
            question.begin()
        raise NotYetAskedError(question)
    return before[key].answer()


def step(read: Callable[[], T]) -> Steps[T]:
    """Read something, as often as it takes until nothing is left to ask.

    Args:
        read: It; changes nothing until it has all its answers.

    Yields:
        What is to be asked before it goes on.

    Returns:
        What `read` returns.
    """
    while True:
        try:
            return read()
        except NotYetAskedError as unasked:
            question = unasked.question
        yield question


class Reading(Generic[T]):
    """Steps that are gone on the loop, or at once by whoever may wait.

    Args:
        steps: Each of `step`, and what is done between them.

    Attributes:
        value: What they return, once they are over.
    """

    value: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._asked: dict[str, Question] = {}
        self._question: Question | None = None

    def at_once(self) -> T:
        """Go all steps, waiting for each answer. Any thread."""
        token = _TURN.set(None)
        try:
            self._go()
        finally:
            _TURN.reset(token)
        return self.value

    def goes_on(self) -> bool:
        """Go until something is to be asked. True if nothing is any more: it is over."""
        if self._question is None:
            turn = _Turn(self._asked)
            token = _TURN.set(turn)
            try:
                self._go()
            finally:
                turn.is_over = True
                _TURN.reset(token)
        return self._question is None

    async def ask(self) -> None:
        """Wait for the answer to what it came to; then it goes on."""
        question = self._question
        assert question is not None  # noqa: S101  (else it is over)
        await asyncio.wait([asyncio.wrap_future(question.begin())])
        self._question = None

    def _go(self) -> None:
        try:
            self._question = next(self._steps)
        except StopIteration as end:
            self.value = end.value
        else:
            self._asked[self._question.key] = self._question
