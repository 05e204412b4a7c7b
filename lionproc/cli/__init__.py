"""The command `lionproc`: the same work as `df.llm`, on files, for terminals and scripts."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: The arguments, without the program's name; None for those of the process.

    Returns:
        The exit code; `lionproc process --help` says what each means.
    """
    from lionproc.cli.app import run

    return run(argv)
