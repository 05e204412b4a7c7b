"""The record of a pipeline's job with its results so far, made from the items and their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from lionproc.service.record_types import JobItem, JobRecord, JobResult, StageRecord
from lionproc.service.stage_runner import ItemInProgress


def with_results(
    record: JobRecord, stages: Sequence[StageRecord], items: Mapping[int, ItemInProgress]
) -> JobRecord:
    """A copy of a job's record, with the results so far.

    Args:
        record: The record.
        stages: The `stage_id` and the name of each stage.
        items: The items that have come out of the pipeline, by position.
    """
    positions = range(len(record["data"]))
    answered: list[StageRecord] = []
    for number, stage in enumerate(stages):
        answers = [_answer(items.get(position), number) for position in positions]
        missing = sum(answer is None for answer in answers)
        answered.append(
            {
                **stage,
                "result": {
                    "status": "success" if missing < len(answers) or not answers else "error",
                    "result": answers,
                    "failed": missing,
                },
            }
        )
    results = [_item_result(items.get(position), len(stages)) for position in positions]
    failed = sum(result["status"] == "error" for result in results)
    job: JobRecord = {**record, "stages": answered, "results": results, "failed": failed}
    job.pop("failures", None)
    return job


def outcome_of(job: JobRecord) -> JobResult:
    """What `process_data` returns for a job that ran to its end.

    It is an error where no item came through, with the stage that stopped the first one.
    """
    outcome: JobResult = {"status": "success", "job_id": job["id"], "results": job}
    if job["failed"] and job["failed"] == len(job["data"]):
        first = job["results"][0]
        outcome["status"] = "error"
        outcome["stage"] = first["stage"]
        outcome["error"] = first["error"]
    return outcome


def _item_result(item: ItemInProgress | None, stages: int) -> JobItem:
    if item is None:
        return {"status": "waiting"}
    if item.error is not None:
        return cast("JobItem", {"status": "error", **item.error})
    return {"status": "success", "result": item.answers[stages - 1]}


def _answer(item: ItemInProgress | None, stage: int) -> Any:
    if item is None or stage >= len(item.answers):
        return None
    return item.answers[stage]
