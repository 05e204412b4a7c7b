"""A pipeline's job on the disk: its record has no answers, the requests of the stages have them.

An answer is on the disk once, however many stages there are, and a record grows by the items that
failed alone: one that could be written when its job began can be written when that ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from lionproc.errors import RecordError
from lionproc.model.as_json import to_json
from lionproc.service.pipeline_results import with_results
from lionproc.service.record_types import FailedItem, JobRecord, RequestRecord, StageRecord
from lionproc.service.records import Records, checked_name, private_folder
from lionproc.service.request_record import is_about, request_id_of, result_of
from lionproc.service.stage_runner import ItemInProgress

MOST_ANSWERS: Final = 10_000_000  # of all stages together
# Bytes of why items failed; a record has twice as many free for its end.
MOST_FAILURES: Final = 2**24


def without_answers(job: JobRecord) -> JobRecord:
    """The record of a job as it is written.

    Args:
        job: The job with its results.

    Returns:
        A copy that has `failures` in place of the results. Of very many it has none: why each
        failed stands in its request.
    """
    failures: list[FailedItem] = [
        {
            "position": position,
            "stage": result["stage"],
            "error": result["error"],
            "kind": result["kind"],
        }
        for position, result in enumerate(job["results"])
        if result["status"] == "error"
    ]
    written = job.copy()
    del written["results"]
    written["stages"] = [_outline(stage) for stage in job["stages"]]
    written["failures"] = failures if len(to_json(failures)) <= MOST_FAILURES else []
    return written


def with_answers(record: JobRecord, folder: Path) -> JobRecord:
    """The record of a job with its results, read from the requests of its stages.

    Args:
        record: As it is on the disk. One that has its results, as older ones do, or that cannot
            be read for them, or has more stages and items than any, is given back as it is.
        folder: The folder of the jobs.

    Raises:
        RecordError: A stage has a name that no stage can have, or its folder cannot be used.
    """
    stages_known = record.get("stages") or []
    outline = [_outline(stage) for stage in stages_known if isinstance(stage, Mapping)]
    data, names = record.get("data"), {stage["stage"] for stage in outline}
    if "results" in record or not isinstance(data, list) or not outline:
        return record
    if len(names) < len(outline) or len(outline) * len(data) > MOST_ANSWERS:
        return record
    stages: list[tuple[str, Records[RequestRecord]]] = []
    for stage in outline:
        name = checked_name(stage["stage"])
        place = folder / name  # none is made to be looked into
        stages.append((name, Records(private_folder(place) if place.is_dir() else place, "req")))
    errors = dict(_failed(record))
    items: dict[int, ItemInProgress] = {}
    for position, each in enumerate(data):
        item = ItemInProgress(position, each, error=errors.get(position))
        _read_answers(item, record, stages)
        if item.error is not None or len(item.answers) == len(stages):
            items[position] = item
    return with_results(record, outline, items)


def _outline(stage: Mapping[str, Any]) -> StageRecord:
    return {"stage_id": str(stage.get("stage_id")), "stage": str(stage.get("stage"))}


def _failed(record: JobRecord) -> Iterator[tuple[int, Any]]:
    for failure in record.get("failures") or []:
        if isinstance(failure, Mapping) and isinstance(failure.get("position"), int):
            why = {name: str(failure.get(name, "")) for name in ("stage", "error", "kind")}
            yield failure["position"], why


def _read_answers(
    item: ItemInProgress, record: JobRecord, stages: list[tuple[str, Records[RequestRecord]]]
) -> None:
    """Read what the stages answered, up to the one that stopped the item or has not asked it."""
    request_id = request_id_of(record["id"], item.position)
    before, shown = "", item.item  # the stage before, and its answer
    for name, records in stages:
        if item.error is not None and item.error["stage"] == name:
            return
        why = f"{request_id} of {name!r} has no answer to this item; retry_failed() gets it."
        try:
            request = records.read(request_id) or {}
        except RecordError as error:
            request, why = {}, str(error)
        result, is_its_own = result_of(request), _shows(request, shown, before)
        if result["status"] != "success" or not is_its_own:
            if item.error is None and is_its_own and request.get("status") == "failed":
                kind = result.get("kind", "")
                item.error = {"stage": name, "error": result["error"], "kind": kind}
            elif item.error is None and record.get("status") == "completed":
                item.error = {"stage": name, "error": why, "kind": ""}
            return
        item.answers.append(result["result"])
        before, shown = name, request["result"]


def _shows(request: RequestRecord, shown: Any, before: str) -> bool:
    """Whether a request is about an item, or the answer of the stage before.

    With `input="all"` it has the answer under the name of that stage, or a field called so.
    """
    if is_about(request, {"data": shown}):
        return True
    data = request.get("data")
    if not isinstance(data, Mapping) or before not in data:
        return False
    found: RequestRecord = {"data": data[before]}
    field = shown.get(before) if isinstance(shown, Mapping) else None
    return is_about(found, {"data": shown}) or is_about(found, {"data": field})
