"""A journal that others own, write or send along is not believed without a word of its user."""

import asyncio
import contextlib
import os
import shutil
import sqlite3
import stat
import struct
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

import lionproc as lp
from lionproc.engine import folder_lock, git_names, journal_file, made_here, trust
from lionproc.engine.home import home
from lionproc.engine.journal import Entry, Journal
from lionproc.engine.journal_intake import Intake
from lionproc.engine.journal_record import to_row
from lionproc.engine.made_here import mark
from lionproc.engine.trusted import trusting
from lionproc.errors import JournalError, LionprocWarning

pytestmark = pytest.mark.skipif(os.name != "posix", reason="there are no such rights")
as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root may give files away"
)
STRANGER = 54321


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A working folder without a journal, and no variables of ours."""
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    monkeypatch.delenv("LIONPROC_TRUST", raising=False)
    trust._is_own_group.cache_clear()
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def keep_one(path=None):
    async def keep(journal):
        await journal.append(Entry(bytes(16), b"{}", "m", 1, 1, 1, 0.1, 1.8e9))

    with Journal.open(path) as journal:
        asyncio.run(keep(journal))
        return Path(journal.path)


def test_a_journal_of_ones_own_is_opened_again(work):
    assert keep_one() == keep_one() == work / ".lionproc" / "journal.sqlite"


@as_root
@pytest.mark.parametrize("what", [".lionproc", ".lionproc/journal.sqlite"])
def test_a_journal_of_another_user_is_not_used(work, what):
    keep_one()
    os.chown(work / what, STRANGER, STRANGER)
    with pytest.raises(JournalError, match=rf"another user \({STRANGER}\).*LIONPROC_HOME=.*TRUST="):
        Journal.open()
    with pytest.raises(JournalError, match="another user"):
        Journal.open(work / ".lionproc" / "journal.sqlite")


@pytest.mark.parametrize("what", [".lionproc", ".lionproc/journal.sqlite", "."])
@pytest.mark.parametrize("right", [0o002, 0o020])
def test_a_journal_that_others_can_write_is_not_used(work, what, right):
    keep_one()
    path = work / what
    os.chown(path, -1, 54322) if os.geteuid() == 0 else None
    if right == 0o020 and os.geteuid() != 0:
        pytest.skip("only root may give files to a group")
    path.chmod(stat.S_IMODE(path.stat().st_mode) | right)
    with pytest.raises(JournalError, match=r"written by (everybody|a group)"):
        Journal.open()
    with pytest.raises(JournalError, match=r"journal\.sqlite.*written by"):
        Journal.open(".lionproc/journal.sqlite")


def test_a_folder_in_which_everybody_may_add_and_nobody_take_away_is_fine(work):
    work.chmod(0o1777)
    keep_one()
    keep_one()


@as_root
def test_a_file_beside_the_journal_that_another_user_put_there_is_not_used(work):
    path = keep_one()
    for end in ("-wal", "-journal", "-shm"):
        planted = Path(f"{path}{end}")
        planted.write_bytes(b"")
        os.chown(planted, STRANGER, STRANGER)
        with pytest.raises(JournalError, match=f"sqlite{end}.*another user"):
            Journal.open()
        planted.unlink()


@as_root
@pytest.mark.parametrize("link", [".lionproc", "of mine.sqlite"])
def test_a_link_of_another_user_in_a_shared_folder_does_not_say_where_answers_are_kept(
    work, tmp_path, link
):
    work.chmod(0o1777)
    (tmp_path / "mine").mkdir(0o700)
    Path(link).symlink_to(tmp_path / "mine" / ("" if link == ".lionproc" else "j.sqlite"))
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(JournalError, match=r"a link that somebody else left.*Remove it"):
        Journal.open(None if link == ".lionproc" else link)
    assert not list((tmp_path / "mine").iterdir())
    os.chown(link, 0, 0, follow_symlinks=False)
    if link == ".lionproc":
        keep_one()


@as_root
def test_nothing_is_written_where_a_link_of_another_user_in_the_place_of_records_leads(
    work, tmp_path, model
):
    work.chmod(0o1777)
    (tmp_path / "mine").mkdir(0o700)
    Path("service").symlink_to(tmp_path / "mine")
    os.chown("service", STRANGER, STRANGER, follow_symlinks=False)
    with pytest.raises(JournalError, match=r"a link that somebody else left.*Remove it"):
        lp.ProcessingService("service", "service", model=model)
    assert not list((tmp_path / "mine").iterdir())


def test_a_link_beside_the_journal_is_not_followed(work):
    path = keep_one()
    (work / "mine").write_text("precious")
    for end in ("-wal", "-journal"):
        link = Path(f"{path}{end}")
        link.symlink_to(work / "mine")
        with pytest.raises(JournalError, match="is a link"):
            Journal.open()
        link.unlink()
    assert (work / "mine").read_text() == "precious"


@pytest.mark.parametrize("trusted", [False, True])
def test_a_pipe_beside_the_journal_is_refused_and_not_waited_at(work, monkeypatch, trusted):
    path = keep_one()
    if trusted:
        monkeypatch.setenv("LIONPROC_TRUST", str(work))
    for end in ("-wal", "-journal", "-shm"):
        beside = Path(f"{path}{end}")
        os.mkfifo(beside, 0o600)
        with pytest.raises(JournalError, match=f"sqlite{end}.*Remove it"):
            Journal.open(path)
        beside.unlink()
    assert keep_one() == path


@pytest.mark.parametrize("trusted", [False, True])
def test_what_lies_beside_a_journal_has_no_file_removed(work, monkeypatch, trusted):
    if trusted:
        monkeypatch.setenv("LIONPROC_TRUST", str(work))
    path, mine = keep_one(), work / "mine"
    mine.write_text("precious")
    with contextlib.closing(sqlite3.connect(path)) as plain:  # a WAL goes before what is beside
        plain.execute("PRAGMA journal_mode = DELETE")
    mark, name = bytes.fromhex("d9d505f920a163d7"), bytes(mine)
    pages = path.stat().st_size // 4096
    head = mark + struct.pack(">5I", 0, 0, pages, 512, 4096) + bytes(484)
    named = struct.pack(">I", 2**30 // 4096 + 1) + name
    beside = Path(f"{path}-journal")
    beside.write_bytes(head + named + struct.pack(">2I", len(name), sum(name)) + mark)
    beside.chmod(0o600)
    with pytest.raises(JournalError, match=r"names another file.*remove it"):
        Journal.open(path)
    assert mine.read_text() == "precious"
    beside.unlink()
    assert keep_one() == path


def test_a_group_of_ones_own_may_write(work, monkeypatch):
    monkeypatch.setattr(trust, "_is_own_group", lambda gid: True)
    work.chmod(0o775)
    keep_one()
    keep_one()


@pytest.mark.parametrize(
    ("gid", "members", "primary", "listed", "own"),
    [
        (0, ["eve"], ["eve"], False, True),  # root may do everything anyway
        (7, [], ["me"], False, True),  # named as the user, whose own it is
        (7, ["eve"], ["me"], False, False),
        (7, [], ["me", "eve"], True, False),  # the first group of another account
        (8, ["me", "root"], [], True, True),
        (8, ["me"], [], False, False),  # a directory service may know more than it lists
        (9, [], [], True, False),  # nobody knows it
    ],
)
def test_a_group_is_ones_own_where_nobody_else_can_be_in_it(  # noqa: PLR0917
    monkeypatch, gid, members, primary, listed, own
):
    uids = {"me": 1, "eve": 2, "root": 0}

    def account(name):
        return SimpleNamespace(pw_name=name, pw_uid=uids[name], pw_gid=7 if name == "me" else 70)

    def group(asked):
        return SimpleNamespace(gr_name={7: "me", 8: "work"}[asked], gr_mem=members)

    others = [SimpleNamespace(pw_name=n, pw_uid=uids[n], pw_gid=gid) for n in primary if n != "me"]
    monkeypatch.setattr(os, "geteuid", lambda: 1)
    monkeypatch.setattr("pwd.getpwuid", lambda uid: account("me"))
    monkeypatch.setattr("pwd.getpwall", lambda: [*([account("me")] if listed else []), *others])
    monkeypatch.setattr("grp.getgrgid", group)
    assert trust._is_own_group(gid) is own


def test_an_empty_file_found_here_is_made_for_its_owner_alone(work):
    file = home() / "journal.sqlite"
    file.touch(0o644)
    file.chmod(0o644)
    assert keep_one() == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("rights", [0o644, 0o640])
def test_a_journal_found_here_that_others_can_read_was_not_made_here(work, rights):
    path = keep_one()
    path.chmod(rights)
    with pytest.raises(JournalError, match=r"cloned, unpacked or copied.*chmod 600"):
        Journal.open()
    keep_one(path)  # naming it is a word
    path.chmod(0o600)
    keep_one()


def git(*arguments, **how):
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    subprocess.run([*command, *arguments], check=True, capture_output=True, **how)


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("umask", [0o022, 0o077])
@pytest.mark.parametrize("named", [None, ".lionproc", "./.lionproc"])
def test_a_journal_that_came_with_a_cloned_repository_is_not_used_without_a_word(
    work, tmp_path, monkeypatch, umask, named
):
    if named:
        monkeypatch.setenv("LIONPROC_HOME", named)
    keep_one()
    git("init", "-q", ".")
    git("add", "-f", ".lionproc/journal.sqlite")
    git("commit", "-qm", "x")
    before = os.umask(umask)
    try:
        git("clone", "-q", str(work), str(tmp_path / "clone"))
    finally:
        os.umask(before)
    monkeypatch.chdir(tmp_path / "clone")
    with pytest.raises(JournalError, match=r"cloned|git repository"):
        home()
    with pytest.raises(JournalError, match=r"LIONPROC_TRUST="):
        Journal.open()
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path / "clone"))
    keep_one()
    if named:
        return  # nothing is put into a folder that has a name already, no mark either
    monkeypatch.delenv("LIONPROC_TRUST")
    git("rm", "-q", "--cached", "-f", ".lionproc/journal.sqlite")
    Path(".lionproc/journal.sqlite").chmod(0o600)
    keep_one()


@pytest.mark.parametrize("way", ["a copy", "an archive"])
def test_a_journal_that_an_archive_or_a_copy_kept_private_is_told_once(work, tmp_path, way):
    keep_one()
    if way == "a copy":
        shutil.copytree(work, tmp_path / "elsewhere")
    else:
        with tarfile.open(tmp_path / "all.tar", "w") as archive:
            archive.add(work, "elsewhere")
        subprocess.run(["tar", "-xf", "all.tar"], cwd=tmp_path, check=True)
    os.chdir(tmp_path / "elsewhere")
    with pytest.warns(LionprocWarning, match=r"not made here: .* said once"):
        home()
    keep_one()  # and nothing is said any more
    work.rename(tmp_path / "moved")
    os.chdir(tmp_path / "moved")
    keep_one()


def test_a_log_alone_that_came_with_an_archive_is_told_too(work):
    folder = home()
    (folder / ".made-here").unlink()
    (folder / ".journal.sqlite.0.intake").touch(0o600)
    home()  # nothing is in it
    (folder / ".made-here").write_text("1")
    (folder / ".journal.sqlite.0.intake").write_bytes(b"row2")
    with pytest.warns(LionprocWarning, match="not made here"):
        home()


def a_stranger_sends(tmp_path, monkeypatch):
    """A folder with a journal in which an answer was planted."""
    (tmp_path / "theirs").mkdir()
    with monkeypatch.context() as there:
        there.chdir(tmp_path / "theirs")
        return keep_one().parent


def keep_another():
    async def keep(journal):
        await journal.append(Entry(bytes(15) + b"1", b"mine", "m", 1, 1, 1, 0.1, 1.8e9))

    with Journal.open() as journal:
        asyncio.run(keep(journal))


@pytest.mark.parametrize("way", ["tar", "zip in place", "unpack_archive", "cp"])
def test_an_archive_that_is_unpacked_over_a_journal_made_here_is_told_once(
    work, tmp_path, monkeypatch, way
):
    theirs = a_stranger_sends(tmp_path, monkeypatch)
    keep_another()
    kind = "zip" if way == "zip in place" else "tar"
    packed = shutil.make_archive(
        str(tmp_path / "p"), kind, theirs.parent, ".lionproc/journal.sqlite"
    )
    commands = {
        "tar": ["tar", "-xf", packed],
        "zip in place": [sys.executable, "-m", "zipfile", "-e", packed, "."],
        "cp": ["cp", "-r", f"{theirs}/journal.sqlite", ".lionproc"],
    }
    if way == "unpack_archive":
        how = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        shutil.unpack_archive(packed, work, **how)
    else:
        subprocess.run(commands[way], check=True)
    with pytest.warns(LionprocWarning, match=r"not made here: .* said once"):
        keep_one()
    keep_one()


def test_a_journal_made_here_that_was_opened_by_another_name_is_made_here_still(work, tmp_path):
    keep_one()
    keep_one()
    os.link(".lionproc/journal.sqlite", tmp_path / "another.sqlite")
    for _ in range(2):
        keep_one(tmp_path / "another.sqlite")
        keep_one()  # with no warning


def test_an_archive_that_is_unpacked_while_the_journal_is_open_is_told_too(
    work, tmp_path, monkeypatch
):
    theirs = a_stranger_sends(tmp_path, monkeypatch)
    keep_another()
    with Journal.open() as journal:
        (theirs / "journal.sqlite").replace(journal.path)
        with pytest.warns(LionprocWarning, match="not made here"):
            assert bytes(16) in journal.find([bytes(16)])


def test_a_log_that_is_unpacked_beside_a_journal_made_here_is_told_once(
    work, tmp_path, monkeypatch
):
    theirs = a_stranger_sends(tmp_path, monkeypatch)
    monkeypatch.chdir(theirs.parent)
    planted(".journal.sqlite.0.intake")
    monkeypatch.chdir(work)
    keep_another()
    keep_another()  # nothing of its own is told
    shutil.copy2(theirs / ".journal.sqlite.0.intake", ".lionproc")
    with pytest.warns(LionprocWarning, match=r"not made here: .* said once"):
        keep_another()
    keep_another()


def test_what_was_made_here_is_never_told(work):
    keep_one()
    planted(".journal.sqlite.0.intake")  # by a process of its own that was killed
    with Journal.open() as journal:
        assert journal.find([bytes(16)])[bytes(16)].reply == b"theirs"
        journal.contents.prune(before=2e9)  # all of it, and the file is written anew
    keep_one()
    path = keep_one()
    mark(path.parent, with_secret=True)  # by a process that saw no mark yet
    keep_one()
    for beside in ("", "-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    keep_one()
    keep_one()


def test_a_folder_of_an_older_version_is_given_its_secret_without_a_word(work, monkeypatch):
    path = keep_one()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as plain:
        plain.execute("DELETE FROM run")
    made_here = path.parent / ".made-here"
    made_here.write_bytes(made_here.read_bytes().splitlines(keepends=True)[0])
    planted(".journal.sqlite.0.intake")
    assert (path.parent / ".journal.sqlite.0.intake").read_bytes().startswith(b"row2")
    with monkeypatch.context() as killed:  # before the journal has it
        killed.setattr(journal_file, "make_secret", lambda *_: None)
        keep_one()
    planted(".journal.sqlite.0.intake")
    keep_one()
    assert len(made_here.read_bytes().splitlines()) == 2
    keep_one()


def test_a_link_in_the_place_of_the_mark_is_replaced_and_not_followed(work):
    thesis = work / "thesis.txt"
    thesis.write_text("all of it")
    folder = home()
    (folder / ".made-here").unlink()
    (folder / ".made-here").symlink_to(thesis)
    home()
    assert thesis.read_text() == "all of it"
    assert not (folder / ".made-here").is_symlink()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(
    "how", ["a worktree", "short names in the index", "a shared index", "a repository in it"]
)
def test_a_journal_that_git_tracks_is_found_in_whatever_way_git_keeps_it(work, tmp_path, how):
    place = work / "deep"
    place.mkdir()
    git("init", "-q", ".")
    if how == "a worktree":
        git("commit", "-q", "--allow-empty", "-m", "x")
        place = tmp_path / "tree"
        git("worktree", "add", "-q", str(place))
    os.chdir(place)
    file = keep_one()
    Path(".lionproc/journal").touch()  # most of its name is what a neighbour has
    git("add", "-f", ".lionproc/journal", ".lionproc/journal.sqlite")
    if how == "short names in the index":
        git("update-index", "--index-version", "4")
    if how == "a shared index":
        git("update-index", "--split-index")
        decoys = [Path(f"{n:05}link") for n in range(30)]
        for decoy in decoys:
            decoy.touch()
        git("add", "-f", *map(str, decoys))
        assert b"journal.sqlite" not in (work / ".git/index").read_bytes()
    if how == "a repository in it":
        git("init", "-q", ".")
    with pytest.raises(JournalError, match="part of the git repository"):
        Journal.open()
    keep_one(file)  # naming it is a word


@pytest.mark.skipif(sys.platform == "darwin", reason="names are Unicode there")
def test_a_folder_whose_name_is_no_unicode_may_be_a_repository_or_not(work, monkeypatch):
    for name in (b"tracked \xff", b"\xfe"):
        place = work / os.fsdecode(name)
        place.mkdir()
        monkeypatch.chdir(place)
        keep_one()
        lp.ProcessingService()
    git("-C", str(work), "init", "-q", ".")
    git("-C", str(work), "add", "-f", str(work / os.fsdecode(b"tracked \xff") / ".lionproc"))
    keep_one()
    monkeypatch.chdir(work / os.fsdecode(b"tracked \xff"))
    with pytest.raises(JournalError, match="part of the git repository"):
        Journal.open()


@pytest.mark.parametrize("what", ["a pipe", "a pipe for a worktree", "a giant", "of another user"])
def test_what_is_in_the_place_of_a_repository_above_holds_nobody_up(work, what):
    keep_one()
    place = work.parent / ".git"
    if what == "of another user":
        if os.geteuid() != 0:
            pytest.skip("only root may give files away")
        git("init", "-q", str(work.parent))
        git("-C", str(work.parent), "add", "-f", "work/.lionproc/journal.sqlite")
        os.chown(place, STRANGER, STRANGER)
    elif what == "a pipe":
        place.mkdir()
        os.mkfifo(place / "index")
    elif what == "a giant":
        with place.open("wb") as file:
            file.truncate(2**40)
    else:
        os.mkfifo(work / "index")
        place.write_text(f"gitdir: {work}")
    if "pipe" in what:  # it is of this user, or of root
        with pytest.raises(JournalError, match="its index cannot be read: it is a device, pipe"):
            Journal.open()
    else:
        keep_one()


ENTRY = bytes(40 + 20 + 2)  # of a file in an index, before its name


@pytest.mark.parametrize(
    "entries",
    [
        (ENTRY + b"\0" + b"a" * 1000 + b"\0") * 200,  # each has all of the name before it
        ENTRY + b"\0" + b"a" * 2**17 + b"\0",
        ENTRY + b"\xff" * 2**17 + b"\0a\0",  # a number of a million bits
    ],
    ids=["names that grow", "a long name", "a long number"],
)
def test_names_in_an_index_that_git_has_not_written_take_no_time_without_end(work, entries):
    keep_one()
    last = ENTRY + b"\x7f.lionproc/journal.sqlite\0"  # of the name before it, nothing
    index = b"DIRC" + struct.pack(">II", 4, 1000) + entries + last
    names = []
    with contextlib.suppress(git_names.UnknownError):
        names.extend(git_names.names(index, 4, 20))
    assert sum(map(len, names)) <= 200 * git_names.LONGEST_PATH
    assert max(map(len, names), default=0) <= 2 * git_names.LONGEST_PATH
    assert b".lionproc/journal.sqlite" not in names  # nothing is looked for behind it
    Path(".git").mkdir()
    Path(".git/index").write_bytes(index)
    with pytest.raises(JournalError, match=r"\(for all that can be told: its index is damaged, or"):
        Journal.open()


def test_no_record_has_a_name_that_is_looked_for_again_in_each_part_of_itself(work):
    for name, place in ((b"req_" * 20, work), (b"req_" * 1000, None)):
        named = ENTRY[:-2] + struct.pack(">H", min(len(name) + 5, 0xFFF)) + name + b".json\0"
        Path(".git").mkdir(exist_ok=True)
        Path(".git/index").write_bytes(b"DIRC" + struct.pack(">II", 2, 1) + named)
        assert trust.repository_of_records(work) == place


def test_a_link_of_a_repository_leads_to_no_journal_that_came_with_it(work):
    git("init", "-q", ".")
    keep_one()
    Path(".lionproc").rename("data")
    Path(".lionproc").symlink_to("data")
    git("add", "-f", "data/journal.sqlite")
    with pytest.raises(JournalError, match=r"data/journal\.sqlite.*part of the git repository"):
        Journal.open()
    git("rm", "-q", "-f", "--cached", "data/journal.sqlite")
    keep_one()


def test_a_link_of_a_repository_does_not_say_where_answers_are_kept(work, tmp_path, monkeypatch):
    git("init", "-q", ".")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "journal.sqlite").touch(0o644)
    Path(".lionproc").symlink_to(tmp_path / "public")
    git("add", "-f", ".lionproc")
    with pytest.raises(JournalError, match=r"is a link to .*public.*git repository.*LIONPROC_HOME"):
        Journal.open()
    assert [file.name for file in (tmp_path / "public").iterdir()] == ["journal.sqlite"]
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path / "public"))
    keep_one()
    monkeypatch.delenv("LIONPROC_TRUST")
    git("rm", "-q", "-f", "--cached", ".lionproc")
    (tmp_path / "public" / "journal.sqlite").chmod(0o600)
    keep_one()


@pytest.mark.parametrize("link", ["processing", "work"])
def test_a_link_of_a_repository_does_not_say_where_records_are_kept(
    work, tmp_path, monkeypatch, link
):
    git("init", "-q", ".")
    (tmp_path / "public").mkdir()
    Path(link).symlink_to(tmp_path / "public")
    git("add", "-f", link)
    folder = "processing" if link == "processing" else "work/of mine"
    for make in (lp.ProcessingService, lp.BatchProcessor, lp.Pipeline):
        with pytest.raises(JournalError, match=r"is a link to .*public.*git repository"):
            make(save_dir=folder)
    assert not list((tmp_path / "public").iterdir())
    monkeypatch.setenv("LIONPROC_TRUST", str(tmp_path / "public"))
    lp.ProcessingService(save_dir=folder)


@pytest.mark.parametrize("folder", [".lionproc", "processing"])
def test_a_link_of_a_repository_is_no_journal_wherever_it_leads(work, tmp_path, folder):
    git("init", "-q", ".")
    Path(folder).mkdir()
    Path(folder, "journal.sqlite").symlink_to(tmp_path / "theirs.sqlite")
    git("add", "-f", f"{folder}/journal.sqlite")
    with pytest.raises(JournalError, match=r"is a link.*LIONPROC_HOME"):
        Journal.open() if folder == ".lionproc" else lp.ProcessingService(save_dir=folder)
    assert not (tmp_path / "theirs.sqlite").exists()


@pytest.mark.parametrize("folder", [".lionproc", "processing"])
def test_a_link_of_an_archive_is_no_journal_that_nobody_named(work, tmp_path, monkeypatch, folder):
    Path(folder).mkdir(0o700)
    Path(folder, "journal.sqlite").symlink_to(tmp_path / "theirs.sqlite")

    def begin():
        return Journal.open() if folder == ".lionproc" else lp.ProcessingService(save_dir=folder)

    with pytest.raises(JournalError, match=r"is a link.*journal="):
        begin()
    assert not (tmp_path / "theirs.sqlite").exists()
    lp.ProcessingService(save_dir=folder, journal=tmp_path / "theirs.sqlite")
    monkeypatch.setenv("LIONPROC_TRUST", str(Path(folder).resolve()))
    begin()


def test_the_folders_that_are_named_are_trusted_and_no_others(work, tmp_path, monkeypatch):
    path = keep_one()
    path.chmod(0o666)
    monkeypatch.setenv("LIONPROC_TRUST", os.pathsep.join([str(tmp_path / "other"), str(work)]))
    keep_one()
    monkeypatch.setenv("LIONPROC_TRUST", str(work) + "-not")
    with pytest.raises(JournalError):
        Journal.open()


@pytest.mark.skipif(os.name != "posix", reason="there is no such shell")
def test_a_way_on_with_a_strangers_name_in_it_runs_nothing_and_trusts_nothing_else():
    assert trusting("/shared/my data") == "LIONPROC_TRUST='/shared/my data'"
    said = trusting("/shared/$(touch x)'; rm -r y")
    environment = {"PATH": os.environ["PATH"]}
    shown = subprocess.run(
        ["/bin/sh", "-c", f'export {said}; printf %s "$LIONPROC_TRUST"'],
        capture_output=True, text=True, env=environment, check=True,
    )  # fmt: skip
    assert shown.stdout == "/shared/$(touch x)'; rm -r y"
    for odd in ("/shared/x:/", "/shared/\x1b]0;x\x07", "/shared/x\n/", "/shared/\u202ex"):
        assert trusting(odd).isprintable()
        assert "/shared" not in trusting(odd)


def test_the_way_on_works(work, tmp_path, monkeypatch):
    work.chmod(0o777)
    with pytest.raises(JournalError, match=r"LIONPROC_HOME=~/\.lionproc"):
        Journal.open()
    assert list(work.iterdir()) == []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LIONPROC_HOME", "~/.lionproc")
    assert keep_one() == tmp_path / ".lionproc" / "journal.sqlite"


def test_what_is_put_there_between_the_look_and_the_opening_is_not_used(work, monkeypatch):
    make = journal_file._make_file

    def too_late(path):
        make(path)
        Path(path).chmod(0o666)

    monkeypatch.setattr(journal_file, "_make_file", too_late)
    with pytest.raises(JournalError, match="written by everybody"):
        Journal.open(work / "journal.sqlite")


def planted(part):
    """What a stranger's commit has beside the place of a journal: pages, or answers of a log."""
    if part.endswith(".intake"):
        log = Intake(str(Path(".lionproc/journal.sqlite").resolve())).take()
        log.add((*to_row(Entry(bytes(16), b"theirs", "m", 1, 1, 1, 0.1, 1.8e9)), 0))
        log.flush()
        log.close(is_ours=False)
    else:
        Path(".lionproc", part).write_bytes(b"theirs")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("part", [".journal.sqlite.0.intake", "journal.sqlite-wal"])
