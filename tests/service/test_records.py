import enum
import json
import multiprocessing
import stat
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from lionproc.engine.lease import Lease
from lionproc.errors import ConfigurationError
from lionproc.model.as_json import plain, to_json
from lionproc.service import records as records_module
from lionproc.service.records import (
    RecordError,
    Records,
    checked_name,
    checked_status,
    new_id,
    private_folder,
    write_whole,
)


def ids_of_a_process(count):
    return [new_id("req") for _ in range(count)]


def test_a_status_of_megabytes_is_not_kept(tmp_path):
    records = Records(tmp_path, "req")
    records.write({"id": "req_0", "status": "completed"})
    file = tmp_path / "req_0.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "x" * 10**6}))
    assert len(records.statuses()["req_0"]) == 100


def test_ids_never_collide_within_and_between_processes_and_sort_by_age():
    mine = ids_of_a_process(2000)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        others = pool.map(ids_of_a_process, [2000, 2000])
    everybody = mine + others[0] + others[1]
    assert len(set(everybody)) == 6000
    assert mine == sorted(mine)


def test_a_record_is_json_for_its_owner_alone(tmp_path):
    folder = private_folder(tmp_path / "deep" / "requests")
    records = Records(folder, "req")
    records.write({"id": "req_1", "status": "received", "data": {"text": "Grüße"}})
    path = folder / "req_1.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["data"] == {"text": "Grüße"}
    assert len(path.read_text().splitlines()) > 3
    assert records.read("req_1")["status"] == "received"


@pytest.mark.parametrize(
    "evil",
    ["../req_1", "req_../../x", "req_1/../../x", "/etc/passwd", "req_", "req_a\0", "", None, 7],
)
def test_an_id_never_leads_out_of_the_folder(tmp_path, evil):
    (tmp_path / "req_1.json").write_text('{"id": "req_1"}')
    folder = private_folder(tmp_path / "requests")
    assert Records(folder, "req").read(evil) is None


@pytest.mark.parametrize(
    "evil", ["", ".", "..", "a/b", "a\\b", ".hidden", "a\nb", "a.", "x" * 200, None]
)
def test_a_name_that_could_be_another_folder_is_refused(evil):
    with pytest.raises(RecordError):
        checked_name(evil)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[1]", b"null", b'{"id": "req_other"}', b"\xff\xfe"]
)
def test_a_damaged_file_is_reported_and_harms_no_other(tmp_path, content, caplog):
    records = Records(tmp_path, "req")
    records.write({"id": "req_good", "status": "completed"})
    (tmp_path / "req_bad.json").write_bytes(content)
    assert records.statuses() == {"req_good": "completed"}
    assert list(records.damaged) == ["req_bad.json"]
    with pytest.raises(RecordError, match=r"req_bad\.json"):
        records.read("req_bad")
    assert "req_bad.json" in caplog.text


def test_records_of_the_chapters_shape_are_read(tmp_path):
    old = {"id": "req_0", "data": {}, "schema": None, "status": "completed", "result": "fine"}
    (tmp_path / "req_0.json").write_text(json.dumps(old))
    records = Records(tmp_path, "req")
    assert records.statuses() == {"req_0": "completed"}
    assert records.read("req_0") == old


def test_a_change_by_another_process_is_seen(tmp_path):
    mine, other = Records(tmp_path, "req"), Records(tmp_path, "req")
    mine.write({"id": "req_1", "status": "received"})
    assert mine.statuses() == {"req_1": "received"}
    other.write({"id": "req_1", "status": "completed"})
    assert mine.statuses() == {"req_1": "completed"}


