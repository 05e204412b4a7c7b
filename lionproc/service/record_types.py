"""The types of the service layer's records (JSON files) and of what its methods return.

Import them from `lionproc.service.types` for annotations. A key that is not `Required` may be
missing; the docstring says when it is there.
"""

from __future__ import annotations

from typing import Any, Literal, Required, TypeAlias, TypedDict, TypeVar

RequestStatus: TypeAlias = Literal["received", "processing", "completed", "failed"]
JobStatus: TypeAlias = Literal["processing", "stopped", "completed"]
Outcome: TypeAlias = Literal["success", "error"]


class Usage(TypedDict):
    """The tokens that a request used, in all its attempts."""

    prompt_tokens: int
    completion_tokens: int


class RequestRecord(TypedDict, total=False):
    """A request: its JSON file, and what `get_request` returns.

    For an unknown id, `error` is the only key. `result` is there once it is completed, `error`
    and `kind` once it has failed. Times are ISO 8601 in UTC, `seconds` is what the last run took.
    `context` is a digest of what a later stage's template can show besides `data`, `question` one
    of what was asked and of whom, `others` one of which models may be asked besides, and when, and
    `key` what the journal has its reply under. `reads_back` is
    there for a result of a type: whether that reads the record as the value that was answered; if
    so, of `reply` where that is there (`result` has not all of it, or under other names).
    """

    id: str
    status: RequestStatus
    timestamp: str
    started: str
    completed: str
    data: Any
    schema: Any
    type: dict[str, Any]
    context: str
    owner: str
    key: str
    question: str
    others: str
    attempts: int
    usage: Usage
    seconds: float
    cached: bool
    result: Any
    reads_back: bool
    reply: str
    error: str
    kind: str
    batch: str
    job: str


class RequestResult(TypedDict, total=False):
    """What `process_data` of a service returns: `result` on success, else `error` and `kind`.

    `request_id` is missing only where the request was refused before it had an id.
    """

    status: Required[Outcome]
    request_id: str
    result: Any
    error: str
    kind: str


class PendingResult(TypedDict):
    """An item of a batch that is not finished."""

    status: Literal["waiting", "received", "processing"]
    request_id: str


class BatchRecord(TypedDict, total=False):
    """A batch: its JSON file, and what `get_batch` returns, which has the `results` as well.

    For an unknown id, `error` is the only key; else it says what stopped the batch.
    """

    id: str
    status: JobStatus
    timestamp: str
    completed: str
    items: list[Any]
    schema: Any
    type: dict[str, Any]
    owner: str
    failed: int
    error: str
    results: list[RequestResult | PendingResult]


class BatchResult(TypedDict, total=False):
    """What `process_batch` returns.

    `error` is there where the batch could not start or had to stop, `batch_id` and `results`
    where it started, `failed` (a count of items) where it ran to an end.
    """

    status: Required[Outcome]
    batch_id: str
    results: list[RequestResult]
    failed: int
    error: str


class StageError(TypedDict):
    """Why a stage stopped an item: the name of the stage, the error and its kind."""

    stage: str
    error: str
    kind: str


class FailedItem(StageError):  # noqa: N818  (no exception)
    """An item that a stage stopped, in the file of its job: its place among the items, from 0."""

    position: int


class JobItem(TypedDict, total=False):
    """An item of a pipeline's job: its last answer as `result`, or the stage that stopped it."""

    status: Required[Literal["success", "error", "waiting"]]
    result: Any
    stage: str
    error: str
    kind: str


class StageAnswers(TypedDict):
    """The answers of a stage for all items, None where there is none, and how many are None."""

    status: Outcome
    result: list[Any]
    failed: int


class StageRecord(TypedDict, total=False):
    """A stage of a job; `result` is there once something came of it."""

    stage_id: str
    stage: str
    result: StageAnswers


class JobRecord(TypedDict, total=False):
    """A job of a pipeline: its JSON file, and what `get_results` returns.

    For an unknown id, `error` is the only key; else it says what stopped the job. The file has
    `failures` in place of the results: the answers are in the files of the stages' requests.
    """

    id: str
    status: JobStatus
    timestamp: str
    completed: str
    data: list[Any]
    stages: list[StageRecord]
    results: list[JobItem]
    failures: list[FailedItem]
    failed: int
    owner: str
    error: str


class JobResult(TypedDict, total=False):
    """What `process_data` of a pipeline returns.

    `error` is there where the job could not start, had to stop or has no answer at all, then
    with the `stage` at which that was; `job_id` where it started, `results` where it ran.
    """

    status: Required[Outcome]
    job_id: str
    results: JobRecord
    stage: str
    error: str


class AddedStage(TypedDict, total=False):
    """What `add_stage` returns: `stage_id` on success, else `error`."""

    status: Required[Outcome]
    stage_id: str
    error: str


Record: TypeAlias = RequestRecord | BatchRecord | JobRecord
R = TypeVar("R", RequestRecord, BatchRecord, JobRecord)
