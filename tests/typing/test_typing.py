import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.timeout(180)  # a first run reads all that is imported
def test_code_that_uses_the_api_as_documented_passes_the_type_checker():
    pytest.importorskip("mypy")
    checked = subprocess.run(
        # With the settings of `make lint`, whose cache this uses: any other option would make a
        # new one of all that is imported, and `make lint` the next.
        [sys.executable, "-m", "mypy", str(HERE / "using_it.py")],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    # Of the package itself mypy says nothing to people who installed it; `make lint` checks that.
    assert "1 source file" in checked.stdout, checked.stdout + checked.stderr
    assert "using_it.py:" not in checked.stdout, checked.stdout
