import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_code_that_uses_the_api_as_documented_passes_the_type_checker():
    pytest.importorskip("mypy")
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",  # the package itself is `make lint`'s, whose cache this uses
            str(HERE / "using_it.py"),
        ],
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
