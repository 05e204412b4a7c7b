"""`ProcessingService`: takes data, asks a model to process it, keeps every request on disk.

This is what a user calls. `RequestStore` has the records, `RequestRunner` runs the requests.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypedDict

from lionproc.engine import loop as engine_loop
from lionproc.engine.executor import RateLimitedAPIExecutor
from lionproc.engine.journal_path import anchored
from lionproc.engine.limits import Limits
from lionproc.engine.retry import Retry
from lionproc.errors import ConfigurationError, LionprocError, ModelError
from lionproc.face import faced
from lionproc.model.model import Model
from lionproc.service.branch import Branch
from lionproc.service.composed_session import made_session
from lionproc.service.health import Health, health_of
from lionproc.service.lazy_session import LazySession
from lionproc.service.prompt import SYSTEM, Prompt, Writer
from lionproc.service.record_types import RequestRecord, RequestResult, RequestStatus
from lionproc.service.records import UNFINISHED, journal_in, private_folder
from lionproc.service.request_record import result_of
from lionproc.service.request_runner import RequestRunner, SendOptions
from lionproc.service.request_store import RequestStore
from lionproc.service.session import Session


class ServiceOptions(TypedDict, total=False):
    """The arguments of `ProcessingService` that other classes hand on to it; see there."""

    max_tokens: float | None
    model: Model | str | None
    system: str | None
    prompt: Writer | None
    executor: RateLimitedAPIExecutor | None
    journal: str | os.PathLike[str] | None
    retry: Retry | None
    concurrency: int
    queue_capacity: int
    deduplicate: bool
    kind: str | None
    options: Mapping[str, Any] | None


@faced
class ProcessingService:
    """Takes data, asks a model to process it, and loses nothing in between.

    A request is on disk, as readable JSON, from the moment it is received. A reply is in the
    journal before it counts, so after a crash `resume` pays only for what was in flight.
    The async methods may be awaited in any event loop; the requests run on the engine's loop.

    Args:
        name: Its name in logs and in `health()`.
        save_dir: The folder of its requests; a new one can be read by its owner alone.
        requests_per_minute: Requests in any 60 seconds, None for no limit of its own. The limits
            of the model's endpoint and key hold as well, for all who use them together.
        max_tokens: Tokens in any 60 seconds, None for no limit of its own.
        model: An `lp.Model` or "provider/model". None for the session's (`lp.configure`), else
            gpt-4o-mini where there is an OpenAI key.
        system: The system prompt.
        prompt: A template with `{data}` or `{field}`, or a function of the data; None for a
            plain request to process it.
        executor: An executor to send through, whose limits then hold instead of the two above, and
            whose journal, if it has one. Each service in it has a queue of its own: a server that
            makes requests wait, or refuses a key, holds up no other service.
        journal: The file that replies are kept in, None for `journal.sqlite` in `save_dir`.
        retry: How often and how long to retry.
        concurrency: Requests in flight at once.
        queue_capacity: Requests that may be in progress; beyond that, `submit` waits.
        deduplicate: Whether equal data is paid for once; False sends every request.
        kind: What kind of data it is ("text", "numeric"), as the prompt says it.
        options: What to do with the data, as the prompt says it.

    Raises:
        ConfigurationError: An argument is invalid.
        RecordError: `save_dir` cannot be created.
        JournalError: The journal there came with a repository or an archive.

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
            adapt=False,  # the limiter of the endpoint adapts, and every request passes it as well
        )
        if isinstance(executor, RateLimitedAPIExecutor):
            self.limits = executor.limits
        elif executor is not None:
            what = type(executor).__name__
            raise ConfigurationError(f"executor= is a lp.RateLimitedAPIExecutor, not a {what}.")
        self._prompt = Prompt(system, prompt, kind, dict(options or {}))
        self.save_dir = private_folder(save_dir)
        make_session = partial(
            made_session,
            limits=self.limits,
            executor=executor,
            journal=journal_in(self.save_dir) if journal is None else anchored(journal),
            retry=retry,
            queue_capacity=queue_capacity,
        )
        self._lazy_session = LazySession(model, make_session)
        self._branch: Branch | None = None
        self._store = RequestStore(self.save_dir)
        self._runner = RequestRunner(
            self._store,
            self._prompt,
            self._lazy_session,
            deduplicate=deduplicate,
            capacity=queue_capacity,
        )

    # -- the model ---------------------------------------------------------------------------

    @property
    def model(self) -> Model:
        """The model that answers.

        Raises:
            ModelError: No model is set, and there is no OpenAI key for the default one.
        """
        return self._lazy_session.model

    @property
    def session(self) -> Session:
        """The way to the model: its executor, journal and limiters."""
        return self._lazy_session.get()

    @property
    def executor(self) -> RateLimitedAPIExecutor:
        """The executor that sends; `executor.update_limits(...)` takes effect at once."""
        return self.session.executor

    @property
    def processor(self) -> Branch:
        """A branch with this service's system prompt and model, for single questions."""
        if self._branch is None:
            self._branch = Branch(self.name, self._prompt.system, model=self.model)
        return self._branch

    @property
    def stopped(self) -> str:
        """Why nothing can be sent any more (a refused key, a server that is down), or ""."""
        return self._lazy_session.stopped

    def _begin_list(self, list_id: str) -> None:
        """A batch or job begins, or goes on: what went wrong a time before is of no account."""
        self._runner.left.pop(list_id, None)
        self._store.unwritten.pop(list_id, None)

    def _why_stopped(self, list_id: str) -> str:
        """Why some of a batch or job could not be asked (its journal is locked, say), or ""."""
        left = self._runner.left.pop(list_id, "")
        return self.stopped or left

    # -- requests ---------------------------------------------------------------------------

    @engine_loop.on_engine
    async def process_data(
        self,
        data: object,
        schema: object = None,
        *,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> RequestResult:
        """Process data and wait for the result.

        Args:
            data: Anything that JSON can hold.
            schema: The type of the result, which is enforced: a JSON Schema, a pydantic model, or
                any answer type of `df.llm.process`. None for text.
            deadline_s: Seconds the request may wait to be sent; then it fails, unsent.
            priority: Requests with a higher number go first.

        Returns:
            `{"status": "success", "request_id", "result"}`, or `{"status": "error", "error",
            "kind", "request_id"}`. Nothing is raised.
        """
        try:
            record = await self._store.create(data, schema)
        except LionprocError as error:
            return self._runner.refuse(error)
        options = SendOptions(deadline_s, priority, revive=True)
        return await self._runner.start(record, schema, options)

    @engine_loop.on_engine
    async def submit(
        self,
        data: object,
        schema: object = None,
        *,
        deadline_s: float | None = None,
        priority: float = 0,
    ) -> str:
        """Take data to be processed, and return without waiting for the result.

        While `queue_capacity` requests are in progress, it waits for one of them to finish.

        Args:
            data: As for `process_data`.
            schema: As for `process_data`.
            deadline_s: As for `process_data`.
            priority: As for `process_data`.

        Returns:
            The id of the request, which is on disk by then: see `wait` and `get_request`.

        Raises:
            LionprocError: The data or the schema is invalid, or the disk is full.
        """
        await self._runner.wait_for_room()
        record = await self._store.create(data, schema)
        self._runner.start(record, schema, SendOptions(deadline_s, priority, revive=True))
        return str(record["id"])

    @engine_loop.on_engine
    async def wait(self, request_id: str, schema: Any = None) -> RequestResult:
        """Wait until a request is finished.

        Args:
            request_id: Its id.
            schema: The type it was made with, as for `get_request`. Not needed for a request that
                is in progress in this very service.

        Returns:
            What `process_data` returns.
        """
        task = self._runner.task(request_id)
        if task is not None:
            return await asyncio.shield(task)
        return result_of(await asyncio.to_thread(self.get_request, request_id), schema)

    @engine_loop.on_engine
    async def drain(self) -> None:
        """Wait until everything that was submitted is finished."""
        while self._runner:
            await self._runner.wait_for_all()

    # -- records and state ---------------------------------------------------------------------

    def get_request(self, request_id: str, schema: object = None) -> RequestRecord:
        """A request as it is now.

        Args:
            request_id: Its id.
            schema: The type it was made with, a pydantic model for example: then `result` is an
                instance of it, the very value that was answered. A record is JSON, and so is
                `result` without it, and where it cannot be known whether JSON has all of the value.

        Returns:
            The record: `id`, `status` (received, processing, completed or failed), `data`,
            `schema`, `timestamp`, `started`, `completed`, `attempts`, `usage`, `seconds`, and
            `result` or `error` and `kind`. For an unknown id a dict with `error` alone.
        """
        return self._store.get(request_id, schema)

    def list_requests(self, status: RequestStatus | None = None) -> list[RequestRecord]:
        """The requests in the folder, oldest first.

        Args:
            status: "received", "processing", "completed" or "failed"; None for all.

        Returns:
            Their records, with all their data: of a large folder `status_counts()` takes less
            memory. Damaged files are left out; `health().damaged` is their number.

        Raises:
            ConfigurationError: There is no such status.
        """
        return self._store.find(status)

    def status_counts(self) -> dict[str, int]:
        """How many requests of the folder are in each status."""
        return dict(Counter(self._store.records.statuses().values()))

    def health(self) -> Health:
        """Its state at this moment: queue, rates and limits, errors, oldest wait."""
        try:
            connection = self.session.connection
        except ModelError as error:
            return Health(name=self.name, state="stopped", note=str(error))
        return health_of(
            self.name,
            self.session.sender,
            None if connection is None else connection.endpoint.limiter,
            opened=len(self._runner),
            completed=self._runner.completed,
            errors=self._runner.errors,
            damaged=len(self._store.records.damaged),
        )

    # -- resuming ---------------------------------------------------------------------------

    @engine_loop.on_engine
    async def resume(self, *schemas: Any) -> list[RequestResult]:
        """Finish the requests that a crash or a stop left unfinished.

        Requests that a running process is working on, this one included, are left to it.
        Replies that were already paid for come from the journal.

        Args:
            *schemas: The types that the requests were made with, to get results of these types. A
                record holds only the JSON Schema of its type, so without them results are JSON, and
                where a type does more than its schema says (a validator, an alias), nothing is sent.

        Returns:
            What `process_data` would have returned for each, oldest first.

        Example:
            ```python
            for result in await service.resume(Review):
                result["result"].mood
            ```
        """
        return await self._runner.run_again(UNFINISHED, schemas)

    @engine_loop.on_engine
    async def retry_failed(self, *schemas: object) -> list[RequestResult]:
        """Send every request again that failed.

        Args:
            *schemas: As for `resume`.

        Returns:
            What `resume` returns.
        """
        return await self._runner.run_again(frozenset({"failed"}), schemas)

    # -- closing ----------------------------------------------------------------------------

    async def stop(self) -> None:
        """What `close` does first, on the engine's loop: nothing more is sent."""
        await self._lazy_session.close()

    @engine_loop.on_engine
    async def close(self) -> None:
        """Stop sending and close the connection. Unfinished requests can be resumed.

        What is in flight is waited for, each request for as long as its `timeout` says, and kept:
        it is paid for. Who gives up the wait leaves that to go on by itself.
        """
        await self.stop()
        await self._runner.wait_for_all()
        if not len(self._runner):  # else somebody goes on with it already
            self._store.lease.close()

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
        if "save_dir" not in vars(self):
            return "<ProcessingService, half made>"  # a traceback shows it while __init__ fails
        return f"<ProcessingService {self.name!r} in {str(self.save_dir)!r}, {self.limits!r}>"
