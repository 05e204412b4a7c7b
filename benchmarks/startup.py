"""What `import lionproc` costs over `import pandas` (median of several new processes)."""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import time
a = time.perf_counter()
import pandas
b = time.perf_counter()
import lionproc
c = time.perf_counter()
print(b - a, c - b)
"""


def main() -> None:
    pandas_s, ours_s = [], []
    for _ in range(11):
        done = subprocess.run(
            [sys.executable, "-c", CODE], check=True, capture_output=True, text=True
        )
        first, second = map(float, done.stdout.split())
        pandas_s.append(first)
        ours_s.append(second)
    print(f"import pandas   {statistics.median(pandas_s):.3f} s")
    print(f"import lionproc {statistics.median(ours_s):.3f} s more (after pandas)")


if __name__ == "__main__":
    main()
