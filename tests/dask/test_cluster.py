"""Two worker processes of a cluster: one budget, no key in a graph, and nothing paid twice."""

import asyncio
import contextlib
import importlib.util
import multiprocessing
import os
import pickle
import signal
import threading
from pathlib import Path

import orjson
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

import lionproc as lp
from lionproc.errors import (
    BudgetWarning,
    MissingDependencyError,
    ModelError,
    RowsFailedWarning,
)
from lionproc.notebook.card import as_bundle
from lionproc.notebook.panel import Panel
from lionproc.testing import Server

pytestmark = pytest.mark.usefixtures("dd")
FRAME = pd.DataFrame({"text": [f"row {n}" for n in range(60)], "n": range(60)})
CONCURRENCY = 4
PRELOAD = ["distributed", "lionproc.dask", "openai", "lionproc.model.clients"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def client(folder, dd):
    # Workers are forks of a process that has imported all, so that they cost little to start.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("process", "nanny"):
            patch.setattr(f"distributed.{module}.get_mp_context", lambda: context, raising=False)
        patch.setenv("LIONPROC_HOME", str(folder / "home"))
        patch.delenv("OPENAI_API_KEY", raising=False)
        options = {"local_directory": str(folder), "memory_limit": 0}
        with lp.dask.local(n_workers=2, **options) as made:
            yield made


def test_two_local_clusters_go_side_by_side_and_only_this_machine_reaches_them():
    """The second one would be warned of the port of the first, and a warning is an error here."""
    psutil = pytest.importorskip("psutil")

    def listening():
        own = psutil.Process().net_connections()
        return {one.laddr for one in own if one.status == psutil.CONN_LISTEN}

    before = listening()
    usual = {"n_workers": 1, "processes": False, "set_as_default": False}
    with lp.dask.local(**usual), lp.dask.local(**usual):
        opened = listening() - before
    assert opened
    assert {address.ip for address in opened} == {"127.0.0.1"}


def test_who_has_no_certificate_does_not_reach_the_workers(client):
    from distributed import Client, Security

    address = client.scheduler_info()["address"]
    strangers = Security.temporary()  # of their own
    with pytest.raises(OSError, match=r"Timed out|TLS|SSL|certificate"):
        Client(address, security=strangers, timeout=2, set_as_default=False)
    with pytest.raises((OSError, TypeError)):
        Client(address, timeout=2, set_as_default=False)
    with Client(address, security=client.security, set_as_default=False) as ours:
        assert ours.run(os.getpid)


def test_without_what_makes_certificates_no_workers_are_started(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "cryptography" else find(name)
    )
    with pytest.raises(MissingDependencyError, match=r"pip install cryptography.*security=False"):
        lp.dask.local()


HERE = {"n_workers": 1, "processes": False, "set_as_default": False}


def test_runs_for_two_clusters_in_one_process_end_with_their_answers_side_by_side(dd, home):
    ddf = dd.from_pandas(FRAME.head(6), npartitions=2)
    limits = lp.Limits(requests_per_minute=6_000, adapt=False)
    with Server() as server, lp.dask.local(**HERE) as one, lp.dask.local(**HERE) as other:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        server.hold()
        asked = []
        for number, client in enumerate((one, other)):
            out = ddf.llm.process(f"{number} {{text}}", into="a", model=model, limits=limits)
            asked.append(client.compute(out))
            server.wait_for(lambda c, sent=3 * (number + 1): c.in_flight >= sent)
        server.release()
        for number, future in enumerate(asked):
            answers = future.result(20)["a"].tolist()
            assert answers == [f"echo: {number} row {n}" for n in range(6)]


def test_a_cluster_at_the_address_of_an_earlier_one_lends_to_the_runs_of_its_workers(dd, home):
    ddf = dd.from_pandas(FRAME.head(4), npartitions=2)
    port = 0
    with Server() as server:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        for time in ("first", "second"):
            options = {"protocol": "tcp://", "host": "127.0.0.1", "scheduler_port": port}
            with lp.dask.local(**HERE, **options) as client:
                port = int(client.scheduler.address.rpartition(":")[2])
                out = ddf.llm.process(f"The {time} {{text}}", into="a", model=model)
                answers = client.compute(out).result(20)["a"].tolist()
            assert answers == [f"echo: The {time} row {n}" for n in range(4)]


def test_a_key_is_handed_to_a_scheduler_that_was_started_again_where_the_last_one_was(dd, home):
    from distributed import Client

    ddf = dd.from_pandas(FRAME.head(2), npartitions=1)
    port, known = 0, []
    with Server() as server, contextlib.ExitStack() as held:
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        for _ in range(2):
            options = {"protocol": "tcp://", "host": "127.0.0.1", "scheduler_port": port}
            with lp.dask.local(**HERE, **options) as made:
                if not port:
                    client = held.enter_context(Client(made.scheduler.address))
                port = int(made.scheduler.address.rpartition(":")[2])
                client.wait_for_workers(1)
                ddf.llm.process("Say {text}", into="a", model=model).compute()
                plugins = made.cluster.scheduler.worker_plugins
                known.append(sum(name.startswith("lionproc-key-") for name in plugins))
    assert known == [1, 1]


def test_a_key_within_a_field_of_the_body_is_handed_to_the_workers_and_is_in_no_graph(client, dd):
    fields = {"data_sources": [{"authentication": {"key": "of-a-search-4f9a81c27be0"}}]}
    ddf = dd.from_pandas(FRAME.head(4), npartitions=2)
    with Server() as server:
        at = {"base_url": server.base_url, "api_key": server.key}
        out = ddf.llm.process("Find {text}", into="a", model=lp.Model("openai/m", **at, **fields))
        assert b"4f9a81c27be0" not in pickle.dumps(out)
        assert out.compute()["a"].tolist() == [f"echo: Find row {n}" for n in range(4)]
        sent = [orjson.loads(request.raw_body) for request in server.requests]
    assert [body["data_sources"] for body in sent] == [fields["data_sources"]] * 4


@pytest.fixture
def server(client):
    with Server() as made:
        yield made


@pytest.fixture
def model(server):
    return lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)