def test_what_came_with_a_repository_beside_the_place_of_a_journal_is_not_used(
    work, part, is_there
):
    home()
    if is_there:
        keep_one()
    planted(part)
    file = work / ".lionproc" / part
    file.chmod(0o644)  # as git leaves it
    with pytest.raises(JournalError, match=r"a part of the journal.*cloned"):
        Journal.open()
    file.chmod(0o600)  # as git leaves it where the umask says so
    git("init", "-q", ".")
    git("add", "-f", f".lionproc/{part}")
    with pytest.raises(JournalError, match=r"a part of the journal.*git repository"):
        Journal.open()


def test_a_log_that_others_can_read_answers_nothing_beside_a_journal_that_is_named_either(work):
    home()
    planted(".journal.sqlite.0.intake")
    Path(".lionproc/.journal.sqlite.0.intake").chmod(0o644)
    with Journal.open(".lionproc/journal.sqlite") as journal:
        assert len(journal) == 0


def test_who_holds_the_folder_for_a_lock_of_their_own_keeps_nobody_waiting(work, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(folder_lock, "_PAUSE_S", 0)
    folder = work / ".lionproc"
    folder.mkdir(mode=0o700)
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)  # as `flock .lionproc python run.py` does
        keep_one()
    finally:
        os.close(place)
    assert made_here.is_made_here(folder)
