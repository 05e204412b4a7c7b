"""Whose journal it is: a journal that somebody else can write would answer in the model's place.

Checked before a journal is opened, as ssh checks a file of keys: the file, its folder and the
folders above belong to this user or to root, and nobody else may write there. The journal of a
`.lionproc` that is merely found in the working folder must also look as lionproc made it: one
that others can read, or that git tracks, was cloned, unpacked or copied, and answers only when
its user says so. One that an archive or a copy kept private is told by the mark of its folder, and
said once: a backup of one's own looks the same. What is unpacked over a journal that was made here
is told when that is opened (`journal_mark`). Where a file system has no owners and rights (Windows,
some mounts), or the others are trusted, `LIONPROC_TRUST` names the folders.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from functools import lru_cache
from pathlib import Path

from lionproc.engine.git_index import doubt_of, is_gone, repository_with, tracks
from lionproc.engine.journal_intake import logs_beside
from lionproc.engine.made_here import is_made_here, mark, say_it_was_not
from lionproc.engine.planted_links import refuse_planted_link
from lionproc.engine.trusted import is_trusted, trusting
from lionproc.errors import JournalError

__all__ = [
    "check_found",
    "check_journal",
    "check_link",
    "check_way",
    "others_of",
    "repository_of",
    "repository_of_parts",
    "repository_of_records",
]

BESIDE = ("-wal", "-shm", "-journal")  # what SQLite reads and writes beside the file
_SUPER = bytes.fromhex("d9d505f920a163d7")  # ends the record that names a super-journal
_RECORD = rb"(?:req|batch|job)_[0-9A-Za-z_-]{1,100}\.json"  # of a service
_PART = rb"part-[0-9]{5,}-[0-9a-f]{8}(?:-[0-9a-f]{8})?\.parquet"  # of results
_STAGE = rb"(?:[^/\0]{1,400}/)?"  # a folder of one, perhaps


def check_journal(path: str) -> None:
    """Refuse a journal that somebody else owns or can write.

    Args:
        path: Its file, whether it is there or not.

    Raises:
        JournalError: Somebody else owns or can write it, its folder or one above; the message
            says who, and the way on. Or it is behind a link of somebody else, a pipe or a device
            is beside it, or what would have SQLite remove a file.
    """
    _refuse_odd(path)
    folder = Path(os.path.realpath(Path(path).parent))
    if os.name != "posix" or is_trusted(folder):
        return
    check_way(path)
    if folder.exists():
        _check_folder(folder, path, above=False)
    for above in folder.parents:
        if above.exists():
            _check_folder(above, path, above=True)
    for end in ("", *BESIDE):
        with contextlib.suppress(FileNotFoundError):
            _check_file(path, path + end)


def check_way(path: str) -> None:
    """Refuse a journal behind a link that somebody else left in a shared folder.

    Args:
        path: Its file as it was given, whether it is there or not.

    Raises:
        JournalError: There is such a link.
    """
    real = Path(os.path.realpath(path))
    if os.name != "posix" or is_trusted(real.parent):
        return
    try:
        refuse_planted_link(Path(path))
    except OSError as error:
        way = ", and it would be made where that leads. Remove it, or "
        if error.errno == errno.EACCES:  # nobody may look
            way = ". If it is another user's, "
        raise JournalError(
            f"The journal {path!r} is not used: {error.strerror}{way}{_else(real.parent)}"
        ) from None


def _refuse_odd(path: str) -> None:
    """Refuse a pipe or a device beside a journal, at which SQLite would wait for ever."""
    for end in BESIDE:
        with contextlib.suppress(OSError):
            mode = Path(path + end).stat().st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # at a folder it does not wait
                raise JournalError(
                    f"The journal {path!r} is not used: {path + end!r} beside it is a pipe or a "
                    "device, and SQLite would wait there for ever. Remove it."
                )
    if _names_a_file(Path(f"{path}-journal")):
        raise JournalError(
            f"The journal {path!r} is not used: {path + '-journal'!r} beside it names another file, "
            "which SQLite would remove. lionproc leaves none like it: remove it."
        )


def _names_a_file(journal: Path) -> bool:
    """Whether a rollback journal names a super-journal, a file that SQLite reads and then removes.

    Its record stands at the end (sqlite.org, "Database File Format", 3). A transaction over several
    databases makes one, and lionproc has none of those.
    """
    with contextlib.suppress(OSError), journal.open("rb") as file:
        file.seek(-len(_SUPER), os.SEEK_END)
        return file.read() == _SUPER
    return False


def check_found(path: str) -> None:
    """Refuse a journal that nobody named, and that was not made here by lionproc.

    What is beside it is looked at too, whether the file itself is there or not: pages of its WAL go
    before those of the file, and what a log has is put into the journal when it is opened. A
    repository may hold a link in the place of the folder, so what it leads to is looked at as well.

    Args:
        path: The file, found in the working folder.

    Raises:
        JournalError: Others can read a part of it, or it is part of a git repository.

    Warns:
        LionprocWarning: Nothing says that it was made here. Said once; then its folder is marked.
    """
    file = Path(path)
    if os.name != "posix" or is_trusted(Path(os.path.realpath(file.parent))):
        return
    check_way(path)
    if file.is_symlink():
        raise JournalError(
            f"The journal {path!r} is not used: it is a link, and nobody named it. Whoever made it says "
            "where your answers are kept. Remove it, or give the file that it leads to with journal=; "
            f"or {_else(file.parent)}"
        )
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISREG(file.lstat().st_mode) and file.stat().st_size == 0:
            file.chmod(0o600)  # nothing is in it, and what comes is for its owner
    answers = 0  # their bytes
    for place in dict.fromkeys((path, os.path.realpath(path))):
        beside = (Path(place + end) for end in ("", *BESIDE))
        for part in (*beside, *logs_beside(Path(place))):
            with contextlib.suppress(FileNotFoundError):
                _check_made_here(path, part)
                answers += part.stat().st_size
    if not is_made_here(file.parent):
        mark(file.parent, with_secret=not answers)
        if answers:
            say_it_was_not(path)


def check_link(folder: Path) -> None:
    """Refuse a link in the place of what nobody named, if it came with a repository.

    Args:
        folder: The folder, found in the working folder; the journal in it; or a folder of records
            or above it.

    Raises:
        JournalError: What is kept would be where a stranger says.
    """
    if os.name != "posix" or not folder.is_symlink():
        return
    real = Path(os.path.realpath(folder))
    repository = None if is_trusted(real) else repository_with(folder)
    if repository is not None:
        raise JournalError(
            f"{str(folder)!r} is a link to {str(real)!r} that is part of the git repository "
            f"{str(repository)!r}{doubt_of(repository)}: your answers would be kept there, and others "
            f"could read them or send them along. Remove it; {_else(real)}"
        )


def others_of(found: os.stat_result, folder: Path, *, group: bool = True) -> str:
    """Who else owns or can write a file, in the words of an error.

    Args:
        found: What the system says of the file.
        folder: Where it is.
        group: Whether a group counts: our results are written as the umask says.

    Returns:
        "" where nobody else does, or where those who do are trusted.
    """
    if os.name != "posix":
        return ""
    who = _owned_by_others(found, {os.geteuid(), 0}) or _writable_by_others(found, group=group)
    return "" if not who or is_trusted(Path(os.path.realpath(folder))) else who


def _check_made_here(path: str, part: Path) -> None:
    what = (
        f"The journal {path!r}" if path == str(part) else f"{str(part)!r}, a part of the journal,"
    )
    if part.stat().st_mode & 0o077:
        raise JournalError(
            f"{what} can be read by others. lionproc makes journals for their owner "
            "alone, so this one was cloned, unpacked or copied. If you trust the answers in it: "
            f"chmod 600; {_else(part.parent)}"
        )
    repository = repository_with(part)
    if repository is not None and not (is_gone(repository) and is_made_here(part.parent)):
        raise JournalError(
            f"{what} is part of the git repository {str(repository)!r}{doubt_of(repository)}: "
            "whoever can write there can write its answers, and reads yours. If you trust the answers in "
            f"it: git rm --cached; {_else(part.parent)}"
        )


def _check_file(path: str, part: str) -> None:
    found = Path(part).lstat()
    if stat.S_ISLNK(found.st_mode) and os.path.realpath(part) != part:
        raise JournalError(
            f"The journal {path!r} is not used: {part!r} is a link, and SQLite would write where "
            f"it leads. Remove it, or {_else(Path(path).parent)}"
        )
    if not stat.S_ISREG(found.st_mode):
        return  # it cannot be used, which is told later
    who = _owned_by_others(found, {os.geteuid(), 0}) or _writable_by_others(found)
    if not who:
        return
    raise JournalError(
        f"The journal {path!r} is not used: {part!r} {who}, and that makes its answers theirs. If "
        f"you trust the answers in it, make it yours alone (chown, chmod 600); "
        f"{_else(Path(path).parent)}"
    )


def _owned_by_others(found: os.stat_result, trusted: set[int]) -> str:
    return "" if found.st_uid in trusted else f"belongs to another user ({_user(found.st_uid)})"


def _writable_by_others(found: os.stat_result, *, group: bool = True) -> str:
    if found.st_mode & 0o002:
        return "can be written by everybody"
    if group and found.st_mode & 0o020 and not _is_own_group(found.st_gid):
        return f"can be written by a group ({_group(found.st_gid)})"
    return ""


def _check_folder(folder: Path, path: str, *, above: bool) -> None:
    found, me = folder.stat(), os.geteuid()
    # Root works in the folders of others, in containers above all; nothing below them is theirs.
    who = "" if above and me == 0 else _owned_by_others(found, {me, 0})
    # As in /tmp with the sticky bit: everybody may add, nobody may take away what is another's.
    if not who and not found.st_mode & stat.S_ISVTX:
        who = _writable_by_others(found)
    if not who:
        return
    raise JournalError(
        f"The journal {path!r} is not used: the folder {str(folder)!r} {who}, who could put "
        "answers of their own in place of the model's, and read yours. Take that right away "
        f"(chmod go-w), or {_else(Path(path).parent)}"
    )


def _else(folder: Path) -> str:
    return (
        "use a folder of your own (LIONPROC_HOME=~/.lionproc, or journal=). If you trust all who "
        f"can write there: {trusting(folder)}"
    )


@lru_cache(maxsize=64)
def _is_own_group(gid: int) -> bool:
    """Whether nobody but this user (and root) is in a group, as where each user has their own."""
    import grp
    import pwd

    if gid == 0:
        return True
    try:
        me = pwd.getpwuid(os.geteuid())
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    accounts = pwd.getpwall()
    # A directory service may know accounts that it does not list: then nothing is known of others.
    listed = any(account.pw_uid == me.pw_uid for account in accounts)
    others = {account.pw_name for account in accounts if account.pw_gid == gid}
    own = gid == me.pw_gid and group.gr_name == me.pw_name
    return (own or listed) and {*group.gr_mem, *others} <= {me.pw_name, "root"}


def repository_of_records(folder: Path) -> Path | None:
    """The git repository that tracks records of a service, None if none does.

    Args:
        folder: Where they are.

    Returns:
        Its folder; None also where whoever can write there is trusted, and for a folder that was made
        here where nobody has more than the tree of it.
    """
    found = _repository_of_any(folder, _RECORD, below=_STAGE)
    if found is None or not is_gone(found):
        return found
    return found if not is_made_here(folder) and _holds_records(folder) else None


def _holds_records(folder: Path, *, stages: bool = True) -> bool:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(("req_", "batch_", "job_")):
                return True
            if stages and entry.is_dir() and _holds_records(Path(entry.path), stages=False):
                return True
    return False


def repository_of_parts(folder: Path) -> Path | None:
    """The git repository that tracks parts of results in a folder, None if none does.

    Args:
        folder: Where they are.

    Returns:
        Its folder; None also where whoever can write there is trusted.
    """
    return _repository_of_any(folder.absolute(), _PART)


def _repository_of_any(folder: Path, name: bytes, below: bytes = b"") -> Path | None:
    real = Path(os.path.realpath(folder))
    if os.name != "posix" or is_trusted(real):
        return None
    for place in dict.fromkeys((folder, real)):
        for above in (place, *place.parents):
            start = os.fspath((place / "_").relative_to(above))[:-1]
            between = below if start else b""  # without a start it would be looked for everywhere
            if tracks(above, start, between + name):
                return above
    return None


def repository_of(file: Path) -> Path | None:
    """The git repository that tracks a file, None if none does.

    Args:
        file: Where it is.

    Returns:
        Its folder; None also where whoever can write there is trusted.
    """
    real = Path(os.path.realpath(file))
    if os.name != "posix" or is_trusted(real.parent):
        return None
    found = (repository_with(place) for place in dict.fromkeys((file.absolute(), real)))
    return next((folder for folder in found if folder is not None), None)


def _user(uid: int) -> str:
    import pwd

    with contextlib.suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    return str(uid)


def _group(gid: int) -> str:
    import grp

    with contextlib.suppress(KeyError):
        return grp.getgrgid(gid).gr_name
    return str(gid)
