import io
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from lionproc.engine import whole_file, whole_files
from lionproc.engine.journal import Journal
from lionproc.engine.new_file import NewFile
from lionproc.engine.paths import is_url, local_path, shown
from lionproc.engine.whole_file import make_folders, replace_whole
from lionproc.engine.whole_files import replace_all
from lionproc.errors import ConfigurationError
from lionproc.frame.save_target import check_writable
from lionproc.frame.spreadsheet import to_csv, to_excel

ROOT = Path(__file__).parents[2]


def put(path, text="new", **how):
    with replace_whole(path, **how) as file:
        file.write(text.encode())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    """Sets the umask, and sets it back."""
    before = os.umask(0o022)
    os.umask(before)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("rights", [0o600, 0o640, 0o644, 0o666])
def test_a_file_keeps_its_rights_when_it_is_replaced(tmp_path, rights):
    path = tmp_path / "out"
    path.write_text("old")
    path.chmod(rights)
    put(path)
    assert (path.read_text(), mode(path)) == ("new", rights)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner_when_it_is_replaced(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    put(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


def test_nothing_is_made_that_everybody_may_write_whatever_the_umask_is(tmp_path, umask):
    umask(0)
    put(tmp_path / "a" / "b" / "out")
    put(tmp_path / "a" / "private", private=True)
    make_folders(tmp_path / "c" / "d", 0o700)
    assert mode(tmp_path / "a") == mode(tmp_path / "a" / "b") == 0o775
    assert mode(tmp_path / "a" / "b" / "out") == 0o664
    assert mode(tmp_path / "a" / "private") == 0o600
    assert mode(tmp_path / "c") == mode(tmp_path / "c" / "d") == 0o700


def test_a_umask_is_heeded(tmp_path, umask):
    umask(0o077)
    put(tmp_path / "a" / "out")
    assert (mode(tmp_path / "a"), mode(tmp_path / "a" / "out")) == (0o700, 0o600)


def test_a_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "dangling").symlink_to(tmp_path / "new" / "later")
    put(tmp_path / "link")
    put(tmp_path / "dangling")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "new" / "later").read_text() == "new"


def test_a_pipe_a_folder_and_a_device_are_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path / "folder", Path("/dev/null")):
        with pytest.raises(OSError, match=r"device, pipe or socket|is a folder"):
            put(path)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_a_journal_is_never_replaced_by_what_is_saved_whatever_leads_to_it(tmp_path):
    path, link = tmp_path / "journal.sqlite", tmp_path / "out.jsonl"
    link.symlink_to(path)
    with Journal.open(path):
        for there in (path, link):  # in use: it is not even opened, which would drop its locks
            with pytest.raises(FileExistsError, match="a database, such as a journal"):
                put(there)
    for there in (path, link):
        with pytest.raises(FileExistsError, match="a database, such as a journal"):
            put(there)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["journal.sqlite", "out.jsonl"]
    Journal.open(path).close()


def test_a_file_that_is_mounted_by_itself_is_refused_before_anything_is_written(
    tmp_path, monkeypatch
):
    """As `docker run -v out.parquet:/app/out.parquet` has it: no rename replaces it."""
    mounted, link = tmp_path / "out.parquet", tmp_path / "link.parquet"
    mounted.touch()
    link.symlink_to(mounted)
    mounts = {str(mounted): "mnt_id:\t7"}
    monkeypatch.setattr(whole_file, "_mount_of", lambda path: mounts.get(path, "mnt_id:\t1"))
    for path in (mounted, link):
        with pytest.raises(OSError, match="mount its folder"), replace_whole(path):
            raise AssertionError("it was opened")
        with pytest.raises(OSError, match="mount its folder"):
            check_writable(path)
    monkeypatch.undo()
    check_writable(link)
    with replace_whole(link) as file:
        file.write(b"all of it")
    assert mounted.read_text() == "all of it"
    assert sys.platform != "linux" or "mnt_id" in whole_file._mount_of(str(mounted))


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out"
    path.write_text("old")
    with pytest.raises(TypeError), replace_whole(path) as file:
        file.write(file.write(b"half"))
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]


def swapped(folder, leads_to):
    """Put a link in the place of the new file, as whoever may write in the folder can."""
    (temporary,) = folder.glob(".*.tmp")
    temporary.rename(folder / "away")
    temporary.symlink_to(leads_to)


