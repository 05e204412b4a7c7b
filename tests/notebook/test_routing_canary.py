"""A real kernel that a cell blocks, and a frontend made of messages that steers it meanwhile."""

from __future__ import annotations

import pytest

RUN = """
import pandas as pd, lionproc as lp
model = lp.Model("openai", model="m", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"text": [f"line {{i}}" for i in range(300)]}})
limits = lp.Limits(requests_per_minute=600, concurrency=8)
out = df.llm.{call}("Say {{text}}", into="out", model=model, journal=False, limits=limits)
"""


END = "import lionproc as lp\nlp.last_job().stop(0.0)\nlp.last_job().wait(20)"


@pytest.fixture(scope="module")
def shared(kernels):
    """A kernel takes seconds to start."""
    made = kernels.Frontend()
    yield made
    made.close()


@pytest.fixture
def kernel(shared, request, server):  # the run ends first: it keeps asking the server
    shared.begin(subshell=request.param)
    yield shared
    ended = shared.run(END)
    shared.until(lambda: shared.idle(ended), "nothing runs any more")


def start(kernel, server, call="process"):
    request = kernel.run(RUN.format(url=server.base_url, key=server.key, call=call))
    kernel.until(lambda: kernel.outputs("display_data"), "the panel is displayed")
    return request


def slider(kernel):
    return kernel.find(_model_name="SelectionSliderModel", description="Requests / min")


def fields(kernel):
    return kernel.find(_model_name="TextModel", description="Requests / min")


@pytest.mark.parametrize("kernel", [True], indirect=True)
def test_events_of_a_panel_arrive_while_its_cell_blocks_the_kernel(kernel, server):
    """The canary: fails the day a kernel routes events in yet another way."""
    server.hold()
    request = start(kernel, server)
    server.wait_for(lambda counters: counters.in_flight == 8)
    state = kernel.widgets[slider(kernel)]
    labels = list(state["_options_labels"])
    kernel.set(slider(kernel), index=labels.index("1,200"))
    kernel.until(lambda: kernel.widgets[fields(kernel)]["value"] == "1,200", "the limit is set")
    concurrency = kernel.find(_model_name="TextModel", description="In flight")
    kernel.set(concurrency, value="20")
    server.wait_for(lambda counters: counters.in_flight == 20)
    assert not kernel.idle(request)
    stop = kernel.find(_model_name="ButtonModel", description="Stop")
    kernel.send(stop, {"method": "custom", "content": {"event": "click"}})
    server.release()
    kernel.until(lambda: kernel.idle(request), "the cell ends")
    card = kernel.outputs("update_display_data")[-1]
    shown = kernel.outputs("display_data")[0]
    assert card["transient"] == shown["transient"]
    assert "lionproc: stopped" in card["data"]["text/plain"]
    assert kernel.outputs("error") == []


@pytest.mark.parametrize("kernel", [False], indirect=True)
def test_without_subshells_the_panel_names_start_and_start_can_be_steered(kernel, server):
    server.hold()
    request = start(kernel, server)
    kernel.until(lambda: kernel.says("df.llm.start(...)"), "the hint")
    assert kernel.widgets[slider(kernel)]["disabled"]
    server.release()
    stop_it = kernel.run("pass")  # waits for the cell before
    kernel.manager.interrupt_kernel()
    kernel.until(lambda: kernel.idle(request), "the cell ends")

    kernel.until(lambda: kernel.idle(stop_it), "the next one is done or was given up")
    kernel.widgets.clear()
    request = start(kernel, server, "start")
    kernel.until(lambda: kernel.idle(request), "start returns at once")
    kernel.until(lambda: slider(kernel), "a second panel")
    labels = list(kernel.widgets[slider(kernel)]["_options_labels"])
    kernel.set(slider(kernel), index=labels.index("1,200"))
    kernel.until(lambda: kernel.widgets[fields(kernel)]["value"] == "1,200", "the limit is set")
    assert not kernel.says("df.llm.start(...)")


@pytest.mark.parametrize("kernel", [True], indirect=True)
def test_an_interrupted_cell_ends_and_says_how_to_go_on(kernel, server):
    server.configure(latency_s=0.05)
    request = start(kernel, server)
    server.wait_for(lambda counters: counters.ok >= 5)
    kernel.manager.interrupt_kernel()
    kernel.until(lambda: kernel.idle(request), "the cell ends")
    assert "KeyboardInterrupt: Stopped after" in kernel.text()
    assert "lp.last_job().frame()" in kernel.text()
    assert "stopped" in kernel.outputs("update_display_data")[-1]["data"]["text/plain"]
    sent = server.counters.total
    request = kernel.run("frame = lp.last_job().frame(); print('kept', frame['out'].notna().sum())")
    kernel.until(lambda: kernel.idle(request), "the next cell")
    assert f"kept {server.counters.ok}" in kernel.text()
    assert server.counters.total == sent, "nothing is sent any more"


@pytest.mark.parametrize("kernel", [True], indirect=True)
def test_an_interrupt_ends_a_cell_that_awaits_its_run_and_nothing_more_is_sent(kernel, server):
    server.hold()
    code = RUN.format(url=server.base_url, key=server.key, call="aprocess")
    code = code.replace("df.llm", "await df.llm")
    request = kernel.run(code.replace("journal=False", "journal=False, progress=False"))
    server.wait_for(lambda counters: counters.in_flight == 8)
    kernel.manager.interrupt_kernel()
    kernel.until(lambda: kernel.idle(request), "the cell ends")  # though no reply ever comes
    ended = kernel.run("lp.last_job().wait(20); print(lp.last_job())")
    kernel.until(lambda: kernel.idle(ended), "the next cell")
    assert "<Job stopped" in kernel.text()
    server.release()
    assert server.counters.total == 8


ASYNCIO_RUN = """
%load_ext lionproc
import asyncio
async def main():
    await asyncio.sleep(0)
    return "ran"
print(asyncio.run(main()))
import pandas as pd, lionproc as lp
model = lp.Model("openai", model="m", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"text": ["a", "b"]}})
print(df.llm.process("Say {{text}}", into="out", model=model, journal=False)["out"].tolist())
async def more():
    return await df.llm.aprocess("Now say {{text}}", into="out", model=model, journal=False)
print(len(asyncio.run(more())))
"""


@pytest.mark.parametrize("kernel", [True], indirect=True)
def test_the_extension_lets_a_program_for_a_terminal_run_in_a_cell(kernel, server):
    plain = kernel.run("import asyncio\nasyncio.run(asyncio.sleep(0))")
    kernel.until(lambda: kernel.idle(plain), "the cell ends")
    assert "cannot be called from a running event loop" in kernel.text()
    request = kernel.run(ASYNCIO_RUN.format(url=server.base_url, key=server.key))
    kernel.until(lambda: kernel.idle(request), "the cell ends")
    assert "ran\n['yes', 'yes']\n2\n" in kernel.text()


def test_a_loop_that_cannot_be_changed_is_refused_with_the_way_on(monkeypatch):
    import nest_asyncio2

    import lionproc
    from lionproc.errors import ConfigurationError

    def refuse():
        raise ValueError("Can't patch loop of type uvloop.Loop")

    monkeypatch.setattr(nest_asyncio2, "apply", refuse)
    with pytest.raises(ConfigurationError, match="await main"):
        lionproc.load_ipython_extension(None)
