"""A repository of which nobody can tell what it tracks counts as tracking all that lies in it."""

import contextlib
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

import lionproc as lp
from lionproc.engine import git_index, git_names
from lionproc.engine.git_index import doubt_of, is_gone, repository_with, tracks
from lionproc.engine.journal import Journal
from lionproc.engine.regular_file import opened_regular
from lionproc.engine.trust import repository_of_parts, repository_of_records
from lionproc.errors import ConfigurationError, JournalError, SaveError
from lionproc.frame.save_target import refuse_parts_of_git
from lionproc.service.records import RecordError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="no index is looked at there")
with_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
NAME = b"answers.csv"
HASH = bytes(20)  # at the end, as where `index.skipHash` is set


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A working folder with an empty `.git`, and no variables of ours."""
    monkeypatch.delenv("LIONPROC_HOME", raising=False)
    monkeypatch.delenv("LIONPROC_TRUST", raising=False)
    folder = tmp_path / "work"
    (folder / ".git").mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def git(*arguments, **how):
    subprocess.run(["git", *arguments], check=True, capture_output=True, **how)


def head(version, files=1):
    return b"DIRC" + struct.pack(">II", version, files)


def entry(name):
    """A file in an index of version 2."""
    made = bytes(60) + struct.pack(">H", min(len(name), 0xFFF)) + name
    return made + bytes(8 - len(made) % 8)


def cut_entry(name, cut=0):
    """One in an index of version 4: of the name before it, so many letters are cut."""
    return bytes(62) + bytes([cut]) + name + b"\0"


def extension(name, content):
    return name + struct.pack(">I", len(content)) + content


def put(content, *, zeros=0, hole=0):
    with Path(".git/index").open("wb") as index:
        index.write(content[:12])
        index.write(bytes(zeros))
        index.seek(hole, os.SEEK_CUR)
        index.write(content[12:])


def test_the_index_of_a_large_repository_is_looked_through(work):
    put(head(2) + entry(b"another.csv") + HASH, zeros=100 * 2**20)
    assert repository_with(work / "answers.csv") is None
    put(head(2) + entry(NAME) + HASH, zeros=100 * 2**20)
    assert repository_with(work / "answers.csv") == work
    assert not doubt_of(work)


@pytest.mark.skipif(os.name != "posix", reason="a file has no such rights there")
@pytest.mark.parametrize("zeros", [0, 100 * 2**20])
def test_an_index_that_is_cut_while_it_is_looked_through_ends_nobody(work, monkeypatch, zeros):
    """As whoever shares a repository can do; a map of it would end the process (SIGBUS)."""
    put(head(2) + entry(b"another.csv") + HASH, zeros=zeros)
    Path(".git/index").chmod(0o666)
    look = git_names.places

    def cut(*index_and_name):
        os.truncate(".git/index", 0)
        return look(*index_and_name)

    monkeypatch.setattr(git_names, "places", cut)
    assert repository_with(work / "answers.csv") is None


@pytest.mark.skipif(os.name != "posix", reason="a file has no such rights there")
def test_an_index_that_is_too_long_to_be_read_and_may_be_cut_counts_as_tracking_all(
    work, monkeypatch
):
    monkeypatch.setattr(git_index, "MOST_READ", 100)
    monkeypatch.setattr(git_index, "MOST_READ_OF_OTHERS", 1000)
    for zeros, rights, is_tracked in (
        (500, 0o666, False),
        (5000, 0o644, False),
        (5000, 0o664, True),
    ):
        put(head(2) + entry(b"another.csv") + HASH, zeros=zeros)
        Path(".git/index").chmod(rights)
        assert (repository_with(work / "answers.csv") == work) == is_tracked
    assert "others can change it" in doubt_of(work)


def make(what):
    """An index that nobody can look through, and what is said of it."""
    index = Path(".git/index")
    if what == "larger than any":
        put(head(2) + entry(b"a") + HASH, hole=2**31)
        return "its index is larger than 2 GiB"
    if what == "with a hole":
        put(head(2) + entry(b"a") + HASH, hole=2**30)
        return "its index has holes"
    if what == "none at all":
        put(b"NONE" + head(2)[4:] + entry(b"a") + HASH)
        return "its index is damaged, or made by a newer git"
    if what == "of a newer git":
        put(head(5) + entry(b"a") + HASH)
        return "its index is damaged, or made by a newer git"
    if what == "a folder":
        index.mkdir()
        return "its index cannot be read: Is a directory"
    if what == "a pipe":
        os.mkfifo(index)
        return "its index cannot be read: it is a device, pipe or socket"
    if what == "of names that are too long":
        put(head(4, 2) + cut_entry(b"a" * 2**17) + cut_entry(b"b") + HASH)
        return "its index is damaged, or has more or longer names"
    if what == "cut off":
        put((head(4, 2) + cut_entry(b"a") + cut_entry(b"b"))[:-3])
        return "its index is damaged, or has more or longer names"
    if what == "longer than it says":
        put(head(4) + cut_entry(b"a") + cut_entry(b"b") + HASH)
        return "its index is damaged, or has more or longer names"
    put(head(2, 0) + extension(b"link", b"\1" * 20 + bytes(8)) + HASH)
    return f"its index is split, and sharedindex.{'01' * 20} is not there"


KINDS = [
    *("larger than any", "with a hole", "none at all", "of a newer git", "a folder", "a pipe"),
    *("of names that are too long", "cut off", "longer than it says", "without what it shares"),
]


@pytest.mark.parametrize("what", KINDS)
def test_an_index_that_nobody_can_look_through_counts_as_tracking_all(work, monkeypatch, what):
    Journal.open().close()
    said = make(what)
    assert repository_with(work / "answers.csv") == work
    assert tracks(work, "no such name")
    with pytest.raises(JournalError) as refused:
        Journal.open()
    place = str(work / ".lionproc")
    assert f"git repository {str(work)!r} (for all that can be told: {said}" in str(refused.value)
    assert str(refused.value).endswith(f"LIONPROC_TRUST={place}")
    monkeypatch.setenv("LIONPROC_TRUST", place)
    Journal.open().close()


def test_every_door_is_shut_and_says_how_to_go_on_where_nobody_can_tell_what_is_tracked(
    work, tmp_path, monkeypatch, server, model
):
    monkeypatch.setenv("LIONPROC_HOME", str(tmp_path / "home"))
    df = pd.DataFrame({"text": [f"text {n}" for n in range(4)]})
    run = {"into": "a", "model": model, "save": work / "out", "chunk_size": 2, "resume": False}
    df.llm.process("Say {text}", progress=False, **run)
    (tmp_path / "outside").mkdir()
    (work / "link").symlink_to(tmp_path / "outside")
    (work / "processing").symlink_to(tmp_path / "outside")
    sent, doubt = server.counters.total, make("larger than any")
    with pytest.raises(ConfigurationError, match=rf"parts .*{doubt}.*LIONPROC_TRUST={work}/out"):
        df.llm.process("Say {text}", progress=False, **run)
    with pytest.raises(RecordError, match=rf"records .*{doubt}.*LIONPROC_TRUST={work}/requests"):
        lp.ProcessingService(save_dir="requests", model=model)
    with pytest.raises(JournalError, match=rf"is a link .*{doubt}.*TRUST={tmp_path}/outside"):
        lp.ProcessingService(save_dir="processing", model=model)
    with pytest.raises(SaveError, match=rf"part of the git repository.*TRUST={tmp_path}/outside"):
        df.llm.to_csv(work / "link" / "a.csv")
    assert server.counters.total == sent
    assert not list((tmp_path / "outside").iterdir())
    monkeypatch.setenv("LIONPROC_TRUST", os.pathsep.join([str(work), str(tmp_path / "outside")]))
    assert len(df.llm.process("Say {text}", progress=False, **run)) == 4
    lp.ProcessingService(save_dir="requests", model=model)
    lp.ProcessingService(save_dir="processing", model=model)
    df.llm.to_csv(work / "link" / "a.csv")


@contextlib.contextmanager
def nobody_special():
    """As a user who is not root, whose the files in the working folder are."""
    if os.geteuid() != 0:
        yield
        return
    for file in (Path(".git"), Path(".git/index")):
        os.chown(file, 12345, 12345)
    above = [each for each in Path.cwd().parents if each.stat().st_mode & 0o011 != 0o011]
    for each in above:
        each.chmod(each.stat().st_mode | 0o011)
    os.seteuid(12345)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("locked", [".git/index", ".git"])
def test_an_index_that_may_not_be_read_counts_as_tracking_all(work, locked):
    put(head(2) + entry(b"a") + HASH)
    with nobody_special():
        Path(locked).chmod(0)
        try:
            assert repository_with(work / "answers.csv") == work
            assert "Permission denied" in doubt_of(work)
        finally:
            Path(locked).chmod(0o700)


def test_names_at_more_places_than_are_looked_at_count_as_tracked(work, monkeypatch):
    names = [b"%03d/%b" % (n, NAME) for n in range(20)]
    put(head(2, 20) + b"".join(map(entry, names)) + HASH)
    assert repository_with(work / "answers.csv") is None
    monkeypatch.setattr(git_names, "MOST_LOOKS", 10)
    assert repository_with(work / "answers.csv") == work


@pytest.mark.parametrize("bound", ["MOST_NAMES", "MOST_BYTES"])
def test_more_short_names_than_are_put_together_count_as_tracked(work, monkeypatch, bound):
    put(head(4, 20) + cut_entry(b"a") * 20 + HASH)
    assert repository_with(work / "answers.csv") is None
    monkeypatch.setattr(git_names, bound, 10)
    assert repository_with(work / "answers.csv") == work


@pytest.mark.parametrize(
    "what",
    [
        "no index yet",
        "an empty index",
        "an index without files",
        "split from nothing",
        "a file that leads to no name",
        "an empty file",
        "a file of somebody's notes",
        "a giant",
        "a link that leads nowhere",
        "a link that leads to itself",
        "a path that is too long",
        "a pipe",
    ],
)
def test_what_is_no_repository_or_a_new_one_refuses_nothing(work, what):
    place = work / ".git"
    if what == "an empty index":
        put(b"")
    elif what == "an index without files":
        put(head(2, 0) + HASH)
    elif what == "split from nothing":
        put(head(2, 0) + extension(b"link", bytes(28)) + HASH)
    elif what != "no index yet":
        place.rmdir()
    if what == "a link that leads nowhere":
        place.symlink_to("nowhere")
    elif what == "a link that leads to itself":
        place.symlink_to(".git")
    elif what == "a pipe":
        os.mkfifo(place)
    elif what == "a giant":
        with place.open("wb") as file:
            file.truncate(2**40)
    elif not place.exists():
        (work / "index").write_text("my notes")
        (work / "nowhere").mkdir()
        place.write_bytes(
            {
                "a file that leads to no name": b"gitdir: \n",
                "a path that is too long": b"gitdir: " + b"a/" * 2**17,
                "a file of somebody's notes": b".",
            }.get(what, b"")
        )
    Journal.open().close()
    Journal.open().close()
    assert repository_with(work / "answers.csv") is None
    lp.ProcessingService(save_dir="requests")


def test_where_a_worktree_is_alone_what_was_made_there_is_believed_and_nothing_else(work):
    """As in a container that has no more of a repository: git itself takes it for none."""
    (work / ".git").rmdir()
    (work / ".git").write_bytes(b"gitdir: ../moved/away/.git/worktrees/tree\n")
    for _ in range(2):  # also when it is there
        Journal.open().close()
        lp.ProcessingService(save_dir="requests")
    assert is_gone(work)
    assert "to which its file .git leads" in doubt_of(work)
    (work / "planted").mkdir()
    lp.ProcessingService(save_dir="planted")  # nothing is in it
    shutil.rmtree("planted")
    (work / "planted").mkdir()
    (work / "planted" / "req_1a.json").write_text("{}")
    with pytest.raises(RecordError, match="to which its file"):
        lp.ProcessingService(save_dir="planted")
    table = pd.DataFrame({"a": [1]})
    (work / "link.csv").symlink_to("../elsewhere.csv")
    with pytest.raises(SaveError, match="is part of the git repository"):
        table.llm.to_csv("link.csv")
    shutil.move(".lionproc", "made")
    shutil.copytree("made", ".lionproc")  # as it would have come along
    with pytest.raises(JournalError, match="to which its file"):
        Journal.open()


def test_where_a_worktree_is_alone_parts_that_were_saved_there_are_gone_on_with(work, model):
    (work / ".git").rmdir()
    (work / ".git").write_bytes(b"gitdir: ../moved/away/.git/worktrees/tree\n")
    table = pd.DataFrame({"text": ["a", "b"]})
    for _ in range(2):
        table.llm.process("Say {text}", model=model, save="parts/", resume=False, progress=False)
    refuse_parts_of_git(work / "parts")
    (part,) = (work / "parts").iterdir()
    pd.read_parquet(part).to_parquet(part)  # one that came along
    with pytest.raises(ConfigurationError, match="to which its file"):
        refuse_parts_of_git(work / "parts")


@with_git
def test_a_repository_of_which_the_files_are_kept_in_tables_of_another_kind_is_as_any(work):
    git("init", "-q", ".")
    (work / ".git" / "reftable").mkdir()
    (work / "answers.csv").touch()
    assert repository_with(work / "answers.csv") is None
    git("add", "-f", "answers.csv")
    assert repository_with(work / "answers.csv") == work


@with_git
@pytest.mark.skipif(os.uname().sysname == "Darwin", reason="names are Unicode there")
@pytest.mark.parametrize("name", [b"\xff", b"of mine ", b" spaced"])
def test_a_worktree_is_found_whatever_the_name_of_its_repository(tmp_path, name):
    main, tree, apart = tmp_path / os.fsdecode(name), tmp_path / "tree", tmp_path / "apart"
    git("init", "-q", str(main))
    how = ["-c", "user.name=a", "-c", "user.email=a@b", "-C", str(main)]
    git(*how, "commit", "-q", "--allow-empty", "-m", "x")
    git(*how, "worktree", "add", "-q", str(tree))
    (tree / "answers.csv").touch()
    assert repository_with(tree / "answers.csv") is None
    git("-C", str(tree), "add", "-f", "answers.csv")
    assert repository_with(tree / "answers.csv") == tree
    git("init", "-q", "--separate-git-dir", str(main / "ends in a space "), str(apart))
    (apart / "answers.csv").touch()
    git("-C", str(apart), "add", "-f", "answers.csv")
    assert repository_with(apart / "answers.csv") == apart


@with_git
@pytest.mark.parametrize("kind", ["sha1", "sha256"])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("version", ["2", "4"])
def test_what_git_writes_is_looked_through_to_its_end(work, kind, version, split):
    (work / ".git").rmdir()
    git("init", "-q", f"--object-format={kind}", ".")
    for n in range(300):
        Path(f"{n:0{1 + n}}"[:200]).touch()
    git("add", ".")
    git("update-index", "--index-version", version, *(["--split-index"] if split else []))
    (work / "answers.csv").touch()
    for name in ("b.csv", "c.csv"):  # in the index itself, and not in what it shares
        Path(name).touch()
        git("add", name)
    assert repository_with(work / "answers.csv") is None
    assert not doubt_of(work)
    git("add", "-f", "answers.csv")
    assert repository_with(work / "answers.csv") == work
    assert not doubt_of(work)


def test_nothing_stays_open_of_a_folder_in_the_place_of_a_file(tmp_path):
    def opened():
        return os.open(os.devnull, os.O_RDONLY)

    first = opened()
    os.close(first)
    for _ in range(5):
        with pytest.raises(IsADirectoryError), opened_regular(tmp_path):
            pass
    again = opened()
    os.close(again)
    assert again == first


@with_git
@pytest.mark.skipif(sys.platform == "darwin", reason="names are found in any case there")
@pytest.mark.parametrize("version", ["2", "4"])
@pytest.mark.parametrize("where", ["macOS", "a disk of Windows"])
def test_where_names_are_found_in_any_case_git_has_them_in_any(work, monkeypatch, version, where):
    shutil.rmtree(".git")
    odd = [
        "an\u017fwers/part-00000-0a1b2c3d.parquet",
        "l\u212a",
        "stra\u00dfe.csv",
        "o\ufb03ce.csv",
    ]
    odd += ["bits./part-00000-0a1b2c3d.parquet", "jobs /req_1a.json", "last.csv. "]
    odd += ["process\u0131ng.csv", ".lion\u200dproc/journal.sqlite", "x\ufe0f.csv"]
    for name in ("ANSWERS.sqlite", "SVC/req_1a.json", "ÉTÉ.csv", *odd):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"-")
    git("init", "-q", ".")
    git("add", "-f", ".")
    git("update-index", "--index-version", version)
    assert repository_with(work / "Answers.sqlite") is None
    assert repository_of_records(work / "svc") is None
    if where == "macOS":
        monkeypatch.setattr(sys, "platform", "darwin")
    else:
        Path(".GIT").symlink_to(".git")  # as it is found there too
    assert repository_with(work / "Answers.sqlite") == work
    assert repository_of_records(work / "svc") == work
    for name in (
        "été.csv",
        "lk",
        "strasse.csv",
        "STRASSE.csv",
        "office.csv",
        "x.csv",
        "processing.csv",
    ):
        assert repository_with(work / name) == work
        assert repository_with(work / name / "within") is None
    assert repository_with(work / ".lionproc" / "journal.sqlite") == work
    assert repository_of_parts(work / "answers") == repository_of_parts(work / "bits") == work
    assert repository_of_records(work / "jobs") == work
    assert repository_with(work / "ete.csv") is None
    assert repository_with(work / "strase.csv") is None
    assert not doubt_of(work)


@with_git
@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_a_name_is_found_whatever_else_its_entry_says(work, bit):
    shutil.rmtree(".git")
    Path("answers.csv").write_bytes(b"-")
    git("init", "-q", ".")
    git("add", "-f", ".")
    git("update-index", bit, "answers.csv")
    assert repository_with(work / "answers.csv") == work
    Path(".GIT").exists() or Path(".GIT").symlink_to(".git")  # names are found in any case
    assert repository_with(work / "answers.csv") == work
    assert not doubt_of(work)


@with_git
@pytest.mark.skipif(sys.platform == "darwin", reason="names are found in any case there")
def test_a_letter_that_a_disk_takes_for_another_is_that_one(work):
    """As ZFS does with normalization=formD, in each case for itself."""
    shutil.rmtree(".git")
    for name in ("\u212aPI/part-00000-0a1b2c3d.parquet", "a\u037eb.csv", "x\u1fefy.csv", "\u212b.csv",
                 "e\u0302\u0323.csv"):  # fmt: skip
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"-")
    git("init", "-q", ".")
    git("-c", "core.precomposeUnicode=false", "add", "-f", ".")
    assert repository_of_parts(work / "KPI") == work
    assert repository_of_parts(work / "kPI") is None
    for name in ("a;b.csv", "x`y.csv", "\u00c5.csv", "A\u030a.csv", "\u1ec7.csv"):
        assert repository_with(work / name) == work
    assert repository_with(work / "\u00e5.csv") is None


def test_no_name_is_folded_that_no_file_can_have_and_not_too_many(work, monkeypatch):
    """A short index of version 4 can have millions of long names, which share all but their ends."""
    Path(".GIT").symlink_to(".git")  # names are found in any case
    monkeypatch.setattr(git_names, "MOST_FOLDED", 10_000)
    long = cut_entry(b"x" + "é".encode() * 3000) + b"".join(
        cut_entry(b"%d" % n, 1) for n in range(50)
    )
    put(head(4, 51) + long + HASH)
    assert repository_with(work / "answers.csv") is None
    assert not doubt_of(work)
    put(head(4, 51) + long.replace("é".encode() * 2000, b"") + HASH)
    assert repository_with(work / "answers.csv") is None  # none of them begins with an a
    assert repository_with(work / "x.csv") == work


def test_a_name_is_put_in_its_form_piece_by_piece_where_marks_follow_one_another(monkeypatch):
    """To order marks takes the square of their number: a name of 64 KB took more than a second."""
    normalize, longest = unicodedata.normalize, []

    def noted(form, text):
        longest.append(len(text))
        return normalize(form, text)

    monkeypatch.setattr(unicodedata, "normalize", noted)
    with pytest.raises(git_names.UnknownError):
        git_names._folded(("a" + "\u0301\u0316" * 30_000).encode(), any_case=True)
    assert max(longest, default=0) <= 128
    for text in (
        "Ả\u0323" * 200,
        "x" * 63 + "e\u0323\u0302" + "é" * 100,
        "한글" * 100,
        "A\u030aß" * 99,
    ):
        folded = normalize("NFD", normalize("NFD", text).casefold())
        assert git_names._folded(text.encode(), any_case=True).decode() == folded
        assert git_names._folded(normalize("NFC", text).encode(), any_case=True).decode() == folded


@with_git
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_the_same_in_each_of_its_forms(work, form):
    shutil.rmtree(".git")
    name = unicodedata.normalize(form, "Ärger 한글 réponses.csv")
    Path(name).write_bytes(b"-")
    git("init", "-q", ".")
    git("-c", "core.precomposeUnicode=false", "add", "-f", ".")
    for asked in ("NFC", "NFD"):
        assert repository_with(work / unicodedata.normalize(asked, name)) == work
    assert repository_with(work / "Arger 한글 reponses.csv") is None


@with_git
@pytest.mark.parametrize("tracked", ["2020-answered", "v1.0-answered", "a0`answered", "x/answered"])
def test_a_folder_whose_name_ends_that_of_a_tracked_one_is_not_tracked(work, tracked):
    shutil.rmtree(".git")
    git("init", "-q", ".")
    for number in range(64):
        part = Path(tracked, f"part-{number:05}-{number:08x}-0123abcd.parquet")
        part.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(b"-")
    git("add", "-f", ".")
    assert repository_of_parts(work / "answered") is None
    assert repository_of_parts(work / tracked) == work
    git("add", "-f", "-N", ".")
    Path("answered").mkdir()
    Path("answered/part-00000-00000000-0123abcd.parquet").write_bytes(b"")
    git("add", "-f", "-N", "answered")  # an entry with more flags
    assert repository_of_parts(work / "answered") == work