@pytest.mark.skipif(os.name != "posix", reason="there what is open has the name to itself")
def test_a_link_in_the_place_of_the_new_file_leads_nothing_elsewhere(tmp_path):
    folder, precious = tmp_path / "shared", tmp_path / "precious"
    folder.mkdir()
    (folder / "out").write_text("old")
    (folder / "out").chmod(0o666)
    precious.write_text("precious")
    precious.chmod(0o600)

    def put_while_it_is_swapped():
        with replace_whole(folder / "out") as file:
            swapped(folder, precious)
            file.write(b"new")

    with pytest.raises(OSError, match="in its place"):
        put_while_it_is_swapped()
    assert (precious.read_text(), mode(precious)) == ("precious", 0o600)
    assert (folder / "out").read_text() == "old"
    assert (folder / "away").read_text() == "new"


def test_a_link_that_comes_while_the_rights_are_given_changes_none_of_its_target(
    tmp_path, monkeypatch
):
    folder, precious = tmp_path / "shared", tmp_path / "precious"
    put(folder / "out")
    (folder / "out").chmod(0o666)
    precious.write_text("precious")
    precious.chmod(0o600)
    flush = NewFile.flush
    monkeypatch.setattr(NewFile, "flush", lambda self: (swapped(folder, precious), flush(self)))
    with pytest.raises(OSError, match="in its place"):
        put(folder / "out")
    errors = replace_all(folder, {"other": b"x"})
    assert "in its place" in errors["other"].strerror
    assert (precious.read_text(), mode(precious)) == ("precious", 0o600)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says where a folder is")
@pytest.mark.parametrize(
    "save", [put, lambda path: [*replace_all(path.parent, {"out": b""}).values()]]
)
def test_a_folder_for_which_a_link_comes_in_the_last_moment_is_refused(tmp_path, monkeypatch, save):
    folder, private = tmp_path / "shared" / "folder", tmp_path / "private"
    private.mkdir()
    folder.mkdir(parents=True)
    look = whole_file.make_folders

    def swap(path):
        look(path)
        folder.rename(tmp_path / "shared" / "away")
        folder.symlink_to(private)

    monkeypatch.setattr(whole_file, "make_folders", swap)
    monkeypatch.setattr(whole_files, "make_folders", swap)
    try:
        errors = save(folder / "out")
    except OSError as error:
        errors = [error]
    assert len(errors) == 1
    assert not list(private.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody says where a folder is")
def test_a_link_further_up_that_comes_in_the_last_moment_is_refused_too(tmp_path, monkeypatch):
    above, private = tmp_path / "shared" / "above", tmp_path / "private"
    (private / "folder").mkdir(parents=True)
    (above / "folder").mkdir(parents=True)
    look = whole_file.make_folders

    def swap(path):
        look(path)
        above.rename(tmp_path / "shared" / "away")
        above.symlink_to(private)

    monkeypatch.setattr(whole_file, "make_folders", swap)
    with pytest.raises(OSError, match="a link was put into the way"):
        put(above / "folder" / "out")
    assert not list((private / "folder").iterdir())


def test_what_goes_on_begins_with_the_old_one_and_follows_no_link_to_it(tmp_path, monkeypatch):
    put(tmp_path / "out", "old")
    with replace_whole(tmp_path / "out", goes_on=True) as file:
        file.write(b" and new")
    assert (tmp_path / "out").read_text() == "old and new"
    (tmp_path / "secret").write_text("secret")
    begin = NewFile.begin_with_old

    def swap(self):
        (tmp_path / "out").unlink()
        (tmp_path / "out").symlink_to("secret")
        begin(self)

    monkeypatch.setattr(NewFile, "begin_with_old", swap)
    with pytest.raises(OSError), replace_whole(tmp_path / "out", goes_on=True):  # noqa: PT011
        pass
    assert (tmp_path / "out").is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "secret"]


@pytest.mark.skipif(os.name != "posix", reason="there a folder is open to who may write into it")
def test_a_folder_that_may_be_written_and_not_listed_takes_a_file(tmp_path):
    folder = tmp_path / "drop"
    folder.mkdir()
    folder.chmod(0o300)
    code = (
        "import os, sys; from lionproc.engine.whole_file import replace_whole\n"
        "os.geteuid() or os.setuid(12345)\n"
        "with replace_whole(sys.argv[1]) as file: file.write(b'new')"
    )
    if os.geteuid() == 0:
        os.chown(folder, 12345, 12345)
        for above in folder.parents[: len(folder.parents) - 2]:
            above.chmod(above.stat().st_mode | 0o055)
    subprocess.run([sys.executable, "-c", code, str(folder / "out")], cwd=ROOT, check=True)
    folder.chmod(0o700)
    assert [each.name for each in folder.iterdir()] == ["out"]


