"""`Branch`: a conversation with a model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any, Self, TypeVar, overload

import orjson

from lionproc.engine import loop as engine_loop
from lionproc.engine.paths import local_path
from lionproc.engine.regular_file import read_regular
from lionproc.engine.unfolding import unfolds
from lionproc.errors import CallError, ConfigurationError, Kind, RecordError
from lionproc.face import faced
from lionproc.model.as_json import to_json
from lionproc.model.model import Model
from lionproc.model.own_copy import own_answer
from lionproc.service.composed_session import session_of
from lionproc.service.records import LARGEST, SPARE, write_whole, written
from lionproc.service.session_model import session_model

log = logging.getLogger("lionproc.service")
T = TypeVar("T")
ROLES = ("system", "user", "assistant")


@faced
class Branch:
    """A system prompt, a model and the messages so far.

    When a conversation no longer fits into the model's context, or leaves no room there for the
    answer (where `max_tokens` is not set), only its later half is sent; `messages` keeps it all.

    Turns that run at the same time each continue from the messages that there were when they
    began. Several branches may use one model at the same time; they share its limits.

    Args:
        name: Its name, for people to read.
        system: The system prompt, None for none.
        model: The model that answers; `add_model` sets it too. None for the session's.
        max_turns: How many of the latest turns are sent along, None for all of them.

    Example:
        ```python
        branch = Branch(name="Editor", system="You edit texts.")
        branch.add_model(Model("openai/gpt-4o-mini"))
        title = await branch.chat("A title for a story about rain, please.")
        other = await branch.chat("Shorter.")
        ```
    """

    def __init__(
        self,
        name: str = "Branch",
        system: str | None = None,
        *,
        model: Model | str | None = None,
        max_turns: int | None = None,
    ) -> None:
        if system is not None and not isinstance(system, str):
            raise ConfigurationError(f"system= is a text, not {type(system).__name__}.")
        if max_turns is not None and (type(max_turns) is not int or not 0 <= max_turns < 2**63):
            raise ConfigurationError(f"max_turns is a count from 0 up, not {max_turns!r}.")
        self.name = name
        self.system = system
        self.max_turns = max_turns
        self.model: Model | None = None if model is None else Model.of(model)
        self._history: list[dict[str, str]] = []
        self._sent_from = 0  # the first message of the history that is sent along
        self._cut_from = 0  # where that began the last time that an answer was cut off

    def add_model(self, model: Model | str) -> Self:
        """Set the model that answers from now on. Returns the branch."""
        self.model = Model.of(model)
        return self

    @overload
    async def chat(self, text: str, *, deadline_s: float | None = None) -> str: ...

    @overload
    async def chat(self, text: str, *, schema: type[T], deadline_s: float | None = None) -> T: ...

    @overload
    async def chat(self, text: str, *, schema: Any, deadline_s: float | None = None) -> Any: ...

    async def chat(self, text: str, *, schema: Any = str, deadline_s: float | None = None) -> Any:
        """Send a message and get the answer; both become part of the conversation.

        Args:
            text: The message.
            schema: The answer's type, as for `df.llm.process`.
            deadline_s: Seconds it may wait to be sent.

        Returns:
            The answer: a text, or what `schema` asks for.

        Raises:
            CallError: There is no answer; the conversation is unchanged.
            ConfigurationError: There is no model, or an argument is invalid.
        """
        length = len(self._history)
        start = sent_from = self._sent_from
        if self.max_turns is not None:
            start = max(start, length - 2 * self.max_turns)
        retried_shorter = {Kind.CONTEXT_LENGTH}
        if session_model(self.model).max_tokens is None:
            retried_shorter.add(
                Kind.TRUNCATED
            )  # the conversation leaves no room for it, most likely
        while True:
            history = self._history[start:length]
            try:
                answer = await self._ask(text, history, schema, deadline_s)
                break
            except CallError as error:
                if error.kind not in retried_shorter or not history:
                    raise
                if error.kind is Kind.TRUNCATED:
                    retried_shorter.discard(error.kind)  # the second time the answer is too long
                    start = min(max(start, self._cut_from), length - 1)
                start += _older_half(self._history[start:length])
                self._cut_from = start if error.kind is Kind.TRUNCATED else self._cut_from
                sent_from = start
                log.warning(
                    "a conversation is longer than the model reads; its latest part is sent"
                )
        self._sent_from = max(self._sent_from, sent_from)  # now that there is an answer to it
        self._cut_from = 0
        content = answer if isinstance(answer, str) else to_json(answer).decode()
        self._history += [
            {"role": "user", "content": text},
            {"role": "assistant", "content": content},
        ]
        return answer

    @overload
    async def ask(self, text: str, *, deadline_s: float | None = None) -> str: ...

    @overload
    async def ask(self, text: str, *, schema: type[T], deadline_s: float | None = None) -> T: ...

    @overload
    async def ask(self, text: str, *, schema: object, deadline_s: float | None = None) -> Any: ...

    async def ask(self, text: str, *, schema: object = str, deadline_s: float | None = None) -> Any:
        """Ask a single question: no history is sent along, and nothing is remembered.

        Args:
            text: The question.
            schema: The answer's type, as for `df.llm.process`.
            deadline_s: Seconds it may wait to be sent.

        Returns:
            The answer: a text, or what `schema` asks for.

        Raises:
            CallError: There is no answer.
            ConfigurationError: There is no model, or an argument is invalid.
        """
        return await self._ask(text, [], schema, deadline_s)

    async def _ask(
        self, text: str, history: list[dict[str, str]], schema: object, deadline_s: float | None
    ) -> Any:
        if not isinstance(text, str) or not text.strip():
            said = "an empty text" if isinstance(text, str) else f"a {type(text).__name__}"
            raise ConfigurationError(f"chat() asks with a text, not with {said}.")
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*system, *history, {"role": "user", "content": text}]
        session = session_of(session_model(self.model))

        async def answer() -> Any:
            await session.revive()
            call = await session.call(messages, schema)
            event = await session.ask(call, deadline_s=deadline_s)
            if event.error is not None:
                raise copy(event.error)
            return own_answer(event.value)

        return await engine_loop.bridge(answer())

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation, the system prompt first. A copy; assign a list to replace it.

        Raises:
            ConfigurationError: On assignment: these are not chat messages.
        """
        system = [{"role": "system", "content": self.system}] if self.system else []
        return system + [dict(message) for message in self._history]

    @messages.setter
    def messages(self, messages: Iterable[Mapping[str, str]]) -> None:
        checked = []
        for place, message in enumerate(messages):
            if not isinstance(message, Mapping) or message.get("role") not in ROLES:
                raise ConfigurationError(
                    f"messages[{place}] is no message: that is a dict with a role "
                    f"({', '.join(ROLES)}) and a content."
                )
            if not isinstance(message.get("content"), str):
                raise ConfigurationError(f"The content of messages[{place}] is no text.")
            checked.append({"role": message["role"], "content": message["content"]})
        systems = [message for message in checked if message["role"] == "system"]
        if len(systems) > 1:  # one of them would be left out in silence
            raise ConfigurationError(
                f"A conversation has one system prompt, and these messages have {len(systems)}. "
                "Put their texts into one."
            )
        self.system = systems[0]["content"] if systems else None
        self._history = [message for message in checked if message["role"] != "system"]
        self._sent_from = self._cut_from = 0

    def clear(self) -> None:
        """Forget the conversation; the system prompt stays."""
        self._history = []
        self._sent_from = self._cut_from = 0

    def copy(self) -> Branch:
        """A branch with the same messages so far, which continues independently."""
        other = Branch(self.name, self.system, model=self.model, max_turns=self.max_turns)
        other._history = [dict(message) for message in self._history]
        other._sent_from, other._cut_from = self._sent_from, self._cut_from
        return other

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the conversation to a JSON file, whole or not at all.

        Raises:
            RecordError: It cannot be written, or is larger than what `load` reads.
            ConfigurationError: Something was assigned to it that `Branch(...)` does not take.
        """
        kept = self.copy()
        content = {"name": str(kept.name), "max_turns": kept.max_turns, "messages": kept.messages}
        write_whole(path, written(content, "branch.clear() begins another conversation."))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, model: Model | str | None = None) -> Branch:
        """Read a conversation from a file.

        Args:
            path: A file that `save` wrote.
            model: The model that answers; files have none, because models have keys.

        Raises:
            RecordError: The file cannot be read.
            ConfigurationError: There is no conversation in it.
        """
        file = local_path(path)
        try:
            raw = read_regular(file, LARGEST, follow=True)
            content = None if unfolds(raw, SPARE) else orjson.loads(raw)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not JSON"
            raise RecordError(f"{file.name} cannot be read: {reason}.") from None
        if not isinstance(content, dict) or not isinstance(content.get("messages"), list):
            raise ConfigurationError(
                f"{file.name} holds no conversation. branch.save(path) writes one."
            )
        name = str(content.get("name", "Branch"))
        branch = cls(name, model=model, max_turns=content.get("max_turns"))
        branch.messages = content["messages"]
        return branch

    def __repr__(self) -> str:
        return f"<Branch {self.name!r}, {len(self._history)} messages, {self.model!r}>"


def _older_half(history: list[dict[str, str]]) -> int:
    """How many messages to leave out: half of them, and on to the next one of the user."""
    count = (len(history) + 1) // 2
    while count < len(history) and history[count]["role"] != "user":
        count += 1
    return count
