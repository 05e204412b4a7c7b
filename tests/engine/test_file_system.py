import sys

import pytest

from lionproc.engine import file_system
from lionproc.engine.file_system import file_system_of, is_of_one_machine


@pytest.fixture
def table(monkeypatch):
    """What the system says is mounted, and a list of the times that it was asked."""
    mounted, asked = [("/", "ext4")], []

    def mounts():
        asked.append(True)
        return mounted

    monkeypatch.setattr(file_system, "mounts", mounts)
    file_system._looked_up.cache_clear()
    yield mounted, asked
    file_system._looked_up.cache_clear()


@pytest.mark.parametrize(
    ("kind", "ours"),
    [
        *((kind, True) for kind in ("ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs")),
        *((kind, True) for kind in ("NTFS", "fuseblk", "fuse.fuse-overlayfs")),
        *((kind, False) for kind in ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs")),
        *((kind, False) for kind in ("lustre", "gpfs", "ceph", "beegfs", "afs", "ocfs2")),
        *((kind, False) for kind in ("fuse.sshfs", "fuse", "fuse.nobody-knows", "remote", "new")),
    ],
)
def test_what_is_not_known_to_be_of_one_machine_is_taken_for_shared(table, tmp_path, kind, ours):
    table[0].append((str(tmp_path), kind))
    assert file_system_of(str(tmp_path / "a file.sqlite")) == kind.lower()
    assert is_of_one_machine(str(tmp_path / "a file.sqlite")) is ours


def test_where_the_system_tells_nothing_a_disk_is_taken_for_shared(table, tmp_path):
    table[0].clear()
    assert file_system_of(str(tmp_path)) == ""
    assert not is_of_one_machine(str(tmp_path))


def test_the_deepest_mount_that_a_file_is_below_counts_and_of_two_the_later(table, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home2").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "home")
    home = str(tmp_path / "home")
    table[0].extend([(home, "autofs"), (home, "nfs4"), (str(tmp_path), "xfs")])
    assert file_system_of(home) == file_system_of(f"{tmp_path}/link/new") == "nfs4"
    assert file_system_of(str(tmp_path / "home2")) == "xfs"


def test_the_table_is_read_once_for_a_file_until_another_disk_is_mounted_there(table, tmp_path):
    mounted, asked = table
    assert [is_of_one_machine(str(tmp_path)) for _ in range(3)] == [True] * 3
    assert len(asked) == 1
    mounted.append((str(tmp_path), "nfs4"))
    assert file_system._looked_up(str(tmp_path), -2) == "nfs4"  # the number of another disk


def test_a_name_with_a_space_is_read_as_it_is():
    line = (
        rb"36 35 98:0 /mnt1 /mnt/my\040disk\134x rw,noatime master:1 - fuse.sshfs u@h: rw" + b"\n"
    )
    assert file_system._read(line * 2) == [("/mnt/my disk\\x", "fuse.sshfs")] * 2


def test_the_end_of_a_line_within_a_name_ends_no_line():
    line = b"36 35 98:0 / /mnt/%b rw - ext4 a rw\n"
    found = file_system._read(line % b"my\rdisk" + line % b"\x0c\x1c" + line % b"other")
    assert [place for place, _ in found] == ["/mnt/my\rdisk", "/mnt/\x0c\x1c", "/mnt/other"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil is what is asked")
def test_what_linux_says_is_mounted_is_what_psutil_says():
    assert ("/", file_system_of("/")) in file_system.mounts()
    assert set(file_system.mounts()) == set(file_system._by_psutil())
