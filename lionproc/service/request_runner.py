"""Runs requests: one task each, from the record to the answer or the error in the record."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from lionproc.engine.forked import leave_behind, renew_in_child
from lionproc.engine.request import Event
from lionproc.errors import CallError, Kind, LionprocError, pass_on_interrupt
from lionproc.model.as_json import plain
from lionproc.model.own_copy import own_answer
from lionproc.service.concurrency import for_each
from lionproc.service.lazy_session import LazySession
from lionproc.service.prompt import Prompt
from lionproc.service.record_room import room_for
from lionproc.service.record_types import RequestRecord, RequestResult
from lionproc.service.recorded_type import RecordedType
from lionproc.service.records import now
from lionproc.service.request_record import (
    add_usage,
    digest_of,
    is_about,
    is_settled,
    occurrence_of,
    result_of,
    schema_finder,
)
from lionproc.service.request_store import RequestStore
from lionproc.service.session import Session
from lionproc.service.typed_result import note_reading

log = logging.getLogger("lionproc.service")
NOT_ASKED = frozenset({Kind.NOT_SENT, Kind.CANCELLED})  # neither answered nor failed: resumable
RESUMED_AT_ONCE = 64  # requests


_Asks: TypeAlias = tuple[Sequence[Mapping[str, Any]], Any, int]


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How a request is to be sent.

    Attributes:
        deadline_s: Seconds it may wait to be sent, None for no limit.
        priority: Requests with a higher number go first.
        context: Fields for a template besides those of the data.
        revive: Whether an engine that was closed, or that an error stopped, is started again.
        is_new_item: Whether it is one of a list that is on disk as a whole, and has no record of
            its own yet. Then its end alone is written: until then the list has all that is
            needed to ask it again, and the journal has its answer.
        places: Bounds how many of a list are asked at the same time. Once the journal has an
            answer the next one has its place, while its record is written.
    """

    deadline_s: float | None = None
    priority: float = 0
    context: Mapping[str, Any] | None = None
    revive: bool = False
    is_new_item: bool = False
    places: asyncio.Semaphore | None = None


DEFAULT_OPTIONS = SendOptions()


