"""Whether a file is on a disk of this machine alone, or on one that other machines may have too.

SQLite's WAL has its index in memory that processes share, which those of one machine do (sqlite.org,
"Write-Ahead Logging", 2). On a network disk each machine has a memory of its own, and the file opens
without an error: what one writes the other writes over. So the file systems are listed that one
machine has by itself; on others, and on those that nobody knows, files are taken for shared.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from functools import lru_cache
from pathlib import Path
from typing import Final

__all__ = ["file_system_of", "is_of_one_machine"]

_OF_ONE_MACHINE: Final = frozenset(
    (
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "zfs", "f2fs", "jfs", "nilfs2"),
        *("reiserfs", "reiser4", "ubifs", "jffs2", "ufs", "udf", "hfs", "hfsplus", "apfs"),
        *("ntfs", "ntfs3", "refs", "fat", "fat32", "vfat", "msdos", "exfat"),
        *("tmpfs", "ramfs", "rootfs"),
        *("overlay", "overlayfs", "aufs", "ecryptfs"),  # layers, of which the upper one is local
        *("fuseblk", "fuse.fuse-overlayfs"),  # any other FUSE may lead to another machine
    )
)
_MOUNTINFO: Final = Path("/proc/self/mountinfo")  # see proc(5)
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")


def is_of_one_machine(path: str) -> bool:
    """Whether no other machine can have a file, as far as can be known from here.

    The server of a network disk sees a disk of its own.

    Args:
        path: The file, or a folder.
    """
    return file_system_of(path) in _OF_ONE_MACHINE


def file_system_of(path: str) -> str:
    """The type of the file system that a file is on, in the words of the system: `"nfs4"`.

    Args:
        path: The file, or a folder.

    Returns:
        Empty where it is not known.
    """
    device = -1
    with contextlib.suppress(OSError):
        # What is mounted there only when somebody comes is mounted now; and a disk that was mounted
        # since the last look has another number.
        device = os.stat(path).st_dev  # noqa: PTH116  (a Path takes three times as long)
    return _looked_up(path, device)


@lru_cache(maxsize=64)
def _looked_up(path: str, device: int) -> str:  # noqa: ARG001  (tells when to look again)
    real = Path(os.path.realpath(path))
    depths = {os.path.normcase(each): len(each.parts) for each in (real, *real.parents)}
    depth, kind = 0, ""
    for point, its_kind in mounts():
        its_depth = depths.get(os.path.normcase(point), -1)
        if its_depth >= depth:  # of two at one place the later one is above
            depth, kind = its_depth, its_kind.lower()
    return kind


def mounts() -> list[tuple[str, str]]:
    """What is mounted where: the place and the type of the file system, in the order they came.

    Returns:
        Empty where the system does not tell.
    """
    with contextlib.suppress(OSError):
        return _read(_MOUNTINFO.read_bytes()) if sys.platform == "linux" else _by_psutil()
    return []


def _read(mountinfo: bytes) -> list[tuple[str, str]]:
    """Linux tells it in a file, which takes 0.1 ms; to import psutil takes 7."""
    found = []
    for line in mountinfo.split(b"\n"):  # a name may have other ends of lines in it
        about, _, kind = line.partition(b" - ")
        if about.count(b" ") < 4:
            continue
        point = _ESCAPED.sub(lambda code: bytes([int(code[1], 8) & 0xFF]), about.split(b" ")[4])
        found.append((os.fsdecode(point), os.fsdecode(kind.split(b" ")[0])))
    return found


def _by_psutil() -> list[tuple[str, str]]:
    import psutil

    # Windows calls a drive of another machine by the type that it has there.
    return [
        (each.mountpoint, "remote" if "remote" in each.opts.split(",") else each.fstype)
        for each in psutil.disk_partitions(all=True)
    ]
