"""`python -m lionproc` is the command `lionproc`."""

import sys

# Python looks into the working folder first, and whoever made that may have put a pandas.py there.
# (pip does the same.)
if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]

from lionproc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
