# ruff: noqa: INP001  (a script, no package)
"""Make docs/panel.png: the panel, half way through a run, in JupyterLab's two themes.

Needs Chromium and the packages of the dev group: `python docs/panel.py`.
"""

from __future__ import annotations

import importlib.util
import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from lionproc.testing import Server

HERE = Path(__file__).parent
RIG = HERE.parent / "tests" / "notebook" / "jupyterlab.py"
MOST_BYTES = 150_000
CELL = """
import pandas as pd
import lionproc as lp

model = lp.Model("openai", "gpt-4o-mini", base_url={url!r}, api_key={key!r})
df = pd.DataFrame({{"review": [f"Kettle {{n}}: boils, and whistles a tune." for n in range(1200)]}})
limits = lp.Limits(requests_per_minute=1500, tokens_per_minute=60_000, concurrency=24)
out = df.llm.process("Is this positive? {{review}}", into="sentiment",
                     model=model, limits=limits, budget=lp.Budget(usd=0.01),
                     journal=False)
"""


def rig() -> Any:
    """The browser and server that the tests use."""
    spec = importlib.util.spec_from_file_location("jupyterlab_rig", RIG)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(RIG)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shoot(lab: Any, browser: Any, module: Any, theme: str) -> bytes:
    """The panel of a run that was steered a little."""
    with Server(answer="positive", latency_s=(0.3, 0.7), seed=5) as server:
        lab.theme(theme)
        lab.write(f"{theme}.ipynb", CELL.format(url=server.base_url, key=server.key))
        page = browser.new_page(viewport={"width": 960, "height": 760}, device_scale_factor=1.6)
        notebook = module.Notebook(lab, page, f"{theme}.ipynb")
        notebook.run(0)
        notebook[".lp-panel"].wait_for()
        server.wait_for(lambda counters: counters.total > 250, timeout_s=60)
        field = notebook[".lp-requests-per-minute input"]
        field.fill("2400")
        field.press("Enter")
        server.wait_for(lambda counters: counters.total > 400, timeout_s=60)
        server.configure(faults={"400": 0.02, "500": 0.05})
        server.wait_for(lambda counters: counters.total > 720, timeout_s=60)
        picture: bytes = notebook[".lp-panel"].screenshot()
        notebook[".lp-stop-button"].click()
        notebook.says(0, "lionproc: stopped")
        page.close()
    return picture


def main() -> None:
    """Both themes, one above the other, in few colours."""
    module = rig()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = module.JupyterLab(Path(folder))
        browser = playwright.chromium.launch(
            executable_path=module.chromium(), args=["--no-sandbox"]
        )
        try:
            shots = [shoot(lab, browser, module, theme) for theme in ("Light", "Dark")]
        finally:
            browser.close()
            lab.close()
    panels = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    gap = 24
    width = max(panel.width for panel in panels)
    whole = Image.new("RGB", (width, sum(p.height for p in panels) + gap), "white")
    top = 0
    for panel in panels:
        whole.paste(panel, (0, top))
        top += panel.height + gap
    target = HERE / "panel.png"
    whole.quantize(256, Image.Quantize.MAXCOVERAGE).save(target, optimize=True)
    if target.stat().st_size > MOST_BYTES:
        raise RuntimeError(f"{target} has {target.stat().st_size:,} bytes.")


if __name__ == "__main__":
    main()
