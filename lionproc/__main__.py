"""`python -m lionproc` is the command `lionproc`."""

import os
import sys

# Python looks into the working folder first, and whoever made that may have put a pandas.py there.
# (pip does the same.) Where a bundle has started this, its own folder comes first.
if __name__ == "__main__" and not sys.flags.safe_path:
    try:
        if sys.path[0] in {"", os.getcwd()}:  # noqa: PTH109  (a pathlib.py may lie there)
            del sys.path[0]
    except FileNotFoundError:  # the folder is gone, and Python looks nowhere
        pass

from lionproc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
