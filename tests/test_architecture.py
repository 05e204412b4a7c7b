"""The page that explains the house says what the code says."""

import importlib.util
import re
from pathlib import Path

import pytest

import lionproc

ROOT = Path(lionproc.__file__).parent.parent
PAGE = ROOT / "docs/architecture.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs/architecture.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_what_is_drawn_on_the_page_is_what_the_code_says(script):
    text = PAGE.read_text()
    assert script.page(text) == text, "run: python docs/architecture.py"


def test_every_file_that_the_page_names_exists():
    links = re.findall(r"\[([^\]]+)\]\(\.\./([^)]+)\)", PAGE.read_text())
    assert len(links) > 40
    for label, file in links:
        assert (ROOT / file).is_file(), file
        assert file == f"lionproc/{label}"
    # Names of files stand in the tables alone, where they are kept up.
    prose = [line for line in PAGE.read_text().splitlines() if not line.startswith("|")]
    assert set(re.findall(r"[\w/]+\.py\b", "\n".join(prose))) <= {"docs/architecture.py"}


def test_the_arrows_are_the_imports(script):
    drawn = script.picture()
    assert "  frame --> model\n" in drawn
    assert "  frame -.-> notebook\n" in drawn  # only where it is used
    assert "  engine --> errors\n" in drawn
    assert not re.search(r"  engine (-->|-\.->) (model|frame|service|notebook)", drawn)
    assert set(re.findall(r"  errors (?:-->|-\.->) (\w+)", drawn)) <= {"habits"}


def test_a_name_that_went_elsewhere_is_found_and_one_that_is_gone_is_told(script):
    assert script.home_of("decide").name == "retry.py"
    with pytest.raises(LookupError, match="decide_all is defined in 0 files"):
        script.home_of("engine:decide_all")
    with pytest.raises(LookupError, match=r"is defined in \d+ files"):
        script.home_of("model:__all__")