def test_a_full_disk_leaves_the_old_record_and_no_scraps(tmp_path, monkeypatch):
    path = tmp_path / "req_1.json"
    write_whole(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lionproc.service.records.os.fsync", full)
    with pytest.raises(RecordError, match="No space left"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["req_1.json"]


def test_only_what_changed_since_the_last_look_is_read_again(tmp_path, monkeypatch):
    records, read = Records(tmp_path, "req"), []
    real = Records.read
    monkeypatch.setattr(Records, "read", lambda self, one: (read.append(one), real(self, one))[1])
    for name in ("req_1", "req_2", "req_3"):
        records.write({"id": name, "status": "received"})
    records.statuses()
    records.write({"id": "req_2", "status": "completed"})
    (tmp_path / "req_3.json").unlink()
    assert records.statuses() == {"req_1": "received", "req_2": "completed"}
    assert read == ["req_1", "req_2", "req_3", "req_2"]


def test_files_that_are_of_another_kind_are_no_records(tmp_path, caplog):
    records = Records(tmp_path, "req")
    records.write({"id": "req_1", "status": "received"})
    for name in ("batch_1.json", "req_1.tmp", "notes.json", "req_2"):
        (tmp_path / name).write_text("{}")
    assert records.statuses() == {"req_1": "received"}
    assert records.damaged == {}


def test_damage_is_said_once_and_forgotten_when_it_is_mended(tmp_path, caplog):
    records = Records(tmp_path, "req")
    path = tmp_path / "req_1.json"
    path.touch(0o600)  # as this package does
    path.write_text("{")
    assert records.statuses() == records.statuses() == {}
    assert len(caplog.records) == 1
    path.write_text('{"id": "req_1"}')
    assert records.statuses() == {"req_1": "unknown"}
    assert records.damaged == {}


def test_a_status_that_nothing_can_have_is_refused():
    known = ("received", "completed")
    checked_status(None, known)
    checked_status("received", known)
    with pytest.raises(ConfigurationError, match=r"Did you mean 'completed'.*received, completed"):
        checked_status("complete", known)


class Aliased(BaseModel):
    kind: str = Field(alias="class")


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("value", "as_json"),
    [
        (Aliased.model_validate({"class": "a"}), {"class": "a"}),
        ({"colour": Colour.RED}, {"colour": "red"}),
        ({3: (1, 2)}, {"3": [1, 2]}),
        (frozenset({"one"}), ["one"]),
        (Decimal("1.50"), "1.50"),
        (Path("a/b"), "a/b"),
        (np.int64(3), 3),
        (np.array(3), 3),
        (np.array([1.5, 2.5]), [1.5, 2.5]),
    ],
)
def test_values_become_what_json_has_for_them(value, as_json):
    assert plain(value) == as_json


@pytest.mark.parametrize("value", [object(), pd.Series([1]), 1j])
def test_what_json_has_nothing_for_is_refused_by_its_type(value):
    with pytest.raises(TypeError, match=f"not JSON serializable: {type(value).__name__}"):
        to_json({"value": [value]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_is_plain_already(value):
    assert plain(value) == value


def live_and_wait(folder, pipe):
    owner = Lease(folder)
    pipe.send(owner.claim())
    pipe.recv()


def test_an_owner_lives_as_long_as_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=live_and_wait, args=(tmp_path, theirs), daemon=True)
    process.start()
    other = ours.recv()
    me = Lease(tmp_path)
    assert me.is_held(other)
    assert me.is_held(me.claim())
    process.kill()
    process.join()
    assert not me.is_held(other)
    assert not me.is_held("../../etc")
    assert not me.is_held(None)
    me.close()
    assert not Lease(tmp_path).is_held(me.id)


def test_a_record_that_unfolds_to_far_more_than_it_is_is_damaged(tmp_path):
    records = Records(tmp_path, "req")
    many = b'{"id": "req_bad", "status": "completed", "more": [' + b"{}," * 2_500_000 + b"{}]}"
    (tmp_path / "req_bad.json").write_bytes(many)
    records.write({"id": "req_good", "data": [{}] * 1000, "status": "completed"})
    assert records.statuses() == {"req_good": "completed"}
    assert records.damaged == {"req_bad.json": "it unfolds to far more than it is"}


@pytest.mark.parametrize("text", ["{" * 400_000, "[" * 1_000_000, 'a "\\{' * 400_000])
def test_a_record_with_a_text_of_many_brackets_is_read_as_it_was_written(tmp_path, text):
    records = Records(tmp_path, "req")
    record = {"id": "req_1", "status": "received", "data": {"text": text}, "result": text}
    records.write(record)
    assert records.read("req_1") == record
    assert records.damaged == {}


def test_a_record_that_would_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    records = Records(tmp_path, "req")
    record = {"id": "req_1", "status": "received", "data": [[]] * 1000}
    records.write(record)
    monkeypatch.setattr(records_module, "SPARE", 1000)
    with pytest.raises(RecordError, match="it unfolds"):
        records.read("req_1")
    for data in ([[]] * 1000, [[]] * 2000):
        with pytest.raises(RecordError, match="would not be read again"):
            records.write({**record, "data": data})
    assert json.loads((tmp_path / "req_1.json").read_text()) == record


def test_a_record_that_nests_deeper_than_can_be_written_is_damaged(tmp_path):
    records = Records(tmp_path, "req")
    for name, levels in (("bad", 300), ("good", 150)):
        nested = "[" * levels + "]" * levels
        content = f'{{"id": "req_{name}", "status": "received", "schema": {nested}}}'
        (tmp_path / f"req_{name}.json").write_text(content)
    assert records.statuses() == {"req_good": "received"}
    assert list(records.damaged) == ["req_bad.json"]
    assert "levels, one in the other" in records.damaged["req_bad.json"]
    records.write({**records.read("req_good"), "status": "failed"})


def test_a_record_that_is_nested_deep_is_not_indented_to_a_hundred_times_its_length():
    result = 1
    for _ in range(100):
        result = [result, 1]
    record = {"id": "req_1", "status": "completed", "result": [result] * 50}
    assert len(records_module.written(record, "")) < 2 * len(json.dumps(record))
    assert b'\n  "status"' in records_module.written({**record, "result": "short"}, "")


@pytest.mark.parametrize("status", ["received", "processing"])
def test_a_record_that_has_begun_has_room_for_its_end(tmp_path, monkeypatch, status):
    monkeypatch.setattr(records_module, "LARGEST", 8000)
    records = Records(tmp_path, "req")
    record = {"id": "req_1", "status": status, "data": "x" * 6800}
    records.write(record)
    records.write({**record, "status": "completed", "result": "y" * 900})
    assert records.read("req_1")["result"] == "y" * 900
    with pytest.raises(RecordError, match="A record may have"):
        records.write({**record, "data": "x" * 7200})