class RequestRunner:
    """The requests of one service that are in progress. Lives on the engine's loop.

    Args:
        store: Where their records are.
        prompt: What makes messages of their data.
        session: The way to the model, opened at the first request.
        deduplicate: Whether equal data is paid for once.
        capacity: How many requests may be in progress before `wait_for_room` waits.

    Attributes:
        completed: How many requests ended with an answer.
        errors: How many ended without one, by kind.
        left: Why some of a batch or job could not be asked, by its id: they are to be resumed.
        kept_otherwise: How many answers of earlier runs were kept that would be asked for
            otherwise now: of another model, say.
    """

    def __init__(
        self,
        store: RequestStore,
        prompt: Prompt,
        session: LazySession,
        *,
        deduplicate: bool,
        capacity: int,
    ) -> None:
        self.completed = 0
        self.errors: Counter[str] = Counter()
        self.left: dict[str, str] = {}
        self.kept_otherwise = 0
        self._store = store
        self._prompt = prompt
        self._session = session
        self._deduplicate = deduplicate
        self._capacity = capacity
        self._begin()
        renew_in_child(self)

    def renew(self) -> None:
        """In a forked child: what is in progress is the parent's."""
        leave_behind(self._tasks)
        self._begin()

    def _begin(self) -> None:
        self._tasks: dict[str, asyncio.Task[RequestResult]] = {}
        self._finished = asyncio.Event()
        self._store.active.clear()

    # -- what is in progress ----------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._tasks)

    def task(self, request_id: str) -> asyncio.Task[RequestResult] | None:
        """The task of a request that is in progress, None for others."""
        return self._tasks.get(request_id)

    async def wait_for_room(self) -> None:
        """Wait until fewer requests than `capacity` are in progress."""
        while len(self._tasks) >= self._capacity:
            self._finished.clear()
            await self._finished.wait()

    async def wait_for_all(self) -> None:
        """Wait until the requests that are in progress now are finished."""
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # -- ways in ----------------------------------------------------------------------------

    def start(
        self, record: RequestRecord, schema: Any, options: SendOptions = DEFAULT_OPTIONS
    ) -> asyncio.Task[RequestResult]:
        """Start a request that has a record. Returns its task, which raises nothing."""
        request_id = record["id"]
        self._store.active[request_id] = record
        task = asyncio.get_running_loop().create_task(self._run(record, schema, options))
        self._tasks[request_id] = task

        def done(task: asyncio.Task[RequestResult]) -> None:
            if not task.cancelled():
                task.exception()  # retrieved, so that nothing is printed about it at exit
            self._tasks.pop(request_id, None)
            self._store.active.pop(request_id, None)
            self._finished.set()

        task.add_done_callback(done)
        return task

    async def process_once(
        self,
        data: object,
        schema: object,
        request_id: str,
        context: Mapping[str, object] | None = None,
        *,
        retry_failed: bool = False,
        is_new: bool = False,
        places: asyncio.Semaphore | None = None,
        asked: RequestRecord | None = None,
        **fields: str,
    ) -> tuple[RequestResult, object]:
        """Process an item of a list that is on disk, at most once.

        A request with its id that is finished is not sent again, one in progress is waited for.
        One that is about something else (somebody edited the list) is none of this item.

        Args:
            data: What to process.
            schema: The type of its result.
            request_id: Its id, which is known beforehand.
            context: The fields that a template can show; where there are none, those of the data.
            retry_failed: Whether a request that failed gets another attempt.
            is_new: Whether the list is, so that nothing can be known of its items.
            places: See `SendOptions`.
            asked: What the list says besides of how its items are asked.
            **fields: Further fields of the record.

        Returns:
            What came of it, and the answer as its record has it.
        """
        about: RequestRecord = {**(asked or {}), "data": data}
        if context and context != data:
            about["context"] = fields["context"] = digest_of(context)
        running = self._tasks.get(request_id)
        if running is not None:
            known = self._store.active[request_id]
            result = await asyncio.shield(running)
            if is_about(known, about):
                return result, known.get("result")
        async with room_for(0 if is_new else await self._store.size(request_id)):
            try:
                record = None if is_new else await self._store.read(request_id)
                if record is not None and "data" not in record:
                    raise self._store.no_data(request_id)
                if record is not None and not is_about(record, about):
                    log.info("%s is about another item than it was; that one is asked", request_id)
                    record = None
                if record is not None and is_settled(record, retry_failed=retry_failed):
                    otherwise = await self._was_asked_otherwise(record, schema, context)
                    self.kept_otherwise += otherwise  # others have been counted meanwhile
                    return result_of(record, schema), record.get("result")
                unknown = record is None
                if record is None:
                    record = self._store.make(data, schema, request_id)
            except LionprocError as error:
                return {**self.refuse(error), "request_id": request_id}, None
            # Also where it is of an edited or older list.
            record.update(cast("RequestRecord", fields))
            options = SendOptions(context=context, is_new_item=unknown, places=places)
            result = await self.start(record, schema, options)
            return result, record.get("result")

    async def run_again(
        self, statuses: frozenset[str], schemas: Sequence[object]
    ) -> list[RequestResult]:
        """Run the requests on disk that have one of some statuses and that nobody works on.

        Fewer go on at once where their records are long. Once an error has stopped the executor,
        no further request is started.

        Args:
            statuses: Which.
            schemas: The types that they were made with.

        Returns:
            Their results, oldest first.
        """
        ids = await self._store.ids(statuses)
        results: dict[str, RequestResult] = {}
        schema_for = schema_finder(schemas)
        if ids:
            await self._session.get().revive()

        async def run(request_id: str) -> None:
            async with room_for(await self._store.size(request_id)) as room:
                if request_id in self._tasks or self._session.stopped:
                    return
                record = await self._store.take_over(request_id, statuses)
                if record is not None:
                    await room.for_schema(record.get("schema"))
                    results[request_id] = await self.start(record, schema_for(record))

        await for_each(ids, RESUMED_AT_ONCE, run, lambda: not self._session.stopped)
        return [results[request_id] for request_id in ids if request_id in results]

    def refuse(self, error: LionprocError) -> RequestResult:
        """Count and log a request that could not be taken. Returns its result."""
        kind = str(error.kind if isinstance(error, CallError) else Kind.NOT_SENT)
        self.errors[kind] += 1
        log.warning("a request was not taken: %s", str(error), extra={"kind": kind})
        return {"status": "error", "error": str(error), "kind": kind}

    # -- one request ------------------------------------------------------------------------

    async def _run(
        self, record: RequestRecord, schema: object, options: SendOptions
    ) -> RequestResult:
        try:
            session = self._session.get()
            async with options.places or contextlib.nullcontext():
                event = await self._ask(session, record, schema, options)
        except LionprocError as error:
            kind = error.kind if isinstance(error, CallError) else Kind.NOT_SENT
            return await self._fail(record, kind, str(error))
        except Exception as fault:  # noqa: BLE001  (nothing is raised at the caller)
            # Its text may hold what is in the data, so only its name and place are logged.
            where = "".join(traceback.format_tb(fault.__traceback__)[-3:])
            extra = {"request_id": record["id"], "kind": str(Kind.UNEXPECTED)}
            log.error("%s met a %s\n%s", record["id"], type(fault).__name__, where, extra=extra)  # noqa: TRY400
            what = f"A fault inside lionproc ({type(fault).__name__}); the log has its place."
            return await self._fail(record, Kind.UNEXPECTED, what)
        add_usage(record, event)
        if event.error is None:
            return await self._complete(record, event, as_json=isinstance(schema, RecordedType))
        message = str(event.error)
        if event.error.kind in NOT_ASKED and session.stopped not in message:
            message = f"{message} {session.stopped}"
        return await self._fail(record, event.error.kind, message)

    async def _ask(
        self, session: Session, record: RequestRecord, schema: object, options: SendOptions
    ) -> Event:
        if options.revive:
            await session.revive()
        asks = self._asks(record, schema, options.context)
        call = await session.call(*asks)
        asked = await _asked(session, record, asks)
        # The reply to something else, of another model or for another tenant, is none to this.
        is_same = record.get("question") == asked["question"]
        previous_key = (bytes.fromhex(record.get("key") or "") or None) if is_same else None
        record["status"] = "processing"
        record["started"] = now()
        record["owner"] = self._store.lease.claim()
        record["key"] = (call.key or b"").hex()
        record.pop("others", None)
        record.update(asked)
        if not options.is_new_item:
            await self._store.write(record)
        return await session.ask(
            call,
            previous_key=previous_key,
            deadline_s=options.deadline_s,
            priority=options.priority,
        )

    def _asks(self, record: RequestRecord, schema: Any, context: Mapping[str, Any] | None) -> _Asks:
        """The messages, the type and the occurrence that a session is given.

        Raises:
            CallError: There are no messages for this data, or it takes the type itself.
        """
        messages = self._prompt.messages(record["data"], context)
        occurrence = 0 if self._deduplicate else occurrence_of(record["id"])
        if isinstance(schema, RecordedType):
            schema = schema.asked()
        return messages, str if schema is None else schema, occurrence

    async def _was_asked_otherwise(
        self, record: RequestRecord, schema: object, context: Mapping[str, Any] | None
    ) -> bool:
        """Whether an answer is known to be one to something else than would be asked now."""
        if record.get("status") != "completed" or "question" not in record:  # as older ones
            return False
        try:
            session = self._session.get()
            if session.stopped:
                return False
            asked = await _asked(session, record, self._asks(record, schema, context))
            return any(record.get(name, value) != value for name, value in asked.items())
        except Exception:  # noqa: BLE001  (no model, no key: it has its answer without them)
            return False

    async def _complete(
        self, record: RequestRecord, event: Event, *, as_json: bool
    ) -> RequestResult:
        try:
            result = plain(event.value)
        except BaseException as error:  # noqa: BLE001  (of the user's type, of any class)
            pass_on_interrupt(error)
            why = f"The answer has no form in JSON ({type(error).__name__}); change the schema."
            return await self._fail(record, Kind.UNREADABLE, why)
        record.pop("error", None)
        record.pop("kind", None)
        record["status"] = "completed"
        record["result"] = result
        note_reading(record, event)
        record["completed"] = now()
        self.completed += 1
        log.info("%s completed", record["id"], extra={"request_id": record["id"]})
        await self._store.write_end(record)
        own = result if as_json else own_answer(event.value)  # equal ones share the event
        return {"status": "success", "request_id": record["id"], "result": own}

    async def _fail(self, record: RequestRecord, kind: Kind, message: str) -> RequestResult:
        if kind in NOT_ASKED:
            record["status"] = "received"
            list_id = record.get("batch") or record.get("job")
            if list_id is not None:
                self.left[list_id] = message
        else:
            record["status"] = "failed"
            record["error"] = message
            record["kind"] = str(kind)
            record["completed"] = now()
        self.errors[str(kind)] += 1
        request_id = record["id"]
        extra = {"request_id": request_id, "kind": str(kind)}
        log.warning("%s has no answer: %s", request_id, kind, extra=extra)
        await self._store.write_end(record)
        return {"status": "error", "error": message, "kind": str(kind), "request_id": request_id}


async def _asked(session: Session, record: RequestRecord, asks: _Asks) -> RequestRecord:
    """Digests of what is asked, of whom, and the type that the record has."""
    question = await session.question(*asks)
    asked: RequestRecord = {
        "question": digest_of({"asked": question.hex(), "type": record.get("schema")})
    }
    others = await session.others(*asks)
    if others is not None:
        asked["others"] = others.hex()
    return asked
