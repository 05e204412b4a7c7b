"""Many files of a folder at once: each whole or not at all, and one that fails harms no other."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lionproc.engine import new_file
from lionproc.engine.whole_files import replace_all

ROOT = Path(__file__).parents[2]


def test_new_ones_are_for_their_owner_alone_and_old_ones_keep_their_rights(tmp_path):
    folder = tmp_path / "deep"
    assert replace_all(folder, {"new": b"1", "old": b"2", "large": b"x" * 300_000}) == {}
    (folder / "old").chmod(0o640)
    assert replace_all(folder, {"old": b"3", "empty": b""}) == {}
    assert {path.name: path.read_bytes()[:9] for path in folder.iterdir()} == {
        "new": b"1", "old": b"3", "large": b"x" * 9, "empty": b"",
    }  # fmt: skip
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {"new": 0o600, "old": 0o640, "large": 0o600, "empty": 0o600}


def test_one_that_cannot_be_replaced_is_named_and_the_others_are_written(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").write_bytes(b"before")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "pipe")
    contents = dict.fromkeys(["folder", "link", "pipe", "fine"], b"after")
    assert replace_all(tmp_path, contents).keys() == {"folder", "pipe"}
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "other").read_bytes() == (tmp_path / "fine").read_bytes() == b"after"
    assert {path.name for path in tmp_path.iterdir()} == {*contents, "other"}


@pytest.mark.parametrize("step", ["flush", "take_its_place"])
def test_what_fails_half_way_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, step):
    replace_all(tmp_path, {"one": b"before", "two": b"before"})
    real = getattr(new_file.NewFile, step)

    def fails(self, *content):
        if self.name == "one":
            raise OSError(28, "No space left on device")
        real(self, *content)

    monkeypatch.setattr(new_file.NewFile, step, fails)
    (error,) = replace_all(tmp_path, {"one": b"after", "two": b"after"}).values()
    assert error.errno == 28
    assert (tmp_path / "one").read_bytes() == b"before"
    assert (tmp_path / "two").read_bytes() == b"after"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_all_are_flushed_before_any_has_its_name_and_the_folder_last(tmp_path, monkeypatch):
    steps = []
    flush, sync = new_file.NewFile.flush, new_file.OpenFolder.sync
    names = lambda: {path.name for path in tmp_path.iterdir()} & {"a", "b"}  # noqa: E731
    monkeypatch.setattr(
        new_file.NewFile, "flush", lambda self: (flush(self), steps.append(names()))
    )
    monkeypatch.setattr(
        new_file.OpenFolder, "sync", lambda self: (sync(self), steps.append(names()))
    )
    replace_all(tmp_path, {"a": b"1", "b": b"2"})
    assert steps == [set(), set(), {"a", "b"}]


def test_a_folder_that_cannot_be_made_is_the_error_of_all(tmp_path):
    (tmp_path / "file").touch()
    assert replace_all(tmp_path / "file" / "x", {"a": b"", "b": b""}).keys() == {"a", "b"}


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit")
def test_many_are_written_by_a_process_that_may_open_few(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path\n"
        "from lionproc.engine.whole_files import replace_all\n"
        "for most in (60, len([*Path('/dev/fd').iterdir()]) + 12):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))\n"
        "    assert replace_all(Path(sys.argv[1]), dict.fromkeys(map(str, range(300)), b'x')) == {}"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert {each.read_bytes() for each in tmp_path.iterdir()} == {b"x"}
    assert len(list(tmp_path.iterdir())) == 300