@pytest.fixture
def ddf(dd):
    return dd.from_pandas(FRAME, npartitions=6)


def test_a_key_follows_a_question_to_a_cluster_that_comes_later(client, server, model, ddf):
    key = "sk-late-" + "x" * 24
    with Server(key=None, answer="late") as other:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lionproc.dask.keys.current_client", lambda: None)
            late = lp.Model("openai", "m", base_url=other.base_url, api_key=key)
            out = ddf.partitions[:2].llm.process("Late {text}", "a", model=late)
        assert out.compute()["a"].eq("late").all()
        assert other.requests[-1].headers["authorization"] == f"Bearer {key}"


@pytest.mark.parametrize("key", ["k" * 24, None])
def test_workers_ask_nobody_but_whom_the_notebook_would(client, server, ddf, monkeypatch, key):
    """They were started before its environment named an address, and have none."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    out = ddf.llm.process("Say {text}", "a", model=lp.Model("openai", "m", api_key=key))
    with pytest.raises(ModelError, match=rf"called for '{server.base_url}', and .*api.openai.com"):
        out.compute()
    assert not server.requests


def budgets(client):
    return client.sync(client.scheduler.lionproc_budgets)


def test_workers_answer_as_one_process_does_and_no_key_is_in_what_travels(
    client, server, model, ddf
):
    assert client.scheduler_info()["address"].startswith("tls://127.0.0.1:")
    out = ddf.llm.process("Say {text}", into="a", schema=list[int], model=model)
    there = out.compute()
    here = ddf.compute().llm.process("Say {text}", "a", list[int], model=model, journal=False)
    assert_frame_equal(there, here)
    import cloudpickle

    written = cloudpickle.dumps(out) + repr(out).encode() + repr(out.__dask_graph__()).encode()
    assert server.key.encode() not in written


def test_the_workers_have_the_key_and_keep_the_limit_of_each_member_of_a_pool(client, server, ddf):
    with Server() as other:
        servers, before = (server, other), len(budgets(client))
        ways = [lp.Model("openai", "m", base_url=s.base_url, api_key=s.key) for s in servers]
        how = {"model": lp.Pool(ways), "limits": lp.Limits(requests_per_minute=5_400, adapt=False)}
        out = ddf.llm.process("Each {text}", into="a", **how).compute()
        assert out["a"].tolist() == [f"echo: Each {text}" for text in FRAME["text"]]
        for each in servers:
            sent = {request.headers["authorization"] for request in each.requests}
            assert sent == {f"Bearer {each.key}"}
    lent = [each for each in budgets(client)[before:] if each["limits"][0] == 5_400]
    assert len(lent) == 2
    assert sum(each["granted"] - each["refunded"] - each["lost"] for each in lent) >= 60


def test_stages_go_to_the_workers_and_give_what_one_process_gives(client, server, model, ddf):
    stages = [{"name": "x", "prompt": "Is {text}"}, {"name": "y", "prompt": "So {x}"}]
    out = ddf.llm.pipeline(stages, model=model).compute()
    assert_frame_equal(out, ddf.compute().llm.pipeline(stages, model=model, journal=False))


def test_all_workers_borrow_from_one_budget_and_hear_of_its_limits(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=6_000, adapt=False)
    ddf.llm.process("One {text}", into="a", model=model, limits=limits).compute()
    (budget,) = [each for each in budgets(client) if each["limits"][0] == 6_000]
    assert server.counters.total == 60
    assert budget["granted"] - budget["refunded"] - budget["lost"] >= 60


def test_a_worker_that_is_killed_repeats_at_most_what_was_in_flight(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=1_200, concurrency=CONCURRENCY, adapt=False)
    out = ddf.llm.process("Kill {text}", into="a", model=model, limits=limits)
    pids = list(client.run(os.getpid).values())
    future = client.compute(out)
    server.wait_for(lambda counters: counters.total >= 20)
    os.kill(pids[0], signal.SIGKILL)
    got = future.result(60)
    assert got["a"].tolist() == [f"echo: Kill {text}" for text in FRAME["text"]]
    assert 60 <= server.counters.total <= 60 + CONCURRENCY


NOTEBOOK = """
import multiprocessing
import dask.dataframe as dd, distributed, pandas as pd
import lionproc as lp, lionproc.dask