def test_a_folder_that_is_removed_while_a_file_is_written_is_said_to_be(tmp_path):
    def put_while_it_is_removed():
        with replace_whole(tmp_path / "folder" / "out"):
            shutil.rmtree(tmp_path / "folder")

    with pytest.raises(FileNotFoundError, match="removed while it was written"):
        put_while_it_is_removed()


def test_a_file_is_saved_where_the_working_folder_is_gone(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    put(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "new"


def test_a_link_is_followed_before_the_folder_above_it(tmp_path):
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/away")
    put(tmp_path / "link" / ".." / "out")
    assert (tmp_path / "far" / "out").read_text() == "new"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        put(tmp_path / "loop")


def test_what_was_written_is_flushed_to_the_disk_before_it_has_the_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "out", []
    real = os.fsync

    def fsync(handle):
        seen.append((path.exists(), stat.S_ISDIR(os.fstat(handle).st_mode)))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    put(path)
    assert seen == [(False, False), (True, True)]  # the file, the rename, then its folder


def test_a_file_of_holes_is_not_written_out_to_go_on_in_it(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(OSError, match="holes"), replace_whole(tmp_path / "out", goes_on=True):
        raise AssertionError("it was copied")
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.skipif(os.name != "posix", reason="names are shorter there")
def test_a_file_of_the_longest_name_is_replaced(tmp_path):
    for text in ("old", "new"):
        put(tmp_path / ("x" * 255), text)
    assert (tmp_path / ("x" * 255)).read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="there are no such pipes")
@pytest.mark.parametrize("save", ["put(path)", "replace_all(path.parent, {'out': b'new'})"])
def test_a_pipe_in_the_place_of_the_folder_is_not_waited_for(tmp_path, save):
    """Whoever may rename the folder can put one there in the last moment."""
    code = (
        "import os, sys; from pathlib import Path; from tests.engine.test_whole_file import *\n"
        "def take_its_place(self):\n"
        "    take(self); path.parent.rename(path.parent.with_name('away')); os.mkfifo(path.parent)\n"
        "path, take = Path(sys.argv[1], 'shared', 'out'), NewFile.take_its_place\n"
        "path.parent.mkdir(); NewFile.take_its_place = take_its_place\n"
        f"{save}"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True, timeout=60)
    assert (tmp_path / "away" / "out").read_text() == "new"


@pytest.mark.skipif(os.name != "posix", reason="a file has other rights there")
def test_on_a_disk_that_shows_files_as_somebody_elses_one_is_replaced_again(tmp_path, monkeypatch):
    """As CIFS, vfat and shared folders of virtual machines do: the owner alone changes rights."""

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    put(tmp_path / "out", "old")
    (tmp_path / "out").chmod(0o600)
    monkeypatch.setattr(os, "fchmod", refused)
    monkeypatch.setattr(os, "fchown", refused)
    put(tmp_path / "out")
    assert (tmp_path / "out").read_text() == "new"
    (tmp_path / "out").chmod(0o644)
    put(tmp_path / "out", "newer")  # fewer may read it than could
    assert (tmp_path / "out").read_text() == "newer"
    (tmp_path / "out").chmod(0o400)
    monkeypatch.setattr(os, "access", lambda *_: True)
    with pytest.raises(PermissionError):  # more may write it than could
        put(tmp_path / "out")


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = tmp_path / "out"
    put(path, "a" * 100_000)
    code = (
        "import sys; from lionproc.engine.whole_file import replace_whole\n"
        "for n in range(10**6):\n"
        "    with replace_whole(sys.argv[1]) as file: file.write(b'ab'[n % 2:][:1] * 100_000)\n"
        "    print(flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=ROOT
    ) as writer:
        for _ in range(20):
            writer.stdout.readline()
            text = path.read_text()
            assert text in {"a" * 100_000, "b" * 100_000}
        writer.kill()
    assert len(set(path.read_text())) == 1


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    put("~/folder/out")
    assert (tmp_path / "folder" / "out").read_text() == "new"
    with pytest.raises(ConfigurationError, match="cannot be the path"):
        local_path("~nobody-of-this-name/x")


def test_a_file_address_is_a_path_and_any_other_is_none(tmp_path):
    assert local_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert not is_url(f"file://{tmp_path}/x")
    for address in ("s3://bucket/x", "https://h/x", "simplecache::s3://b/x"):
        assert is_url(address)
        with pytest.raises(ConfigurationError, match="is an address"):
            local_path(address)
    for path in ("out/a:b", "C:\\x", "C://x", "a::b", tmp_path):
        assert not is_url(path)
    with pytest.raises(ConfigurationError, match="another machine"):
        local_path("file://host/x")


@pytest.mark.skipif(os.name == "nt", reason="there it is a path")
@pytest.mark.parametrize("path", ["C:\\Users\\me\\out.parquet", "d:/x.csv", "\\\\host\\share\\x"])
def test_a_path_of_windows_is_refused_elsewhere(path):
    with pytest.raises(ConfigurationError, match=r"path of Windows.*/mnt/c"):
        local_path(path)


@pytest.mark.parametrize("path", [Path("s3://me:secret@bucket/out.parquet"), "memory:/out.parquet"])
def test_an_address_that_pathlib_has_taken_a_slash_from_becomes_no_folder(
    tmp_path, monkeypatch, path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"Give it as text: '\w+://.*out") as caught:
        local_path(path)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="Give it as text"), replace_whole(path):
        pass
    assert not list(tmp_path.iterdir())
    folder = tmp_path / os.fspath(path).partition("/")[0]
    folder.mkdir()  # whoever has such a folder may use it
    assert local_path(path) == Path(path)


@pytest.mark.parametrize("path", ["", "a\0b", b"bytes", None, 3, io.BytesIO()])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ConfigurationError, match="cannot be the path"):
        local_path(path)
    for save in (to_csv, to_excel):
        with pytest.raises(ConfigurationError, match="cannot be the path"):
            save(pd.DataFrame({"a": [1]}), path)


