"""The types of the service layer, for annotations and checks in programs that use it."""

from __future__ import annotations

from lionproc.engine.request import Call, Event, EventState, Reply
from lionproc.errors import CallError, Kind, LionprocError, RecordError
from lionproc.service.form import Field, Form
from lionproc.service.health import Health
from lionproc.service.prompt import Message
from lionproc.service.record_types import (
    AddedStage,
    BatchRecord,
    BatchResult,
    JobItem,
    JobRecord,
    JobResult,
    JobStatus,
    PendingResult,
    Record,
    RequestRecord,
    RequestResult,
    RequestStatus,
    StageAnswers,
    StageError,
    StageRecord,
    Usage,
)
from lionproc.service.stage import ProcessingStage
from lionproc.service.stage_runner import ItemInProgress

__all__ = [
    "AddedStage",
    "BatchRecord",
    "BatchResult",
    "Call",
    "CallError",
    "Event",
    "EventState",
    "Field",
    "Form",
    "Health",
    "ItemInProgress",
    "JobItem",
    "JobRecord",
    "JobResult",
    "JobStatus",
    "Kind",
    "LionprocError",
    "Message",
    "PendingResult",
    "ProcessingStage",
    "Record",
    "RecordError",
    "Reply",
    "RequestRecord",
    "RequestResult",
    "RequestStatus",
    "StageAnswers",
    "StageError",
    "StageRecord",
    "Usage",
]