if address:
    client = distributed.Client(address, security=distributed.Security(**certificates))
else:
    import distributed.nanny, distributed.process
    context = multiprocessing.get_context("fork")  # which imports nothing again
    distributed.process.get_mp_context = distributed.nanny.get_mp_context = lambda: context
    client = lionproc.dask.local(n_workers=1, memory_limit=0)
ddf = dd.from_pandas(pd.DataFrame(columns), npartitions=6)
model = lp.Model("openai", "m", base_url=url, api_key=key)
limits = lp.Limits(concurrency=4, adapt=False)
ddf.llm.process("Of {text}", "a", model=model, limits=limits, save="answers/").compute()
"""


@pytest.mark.parametrize("own", [True, False], ids=["a cluster of its own", "one that stays"])
def test_a_notebook_that_is_killed_repeats_at_most_what_was_in_flight(  # noqa: PLR0917
    client, dd, zygotes, tmp_path, monkeypatch, keeps_storage, own
):
    columns = {"text": FRAME["text"].tolist(), "n": FRAME["n"].tolist()}
    with Server(latency_s=0.05) as server:
        names = {"url": server.base_url, "key": server.key, "columns": columns}
        address = "" if own else client.scheduler_info()["address"]
        held = ("tls_ca_file", "tls_client_cert", "tls_client_key")
        names["certificates"] = {name: getattr(client.security, name) for name in held}
        child = zygotes[0].start(NOTEBOOK, tmp_path, address=address, **names)
        server.wait_for(lambda counters: counters.total >= 25, timeout_s=60)
        child.kill()
        assert server.counters.total < 60
        # The same cell again, at once: where there is no cluster, or on the one that is there.
        if own:
            monkeypatch.setenv("LIONPROC_HOME", str(zygotes[0].home))
        monkeypatch.chdir(tmp_path)
        model = lp.Model("openai", "m", base_url=server.base_url, api_key=server.key)
        out = dd.from_pandas(pd.DataFrame(columns), npartitions=6).llm.process(
            "Of {text}", "a", model=model, save="answers/"
        )
        got = out.compute(scheduler="sync") if own else out.compute()
        assert got["a"].tolist() == [f"echo: Of {text}" for text in FRAME["text"]]
        assert server.counters.total <= 60 + 2 * CONCURRENCY
        assert_frame_equal(lp.read_parquet("answers/"), got, check_dtype=keeps_storage)


@pytest.fixture
def apart(client, tmp_path, monkeypatch):
    """A notebook and workers that each have a working folder of their own, and no other home."""

    def go(folder, home):
        before = str(Path.cwd()), os.environ.pop("LIONPROC_HOME", None)
        there = Path(folder.format(os.getpid()))
        there.mkdir(exist_ok=True)
        os.chdir(there)
        if home:
            os.environ["LIONPROC_HOME"] = home
        return before

    before = client.run(go, f"{tmp_path}/worker-{{}}", None)
    monkeypatch.delenv("LIONPROC_HOME")
    (tmp_path / "notebook").mkdir()
    monkeypatch.chdir(tmp_path / "notebook")
    yield tmp_path
    for worker, (folder, home) in before.items():
        client.run(go, folder, home, workers=[worker])


def files(folder):
    return sorted({str(each.relative_to(folder)) for each in folder.rglob("*.sqlite")})


def test_workers_in_folders_of_their_own_use_the_notebooks_journal_and_its_paths(
    client, server, model, ddf, apart
):
    def twice(prompt, **how):
        before = server.counters.total
        out = ddf.llm.process(prompt, "a", model=model, **how)
        for _ in range(2):
            assert out.compute()["a"].notna().all()
        return server.counters.total - before

    assert twice("Apart {text}") == 60
    assert files(apart) == ["notebook/.lionproc/journal.sqlite"]
    assert twice("Told {text}", journal="replies.sqlite") == 60
    assert "notebook/replies.sqlite" in files(apart)
    # As if the notebook were on another machine: each has its own, and what is saved is for all.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lionproc.dask.place.machine", lambda: ("elsewhere",))
        assert twice("Far {text}", save="answers/") == 60
    assert sum("worker-" in each for each in files(apart)) == 2
    assert len(list((apart / "notebook/answers").glob("*.parquet"))) == 6


def test_who_is_not_waited_for_any_more_sends_nothing_more(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    future = client.compute(ddf.llm.process("Stop {text}", "a", model=model, limits=limits))
    server.wait_for(lambda counters: counters.total >= 5)
    future.cancel()
    del future
    while any(client.run(lambda dask_worker: len(dask_worker.active_threads)).values()):
        pass
    # Four partitions of ten rows had begun.
    assert server.counters.total < 40


def test_a_job_is_watched_and_steered_from_the_notebook(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    how = {"into": "a", "model": model, "progress": False}
    job = ddf.llm.start("Job {text}", limits=limits, **how)
    server.wait_for(lambda counters: counters.total >= 5)
    job.pause()
    assert job.stats.state == "paused"
    job.limits.requests_per_minute = 60_000
    job.resume()
    got = job.result(60)
    assert got.compute()["a"].tolist() == [f"echo: Job {text}" for text in FRAME["text"]]
    assert got.divisions == ddf.divisions
    assert any(each["limits"][0] == 60_000 for each in budgets(client))
    assert server.counters.total == 60
    assert job.stats.state == "done"
    assert (job.stats.rows, job.stats.answered, job.stats.sent) == (60, 60, 60)
    assert job.errors().empty
    assert "60 requests" in repr(job)


async def test_work_on_a_cluster_can_be_awaited_and_a_series_has_a_job(client, server, model, ddf):
    how = {"model": model, "progress": False}
    got = await ddf.llm.aprocess("Await {text}", "a", **how)
    assert got.divisions == ddf.divisions
    assert got.compute()["a"].tolist() == [f"echo: Await {text}" for text in FRAME["text"]]
    cells = await ddf["text"].llm.aprocess("Await {value}", **how)
    assert cells.compute().tolist() == got.compute()["a"].tolist()
    assert ddf["text"].llm.start("Await {value}", **how).result(60).name == "text"
    assert server.counters.total == 60
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    task = asyncio.create_task(ddf.llm.aprocess("Leave {text}", "a", limits=limits, **how))
    await asyncio.to_thread(server.wait_for, lambda counters: counters.total >= 65)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while any((await asyncio.to_thread(client.run, at_work)).values()):
        pass
    assert server.counters.total < 60 + 60


def at_work(dask_worker):
    return len(dask_worker.active_threads)


def card_of(job):
    """What the card says, which knows of no job but this one."""
    said = as_bundle(job.stats, job.facts())["text/plain"]
    assert "last_job" not in said
    return said


class Screen:
    """Where a panel is shown."""

    def __init__(self):
        self.shown = []

    def show(self, bundle):
        self.shown.append(bundle)

    replace = show


def test_what_is_moved_in_the_panel_reaches_all_workers(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    server.hold()
    job = ddf.llm.start("Move {text}", "a", model=model, limits=limits, progress=False)
    screen = Screen()
    panel = Panel(job, title=job.title, facts=job.facts, latest=job.latest_errors, screen=screen)
    job.watch(panel)
    assert "0 of 60 rows" in panel._head.value  # which are known before any answer

    def in_force():
        from lionproc.dask.sharing import _borrowing
        from lionproc.engine.tokens import REQUESTS

        return [(limiter.concurrency, limiter.effective(REQUESTS)) for limiter in _borrowing]

    while not all(client.run(in_force).values()):
        pass  # a worker that begins later, when all is paused, never would
    server.release()
    server.wait_for(lambda counters: counters.total >= 5)

    def move(field, value):
        row = next(row for row in panel.wheel.rows if row.knob.field == field)
        data = {"method": "update", "state": {"value": value}, "buffer_paths": []}
        said = {"buffers": [], "content": {"data": data}}
        person = threading.Thread(target=row.field.comm.handle_msg, args=(said,))
        person.start()
        person.join()

    def wanted(dask_scheduler):
        return dask_scheduler.plugins["lionproc"]._works.of(token).concurrency

    token = job._question.token
    job.pause()
    move("requests_per_minute", "6,000")
    assert client.run_on_scheduler(wanted) is None  # each worker keeps what it has
    move("concurrency", "9")

    while any(found != [(9, 6_000)] for found in client.run(in_force).values()):
        assert not job.done
    assert job.stats.concurrency == 18  # of two processes
    assert "under way in 2 processes" in job.stats.partitions
    job.resume()
    job.result(60)
    assert (job.stats.state, job.stats.sent, job.stats.partitions) == ("done", 60, "")
    assert "60 of 60 answered" in screen.shown[-1]["text/plain"] or "60" in str(screen.shown[-1])


def test_rows_that_failed_are_told_once_of_all_partitions(client, dd, model, caplog):
    with Server(faults=lambda body, _: "400" if "row 1" in str(body["messages"]) else None) as bad:
        model = lp.Model("openai", "m", base_url=bad.base_url, api_key=bad.key)
        ddf = dd.from_pandas(FRAME.head(20), npartitions=4)
        retry = lp.Retry(first_failures=None)
        job = ddf.llm.start("Tell {text}", "a", model=model, retry=retry, progress=False)
        with pytest.warns(RowsFailedWarning, match=r"11 of 20 rows .*11 bad_request.*job\.errors"):
            job.result(60)
        assert len(job.errors()) == 11
        assert "job.errors() lists the errors" in card_of(job)
        job.result(60)  # and says it no more


@pytest.mark.filterwarnings("ignore::lionproc.errors.RowsFailedWarning")
@pytest.mark.parametrize("fails", [range(0), range(6)])
def test_a_budget_stops_all_workers(client, server, model, ddf, fails):
    """Also those whose first prompts fail, and whose run goes on as the others have answers."""
    limits = lp.Limits(requests_per_minute=1_200, concurrency=CONCURRENCY, adapt=False)
    how = {"model": model, "limits": limits, "budget": lp.Budget(requests=20), "progress": False}
    fails = list(fails)
    job = ddf.llm.start(lambda row: 5 if row["n"] in fails else f"Bound {row['text']}", "a", **how)
    with pytest.warns(BudgetWarning, match=r"20 requests was reached, so \d+ of 60 rows"):
        job.result(60)
    assert job.result(60)["a"].count().compute() == server.counters.total
    assert server.counters.total == 20
    assert "20 requests" in job.stats.note
    assert "again with a larger budget= goes on from here" in card_of(job)


@pytest.mark.filterwarnings("ignore::lionproc.errors.BudgetWarning")
@pytest.mark.parametrize("ends", ["by its budget", "by hand"])
def test_what_has_ended_sends_nothing_more_when_a_worker_dies_that_had_answers(
    client, server, model, ddf, ends
):
    budget = lp.Budget(requests=5) if ends == "by its budget" else None
    how = {"model": model, "limits": lp.Limits(requests_per_minute=900, adapt=False)}
    job = ddf.llm.start(f"{ends} {{text}}", "a", budget=budget, progress=False, **how)
    server.wait_for(lambda counters: counters.total >= 5)
    if budget is None:
        job.stop()
    had = job.result(60)["a"].compute()
    (holder, *_), *_ = client.who_has(job._futures).values()
    os.kill(client.run(os.getpid, workers=[holder])[holder], signal.SIGKILL)
    again = job.result(60)["a"].compute()  # Dask does anew what is lost
    assert again.equals(had)
    assert had.count() == server.counters.total < 60


def test_a_job_that_is_stopped_gives_what_there_is(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    job = ddf.llm.start("Halt {text}", "a", model=model, limits=limits, progress=False)
    server.wait_for(lambda counters: counters.total >= 5)
    job.stop()
    got = job.result(60).compute()
    assert len(got) == 60
    assert got["a"].notna().sum() == server.counters.total < 60
    assert job.stats.state == "stopped"
    assert "running the cell again goes on from here" in card_of(job)


def test_a_job_whose_cluster_was_restarted_says_how_to_go_on(client, server, model, ddf):
    limits = lp.Limits(requests_per_minute=600, concurrency=CONCURRENCY, adapt=False)
    job = ddf.llm.start("Gone {text}", "a", model=model, limits=limits, progress=False)
    server.wait_for(lambda counters: counters.total >= 5)
    client.cancel(job._futures)  # as a restart does
    with pytest.raises(lp.errors.RunError, match="only the rest is asked"):
        job.result(60)
    assert job.stats.state == "failed"
    assert "job.frame() has the partitions that are done" in card_of(job)


def test_what_paused_workers_have_done_is_told(client, server, model, ddf):
    def pause(dask_worker):
        from distributed import Status

        dask_worker.status = Status.paused

    def resume(dask_worker):
        from distributed import Status

        dask_worker.status = Status.running

    server.configure(latency_s=0.3)
    job = ddf.llm.start("Full {text}", "a", model=model, progress=False)
    server.wait_for(lambda counters: counters.total >= 1)
    client.run(pause)  # as one whose memory is full: what it has goes on
    while not any(future.done() for future in job._futures):
        pass
    server.configure(latency_s=0)
    client.run(resume)
    job.result(60)
    assert (job.stats.rows, job.stats.answered) == (60, 60)


@pytest.fixture
def deadly(client):
    """A prompt of row 33 that ends the worker, and a scheduler that tries a partition once."""
    client.run_on_scheduler(lambda dask_scheduler: setattr(dask_scheduler, "allowed_failures", 0))

    def prompt(row):
        os._exit(1) if row["n"] == 33 else None
        return f"Die {row['text']}"

    return prompt


def test_workers_that_die_again_and_again_end_in_an_error_that_says_what_to_do(model, ddf, deadly):
    job = ddf.llm.start(deadly, "a", model=model, progress=False)
    with pytest.raises(lp.errors.RunError, match="memory"):
        job.result(60)


def test_where_dask_raises_its_own_error_for_workers_that_died_a_warning_says_what_to_do(
    model, ddf, deadly
):
    from distributed.scheduler import KilledWorker

    answers = ddf.llm.process(deadly, "a", model=model, progress=False)
    with (
        pytest.warns(lp.errors.LionprocWarning, match=r"smaller.*goes on from"),
        pytest.raises(KilledWorker),
    ):
        answers.compute()
