"""A disk that is full, read-only or failing: no more is bought, and what is there stays in hand."""

import asyncio
import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess

import numpy as np
import pandas as pd
import pytest

import lionproc as lp
from lionproc.errors import ConfigurationError, JournalError
from lionproc.frame.export import SaveError
from lionproc.testing import Server

FAST = {"progress": False, "limits": {"adapt": False}}
LONG = "x" * 2000


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def server():
    with Server(answer=LONG, latency_s=0.001) as made:
        yield made


def texts(count):
    return pd.DataFrame({"text": [f"text {n}" for n in range(count)]})


@contextlib.contextmanager
def files_up_to(size):
    """No file grows beyond `size` bytes, as on a disk that is full."""
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, old)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount")
    if os.name != "posix" or os.geteuid() != 0 or mount is None:
        pytest.skip("only root can mount a file system")
    command = [mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def buys_until_the_disk_ends(server, model, journal):
    """The promises of a run whose journal stops taking replies."""
    with pytest.raises(JournalError, match=r"j\.sqlite.*(disk|room|read-only).*journal="):
        texts(2000).llm.process("Say {text}", into="a", model=model, journal=journal, **FAST)
    bought = server.counters.total
    assert 0 < bought < 1500  # the buying stopped
    job = lp.last_job()
    assert job.stats.state == "failed"
    frame = job.frame()
    assert frame["a"].notna().sum() == bought  # what was paid for is in hand
    assert set(frame["a"].dropna()) == {LONG}
    assert job.report().facts["not_sent"] == 2000 - bought


def test_a_journal_on_a_disk_that_fills_up_stops_the_buying(server, model, tmp_path):
    journal = tmp_path / "j.sqlite"
    with files_up_to(400_000):
        buys_until_the_disk_ends(server, model, journal)

    out = texts(2000).llm.process("Say {text}", into="a", model=model, journal=journal, **FAST)
    assert out["a"].notna().all()
    assert server.counters.total == 2000  # not even what the journal refused is asked again


@pytest.mark.parametrize("way", ["resume", "again"])
async def test_a_service_that_stayed_open_on_a_full_disk_buys_nothing_twice_when_there_is_room(
    server, model, tmp_path, way
):
    server.configure(answer=LONG * 10)

    async with lp.ProcessingService("A", "requests", 60_000, None, model=model) as service:

        async def ask_all():
            return await asyncio.gather(*[service.process_data({"n": n}) for n in range(300)])

        await service.process_data({"n": "first"})
        with files_up_to(400_000):
            told = await ask_all()
        bought = server.counters.total
        assert 1 < bought < 301
        assert any("journal.sqlite" in one.get("error", "") for one in told)

        again = await (service.resume() if way == "resume" else ask_all())
        assert {one["status"] for one in again} == {"success"}
        assert server.counters.total == 301  # each of them once


def test_a_file_system_that_is_really_full_stops_the_buying(server, model, tiny_disk):
    buys_until_the_disk_ends(server, model, tiny_disk / "j.sqlite")


def test_a_disk_that_takes_not_one_more_byte_stops_the_buying(server, model, tmp_path):
    journal = tmp_path / "j.sqlite"
    job = texts(2000).llm.start("Say {text}", into="a", model=model, journal=journal, **FAST)
    server.wait_for(lambda c: c.ok >= 50)
    with files_up_to(1), pytest.raises(JournalError, match=r"j\.sqlite"):
        job.result(20)
    assert 0 < job.frame()["a"].notna().sum() == server.counters.total < 2000


def test_a_journal_that_cannot_be_written_is_refused_before_anything_is_sent(
    server, model, tiny_disk
):
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(JournalError, match=r"j\.sqlite.*journal="):
        texts(3).llm.process(
            "Say {text}", into="a", model=model, journal=tiny_disk / "j.sqlite", **FAST
        )
    with pytest.raises(ConfigurationError, match=r"Read-only file system.*save="):
        texts(3).llm.process(
            "Say {text}", into="a", model=model, save=tiny_disk / "out.parquet", **FAST
        )
    for journal in ("/dev/full", "/dev/null", tiny_disk):
        with pytest.raises(JournalError, match=r"not a regular file|is a folder"):
            texts(3).llm.process("Say {text}", into="a", model=model, journal=journal, **FAST)
    assert server.counters.total == 0


@pytest.mark.parametrize("save", ["out.parquet", "parts/"])
def test_a_result_that_cannot_be_saved_is_in_hand_and_saved_later(server, model, tmp_path, save):
    server.configure(answer=lambda body: str(np.random.default_rng(0).random(4000).tolist()))
    frame = texts(60)
    frame["big"] = np.random.default_rng(0).random((60, 400)).tolist()

    with files_up_to(120_000), pytest.raises(SaveError, match=r"Nothing is lost.*save it again"):
        frame.llm.process(
            "Say {text}", into="a", model=model, journal=False, save=save, chunk_size=50, **FAST
        )

    job = lp.last_job()
    assert server.counters.total == 60
    out = job.frame()
    assert out["a"].notna().all()
    assert not list(tmp_path.rglob("*.tmp"))
    assert all(len(pd.read_parquet(file)) for file in tmp_path.rglob("*.parquet"))
    job.save("later.parquet")
    pd.testing.assert_frame_equal(lp.read_parquet("later.parquet"), out)


def test_an_error_of_fsync_is_an_error_of_saving_and_leaves_the_old_file(
    server, model, tmp_path, monkeypatch
):
    texts(1).to_parquet(tmp_path / "out.parquet")
    old = (tmp_path / "out.parquet").read_bytes()

    def fsync(handle):
        if server.counters.total:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(SaveError, match="Input/output error"):
        texts(3).llm.process("Say {text}", into="a", model=model, save="out.parquet", **FAST)

    assert (tmp_path / "out.parquet").read_bytes() == old
    assert lp.last_job().frame()["a"].notna().all()
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_pipe_or_device_is_never_replaced_by_a_file(server, model, tmp_path):
    os.mkfifo(tmp_path / "pipe.parquet")
    (tmp_path / "link.parquet").symlink_to(tmp_path / "pipe.parquet")
    for name in ("pipe.parquet", "link.parquet"):
        with pytest.raises(ConfigurationError, match=r"device, pipe or socket"):
            texts(3).llm.process("Say {text}", into="a", model=model, save=name, **FAST)
        with pytest.raises(SaveError, match="device, pipe or socket"):
            lp.frame.export.write_parquet(texts(1), name, {})
    assert (tmp_path / "pipe.parquet").is_fifo()
    assert server.counters.total == 0
