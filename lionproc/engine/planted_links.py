"""Links that somebody else planted, which would lead what is written elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from lionproc.engine.git_index import repository_with
from lionproc.engine.trusted import VARIABLE, is_trusted

__all__ = ["refuse_planted_link"]

MOST_LINKS = 40  # in one path, as Linux has it


def refuse_planted_link(path: Path) -> None:
    """Refuse a link that somebody else left, in /tmp, in a folder of a group or in their own.

    It would have its target replaced with the rights of whoever saves. Linux does not follow those
    in /tmp either, where fs.protected_symlinks is on, but a link that is resolved step by step never
    asks it. Elsewhere one may lead to where whoever made it can write anyway. A link that came with
    a git repository, in the place of the target or of a folder on the way, may not lead out of it.

    Args:
        path: The target.

    Raises:
        OSError: There is one in the path.
    """
    if os.name != "posix":
        return
    path = Path(os.path.abspath(path))  # noqa: PTH100  (links stay as they are)
    waiting, seen = [path], 0
    while waiting and seen < MOST_LINKS:
        path = waiting.pop()
        for step in (path, *path.parents):
            try:
                found = step.lstat()
                if not stat.S_ISLNK(found.st_mode):
                    continue
                seen += 1
                around = step.parent.stat()
                waiting.append(Path(os.path.abspath(step.parent / step.readlink())))  # noqa: PTH100
            except OSError:
                continue  # what is not there is made
            repository = repository_with(step)
            if repository is not None:
                _refuse_way_out(step, repository)
            if _is_planted(step, found, around):
                raise OSError(
                    errno.EPERM,
                    f"{str(step)!r} is a link that somebody else left there, and may lead anywhere. "
                    "If the place is meant that it leads to, save to its own path",
                )


def _is_planted(link: Path, found: os.stat_result, around: os.stat_result) -> bool:
    if found.st_uid in {os.geteuid(), 0}:
        return False
    if around.st_mode & 0o002 and found.st_uid != around.st_uid:
        return True
    return not _leads_to_theirs(link, found, around)


def _leads_to_theirs(link: Path, found: os.stat_result, around: os.stat_result) -> bool:
    """Whether a link leads to where its owner can write, as one to a larger disk of the group."""
    real = Path(os.path.realpath(link))
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


def _refuse_way_out(path: Path, repository: Path) -> None:
    """Refuse a link of a repository that leads out of it, or into what git has of its own."""
    real, root = Path(os.path.realpath(path)), Path(os.path.realpath(repository))
    if real.is_relative_to(root / ".git") or not (real.is_relative_to(root) or is_trusted(real)):
        raise OSError(
            errno.EPERM,
            f"{str(path)!r} is a link to {str(real)!r} that is part of the git repository "
            f"{str(repository)!r}, so a stranger may have chosen what is replaced. Save to that path "
            f"itself if it is meant, or say {VARIABLE}={real}",
        )
