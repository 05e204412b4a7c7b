"""A real JupyterLab in a real Chromium: a person steers a run while its cell runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from lionproc.testing import Server, TokenBucket

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
PICTURES = Path(__file__).parents[2] / "artifacts"

CELL = """
import pandas as pd, lionproc as lp
model = lp.Model("openai", model="gpt-4o-mini", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"text": [f"line {{i}}" for i in range({rows})]}})
limits = lp.Limits(requests_per_minute={rpm}, concurrency=16)
out = df.llm.{call}("Say {{text}}", into="out", model=model, journal=False, limits=limits)
"""


@pytest.fixture
def server():
    with Server(answer="yes", latency_s=(0.05, 0.2)) as made:
        yield made


def cell(server, call="process", rows=3000, rpm=300):
    return CELL.format(url=server.base_url, key=server.key, call=call, rows=rows, rpm=rpm)


def picture(notebook, name):
    PICTURES.mkdir(exist_ok=True)
    notebook.page.screenshot(path=PICTURES / f"{name}.png")


def arrivals(server, seconds):
    """Requests in the next full seconds, by the server's own clock."""
    start = len(server.counters.per_second)
    counters = server.wait_for(
        lambda counters: len(counters.per_second) > start + seconds, timeout_s=30
    )
    return sum(counters.per_second[start : start + seconds])


def test_a_person_steers_a_run_while_its_cell_runs(notebook_of, server):
    notebook = notebook_of(cell(server), "int(out['out'].notna().sum()), len(out)")
    notebook.run(0)
    notebook[".lp-panel .lp-curve"].wait_for()  # some seconds of the run are drawn
    assert arrivals(server, 3) == pytest.approx(15, abs=3), "300 a minute"
    picture(notebook, "panel-light-running")

    notebook[".lp-requests-per-minute .noUi-handle"].focus()
    for _ in range(9):
        notebook.page.keyboard.press("ArrowRight")
    field = notebook[".lp-requests-per-minute input"]
    notebook.has_value(field, "2,500")
    server.wait_for(lambda counters: max(counters.per_second[-3:]) > 25, timeout_s=30)
    assert arrivals(server, 3) == pytest.approx(125, abs=20), "2,500 a minute"
    assert notebook.running(0)

    notebook[".lp-pause-button"].click()
    notebook[".lp-pause-button", "Resume"].wait_for()
    server.wait_for(lambda counters: counters.in_flight == 0)
    before = server.counters.total
    notebook[".lp-paused"].wait_for()
    notebook[".lp-tile", "In flight"].get_by_text("0", exact=True).wait_for()
    picture(notebook, "panel-light-paused")
    assert server.counters.total == before

    notebook[".lp-pause-button"].click()
    server.wait_for(lambda counters: counters.total > before + 20)
    assert notebook.running(0)

    notebook[".lp-stop-button"].click()
    notebook.ended(0)
    notebook.says(0, "lionproc: stopped")
    notebook.run(1)
    notebook.ended(1)
    notebook.says(1, f"({server.counters.ok}, 3000)")
    picture(notebook, "panel-light-stopped")

    notebook.save()
    (output,) = notebook.saved().cells[0].outputs
    assert output.output_type == "display_data", "no warning beside the card"
    assert set(output["data"]) == {"text/html", "text/plain"}, "the saved notebook has the card"


def test_a_started_job_is_steered_between_cells_in_the_dark(notebook_of, server):
    server.configure(faults={"400": 0.1, "429": 0.02})
    notebook = notebook_of(cell(server, "start", rpm=600), "out.limits", "out.stop()", theme="Dark")
    notebook.run(0)
    notebook.ended(0)
    field = notebook[".lp-requests-per-minute input"]
    field.fill("1.5k")
    field.press("Enter")
    notebook.has_value(field, "1,500")
    notebook.run(1)
    notebook.ended(1)
    notebook.says(1, "requests_per_minute=1500")
    server.wait_for(lambda counters: counters.by_status.get(400, 0) >= 3)
    notebook[".lp-errors-button"].click()
    notebook[".lp-list td", "bad request"].first.wait_for()
    picture(notebook, "panel-dark-errors")
    notebook.run(2)
    notebook.says(0, "lionproc: stopped")
    picture(notebook, "panel-dark-stopped")