def test_a_password_in_an_address_is_not_shown():
    assert shown("ftp://me:SECRET@host/x?sig=SECRET") == "ftp://***@host/x"
    assert shown("https://SECRET@host/x@y") == "https://***@y"
    assert shown("ftp://me:SEC/RET@host/x") == "ftp://***@host/x"
    assert shown("s3://bucket/x@y") == "s3://bucket/x@y"


@pytest.fixture
def shared(tmp_path):
    """A folder where everybody may add files, and a file that is nobody's business."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root may give files away"
)


@as_root
@pytest.mark.parametrize("way", ["the file", "a folder", "behind a link of ones own", "to nothing"])
def test_a_link_that_somebody_else_left_in_a_shared_folder_is_not_followed(tmp_path, shared, way):
    keys = tmp_path / "mine" / "authorized_keys"
    keys.parent.mkdir()
    keys.write_text("precious")
    os.chown(shared, 12345, 12345)
    if way == "a folder":
        link, saved = shared / "results", shared / "results" / "authorized_keys"
        link.symlink_to(keys.parent)
    else:
        link = saved = shared / "out"
        link.symlink_to(keys if way != "to nothing" else tmp_path / "mine" / "new")
    os.chown(link, 54321, 54321, follow_symlinks=False)
    if way == "behind a link of ones own":
        saved = tmp_path / "short"
        saved.symlink_to(link)
    with pytest.raises(PermissionError, match="somebody else left"):
        put(saved)
    assert keys.read_text() == "precious"
    assert [*keys.parent.iterdir()] == [keys]


@as_root
@pytest.mark.parametrize("owner", ["me", "whose folder it is"])
def test_a_link_of_ones_own_or_to_where_the_owner_of_the_folder_can_write_is_followed(
    tmp_path, shared, owner
):
    real = tmp_path / "disk" / "real"
    real.parent.mkdir()
    (shared / "out").symlink_to(real)
    if owner != "me":
        for theirs in (shared, shared / "out", real.parent):
            os.chown(theirs, 54321, 54321, follow_symlinks=False)
    put(shared / "out")
    assert real.read_text() == "new"


@as_root
@pytest.mark.parametrize("mode", [0o755, 0o777, 0o1777])
def test_a_link_in_somebody_elses_folder_that_leads_to_where_they_cannot_write_is_not_followed(
    tmp_path, shared, mode
):
    """It would have a private file replaced by whoever saves into a colleague's folder."""
    private = tmp_path / "mine" / "precious"
    private.parent.mkdir(mode=0o700)
    private.write_text("precious")
    shared.chmod(mode)
    (shared / "out").symlink_to(private)
    for theirs in (shared, shared / "out"):
        os.chown(theirs, 54321, 54321, follow_symlinks=False)
    with pytest.raises(PermissionError, match="save to its own path"):
        put(shared / "out")
    assert private.read_text() == "precious"


@pytest.mark.skipif(os.name != "posix", reason="there are no such links")
def test_links_in_a_circle_are_an_error_and_no_loop(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match=r"."):
        put(tmp_path / "a" / "out")
