"""`ProcessingService`: requests that outlive the process that took them."""

from __future__ import annotations

import asyncio
import logging
import os
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal import anchored
from lionproc.engine.limits import Limits
from lionproc.engine.request import Event
from lionproc.engine.retry import Retry
from lionproc.errors import (
    CallError,
    ConfigurationError,
    Kind,
    LionprocError,
    ModelError,
    RecordError,
)
from lionproc.face import faced
from lionproc.model.answer import Answer
from lionproc.model.model import Model
from lionproc.service.branch import Branch
from lionproc.service.health import Health, health_of
from lionproc.service.lease import Lease
from lionproc.service.prompt import SYSTEM, Prompt, Writer
from lionproc.service.records import (
    Record,
    Records,
    checked_status,
    new_id,
    now,
    plain,
    private_folder,
)
from lionproc.service.request_record import (
    as_json,
    count_in,
    is_settled,
    meant,
    number_of,
    told_of,
    typed,
)
from lionproc.service.session import Session, session_model
from lionproc.service.window import windowed

log = logging.getLogger("lionproc.service")
STATUSES = ("received", "processing", "completed", "failed")
UNFINISHED = frozenset({"received", "processing"})
LATER = frozenset({Kind.NOT_SENT, Kind.CANCELLED})  # not asked, so neither answered nor failed
WINDOW = 64  # requests that are taken up again at once


@dataclass(frozen=True, slots=True)
class How:
    """How a request is to be sent.

    Attributes:
        deadline_s: Seconds it may wait to be sent.
        priority: Higher goes first.
        context: Fields for a template besides those of the data.
        revive: Whether to try again where an error stopped the engine.
    """

    deadline_s: float | None = None
    priority: float = 0
    context: Mapping[str, Any] | None = None
    revive: bool = False


NO_HASTE = How()


