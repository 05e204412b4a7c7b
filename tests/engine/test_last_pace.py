"""What a run saw of an endpoint's pace is a hint for the next one, and nothing more."""

import json
import os
import time

import pytest

from lionproc.engine import last_pace
from lionproc.engine.last_pace import NAME, Pace


def test_what_was_seen_is_found_by_who_has_endpoint_key_and_model_and_names_none_of_them(tmp_path):
    last_pace.write(tmp_path, "https://a.example\nsecret", Pace(10.0, limited=True))
    last_pace.write(tmp_path, "https://b.example\nsecret", Pace(80.0, limited=False))
    assert last_pace.read(tmp_path, "https://a.example\nsecret") == (10.0, True)
    assert last_pace.read(tmp_path, "https://b.example\nsecret") == (80.0, False)
    assert last_pace.read(tmp_path, "https://a.example\nother") is None
    text = (tmp_path / NAME).read_text()
    assert "example" not in text
    assert "secret" not in text


def test_it_is_forgotten_after_a_day(tmp_path, monkeypatch):
    last_pace.write(tmp_path, "a", Pace(10.0, limited=True))
    later = time.time() + 86_401
    monkeypatch.setattr(time, "time", lambda: later)
    assert last_pace.read(tmp_path, "a") is None


@pytest.mark.parametrize("entry", [[-1.0, True, 1.0], [1e9, True, 1.0], ["1", True, 1.0],
                                   [1.0, 1, 1.0], [1.0, True], 7, None, {}, [True, True, 1.0],
                                   [1.0, True, 10**400], [10**400, True, 1.0]])  # fmt: skip
def test_what_somebody_else_wrote_is_as_if_it_were_not_there(tmp_path, entry):
    last_pace.write(tmp_path, "a", Pace(10.0, limited=True))
    (name,) = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps({name: entry}))
    assert last_pace.read(tmp_path, "a") is None
    (tmp_path / NAME).write_text("[" * 5000)
    assert last_pace.read(tmp_path, "a") is None


def test_a_bad_hour_of_yesterday_is_no_pace_to_begin_with(tmp_path):
    last_pace.write(tmp_path, "a", Pace(0.002, limited=True))  # a request in eight minutes
    assert last_pace.read(tmp_path, "a") == (last_pace.SLOWEST_PER_S, True)


def test_a_folder_that_cannot_be_written_costs_the_hint_alone(tmp_path):
    (tmp_path / "file").touch()
    last_pace.write(tmp_path / "file", "a", Pace(10.0, limited=True))
    assert last_pace.read(tmp_path / "file", "a") is None


def test_only_the_latest_endpoints_are_kept(tmp_path):
    for number in range(last_pace.MOST_ENDPOINTS + 2):
        last_pace.write(tmp_path, f"{number}", Pace(10.0, limited=True))
    assert len(json.loads((tmp_path / NAME).read_text())) == last_pace.MOST_ENDPOINTS
    assert last_pace.read(tmp_path, "0") is None


@pytest.mark.skipif(os.name != "posix", reason="making a link takes rights there")
def test_a_link_in_its_place_is_not_written_through(tmp_path):
    mine = tmp_path / "mine"
    for is_there in (True, False):
        (tmp_path / NAME).unlink(missing_ok=True)
        (tmp_path / NAME).symlink_to(mine)
        mine.write_text("mine") if is_there else mine.unlink()
        last_pace.write(tmp_path, "a", Pace(10.0, limited=True))
        assert mine.read_text() == "mine" if is_there else not mine.exists()
        assert last_pace.read(tmp_path, "a") is None
