"""Where a worker keeps replies. The machines are this one; what is set is what each is told of itself."""

import asyncio
import contextlib
import socket

import pytest

from lionproc.dask import place
from lionproc.engine import file_system
from lionproc.engine.journal import Entry, Journal
from lionproc.errors import JournalError

pytestmark = pytest.mark.usefixtures("dd")
ENTRY = Entry(bytes(16), b"{}", "some-model", 10, 2, 1, 0.25, 1.8e9)


@contextlib.contextmanager
def machine(name, disks):
    """While it lasts, this is a machine of that name with disks of that kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "machine", lambda: (name,))
        patch.setattr(socket, "gethostname", lambda: name)
        patch.setattr(file_system, "mounts", lambda: [("/", disks)])
        file_system._looked_up.cache_clear()
        yield
    file_system._looked_up.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("LIONPROC_HOME")
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".lionproc"


def keep(journal):
    async def main():
        await journal.append(ENTRY)

    asyncio.run(main())


def test_a_worker_that_has_the_notebooks_folder_over_the_network_as_it_has_uses_its_journal(folder):
    with machine("node1", "nfs4"), Journal.open() as journal:
        keep(journal)
        home = place.Home.here()
    with machine("node2", "nfs4"), Journal.open(home.journal()) as journal:
        assert journal.path == str(folder / "journal.sqlite")
        assert journal.find([bytes(16)]) == {bytes(16): ENTRY}


def test_a_worker_whose_own_folder_is_a_disk_of_the_notebooks_machine_has_a_file_beside(folder):
    with machine("head", "ext4"), Journal.open() as notebooks:
        home = place.Home.here()
        assert home.journal() == notebooks.path
        with machine("node 2/a", "nfs4"), Journal.open(home.journal()) as journal:
            assert journal.path == str(folder / "journal-node_2_a.sqlite")
            assert journal.stats().mode == "rollback"
            keep(journal)
        assert notebooks.stats().mode == "wal"
        with machine("node 2/a", "nfs4"), Journal.open(home.journal()) as journal:
            assert journal.find([bytes(16)])


def test_a_container_of_the_notebooks_machine_that_has_its_folder_uses_its_journal(folder):
    with machine("host", "ext4"), Journal.open() as notebooks:
        keep(notebooks)
        home = place.Home.here()
        with machine("container", "ext4"):
            assert home.journal() is None
            with Journal.open(home.journal()) as journal:
                assert journal.find([bytes(16)])


@pytest.mark.parametrize("disks", ["ext4", "nfs4"])
def test_a_worker_with_another_folder_keeps_the_usual_journal_of_that(
    folder, tmp_path, monkeypatch, disks
):
    with machine("laptop", "ext4"):
        Journal.open().close()
        home = place.Home.here()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with machine("node1", disks):
        Journal.open().close()
        assert home.journal() is None


def test_a_file_of_a_workers_name_that_came_with_a_repository_is_not_used(folder):
    with machine("head", "ext4"):
        Journal.open().close()
        home = place.Home.here()
    planted = folder / "journal-node2.sqlite"
    planted.write_bytes((folder / "journal.sqlite").read_bytes())
    planted.chmod(0o644)
    with machine("node2", "nfs4"), pytest.raises(JournalError, match="can be read by others"):
        home.journal()


def test_what_travels_with_a_question_does_not_tell_the_secret_of_the_folder(folder):
    with machine("head", "ext4"):
        Journal.open().close()
        secret = (folder / ".made-here").read_text().split()[1]
        home = place.Home.here()
    assert home.known_by
    assert secret not in repr(home)