@faced
class ProcessingService:
    """Takes data, asks a model to process it, and loses nothing on the way.

    A request is on disk, as JSON a person can read, from the moment it is received. Replies are
    journaled before they count, so after a crash `resume` pays only for what was in flight.
    The async methods may be awaited in any event loop; the work runs on the engine's.

    Args:
        name: What it is called, in logs and cards.
        save_dir: The folder of its requests, made for its owner alone.
        requests_per_minute: Requests in any 60 seconds, None for no limit of its own. The limits
            of the model's endpoint and key are kept as well, together with all who use them.
        max_tokens: Tokens in any 60 seconds, None for no limit of its own.
        model: Who answers: an `lp.Model` or "provider/model". None for the session's
            (`lp.configure`), else gpt-4o-mini where there is an OpenAI key.
        system: The system prompt.
        prompt: A template with `{data}` or `{field}`, or a function of the data; None for a
            plain request to process it.
        executor: An engine to share, with its limits, instead of the two numbers above.
        journal: Where replies are kept, None for `journal.sqlite` in `save_dir`.
        retry: How patient to be.
        concurrency: Requests in flight at once.
        queue_capacity: Requests that may wait; more make `submit` wait.
        deduplicate: Whether equal data is paid once; False asks anew for every request.
        kind: What kind of data it is ("text", "numeric"), told to the model.
        options: What to do with it, told to the model.

    Raises:
        ConfigurationError: An argument cannot work.
        RecordError: `save_dir` cannot be made.

    Example:
        ```python
        service = ProcessingService(name="Reviews", requests_per_minute=600)
        done = await service.process_data({"text": "A joy."}, schema=bool)
        done["status"], done["request_id"], done["result"]
        ```
    """

    def __init__(
        self,
        name: str = "DataProcessor",
        save_dir: str | os.PathLike[str] = "processing",
        requests_per_minute: float | None = 60,
        max_tokens: float | None = 100_000,
        *,
        model: Model | str | None = None,
        system: str | None = SYSTEM,
        prompt: Writer | None = None,
        executor: RateLimitedAPIExecutor | None = None,
        journal: str | os.PathLike[str] | None = None,
        retry: Retry | None = None,
        concurrency: int = 32,
        queue_capacity: int = 1000,
        deduplicate: bool = True,
        kind: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.limits = Limits(
            requests_per_minute=requests_per_minute,
            tokens_per_minute=max_tokens,
            concurrency=concurrency,
            adapt=False,  # that is for the gate of the endpoint, which is passed as well
        )
        if executor is not None:
            self.limits = executor.limits
        self._prompt = Prompt(system, prompt, kind, dict(options or {}))
        self.save_dir = private_folder(save_dir)
        self._given = None if model is None else Model.of(model)
        self._deduplicate = deduplicate
        self._retry = retry
        self._executor = executor
        self._journal = self.save_dir / "journal.sqlite" if journal is None else anchored(journal)
        self._queue_capacity = queue_capacity
        self._session: Session | None = None
        self._branch: Branch | None = None
        self._records = Records(self.save_dir, "req")
        self._owner = Lease(self.save_dir)
        self._active: dict[str, Record] = {}
        self._tasks: dict[str, asyncio.Task[dict[str, Any]]] = {}
        self._room = asyncio.Event()
        self._last_schema: Any = None
        self._completed = 0
        self._errors: Counter[str] = Counter()

    # -- who answers ------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """Who answers.

        Raises:
            ModelError: No model is set, and there is no OpenAI key to ask the usual one.
        """
        if self._given is None:
            try:
                self._given = session_model()
            except ModelError:
                if not os.environ.get("OPENAI_API_KEY", "").strip():
                    raise
                self._given = Model("openai", temperature=0.3)
        return self._given

    @property
    def session(self) -> Session:
        """The way to the model: its engine, journal and gates."""
        if self._session is None:
            self._session = Session(
                self.model,
                limits=self.limits,
                executor=self._executor,
                journal=self._journal,
                retry=self._retry,
                queue_capacity=self._queue_capacity,
            )
        return self._session

    @property
    def executor(self) -> RateLimitedAPIExecutor:
        """The engine; `executor.update_limits(...)` acts at once."""
        return self.session.executor

    @property
    def processor(self) -> Branch:
        """A branch with this service's system prompt and model, for questions by hand."""
        if self._branch is None:
            self._branch = Branch(self.name, self._prompt.system, model=self.model)
        return self._branch

    @property
    def stopped(self) -> str:
        """Why nothing can be sent any more (a refused key, a server that is down), or ""."""
        fatal = None if self._session is None else self._session.executor.fatal
        return "" if fatal is None else str(fatal)

    # -- in ---------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def process_data(
        self,
        data: Any,
        schema: Any = None,
        *,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> dict[str, Any]:
        """Process data and wait for the result.

        Args:
            data: Anything that JSON can hold.
            schema: What the result looks like: a JSON Schema, a pydantic model, or any answer
                type of `df.llm.process`. It is enforced. None for text.
            deadline_s: Seconds the request may wait to be sent; then it fails, unsent.
            priority: Higher goes first.

        Returns:
            `{"status": "success", "request_id", "result"}`, or `{"status": "error", "error",
            "kind", "request_id"}`. Nothing is raised.
        """
        try:
            record = await self._receive(data, schema)
        except LionprocError as error:
            return self._refused(error)
        return await self._task(record, schema, How(deadline_s, priority, revive=True))

    @engine_loop.on_engine
    async def submit(
        self,
        data: Any,
        schema: Any = None,
        *,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> str:
        """Take data to be processed, and do not wait for it (but for room in the queue).

        Args:
            data: As for `process_data`.
            schema: As for `process_data`.
            deadline_s: As for `process_data`.
            priority: As for `process_data`.

        Returns:
            The id of the request, which is on disk now: see `wait` and `get_request`.

        Raises:
            LionprocError: It cannot be taken.
        """
        while len(self._tasks) >= self._queue_capacity:
            self._room.clear()
            await self._room.wait()
        record = await self._receive(data, schema)
        self._task(record, schema, How(deadline_s, priority, revive=True))
        return str(record["id"])

    @engine_loop.on_engine
    async def wait(self, request_id: str, schema: Any = None) -> dict[str, Any]:
        """Wait for a request.

        Args:
            request_id: Its id.
            schema: The type it was made with, as for `get_request`. Not needed for what this
                very service is still working on.

        Returns:
            What `process_data` does.
        """
        task = self._tasks.get(request_id)
        if task is not None:
            return await asyncio.shield(task)
        return told_of(await asyncio.to_thread(self.get_request, request_id), schema)

    @engine_loop.on_engine
    async def drain(self) -> None:
        """Wait until everything that was submitted is finished."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    # -- what there is ----------------------------------------------------------------------

    def get_request(self, request_id: str, schema: Any = None) -> dict[str, Any]:
        """A request as it is now.

        Args:
            request_id: Its id.
            schema: The type it was made with, a pydantic model for example: then `result` is
                one, where it fits. A record is JSON, so without it `result` is plain.

        Returns:
            The record: `id`, `status` (received, processing, completed or failed), `data`,
            `schema`, `timestamp`, `started`, `completed`, `attempts`, `usage`, `seconds`, and
            `result` or `error` and `kind`. For an unknown id a dict with `error` alone.
        """
        active = self._active.get(request_id)
        if active is not None:
            return dict(active)
        try:
            record = self._records.read(request_id)
        except RecordError as error:
            return {"error": str(error)}
        if record is None:
            return {"error": f"Unknown request: {request_id}"}
        if record.get("status") == "completed" and "result" in record:
            record["result"] = typed(record["result"], schema)
        return record

    def list_requests(self, status: str | None = None) -> list[dict[str, Any]]:
        """The requests in the folder, oldest first.

        Args:
            status: "received", "processing", "completed" or "failed"; None for all.

        Returns:
            Their records. Damaged files are left out; `health().damaged` counts them.

        Raises:
            ConfigurationError: There is no such status.
        """
        checked_status(status, STATUSES)
        found = []
        for request_id, known in self._records.statuses().items():
            if status is None or known == status:
                record = self.get_request(request_id)
                if "id" in record:
                    found.append(record)
        return found

    def status_counts(self) -> dict[str, int]:
        """How many requests of the folder are in each status."""
        return dict(Counter(self._records.statuses().values()))

    def health(self) -> Health:
        """How it does: queue, rates against limits, errors, oldest wait."""
        try:
            connection = self.session._connection
        except ModelError as error:
            return Health(name=self.name, state="stopped", note=str(error))
        return health_of(
            self.name,
            self.executor,
            None if connection is None else connection.limiter,
            opened=len(self._tasks),
            completed=self._completed,
            errors=self._errors,
            damaged=len(self._records.damaged),
        )

    # -- again ------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def resume(self, *schemas: Any) -> list[dict[str, Any]]:
        """Finish what a crash or a stop left half done.

        Requests that a living process works on, this one included, are left to it. What was
        already paid for comes from the journal.

        Args:
            *schemas: The types that the requests were made with, where the results are to be
                instances of them. A record holds the JSON Schema of its type alone, so without
                the type the results are dicts.

        Returns:
            What `process_data` would have returned for each, oldest first.

        Example:
            ```python
            for told in await service.resume(Review):
                told["result"].mood
            ```
        """
        return await self._again(UNFINISHED, schemas)

    @engine_loop.on_engine
    async def retry_failed(self, *schemas: Any) -> list[dict[str, Any]]:
        """Ask again about every request that failed.

        Args:
            *schemas: As for `resume`.

        Returns:
            What `resume` does.
        """
        return await self._again(frozenset({"failed"}), schemas)

    async def _again(
        self, statuses: frozenset[str], schemas: Sequence[Any]
    ) -> list[dict[str, Any]]:
        known = await asyncio.to_thread(self._records.statuses)
        ids = [request_id for request_id, status in known.items() if status in statuses]
        made: dict[str, dict[str, Any]] = {}
        type_of = meant(schemas)
        if ids:
            await self.session.revive()

        async def one(request_id: str) -> None:
            result = await self._take_up(request_id, statuses, type_of)
            if result is not None:
                made[request_id] = result

        await windowed(ids, WINDOW, one, lambda: not self.stopped)
        return [made[request_id] for request_id in ids if request_id in made]

    async def _take_up(
        self, request_id: str, statuses: frozenset[str], type_of: Callable[[Any], Any]
    ) -> dict[str, Any] | None:
        if request_id in self._tasks:
            return None
        try:
            record = await asyncio.to_thread(self._records.read, request_id)
        except RecordError:
            return None
        if record is None or record.get("status") not in statuses:
            return None
        if "data" not in record:
            self._records.damage(request_id, "it has no data")
            return None
        if record["status"] in UNFINISHED and self._owner.is_another(record.get("owner")):
            return None
        return await self._task(record, type_of(record.get("schema")))

    # -- one request ------------------------------------------------------------------------

    async def _receive(
        self, data: Any, schema: Any, request_id: str | None = None, **more: Any
    ) -> Record:
        """Put a request on disk.

        Raises:
            LionprocError: The data or the schema cannot be, or nothing can be written.
        """
        self._check(schema)
        try:
            record: Record = {
                "id": request_id or new_id("req"),
                "status": "received",
                "timestamp": now(),
                "data": plain(data, given=True),
                "schema": as_json(schema),
                "owner": self._owner.claim(),
                "attempts": 0,
                **more,
            }
        except TypeError as error:
            raise ConfigurationError(
                f"The data cannot be written as JSON, so it cannot be kept: {error}. "
                "Give texts, numbers, times, lists and dicts."
            ) from None
        await asyncio.to_thread(self._records.write, record)
        self._active[record["id"]] = record
        return record

    def _check(self, schema: Any) -> None:
        """Refuse a schema that cannot be asked for. The last good one is not checked again."""
        if schema is not None and schema is not self._last_schema:
            Answer.of(schema)
            self._last_schema = schema

    def _task(
        self, record: Record, schema: Any, how: How = NO_HASTE
    ) -> asyncio.Task[dict[str, Any]]:
        request_id = record["id"]
        self._active[request_id] = record
        task = asyncio.get_running_loop().create_task(self._run(record, schema, how))
        self._tasks[request_id] = task

        def done(task: asyncio.Task[dict[str, Any]]) -> None:
            if not task.cancelled():
                task.exception()  # looked at: at exit there is nobody left to tell
            self._tasks.pop(request_id, None)
            self._active.pop(request_id, None)
            self._room.set()

        task.add_done_callback(done)
        return task

    async def _run(self, record: Record, schema: Any, how: How) -> dict[str, Any]:
        try:
            session = self.session
            messages = self._prompt.messages(record["data"], how.context)
            occurrence = 0 if self._deduplicate else number_of(record["id"])
            call = await session.call(messages, str if schema is None else schema, occurrence)
            kept_as = bytes.fromhex(record.get("key") or "") or None
            key = (call.key or b"").hex()
            record.update(status="processing", started=now(), owner=self._owner.claim(), key=key)
            await asyncio.to_thread(self._records.write, record)
            if how.revive:
                await session.revive()
            event = await session.ask(
                call, kept_as=kept_as, deadline_s=how.deadline_s, priority=how.priority
            )
        except LionprocError as error:
            kind = error.kind if isinstance(error, CallError) else Kind.NOT_SENT
            return await self._failed(record, kind, str(error))
        except Exception as fault:  # noqa: BLE001  (nothing is raised at the caller)
            # Its text may hold what is in the data, so only its name and place are told.
            where = "".join(traceback.format_tb(fault.__traceback__)[-3:])
            extra = {"request_id": record["id"], "kind": str(Kind.UNEXPECTED)}
            log.error("%s met a %s\n%s", record["id"], type(fault).__name__, where, extra=extra)  # noqa: TRY400
            what = f"A fault inside lionproc ({type(fault).__name__}); the log has its place."
            return await self._failed(record, Kind.UNEXPECTED, what)
        count_in(record, event)
        if event.error is None:
            return await self._answered(record, event)
        message = str(event.error)
        if self.stopped and event.error.kind in LATER:
            message = f"{message} {self.stopped}"
        return await self._failed(record, event.error.kind, message)

    async def _answered(self, record: Record, event: Event) -> dict[str, Any]:
        for name in ("error", "kind"):
            record.pop(name, None)
        record.update(status="completed", result=plain(event.value), completed=now())
        self._completed += 1
        log.info("%s completed", record["id"], extra={"request_id": record["id"]})
        await self._keep(record)
        return {"status": "success", "request_id": record["id"], "result": event.value}

    async def _failed(self, record: Record, kind: Kind, message: str) -> dict[str, Any]:
        if kind in LATER:
            record.update(status="received")
        else:
            record.update(status="failed", error=message, kind=str(kind), completed=now())
        self._errors[str(kind)] += 1
        request_id = record["id"]
        extra = {"request_id": request_id, "kind": str(kind)}
        log.warning("%s has no answer: %s", request_id, kind, extra=extra)
        await self._keep(record)
        return {"status": "error", "error": message, "kind": str(kind), "request_id": request_id}

    async def _keep(self, record: Record) -> None:
        """Write how it ended. The answer is in the journal already, so this may fail."""
        try:
            await asyncio.to_thread(self._records.write, record)
        except RecordError:
            request_id = record["id"]
            log.exception("%s was not written", request_id, extra={"request_id": request_id})

    def _refused(self, error: LionprocError) -> dict[str, Any]:
        kind = str(error.kind if isinstance(error, CallError) else Kind.NOT_SENT)
        self._errors[kind] += 1
        log.warning("a request was not taken: %s", type(error).__name__, extra={"kind": kind})
        return {"status": "error", "error": str(error), "kind": kind}

    async def _process(
        self,
        data: Any,
        schema: Any,
        request_id: str,
        context: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
        **more: Any,
    ) -> dict[str, Any]:
        """Process under a known id: what is finished is not asked again, failures on demand."""
        running = self._tasks.get(request_id)
        if running is not None:
            return await asyncio.shield(running)
        try:
            record = await asyncio.to_thread(self._records.read, request_id)
            if record is not None and is_settled(record, again=again):
                return told_of(record, schema)
            if record is None:
                record = await self._receive(data, schema, request_id, **more)
        except LionprocError as error:
            return {**self._refused(error), "request_id": request_id}
        return await self._task(record, schema, How(context=context))

    # -- life -------------------------------------------------------------------------------

    @engine_loop.on_engine
    async def close(self) -> None:
        """Stop sending and close what is open. What is unfinished can be resumed."""
        if self._session is not None:
            await self._session.close()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
        self._owner.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.drain()
        await self.close()

    def __repr__(self) -> str:
        return f"<ProcessingService {self.name!r} in {str(self.save_dir)!r}, {self.limits!r}>"
