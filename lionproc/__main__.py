"""`python -m lionproc` is the command `lionproc`."""

from lionproc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