BEYOND = """panel => {
    const edge = panel.getBoundingClientRect(), found = [];
    for (const e of panel.querySelectorAll('*')) {
        const style = getComputedStyle(e), box = e.getBoundingClientRect();
        if (style.visibility === 'hidden' || !e.textContent.trim() || e.matches('.lp-what')) continue;
        const cut = style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1;
        if (box.right > edge.right + 1 || cut) found.push(e.className + ': ' + e.textContent);
    }
    return found }"""


def test_in_a_narrow_window_nothing_is_cut_off(notebook_of, server):
    server.configure(faults={"400": 0.1}, limits=TokenBucket(requests=600, burst_s=1))
    notebook = notebook_of(cell(server, rpm=1500))
    notebook.page.set_viewport_size({"width": 700, "height": 800})
    notebook.run(0)
    notebook[".lp-panel .lp-takes"].wait_for(state="attached")  # a level line has no height
    notebook[".lp-errors-button"].click()
    notebook[".lp-list td", "bad request"].first.wait_for()
    notebook[".lp-axis", "the server takes about"].wait_for()
    notebook[".lp-axis", "refused (429)"].wait_for()
    assert notebook[".lp-panel"].evaluate(BEYOND) == []
    picture(notebook, "panel-narrow")
    notebook[".lp-stop-button"].click()
    notebook.says(0, "lionproc: stopped")


def test_notebook_7_delivers_moves_too(classic_notebook_of, server):
    notebook = classic_notebook_of(cell(server))
    notebook.run(0)
    field = notebook[".lp-concurrency input"]
    field.wait_for()
    field.fill("3")
    field.press("Enter")
    notebook.page.get_by_text("of 3", exact=True).wait_for()
    assert notebook.running(0)
    notebook[".lp-stop-button"].click()
    notebook.says(0, "lionproc: stopped")


def test_the_limits_are_moved_before_a_run(notebook_of, server):
    notebook = notebook_of(
        "import lionproc as lp\n"
        f"model = lp.Model('openai', model='m', base_url={server.base_url!r}, api_key='x')\n"
        "panel = lp.limits_panel(model)\npanel",
        "panel.limits",
    )
    notebook.run(0)
    notebook.ended(0)
    slider = notebook[".lp-requests-per-minute .noUi-handle"]
    slider.focus()
    notebook.page.keyboard.press("ArrowLeft")  # from "no limit"
    notebook.has_value(notebook[".lp-requests-per-minute input"], "15,000")
    picture(notebook, "limits-light")
    notebook.run(1)
    notebook.ended(1)
    notebook.says(1, "requests_per_minute=15000")


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(notebook_of, server):
    notebook = notebook_of(cell(server))
    notebook.run(0)
    page = notebook.page
    for label in ("Requests / min", "Tokens / min", "In flight"):
        page.get_by_label(label, exact=True).first.wait_for()
    for name in ("Pause", "Stop", "Errors"):
        page.get_by_role("button", name=name).first.wait_for()
    page.get_by_role("progressbar", name="Rows done").wait_for()
    page.get_by_role("img", name="Requests per minute").wait_for()
    page.get_by_label("Requests / min", exact=True).first.focus()
    reached = set()
    for _ in range(12):
        reached.add(
            page.evaluate(
                "() => { const e = document.activeElement; const w = e.closest('[class*=lp-]');"
                " return (w ? w.className.match(/lp-[a-z-]+/)[0] : '') + ' ' + e.tagName }"
            )
        )
        page.keyboard.press("Tab")
    for control in (
        "lp-requests-per-minute INPUT",
        "lp-requests-per-minute DIV",
        "lp-tokens-per-minute INPUT",
        "lp-concurrency DIV",
        "lp-pause-button BUTTON",
        "lp-stop-button BUTTON",
        "lp-errors-button BUTTON",
    ):
        assert control in reached, reached
    page.get_by_role("button", name="Stop").first.focus()
    page.keyboard.press("Enter")
    notebook.says(0, "lionproc: stopped")
