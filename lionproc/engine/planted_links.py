"""Links that somebody else planted, which would lead what is written elsewhere."""

from __future__ import annotations

import errno
import os
import re
import stat
import unicodedata
from pathlib import Path

from lionproc.engine.git_index import doubt_of, repository_with
from lionproc.engine.trusted import is_trusted, trusting

__all__ = ["refuse_planted_link"]

_GITS = re.compile(r"\.git|git~[0-9]{1,9}")
MOST_LINKS = 40  # in one path, as Linux has it


def refuse_planted_link(path: Path) -> Path:
    """Where a path leads; refuse a link that somebody else left, in /tmp, in a folder of a group or in their own.

    It would have its target replaced with the rights of whoever saves. Linux does not follow those
    in /tmp either, where fs.protected_symlinks is on, but a link that is resolved step by step never
    asks it. Elsewhere one may lead to where whoever made it can write anyway. A link that came with
    a git repository, in the place of the target or of a folder on the way, may not lead out of it, into
    what is git's, or to a file of another kind.

    Args:
        path: The target.

    Returns:
        The real path, with no link in it as far as it is there.

    Raises:
        OSError: There is one in the path.
    """
    if os.name != "posix":
        return Path(os.path.realpath(path))
    # Step by step, so that what was looked at is what is returned, whatever becomes of the links.
    rest, real, seen = _steps(os.fspath(_absolute(path))), "/", 0
    while rest:
        step = rest.pop()
        if step == "..":
            real = os.path.dirname(real)  # noqa: PTH120
            continue
        around, real = real, os.path.join(real, step)  # noqa: PTH118
        try:
            found = os.lstat(real)
            if not stat.S_ISLNK(found.st_mode):
                continue
            leads_to = os.readlink(real)  # noqa: PTH115
            folder = os.stat(around)  # noqa: PTH116
        except OSError:
            continue  # what is not there is made
        seen += 1
        if seen > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        leads_to = os.path.join(around, leads_to)  # noqa: PTH118
        _refuse(Path(real), found, folder, leads_to, is_last=not rest)
        rest, real = [*rest, *_steps(leads_to)], "/"
    return Path(real)


def _absolute(path: Path) -> Path:
    return path if path.is_absolute() else Path.cwd() / path  # there may be no such folder any more


def _steps(path: str) -> list[str]:
    """The names on the way of an absolute path, the last one first."""
    return [step for step in reversed(path.split("/")) if step not in {"", "."}]


def _refuse(
    link: Path, found: os.stat_result, around: os.stat_result, leads_to: str, *, is_last: bool
) -> None:
    repository = repository_with(link, made_by=found.st_uid)
    if repository is not None:
        _refuse_way_out(link, repository, leads_to, made_by=found.st_uid, is_last=is_last)
    if _is_planted(found, around, leads_to):
        raise OSError(
            errno.EPERM,
            f"{str(link)!r} is a link that somebody else left there, and may lead anywhere. "
            "If the place is meant that it leads to, save to its own path",
        )


def _is_planted(found: os.stat_result, around: os.stat_result, leads_to: str) -> bool:
    if found.st_uid in {os.geteuid(), 0}:
        return False
    if around.st_mode & 0o002 and found.st_uid != around.st_uid:
        return True
    return not _leads_to_theirs(found, around, leads_to)


def _leads_to_theirs(found: os.stat_result, around: os.stat_result, leads_to: str) -> bool:
    """Whether a link leads to where its owner can write, as one to a larger disk of the group."""
    real = Path(os.path.realpath(leads_to))
    place = next(above for above in (real, *real.parents) if above.is_dir()).stat()
    if place.st_uid == found.st_uid:
        return True
    theirs = {around.st_gid, *_groups_of(found.st_uid)}
    is_open = place.st_mode & 0o002 or (place.st_mode & 0o020 and place.st_gid in theirs)
    return bool(is_open) and not place.st_mode & stat.S_ISVTX


def _groups_of(user: int) -> list[int]:
    import pwd

    try:
        account = pwd.getpwuid(user)
        return os.getgrouplist(account.pw_name, account.pw_gid)
    except (KeyError, OSError):
        return []


def _refuse_way_out(
    link: Path, repository: Path, leads_to: str, *, made_by: int, is_last: bool
) -> None:
    """Refuse a link of a repository that leads where whoever made that could not have put a file.

    That is out of it, into what git has of its own, there or in a repository within (git runs programs
    that are named there), or to a file of another kind that is none of the repository (Python runs what
    is in a `.pth` of its folders).
    """
    real, root = Path(os.path.realpath(leads_to)), Path(os.path.realpath(repository))
    is_inside = real.is_relative_to(root)
    is_gits = any(map(_is_gits, real.relative_to(root).parts if is_inside else real.parts))
    is_fine = is_inside and (not is_last or real.is_dir() or _is_alike(link, real, made_by))
    if is_gits or not (is_fine or is_trusted(real)):
        raise OSError(
            errno.EPERM,
            f"{str(link)!r} is a link to {str(real)!r} that is part of the git repository "
            f"{str(repository)!r}{doubt_of(repository, made_by=made_by)}, so a stranger may have "
            f"chosen what is replaced. Save to that path itself if it is meant, or say {trusting(real)}",
        )


def _is_alike(link: Path, real: Path, made_by: int) -> bool:
    """Whether a link leads to a file with its own ending, or to one that the repository has, too."""
    ending, repository = link.suffix.casefold(), repository_with(real, made_by=made_by)
    is_tracked = repository is not None and not doubt_of(repository, made_by=made_by)
    return is_tracked or (ending != "" and ending == real.suffix.casefold())


def _is_gits(step: str) -> bool:
    """Whether a file system may take a name for `.git`: in any case, with what it leaves out (HFS+, NTFS)."""
    seen = "".join(each for each in unicodedata.normalize("NFKC", step) if each.isprintable())
    return _GITS.fullmatch(seen.partition(":")[0].rstrip(" .").upper().casefold()) is not None
