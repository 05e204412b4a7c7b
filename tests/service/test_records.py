import json
import multiprocessing
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionproc.service.owner import Owner
from lionproc.service.records import (
    RecordError,
    Records,
    checked_name,
    new_id,
    plain,
    private_folder,
    write_whole,
)


def ids_of_a_process(count):
    return [new_id("req") for _ in range(count)]


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


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_json_is_plain_already(value):
    assert plain(value) == value


def live_and_wait(folder, pipe):
    owner = Owner(folder)
    pipe.send(owner.claim())
    pipe.recv()


def test_an_owner_lives_as_long_as_its_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=live_and_wait, args=(tmp_path, theirs), daemon=True)
    process.start()
    other = ours.recv()
    me = Owner(tmp_path)
    assert me.lives(other)
    assert me.lives(me.claim())
    process.kill()
    process.join()
    assert not me.lives(other)
    assert not me.lives("../../etc")
    assert not me.lives(None)
    me.close()
    assert not Owner(tmp_path).lives(me.id)
