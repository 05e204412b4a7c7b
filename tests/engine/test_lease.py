import errno
import fcntl
import shutil
import subprocess
import sys
import textwrap
import threading

import pytest

from lionproc.engine import lease as leases
from lionproc.engine.lease import FOLDER, Lease


def test_a_lease_in_a_copied_folder_has_ended(tmp_path):
    with_lease = tmp_path / "here"
    with_lease.mkdir()
    lease = Lease(with_lease)
    held = lease.claim()
    shutil.copytree(with_lease, tmp_path / "copy")
    other = Lease(tmp_path / "copy")
    assert not other.is_held(held)
    assert Lease(with_lease).is_held(held)
    lease.close()


def test_the_file_of_a_lease_is_for_its_owner_alone_and_is_removed_with_it(tmp_path):
    lease = Lease(tmp_path)
    file = tmp_path / FOLDER / lease.claim()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    lease.close()
    assert not file.exists()
    assert not file.parent.exists()
    file.parent.mkdir()
    file.touch()  # as a killed process leaves it
    assert not Lease(tmp_path).is_held(file.name)
    assert not file.exists()


def test_leases_are_neither_made_nor_removed_where_a_link_leads(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / ("a" * 32)).write_text("of somebody else")
    (tmp_path / FOLDER).symlink_to(cache)
    lease = Lease(tmp_path)
    lease.claim()
    assert not lease.is_held("a" * 32)
    lease.close()
    assert [file.read_text() for file in cache.iterdir()] == ["of somebody else"]


def test_a_lease_may_be_claimed_again_after_it_was_closed(tmp_path):
    lease = Lease(tmp_path)
    first = lease.claim()
    lease.close()
    assert lease.claim() == first
    assert Lease(tmp_path).is_held(first)
    lease.close()


def test_a_forked_child_does_not_keep_the_lease_of_its_parent(tmp_path):
    code = textwrap.dedent("""
        import os, sys
        from pathlib import Path
        from lionproc.engine.lease import Lease
        lease = Lease(Path(sys.argv[1]))
        print(lease.claim(), flush=True)
        if os.fork() == 0:
            print("forked", flush=True)
            os.close(1)
            sys.stdin.read()  # lives until the test lets it go
        os._exit(0)
    """)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        held, _forked = (parent.stdout.readline().strip() for _ in range(2))
        assert parent.wait(30) == 0
        assert not Lease(tmp_path).is_held(held)
        parent.stdin.close()


def test_a_forked_child_has_a_lease_of_its_own_and_ends_not_that_of_its_parent(tmp_path, zygotes):
    code = """
import os
from pathlib import Path
from lionproc.engine.lease import Lease
lease = Lease(Path("."))
ours = lease.claim()
pid = os.fork()
if pid == 0:
    assert lease.claim() != ours and lease.is_held_by_another(ours)
    lease.close()
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert lease.id == ours and Lease(Path(".")).is_held(ours)
"""
    child = zygotes[0].run(code, tmp_path)
    assert child.status == 0, child.output


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_a_disk_has_no_locks_there_are_no_leases(tmp_path, monkeypatch, code):
    def refuse(handle, operation):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lease = Lease(tmp_path)
    held = lease.claim()
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert not Lease(tmp_path).is_held(held)
    lease.close()


def test_threads_that_claim_a_lease_at_one_moment_hold_it(tmp_path, monkeypatch):
    locked, both_are_in, one_has_it = leases._locked, threading.Event(), threading.Event()
    came = []

    def slowly(path):
        came.append(path)
        if len(came) == 1:
            made = locked(path)
            both_are_in.wait(0.3)
            return made
        both_are_in.set()
        one_has_it.wait(20)
        return locked(path)

    def claim():
        one.claim()
        one_has_it.set()

    monkeypatch.setattr(leases, "_locked", slowly)
    one = Lease(tmp_path)
    claiming = [threading.Thread(target=claim) for _ in range(2)]
    for each in claiming:
        each.start()
    for each in claiming:
        each.join()
    assert one.is_seen
    monkeypatch.setattr(leases, "_locked", locked)
    assert Lease(tmp_path).is_held(one.id)
    one.close()
