"""The types that programs built on the service layer name in annotations and checks."""

from __future__ import annotations

from lionproc.engine.request import Call, Event, EventState, Reply
from lionproc.errors import CallError, Kind, LionprocError, RecordError
from lionproc.service.form import Field, Form
from lionproc.service.health import Health
from lionproc.service.prompt import Message
from lionproc.service.records import Record
from lionproc.service.stage import ProcessingStage
from lionproc.service.stage_runner import Passage

__all__ = [
    "Call",
    "CallError",
    "Event",
    "EventState",
    "Field",
    "Form",
    "Health",
    "Kind",
    "LionprocError",
    "Message",
    "Passage",
    "ProcessingStage",
    "Record",
    "RecordError",
    "Reply",
]
